"""A budget bars who exceeds it, says so, and shows what other shares of training would do; without one all is as before."""

from dataclasses import asdict, replace

import pytest

from fairfight.errors import InputError
from fairfight.meter import Meter
from fairfight.report.standings import standings
from fairfight.report.tables import budget_rows, cost_rows
from fairfight.report.wording import costs as sentence
from fairfight.report.wording import notes
from fairfight.verdict.cost import spent
from fairfight.verdict.decide import judge_all, questions_of, verdicts
from fairfight.verdict.roster import read_roster


@pytest.fixture(scope="module")
def roster(planted, tmp_path_factory):
    """best_latent[sae]: 2.2e9 and training of 1e12; reconstruction_probe[sae]: 6.7e9 and the same; baselines 2.2e9, 2.2e8."""
    return read_roster(planted.build(tmp_path_factory.mktemp("budget")))


def judged(roster, **budget):
    run = {**roster.run, "study": {**roster.run["study"], "budget": budget or None}}
    held = replace(roster, run=run)
    (verdict,) = verdicts(held, questions_of(held))
    return verdict


def test_who_exceeds_the_budget_is_not_chosen_and_named_with_its_cost(roster):
    verdict = judged(roster, flops=1.05e11)
    assert (verdict.challenger, verdict.defender) == ("best_latent[sae]", "logistic_probe")
    # 2 x 3.33e9 for trial and tuning, a tenth of 1e12.
    assert "reconstruction_probe[sae]: it cost 1.07e+11 FLOPs; the budget is 1.05e+11" in verdict.excluded
    assert any("by the study's budget: " in warning for warning in verdict.warnings)
    assert not any("want of scored seeds" in warning for warning in verdict.warnings)
    assert verdict.every.count == 2
    assert [own.defender for own in verdict.gaps] == ["logistic_probe"], "the gap is no contest"


def test_a_smaller_share_lets_in_what_a_larger_one_bars(roster):
    verdict = judged(roster, flops=1.05e11)
    found = {own.share: own for own in verdict.budget.shares}
    assert [own.challenger for own in found.values()] == ["reconstruction_probe[sae]", "best_latent[sae]", None]
    assert [own.defender for own in found.values()] == ["logistic_probe"] * 3
    assert found[0.1].word == verdict.macro.word
    assert found[1.0].word is None
    assert found[0.0].over == ()
    rows = budget_rows(verdict.budget).cells
    assert [row[0] for row in rows] == ["0 %", "10 %", "100 %"]
    assert rows[2][1:] == ("nobody", "logistic_probe", "none", "4")


def test_the_studys_own_share_is_charged_and_shown(roster):
    verdict = judged(roster, flops=1.05e11, dictionary_share=0.05)
    assert verdict.challenger == "reconstruction_probe[sae]"
    assert [own.share for own in verdict.budget.shares] == [0.0, 0.05, 0.1, 1.0]
    assert verdict.costs.share == 0.05


def test_a_side_that_nobody_can_afford_is_an_error_with_every_cost(roster):
    assert judged(roster, flops=1e13).excluded == ()
    with pytest.raises(
        InputError, match=r"No contender on the side 'dictionary' keeps .* it cost 1.02e\+11 FLOPs.* Raise"
    ):
        judged(roster, flops=1e9)


def test_a_cost_that_nobody_knows_cannot_keep_a_budget(planted, tmp_path):
    ledger = planted.build(tmp_path)
    for trial in ledger.trials():
        if trial.spec.contender.name == "reconstruction_probe[sae]":
            ledger.write(replace(trial, cost=replace(trial.cost, dictionary_flops=None)))
    own = read_roster(ledger)
    assert judged(own).challenger == "reconstruction_probe[sae]"
    assert "unknown" in sentence(judged(own))
    held = judged(own, flops=1e15)
    assert held.challenger == "best_latent[sae]"
    assert any("nobody says what its dictionary's training took" in line for line in held.excluded)


