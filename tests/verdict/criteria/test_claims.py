"""Claims as files: numbers become words only where they can, fields that contradict each other are refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fairfight.cli import app
from fairfight.errors import DamagedFileError, InputError, StudyError
from fairfight.verdict.calls import add_call, call_from, read_calls
from fairfight.verdict.claims import files_of, read_claim
from fairfight.verdict.criteria.case import Record
from fairfight.verdict.criteria.claimed import bounds, case_of
from fairfight.verdict.criteria.sheet import sheet

DOCKET = Path(__file__).parents[3] / "docket"
CLAIM = """
name = "mine"
title = "a claim"
who = "somebody"
when = "2026-01"
says = "It wins."
[sources.paper]
what = "a paper"
status = "verified"
[task]
name = "a task"
contest = "explain"
motive = "somebody wants it"
downstream = "yes"
measured = "objectively"
measure = "accuracy"
[field]
families = ["probing"]
tuning = "equal"
dictionary_quality = "known"
[dictionary]
kind = "topk"
[public]
is_public = true
artefacts = ["paper"]
reproducible = "yes"
[[results]]
against = "a probe"
role = "baseline"
is_best = true
measure = "accuracy"
challenger = 0.9
defender = 0.8
source = "paper"
"""


@pytest.fixture
def claimed(tmp_path):
    """Give the claim above with texts replaced."""

    def make(*changes, more=""):
        text = CLAIM + more
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "mine.toml"
        file.write_text(text)
        return read_claim(file)

    return make


@pytest.fixture
def judged(claimed):
    """Give the case of the claim above with texts replaced."""
    return lambda *changes, more="": case_of(claimed(*changes, more=more))


def test_two_shares_of_n_items_give_the_textbooks_unpaired_interval(claimed):
    """Newcombe (1998), table II, method 10: 9 of 10 against 3 of 10 has +0.1705 to +0.8090."""
    numbers = ("challenger = 0.9\ndefender = 0.8\n", "challenger = 0.9\ndefender = 0.3\nn = 10\n")
    (own,) = claimed(numbers).results
    low, high, basis = bounds(own)
    assert (low, high) == (pytest.approx(0.1705, abs=5e-5), pytest.approx(0.8090, abs=5e-5))
    assert basis == "as if unpaired, n = 10 a side, seeds unknown"
    main = case_of(claimed(numbers)).main
    assert main.word == "wins"
    assert "+0.6 [+0.171, +0.809]" in main.evidence


def test_the_interval_of_smaller_is_better_mirrors_that_of_larger_is_better(claimed):
    numbers = "challenger = 0.9\ndefender = 0.3\nn = 10\n"
    larger, smaller = (
        bounds(claimed(("challenger = 0.9\ndefender = 0.8\n", numbers + more)).results[0])
        for more in ("", "larger_is_better = false\n")
    )
    assert (smaller[0], smaller[1]) == (pytest.approx(-larger[1]), pytest.approx(-larger[0]))


def test_all_of_few_against_none_of_few_is_not_certain(claimed):
    """Wald's interval would be [1, 1]; Newcombe (1998), table II, method 10: 10 of 10 against 0 of 10 has +0.6075 to 1."""
    numbers = ("challenger = 0.9\ndefender = 0.8\n", "challenger = 1.0\ndefender = 0.0\nn = 10\n")
    low, high, _ = bounds(claimed(numbers).results[0])
    assert (low, high) == (pytest.approx(0.6075, abs=5e-5), pytest.approx(1.0))


def test_two_scores_alone_decide_nothing(judged):
    assert judged().main.word == "undecided"
    assert "no interval can be given" in judged().main.evidence


def test_whoever_says_that_they_lost_is_believed_and_whoever_says_that_they_won_is_not(judged):
    lost, won = (judged(('source = "paper"\n', f'stated = "{word}"\nsource = "paper"\n')) for word in ("loses", "wins"))
    assert (lost.main.word, won.main.word) == ("loses", "undecided")


def test_smaller_is_better_where_the_claim_says_so(judged):
    case = judged(('source = "paper"\n', 'larger_is_better = false\nlow = -0.12\nhigh = -0.08\nsource = "paper"\n'))
    assert case.main.word == "loses"


WON = ("defender = 0.8\n", "defender = 0.8\nlow = 0.05\nhigh = 0.15\n")
UNVERIFIED = ('status = "verified"', 'status = "unverified"')


