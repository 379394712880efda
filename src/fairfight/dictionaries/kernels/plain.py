"""The back end that needs torch alone, on any device; and what the compiled ones are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.kernels.contract import (
    BETA1,
    BETA2,
    EPS,
    Codes,
    Dead,
    Entries,
    Gradients,
    Matrices,
    Moments,
    Moved,
    Reconstruction,
    adam_factors,
)
from fairfight.dictionaries.weights import project

CHUNK_TOKENS = 1024
_DENSE_SHARE = 1 / 32
"""Share of members from which on dense products are faster than sparse ones."""


class PlainKernels:
    """Sparse products by embedding bags, which torch has for all devices. Keeps nothing between calls."""

    def top_k(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        k: int,
        *,
        dead: Dead | None = None,
    ) -> Codes:
        """Give the k largest positive pre-activations of each token."""
        chosen, silent = [], []
        for part in x.split(CHUNK_TOKENS):
            pre = project(part, W_enc, b_enc)
            chosen.append(pre.topk(k, dim=1, sorted=False))
            silent.append(_largest_of(pre, dead))
        codes = _regular([part.values for part in chosen], [part.indices for part in chosen])
        is_kept = codes.pre > 0
        counts = codes.tokens[is_kept].bincount(minlength=len(x))
        return Codes(
            F.pad(counts.cumsum(0), (1, 0)), codes.latents[is_kept], codes.tokens[is_kept], codes.pre[is_kept],
            _joined(silent),
        )  # fmt: skip

    def above(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        floors: Float[Tensor, " latent"],
        *,
        dead: Dead | None = None,
    ) -> Codes:
        """Give the pre-activations that exceed their latent's floor."""
        places, values, silent, first = [], [], [], 0
        for part in x.split(CHUNK_TOKENS):
            pre = project(part, W_enc, b_enc)
            place = (pre > floors).nonzero()
            values.append(pre[place[:, 0], place[:, 1]])
            silent.append(_largest_of(pre, dead))
            place[:, 0] += first
            places.append(place)
            first += len(part)
        tokens, latents = torch.cat(places).T
        starts = F.pad(tokens.bincount(minlength=len(x)).cumsum(0), (1, 0))
        return Codes(starts, latents.contiguous(), tokens.contiguous(), torch.cat(values), _joined(silent))

    def largest(
        self,
        x: Float[Tensor, "token d_model"],
        W_enc: Float[Tensor, "latent d_model"],
        b_enc: Float[Tensor, " latent"],
        dead: Dead,
    ) -> Codes:
        """Give the largest pre-activations of some latents alone."""
        rows, bias = W_enc[dead.latents], b_enc[dead.latents]
        found = [project(part, rows, bias).topk(dead.k, dim=1, sorted=False) for part in x.split(CHUNK_TOKENS)]
        return _regular([part.values for part in found], [dead.latents[part.indices] for part in found])

    def reconstruct(
        self,
        target: Float[Tensor, "token d_model"],
        W_dec: Float[Tensor, "latent d_model"],
        codes: Codes,
        values: Float[Tensor, " entry"],
        scale: float,
        levels: Int[Tensor, " latent"] | None = None,
        depth: int = 1,
        *,
        members: Int[Tensor, " member"] | None = None,
    ) -> Reconstruction:
        """Decode `values` and compare with the target."""
        rows = codes.tokens
        if levels is not None:
            rows = rows + len(target) * levels[codes.latents.long()]
        sums = _sum_by(rows, depth * len(target), codes.latents, values, W_dec)
        errors = sums.view(depth, *target.shape).cumsum(dim=0) - target
        # What a level's latents feel is the sum of the errors of their own level and of all deeper ones.
        pull = errors.flip(0).cumsum(dim=0).flip(0).mul_(scale).view_as(sums)
        loss = errors.double().square().sum().item()
        code_pulls = _inner_products(pull, rows, W_dec, codes.latents)
        return Reconstruction(loss, pull, code_pulls, pull[: len(target)].sum(dim=0))

    def gradients(
        self,
        x: Float[Tensor, "token d_model"],
        weights: Matrices,
        parts: Sequence[Entries],
        along: Float[Tensor, " latent"] | None,
        *,
        unit_norm: bool,
    ) -> Gradients:
        """Add up the entries' outer products by latent."""
        W_enc, W_dec = weights
        firsts = accumulate((len(part.pull) for part in parts[:-1]), initial=0)
        shifted = [part._replace(pull_rows=part.pull_rows + first) for part, first in zip(parts, firsts, strict=True)]
        pull, latents, pull_rows, values, pushes = map(torch.cat, zip(*shifted, strict=True))
        is_felt = (values != 0) | (pushes != 0)
        dW_enc = _sum_by(latents, len(W_dec), pull_rows % len(x), pushes, x)
        dW_dec = _sum_by(latents, len(W_dec), pull_rows, values, pull)
        db_enc = torch.zeros(len(W_dec), dtype=x.dtype, device=x.device).index_add_(0, latents.long(), pushes)
        is_touched = torch.zeros(len(W_dec), dtype=torch.bool, device=x.device)
        is_touched[latents[is_felt].long()] = True
        if along is not None:
            dW_dec += along.unsqueeze(1) * W_dec
            is_touched |= along != 0
        if unit_norm:
            dW_dec.addcmul_((dW_dec * W_dec).sum(dim=1, keepdim=True), W_dec, value=-1.0)
        squared = dW_enc.double().square().sum().item() + dW_dec.double().square().sum().item()
        return Gradients(dW_enc, dW_dec, db_enc, is_touched, db_enc @ W_enc, squared)

    def count_silence(
        self, silent: Int[Tensor, " latent"], tokens: int, codes: Codes, values: Float[Tensor, " entry"]
    ) -> int:
        """Bring each latent's silence up to date and count the codes that speak."""
        active = codes.latents[values > 0].long()
        silent += tokens
        silent[active] = 0
        return len(active)

    def adam(
        self,
        weights: Matrices,
        moments: tuple[Moments, Moments],
        gradients: Gradients,
        others: Sequence[Moved],
        *,
        rate: float,
        step: int,
        factor: float,
        unit_norm: bool,
    ) -> None:
        """Take a step of Adam in place."""
        size, sharpen = adam_factors(rate, step)
        matrices = map(Moved, weights, moments, (gradients.W_enc, gradients.W_dec))
        for weight, (mean, square), gradient in (*matrices, *others):
            scaled = gradient * factor
            mean.lerp_(scaled, 1 - BETA1)
            square.mul_(BETA2).addcmul_(scaled, scaled, value=1 - BETA2)
            weight.addcdiv_(mean, square.sqrt().mul_(sharpen).add_(EPS), value=-size)
        if unit_norm:
            weights.W_dec.copy_(F.normalize(weights.W_dec, dim=1))

    def squared_norm(self, gradients: Sequence[Tensor]) -> float:
        """Give the squared norm of some gradients together."""
        return sum(gradient.double().square().sum().item() for gradient in gradients)


