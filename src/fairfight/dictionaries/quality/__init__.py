"""How good a dictionary is: reconstruction, firing, atoms, stability across seeds, the model's loss with it spliced in."""

from fairfight.dictionaries.quality.numbers import (
    Quality,
    cosine,
    dead_share,
    fvu,
    l0,
    measure,
    norm_ratio,
    variance_explained,
)

__all__ = ["Quality", "cosine", "dead_share", "fvu", "l0", "measure", "norm_ratio", "variance_explained"]
