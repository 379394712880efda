"""Named streams of chance: the same name gives the same bits, whatever ran before.

No module draws from a global generator. A stream is asked for by name where a trial is planned, and is
passed down as an argument.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

Name = str | int
_PARTING = "\x1f"


def seed_of(*names: Name) -> int:
    """Give the 63-bit seed that belongs to a sequence of names.

    The names are parted by a character that may not stand in them, so ("a", "bc") and ("ab", "c") differ.

    Raises:
        ValueError: a name holds that character, U+001F.
    """
    texts = [str(name) for name in names]
    if any(_PARTING in text for text in texts):
        raise ValueError(f"A stream's name holds U+001F, which parts names: {names!r}. Leave it out.")
    digest = hashlib.sha256(_PARTING.join(texts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(*names: Name) -> np.random.Generator:
    """Give the NumPy generator that belongs to `names`."""
    return np.random.default_rng(seed_of(*names))


def torch_stream(*names: Name) -> torch.Generator:
    """Give the torch CPU generator that belongs to `names`."""
    return torch.Generator().manual_seed(seed_of(*names))
