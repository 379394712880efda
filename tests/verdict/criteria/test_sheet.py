"""Each criterion on a case that meets it, one that does not, and one that is a person's to call."""

from dataclasses import replace

import pytest

from fairfight.errors import InputError
from fairfight.verdict.criteria.case import (
    CONTROLS,
    Beat,
    BudgetFacts,
    Call,
    Case,
    DictionaryFacts,
    FieldFacts,
    PublicFacts,
    RobustFacts,
    TaskFacts,
)
from fairfight.verdict.criteria.sheet import require_call, sheet

GOOD = Case(
    title="a good case",
    task=TaskFacts("monitoring", "detect", "yes", "somebody wants it", "objectively", "AUROC"),
    constraints=(),
    budget=None,
    field=FieldFacts(
        ("probing", "finetuning", "text-only", "floor"), ("probing", "finetuning", "text-only", "floor"), "equal"
    ),
    main=Beat("probe", "wins", "probe: +0.05 [+0.02, +0.08]."),
    every=Beat("mlp", "wins", "mlp: +0.04 [+0.02, +0.06]."),
    controls=tuple(Beat(f"method[{kind}]", "wins", f"{kind}: +0.1.", kind) for kind in CONTROLS),
    rivals=(Beat("method[kmeans]", "wins", "kmeans: +0.03.", "kmeans"),),
    dictionary=DictionaryFacts("topk", 32.0, 4096),
    public=PublicFacts(True, ("code", "data"), "yes"),
    robust=RobustFacts(10, 9, "test sets", seeds=5, dictionary_seeds=3, attempts=0),
)


def _status(case, criterion):
    return next(own for own in sheet(case).findings if own.criterion == criterion).status


def test_a_case_that_meets_all_resolves_yes():
    found = sheet(GOOD)
    assert found.overall == "YES"
    assert found.deciding == ()
    assert found.in_particular.status == "met"


def _task(**changes):
    return replace(GOOD, task=replace(GOOD.task, **changes))


def _field(**changes):
    return replace(GOOD, field=replace(GOOD.field, **changes))


def _robust(**changes):
    return replace(GOOD, robust=replace(GOOD.robust, **changes))


def _beaten(word):
    return replace(GOOD, main=GOOD.main._replace(word=word))


