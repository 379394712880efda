"""Recipes that begin with somebody's files: found by a path, read by whatever format, checked before they are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from fairfight.dictionaries import formats
from fairfight.dictionaries.check import USUAL, Expected, check_loaded, check_read
from fairfight.dictionaries.contract import Dictionary, TokenSource
from fairfight.errors import (
    DamagedFileError,
    DictionaryError,
    InputError,
    NonFiniteError,
    PluginError,
    StudyError,
)


@dataclass(frozen=True)
class FromFiles:
    """Where a dictionary lies, what its files leave open, and what was published of it."""

    path: str = ""
    """A folder, a file, or `owner/name[/sub/folder]@revision` on the Hugging Face hub; relative to where the command runs.

    `{seed}`, `{site}` and `{layer}` in it stand for those of the dictionary that is asked for."""

    model: str | None = None
    """This and the next four: what the files do not say, see `formats.Given`."""
    site: str | None = None
    """`{site}` where the path has a place for it, and the files do not say whether they are of that site."""
    architecture: str | None = None
    input_scale: float | None = None
    is_centred: bool | None = None

    l0: float | None = None
    """This and the next two: what was published, in the place of what came with the files; see `check.Expected`."""
    fvu: float | None = None
    mean_token_fvu: float | None = None
    l0_tolerance: float = USUAL.l0
    """As a share of the published L0, which is of other texts."""
    fvu_tolerance: float = USUAL.fvu
    check_tokens: int = USUAL.tokens
    """How many tokens of the site are drawn to see whether it does what was published."""

    def __post_init__(self) -> None:
        if not self.path:
            raise StudyError("The recipe has no path. Give the folder, file or hub id of the dictionary.")

    @property
    def is_seeded(self) -> bool:
        """Whether there is another dictionary for every seed."""
        return "{seed}" in self.path

    def files_hash(self, site: str, seed: int) -> str | None:
        """Give a hash of the files that are read for a site and seed; None where there is no dictionary."""
        try:
            return formats.files_hash(_located(self._filled(self.path, site, seed)))
        except InputError:
            return None

    def opened(self, site: str, seed: int, d_model: int) -> formats.Foreign:
        """Give the dictionary of a site and seed, checked for all that needs no token of that site.

        Raises:
            InputError: nothing is there, it cannot be read exactly, or it is of another site.
            DictionaryError: a file is damaged, or a weight is NaN or infinite.
            WidthMismatchError: the site has another width.
        """
        path = self._filled(self.path, site, seed)
        known = formats.Given(**{name: getattr(self, name) for name in formats.Given._fields})
        if self.site is not None:
            known = known._replace(site=self._filled(self.site, site, seed))
        with named(path):
            foreign = formats.load_any(_located(path), given=known)
            _check_site(path, foreign.origin, site)
            check_read(foreign.dictionary, self._expected(foreign), site=site, d_model=d_model)
        return foreign

    def checked(self, tokens: TokenSource, seed: int) -> formats.Foreign:
        """Give the dictionary of these tokens' site, once it has done on a sample of them what was published of it.

        Raises:
            InputError: as `opened`, or it does something else, with the mistake that would explain it.
            DictionaryError, WidthMismatchError: as `opened`.
        """
        foreign = self.opened(tokens.site, seed, tokens.d_model)
        tolerance = USUAL._replace(l0=self.l0_tolerance, fvu=self.fvu_tolerance, tokens=self.check_tokens)
        with named(self._filled(self.path, tokens.site, seed)):
            check_loaded(foreign.dictionary, tokens, self._expected(foreign), tolerance=tolerance)
        return foreign

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Dictionary:
        """Refuse: what was read from files keeps its own kind, and that restores it."""
        raise PluginError(
            "A card names a kind that reads files as the kind of its dictionary, but such a dictionary keeps its own kind "
            "(relu, topk, ...). Save the dictionary again."
        )

    def _filled(self, text: str, site: str, seed: int) -> str:
        layer = site.rpartition(".")[2]
        return text.replace("{seed}", str(seed)).replace("{site}", site).replace("{layer}", layer)

    def _expected(self, foreign: formats.Foreign) -> Expected:
        said = {name: getattr(self, name) for name in ("l0", "fvu", "mean_token_fvu")}
        return Expected.of(foreign)._replace(**{name: value for name, value in said.items() if value is not None})


@contextmanager
def named(path: str | Path) -> Iterator[None]:
    """Name the dictionary in whatever is found to be wrong with it in here, and make damage bad input: its user gave it."""
    try:
        yield
    except (InputError, DamagedFileError, NonFiniteError) as error:
        own = type(error) if isinstance(error, InputError) else DictionaryError
        sentence = str(error) if str(path) in str(error) else f"The dictionary {path}: {error}"
        raise own(sentence) from error


@cache
def _located(path: str) -> Path:
    """Give where a dictionary lies, asking the hub once a process: a revision stays what it is, and keys are made often."""
    return formats.located(path)


def _check_site(path: str, origin: formats.Origin, site: str) -> None:
    if site and origin.site != site:
        raise InputError(
            f"The dictionary {path} was trained at {origin.hook_name} of {origin.model} "
            f"({origin.site or 'no site that is read here'}), but one for {site} is asked for. Let the methods that play on "
            f'it read its own site only ([methods.NAME] site = "..."), or write {{site}} or {{layer}} into its path where '
            "there is one for each."
        )
