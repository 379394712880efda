"""sparsify's own training loop, on a stand-in for the language model that hands out token states."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
sys.path.append(sys.path.pop(0))  # this file has the package's name: its folder must come last

import torch  # noqa: E402
from feed import Feed  # noqa: E402
from sparsify import SaeConfig, TrainConfig, Trainer  # noqa: E402
from torch import nn  # noqa: E402

feed = Feed(sys.argv[1])
size = feed.size


class Through(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


class StandIn(nn.Module):
    """Its only module puts out the next batch."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Through()
        self.weight = nn.Parameter(torch.zeros(1))
        self.is_fed = False

    base_model = property(lambda self: self)
    device = torch.device("cpu")
    dummy_inputs = property(lambda self: {"x": torch.zeros(1, 4)})

    def forward(self, x: torch.Tensor | None = None, **_: object) -> torch.Tensor:
        return self.site(next(feed)[None] if self.is_fed else torch.zeros(1, 4, size.d_model))


class Indices:
    def __len__(self) -> int:
        return feed.total

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.zeros(size.batch, dtype=torch.long)}


model = StandIn()
with tempfile.TemporaryDirectory() as folder:
    config = TrainConfig(
        SaeConfig(num_latents=size.latents, k=size.k), batch_size=1, hookpoints=["site"], optimizer="adam",
        log_to_wandb=False, save_dir=folder, save_every=10**9,
    )  # fmt: skip
    trainer = Trainer(config, Indices(), model)
    model.is_fed = True
    with contextlib.suppress(StopIteration):
        trainer.fit()
    next(feed, None)
feed.report()
