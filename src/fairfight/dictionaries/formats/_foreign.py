"""What a reader of another library's files gives: the dictionary, where it comes from, and what was done to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from fairfight.dictionaries.contract import Card, Dictionary
from fairfight.errors import InputError, SiteError
from fairfight.models import sites


class Published(NamedTuple):
    """Numbers that came with a dictionary; None where there are none."""

    l0: float | None = None
    fvu: float | None = None
    """Fraction of variance unexplained, as `quality.fvu` defines it."""


class Origin(NamedTuple):
    """Where a dictionary comes from, in the words of its own files."""

    library: str
    architecture: str
    model: str
    hook_name: str
    """The place in the model, as the library calls it."""
    site: str | None
    """The same place under our name; None where it is none of the sites that are read here."""
    is_bos_excluded: bool | None = None
    """Whether it was trained without the beginning-of-text token; None where its files do not say."""
    published: Published = Published()


class Foreign(NamedTuple):
    """A dictionary of any library, ready to be checked and used."""

    dictionary: Dictionary
    origin: Origin
    notes: tuple[str, ...] = ()
    """What was folded into the weights, converted, or read between the lines."""
    card: Card | None = None
    """The card beside it, where the folder is ours."""


class Given(NamedTuple):
    """What the caller knows about a dictionary where its files are silent; where both speak they have to agree."""

    model: str | None = None
    site: str | None = None
    architecture: str | None = None
    """`relu` or `topk`."""
    input_scale: float | None = None
    """The factor that training multiplied its input by, where it was not folded into the weights."""
    is_centred: bool | None = None
    """Whether the model ran with TransformerLens's `center_writing_weights`, so that tokens had mean zero."""


NOTHING_GIVEN = Given()


class Format(Protocol):
    """What a file in `formats/` offers: a class that recognises its library's files by their names, and reads them."""

    files: ClassVar[tuple[str, ...]]
    """Names that it reads inside a folder; `../` stands for the folder above. They are what is fetched from the hub."""

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether `path` looks like this library's; nothing is opened that could run code."""
        ...

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary that stands in `path`.

        Raises:
            InputError: an entry is missing, unknown, or asks for something that no class here computes exactly.
            DamagedFileError: tensors are missing, have other shapes than the entries say, or are cut short.
            UnsafeFileError: a file would have to be unpickled to more than tensors and plain values.
            NonFiniteError: a weight is NaN or infinite.
        """
        ...

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a small dictionary into `folder` as the library writes it, and give its path: for the conformance checks."""
        ...


def place(file: Path, given: Given, *, model: str | None, hook_name: str | None) -> tuple[str, str, str | None]:
    """Give model, hook name and site out of what the files say and what the caller says.

    Raises:
        InputError: both are silent, or they contradict each other, or what the files say is no name.
    """
    for name, said in (("model", model), ("site", hook_name)):
        if said is not None and not isinstance(said, str):
            raise InputError(f"{file} says {name} = {said!r}; a name was expected. Correct the entry.")
    model = _agreed(file, "model", model, given.model)
    found = None if hook_name is None else site_of(hook_name)
    asked = None if given.site is None else str(sites.canonical(given.site))
    if hook_name is not None and asked is not None and asked != found:
        raise InputError(
            f"{file} says that its place in the model is '{hook_name}' ({found or 'no site that is read here'}), but the "
            f"site '{asked}' was given. Leave the site out, or take the files of that site."
        )
    hook_name = _agreed(file, "site", hook_name, hook_name or given.site)
    return model, hook_name, found if asked is None else asked


def how_to_give(name: str, example: object) -> str:
    """Say how something that the files leave open is given: in a study, on the command line, in Python."""
    written = example if isinstance(example, str) else json.dumps(example)
    return (
        f"give it, such as {name} = {json.dumps(example)} in a study's recipe, --given {name}={written} on the command line, "
        f"load_any(..., given=Given({name}={example!r})) in Python"
    )


def site_of(hook_name: str) -> str | None:
    """Give our name for a place, or None where it is no site that is read here."""
    try:
        return str(sites.canonical(hook_name))
    except SiteError:
        return None


def _agreed(file: Path, name: str, said: str | None, given: str | None) -> str:
    if said is not None and given is not None and said != given:
        raise InputError(
            f"{file} says {name} = '{said}', but '{given}' was given. Leave it out, or take the files that belong to it."
        )
    if not (said or given):
        raise InputError(
            f"{file} does not say which {name} it belongs to, and fairfight does not guess. Find it where the dictionary "
            f"was published and {how_to_give(name, {'model': 'gpt2', 'site': 'resid_post.4'}[name])}."
        )
    return str(said or given)
