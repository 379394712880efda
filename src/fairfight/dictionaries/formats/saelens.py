"""SAELens: `cfg.json` and `sae_weights.safetensors`, as version 6 writes them and as the versions before it did.

| entry                          | what is done                                                                              |
|--------------------------------|-------------------------------------------------------------------------------------------|
| `architecture`                 | has to be the one that the tensors' names say                                              |
| `apply_b_dec_to_input` false   | folded into the encoder's bias                                                             |
| `rescale_acts_by_decoder_norm` | folded: atoms of norm one, codes times the norm                                            |
| `normalize_activations`        | `layer_norm` and `constant_norm_rescale` are done a token; `expected_average_only_in` and `covariance_whitening` are folded out of the files that a trainer's checkpoint has beside it, and refused without them |
| `finetuning_scaling_factor`    | folded into the decoder                                                                    |
| `model_from_pretrained_kwargs` | `center_writing_weights`: each token's mean is taken off, and put back                     |

Training saves of BatchTopK and Matryoshka (`topk_threshold`) become what SAELens's own inference save would make of them.
Source: SAELens 6.54.12, `saes/` and `loading/pretrained_sae_loaders.py`; its configuration classes of 2.x and 6.4 for the
entries that concern training alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from fairfight.dictionaries.contract import Dictionary
from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._files import (
    check_entries,
    check_size,
    entry,
    flag,
    is_pickle,
    read_json,
    read_safetensors,
    refuse_pickle,
    section,
    shapes_in,
    whole_number,
    words,
)
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Given, Origin, Published, how_to_give, place
from fairfight.dictionaries.formats._normalised import NormalisedSae, Step
from fairfight.dictionaries.formats._parameters import Parameters
from fairfight.errors import DamagedFileError, InputError

CFG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
SPARSITY, SCALER, WHITENING = "sparsity.safetensors", "activation_scaler.json", "activation_whitening.safetensors"

_KINDS = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "batchtopk": "batch_topk",
    "matryoshka_batchtopk": "matryoshka",
}
_TRAINED_AS_BATCH = ("batchtopk", "matryoshka_batchtopk")
_NOT_HERE = {
    "abstopk": "keeps the k largest codes by size and of both signs, and no kind here does",
    "matching_pursuit": "encodes step by step, and no kind here does",
    "temporal": "reads the tokens before, and codes here are of one token",
    "transcoder": "gives another site than it reads, and a dictionary here has one",
    "skip_transcoder": "gives another site than it reads, and a dictionary here has one",
    "jumprelu_transcoder": "gives another site than it reads, and a dictionary here has one",
    "jumprelu_skip_transcoder": "gives another site than it reads, and a dictionary here has one",
}

_CORE = ("architecture", "d_in", "d_sae", "dtype", "device", "metadata")
_CONVENTIONS = ("apply_b_dec_to_input", "normalize_activations", "reshape_activations")
_TOPK = ("k", "rescale_acts_by_decoder_norm")
_TRAINING = words(
    "decoder_init_norm l1_coefficient lp_norm l1_warm_up_steps l0_coefficient l0_warm_up_steps pre_act_loss_coefficient "
    "jumprelu_init_threshold jumprelu_bandwidth jumprelu_sparsity_loss_mode jumprelu_tanh_scale jumprelu_ste_to_input "
    "target_l0 use_sparse_activations aux_loss_coefficient topk_threshold_lr matryoshka_widths "
    "use_matryoshka_aux_loss"
)
"""Entries of version 6 that shape training and leave what the trained weights compute as it is."""
_ORIGIN = words(
    "model_name model_class_name hook_name hook_layer hook_head_index hook_eval hook_name_out hook_head_index_out "
    "hf_hook_name hf_hook_name_out prepend_bos exclude_special_tokens context_size dataset_path seqpos_slice neuronpedia_id "
    "model_from_pretrained_kwargs sae_lens_version sae_lens_training_version"
)
_OLD_CONVENTIONS = words(
    "activation_fn activation_fn_str activation_fn_kwargs apply_b_dec_to_input normalize_activations reshape_activations "
    "finetuning_scaling_factor hook_point hook_point_layer hook_point_head_index hook_point_eval"
)
_OLD_TRAINING = words(
    "dataset_trust_remote_code streaming is_dataset_tokenized use_cached_activations cached_activations_path "
    "b_dec_init_method expansion_factor normalize_sae_decoder noise_scale from_pretrained_path decoder_orthogonal_init "
    "decoder_heuristic_init decoder_heuristic_init_norm init_encoder_as_decoder_transpose n_batches_in_buffer "
    "training_tokens finetuning_tokens store_batch_size_prompts train_batch_size_prompts act_store_device seed autocast "
    "autocast_lm compile_llm llm_compilation_mode compile_sae sae_compilation_mode train_batch_size_tokens "
    "train_batch_size adam_beta1 adam_beta2 mse_loss_normalization l1_coefficient lp_norm "
    "scale_sparsity_penalty_by_decoder_norm l1_warm_up_steps lr lr_scheduler_name lr_warm_up_steps lr_end lr_decay_steps "
    "n_restart_cycles finetuning_method use_ghost_grads feature_sampling_window dead_feature_window "
    "dead_feature_threshold n_eval_batches eval_batch_size_prompts log_to_wandb log_activations_store_to_wandb "
    "log_optimizer_state_to_wandb wandb_project wandb_id run_name wandb_entity wandb_log_frequency "
    "eval_every_n_wandb_logs resume n_checkpoints checkpoint_path verbose model_kwargs tokens_per_buffer "
    "jumprelu_init_threshold jumprelu_bandwidth"
)
"""What earlier versions put into the same file, down to the name of the run."""
_HARMLESS_MODEL_ARGUMENTS = words(
    "fold_ln center_unembed fold_value_biases refactor_factored_attn_matrices dtype torch_dtype device n_devices device_map "
    "trust_remote_code cache_dir local_files_only default_prepend_bos default_padding_side move_to_device"
)
"""What TransformerLens may be asked for without a change to any site that is read here."""


class _Read(NamedTuple):
    """A configuration in the words of version 6, and what had to be said about it."""

    cfg: dict[str, Any]
    metadata: dict[str, Any]
    notes: tuple[str, ...]


class SAELens:
    """Folders of SAELens; no pickle in them is ever opened."""

    files: ClassVar[tuple[str, ...]] = (CFG, WEIGHTS, SPARSITY, SCALER, WHITENING)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether the folder holds weights under SAELens's name."""
        return (path / WEIGHTS).is_file()

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary; see `Format.read` and the table above."""
        file = path / CFG
        refuse_pickle(path / WEIGHTS)
        raw = read_json(file)
        read = _of_version_6(file, raw) if _is_version_6(file, raw) else _of_older(file, raw, given)
        architecture = _architecture(file, read.cfg)
        said_model, hook_name = _model(file, read.metadata), read.metadata.get("hook_name")
        model, hook_name, site = place(file, given, model=said_model, hook_name=hook_name)
        if read.metadata.get("hook_head_index") is not None:
            site = None
        dictionary, notes = _dictionary(path, architecture, read, given)
        excluded, published = _is_bos_excluded(read.metadata), _published(path)
        origin = Origin("SAELens", architecture, model, hook_name, site, excluded, published)
        return Foreign(dictionary, origin, read.notes + notes)

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a TopK autoencoder behind a layer norm, in the layout that ours shares; see `Format.small`."""
        dictionary = NormalisedSae(algebra.build("topk", algebra.drawn(), k=4), ("layer_norm",))
        save_file(dictionary.tensors(), folder / WEIGHTS)
        metadata = {"model_name": "a/model", "hook_name": "blocks.4.hook_resid_post", "sae_lens_version": "6.54.12"}
        (folder / CFG).write_text(json.dumps({**dictionary.cfg(), "metadata": metadata}))
        return folder


