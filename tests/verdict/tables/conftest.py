"""Tables for the tests beside this file."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tables():
    """Give the module that makes small tables."""
    spec = importlib.util.spec_from_file_location("small_tables", Path(__file__).parent / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
