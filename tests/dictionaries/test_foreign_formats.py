"""Other libraries' dictionaries, as the libraries wrote them, give the codes that the libraries compute; wrong ones are refused.

The files under `fixtures/` were written by the libraries themselves, with tokens, codes and reconstructions beside them
(`fixtures/write_*.py`); Gemma Scope and OpenAI by hand, from their published layout.
"""

import json
import pickle
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fairfight import registry
from fairfight.dictionaries.formats import Given, _files, from_object, load, load_any, save
from fairfight.dictionaries.formats._normalised import NormalisedSae
from fairfight.errors import DamagedFileError, InputError, NonFiniteError, UnsafeFileError, WidthMismatchError

FIXTURES = Path(__file__).parent / "fixtures"
GEMMA = FIXTURES / "gemma_scope/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_4"
OPENAI_TOPK = FIXTURES / "openai/gpt2-small/resid_post_mlp_v5_32k/autoencoders/8.pt"
OPENAI_RELU = FIXTURES / "openai/gpt2-small/resid_delta_mlp_v4/autoencoders/3.pt"
SIZE = {"d_in": 8, "d_sae": 16}

SAELENS = {
    "standard": "relu",
    "standard_uncentred": "relu",
    "standard_layer_norm": "relu",
    "standard_constant_norm": "relu",
    "standard_heads": "relu",
    "topk": "topk",
    "topk_rescaled": "topk",
    "topk_uncentred_rescaled": "topk",
    "topk_layer_norm": "topk",
    "topk_trained_inference": "topk",
    "topk_trained_training": "topk",
    "batchtopk_inference": "batch_topk",
    "batchtopk_training": "batch_topk",
    "batchtopk_unscaled_inference": "batch_topk",
    "batchtopk_unscaled_training": "batch_topk",
    "matryoshka_inference": "matryoshka",
    "matryoshka_training": "matryoshka",
    "jumprelu": "jumprelu",
    "jumprelu_uncentred": "jumprelu",
    "gated": "gated",
    "gated_uncentred": "gated",
    "checkpoint_scaled": "relu",
    "checkpoint_scaled_topk": "topk",
    "checkpoint_scaled_batchtopk": "batch_topk",
    "checkpoint_whitened": "relu",
    "checkpoint_whitened_topk": "topk",
    "old_relu": "relu",
    "old_topk": "topk",
    "old_jumprelu": "jumprelu",
    "old_gated": "gated",
}
DICTIONARY_LEARNING = {
    "standard": "relu",
    "new": "relu",
    "topk": "topk",
    "batch_topk": "batch_topk",
    "matryoshka": "matryoshka",
    "jumprelu": "jumprelu",
    "jumprelu_wide": "jumprelu",
    "gated": "gated",
}
SPARSIFY = ("run/layers.4", "run/layers.5.mlp", "run/layers.6/seed1")


def agree(foreign, file, atol=2e-5):
    """Codes and reconstructions are the library's, and the same latents speak."""
    expected = load_file(file)
    codes = foreign.dictionary.encode(expected["x"])
    assert torch.equal(codes != 0, expected["codes"] != 0)
    torch.testing.assert_close(codes, expected["codes"], atol=atol, rtol=1e-5)
    torch.testing.assert_close(
        foreign.dictionary.rebuild(expected["x"], codes), expected["x_hat"], atol=atol, rtol=1e-5
    )


@pytest.fixture
def copied(tmp_path):
    """Copy a fixture's folder to where it may be spoilt."""

    def copy(name):
        return Path(shutil.copytree(FIXTURES / name, tmp_path / Path(name).name))

    return copy


def edited(folder, name="cfg.json", /, inside=None, **changes):
    """Change entries of a configuration; None takes an entry out."""
    content = json.loads((folder / name).read_text())
    entries = content[inside] if inside else content
    for key, value in changes.items():
        entries.pop(key, None)
        if value is not None:
            entries[key] = value
    (folder / name).write_text(json.dumps(content))
    return folder


def with_tensors(folder, change, name="sae_weights.safetensors"):
    """Change the tensors of a safetensors file."""
    tensors = load_file(folder / name)
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
    return folder


# SAELens.


@pytest.mark.parametrize(("name", "kind"), SAELENS.items())
def test_saelens_is_read_as_saelens_computes(name, kind):
    foreign = load_any(FIXTURES / "saelens" / name)
    inner = foreign.dictionary.inner if isinstance(foreign.dictionary, NormalisedSae) else foreign.dictionary
    assert inner.kind == kind
    assert isinstance(foreign.dictionary, NormalisedSae) == name.endswith("_norm")
    agree(foreign, FIXTURES / "saelens" / name / "expected.safetensors")


