"""Shards: the store of one site's activations, checked by checksum and read piece by piece.

A store is a folder of safetensors shards (one tensor `values` [token, d_model] each, texts end to end) and
`manifest.json`, which names every shard with its SHA-256 and is written last. While a store is being written,
`manifest.partial.json` names the shards that are complete. Every file is written under a temporary name and then moved,
so no part of a file is ever read as the whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fairfight.errors import DamagedFileError, DataError, DiskFullError, has_no_room, refuse_place
from fairfight.models.capture import FlopsPolynomial
from fairfight.models.load import file_sha256
from fairfight.records import content_hash

MANIFEST = "manifest.json"
PARTIAL_MANIFEST = "manifest.partial.json"


class TokenBatch(NamedTuple):
    """Activations of several texts, end to end."""

    values: Float[Tensor, "token d_model"]
    offsets: Int[np.ndarray, " boundary"]
    """Text i has the tokens from `offsets[i]` to `offsets[i + 1]`."""


class ShardRecord(NamedTuple):
    """What the manifest says of one shard."""

    file: str
    sha256: str
    size: int
    """Bytes."""
    first_row: int
    last_row: int
    """One past the last."""


@dataclass(frozen=True, eq=False)
class Activations:
    """The activations of a set of texts at one site, on disk.

    Every distinct text has one row, shortest texts first; only what is asked for is read.
    """

    folder: Path
    site: str
    d_model: int
    key: str
    """Content hash of weights, revision, tokenizer, site, texts, dtypes and maximum length."""
    texts_sha: tuple[str, ...]
    """SHA-256 of each row's text in UTF-8, in hex."""
    truncated: int
    """How many texts were cut at the maximum length."""
    flops: FlopsPolynomial
    """What the model's pass up to this site costs, by length."""
    token_counts: Int[np.ndarray, " example"]
    """Content tokens by row: what is stored."""
    lengths: Int[np.ndarray, " example"]
    """Tokens by row that the model ran on, special tokens included."""
    shards: tuple[ShardRecord, ...]

    def rows(self, texts: Sequence[str]) -> Int[np.ndarray, " example"]:
        """Give the row of each text.

        Raises:
            DataError: a text was not harvested.
        """
        try:
            return np.array([self._row_of[text_sha256(text)] for text in texts], dtype=np.int64)
        except KeyError:
            absent = [text for text in texts if text_sha256(text) not in self._row_of]
            raise DataError(
                f"{len(absent)} of {len(texts)} texts were not harvested into {self.folder}, the first being "
                f"{absent[0][:60]!r}. Harvest all texts of the study together."
            ) from None

    def tokens(self, rows: Int[np.ndarray, " example"]) -> TokenBatch:
        """Give the activations of these rows, in their order, as float32.

        Raises:
            DamagedFileError: a shard is gone.
        """
        rows = np.asarray(rows, dtype=np.int64)
        counts = self.token_counts[rows]
        offsets = _bounds(counts)
        values = torch.empty(int(offsets[-1]), self.d_model)
        shard_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        for shard in np.unique(shard_of):
            members = np.flatnonzero(shard_of == shard)
            base = self._row_bounds[self._first_rows[shard]]
            stored = self._stored(self.shards[shard])
            source = _ranges(self._row_bounds[rows[members]] - base, counts[members])
            values[_ranges(offsets[members], counts[members])] = stored[source].float()
        return TokenBatch(values, offsets)

    def chunks(self, max_tokens: int = 65536) -> Iterator[tuple[Int[np.ndarray, " example"], TokenBatch]]:
        """Give every row once, in order, in pieces of at most `max_tokens` tokens (or of one longer text)."""
        start = 0
        while start < len(self.token_counts):
            limit = self._row_bounds[start] + max_tokens
            stop = max(start + 1, int(np.searchsorted(self._row_bounds, limit, side="right")) - 1)
            rows = np.arange(start, stop)
            yield rows, self.tokens(rows)
            start = stop

    @property
    def token_count(self) -> int:
        """Content tokens of all rows together."""
        return int(self.token_counts.sum())

    @property
    def shard_bytes(self) -> int:
        """Size of all shards together."""
        return sum(shard.size for shard in self.shards)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {sha: row for row, sha in enumerate(self.texts_sha)}

    @cached_property
    def _row_bounds(self) -> Int[np.ndarray, " boundary"]:
        return _bounds(self.token_counts)

    @cached_property
    def _first_rows(self) -> Int[np.ndarray, " shard"]:
        return np.array([shard.first_row for shard in self.shards], dtype=np.int64)

    def _stored(self, shard: ShardRecord) -> Float[Tensor, "token d_model"]:
        try:
            with safe_open(self.folder / shard.file, framework="pt") as opened:
                return opened.get_tensor("values")  # memory-mapped: only the pages that are indexed are read
        except (OSError, SafetensorError) as error:
            raise _damaged(self.folder / shard.file, f"it cannot be read ({error})") from error


