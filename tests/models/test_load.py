from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fairfight.errors import DamagedFileError, ModelError, UnsafeFileError
from fairfight.models import load as loading
from fairfight.models.load import DEFAULT, DEFAULT_REVISION, DEFAULT_WEIGHTS_SHA256, Model, load

SOME_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path, tiny) -> Path:
    """A tiny GPT-2 as `save_pretrained` writes it."""
    tiny("gpt2").module.save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "fair": 1, "fight": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", model_max_length=30).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def default() -> Model:
    return load()


def test_the_default_is_the_model_whose_checksum_is_published(default: Model) -> None:
    assert default.weights_sha256 == DEFAULT_WEIGHTS_SHA256
    assert default.revision == DEFAULT_REVISION
    assert (default.layers, default.d_model, default.window, default.is_causal) == (6, 384, 512, False)
    assert not default.module.training
    assert {parameter.dtype for parameter in default.module.parameters()} == {torch.float32}


def test_the_default_gives_sentence_embeddings_that_know_a_paraphrase(default: Model) -> None:
    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell sharply."]
    encoded = default.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = default.module(**encoded).last_hidden_state
    weights = encoded["attention_mask"].unsqueeze(-1)
    pooled = torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1))
    assert pooled[0] @ pooled[1] > 0.7 > 0.2 > pooled[0] @ pooled[2]


def test_the_default_needs_neither_the_network_nor_sentence_transformers() -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('the network was asked for')\n"
        "socket.socket.connect = refuse\n"
        "from fairfight.models.load import load\n"
        "load()\n"
        "assert 'sentence_transformers' not in sys.modules\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_changed_weights_are_not_taken_for_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_embedded_folder", lambda: folder)
    with pytest.raises(UnsafeFileError, match="another model's or were changed"):
        load()


def test_a_local_folder_is_read_with_its_window_and_direction(folder: Path) -> None:
    model = load(str(folder))
    assert (model.layers, model.d_model, model.window, model.is_causal, model.revision) == (3, 16, 30, True, None)


def test_the_tokenizers_checksum_changes_with_its_vocabulary(folder: Path) -> None:
    before = load(str(folder))
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace("fight", "flight"))
    after = load(str(folder))
    assert before.tokenizer_sha256 != after.tokenizer_sha256
    assert before.weights_sha256 == after.weights_sha256


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused_unopened(folder: Path, pickle: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / pickle).write_bytes(b"never read")
    with pytest.raises(UnsafeFileError, match=rf"{pickle}.*save_pretrained"):
        load(str(folder))


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        load(str(folder))


def test_weights_that_leave_a_layer_to_chance_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    left_out = next(name for name in weights if name.endswith("h.1.mlp.c_fc.weight"))
    save_file({name: value for name, value in weights.items() if name != left_out}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="random numbers"):
        load(str(folder))


def test_weights_that_break_off_are_refused_as_damaged(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DamagedFileError, match="no whole safetensors"):
        load(str(folder))


def test_a_models_own_code_is_not_run_unless_asked_for(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own_kind", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Own"}}
    (folder / "config.json").write_text(json.dumps(config | own))
    (folder / "code.py").write_text("raise AssertionError('the code was run')")
    with pytest.raises(ModelError, match="allow_remote_code"):
        load(str(folder))


def test_a_hugging_face_id_without_revision_is_refused() -> None:
    with pytest.raises(ModelError, match="names no revision"):
        load("some/model")


def test_offline_a_model_that_is_not_cached_is_refused_without_asking_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        load(f"some/model-that-is-not-here@{SOME_COMMIT}")


def test_a_random_model_has_each_tensors_mean_and_deviation_and_nothing_of_its_values(default: Model) -> None:
    drawn = load(f"random:{DEFAULT}")
    for (name, own), parameter in zip(default.module.named_parameters(), drawn.module.parameters(), strict=True):
        if own.numel() < 10_000:
            continue
        (deviation, mean), (own_deviation, own_mean) = torch.std_mean(parameter), torch.std_mean(own)
        # Of n draws the mean lies within five standard errors, and the deviation within five of its own.
        bound = 5 * own_deviation / own.numel() ** 0.5
        assert abs(mean - own_mean) < bound, name
        assert abs(deviation - own_deviation) < bound, name
        alike = torch.corrcoef(torch.stack([parameter.flatten(), own.flatten()]))[0, 1]
        assert abs(alike) < 5 / own.numel() ** 0.5, name


def test_a_random_model_is_drawn_alike_every_time_and_goes_by_a_checksum_of_its_own(folder: Path) -> None:
    own, first, second = (load(prefix + str(folder)) for prefix in ("", "random:", "random:"))
    pairs = zip(first.module.parameters(), second.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert first.weights_sha256 == second.weights_sha256 != own.weights_sha256
    assert first.tokenizer_sha256 == own.tokenizer_sha256
    assert first.name == f"random:{folder}"
