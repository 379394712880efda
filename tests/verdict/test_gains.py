"""What a variant gained over its base is the paired difference, and its share of the gap is the ratio of two of them."""

import pytest

from fairfight.report.tables import gain_rows
from fairfight.verdict.gains import gains
from fairfight.verdict.roster import read_roster


def found(planted, folder, *, tuned=2.0, dense=3.0):
    seeds = {"dictionary_seeds": (0, 1), "own_noise": 0.2}
    skills = [
        planted.skill("logistic_probe", "baseline", dense, dense, own_noise=0.2),
        planted.skill("best_latent[sae]", "dictionary", 1.0, 1.0, **seeds),
        planted.skill("best_latent[tuned]", "dictionary", tuned, tuned, **seeds),
        planted.skill("latent_probe[tuned]", "dictionary", tuned, tuned, **seeds),
    ]
    return read_roster(planted.build(folder, planted.World(skills=skills, variants_of={"tuned": "sae"})))


def test_a_variant_is_compared_with_its_base_under_the_same_method(planted, tmp_path):
    roster = found(planted, tmp_path)
    (own,) = gains(roster)
    assert (own.gain.challenger, own.gain.defender) == ("best_latent[tuned]", "best_latent[sae]")
    assert own.gain.macro.word == "wins"
    assert own.gap.challenger == "logistic_probe"
    assert own.share.score == pytest.approx(own.gain.macro.difference / own.gap.macro.difference)
    assert 0 < own.share.low < own.share.score < own.share.high < 1
    assert (own.training_flops, own.tokens_seen) == (1e12, 2500)
    (cells,) = gain_rows([own]).cells
    assert cells[:3] == ("best_latent", "tuned", "sae")
    assert cells[-1] == "1.0e+12"


def test_without_a_gap_there_is_no_share(planted, tmp_path):
    (own,) = gains(found(planted, tmp_path, dense=0.9))
    assert own.share is None
    assert gain_rows([own]).cells[0][-2] == "no clear gap"


def test_a_study_without_variants_has_no_gains(planted, tmp_path):
    assert gains(read_roster(planted.build(tmp_path))) == []
