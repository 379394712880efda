"""k-means: each latent is a cluster of tokens.

Source: Coates, Ng and Lee (2011), "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", section
3.2.2, for the triangle code; Sculley (2010) for the mini-batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary, Fit, TokenSource, TrainingFlops, take_tensors
from fairfight.dictionaries.settings import check_positive
from fairfight.dictionaries.weights import project
from fairfight.errors import DataError
from fairfight.seeds import seed_of, torch_stream


@dataclass(frozen=True)
class KMeans:
    """Mini-batch k-means on tokens."""

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    """Number of clusters."""
    fit_tokens: int = 131_072
    """Training tokens that are clustered, at most."""
    passes: int = 4
    """How often each of them is seen."""
    batch: int = 4096
    """Tokens a step."""

    def __post_init__(self) -> None:
        for name in ("latents", "fit_tokens", "passes", "batch"):
            check_positive(name, getattr(self, name))

    @classmethod
    def small(cls, folder: Path) -> KMeans:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the centroids.

        Raises:
            DataError: there are fewer tokens than clusters.
        """
        from sklearn.cluster import MiniBatchKMeans

        x = tokens.sample(self.fit_tokens, torch_stream("dictionary", "kmeans", seed))
        if len(x) < self.latents:
            raise DataError(
                f"There are {len(x)} tokens for {self.latents} clusters, but at least as many tokens as clusters were "
                "expected. Lower the recipe's latents, or train on more texts."
            )
        fitted = MiniBatchKMeans(
            self.latents,
            batch_size=self.batch,
            max_iter=self.passes,
            max_no_improvement=None,  # pyright: ignore[reportArgumentType] documented, but not in its stub
            init="random",
            n_init=1,  # pyright: ignore[reportArgumentType]
            compute_labels=False,
            random_state=seed_of("dictionary", "kmeans", seed) % 2**32,
        ).fit(x.numpy())
        centroids = torch.from_numpy(fitted.cluster_centers_).float().contiguous()
        tokens_seen = fitted.n_steps_ * min(self.batch, len(x))
        flops = 2 * tokens_seen * centroids.numel()
        return Fit(KMeansDictionary(centroids, x.mean(dim=0)), tokens_seen, TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> KMeansDictionary:
        """Give the centroids that were saved."""
        found = take_tensors(tensors, {"W_dec": (cfg["d_sae"], cfg["d_in"]), "b_dec": (cfg["d_in"],)})
        return KMeansDictionary(found["W_dec"], found["b_dec"])


@dataclass(frozen=True, eq=False)
class KMeansDictionary(Dictionary):
    """Centroids as atoms.

    The code of latent i is max(0, m - z_i), where z_i is the distance to centroid i and m the mean distance to all
    of them: about half of the latents are active, the nearest most. Such codes do not add up to the token, so
    decoding is the k-means reconstruction instead: the centroid of the largest code, or the mean token where all
    codes are zero.
    """

    kind: ClassVar[str] = "kmeans"
    architecture: ClassVar[str] = "kmeans"
    is_signed: ClassVar[bool] = False

    centroids: Float[Tensor, "latent d_model"]
    mean: Float[Tensor, " d_model"]

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The centroids."""
        return self.centroids

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.centroids.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """A row is looked up and nothing computed."""
        return 0

    def tensors(self) -> dict[str, Tensor]:
        """Give the centroids as `W_dec` and the mean token as `b_dec`."""
        return {"W_dec": self.centroids, "b_dec": self.mean}

    def _settings(self) -> dict[str, Any]:
        return {}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        # Distances are taken from the mean token, which changes none of them and keeps the subtraction accurate.
        centred, centres = x - self.mean, self.centroids - self.mean
        squared = centred.square().sum(dim=1, keepdim=True) + centres.square().sum(dim=1)
        distances = squared.sub_(project(centred, centres), alpha=2.0).clamp_(min=0.0).sqrt_()
        return (distances.mean(dim=1, keepdim=True) - distances).relu_()

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        largest, nearest = codes.max(dim=1)
        return torch.where(largest.unsqueeze(1) > 0, self.centroids[nearest], self.mean)
