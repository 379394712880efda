"""Engines: where trials run. An engine maps a function over specs and gives outcomes back as they finish."""
