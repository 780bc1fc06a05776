"""`python -m trust versions`: what it asks the resolver, and how it counts."""

import sys
from pathlib import Path

import pytest

from trust import __main__ as trust_main
from trust import versions

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="x"/></testcase>
<testcase classname="a" name="broken"><error message="x"/></testcase>
<testcase classname="a" name="left"><skipped message="x"/></testcase>
</testsuite></testsuites>"""
PINS = "# made by uv\nkeras==3.14.0\n    # via ncf-utils\ntorch==2.6.0\n"


@pytest.fixture
def commands(monkeypatch):
    """The commands, which are kept, while uv's and pytest's files are written in their place."""
    kept = []

    def ran(command, folder, statuses=(0,)):
        assert (folder / "pyproject.toml").is_file()
        kept.append(command)
        if "--output-file" in command:
            Path(command[-1]).write_text(PINS)
        elif command[-1].startswith("--junitxml="):
            Path(command[-1].partition("=")[2]).write_text(REPORT)

    monkeypatch.setattr(versions, "_ran", ran)
    return kept


def test_tests_are_counted(commands, tmp_path):
    found, picked, failed = versions.tried(tmp_path, "lowest-direct")
    assert found == {"tried": 3, "read right": 1, "skipped": 1, "lost": 2}
    assert picked == {"keras": "3.14.0", "torch": "2.6.0"}
    assert failed == ["bad", "broken"]
    git, compile_, venv, install, ours, test = commands
    assert git[:2] == ["git", "init"]
    assert compile_[compile_.index("--resolution") + 1] == "lowest-direct"
    assert {"--all-extras", "pyproject.toml"} <= set(compile_)
    assert install[-1] == compile_[-1]
    python = install[install.index("--python") + 1]
    assert Path(python).is_relative_to(venv[-1]) and ours[ours.index("--python") + 1] == python
    assert test[:3] == [python, "-m", "pytest"]


def test_one_of_them_leaves_the_other_as_it_is(commands, monkeypatch, tmp_path):
    entry = {"figures": {"newest": {"tried": 5}}, "text": "A.\n\n- newest: torch 3\n- oldest: old"}
    monkeypatch.setattr(trust_main, "read", lambda path: {"versions": entry})
    figures, text = versions.measure("oldest")
    assert figures["newest"] == {"tried": 5} and figures["oldest"]["lost"] == 2
    lines = text.splitlines()[-2:]
    assert lines[0] == "- newest: torch 3"
    assert lines[1] == "- oldest: torch 2.6.0, keras 3.14.0; failed: `bad`; failed: `broken`"


def test_a_step_that_fails_says_why(tmp_path):
    command = [sys.executable, "-c", "print('so it is'); raise SystemExit(3)"]
    with pytest.raises(RuntimeError, match="ended with 3: so it is"):
        versions._ran(command, tmp_path)
    versions._ran(command, tmp_path, statuses=(0, 3))


def test_a_step_that_never_ends_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "LIMIT", 0.2)
    with pytest.raises(RuntimeError, match=r"-c .* took more than 0.2 s"):
        versions._ran([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)


def test_the_test_that_is_left_out_exists(root):
    file, name = versions.LEFT_OUT.split("::")
    assert f"def {name}(" in (root / file).read_text(encoding="utf-8")
