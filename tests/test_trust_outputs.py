"""`python -m trust outputs`: it sees which cell printed something else."""

import pytest
from nbformat import v4, write

from trust import __main__ as trust
from trust import outputs


def lesson(path, *cells):
    """Write a notebook of (source, text that is stored as printed)."""
    stored = [
        v4.new_code_cell(
            source,
            execution_count=count,
            outputs=[v4.new_output("stream", name="stdout", text=text)],
        )
        for count, (source, text) in enumerate(cells, 1)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    write(v4.new_notebook(cells=stored, metadata={"kernelspec": kernel}), path)
    return path


def test_each_cell_is_compared_with_what_is_stored(tmp_path, root):
    threads = "import os; print(os.environ['OMP_NUM_THREADS'])"
    one = lesson(tmp_path / "one.ipynb", (threads, "3\n"), ("print(1 + 1)", "3\n"), ("1 / 0", ""))
    two = lesson(tmp_path / "two.ipynb", ("print(4)", "4\n"), (threads, "2\n"))
    found = outputs.compared([one, two], root, {"OMP_NUM_THREADS": "3"})
    assert found == {"one": {0: True, 1: False, 2: False}, "two": {0: True, 1: False}}


def test_a_notebook_without_a_cell_is_no_success(tmp_path, root):
    empty = lesson(tmp_path / "empty.ipynb")
    with pytest.raises(RuntimeError, match="ran no cell of empty"):
        outputs.compared([empty], root)


def test_the_rounds_are_added_up(monkeypatch):
    answers = iter(
        [{"a": {0: True, 1: True}}, {"a": {0: True, 1: False}}, {"a": {0: False, 1: True}}]
    )
    threads = []

    def compared(lessons, checkout, environment, jobs):
        assert [path.stem for path in lessons] == ["01_implicit_feedback"]
        threads.append(environment["OMP_NUM_THREADS"])
        return next(answers)

    monkeypatch.setattr(outputs, "compared", compared)
    monkeypatch.setattr(trust, "stored", lambda kind, names: ({}, []))
    figures, text = outputs.measure(rounds=3, threads="1,4", notebook="01_")
    assert threads == ["1", "4", "1"]
    assert figures == {"`a`": {"tried": 6, "read right": 4, "lost": 2}}
    assert text.endswith("- `a`, code cell 1, 4 threads\n- `a`, code cell 0, 1 threads")


def test_lessons_that_are_not_run_keep_their_figures(monkeypatch):
    first, second = "01_implicit_feedback", "02_one_hot_and_embedding"
    row = {"tried": 10, "read right": 9, "lost": 1}
    told = [f"- `{name}`, code cell 7, 4 threads" for name in (first, second)]
    figures = {f"`{name}`": row for name in (second, "gone", first)}
    entry = {"figures": figures, "text": "\n".join(["Before:", "", *told])}
    monkeypatch.setattr(trust, "read", lambda path: {"outputs": entry})
    monkeypatch.setattr(outputs, "compared", lambda lessons, *_: {first: {0: len(lessons) == 2}})
    figures, text = outputs.measure(rounds=2, notebook="01_,03_")
    assert list(figures.items()) == [
        (f"`{first}`", {"tried": 2, "read right": 2, "lost": 0}),
        (f"`{second}`", row),
    ]
    assert told[1] in text and told[0] not in text


def test_every_lesson_is_run_where_none_is_named(monkeypatch, root):
    def compared(lessons, *_):
        return {path.stem: {0: True} for path in lessons}

    monkeypatch.setattr(outputs, "compared", compared)
    monkeypatch.setattr(outputs, "comparable", lambda path: True)
    monkeypatch.setattr(trust, "stored", lambda kind, names: ({}, []))
    figures, _ = outputs.measure(rounds=1)
    lessons = (root / "notebooks").glob("*.ipynb")
    assert list(figures) == sorted(f"`{path.stem}`" for path in lessons)
    assert len(figures) > 16


def test_lessons_that_another_processor_has_stored_are_left_out(monkeypatch):
    ran = []
    monkeypatch.setattr(outputs, "compared", lambda lessons, *_: ran.extend(lessons) or {})
    monkeypatch.setattr(outputs, "comparable", lambda path: "keras" not in path.stem)
    monkeypatch.setattr(trust, "stored", lambda kind, names: ({}, []))
    outputs.measure(rounds=1, notebook="07_")
    assert [path.stem for path in ran] == ["07_mlp_pytorch"]
    with pytest.raises(ValueError, match="'07_mlp_keras' names no lesson that can be compared"):
        outputs.measure(rounds=1, notebook="07_mlp_keras")
