"""The page: everything in one file, hostile text kept harmless, the same bytes for the same ledger."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

from fairfight.report.figures import cost_scatter
from fairfight.report.page import render
from fairfight.report.standings import standings
from fairfight.verdict.decide import judge_all
from fairfight.verdict.roster import read_roster

HOSTILE = "</script><script>alert('owned')</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def drawn(ledger, verdicts=None):
    roster = read_roster(ledger)
    return render(roster, standings(roster), judge_all(ledger) if verdicts is None else verdicts)


def page_of(planted, folder, **world):
    return drawn(planted.build(folder, planted.World(**world)))


class Read(HTMLParser):
    """A page as a browser takes it apart: its elements, what they load, and its tables."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.loaded, self.handlers = Counter(), [], []
        self.headers, self.tables, self.summaries = [], [], []
        self._cell = self._summary = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements[tag] += 1
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self._cell = []
        elif tag == "summary":
            self._summary = []

    def handle_endtag(self, tag):
        if tag in ("th", "td") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell).strip())
            self._cell = None
        elif tag == "summary" and self._summary is not None:
            self.summaries.append("".join(self._summary))
            self._summary = None

    def handle_data(self, data):
        for open_ in (self._cell, self._summary):
            if open_ is not None:
                open_.append(data)

    def table(self, *columns):
        """Give the rows of the one table with these columns, as dictionaries."""
        (rows,) = [own for own in self.tables if own and own[0] == list(columns)]
        return [dict(zip(columns, row, strict=True)) for row in rows[1:]]


def figures_of(page):
    """Give every trace of every figure, as Plotly gets it."""
    traces = []
    for found in re.finditer(r'Plotly\.newPlot\(\s*"figure-[^"]+",\s*', page):
        data, _ = json.JSONDecoder().raw_decode(page, found.end())
        traces += data
    return traces


def texts_in(value):
    """Give every string inside plain data."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for own in inner for text in texts_in(own)]


def without_plotly(page):
    """Leave Plotly's own script out: it is not ours, and speaks of many addresses that it never fetches."""
    return re.sub(r"<script[^>]*>/\*\*.*?</script>", "", page, flags=re.DOTALL)


def test_nothing_is_fetched_to_read_it(planted, tmp_path):
    page = page_of(planted, tmp_path)
    assert len(page) > 3_000_000, "Plotly's script is not inside"
    assert not re.search(r"<(script|img|iframe|link)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", page)
    assert not re.search(r"@import|url\(\s*[\"']?https?:", without_plotly(page))
    assert {address.partition(":")[0] for address in Read(page).loaded} == {"data"}


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


