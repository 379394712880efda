"""Gemma Scope: `params.npz`, which says nothing but numbers; model and site stand in the names of the folders.

`google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82`: size and variant of Gemma 2, the kind of site, the layer,
and the published L0. All are JumpReLU, do not subtract b_dec (folded), and never saw the beginning-of-text token.
Source: the weights' layout as SAELens 6.54.12 reads it, and Lieberum et al. (2024), "Gemma Scope".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._files import named_tensors, read_npz
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Given, Origin, Published, place
from fairfight.dictionaries.formats._parameters import Parameters
from fairfight.errors import DamagedFileError, InputError

WEIGHTS = "params.npz"
_NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(\w+)")
_PLACES = {"res": "resid_post.{}", "mlp": "mlp_out.{}", "att": "blocks.{}.attn.hook_z"}


class GemmaScope:
    """Folders of Gemma Scope."""

    files: ClassVar[tuple[str, ...]] = (WEIGHTS,)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether it is, or holds, `params.npz`."""
        return (path / WEIGHTS).is_file() or (path.name == WEIGHTS and path.is_file())

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary; see `Format.read`."""
        file = path if path.is_file() else path / WEIGHTS
        said_model, said_place = _from_names(file)
        model, hook_name, site = place(file, given, model=said_model, hook_name=said_place)
        found = read_npz(file, _NAMES)
        if found["W_enc"].ndim != 2:
            raise DamagedFileError(
                f"{file} holds W_enc in the shape {tuple(found['W_enc'].shape)}; a matrix was expected."
            )
        width, latents = found["W_enc"].shape
        shapes = {"W_enc": (width, latents), "W_dec": (latents, width), "b_dec": (width,)}
        found = named_tensors(file, found, shapes | dict.fromkeys(("b_enc", "threshold"), (latents,)))
        vectors = {"b_enc": found["b_enc"], "threshold": found["threshold"]}
        parameters = Parameters(found["W_enc"].T.contiguous(), found["W_dec"], found["b_dec"], vectors)
        notes = ("b_dec is not subtracted from the input: b_dec W_enc is folded into the encoder's bias",)
        match = re.search(r"average_l0_(\d+)", str(file.parent))
        published = Published(l0=float(match[1])) if match else Published()
        origin = Origin("Gemma Scope", "jumprelu", model, hook_name, site, True, published)
        return Foreign(algebra.build("jumprelu", algebra.uncentred(parameters)), origin, notes)

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a folder that is named as the published ones; see `Format.small`."""
        rows, atoms, b_dec, vectors = algebra.drawn()
        folder = folder / "gemma-scope-2b-pt-res/layer_4/width_16k/average_l0_8"
        folder.mkdir(parents=True)
        tensors = {"W_enc": rows.T, "W_dec": atoms, "b_dec": b_dec, **vectors}
        np.savez(folder / WEIGHTS, allow_pickle=False, **{name: value.numpy() for name, value in tensors.items()})
        return folder


def _from_names(file: Path) -> tuple[str | None, str | None]:
    """Give model and place out of the names of the folders; None for what they do not say."""
    folders = str(file.absolute().parent)  # not resolved: in the hub's cache files are links to nameless ones
    repository, layer = _REPOSITORY.search(folders), re.search(r"layer_(\d+)", folders)
    if repository is None:
        return None, None
    size, variant, kind = repository.groups()
    if kind not in _PLACES or "/embedding" in folders:
        raise InputError(
            f"{file} belongs to '{repository[0]}', whose input is no site that is read here (transcoders read one place and "
            f"give another; those of the embedding are scaled). Choose one of gemma-scope-{size}-{variant}-res, -mlp or -att."
        )
    model = f"google/gemma-2-{size}{'-it' if variant == 'it' else ''}"
    return model, _PLACES[kind].format(layer[1]) if layer else None
