"""Spherical k-means: each latent is a direction in which many tokens lie, whatever their norm.

Source: Dhillon and Modha (2001), "Concept Decompositions for Large Sparse Text Data using Clustering"; Zhong (2005),
"Efficient Online Spherical K-means Clustering", for unit centroids after every step; Coates and Ng (2012), "Learning
Feature Representations with K-means", for products with centroids above a threshold as codes.
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
from fairfight.errors import DataError, StudyError
from fairfight.seeds import seed_of, torch_stream


@dataclass(frozen=True)
class SphericalKMeans:
    """Mini-batch k-means by cosine, on tokens from which the mean is taken.

    Each step is scikit-learn's on tokens of unit norm; then the centroids are brought back to unit norm, without which
    the nearest centroid would not be the one of the largest cosine.
    """

    is_seeded: ClassVar[bool] = True

    latents: int = 2048
    """Number of clusters."""
    fit_tokens: int = 131_072
    """Training tokens that are clustered, at most."""
    passes: int = 4
    """How often each of them is seen."""
    batch: int = 4096
    """Tokens a step; at least as many as clusters, which scikit-learn asks of its first step."""

    def __post_init__(self) -> None:
        for name in ("latents", "fit_tokens", "passes", "batch"):
            check_positive(name, getattr(self, name))
        if self.batch < self.latents:
            raise StudyError(
                f"The recipe has batch = {self.batch}, but a step takes at least as many tokens as there are clusters "
                f"(latents = {self.latents}). Raise batch, or lower latents."
            )

    @classmethod
    def small(cls, folder: Path) -> SphericalKMeans:
        """Give a recipe that trains in a blink, for the conformance checks."""
        return cls(latents=64, batch=256)

    def train(self, tokens: TokenSource, seed: int) -> Fit:
        """Give the centroids; the FLOPs are the products of every token seen with every centroid.

        The centroids start on tokens drawn at random. Those that win few tokens are put elsewhere by scikit-learn.

        Raises:
            DataError: there are fewer tokens than clusters.
        """
        from sklearn.cluster import MiniBatchKMeans

        stream = torch_stream("dictionary", "spherical_kmeans", seed)
        x = tokens.sample(self.fit_tokens, stream)
        if len(x) < self.latents:
            raise DataError(
                f"There are {len(x)} tokens for {self.latents} clusters, but at least as many tokens as clusters were "
                "expected. Lower the recipe's latents, or train on more texts."
            )
        mean = x.mean(dim=0)
        clustering = MiniBatchKMeans(
            self.latents,
            batch_size=self.batch,
            init=_unit(x[: self.latents] - mean).numpy(),  # pyright: ignore[reportArgumentType] documented, but not in its stub
            n_init=1,  # pyright: ignore[reportArgumentType]
            compute_labels=False,
            random_state=seed_of("dictionary", "spherical_kmeans", seed) % 2**32,
        )
        steps = -(-self.passes * len(x) // self.batch)
        for step_tokens in TokenSource(x).batches(self.batch, steps, stream):
            clustering.partial_fit(_unit(step_tokens - mean).numpy())
            clustering.cluster_centers_ = _unit(torch.from_numpy(clustering.cluster_centers_)).numpy()
        centroids = torch.from_numpy(clustering.cluster_centers_).float().contiguous()
        tokens_seen = steps * self.batch
        flops = 2 * tokens_seen * centroids.numel()
        return Fit(SphericalKMeansDictionary(centroids, mean), tokens_seen, TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SphericalKMeansDictionary:
        """Give the centroids that were saved."""
        found = take_tensors(tensors, {"W_dec": (cfg["d_sae"], cfg["d_in"]), "b_dec": (cfg["d_in"],)})
        return SphericalKMeansDictionary(found["W_dec"], found["b_dec"])


@dataclass(frozen=True, eq=False)
class SphericalKMeansDictionary(Dictionary):
    """Unit centroids as atoms, and the mean token.

    The code of latent i is (x - mean) . c_i where the cosine to centroid c_i is neither negative nor below the mean
    cosine to all of them, else 0. Which latents are active is the rule of k-means' triangle code, on cosines: two in
    five on MiniLM's activations. What an active one carries is the cosine times the token's norm and not the cosine's excess over the mean, because
    decoding gets the codes alone and an excess no longer tells how far the token lies along its centroid: so the
    largest code times its centroid, plus the mean, is the token's projection on the nearest centroid, which is the
    reconstruction. Codes do not add up to the token. It is the mean token where all codes are zero.
    """

    kind: ClassVar[str] = "spherical_kmeans"
    architecture: ClassVar[str] = "spherical_kmeans"
    is_signed: ClassVar[bool] = False

    centroids: Float[Tensor, "latent d_model"]
    mean: Float[Tensor, " d_model"]

    @property
    def atoms(self) -> Float[Tensor, "latent d_model"]:
        """The centroids, of unit norm."""
        return self.centroids

    @property
    def encode_flops_per_token(self) -> int:
        """One dense product."""
        return 2 * self.centroids.numel()

    @property
    def decode_flops_per_token(self) -> int:
        """One centroid times its code, plus the mean."""
        return 2 * self.d_model

    def tensors(self) -> dict[str, Tensor]:
        """Give the centroids as `W_dec` and the mean token as `b_dec`."""
        return {"W_dec": self.centroids, "b_dec": self.mean}

    def _settings(self) -> dict[str, Any]:
        return {}

    def _encode(self, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token latent"]:
        # Norms of tokens divide out: a cosine exceeds the mean cosine where its product exceeds the mean product.
        products = project(x - self.mean, self.centroids)
        threshold = products.mean(dim=1, keepdim=True).clamp_(min=0.0)
        return torch.where(products >= threshold, products, 0.0)

    def _decode(self, codes: Float[Tensor, "token latent"]) -> Float[Tensor, "token d_model"]:
        largest, nearest = codes.max(dim=1)
        return torch.addcmul(self.mean, largest.unsqueeze(1), self.centroids[nearest])


def _unit(rows: Float[Tensor, "token d_model"]) -> Float[Tensor, "token d_model"]:
    return torch.nn.functional.normalize(rows, dim=1)
