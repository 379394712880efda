"""Files of strangers, opened with suspicion: nothing is run, nothing is allocated before its size is known to fit."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fairfight.dictionaries.settings import memory_bytes
from fairfight.errors import DamagedFileError, InputError, NonFiniteError, UnsafeFileError, nearest

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
"""A bare pickle, and the zip archive that torch.save writes around one."""
_COPIES = 2
"""How many times over weights stand in memory while they are read, once as stored and once as used."""

Shapes = Mapping[str, tuple[int, ...]]


def read_json(file: Path) -> dict[str, Any]:
    """Give the object that a JSON file holds.

    Raises:
        InputError: there is no such file.
        DamagedFileError: it holds no JSON object.
    """
    if not file.is_file():
        raise InputError(f"{file} is missing, and says what the weights beside it mean. Fetch the whole folder.")
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise DamagedFileError(f"{file} is not JSON ({error}). Fetch it again.") from error
    if not isinstance(found, dict):
        raise DamagedFileError(f"{file} holds {type(found).__name__}, but an object was expected. Fetch it again.")
    return found


def is_pickle(file: Path) -> bool:
    """Whether a file begins as pickles do, and has no safetensors header, whose length may by chance begin so."""
    with file.open("rb") as opened:
        start = opened.read(9)
    length = int.from_bytes(start[:8], "little")
    has_header = length < file.stat().st_size and start[8:] == b"{"
    return start.startswith(_PICKLE_STARTS) and not has_header


def refuse_pickle(file: Path) -> None:
    """Raise UnsafeFileError where a file that has to be safetensors is a pickle; else do nothing."""
    if is_pickle(file):
        raise UnsafeFileError(
            f"{file} is a pickle, which can run any code when it is opened; safetensors was expected. "
            "Ask its author for safetensors, or convert it on a machine that you can afford to lose."
        )


def read_safetensors(file: Path, shapes: Shapes, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Give the named tensors, checked before they are read.

    Raises:
        UnsafeFileError: the file is a pickle.
        DamagedFileError: it is cut short, or holds other tensors or shapes than `shapes`.
        NonFiniteError: a tensor holds NaN or infinity.
    """
    check_shapes(file, shapes_in(file), shapes)
    with safe_open(file, framework="pt") as opened:
        return finite(file, {name: opened.get_tensor(name) for name in shapes}, dtype)


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """Give name and shape of every tensor in a safetensors file, reading no tensor."""
    refuse_pickle(file)
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedFileError(f"{file} is no whole safetensors file ({error}). Fetch it again.") from error