def open_activations(folder: Path, verify: bool = True) -> Activations:
    """Give the store in `folder`; `verify` hashes every shard, and worker processes need not do it again.

    Raises:
        DamagedFileError: the manifest or a shard is missing or is not what its checksum says.
    """
    folder = Path(folder)
    manifest = read_manifest(folder / MANIFEST)
    if manifest is None:
        raise _damaged(folder / MANIFEST, "it is missing, so the store was not finished")
    shards = tuple(ShardRecord(*shard) for shard in manifest["shards"])
    for shard in shards:
        check_shard(folder, shard, verify=verify)
    head = manifest["head"]
    return Activations(
        folder=folder,
        site=head["site"],
        d_model=head["d_model"],
        key=head["key"],
        texts_sha=tuple(head["texts_sha"]),
        truncated=head["truncated"],
        flops=FlopsPolynomial(**head["flops"]),
        token_counts=np.array(head["token_counts"], dtype=np.int64),
        lengths=np.array(head["lengths"], dtype=np.int64),
        shards=shards,
    )


def check_shard(folder: Path, shard: ShardRecord, *, verify: bool = True) -> None:
    """Refuse a shard that is missing or not what the manifest says.

    Raises:
        DamagedFileError: saying which file, and to delete it.
    """
    file = folder / shard.file
    if not file.is_file():
        raise _damaged(file, "it is missing")
    if file.stat().st_size != shard.size:
        raise _damaged(file, f"it has {file.stat().st_size} bytes instead of {shard.size}")
    if verify and (found := file_sha256(file)) != shard.sha256:
        raise _damaged(file, f"its SHA-256 is {found[:12]}… instead of {shard.sha256[:12]}…")


def write_shard(folder: Path, values: Float[Tensor, "token d_model"], *, number: int, rows: range) -> ShardRecord:
    """Write one shard, whole or not at all, and give its record.

    Raises:
        DiskFullError: the disk is full.
    """
    payload = save({"values": values.contiguous()})
    file = f"shard-{number:05d}.safetensors"
    _write(folder / file, payload)
    return ShardRecord(file, hashlib.sha256(payload).hexdigest(), len(payload), rows.start, rows.stop)


def read_manifest(file: Path) -> dict[str, Any] | None:
    """Give a manifest, or none where there is no such file.

    Raises:
        DamagedFileError: it is not what its own checksum says.
    """
    if not file.is_file():
        return None
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        is_whole = manifest.pop("sha256") == content_hash(manifest)
    except (ValueError, KeyError, AttributeError):
        is_whole = False
    if not is_whole:
        raise _damaged(file, "it is not what its own checksum says")
    return manifest


def write_manifest(file: Path, head: dict[str, Any], shards: Sequence[ShardRecord]) -> None:
    """Write a manifest, whole or not at all.

    Raises:
        DiskFullError: the disk is full.
    """
    manifest: dict[str, Any] = {"head": head, "shards": [list(shard) for shard in shards]}
    _write(file, json.dumps(manifest | {"sha256": content_hash(manifest)}).encode())


def text_sha256(text: str) -> str:
    """Give the SHA-256 of a text in UTF-8, in hex.

    Raises:
        DataError: it is no text, or holds lone surrogates, which no encoding can write.
    """
    try:
        return hashlib.sha256(text.encode()).hexdigest()
    except (UnicodeEncodeError, AttributeError):
        raise DataError(
            f"{str(text)[:60]!r} ({type(text).__name__}) is no valid Unicode text; a string without lone surrogates "
            "was expected. Read the file with its real encoding, or leave the text out."
        ) from None


def _bounds(counts: Int[np.ndarray, " example"]) -> Int[np.ndarray, " boundary"]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _ranges(starts: Int[np.ndarray, " example"], counts: Int[np.ndarray, " example"]) -> slice | Tensor:
    """Give the positions start, start + 1, … of each text, as a slice where they are consecutive."""
    ends = starts + counts
    if np.array_equal(starts[1:], ends[:-1]):
        return slice(int(starts[0]), int(ends[-1]))
    return torch.from_numpy(np.repeat(starts - _bounds(counts)[:-1], counts) + np.arange(counts.sum()))


def _write(file: Path, payload: bytes) -> None:
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            stream.write(payload)
        os.replace(temporary, file)
    except OSError as error:
        if has_no_room(error):
            raise DiskFullError(
                f"The disk is full: {file.name} needs {len(payload) / 2**20:.1f} MiB in {file.parent} "
                f"({error.strerror}). What was finished before is whole; free some space and run again."
            ) from error
        refuse_place(file, error)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _damaged(file: Path, what: str) -> DamagedFileError:
    return DamagedFileError(f"{file} is damaged: {what}. Delete it and run again; whatever else is whole is kept.")
