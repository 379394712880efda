"""The two doors from a shell: `fairfight` and `python -m fairfight`."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from fairfight import cli

CONSOLE = "import sys; from importlib.metadata import entry_points as e; sys.argv[0] = 'fairfight'; (f,) = e(group='console_scripts', name='fairfight'); f.load()()"
DOORS = pytest.mark.parametrize("door", [["-m", "fairfight"], ["-c", CONSOLE]], ids=["module", "console script"])


def through(door, *arguments):
    command = [sys.executable, *door, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_console_script_is_the_command_line():
    (script,) = entry_points(group="console_scripts", name="fairfight")
    assert script.load() is cli.main


@DOORS
def test_the_plugins_are_listed_as_json(door):
    done = through(door, "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert {row["shelf"] for row in json.loads(done.stdout)["plugins"]} == {"tasks", "methods", "kinds", "formats"}


@DOORS
def test_help_is_given_and_wrong_usage_exits_with_2(door):
    assert "Usage: fairfight" in through(door, "--help").stdout.replace("python -m fairfight", "fairfight")
    assert through(door, "fight").returncode == 2
