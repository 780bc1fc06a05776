"""What a notebook measured: shown in it, read back from it, and kept one tidy CSV row a run.

A notebook ends with ``record(parameters, model="GMF", test_hr=…)``. Its output holds nothing but
reproducible numbers, so that a stored output can be compared. Where the environment variable
``NCF_RECORD`` names a file, every digit, the seconds and the versions are appended to it as one
line of JSON; ``ncf run`` and ``ncf collect`` make rows of such lines.
"""

import csv
import errno
import io
import json
import math
import os
import platform
import reprlib
import sys
from pathlib import Path

from . import __version__
from .errors import DataError
from .files import whole
from .parameters import KINDS

MIME = "application/vnd.ncf.result+json"

#: Two runs that agree in all of these are the same run, and share a row; `add_rows` takes more.
#: Those of `MADE_BY` count where both rows have them.
KEY = ("dataset", "framework", "model", *(name for name in KINDS if name != "dataset"))
MADE_BY = ("notebook", "run")
MEASURED = (
    "picked_epoch",
    "validation_hr",
    "validation_ndcg",
    "test_hr",
    "test_ndcg",
    "refit_hr",
    "refit_ndcg",
    "best_test_hr",
)
PROVENANCE = ("seconds", "cpus", "python", "ncf_utils", "numpy", "torch", "tensorflow", "keras")

#: The columns of every results file, in this order; those of other names follow when they are used.
COLUMNS = (
    *("dataset", "framework", "model", "num_factors", "hidden_layers", "embedding_dim"),
    *("num_negatives", "batch_size", "learning_rate", "optimizer", "loss", "epochs", "seed"),
    *("pretrain", "refit", *MEASURED, *PROVENANCE),
)


class RowError(DataError):
    """A row that no results CSV can hold: its message names the file and the column."""


def record(parameters=None, /, *, seconds=None, **values):
    """Show what a notebook measured, and append it to the file that ``NCF_RECORD`` names.

    Args:
        parameters: dict of the parameters that the run started from, as `check_parameters`
            returns it.
        seconds: time spent in training; kept in the file, not shown.
        **values: names -> numbers, strings, booleans or None. The columns of the results are
            ``framework``, ``model`` and those of `MEASURED`; any other name makes its own column.

    Raises:
        ValueError: a value is no plain value, or is no finite number.
        OSError: the file cannot be written, or the disk is full.

    >>> record({"num_factors": 8}, model="GMF", test_hr=0.51234, test_ndcg=0.28765, pairs=98662)
    HR@10 0.512, NDCG@10 0.288, pairs 98,662
    """
    row = {name: _plain(name, value) for name, value in ((parameters or {}) | values).items()}
    text = _sentence({name: row[name] for name in values})
    rounded = {name: _rounded(value) for name, value in row.items()}
    if path := os.environ.get("NCF_RECORD"):
        told = {"seconds": _plain("seconds", seconds), "parameters": list(parameters or {})}
        # One write to a file opened for appending: runs that share a file do not mix lines. A run
        # that is killed while it writes leaves half a line; the next one begins on its own.
        line = ("\n" + json.dumps(row | told | _versions(), allow_nan=False) + "\n").encode()
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if os.write(file, line) < len(line):  # a disk that fills up takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        finally:
            os.close(file)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        from IPython.display import display

        display({MIME: rounded, "text/plain": text}, raw=True)
    else:
        print(text)


