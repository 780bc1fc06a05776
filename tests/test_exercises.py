"""Exercises: each solution passes; the stub, and each known mistake, is told what is wrong."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from ncf_utils import exercises
from ncf_utils.exercises import NOTEBOOKS, Exercise, check, find, progress

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = ROOT / "notebooks" / "solutions"
ALL = exercises.exercises()
MISTAKES = [(e, hint) for e in ALL for hint in e.mistakes]


@pytest.fixture(autouse=True)
def notes(monkeypatch, tmp_path):
    """A learner's file of its own for each test."""
    path = tmp_path / "notes" / "progress.json"
    monkeypatch.setenv("NCF_PROGRESS", str(path))
    return path


def solution(id):
    """The function in a solution's file, as `%load` would bring it into a notebook with NumPy."""
    names = runpy.run_path(str(SOLUTIONS / f"{id.replace('.', '_')}.py"), {"np": np})
    [function] = [value for name, value in names.items() if callable(value) and name[0] != "_"]
    return function


def each(test):
    return pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)(test)


@each
def test_the_solution_passes(exercise, notes):
    verdict = check(exercise.id, solution(exercise.id))
    assert verdict.passed, verdict
    assert repr(verdict) == f"{exercise.id}: right. {exercise.title}"
    assert json.loads(notes.read_text()) == {exercise.id: True}


@each
def test_the_specification_passes_its_own_check(exercise):
    assert check(exercise.id, exercise.specification).passed


@each
def test_a_stub_is_still_open_and_leaves_no_note(exercise, notes):
    def stub(*arguments):
        raise NotImplementedError

    verdict = check(exercise.id, stub)
    assert not verdict.passed and verdict.text.startswith(
        f"{exercise.id} is still open: write stub"
    )
    assert not notes.exists()


@each
def test_a_function_without_a_return_is_told_so(exercise):
    verdict = check(exercise.id, lambda *arguments: None)
    assert not verdict.passed and ("`return`" in verdict.text or exercise.measure)


@each
def test_two_plausible_mistakes_at_least(exercise):
    assert len(exercise.mistakes) >= 2
    assert all(len(hint.split()) >= 5 and hint.endswith((".", "]")) for hint in exercise.mistakes)


@pytest.mark.parametrize(
    ("exercise", "hint"), MISTAKES, ids=lambda value: getattr(value, "id", "x")
)
def test_a_mistake_fails_on_a_small_input_with_its_own_hint(exercise, hint, notes):
    verdict = check(exercise.id, exercise.mistakes[hint])
    assert not verdict.passed
    assert verdict.text.endswith(f"Hint: {hint}"), verdict.text
    assert verdict.text.startswith(f"{exercise.id}: not yet. For {exercise.names[0]} = ")
    assert len(verdict.text) < 600  # the smallest input on which it shows
    assert json.loads(notes.read_text()) == {exercise.id: False}


@each
def test_what_is_shown_does_not_change_from_run_to_run(exercise):
    hint, mistake = next(iter(exercise.mistakes.items()))
    assert check(exercise.id, mistake).text == check(exercise.id, mistake).text


def test_cases_grow():
    """The first input on which a mistake shows is then a small one."""
    for exercise in ALL:
        sizes = [
            sum(np.size(value) for value in case)
            for case in exercise.cases(np.random.default_rng(0))
        ]
        assert len(sizes) >= 3 and sizes == sorted(sizes), exercise.id


def test_an_argument_that_is_changed_is_an_error():
    def sorting(ranks):
        value = (1 / (np.asarray(ranks) + 1)).mean()
        ranks.sort() if isinstance(ranks, list) else ranks.__setitem__(0, 7)
        return value

    assert "It changed its argument, which was ranks = [" in check("05.1", sorting).text


def test_another_error_than_expected_is_told(notes):
    verdict = check("02.3", lambda ids, known_ids: 1 / 0)
    assert "it raised ZeroDivisionError: division by zero; expected [0]" in verdict.text

    def nameless(ids, known_ids):
        if ids[0] == 5:
            raise KeyError("unknown")
        return solution("02.3")(ids, known_ids)

    assert "expected a KeyError that names 5" in check("02.3", nameless).text


def test_a_wrong_shape_is_told():
    verdict = check("03.1", lambda P, Q, h: ((P * h) @ Q.T)[..., None])
    assert "the shape should be (1, 1), not (1, 1, 1)" in verdict.text


