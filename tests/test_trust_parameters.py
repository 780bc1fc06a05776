"""Hostile parameters end in one line at the top of a notebook: a sample of `trust.parameters`."""

import os
import random
import time
from pathlib import Path

import pytest

from trust import __main__ as main
from trust import parameters as trust
from trust.elsewhere import elsewhere

NOTEBOOKS = trust.notebooks()


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_each_notebook_has_its_hostile_parameters(notebook):
    cases = trust.hostile(notebook)
    assert len(cases) >= 20
    given = trust.defaults(notebook)
    assert {name for name, _ in cases} >= set(given)
    assert any(name not in given for name, _ in cases)


# One notebook without a framework, one with the most parameters, one whose settings may be None.
@pytest.mark.parametrize(
    "notebook",
    [
        "notebooks/01_implicit_feedback.ipynb",
        "notebooks/13_beyond_ids.ipynb",
        "notebooks/experiments/run_baseline.ipynb",
    ],
)
def test_hostile_values_end_in_one_line(notebook):
    cases = trust.hostile(notebook)
    kept = [case for case in cases if case[0] == "dataset" or case[0] in trust.UNKNOWN]
    kept += random.Random(0).sample(cases, 6)
    for trial in trust.tried(notebook, kept):
        assert trial.shown or trial.name == "seed", f"{trial} is let through"
        assert not trial.shown or not trial.fault, f"{trial} {trial.fault}"


def in_copies():
    answers = trust._in_a_copy(divmod, 7, 2), trust._in_a_copy(os._exit, 3)
    trust.LIMIT = 0.5  # in this process, which is no longer used
    return *answers, trust._in_a_copy(time.sleep, 60)


def test_a_copy_that_does_not_answer_is_told():
    answer, *told = elsewhere(in_copies)
    assert answer == (3, 1)
    assert told == [("the process ended with status 3",), ("no answer in 0.5 s",)]


def test_an_odd_value_that_is_refused_in_one_line_stays_out_of_the_whole_run(monkeypatch):
    notebook, runs = "notebooks/02_one_hot_and_embedding.ipynb", []
    refusal = "ParameterError: num_factors = 1: expected a whole number from 2 to 4,096"

    def tried(path, cases):
        refused = {"num_factors": (refusal,), "epochs": ("ValueError: 1",)}
        return [trust.Trial(path, name, value, refused.get(name, ())) for name, value in cases]

    monkeypatch.setattr(trust, "hostile", lambda path: [("seed", 10**9)])
    monkeypatch.setattr(trust, "tried", tried)
    monkeypatch.setattr(trust, "ran", lambda path, given: runs.append(given) or "")
    before = {"`00_start_here`": {"tried": 1}}
    monkeypatch.setattr(main, "stored", lambda kind, names: (dict(before), ["- before"]))
    figures, text = trust.measure("02_one_hot")
    assert before.items() <= figures.items() and "- before" in text
    assert runs == [{"batch_size": 10**6, "num_negatives": 1, "seed": 10**9}]
    assert figures["`02_one_hot_and_embedding`"] == {
        "tried": 5, "refused": 2, "allowed, run to the end": 3, "caught": 4, "lost": 1
    }  # fmt: skip
    assert "epochs = 1: a ValueError" in text and "num_factors" not in text
    figures, _ = trust.measure("02_one_hot", whole=0)
    assert figures[f"`{Path(notebook).stem}`"] == {
        "tried": 1, "refused": 0, "caught": 1, "lost": 0
    }  # fmt: skip


def test_a_baseline_is_given_odd_values_that_its_method_has():
    pytest.importorskip("numba")
    notebook = "notebooks/experiments/run_baseline.ipynb"
    given = trust.WITH[Path(notebook).stem] | dict(trust.odd(notebook))
    assert set(given) == {"model", "epochs", "num_factors", "num_negatives"}
    assert trust.ran(notebook, given) == ""
    assert "EASE has no" in trust.ran(notebook, given | {"model": "EASE"})


def test_neumf_without_a_tower_is_refused_at_the_top():
    for name in ("08_neumf_pytorch", "14_serving", "15_scaling_out"):
        notebook = f"notebooks/{name}.ipynb"
        (trial,) = trust.tried(notebook, [("hidden_layers", [])])
        assert trial.shown and not trial.fault


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        (("ParameterError: epochs = 0: expected a whole number from 1 to 9",), ""),
        (("ParameterError: unknown parameter epochs",), ""),
        (("DataError: 0: expected a folder, found none",), ""),
        (("no answer in 300 s",), "no answer in 300 s"),
        (("Traceback", "ParameterError: epochs = 0: expected more"), "2 lines in place of one"),
        (("ValueError: epochs = 0: expected more",), "a ValueError"),
        (("ParameterError: probe_epochs = 0: expected more",), "does not name the parameter"),
        (("ParameterError: epochs: expected more",), "does not show the value"),
        (("ParameterError: epochs = 0: no",), "does not say what is allowed"),
    ],
)
def test_what_a_fault_is(shown, fault):
    assert trust.Trial("a.ipynb", "epochs", 0, shown).fault == fault


@pytest.mark.parametrize(
    "command, fault",
    [
        (
            ["parameters", "--notebook", "nosuch"],
            "notebook: expected text in the name of one, found",
        ),
        (["mutation", "--module", "sampelr"], "no module 'sampelr'; did you mean 'sampler'?"),
        (["versions", "--which", "newst"], "which: expected oldest or newest, found 'newst'"),
    ],
)
def test_an_option_that_means_nothing_is_named_and_nothing_stored(tmp_path, command, fault):
    with pytest.raises(SystemExit) as ended:
        main.main(["--out", str(tmp_path), *command])
    assert fault in str(ended.value) and not list(tmp_path.iterdir())
