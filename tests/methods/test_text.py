"""Text-only methods: each finds what it is for and is blind to the rest. There is no activation store to look into."""

import numpy as np
import pytest

from fairfight.contests.examples import Examples, Labelled
from fairfight.contests.views import Subject, Views
from fairfight.meter import Meter
from fairfight.methods.format_floor import COUNTED, FormatLook
from fairfight.models.load import DEFAULT
from fairfight.numerics.ranking import auroc
from fairfight.seeds import stream

NOUNS = ("kettle", "ladder", "bottle", "pencil", "window", "basket", "jacket", "mirror", "pillow", "wallet")
VERBS = ("repair", "polish", "borrow", "locate", "arrange")


def given_texts(*texts):
    return Examples(tuple(f"{number}" for number in range(len(texts))), texts)


@pytest.fixture
def views(tmp_path):
    return Views(Subject(DEFAULT, False, {}, tmp_path, {}, 32), Meter())


@pytest.fixture
def scores(views):
    """Fit on pairs of a negative and a positive text; give the scores of other texts."""

    def score(method, pairs, *texts):
        examples = given_texts(*(text for pair in pairs for text in pair))
        train = Labelled(examples, np.arange(len(examples)) % 2, examples.ids)
        return method.fit(train, views, stream("text")).score(given_texts(*texts), views)

    return score


def plain():
    return [f"please {verb} the {noun} soon" for verb in VERBS for noun in NOUNS]


@pytest.mark.parametrize("is_logarithmic", [True, False])
def test_the_length_floor_finds_the_longer_texts(scores, method, is_logarithmic):
    pairs = [(text, f"{text} today or tomorrow") for text in plain()]
    floor = method("length_floor", is_logarithmic=is_logarithmic)
    found = scores(floor, pairs, "mend it", "mend the old garden hose before the summer is over")
    assert found[1] > 0 > found[0]


def test_the_length_floor_reads_no_word(scores, method):
    pairs = [(text, f"{text} today") for text in plain()]
    found = scores(method("length_floor"), pairs, "aaaa bb ccc", "Zz?! 99 x,y", "aaaa bb cccc", "aaaabb cccc")
    assert found[0] == found[1]
    assert len(set(found)) == 3, "one more character, or one word fewer, shows"


@pytest.mark.parametrize("is_relative", [True, False])
@pytest.mark.parametrize("kind", COUNTED)
def test_the_format_floor_finds_every_kind_of_character(scores, method, kind, is_relative):
    mark = COUNTED[kind][0]
    pairs = [(text, text.replace(" the ", f" the{mark}")) for text in plain()]
    found = scores(method("format_floor", is_relative=is_relative), pairs, "sell a b lamp", f"sell a{mark}b lamp")
    assert found[1] > 0 > found[0]


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (lambda text: text.replace("the", "THE"), "sell my lamp", "sell MY lamp"),
        (lambda text: f"{text[:-4]}2026", "sell my lamp", "sell my 1999"),
        (lambda text: text.capitalize(), "sell my lamp", "Sell my lamp"),
        (lambda text: f"{text[:-1]}?", "sell my lamp", "sell my lam?"),
    ],
    ids=["capitals", "digits", "first letter", "question mark"],
)
def test_the_format_floor_finds_capitals_digits_beginnings_and_ends(scores, method, change, before, after):
    found = scores(method("format_floor"), [(text, change(text)) for text in plain()], before, after)
    assert found[1] > 0 > found[0]


def test_the_format_floor_reads_no_word(scores, method):
    texts = plain()
    pairs = [(text, text.replace("please", "kindly")) for text in texts]
    held_out = [text.replace("the", "our") for text in texts]
    other = [text.replace("please", "kindly") for text in held_out]
    labels = np.repeat([0, 1], len(texts))
    assert auroc(scores(method("format_floor"), pairs, *held_out, *other), labels) == pytest.approx(0.5)
    assert auroc(scores(method("tfidf_probe"), pairs, *held_out, *other), labels) == 1.0
    marked = [(text, f"{text}!") for text in texts]
    found = scores(method("format_floor"), marked, "Mend my hat, ok?", "Burn ye cat, no?")
    assert found[0] == found[1]


