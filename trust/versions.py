"""The oldest and the newest versions that are allowed

A resolver picks them from the bounds in `pyproject.toml`, and the tests run with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ncf_utils.parameters import ParameterError

from .mutation import copied
from .outputs import outcomes

RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
LIMIT = 2 * 3600  # seconds for a step: old versions may wait for themselves
SHOWN = ("torch", "tensorflow-cpu", "tensorflow", "keras", "numpy", "pandas", "jax", "pytest")
# It says that what is installed is what constraints.txt pins, which is not so here.
LEFT_OUT = "tests/test_setup.py::test_what_is_installed_is_what_is_pinned"


def measure(which=""):
    """Run the unit tests in an environment of its own.

    Args:
        which: "oldest" or "newest"; both where empty. The other's figures stay as they are.
    """
    from .__main__ import stored

    if which and which not in RESOLUTIONS:
        raise ParameterError(f"which: expected oldest or newest, found {which!r}")
    wanted = [which] if which else list(RESOLUTIONS)
    figures, lines = stored("versions", [name for name in RESOLUTIONS if name not in wanted])
    told = {line[2:].split(":")[0]: line for line in lines}
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            figures[name], versions, failed = tried(Path(folder), RESOLUTIONS[name])
        picked = ", ".join(f"{each} {versions[each]}" for each in SHOWN if each in versions)
        told[name] = f"- {name}: {picked}" + "".join(f"; failed: `{each}`" for each in failed)
    text = (
        "The direct dependencies at the lower ends of their bounds, or everything at the newest, "
        "as uv resolves it for this version of Python, in a fresh virtual environment. *Tried* are "
        "tests, *read right* those that passed, *skipped* those that say why they cannot run."
    )
    return figures, "\n".join([text, "", *told.values()])


def tried(folder, resolution):
    """Resolve, install and test in `folder`.

    Returns:
        figures, versions by package, names of the tests that failed.

    Raises:
        RuntimeError: a step did not come to its end; the message is what it said last.
    """
    checkout, pins, report = copied(folder / "checkout"), folder / "pins.txt", folder / "report.xml"
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    uv = [sys.executable, "-m", "uv", "--quiet"]
    wanted = ["--resolution", resolution, "--all-extras", "--python", sys.executable]
    install = [*uv, "pip", "install", "--python", str(python)]
    _ran(["git", "init", "--quiet"], checkout)  # there are tests that ask git
    _ran([*uv, "pip", "compile", *wanted, "pyproject.toml", "--output-file", str(pins)], checkout)
    _ran([*uv, "venv", "--python", sys.executable, str(folder / "venv")], checkout)
    _ran([*install, "--requirement", str(pins)], checkout)
    _ran([*install, "--no-deps", "--editable", "."], checkout)
    test = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--deselect", LEFT_OUT]
    _ran([*test, f"--junitxml={report}"], checkout, statuses=(0, 1))
    tests = list(outcomes(report))
    number = Counter(outcome for _, _, outcome in tests)
    found = {
        "tried": number["passed"] + number["failed"],
        "read right": number["passed"],
        "skipped": number["skipped"],
        "lost": number["failed"],
    }
    failed = [name for _, name, outcome in tests if outcome == "failed"]
    lines = [line.partition(" ")[0] for line in pins.read_text(encoding="utf-8").splitlines()]
    return found, dict(line.split("==") for line in lines if "==" in line), failed


def _ran(command, folder, statuses=(0,)):
    """Run a command; its last words are an error unless it ends with one of `statuses`."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    given = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    try:
        done = subprocess.run(command, timeout=LIMIT, **given)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(command[:6])} took more than {LIMIT} s") from None
    if done.returncode not in statuses:
        last = (done.stdout + done.stderr).strip()[-500:]
        raise RuntimeError(f"{' '.join(command[:6])} ended with {done.returncode}: {last}")
