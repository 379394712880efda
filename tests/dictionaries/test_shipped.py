"""What is shipped is small, whole, and does what its cards say on texts that it never saw."""

import json

import pytest
from typer.testing import CliRunner

from fairfight.activations.harvest import harvest
from fairfight.cli import app
from fairfight.dictionaries.check import USUAL, Expected, check_loaded
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import load_any
from fairfight.dictionaries.shipped import PREFIX, folder_of, shipped
from fairfight.errors import InputError
from fairfight.models.load import load as load_model

NAMES = [own.name for own in shipped()]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Tokens of each site, of English that stands in no training text."""
    words = [
        "a",
        "letter",
        "about",
        "the",
        "weather",
        "was",
        "sent",
        "to",
        "every",
        "house",
        "near",
        "the",
        "river",
        "before",
        "anyone",
        "had",
        "read",
        "it",
        "aloud",
    ]
    texts = [
        " ".join(words[(row * 7 + at * (1 + row % 3)) % len(words)] for at in range(24)) + f" {row}"
        for row in range(60)
    ]
    sites = sorted({card.site for own in shipped() for card in own.cards})
    found = harvest(load_model("all-MiniLM-L6-v2"), texts, sites, tmp_path_factory.mktemp("activations"))
    return {site: TokenSource.from_activations(store, store.rows(texts)) for site, store in found.items()}


def test_all_kinds_sites_and_seeds_are_there():
    found = {own.name.split("/")[2]: (own.latents, len(own.cards), own.cards[0].site) for own in shipped()}
    three = "resid_post.3"
    assert found == {
        "topk-1536": (1536, 3, three),
        "topk-4096": (4096, 3, three),
        "batch_topk-1536": (1536, 3, three),
        "jumprelu-1536": (1536, 3, three),
        "jumprelu-frequency-1536": (1536, 3, three),
        "kmeans-1536": (1536, 3, three),
        "topk-1536-site-1": (1536, 1, "resid_post.1"),
        "topk-1536-site-5": (1536, 1, "resid_post.5"),
    }
    assert {own.name for own in shipped() if own.has_few_seeds} == {
        f"{PREFIX}minilm/topk-1536-site-1/seed-0", f"{PREFIX}minilm/topk-1536-site-5/seed-0"
    }  # fmt: skip


def test_they_take_sixty_megabytes_at_most():
    root = folder_of(NAMES[0].format(seed=0)).parents[2]
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) <= 60e6


@pytest.mark.parametrize("name", NAMES)
def test_each_does_what_its_card_says(name, sources):
    for seed in range(3 if "{seed}" in name else 1):
        foreign = load_any(name.format(seed=seed))
        tokens = sources[foreign.card.site]
        # Sentences of a dozen words over and over are other texts than chat replies and novels: k-means leaves 0.62 of their
        # variance unexplained instead of 0.47.
        check_loaded(foreign.dictionary, tokens, Expected.of(foreign), tolerance=USUAL._replace(fvu=0.2))
        assert foreign.card.seed == seed


def test_seeds_are_different_dictionaries():
    first, second = (load_any(f"{PREFIX}minilm/topk-1536/seed-{seed}").dictionary for seed in (0, 1))
    assert not first.atoms.equal(second.atoms)


def test_a_name_that_is_not_shipped_gets_the_nearest():
    with pytest.raises(InputError, match=r"Did you mean 'shipped/minilm/topk-1536/seed-0'\?"):
        load_any("shipped/minilm/topk-1536/seed-00")
    with pytest.raises(InputError, match="No dictionary"):
        load_any("shipped/../../data")


def test_they_are_listed():
    found = CliRunner().invoke(app, ["list", "dictionaries", "--json"])
    assert [row["name"] for row in json.loads(found.output)["dictionaries"]] == NAMES
    table = CliRunner().invoke(app, ["list", "dictionaries"]).output
    assert "Too few seeds to be judged: shipped/minilm/topk-1536-site-1/seed-0" in table