def test_saelens_says_where_a_dictionary_comes_from():
    origin = load_any(FIXTURES / "saelens/standard").origin
    assert origin[:5] == ("SAELens", "standard", "gpt2", "blocks.4.hook_resid_pre", "resid_pre.4")
    assert origin.is_bos_excluded is False
    assert origin.published.l0 == pytest.approx(
        4.0
    )  # sparsity.safetensors: 16 latents, each on a quarter of the tokens
    heads = load_any(FIXTURES / "saelens/standard_heads")
    assert heads.origin.site is None
    assert heads.origin.hook_name == "blocks.4.attn.hook_z"


def test_weights_of_another_type_are_computed_in_float32():
    foreign = load_any(FIXTURES / "saelens/standard_bfloat16")
    assert "computed in float32, though cfg.json says bfloat16" in foreign.notes
    expected = load_file(FIXTURES / "saelens/standard_bfloat16/expected.safetensors")
    torch.testing.assert_close(foreign.dictionary.encode(expected["x"]), expected["codes"], atol=0.05, rtol=0.02)


def test_a_model_whose_writing_weights_were_centred_has_each_tokens_mean_taken_off_and_put_back():
    """SAELens sees tokens of mean zero there; ours are the same tokens with any mean."""
    folder = FIXTURES / "saelens/standard_centred_model"
    dictionary, expected = load_any(folder).dictionary, load_file(folder / "expected.safetensors")
    means = torch.linspace(-3, 3, len(expected["x"]))[:, None]
    assert expected["x"].mean(dim=1).abs().max() < 1e-6
    codes = dictionary.encode(expected["x"] + means)
    torch.testing.assert_close(codes, expected["codes"], atol=1e-5, rtol=1e-5)
    x_hat = dictionary.rebuild(expected["x"] + means, codes)
    torch.testing.assert_close(x_hat, expected["x_hat"] + means, atol=1e-5, rtol=1e-5)


def test_what_is_undone_after_decoding_needs_the_token():
    dictionary = load_any(FIXTURES / "saelens/standard_layer_norm").dictionary
    with pytest.raises(InputError, match=r"needs the token's own mean and size.*rebuild"):
        dictionary.decode(torch.zeros(1, 16))
    assert dictionary.encode(torch.zeros(2, 8)).isfinite().all()
    constant = load_any(FIXTURES / "saelens/standard_constant_norm").dictionary
    assert constant.encode(torch.zeros(2, 8)).isfinite().all()


def test_a_scale_that_stands_in_no_file_is_asked_for(copied):
    folder = copied("saelens/checkpoint_scaled")
    (folder / "activation_scaler.json").unlink()
    with pytest.raises(InputError, match=r"a factor that it does not hold.*input_scale"):
        load_any(folder)
    agree(load_any(folder, given=Given(input_scale=0.37)), folder / "expected.safetensors")
    with pytest.raises(InputError, match="its input takes no scale"):
        load_any(FIXTURES / "saelens/standard", given=Given(input_scale=0.37))
    with pytest.raises(InputError, match=r"says 0\.37, and 0\.5 was given"):
        load_any(FIXTURES / "saelens/checkpoint_scaled", given=Given(input_scale=0.5))


def test_whitening_without_its_matrices_is_refused(copied):
    folder = copied("saelens/checkpoint_whitened")
    (folder / "activation_whitening.safetensors").unlink()
    with pytest.raises(InputError, match="the matrices are not beside it"):
        load_any(folder)


def test_an_old_configuration_says_what_was_read_between_its_lines():
    folder = FIXTURES / "saelens/old_hook_point"
    with pytest.raises(InputError, match="whether TransformerLens centred"):
        load_any(folder)
    foreign = load_any(folder, given=Given(is_centred=False))
    agree(foreign, folder / "expected.safetensors")
    assert foreign.origin[2:5] == ("gpt2-small", "blocks.4.hook_resid_pre", "resid_pre.4")
    assert any("no apply_b_dec_to_input" in note for note in foreign.notes)
    assert isinstance(load_any(folder, given=Given(is_centred=True)).dictionary, NormalisedSae)