def _is_version_6(file: Path, cfg: Mapping[str, Any]) -> bool:
    metadata = section(file, cfg, "metadata", may_be_absent=True)
    version = str(cfg.get("sae_lens_version") or metadata.get("sae_lens_version"))
    major = version.partition(".")[0]
    return major.isdigit() and int(major) >= 6


def _of_version_6(file: Path, cfg: dict[str, Any]) -> _Read:
    architecture = _architecture(file, cfg)
    if (strange := sorted({*_TOPK} & cfg.keys())) and architecture not in ("topk", *_TRAINED_AS_BATCH):
        raise InputError(
            f"{file} says architecture '{architecture}', but has {', '.join(strange)}, which only TopK and BatchTopK "
            "dictionaries have; one of them is wrong. Fetch the file again, or ask its author."
        )
    check_entries(file, cfg, {*_CORE, *_CONVENTIONS, *_TRAINING, *_ORIGIN, *_TOPK})
    notes = ()
    if "k" in cfg and "rescale_acts_by_decoder_norm" not in cfg:
        cfg = {**cfg, "rescale_acts_by_decoder_norm": False}
        notes = ("cfg.json has no rescale_acts_by_decoder_norm, as those written before that option: not rescaled",)
    return _Read(cfg, {**cfg, **section(file, cfg, "metadata")}, notes)


