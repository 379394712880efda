"""What contenders spent, when one pays, and who lies on the front: each against figures planted by hand."""

from dataclasses import replace

import pytest

from fairfight.records import Contender, Cost
from fairfight.verdict.board import Interval
from fairfight.verdict.cost import Point, Spent, Training, break_even, charged_trial, pareto, spent
from fairfight.verdict.roster import read_roster

A_TRIAL = 10**9 + 10**8 + 10**7
"""What `planted` lets a trial cost: passes, a tenth of that for encoding, a hundredth for fitting."""


def costs(planted, folder, *, variants_of=None, kind="topk", cards=None, cost=None):
    """Give the costs of a world with a base, one that may have been made from it, and a baseline."""
    skills = [
        planted.skill("logistic_probe", "baseline", 2.0, 2.0),
        planted.skill("probe[sae]", "dictionary", 1.0, 1.0, dictionary_seeds=(0, 1)),
        planted.skill("probe[tuned]", "dictionary", 1.5, 1.5, dictionary_seeds=(0, 1)),
    ]
    ledger = planted.build(folder, planted.World(skills=skills, variants_of=variants_of or {}))
    run = dict(ledger.run())
    run["study"]["dictionaries"]["tuned"]["kind"] = kind
    run["dictionaries"] = [{**card, **(cards or {}).get(card["name"], {})} for card in run["dictionaries"]]
    ledger.write_run(run)
    if cost:
        for trial in ledger.trials():
            ledger.write(replace(trial, cost=cost(trial)))
    return read_roster(ledger)


def test_a_contender_is_charged_its_trial_its_tuning_and_a_share_of_the_training(planted, tmp_path):
    own = spent(costs(planted, tmp_path))
    assert own["logistic_probe"].charged(1.0) == 2 * A_TRIAL
    assert own["logistic_probe"].tuning_trials == 1
    assert [own["probe[sae]"].charged(share) for share in (0, 0.1, 1)] == [
        2 * A_TRIAL,
        2 * A_TRIAL + 1e11,
        2 * A_TRIAL + 1e12,
    ]
    assert (own["probe[sae]"].labels, own["probe[sae]"].tokens) == (100, 5000)


def test_seconds_and_memory_are_those_of_scored_trials(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World(skills=[planted.skill("a", "baseline", 1.0, 1.0)]))
    for trial in ledger.trials():
        seed = trial.spec.seed
        machine = replace(trial.machine, seconds=100.0 if trial.spec.purpose == "tune" else seed, peak_bytes=seed)
        ledger.write(replace(trial, machine=machine))
    own = spent(read_roster(ledger))["a"]
    assert (own.seconds, own.peak_bytes) == (2.0, 3)


def test_only_what_was_trained_on_the_task_is_charged_in_full(planted, tmp_path):
    """The base's card says 2e12, the variant's 3e12; a trial is charged for 3e12."""
    roster = costs(
        planted,
        tmp_path,
        variants_of={"tuned": "sae"},
        kind="fine_tuned",
        cost=lambda trial: replace(trial.cost, dictionary_flops=3 * 10**12 if trial.spec.contender.dictionary else 0),
    )
    own = spent(roster)["probe[tuned]"]
    assert own.training == Training(2e12, 1e12)
    assert own.charged(0.1) == 2 * A_TRIAL + 0.1 * 2e12 + 1e12
    assert own.charged(0.1, on_task_share=0.1) == pytest.approx(2 * A_TRIAL + 0.1 * 3e12)
    play = next(iter(roster.entries["probe[tuned]"].plays.values()))
    assert charged_trial(roster, play.trial) == A_TRIAL + 0.1 * 2e12 + 1e12


@pytest.mark.parametrize("kind", ["fine_tuned", "supervised"])
def test_without_a_base_that_the_study_names_all_of_it_is_charged_in_full(planted, tmp_path, kind):
    assert spent(costs(planted, tmp_path, kind=kind))["probe[tuned]"].training == Training(0, 1e12)