def test_only_relative_counts_forget_how_often_a_text_is_said(views):
    once, twice = given_texts("a, b; c!"), given_texts("a, b; c!" * 2)
    counted = len(COUNTED)

    def marks(examples, is_relative):
        return FormatLook(is_relative).matrix(examples, views)[0, :counted]

    np.testing.assert_allclose(marks(once, True), marks(twice, True))
    assert (marks(once, True) > 0).sum() == 3
    assert marks(twice, False).sum() > marks(once, False).sum()


def test_an_empty_text_has_a_format(views):
    assert np.isfinite(FormatLook(True).matrix(given_texts("", "   "), views)).all()


@pytest.mark.parametrize("grams", ["words", "word_pairs", "characters"])
def test_tfidf_finds_the_words_that_tell_in_texts_it_has_not_seen(scores, method, grams):
    pairs = [(f"sell the {noun} today", f"mend the {noun} today") for noun in NOUNS[:7]]
    found = scores(
        method("tfidf_probe", grams=grams),
        pairs,
        *(f"{verb} my {noun} now" for noun in NOUNS[7:] for verb in ("sell", "mend")),
    )
    assert auroc(found, np.arange(6) % 2) == 1.0


def test_only_pairs_of_words_tell_their_order(scores, method):
    pairs = [(f"{noun} under cloth", f"cloth under {noun}") for noun in NOUNS]
    texts = ("kettle under cloth", "cloth under kettle")
    by_words, by_pairs = (
        scores(method("tfidf_probe", grams=grams), pairs, *texts) for grams in ("words", "word_pairs")
    )
    assert by_words[0] == pytest.approx(by_words[1], abs=1e-9)
    assert by_pairs[1] > by_pairs[0] + 0.1


def test_only_characters_tell_an_unseen_form_of_a_word(scores, method):
    pairs = [(f"selling {noun}", f"repairing {noun}") for noun in NOUNS]
    texts = ("seller", "repairs")
    by_words, by_characters = (
        scores(method("tfidf_probe", grams=grams), pairs, *texts) for grams in ("words", "characters")
    )
    assert by_words[0] == by_words[1], "no known word: the intercept is all there is"
    assert by_characters[1] > 0 > by_characters[0]


def test_a_word_of_one_letter_is_a_word(scores, method):
    found = scores(
        method("tfidf_probe", grams="words"), [(f"a {noun}", f"7 {noun}") for noun in NOUNS], "a hat", "7 hat"
    )
    assert found[1] > 0 > found[0]


@pytest.mark.parametrize("penalty", [1e-4, 1e-2])
def test_the_penalty_of_tfidf_counts_an_example(views, method, penalty):
    examples = given_texts(*(f"{verb} the {noun} {noun[0]}" for verb in VERBS for noun in NOUNS))
    labels = np.random.default_rng(0).integers(0, 2, size=len(examples))
    detector = method("tfidf_probe", penalty=penalty).fit(
        Labelled(examples, labels, examples.ids), views, stream("text")
    )
    x, weights = detector.vectoriser.transform(examples.texts), detector.regression.coef_[0]
    excess = 1 / (1 + np.exp(-detector.score(examples, views))) - labels
    np.testing.assert_allclose(x.T @ excess / len(labels) + penalty * weights, 0, atol=1e-6)
    assert np.abs(weights).max() > 0.01


@pytest.mark.parametrize("name", ["length_floor", "format_floor", "tfidf_probe"])
def test_a_text_method_spends_no_model_pass_and_one_fit(views, scores, method, name):
    scores(method(name), [(text, f"{text}! again") for text in plain()], "a text")
    cost = views.meter.cost()
    assert cost.forward_flops == cost.encode_flops == cost.tokens == 0
    assert cost.fits == 1
    assert cost.fit_flops > 0
