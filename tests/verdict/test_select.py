"""Selection looks at validation only, and says whom it cannot tell apart."""

import dataclasses

import pytest

from fairfight.errors import InputError
from fairfight.verdict.roster import read_roster
from fairfight.verdict.select import choose


def _chosen(planted, folder, skills, side="baseline"):
    roster = read_roster(planted.build(folder, planted.World(skills=skills)))
    return choose(roster, side)


def test_the_best_on_validation_is_chosen_even_where_it_loses_every_test(planted, tmp_path):
    skills = [planted.skill("a", "baseline", 2.5, 0.1), planted.skill("b", "baseline", 1.0, 3.0)]
    assert _chosen(planted, tmp_path, skills).best.name == "a"


def test_a_clearly_worse_contender_does_not_tie(planted, tmp_path):
    skills = [planted.skill("a", "baseline", 2.5, 1.0), planted.skill("b", "baseline", 0.5, 1.0)]
    assert _chosen(planted, tmp_path, skills).ties == ()


def test_a_contender_of_equal_skill_and_equal_scores_ties(planted, tmp_path):
    skills = [planted.skill(name, "baseline", 1.5, 1.0, own_noise=0.0) for name in ("a", "b")]
    chosen = _chosen(planted, tmp_path, skills)
    assert (chosen.best.name, chosen.ties) == ("a", ("b",))


def test_validation_is_averaged_over_seeds_and_dictionary_seeds(planted, tmp_path):
    roster = read_roster(planted.build(tmp_path))
    entry = roster.entries["best_latent[sae]"]
    values = [play.outcome.validation_auroc for play in entry.plays.values()]
    assert len(values) == 6
    assert entry.validation_auroc == pytest.approx(sum(values) / 6)


def test_without_validation_scores_nobody_is_said_to_tie(planted, tmp_path):
    skills = [planted.skill(name, "baseline", 1.5, 1.0, own_noise=0.0) for name in ("a", "b")]
    ledger = planted.build(tmp_path, planted.World(skills=skills))
    for trial in ledger.trials():
        kept = {name: values for name, values in trial.outcome.scores.items() if name != "validation"}
        ledger.write(dataclasses.replace(trial, outcome=dataclasses.replace(trial.outcome, scores=kept)))
    assert choose(read_roster(ledger), "baseline").ties == ()


def test_a_side_without_a_complete_contender_is_an_error_that_names_what_is_missing(planted, tmp_path):
    skills = [planted.skill("a", "baseline", 1.0, 1.0)]
    roster = read_roster(planted.build(tmp_path, planted.World(skills=skills, failing=frozenset({("a", 2)}))))
    with pytest.raises(InputError, match=r"a: 1 of 3 trials missing or failed \(seed 2\)"):
        choose(roster, "baseline")
