"""The commands: what each reads, runs and writes."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from fairfight import __version__, registry
from fairfight.cli.bars import Bars
from fairfight.cli.console import err, out, print_error, print_json
from fairfight.cli.judging import judge, judged, roster_of, sheet_of, standings_of, verdicts_json
from fairfight.cli.reproducing import reproduce
from fairfight.cli.shown import (
    show_plugins,
    show_quality,
    show_registered,
    show_run,
    show_sheet,
    show_shipped,
    show_trained,
)
from fairfight.errors import FairfightError, InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairfight.dictionaries.formats import Given
    from fairfight.report.standings import Standing
    from fairfight.verdict.answer import Verdict
    from fairfight.verdict.roster import Roster

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Does your sparse autoencoder beat the baseline? A fair fight on downstream tasks.",
)
_STOPPED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        out.print(f"fairfight {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Play the quick study: real weights, real activations, a few minutes on two cores."""
    _run(_shipped_study("quick"), as_json=as_json, retries_failed=False, workers=None)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study file (TOML).")],
    as_json: AsJson = False,
    retry_failed: Annotated[bool, typer.Option(help="Play trials again that failed before.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; the study's own number when left out.", min=1)] = None,
) -> None:
    """Play a study: harvest, train, tune, score, judge, report. The same command resumes an interrupted run."""
    _run(study, as_json=as_json, retries_failed=retry_failed, workers=workers)


@app.command()
def register(
    study: Annotated[Path, typer.Argument(help="A study file (TOML).")],
    as_json: AsJson = False,
) -> None:
    """Register a study before it is played: questions, settings, examples and splits, in a log that only grows."""
    from fairfight.study import read_study
    from fairfight.trials.register import register as write_down

    found = write_down(read_study(study))
    if as_json:
        said = {"log": str(found.file), "is_new": found.is_new, "is_late": found.is_late}
        print_json({**said, "registration": asdict(found.entry)})
    else:
        show_registered(found)


app.command()(judge)
app.command()(reproduce)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(help="A run's folder.")],
    as_json: AsJson = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="Print the table of all methods, test sets and seeds as Markdown.")
    ] = False,
) -> None:
    """Write a run's `report.html`, one file that needs no network; or print its scores."""
    from fairfight.report.tables import markdown_scores, scores_json

    roster = roster_of(run_folder)
    if not scores:
        verdicts = judged(roster, is_quiet=as_json)
        file = _write_report(run_folder, roster, standings_of(roster), verdicts)
        print_json({"report": str(file)}) if as_json else out.print(f"Report: {escape(str(file))}")
    elif as_json:
        print_json({"run": str(run_folder), "scores": scores_json(roster, standings_of(roster))})
    else:
        typer.echo(markdown_scores(roster, standings_of(roster)))


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="A training file (TOML).")],
    as_json: AsJson = False,
) -> None:
    """Train dictionaries: several kinds, sizes and seeds in one pass over a model's activations. Resumes where it stopped."""
    from fairfight.trials.prepare import cache_folder
    from fairfight.trials.train_all import train_all
    from fairfight.trials.training_file import read_training

    start = time.perf_counter()
    training = read_training(file)
    with Bars(training.name, is_quiet=as_json) as bars:
        made = train_all(training, cache_folder(), bars)
    seconds = round(time.perf_counter() - start, 1)
    if as_json:
        rows = [
            {"name": own.place.label, "folder": str(own.folder), "is_new": own.is_new, "card": own.card.to_json()}
            for own in made
        ]
        print_json({"dictionaries": rows, "seconds": seconds})
        return
    show_trained(made)
    out.print(f"{sum(own.is_new for own in made)} of {len(made)} trained now, {seconds:.0f} s.")
    out.print(f"Folder: {escape(str(training.folder / training.name))}", soft_wrap=True)


