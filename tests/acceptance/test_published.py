"""Published results, where they lie beside the project: the figures that anybody can recompute, and the flaws in them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fairfight.cli import app
from fairfight.errors import TableError
from fairfight.verdict.tables.judge import Asked, judge_tables
from fairfight.verdict.tables.read import read_clusters, read_tables
from fairfight.verdict.tables.readers.long import Layout

AXBENCH, REFUSAL = "axbench_llama_all_methods.csv", "refusal_direction_summary.csv"
SHARED = Path(__file__).parents[3] / "shared/data"
RESULTS = SHARED / "results/sae_probes_gemma-2-9b"
CLUSTERS = SHARED / "probing/prompt_overlap_clusters.json"

pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason=f"the published results are not at {RESULTS}")


@pytest.fixture(scope="module")
def found():
    return read_tables(RESULTS, Layout(), read_clusters(CLUSTERS))


def _table(found, name):
    return next(table for table in found.tables if table.name == name)


def test_the_standard_regime_gives_the_published_means_and_the_clustered_interval(found):
    (verdict,) = judge_tables([_table(found, "standard")], Asked("sae 16k k=128", "logreg"))
    own = verdict.main
    assert own.defender_score == pytest.approx(0.94140, abs=5e-6)
    assert own.difference == pytest.approx(-0.01996, abs=5e-6)
    assert (own.low, own.high) == (pytest.approx(-0.0297, abs=5e-4), pytest.approx(-0.0127, abs=5e-4))
    assert (own.clusters, own.units, own.ahead, own.word) == (71, 113, 8, "loses")
    assert verdict.quivers.baselines == pytest.approx(0.93998, abs=5e-6)
    assert verdict.quivers.order_range[0] == pytest.approx(0.93946, abs=5e-6)
    assert any(flaw.name == "ties on validation" and "0.93998" in flaw.found for flaw in verdict.flaws)


def test_out_of_distribution_is_what_the_paired_file_says(found):
    own = judge_tables([_table(found, "ood")])[0].main
    assert (round(own.defender_score, 3), round(own.challenger_score, 3)) == (0.826, 0.723)
    assert (own.ahead, own.units) == (2, 8)
    assert own.word == "loses"


def test_scarcity_and_label_noise_are_paired_by_their_condition(found):
    scarcity, noise = (
        judge_tables([_table(found, name)], Asked("sae 16k k=128", "logreg"))[0] for name in ("scarcity", "label_noise")
    )
    assert scarcity.main.units == 2247
    assert scarcity.main.difference == pytest.approx(-0.0200, abs=1e-4)
    low, high = scarcity.quivers.full_range
    assert low < 0.81930 < high
    assert (noise.main.ahead, noise.main.units) == (339, 1243)
    assert (round(noise.main.defender_score, 4), round(noise.main.challenger_score, 4)) == (0.8283, 0.8026)


def test_the_flawed_file_is_flagged_and_nothing_is_built_on_it(found):
    (flaw,) = found.flaws
    assert flaw.is_fatal
    assert "ood_saes_FLAWED.csv" in flaw.found
    assert all("FLAWED" not in table.name for table in found.tables)


def test_the_command_says_all_of_it(tmp_path):
    answer = CliRunner().invoke(app, ["judge", str(RESULTS), "--clusters", str(CLUSTERS), "--json"])
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.output)
    assert [own["table"] for own in said["verdicts"]] == ["standard", "scarcity", "label_noise", "ood"]
    assert len(said["flaws"]) == 1
    shown = CliRunner().invoke(app, ["judge", str(RESULTS / "standard_saes.csv"), "--clusters", str(CLUSTERS)])
    assert "0.94140" in shown.output
    assert "loses" in shown.output


def test_attack_success_is_what_the_paper_says_of_its_interventions():
    """Means over five models and two judges of the published runs: substring 0.98 and Llama Guard 2 0.804 under ablation."""
    (table,) = read_tables(SHARED / "results" / REFUSAL, Layout()).tables
    own = judge_tables([table], Asked("ablation", "baseline"))[0].main
    assert (own.units, own.clusters, own.ahead, own.word) == (10, 5, 10, "wins")
    assert own.challenger_score == pytest.approx((0.98 + 0.804) / 2)
    assert own.defender_score == pytest.approx(0.145)
    assert judge_tables([table], Asked("ablation", "actadd"))[0].main.difference == pytest.approx(0.001)


def test_axbench_stands_at_one_factor_a_run_and_says_what_the_choice_is_worth():
    (table,) = read_tables(SHARED / "results" / AXBENCH, Layout()).tables
    assert (len(table), len(table.tasks), len(table.methods)) == (170, 40, 12)
    assert "17 of 17 entries" in table.flaws[0].found
    own = judge_tables([table], Asked("LoRA lora", "PromptSteering prompt"))[0].main
    assert (own.units, own.unpaired) == (20, 10)
    assert own.challenger_score == pytest.approx((1.565 + 1.595) / 2)
    assert own.defender_score == pytest.approx((1.335 + 1.280) / 2)
    with pytest.raises(TableError, match="no method on the dictionary side"):
        judge_tables([table])


def test_sides_named_by_patterns_reach_every_reader():
    layout = Layout(patterns={"control": ["sae 1m *"]})
    table = _table(read_tables(RESULTS, layout), "standard")
    assert {method.name.split()[1] for method in table.methods if method.side == "control"} == {"1m"}
