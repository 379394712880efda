"""dictionary_learning: `ae.pt`, a pickled state dict, and `config.json`, in a folder for each trainer.

| `dict_class`             | read as                                                                              |
|--------------------------|--------------------------------------------------------------------------------------|
| `AutoEncoder`            | ReLU; atoms brought to norm one, as the library's own reader does                    |
| `AutoEncoderNew`         | ReLU; b_dec is not subtracted, which is folded                                       |
| `AutoEncoderTopK`        | TopK                                                                                 |
| `BatchTopKSAE`, `MatryoshkaBatchTopKSAE` | by threshold; with the threshold -1, set by no step, as TopK with its k   |
| `JumpReluAutoEncoder`    | JumpReLU; b_dec is not subtracted (the file does not say so, the class does), folded  |
| `GatedAutoEncoder`       | Gated                                                                                |

A checkpoint, `checkpoints/ae_STEP.pt`, is read with the `config.json` of its trainer. The pickle is read by
torch.load(weights_only=True), there being nothing else to read.
Source: dictionary_learning 0.1.0, `dictionary.py`, `trainers/`, `training.py`, `buffer.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._files import (
    check_entries,
    check_size,
    entry,
    named_tensors,
    read_json,
    read_state_dict,
    section,
    whole_number,
    words,
)
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Given, Origin, Published, place
from fairfight.dictionaries.formats._parameters import Parameters
from fairfight.errors import DamagedFileError, InputError

WEIGHTS, CONFIG, RESULTS = "ae.pt", "config.json", "eval_results.json"


class _Class(NamedTuple):
    """How a class of the library names its tensors, and which conventions it keeps."""

    kind: str
    encoder: str
    decoder: str
    b_dec: str
    vectors: dict[str, str]
    """Our name of each bias to theirs."""
    is_transposed: bool
    """Whether encoder and decoder are [latent, d_model] and [d_model, latent], as `nn.Linear` has them."""
    subtracts_b_dec: bool = True
    has_unit_atoms: bool = False
    has_k: bool = False
    """Whether it also holds `k` and one `threshold` for all latents."""


_CLASSES = {
    "AutoEncoder": _Class(
        "relu", "encoder.weight", "decoder.weight", "bias", {"b_enc": "encoder.bias"}, True, has_unit_atoms=True
    ),
    "AutoEncoderNew": _Class(
        "relu",
        "encoder.weight",
        "decoder.weight",
        "decoder.bias",
        {"b_enc": "encoder.bias"},
        True,
        subtracts_b_dec=False,
    ),
    "AutoEncoderTopK": _Class(
        "topk", "encoder.weight", "decoder.weight", "b_dec", {"b_enc": "encoder.bias"}, True, has_k=True
    ),
    "BatchTopKSAE": _Class(
        "batch_topk", "encoder.weight", "decoder.weight", "b_dec", {"b_enc": "encoder.bias"}, True, has_k=True
    ),
    "MatryoshkaBatchTopKSAE": _Class("matryoshka", "W_enc", "W_dec", "b_dec", {"b_enc": "b_enc"}, False, has_k=True),
    "JumpReluAutoEncoder": _Class(
        "jumprelu",
        "W_enc",
        "W_dec",
        "b_dec",
        {"b_enc": "b_enc", "threshold": "threshold"},
        False,
        subtracts_b_dec=False,
    ),
    "GatedAutoEncoder": _Class(
        "gated",
        "encoder.weight",
        "decoder.weight",
        "decoder_bias",
        {"b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"},
        True,
    ),
}
_USED = ("dict_class", "activation_dim", "dict_size", "k", "layer", "lm_name", "submodule_name", "group_sizes")
_TRAINING = words(
    "trainer_class lr steps auxk_alpha warmup_steps decay_start threshold_beta threshold_start_step top_k_aux seed device "
    "wandb_name l1_penalty resample_steps sparsity_warmup_steps bandwidth sparsity_penalty target_l0 group_fractions "
    "group_weights sparsity_function p_start p_end anneal_start anneal_end sparsity_queue_length n_sparsity_updates "
    "norm_factor"
)
"""Entries that shape training alone; `norm_factor` is multiplied into the biases before they are saved."""
_BUFFER = words("d_submodule io layer n_ctxs ctx_len refresh_batch_size out_batch_size device")
_PLACE = re.compile(r"(resid_pre|resid_post|attn_out|mlp_out)_layer_(\d+)")


class DictionaryLearning:
    """Trainer folders of dictionary_learning."""

    files: ClassVar[tuple[str, ...]] = (WEIGHTS, CONFIG, RESULTS, f"../{CONFIG}")

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether it is a trainer's folder, or one of its `.pt` files."""
        return (path / WEIGHTS).is_file() or bool(re.fullmatch(r"ae(_\d+)?\.pt", path.name) and path.is_file())

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary; see `Format.read` and the table above."""
        weights = path if path.is_file() else path / WEIGHTS
        folder = weights.parent.parent if weights.parent.name == "checkpoints" else weights.parent
        file = folder / CONFIG
        config = read_json(file)
        check_entries(file, config, {"trainer", "buffer"})
        trainer = section(file, config, "trainer")
        name = _checked_class(file, trainer, section(file, config, "buffer", may_be_absent=True))
        model, hook_name, site = place(file, given, model=trainer.get("lm_name"), hook_name=_hook_name(file, trainer))
        dictionary, notes = _dictionary(weights, file, name, trainer)
        published = _published(folder / RESULTS) if weights.name == WEIGHTS else Published()
        return Foreign(dictionary, Origin("dictionary_learning", name, model, hook_name, site, None, published), notes)

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a BatchTopK autoencoder; see `Format.small`."""
        rows, atoms, b_dec, vectors = algebra.drawn()
        state = {"encoder.weight": rows, "encoder.bias": vectors["b_enc"], "decoder.weight": atoms.T, "b_dec": b_dec}
        torch.save({**state, "k": torch.tensor(4), "threshold": torch.tensor(0.5)}, folder / WEIGHTS)
        sizes = {"activation_dim": len(b_dec), "dict_size": len(rows), "k": 4}
        place = {"lm_name": "a/model", "layer": 4, "submodule_name": "resid_post_layer_4"}
        (folder / CONFIG).write_text(json.dumps({"trainer": {"dict_class": "BatchTopKSAE", **sizes, **place}}))
        return folder


