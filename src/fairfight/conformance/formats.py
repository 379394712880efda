"""What every format must pass. `small(folder)` of a format writes a small dictionary as its library does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file

from fairfight import registry
from fairfight.conformance.small_world import small
from fairfight.dictionaries.contract import Card, Dictionary
from fairfight.dictionaries.formats import format_of, load_any, save
from fairfight.dictionaries.formats import load as load_dictionary
from fairfight.errors import FairfightError


def recognises_its_own_and_no_other(name: str, folder: Path) -> None:
    """Its own dictionary is read by it, and those of all other formats are not."""
    for other in registry.places("formats"):
        found = format_of(_specimen(other, folder / other))
        assert (found == name) == (other == name), f"a dictionary of {other} is taken for one of {found}"


def reads_what_our_folder_can_keep(name: str, folder: Path) -> None:
    """It says where its dictionary is from, and what it reads gives the same codes to the bit when kept as ours."""
    dictionary, origin, *_ = load_any(_specimen(name, folder / "theirs"))
    assert all((origin.library, origin.architecture, origin.model, origin.hook_name)), f"{name} leaves its origin open"
    x = _any_tokens(dictionary)
    codes = dictionary.encode(x)
    assert torch.isfinite(codes).all() and codes.any(), f"{name} reads codes that are not finite, or all zero"  # noqa: PT018
    card = Card(dictionary.kind, {}, 0, origin.site or "", origin.model, "", None, None, None, 0.0, 0.0, 0.0)
    save(dictionary, card, folder / "ours")
    again = load_dictionary(folder / "ours").dictionary
    assert torch.equal(again.encode(x), codes), (
        f"{name} reads a dictionary that has other codes when it was kept as ours"
    )
    assert torch.equal(again.rebuild(x, codes), dictionary.rebuild(x, codes)), (
        f"{name}: kept as ours it decodes otherwise"
    )


def refuses_files_that_are_cut(name: str, folder: Path) -> None:
    """Half a file, and an empty one, are an error of ours that names it."""
    path = _specimen(name, folder)
    for file in _files_in(folder):
        whole = file.read_bytes()
        for kept in (len(whole) // 2, 0):
            file.write_bytes(whole[:kept])
            _check_refused(path, f"{name}: {file.name}, of which {kept} of {len(whole)} bytes are left")
        file.write_bytes(whole)


def refuses_renamed_tensors_and_nan(name: str, folder: Path) -> None:
    """A tensor under another name, and one that holds NaN, are an error of ours."""
    path = _specimen(name, folder)
    for file in [file for file in _files_in(folder) if file.suffix in _TENSORS]:
        whole, tensors = file.read_bytes(), _TENSORS[file.suffix].read(file)
        for own, value in tensors.items():
            others = {other: tensors[other] for other in tensors if other != own}
            _TENSORS[file.suffix].write(others | {f"{own}_": value}, file)
            _check_refused(path, f"{name}: {file.name}, in which '{own}' is called '{own}_'")
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                _TENSORS[file.suffix].write(others | {own: torch.full_like(value, torch.nan)}, file)
                _check_refused(path, f"{name}: {file.name}, in which '{own}' is NaN")
        file.write_bytes(whole)


def takes_no_entry_on_trust(name: str, folder: Path) -> None:
    """Of a JSON file each entry may be gone, a nonsense word or 10^9: it is refused, or it makes no difference to codes."""
    path = _specimen(name, folder)
    dictionary = load_any(path).dictionary
    x = _any_tokens(dictionary)
    codes = dictionary.encode(x)
    for file in [file for file in _files_in(folder) if file.suffix == ".json"]:
        whole = file.read_text()
        for entry, changed in _changed_entries(json.loads(whole)):
            file.write_text(json.dumps(changed))
            if isinstance(_refusal(path), FairfightError):
                continue
            found = load_any(path).dictionary.encode(x)
            assert torch.equal(found, codes), f"{name} reads other codes where {file.name} has {entry}"
        file.write_text(whole)


def opens_no_pickle_that_calls(name: str, folder: Path) -> None:
    """A pickle with code in it, in the place of any of its files, is an error of ours, and the code does not run."""
    path = _specimen(name, folder / "theirs")
    for file in _files_in(folder / "theirs"):
        whole = file.read_bytes()
        for write in (lambda bomb, to: to.write_bytes(pickle.dumps(bomb, protocol=2)), torch.save):
            write({"latent_bias": _Bomb(folder / "exploded")}, file)
            error = _refusal(path)
            assert not (folder / "exploded").exists(), f"{name} runs the code that a {file.name} holds ({error!r})"
            _check_refused(path, f"{name}: {file.name}, which is a pickle with code in it")
        file.write_bytes(whole)


def _specimen(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return small("formats", name, folder)


def _files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _any_tokens(dictionary: Dictionary) -> Float[torch.Tensor, "token d_model"]:
    return torch.randn(32, dictionary.d_model, generator=torch.Generator().manual_seed(3))


def _refusal(path: Path) -> Exception | None:
    """Give the error, of ours or not, that a dictionary is refused with, or None where it is read."""
    try:
        load_any(path)
    except Exception as error:
        return error
    return None


def _check_refused(path: Path, what: str) -> None:
    error = _refusal(path)
    assert isinstance(error, FairfightError), f"{what}: is read, or is no error of ours ({error!r})"


def _changed_entries(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what a JSON object becomes by each change to one of its entries, or of the objects inside, and say which."""
    for name, value in content.items():
        others = {other: content[other] for other in content if other != name}
        yield f"no '{name}'", others
        for other in ("nonsense", 10**9):
            yield f"'{name}' = {other!r}", {**content, name: other}
        if isinstance(value, dict):
            yield from ((f"{entry} in '{name}'", {**content, name: inner}) for entry, inner in _changed_entries(value))


class _Tensors(NamedTuple):
    """How named tensors are read from a file and written to it."""

    read: Callable[[Path], dict[str, Any]]
    write: Callable[[dict[str, Any], Path], None]


_TENSORS = {
    ".safetensors": _Tensors(load_file, save_file),
    ".pt": _Tensors(lambda file: torch.load(file, weights_only=True), torch.save),
    ".npz": _Tensors(
        lambda file: {name: torch.from_numpy(value) for name, value in np.load(file).items()},
        lambda tensors, file: np.savez(file, **{name: value.numpy() for name, value in tensors.items()}),
    ),
}


class _Bomb:
    """What makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._trace,)
