"""The command line: what it prints where, and its exit codes."""

import json
import subprocess
import sys

import pytest

from fairfight import __version__, cli


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
        "Is the dictionary necessary? Yes",
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


@pytest.mark.parametrize("arguments", [("fight",), ("run",), ("list", "--nosuch")])
def test_wrong_usage_exits_with_2(call, arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_help_names_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    for command in ("demo", "run", "judge", "report", "list", "doctor"):
        assert command in out


@pytest.mark.parametrize("command", ["demo", "run", "judge", "report", "list", "doctor"])
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