def test_an_old_configuration_without_an_activation_is_refused():
    """TopK dictionaries read as ReLU went unnoticed in SAELens twice (#308, #553)."""
    folder = FIXTURES / "saelens/old_says_nothing"
    with pytest.raises(InputError, match="silently wrong"):
        load_any(folder, given=Given(is_centred=False))
    agree(load_any(folder, given=Given(is_centred=False, architecture="relu")), folder / "expected.safetensors")


def test_old_entries_that_change_the_maths_are_refused(copied):
    folder = edited(copied("saelens/old_relu"), activation_fn_str="tanh-relu")
    with pytest.raises(InputError, match="tanh-relu"):
        load_any(folder)
    edited(folder, activation_fn_str="topk", activation_fn_kwargs={"k": 3, "signed": True})
    with pytest.raises(InputError, match="'signed'"):
        load_any(folder)


def test_a_mean_norm_scaling_of_old_is_not_forgotten(copied):
    """`normalize_activations: true` was expected_average_only_in before it had a name."""
    with pytest.raises(InputError, match="expected_average_only_in"):
        load_any(edited(copied("saelens/old_relu"), normalize_activations=True))


def test_a_finetuned_scale_is_folded_into_the_decoder(copied):
    """x_hat = (codes * scaling_factor) W_dec + b_dec, as SAELens computed it before version 6."""
    folder = edited(copied("saelens/old_relu"), finetuning_scaling_factor=True)
    factors = torch.linspace(0.5, 2, 16)
    with_tensors(folder, lambda tensors: tensors.update(scaling_factor=factors))
    foreign = load_any(folder)
    expected, weights = load_file(folder / "expected.safetensors"), load_file(folder / "sae_weights.safetensors")
    x_hat = (expected["codes"] * factors) @ weights["W_dec"] + weights["b_dec"]
    torch.testing.assert_close(foreign.dictionary.decode(expected["codes"]), x_hat, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="not one"):
        load_any(edited(folder, finetuning_scaling_factor=False))


def test_log_thresholds_are_thresholds(copied):
    folder = with_tensors(
        copied("saelens/jumprelu"), lambda tensors: tensors.update(log_threshold=tensors.pop("threshold").log())
    )
    agree(load_any(folder), folder / "expected.safetensors")


@pytest.mark.parametrize("architecture", ["abstopk", "temporal", "matching_pursuit", "transcoder", "skip_transcoder"])
def test_architectures_that_no_kind_computes_are_refused_by_name(copied, architecture):
    with pytest.raises(InputError, match=f"'{architecture}', which"):
        load_any(edited(copied("saelens/standard"), architecture=architecture))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("standard", {"architecture": "gated"}, "as standard or topk does"),
        ("jumprelu", {"architecture": "standard"}, "as jumprelu does"),
        ("gated", {"architecture": "topk", "k": 3}, "as gated does"),
        (
            "batchtopk_training",
            {"architecture": "jumprelu", "k": None, "rescale_acts_by_decoder_norm": None},
            "as batchtopk does",
        ),
    ],
)
def test_names_of_tensors_decide_against_the_entry(copied, name, changes, message):
    with pytest.raises(DamagedFileError, match=message):
        load_any(edited(copied(f"saelens/{name}"), **changes))


def test_unknown_entries_are_refused_with_the_nearest(copied):
    with pytest.raises(InputError, match=r"'normalise_activations'.*Did you mean 'normalize_activations'"):
        load_any(edited(copied("saelens/standard"), normalise_activations="layer_norm"))
    with pytest.raises(InputError, match="unknown normalize_activations 'l2'"):
        load_any(edited(copied("saelens/topk"), normalize_activations="l2"))
    folder = edited(copied("saelens/gated"), inside="metadata", model_from_pretrained_kwargs={"checkpoint_index": 3})
    with pytest.raises(InputError, match="checkpoint_index"):
        load_any(folder)


@pytest.mark.parametrize(
    "missing",
    [
        "architecture",
        "d_in",
        "d_sae",
        "metadata",
        "apply_b_dec_to_input",
        "normalize_activations",
        "reshape_activations",
    ],
)
def test_a_missing_entry_is_not_defaulted(copied, missing):
    folder = edited(copied("saelens/standard"), sae_lens_version="6.54.12", **{missing: None})
    with pytest.raises(InputError, match=f"no entry '{missing}'"):
        load_any(folder)