def _of_older(file: Path, cfg: dict[str, Any], given: Given) -> _Read:
    """Give an older configuration in the words of version 6.

    What a version wrote nothing about because it had no such option is said in the notes; what could be two things is
    asked for.
    """
    check_entries(file, cfg, {*_CORE, *_ORIGIN, *_OLD_CONVENTIONS, *_OLD_TRAINING})
    found, notes = dict(cfg), ["cfg.json was written before SAELens 6"]
    for old, new in (("hook_point", "hook_name"), ("hook_point_head_index", "hook_head_index")):
        if old in found:
            found[new] = found.pop(old)
    for name, meaning in (("apply_b_dec_to_input", True), ("normalize_activations", "none")):
        if name not in found:
            found[name] = meaning
            notes.append(f"cfg.json has no {name}, as those written before that option: {meaning}")
    normalisation = found["normalize_activations"]
    if isinstance(normalisation, bool) or normalisation is None:
        found["normalize_activations"] = "expected_average_only_in" if normalisation else "none"
    heads = "hook_z" if "hook_z" in str(found.get("hook_name")) else "none"
    found.setdefault("reshape_activations", heads)
    if "model_from_pretrained_kwargs" not in found and given.is_centred is None:
        raise InputError(
            f"{file} does not say whether TransformerLens centred the model's writing weights, and before SAELens 3 that "
            "was its default: tokens then had mean zero. Find out where the dictionary was published, and "
            f"{how_to_give('is_centred', True)}."
        )
    found.update(_older_activation(file, found, given))
    return _Read(found, found | section(file, found, "metadata", may_be_absent=True), tuple(notes))


def _older_activation(file: Path, cfg: dict[str, Any], given: Given) -> dict[str, Any]:
    activation = cfg.get("activation_fn_str", cfg.get("activation_fn"))
    architecture, arguments = cfg.get("architecture"), section(file, cfg, "activation_fn_kwargs", may_be_absent=True)
    if activation is None:
        activation = given.architecture
    if activation not in ("relu", "topk"):
        raise InputError(
            f"{file} has the activation function {activation!r}; relu and topk are read here, and where nothing is said "
            "nothing is assumed, because a TopK dictionary read as ReLU is silently wrong. If you know which it is, "
            f"{how_to_give('architecture', 'relu')}."
        )
    if activation == "relu":
        return {"architecture": architecture or "standard"}
    if architecture not in (None, "standard", "topk"):
        raise InputError(
            f"{file} says architecture '{architecture}' and activation topk; at most one is true. Ask its author."
        )
    check_entries(file, arguments, {"k", "use_sparse_activations"})
    k = whole_number(file, arguments, "k")
    return {"architecture": "topk", "k": k, "rescale_acts_by_decoder_norm": False}


def _architecture(file: Path, cfg: Mapping[str, Any]) -> str:
    architecture = entry(file, cfg, "architecture")
    if architecture in _NOT_HERE:
        raise InputError(
            f"{file} has the architecture '{architecture}', which {_NOT_HERE[architecture]}. Choose a dictionary of "
            f"{', '.join(_KINDS)}."
        )
    if architecture not in _KINDS:
        raise InputError(
            f"{file} has the unknown architecture '{architecture}'; read are {', '.join(_KINDS)}. Choose one."
        )
    return architecture


def _dictionary(path: Path, architecture: str, read: _Read, given: Given) -> tuple[Dictionary, tuple[str, ...]]:
    file, cfg, notes = path / CFG, read.cfg, []
    kind = _KINDS[architecture]
    trained_as = str(read.metadata.get("training_architecture"))
    if architecture == "jumprelu" and trained_as in _TRAINED_AS_BATCH:
        kind = _KINDS[trained_as]
    steps = _steps(file, cfg, read.metadata, given, notes)
    parameters = _folded(path, architecture, cfg, given, notes)
    if kind in ("batch_topk", "matryoshka") and not (parameters.vectors["threshold"] > 0).any():
        raise InputError(
            f"{path / WEIGHTS} has the threshold 0, which the first training step of a BatchTopK dictionary changes: with it "
            "the codes are those of a plain ReLU. It was saved before training; choose a later checkpoint."
        )
    dictionary = algebra.build(kind, parameters, k=whole_number(file, cfg, "k") if kind == "topk" else None)
    return (NormalisedSae(dictionary, steps) if steps else dictionary), tuple(notes)


