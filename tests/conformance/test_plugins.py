"""Every plug-in that the registry finds, a stranger's too, against every check of its shelf."""

import pytest

from fairfight import conformance, registry

CASES = [
    pytest.param(name, check, id=f"{shelf}-{name}-{check.__name__}")
    for shelf in registry.SHELVES
    for name in sorted(registry.places(shelf))
    for check in conformance.CHECKS[shelf]
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_plugin_passes(name, check, tmp_path):
    check(name, tmp_path)
