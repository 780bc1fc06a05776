"""Exercises that check themselves: a learner's function against a slow and plain specification.

A notebook's exercise is a stub that raises `NotImplementedError`, and a call of `check`:

>>> def mrr(ranks):
...     raise NotImplementedError
>>> check("05.1", mrr)
05.1 is still open: write mrr, and run this cell again.

What is wrong is told with the smallest input on which it shows, and with a hint where the answer
is that of a known mistake:

>>> import numpy as np
>>> check("05.1", lambda ranks: np.mean(1 / (np.asarray(ranks) + 2)))
05.1: not yet. For ranks = [0] it returned 0.5; expected 1.0.
Hint: a rank counts from 0, so the place is rank + 1.

The exercises of notebook NN stand in the module ``eNN`` of this package.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..parameters import nearest
from ..results import write_whole

NOTEBOOKS = tuple(f"{number:02}" for number in range(16))


@dataclass(frozen=True)
class Exercise:
    """What a learner's function should do.

    Attributes:
        id: notebook and number, such as ``"05.1"``.
        title: as in the notebook.
        names: of the arguments, for the message.
        specification: the slow and plain function; it may raise where the learner's should.
        cases: from a seeded generator to argument tuples, from the smallest to the largest.
        mistakes: hint -> a plausible wrong answer that has earned it.
        measure: from a function and its arguments to what is compared, where more than one answer
            is right; by default what the function returns.
        tolerance: relative.
    """

    id: str
    title: str
    names: tuple[str, ...]
    specification: Callable
    cases: Callable
    mistakes: dict[str, Callable]
    measure: Callable | None = None
    tolerance: float = 1e-6


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check` found: `passed`, and the `text` that a notebook shows."""

    passed: bool
    text: str

    def __repr__(self):
        return self.text


def check(id, function) -> Verdict:
    """Try a learner's function on inputs from small to large, and say in words what came of it.

    An answer, right or wrong, is noted for `progress`; a stub is not.

    Args:
        id: of the exercise, such as ``"05.1"``.
        function: the learner's.

    Returns:
        Verdict; as the last line of a cell it shows its text.

    Raises:
        ValueError: there is no such exercise.
    """
    exercise = find(id)
    if not callable(function):
        return Verdict(False, f"{id}: give check a function, not {type(function).__name__}.")
    for arguments in exercise.cases(np.random.default_rng(0)):
        given = copy.deepcopy(arguments)
        found = _outcome(exercise, function, given)
        if found.raised is NotImplementedError:
            name = getattr(function, "__name__", "the function")
            return Verdict(False, f"{id} is still open: write {name}, and run this cell again.")
        expected = _outcome(exercise, exercise.specification, copy.deepcopy(arguments))
        if not _same(found, expected, exercise.tolerance):
            _note(id, False)
            return Verdict(False, _complaint(exercise, function, arguments, found, expected))
        if not _equal(given, arguments):
            _note(id, False)
            inputs = _inputs(exercise, arguments)
            return Verdict(False, f"{id}: not yet. It changed its argument, which was {inputs}.")
    _note(id, True)
    return Verdict(True, f"{id}: right. {exercise.title}")


def find(id) -> Exercise:
    """The exercise of that number; a ValueError with the nearest one where there is none."""
    known = {exercise.id: exercise for exercise in exercises()}
    if id not in known:
        raise ValueError(f"no exercise {id!r}{nearest(str(id), known)}")
    return known[id]


def exercises() -> list[Exercise]:
    """All exercises, in the order of the course."""
    modules = [importlib.import_module(f"{__name__}.e{number}") for number in NOTEBOOKS]
    return [exercise for module in modules for exercise in module.EXERCISES]


# --- comparing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    value: object = None
    raised: type | None = None
    message: str = ""

    def __str__(self):
        if self.raised:
            return f"it raised {self.raised.__name__}: {self.message}"
        if self.value is None:
            return "it returned nothing (is there a `return`?)"
        return f"it returned {_text(self.value)}"


def _outcome(exercise, function, arguments):
    def answer(*arguments):
        return _plain(function(*arguments))

    try:
        if exercise.measure is not None:
            return _Outcome(_plain(exercise.measure(answer, *arguments)))
        return _Outcome(answer(*arguments))
    except Exception as error:  # whatever a learner's function raises is its answer
        return _Outcome(raised=type(error), message=str(error))