def measured(evaluations):
    """The columns of a row of results in which the evaluations of one run are kept.

    Args:
        evaluations: name -> `Evaluation`, as `evaluate` returns it. The names are ``"validation"``,
            ``"test"`` and ``"refit"``, and for full ranking those with ``"_full"`` at their end.

    Returns:
        dict, with NAME for each name: HR@10 and NDCG@10 as NAME_hr and NAME_ndcg, floats, but not
        for full ranking; NAME_hr_low and NAME_hr_high, the bootstrap interval of HR@10 over users
        (95 per cent), for the test items; NAME_hr_by_k and NAME_ndcg_by_k, lists with four digits
        for lists of the lengths 1 to 10.

    Raises:
        ValueError: an evaluation's name does not say whether it is one of full ranking.
    """
    from .metrics import bootstrap_interval, hit_ratio, ndcg

    means, intervals, lists = {}, {}, {}
    for name, found in evaluations.items():
        if found.full != name.endswith("_full"):
            raise ValueError(f"evaluations: {name!r} must end in _full if, and only if, it is full")
        if not found.full:
            means |= {f"{name}_hr": hit_ratio(found.ranks), f"{name}_ndcg": ndcg(found.ranks)}
            if name != "validation":
                low, high = bootstrap_interval(hit_ratio(found.ranks, reduce=False))
                intervals |= {f"{name}_hr_low": low, f"{name}_hr_high": high}
        for measure, mean in (("hr", hit_ratio), ("ndcg", ndcg)):
            by_k = [round(mean(found.ranks, k), 4) for k in range(1, 11)]
            lists[f"{name}_{measure}_by_k"] = by_k
    return means | intervals | lists


def _plain(name, value):
    """`value` as JSON holds it; the scalars of numpy and torch become Python's."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(f"record: {name} = {value!r} is neither a finite number nor plain text")


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    # A penalty of 1e-06 is not none.
    return round(value, 4) if abs(value) >= 1e-3 else float(f"{value:.3g}")


LABELS = {
    "picked_epoch": "epoch",
    "validation_hr": "validation HR@10",
    "validation_ndcg": "validation NDCG@10",
    "test_hr": "HR@10",
    "test_ndcg": "NDCG@10",
    "refit_hr": "refit HR@10",
    "refit_ndcg": "refit NDCG@10",
    "best_test_hr": "best test HR@10",
    "best_test_ndcg": "best test NDCG@10",
}


def _sentence(values):
    """The numbers among `values`, as the course's table shows them."""
    parts = []
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            shown = f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
            parts.append(f"{LABELS.get(name, name.replace('_', ' '))} {shown}")
    return ", ".join(parts) or "nothing measured"


def _versions():
    loaded = {name: sys.modules.get(name) for name in ("numpy", "torch", "tensorflow", "keras")}
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "ncf_utils": __version__,
        **{name: str(module.__version__) for name, module in loaded.items() if module},
    }


def recorded(notebook):
    """What an executed notebook measured.

    Args:
        notebook: the notebook, as nbformat reads it.

    Returns:
        (values, text) of its last `record`; ({}, "") where it has none.
    """
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    bundles = [output.data for output in outputs if MIME in output.get("data", {})]
    return (dict(bundles[-1][MIME]), bundles[-1]["text/plain"]) if bundles else ({}, "")


def read_records(path):
    """The rows in a file that `record` wrote.

    Raises:
        ValueError: a line is not a JSON object, or its ``"parameters"`` are no list of names; the
            message names file and line.
    """
    rows = []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            row = json.loads(line.decode())
            json.dumps(row, allow_nan=False)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ValueError(
                f"{path}, line {number}: expected a JSON object; half of one is left by a run that "
                "was killed while it wrote it, and can be deleted"
            )
        names = row.get("parameters", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{path}, line {number}: expected a list of names as parameters, "
                f"found {reprlib.repr(names)}"
            )
        rows.append(row)
    return rows


