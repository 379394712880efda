from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fairfight.activations import harvest as harvesting
from fairfight.activations.harvest import harvest
from fairfight.activations.shards import Activations, open_activations
from fairfight.errors import DamagedFileError, DataError, DiskFullError, NonFiniteError, SiteError, StudyError
from fairfight.models.load import Model, load

SITE = "resid_post.1"


class Interruption(Exception):
    """Stands for a power cut in the middle of a harvest."""


def alone(model: Model, text: str, layer: int, limit: int = 64) -> torch.Tensor:
    """Give a text's hidden states by transformers itself: no batch, no padding, first and last token cut off."""
    encoded = model.tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
    with torch.inference_mode():
        states = model.module(**encoded, output_hidden_states=True).hidden_states[layer + 1]
    return states[0, 1:-1]


@pytest.fixture
def few_tokens_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harvesting, "BATCH_TOKENS", 100)
    monkeypatch.setattr(harvesting, "SHARD_BYTES", 150 * 16 * 4)


@pytest.fixture
def passes(model: Model) -> list[int]:
    """Number of texts of each forward pass since the fixture was asked for."""
    sizes: list[int] = []
    handle = model.module.embeddings.register_forward_hook(lambda _m, _a, output: sizes.append(len(output)))
    yield sizes
    handle.remove()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.*")) if file.is_file()}


def of(activations: Activations, text: str) -> torch.Tensor:
    return activations.tokens(activations.rows([text])).values


def test_what_is_stored_is_what_the_model_computes_for_each_text_alone(model, texts, tmp_path) -> None:
    found = harvest(model, texts, ["resid_post.0", SITE], tmp_path)
    for layer in (0, 1):
        for text in texts:
            torch.testing.assert_close(
                of(found[f"resid_post.{layer}"], text), alone(model, text, layer), rtol=0, atol=2e-5
            )


def test_the_default_models_activations_agree_with_transformers(tmp_path) -> None:
    minilm = load()
    texts = ["How do I bake bread?", "An unhappy text [SEP] with its own separator.", "Größe 🙂", "word " * 60]
    found = harvest(minilm, texts, ["resid_post.2"], tmp_path)["resid_post.2"]
    for text in texts:
        torch.testing.assert_close(of(found, text), alone(minilm, text, 2), rtol=0, atol=2e-5)


def test_special_tokens_and_padding_are_not_stored(model, tmp_path) -> None:
    found = harvest(model, ["a b c", "d", "e f g h i"], [SITE], tmp_path)[SITE]
    rows = found.rows(["a b c", "d", "e f g h i"])
    assert found.token_counts[rows].tolist() == [3, 1, 5]
    assert found.lengths[rows].tolist() == [5, 3, 7]
    assert found.token_count == 9


def test_all_sites_are_read_in_one_pass_and_no_text_runs_twice(model, texts, tmp_path, passes) -> None:
    harvest(
        model, [*texts, *texts], [SITE, "resid_pre.0", "mlp_out.1", "blocks.1.hook_normalized_resid_post"], tmp_path
    )
    # Two passes a site, of one text each, measure FLOPs.
    assert sum(passes) == len(texts) + 3 * 2


def test_the_order_of_texts_and_their_copies_do_not_change_the_store(model, texts, tmp_path, passes) -> None:
    first = harvest(model, texts, [SITE], tmp_path)[SITE]
    passes.clear()
    second = harvest(model, [*reversed(texts), texts[0]], [SITE], tmp_path)[SITE]
    assert (second.key, second.folder, passes) == (first.key, first.folder, [])


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 20},
        {"dtype": "float16"},
        {"compute_dtype": "bfloat16"},
        {"sites": ["resid_post.0"]},
        {"texts": ["a b c"]},
    ],
)
def test_whatever_can_move_a_number_changes_the_key(change, model, texts, tmp_path) -> None:
    plain = {"model": model, "texts": texts, "sites": [SITE], "folder": tmp_path}
    keys = {store.key for request in (plain, plain | change) for store in harvest(**request).values()}
    assert len(keys) == 2


