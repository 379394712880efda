import dataclasses
import errno
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fairfight.dictionaries.formats import NormalisedSae, load, load_any, save
from fairfight.errors import DamagedFileError, DiskFullError, InputError, UnsafeFileError


@pytest.fixture
def folder(made, tmp_path):
    """A saved TopK autoencoder."""
    save(*made["topk"], tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_dictionary_comes_back_to_the_bit(kind, made, source, tmp_path):
    save(*made[kind], tmp_path / "saved")
    dictionary, card = load(tmp_path / "saved")
    assert card == made[kind].card
    assert dictionary.cfg() == made[kind].dictionary.cfg()
    codes = made[kind].dictionary.encode(source.values)
    assert torch.equal(dictionary.encode(source.values), codes)
    assert torch.equal(dictionary.decode(codes), made[kind].dictionary.decode(codes))


def test_the_folder_has_the_layout_of_saelens(folder):
    cfg = json.loads((folder / "cfg.json").read_text())
    expected = {
        "architecture": "topk",
        "k": 4,
        "d_in": 24,
        "d_sae": 48,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
    }
    metadata = cfg.pop("metadata")
    assert cfg == expected
    assert (metadata["model_name"], metadata["hook_name"]) == ("a-model", "blocks.4.hook_resid_post")
    assert metadata["sae_lens_version"].startswith("6.")
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(folder / "sae_weights.safetensors").items()}
    assert shapes == {"W_enc": (24, 48), "W_dec": (48, 24), "b_enc": (48,), "b_dec": (24,)}


def test_saelens_formulas_on_the_files_give_our_reconstruction(made, source, tmp_path):
    """As SAELens's standard architecture reads them: relu((x - b_dec) W_enc + b_enc) W_dec + b_dec."""
    save(*made["relu"], tmp_path / "saved")
    assert json.loads((tmp_path / "saved/cfg.json").read_text())["architecture"] == "standard"
    files = load_file(tmp_path / "saved/sae_weights.safetensors")
    codes = ((source.values - files["b_dec"]) @ files["W_enc"] + files["b_enc"]).relu()
    x_hat = codes @ files["W_dec"] + files["b_dec"]
    dictionary = made["relu"].dictionary
    torch.testing.assert_close(dictionary.decode(dictionary.encode(source.values)), x_hat, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("steps", "rescaling", "is_centred"),
    [
        (("layer_norm",), "layer_norm", False),
        (("constant_norm_rescale",), "constant_norm_rescale", False),
        (("centre",), "none", True),
        (("centre", "layer_norm"), "layer_norm", True),
    ],
)
def test_what_is_done_to_a_token_first_stands_in_the_folder_in_saelens_words(
    made, source, tmp_path, steps, rescaling, is_centred
):
    """SAELens opens these folders and gives the same codes: `benchmarks/round_trip_saelens.py`."""
    ours = NormalisedSae(made["topk"].dictionary, steps)
    save(ours, made["topk"].card, tmp_path / "saved")
    again, x = load(tmp_path / "saved").dictionary, source.values[:500]
    codes = ours.encode(x)
    assert torch.equal(again.encode(x), codes)
    assert torch.equal(again.rebuild(x, codes), ours.rebuild(x, codes))
    cfg = json.loads((tmp_path / "saved/cfg.json").read_text())
    assert (cfg["architecture"], cfg["k"], cfg["normalize_activations"]) == ("topk", 4, rescaling)
    arguments = {"center_writing_weights": True} if is_centred else None
    assert cfg["metadata"].get("model_from_pretrained_kwargs") == arguments
    (tmp_path / "saved/card.json").unlink()
    assert torch.equal(load_any(tmp_path / "saved").dictionary.encode(x), codes)


def test_steps_that_no_word_says_are_not_saved(made, tmp_path):
    odd = NormalisedSae(made["topk"].dictionary, ("layer_norm", "centre"))
    with pytest.raises(InputError, match=r"by layer_norm and centre; a folder has words for"):
        save(odd, made["topk"].card, tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_a_cost_that_nobody_says_is_saved_as_unknown(made, tmp_path):
    dictionary, card = made["topk"]
    unknown = dataclasses.replace(card, tokens_seen=None, training_flops=None, harvest_flops=None)
    save(dictionary, unknown, tmp_path / "saved")
    assert load(tmp_path / "saved").card == unknown
    assert unknown.spent_flops is None
    assert card.spent_flops == card.training_flops.dense + card.harvest_flops


@pytest.mark.parametrize(
    "change", [{"sha256": 3}, {"card": "none"}, {"card": {"training_flops": "many"}}, {"card": {"latents": 3}}]
)
def test_a_card_that_says_something_else_is_refused(folder, change):
    kept = json.loads((folder / "card.json").read_text())
    inner = change.get("card")
    changed = {**kept, "card": {**kept["card"], **inner}} if isinstance(inner, dict) else kept | change
    (folder / "card.json").write_text(json.dumps(changed))
    with pytest.raises((InputError, DamagedFileError), match=r"card\.json"):
        load(folder)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_changed_byte_is_refused_with_the_files_name(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedFileError, match=name):
        load(folder)


def test_a_card_that_is_no_json_is_refused(folder):
    (folder / "card.json").write_text('{"card": ')
    with pytest.raises(DamagedFileError, match="not JSON"):
        load(folder)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors", "card.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"holds no {name}"):
        load(folder)


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was opened",))


@pytest.mark.parametrize("name", ["ae.pt", "model.pth", "pytorch_model.bin", "weights.pkl"])
def test_a_pickle_instead_of_safetensors_is_refused_unopened(folder, name):
    (folder / "sae_weights.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(UnsafeFileError, match=name):
        load(folder)
    with pytest.raises(UnsafeFileError, match=name):
        load(folder / name)


def test_a_pickle_under_the_name_of_safetensors_is_refused_unopened(folder):
    (folder / "sae_weights.safetensors").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(UnsafeFileError, match="is a pickle"):
        load(folder)


def test_what_torch_saves_under_the_name_of_safetensors_is_refused(folder):
    torch.save({"W_enc": torch.zeros(2)}, folder / "sae_weights.safetensors")
    with pytest.raises(UnsafeFileError, match="is a pickle"):
        load(folder)


def test_a_second_save_takes_the_place_of_the_first_and_leaves_nothing_else(made, folder):
    save(*made["pca"], folder)
    assert load(folder).card.kind == "pca"
    assert [file.name for file in folder.parent.iterdir()] == ["saved"]


def test_a_folder_of_something_else_is_not_overwritten(made, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is no dictionary folder"):
        save(*made["pca"], tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_old_dictionary_whole(made, folder, monkeypatch):
    def write_bytes(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", write_bytes)
    with pytest.raises(DiskFullError, match="No room"):
        save(*made["pca"], folder)
    monkeypatch.undo()
    assert load(folder).card.kind == "topk"
    assert [file.name for file in folder.parent.iterdir()] == ["saved"]


def test_a_move_that_fails_puts_the_old_dictionary_back(made, folder, monkeypatch):
    rename = Path.rename

    def fails_for_the_new(self, target):
        if self.name == "new":
            raise PermissionError(errno.EACCES, "refused")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new)
    with pytest.raises(PermissionError):
        save(*made["pca"], folder)
    assert load(folder).card.kind == "topk"
