"""dictionary_learning's own training loop, fed by an iterator: `python dictionary_learning.py A topk`."""

from __future__ import annotations

import sys
import warnings

warnings.filterwarnings("ignore")
sys.path.append(sys.path.pop(0))  # this file has the package's name: its folder must come last

from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer  # noqa: E402
from dictionary_learning.trainers.jumprelu import JumpReluTrainer  # noqa: E402
from dictionary_learning.trainers.top_k import TopKTrainer  # noqa: E402
from dictionary_learning.training import trainSAE  # noqa: E402
from feed import Feed  # noqa: E402

feed, variant = Feed(sys.argv[1]), sys.argv[2]
size = feed.size
trainer = {"topk": TopKTrainer, "batchtopk": BatchTopKTrainer, "jumprelu": JumpReluTrainer}[variant]
config = {
    "trainer": trainer, "steps": 10_000, "activation_dim": size.d_model, "dict_size": size.latents, "layer": 0,
    "lm_name": "none", "device": "cpu", **({} if variant == "jumprelu" else {"k": size.k}),
}  # fmt: skip
trainSAE(feed, [config], steps=feed.total, device="cpu")
next(feed, None)
feed.report()