@pytest.mark.parametrize(("missing", "name"), [("model_name", "model"), ("hook_name", "site")])
def test_missing_metadata_is_asked_for(copied, missing, name):
    folder = edited(copied("saelens/standard"), inside="metadata", **{missing: None})
    with pytest.raises(InputError, match=f"does not say which {name}"):
        load_any(folder)
    origin = load_any(folder, given=Given(**{name: {"model": "gpt2", "site": "resid_pre.4"}[name]})).origin
    assert (origin.model, origin.site) == ("gpt2", "resid_pre.4")


def test_what_is_given_may_not_contradict_the_files():
    with pytest.raises(InputError, match="'gpt2-xl' was given"):
        load_any(FIXTURES / "saelens/standard", given=Given(model="gpt2-xl"))
    with pytest.raises(InputError, match=r"site 'resid_post.3' was given"):
        load_any(FIXTURES / "saelens/standard", given=Given(site="resid_post.3"))


def test_a_batch_topk_that_no_step_has_trained_is_refused(copied):
    folder = with_tensors(copied("saelens/batchtopk_inference"), lambda tensors: tensors["threshold"].zero_())
    with pytest.raises(InputError, match="threshold 0"):
        load_any(folder)


def test_an_atom_of_norm_zero_cannot_be_rescaled(copied):
    folder = with_tensors(copied("saelens/topk_rescaled"), lambda tensors: tensors["W_dec"][5].zero_())
    with pytest.raises(InputError, match="Atom 5 is zero"):
        load_any(folder)


def test_a_k_beyond_the_latents_is_refused(copied):
    with pytest.raises(InputError, match="17 largest of 16"):
        load_any(edited(copied("saelens/topk"), k=17))
    with pytest.raises(InputError, match="whole number"):
        load_any(edited(copied("saelens/topk_rescaled"), k=2.5))


# Damage, of any format.


def test_a_renamed_tensor_is_named(copied):
    folder = with_tensors(copied("saelens/standard"), lambda tensors: tensors.update(W_encoder=tensors.pop("W_enc")))
    with pytest.raises(DamagedFileError, match=r"lacks W_enc and also holds W_encoder"):
        load_any(folder)


def test_a_transposed_tensor_is_recognised(copied):
    folder = with_tensors(copied("saelens/standard"), lambda tensors: tensors.update(W_enc=tensors["W_enc"].T))
    with pytest.raises(DamagedFileError, match="its transpose"):
        load_any(folder)


def test_nan_in_the_weights_is_refused_with_the_tensors_name(copied):
    folder = with_tensors(copied("saelens/standard"), lambda tensors: tensors["b_dec"].fill_(torch.nan))
    with pytest.raises(NonFiniteError, match=r"8 of the 8 numbers of 'b_dec'"):
        load_any(folder)


def test_a_dictionary_too_large_for_the_machine_is_refused_before_anything_is_allocated(copied, monkeypatch):
    """10^9 latents of width 8: encoder and decoder are 2 x 8 x 10^9 float32, 64 * 10^9 bytes, 59.6 GiB."""
    monkeypatch.setattr(_files, "memory_bytes", lambda: 24 * 2**30)
    with pytest.raises(InputError, match=r"1000000000 latents of width 8.*59\.6 GiB.*24\.0 GiB"):
        load_any(edited(copied("saelens/standard"), d_sae=10**9))
    with pytest.raises(InputError, match=r"59\.6 GiB"):
        load_any(edited(copied("sparsify/run/layers.4"), num_latents=10**9), given=Given(model="a"))
    with pytest.raises(InputError, match=r"59\.6 GiB"):
        load_any(edited(copied("dictionary_learning/topk"), "config.json", inside="trainer", dict_size=10**9))


def test_a_configuration_that_fits_but_lies_is_refused(copied, monkeypatch):
    monkeypatch.setattr(_files, "memory_bytes", lambda: 10**12)
    with pytest.raises(DamagedFileError, match=r"shape \(8, 16\), but its configuration asks for \(8, 1000000000\)"):
        load_any(edited(copied("saelens/standard"), d_sae=10**9))


def test_an_empty_folder_says_so_and_what_is_known(tmp_path):
    with pytest.raises(InputError, match=r"empty folder.*saelens \(cfg.json, sae_weights.safetensors"):
        load_any(tmp_path)


