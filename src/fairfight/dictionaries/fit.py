"""Train sparse autoencoders, one or several in one pass over the data, with checkpoints and exact resume."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fairfight.dictionaries.kernels.contract import Kernels
from fairfight.dictionaries.mixing import Mixing
from fairfight.dictionaries.settings import check_positive, check_room
from fairfight.dictionaries.trainer import Revival, Rule, SaeState, SaeTrainer, unit_rows
from fairfight.errors import DamagedFileError, InputError, NonFiniteError, StudyError

__all__ = ["Job", "Plan", "Progress", "Scaling", "fit", "kernels_for", "require_room", "scaling_of"]

_SMALLEST = 1e-30
_BYTES_A_WEIGHT = 32
"""Encoder and decoder, two running means of each, and their gradients, in float32."""


@dataclass(frozen=True)
class Plan:
    """How long: with linear warm-up over the first twentieth and linear decay to zero over the last fifth."""

    steps: int
    batch: int
    clip_norm: float = 1.0
    """Bound of the norm of all gradients together, for input at its trained scale; infinity turns it off."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "clip_norm"):
            check_positive(name, getattr(self, name))

    def pace(self, step: int) -> float:
        """Give the share of its learning rate that a job has at a step, counted from zero."""
        warm_up, decay = max(1, self.steps // 20), max(1, self.steps // 5)
        return min(1.0, (step + 1) / warm_up, (self.steps - step) / decay)


class Scaling(NamedTuple):
    """What tokens are multiplied with, and what is known of them."""

    factor: float
    """Brings the mean squared norm to d_model, which makes rates and penalties comparable between sites."""
    mean: Float[Tensor, " d_model"]
    """Of the tokens as they are."""
    variance: float
    """Mean squared distance of the scaled tokens from their mean."""


@dataclass(frozen=True)
class Job:
    """One autoencoder to train."""

    name: str
    rule: Rule
    latents: int
    learning_rate: float
    stream: torch.Generator
    """Draws the atoms at the start; the order of the tokens is the same for all jobs."""
    revival: Revival | None = None
    unit_norm: bool = True
    frozen_atoms: bool = False
    """Leave the decoder as it was drawn."""
    is_transcoder: bool = False
    """Tokens hold an input and, in the columns behind it, the output that is wanted of it."""
    start: SaeState | None = None
    """Where training goes on from, at the scale of the tokens as they are; None starts anew."""


class Progress(NamedTuple):
    """What a job's last steps found, as means over them."""

    job: str
    step: int
    """Steps done."""
    steps: int
    loss: float
    fvu: float
    l0: float
    dead_share: float
    tokens_per_second: float


Watch = Callable[[Progress], None]


def kernels_for(latents: int, d_model: int, name: str = "auto", *, coarse: bool = False) -> Kernels:
    """Give a back end: "numba", "torch", or with "auto" Numba where it is installed.

    Raises:
        InputError: there is no such back end, or Numba was asked for and is not installed.
    """
    if name not in ("auto", "numba", "torch"):
        raise InputError(f"There is no back end '{name}'. Choose auto, numba or torch.")
    if name != "torch":
        try:
            from fairfight.dictionaries.kernels.numba_kernels import NumbaKernels

            return NumbaKernels(latents, d_model, coarse=coarse)
        except ImportError as error:
            if name == "numba":
                raise InputError(
                    "The back end 'numba' needs the package numba, which is not installed. Install fairfight[fast], "
                    "or choose the back end torch."
                ) from error
    from fairfight.dictionaries.kernels.plain import PlainKernels

    return PlainKernels()


def require_room(latents: Sequence[int], d_model: int) -> None:
    """Raise StudyError where autoencoders of these sizes cannot be trained together in the machine's memory."""
    said = ", ".join(f"{count:,}" for count in latents[:3]) + (", ..." if len(latents) > 3 else "")
    what = f"To train {said} latents of width {d_model}, weights, Adam's means and gradients"
    check_room(what, _BYTES_A_WEIGHT * d_model * sum(latents))


def scaling_of(sample: Float[Tensor, "token d_model"]) -> Scaling:
    """Give the scaling that a sample of the tokens asks for."""
    mean = sample.double().mean(dim=0)
    power = sample.double().square().sum(dim=1).mean().item()
    factor = math.sqrt(sample.shape[1] / max(power, _SMALLEST))
    variance = max(power - mean.square().sum().item(), _SMALLEST) * factor**2
    return Scaling(factor, mean.float(), variance)


def fit(
    jobs: Sequence[Job],
    source: Mixing,
    scaling: Scaling,
    plan: Plan,
    *,
    back_end: str = "auto",
    coarse: bool = False,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 120.0,
    watch: Watch | None = None,
    watch_steps: int = 50,
) -> list[SaeState]:
    """Train all jobs in one pass, and give their states at the scale of the tokens as they are.

    Every job sees the same batches. With a `checkpoint` file, what was done is kept there now and then and found again;
    the end is the same to the bit as without an interruption, and the file goes when all is done. It is named by what is
    trained, so another training does not take it for its own.

    Raises:
        NonFiniteError: a loss or a weight became NaN or infinite.
        DamagedFileError: the checkpoint is not one, or not of these jobs.
    """
    if len({job.name for job in jobs}) != len(jobs):
        raise StudyError("Two jobs have the same name; give each its own.")
    require_room([job.latents for job in jobs], len(scaling.mean))
    states = [_state_of(job, scaling) for job in jobs]
    done = _restore(checkpoint, jobs, states) if checkpoint is not None and checkpoint.is_file() else 0
    d_model = len(scaling.mean)
    trainers = [
        SaeTrainer(
            state,
            job.rule,
            kernels_for(job.latents, d_model, back_end, coarse=coarse),
            revival=job.revival,
            clip_norm=plan.clip_norm,
            unit_norm=job.unit_norm,
            frozen_atoms=job.frozen_atoms,
            is_transcoder=job.is_transcoder,
        )
        for job, state in zip(jobs, states, strict=True)
    ]
    tallies = [_Tally(job, plan, scaling.variance, watch_steps) for job in jobs]
    kept_at = time.monotonic()
    for step, batch in enumerate(source.batches(plan.batch, done, plan.steps), start=done):
        for job, trainer, tally in zip(jobs, trainers, tallies, strict=True):
            found = trainer.step(batch, job.learning_rate * plan.pace(step), scale=scaling.factor)
            tally.add(step, found, watch)
        if checkpoint is not None and time.monotonic() - kept_at > checkpoint_seconds:
            _keep(checkpoint, jobs, states)
            kept_at = time.monotonic()
    for job, state in zip(jobs, states, strict=True):
        _fold(job, state, scaling.factor)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return states


class _Tally:
    """Means over the last steps of one job."""

    def __init__(self, job: Job, plan: Plan, variance: float, every: int) -> None:
        self._job, self._plan, self._variance, self._every = job, plan, variance, every
        self._sums = [0.0, 0.0, 0.0]
        self._count = 0
        self._since = time.monotonic()

    def add(self, step: int, found: tuple[float, float, float, int], watch: Watch | None) -> None:
        loss, squared_error, l0, dead = found
        self._sums = [total + part for total, part in zip(self._sums, (loss, squared_error, l0), strict=True)]
        self._count += 1
        if (step + 1) % self._every and step + 1 < self._plan.steps:
            return
        loss, squared_error, l0 = (total / self._count for total in self._sums)
        now = time.monotonic()
        speed = self._count * self._plan.batch / max(now - self._since, 1e-9)
        if watch is not None:
            fvu, dead_share = squared_error / self._variance, dead / self._job.latents
            watch(Progress(self._job.name, step + 1, self._plan.steps, loss, fvu, l0, dead_share, speed))
        self._sums, self._count, self._since = [0.0, 0.0, 0.0], 0, now


def _state_of(job: Job, scaling: Scaling) -> SaeState:
    """Give where the job starts: unit atoms drawn at random, the encoder their transpose, `b_dec` the mean token."""
    if job.start is not None:
        start = job.start
        vectors = {name: value if name == "r_mag" else value * scaling.factor for name, value in start.vectors.items()}
        state = SaeState.start(start.W_enc, start.W_dec, start.b_dec * scaling.factor, vectors, start.W_skip)
        state.scalars = {name: value * scaling.factor for name, value in start.scalars.items()}
        return state
    atoms = unit_rows(torch.randn(job.latents, len(scaling.mean), generator=job.stream))
    return SaeState.start(atoms, atoms, scaling.mean * scaling.factor, job.rule.vectors(job.latents))


def _fold(job: Job, state: SaeState, factor: float) -> None:
    """Divide what is added or compared by the scale, so that the weights take tokens as they are.

    Codes are divided with it, which ReLU, top-k, thresholds and gates all allow; atoms keep their norm.
    """
    parameters = state.parameters()
    if not all(bool(value.isfinite().all()) for value in parameters.values()):
        raise NonFiniteError(
            f"A weight of '{job.name}' is NaN or infinite after {state.steps} steps; finite ones were expected. "
            "Lower the recipe's learning_rate, and look for outliers among the activations."
        )
    for name, value in parameters.items():
        if name not in ("W_enc", "W_dec", "r_mag", "W_skip"):
            value /= factor
    state.scalars = {name: value / factor for name, value in state.scalars.items()}


def _keep(file: Path, jobs: Sequence[Job], states: Sequence[SaeState]) -> None:
    tensors: dict[str, Tensor] = {}
    scalars = {}
    for job, state in zip(jobs, states, strict=True):
        for group, members in (("weight", state.parameters()), ("mean", state.mean), ("square", state.square)):
            tensors |= {f"{job.name}/{group}/{name}": value for name, value in members.items()}
        tensors[f"{job.name}/silent_tokens"] = state.silent_tokens
        scalars[job.name] = [state.scalars, state.flops_executed, state.flops_dense]
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    save_file(tensors, partial, {"steps": str(states[0].steps), "scalars": json.dumps(scalars)})
    os.replace(partial, file)


def _restore(file: Path, jobs: Sequence[Job], states: Sequence[SaeState]) -> int:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
            scalars, steps = json.loads(metadata["scalars"]), int(metadata["steps"])
            for job, state in zip(jobs, states, strict=True):
                for group, members in (("weight", state.parameters()), ("mean", state.mean), ("square", state.square)):
                    for name, value in members.items():
                        value.copy_(opened.get_tensor(f"{job.name}/{group}/{name}"))
                state.silent_tokens.copy_(opened.get_tensor(f"{job.name}/silent_tokens"))
                state.scalars, state.flops_executed, state.flops_dense = scalars[job.name]
                state.steps = steps
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedFileError(
            f"{file} is no checkpoint of this training ({error}). Delete it to start anew."
        ) from error
    return steps
