"""Readers of score tables, one file a layout; each says whether a path is its own and gives the tables in it."""
