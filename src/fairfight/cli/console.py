"""Where everything is printed: results on one stream, progress and errors on the other."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from rich.console import Console

# Without a terminal Rich assumes 80 columns, and a table of methods by test sets needs more.
out = Console(width=None if sys.stdout.isatty() else 180)
err = Console(stderr=True)


def print_json(content: Any) -> None:
    """Print one JSON object, plain ASCII, without a number that JSON does not know."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False))
