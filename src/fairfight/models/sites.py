"""Sites: places in a transformer where activations are read, under one name for every family.

| site            | what is read                                                  | TransformerLens              |
|-----------------|---------------------------------------------------------------|------------------------------|
| `resid_pre.N`   | what layer N takes in                                         | `blocks.N.hook_resid_pre`    |
| `attn_out.N`    | what attention in layer N adds to the residual stream         | `blocks.N.hook_attn_out`     |
| `mlp_in.N`      | what the MLP in layer N takes in, after the norm before it    | none                         |
| `mlp_out.N`     | what the MLP in layer N adds to the residual stream           | `blocks.N.hook_mlp_out`      |
| `resid_post.N`  | what layer N gives                                            | `blocks.N.hook_resid_post`   |

Layers count from zero. In pre-norm families resid_pre + attn_out + mlp_out = resid_post; where a norm follows the
sublayer (Gemma 2 and 3, OLMo 2) it is counted in, because its output is what is added.

BERT normalises after adding: `attn_out` and `mlp_out` are the outputs of `attention.output.dense` and `output.dense`,
before the sum and its LayerNorm, and `resid_post` is the layer's output after LayerNorm (as `output_hidden_states`
gives it, and as TransformerLens' `hook_normalized_resid_post`; its `hook_resid_post` there is the sum before LayerNorm,
which is not read here).

`mlp_in` is what a transcoder to `mlp_out` reads. TransformerLens' `hook_mlp_in` is another place, before the norm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

from torch import nn

from fairfight.errors import SiteError, nearest
from fairfight.models.load import Model, text_config

Kind = Literal["resid_pre", "attn_out", "mlp_in", "mlp_out", "resid_post"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Site:
    """A place in a transformer; `str(site)` is its canonical name."""

    kind: Kind
    layer: int

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"


class Located(NamedTuple):
    """Where a site lives in one model."""

    path: str
    """Module path inside `Model.module`."""
    module: nn.Module
    takes_input: bool
    """Whether the site is what the module takes in, rather than what it gives."""
    width: int


class _Sublayers(NamedTuple):
    attention: str
    mlp: str
    mlp_input: str = "mlp"


_PRE_NORM = _Sublayers("self_attn", "mlp")
_POST_NORM = _Sublayers("attention.output.dense", "output.dense", "intermediate")
_SANDWICH_NORM = _Sublayers("post_attention_layernorm", "post_feedforward_layernorm")
SUBLAYERS: dict[str, _Sublayers] = {
    "bert": _POST_NORM,
    "electra": _POST_NORM,
    "roberta": _POST_NORM,
    "xlm-roberta": _POST_NORM,
    "gpt2": _Sublayers("attn", "mlp"),
    "gpt_neox": _Sublayers("attention", "mlp"),
    "gemma": _PRE_NORM,
    "gemma2": _SANDWICH_NORM,
    "gemma3_text": _SANDWICH_NORM,
    "llama": _PRE_NORM,
    "mistral": _PRE_NORM,
    "olmo2": _SANDWICH_NORM,
    "qwen2": _PRE_NORM,
    "qwen3": _PRE_NORM,
}
"""By `model_type`: the modules inside a layer whose output is added to the residual stream, and the one that takes in what
the MLP reads. Other families are not
guessed at, because a wrong guess reads a wrong number silently; their `resid_pre` and `resid_post` are read all the
same."""

_CANONICAL = re.compile(rf"({'|'.join(KINDS)})\.(\d+)")
_LENS = re.compile(r"blocks\.(\d+)\.hook_(resid_pre|attn_out|mlp_out|resid_post|normalized_resid_post)")
_MODULE_PATH = re.compile(r"(?:[\w.]+\.)?(layers?|h|blocks)\.(\d+)(?:\.([a-z_.]+))?")
_SUFFIXES: dict[str, Kind] = {
    "attn": "attn_out",
    "self_attn": "attn_out",
    "attention": "attn_out",
    "attention.output.dense": "attn_out",
    "mlp": "mlp_out",
    "output.dense": "mlp_out",
    "post_feedforward_layernorm": "mlp_out",
    "output": "resid_post",
}
_LAYER_LISTS = {"layer", "layers", "h", "blocks"}
_LAST_NORMS = {"output.LayerNorm", "output_layer_norm"}
"""What BERT and its kin, and DistilBERT, call the norm that a layer ends in."""


def canonical(name: str) -> Site:
    """Give the site that a name stands for: ours, TransformerLens' or a module's path.

    A module's path names the sublayer, and what is read is what that sublayer adds to the residual stream:
    `model.layers.4.mlp` is `mlp_out.4`, after its post-norm where the family has one.

    Raises:
        SiteError: no site goes by that name, or a BERT path ends in `attention`, whose output is already normalised.
    """
    if match := _CANONICAL.fullmatch(name):
        return Site(cast(Kind, match[1]), int(match[2]))
    if match := _LENS.fullmatch(name):
        return Site(cast(Kind, match[2].removeprefix("normalized_")), int(match[1]))
    match = _MODULE_PATH.fullmatch(name)
    if match and match[3] is None:
        return Site("resid_post", int(match[2]))
    if match and match[1] == "layer" and match[3] == "attention":
        raise SiteError(
            f"'{name}' is read after BERT's sum and LayerNorm, so it is no sublayer's contribution. Ask for "
            f"'attn_out.{match[2]}' (the module '{name}.output.dense') or for a residual site."
        )
    if match and match[3] in _SUFFIXES:
        return Site(_SUFFIXES[match[3]], int(match[2]))
    raise SiteError(
        f"No site is called '{name}'. A site is {', '.join(f'{kind}.N' for kind in KINDS)} with N from zero, "
        f"blocks.N.hook_<site>, or a module's path such as encoder.layer.4 or model.layers.4.mlp."
        f"{nearest(name, [f'{kind}.{n}' for kind in KINDS for n in range(100)])}"
    )


def resolve(model: Model, site: Site | str) -> Site:
    """Give the site that a name stands for in this very model.

    Raises:
        SiteError: no site goes by that name, or TransformerLens means a place by it that is not read here.
    """
    if not isinstance(site, str):
        return site
    found = canonical(site)
    is_lens_post = site.startswith("blocks.") and site.endswith(".hook_resid_post")
    if is_lens_post and _normalises_after_adding(model):
        raise SiteError(
            f"In TransformerLens '{site}' is the sum before LayerNorm in a model that normalises after adding, as "
            f"{model.name} does; that place is not read here. For the layer's output ask for '{found}', which "
            f"TransformerLens calls 'blocks.{found.layer}.hook_normalized_resid_post'."
        )
    return found


def locate(model: Model, site: Site | str) -> Located:
    """Give the module that a site is read from.

    Raises:
        SiteError: the model has no such layer, or the sublayers of its family are not known here.
    """
    site = resolve(model, site)
    list_path, layers = layer_list(model.module)
    if site.layer >= len(layers):
        raise SiteError(
            f"{model.name} has {len(layers)} layers, numbered 0 to {len(layers) - 1}, so there is no '{site}'. "
            f"Choose a layer from 0 to {len(layers) - 1}."
        )
    inside = "" if site.kind.startswith("resid") else _sublayer_path(model, site)
    path = ".".join(filter(None, [list_path, str(site.layer), inside]))
    return Located(path, model.module.get_submodule(path), site.kind in ("resid_pre", "mlp_in"), model.d_model)


def layer_list(module: nn.Module) -> tuple[str, nn.ModuleList]:
    """Give the path and the list of a transformer's layers.

    Raises:
        SiteError: no list of `num_hidden_layers` modules is named as layers usually are.
    """
    layers = int(text_config(module).num_hidden_layers)
    for path, candidate in module.named_modules():
        named_so = path.rpartition(".")[2] in _LAYER_LISTS and "vision" not in path
        if named_so and isinstance(candidate, nn.ModuleList) and len(candidate) == layers:
            return path, candidate
    raise SiteError(
        f"{type(module).__name__} keeps its {layers} layers in no list called {', '.join(sorted(_LAYER_LISTS))}. "
        "Choose a model whose layers are laid out as in BERT, GPT-2 or Llama."
    )


def _normalises_after_adding(model: Model) -> bool:
    """Give whether layers end in a LayerNorm of the sum: read off their modules, so for BERT's unlisted kin too."""
    _, layers = layer_list(model.module)
    return any(name in _LAST_NORMS for name, _ in layers[0].named_modules())


def _sublayer_path(model: Model, site: Site) -> str:
    family = str(text_config(model.module).model_type)
    if family not in SUBLAYERS:
        raise SiteError(
            f"What attention and MLP read and add is not known for the family '{family}' ({model.name}), so "
            f"'{site}' is not read; it is known for {', '.join(sorted(SUBLAYERS))}. Ask for resid_pre or resid_post."
        )
    sublayers = SUBLAYERS[family]
    return {"attn_out": sublayers.attention, "mlp_in": sublayers.mlp_input, "mlp_out": sublayers.mlp}[site.kind]
