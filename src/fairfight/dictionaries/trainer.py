"""One sparse autoencoder in training: its state, and the step that all its kinds share.

A kind brings a `Rule`: which latents speak, what their codes are, and what a code's gradient does to its
pre-activation. Encoder product, decoding, gradients, clipping and Adam are here, on sparse codes from end to end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.kernels.contract import (
    Codes,
    Dead,
    Entries,
    Kernels,
    Matrices,
    Moments,
    Moved,
    Reconstruction,
)
from fairfight.dictionaries.weights import project
from fairfight.errors import NonFiniteError

__all__ = ["Push", "Revival", "Rule", "SaeState", "SaeTrainer", "Step"]


@dataclass
class SaeState:
    """All that a step changes, and so all that a checkpoint keeps."""

    W_enc: Float[Tensor, "latent d_model"]
    """The encoder, a row for each latent."""
    W_dec: Float[Tensor, "latent d_model"]
    b_dec: Float[Tensor, " d_model"]
    vectors: dict[str, Float[Tensor, " latent"]]
    """What a kind learns for each latent: `b_enc`, thresholds, gates."""
    silent_tokens: Int[Tensor, " latent"]
    """Tokens since each latent spoke."""
    steps: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    """Adam's running mean of each parameter's gradient."""
    square: dict[str, Tensor] = field(default_factory=dict)
    """Adam's running mean of its square."""
    scalars: dict[str, float] = field(default_factory=dict)
    """What a kind keeps between steps besides."""
    flops_executed: int = 0
    """Floating-point operations so far, those with codes that are known to be zero left out."""
    flops_dense: int = 0
    """What a trainer without sparse products would have done."""
    W_skip: Float[Tensor, "d_out d_model"] | None = None
    """A transcoder's linear path from input to output beside the codes; None where there is none."""

    @classmethod
    def start(
        cls,
        W_enc: Float[Tensor, "latent d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        b_dec: Float[Tensor, " d_model"],
        vectors: dict[str, Float[Tensor, " latent"]],
        W_skip: Float[Tensor, "d_out d_model"] | None = None,
    ) -> SaeState:
        """Give the state before the first step."""
        silent = torch.zeros(len(W_dec), dtype=torch.long, device=W_dec.device)
        state = cls(W_enc.clone(), W_dec.clone(), b_dec.clone(), {n: v.clone() for n, v in vectors.items()}, silent)
        state.W_skip = None if W_skip is None else W_skip.clone()
        for name, parameter in state.parameters().items():
            state.mean[name], state.square[name] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    def parameters(self) -> dict[str, Tensor]:
        """Give what Adam moves, by name."""
        skip = {} if self.W_skip is None else {"W_skip": self.W_skip}
        return {"W_enc": self.W_enc, "W_dec": self.W_dec, "b_dec": self.b_dec, **self.vectors, **skip}

    def moments(self, name: str) -> Moments:
        """Give Adam's two running means of a parameter."""
        return Moments(self.mean[name], self.square[name])


class Push(NamedTuple):
    """What a kind makes of the gradients of its codes."""

    pre: Float[Tensor, " entry"]
    """Gradient of the product of the token with the encoder row."""
    vectors: dict[str, Float[Tensor, " latent"]]
    """Gradients of the kind's vectors, except where they are that of a plain bias (`b_enc`), which is filled in."""
    penalty: float = 0.0
    """What the kind adds to the loss."""
    along: Float[Tensor, " latent"] | None = None
    """Gradient of each atom along itself, out of a penalty on its norm."""


class Rule(Protocol):
    """What a kind of sparse autoencoder adds to the common step."""

    def vectors(self, latents: int) -> dict[str, Float[Tensor, " latent"]]:
        """Give the kind's vectors before the first step."""
        ...

    def choose(self, kernels: Kernels, state: SaeState, x: Float[Tensor, "token d_model"], dead: Dead | None) -> Codes:
        """Give the entries that matter: those that speak, and those whose silence has a gradient.

        What the `dead` say may come with them, where it costs no product of its own.
        """
        ...

    def values(self, state: SaeState, codes: Codes) -> tuple[Float[Tensor, " entry"], ...]:
        """Give what each entry is decoded with: once for each reconstruction in the loss, the real one first."""
        ...

    def push(
        self,
        state: SaeState,
        codes: Codes,
        values: tuple[Float[Tensor, " entry"], ...],
        pulls: tuple[Float[Tensor, " entry"], ...],
    ) -> Push:
        """Give the gradients that follow from those of `values`."""
        ...

    def levels(self) -> tuple[Int[Tensor, " latent"], int] | None:
        """Give the nested level of each latent and how many there are, or None where all are one."""
        ...


@dataclass(frozen=True)
class Revival:
    """The auxiliary loss of dead latents: they explain what the others left over.

    loss = weight min(dead / k, 1) mean_t ||e_t - e_hat_t||^2 with k = d_model // 2, e = x - x_hat held constant and e_hat
    what the k largest pre-activations of dead latents make of it, whatever their sign.

    Source: Gao et al. (2024), appendix A.2; the factor for few dead latents as in sparsify and SAELens.
    """

    after_tokens: int
    """Silent tokens that make a latent dead."""
    weight: float = 1 / 32


class Step(NamedTuple):
    """What a step found."""

    loss: float
    """Mean over tokens of the whole loss."""
    squared_error: float
    """Mean over tokens of the reconstruction's squared error (summed over levels where there are any)."""
    l0: float
    dead: int
    """Latents that were dead before the step."""


class _Revived(NamedTuple):
    """The auxiliary reconstruction of a step."""

    entries: Entries
    loss: float
    encoded: int
    """Latents that took a product of their own."""
    dead: int


class SaeTrainer:
    """Takes steps on a state. The same state and batches give the same bits on any number of threads."""

    def __init__(
        self,
        state: SaeState,
        rule: Rule,
        kernels: Kernels,
        *,
        revival: Revival | None = None,
        clip_norm: float = 1.0,
        unit_norm: bool = True,
        frozen_atoms: bool = False,
        is_transcoder: bool = False,
    ) -> None:
        """`clip_norm` bounds the norm of all gradients together; `unit_norm` keeps atoms at norm one.

        A transcoder's batches hold each token's input and, in the columns behind it, the output that is wanted of it.
        """
        self.state = state
        self._rule = rule
        self._kernels = kernels
        self._revival = revival
        self._clip_norm = clip_norm
        self._unit_norm = unit_norm
        self._frozen = state.W_dec.clone() if frozen_atoms else None
        self._is_transcoder = is_transcoder
        self._levels, self._depth = rule.levels() or (None, 1)
        self._rooms: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, batch: Float[Tensor, "token d_batch"], rate: float, *, scale: float = 1.0) -> Step:
        """Take one step on a batch, times `scale`, with this learning rate.

        Raises:
            NonFiniteError: the loss became NaN or infinite.
        """
        state, kernels, tokens = self.state, self._kernels, len(batch)
        dead = self._dead()
        x, target = self._sides(batch, scale)
        codes = self._rule.choose(kernels, state, x, dead)
        values = self._rule.values(state, codes)
        found = [
            kernels.reconstruct(target, state.W_dec, codes, value, 2 / tokens, self._levels, self._depth)
            for value in values
        ]
        push = self._rule.push(state, codes, values, tuple(part.code_pulls for part in found))
        outer_error = found[0].pull[(self._depth - 1) * tokens :]
        revived = self._revive(x, outer_error, dead, codes.dead) if dead else None
        parts = self._entries(codes, values, push, found, revived)
        gradients = kernels.gradients(
            x, Matrices(state.W_enc, state.W_dec), parts, push.along, unit_norm=self._unit_norm
        )
        b_dec = sum(part.pull_sum for part in found)
        if not self._is_transcoder:
            # It is added to every reconstruction and subtracted from the encoder's input.
            b_dec = b_dec - gradients.through_b_enc
        vectors = {"b_dec": b_dec, **({"b_enc": gradients.b_enc} if "b_enc" in state.vectors else {}), **push.vectors}
        if state.W_skip is not None:
            pulls = torch.stack([part.pull[:tokens] for part in found]).sum(dim=0)
            vectors["W_skip"] = project(pulls.T.contiguous(), x.T.contiguous())
        loss = sum(part.loss for part in found) / tokens + push.penalty + (revived.loss if revived else 0.0)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"Training left the finite numbers at step {state.steps}; a finite loss was expected. "
                "Lower the recipe's learning_rate, and look for outliers among the activations."
            )
        state.steps += 1
        if self._frozen is not None:
            only = gradients.W_enc[gradients.is_touched].double().square().sum().item()
            gradients = gradients._replace(squared_norm=only)
        squared = gradients.squared_norm + kernels.squared_norm(list(vectors.values()))
        factor = min(1.0, self._clip_norm / (math.sqrt(squared) + 1e-6))
        parameters = state.parameters()
        kernels.adam(
            Matrices(state.W_enc, state.W_dec),
            (state.moments("W_enc"), state.moments("W_dec")),
            gradients,
            [Moved(parameters[name], state.moments(name), gradient) for name, gradient in vectors.items()],
            rate=rate,
            step=state.steps,
            factor=factor,
            unit_norm=self._unit_norm,
        )
        if self._frozen is not None:
            state.W_dec.copy_(self._frozen)
        active = kernels.count_silence(state.silent_tokens, tokens, codes, values[0])
        self._charge(tokens, sum(len(value) for value in values), len(values), revived)
        return Step(loss, found[0].loss / tokens, active / tokens, len(dead.latents) if dead else 0)

    def _sides(
        self, batch: Float[Tensor, "token d_batch"], scale: float
    ) -> tuple[Float[Tensor, "token d_model"], Float[Tensor, "token d_out"]]:
        """Give what the encoder reads, and what codes times atoms should come to."""
        state = self.state
        if not self._is_transcoder:
            centred = torch.add(-state.b_dec, batch, alpha=scale, out=self._room("centred", batch.shape, state.b_dec))
            return centred, centred
        width = state.W_enc.shape[1]
        x = batch[:, :width] * scale
        target = torch.add(-state.b_dec, batch[:, width:], alpha=scale)
        return x, target if state.W_skip is None else target.sub_(project(x, state.W_skip))

    def _dead(self) -> Dead | None:
        if self._revival is None:
            return None
        dead = (self.state.silent_tokens >= self._revival.after_tokens).nonzero().flatten()
        most = max(1, self.state.W_dec.shape[1] // 2)
        return Dead(dead, min(most, len(dead))) if len(dead) else None

    def _revive(
        self,
        x: Float[Tensor, "token d_model"],
        error: Float[Tensor, "token d_model"],
        dead: Dead,
        codes: Codes | None,
    ) -> _Revived:
        """Reconstruct with dead latents what the others left over; `error` is the scaled error of their reconstruction."""
        assert self._revival is not None
        state, kernels, (tokens, width) = self.state, self._kernels, error.shape
        weight = self._revival.weight * min(len(dead.latents) / max(1, width // 2), 1.0)
        encoded = 0
        if codes is None:
            codes, encoded = kernels.largest(x, state.W_enc, state.vectors["b_enc"], dead), len(dead.latents)
        left = torch.mul(error, -tokens / 2, out=self._room("left", error.shape, error))
        found = kernels.reconstruct(left, state.W_dec, codes, codes.pre, 2 * weight / tokens, members=dead.latents)
        entries = Entries(found.pull, codes.latents, codes.tokens, codes.pre, found.code_pulls)
        return _Revived(entries, weight * found.loss / tokens, encoded, len(dead.latents))

    def _entries(
        self,
        codes: Codes,
        values: tuple[Float[Tensor, " entry"], ...],
        push: Push,
        found: list[Reconstruction],
        revived: _Revived | None,
    ) -> list[Entries]:
        """Give the entries of each reconstruction with its pull."""
        rows = codes.tokens
        if self._levels is not None:
            rows = rows + self._levels[codes.latents.long()] * (len(codes.starts) - 1)
        # The encoder's gradient is that of the first: what the others add to it is in its pushes.
        pushes = [push.pre, *(torch.zeros_like(push.pre) for _ in values[1:])]
        parts = [
            Entries(part.pull, codes.latents, rows, value, pushed)
            for part, value, pushed in zip(found, values, pushes, strict=True)
        ]
        return parts if revived is None else [*parts, revived.entries]

    def _room(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Give a tensor of this shape, the same memory at every step: fresh pages would cost as much as the work."""
        size = math.prod(shape)
        held = self._rooms.get(name)
        if held is None or held.numel() < size:
            held = self._rooms[name] = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size].view(shape)

    def _charge(self, tokens: int, entries: int, reconstructions: int, revived: _Revived | None) -> None:
        """Count one product for encoding, and for each reconstruction one forward and two or three backward."""
        state, width = self.state, self.state.W_dec.shape[1]
        product = 2 * tokens * state.W_dec.numel()
        skipped = 0 if state.W_skip is None else 4 * tokens * state.W_skip.numel()
        # The encoder's gradient is one product, however many reconstructions there are.
        state.flops_dense += product * (2 + 3 * reconstructions) + skipped
        state.flops_executed += product + 2 * width * (3 * entries + entries // reconstructions) + skipped
        if revived is not None:
            product = 2 * tokens * revived.dead * width
            state.flops_dense += 4 * product
            state.flops_executed += 2 * tokens * revived.encoded * width + 8 * width * len(revived.entries.values)


def by_latent(values: Float[Tensor, " entry"], codes: Codes, latents: int) -> Float[Tensor, " latent"]:
    """Give the sum of the entries' values for each latent, in the order of the entries."""
    return torch.zeros(latents, dtype=values.dtype, device=values.device).index_add_(0, codes.latents.long(), values)


def unit_rows(rows: Float[Tensor, "latent d_model"]) -> Float[Tensor, "latent d_model"]:
    """Give the rows at norm one."""
    return F.normalize(rows, dim=1)
