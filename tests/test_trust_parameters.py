"""Hostile parameters end in one line at the top of a notebook: a sample of `trust.parameters`."""

import random

import pytest

from trust import parameters as trust

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


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        (("ParameterError: epochs = 0: expected a whole number from 1 to 9",), ""),
        (("ParameterError: unknown parameter epochs",), ""),
        (("DataError: 0: expected a folder, found none",), ""),
        (("Traceback", "ParameterError: epochs = 0: expected more"), "2 lines in place of one"),
        (("ValueError: epochs = 0: expected more",), "a ValueError"),
        (("ParameterError: probe_epochs = 0: expected more",), "does not name the parameter"),
        (("ParameterError: epochs: expected more",), "does not show the value"),
        (("ParameterError: epochs = 0: no",), "does not say what is allowed"),
    ],
)
def test_what_a_fault_is(shown, fault):
    assert trust.Trial("a.ipynb", "epochs", 0, shown).fault == fault
