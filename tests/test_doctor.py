"""What doctor looks at is what stands on this machine."""

import importlib.util
import platform
from importlib.metadata import version

import pytest
import torch

from fairfight import __version__, doctor
from fairfight.models import load as loading


@pytest.fixture(scope="module")
def findings():
    return {finding.what: finding for finding in doctor.diagnose()}


def test_versions_of_all_that_numbers_hang_on_are_listed(findings):
    listed = findings["versions"].found.split(", ")
    packages = ("torch", "transformers", "numpy", "scikit-learn", "scipy")
    expected = [f"python {platform.python_version()}", f"fairfight {__version__}"]
    assert {*expected, *(f"{name} {version(name)}" for name in packages)} <= set(listed)


def test_the_threads_of_linear_algebra_are_counted(findings):
    assert f"{torch.get_num_threads()} threads" in findings["processor"].found


def test_the_embedded_models_checksum_is_the_one_that_was_measured(findings):
    model = findings[f"model {loading.DEFAULT}"]
    assert model.is_fine
    assert loading.load().weights_sha256[:16] in model.found


def test_other_weights_in_the_embedded_models_place_are_found_out(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"another model")
    monkeypatch.setattr(loading, "_embedded_folder", lambda: tmp_path)
    model = next(finding for finding in doctor.diagnose() if finding.what.startswith("model"))
    assert not model.is_fine
    assert "another model's or were changed" in model.found


@pytest.mark.parametrize("package", ["peft", "pyarrow", "datasets"])
@pytest.mark.parametrize("is_there", [True, False])
def test_optional_packages_are_told_apart_and_none_of_them_is_a_fault(package, is_there, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if is_there else None)
    finding = next(found for found in doctor._optional_packages() if found.what == f"package {package}")
    assert finding.is_fine
    assert finding.found == "installed" if is_there else "pip install 'fairfight[" in finding.found


def test_a_batched_lu_that_stops_is_a_finding(monkeypatch):
    import torch

    from fairfight import doctor

    def stops(*_):
        raise RuntimeError("Pivots given to lu_solve must all be greater or equal to 1.")

    monkeypatch.setattr(torch.linalg, "solve", stops)
    found = doctor._batched_lu()
    assert "stopped with 'Pivots given to lu_solve" in found.found
    assert "Cholesky, QR and SVD are right" in found.found