def _checked_class(file: Path, trainer: Mapping[str, Any], buffer: Mapping[str, Any]) -> str:
    check_entries(file, trainer, {*_USED, *_TRAINING})
    check_entries(file, buffer, _BUFFER)
    if buffer.get("io") == "in_and_out":
        raise InputError(
            f"{file} says io = 'in_and_out': a transcoder, which gives another place than it reads. A dictionary here has one "
            "site; choose one trained on 'in' or 'out'."
        )
    name = entry(file, trainer, "dict_class")
    if name not in _CLASSES:
        raise InputError(f"{file} has the dict_class '{name}'; read are {', '.join(_CLASSES)}. Choose one of those.")
    return name


def _hook_name(file: Path, trainer: Mapping[str, Any]) -> str | None:
    """Give the place in the model; a layer's number alone does not say which of its places was read."""
    name = trainer.get("submodule_name")
    if name is None:
        return None
    match = _PLACE.fullmatch(str(name))
    if match and int(match[2]) != trainer.get("layer"):
        raise InputError(
            f"{file} says layer {trainer.get('layer')} and submodule_name '{name}'; one is wrong. Ask its author."
        )
    return f"{match[1]}.{match[2]}" if match else name


def _dictionary(weights: Path, file: Path, name: str, trainer: Mapping[str, Any]) -> tuple[Dictionary, tuple[str, ...]]:
    names, notes = _CLASSES[name], []
    width, latents = whole_number(file, trainer, "activation_dim"), whole_number(file, trainer, "dict_size")
    check_size(file, width, latents)
    found = named_tensors(weights, read_state_dict(weights), _shapes(names, width, latents, trainer))
    parameters = _parameters(names, found)
    kind, k = names.kind, None
    if names.has_k:
        k = _checked_k(file, trainer, found)
        kind = _with_threshold(kind, parameters, found["threshold"], k, notes)
    if not names.subtracts_b_dec:
        parameters = algebra.uncentred(parameters)
        notes.append("b_dec is not subtracted from the input: b_dec W_enc is folded into the encoder's bias")
    if names.has_unit_atoms:
        parameters = algebra.unit_atoms(parameters)
        notes.append("atoms are brought to norm one, and codes take the norm, as the library's reader does")
    return algebra.build(kind, parameters, k=k), tuple(notes)


def _shapes(names: _Class, width: int, latents: int, trainer: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    by_latent, by_width = (latents, width), (width, latents)
    encoder, decoder = (by_latent, by_width) if names.is_transposed else (by_width, by_latent)
    shapes = {names.encoder: encoder, names.decoder: decoder, names.b_dec: (width,)}
    shapes |= dict.fromkeys(names.vectors.values(), (latents,))
    if names.has_k:
        shapes |= {"k": (), "threshold": ()}
    if names.kind == "matryoshka":
        shapes["group_sizes"] = (len(trainer.get("group_sizes", ())),)
    return shapes


def _parameters(names: _Class, found: Mapping[str, Tensor]) -> Parameters:
    encoder, decoder = found[names.encoder], found[names.decoder]
    rows, atoms = (encoder, decoder.T.contiguous()) if names.is_transposed else (encoder.T.contiguous(), decoder)
    return Parameters(rows, atoms, found[names.b_dec], {ours: found[theirs] for ours, theirs in names.vectors.items()})


def _checked_k(file: Path, trainer: Mapping[str, Any], found: Mapping[str, Tensor]) -> int:
    said, k = whole_number(file, trainer, "k"), int(found["k"])
    if said != k:
        raise DamagedFileError(f"{file} says k = {said}, but the weights say {k}. Take both from the same folder.")
    return k


def _with_threshold(kind: str, parameters: Parameters, threshold: Tensor, k: int, notes: list[str]) -> str:
    """Give the kind by which it is encoded, with the threshold in its place where that kind uses one."""
    if kind == "topk":
        return kind
    if threshold < 0:
        notes.append(
            f"its threshold is {float(threshold):g}, which no training step has set (the library sets it after a thousand): "
            f"as it stands the codes would be those of a plain ReLU, so the {k} largest of each token are taken instead"
        )
        return "topk"
    parameters.vectors["threshold"] = threshold.expand(len(parameters.W_dec)).clone()
    return kind


def _published(file: Path) -> Published:
    if not file.is_file():
        return Published()
    found = read_json(file)
    explained = found.get("frac_variance_explained")
    return Published(found.get("l0"), None if explained is None else 1 - explained)
