"""SAELens's own training loop, fed by an iterator: `python sae_lens.py A topk`."""

from __future__ import annotations

import sys
import warnings

warnings.filterwarnings("ignore")
sys.path.append(sys.path.pop(0))  # this file has the package's name: its folder must come last

import torch  # noqa: E402
from feed import Feed  # noqa: E402
from sae_lens import (  # noqa: E402
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig  # noqa: E402
from sae_lens.training.sae_trainer import SAETrainer  # noqa: E402

feed, variant = Feed(sys.argv[1]), sys.argv[2]
size = feed.size
shape = {"d_in": size.d_model, "d_sae": size.latents}
torch.manual_seed(0)
sae = {
    "topk": lambda: TopKTrainingSAE(TopKTrainingSAEConfig(k=size.k, **shape)),
    "batchtopk": lambda: BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(k=size.k, **shape)),
    "jumprelu": lambda: JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(**shape)),
}[variant]()
samples = feed.total * size.batch
config = SAETrainerConfig(total_training_samples=samples, train_batch_size_samples=size.batch, lr_end=3e-5)
SAETrainer(config, sae, feed).fit()
next(feed, None)
feed.report()
