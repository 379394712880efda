"""No network, one thread of linear algebra a process, no global chance."""

import os
import socket

import pytest
from hypothesis import settings


def pytest_configure(config):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch  # after the lines above: the threads are counted when it loads

    torch.set_num_threads(1)
    # A busy machine is slow, not wrong.
    settings.register_profile("fairfight", deadline=None)
    settings.load_profile("fairfight")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    real = socket.socket.connect

    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reached for the network: {address}")
        return real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def planted():
    """Give the module that builds ledgers with planted skills."""
    import planted

    return planted
