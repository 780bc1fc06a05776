"""The student edition: everything but outputs and solutions."""

import json
import re
from pathlib import Path

import pytest

from ncf_utils.cli import main
from ncf_utils.editions import student_edition, without_solutions

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    build = tmp_path_factory.mktemp("build")
    return student_edition(NOTEBOOKS, build), build / "student"


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_every_notebook_is_there_and_the_solutions_are_not(edition):
    written, folder = edition
    names = {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    assert names == {path.name for path in (folder / "notebooks").glob("*.ipynb")}
    assert {path.name for path in written} >= names
    assert not list(folder.rglob("solutions"))


def test_no_output_and_no_solution_is_left_and_every_hint_stays(edition):
    for path in edition[0]:
        own, given = cells(path), cells(NOTEBOOKS / path.relative_to(edition[1] / "notebooks"))
        text, before = (json.dumps(part, ensure_ascii=False) for part in (own, given))
        assert "<summary>Solution" not in text and "solutions/" not in text, path.name
        assert text.count("<summary>Hint") == before.count("<summary>Hint")
        assert text.count("<details>") == text.count("</details>")
        for cell, original in zip(own, given, strict=True):
            assert not cell.get("outputs") and cell.get("execution_count") is None
            if cell["cell_type"] == "code":
                assert cell["source"] == original["source"]
            elif "<summary>" not in "".join(original["source"]):
                left = without_solutions("".join(original["source"]))
                assert "".join(cell["source"]) == left


def test_links_inside_the_edition_lead_somewhere(edition):
    for path in edition[0]:
        for cell in cells(path):
            if cell["cell_type"] == "markdown":
                for target in re.findall(r"\]\(([^)\s#]+)", "".join(cell["source"])):
                    if not re.match(r"[a-z]+:", target):
                        assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_solutions_over_several_lines_go_and_the_text_around_stays():
    text = "a\n\n<details><summary>Hint</summary>h</details>\n<details><summary>Solution</summary>"
    text += "<pre><code>x\ny</code></pre></details>\n\n**2.** b"
    assert without_solutions(text) == "a\n\n<details><summary>Hint</summary>h</details>\n\n**2.** b"


def test_the_command_says_where_and_replaces_what_was_there(tmp_path, capsys, monkeypatch):
    old = tmp_path / "student" / "notebooks" / "old.ipynb"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    assert main(["student", "--notebooks", str(NOTEBOOKS), "--build", str(tmp_path)]) == 0
    assert str(old.parent) in capsys.readouterr().out and not old.exists()
    assert main(["student", "--notebooks", str(tmp_path / "none"), "--build", str(tmp_path)]) == 2
    assert "none: no notebooks there" in capsys.readouterr().err