def _folded(path: Path, architecture: str, cfg: Mapping[str, Any], given: Given, notes: list[str]) -> Parameters:
    """Give the parameters with every convention folded in, in the order in which SAELens itself would fold them."""
    file = path / CFG
    parameters = _parameters(path, architecture, cfg, notes)
    by_norm = "k" in cfg and flag(file, cfg, "rescale_acts_by_decoder_norm")
    # The threshold of a training save is already in norms of atoms, so the norms are not multiplied into it.
    threshold = parameters.vectors.pop("threshold") if architecture in _TRAINED_AS_BATCH else None
    if cfg["normalize_activations"] == "expected_average_only_in":
        scale = _input_scale(path, given)
        parameters = algebra.scaled(parameters, scale)
        threshold = threshold / scale if threshold is not None and by_norm else threshold
        notes.append(f"the input scale {scale:.6g} of training is folded into the weights")
    if not flag(file, cfg, "apply_b_dec_to_input"):
        parameters = algebra.uncentred(parameters)
        notes.append("b_dec is not subtracted from the input: b_dec W_enc is folded into the encoder's bias")
    if by_norm:
        parameters = algebra.unit_atoms(parameters)
        notes.append("codes are measured in norms of atoms: norms are folded into the encoder, atoms have norm one")
    if cfg["normalize_activations"] == "covariance_whitening":
        parameters = algebra.whitened(parameters, *_whitening(path, len(parameters.b_dec)))
        notes.append("the whitening of training is folded into the weights")
    if threshold is None:
        return parameters
    notes.append("a training save: encoded by its threshold, as its inference save would be")
    return parameters._replace(vectors=parameters.vectors | {"threshold": threshold})


def _parameters(path: Path, architecture: str, cfg: Mapping[str, Any], notes: list[str]) -> Parameters:
    file, weights = path / CFG, path / WEIGHTS
    width, latents = whole_number(file, cfg, "d_in"), whole_number(file, cfg, "d_sae")
    check_size(file, width, latents)
    names = shapes_in(weights)
    _check_architecture(file, architecture, set(names))
    vectors = ["b_gate", "b_mag", "r_mag"] if architecture == "gated" else ["b_enc"]
    if architecture == "jumprelu":
        vectors.append("log_threshold" if "log_threshold" in names else "threshold")
    shapes = {"W_enc": (width, latents), "W_dec": (latents, width), "b_dec": (width,)}
    shapes |= dict.fromkeys(vectors, (latents,))
    if architecture in _TRAINED_AS_BATCH:
        shapes["topk_threshold"] = ()
    if "scaling_factor" in names:
        shapes["scaling_factor"] = (latents,)
    found = read_safetensors(weights, shapes)
    if "log_threshold" in found:
        found["threshold"] = found.pop("log_threshold").exp()
    if "topk_threshold" in found:
        found["threshold"] = found.pop("topk_threshold").expand(latents).clone()
    factors = found.pop("scaling_factor", None)
    rows, atoms, b_dec = found.pop("W_enc").T.contiguous(), found.pop("W_dec"), found.pop("b_dec")
    parameters = Parameters(rows, atoms, b_dec, found)
    stored = str(cfg.get("dtype", "float32")).removeprefix("torch.")
    if stored != "float32":
        notes.append(f"computed in float32, though cfg.json says {stored}")
    return _finetuned(file, cfg, parameters, factors, notes)


def _finetuned(
    file: Path, cfg: Mapping[str, Any], parameters: Parameters, factors: Tensor | None, notes: list[str]
) -> Parameters:
    if factors is None or (factors == 1).all():
        return parameters
    if not cfg.get("finetuning_scaling_factor"):
        raise InputError(
            f"{file} says that codes are not rescaled after finetuning, but the weights hold a scaling_factor that is not "
            "one. One of the two is wrong: ask the author."
        )
    notes.append("scaling_factor of the finetuning is folded into the decoder")
    return algebra.louder(parameters, factors)


def _check_architecture(file: Path, architecture: str, names: set[str]) -> None:
    """Raise DamagedFileError where the tensors' names belong to another architecture than the entry says."""
    marks = {"gated": "b_gate", "jumprelu": "threshold", "batchtopk": "topk_threshold"}
    likely = next(
        (name for name, mark in marks.items() if mark in names), "standard or topk" if "b_enc" in names else ""
    )
    said = {"matryoshka_batchtopk": "batchtopk", "standard": "standard or topk", "topk": "standard or topk"}
    if "log_threshold" in names:
        likely = "jumprelu"
    if likely and likely != said.get(architecture, architecture):
        raise DamagedFileError(
            f"{file} says architecture '{architecture}', but the weights beside it hold {', '.join(sorted(names))}, as "
            f"{likely} does. One of the two was exchanged: take both from the same folder."
        )


