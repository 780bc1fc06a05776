"""The faults that `python -m trust` plants: what they are, and that each can still be planted."""

import ast
import json
import re

import pytest

from trust import mutation, notebooks
from trust.elsewhere import elsewhere
from trust.mutants import mutants

SOURCE = '''
"""A module."""
LIMIT = 3


def best(scores, k=10):
    """The best."""
    if len(scores) < k and LIMIT:
        raise ValueError("too few")
    order = sorted(scores, reverse=True)
    return order[:k]
'''


def test_mutants_of_a_few_lines():
    found = {(m.where, m.old, m.new) for m in mutants(SOURCE)}
    assert {
        ("", "3", "(3 + 1)"),
        ("best(…)", "10", "(10 + 1)"),
        ("best", "len(scores) < k", "len(scores) <= k"),
        ("best", "len(scores) < k and LIMIT", "(len(scores) < k) or (LIMIT)"),
        ("best", 'raise ValueError("too few")', "pass"),
        ("best", "sorted(scores, reverse=True)", "sorted(scores)"),
        ("best", "True", "False"),
        ("best", "order[:k]", "None"),
    } <= found
    assert not any("too few" in m.old and "raise" not in m.old for m in mutants(SOURCE))
    assert {m.where for m in mutants(SOURCE, ["best"])} == {"best", "best(…)"}


@pytest.mark.parametrize("name", ["sampler", "torch_ncf"])
def test_each_mutant_of_a_module_can_be_planted(root, name):
    scopes, tests = mutation.MODULES[name]
    source = (root / "ncf_utils" / f"{name}.py").read_text(encoding="utf-8")
    found = mutants(source, scopes)
    assert len(found) >= 30
    for mutant in found[:: max(1, len(found) // 20)]:
        assert source[mutant.start : mutant.end] == mutant.old
        ast.parse(mutant.applied(source))
    assert all((root / test).is_file() for test in tests)


def test_what_changes_nothing_is_still_there(root):
    for name, reasons in json.loads(mutation.SAME.read_text(encoding="utf-8")).items():
        source = (root / "ncf_utils" / f"{name}.py").read_text(encoding="utf-8")
        assert set(reasons) <= {mutant.key for mutant in mutants(source)}
        assert all(len(reason.split()) >= 5 for reason in reasons.values())


@pytest.mark.parametrize("fault", notebooks.faults(), ids=lambda fault: fault.what)
def test_each_fault_can_be_planted_and_has_a_test(root, fault):
    text = (root / fault.file).read_text(encoding="utf-8")
    assert fault.planted(text) != text
    file, _, name = fault.test.partition("::")
    assert re.search(rf"^def {name}", (root / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_fault_whose_code_has_gone_is_named():
    fault = notebooks.Fault("one", "a.py", ("x = 1", "x = 2"), "tests/test_a.py::test_a")
    with pytest.raises(ValueError, match="a.py: expected once, found 0 times: x = 1"):
        fault.planted("y = 1")


def test_a_mutant_is_killed_or_lives(tmp_path):
    """One that a test notices, and one that no test could."""
    (tmp_path / "ncf_utils").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "ncf_utils" / "__init__.py").write_text("")
    (tmp_path / "ncf_utils" / "ratings.py").write_text(
        "def double(x):\n    return 2 * x\n\n\ndef unused():\n    return [0]\n"
    )
    (tmp_path / "tests" / "test_ratings.py").write_text(
        "from ncf_utils.ratings import double\n\n\ndef test_it():\n    assert double(3) == 6\n"
    )
    outcomes = elsewhere(mutation.tested, tmp_path, "ratings")
    by_place = {mutant.where: outcome for mutant, outcome in outcomes["tried"]}
    assert by_place == {"double": "killed", "unused": "lived"}
    assert outcomes["of"] == len(outcomes["tried"]) == 5