CASES = [
    ("downstream", _task(downstream="no"), "not met", "NO"),
    ("downstream", _task(measured="not"), "not met", "NO"),
    ("downstream", _task(measured="qualitatively"), "a person's call", "NOT SHOWN"),
    ("downstream", _task(downstream="contested"), "a person's call", "NOT SHOWN"),
    ("constraints", replace(GOOD, constraints=(("no retraining", "the data are gone"),)), "met", "YES"),
    ("constraints", replace(GOOD, constraints=(("no retraining", ""),)), "not shown", "NOT SHOWN"),
    ("compute", replace(GOOD, budget=BudgetFacts(1e12, {0.0: 1e11, 0.1: 9e11, 1.0: 8e12})), "met", "YES"),
    ("compute", replace(GOOD, budget=BudgetFacts(1e12, {0.0: 1e11, 0.1: 2e12, 1.0: 1e13})), "not met", "NO"),
    ("compute", replace(GOOD, budget=BudgetFacts(1e12, {0.1: None})), "not shown", "NOT SHOWN"),
    ("field", _field(families=("probing",)), "not met", "NOT SHOWN"),
    ("field", _field(tuning="unequal"), "not met", "NOT SHOWN"),
    ("field", _field(tuning="unknown"), "not shown", "NOT SHOWN"),
    ("field", _field(baselines_below=("logistic_probe",)), "not met", "NOT SHOWN"),
    ("field", _field(dictionaries_below=("sae",)), "not met", "NOT SHOWN"),
    ("field", _field(dictionary_quality="contested"), "a person's call", "NOT SHOWN"),
    ("beats", _beaten("ties"), "not met", "NO"),
    ("beats", _beaten("loses"), "not met", "NO"),
    ("beats", _beaten("undecided"), "not shown", "NOT SHOWN"),
    ("beats", replace(GOOD, every=GOOD.every._replace(word="undecided")), "not shown", "NOT SHOWN"),
    ("beats", replace(GOOD, every=GOOD.every._replace(word="loses")), "not met", "NO"),
    ("beats", replace(GOOD, main=None, every=None), "not shown", "NOT SHOWN"),
    ("necessary", replace(GOOD, controls=GOOD.controls[1:]), "not shown", "NOT SHOWN"),
    (
        "necessary",
        replace(GOOD, controls=(*GOOD.controls[1:], GOOD.controls[0]._replace(word="ties"))),
        "not met",
        "NO",
    ),
    (
        "necessary",
        replace(GOOD, controls=(*GOOD.controls[1:], GOOD.controls[0]._replace(word="undecided"))),
        "not shown",
        "NOT SHOWN",
    ),
    ("necessary", replace(GOOD, rivals=(GOOD.rivals[0]._replace(word="ties"),)), "met", "YES"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("direction", None, None)), "not met", "NO"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("kmeans", 1.0, 1024)), "met", "YES"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("topk", 3000.0, 4096)), "not met", "NO"),
    ("public", replace(GOOD, public=PublicFacts(False, (), "no")), "not met", "NOT SHOWN"),
    ("public", replace(GOOD, public=PublicFacts(True, ("paper",), "unknown")), "not shown", "NOT SHOWN"),
    ("public", replace(GOOD, public=PublicFacts(True, ("paper",), "partly")), "not shown", "NOT SHOWN"),
    ("public", replace(GOOD, public=PublicFacts(None, ("a run",), "yes")), "a person's call", "NOT SHOWN"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("somebodys_own", 10.0, 1000)), "met", "YES"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("somebodys_own", None, 1000)), "not shown", "NOT SHOWN"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("ica", None, None)), "not shown", "NOT SHOWN"),
    ("dictionary", replace(GOOD, dictionary=DictionaryFacts("topk", None, None)), "met", "YES"),
    ("field", _field(demanded=None), "not shown", "NOT SHOWN"),
    ("field", _field(incomplete=("mlp_probe (seed 2 failed)",)), "not shown", "NOT SHOWN"),
    ("field", _field(peeking=("probe",)), "not met", "NOT SHOWN"),
    ("robust", _robust(attempts=3), "a person's call", "NOT SHOWN"),
    ("robust", _robust(attempts=3, is_registered=True), "met", "YES"),
    ("robust", _robust(usable=1), "not met", "NOT SHOWN"),
    ("robust", _robust(usable=1, big_deal="refusal"), "a person's call", "NOT SHOWN"),
    ("robust", _robust(fragile=("seed 3",)), "not met", "NOT SHOWN"),
    ("robust", _robust(seeds=1), "not shown", "NOT SHOWN"),
    ("robust", _robust(attempted=None, usable=None), "not shown", "NOT SHOWN"),
]


@pytest.mark.parametrize("void", [{"dictionaries_below": ("sae",)}, {"peeking": ("probe",)}])
def test_a_loss_says_nothing_where_the_scores_are_void(void):
    lost = replace(_beaten("loses"), field=replace(GOOD.field, **void))
    assert _status(lost, "beats") == "not met"
    assert sheet(lost).overall == "NOT SHOWN"
    assert sheet(_beaten("loses")).overall == "NO"


@pytest.mark.parametrize(("criterion", "case", "status", "overall"), CASES)
def test_one_criterion_changes_and_the_word_follows(criterion, case, status, overall):
    assert _status(case, criterion) == status
    assert sheet(case).overall == overall
    finding = next(own for own in sheet(case).findings if own.criterion == criterion)
    assert finding.overturn or status in ("met", "not applicable")


def test_parity_with_kmeans_fails_this_kind_in_particular_and_not_the_dictionary():
    found = sheet(replace(GOOD, rivals=(GOOD.rivals[0]._replace(word="ties"),)))
    assert found.in_particular.status == "not met"
    assert found.overall == "YES"


@pytest.mark.parametrize(("word", "overall"), [("met", "YES"), ("not met", "NO")])
def test_a_persons_call_is_entered_as_theirs(word, overall):
    call = Call("downstream", word, "A. Judge", "2026-01-01", "of their own taste")
    found = sheet(replace(_task(downstream="contested"), calls=(call,)))
    assert found.overall == overall
    assert found.findings[0].call == call


def test_what_the_evidence_decides_nobody_calls():
    call = Call("beats", "met", "A. Judge", "2026-01-01", "they would like it")
    found = sheet(replace(_beaten("ties"), calls=(call,)))
    assert found.overall == "NO"
    assert any("A. Judge's call 'met' (2026-01-01) does not count" in own.evidence for own in found.findings)
    with pytest.raises(InputError, match="'beats' of a good case is no person's call: it is not met"):
        require_call(found, call)
    with pytest.raises(InputError) as refused:
        require_call(found, call)
    assert "does not count" not in str(refused.value)
    with pytest.raises(InputError, match="no criterion 'fun'"):
        sheet(replace(GOOD, calls=(call._replace(criterion="fun"),)))
