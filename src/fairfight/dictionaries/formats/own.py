"""Our own format: a folder in the layout of SAELens 6, with a card beside it.

| file                      | holds                                                                              |
|---------------------------|------------------------------------------------------------------------------------|
| `cfg.json`                | architecture, widths, the kind's own entries, metadata (model, site)               |
| `sae_weights.safetensors` | the tensors: `W_enc` [d_in, d_sae], `W_dec` [d_sae, d_in], `b_enc`, `b_dec` for SAEs |
| `card.json`               | the card, and the SHA-256 of both other files                                      |

SAELens reads the folders of kinds that it knows (`topk`, `gated`, `relu` as "standard", and `jumprelu`, `batch_topk` and
`matryoshka` as "jumprelu"); the others keep the layout under an architecture of their own. What is done to each token first
(`NormalisedSae`) stands there in SAELens's words, `normalize_activations` and `center_writing_weights`. A pickle is never opened.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError

from fairfight import registry
from fairfight.dictionaries.contract import Card, Dictionary, TrainingFlops
from fairfight.dictionaries.formats import _parameters as algebra
from fairfight.dictionaries.formats._files import PICKLES, is_pickle, read_json, section
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Given, Origin, Published, place
from fairfight.dictionaries.formats._normalised import NormalisedSae, steps_in
from fairfight.errors import DamagedFileError, DiskFullError, InputError, UnsafeFileError, has_no_room

CFG, WEIGHTS, CARD = "cfg.json", "sae_weights.safetensors", "card.json"
_LAYOUT = "6.0.0"
"""The version of SAELens whose layout is written: without it SAELens reads an older one and drops the metadata."""


class Loaded(NamedTuple):
    """A dictionary and the card that came with it."""

    dictionary: Dictionary
    card: Card


class Own:
    """Our folder, read as a stranger's would be."""

    files: ClassVar[tuple[str, ...]] = (CFG, WEIGHTS, CARD)

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a card stands beside the weights."""
        return (path / CARD).is_file()

    @staticmethod
    def read(path: Path, given: Given = NOTHING_GIVEN) -> Foreign:
        """Give the dictionary, and what its card says.

        Raises:
            UnsafeFileError, InputError, DamagedFileError: as `load`.
        """
        dictionary, card = load(path)
        model, hook_name, site = place(path / CARD, given, model=card.model, hook_name=card.site)
        published = Published(card.l0, card.fvu)
        origin = Origin("fairfight", dictionary.architecture, model, hook_name, site, True, published)
        return Foreign(dictionary, origin, card=card)

    @staticmethod
    def small(folder: Path) -> Path:
        """Write a TopK autoencoder; see `Format.small`."""
        card = Card("topk", {}, 0, "resid_post.4", "a/model", "", 0, TrainingFlops(0, 0), 0, 0.5, 4.0, 0.0)
        save(algebra.build("topk", algebra.drawn(), k=4), card, folder)
        return folder


def save(dictionary: Dictionary, card: Card, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write `dictionary` and `card` into `folder`, in the place of what a dictionary folder held before.

    Weights are kept as `dtype`; what it cannot hold is rounded (see `fairfight.dictionaries.train.rounded`).

    The files are written beside it and moved under its name when they are whole, so no reader ever sees half of them.

    Raises:
        InputError: `folder` holds something other than a dictionary.
        DiskFullError: there is no room; `folder` is as it was.
    """
    folder = Path(folder)
    _check_replaceable(folder)
    contents = _contents(dictionary, card, dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        whole = workshop / "new"
        whole.mkdir()
        for name, content in contents.items():
            (whole / name).write_bytes(content)
        _swap(whole, folder, workshop / "old")
    except OSError as error:
        if not has_no_room(error):
            raise
        size = sum(map(len, contents.values()))
        raise DiskFullError(
            f"No room for the {size} bytes of {folder} ({error.strerror}); nothing was changed there. Make room and run again."
        ) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def load(folder: Path) -> Loaded:
    """Give the dictionary and the card that `save` wrote.

    Raises:
        UnsafeFileError: the weights are a pickle.
        InputError: the folder is not one that `save` wrote.
        DamagedFileError: a file is not what the card's checksum says.
    """
    folder = Path(folder)
    _refuse_pickle(folder)
    for name in (CFG, WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} holds no {name}; a dictionary folder has {CFG}, {WEIGHTS} and {CARD}. "
                "Give the folder that `save` wrote."
            )
    kept = read_json(folder / CARD)
    checksums = section(folder / CARD, kept, "sha256")
    cfg_bytes, weight_bytes = (_verified(folder / name, checksums) for name in (CFG, WEIGHTS))
    card = Card.from_json(section(folder / CARD, kept, "card"))
    try:
        tensors = safetensors.torch.load(weight_bytes)
    except SafetensorError as error:
        raise DamagedFileError(
            f"{folder / WEIGHTS} is not a safetensors file ({error}). Train or fetch the dictionary again."
        ) from error
    cfg = json.loads(cfg_bytes)
    dictionary, steps = registry.load("kinds", card.kind).restore(cfg, tensors), steps_in(cfg)
    return Loaded(NormalisedSae(dictionary, steps) if steps else dictionary, card)