@app.command()
def quality(
    dictionaries: Annotated[
        list[Path],
        typer.Argument(
            help="Folders, files or hub ids with revision, of any library; several are seeds of one recipe."
        ),
    ],
    model: Annotated[str, typer.Option(help="The model: embedded name, Hugging Face id with revision, or folder.")],
    texts: Annotated[Path, typer.Option(help="Texts to measure on: .jsonl with a 'text' a line, or .txt.")],
    site: Annotated[str, typer.Option(help="Where; the site that the files name when left out.")] = "",
    given: Annotated[
        list[str] | None,
        typer.Option(
            help="What a dictionary's files leave open, NAME=VALUE: model, site, architecture, input_scale, is_centred."
        ),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where page and record go; a folder under runs/ when left out.")
    ] = None,
    dense: Annotated[
        float, typer.Option(help="A latent that fires on a larger share of tokens is dense.", min=0.0, max=1.0)
    ] = 0.1,
    max_tokens: Annotated[int, typer.Option(help="Longer texts are cut there.", min=2)] = 128,
    as_json: AsJson = False,
) -> None:
    """Measure how good a dictionary is: reconstruction, firing, atoms, stability across seeds, the model's loss."""
    from fairfight.dictionaries.quality.assess import assess
    from fairfight.dictionaries.quality.record import Settings
    from fairfight.trials.prepare import cache_folder

    start = time.perf_counter()
    settings = Settings(dense_share=dense, max_tokens=max_tokens)
    with Bars("quality", is_quiet=as_json) as bars:
        measured = assess(
            dictionaries,
            model=model,
            texts=texts,
            site=site,
            cache=cache_folder(),
            watcher=bars,
            settings=settings,
            given=_given(given or ()),
        )
    folder = out_folder or Path("runs") / f"quality-{dictionaries[0].resolve().name}-{measured['key'][:8]}"
    page, file = _write_quality(folder, measured)
    if as_json:
        print_json({"page": str(page), "file": str(file), "quality": measured})
    else:
        show_quality(measured)
        out.print(f"Measured in {time.perf_counter() - start:.0f} s.")
        out.print(f"Page:   {escape(str(page))}\nRecord: {escape(str(file))}", soft_wrap=True)


