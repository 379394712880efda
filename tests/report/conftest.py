"""Hands the planted world to the tests beside it."""

import importlib.util
import sys
from pathlib import Path

import pytest

_WORLD = Path(__file__).parents[1] / "verdict" / "world.py"


@pytest.fixture(scope="session")
def planted():
    """Give the module that builds ledgers with planted skills."""
    name = "fairfight_planted_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _WORLD)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