def read_state_dict(file: Path) -> dict[str, Any]:
    """Give the state dict in a `.pt` file, which may hold tensors, plain values and plain containers, nothing else.

    Raises:
        UnsafeFileError: the pickle asks for anything more.
        DamagedFileError: the file is cut short or is no pickle.
    """
    check_memory(file, file.stat().st_size)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not is_pickle(file):
            raise DamagedFileError(f"{file} is no file that torch.save wrote. Fetch it again.") from error
        raise UnsafeFileError(
            f"{file} is a pickle that asks for more than tensors and plain values{_asked_for(error)}, so it could "
            "run code and was not opened. Ask its author for safetensors or for a plain state dict."
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedFileError(f"{file} is cut short or damaged ({_first_line(error)}). Fetch it again.") from error
    if not isinstance(found, dict):
        raise DamagedFileError(f"{file} holds {type(found).__name__}; a state dict was expected. Fetch another file.")
    return dict(found)


def read_npz(file: Path, shapes_of: tuple[str, ...]) -> dict[str, Tensor]:
    """Give the named arrays of an `.npz` archive; what would need a pickle is refused.

    Raises:
        UnsafeFileError: an array holds Python objects.
        DamagedFileError: the archive is cut short, or holds other arrays.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            check_memory(file, sum(part.file_size for part in packed.infolist()))
        with np.load(file, allow_pickle=False) as archive:
            if sorted(archive.files) != sorted(shapes_of):
                raise DamagedFileError(_other_names(file, archive.files, shapes_of))
            return {name: torch.from_numpy(archive[name]) for name in shapes_of}
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DamagedFileError(f"{file} is no whole .npz archive ({error}). Fetch it again.") from error
    except ValueError as error:
        raise UnsafeFileError(
            f"{file} holds Python objects, which only a pickle can bring back ({error}); plain arrays were expected. "
            "Take the file from its publisher."
        ) from error


def named_tensors(file: Path, found: Mapping[str, Any], shapes: Shapes) -> dict[str, Tensor]:
    """Give the tensors of a state dict as float32, checked for names, shapes and finiteness."""
    odd = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if odd:
        raise DamagedFileError(f"{file} holds no tensor under {', '.join(map(repr, odd))}. Fetch it again.")
    check_shapes(file, {name: tuple(value.shape) for name, value in found.items()}, shapes)
    return finite(file, {name: found[name] for name in shapes})


def check_shapes(file: Path, found: Shapes, expected: Shapes) -> None:
    """Raise DamagedFileError where names or shapes are not those expected; else do nothing."""
    if found.keys() != expected.keys():
        raise DamagedFileError(_other_names(file, found, expected))
    for name, shape in expected.items():
        if found[name] == shape:
            continue
        turned = (
            " That is its transpose: the file was written for another library." if found[name] == shape[::-1] else ""
        )
        raise DamagedFileError(
            f"{file} holds '{name}' in the shape {found[name]}, but its configuration asks for {shape}.{turned} "
            "Take weights and configuration from the same folder."
        )


def finite(file: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Give the tensors in that type, contiguous.

    Raises:
        NonFiniteError: one holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise NonFiniteError(
                f"{file} holds NaN or infinity in {count} of the {tensor.numel()} numbers of '{name}'; all have to be "
                "finite. Fetch it again, or choose another checkpoint."
            )
    return {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}


def check_size(file: Path, d_model: int, latents: int) -> None:
    """Raise InputError where encoder and decoder of such a dictionary cannot fit into memory; else do nothing."""
    _check_room(f"{file} asks for {latents} latents of width {d_model}: encoder and decoder", 8 * d_model * latents)


def check_memory(file: Path, size: int) -> None:
    """Raise InputError where a file of that size cannot be read into memory; else do nothing."""
    _check_room(f"{file}", size)


def _check_room(what: str, size: int) -> None:
    needed, there = _COPIES * size, memory_bytes()
    if needed > there:
        raise InputError(
            f"{what} take {size / 2**30:,.1f} GiB as float32 and {needed / 2**30:,.1f} GiB while they are read, but this "
            f"machine has {there / 2**30:,.1f} GiB. Choose a narrower dictionary or a larger machine."
        )


def check_entries(file: Path, entries: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise InputError where an entry is not known: it could change what is computed; else do nothing."""
    known = set(known)
    for name in entries:
        if name not in known:
            raise InputError(
                f"{file} has the entry '{name}' = {entries[name]!r}, which is not known here and could change what the "
                f"dictionary computes.{nearest(name, known)} If it only concerns training, add it to the list of such "
                "entries in the format's file."
            )


def words(text: str) -> frozenset[str]:
    """Give the words of a text: a long list of entries reads better so."""
    return frozenset(text.split())


def entry(file: Path, entries: Mapping[str, Any], name: str) -> Any:
    """Give an entry that has to be there.

    Raises:
        InputError: it is not.
    """
    if name not in entries:
        raise InputError(
            f"{file} has no entry '{name}', without which it is not known what the weights mean, and nothing is "
            "assumed. Fetch the file again, or add the entry if you know it."
        )
    return entries[name]


def section(file: Path, entries: Mapping[str, Any], name: str, *, may_be_absent: bool = False) -> dict[str, Any]:
    """Give an entry that has to be an object itself; an empty one where it may be absent and is.

    Raises:
        InputError: it is missing or is something else.
    """
    found = entries.get(name) if may_be_absent else entry(file, entries, name)
    if found is None and may_be_absent:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{file} has '{name}' = {found!r}; an object was expected. Fetch the file again.")
    return found


def whole_number(file: Path, entries: Mapping[str, Any], name: str) -> int:
    """Give an entry that has to be a whole number above zero.

    Raises:
        InputError: it is missing or is not.
    """
    found = entry(file, entries, name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not float(found).is_integer() or found < 1:
        raise InputError(f"{file} has '{name}' = {found!r}; a whole number above zero was expected. Correct the entry.")
    return int(found)


def flag(file: Path, entries: Mapping[str, Any], name: str) -> bool:
    """Give an entry that has to be true or false.

    Raises:
        InputError: it is missing or is neither.
    """
    found = entry(file, entries, name)
    if not isinstance(found, bool):
        raise InputError(f"{file} has '{name}' = {found!r}; true or false was expected. Correct the entry.")
    return found


def _other_names(file: Path, found: Iterable[str], expected: Iterable[str]) -> str:
    found, expected = set(found), set(expected)
    missing, extra = sorted(expected - found), sorted(found - expected)
    parts = [f"lacks {', '.join(missing)}"] if missing else []
    parts += [f"also holds {', '.join(extra)}"] if extra else []
    return (
        f"{file} {' and '.join(parts)}; its configuration asks for {', '.join(sorted(expected))}. "
        "Names of tensors decide what a dictionary is: take weights and configuration from the same folder."
    )


def _asked_for(error: BaseException) -> str:
    """Give what a pickle wants to call, out of torch's refusal, which goes on to say how to let it."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f" (for {found[1]})" if found else ""


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
