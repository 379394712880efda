"""What `fairfight doctor` looks at: versions, linear algebra that can be trusted, the embedded model, optional packages."""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import version
from typing import NamedTuple

import torch

from fairfight import __version__
from fairfight.errors import FairfightError
from fairfight.models.load import DEFAULT, load

_PACKAGES = ("torch", "transformers", "scikit-learn", "scipy", "numpy", "safetensors")
_OPTIONAL = {
    "peft": "LoRA: pip install 'fairfight[lora]'",
    "pyarrow": "Parquet: pip install 'fairfight[data]'",
    "datasets": "Hugging Face data sets: pip install 'fairfight[data]'",
}


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    found: str
    is_fine: bool


def diagnose() -> list[Finding]:
    """Look at this machine: what is installed, what can be trusted, what is missing."""
    return [_versions(), _threads(), _embedded_model(), _cholesky(), _batched_lu(), *_optional_packages()]


def _versions() -> Finding:
    found = [f"fairfight {__version__}", f"python {platform.python_version()}"]
    return Finding("versions", ", ".join([*found, *(f"{name} {version(name)}" for name in _PACKAGES)]), True)


def _threads() -> Finding:
    onednn = "with" if torch.backends.mkldnn.is_available() else "without"
    return Finding("processor", f"{platform.machine()}, {torch.get_num_threads()} threads, torch {onednn} oneDNN", True)


def _embedded_model() -> Finding:
    try:
        model = load(DEFAULT)
    except FairfightError as error:
        return Finding(f"model {DEFAULT}", str(error), False)
    return Finding(f"model {DEFAULT}", f"SHA-256 {model.weights_sha256[:16]}…, as expected", True)


def _optional_packages() -> list[Finding]:
    return [
        Finding(f"package {name}", "installed" if importlib.util.find_spec(name) else f"missing; for {why}", True)
        for name, why in _OPTIONAL.items()
    ]


def _cholesky() -> Finding:
    a, b = _well_conditioned()
    factor = torch.linalg.cholesky(a)
    error = float((torch.cholesky_solve(a @ b, factor) - b).abs().max())
    return Finding("batched Cholesky (what fairfight uses)", f"largest error {error:.1e}", error < 1e-8)


def _batched_lu() -> Finding:
    # Known to be wrong on some builds of torch with two threads, or to stop at pivots that it never wrote; fairfight never
    # calls it, your own plug-in might.
    a, b = _well_conditioned()
    try:
        error = float((torch.linalg.solve(a, a @ b) - b).abs().max())
        found = f"largest error {error:.1e}"
    except RuntimeError as stopped:
        error, found = float("inf"), f"stopped with '{str(stopped).splitlines()[0][:60]}'"
    note = (
        ""
        if error < 1e-6
        else "; do not use torch.linalg.solve, inv or det on batches here: Cholesky, QR and SVD are right"
    )
    return Finding("batched LU (never used here)", f"{found}{note}", True)


def _well_conditioned() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(8, 400, 300, generator=chance, dtype=torch.float64)
    return x.mT @ x + 100 * torch.eye(300, dtype=torch.float64), torch.randn(
        8, 300, 2, generator=chance, dtype=torch.float64
    )
