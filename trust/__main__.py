"""`python -m trust [KIND [--OPTION VALUE]]`: try what can go wrong, and write the page."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

from ncf_utils.kernels import ENVIRONMENT
from ncf_utils.parameters import ParameterError
from ncf_utils.results import write_whole

from .elsewhere import elsewhere

HERE = Path(__file__).parent
#: The modules that measure, in the order of the page.
KINDS = (
    "fuzz",
    "archives",
    "faults",
    "kills",
    "training_kills",
    "sweep_kills",
    "parameters",
    "outputs",
    "mutation",
    "notebooks",
    "versions",
)


def main(arguments=None):
    """Run the command line; returns the exit status: 1 where anything was lost."""
    os.environ.update(ENVIRONMENT | os.environ)  # before a kind loads a framework
    options = vars(_parser().parse_args(arguments))
    kind, folder, page_only = (options.pop(name) for name in ("kind", "out", "page"))
    folder.mkdir(parents=True, exist_ok=True)
    now = {}
    for name in [] if page_only else [kind] if kind else KINDS:
        print(name, end=" ", flush=True)
        try:
            now[name] = run(name, options)
        except ParameterError as error:  # an option means nothing
            sys.exit(f"\n{error}")
        # Another kind may have been measured meanwhile, by another process.
        results = read(folder / "results.json") | {name: now[name]}
        order = dict.fromkeys([*KINDS, *results])
        results = {each: results[each] for each in order if each in results}
        write_whole(folder / "results.json", json.dumps(results, indent=1) + "\n")
        print(" ".join(f"{column} {total:,}" for column, total in totals(now[name]).items()))
    from .page import render

    write_whole(folder / "README.md", render(read(folder / "results.json")))
    print(f"{folder / 'README.md'} is written")
    return int(any(totals(entry).get("lost") for entry in now.values()))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m trust", description=__doc__)
    parser.add_argument("--page", action="store_true", help="of what is stored; try nothing")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to [%(default)s]")
    parser.set_defaults(kind=None)
    kinds = parser.add_subparsers(metavar="KIND", help=f"of {', '.join(map(_spelled, KINDS))}")
    for name in KINDS:
        module = import_module(f".{name}", __package__)
        child = kinds.add_parser(_spelled(name), help=title(module))
        child.set_defaults(kind=name)
        for option, default in _options(module).items():
            child.add_argument(
                f"--{_spelled(option)}", type=type(default), default=default, help="[%(default)s]"
            )
    return parser


def _spelled(name):
    return name.replace("_", "-")


def _options(module):
    """The arguments of a module's `measure`, with their defaults."""
    return {
        name: argument.default
        for name, argument in inspect.signature(module.measure).parameters.items()
    }


def title(module):
    """The first paragraph of a module's docstring, in one line."""
    return " ".join(module.__doc__.split("\n\n")[0].split()).rstrip(".")


def read(path):
    """The stored results, kind by kind; none where there is no such file."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        sys.exit(f"{path}: expected results of an earlier run ({error}); delete the file")


def stored(kind, names):
    """What is stored of a kind under these names: figures, and the lines of the text on them."""
    entry = read(HERE / "results.json").get(kind, {"figures": {}, "text": ""})
    figures = {name: row for name, row in entry["figures"].items() if name in names}
    about = tuple(f"- {name}" for name in figures)
    return figures, [line for line in entry["text"].splitlines() if line.startswith(about)]


def run(kind, options):
    """Measure one kind: its figures and text, with when and with what options they were made."""
    from benchmarks.measuring import machine, rounded, today

    module, start = import_module(f".{kind}", __package__), time.perf_counter()
    given = _options(module) | options
    figures, text = elsewhere(partial(module.measure, **given))
    return {
        "date": today(),
        "took": rounded(time.perf_counter() - start, 2),
        "options": given,
        "title": title(module),
        "figures": figures,
        "text": text,
        "machine": machine(),
    }


def totals(entry):
    """Column -> sum over the rows, of the columns that every kind shares."""
    shared = ("tried", "read right", "caught", "lost")
    rows = entry["figures"].values()
    return {
        column: sum(row.get(column, 0) for row in rows)
        for column in shared
        if any(column in row for row in rows)
    }


if __name__ == "__main__":
    sys.exit(main())
