"""What a method may look at: texts, activations, dictionary codes. Every look is charged.

Pooled activations and codes are computed once a study and memory-mapped; the account is charged as if each trial had
run the model and the dictionary itself, so that a cache never makes a method look cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from fairfight.activations.shards import Activations, TokenBatch
from fairfight.contests.examples import Examples
from fairfight.dictionaries.pooled import PooledCodes
from fairfight.errors import PluginError, SiteError
from fairfight.meter import Meter
from fairfight.numerics.columns import Matrix, dense
from fairfight.shapes import DesignMatrix

if TYPE_CHECKING:
    from fairfight.models.load import Model


class Atoms(NamedTuple):
    """What a method may know of the dictionary itself."""

    kind: str
    latents: int
    is_signed: bool


@dataclass(frozen=True)
class Subject:
    """What is looked at: a model's activations by site, perhaps through a dictionary, and the model for fine-tuning."""

    model_name: str
    allow_remote_code: bool
    activations: Mapping[str, Activations]
    cache: Path
    """Folder of pooled activations."""
    dictionaries: Mapping[str, PooledCodes]
    """By site; empty for a method without a dictionary."""
    max_tokens: int


class Views:
    """The eyes of one trial: they charge its meter for every text, once a kind of look."""

    def __init__(self, subject: Subject, meter: Meter) -> None:
        self._subject = subject
        self.meter = meter
        self._charged: dict[tuple[str, str], set[str]] = {}

    def pooled(self, examples: Examples, site: str, pooling: str) -> DesignMatrix:
        """Give pooled activations as float64 [example, feature] (twice `d_model` wide for `max_min`)."""
        from fairfight.activations.pooled import pooled_activations

        activations = self._at(site)
        self._charge_forward(examples, site)
        matrix = pooled_activations(activations, pooling, self._subject.cache)
        return np.asarray(matrix[activations.rows(examples.texts)], dtype=np.float64)

    def tokens(self, examples: Examples, site: str) -> TokenBatch:
        """Give the activations of every content token, in the order of the examples."""
        activations = self._at(site)
        self._charge_forward(examples, site)
        return activations.tokens(activations.rows(examples.texts))

    def codes(self, examples: Examples, site: str, pooling: str) -> DesignMatrix:
        """Give codes computed a token and then pooled, as float32 [example, latent]."""
        return dense(self.sparse_codes(examples, site, pooling))

    def sparse_codes(self, examples: Examples, site: str, pooling: str) -> Matrix:
        """Give what `codes` gives: as compressed rows where few codes are not zero, else as it does."""
        return self._through(examples, site).codes(pooling, self._at(site).rows(examples.texts))

    def reconstruction(self, examples: Examples, site: str, pooling: str) -> DesignMatrix:
        """Give the dictionary's reconstruction, pooled as activations are, as float64 [example, feature]."""
        pooled = self._through(examples, site)
        self.meter.charge_encode(pooled.decode_flops_per_token * self._new_tokens(examples, site, "decode"))
        return np.asarray(pooled.reconstruction(pooling)[self._at(site).rows(examples.texts)], dtype=np.float64)

    def atoms(self, site: str) -> Atoms:
        """Give what may be known of the dictionary at a site."""
        pooled = self._dictionary(site)
        return Atoms(pooled.kind, pooled.latents, pooled.is_signed)

    def model(self) -> Model:
        """Give a fresh copy of the model, to be fine-tuned; what runs on it is charged by `meter.counting_torch`."""
        from fairfight.models.load import load

        return load(self._subject.model_name, allow_remote_code=self._subject.allow_remote_code)

    @property
    def max_tokens(self) -> int:
        """The length at which texts are cut, BOS/CLS/SEP included."""
        return self._subject.max_tokens

    def _at(self, site: str) -> Activations:
        if site not in self._subject.activations:
            raise SiteError(
                f"The site '{site}' was not harvested; there are {', '.join(self._subject.activations)}. Add it to activations.sites."
            )
        return self._subject.activations[site]

    def _dictionary(self, site: str) -> PooledCodes:
        if site not in self._subject.dictionaries:
            raise PluginError(
                f"This method asked for a dictionary at '{site}' and was given none. Set `needs_dictionary = True` on its class."
            )
        return self._subject.dictionaries[site]

    def _through(self, examples: Examples, site: str) -> PooledCodes:
        pooled = self._dictionary(site)
        self._charge_forward(examples, site)
        self.meter.charge_encode(pooled.encode_flops_per_token * self._new_tokens(examples, site, "encode"))
        self.meter.charge_dictionary(pooled.training_flops)
        return pooled

    def _charge_forward(self, examples: Examples, site: str) -> None:
        activations = self._at(site)
        rows = self._new_rows(examples, site, "forward")
        flops = activations.flops(activations.lengths[rows]).sum()
        self.meter.charge_forward(flops, int(activations.token_counts[rows].sum()))

    def _new_tokens(self, examples: Examples, site: str, look: str) -> int:
        return int(self._at(site).token_counts[self._new_rows(examples, site, look)].sum())

    def _new_rows(self, examples: Examples, site: str, look: str) -> Int[np.ndarray, " example"]:
        """Give the rows of the texts that this trial did not look at before in this way, and note that it has now."""
        charged = self._charged.setdefault((site, look), set())
        new = [text for text, key in zip(examples.texts, examples.ids, strict=True) if key not in charged]
        charged.update(examples.ids)
        return self._at(site).rows(new)