def _swap(whole: Path, folder: Path, aside: Path) -> None:
    """Move `whole` to where `folder` is, and put `folder` back where that fails."""
    if folder.exists():
        folder.rename(aside)
    try:
        whole.rename(folder)
    except OSError:
        if aside.exists():
            aside.rename(folder)
        raise


def _contents(dictionary: Dictionary, card: Card, dtype: torch.dtype) -> dict[str, bytes]:
    plain = dictionary.cfg()
    word = str(dtype).removeprefix("torch.")
    cfg = _json_bytes({**plain, "dtype": word, "metadata": {**plain.get("metadata", {}), **_metadata(card)}})
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in dictionary.tensors().items()}
    weights = safetensors.torch.save(tensors)
    checksums = {CFG: _sha256(cfg), WEIGHTS: _sha256(weights)}
    return {CFG: cfg, WEIGHTS: weights, CARD: _json_bytes({"card": card.to_json(), "sha256": checksums})}


def _metadata(card: Card) -> dict[str, Any]:
    """Give what SAELens keeps about origin, with the site under TransformerLens's name.

    `resid_post` of a BERT stands behind the LayerNorm, for which TransformerLens has a second name, and a card does not
    tell families apart; `site` is exact. TransformerLens has no name for `mlp_in`.
    """
    kind, _, layer = card.site.rpartition(".")
    hook_name = f"blocks.{layer}.hook_{kind}" if layer.isdigit() and kind != "mlp_in" else card.site
    return {
        "model_name": card.model,
        "hook_name": hook_name,
        "site": card.site,
        "fairfight_version": _version(),
        "sae_lens_version": _LAYOUT,
    }


def _version() -> str:
    try:
        return version("fairfight")
    except PackageNotFoundError:  # run from its sources, in another library's environment
        return "not installed"


def _check_replaceable(folder: Path) -> None:
    if not folder.exists() or (folder.is_dir() and (not any(folder.iterdir()) or (folder / CARD).is_file())):
        return
    raise InputError(
        f"{folder} exists and is no dictionary folder (it holds no {CARD}), so it is not overwritten. "
        "Choose another folder, or move what is there."
    )


def _refuse_pickle(folder: Path) -> None:
    weights = folder / WEIGHTS
    if folder.suffix.lower() in PICKLES and folder.is_file():
        found = folder
    elif weights.is_file():
        found = weights if is_pickle(weights) else None
    else:
        found = next((file for file in sorted(folder.glob("*")) if file.suffix.lower() in PICKLES), None)
    if found is not None:
        raise UnsafeFileError(
            f"{found} is a pickle, which can run any code when it is opened; safetensors was expected. "
            "Ask its author for safetensors, or convert it on a machine that you can afford to lose."
        )


def _verified(file: Path, checksums: dict[str, str]) -> bytes:
    content = file.read_bytes()
    found, expected = _sha256(content), checksums.get(file.name)
    if found != expected:
        raise DamagedFileError(
            f"{file} has the SHA-256 {found}, but its {CARD} says {expected}. Train or fetch the dictionary again."
        )
    return content


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
