"""The rules of the sparse kinds: who speaks, how loud, and what it costs.

In all of them x is the token less b_dec, pre = x W_enc + b_enc, and the loss is the mean over tokens of the squared
error plus what is said in each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.kernels.contract import Codes, Dead, Kernels
from fairfight.dictionaries.trainer import Push, SaeState, by_latent

Values = tuple[Float[Tensor, " entry"], ...]


class _PlainBias:
    """Codes that have one value and one level, and a bias that starts at zero."""

    def vectors(self, latents: int) -> dict[str, Float[Tensor, " latent"]]:
        """Give `b_enc`."""
        return {"b_enc": torch.zeros(latents)}

    def values(self, state: SaeState, codes: Codes) -> Values:
        """Give the pre-activations of those who speak."""
        return (codes.pre,)

    def levels(self) -> tuple[Int[Tensor, " latent"], int] | None:
        """Give none."""
        return None


@dataclass(frozen=True)
class TopKRule(_PlainBias):
    """The k largest positive pre-activations of each token.

    With `by_norm` they are compared times the norm of their atoms, as if atoms were brought to norm one.
    """

    k: int
    by_norm: bool = False

    def choose(self, kernels: Kernels, state: SaeState, x: Float[Tensor, "token d_model"], dead: Dead | None) -> Codes:
        """Give up to k entries a token."""
        if not self.by_norm:
            return kernels.top_k(x, state.W_enc, state.vectors["b_enc"], self.k, dead=dead)
        norms = state.W_dec.norm(dim=1)
        codes = kernels.top_k(x, state.W_enc * norms[:, None], state.vectors["b_enc"] * norms, self.k)
        return codes._replace(pre=codes.pre / norms[codes.latents.long()])

    def push(self, state: SaeState, codes: Codes, values: Values, pulls: Values) -> Push:
        """Pass on the gradient of those who speak."""
        return Push(pulls[0], {})


@dataclass(frozen=True)
class ReLURule(_PlainBias):
    """All positive pre-activations, and a penalty: l1 mean_t sum_i code_ti ||atom_i||, growing over the warm-up."""

    l1: float
    warm_up_steps: int = 0
    unit_norm: bool = True

    def choose(self, kernels: Kernels, state: SaeState, x: Float[Tensor, "token d_model"], dead: Dead | None) -> Codes:
        """Give the positive ones."""
        floors = torch.zeros(len(state.W_dec), device=x.device)
        return kernels.above(x, state.W_enc, state.vectors["b_enc"], floors, dead=dead)

    def push(self, state: SaeState, codes: Codes, values: Values, pulls: Values) -> Push:
        """Add the penalty's gradient to every code, and to the norms of atoms where these are free."""
        tokens = len(codes.starts) - 1
        l1 = self.l1 * warmed(state.steps, self.warm_up_steps) / tokens
        sums = by_latent(codes.pre, codes, len(state.W_dec))
        if self.unit_norm:
            return Push(pulls[0] + l1, {}, l1 * sums.double().sum().item())
        norms = state.W_dec.norm(dim=1)
        penalty = l1 * (sums.double() * norms.double()).sum().item()
        return Push(pulls[0] + l1 * norms[codes.latents.long()], {}, penalty, l1 * sums / norms)


