from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from fairfight.activations import harvest as harvesting
from fairfight.activations.harvest import harvest
from fairfight.activations.shards import Activations, open_activations
from fairfight.errors import DamagedFileError, DataError


@pytest.fixture(scope="module")
def stored(model, texts, tmp_path_factory) -> Activations:
    """A store of several shards."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(harvesting, "BATCH_TOKENS", 100)
        patched.setattr(harvesting, "SHARD_BYTES", 150 * 16 * 4)
        found = harvest(model, texts, ["resid_post.0"], tmp_path_factory.mktemp("stored"))["resid_post.0"]
    assert len(found.shards) > 3
    return found


def test_texts_come_back_in_the_order_asked_for_copies_included(stored: Activations, texts) -> None:
    wanted = [texts[n] for n in (31, 2, 2, 17, 39, 0)]
    batch = stored.tokens(stored.rows(wanted))
    assert np.diff(batch.offsets).tolist() == [len(text.split()) for text in wanted]
    for number, text in enumerate(wanted):
        alone = stored.tokens(stored.rows([text])).values
        assert torch.equal(batch.values[batch.offsets[number] : batch.offsets[number + 1]], alone)


@pytest.mark.parametrize("max_tokens", [1, 64, 333, 10**6])
def test_chunks_give_every_row_once_and_stay_within_their_bound(max_tokens: int, stored: Activations) -> None:
    chunks = list(stored.chunks(max_tokens))
    assert list(chain.from_iterable(rows for rows, _ in chunks)) == list(range(len(stored.texts_sha)))
    assert all(len(batch.values) <= max_tokens or len(rows) == 1 for rows, batch in chunks)
    whole = stored.tokens(np.arange(len(stored.texts_sha)))
    assert torch.equal(torch.cat([batch.values for _, batch in chunks]), whole.values)


def test_no_rows_give_no_tokens(stored: Activations) -> None:
    batch = stored.tokens(np.array([], dtype=int))
    assert (tuple(batch.values.shape), batch.offsets.tolist()) == ((0, 16), [0])


def test_a_text_that_was_not_harvested_is_named(stored: Activations, texts) -> None:
    with pytest.raises(DataError, match=r"1 of 2 texts were not harvested.*'never seen'"):
        stored.rows([texts[0], "never seen"])


def test_a_worker_process_opens_the_same_store_without_hashing_it_again(stored: Activations, texts) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
        there = workers.submit(_first_values, stored, texts[3]).result()
    assert there == _first_values(open_activations(stored.folder, verify=False), texts[3])


def _first_values(activations: Activations, text: str) -> list[float]:
    return activations.tokens(activations.rows([text])).values[0].tolist()


def test_an_edited_manifest_is_refused(model, texts, tmp_path) -> None:
    found = harvest(model, texts[:5], ["resid_post.0"], tmp_path)["resid_post.0"]
    file = found.folder / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["head"]["truncated"] = 3
    file.write_text(json.dumps(manifest))
    with pytest.raises(DamagedFileError, match=r"manifest\.json is damaged"):
        open_activations(found.folder)


def test_a_missing_shard_is_refused_when_opened_and_when_read(model, texts, tmp_path) -> None:
    found = harvest(model, texts[:5], ["resid_post.0"], tmp_path)["resid_post.0"]
    (found.folder / found.shards[0].file).unlink()
    with pytest.raises(DamagedFileError, match="it is missing"):
        open_activations(found.folder)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        found.tokens(np.array([0]))
