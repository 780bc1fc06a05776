"""The command ``ncf``: runs the course, one notebook, and keeps what they measured."""

import argparse
import json
import os
import sys
from pathlib import Path

from . import __version__
from .parameters import ParameterError


def main(arguments=None):
    """Run the command line; returns the exit status.

    0; 1 if a run failed, 2 if misused, 130 if interrupted, 141 if nobody reads what it says.

    Args:
        arguments: list of strings; those of the process if None.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # what it cannot show ends nothing
    try:
        options = _parser().parse_args(arguments)
        status = options.command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads, such as `head`, has seen enough
        # What is still to be written, at the latest at the end of the process, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ParameterError, ValueError, OSError) as error:
        print(f"ncf: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"ncf: {error}; `pip install -e '.[all]'` brings everything", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ncf: interrupted", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="ncf", description=__doc__)
    parser.add_argument("--version", action="version", version=f"ncf_utils {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    course = commands.add_parser("course", help="execute the notebooks and report one table")
    course.set_defaults(command=_course)
    course.add_argument("select", nargs="*", help="names or globs, such as '08*'; all if none")
    course.add_argument("--notebooks", default="notebooks", help="folder [%(default)s]")
    course.add_argument("--build", default="build", help="executed copies go here [%(default)s]")
    course.add_argument(
        "--jobs", type=_positive, default=1, help="notebooks at a time [%(default)s]"
    )
    course.add_argument(
        "--cell-timeout", type=_positive, default=600, help="seconds a cell may take [%(default)s]"
    )
    _add_parameters(course)

    run = commands.add_parser("run", help="execute one notebook and keep what it measured")
    run.set_defaults(command=_run)
    run.add_argument("notebook")
    run.add_argument("output", help="the executed copy")
    run.add_argument("--results", required=True, help="CSV that the run's row is added to")
    _add_parameters(run)

    collect = commands.add_parser("collect", help="add files that NCF_RECORD named to a CSV")
    collect.set_defaults(command=_collect)
    collect.add_argument("records", nargs="+", help="files of one JSON object a line")
    collect.add_argument("--results", required=True, help="CSV that the rows are added to")

    sweep = commands.add_parser("sweep", help="run a notebook over a grid of parameters")
    sweep.set_defaults(command=_sweep)
    sweep.add_argument("grid", help="YAML file, see ncf_utils/grid.py")
    sweep.add_argument("--results", help="CSV that the rows go to, instead of the grid's")
    sweep.add_argument("--build", default="build", help="executed copies go here [%(default)s]")
    sweep.add_argument("--workers", type=_positive, help="runs at a time [as many as cores]")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask scheduler to use")
    sweep.add_argument("--limit", type=_positive, metavar="N", help="make N runs at most")
    sweep.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="that a run may take")
    sweep.add_argument("--memory", type=_bytes, metavar="LIMIT", help="of a run, such as 4GB")
    named = {"nargs": "+", "action": "extend"}  # given twice, both count
    sweep.add_argument("--run", **named, metavar="ID", help="only these runs of the grid")
    sweep.add_argument("--dry-run", action="store_true", help="check the grid, list what is to run")

    told = commands.add_parser("report", help="print and draw what the results hold")
    told.set_defaults(command=_report)
    told.add_argument("results", nargs="*", help="CSVs; all of data/results if none")
    told.add_argument("--by", **named, metavar="COLUMN", help="[the parameters that differ]")
    told.add_argument("--figure", metavar="PNG", help="draw HR@10 and NDCG@10 by the first COLUMN")
    told.add_argument("--build", default="build", help="where sweeps keep failures [%(default)s]")

    refresh = commands.add_parser("refresh", help="execute notebooks and store their outputs")
    refresh.set_defaults(command=_refresh)
    refresh.add_argument("select", nargs="*", help="names or globs; all if none")
    refresh.add_argument("--notebooks", default="notebooks", help="folder [%(default)s]")

    student = commands.add_parser("student", help="write the course without outputs and solutions")
    student.set_defaults(command=_student)
    student.add_argument("--notebooks", default="notebooks", help="folder [%(default)s]")
    student.add_argument("--build", default="build", help="the edition goes here [%(default)s]")

    book = commands.add_parser("book", help="build the course site from the stored outputs")
    book.set_defaults(command=_book)
    book.add_argument("--build", default="build", help="the site goes here [%(default)s]")

    slides = commands.add_parser("slides", help="write each notebook's slides, for a projector")
    slides.set_defaults(command=_slides)
    slides.add_argument("--build", default="build", help="they go here [%(default)s]")

    hosted = commands.add_parser("hosted", help="write the course for Colab, and links to it")
    hosted.set_defaults(command=_hosted)
    hosted.add_argument("--build", default="build", help="the edition goes here [%(default)s]")

    shots = commands.add_parser("screenshots", help="take the README's pictures in a browser")
    shots.set_defaults(command=_screenshots)
    shots.add_argument("--build", default="build", help="holds site and slides [%(default)s]")
    return parser


def _add_parameters(parser):
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a notebook parameter; a list is written '[64, 32]'",
    )


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return seconds


def _bytes(text):
    from dask.utils import parse_bytes

    try:
        number = parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None
    except OverflowError:
        raise argparse.ArgumentTypeError(f"expected a size such as 4GB, found {text!r}") from None
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _value(text):
    """A parameter's value: a JSON literal, or Python's spelling of one, or else text."""
    spelled = {"True": True, "False": False, "None": None}
    try:
        return spelled[text] if text in spelled else json.loads(text)
    except ValueError:
        return text


def _parameters(options):
    return {name: _value(text) for name, text in options.parameters}


def _course(options):
    from .course import find_notebooks, run_course

    notebooks = find_notebooks(options.notebooks, options.select)
    outcomes = run_course(
        notebooks, options.build, _parameters(options), options.jobs, options.cell_timeout
    )
    return int(any(outcome.error for outcome in outcomes))


def _run(options):
    from .course import run_to_results

    outcome = run_to_results(
        options.notebook, options.output, _parameters(options), options.results
    )
    print(f"{outcome.name}  {outcome.seconds:.1f} s  {outcome.error or outcome.text}")
    return int(bool(outcome.error))


def _collect(options):
    from .results import add_rows, read_records

    rows = [row for path in options.records for row in read_records(path)]
    total = add_rows(options.results, rows)
    print(f"{options.results}: {len(rows)} runs read, {total} rows")
    return 0


def _sweep(options):
    from dataclasses import replace
    from functools import partial

    from .grid import read_grid
    from .sweep import run_sweep

    grid = read_grid(options.grid)
    if options.results:
        grid = replace(grid, results=Path(options.results).resolve())
    if options.run:
        grid = grid.only(options.run)
    if options.scheduler and options.workers:
        raise ValueError("--workers starts workers, --scheduler brings its own: give one of them")
    sweep = run_sweep(
        grid,
        options.build,
        workers=options.workers,
        scheduler=options.scheduler,
        limit=options.limit,
        timeout=options.timeout,
        memory=options.memory,
        dry_run=options.dry_run,
        report=partial(print, flush=True),  # a sweep is long, and its output often goes to a file
    )
    if not options.dry_run:
        failed = f", {sweep.failed} failed (`ncf report` says why)" if sweep.failed else ""
        print(f"{grid.results}: {sweep.added} runs added{failed}")
    return int(sweep.failed > 0)


def _report(options):
    from .report import print_report

    print_report(options.results, options.by, options.figure, options.build)
    return 0


def _refresh(options):
    from .course import find_notebooks, refresh_notebook

    failed = False
    for path in find_notebooks(options.notebooks, options.select):
        outcome = refresh_notebook(Path(path))
        failed |= bool(outcome.error)
        print(f"{outcome.name}  {outcome.seconds:.1f} s  {outcome.error or outcome.text}")
    return int(failed)


def _student(options):
    from .editions import student_edition

    written = student_edition(options.notebooks, options.build)
    print(f"{len(written)} notebooks without outputs and solutions: {written[0].parent}")
    return 0


def _book(options):
    from .book import build_book

    build_book(build=options.build)
    return 0


def _slides(options):
    from .slides import build_slides

    build_slides(build=options.build)
    return 0


def _hosted(options):
    from .hosted import hosted_edition

    written = hosted_edition(build=options.build)
    print(f"{len(written)} notebooks for Colab, and links to them: {written[0].parent.parent}")
    return 0


def _screenshots(options):
    from .screenshots import take_screenshots

    take_screenshots(build=options.build)
    return 0