@dataclass(frozen=True)
class JumpReLURule(_PlainBias):
    """Pre-activations above a learned threshold, with straight-through gradients of the threshold.

    loss += l0 sum_i p_i, or l0 sum_i p_i (1 + p_i / frequency_scale) where that is given; p_i is the share of the batch's
    tokens on which latent i speaks. The step function's gradient by its threshold is taken as -1 / bandwidth within half
    a bandwidth of it, and reaches thresholds alone.

    Source: Rajamanoharan et al. (2024), "Jumping Ahead"; the quadratic-frequency penalty of Smith et al. (2025),
    "Negative Results for Sparse Autoencoders on Downstream Tasks".
    """

    l0: float
    warm_up_steps: int = 0
    bandwidth: float = 0.05
    threshold: float = 0.01
    """At the start."""
    frequency_scale: float | None = None

    def vectors(self, latents: int) -> dict[str, Float[Tensor, " latent"]]:
        """Give `b_enc` and the thresholds."""
        return {"b_enc": torch.zeros(latents), "threshold": torch.full((latents,), self.threshold)}

    def choose(self, kernels: Kernels, state: SaeState, x: Float[Tensor, "token d_model"], dead: Dead | None) -> Codes:
        """Give those above their threshold, and those less than half a bandwidth below it."""
        threshold = state.vectors["threshold"].clamp_(min=0.0)
        return kernels.above(x, state.W_enc, state.vectors["b_enc"], threshold - self.bandwidth / 2, dead=dead)

    def values(self, state: SaeState, codes: Codes) -> Values:
        """Give the pre-activations above the threshold, zero for the others."""
        return (codes.pre * (codes.pre > state.vectors["threshold"][codes.latents.long()]),)

    def push(self, state: SaeState, codes: Codes, values: Values, pulls: Values) -> Push:
        """Pass on the gradient of those who speak, and give that of the thresholds."""
        tokens, latents = len(codes.starts) - 1, len(state.W_dec)
        threshold = state.vectors["threshold"][codes.latents.long()]
        is_active = codes.pre > threshold
        frequency = by_latent(is_active.to(codes.pre.dtype), codes, latents) / tokens
        l0 = self.l0 * warmed(state.steps, self.warm_up_steps)
        steepness = torch.ones_like(frequency)
        penalty = frequency.double()
        if self.frequency_scale is not None:
            steepness = 1 + 2 * frequency / self.frequency_scale
            penalty = penalty * (1 + penalty / self.frequency_scale)
        is_near = (codes.pre - threshold).abs() < self.bandwidth / 2
        cost = threshold * pulls[0] + l0 / tokens * steepness[codes.latents.long()]
        by_threshold = by_latent(cost * is_near, codes, latents) / -self.bandwidth
        return Push(pulls[0] * is_active, {"threshold": by_threshold}, l0 * penalty.sum().item())


@dataclass(frozen=True)
class BatchTopKRule(_PlainBias):
    """The k x tokens largest positive pre-activations of the whole batch.

    `state.scalars["threshold"]` follows the smallest that got in, for encoding a token by itself later. With levels,
    which are ends of nested prefixes of the latents, every prefix has to reconstruct the token by itself.

    Source: Bussmann et al. (2024), "BatchTopK Sparse Autoencoders"; Bussmann et al. (2025), "Learning Multi-Level
    Features with Matryoshka Sparse Autoencoders".
    """

    k: float
    by_norm: bool = False
    prefixes: tuple[int, ...] = ()
    threshold_rate: float = 0.01

    def choose(self, kernels: Kernels, state: SaeState, x: Float[Tensor, "token d_model"], dead: Dead | None) -> Codes:
        """Give the largest of the batch; pre-activations are looked at above a floor that the last batch suggests."""
        W_enc, b_enc = state.W_enc, state.vectors["b_enc"]
        norms = None
        if self.by_norm:
            norms = state.W_dec.norm(dim=1)
            W_enc, b_enc, dead = W_enc * norms[:, None], b_enc * norms, None
        wanted = int(self.k * len(x))
        codes = self._collect(kernels, state, x, W_enc, b_enc, wanted, dead)
        threshold = state.scalars.get("threshold", 0.0)
        if len(codes.pre):
            threshold += self.threshold_rate * (codes.pre.min().item() - threshold)
        state.scalars["threshold"] = threshold
        return codes if norms is None else codes._replace(pre=codes.pre / norms[codes.latents.long()])

    def push(self, state: SaeState, codes: Codes, values: Values, pulls: Values) -> Push:
        """Pass on the gradient of those who speak."""
        return Push(pulls[0], {})

    def levels(self) -> tuple[Int[Tensor, " latent"], int] | None:
        """Give the level of each latent."""
        if not self.prefixes:
            return None
        widths = torch.tensor([0, *self.prefixes]).diff()
        return torch.arange(len(self.prefixes), dtype=torch.int32).repeat_interleave(widths), len(self.prefixes)

    def _collect(
        self,
        kernels: Kernels,
        state: SaeState,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        wanted: int,
        dead: Dead | None,
    ) -> Codes:
        floor = state.scalars.get("floor", 0.0)
        codes = kernels.above(x, W_enc, b_enc, torch.full((len(W_enc),), floor, device=x.device), dead=dead)
        if len(codes.pre) < wanted and floor > 0:
            codes = kernels.above(x, W_enc, b_enc, torch.zeros(len(W_enc), device=x.device), dead=dead)
        if len(codes.pre) > wanted:
            codes = _largest(codes, wanted)
        state.scalars["floor"] = 0.8 * codes.pre.min().item() if len(codes.pre) else 0.0
        return codes