def _plain(value):
    """An answer with arrays of NumPy for the tensors in it: what counts is their values."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(part) for part in value)
    if hasattr(value, "detach"):  # PyTorch's own numpy() refuses where a gradient is wanted
        value = value.detach().cpu()
    return value.numpy() if hasattr(value, "numpy") else value


def _same(found, expected, tolerance):
    if found.raised or expected.raised:
        # The specification's message is what must be named; the learner may say more.
        return found.raised is expected.raised and expected.message.strip("'") in found.message
    return _close(found.value, expected.value, tolerance)


def _close(found, expected, tolerance):
    if isinstance(expected, dict):
        if not isinstance(found, dict) or list(found) != list(expected):
            return False
        return all(_close(found[name], expected[name], tolerance) for name in expected)
    if found is None:
        return False
    if isinstance(expected, str):
        return isinstance(found, str) and found == expected
    try:
        found, expected = (np.asarray(value, dtype=float) for value in (found, expected))
    except (TypeError, ValueError):
        return False
    if found.shape != expected.shape:
        return False
    return np.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def _equal(given, arguments):
    return all(
        _close(a, b, 0) if isinstance(b, (np.ndarray, list)) else True
        for a, b in zip(given, arguments, strict=True)
    )


def _complaint(exercise, function, arguments, found, expected):
    text = f"{exercise.id}: not yet. For {_inputs(exercise, arguments)} {found}; "
    wanted = expected.raised
    text += f"expected a {wanted.__name__} that names {expected.message}" if wanted else "expected "
    text += "" if wanted else _text(expected.value)
    if hint := _hint(exercise, function):
        return f"{text}.\nHint: {hint}"
    if found.raised or wanted or found.value is None:
        return f"{text}."
    return f"{text}." + _shape_hint(found.value, expected.value)


def _shape_hint(found, expected):
    """The first shape that is another than expected, of the whole or of a part; "" if none is."""
    sequences = isinstance(found, (list, tuple)) and isinstance(expected, (list, tuple))
    if isinstance(expected, dict):
        if not isinstance(found, dict) or list(found) != list(expected):
            return ""
        parts = [(f" of {name}", found[name], part) for name, part in expected.items()]
    elif sequences and _shape(found) is None and len(found) == len(expected):
        parts = [(f" of part {at + 1}", found[at], part) for at, part in enumerate(expected)]
    else:
        parts = [("", found, expected)]
    for name, one, other in parts:
        shapes = _shape(one), _shape(other)
        if None not in shapes and shapes[0] != shapes[1]:
            return f"\nHint: the shape{name} should be {shapes[1]}, not {shapes[0]}."
    return ""


def _shape(value):
    """None where the parts of a list differ in shape."""
    try:
        return np.shape(value)
    except ValueError:
        return None


def _hint(exercise, function):
    """The hint of the mistake that answers as the learner's function does, on every input."""

    def outcomes(function):
        cases = exercise.cases(np.random.default_rng(0))
        return [_outcome(exercise, function, copy.deepcopy(case)) for case in cases]

    answers = outcomes(function)
    for hint, mistake in exercise.mistakes.items():
        pairs = zip(answers, outcomes(mistake), strict=True)
        if all(_alike(*pair, exercise.tolerance) for pair in pairs):
            return hint
    return None


def _alike(found, slip, tolerance):
    if found.raised or slip.raised:
        return found.raised is slip.raised
    return _close(found.value, slip.value, tolerance)


def _inputs(exercise, arguments):
    pairs = zip(exercise.names, arguments, strict=True)
    return ", ".join(f"{name} = {_text(value)}" for name, value in pairs)


def _text(value):
    if isinstance(value, np.random.Generator):
        return "a random generator"
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)) and _shape(value) is None:
        return f"({', '.join(_text(part) for part in value)})"
    if isinstance(value, (np.ndarray, list, tuple)):
        text = np.array2string(np.asarray(value), separator=", ", precision=4, threshold=30)
        return " ".join(text.split())
    return f"{value:.6g}" if isinstance(value, float) and value % 1 else repr(value)


# --- progress ------------------------------------------------------------------------------------


def progress():
    """How far a learner has come in each notebook.

    Answers are kept in ``progress.json`` in the user's data folder, or in the file that the
    environment variable ``NCF_PROGRESS`` names.

    Returns:
        DataFrame, one row a notebook: exercises, tried, solved, and the numbers still open.
    """
    import pandas as pd

    notes, rows = _notes(_progress_file()), []
    for number in NOTEBOOKS:
        ids = [exercise.id for exercise in exercises() if exercise.id.startswith(number)]
        solved = [id for id in ids if notes.get(id)]
        rows.append(
            {
                "notebook": number,
                "exercises": len(ids),
                "tried": sum(id in notes for id in ids),
                "solved": len(solved),
                "open": " ".join(id for id in ids if id not in solved),
            }
        )
    return pd.DataFrame(rows).set_index("notebook")


def _progress_file():
    if path := os.environ.get("NCF_PROGRESS"):
        return Path(path)
    from platformdirs import user_data_path

    return user_data_path("ncf_utils") / "progress.json"


def _notes(path):
    """id -> whether it was solved; what cannot be read counts as nothing."""
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _note(id, solved):
    """Keep an answer; once solved stays solved. Where nothing can be written, nothing is kept."""
    path = _progress_file()
    notes = _notes(path)
    if notes.get(id) or notes.get(id, None) is solved:
        return
    with contextlib.suppress(OSError):
        write_whole(path, json.dumps(notes | {id: solved}, indent=1) + "\n")
