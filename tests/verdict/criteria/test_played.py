"""The criteria of a run: what was crippled, peeked at or replaced is caught by name."""

from dataclasses import replace

import pytest

from fairfight.study import Question
from fairfight.verdict.criteria.played import case_of
from fairfight.verdict.criteria.sheet import sheet
from fairfight.verdict.decide import judge
from fairfight.verdict.roster import read_roster

QUESTION = Question(name="main", replicates=200)
CARD = {"role": "contestant", "kind": "topk", "seed": 0, "site": "resid_post.3", "l0": 32.0, "fvu": 0.1}


@pytest.fixture
def found(planted, tmp_path):
    """Give the sheet of a planted world whose run.json says more."""

    def make(skills, **more):
        ledger = planted.build(tmp_path, planted.World(skills=skills))
        run = ledger.run()
        run["study"]["task"]["name"], run["study"]["model"]["name"] = "harmful_intent", "all-MiniLM-L6-v2"
        ledger.write_run({**run, **more})
        roster = read_roster(ledger)
        return sheet(case_of(roster, judge(ledger, QUESTION)))

    return make


def _skills(planted, *more, probe=1.0):
    return [
        planted.skill("latent_probe[sae]", "dictionary", 3.0, 3.0, dictionary_seeds=(0, 1)),
        planted.skill("logistic_probe", "baseline", probe, probe),
        *(planted.skill(f"latent_probe[{name}]", "control", 0.3, 0.3) for name in ("random", "pca", "neurons")),
        *more,
    ]


def _finding(sheet, criterion):
    return next(own for own in sheet.findings if own.criterion == criterion)


def test_a_win_without_a_fair_field_is_not_shown(planted, found):
    own = found(_skills(planted))
    assert _finding(own, "beats").status == "met"
    assert "missing: finetuning, text-only, floor" in _finding(own, "field").evidence
    assert own.overall == "NOT SHOWN"
    assert "frozen, shuffled" in _finding(own, "necessary").overturn


def test_a_control_that_leaves_what_is_read_as_it_was_is_neither_asked_for_nor_counted(planted, found):
    twin = planted.skill("latent_probe[shuffled]", "control", 3.0, 3.0)
    own = _finding(found(_skills(planted, twin), reads={"latent_probe": "codes"}), "necessary")
    assert own.overturn == "The same method on these controls: frozen."
    assert "latent_probe reads codes alone" in own.evidence
    read = _finding(found(_skills(planted, twin), reads={"latent_probe": "reconstruction"}), "necessary")
    assert "latent_probe[shuffled]" in read.overturn


def test_a_baseline_crippled_on_purpose_is_caught_by_name(planted, found):
    own = _finding(found(_skills(planted, probe=-0.5)), "field")
    assert own.status == "not met"
    assert "baselines below their reference: logistic_probe (AUROC" in own.evidence


def test_an_sae_replaced_by_random_directions_is_caught_by_name(planted, found):
    own = _finding(found(_skills(planted), dictionaries=[{**CARD, "name": "sae", "fvu": 0.75}]), "field")
    assert own.status == "not met"
    assert "sae (seed 0, resid_post.3) (FVU 0.750, reference 0.340)" in own.evidence


def test_a_method_that_peeks_is_caught_by_name(planted, found, tmp_path):
    peeking = planted.Skill(
        planted.skill("latent_probe[peek]", "dictionary", 1, 1).contender,
        {"validation": 1.0, "calibration": 1.0, "in_distribution": 9.0, "unseen_families": 9.0},
    )
    own = found(_skills(planted, peeking))
    field = _finding(own, "field")
    assert "latent_probe[peek] (AUROC 1.000 on 'in_distribution'" in field.evidence
    assert (field.status, "looked at, mended and played again" in field.overturn) == ("not met", True)


def test_honest_contenders_are_not_suspected(planted, found):
    assert "sealed" not in _finding(found(_skills(planted)), "field").evidence


def test_a_win_that_one_test_set_makes_is_brittle(planted, found):
    skills = [
        planted.skill("latent_probe[sae]", "dictionary", 1.0, 4.0, dictionary_seeds=(0, 1)),
        planted.skill("logistic_probe", "baseline", 1.0, 0.5),
    ]
    own = _finding(found(skills), "robust")
    assert own.status == "not met"
    assert "did not survive: unseen_families" in own.evidence


def test_a_win_that_one_dictionary_seed_makes_is_brittle(planted, tmp_path):
    skills = [
        planted.skill("latent_probe[sae]", "dictionary", 3.0, 3.0, dictionary_seeds=(0, 1, 2)),
        planted.skill("logistic_probe", "baseline", 1.0, 1.0),
    ]
    ledger = planted.build(tmp_path, planted.World(skills=skills))
    verdict = judge(ledger, QUESTION)
    names = [*planted.TEST_SETS, *(f"split seed {i}" for i in (1, 2, 3)), *(f"dictionary seed {i}" for i in (0, 1, 2))]
    assert list(verdict.left_out) == names
    assert verdict.left_out["dictionary seed 1"] == pytest.approx(_without_dictionary_seed(ledger, 1))
    roster = read_roster(ledger)
    brittle = replace(verdict, left_out=verdict.left_out | {"dictionary seed 1": 0.0})
    assert "did not survive: dictionary seed 1;" in _finding(sheet(case_of(roster, brittle)), "robust").evidence
    assert "did not survive" not in _finding(sheet(case_of(roster, verdict)), "robust").evidence


def _without_dictionary_seed(ledger, left_out):
    mean = {"latent_probe[sae]": [], "logistic_probe": []}
    for trial in ledger.trials():
        if trial.spec.purpose == "score" and trial.spec.dictionary_seed != left_out:
            mean[trial.spec.contender.name] += trial.outcome.test_auroc.values()
    ours, theirs = (sum(own) / len(own) for own in mean.values())
    return ours - theirs


def test_the_task_says_why_anybody_wants_it_or_a_person_has_to(planted, found):
    assert _finding(found(_skills(planted)), "downstream").status == "a person's call"
    own = found(_skills(planted), task={"contest": "detect", "motive": "monitors need it"})
    assert _finding(own, "downstream").status == "met"


def test_the_kind_and_its_measured_l0_are_looked_at(planted, found):
    cards = [{**CARD, "name": "sae", "recipe": {"latents": 40}}]
    own = _finding(found(_skills(planted), dictionaries=cards), "dictionary")
    assert (own.status, "Over half of the latents are active" in own.evidence) == ("not met", True)
