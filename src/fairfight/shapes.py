"""The legend of array axes in public signatures, as jaxtyping spells them.

| axis      | counts                                                          |
|-----------|-----------------------------------------------------------------|
| example   | labelled texts                                                  |
| token     | content tokens, all texts end to end (no padding, no BOS/CLS/SEP) |
| batch     | texts of one model pass; beside it, `token` counts positions, padding too |
| d_model   | width of a site                                                 |
| d_out     | width of what a dictionary decodes to: d_model, but for a transcoder |
| latent    | atoms of a dictionary                                           |
| feature   | columns of a design matrix, whatever they stand for             |
| cluster   | groups of examples that are resampled together                  |
| seed      | split seeds; `dictionary_seed` for those of a dictionary        |
| replicate | draws of the bootstrap                                          |

One axis alone carries a leading space (`Float[np.ndarray, " example"]`), jaxtyping's convention.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

ExampleScores = Float[np.ndarray, " example"]
"""One score an example; larger means more of the positive class."""

DesignMatrix = Float[np.ndarray, "example feature"]
Labels = Int[np.ndarray, " example"]
TokenActivations = Float[Tensor, "token d_model"]
Codes = Float[Tensor, "token latent"]
