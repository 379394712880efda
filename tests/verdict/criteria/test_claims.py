"""Claims as files: numbers become words only where they can, fields that contradict each other are refused."""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fairfight.cli import app
from fairfight.errors import DamagedFileError, InputError, StudyError
from fairfight.verdict.calls import add_call, call_from, read_calls
from fairfight.verdict.claims import claims_in, read_claim
from fairfight.verdict.criteria.claimed import case_of
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
def judged(tmp_path):
    """Give the case of the claim above with texts replaced."""

    def make(*changes, more=""):
        text = CLAIM + more
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "mine.toml"
        file.write_text(text)
        return case_of(read_claim(file))

    return make


def test_two_shares_of_n_items_give_the_textbooks_unpaired_interval(judged):
    case = judged(('source = "paper"\n', 'n = 400\nsource = "paper"\n'))
    reach = 1.959964 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 400)
    assert f"[{0.1 - reach:+.3g}, {0.1 + reach:+.3g}]" in case.main.evidence
    assert case.main.word == "wins"


def test_two_scores_alone_decide_nothing(judged):
    assert judged().main.word == "undecided"
    assert "no interval can be given" in judged().main.evidence


def test_whoever_says_that_they_lost_is_believed_and_whoever_says_that_they_won_is_not(judged):
    lost, won = (judged(('source = "paper"\n', f'stated = "{word}"\nsource = "paper"\n')) for word in ("loses", "wins"))
    assert (lost.main.word, won.main.word) == ("loses", "undecided")


def test_smaller_is_better_where_the_claim_says_so(judged):
    case = judged(('source = "paper"\n', 'larger_is_better = false\nlow = -0.12\nhigh = -0.08\nsource = "paper"\n'))
    assert case.main.word == "loses"


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
    ],
)
def test_fields_that_are_wrong_or_contradict_each_other_are_refused_by_name(judged, old, new, words):
    with pytest.raises(StudyError, match=words):
        judged((old, new))


def test_toml_that_is_huge_or_nested_on_purpose_is_refused(tmp_path):
    file = tmp_path / "deep.toml"
    file.write_text("a = " + "[" * 100_000 + "]" * 100_000)
    with pytest.raises(StudyError, match="nested"):
        read_claim(file)
    file.write_text("# " + "x" * 5_000_000)
    with pytest.raises(StudyError, match="5,000,002 bytes"):
        read_claim(file)


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
    return {claim.name: sheet(case_of(claim)) for _, claim in claims_in(DOCKET)}


def test_the_docket_holds_what_was_asked_for(docket):
    assert len(docket) >= 12
    assert all(file.stem == claim.name for file, claim in claims_in(DOCKET))


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
