"""Activations: what a model computes at a site for a set of texts, stored once and read piece by piece."""