def test_a_folder_of_something_else_says_what_was_tried(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds model.safetensors.*Tried: own .*dictionary_learning .*sparsify"):
        load_any(tmp_path)


def test_a_missing_or_broken_configuration_is_named(copied):
    folder = copied("saelens/standard")
    (folder / "cfg.json").write_text("[1]")
    with pytest.raises(DamagedFileError, match="holds list"):
        load_any(folder)
    (folder / "cfg.json").write_text("{")
    with pytest.raises(DamagedFileError, match="not JSON"):
        load_any(folder)
    (folder / "cfg.json").unlink()
    with pytest.raises(InputError, match="is missing"):
        load_any(folder)


def test_an_entry_of_the_wrong_type_is_named(copied):
    with pytest.raises(InputError, match=r"'metadata' = \[1\]; an object was expected"):
        load_any(edited(copied("saelens/standard"), metadata=[1]))
    with pytest.raises(InputError, match="'trainer' = 3"):
        load_any(edited(copied("dictionary_learning/topk"), "config.json", trainer=3))
    with pytest.raises(InputError, match="'apply_b_dec_to_input' = 'yes'; true or false"):
        load_any(edited(copied("saelens/gated"), apply_b_dec_to_input="yes"))


def test_an_archive_that_unpacks_to_more_than_the_machine_holds_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "params.npz", W_enc=np.zeros((1000, 1000)))
    assert (tmp_path / "params.npz").stat().st_size < 10**5
    monkeypatch.setattr(_files, "memory_bytes", lambda: 10**6)
    with pytest.raises(InputError, match=r"params\.npz take"):
        load_any(tmp_path, given=Given(model="m", site="resid_post.1"))


# Pickles.


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was opened",))


def test_a_pickle_that_no_library_writes_is_refused_unopened(tmp_path):
    (tmp_path / "sae_weights.pt").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(UnsafeFileError, match=r"sae_weights.pt is a pickle that no known library"):
        load_any(tmp_path)


def test_objects_in_an_npz_are_refused(tmp_path):
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    np.savez(tmp_path / "params.npz", **{name: np.array([_Bomb], dtype=object) for name in names})
    with pytest.raises(UnsafeFileError, match="Python objects"):
        load_any(tmp_path, given=Given(model="m", site="resid_post.1"))


# dictionary_learning.


@pytest.mark.parametrize(("name", "kind"), DICTIONARY_LEARNING.items())
def test_dictionary_learning_is_read_as_it_computes(name, kind):
    foreign = load_any(FIXTURES / "dictionary_learning" / name)
    assert foreign.dictionary.kind == kind
    assert foreign.origin[2:5] == ("EleutherAI/pythia-70m", "resid_post.4", "resid_post.4")
    agree(foreign, FIXTURES / "dictionary_learning" / name / "expected.safetensors")


def test_a_threshold_that_was_never_set_falls_back_to_k():
    """As the file stands the library's codes are a plain ReLU's; the k largest of each token are a subset of them."""
    folder = FIXTURES / "dictionary_learning/batch_topk_unset"
    foreign, expected = load_any(folder), load_file(folder / "expected.safetensors")
    codes = foreign.dictionary.encode(expected["x"])
    assert ((expected["codes"] != 0).sum(dim=1) > 3).any()
    assert (codes != 0).sum(dim=1).max() == 3
    torch.testing.assert_close(codes, expected["codes"] * (codes != 0), atol=1e-5, rtol=1e-5)
    assert "no training step has set" in foreign.notes[0]


def test_a_checkpoint_is_read_with_its_trainers_configuration():
    folder = FIXTURES / "dictionary_learning/topk"
    early, late = load_any(folder / "checkpoints/ae_30.pt"), load_any(folder / "ae.pt")
    assert early.origin == late.origin
    assert not torch.equal(early.dictionary.atoms, late.dictionary.atoms)


def test_a_layer_alone_is_no_place(copied):
    folder = edited(copied("dictionary_learning/topk"), "config.json", inside="trainer", submodule_name=None)
    with pytest.raises(InputError, match="does not say which site"):
        load_any(folder)
    assert load_any(folder, given=Given(site="mlp_out.4")).origin.site == "mlp_out.4"
    edited(folder, "config.json", inside="trainer", submodule_name="resid_post_layer_3")
    with pytest.raises(InputError, match="layer 4 and submodule_name 'resid_post_layer_3'"):
        load_any(folder)


def test_published_results_come_along(copied):
    folder = copied("dictionary_learning/topk")
    (folder / "eval_results.json").write_text('{"l0": 3.0, "frac_variance_explained": 0.75}')
    assert load_any(folder).origin.published == (3.0, 0.25)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 4}, "k = 4, but the weights say 3"),
        ({"dict_class": "IdentityDict"}, "'IdentityDict'; read are"),
        ({"rescale": True}, "'rescale'"),
        ({"dict_class": "GatedAutoEncoder"}, "lacks decoder_bias"),
        ({"activation_dim": 9}, "asks for"),
    ],
)
def test_a_configuration_of_other_weights_is_refused(copied, changes, message):
    folder = edited(copied("dictionary_learning/topk"), "config.json", inside="trainer", **changes)
    with pytest.raises((InputError, DamagedFileError), match=message):
        load_any(folder)


