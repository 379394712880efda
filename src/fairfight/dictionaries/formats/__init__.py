"""Dictionaries on disk: ours, and those of other libraries.

Ours is written and read by `save` and `load` (`own`). `load_any` also reads what other libraries wrote, from a folder, a
file or the Hugging Face hub; each library is one file here, found by its name like every plug-in:

| file                  | reads                                                                                 |
|-----------------------|---------------------------------------------------------------------------------------|
| `own`                 | our folder: SAELens's layout, with a card beside it                                   |
| `saelens`             | SAELens: `cfg.json` and `sae_weights.safetensors`, of version 6 and of those before it |
| `dictionary_learning` | `ae.pt` and `config.json`                                                             |
| `sparsify`            | eai-sparsify: `cfg.json` and `sae.safetensors`                                        |
| `gemma_scope`         | Gemma Scope: `params.npz`                                                             |
| `openai`              | OpenAI's sparse_autoencoder: a `.pt` file                                             |

`from_object` takes anything that has `encode` and `decode`. What is read is not yet trusted: `dictionaries.check` measures
it on tokens of its site before it is used.
"""

from fairfight.dictionaries.formats._any import files_hash, format_of, load_any, located
from fairfight.dictionaries.formats._foreign import NOTHING_GIVEN, Foreign, Format, Given, Origin, Published
from fairfight.dictionaries.formats._normalised import NormalisedSae
from fairfight.dictionaries.formats._object import from_object
from fairfight.dictionaries.formats._parameters import parameters_of
from fairfight.dictionaries.formats.own import CARD, CFG, WEIGHTS, Loaded, load, save

__all__ = [
    "CARD",
    "CFG",
    "NOTHING_GIVEN",
    "WEIGHTS",
    "Foreign",
    "Format",
    "Given",
    "Loaded",
    "NormalisedSae",
    "Origin",
    "Published",
    "files_hash",
    "format_of",
    "from_object",
    "load",
    "load_any",
    "located",
    "parameters_of",
    "save",
]
