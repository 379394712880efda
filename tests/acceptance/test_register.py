"""Registration through the command line: closed when registered first, open and named when anything was changed."""

import json
from pathlib import Path

import pytest

from fairfight import cli

STUDY = """
name = "small"
[task]
name = "labelled_texts"
[[task.settings.files]]
path = "texts.jsonl"
[activations]
sites = ["blocks.0.hook_normalized_resid_post"]
poolings = ["mean"]
max_tokens = 32
[dictionaries.sae]
kind = "random"
role = "contestant"
recipe = {{latents = 64, k = 4}}
[trials]
methods = ["mean_difference", "best_latent"]
configurations = 1
seeds = 1
dictionary_seeds = 1
workers = 1
[[questions]]
name = "q"
margin = {margin}
replicates = 200
"""


def rows(clusters=8):
    for name in ("development", "test"):
        for number in range(clusters):
            for label, word in ((1, "poison"), (0, "garden")):
                text = f"{name} {word} number {number}"
                yield {"text": text, "label": label, "set": name, "cluster": f"{name}{label}{number}"}


def write(margin=0.01, clusters=8):
    Path("texts.jsonl").write_text("\n".join(map(json.dumps, rows(clusters))))
    Path("study.toml").write_text(STUDY.format(margin=margin))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Give the function that runs a command in a folder of its own with the study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRFIGHT_CACHE", str(tmp_path / "cache"))
    write()

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


def division(call, *arguments):
    code, out, err = call(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)["division"]


def test_a_study_is_registered_played_closed_and_open_once_it_is_edited(call):
    code, out, err = call("register", "study.toml", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["log"], found["is_new"], found["is_late"]) == ("runs/registrations.jsonl", True, False)
    assert found["registration"] == json.loads(Path(found["log"]).read_text())

    code, out, err = call("run", "study.toml", "--json")
    assert code == 0, err
    played = json.loads(out)
    assert played["division"]["word"] == "closed"
    assert played["division"]["registered"] == found["registration"]["time"]
    assert division(call, "judge", played["run"]) == played["division"]
    page = Path(played["report"]).read_text()
    assert "Closed: it was registered before its first trial" in page

    # A resumed run keeps its start, and the log its lines.
    before = Path(found["log"]).read_bytes()
    assert division(call, "run", "study.toml") == played["division"]
    assert Path(found["log"]).read_bytes() == before

    write(margin=0.005)
    edited = division(call, "run", "study.toml")
    assert (edited["word"], edited["earlier_runs"]) == ("open", 1)
    assert edited["changes"] == ["questions.0.margin was 0.01 when registered, is 0.005"]

    write(clusters=9)
    assert division(call, "run", "study.toml")["reason"] == "was registered with other examples or splits"


def test_registration_after_the_run_is_said_to_be_late(call):
    assert division(call, "run", "study.toml")["reason"] == "was never registered"
    code, out, _ = call("register", "study.toml")
    assert code == 0
    assert "A run of this study had begun before; it stays open." in out
    _, out, _ = call("run", "study.toml")
    assert "Open (exploratory): it was registered after the first trial" in " ".join(out.split())


def test_registering_twice_says_since_when_and_changes_nothing(call):
    _, first, _ = call("register", "study.toml")
    before = Path("runs/registrations.jsonl").read_bytes()
    code, again, err = call("register", "study.toml")
    assert (code, err) == (0, "")
    assert first.startswith("Registered.")
    time = json.loads(before)["time"]
    assert f"Registered already, since {time}; nothing was changed." in again
    assert Path("runs/registrations.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("best_latent", "best_latnet", "Did you mean 'best_latent'?"),
        ("texts.jsonl", "nowhere.jsonl", "nowhere.jsonl"),
        ("margin = ", "margn = ", "Did you mean 'margin'?"),
    ],
)
def test_a_study_that_cannot_be_played_is_not_registered(call, old, new, words):
    Path("study.toml").write_text(Path("study.toml").read_text().replace(old, new))
    code, out, err = call("register", "study.toml")
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert not Path("runs").exists()


def test_a_log_that_was_edited_is_named_with_its_line(call):
    call("register", "study.toml")
    log = Path("runs/registrations.jsonl")
    log.write_bytes(log.read_bytes().replace(b'"margin":0.01', b'"margin":0.02'))
    code, out, err = call("register", "study.toml")
    assert (code, out) == (1, "")
    assert "registrations.jsonl, line 1, was edited" in " ".join(err.split())
    assert "Traceback" not in err


RESULT = """
[[results]]
against = "mean_difference"
role = "baseline"
is_best = true
measure = "macro AUROC"
challenger = {challenger}
defender = {defender}
source = "run"
[public]
is_public = true
artefacts = ["study file"]
reproducible = "unknown"
[evidence]
source = "run"
study = "study.toml"
challenger = "best_latent[sae]"
"""


def test_a_claim_plays_its_study_and_takes_its_numbers_from_the_run(call):
    docket = Path(__file__).parents[2] / "docket" / "minilm_harmful_intent.toml"
    head = docket.read_text().partition("[[results]]")[0]
    Path("mine.toml").write_text(head + RESULT.format(challenger=0.0, defender=0.0))
    code, out, _ = call("reproduce", "mine.toml", "--json", "--no-record")
    found = {own["what"]: own["found"] for own in json.loads(out)["numbers"]}
    assert (code, set(found)) == (1, {"challenger", "defender"})
    Path("mine.toml").write_text(head + RESULT.format(**found))
    code, out, _ = call("reproduce", "mine.toml", "--json")
    assert (code, json.loads(out)["agrees"]) == (0, True)
    assert Path("mine.reproduced.jsonl").is_file()