def test_a_wrong_shape_is_told_of_a_part():
    flat = find("08.1").specification  # h and b
    row = check("08.1", lambda *case: (np.array([flat(*case)[0]]), flat(*case)[1]))
    assert row.text.endswith("Hint: the shape of h should be (2,), not (1, 2).")
    pair = check("05.3", lambda relevant, k: (np.ones(3), 1.0))
    assert pair.text == (
        "05.3: not yet. For relevant = [1], k = 1 it returned ([1., 1., 1.], 1.0); "
        "expected [1., 1.].\nHint: the shape of part 1 should be (), not (3,)."
    )
    ragged = check("05.1", lambda ranks: (np.ones(2), 3.0))
    assert "it returned ([1., 1.], 3.0); expected 1.0." in ragged.text


def test_a_tensor_that_wants_a_gradient_is_judged_by_its_values():
    import torch

    def tensor(value):
        if isinstance(value, dict):
            return {name: tensor(part) for name, part in value.items()}
        if isinstance(value, (tuple, list)):
            return type(value)(tensor(part) for part in value)
        if isinstance(value, (str, bool, torch.nn.Module)) or value is None:
            return value
        return torch.tensor(np.asarray(value, dtype=float), requires_grad=True)

    for exercise in ALL:
        right = solution(exercise.id)
        verdict = check(exercise.id, lambda *case, right=right: tensor(right(*case)))
        assert verdict.passed, verdict
    wrong = check("05.1", lambda ranks: tensor(1 / (np.mean(ranks) + 2)))
    assert "it returned 0.5; expected 1.0." in wrong.text
    known = check("05.1", lambda ranks: tensor(np.mean(1 / (ranks + 2))))
    assert known.text.endswith("Hint: a rank counts from 0, so the place is rank + 1.")


def test_a_tensor_of_tensorflow_is_shown_as_a_number():
    tf = pytest.importorskip("tensorflow")
    verdict = check("05.1", lambda ranks: tf.constant(0.5, tf.float64))
    assert "it returned 0.5; expected 1.0." in verdict.text
    pair = check("05.3", lambda relevant, k: [tf.constant(0.5), tf.Variable(2.0)])
    assert "it returned [0.5, 2. ]; expected [1., 1.]." in pair.text


def test_what_is_no_function_and_what_is_no_exercise():
    assert check("05.1", 0.29).text == "05.1: give check a function, not float."
    with pytest.raises(ValueError, match="no exercise '05.11'.*05.1"):
        find("05.11")


def test_progress_counts_what_was_tried_and_solved(notes):
    assert progress().solved.sum() == 0 and progress().exercises.sum() == len(ALL)
    check("05.1", lambda ranks: 0.5)
    check("05.2", solution("05.2"))
    check("05.2", lambda ranks, num_candidates: 0.5)  # once solved stays solved
    table = progress()
    assert table.index.tolist() == list(NOTEBOOKS)
    assert table.loc["05", ["tried", "solved", "open"]].tolist() == [2, 1, "05.1 05.3 05.4"]
    assert table.loc["01", ["tried", "solved"]].tolist() == [0, 0]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"05.1": tru'])
def test_a_broken_note_is_nothing_and_is_mended(notes, text):
    notes.parent.mkdir()
    notes.write_text(text)
    assert progress().solved.sum() == 0
    check("05.1", solution("05.1"))
    assert progress().solved.sum() == 1 and len(list(notes.parent.iterdir())) == 1


def test_where_nothing_can_be_written_an_answer_is_still_judged(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NCF_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert check("05.1", solution("05.1")).passed


def test_each_solution_has_an_exercise_and_each_exercise_a_cell():
    files = {path.stem.replace("_", ".") for path in SOLUTIONS.glob("*.py")}
    assert files == {exercise.id for exercise in ALL}
    for exercise in ALL:
        notebooks = list((ROOT / "notebooks").glob(f"{exercise.id[:2]}_*.ipynb"))
        assert notebooks
        for notebook in notebooks:  # both, where there are twins
            cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            [cell] = [source for source in code if f'check("{exercise.id}"' in source]
            assert "raise NotImplementedError" in cell
            assert f"def {exercise.specification.__name__}({', '.join(exercise.names)})" in cell
            text = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
            assert f"solutions/{exercise.id.replace('.', '_')}.py" in text


def test_an_exercise_is_plain_data():
    assert all(isinstance(exercise, Exercise) for exercise in ALL)
    assert [exercise.id for exercise in ALL] == sorted({exercise.id for exercise in ALL})