def _regular(values: list[Float[Tensor, "token k"]], latents: list[Int[Tensor, "token k"]]) -> Codes:
    """Give codes that are as many for each token."""
    joined = torch.cat(values)
    tokens, k = joined.shape
    starts = torch.arange(0, tokens * k + 1, k, device=joined.device)
    rows = torch.arange(tokens, device=joined.device).repeat_interleave(k)
    return Codes(starts, torch.cat(latents).flatten(), rows, joined.flatten())


def _largest_of(
    pre: Float[Tensor, "token latent"], dead: Dead | None
) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]] | None:
    if dead is None:
        return None
    found = pre[:, dead.latents].topk(dead.k, dim=1, sorted=False)
    return found.values, dead.latents[found.indices]


def _joined(parts: list[tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]] | None]) -> Codes | None:
    found = [part for part in parts if part is not None]
    return _regular([values for values, _ in found], [latents for _, latents in found]) if found else None


def _sum_by(
    owners: Int[Tensor, " entry"],
    count: int,
    members: Int[Tensor, " entry"],
    weights: Float[Tensor, " entry"],
    vectors: Float[Tensor, "member d_model"],
) -> Float[Tensor, "owner d_model"]:
    """Give for each owner the weighted sum of its members' vectors."""
    counts = owners.bincount(minlength=count)
    many = (counts > _DENSE_SHARE * len(vectors)).nonzero().flatten()
    slots = torch.full_like(counts, -1).index_copy_(0, many, torch.arange(len(many), device=many.device))[owners.long()]
    few, rest = (slots < 0).nonzero().flatten(), (slots >= 0).nonzero().flatten()
    order = few[owners[few].argsort(stable=True)]
    counts[many] = 0
    sums = F.embedding_bag(
        members.long()[order], vectors, counts.cumsum(0) - counts, per_sample_weights=weights[order], mode="sum"
    )
    dense = torch.zeros(len(many) * len(vectors), dtype=weights.dtype, device=weights.device)
    dense.index_add_(0, slots[rest] * len(vectors) + members[rest], weights[rest])
    sums[many] = dense.view(len(many), len(vectors)) @ vectors
    return sums


def _inner_products(
    vectors: Float[Tensor, "row d_model"],
    rows: Int[Tensor, " entry"],
    atoms: Float[Tensor, "latent d_model"],
    latents: Int[Tensor, " entry"],
) -> Float[Tensor, " entry"]:
    if len(rows) > _DENSE_SHARE * len(vectors) * len(atoms):
        return (vectors @ atoms.T)[rows.long(), latents.long()]
    parts = zip(rows.long().split(65_536), latents.long().split(65_536), strict=True)
    return (
        torch.cat([(vectors[row] * atoms[latent]).sum(dim=1) for row, latent in parts]) if len(rows) else vectors[:0, 0]
    )
