"""`python -m benchmarks [CASES] [--quick] [--out FOLDER]`: measure, and write the page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path

from ncf_utils.kernels import ENVIRONMENT
from ncf_utils.parameters import nearest
from ncf_utils.results import write_whole

HERE = Path(__file__).parent
QUICK_FOLDER = HERE.parent / "build" / "benchmarks"
CASES = (
    *("sampler", "training", "keras_training", "evaluation"),
    *("quality", "memory", "growth", "distributed", "baselines"),
)


def main(arguments=None):
    os.environ.update(ENVIRONMENT | os.environ)  # before any case loads a framework
    from .measuring import default_setting

    options = parse(arguments)
    folder = options.out or (QUICK_FOLDER if options.quick else HERE)
    folder.mkdir(parents=True, exist_ok=True)
    results = read(folder / "results.json")
    setting = default_setting(options.quick)
    try:
        for case in [] if options.page else options.cases or CASES:
            print(f"{case}, on {setting.dataset}", end=" ", flush=True)
            entry = run(case, setting)
            # Another case may have been measured meanwhile, by another process.
            measured = read(folder / "results.json") | {case: entry}
            results = {name: measured[name] for name in CASES if name in measured}
            write_whole(folder / "results.json", json.dumps(results, indent=1) + "\n")
            print(f"{entry['took']} s", flush=True)
    finally:  # the page is that of the results, also when somebody has seen enough
        publish(results, folder)
    print(f"{folder / 'README.md'} is written")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} [all]")
    parser.add_argument("--quick", action="store_true", help="on little data; numbers mean nothing")
    parser.add_argument("--page", action="store_true", help="of what is stored; measure nothing")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write")
    options = parser.parse_args(arguments)
    for case in options.cases:
        if case not in CASES:
            parser.error(f"no case {case!r}{nearest(case, CASES)}")
    return options


def read(path):
    """The stored results, case by case; none where there is no such file."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        return {case: results[case] for case in CASES if case in results}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        sys.exit(f"{path}: expected results of an earlier run ({error}); delete the file")


def publish(results, folder):
    """Write the page and its figures."""
    from . import figures, page

    write_whole(folder / "README.md", page.render(results))
    figures.draw(results, folder)


def run(case, setting):
    """Measure one case: its result, with when, where and in what company it was measured."""
    from .measuring import load_average, machine, rounded, today

    load, start = load_average(), time.perf_counter()
    result = import_module(f".{case}", __package__).measure(setting)
    return {
        "date": today(),
        "took": rounded(time.perf_counter() - start, 2),
        "load": [load, load_average()],
        "dataset": setting.dataset,
        "quick": setting.quick,
        "machine": machine(),
        "result": result,
    }


if __name__ == "__main__":
    main()