@app.command(name="list")
def list_(
    shelf: Annotated[
        str, typer.Argument(help="tasks, methods, kinds, formats or dictionaries; the first four when left out.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the plug-ins (tasks, methods, dictionary kinds and formats, whoever brought them), or the shipped dictionaries."""
    if shelf == "dictionaries":
        from fairfight.dictionaries.shipped import shipped

        found = shipped()
        if as_json:
            rows = [{"name": s.name, "latents": s.latents, "cards": [c.to_json() for c in s.cards]} for s in found]
            print_json({"dictionaries": rows})
        else:
            show_shipped(found)
        return
    known = (*registry.SHELVES, "dictionaries")
    if shelf and shelf not in known:
        raise InputError(f"There is no shelf '{shelf}'; there are {', '.join(known)}.{nearest(shelf, known)}")
    rows = [
        _described(name, place)
        for name in registry.SHELVES
        if not shelf or name == shelf
        for place in registry.places(name).values()
    ]
    if as_json:
        print_json({"plugins": rows})
        return
    show_plugins(rows)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: versions, linear algebra that can be trusted, the embedded model."""
    from fairfight.doctor import diagnose

    findings = diagnose()
    if as_json:
        print_json({"version": __version__, "findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            out.print(
                f"{'[green]ok[/]  ' if finding.is_fine else '[red]look[/]'} {escape(finding.what)}: {escape(finding.found)}"
            )
    if not all(finding.is_fine for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors of ours become one message and an exit code."""
    # Before torch is loaded: threads that spin while they wait take the cores from those that work, and beside another
    # job on the machine a training step then takes four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        # Outside its standalone mode typer gives the code of an Exit back; Ctrl-C is one, with 130.
        code = app(standalone_mode=False)
    except FairfightError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        # Any path that is given may be longer than any file system takes, wherever it is first looked at.
        if error.errno != errno.ENAMETOOLONG:
            raise
        print_error(InputError(f"{error.filename} cannot be a path ({error.strerror}). Give a shorter one."))
        sys.exit(InputError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()  # pyright: ignore[reportAttributeAccessIssue]
            sys.exit(error.exit_code)  # pyright: ignore[reportAttributeAccessIssue]
        raise
    if code == _STOPPED:
        err.print("Stopped. What was finished is kept; the same command goes on from there.")
        code = 1
    sys.exit(code or 0)


def _run(file: Path, *, as_json: bool, retries_failed: bool, workers: int | None) -> None:
    from fairfight.study import read_study
    from fairfight.trials.run import run as play

    start = time.perf_counter()
    study = read_study(file)
    if workers is not None:
        study = study.model_copy(update={"trials": study.trials.model_copy(update={"workers": workers})})
    with Bars(f"{study.name} ({study.trials.workers} processes)", is_quiet=as_json) as bars:
        finished = play(study, bars, retries_failed=retries_failed)
    folder = finished.ledger.folder
    roster = roster_of(folder)
    verdicts = judged(roster, is_quiet=as_json)
    found = standings_of(roster)
    page = _write_report(folder, roster, found, verdicts)
    seconds = round(time.perf_counter() - start, 1)
    if as_json:
        print_json(
            {
                "run": str(folder),
                "report": str(page),
                "played": finished.played,
                "failed": finished.failed,
                "truncated": max(roster.run["truncated"].values(), default=0),
                "seconds": seconds,
                **verdicts_json(folder, roster, verdicts),
            }
        )
    else:
        show_run(roster, found, verdicts)
        show_sheet(sheet_of(folder, roster, verdicts))
        out.print(f"{finished.played} trials played now, {finished.failed} failed, {seconds:.0f} s.")
        out.print(f"Run:    {escape(str(folder))}\nReport: {escape(str(page))}", soft_wrap=True)
    if finished.failed:
        raise typer.Exit(1)


def _given(pairs: Sequence[str]) -> Given:
    from pydantic import TypeAdapter

    from fairfight.dictionaries.formats import Given

    known = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    try:
        if all(known.values()):
            return TypeAdapter(Given).validate_python(known)
    except ValueError:
        pass
    unknown = next((name for name in known if name not in Given._fields), "")
    raise InputError(
        f"--given {' --given '.join(pairs)} cannot be; expected NAME=VALUE, where NAME is one of "
        f"{', '.join(Given._fields)}, such as model=gpt2 or is_centred=true.{nearest(unknown, Given._fields)}"
    )


def _write_report(run_folder: Path, roster: Roster, found: list[Standing], verdicts: list[Verdict]) -> Path:
    from fairfight.ledger import write_atomically
    from fairfight.report.page import render

    file = run_folder / "report.html"
    write_atomically(file, render(roster, found, verdicts, sheet_of(run_folder, roster, verdicts)).encode())
    return file


def _write_quality(folder: Path, measured: dict[str, Any]) -> tuple[Path, Path]:
    from fairfight.ledger import write_atomically
    from fairfight.report.quality import render_quality

    page, file = folder / "quality.html", folder / "quality.json"
    write_atomically(page, render_quality(measured).encode())
    write_atomically(file, (json.dumps(measured, ensure_ascii=True, allow_nan=False) + "\n").encode())
    return page, file


def _described(shelf: str, place: registry.Place) -> dict[str, str]:
    plugin = registry.load(shelf, place.name)  # pyright: ignore[reportArgumentType]
    about = (plugin.__doc__ or "").strip().splitlines()
    return {
        "shelf": shelf,
        "name": place.name,
        "family": getattr(plugin, "family", getattr(plugin, "contest", "")),
        "origin": place.origin,
        "about": about[0] if about else "",
        "file": str(place.file),
    }


def _shipped_study(name: str) -> Path:
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "studies", package.parents[1] / "studies"):
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise InputError(
        f"The study '{name}' was not installed with fairfight. Take studies/{name}.toml from its repository."
    )
