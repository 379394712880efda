"""eai-sparsify: `cfg.json` and `sae.safetensors` in a folder named as the module that is read, below the run's `config.json`.

TopK is read; of `groupmax`, signed codes, transcoders and skip connections it is said why not. `normalize_decoder`,
`multi_topk` and `expansion_factor` concern training, or are seen in the shapes.
Source: eai-sparsify 1.3.3, `sparse_coder.py`, `config.py`, `fused_encoder.py`, `trainer.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import save_file

from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._files import check_entries, check_size, read_json, read_safetensors, whole_number
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Given, Origin, place
from fairfight.dictionaries.formats._parameters import Parameters
from fairfight.errors import InputError

CFG, WEIGHTS, RUN = "cfg.json", "sae.safetensors", "config.json"
_USED = ("activation", "d_in", "num_latents", "expansion_factor", "k", "skip_connection", "transcode", "signed")
_TRAINING = ("normalize_decoder", "multi_topk")
_NOT_HERE = {
    "transcode": "a transcoder, which gives what a module writes from what it reads; a dictionary here has one site",
    "skip_connection": "adds a linear map of the token to the reconstruction, which codes do not hold",
    "signed": "keeps codes of both signs, and no kind here does",
}


class Sparsify:
    """Hookpoint folders of sparsify."""

    files: ClassVar[tuple[str, ...]] = (CFG, WEIGHTS, f"../{RUN}", f"../../{RUN}")

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether the folder holds weights under sparsify's name."""
        return (path / WEIGHTS).is_file()

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary; see `Format.read`."""
        file = path / CFG
        cfg, notes = read_json(file), []
        k = _checked_k(file, cfg, notes)
        width = whole_number(file, cfg, "d_in")
        latents = _latents(file, cfg, width)
        check_size(file, width, latents)
        shapes = {
            "encoder.weight": (latents, width),
            "encoder.bias": (latents,),
            "W_dec": (latents, width),
            "b_dec": (width,),
        }
        found = read_safetensors(path / WEIGHTS, shapes)
        parameters = Parameters(
            found["encoder.weight"], found["W_dec"], found["b_dec"], {"b_enc": found["encoder.bias"]}
        )
        hookpoint, run = _surroundings(path)
        model, hook_name, site = place(file, given, model=_model(run), hook_name=hookpoint)
        if run.get("loss_fn", "fvu") != "fvu":
            notes.append(f"trained on the model's own loss ({run['loss_fn']}), not on reconstruction")
        # With tokens left out we cannot tell whether the one at the beginning was among them.
        excluded = False if run.get("exclude_tokens") == [] else None
        origin = Origin("sparsify", "topk", model, hook_name, site, excluded)
        return Foreign(algebra.build("topk", parameters, k=k), origin, tuple(notes))

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a hookpoint's folder within its run; see `Format.small`."""
        rows, atoms, b_dec, vectors = algebra.drawn()
        hookpoint = folder / "layers.4"
        hookpoint.mkdir()
        state = {"encoder.weight": rows, "encoder.bias": vectors["b_enc"], "W_dec": atoms, "b_dec": b_dec}
        save_file(state, hookpoint / WEIGHTS)
        cfg = {"activation": "topk", "d_in": len(b_dec), "num_latents": len(rows), "k": 4}
        (hookpoint / CFG).write_text(json.dumps({**cfg, "transcode": False, "skip_connection": False}))
        (folder / RUN).write_text(json.dumps({"model": "a/model", "exclude_tokens": []}))
        return hookpoint


def _checked_k(file: Path, cfg: Mapping[str, Any], notes: list[str]) -> int:
    check_entries(file, cfg, (*_USED, *_TRAINING))
    for name, why in _NOT_HERE.items():
        if cfg.get(name):
            raise InputError(f"{file} says {name}: {why}. Choose a sparse autoencoder without it.")
    if cfg.get("activation", "topk") != "topk":
        raise InputError(
            f"{file} has the activation '{cfg['activation']}'; topk is read here (groupmax keeps the largest of each of k "
            "groups, and no kind here does). Choose a topk dictionary."
        )
    absent = [name for name in ("activation", "transcode", "skip_connection") if name not in cfg]
    if absent:
        notes.append(
            f"cfg.json has no {', '.join(absent)}, as those written before these options: a plain topk autoencoder"
        )
    return whole_number(file, cfg, "k")


def _latents(file: Path, cfg: Mapping[str, Any], width: int) -> int:
    return (
        whole_number(file, cfg, "num_latents")
        if cfg.get("num_latents")
        else width * whole_number(file, cfg, "expansion_factor")
    )


def _model(run: Mapping[str, Any]) -> str | None:
    name, revision = run.get("model"), run.get("revision")
    return f"{name}@{revision}" if name and revision else name


def _surroundings(path: Path) -> tuple[str, dict[str, Any]]:
    """Give the hookpoint and the run's settings; with several seeds, a folder for each stands in between."""
    folder = path.absolute()
    if re.fullmatch(r"seed\d+", folder.name):
        folder = folder.parent
    run = folder.parent / RUN
    return folder.name, read_json(run) if run.is_file() else {}
