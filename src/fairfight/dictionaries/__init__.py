"""Learned bases of a site: the contract, the kinds, how they are trained, and how they are kept on disk."""
