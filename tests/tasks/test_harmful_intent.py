"""The shipped data: what its card counts, and that neither form nor words alone give the answer away."""

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from fairfight.contests.examples import DEVELOPMENT, admit, unlabelled
from fairfight.contests.views import Subject, Views
from fairfight.meter import Meter
from fairfight.methods.format_floor import FormatLook
from fairfight.numerics.ranking import auroc
from fairfight.tasks.harmful_intent import (
    DATA,
    TEST_SETS,
    UNSEEN_CATEGORIES,
    HarmfulIntent,
    base_pairs,
    obfuscations,
    shelf,
)
from fairfight.verdict.statistics.placements import placed

CARD = (DATA / "CARD.md").read_text(encoding="utf-8")


@cache
def collection():
    return admit(HarmfulIntent().collection())


def of_set(name):
    return [example for example in collection().examples if example.set == name]


def labels_of(examples):
    return np.array([example.label for example in examples])


def carded(row):
    (cells,) = [line.split("|")[2:-1] for line in CARD.splitlines() if line.startswith(f"| {row}")]
    return [int(number) for number in re.findall(r"\d+", cells[0])] if len(cells) == 1 else [int(c) for c in cells[:2]]


def test_the_card_counts_the_base_prompts():
    tones = Counter(pair.tone for pair in base_pairs())
    categories = Counter(pair.category for pair in base_pairs())
    assert carded("base pairs") == [len(base_pairs())]
    assert carded("categories of harm") == [len(categories)]
    assert {carded("pairs a category")[0]} == set(categories.values())
    assert [carded(f"`{tone}` pairs") for tone in ("open", "plain", "cross")] == [
        [tones[t]] for t in ("open", "plain", "cross")
    ]
    assert carded("alarming-sounding benign prompts") == [tones["cross"]]


def test_the_card_counts_the_wrappers():
    seen, unseen = shelf(is_seen=True), shelf(is_seen=False)
    assert carded("jailbreak families") == [len(seen.families), len(unseen.families), len(obfuscations())]
    assert carded("innocuous transforms") == [len(seen.transforms), len(unseen.transforms)]
    families = (*seen.families.values(), *unseen.families.values(), *obfuscations().values())
    assert {len(family) for family in families} == set(carded("templates a jailbreak family"))
    transforms = (*seen.transforms.values(), *unseen.transforms.values())
    assert {len(family) for family in transforms} == set(carded("templates a transform"))


@pytest.mark.parametrize("name", [DEVELOPMENT, *TEST_SETS])
def test_the_card_counts_the_sets(name):
    examples = of_set(name)
    assert carded(f"{name} |") == [len(examples), len({example.cluster for example in examples})]
    assert labels_of(examples).mean() == 0.5


def test_there_are_enough_alarming_benign_prompts_and_all_base_prompts_differ():
    assert sum(pair.tone == "cross" for pair in base_pairs()) >= 250
    texts = [text.casefold() for pair in base_pairs() for text in (pair.harmful, pair.benign)]
    assert len(set(texts)) == len(texts)


def test_twins_have_one_form():
    for pair in base_pairs():
        assert abs(len(pair.harmful.split()) - len(pair.benign.split())) <= 2, pair
        ends = {text[-1] if not text[-1].isalnum() else "" for text in (pair.harmful, pair.benign)}
        assert len(ends) == 1, pair
    signed = [len(pair.harmful) - len(pair.benign) for pair in base_pairs()]
    assert abs(np.mean(signed)) < 1


def test_the_card_counts_the_twins_that_differ_in_first_word_or_capitals():
    said = re.search(r"In (\d+) of the (\d+) pairs the first word differs, in (\d+) the number", " ".join(CARD.split()))
    assert said, "the card must say how many twins differ"
    first_word = [pair.harmful.split()[0] != pair.benign.split()[0] for pair in base_pairs()]
    capitals = [sum(map(str.isupper, pair.harmful)) != sum(map(str.isupper, pair.benign)) for pair in base_pairs()]
    found = (sum(first_word), len(base_pairs()), sum(capitals))
    assert tuple(map(int, said.groups())) == found
    assert found[0] <= 77
    assert found[2] <= 54


def test_what_is_unseen_was_not_seen():
    seen = {example.tags["wrapper"] for example in of_set(DEVELOPMENT)}
    assert not seen & {example.tags["wrapper"] for example in of_set("unseen_families")}
    assert not seen & {example.tags["wrapper"] for example in of_set("obfuscated")}
    assert not {example.tags["category"] for example in of_set(DEVELOPMENT)} & set(UNSEEN_CATEGORIES)
    assert {example.tags["category"] for example in of_set("unseen_categories")} == set(UNSEEN_CATEGORIES)
    assert {example.tags["tone"] for example in of_set("calm_or_alarming")} == {"cross"}


@pytest.mark.parametrize("is_relative", [False, True])
def test_format_gives_nothing_away(is_relative, tmp_path):
    views = Views(Subject("none", False, {}, tmp_path, {}, 128), Meter())

    def matrix(examples):
        return FormatLook(is_relative).matrix(unlabelled(examples), views)

    train = of_set(DEVELOPMENT)
    x = matrix(train)
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    probe = LogisticRegression(C=1.0, max_iter=5000).fit((x - centre) / scale, labels_of(train))
    for name in TEST_SETS:
        examples = of_set(name)
        clusters, places = np.unique([example.cluster for example in examples], return_inverse=True)
        scores = probe.decision_function((matrix(examples) - centre) / scale)
        found = placed(scores, np.array(labels_of(examples)), places, len(clusters))
        high = found.auroc + 1.96 * np.sqrt((found.spread**2).sum())
        assert high <= 0.60, (name, found.auroc, high)


def test_words_alone_do_not_solve_the_shifted_sets():
    best = dict.fromkeys(TEST_SETS, 0.0)
    train = of_set(DEVELOPMENT)
    for analyser, lengths in (("word", (1, 2)), ("char_wb", (2, 4))):
        vectoriser = TfidfVectorizer(analyzer=analyser, ngram_range=lengths, sublinear_tf=True)
        x = vectoriser.fit_transform([example.text for example in train])
        for strength in (1.0, 30.0):
            probe = LogisticRegression(C=strength, max_iter=2000).fit(x, labels_of(train))
            for name in TEST_SETS:
                texts = [example.text for example in of_set(name)]
                scored = auroc(probe.decision_function(vectoriser.transform(texts)), labels_of(of_set(name)))
                best[name] = max(best[name], scored)
    shifted = [name for name in TEST_SETS if name != "in_distribution"]
    assert sum(best[name] <= 0.90 for name in shifted) >= 2, best
    # Words must not be worthless either: then there would be nothing to detect.
    assert best["in_distribution"] >= 0.70, best
