"""Where everything is printed: results on one stream, progress and errors on the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from fairfight.errors import FairfightError


class PlainConsole(Console):
    """A console on which text from files steers nothing: control characters are shown by their code points."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print like Rich, strings with their control characters shown."""
        super().print(*(shown(own) if isinstance(own, str) else own for own in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render like Rich: cells of tables come through here too."""
        if isinstance(renderable, str):
            renderable = shown(renderable)
        elif isinstance(renderable, Text) and (plain := shown(renderable.plain)) != renderable.plain:
            renderable = Text(plain, renderable.style, justify=renderable.justify, overflow=renderable.overflow)
        return super().render(renderable, options)


def shown(text: str) -> str:
    """Give a text with its control characters shown by their code points (`report.tables.visible`)."""
    if text.replace("\n", "").isprintable():
        return text
    # Rare, and the command line starts fast without the report.
    from fairfight.report.tables import visible

    return visible(text)


# Without a terminal Rich assumes 80 columns, and a table of methods by test sets needs more.
out = PlainConsole(width=None if sys.stdout.isatty() else 180)
err = PlainConsole(stderr=True)


def print_error(error: FairfightError) -> None:
    """Print an error of ours: its name, and what it says."""
    err.print(f"[red]fairfight: {type(error).__name__}[/]\n{escape(str(error))}", highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print one JSON object, plain ASCII, without a number that JSON does not know."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False))
