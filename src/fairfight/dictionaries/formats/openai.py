"""OpenAI's sparse_autoencoder: one `.pt` file, a pickled state dict with the activation's name in it.

Those with TopK bring each token to mean zero and deviation one first, and back afterwards; those with ReLU do not. A file
that does not name its activation is refused: the library would read it as ReLU, and TopK weights read so are silently wrong.
Model and site stand in the path, as the library publishes it: `gpt2-small/resid_post_mlp_v5_32k/autoencoders/8.pt`.
Source: openai/sparse_autoencoder at 764586a, `model.py` and `paths.py`. The pickle is read by
torch.load(weights_only=True), there being nothing else to read.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._files import check_entries, named_tensors, read_state_dict, whole_number
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Given, Origin, how_to_give, place
from fairfight.dictionaries.formats._normalised import NormalisedSae
from fairfight.dictionaries.formats._parameters import Parameters
from fairfight.errors import DamagedFileError, InputError

_MARK = b"latent_bias"
_HEAD_BYTES = 2**20
_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
_PLACES = {
    "resid_delta_attn": "attn_out.{}",
    "resid_delta_mlp": "mlp_out.{}",
    "resid_post_mlp": "resid_post.{}",
    "resid_post_attn": "blocks.{}.hook_resid_mid",
    "mlp_post_act": "blocks.{}.mlp.hook_post",
}


class OpenAI:
    """Single files of sparse_autoencoder."""

    files: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether it is a `.pt` file in which the name of the latents' bias stands; the pickle is not opened for that."""
        return path.is_file() and path.suffix == ".pt" and _MARK in _head(path)

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary; see `Format.read`."""
        said_model, said_place = _from_names(path)
        model, hook_name, site = place(path, given, model=said_model, hook_name=said_place)
        state = read_state_dict(path)
        activation, arguments = _activation(path, state, given)
        parameters = _parameters(path, state)
        dictionary: Dictionary = algebra.build("relu", parameters)
        notes: tuple[str, ...] = ()
        if activation == "TopK":
            k = whole_number(path, arguments, "k")
            dictionary = NormalisedSae(algebra.build("topk", parameters, k=k), ("layer_norm",))
            notes = ("layer_norm of each token, undone after decoding",)
        return Foreign(dictionary, Origin("OpenAI", activation, model, hook_name, site), notes)

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a file in folders that are named as the published ones; see `Format.small`."""
        rows, atoms, b_dec, vectors = algebra.drawn()
        file = folder / "gpt2-small/resid_post_mlp_v5_32k/autoencoders/4.pt"
        file.parent.mkdir(parents=True)
        state = {"encoder.weight": rows, "decoder.weight": atoms.T, "pre_bias": b_dec, "latent_bias": vectors["b_enc"]}
        torch.save({**state, "activation": "TopK", "activation_state_dict": {"k": 4, "postact_fn": "ReLU"}}, file)
        return file


def _head(path: Path) -> bytes:
    """Give the pickled names of a file, unopened: of the archive that torch.save writes, or of the bare pickle before it."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if name is None:
            return b""
        with archive.open(name) as file:
            return file.read(_HEAD_BYTES)


def _from_names(path: Path) -> tuple[str | None, str | None]:
    folders = str(path.absolute())  # not resolved: in the hub's cache files are links to nameless ones
    location = re.search(rf"({'|'.join(_PLACES)})", folders)
    hook_name = _PLACES[location[1]].format(path.stem) if location and path.stem.isdigit() else None
    return "gpt2-small" if "gpt2-small" in folders else None, hook_name


def _activation(path: Path, state: dict[str, Any], given: Given) -> tuple[str, dict[str, Any]]:
    """Take the activation's name and settings out of the state dict."""
    name, arguments = state.pop("activation", None), state.pop("activation_state_dict", {})
    if name is None and given.architecture == "relu":
        name = "ReLU"
    if name is None:
        raise InputError(
            f"{path} does not name its activation; the library would take ReLU, and TopK weights read so are silently wrong. "
            f"If it is known to be ReLU, {how_to_give('architecture', 'relu')}."
        )
    if name not in ("ReLU", "TopK"):
        raise InputError(f"{path} has the activation '{name}'; ReLU and TopK are read here. Choose one of those.")
    check_entries(path, arguments, {"k", "postact_fn"} if name == "TopK" else ())
    if name == "TopK" and arguments.get("postact_fn") != "ReLU":
        raise InputError(
            f"{path} has {arguments.get('postact_fn')!r} behind TopK; ReLU was expected, because with others codes may be "
            "negative and no kind here has such. Choose one with ReLU."
        )
    return name, arguments


def _parameters(path: Path, state: dict[str, Any]) -> Parameters:
    encoder = state.get("encoder.weight")
    if not isinstance(encoder, Tensor) or encoder.ndim != 2:
        raise DamagedFileError(
            f"{path} holds no matrix 'encoder.weight', as sparse_autoencoder writes it. Fetch it again."
        )
    latents, width = encoder.shape
    shapes = {"encoder.weight": (latents, width), "decoder.weight": (width, latents), "pre_bias": (width,)}
    shapes |= {"latent_bias": (latents,)} | {name: (latents,) for name in _STATISTICS if name in state}
    found = named_tensors(path, state, shapes)
    atoms, vectors = found["decoder.weight"].T.contiguous(), {"b_enc": found["latent_bias"]}
    return Parameters(found["encoder.weight"], atoms, found["pre_bias"], vectors)
