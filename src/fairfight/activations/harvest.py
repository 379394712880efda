"""Harvest: run a model over texts, up to the deepest site asked for, and store what it computes there.

Texts are sorted by length and batched under a token budget, so hardly anything is padded; each distinct text runs once,
whatever number of sites is read. Padding and the tokens that the tokenizer adds around a text (BOS, CLS, SEP) are never
stored. A store that was interrupted is finished: its complete shards are checked and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fairfight.activations.shards import (
    MANIFEST,
    PARTIAL_MANIFEST,
    Activations,
    ShardRecord,
    check_shard,
    open_activations,
    read_manifest,
    text_sha256,
    write_manifest,
    write_shard,
)
from fairfight.errors import DataError, NonFiniteError, StudyError, nearest
from fairfight.models.capture import forward_flops, read_sites
from fairfight.models.load import Model
from fairfight.models.sites import Site, locate, resolve
from fairfight.records import content_hash

StorageDtype = Literal["float32", "float16", "bfloat16"]
ComputeDtype = Literal["float32", "bfloat16"]
Progress = Callable[[int, int], None]

FORMAT = 1
"""Part of every key; raise it when a store's layout changes."""
BATCH_TOKENS = 2048
"""Padded tokens a forward pass: larger batches fall out of the caches, smaller ones starve the matrix products."""
SHARD_BYTES = 32 * 2**20
"""About how large a shard is in float32; one is held in memory for each site."""
_TOKENISED_AT_ONCE = 8192


class _Tokenised(NamedTuple):
    """Distinct texts as tokens, end to end, shortest first."""

    texts: list[str]
    texts_sha: list[str]
    ids: Int[np.ndarray, " token"]
    is_content: Bool[np.ndarray, " token"]
    bounds: Int[np.ndarray, " boundary"]
    token_counts: Int[np.ndarray, " example"]
    truncated: int

    @property
    def lengths(self) -> Int[np.ndarray, " example"]:
        return np.diff(self.bounds)


@dataclass
class _Draft:
    """A store on its way to being complete."""

    folder: Path
    site: Site
    head: dict[str, Any]
    records: dict[int, ShardRecord] = field(default_factory=dict)

    def add(self, number: int, values: Float[Tensor, "token d_model"], rows: range) -> None:
        self.records[number] = write_shard(self.folder, values, number=number, rows=rows)
        write_manifest(self.folder / PARTIAL_MANIFEST, {"key": self.head["key"]}, self._in_order())

    def finish(self) -> None:
        write_manifest(self.folder / MANIFEST, self.head, self._in_order())
        (self.folder / PARTIAL_MANIFEST).unlink(missing_ok=True)

    def _in_order(self) -> list[ShardRecord]:
        return [self.records[number] for number in sorted(self.records)]


def harvest(
    model: Model,
    texts: Sequence[str],
    sites: Sequence[Site | str],
    folder: Path,
    *,
    max_tokens: int = 128,
    dtype: StorageDtype = "float32",
    compute_dtype: ComputeDtype = "float32",
    progress: Progress | None = None,
) -> dict[str, Activations]:
    """Give the activations of `texts` at each site, by its canonical name, computing what `folder` does not hold yet.

    Each site has its own sub-folder, named by its key: the same request finds the same store. Texts longer than
    `max_tokens` or the model's window (special tokens included) are cut and counted. `compute_dtype="bfloat16"` runs
    matrix products in bfloat16: over twice as fast, exact to about 0.5 % (relative RMS on MiniLM). `progress` is told
    content tokens done and in all, after each batch. One process at a time writes to a store.

    Raises:
        StudyError: activations are not kept or computed in such a dtype.
        SiteError: the model has no such site.
        DataError: no text at all, a text without a token of its own, or invalid Unicode.
        NonFiniteError: an activation is NaN or infinite.
        DamagedFileError: a shard that was stored before is not what its checksum says.
        DiskFullError: the disk is full; complete shards are kept for the next run.
    """
    _require_known("dtype", dtype, get_args(StorageDtype))
    _require_known("compute_dtype", compute_dtype, get_args(ComputeDtype))
    wanted = _located(model, sites)
    text_of = _distinct(texts)
    limit = min(max_tokens, model.window)
    keys = {site: _key(model, site, sorted(text_of), [limit, dtype, compute_dtype]) for site in wanted}
    folders = {site: Path(folder) / f"{site}-{key[:24]}" for site, key in keys.items()}
    unfinished = [site for site in wanted if not _is_finished(folders[site])]
    if unfinished:
        tokenised = _tokenise(model, text_of, limit)
        drafts = [_draft(model, site, folders[site], tokenised, keys[site]) for site in unfinished]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=compute_dtype == "bfloat16"):
            _complete(model, drafts, tokenised, getattr(torch, dtype), progress or (lambda _done, _total: None))
    # What was written or checked a moment ago is not hashed again.
    return {str(site): open_activations(folders[site], verify=site not in unfinished) for site in wanted}