def test_hostile_text_makes_no_element_wherever_the_ledger_holds_it(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    (verdict,) = judge_all(ledger)
    plain = Read(drawn(ledger, [verdict]))
    run, table = ledger.run(), ledger.examples()
    run["study"] |= {"name": HOSTILE, "about": HOSTILE, "methods": {HOSTILE: {HOSTILE: HOSTILE}}}
    run |= {"versions": {HOSTILE: HOSTILE}, "inputs": HOSTILE}
    run["dictionaries"] = [{**card, "name": HOSTILE, "site": HOSTILE} for card in run["dictionaries"]]
    ledger.write_run(run)
    rows = tuple(replace(row, tags={key: value + HOSTILE for key, value in row.tags.items()}) for row in table.rows)
    ledger.write_examples(replace(table, rows=rows))
    page = Read(drawn(ledger, [replace(verdict, warnings=(HOSTILE,), failed=(HOSTILE,))]))
    assert page.elements["img"] == 0
    assert page.elements["script"] == plain.elements["script"]
    assert set(page.elements) == set(plain.elements)
    assert page.handlers == []
    assert any(f"persona{HOSTILE}" in summary for summary in page.summaries)


def test_hostile_names_reach_the_figures_escaped(planted, tmp_path):
    # Plotly takes labels for HTML of a kind (<b>, <a href>), so JSON's own escapes are not enough.
    hostile = planted.skill(f"best_latent[{HOSTILE}]", "dictionary", 1.2, 0.3, dictionary_seeds=(0, 1), sweeps_k=True)
    traces = figures_of(page_of(planted, tmp_path, skills=[*planted.STANDARD[:2], hostile]))
    found = [text for text in texts_in(traces) if "owned" in text]
    assert found
    for text in found:
        assert "&lt;img src=x" in text
        assert "<" not in text.replace("<br>", ""), text


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


def test_every_table_has_its_columns_and_rows(planted, tmp_path):
    page = Read(page_of(planted, tmp_path))
    scores = page.table("method", "side", "validation", *planted.TEST_SETS, "macro", "FLOPs")
    assert {(row["method"], row["side"]) for row in scores} == {
        (own.contender.name, own.contender.side) for own in planted.STANDARD
    }
    assert all(re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", row["macro"]) for row in scores)

    trials = page.table("method", "purpose", "seeds", "settings", "validation", "test sets", "FLOPs", "seconds", "key")
    # Six tuned; two baselines on 3 seeds; four dictionary methods on 3 seeds x 2, one of them at 3 more values of k.
    assert Counter(row["purpose"] for row in trials) == {"tune": 6, "score": 2 * 3 + 4 * 6, "curve": 6 * 3}
    assert all(row[name] for row in trials for name in ("method", "seeds", "settings", "FLOPs", "key"))
    assert all(row["test sets"] for row in trials if row["purpose"] != "tune")

    cards = page.table("dictionary", "role", "kind", "site", "seed", "FVU", "L0", "dead", "training FLOPs")
    assert {row["role"] for row in cards} == {"contestant", "rival", "control"}
    assert {(row["FVU"], row["L0"], row["dead"], row["training FLOPs"]) for row in cards} == {
        ("0.210", "32.0", "5 %", "2.0e+12")
    }

    verdict = page.table(
        "test set",
        "verdict",
        "difference",
        "reconstruction_probe[sae]",
        "logistic_probe",
        "texts + / \u2212 (clusters)",
    )
    assert [row["test set"] for row in verdict] == [*planted.TEST_SETS, "mean"]
    assert [row["texts + / \u2212 (clusters)"] for row in verdict] == ["60 + 60 (60)", "60 + 60 (60)", ""]


def test_the_worst_errors_of_a_family_come_first(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    table = ledger.examples()
    row = next(row for row in table.rows if row.set == "unseen_families" and row.label == 1 and row.tags)
    for trial in ledger.trials():
        if trial.spec.contender.name == "logistic_probe" and trial.spec.purpose == "score":
            place = table.order[str(trial.spec.seed)][row.set].index(row.id)
            scores = list(trial.outcome.scores[row.set])
            scores[place] = -100.0
            kept = {**trial.outcome.scores, row.set: tuple(scores)}
            ledger.write(replace(trial, outcome=replace(trial.outcome, scores=kept)))
    page = drawn(ledger)
    family = page.split(f"<summary>{row.tags['jailbreak']}</summary>")[1].split("</details>")[0]
    first = family.split("<h3>logistic_probe</h3>")[1].split("</blockquote>")[0]
    assert f"positive, missed in 100 % of trials · {row.set} · {row.id}" in first
    assert row.text in first


def test_families_are_counted_and_every_text_stands_in_one(planted, tmp_path):
    page = Read(page_of(planted, tmp_path))
    (rows,) = [own for own in page.tables if own and own[0][:2] == ["family", "positives + negatives"]]
    assert rows[0][2:] == ["reconstruction_probe[sae]", "logistic_probe"]
    assert rows[1] == ["missed", "false alarms"] * 2
    counts = {row[0]: [int(part) for part in row[1].split(" + ")] for row in rows[2:]}
    assert set(counts) == {"persona", "fiction", "plain"}
    assert [sum(side) for side in zip(*counts.values(), strict=True)] == [120, 120]
    assert all(re.fullmatch(r"[\d.]+ %", cell) for row in rows[2:] for cell in row[2:])


def test_a_rate_of_no_text_is_a_dash_and_not_a_zero(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    table = ledger.examples()
    rows = tuple(replace(row, tags={"jailbreak": "only harmful"}) if row.label else row for row in table.rows)
    ledger.write_examples(replace(table, rows=rows))
    page = Read(drawn(ledger))
    (own,) = [row for rows in page.tables for row in rows if row[:1] == ["only harmful"]]
    assert own[1] == "120 + 0"
    assert own[3::2] == ["\u2013", "\u2013"]


def test_what_is_missing_is_shown_as_missing(planted, tmp_path):
    failing = frozenset({("mean_difference", 1)})
    page = Read(page_of(planted, tmp_path, failing=failing))
    scores = page.table("method", "side", "validation", *planted.TEST_SETS, "macro", "FLOPs")
    (own,) = [row for row in scores if row["method"] == "mean_difference"]
    assert own["validation"].startswith("incomplete: ")
    assert {own[name] for name in (*planted.TEST_SETS, "macro", "FLOPs")} == {""}
    complete = [row for row in scores if row is not own]
    assert all(row["macro"] for row in complete)


def test_what_a_card_does_not_know_stays_empty(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    run = ledger.run()
    unknown = {key: value for key, value in run["dictionaries"][0].items() if key in ("name", "role", "kind")}
    ledger.write_run({**run, "dictionaries": [unknown]})
    page = Read(drawn(ledger))
    (card,) = page.table("dictionary", "role", "kind", "site", "seed", "FVU", "L0", "dead", "training FLOPs")
    assert {name for name, value in card.items() if value} == {"dictionary", "role", "kind"}


def test_a_dictionary_that_came_from_files_says_how(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    run = ledger.run()
    name = run["dictionaries"][0]["name"]
    study = {**run["study"], "dictionaries": {**run["study"]["dictionaries"], name: {"kind": "fine_tuned"}}}
    ledger.write_run({**run, "study": study})
    cards = Read(drawn(ledger)).table(
        "dictionary", "role", "kind", "site", "seed", "FVU", "L0", "dead", "training FLOPs"
    )
    kinds = {row["dictionary"]: row["kind"] for row in cards}
    assert kinds.pop(name) == f"{run['dictionaries'][0]['kind']}, fine_tuned"
    assert not any("," in kind for kind in kinds.values())


def test_a_cost_that_nobody_says_is_unknown_and_has_no_place_among_the_known(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    for trial in ledger.trials():
        if trial.spec.contender.dictionary:
            ledger.write(replace(trial, cost=replace(trial.cost, dictionary_flops=None)))
    run = ledger.run()
    ledger.write_run({**run, "dictionaries": [{**card, "training_flops": None} for card in run["dictionaries"]]})
    page = Read(drawn(ledger))
    scores = page.table("method", "side", "validation", *planted.TEST_SETS, "macro", "FLOPs")
    assert {row["FLOPs"] == "unknown" for row in scores if "[" in row["method"]} == {True}
    assert all(float(row["FLOPs"]) > 0 for row in scores if row["side"] == "baseline")
    cards = page.table("dictionary", "role", "kind", "site", "seed", "FVU", "L0", "dead", "training FLOPs")
    assert {card["training FLOPs"] for card in cards} == {"unknown"}
    assert "nobody says what training their dictionary took: " in drawn(ledger)


def test_without_sweeps_there_is_no_empty_figure_of_them(planted, tmp_path):
    page = page_of(planted, tmp_path, skills=[replace(own, sweeps_k=False) for own in planted.STANDARD])
    assert "How many latents" not in page


def test_a_failed_trial_is_named_with_its_reason(planted, tmp_path):
    page = page_of(planted, tmp_path, failing=frozenset({("mean_difference", 1)}))
    assert "the fit stopped at 3 &lt;of&gt; 5 steps" in page


def test_a_question_without_a_verdict_is_named(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    assert "main" in drawn(ledger, [])


def test_a_verdict_from_another_question_is_shown_as_it_is(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    (verdict,) = judge_all(ledger)
    renamed = replace(verdict, question=verdict.question.model_copy(update={"name": "asked later"}))
    assert "asked later" in drawn(ledger, [renamed])


def test_every_verdict_stands_beside_its_division(planted, tmp_path):
    questions = [{"name": name, "replicates": 200} for name in ("first", "second")]
    page = page_of(planted, tmp_path / "run", seeds=1, clusters=4, questions=questions)
    assert page.count("Open (exploratory): it was never registered.") == 2


def test_costs_stand_in_a_table_and_a_budget_beside_its_verdict(planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World())
    run = ledger.run()
    run["study"]["budget"] = {"flops": 1.05e11, "dictionary_share": 0.1}
    ledger.write_run(run)
    page = drawn(ledger)
    assert "Within 1.1e+11 FLOPs" in page or "Within 1.0e+11 FLOPs" in page
    assert "Left out of selection by the study" in page
    tables = Read(page).tables
    (shares,) = [table for table in tables if table[0][0] == "training charged"]
    assert [row[0] for row in shares[1:]] == ["0 %", "10 %", "100 %"]
    assert shares[3][1:4] == ["nobody", "logistic_probe", "none"]
    (costs,) = [table for table in tables if table[0][:2] == ["method", "trial"]]
    assert len(costs) == 1 + len(read_roster(ledger).entries)


def test_the_cost_figure_says_who_is_on_the_front_and_who_is_behind_whom(planted, tmp_path):
    found = standings(read_roster(planted.build(tmp_path, planted.World())))
    figure = cost_scatter(found, [])
    line = figure.data[0]
    assert line.name == "front"
    assert list(line.y) == [
        own.sets["macro"].score for own in (found_by(found, "mean_difference"), found_by(found, "logistic_probe"))
    ]
    texts = [text for trace in figure.data for text in trace.hovertext or ()]
    assert sum(text.endswith("on the front") for text in texts) == 2
    assert any("behind logistic_probe and 1 more" in text for text in texts)


def found_by(found, name):
    return next(own for own in found if own.name == name)
