"""The command line: what it prints where, and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fairfight import __version__, cli, registry
from fairfight.dictionaries.contract import TokenSource
from fairfight.dictionaries.formats import save
from fairfight.dictionaries.train import train
from fairfight.models.load import load
from tiny_language import D_MODEL, letters, save_tiny_language


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["fairfight", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def ledger(planted, tmp_path_factory):
    return planted.build(tmp_path_factory.mktemp("run"), planted.World())


def test_the_list_names_every_shelf(call):
    code, out, _ = call("list")
    assert code == 0
    for name in ("harmful_intent", "logistic_probe", "lora_classifier", "topk", "kmeans"):
        assert name in out


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_waiting_threads_leave_the_cores_to_others_unless_told_otherwise(call, monkeypatch, before, after):
    monkeypatch.setenv("OMP_WAIT_POLICY", "")
    monkeypatch.delenv("OMP_WAIT_POLICY") if before is None else monkeypatch.setenv("OMP_WAIT_POLICY", before)
    call("--version")
    assert os.environ["OMP_WAIT_POLICY"] == after


def test_the_version_needs_no_command(call):
    assert call("--version") == (0, f"fairfight {__version__}\n", "")


def test_one_shelf_alone(call):
    code, out, err = call("list", "kinds", "--json")
    assert (code, err) == (0, "")
    assert {row["shelf"] for row in json.loads(out)["plugins"]} == {"kinds"}


def test_an_unknown_shelf_names_the_nearest(call):
    code, out, err = call("list", "method")
    assert (code, out) == (2, "")
    assert "methods" in err


def test_doctor_finds_this_machine_fit_to_play(call):
    code, out, err = call("doctor", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["version"] == __version__
    assert all(finding["is_fine"] for finding in found["findings"])
    said = " ".join(finding["found"] for finding in found["findings"])
    for words in ("python 3.", "torch 2.", "transformers 5.", "SHA-256 53aa51172d142c89", "installed"):
        assert words in said


def test_judging_prints_json_alone_when_asked(call, ledger):
    code, out, err = call("judge", ledger.folder, "--json")
    assert (code, err) == (0, "")
    (verdict,) = json.loads(out)["verdicts"]
    assert verdict["challenger"] == "reconstruction_probe[sae]"
    assert verdict["defender"] == "logistic_probe"


def test_judging_prints_both_tables(call, ledger):
    code, out, _ = call("judge", ledger.folder)
    assert code == 0
    assert "Scores" in out
    assert "Verdict" in out


def test_judging_prints_what_belongs_beside_the_tables(call, ledger):
    _, out, _ = call("judge", ledger.folder)
    said = " ".join(out.split())
    for words in (
        "Reconstruction gap",
        "Is the dictionary necessary? By the controls that were played, yes",
        "The TPR is at a false positive rate of 5 %",
    ):
        assert words in said


@pytest.mark.parametrize("command", ["judge", "report"])
def test_judging_shows_progress_unless_json_is_asked_for(call, ledger, command):
    assert "verdict: 1/1" in call(command, ledger.folder)[2]
    assert call(command, ledger.folder, "--json")[2] == ""


@pytest.mark.parametrize("command", ["judge", "report"])
def test_an_unfinished_run_says_how_to_finish_it(call, planted, tmp_path, command):
    ledger = planted.build(tmp_path, planted.World(seeds=1, clusters=4))
    (tmp_path / "run.json").unlink()
    code, out, err = call(command, tmp_path)
    assert (code, out) == (2, "")
    assert f"an unfinished run: it holds {len(ledger.keys())} trials" in " ".join(err.split())


def test_the_report_is_written_beside_the_ledger(call, ledger):
    code, out, _ = call("report", ledger.folder, "--json")
    assert code == 0
    assert json.loads(out)["report"] == str(ledger.folder / "report.html")
    assert (ledger.folder / "report.html").stat().st_size > 3_000_000


def test_scores_are_markdown(call, ledger):
    code, out, _ = call("report", ledger.folder, "--scores")
    assert code == 0
    assert "| logistic_probe | baseline |" in out


def test_scores_are_the_same_numbers_in_json(call, ledger):
    code, out, err = call("report", ledger.folder, "--scores", "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out)["scores"]
    _, page, _ = call("report", ledger.folder, "--scores")
    assert len(scores) == 6
    for own in scores:
        found = own["test_sets"]["in_distribution"]
        assert list(found["by_seed"]) == ["1", "2", "3"]
        assert f"| {own['method']} | {own['side']} | {own['validation']:.3f} | {found['score']:.3f} [" in page


def test_an_incomplete_contender_says_in_json_what_it_lacks(call, planted, tmp_path):
    ledger = planted.build(tmp_path, planted.World(failing=frozenset({("mean_difference", 1)})))
    _, out, _ = call("report", ledger.folder, "--scores", "--json")
    (own,) = [row for row in json.loads(out)["scores"] if row["method"] == "mean_difference"]
    assert own["lacking"]
    assert "test_sets" not in own


@pytest.mark.parametrize("command", ["judge", "report"])
def test_a_damaged_ledger_is_a_failure_with_the_files_name(call, planted, tmp_path, command):
    ledger = planted.build(tmp_path, planted.World(seeds=1, clusters=4))
    file = sorted(ledger.trials_folder.iterdir())[0]
    file.write_bytes(file.read_bytes()[:-20])
    code, out, err = call(command, tmp_path)
    assert (code, out) == (1, "")
    assert file.name in err
    assert "Delete it and run the same command again" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("list", "kinds", "--json"), ("judge", "nowhere"), ("fight",)])
def test_the_shell_sees_what_the_function_gives(call, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "fairfight", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    code, out, _ = call(*arguments)
    assert (done.returncode, done.stdout) == (code, out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nowhere.toml"), "There is no study file nowhere.toml"),
        (("judge", "nowhere"), "nowhere"),
        (("report", "nowhere"), "nowhere"),
    ],
)
def test_a_missing_file_or_folder_is_named(call, arguments, words):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def measurable(tmp_path_factory):
    """Give a folder with a tiny causal model, texts, and two dictionaries of its tokens."""
    folder = tmp_path_factory.mktemp("measurable")
    model = load(str(save_tiny_language(folder / "model")))
    (folder / "texts.txt").write_text("\n".join(letters()))
    values = torch.randn(400, D_MODEL, generator=torch.Generator().manual_seed(0))
    source = TokenSource.from_tensor(values, site="resid_post.1", key="elsewhere")
    recipe = registry.load("kinds", "random")(latents=24, k=4)
    for seed in range(2):
        save(*train(recipe, source, seed, model=model.name), folder / f"seed-{seed}")
    return folder


@pytest.fixture
def measure(call, measurable, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRFIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(measurable)

    def run(*options, model="model", texts="texts.txt", dictionary=("seed-0", "seed-1")):
        return call("quality", *dictionary, "--model", measurable / model, "--texts", texts, *options)

    return run


def test_quality_prints_tables_and_writes_page_and_record(measure, tmp_path):
    code, out, err = measure("--out", tmp_path / "found")
    said = " ".join(out.split())
    assert code == 0
    for words in (
        "random, seed 1",
        "FVU",
        "Loss (nats)",
        "zero-ablated",
        "random directions",
        "fires on fewer than 1 in",
    ):
        assert words in said
    assert "loss: 30/30" in err, "no plain lines without a terminal"
    assert json.loads((tmp_path / "found" / "quality.json").read_text())["schema"] == 1
    assert (tmp_path / "found" / "quality.html").stat().st_size > 3_000_000


def test_quality_in_json_is_the_record_alone_and_the_second_time_the_same(measure, tmp_path):
    code, out, err = measure("--json", "--out", tmp_path / "found")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["quality"] == json.loads((tmp_path / "found" / "quality.json").read_text())
    first = {name: (tmp_path / "found" / name).read_bytes() for name in ("quality.json", "quality.html")}
    assert measure("--json", "--out", tmp_path / "found") == (0, out, "")
    assert first == {name: (tmp_path / "found" / name).read_bytes() for name in first}


def test_quality_goes_under_runs_when_no_folder_is_named(measure, measurable):
    _, out, _ = measure("--json")
    found = json.loads(out)
    assert found["page"] == f"runs/quality-seed-0-{found['quality']['key'][:8]}/quality.html"
    assert (measurable / found["page"]).is_file()


def test_the_threshold_of_dense_latents_is_an_option(measure, tmp_path):
    shares = [
        json.loads(measure("--json", "--dense", share, "--out", tmp_path / "found")[1])["quality"]["dictionaries"][0]
        for share in (0.0, 1.0)
    ]
    assert shares[0]["firing"]["dense"]["latents"] > 0
    assert shares[1]["firing"]["dense"]["latents"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dictionary": ("nowhere",)}, "'nowhere' is no folder or file here"),
        ({"texts": "nowhere.txt"}, "nowhere.txt cannot be read"),
        ({"texts": "empty.txt"}, "holds no text"),
        ({"model": "all-MiniLM-L6-v2"}, "names no revision"),
        ({"site": "resid_post.9"}, "has 3 layers"),
        ({"site": "somewhere"}, "No site is called 'somewhere'"),
    ],
)
def test_quality_of_nothing_measurable_says_what_is_wrong(measure, measurable, options, words):
    (measurable / "empty.txt").write_text("\n\n")
    site = options.pop("site", "")
    code, out, err = measure("--site", site, **options)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_quality_at_another_width_says_both(measure, tmp_path):
    wide = TokenSource.from_tensor(
        torch.randn(400, 20, generator=torch.Generator().manual_seed(0)), site="resid_post.1"
    )
    save(*train(registry.load("kinds", "random")(latents=24, k=4), wide, 0), tmp_path / "wide")
    code, _, err = measure(dictionary=(tmp_path / "wide",))
    assert code == 2
    assert "have width 16, but the dictionary" in err
    assert "takes 20" in " ".join(err.split())


@pytest.mark.parametrize("arguments", [("fight",), ("run",), ("list", "--nosuch"), ("quality", "folder")])
def test_wrong_usage_exits_with_2(call, arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_help_names_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    for command in ("demo", "register", "run", "judge", "report", "quality", "list", "doctor"):
        assert command in out


@pytest.mark.parametrize("command", ["demo", "register", "run", "judge", "report", "quality", "list", "doctor"])
def test_every_command_has_help_and_a_json_form(call, command):
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert "--json" in out


def test_a_stop_by_keyboard_says_that_nothing_is_lost(call, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairfight.registry.places", stopped)
    code, _, err = call("list")
    assert code == 1
    assert "the same command goes on from there" in err


def test_doctor_says_what_is_wrong_with_the_embedded_model(call, monkeypatch):
    from fairfight import doctor
    from fairfight.errors import UnsafeFileError

    def refuses(name):
        raise UnsafeFileError("its checksum differs")

    monkeypatch.setattr(doctor, "load", refuses)
    code, out, _ = call("doctor")
    assert code == 1
    assert "its checksum differs" in out


def test_a_finding_that_is_not_fine_makes_doctor_fail(call, monkeypatch):
    from fairfight import doctor

    monkeypatch.setattr(doctor, "diagnose", lambda: [doctor.Finding("torch", "missing", False)])
    code, out, _ = call("doctor")
    assert code == 1
    assert "look" in out


def test_a_persons_call_on_a_run_is_kept_and_shown_as_theirs(call, planted, tmp_path):
    ledger = planted.build(tmp_path)
    words = ("--call", "downstream=met", "--by", "A. Judge", "--because", "monitors need it")
    code, found, _ = call("judge", str(ledger.folder), *words)
    assert code == 0, found
    assert "A. Judge" in found
    again = json.loads(call("judge", str(ledger.folder), "--json")[1])["criteria"]["criteria"][0]
    assert (again["status"], again["call"]["by"]) == ("met", "A. Judge")
    code, _, message = call("judge", str(ledger.folder), "--call", "beats=met", "--by", "A", "--because", "x")
    assert code == 2
    assert "no person's call" in message


def test_the_docket_prints_one_line_a_claim(call):
    docket = Path(__file__).parents[1] / "docket"
    code, found, _ = call("judge", str(docket))
    lines = [line for line in found.splitlines() if line.strip()]
    assert code == 0
    assert len(lines) == 1 + len(list(docket.glob("*.toml")))
    assert any("shift_pythia" in line and "NO" in line and "Neel Nanda" in line for line in lines)
    sheets = json.loads(call("judge", str(docket), "--json")[1])["claims"]
    assert {own["sheet"]["overall"] for own in sheets} == {"NO", "NOT SHOWN"}


DOCKET = Path(__file__).parents[1] / "docket"
CLAIM = DOCKET / "golden_gate_claude.toml"
TABLE = "task,method,side,score\n" + "".join(
    f"t{place},{method},{side},{0.7 + place / 100}\n"
    for place in range(6)
    for method, side in (("sae", "dictionary"), ("probe", "baseline"))
)
FOR_TABLES = (
    *(("--map", "task=task"), ("--dictionary", "sae"), ("--rival", "x"), ("--control", "x"), ("--metric", "f1")),
    *(("--clusters", "c.json"), ("--challenger", "sae"), ("--defender", "probe"), ("--margin", "0.01"), ("--level", "0.95")),
)  # fmt: skip
A_CALL = ("--call", "downstream=met", "--by", "A", "--because", "x")


@pytest.fixture
def refused(call):
    """Give what the command line says of what it refuses."""

    def run(*arguments):
        code, out, err = call(*arguments)
        assert (code, out) == (2, ""), err
        assert "Traceback" not in err
        return " ".join(err.split())

    return run


@pytest.mark.parametrize("option", FOR_TABLES)
def test_what_is_for_a_table_is_refused_on_a_run_and_on_a_claim(refused, ledger, option):
    for path, what in ((ledger.folder, "a run"), (CLAIM, "a claim"), (DOCKET, "a folder of claims")):
        said = refused("judge", path, *option)
        assert f"{option[0]} does nothing here: {path} is judged as {what}, and" in said
        assert f"Leave {option[0]} out" in said


@pytest.mark.parametrize("option", [A_CALL, ("--by", "A"), ("--because", "x"), ("--private",), ("--pages", "p")])
def test_what_is_for_a_claim_is_refused_on_a_table(refused, tmp_path, option):
    (tmp_path / "scores.csv").write_text(TABLE)
    said = refused("judge", tmp_path / "scores.csv", *option)
    assert f"{option[0]} does nothing here" in said
    assert "is judged as a table of scores" in said
    assert not (tmp_path / "p").exists()


def test_pages_are_refused_on_a_run(refused, ledger, tmp_path):
    assert "--pages does nothing here" in refused("judge", ledger.folder, "--pages", tmp_path / "pages")
    assert not (tmp_path / "pages").exists()


@pytest.mark.parametrize("option", [("--by", "A"), ("--because", ""), ("--private",)])
def test_what_belongs_to_a_call_is_refused_without_one(refused, ledger, option):
    for path in (ledger.folder, CLAIM, DOCKET):
        assert f"{option[0]} belongs to a call, and there is none" in refused("judge", path, *option)


def test_nobody_plays_against_themselves(refused, tmp_path):
    (tmp_path / "scores.csv").write_text(TABLE)
    said = refused("judge", tmp_path / "scores.csv", "--challenger", "sae", "--defender", "sae")
    assert "--challenger and --defender are both 'sae'" in said


def test_a_metric_is_refused_where_the_layout_knows_it_and_taken_where_it_does_not(call, refused, tmp_path):
    (tmp_path / "scores.csv").write_text(TABLE)
    code, out, _ = call("judge", tmp_path / "scores.csv", "--metric", "f1", "--json")
    assert code == 0
    assert json.loads(out)["verdicts"][0]["metric"] == "F1"
    known = tmp_path / "results_2026-01-01T00-00-00.json"
    tasks = {"a": {"acc,none": 0.5}, "b": {"acc,none": 0.6}}
    known.write_text(json.dumps({"results": tasks, "configs": {}, "n-shot": {}, "model_name": "m"}))
    said = refused("judge", known, "--metric", "f1")
    assert "has the layout lm_eval, which says what its scores are. Leave --metric out" in said


def test_a_call_is_refused_on_a_run_that_asks_nothing_of_a_dictionary(refused, planted, tmp_path):
    ledger = planted.build(tmp_path)
    run = ledger.run()
    run["study"]["questions"] = [{**own, "challenger": "control"} for own in run["study"]["questions"]]
    ledger.write_run(run)
    assert "asks no question of a dictionary" in refused("judge", ledger.folder, *A_CALL)
    assert not (tmp_path / "calls.jsonl").exists()


def test_a_call_that_the_evidence_decides_is_not_kept_with_a_run(refused, planted, tmp_path):
    ledger = planted.build(tmp_path)
    refused("judge", ledger.folder, "--call", "beats=met", "--by", "A", "--because", "x")
    assert not (tmp_path / "calls.jsonl").exists()


def test_a_path_longer_than_any_is_named_and_no_traceback(refused, tmp_path):
    long = "x" * 5000
    for command in (("judge", long), ("run", long), ("report", long), ("reproduce", long), ("train", long)):
        assert long[:40] in refused(*command)
    assert "--pages" in refused("judge", CLAIM, "--pages", tmp_path / long)


def test_pages_that_cannot_be_written_are_spoken_of_as_pages(refused, tmp_path):
    (tmp_path / "taken").write_text("")
    for place in (tmp_path / "taken", tmp_path / "taken" / "below", Path("/proc/nowhere")):
        said = refused("judge", CLAIM, "--pages", place)
        assert f"--pages {place} takes no pages" in said
        assert "runs_folder" not in said


@pytest.mark.parametrize("name", ["golden_gate_claude.calls.jsonl", "golden_gate_claude.reproduced.jsonl"])
@pytest.mark.parametrize("content", [b'{"on": "\xff"}', b"[" * 100_000])
def test_a_damaged_file_beside_a_claim_is_named_with_its_line(call, tmp_path, name, content):
    (tmp_path / CLAIM.name).write_bytes(CLAIM.read_bytes())
    (tmp_path / name).write_bytes(content)
    code, out, err = call("judge", tmp_path / CLAIM.name)
    assert (code, out) == (1, "")
    assert f"{name}, line 1 is no " in " ".join(err.split())


@pytest.fixture
def docket(tmp_path):
    """Give a folder with a good claim, and files that are none."""
    (tmp_path / "good.toml").write_bytes(CLAIM.read_bytes())
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "study.toml").write_bytes((DOCKET.parent / "studies" / "quick.toml").read_bytes())
    (tmp_path / "training.toml").write_bytes((DOCKET.parent / "training" / "minilm.toml").read_bytes())
    return tmp_path


def test_a_bad_claim_keeps_no_good_one_back(call, docket):
    code, out, err = call("judge", docket, "--pages", docket / "pages")
    said = " ".join(err.split())
    assert code == 2
    assert "golden_gate_claude" in out
    assert (docket / "pages" / "golden_gate_claude.md").is_file()
    for words in ("broken.toml is not TOML", "This is a study: `fairfight run`", "This is a training file"):
        assert words in said
    code, out, err = call("judge", docket, "--json")
    found = json.loads(out)
    assert (code, err, len(found["claims"])) == (2, "", 1)
    assert [Path(own["file"]).name for own in found["errors"]] == ["broken.toml", "study.toml", "training.toml"]
    assert found["errors"][0]["error"] == "StudyError"


def test_two_claims_of_one_name_are_both_refused_by_their_files(call, docket):
    (docket / "twin.toml").write_bytes(CLAIM.read_bytes())
    code, out, err = call("judge", docket)
    said = " ".join(err.split())
    assert code == 2
    assert "golden_gate_claude" not in out
    assert f"{docket / 'good.toml'} and {docket / 'twin.toml'} carry one name, 'golden_gate_claude'" in said


STEERING = "\x1b]0;own\x07\x9b31m\u202eseY\u2066\r\x7f"
CONTROLS = {own for own in STEERING if not own.isprintable()}


def test_no_character_that_steers_a_terminal_reaches_it(call, docket):
    said = json.dumps(f"fun{STEERING}\ttask", ensure_ascii=True).replace("\x7f", "\\u007f")
    text = CLAIM.read_text().replace('title = "', f'who = {said}\nhistory = [{said}]\ntitle = "', 1)
    text = text.replace('who = "Anthropic"\n', "").replace(
        'name = "a chat model that is fun to talk to"', f"name = {said}"
    )
    (docket / "good.toml").write_text(text)
    (docket / "broken.toml").write_text(f"[{said}]\nx = 1")
    for arguments in (("judge", docket / "good.toml"), ("judge", docket), ("judge", docket / "broken.toml")):
        _, out, err = call(*arguments)
        assert not set(out + err) & CONTROLS
    _, out, _ = call("judge", docket / "good.toml")
    assert "[U+001B]]0;own[U+0007][U+009B]31m[U+202E]seY[U+2066][U+000D][U+007F]" in out.replace("\n", "")
    _, out, _ = call("judge", docket / "good.toml", "--json")
    assert json.loads(out)["claims"][0]["claim"]["task"]["name"] == f"fun{STEERING}\ttask"


def test_no_character_that_steers_a_terminal_reaches_it_from_a_table(call, tmp_path):
    file = tmp_path / f"sco{STEERING}res.csv"
    file.write_text(TABLE)
    code, out, err = call("judge", file)
    assert code == 0, err
    assert not set(out + err) & CONTROLS
    assert "[U+202E]" in out
    file.write_text(TABLE.replace("probe", f"pro{STEERING[:-2]}be"))
    _, out, err = call("judge", file)
    assert not set(out + err) & CONTROLS