def test_a_win_by_numbers_from_memory_is_undecided_and_a_loss_is_a_loss(judged):
    assert judged(WON).main.word == "wins"
    won = judged(WON, UNVERIFIED).main
    assert won.word == "undecided"
    assert "undecided, as a win from memory decides nothing" in won.evidence
    for low, high, word in ((-0.15, -0.05, "loses"), (-0.01, 0.01, "ties")):
        mean = (low + high) / 2
        numbers = f"challenger = {0.8 + mean}\ndefender = 0.8\nlow = {low}\nhigh = {high}\nmargin = 0.02\n"
        assert judged(("challenger = 0.9\ndefender = 0.8\n", numbers), UNVERIFIED).main.word == word


def test_unverified_numbers_say_so(judged):
    assert "unverified" in judged(('status = "verified"', 'status = "unverified"')).main.evidence


HARDER = """
[[results]]
against = "a better probe"
role = "baseline"
measure = "accuracy"
challenger = 0.9
defender = 0.95
low = -0.07
high = -0.03
source = "paper"
"""


def test_every_baseline_is_the_hardest_one(judged):
    case = judged(more=HARDER)
    assert (case.main.against, case.every.against, case.every.word) == ("a probe", "a better probe", "loses")


def _other(name, low, high, *, margin=0.0, more=""):
    middle = 0.9 - (low + high) / 2
    return f"""
[[results]]
against = "{name}"
role = "baseline"
measure = "accuracy"
challenger = 0.9
defender = {middle:.4f}
low = {low}
high = {high}
margin = {margin}
source = "paper"
{more}"""


def test_every_baseline_is_the_worst_by_word_before_the_lower_end(judged):
    noisy, level = _other("a noisy probe", -0.2, 0.3), _other("a level probe", -0.04, 0.03, margin=0.05)
    assert [judged(WON, more=more).every.against for more in (noisy, noisy + level, level + noisy)] == [
        "a noisy probe", "a level probe", "a level probe"
    ]  # fmt: skip
    assert judged(WON, more=noisy + level).every.word == "ties"


def test_of_wins_the_hardest_is_the_one_that_leaves_least_above_its_margin(judged):
    case = judged(WON, more=_other("a probe with a margin", 0.06, 0.14, margin=0.059) + _other("a third", 0.045, 0.155))
    assert (case.every.against, case.every.word) == ("a probe with a margin", "wins")


@pytest.mark.parametrize("word", ["ties", "loses"])
def test_what_the_source_says_it_did_not_win_is_harder_than_what_is_undecided(judged, word):
    stated = f"""
[[results]]
against = "a rival lab's probe"
role = "baseline"
measure = "jailbreaks"
stated = "{word}"
source = "paper"
"""
    case = judged(WON, more=_other("a noisy probe", -0.2, 0.3) + stated)
    assert (case.every.against, case.every.word) == ("a rival lab's probe", word)


PUBLIC = 'artefacts = ["paper"]\nreproducible = "{}"'


def test_what_names_no_artefact_is_not_known_to_be_reproducible(judged):
    for said, left in (("yes", "unknown"), ("partly", "unknown"), ("unknown", "unknown"), ("no", "no")):
        bare = (PUBLIC.format("yes"), f'artefacts = [" "]\nreproducible = "{said}"')
        assert judged(bare).public.reproducible == left
    assert judged().public.reproducible == "yes"


EVIDENCE = """
[sources.table]
what = "a table"
status = "computed"
[evidence]
source = "table"
table = "scores"
challenger = "sae"
"""


def _record(claim, apart=0):
    return Record("2026-01-01", "0.1.0", "the table scores", claim.evidence_hash, 2, apart, 0.0, 0.001)


@pytest.mark.parametrize(
    ("said", "left"), [("no", "partly"), ("unknown", "partly"), ("partly", "partly"), ("yes", "yes")]
)
def test_a_reproduction_of_numbers_that_decide_nothing_makes_a_claim_partly_reproducible_at_most(claimed, said, left):
    easy = _other("chance", 0.2, 0.4).replace('"paper"', '"table"')
    claim = claimed((PUBLIC.format("yes"), PUBLIC.format(said)), more=easy + EVIDENCE)
    found = case_of(claim, (), _record(claim)).public
    assert found.reproducible == left
    assert "not among these: the numbers against a probe" in found.note


