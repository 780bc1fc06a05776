"""Hostile notebook parameters

Each notebook's parameters are overwritten as papermill does it, and its cells run in IPython, up to
the one that loads the data: there a bad value must have ended in one line.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import math
import multiprocessing
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .elsewhere import elsewhere

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300  # seconds for the top of a notebook
FOLDERS = ("notebooks", "notebooks/experiments")
WHOLE = (-1, 0, 10**9, "four", 2.5, None, math.nan, [4], True, "3")
REAL = (math.nan, math.inf, -1, 10**9, "0.01", None, [0.1], True)
LISTS = ([], [0], "32", 32, [2.5], [-8], [10**9], ["a"], None, [8] * 17, [[8]], {"a": 1})
SWITCH = (1, "False", None, [])
NAMES = ("", "sesame", None, 7, ["GMF"], True)
DATA = (
    "ml-latest-smal",
    "",
    " ",
    None,
    7,
    ["ml-1m"],
    "no/such/place",
    "pinterest-21",
    "..",
    "x" * 300,
)
# Where the default is None the name says little: a bit of everything.
OPEN = (-1, "sesame", math.nan, [], True)
UNKNOWN = {"negatives_num": 4, "sed": 1, "lerning_rate": 0.1, "x": 1}
# What is odd and allowed: with these a notebook has to run to its end, or refuse them at the top.
ODD = {
    "alpha": 1.0,
    "als_factors": 1,
    "batch_size": 1_000_000,
    "dropout": 0.99,
    "embedding_dim": 1,
    "epochs": 1,
    "gmf_epochs": 1,
    "gmf_factors": 1,
    "hidden_layers": [3],
    "history_length": 1,
    "mf_epochs": 1,
    "ncf_epochs": 1,
    "negatives_to_try": [3],
    "num_candidates": 1,
    "num_clusters": 2,
    "num_factors": 1,
    "num_negatives": 1,
    "num_seeds": 1,
    "predictive_factors": 1,
    "pretrain_epochs": 1,
    "probe_epochs": 1,
    "steps": 1,
    "tolerance": 0,
    "vector_dim": 1,
}
# What has to go with them: a baseline refuses a setting that its method lacks, and MF has most.
WITH = {"run_baseline": {"model": "MF"}}


@dataclass(frozen=True)
class Trial:
    """One notebook with one parameter, and what came of it.

    Attributes:
        notebook: path below the checkout.
        name: the parameter.
        value: what was given.
        shown: the lines that IPython shows of an error at the top; () where there is none.
    """

    notebook: str
    name: str
    value: object
    shown: tuple[str, ...]

    @property
    def fault(self):
        """Why what is shown is not one line that names the value and what is allowed, or ""."""
        if len(self.shown) != 1 or "\n" in self.shown[0]:
            return f"{len(self.shown)} lines in place of one"
        (line,) = self.shown
        kind, _, message = line.partition(": ")
        if not message:
            return line
        if kind == "ParameterError" and not re.search(rf"\b{re.escape(self.name)}\b", message):
            return "does not name the parameter"
        if kind not in ("ParameterError", "DataError"):
            return f"a {kind}"
        if message.startswith("unknown parameter"):
            return ""
        shown = repr(self.value)[:12].rstrip("'"), str(self.value)[:12]
        if not any(text in message for text in shown):
            return "does not show the value"
        allowed = "expected", "did you mean", "must name a folder"
        return "" if any(word in message for word in allowed) else "does not say what is allowed"


def measure(notebook="", whole=1):
    """Try all hostile values at the top of each notebook, and odd ones to its end.

    Args:
        notebook: text in the names of the notebooks to try; all where empty. The figures of the
            others stay as they are.
        whole: 0 leaves out the runs of whole notebooks.
    """
    from ncf_utils.parameters import ParameterError

    from .__main__ import stored

    chosen = [path for path in notebooks() if notebook in path]
    if not chosen:
        raise ParameterError(f"notebook: expected text in the name of one, found {notebook!r}")
    others = [f"`{Path(path).stem}`" for path in notebooks() if path not in chosen]
    figures, told = stored("parameters", others)
    for path in chosen:
        trials = tried(path, (odd(path) if whole else []) + hostile(path))
        refused = [trial for trial in trials if trial.shown]
        faults = [f"{t.name} = {t.value!r:.40}: {t.fault}" for t in refused if t.fault]
        row = {"tried": len(trials), "refused": len(refused)}
        if whole:
            # What was let through last stands for a parameter: the largest seed, an empty list.
            allowed = {trial.name: trial.value for trial in trials if not trial.shown}
            row["allowed, run to the end"] = len(allowed)
            given = WITH.get(Path(path).stem, {}) | allowed
            if error := ran(path, given):
                faults.append(f"{given}: {error}")
        figures[f"`{Path(path).stem}`"] = row | {
            "caught": max(0, row["tried"] - len(faults)),
            "lost": len(faults),
        }
        told += [f"- `{Path(path).stem}`: {fault}" for fault in faults]
    text = (
        "Each parameter of the notebooks that stand there is overwritten as papermill does it, by "
        "numbers below and above what is allowed, by text, lists, None, not-a-number, data sets "
        "that do not exist, and by names that the notebook lacks. Caught is a value that ends, in "
        "the cell that checks or the one that loads the data, in one line that names the parameter "
        "or the file, the value and what is allowed."
    )
    if whole:
        text += (
            " Odd values that are allowed, such as one factor, one epoch or the largest seed, are "
            "given together, and the notebook has to run to its end."
        )
    figures = dict(sorted(figures.items()))
    return figures, text + ("\n\nLost:\n\n" + "\n".join(told) if told else "")


def ran(notebook, parameters):
    """Run a whole notebook with papermill; the error in a line, or ""."""
    from ncf_utils.course import run_notebook

    with tempfile.TemporaryDirectory() as folder:
        return run_notebook(ROOT / notebook, Path(folder) / "ran.ipynb", parameters, 600).error


def notebooks(root=ROOT):
    """The notebooks that have parameters, as paths below the checkout."""
    return [str(p.relative_to(root)) for f in FOLDERS for p in sorted((root / f).glob("*.ipynb"))]


def defaults(notebook, root=ROOT):
    """Parameter -> its value in the notebook."""
    for cell in code_cells(notebook, root):
        if "parameters" in cell["metadata"].get("tags", ()):
            body = ast.parse("".join(cell["source"])).body
            return {each.targets[0].id: ast.literal_eval(each.value) for each in body}
    raise ValueError(f"{notebook}: expected a cell tagged parameters, found none")


def code_cells(notebook, root=ROOT):
    cells = json.loads((root / notebook).read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def hostile(notebook, root=ROOT):
    """(name, value) of each hostile parameter of a notebook: 20 at least."""
    given = defaults(notebook, root)
    cases = [(name, value) for name, default in given.items() for value in _hostile(name, default)]
    return cases + [(name, value) for name, value in UNKNOWN.items() if name not in given]


def odd(notebook, root=ROOT):
    """(name, value) of each odd parameter of a notebook."""
    given = defaults(notebook, root)
    return [(name, value) for name, value in ODD.items() if name in given]


def _hostile(name, default):
    if name == "dataset":
        return DATA
    kinds = {bool: SWITCH, int: WHOLE, float: REAL, list: LISTS, str: NAMES, type(None): OPEN}
    return kinds[type(default)]


def top(notebook, root=ROOT):
    """Sources of the cells up to the one that loads the data, and where the parameters stand."""
    cells = code_cells(notebook, root)
    sources = ["".join(cell["source"]) for cell in cells]
    (at,) = (i for i, c in enumerate(cells) if "parameters" in c["metadata"].get("tags", ()))
    last = next(i for i, source in enumerate(sources) if i > at and "load_dataset(" in source)
    return sources[: last + 1], at


def tried(notebook, cases, root=ROOT):
    """Run the top of a notebook once for each of `cases`.

    The cells before the parameters run once, in a process of their own; each case goes on from
    there in a copy of that process.

    Returns:
        list of Trial.
    """
    shown = elsewhere(_shown, notebook, cases, root)
    return [
        Trial(notebook, name, value, lines)
        for (name, value), lines in zip(cases, shown, strict=True)
    ]


def _shown(notebook, cases, root):
    """What IPython shows of an error in each case: a list of tuples of lines."""
    from IPython.core.interactiveshell import InteractiveShell
    from papermill.translators import PythonTranslator
    from traitlets.config import Config

    sources, at = top(notebook, root)
    os.chdir((root / notebook).parent)
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(io.StringIO()):
        os.environ["IPYTHONDIR"] = home
        # A history would have a thread of its own, and a copy of this process would lack it.
        config = Config({"HistoryManager": {"enabled": False}})
        shell, errors = InteractiveShell.instance(config=config), []
        shell._showtraceback = lambda kind, error, lines: errors.extend(lines)
        _run(shell, sources[: at + 1], errors)
        if errors:
            raise RuntimeError(f"{notebook}: {errors[-1]}")
        injected = [PythonTranslator.codify({name: value}) for name, value in cases]
        rest = sources[at + 1 :]
        return [_in_a_copy(_run, shell, [source, *rest], errors) for source in injected]


def _run(shell, sources, errors):
    """Run cells up to the first error; the lines that IPython shows of it."""
    for source in sources:
        shell.run_cell(source, store_history=True)
        if errors:
            break
    return tuple(errors)


def _in_a_copy(function, *arguments):
    """What a function returns in a copy of this process, or a line on why it returned nothing."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=lambda: send.send(function(*arguments)))
    child.start()
    send.close()
    try:
        if receive.poll(LIMIT):
            return receive.recv()
        return (f"no answer in {LIMIT} s",)
    except EOFError:
        child.join()
        return (f"the process ended with status {child.exitcode}",)
    finally:
        child.kill()
        child.join()
        receive.close()