def _require_known(setting: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise StudyError(f"{setting} '{value}' is unknown; choose one of {', '.join(known)}.{nearest(value, known)}")


def _located(model: Model, sites: Sequence[Site | str]) -> list[Site]:
    wanted = list(dict.fromkeys(resolve(model, site) for site in sites))
    for site in wanted:
        locate(model, site)
    return wanted


def _distinct(texts: Sequence[str]) -> dict[str, str]:
    if isinstance(texts, str) or not len(texts):
        raise DataError(f"A list of at least one text was expected; found {texts!r:.60}. Give the texts in a list.")
    return {text_sha256(text): text for text in texts}


def _key(model: Model, site: Site, texts_sha: list[str], settings: list[int | str]) -> str:
    return content_hash(
        {
            "format": [FORMAT, BATCH_TOKENS, SHARD_BYTES],
            "weights": model.weights_sha256,
            "revision": model.revision,
            "tokenizer": model.tokenizer_sha256,
            "site": str(site),
            "texts": texts_sha,
            "settings": settings,
        }
    )


def _is_finished(folder: Path) -> bool:
    manifest = read_manifest(folder / MANIFEST)
    return manifest is not None and all((folder / shard[0]).is_file() for shard in manifest["shards"])


def _tokenise(model: Model, text_of: dict[str, str], limit: int) -> _Tokenised:
    shas, texts = list(text_of), list(text_of.values())
    # As arrays from the first: a list of Python's numbers takes nine times the memory.
    ids: list[Int[np.ndarray, " token"]] = []
    masks: list[Bool[np.ndarray, " token"]] = []
    for start in range(0, len(texts), _TOKENISED_AT_ONCE):
        encoded = _encode(model, texts[start : start + _TOKENISED_AT_ONCE])
        ids += [np.array(tokens, dtype=np.int32) for tokens in encoded["input_ids"]]
        masks += [np.array(mask, dtype=bool) for mask in encoded["special_tokens_mask"]]
    too_long = [row for row, tokens in enumerate(ids) if len(tokens) > limit]
    if too_long:
        encoded = _encode(model, [texts[row] for row in too_long], truncation=True, max_length=limit)
        for row, tokens, mask in zip(too_long, encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
            ids[row], masks[row] = np.array(tokens, dtype=np.int32), np.array(mask, dtype=bool)
    counts = np.array([len(mask) - int(mask.sum()) for mask in masks])
    _require_content(texts, counts)
    order = sorted(range(len(texts)), key=lambda row: (len(ids[row]), shas[row]))
    return _Tokenised(
        texts=[texts[row] for row in order],
        texts_sha=[shas[row] for row in order],
        ids=np.concatenate([ids[row] for row in order]),
        is_content=np.concatenate([~masks[row] for row in order]),
        bounds=np.concatenate([[0], np.cumsum([len(ids[row]) for row in order])]),
        token_counts=counts[order],
        truncated=len(too_long),
    )


def _encode(model: Model, texts: list[str], **truncation: Any) -> Any:
    return model.tokenizer(
        texts,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
        **truncation,
    )


def _require_content(texts: list[str], counts: Int[np.ndarray, " example"]) -> None:
    empty = [texts[row] for row in np.flatnonzero(counts == 0)]
    if empty:
        raise DataError(
            f"{len(empty)} texts have no token of their own (beyond BOS, CLS or SEP, and within max_tokens), the first "
            f"being {empty[0][:60]!r}; at least one was expected. Leave such texts out, or raise max_tokens."
        )


def _draft(model: Model, site: Site, folder: Path, tokenised: _Tokenised, key: str) -> _Draft:
    """Give the store's draft with the shards that are there already, each checked by its checksum."""
    head = {
        "key": key,
        "model": model.name,
        "site": str(site),
        "d_model": locate(model, site).width,
        "flops": asdict(forward_flops(model, [site])),
        "truncated": tokenised.truncated,
        "token_counts": tokenised.token_counts.tolist(),
        "lengths": tokenised.lengths.tolist(),
        "texts_sha": tokenised.texts_sha,
    }
    draft = _Draft(folder, site, head)
    manifest = read_manifest(folder / MANIFEST) or read_manifest(folder / PARTIAL_MANIFEST) or {"shards": []}
    for record in (ShardRecord(*shard) for shard in manifest["shards"]):
        if (folder / record.file).is_file():
            check_shard(folder, record)
            draft.records[int(Path(record.file).stem.removeprefix("shard-"))] = record
    return draft


def _complete(
    model: Model, drafts: list[_Draft], tokenised: _Tokenised, dtype: torch.dtype, progress: Progress
) -> None:
    done, total = 0, int(tokenised.token_counts.sum())
    for number, batches in enumerate(_plan(tokenised, model.d_model)):
        rows = range(batches[0].start, batches[-1].stop)
        lacking = [draft for draft in drafts if number not in draft.records]
        parts: dict[Site, list[Tensor]] = {draft.site: [] for draft in lacking}
        for batch in batches:
            if lacking:
                for site, values in _run(model, list(parts), tokenised, batch, dtype).items():
                    parts[site].append(values)
            done += int(tokenised.token_counts[batch.start : batch.stop].sum())
            progress(done, total)
        for draft in lacking:
            draft.add(number, torch.cat(parts[draft.site]), rows)
    for draft in drafts:
        draft.finish()


def _plan(tokenised: _Tokenised, d_model: int) -> list[list[range]]:
    """Give the rows of each forward pass, by shard; it hangs on the texts alone, so an interrupted run can go on."""
    shards: list[list[range]] = [[]]
    start, size = 0, 0
    lengths = tokenised.lengths
    for row in range(1, len(lengths) + 1):
        if row < len(lengths) and lengths[row] * (row + 1 - start) <= BATCH_TOKENS:
            continue
        if size >= SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(range(start, row))
        size += int(tokenised.token_counts[start:row].sum()) * d_model * 4
        start = row
    return shards


def _run(
    model: Model, sites: list[Site], tokenised: _Tokenised, rows: range, dtype: torch.dtype
) -> dict[Site, Float[Tensor, "token d_model"]]:
    lengths = tokenised.lengths[rows.start : rows.stop]
    tokens = slice(tokenised.bounds[rows.start], tokenised.bounds[rows.stop])
    is_text = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(is_text.shape, dtype=np.int64)
    is_content = np.zeros(is_text.shape, dtype=bool)
    ids[is_text], is_content[is_text] = tokenised.ids[tokens], tokenised.is_content[tokens]
    found = read_sites(model, torch.from_numpy(ids), torch.from_numpy(is_text.astype(np.int64)), sites)
    kept = {site: found[str(site)][torch.from_numpy(is_content)].to(dtype) for site in sites}
    for site, values in kept.items():
        _require_finite(values, site, tokenised, rows)
    return kept


def _require_finite(values: Float[Tensor, "token d_model"], site: Site, tokenised: _Tokenised, rows: range) -> None:
    is_finite = values.isfinite().all(dim=1).numpy()
    if is_finite.all():
        return
    ends = np.cumsum(tokenised.token_counts[rows.start : rows.stop])
    row = rows.start + int(np.searchsorted(ends, np.argmin(is_finite), side="right"))
    raise NonFiniteError(
        f"The activations at {site} are NaN or infinite for the text {tokenised.texts[row][:60]!r} (stored as "
        f"{str(values.dtype).removeprefix('torch.')}); finite numbers were expected. Store them as float32 if they are "
        "too large for the dtype, or check the model's weights."
    )