def test_a_transcoder_of_dictionary_learning_is_refused(copied):
    folder = edited(copied("dictionary_learning/topk"), "config.json", buffer={"io": "in_and_out"})
    with pytest.raises(InputError, match="a transcoder"):
        load_any(folder)


# sparsify.


@pytest.mark.parametrize("name", SPARSIFY)
def test_sparsify_is_read_as_it_computes(name):
    foreign = load_any(FIXTURES / "sparsify" / name)
    assert foreign.dictionary.kind == "topk"
    agree(foreign, FIXTURES / "sparsify" / name / "expected.safetensors")


def test_the_folder_says_the_place_and_the_runs_file_the_model():
    assert [load_any(FIXTURES / "sparsify" / name).origin.site for name in SPARSIFY] == [
        "resid_post.4",
        "mlp_out.5",
        "resid_post.6",
    ]
    origin = load_any(FIXTURES / "sparsify/run/layers.4").origin
    assert (origin.model, origin.is_bos_excluded) == ("EleutherAI/pythia-70m", False)


def test_sparsify_without_the_runs_file_asks_for_the_model(copied):
    folder = copied("sparsify/run/layers.4")
    with pytest.raises(InputError, match="does not say which model"):
        load_any(folder)
    agree(load_any(folder, given=Given(model="m")), folder / "expected.safetensors")


@pytest.mark.parametrize(
    ("name", "message"), [("skip/layers.4.mlp", "transcode: a transcoder"), ("groups/layers.4", "groupmax")]
)
def test_what_sparsify_does_beyond_topk_is_refused_by_name(name, message):
    with pytest.raises(InputError, match=message):
        load_any(FIXTURES / "sparsify" / name)


def test_a_skip_connection_without_transcoding_is_refused_too(copied):
    folder = edited(copied("sparsify/skip/layers.4.mlp"), transcode=False)
    with pytest.raises(InputError, match="skip_connection: adds a linear map"):
        load_any(folder, given=Given(model="m"))
    with pytest.raises(DamagedFileError, match="also holds W_skip"):
        load_any(edited(folder, skip_connection=False), given=Given(model="m"))


def test_signed_codes_of_old_are_refused(copied):
    with pytest.raises(InputError, match="both signs"):
        load_any(edited(copied("sparsify/run/layers.4"), signed=True), given=Given(model="m"))
    older = edited(
        copied("sparsify/run/layers.5.mlp"), signed=False, activation=None, transcode=None, skip_connection=None
    )
    foreign = load_any(older, given=Given(model="m"))
    agree(foreign, older / "expected.safetensors")
    assert "no activation, transcode, skip_connection" in foreign.notes[0]


# Gemma Scope and OpenAI.


def test_gemma_scope_is_read_by_its_formula_and_the_names_of_its_folders():
    foreign = load_any(GEMMA)
    agree(foreign, GEMMA / "expected.safetensors")
    assert foreign.origin[1:5] == ("jumprelu", "google/gemma-2-2b", "resid_post.12", "resid_post.12")
    assert foreign.origin.published.l0 == 4.0
    assert foreign.origin.is_bos_excluded is True


def test_gemma_scope_outside_its_folders_asks_where_it_belongs(tmp_path):
    shutil.copy(GEMMA / "params.npz", tmp_path)
    with pytest.raises(InputError, match="does not say which model"):
        load_any(tmp_path)
    given = Given(model="google/gemma-2-2b", site="resid_post.12")
    agree(load_any(tmp_path / "params.npz", given=given), GEMMA / "expected.safetensors")


def test_gemma_scopes_transcoders_are_refused(tmp_path):
    folder = tmp_path / "gemma-scope-2b-pt-transcoders/layer_1"
    shutil.copytree(GEMMA, folder)
    with pytest.raises(InputError, match="no site that is read here"):
        load_any(folder)


