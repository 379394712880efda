"""Read any library's dictionary: find the format by the names of its files, then let that format read it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fairfight import registry
from fairfight.dictionaries.formats._files import PICKLES
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Format, Given
from fairfight.dictionaries.formats._hub import fetched
from fairfight.errors import InputError, UnsafeFileError
from fairfight.records import content_hash


def load_any(
    path_or_id: str | Path,
    revision: str | None = None,
    subfolder: str | None = None,
    *,
    given: Given = NOTHING_GIVEN,
) -> Foreign:
    """Give the dictionary in a folder, in a file, or on the Hugging Face hub, whichever library wrote it.

    A hub id is `owner/name[/sub/folder]@revision`; revision and subfolder may be given apart. What the files leave open
    stands in `given`. `dictionaries.check.check_loaded` says whether what came back does what was published.

    Raises:
        InputError: nothing is there, no format recognises it, it is offline, or a format refuses it with the reason.
        DamagedFileError, UnsafeFileError, NonFiniteError: as `Format.read`.
    """
    path = located(path_or_id, revision, subfolder)
    return registry.load("formats", format_of(path)).read(path, given)


def located(path_or_id: str | Path, revision: str | None = None, subfolder: str | None = None) -> Path:
    """Give where a dictionary lies on this disk, fetched from the hub where it is no path.

    Raises:
        InputError: nothing is there, or it is offline.
    """
    if str(path_or_id).startswith("shipped/"):
        from fairfight.dictionaries.shipped import folder_of

        return folder_of(str(path_or_id))
    path = Path(path_or_id) / (subfolder or "")
    return path if path.exists() else fetched(str(path_or_id), revision, subfolder, _names())


def format_of(path: Path) -> str:
    """Give the name of the format that recognises what lies in `path`.

    Raises:
        InputError: none does.
    """
    for name, each in _formats().items():
        if each.recognises(path):
            return name
    raise _unrecognised(path, _formats())


def files_hash(path: Path) -> str:
    """Give a hash of all that decides what `load_any` makes of `path`: the files read there, and a stranger's reader.

    Raises:
        InputError: no format recognises it.
    """
    folder = path if path.is_dir() else path.parent
    names = {*_names()} if path.is_dir() else {*_names(), path.name}
    found = {name: folder / name for name in sorted(names) if (folder / name).is_file()}
    checksums = {name: _sha256(file, file.stat().st_size, file.stat().st_mtime_ns) for name, file in found.items()}
    return content_hash({"files": checksums, "code": registry.fingerprint("formats", format_of(path))})


@cache
def _sha256(file: Path, size: int, modified_ns: int) -> str:
    """Give a file's checksum; size and time are there so that it is read once, and again when it was changed."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _formats() -> dict[str, type[Format]]:
    """Give the formats by name, ours first: our folder is laid out as SAELens's too, but its card says more."""
    names = sorted(registry.places("formats"), key=lambda name: (name != "own", name))
    return {name: registry.load("formats", name) for name in names}


def _names() -> list[str]:
    return [name for each in _formats().values() for name in each.files]


def _unrecognised(path: Path, formats: dict[str, type[Format]]) -> InputError:
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else [path.name]
    tried = "; ".join(f"{name} ({', '.join(each.files) or 'a single file'})" for name, each in formats.items())
    if not there:
        return InputError(f"{path} is an empty folder. Give the folder that holds the weights; known are {tried}.")
    pickles = [name for name in there if Path(name).suffix.lower() in PICKLES]
    message = f"{path} holds {', '.join(there[:8])}, which no format recognises. Tried: {tried}."
    if pickles:
        return UnsafeFileError(
            f"{message} {pickles[0]} is a pickle that no known library writes under this name, so it was not opened: it can "
            "run any code. Ask its author for safetensors."
        )
    return InputError(f"{message} Give the folder that holds the weights itself, or add a format (CONTRIBUTING.md).")