@pytest.mark.parametrize("part", ["weights_sha256", "tokenizer_sha256", "revision"])
def test_another_model_or_tokenizer_has_another_key(part, model, texts, tmp_path) -> None:
    other = dataclasses.replace(model, **{part: "another"})
    keys = {harvest(which, texts, [SITE], tmp_path)[SITE].key for which in (model, other)}
    assert len(keys) == 2


@pytest.mark.usefixtures("few_tokens_a_shard")
def test_an_interrupted_harvest_is_finished_and_equals_one_in_one_go(model, texts, tmp_path, passes) -> None:
    whole = harvest(model, texts, [SITE, "mlp_out.0"], tmp_path / "whole")
    assert len(whole[SITE].shards) > 3

    def cut_after_half(done: int, total: int) -> None:
        if done > total / 2:
            raise Interruption

    with pytest.raises(Interruption):
        harvest(model, texts, [SITE, "mlp_out.0"], tmp_path / "cut", progress=cut_after_half)
    with pytest.raises(DamagedFileError, match="was not finished"):
        open_activations(tmp_path / "cut" / whole[SITE].folder.name)
    kept = [file for file in contents(tmp_path / "cut") if file.endswith(".safetensors")]
    assert len(kept) > 2
    passes.clear()
    harvest(model, texts, [SITE, "mlp_out.0"], tmp_path / "cut")
    assert sum(passes) < len(texts)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("few_tokens_a_shard")
