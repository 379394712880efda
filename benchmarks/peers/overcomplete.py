"""overcomplete's own training loop, fed by an iterator: `python overcomplete.py A topk`."""

from __future__ import annotations

import sys
import types
import warnings

warnings.filterwarnings("ignore")
sys.path.append(sys.path.pop(0))  # this file has the package's name: its folder must come last

# Its vision modules ask for a torchvision that does not go with a processor-only torch; training does not use them.
for module, names in {
    "overcomplete.models": ("DinoV2", "SigLIP", "ViT", "ResNet", "ConvNeXt"),
    "overcomplete.visualization": (
        "overlay_top_heatmaps", "evidence_top_images", "zoom_top_images", "contour_top_image",
    ),
}.items():  # fmt: skip
    stand_in = types.ModuleType(module)
    for name in names:
        setattr(stand_in, name, None)
    sys.modules[module] = stand_in

import torch  # noqa: E402
from feed import Feed  # noqa: E402
from overcomplete.sae import BatchTopKSAE, TopKSAE, train_sae  # noqa: E402

feed, variant = Feed(sys.argv[1]), sys.argv[2]
size = feed.size
sae = (
    TopKSAE(size.d_model, size.latents, top_k=size.k)
    if variant == "topk"
    else BatchTopKSAE(size.d_model, size.latents, top_k=size.k * size.batch)
)


def loss(x: torch.Tensor, x_hat: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    return (x - x_hat).square().mean()


train_sae(sae, feed, loss, torch.optim.Adam(sae.parameters(), lr=3e-4), nb_epochs=1, monitoring=0)
next(feed, None)
feed.report()
