"""The page: everything in one file, hostile text kept harmless, the same bytes for the same ledger."""

import re
from dataclasses import replace

import pytest

from fairfight.errors import InputError
from fairfight.ledger import Ledger
from fairfight.report.page import render
from fairfight.verdict.decide import judge_all

HOSTILE = "</script><script>alert('owned')</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def page_of(planted, folder, **world):
    ledger = planted.build(folder, planted.World(**world))
    return render(ledger, judge_all(ledger))


def without_plotly(page):
    """Leave Plotly's own script out: it is not ours, and speaks of many addresses that it never fetches."""
    return re.sub(r"<script[^>]*>/\*\*.*?</script>", "", page, flags=re.DOTALL)


def test_nothing_is_fetched_to_read_it(planted, tmp_path):
    page = page_of(planted, tmp_path)
    assert len(page) > 3_000_000, "Plotly's script is not inside"
    assert not re.search(r"<(script|img|iframe|link)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", page)
    assert not re.search(r"@import|url\(\s*[\"']?https?:", without_plotly(page))


def test_hostile_text_stays_text(planted, tmp_path):
    hostile = planted.skill(f"best_latent[{HOSTILE}]", "dictionary", 1.2, 0.3, dictionary_seeds=(0, 1), sweeps_k=True)
    skills = [*planted.STANDARD[:2], hostile]
    page = page_of(planted, tmp_path, skills=skills, text=HOSTILE, questions=[{"name": HOSTILE, "replicates": 200}])
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "&lt;/script&gt;" in page, "the prompts are not shown at all"
    assert "{{ 7 * 7 }}" in page
    opened, closed = page.count("<script"), page.count("</script>")
    plain = page_of(planted, tmp_path / "plain", skills=planted.STANDARD[:3])
    assert closed - opened == plain.count("</script>") - plain.count("<script")


def test_the_same_ledger_gives_the_same_bytes(planted, tmp_path):
    assert page_of(planted, tmp_path / "a") == page_of(planted, tmp_path / "b")


def test_it_shows_what_was_asked_for(planted, tmp_path):
    page = page_of(planted, tmp_path)
    for heading in (
        "Scores by test set",
        "In distribution against shifted",
        "Score against cost",
        "How many latents",
        "jailbreak family",
    ):
        assert heading in page, heading
    for name in (
        "logistic_probe",
        "best_latent[sae]",
        "best_latent[kmeans]",
        "in_distribution",
        "unseen_families",
        "persona",
    ):
        assert name in page, name


def test_a_failed_trial_is_named_with_its_reason(planted, tmp_path):
    page = page_of(planted, tmp_path, failing=frozenset({("mean_difference", 1)}))
    assert "the fit stopped at 3 &lt;of&gt; 5 steps" in page


def test_a_question_without_a_verdict_is_named(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    assert "main" in render(ledger, [])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError):
        render(Ledger(tmp_path), [])


def test_a_verdict_from_another_question_is_shown_as_it_is(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    (verdict,) = judge_all(ledger)
    renamed = replace(verdict, question=verdict.question.model_copy(update={"name": "asked later"}))
    assert "asked later" in render(ledger, [renamed])