def test_fine_tuning_on_the_task_at_a_tenth_is_shown_beside(planted, tmp_path):
    seeds = {"dictionary_seeds": (0, 1)}
    skills = [
        planted.skill("probe", "baseline", 2.0, 2.0),
        planted.skill("probe[sae]", "dictionary", 1.0, 1.0, **seeds),
        planted.skill("probe[tuned]", "dictionary", 2.0, 2.0, **seeds),
    ]
    ledger = planted.build(tmp_path, planted.World(skills=skills, variants_of={"tuned": "sae"}))
    run = ledger.run()
    run["study"]["dictionaries"]["tuned"]["kind"] = "fine_tuned"
    ledger.write_run(run)
    verdict = judged(read_roster(ledger), flops=5e11)
    assert verdict.challenger == "probe[sae]"
    last = verdict.budget.shares[-1]
    assert (last.share, last.on_task_share, last.challenger) == (0.1, 0.1, "probe[tuned]")
    assert budget_rows(verdict.budget).cells[-1][0] == "10 %, on the task 10 %"


def test_without_a_budget_nothing_is_barred(roster):
    verdict = judged(roster)
    assert (verdict.challenger, verdict.budget, verdict.excluded) == ("reconstruction_probe[sae]", None, ())
    assert verdict.to_json()["budget"] is None
    assert verdict.to_json()["costs"]["break_even"]["uses"] is None
    assert judged(roster, flops=1e20).macro == verdict.macro


def test_what_the_two_cost_is_said_among_the_notes(roster):
    (line,) = [note for note in notes(judged(roster)) if note.startswith("Cost of")]
    assert line == (
        "Cost of a trial and its tuning, with 10 % of the dictionary's training: reconstruction_probe[sae] 1.1e+11 FLOPs, logistic_probe 2.2e+09. With "
        "all of it, no number of uses makes reconstruction_probe[sae] the cheaper: it is dearer from the first use on, and "
        "no use of it costs less."
    )


def test_costs_have_a_row_a_contender(roster):
    found = standings(roster)
    rows = cost_rows(found, spent(roster))
    by_name = {row[0]: dict(zip(rows.columns, row, strict=True)) for row in rows.cells}
    assert by_name.keys() == roster.entries.keys()
    own = by_name["best_latent[sae]"]
    assert (own["trial"], own["tuning"], own["training"]) == ("1.1e+09", "1.1e+09 (1)", "1.0e+12")
    assert (own["at 0 %"], own["at 10 %"], own["at 100 %"]) == ("2.2e+09", "1.0e+11", "1.0e+12")
    assert by_name["logistic_probe"]["front"] == by_name["mean_difference"]["front"] == "on the front"
    assert own["front"].startswith("behind logistic_probe and 1 more")


def test_judges_have_a_column_where_anybody_asked_one(planted, tmp_path):
    ledger = planted.build(tmp_path)
    for trial in ledger.trials():
        if trial.spec.contender.name == "mean_difference":
            meter = Meter(**asdict(trial.cost))
            meter.charge_judge(700, calls=20)
            meter.charge_judge(50)
            ledger.write(replace(trial, cost=meter.cost()))
    roster = read_roster(ledger)
    rows = cost_rows(standings(roster), spent(roster))
    by_name = {row[0]: dict(zip(rows.columns, row, strict=True)) for row in rows.cells}
    assert by_name["mean_difference"]["judge calls (tokens)"] == "21 (750)"
    assert by_name["logistic_probe"]["judge calls (tokens)"] == "0 (0)"


def test_a_json_verdict_holds_its_shares(planted, tmp_path):
    ledger = planted.build(tmp_path)
    run = ledger.run()
    run["study"]["budget"] = {"flops": 1.05e11, "dictionary_share": 0.1}
    ledger.write_run(run)
    (verdict,) = judge_all(ledger)
    assert [own["word"] for own in verdict.to_json()["budget"]["shares"]][2] is None
