"""The README's tree names every module, and nothing that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_names_every_module_and_no_other():
    tree = README.split("## The tree")[1].split("```")[1].split("└── src/fairfight/")[1]
    listed = re.findall(r"^ +(\w+\.py) ", tree, flags=re.MULTILINE)
    there = [file.name for file in (ROOT / "src" / "fairfight").rglob("*.py") if file.name != "__init__.py"]
    assert sorted(listed) == sorted(there)


def test_every_command_that_it_names_exists():
    from fairfight.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"`fairfight (\w+)", README))
    assert named == known, named ^ known


def test_every_file_that_it_links_to_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