def test_openais_topk_normalises_each_token_and_its_relu_does_not():
    topk, relu = load_any(OPENAI_TOPK), load_any(OPENAI_RELU)
    assert topk.dictionary.steps == ("layer_norm",)
    assert relu.dictionary.kind == "relu"
    for foreign, file in ((topk, OPENAI_TOPK), (relu, OPENAI_RELU)):
        agree(foreign, file.with_suffix(".expected.safetensors"))
    assert (topk.origin.model, topk.origin.site, relu.origin.site) == ("gpt2-small", "resid_post.8", "mlp_out.3")


def test_an_openai_file_that_does_not_name_its_activation_is_refused(tmp_path):
    state = torch.load(OPENAI_RELU, weights_only=True)
    del state["activation"]
    torch.save(state, tmp_path / "3.pt")
    known = Given(model="gpt2", site="mlp_out.3")
    with pytest.raises(InputError, match="does not name its activation"):
        load_any(tmp_path / "3.pt", given=known)
    foreign = load_any(tmp_path / "3.pt", given=known._replace(architecture="relu"))
    agree(foreign, OPENAI_RELU.with_suffix(".expected.safetensors"))


def test_openais_other_activations_are_refused(tmp_path):
    state = torch.load(OPENAI_TOPK, weights_only=True)
    state["activation_state_dict"]["postact_fn"] = "Identity"
    torch.save(state, tmp_path / "8.pt")
    with pytest.raises(InputError, match="'Identity' behind TopK"):
        load_any(tmp_path / "8.pt", given=Given(model="gpt2", site="resid_post.8"))


# Ours, the hub, and formats of others.


def test_our_own_folder_is_recognised_before_saelens(made, source, tmp_path):
    save(*made["topk"], tmp_path / "saved")
    foreign = load_any(tmp_path / "saved")
    assert foreign.origin[:3] == ("fairfight", "topk", "a-model")
    assert foreign.origin.published == (made["topk"].card.l0, made["topk"].card.fvu)
    codes = made["topk"].dictionary.encode(source.values)
    assert torch.equal(foreign.dictionary.encode(source.values), codes)


def test_a_foreign_dictionary_can_be_kept_as_ours(made, tmp_path):
    foreign = load_any(FIXTURES / "saelens/gated_uncentred")
    save(
        foreign.dictionary,
        made["topk"].card.__class__(**{**vars(made["topk"].card), "kind": "gated"}),
        tmp_path / "kept",
    )
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load(tmp_path / "kept").dictionary.encode(x), foreign.dictionary.encode(x))


def test_what_a_pickle_asks_for_is_named_without_torchs_advice_to_open_it(copied):
    file = copied("dictionary_learning/topk") / "ae.pt"
    torch.save({"bomb": _Bomb()}, file)
    with pytest.raises(UnsafeFileError) as caught:
        load_any(file)
    assert re.search(r"more than tensors and plain values \(for \S+\), so it could run code", str(caught.value))
    assert "weights_only" not in str(caught.value)


def test_the_width_is_checked_as_for_every_dictionary():
    with pytest.raises(WidthMismatchError, match="width 9"):
        load_any(FIXTURES / "saelens/topk").dictionary.encode(torch.zeros(2, 9))


def test_a_path_that_is_nothing_says_so():
    with pytest.raises(InputError, match="no folder or file here and no Hugging Face id"):
        load_any("/nowhere/at/all")
    with pytest.raises(InputError, match="names no revision"):
        load_any("owner/name/sub")


def test_offline_the_hub_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set.*fetch the folder elsewhere"):
        load_any("nobody-at-all/nothing-of-this-name/layer_1@0123456")


