"""A plug-in is its file's name, wherever the file lies."""

import pytest

from fairfight import registry
from fairfight.errors import PluginError

TOY = "class {name}:\n    '''A toy.'''\n"


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.FOLDERS_VARIABLE, str(tmp_path))
    for shelf in registry.SHELVES:
        (tmp_path / shelf).mkdir()
    return tmp_path


@pytest.mark.parametrize("shelf", registry.SHELVES)
def test_a_file_in_a_scratch_folder_is_found_and_loaded(scratch, shelf):
    (scratch / shelf / "very_new.py").write_text(TOY.format(name="VeryNew"))
    assert registry.places(shelf)["very_new"].origin == str(scratch)
    assert registry.load(shelf, "very_new").__name__ == "VeryNew"


def test_a_name_taken_twice_is_refused(scratch):
    (scratch / "methods" / "logistic_probe.py").write_text(TOY.format(name="LogisticProbe"))
    with pytest.raises(PluginError, match="Two methods are called 'logistic_probe'"):
        registry.places("methods")


def test_an_unknown_name_gets_the_nearest(scratch):
    with pytest.raises(PluginError, match="Did you mean 'logistic_probe'"):
        registry.load("methods", "logistik_probe")


def test_a_file_without_its_class_is_refused(scratch):
    (scratch / "kinds" / "odd.py").write_text(TOY.format(name="Even"))
    with pytest.raises(PluginError, match="holds no class 'Odd'"):
        registry.load("kinds", "odd")


def test_files_that_begin_with_an_underscore_are_no_plugins(scratch):
    (scratch / "methods" / "_shared.py").write_text("")
    assert "_shared" not in registry.places("methods")
