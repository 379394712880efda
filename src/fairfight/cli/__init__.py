"""The command line: the only package that prints. Exit codes: 0 fine, 1 the run failed, 2 the input is wrong."""

from fairfight.cli.commands import app, main

__all__ = ["app", "main"]
