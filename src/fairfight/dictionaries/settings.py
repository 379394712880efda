"""What recipes check of their settings."""

from __future__ import annotations

import os

from fairfight.errors import StudyError


def check_positive(name: str, value: float) -> None:
    """Raise StudyError unless a setting is above zero."""
    if not value > 0:
        raise StudyError(f"The recipe has {name} = {value}, but it must be above zero. Change it in the study.")


def check_k(k: int, latents: int) -> None:
    """Raise StudyError unless `k` latents can be active at once."""
    check_positive("latents", latents)
    if not 1 <= k <= latents:
        raise StudyError(
            f"The recipe has k = {k}, but it must lie between 1 and latents = {latents}. Change either in the study."
        )


def check_room(what: str, size: int) -> None:
    """Raise StudyError where the machine has less memory than the `size` bytes that something takes."""
    if size > (there := memory_bytes()):
        raise StudyError(
            f"{what} take {size / 2**30:,.1f} GiB, but this machine has {there / 2**30:,.1f} GiB. Choose fewer latents, or a "
            "larger machine."
        )


def memory_bytes() -> int:
    """Give how much memory the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