def _steps(
    file: Path, cfg: Mapping[str, Any], metadata: Mapping[str, Any], given: Given, notes: list[str]
) -> tuple[Step, ...]:
    """Give what happens to each token before it is encoded."""
    how, steps = entry(file, cfg, "normalize_activations"), []
    if how not in ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in", "covariance_whitening"):
        raise InputError(f"{file} has the unknown normalize_activations '{how}'. Ask its author what it computes.")
    if given.input_scale is not None and how != "expected_average_only_in":
        raise InputError(
            f"{file} has normalize_activations '{how}', so its input takes no scale, but {given.input_scale} was given. "
            "Leave it out."
        )
    reshaping = entry(file, cfg, "reshape_activations")
    if reshaping not in ("none", "hook_z"):
        raise InputError(f"{file} has the unknown reshape_activations '{reshaping}'. Ask its author what it computes.")
    if reshaping == "hook_z":
        notes.append("reads the outputs of all attention heads of a token, end to end")
    if _is_centred(file, metadata, given):
        steps.append("centre")
        notes.append(
            "the model's writing weights were centred: each token's mean is taken off, and put back after decoding"
        )
    if how in ("layer_norm", "constant_norm_rescale"):
        steps.append(how)
        notes.append(f"{how} of each token, undone after decoding")
    return tuple(steps)


def _input_scale(path: Path, given: Given) -> float:
    kept = read_json(path / SCALER).get("scaling_factor") if (path / SCALER).is_file() else None
    scale = kept if given.input_scale is None else given.input_scale
    if scale is None or (kept is not None and scale != kept):
        found = f"{SCALER} says {kept}" if kept is not None else f"{SCALER} is not beside it or says nothing"
        raise InputError(
            f"{path / CFG} has normalize_activations 'expected_average_only_in': training multiplied its input by a factor "
            f"that it does not hold; {found}, and {given.input_scale} was given. Take a checkpoint in which SAELens folded it "
            "(it then says 'none'), or find that one factor and {how_to_give('input_scale', 0.5)}."
        )
    return float(scale)


def _whitening(path: Path, width: int) -> tuple[Tensor, Tensor, Tensor]:
    if not (path / WHITENING).is_file():
        raise InputError(
            f"{path / CFG} has normalize_activations 'covariance_whitening', and the matrices are not beside it ({WHITENING}). "
            "Take a checkpoint in which SAELens folded them (it then says 'none')."
        )
    shapes = {"mean": (width,), "matrix": (width, width), "inverse_matrix": (width, width)}
    found = read_safetensors(path / WHITENING, shapes, torch.float64)
    return found["mean"], found["matrix"], found["inverse_matrix"]


def _is_centred(file: Path, metadata: Mapping[str, Any], given: Given) -> bool:
    arguments = section(file, metadata, "model_from_pretrained_kwargs", may_be_absent=True)
    check_entries(file, arguments, _HARMLESS_MODEL_ARGUMENTS | {"center_writing_weights", "revision"})
    said = arguments.get("center_writing_weights", False)
    if given.is_centred is not None and "model_from_pretrained_kwargs" in metadata and said != given.is_centred:
        raise InputError(
            f"{file} says center_writing_weights = {said}, but is_centred = {given.is_centred} was given. Leave it out."
        )
    return said if given.is_centred is None else given.is_centred


def _model(file: Path, metadata: Mapping[str, Any]) -> str | None:
    arguments = section(file, metadata, "model_from_pretrained_kwargs", may_be_absent=True)
    name = metadata.get("model_name")
    return f"{name}@{arguments['revision']}" if name and "revision" in arguments else name


def _is_bos_excluded(metadata: Mapping[str, Any]) -> bool | None:
    if metadata.get("exclude_special_tokens") or metadata.get("prepend_bos") is False:
        return True
    return False if metadata.get("prepend_bos") else None


def _published(path: Path) -> Published:
    """Give L0 as the trainer saw it: it keeps the logarithm (base ten) of how often each latent spoke."""
    file = path / SPARSITY
    if not file.is_file() or is_pickle(file):
        return Published()
    shapes = shapes_in(file)
    if list(shapes) != ["sparsity"]:
        return Published()
    sparsity = read_safetensors(file, shapes)["sparsity"]
    return Published(l0=float(torch.pow(10.0, sparsity.double()).sum()))
