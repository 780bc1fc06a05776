"""Stored outputs, made again

The notebooks are run again and again, with other numbers of threads, and each cell's output is
compared with the stored one, as `make test` does it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree  # nosec B405
from pathlib import Path

from ncf_utils.course import comparable

ROOT = Path(__file__).resolve().parent.parent
THREADS = "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"
COMMAND = (
    *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q"),
    *("--nbval-cell-timeout", "600", "-p", "no:cacheprovider", "--dist", "loadfile"),
)


def measure(rounds=10, threads="1,2,4", notebook="", jobs=2):
    """Run the lessons again, round by round.

    Args:
        rounds: how often each lesson is run.
        threads: numbers of threads that a library may take, one round after another.
        notebook: texts, one of which is in the name of a lesson to run, with commas between them;
            all lessons where empty. The figures of the others stay as they are, also those of
            lessons whose outputs another processor has stored (`SUMS_BY_PROCESSOR`).
        jobs: lessons at a time.
    """
    from .__main__ import stored

    every = sorted((ROOT / "notebooks").glob("*.ipynb"))
    lessons = [path for path in every if any(text in path.stem for text in notebook.split(","))]
    lessons = [path for path in lessons if comparable(path)]
    if not lessons:
        raise ValueError(f"notebook: {notebook!r} names no lesson that can be compared here")
    figures, told = stored("outputs", [f"`{path.stem}`" for path in every if path not in lessons])
    numbers = threads.split(",")
    for each in range(rounds):
        number = numbers[each % len(numbers)]
        for name, cells in compared(lessons, ROOT, dict.fromkeys(THREADS, number), jobs).items():
            row = figures.setdefault(f"`{name}`", {"tried": 0, "read right": 0, "lost": 0})
            row["tried"] += len(cells)
            row["read right"] += sum(cells.values())
            row["lost"] = row["tried"] - row["read right"]
            told += [
                f"- `{name}`, code cell {cell}, {number} threads"
                for cell, came_again in cells.items()
                if not came_again
            ]
    text = (
        f"Each lesson was run {rounds} times, with {threads.replace(',', ', ')} threads in turn "
        "for OpenMP and TensorFlow. *Tried* are code cells, *read right* those whose outputs were "
        "the stored ones, to the last digit; a picture is drawn again and not compared."
    )
    figures = dict(sorted(figures.items()))
    return figures, text + ("\n\nOther than stored:\n\n" + "\n".join(told) if told else "")


def compared(notebooks, checkout, environment=None, jobs=0):
    """Run notebooks and compare their outputs with the stored ones, as nbval does it.

    Args:
        notebooks: their paths; relative ones start at the checkout.
        checkout: folder whose package and settings of pytest count.
        environment: variables for the kernels, besides those of this process.
        jobs: notebooks at a time; 0 runs them one after another.

    Returns:
        name of a notebook -> {number of a code cell, from 0: whether its outputs came again}.

    Raises:
        RuntimeError: pytest did not come to the cells.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [*COMMAND, "-n", str(jobs), f"--junitxml={report}", *map(str, notebooks)],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), **(environment or {})},
            capture_output=True,
            text=True,
        )
        cells = {Path(path).stem: {} for path in notebooks}
        if report.exists():
            for where, name, outcome in outcomes(report):
                notebook = where.removesuffix(".ipynb").split(".")[-1]
                cells[notebook][int(name.split()[-1])] = outcome == "passed"
    if empty := [name for name, found in cells.items() if not found]:
        last = (done.stdout + done.stderr).strip()[-300:]
        raise RuntimeError(f"pytest ran no cell of {', '.join(empty)}: {last}")
    return cells


def outcomes(report):
    """What pytest reported: where a test is, its name, and "passed", "skipped" or "failed"."""
    kinds = {"skipped": "skipped", "failure": "failed", "error": "failed"}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):  # nosec B314
        outcome = next((kinds[child.tag] for child in case if child.tag in kinds), "passed")
        yield case.get("classname"), case.get("name"), outcome