def add_rows(path, rows, parameters=()):
    """Add runs to a results CSV; a run that is already there is replaced.

    The file is read, and replaced in one step, under a lock, so that any number of processes can
    add to it, each can be killed at any moment, and a reader never finds half a file. The columns
    are those of `COLUMNS`, in that order, then any others.

    Args:
        path: the CSV; made where there is none.
        rows: dicts of column -> value, as `read_records` returns them. What a row lists as its
            ``"parameters"`` tells runs apart, too, and is no column. So do ``"notebook"`` and
            ``"run"``, but not from a row that lacks them.
        parameters: names of more columns that tell runs apart, beside those of `KEY`.

    Returns:
        int, the number of rows that the file now holds.

    Raises:
        RowError: a row holds what cannot be read back from a CSV; nothing is written.
        DataError: the file is not one of results, see `read_rows`.
    """
    from filelock import FileLock

    own = [name for row in rows for name in row.get("parameters", ())]
    names = dict.fromkeys([*KEY, *parameters, *own])
    added = [_cells(row, path) for row in rows]
    file = Path(path).resolve()  # a link stays one, and all who write to the file share a lock
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(file.name + ".lock")):
        kept = read_rows(path) if file.exists() else []
        places = {}
        for at, row in enumerate(kept):
            places.setdefault(row_key(row, names), []).append(at)
        for row in added:
            alike = places.setdefault(row_key(row, names), [])
            at = _place(row, kept, alike)
            if at is None:
                alike.append(len(kept))
                kept.append(row)
            else:
                kept[at] = row
        columns = list(dict.fromkeys([*COLUMNS, *(name for row in kept for name in row)]))
        _replace_csv(file, columns, kept)
    return len(kept)


def _place(row, kept, alike):
    """Which of the rows `kept`, those at `alike`, is of the same run as `row`; None if none is."""

    def differ(name, at):
        return row.get(name) and kept[at].get(name) and row[name] != kept[at][name]

    fitting = [at for at in alike if not any(differ(name, at) for name in MADE_BY)]
    # One with the same id goes before one without.
    return max(
        fitting, key=lambda at: (kept[at].get("run", "") == row.get("run", ""), at), default=None
    )


def read_rows(path):
    """The rows of a results CSV, as dicts of column -> text.

    Raises:
        DataError: it is no CSV file, a column stands there twice, a row has too few or too many
            fields, or it has none of the columns of results; the message names file and line.
    """
    from .readers import csv_rows

    rows = ((number, row) for number, row in csv_rows(Path(path).read_bytes(), path) if row)
    first, header = next(rows, (1, []))
    if len(set(header)) < len(header):
        raise DataError(f"{path}, line 1: expected names that differ, found {','.join(header)}")
    found = []
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {number}: expected {len(header)} fields, found {len(row)}"
            )
        found.append(dict(zip(header, row, strict=True)))
    if header and not set(COLUMNS) & set(header):  # it is another file, not to be written over
        raise DataError(
            f"{path}, line {first}: expected columns of results, such as dataset and seed, "
            f"found {reprlib.repr(','.join(header))}"
        )
    return found


def row_key(row, names):
    """What tells a run from others: its cells in the columns `names`, as the CSV has them.

    Args:
        row: dict of column -> value, from a CSV or not yet in one.

    >>> row_key({"seed": 0, "learning_rate": 0.001}, ["seed", "dropout"])
    ('0', '')
    """
    return tuple(_cell(row.get(name)) for name in names)


def _cell(value):
    """A value as CSV text that reads back as the same number, list or truth value."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _cells(row, path):
    """A row as CSV text, column -> cell; a RowError names the column that does not read back."""
    from .readers import csv_rows

    cells = {name: _cell(value) for name, value in row.items() if name != "parameters"}
    for name, text in cells.items():
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerow([name, text])
        try:
            same = [row for _, row in csv_rows(written.getvalue().encode(), path)] == [[name, text]]
        except ValueError:
            same = False
        if not same:
            raise RowError(
                f"{path}, column {reprlib.repr(name)} of a new row: expected text without "
                f"carriage returns, of {csv.field_size_limit():,} characters at most, found "
                f"{len(text):,} characters: {reprlib.repr(text)}"
            )
    return cells


def write_whole(path, text):
    """Write a text file so that it is there whole or not at all, in a folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _replace_csv(path, columns, rows):
    # Who writes holds the lock, so a name of its own is not needed; and what a process that was
    # killed left behind is written over.
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
