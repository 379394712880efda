"""Draws keep their strata, lose no class, and hang on names alone."""

import numpy as np
import pytest

from fairfight.errors import EmptyClassError
from fairfight.verdict.draws import cluster_counts, draw, stream
from fairfight.verdict.roster import read_roster


def test_each_replicate_holds_as_many_clusters_of_a_stratum_as_the_sample():
    strata = np.array([0] * 7 + [1] * 12 + [-1] * 3)
    counts = cluster_counts(strata, np.ones((1, 22), dtype=bool), 50, stream("strata"))
    assert (counts[:, strata == 0].sum(axis=1) == 7).all()
    assert (counts[:, strata == 1].sum(axis=1) == 12).all()
    assert (counts[:, strata == -1] == 0).all()
    assert (counts[0, strata >= 0] == 1).all()


def test_no_replicate_leaves_a_needed_group_empty():
    needed = np.zeros((1, 10), dtype=bool)
    needed[0, :2] = True
    counts = cluster_counts(np.zeros(10, dtype=int), needed, 500, stream("needed"))
    assert (counts[:, :2].sum(axis=1) > 0).all()


def test_a_group_that_nobody_can_draw_is_an_error():
    needed = np.array([[False, True]])
    with pytest.raises(EmptyClassError, match="clusters of one class"):
        cluster_counts(np.array([0, -1]), needed, 20, stream("lost"))


def test_the_same_names_give_the_same_draws_and_other_names_give_others(planted, tmp_path):
    roster = read_roster(planted.build(tmp_path))
    one, same, other = (draw(roster, roster.test_sets, 50, ("hash", name)) for name in ("q", "q", "r"))
    assert (one == same).all()
    assert not (one == other).all()