def _hub(monkeypatch, root, snapshot):
    """Put a folder in the place of the hub; what is asked for is matched as the hub's client matches it,
    and files are links, as in its cache.
    """
    asked = {}

    def snapshot_download(repository, *, revision, allow_patterns, local_files_only):
        asked.update(repository=repository, revision=revision, patterns=allow_patterns)
        for file in root.rglob("*"):
            name = file.relative_to(root).as_posix()
            if (
                file.is_file()
                and not (snapshot / name).exists()
                and any(fnmatch(name, pattern) for pattern in allow_patterns)
            ):
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                (snapshot / name).symlink_to(file)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_from_the_hub_one_folder_is_fetched_and_no_other(monkeypatch, tmp_path):
    asked = _hub(monkeypatch, FIXTURES / "sparsify/run", tmp_path)
    foreign = load_any("owner/name/layers.4@abc")
    agree(foreign, FIXTURES / "sparsify/run/layers.4/expected.safetensors")
    assert (asked["repository"], asked["revision"]) == ("owner/name", "abc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "layers.4"]
    assert load_any("owner/name", "abc", "layers.6/seed1").origin.site == "resid_post.6"
    with pytest.raises(InputError, match=r"no dictionary in 'layers.99'"):
        load_any("owner/name", "abc", "layers.99")


def test_names_of_folders_are_read_though_files_are_links(monkeypatch, tmp_path):
    _hub(
        monkeypatch,
        FIXTURES / "gemma_scope/gemma-scope-2b-pt-res",
        tmp_path / "models--google--gemma-scope-2b-pt-res/snap",
    )
    origin = load_any("google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_4@abc").origin
    assert (origin.model, origin.site, origin.published.l0) == ("google/gemma-2-2b", "resid_post.12", 4.0)


def test_a_single_file_comes_from_the_hub_too(monkeypatch, tmp_path):
    _hub(monkeypatch, FIXTURES / "openai", tmp_path)
    foreign = load_any("owner/name/gpt2-small/resid_post_mlp_v5_32k/autoencoders/8.pt@abc")
    assert foreign.origin.site == "resid_post.8"


def test_reading_formats_does_not_import_the_hubs_client():
    code = "import sys, fairfight.dictionaries.formats; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_new_format_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "plain.py").write_text(
        "from fairfight.dictionaries.formats import Foreign, Origin\n"
        "from fairfight.dictionaries.kinds.neurons import NeuronsDictionary\n"
        "class Plain:\n"
        "    files = ('width.txt',)\n"
        "    @staticmethod\n"
        "    def recognises(path): return (path / 'width.txt').is_file()\n"
        "    @staticmethod\n"
        "    def read(path, given):\n"
        "        width = int((path / 'width.txt').read_text())\n"
        "        return Foreign(NeuronsDictionary(width), Origin('plain', 'none', 'm', 'resid_post.1', 'resid_post.1'))\n"
    )
    monkeypatch.setenv(registry.FOLDERS_VARIABLE, str(tmp_path))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "width.txt").write_text("5")
    assert load_any(tmp_path / "one").origin.library == "plain"


# Objects.


class Toy(torch.nn.Module):
    """A stranger's autoencoder."""

    def __init__(self, latents=16, width=8):
        super().__init__()
        chance = torch.Generator().manual_seed(0)
        self.d_in = width
        self.weight = torch.nn.Parameter(torch.randn(latents, width, generator=chance))
        self.bias = torch.nn.Parameter(torch.randn(width, generator=chance))

    def encode(self, x):
        return ((x - self.bias) @ self.weight.T).relu()

    def decode(self, codes):
        return codes @ self.weight + self.bias


def test_an_object_with_encode_and_decode_is_a_dictionary():
    toy, x = Toy(), torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    dictionary = from_object(toy)
    assert (dictionary.d_model, dictionary.latents) == (8, 16)
    torch.testing.assert_close(dictionary.atoms, toy.weight.detach(), atol=1e-6, rtol=1e-5)
    assert torch.equal(dictionary.encode(x), toy.encode(x))
    assert torch.equal(dictionary.decode(dictionary.encode(x)), toy.decode(toy.encode(x)))
    assert not dictionary.encode(x).requires_grad
    with pytest.raises(WidthMismatchError):
        dictionary.encode(torch.zeros(1, 9))


def test_a_saelens_like_object_says_its_width_in_its_cfg():
    toy = Toy()
    del toy.d_in
    with pytest.raises(InputError, match="does not say how wide"):
        from_object(toy)
    assert from_object(toy, d_model=8).latents == 16
    toy.cfg = {"d_in": 8}
    assert from_object(toy).d_model == 8


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("encode", lambda x: (x @ torch.ones(8, 16)).flatten(), "shape"),
        ("encode", lambda x: x @ torch.ones(7, 16), "does not take"),
        ("encode", lambda x: (x @ torch.ones(8, 16) - x.mean()).relu(), "other codes alone"),
        ("encode", lambda x: [x], "gives list"),
        ("decode", lambda codes: codes @ torch.ones(16, 9), "transcoder"),
        ("decode", lambda codes: (codes @ torch.ones(16, 8)).square(), "no linear map"),
        ("decode", None, "no method 'decode'"),
    ],
)
def test_objects_that_are_no_dictionary_are_refused(method, change, message):
    toy = Toy()
    setattr(toy, method, change)
    with pytest.raises(InputError, match=message):
        from_object(toy)


def test_an_object_that_gives_nan_is_refused():
    toy = Toy()
    toy.bias.data.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="encode gives NaN"):
        from_object(toy)
