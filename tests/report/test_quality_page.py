"""The quality page: everything in one file, hostile text kept harmless, what is undefined said in words."""

import copy
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from fairfight.report.quality import (
    estimate,
    loss_rows,
    quality_rows,
    render_quality,
    stability_rows,
    summary,
    terminal_tables,
)

HOSTILE = "</script><script>alert('owned')</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
EDGES = [round(-1 + place / 50, 2) for place in range(101)]


def of(value, spread=0.01):
    return {"value": value, "low": value - spread, "high": value + spread}


def histogram(*filled):
    return {"edges": EDGES, "counts": [filled.count(place) for place in range(100)]}


def matched(mean, share):
    return {"atoms": 6, "mean_cosine": mean, "matched_share": share}


def dictionary(name, loss):
    return {
        "name": name,
        "folder": f"dictionaries/{name}",
        "kind": "topk",
        "seed": 0,
        "recipe": {"k": 4, "latents": 6},
        "latents": 6,
        "d_model": 3,
        "is_signed": False,
        "sha256": "ab" * 32,
        "reconstruction": {
            "fvu": of(0.2),
            "variance_explained": of(0.8),
            "norm_ratio": of(0.9),
            "cosine": of(0.95),
            "cosine_undefined_tokens": 0,
        },
        "l0": {
            "mean": of(3.5, 0.25),
            "percentiles": {"25": 3, "5": 2, "50": 4, "75": 4, "95": 4},
            "tokens_by_l0": {"active": [2, 3, 4], "tokens": [10, 30, 60]},
        },
        "firing": {
            "tokens_by_latent": [0, 5, 50, 50, 100, 100],
            "log10_frequency": {"edges": [-2.0, -1.5, -1.0, -0.5, 0.0], "counts": [0, 1, 0, 4]},
            "dead": {"latents": 1, "share": 1 / 6, "unseen_below": 0.0295},
            "dense": {"latents": 4, "share": 4 / 6, "share_of_active": 0.98},
        },
        "atoms": {
            "is_absolute": False,
            "zero": 0,
            "largest_cosine": {"mean": 0.4, "median": 0.35, "max": 0.97},
            "similar_share": 1 / 3,
            "histogram": histogram(60, 60, 61, 62, 98, 98),
        },
        "loss": loss,
    }


LOSS = {
    "predictions": 90,
    "cross_entropy": {"clean": of(2.0), "spliced": of(2.5), "mean_ablated": of(4.0), "zero_ablated": of(7.0)},
    "divergence": {"spliced": of(0.5), "mean_ablated": of(2.2), "zero_ablated": of(5.1)},
    "recovered": {"mean_ablated": of(0.75), "zero_ablated": of(0.9)},
}
UNDEFINED = {"undefined": "not a causal model"}


def pair(**names):
    sides = {"first_to_second": matched(0.6, 0.5), "second_to_first": matched(0.5, 0.25)}
    if names:
        sides = {name: {**side, "alive": matched(0.62, 0.55)} for name, side in sides.items()}
    return {**names, **sides, "assigned": matched(0.45, 0.2), "histogram": histogram(70, 80, 80, 90)}


def record(loss=LOSS, name="topk, seed {}", seeds=2):
    names = [name.format(seed) if "{}" in name else name for seed in range(seeds)]
    stability = {
        "is_absolute": False,
        "pairs": [pair(first=names[0], second=names[-1])],
        "random": pair(),
    }
    return {
        "schema": 1,
        "key": "cd" * 32,
        "fairfight": "0.1.0",
        "model": {
            "name": "a-model",
            "revision": None,
            "weights_sha256": "ef" * 32,
            "is_causal": "undefined" not in loss,
        },
        "site": "resid_post.4",
        "texts": {
            "file": "texts.jsonl",
            "read": 9,
            "distinct": 8,
            "tokens": 100,
            "truncated": 1,
            "first_token_variance_share": 0.1,
        },
        "settings": {
            "dense_share": 0.1,
            "similar_cosine": 0.9,
            "matched_cosine": 0.7,
            "max_tokens": 128,
            "replicates": 2000,
            "level": 0.95,
        },
        "cautions": ["There are 8 distinct texts; with fewer than 20 intervals are too narrow."],
        "dictionaries": [dictionary(own, loss) for own in names],
        "stability": stability if seeds > 1 else {"undefined": "one dictionary was given; give those of several seeds"},
    }


