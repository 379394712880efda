"""Recipes that begin with somebody's files: which file, whether it changed, what it may be taken for, what it cost."""

import dataclasses
import json
import shutil

import pytest
import torch

from fairfight import registry
from fairfight.dictionaries.contract import TrainingFlops
from fairfight.dictionaries.formats import CARD, save
from fairfight.dictionaries.from_files import FromFiles
from fairfight.dictionaries.kinds.given import Given
from fairfight.dictionaries.train import train
from fairfight.errors import DictionaryError, InputError, PluginError, StudyError, WidthMismatchError
from fairfight.trials.plugins import made as recipe_made

SITE = "resid_post.4"


@pytest.fixture
def topk(made, tmp_path):
    """A folder of ours in which a cost is known."""
    dictionary, card = made["topk"]
    card = dataclasses.replace(card, training_flops=TrainingFlops(3, 5), harvest_flops=7, tokens_seen=11)
    save(dictionary, card, tmp_path / "topk")
    return tmp_path / "topk"


def test_a_given_dictionary_is_the_one_in_the_files_with_the_cost_on_its_card(topk, made, source):
    found, card = train(Given(path=str(topk)), source, 0, model="a-model")
    assert torch.equal(found.encode(source.values), made["topk"].dictionary.encode(source.values))
    assert (card.kind, card.training_flops, card.harvest_flops, card.tokens_seen) == ("topk", (3, 5), 7, 11)
    assert card.spent_flops == 5 + 7
    assert card.recipe["path"] == str(topk)


def test_a_cost_that_no_card_says_is_unknown(topk, source):
    (topk / CARD).unlink()
    card = train(Given(path=str(topk)), source, 0).card
    assert (card.training_flops, card.harvest_flops, card.tokens_seen, card.spent_flops) == (None, None, None, None)


def test_a_path_has_places_for_seed_site_and_layer(topk, made, source):
    twin = topk.parent / "run-1" / "at-4" / SITE
    save(*made["relu"], twin)
    recipe = FromFiles(path=str(topk.parent / "run-{seed}" / "at-{layer}" / "{site}"))
    assert recipe.is_seeded
    assert recipe.checked(source, 1).dictionary.kind == "relu"
    with pytest.raises(InputError, match=r"run-0/at-4/resid_post\.4' is no folder or file here"):
        recipe.checked(source, 0)
    assert recipe.files_hash(SITE, 0) is None
    assert recipe.files_hash(SITE, 1) is not None
    assert not FromFiles(path=str(topk)).is_seeded


def test_the_hash_moves_with_the_files_that_are_read_and_with_nothing_else(topk, made):
    recipe = FromFiles(path=str(topk))
    first = recipe.files_hash(SITE, 0)
    (topk / "notes.txt").write_text("mine")
    assert recipe.files_hash(SITE, 3) == first
    shutil.copytree(topk, topk.parent / "moved")
    assert FromFiles(path=str(topk.parent / "moved")).files_hash(SITE, 0) == first
    save(*made["relu"], topk)
    assert recipe.files_hash(SITE, 0) != first
    save(*made["topk"], topk)
    card = json.loads((topk / CARD).read_text())
    (topk / CARD).write_text(json.dumps(card | {"more": 1}))
    assert recipe.files_hash(SITE, 0) != first


def test_the_hash_moves_with_a_strangers_reader(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.FOLDERS_VARIABLE, str(tmp_path))
    (tmp_path / "formats").mkdir()
    reader, words = tmp_path / "formats" / "plain.py", tmp_path / "one" / "width.txt"
    words.parent.mkdir()
    words.write_text("5")
    code = "class Plain:\n    files = ('width.txt',)\n    @staticmethod\n    def recognises(path): return (path / 'width.txt').is_file()\n"
    reader.write_text(code)
    first = FromFiles(path=str(words.parent)).files_hash(SITE, 0)
    reader.write_text(code + "# Another reader.\n")
    assert FromFiles(path=str(words.parent)).files_hash(SITE, 0) != first
    words.write_text("6")
    assert FromFiles(path=str(words.parent)).files_hash(SITE, 0) != first


def test_what_the_recipe_says_was_published_goes_before_what_came_with_the_files(topk, source):
    (topk / CARD).unlink()
    assert FromFiles(path=str(topk)).checked(source, 0).card is None
    with pytest.raises(InputError, match=r"topk: On 4096 tokens L0 is [34]\.?\d*, but 40 ± 30% was published"):
        FromFiles(path=str(topk), l0=40.0).checked(source, 0)
    with pytest.raises(InputError, match="On 500 tokens L0 is"):
        FromFiles(path=str(topk), l0=40.0, check_tokens=500).checked(source, 0)
    assert FromFiles(path=str(topk), l0=40.0, l0_tolerance=0.95).checked(source, 0).origin.library == "SAELens"
    with pytest.raises(InputError, match=r"mean FVU of a token is .*, but 0\.9 ± 0\.1 was published"):
        FromFiles(path=str(topk), mean_token_fvu=0.9).checked(source, 0)


def test_another_site_or_width_is_refused_before_there_is_a_token(topk):
    recipe = FromFiles(path=str(topk))
    assert recipe.opened(SITE, 0, 24).dictionary.latents == 48
    with pytest.raises(
        InputError, match=r"trained at resid_post\.4 of a-model .* but one for resid_post\.2 is asked for"
    ):
        recipe.opened("resid_post.2", 0, 24)
    with pytest.raises(WidthMismatchError, match=rf"The dictionary {topk}: Activations .* width 25, .* takes 24"):
        recipe.opened(SITE, 0, 25)


def test_a_place_that_is_no_site_here_is_refused(topk, source):
    (topk / CARD).unlink()
    cfg = json.loads((topk / "cfg.json").read_text())
    cfg["metadata"]["hook_name"] = "blocks.4.attn.hook_z"
    (topk / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(InputError, match=r"blocks\.4\.attn\.hook_z of a-model \(no site that is read here\)"):
        FromFiles(path=str(topk)).checked(source, 0)


def test_damage_is_bad_input_with_the_files_name(topk, source):
    weights = topk / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(DictionaryError, match=r"topk/sae_weights\.safetensors has the SHA-256") as caught:
        FromFiles(path=str(topk)).checked(source, 0)
    assert caught.value.exit_code == 2


def test_what_the_files_leave_open_stands_in_the_recipe(topk, source):
    (topk / CARD).unlink()
    cfg = json.loads((topk / "cfg.json").read_text())
    del cfg["metadata"]["model_name"]
    (topk / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(InputError, match=r"does not say which model .*model = \"gpt2\" in a study's recipe"):
        FromFiles(path=str(topk)).checked(source, 0)
    assert FromFiles(path=str(topk), model="gpt2").checked(source, 0).origin.model == "gpt2"
    del cfg["metadata"]["hook_name"]
    (topk / "cfg.json").write_text(json.dumps(cfg))
    assert FromFiles(path=str(topk), model="gpt2", site="{site}").checked(source, 0).origin.site == SITE


def test_a_recipe_without_a_path_or_with_a_word_for_a_number_is_refused():
    with pytest.raises(StudyError, match="has no path"):
        Given()
    with pytest.raises(StudyError, match=r"'l0' is 'many' \(str\)"):
        recipe_made(Given, {"path": "x", "l0": "many"}, "dictionaries.theirs.recipe")


def test_no_dictionary_is_of_the_kind_given():
    with pytest.raises(PluginError, match="keeps its own kind"):
        Given.restore({}, {})
