"""TopK sparse autoencoder: exactly k latents may speak for a token.

Source: Gao et al. (2024), "Scaling and evaluating sparse autoencoders", sections 2.3 and A.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops
from fairfight.dictionaries.settings import check_k
from fairfight.dictionaries.sparse import SparseCodes
from fairfight.dictionaries.train import Schedule, train_sae
from fairfight.dictionaries.weights import SAE_SETTINGS, SaeWeights, project
from fairfight.seeds import torch_stream


@dataclass(frozen=True)
class TopK:
    """A sparse autoencoder whose codes are the k largest pre-activations that are positive."""

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    k: int = 32
    """Latents a token."""
    steps: int = 700
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 4e-3
    dead_after_tokens: int = 131_072
    """A latent that was silent for so many tokens counts as dead and takes part in the auxiliary loss."""
    aux_weight: float = 1 / 32
    """Weight of the auxiliary loss, in which dead latents explain what the others left over; 0 turns it off."""

    def __post_init__(self) -> None:
        check_k(self.k, self.latents)

    @classmethod
    def small(cls, folder: Path) -> TopK:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, k=4, steps=40, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the trained autoencoder."""
        schedule = Schedule(self.steps, self.batch, self.learning_rate)
        objective = TopKObjective(self, tokens.d_model)
        stream = torch_stream("dictionary", "topk", seed)
        weights = train_sae(tokens, objective, self.latents, schedule=schedule, stream=stream)
        return Fit(TopKDictionary(weights, self.k), self.steps * self.batch, objective.flops())

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TopKDictionary:
        """Give the autoencoder that was saved."""
        return TopKDictionary(SaeWeights.restore(cfg, tensors), cfg["k"])


@dataclass(frozen=True, eq=False)
class TopKDictionary(Dictionary):
    """A trained TopK autoencoder."""

    kind: ClassVar[str] = "topk"
    architecture: ClassVar[str] = "topk"
    is_signed: ClassVar[bool] = False

    weights: SaeWeights
    k: int

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The decoder's rows, of unit norm."""
        return self.weights.W_dec

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product; choosing the largest is not counted."""
        return self.weights.product_flops

    @property
    def decode_flops_per_token(self) -> int:
        """One dense product."""
        return self.weights.product_flops

    def tensors(self) -> dict[str, Tensor]:
        """Give the parameters under SAELens's names."""
        return self.weights.tensors()

    def _settings(self) -> dict[str, Any]:
        return {**SAE_SETTINGS, "k": self.k, "rescale_acts_by_decoder_norm": False}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        values, chosen = self._largest(x)
        return _scattered(values, chosen, self.latents)

    def _encode_sparse(self, x: Float[Tensor, "token d_model"]) -> SparseCodes:
        values, chosen = self._largest(x)
        return SparseCodes.of_chosen(values, chosen, self.latents)

    def _largest(self, x: Float[Tensor, "token d_model"]) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]]:
        values, chosen = self.weights.pre_codes(x).topk(self.k, dim=1, sorted=False)
        return values.relu_(), chosen

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        return self.weights.decode(codes)

    def _decode_sparse(self, codes: SparseCodes) -> Float[Tensor, "token d_model"]:
        return self.weights.decode_sparse(codes)


class _Auxiliary(NamedTuple):
    """Gradients of the auxiliary loss, for the dead latents alone."""

    loss: float
    pre_codes: Float[Tensor, "token latent"]
    atoms: Float[Tensor, "latent d_model"]


