"""Tokens in random order out of a store of any size, in memory of a fixed size.

The order is a pure function of a name and of the position in it, so training goes on after an interruption where it
stood, without replaying anything and without keeping a buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight import seeds
from fairfight.errors import EmptyBatchError

if TYPE_CHECKING:
    from fairfight.activations.shards import Activations

LOAD_BYTES = 2**28
"""Memory of one load: 256 MiB, at width 384 some 175,000 tokens. Two are held: one in use and the next."""

Read = Callable[[Int[np.ndarray, " text"]], Float[Tensor, "token d_model"]]


class _Place(NamedTuple):
    """A load: which time through the texts, and which part of that."""

    epoch: int
    part: int


class Mixing:
    """Every token once in random order, then all again in another, and so on.

    In each epoch the texts are shuffled and cut into loads; the tokens of a load are read together and shuffled. Where a
    load holds all texts that is a shuffle of all tokens; where it does not, a batch still draws on as many texts from
    anywhere in the store as fit a load.
    """

    def __init__(
        self, counts: Int[np.ndarray, " text"], read: Read, d_model: int, name: str, *, load_bytes: int = LOAD_BYTES
    ) -> None:
        """`counts` are the tokens of each text, and `read` gives those of the texts at some positions, end to end.

        Raises:
            EmptyBatchError: there is no token.
        """
        self._counts = np.asarray(counts, dtype=np.int64)
        self.token_count = int(self._counts.sum())
        if not self.token_count:
            raise EmptyBatchError(
                "There is no token to train a dictionary on; at least one was expected. Choose texts with content."
            )
        self._read = read
        self._name = name
        self._load_tokens = max(1, load_bytes // (4 * d_model))
        self._orders: dict[int, list[Int[np.ndarray, " text"]]] = {}

    @classmethod
    def of_activations(
        cls, activations: Activations, rows: Int[np.ndarray, " text"], name: str, *, load_bytes: int = LOAD_BYTES
    ) -> Mixing:
        """Give the tokens of these rows of a store."""
        rows = np.asarray(rows, dtype=np.int64)

        def read(chosen: Int[np.ndarray, " text"]) -> Float[Tensor, "token d_model"]:
            return activations.tokens(np.sort(rows[chosen])).values

        return cls(activations.token_counts[rows], read, activations.d_model, name, load_bytes=load_bytes)

    @classmethod
    def of_tensor(cls, values: Float[Tensor, "token d_model"], name: str) -> Mixing:
        """Give these tokens, which are held already; each is a text of its own."""
        return cls(np.ones(len(values), np.int64), lambda chosen: values[chosen], values.shape[1], name)

    def batches(self, batch: int, first: int, last: int) -> Iterator[Float[Tensor, "token d_model"]]:
        """Give the batches number `first` to `last` - 1 of that many tokens each.

        The next load is read while the last one is in use.
        """
        position = first * batch
        with ThreadPoolExecutor(1, thread_name_prefix="load") as reader:
            place, offset = self._find(position)
            held: Future[Tensor] = reader.submit(self._load, place)
            following = self._after(place)
            coming = reader.submit(self._load, following)
            values = held.result()
            for _ in range(first, last):
                pieces, missing = [], batch
                while missing:
                    if offset == len(values):
                        values, offset = coming.result(), 0
                        following = self._after(following)
                        coming = reader.submit(self._load, following)
                    piece = values[offset : offset + missing]
                    pieces.append(piece)
                    offset += len(piece)
                    missing -= len(piece)
                yield pieces[0] if len(pieces) == 1 else torch.cat(pieces)
            coming.cancel()

    def _find(self, position: int) -> tuple[_Place, int]:
        """Give the load in which a position lies, and where in it."""
        epoch, offset = divmod(position, self.token_count)
        for part, texts in enumerate(self._parts(epoch)):
            size = int(self._counts[texts].sum())
            if offset < size:
                return _Place(epoch, part), offset
            offset -= size
        raise AssertionError("The loads of an epoch hold all of its tokens.")

    def _after(self, place: _Place) -> _Place:
        if place.part + 1 < len(self._parts(place.epoch)):
            return _Place(place.epoch, place.part + 1)
        return _Place(place.epoch + 1, 0)

    def _load(self, place: _Place) -> Float[Tensor, "token d_model"]:
        values = self._read(self._parts(place.epoch)[place.part])
        order = torch.randperm(len(values), generator=seeds.torch_stream("tokens of a load", self._name, *place))
        return values[order]

    def _parts(self, epoch: int) -> list[Int[np.ndarray, " text"]]:
        """Give the texts of each load: a load ends with the text that fills it."""
        if (found := self._orders.get(epoch)) is not None:
            return found
        order = seeds.stream("texts of an epoch", self._name, epoch).permutation(len(self._counts))
        before = np.cumsum(self._counts[order]) - self._counts[order]
        ends = np.flatnonzero(np.diff(before // self._load_tokens)) + 1
        parts = [part for part in np.split(order, ends) if self._counts[part].sum()]
        # The reading thread asks too, for this epoch or the one before; a new dict in one go is safe for both.
        self._orders = {epoch: parts} | {n: kept for n, kept in self._orders.items() if n == epoch - 1}
        return parts