class Read(HTMLParser):
    """A page as a browser takes it apart: its elements, what they load, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.loaded, self.handlers, self.texts = Counter(), [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements[tag] += 1
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.texts).split())


def traces_of(page):
    """Give the traces of each figure by its name, as Plotly gets them."""
    found = {}
    for start in re.finditer(r'Plotly\.newPlot\(\s*"figure-([^"]+)",\s*', page):
        found[start[1]], _ = json.JSONDecoder().raw_decode(page, start.end())
    return found


def test_nothing_is_fetched_to_read_it():
    page = render_quality(record())
    assert len(page) > 3_000_000, "Plotly's script is not inside"
    assert {address.partition(":")[0] for address in Read(page).loaded} == {"data"}


def test_the_same_record_gives_the_same_bytes():
    assert render_quality(record()) == render_quality(copy.deepcopy(record()))


def test_hostile_text_makes_no_element_wherever_it_stands():
    def poisoned(value):
        if isinstance(value, dict):
            return {name: poisoned(own) for name, own in value.items()}
        if isinstance(value, list):
            return [poisoned(own) for own in value]
        return HOSTILE if isinstance(value, str) else value

    for loss, seeds in ((LOSS, 2), (UNDEFINED, 1)):
        plain, page = (
            Read(render_quality(record(loss, seeds=seeds))),
            render_quality(poisoned(record(loss, seeds=seeds))),
        )
        read = Read(page)
        assert read.elements == plain.elements
        assert read.handlers == []
        assert HOSTILE in "".join(read.texts)
        assert "<img src=x" not in page
        assert "{{ 7 * 7 }}" in page


def test_every_measure_has_a_row_and_every_dictionary_a_column():
    rows = quality_rows(record())
    assert rows.columns == ("measure", "topk, seed 0", "topk, seed 1")
    assert {name: cell for name, cell, _ in rows.cells} == {
        "FVU": "0.200 [0.190, 0.210]",
        "variance explained (1 - FVU)": "0.800 [0.790, 0.810]",
        "ratio of mean squared norms": "0.900 [0.890, 0.910]",
        "cosine": "0.950 [0.940, 0.960]",
        "L0, mean": "3.5 [3.2, 3.8]",
        "L0, percentiles 5 / 25 / 50 / 75 / 95": "2 / 3 / 4 / 4 / 4",
        "latents": "6",
        "dead": "1 (16.7 %)",
        "dense (> 10 % of tokens)": "4 (66.7 %)",
        "active codes that dense latents hold": "98 %",
        "largest cosine to another atom, median / max": "0.350 / 0.970",
        "atoms with another above 0.9": "33.3 %",
        "loss recovered, mean ablation": "0.750 [0.740, 0.760]",
        "loss recovered, zero ablation": "0.900 [0.890, 0.910]",
    }


def test_the_loss_table_names_each_pass():
    assert loss_rows(record()).cells == (
        ("clean", "2.000 [1.990, 2.010]", "0"),
        ("spliced: topk, seed 0", "2.500 [2.490, 2.510]", "0.500 [0.490, 0.510]"),
        ("spliced: topk, seed 1", "2.500 [2.490, 2.510]", "0.500 [0.490, 0.510]"),
        ("mean-ablated", "4.000 [3.990, 4.010]", "2.200 [2.190, 2.210]"),
        ("zero-ablated", "7.000 [6.990, 7.010]", "5.100 [5.090, 5.110]"),
    )


def test_the_stability_table_ends_in_random_directions():
    assert stability_rows(record()).cells == (
        ("topk, seed 0 and topk, seed 1", "0.600 / 0.500", "50 % / 25 %", "55 % / 55 %", "0.450", "20 %"),
        ("random directions", "0.600 / 0.500", "50 % / 25 %", "-", "0.450", "20 %"),
    )


def test_an_encoder_gets_no_number_for_its_loss():
    own = record(UNDEFINED)
    page = render_quality(own)
    assert (
        dict(row[:2] for row in quality_rows(own).cells)["loss recovered, mean ablation"]
        == "undefined: not a causal model"
    )
    assert loss_rows(own).cells == ()
    assert "Undefined: not a causal model." in Read(page).words
    assert "loss" not in traces_of(page)
    assert "Loss (nats)" not in [table.title for table in terminal_tables(own)]


def test_one_dictionary_has_no_stability():
    own = record(seeds=1)
    page = render_quality(own)
    assert stability_rows(own).cells == ()
    assert "Undefined: one dictionary was given" in Read(page).words
    assert "stability" not in traces_of(page)


def test_what_is_undefined_elsewhere_is_said_too():
    own = record()
    own["dictionaries"][0]["atoms"] = {"is_absolute": False, "zero": 6, "undefined": "fewer than two atoms"}
    own["dictionaries"][1]["loss"]["recovered"] = {**LOSS["recovered"], "mean_ablated": {"undefined": "no harm"}}
    own["stability"]["pairs"][0]["assigned"] = {"undefined": "more than 4096 atoms"}
    page = Read(render_quality(own)).words
    for words in ("undefined: fewer than two atoms", "undefined: no harm", "undefined: more than 4096 atoms"):
        assert words in page
    own["dictionaries"][1]["atoms"] = own["dictionaries"][0]["atoms"]
    page = render_quality(own)
    assert "Undefined: fewer than two atoms." in Read(page).words
    assert "cosine" not in traces_of(page)


def test_figures_show_the_numbers_of_the_record():
    traces = traces_of(render_quality(record()))
    assert traces["frequency"][0]["y"] == [0, 1, 0, 4, 4]
    assert traces["l0"][0]["x"] == [2, 2, 3, 4]
    assert traces["l0"][0]["y"] == pytest.approx([0, 0.1, 0.4, 1.0])
    assert traces["loss"][0]["x"] == [2.0, 2.5, 2.5, 4.0, 7.0]
    assert [trace["name"] for trace in traces["stability"]] == ["pairs of dictionaries", "random directions"]
    assert sum(traces["stability"][0]["y"][:-1]) == pytest.approx(1)
    assert sum(traces["cosine"][0]["y"][:-1]) == 6


def test_cautions_and_the_limit_of_sight_are_said():
    own = record()
    assert own["cautions"][0] in Read(render_quality(own)).words
    assert "fires on fewer than 1 in 34 tokens" in summary(own)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"value": 0.0004, "low": 0.0003, "high": 0.0121}, "0.0004 [0.0003, 0.012]"),
        ({"value": 0.5, "low": None, "high": None}, "0.500 (no interval)"),
        ({"value": -15.0, "low": -16.0, "high": -14.0}, "-15.000 [-16.000, -14.000]"),
        ({"undefined": "why"}, "undefined: why"),
    ],
)
def test_an_estimate_is_written_with_as_many_digits_as_it_needs(own, said):
    assert estimate(own) == said