def test_a_variant_of_another_kind_is_charged_as_any_dictionary(planted, tmp_path):
    own = spent(costs(planted, tmp_path, variants_of={"tuned": "sae"}))
    assert own["probe[tuned]"].training == Training(1e12, 0)


def test_what_was_executed_stands_beside_the_dense_equivalent(planted, tmp_path):
    cards = {"sae": {"training_flops": {"executed": 3 * 10**11, "dense": 10**12}, "harvest_flops": 10**10}}
    own = spent(costs(planted, tmp_path, cards=cards))["probe[sae]"]
    assert own.executed(1.0) == 2 * A_TRIAL + 3.1e11
    assert own.charged(1.0) == 2 * A_TRIAL + 1e12


def test_an_unknown_cost_stays_unknown(planted, tmp_path):
    def unknown(trial):
        return replace(trial.cost, dictionary_flops=None) if trial.spec.contender.dictionary == "sae" else trial.cost

    cards = {"tuned": {"training_flops": None, "harvest_flops": None}}
    own = spent(costs(planted, tmp_path, cost=unknown, cards=cards))
    assert own["probe[sae]"].charged(0.0) is None
    assert own["probe[tuned]"].charged(1.0) == 2 * A_TRIAL + 1e12
    assert own["probe[tuned]"].executed(1.0) is None, "nobody says what was executed"
    found = break_even(own["probe[sae]"], own["logistic_probe"])
    assert (found.uses, found.reason) == (None, "nobody says what training the dictionary of probe[sae] took")


def purse(trial, once, training=0.0):
    own = Training(training, 0.0)
    return Spent(Contender("m", "f", "dictionary"), trial, once, own, own, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("challenger", "defender", "uses"),
    [
        # 10 + 100 beforehand and 2 a use, against 20 and 5: 90 / 3.
        (purse(2, 10, 100), purse(5, 20), 30),
        (purse(2, 10, 101), purse(5, 20), 31),
        (purse(2, 10), purse(5, 20), 0),
        (purse(5, 20), purse(5, 20), 0),
        (purse(5, 20, 1), purse(5, 20), None),
        (purse(6, 20), purse(5, 20), None),
        # 10 saved beforehand, 1 lost a use; or lost at once.
        (purse(6, 10), purse(5, 20), 0),
        (purse(60, 10), purse(5, 20), None),
    ],
)
def test_the_break_even_is_where_the_totals_cross(challenger, defender, uses):
    found = break_even(challenger, defender)
    assert found.uses == uses
    assert found.reason
    if uses:
        ours, theirs = (
            [own.charged(1.0) + (n - 1) * own.trial_flops for n in (uses, uses - 1)] for own in (challenger, defender)
        )
        assert ours[0] <= theirs[0]
        assert ours[1] > theirs[1]


def point(name, flops, score, spread=0.0):
    return Point(name, flops, Interval(score, score - spread, score + spread))


def test_only_the_cheaper_and_better_dominates():
    points = [
        point("cheap", 1, 0.6),
        point("worse", 2, 0.5, 0.2),
        point("good", 3, 0.8, 0.1),
        point("equal", 4, 0.8),
        point("poor", 5, 0.55, 0.1),
        point("as dear", 3, 0.7),
        point("best", 9, 0.9),
    ]
    placed = {own.name: own for own in pareto(points)}
    assert [own.name for own in pareto(points) if own.is_on_front] == ["cheap", "good", "as dear", "equal", "best"]
    assert placed["worse"].dominated_by == ("cheap",)
    assert placed["poor"].dominated_by == ("good", "equal", "as dear", "cheap")
    assert {name for name, own in placed.items() if own.overlaps_front} == placed.keys() - {"poor"}


def test_a_front_of_nobody_is_empty():
    assert pareto([]) == []


def test_costs_of_trials_add_up(planted, tmp_path):
    roster = costs(planted, tmp_path, cost=lambda trial: Cost(1, 2, 4, 0, 5, 6, 7))
    assert {own.trial_flops for own in spent(roster).values()} == {7.0}
