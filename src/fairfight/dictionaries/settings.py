"""What recipes check of their settings."""

from __future__ import annotations

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