@pytest.mark.parametrize(("hard", "left"), [("paper", "partly"), ("table", "yes")])
def test_a_reproduction_has_to_hold_the_best_baseline_and_the_hardest(claimed, hard, left):
    best = ('defender = 0.8\nsource = "paper"', 'defender = 0.8\nsource = "table"')
    harder = HARDER.replace('source = "paper"', f'source = "{hard}"')
    claim = claimed((PUBLIC.format("yes"), PUBLIC.format("no")), best, more=harder + EVIDENCE)
    assert case_of(claim, (), _record(claim)).public.reproducible == left
    assert case_of(claim, (), _record(claim, apart=1)).public.reproducible == "no"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('source = "paper"\n', 'source = "blog"\n', "names the source 'blog', but sources are paper"),
        ('source = "paper"\n', 'low = 0.2\nhigh = 0.3\nsource = "paper"\n', "lies outside its interval"),
        ('source = "paper"\n', 'low = 0.05\nsource = "paper"\n', "both low and high"),
        ("challenger = 0.9\n", "challenger = 90\nn = 5\n", "shares from 0 to 1"),
        ("challenger = 0.9\n", "", "both scores"),
        ('role = "baseline"', 'role = "control"', "names its kind"),
        ("is_best = true\n", "is_best = true\nis_bets = true\n", "has no key 'is_bets'.*Did you mean 'is_best'"),
        ('contest = "explain"', 'contest = "explian"', "contest"),
        ('when = "2026-01"', 'when = "last year"', "when"),
        ("tuning", "tunnig", "no key 'tunnig'.*Did you mean 'tuning'"),
        ("challenger = 0.9\n", "challenger = 90\n", "against 'a probe' has the accuracy 90"),
        (
            'measure = "accuracy"\nchallenger = 0.9',
            'measure = "macro F1, tuned"\nchallenger = -1',
            "against 'a probe' has the F1 -1",
        ),
        (
            'measure = "accuracy"\nchallenger = 0.9',
            'measure = "mean auroc"\nchallenger = 0.9\nn = 9',
            "an AUROC is no share of items",
        ),
        (
            'measure = "accuracy"\nchallenger = 0.9',
            'measure = "ROC-AUC"\nchallenger = 0.9\nn = 9',
            "an AUC is no share of items",
        ),
        ('kind = "topk"', 'kind = "topk"\nl0 = 65\nlatents = 64', "l0 = 65 of latents = 64"),
        ('kind = "topk"', 'kind = "topk"\nl0 = inf', "finite number"),
        ("challenger = 0.9\n", "challenger = nan\n", "finite number"),
        ('when = "2026-01"', 'when = "2026-13"', "month must be in 1..12; a year, a month such as 2024-05 or a day"),
        ('when = "2026-01"', 'when = "2026-02-30"', "a year, a month such as 2024-05 or a day"),
        ('when = "2026-01"', 'when = "0000"', "a year, a month such as 2024-05 or a day"),
        ('when = "2026-01"', 'when = "٢٠٢٦"', "when"),
    ],
)
def test_fields_that_are_wrong_or_contradict_each_other_are_refused_by_name(judged, old, new, words):
    with pytest.raises(StudyError, match=words):
        judged((old, new))


@pytest.mark.parametrize("measure", ["points", "accurately sorted", "AUCTION price"])
def test_a_measure_that_only_sounds_like_a_share_may_have_any_score(judged, measure):
    judged(('measure = "accuracy"\nchallenger = 0.9', f'measure = "{measure}"\nchallenger = 90'))


@pytest.mark.parametrize("when", ["2024", "2024-05", "2024-02-29"])
def test_a_year_a_month_or_a_day_is_a_time(claimed, when):
    assert claimed(('when = "2026-01"', f'when = "{when}"')).when == when


@pytest.mark.parametrize("role", ["control", "rival"])
def test_controls_and_rivals_are_played_by_the_challenger_that_is_claimed(judged, role):
    other = HARDER.replace("challenger = 0.9\n", "challenger = 0.95\n").replace(
        'role = "baseline"', f'role = "{role}"\nkind = "random"'
    )
    other = other.replace("low = -0.07\nhigh = -0.03", "low = -0.02\nhigh = 0.02")
    for best in ((), (("is_best = true\n", ""),)):
        with pytest.raises(
            StudyError, match=f"the {role} 'a better probe' is against a challenger of 0.95.*one of 0.9"
        ):
            judged(*best, more=other.replace('"accuracy"', '"Accuracy "'))
    judged(more=other.replace('"accuracy"', '"accuracy, retrained"'))


