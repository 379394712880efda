"""The verdict finds what was planted, and keeps its laws."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from fairfight.errors import DamagedFileError, InputError
from fairfight.report.wording import notes
from fairfight.study import Question
from fairfight.verdict.board import Board
from fairfight.verdict.decide import compared, judge, judge_all
from fairfight.verdict.roster import read_roster

QUESTION = Question(name="main", replicates=400)


@pytest.fixture(scope="module")
def standard(planted, tmp_path_factory):
    return planted.build(tmp_path_factory.mktemp("standard"))


def test_a_planted_clear_win_wins(planted, tmp_path):
    skills = [
        planted.skill("probe[sae]", "dictionary", 2.5, 2.5, dictionary_seeds=(0, 1)),
        planted.skill("probe", "baseline", 0.5, 0.2),
    ]
    verdict = judge(planted.build(tmp_path, planted.World(skills=skills)), QUESTION)
    assert {own.word for own in verdict.sets.values()} == {"wins"}
    assert verdict.macro.word == "wins"


def test_a_planted_clear_loss_loses(standard):
    verdict = judge(standard, QUESTION)
    assert (verdict.challenger, verdict.defender) == ("reconstruction_probe[sae]", "logistic_probe")
    assert verdict.sets["unseen_families"].word == "loses"
    assert verdict.macro.high < 0


@pytest.mark.parametrize("metric", ["auroc", "tpr"])
def test_a_side_against_itself_ties_with_a_difference_of_exactly_nothing(standard, metric):
    question = Question(name="self", challenger="rival", defender="rival", metric=metric, margin=0.0, replicates=200)
    for own in (*(verdict := judge(standard, question)).sets.values(), verdict.macro):
        assert (own.word, own.difference, own.low, own.high) == ("ties", 0.0, 0.0, 0.0)


def test_swapping_the_sides_mirrors_every_interval(standard):
    roster = read_roster(standard)
    one, other = (("logistic_probe", "best_latent[sae]"), ("best_latent[sae]", "logistic_probe"))
    forward, back = (compared(Board.of(roster), pair, "auroc", 0.01, 0.95) for pair in (one, other))
    for name, own in forward.sets.items():
        assert own.low == pytest.approx(-back.sets[name].high, abs=1e-15)
        assert own.high == pytest.approx(-back.sets[name].low, abs=1e-15)
    mirrored = judge(standard, Question(name="m", challenger="rival", defender="control", replicates=300))
    turned = judge(standard, Question(name="m", challenger="control", defender="rival", replicates=300))
    assert mirrored.macro.low == pytest.approx(-turned.macro.high, abs=1e-15)


def test_the_scores_shown_are_scikit_learns_averaged_over_every_trial(standard):
    verdict, roster = judge(standard, QUESTION), read_roster(standard)
    plays = roster.entries[verdict.challenger].plays
    expected = [
        roc_auc_score(roster.indices[seed, "in_distribution"].labels, play.scores["in_distribution"])
        for (seed, _), play in plays.items()
    ]
    assert len(expected) == 6
    assert verdict.sets["in_distribution"].challenger_score == pytest.approx(np.mean(expected), abs=1e-12)
    macro = np.mean([own.difference for own in verdict.sets.values()])
    assert verdict.macro.difference == pytest.approx(macro, abs=1e-12)


def test_the_same_ledger_and_question_give_the_same_bits(standard):
    first, second = (json.dumps(judge(standard, QUESTION).to_json(), allow_nan=False) for _ in range(2))
    assert first == second


def test_several_questions_are_adjusted_for_and_the_interval_says_the_same_as_the_p_value(planted, tmp_path):
    sides = [("dictionary", "baseline"), ("rival", "baseline"), ("dictionary", "rival")]
    questions = [{"name": f"{a}-{b}", "challenger": a, "defender": b} for a, b in sides]
    found = judge_all(planted.build(tmp_path, planted.World(questions=questions)))
    expected = multipletests([own.macro.p for own in found], method="holm")[1]
    assert [own.adjusted_p for own in found] == pytest.approx(list(expected), abs=1e-12)
    assert max(own.level for own in found) > 0.95
    for own in found:
        assert (own.macro.word != "undecided") == (own.adjusted_p <= 0.05)


def test_beating_every_baseline_is_asked_of_the_hardest_whoever_validation_chose(planted, tmp_path):
    skills = [
        planted.skill("probe[sae]", "dictionary", 2.5, 2.0, dictionary_seeds=(0, 1)),
        planted.skill("a", "baseline", 2.0, 0.2),
        planted.skill("b", "baseline", 1.6, 3.0),
    ]
    verdict = judge(planted.build(tmp_path, planted.World(skills=skills)), QUESTION)
    assert verdict.defender == "a"
    assert verdict.sets["unseen_families"].word == "wins"
    assert (verdict.every.compared.defender, verdict.every.count) == ("b", 2)
    assert verdict.every.word != "wins"
    assert verdict.every.p > 0.05


def test_what_the_study_could_have_shown_shrinks_with_more_clusters(planted, tmp_path):
    few, many = (
        judge(planted.build(tmp_path / str(count), planted.World(clusters=count)), QUESTION).sensitivity
        for count in (20, 80)
    )
    assert 0.01 < many.smallest_effect < few.smallest_effect


def test_a_wider_level_gives_a_wider_interval(standard):
    narrow, wide = (judge(standard, QUESTION.model_copy(update={"level": level})).macro for level in (0.8, 0.99))
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_the_reconstruction_gap_sets_the_two_probes_against_each_other(standard):
    (gap,) = judge(standard, QUESTION).gaps
    assert (gap.challenger, gap.defender) == ("reconstruction_probe[sae]", "logistic_probe")
    assert gap.macro.difference < 0


def test_controls_are_the_same_method_on_the_other_dictionaries(standard):
    (control,) = judge(standard, QUESTION).controls
    assert (control.challenger, control.defender) == ("reconstruction_probe[sae]", "reconstruction_probe[random]")
    assert control.macro.word == "wins"


def test_the_tpr_stands_beside_the_auroc_with_the_rate_that_was_achieved(standard):
    verdict = judge(standard, QUESTION)
    assert verdict.operating_point.fpr == 0.05
    assert verdict.tpr.metric == "tpr"
    assert set(verdict.achieved) == {"in_distribution", "unseen_families"}
    assert any("5 %, not 1 %" in warning for warning in verdict.warnings)


def test_a_question_about_the_tpr_is_decided_by_the_tpr(standard):
    verdict = judge(standard, QUESTION.model_copy(update={"metric": "tpr"}))
    assert verdict.sets == verdict.tpr.sets
    assert {control.metric for control in verdict.controls} == {"tpr"}


def test_a_contender_with_a_failed_seed_is_not_chosen_but_named(planted, tmp_path):
    world = planted.World(failing=frozenset({("logistic_probe", 2)}))
    verdict = judge(planted.build(tmp_path, world), QUESTION)
    assert verdict.defender == "mean_difference"
    assert verdict.excluded == ("logistic_probe: 1 of 3 trials missing or failed (seed 2)",)
    assert verdict.failed == ("logistic_probe (score, seed 2): NotConvergedError: the fit stopped at 3 <of> 5 steps",)
    assert any("1 trial(s) failed" in warning for warning in verdict.warnings)
    assert verdict.gaps == ()


def test_saturation_is_said(planted, tmp_path):
    skills = [planted.skill("probe[sae]", "dictionary", 2.5, 2.5), planted.skill("probe", "baseline", 9.0, 1.0)]
    verdict = judge(planted.build(tmp_path, planted.World(skills=skills)), QUESTION)
    assert [w for w in verdict.warnings if "saturated" in w] == [
        "'in_distribution' is saturated: probe has a mean AUROC of 1.000 there, so differences in AUROC are hardly "
        "visible. Look at the TPR."
    ]


def test_every_question_of_the_study_is_answered_in_its_order(planted, tmp_path):
    questions = [{"name": name, "replicates": 200} for name in ("second", "first")]
    ledger = planted.build(tmp_path, planted.World(questions=questions))
    assert [verdict.question.name for verdict in judge_all(ledger)] == ["second", "first"]


def test_trials_of_another_study_or_of_settings_not_selected_do_not_count(planted, tmp_path):
    ledger = planted.build(tmp_path)
    before = judge(ledger, QUESTION).to_json()
    trial = next(t for t in ledger.trials() if t.spec.purpose == "score" and t.is_scored)
    for change in ({"study": "another"}, {"settings": {"site": "elsewhere"}}):
        ledger.write(dataclasses.replace(trial, spec=dataclasses.replace(trial.spec, **change)))
    assert judge(ledger, QUESTION).to_json() == before


def test_scores_that_do_not_fit_the_examples_are_refused(planted, tmp_path):
    ledger = planted.build(tmp_path)
    trial = next(t for t in ledger.trials() if t.spec.purpose == "score")
    short = {**trial.outcome.scores, "validation": (0.5,)}
    ledger.write(dataclasses.replace(trial, outcome=dataclasses.replace(trial.outcome, scores=short)))
    with pytest.raises(DamagedFileError, match="has 1 scores on 'validation'"):
        judge(ledger, QUESTION)


def test_a_folder_without_trials_is_refused(planted, tmp_path):
    ledger = planted.build(tmp_path)
    for file in ledger.trials_folder.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="no trial of its study"):
        judge(ledger, QUESTION)


def test_judging_needs_no_torch():
    code = "import sys, fairfight.report.page, fairfight.verdict.decide; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_trials_that_the_run_does_not_list_are_left_aside(planted, tmp_path):
    """As after an update or a change of the data: the same seats were played once before, with other scores."""
    ledger = planted.build(tmp_path, planted.World())
    before = [verdict.to_json() for verdict in judge_all(ledger)]
    for trial in ledger.trials():
        older = dataclasses.replace(trial, spec=dataclasses.replace(trial.spec, inputs="older data"))
        if trial.is_scored:
            flipped = {name: tuple(-value for value in values) for name, values in trial.outcome.scores.items()}
            older = dataclasses.replace(older, outcome=dataclasses.replace(trial.outcome, scores=flipped))
        ledger.write(older)
    assert [verdict.to_json() for verdict in judge_all(ledger)] == before


def test_a_run_that_lists_no_trials_is_refused(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World(seeds=1, clusters=4))
    ledger.write_run({key: value for key, value in ledger.run().items() if key != "trials"})
    with pytest.raises(InputError, match="lists no trials"):
        judge_all(ledger)


def test_one_trial_against_one_is_set_beside_delongs_test_or_says_why_not(planted, tmp_path):
    skills = [planted.skill("probe[sae]", "dictionary", 1.5, 1.5), planted.skill("probe", "baseline", 0.8, 9.0)]
    single = judge(
        planted.build(tmp_path / "1", planted.World(skills=skills, seeds=1, clusters=80, variants=1)), QUESTION
    )
    own = single.delong["in_distribution"]
    assert own.difference == pytest.approx(single.sets["in_distribution"].difference, abs=1e-12)
    assert own.error == pytest.approx(single.sets["in_distribution"].standard_error, rel=1e-6)
    assert "misplaced" in single.delong["unseen_families"]
    clustered = judge(planted.build(tmp_path / "2", planted.World(skills=skills, seeds=1)), QUESTION)
    assert "takes independent examples" in clustered.delong["in_distribution"]
    several = judge(planted.build(tmp_path / "3", planted.World(skills=skills, seeds=2)), QUESTION)
    assert several.delong == {}
    assert "DeLong's test, for comparison: in_distribution +" in " ".join(notes(single))