def test_a_damaged_shard_is_refused_by_name_and_computed_anew_once_deleted(model, texts, tmp_path) -> None:
    found = harvest(model, texts, [SITE], tmp_path)[SITE]
    before = contents(tmp_path)
    shard = found.folder / found.shards[1].file
    damaged = bytearray(shard.read_bytes())
    damaged[-1] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(DamagedFileError, match=rf"{shard.name} is damaged.*Delete it and run again"):
        harvest(model, texts, [SITE], tmp_path)
    shard.unlink()
    harvest(model, texts, [SITE], tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("few_tokens_a_shard")
def test_a_damaged_shard_of_an_unfinished_store_is_refused_too(model, texts, tmp_path) -> None:
    def cut(done: int, total: int) -> None:
        if done > total / 2:
            raise Interruption

    with pytest.raises(Interruption):
        harvest(model, texts, [SITE], tmp_path, progress=cut)
    shard = next(tmp_path.rglob("shard-00000.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(DamagedFileError, match="bytes instead of"):
        harvest(model, texts, [SITE], tmp_path)


@pytest.mark.usefixtures("few_tokens_a_shard")
def test_a_full_disk_is_said_and_leaves_whole_files_to_go_on_from(model, texts, tmp_path, monkeypatch) -> None:
    moves = []

    def full_after_four(source: str, target: str) -> None:
        moves.append(target)
        if len(moves) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full_after_four)
        with pytest.raises(DiskFullError, match="free some space and run again"):
            harvest(model, texts, [SITE], tmp_path / "full")
    assert not [name for name in contents(tmp_path) if Path(name).name.startswith(".")]
    harvest(model, texts, [SITE], tmp_path / "full")
    harvest(model, texts, [SITE], tmp_path / "whole")
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


def test_long_texts_are_cut_and_counted(model, tmp_path) -> None:
    long, short = " ".join("abcdefgh"), "a b c d"
    found = harvest(model, [long, short], [SITE], tmp_path, max_tokens=6)[SITE]
    assert found.truncated == 1
    assert found.token_counts[found.rows([long, short])].tolist() == [4, 4]
    torch.testing.assert_close(of(found, long), alone(model, long, 1, limit=6), rtol=0, atol=2e-5)


def test_a_text_longer_than_the_models_window_is_cut_there(model, tmp_path) -> None:
    found = harvest(model, ["a " * 100], [SITE], tmp_path, max_tokens=1000)[SITE]
    assert (found.truncated, found.lengths.tolist()) == (1, [64])


@pytest.mark.parametrize("text", ["", "   "])
def test_a_text_without_a_token_is_refused_by_name(text: str, model, tmp_path) -> None:
    with pytest.raises(DataError, match="no token of their own"):
        harvest(model, ["a b", text], [SITE], tmp_path)


@pytest.mark.parametrize("text", ["half of a pair: \ud83d", b"bytes", None])
def test_what_is_no_unicode_text_is_refused(text, model, tmp_path) -> None:
    with pytest.raises(DataError, match="no valid Unicode text"):
        harvest(model, ["a b", text], [SITE], tmp_path)


@pytest.mark.parametrize("texts", [[], "one string"])
def test_anything_but_a_list_of_texts_is_refused(texts, model, tmp_path) -> None:
    with pytest.raises(DataError, match="at least one text"):
        harvest(model, texts, [SITE], tmp_path)


def test_a_site_that_the_model_lacks_is_refused_before_anything_is_written(model, texts, tmp_path) -> None:
    with pytest.raises(SiteError, match="3 layers"):
        harvest(model, texts, [SITE, "resid_post.3"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_activations_that_are_not_finite_are_refused_by_the_texts_name(model, tmp_path) -> None:
    broken = load(model.name)
    with torch.no_grad():
        broken.module.embeddings.word_embeddings.weight[broken.tokenizer.convert_tokens_to_ids("z")] = torch.nan
    with pytest.raises(NonFiniteError, match="'a z b'"):
        harvest(broken, ["a b", "c d e", "a z b", "f g"], [SITE], tmp_path)


def test_activations_too_large_for_float16_are_refused_and_not_stored_as_infinite(model, tmp_path) -> None:
    large = load(model.name)
    with torch.no_grad():
        large.module.encoder.layer[1].output.LayerNorm.weight.fill_(1e6)
    with pytest.raises(NonFiniteError, match="Store them as float32"):
        harvest(large, ["a b c"], [SITE], tmp_path, dtype="float16")


@pytest.mark.parametrize("setting", ["dtype", "compute_dtype"])
def test_a_dtype_that_activations_are_not_kept_in_is_refused(setting: str, model, texts, tmp_path) -> None:
    with pytest.raises(StudyError, match=f"{setting} 'float8' is unknown"):
        harvest(model, texts, [SITE], tmp_path, **{setting: "float8"})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stores_round_and_take_half_the_space(dtype, model, texts, tmp_path) -> None:
    full, half = (harvest(model, texts, [SITE], tmp_path, dtype=which)[SITE] for which in ("float32", dtype))
    rows = np.arange(len(texts))
    expected = full.tokens(rows).values.to(getattr(torch, dtype)).float()
    assert torch.equal(half.tokens(rows).values, expected)
    assert half.shard_bytes < 0.6 * full.shard_bytes


def test_bfloat16_products_are_close_and_stored_as_float32(model, texts, tmp_path) -> None:
    exact, fast = (
        harvest(model, texts, [SITE], tmp_path, compute_dtype=which)[SITE] for which in ("float32", "bfloat16")
    )
    rows = np.arange(len(texts))
    expected, found = exact.tokens(rows).values, fast.tokens(rows).values
    assert 0 < (found - expected).norm() / expected.norm() < 0.03


def test_progress_counts_content_tokens_up_to_all_of_them(model, texts, tmp_path) -> None:
    told: list[tuple[int, int]] = []
    found = harvest(model, texts, [SITE], tmp_path, progress=lambda done, total: told.append((done, total)))[SITE]
    assert told == sorted(told)
    assert told[-1] == (found.token_count, found.token_count)


def test_flops_of_a_site_are_kept_with_its_activations(model, texts, tmp_path) -> None:
    found = harvest(model, texts, [SITE], tmp_path)[SITE]
    # Two layers of four [16, 16] and two [16, 32] products a token, and 4·16 a pair of tokens.
    assert found.flops(10) == 2 * (2 * (4 * 16 * 16 + 2 * 16 * 32) * 10 + 4 * 16 * 10**2)