def test_toml_that_is_huge_or_nested_on_purpose_is_refused(tmp_path):
    file = tmp_path / "deep.toml"
    file.write_text("a = " + "[" * 100_000 + "]" * 100_000)
    with pytest.raises(StudyError, match="nested"):
        read_claim(file)
    file.write_text("# " + "x" * 5_000_000)
    with pytest.raises(StudyError, match="5,000,002 bytes"):
        read_claim(file)


def test_toml_that_python_will_not_read_is_refused_and_a_byte_order_mark_is_not(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbf" + CLAIM.encode())
    assert read_claim(file).name == "mine"
    file.write_text(CLAIM + "n = " + "9" * 5000)
    with pytest.raises(StudyError, match=r"mine\.toml is not TOML: Exceeds the limit"):
        read_claim(file)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("studies/quick.toml", "This is a study: `fairfight run` or `fairfight register` it."),
        ("training/minilm.toml", "This is a training file: `fairfight train` it."),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_is_in_one_line(other, words):
    with pytest.raises(StudyError) as refused:
        read_claim(DOCKET.parent / other)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_the_claim_that_errors_give_as_an_example_is_there(tmp_path):
    with pytest.raises(StudyError) as refused:
        read_claim(tmp_path / "nowhere.toml")
    named = str(refused.value).rpartition("such as ")[2].rstrip(".")
    assert read_claim(DOCKET.parent / named)


def test_calls_are_kept_beside_the_claim_and_the_last_one_counts(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(CLAIM)
    add_call(file, call_from("field=met", by="A", because="seen it", private=False))
    add_call(file, call_from("field=not_met", by="B", because="seen more", private=True))
    (call,) = read_calls(file)
    assert (call.by, call.word, call.private) == ("B", "not met", True)
    assert len((tmp_path / "mine.calls.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "by", "because", "words"),
    [
        ("feild=met", "A", "x", "no criterion 'feild'.*Did you mean 'field'"),
        ("field=perhaps", "A", "x", "expected met or 'not met'"),
        ("field=met", "", "x", "a name and a reason"),
        ("field=met", "A", " ", "a name and a reason"),
    ],
)
def test_a_call_without_name_reason_or_sense_is_refused(text, by, because, words):
    with pytest.raises(InputError, match=words):
        call_from(text, by=by, because=because, private=False)


def test_a_damaged_file_of_calls_is_named_with_its_line(tmp_path):
    (tmp_path / "mine.calls.jsonl").write_text("{}\n")
    with pytest.raises(DamagedFileError, match="line 1 is no call"):
        read_calls(tmp_path / "mine.toml")


@pytest.fixture(scope="module")
def docket():
    return {claim.name: sheet(case_of(claim)) for claim in map(read_claim, files_of(DOCKET))}


def test_the_docket_holds_what_was_asked_for(docket):
    assert len(docket) >= 12
    assert all(file.stem == read_claim(file).name for file in files_of(DOCKET))


def test_the_three_contenders_come_out_as_the_questions_author_says_and_for_his_reasons(docket):
    shift = docket["shift_pythia"]
    assert shift.overall == "NO"
    assert [(own.criterion, own.call.by) for own in shift.deciding] == [("downstream", "Neel Nanda")]
    assert next(own.status for own in shift.findings if own.criterion == "beats") == "met"
    bridge = docket["golden_gate_claude"]
    assert bridge.overall == "NOT SHOWN"
    assert "no baseline" in next(own.evidence for own in bridge.findings if own.criterion == "field")
    refusal = docket["refusal_direction"]
    assert refusal.overall == "NO"
    assert {own.criterion for own in refusal.deciding} == {"dictionary", "beats"}
    assert "competitive with fine-tuning, not better" in refusal.deciding[0].evidence


def test_the_kmeans_paper_is_no_evidence_for_its_reasons(docket):
    found = docket["kmeans_visual_features"]
    assert found.overall == "NOT SHOWN"
    call = next(own.call for own in found.findings if own.criterion == "field")
    for reason in ("early", "CNNs", "metrics", "trained"):
        assert reason in call.because


def test_nothing_in_the_docket_wins_on_numbers_that_were_only_stated(docket):
    assert [name for name, found in docket.items() if found.overall == "YES"] == []


def test_the_dockets_pages_are_what_the_docket_says_now(tmp_path):
    answer = CliRunner().invoke(app, ["judge", str(DOCKET), "--pages", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    now, kept = (
        {file.name: file.read_text() for file in folder.glob("*.md")}
        for folder in (tmp_path, DOCKET.parent / "docs" / "docket")
    )
    assert kept == now, "run fairfight judge docket/ --pages docs/docket"