class TopKObjective:
    """Squared error with k latents a token, plus the auxiliary loss of the dead; gradients by hand.

    loss = mean_t ||x_t - x_hat_t||^2 + aux_weight mean_t ||e_t - e_hat_t||^2, with e = x - x_hat held constant and
    e_hat what the d_model / 2 largest dead latents make of it. Only active codes have a gradient, so all products but
    the encoder's run over k latents a token instead of all.
    """

    def __init__(self, recipe: TopK, d_model: int) -> None:
        self._recipe = recipe
        self._aux_k = max(1, d_model // 2)
        self._silent_tokens = torch.zeros(recipe.latents, dtype=torch.long)
        self._executed = self._dense = 0

    def flops(self) -> TrainingFlops:
        """Give what all calls took: forward two products, backward three; a dense trainer skips none of them."""
        return TrainingFlops(self._executed, self._dense)

    def gradients(self, weights: SaeWeights, x: Float[Tensor, "token d_model"]) -> tuple[float, SaeWeights]:
        """Give the loss of a batch and its gradient."""
        centred = x - weights.b_dec
        pre_codes = project(centred, weights.encoder_rows, weights.b_enc)
        values, chosen = pre_codes.topk(self._recipe.k, dim=1, sorted=False)
        codes = values.relu()
        error = F.embedding_bag(chosen, weights.W_dec, per_sample_weights=codes, mode="sum") - centred
        pull = error * (2 / len(x))
        code_gradient = _row_products(pull, weights.W_dec, chosen) * (codes > 0)
        grouped = _Grouped.of(chosen, self._recipe.latents)
        rows = grouped.sums(code_gradient, centred)
        b_enc = torch.zeros(self._recipe.latents, dtype=x.dtype)
        b_enc.index_add_(0, chosen.flatten(), code_gradient.flatten())
        W_dec = grouped.sums(codes, pull)
        loss = error.square().sum().item() / len(x)
        self._charge(len(x), weights.product_flops)
        dead = self._dead(chosen[codes > 0], len(x))
        if len(dead):
            auxiliary = self._auxiliary(pre_codes[:, dead], -error, weights.W_dec[dead])
            rows[dead] += auxiliary.pre_codes.T @ centred
            b_enc[dead] += auxiliary.pre_codes.sum(dim=0)
            W_dec[dead] += auxiliary.atoms
            loss += auxiliary.loss
        # b_dec stands on both sides: it is added to the reconstruction and subtracted from the encoder's input.
        b_dec = pull.sum(dim=0) - b_enc @ weights.encoder_rows
        return loss, SaeWeights(rows, b_enc, W_dec, b_dec)

    def _auxiliary(
        self,
        pre_codes: Float[Tensor, "token latent"],
        left_over: Float[Tensor, "token d_model"],
        atoms: Float[Tensor, "latent d_model"],
    ) -> _Auxiliary:
        tokens, dead = pre_codes.shape
        values, chosen = pre_codes.topk(min(self._aux_k, dead), dim=1, sorted=False)
        codes = _scattered(values.relu(), chosen, dead)
        error = codes @ atoms - left_over
        pull = error * (2 * self._recipe.aux_weight / tokens)
        loss = self._recipe.aux_weight * error.square().sum().item() / tokens
        executed = 8 * tokens * atoms.numel()
        self._executed += executed
        self._dense += executed
        return _Auxiliary(loss, (pull @ atoms.T) * (codes > 0), codes.T @ pull)

    def _dead(self, active: Int[Tensor, " code"], tokens: int) -> Int[Tensor, " latent"]:
        self._silent_tokens += tokens
        self._silent_tokens[active] = 0
        if self._recipe.aux_weight == 0:
            return active[:0]
        return (self._silent_tokens >= self._recipe.dead_after_tokens).nonzero().flatten()

    def _charge(self, tokens: int, product_flops: int) -> None:
        self._dense += 5 * tokens * product_flops
        active_share = self._recipe.k / self._recipe.latents
        self._executed += int(tokens * product_flops * (1 + 4 * active_share))


class _Grouped(NamedTuple):
    """Which tokens chose each latent, in the order of the latents."""

    order: Int[Tensor, " code"]
    tokens: Int[Tensor, " code"]
    starts: Int[Tensor, " latent"]

    @classmethod
    def of(cls, chosen: Int[Tensor, "token k"], latents: int) -> _Grouped:
        """Give the grouping of the chosen latents."""
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=latents)
        return cls(order, order // chosen.shape[1], counts.cumsum(0) - counts)

    def sums(
        self, weights: Float[Tensor, "token k"], vectors: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "latent d_model"]:
        """Give for each latent the weighted sum of its tokens' vectors; in a fixed order, so to the same bits."""
        by_latent = weights.flatten()[self.order]
        return F.embedding_bag(self.tokens, vectors, self.starts, per_sample_weights=by_latent, mode="sum")


def _row_products(
    vectors: Float[Tensor, "token d_model"], rows: Float[Tensor, "latent d_model"], chosen: Int[Tensor, "token k"]
) -> Float[Tensor, "token k"]:
    """Give the inner product of each token's vector with each of its chosen rows.

    It is the gradient of an embedding bag by its weights, for which torch has a kernel that never copies the rows.
    """
    with torch.enable_grad():
        weights = torch.zeros(chosen.shape, dtype=vectors.dtype, requires_grad=True)
        bags = F.embedding_bag(chosen, rows.detach(), per_sample_weights=weights, mode="sum")
        return torch.autograd.grad(bags, weights, vectors)[0]


def _scattered(values: Tensor, chosen: Tensor, latents: int) -> Float[Tensor, "token latent"]:
    return values.new_zeros(len(values), latents).scatter_(1, chosen, values)
