"""Contenders of the `detect` contest: one file each, found by `fairfight.registry`.

Files with a leading underscore are no contenders: `_looks` (what a method reads), `_linear`, `_sparse` and `_descent`
(how it is fitted), `_lora` and `_frozen_linear` (the model fine-tuned).
"""
