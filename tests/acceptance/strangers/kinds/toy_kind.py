"""A stranger's dictionary kind: the first so many training tokens, centred and normalised, behind a ReLU."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from fairfight.dictionaries.contract import Dictionary, Fit, TrainingFlops, take_tensors


@dataclass(frozen=True)
class ToyKind:
    """Tokens themselves as atoms."""

    is_seeded: ClassVar[bool] = False

    latents: int = 16

    def train(self, tokens, seed):
        """Give the first tokens as atoms; `seed` changes nothing."""
        mean = tokens.values.mean(dim=0)
        atoms = torch.nn.functional.normalize(tokens.values[: self.latents] - mean, dim=1)
        flops = tokens.values.numel()
        return Fit(ToyKindDictionary(atoms.contiguous(), mean), self.latents, TrainingFlops(flops, flops))

    @staticmethod
    def restore(cfg, tensors):
        """Give the atoms that were saved."""
        found = take_tensors(tensors, {"W_dec": (cfg["d_sae"], cfg["d_in"]), "b_dec": (cfg["d_in"],)})
        return ToyKindDictionary(found["W_dec"], found["b_dec"])


@dataclass(frozen=True, eq=False)
class ToyKindDictionary(Dictionary):
    """Atoms and a mean."""

    kind: ClassVar[str] = "toy_kind"
    architecture: ClassVar[str] = "toy_kind"
    is_signed: ClassVar[bool] = False

    directions: torch.Tensor
    mean: torch.Tensor

    @property
    def atoms(self):
        return self.directions

    @property
    def encode_flops_per_token(self):
        return 2 * self.directions.numel()

    @property
    def decode_flops_per_token(self):
        return 2 * self.directions.numel()

    def tensors(self):
        return {"W_dec": self.directions, "b_dec": self.mean}

    def _settings(self):
        return {}

    def _encode(self, x):
        return torch.stack([(row - self.mean) @ self.directions.T for row in x]).relu()

    def _decode(self, codes):
        return codes @ self.directions + self.mean