@dataclass(frozen=True)
class GatedRule:
    """A gate says who speaks, a magnitude how loud: both from one product with the encoder.

    pi = x W_enc + b_gate; a latent with pi > 0 has the code relu(exp(r_mag) x W_enc + b_mag). The gates alone have to
    reconstruct the token too, and pay: l1 mean_t sum_i relu(pi_ti) ||atom_i||.

    Source: Rajamanoharan et al. (2024), "Improving Dictionary Learning with Gated Sparse Autoencoders".
    """

    l1: float
    warm_up_steps: int = 0
    unit_norm: bool = True

    def vectors(self, latents: int) -> dict[str, Float[Tensor, " latent"]]:
        """Give both biases and the logarithm of the magnitudes' scale."""
        return {name: torch.zeros(latents) for name in ("b_gate", "b_mag", "r_mag")}

    def choose(self, kernels: Kernels, state: SaeState, x: Float[Tensor, "token d_model"], dead: Dead | None) -> Codes:
        """Give those whose gate is open; `pre` is pi."""
        return kernels.above(x, state.W_enc, state.vectors["b_gate"], torch.zeros(len(state.W_dec), device=x.device))

    def values(self, state: SaeState, codes: Codes) -> Values:
        """Give the magnitudes, and the gates."""
        return self._magnitudes(state, codes).relu(), codes.pre

    def push(self, state: SaeState, codes: Codes, values: Values, pulls: Values) -> Push:
        """Give the gradients of product, biases and scale."""
        tokens, latents = len(codes.starts) - 1, len(state.W_dec)
        l1 = self.l1 * warmed(state.steps, self.warm_up_steps) / tokens
        norms = torch.ones(latents) if self.unit_norm else state.W_dec.norm(dim=1)
        of_entry = codes.latents.long()
        scale = state.vectors["r_mag"].exp()[of_entry]
        by_magnitude = pulls[0] * (values[0] > 0)
        by_gate = pulls[1] + l1 * norms[of_entry]
        product = codes.pre - state.vectors["b_gate"][of_entry]
        sums = by_latent(codes.pre, codes, latents)
        vectors = {
            "b_gate": by_latent(by_gate, codes, latents),
            "b_mag": by_latent(by_magnitude, codes, latents),
            "r_mag": by_latent(by_magnitude * product * scale, codes, latents),
        }
        penalty = l1 * (sums.double() * norms.double()).sum().item()
        along = None if self.unit_norm else l1 * sums / norms
        return Push(by_gate + by_magnitude * scale, vectors, penalty, along)

    def levels(self) -> tuple[Int[Tensor, " latent"], int] | None:
        """Give none."""
        return None

    def _magnitudes(self, state: SaeState, codes: Codes) -> Float[Tensor, " entry"]:
        of_entry = codes.latents.long()
        product = codes.pre - state.vectors["b_gate"][of_entry]
        return product * state.vectors["r_mag"].exp()[of_entry] + state.vectors["b_mag"][of_entry]


def warmed(steps: int, warm_up_steps: int) -> float:
    """Give the share of a penalty that counts after so many steps."""
    return min(1.0, steps / warm_up_steps) if warm_up_steps else 1.0


def _largest(codes: Codes, wanted: int) -> Codes:
    """Give the entries with the largest pre-activations, in their old order; of equals the first."""
    bound = codes.pre.kthvalue(len(codes.pre) - wanted + 1).values
    is_kept = codes.pre > bound
    ties = (codes.pre == bound).nonzero().flatten()
    is_kept[ties[: wanted - int(is_kept.sum())]] = True
    counts = torch.zeros(len(codes.starts), dtype=torch.long, device=codes.pre.device)
    counts[1:] = torch.bincount(codes.tokens[is_kept].long(), minlength=len(codes.starts) - 1)
    return Codes(counts.cumsum(0), codes.latents[is_kept], codes.tokens[is_kept], codes.pre[is_kept], codes.dead)
