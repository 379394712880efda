"""Read any library's dictionary: find the format by the names of its files, then let that format read it."""

from __future__ import annotations

from pathlib import Path

from fairfight import registry
from fairfight.dictionaries.formats._files import PICKLES
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Format, Given
from fairfight.dictionaries.formats._hub import fetched
from fairfight.errors import InputError, UnsafeFileError


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
    formats = {name: registry.load("formats", name) for name in _ordered()}
    path = Path(path_or_id) / (subfolder or "")
    if not path.exists():
        path = fetched(str(path_or_id), revision, subfolder, [name for each in formats.values() for name in each.files])
    for each in formats.values():
        if each.recognises(path):
            return each.read(path, given)
    raise _unrecognised(path, formats)


def _ordered() -> list[str]:
    """Give the formats' names, ours first: our folder is laid out as SAELens's too, but its card says more."""
    return sorted(registry.places("formats"), key=lambda name: (name != "own", name))


def _unrecognised(path: Path, formats: dict[str, type[Format]]) -> InputError:
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else [path.name]
    tried = "; ".join(f"{name} ({', '.join(each.files)})" for name, each in formats.items())
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
