"""Tables: what a row says, and that Markdown and terminal say the same."""

import numpy as np
import pytest
from rich.console import Console

from fairfight.report.standings import standings
from fairfight.report.tables import limits, markdown_scores, score_table, verdict_rows, verdict_table
from fairfight.verdict.decide import judge_all
from fairfight.verdict.roster import read_roster


@pytest.fixture
def ledger(planted, tmp_path):
    return planted.build(tmp_path, planted.World())


def scores(ledger):
    roster = read_roster(ledger)
    return roster, standings(roster)


def drawn(table):
    console = Console(width=250)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_there_is_a_verdict_row_a_metric_and_test_set_and_one_for_the_mean(ledger):
    rows = verdict_rows(judge_all(ledger)).cells
    assert [row[2] for row in rows[:3]] == ["in_distribution", "unseen_families", "macro"]
    assert {row[1] for row in rows} == {"AUROC", "TPR"}
    assert rows[1][3] == "loses"
    assert rows[0][4].startswith("reconstruction_probe[sae] ")
    assert rows[0][5].startswith("logistic_probe ")


def test_the_terminal_shows_every_contender(ledger):
    text = drawn(score_table(*scores(ledger))) + drawn(verdict_table(judge_all(ledger)))
    for name in ("logistic_probe", "mean_difference", "best_latent[sae]", "reconstruction_probe[random]"):
        assert name in text
    assert "tenth of the dictionary's training" in text


def test_markdown_gives_every_seed_and_the_mean_of_them(ledger):
    page = markdown_scores(*scores(ledger))
    part = page.split("**in_distribution**")[1].split("**")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(rows) == 6
    for row in rows:
        seeds = [float(cell) for cell in row[2:-1]]
        assert len(seeds) == 3
        assert float(row[-1]) == pytest.approx(np.mean(seeds), abs=6e-4)
    means = [float(row[-1]) for row in rows]
    assert means == sorted(means, reverse=True)


def test_a_failure_shows_a_contender_as_incomplete(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World(failing=frozenset({("mean_difference", 1)})))
    assert "Incomplete: mean_difference" in markdown_scores(*scores(ledger))


def test_what_the_study_bounds_is_said():
    run = {"study": {"methods": {"lora_classifier": {"max_tokens_a_fit": 16000, "configurations": 1}, "lda": {}}}}
    assert limits(run) == ["lora_classifier was bounded by the study: configurations = 1, max_tokens_a_fit = 16000."]
