"""The slides: what of each notebook is on them, before anything is made into a page."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ncf_utils.cli import main
from ncf_utils.slides import NO_INPUT, QUESTION, on_slides, only_slides, sentences, slide_type

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def notebook(path):
    return nbformat.read(path, as_version=4)


def decks(path):
    """The slides of a notebook: of each its cells, the speaker's notes left out."""
    found = []
    for cell in only_slides(notebook(path)).cells:
        if slide_type(cell) == "slide":
            found.append([])
        if slide_type(cell) != "notes":
            found[-1].append(cell)
    return found


def each_notebook(test):
    return pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)(test)


@each_notebook
def test_a_lesson_has_a_dozen_slides_or_two(path):
    assert 12 <= len(decks(path)) <= 28


@each_notebook
def test_marks_are_known_and_the_first_cell_is_a_slide(path):
    cells = notebook(path).cells
    marks = [cell.metadata["slideshow"] for cell in cells if "slideshow" in cell.metadata]
    assert all(set(mark) == {"slide_type"} for mark in marks)
    assert {mark["slide_type"] for mark in marks} <= {"slide", "-", "fragment"}
    assert slide_type(cells[0]) == "slide"
    exercises = next(i for i, c in enumerate(cells) if c.source.startswith("## Exercises"))
    end = next(i for i, c in enumerate(cells) if c.source.startswith("## What you can do now"))
    assert not any("slideshow" in cell.metadata for cell in cells[exercises:end])
    for cell in cells:  # the tag hides nothing but code that is on a slide
        assert NO_INPUT not in cell.metadata.get("tags", ()) or "slideshow" in cell.metadata


@each_notebook
def test_slides_hold_what_every_lesson_has(path):
    slides = decks(path)
    texts = ["\n\n".join(c.source for c in s if c.cell_type == "markdown") for s in slides]
    pictures = [o for s in slides for c in s for o in c.get("outputs", ()) if "data" in o]
    pictures = [output for output in pictures if "image/png" in output.data]
    assert texts[0].startswith("# ") and texts[0].count("\n\n") == 1  # title and question
    assert sum("you can**" in text for text in texts) == 1
    assert sum(QUESTION in text for text in texts) >= 2
    assert texts[-2].startswith("## What you can do now") and "\n1. " in texts[-2]
    assert texts[-1].startswith("## Ask yourself") and "**References" not in texts[-1]
    assert len(pictures) >= 3
    assert all(len(picture.metadata["image/png"]["alt"]) > 20 for picture in pictures)


@each_notebook
def test_a_slide_has_a_heading_few_words_and_little_code(path):
    for slide in decks(path):
        texts = [cell.source for cell in slide if cell.cell_type == "markdown"]
        assert re.match(r"#+ \S", texts[0]), texts
        assert sum(len(text.split()) for text in texts) <= 140, texts
        shown = [c for c in slide if c.cell_type == "code" and NO_INPUT not in tags(c)]
        assert sum(len(cell.source.splitlines()) for cell in shown) <= 20
        hidden = [c for c in slide if c.cell_type == "code" and NO_INPUT in tags(c)]
        assert all(cell.outputs for cell in hidden), "neither code nor output"
        assert len(slide) > 1 or len(texts[0].split()) > 6, "a heading and nothing else"
        assert not re.search(r"\]\([^)]*\.ipynb", "".join(texts))


def tags(cell):
    return cell.metadata.get("tags", ())


def marked(kind, text, mark):
    make = new_markdown_cell if kind == "markdown" else new_code_cell
    return make(text, metadata={"slideshow": {"slide_type": mark}} if mark else {})


def test_headings_are_repeated_links_lead_to_slides_and_the_rest_stays_away():
    cells = [
        marked("markdown", "# 06 · GMF\n\n**Can it?**\n\nYes. And no.", "slide"),
        marked("code", "1 + 1", None),
        marked("markdown", "## Part\n\nSee [05](05_evaluation.ipynb#The-exam).", None),
        marked("code", "2 + 2", "slide"),
        marked("markdown", "[05](05_evaluation.ipynb#The-exam), [a](G.md#a), [b](http://b)", "-"),
    ]
    given = new_notebook(cells=cells, metadata={"widgets": {}})
    before = nbformat.writes(given)
    found = only_slides(given)
    assert nbformat.writes(given) == before
    assert [(slide_type(cell), cell.source) for cell in found.cells] == [
        ("slide", "# 06 · GMF\n\n**Can it?**"),
        ("slide", "## 06 · GMF"),
        ("-", "Yes. And no."),
        ("slide", "## Part"),
        ("-", "2 + 2"),
        ("-", "[05](05_evaluation.html), a, [b](http://b)"),
    ]
    assert "widgets" not in found.metadata


def test_long_text_is_cut_at_a_sentence_and_kept_for_the_speaker():
    text = "## Head\n\nFirst one. " + "A b c d e. " * 20 + "**Known at last.** More.\n\n- a\n- b"
    (mark, shown), (notes, whole) = on_slides(text, "slide", words=12)
    assert (mark, notes, whole) == ("slide", "notes", text)
    assert shown == "## Head\n\nFirst one. A b c d e. A b c d e. **Known at last.**\n\n- a\n- b"


def test_formulas_and_a_question_with_its_answer_stay_whole():
    text = "One two three four. Five.\n\n$$x. y$$\n\n**Why?** Because of it. And more."
    assert on_slides(text, "slide", words=4)[0] == (
        "slide",
        "One two three four.\n\n$$x. y$$\n\n**Why?** Because of it.",
    )


def test_a_question_without_its_answer_and_what_no_slide_shows_are_left_out():
    text = "**How long?** A b c d e f.\n\n**Predict, then run.** Is it?"
    assert on_slides(text, "slide", words=6)[0] == ("slide", "**Predict, then run.** Is it?")
    text = "So it is. For each of them:"
    assert on_slides(text, "slide") == [("slide", text)]
    assert on_slides(text, "slide", announces=False) == [("slide", "So it is."), ("notes", text)]
    assert on_slides("For each:", "slide", announces=False) == [("slide", "For each:")]
    cells = [
        marked("markdown", "# A\n\n**B?**\n\nYes.", "slide"),
        marked("markdown", text, "slide"),
    ]
    later = marked("markdown", "Later.", "slide")
    for code, shown in ((marked("code", "1", None), "So it is."), (marked("code", "1", "-"), text)):
        found = only_slides(new_notebook(cells=[*cells, code, later])).cells
        assert shown in [cell.source for cell in found if slide_type(cell) == "-"]


def test_goals_and_questions_at_the_end_have_slides_of_their_own():
    goals = "So it goes.\n\n**After this notebook you can**\n\n1. see;\n2. do."
    assert [mark for mark, _ in on_slides(goals, "fragment")] == ["fragment", "slide"]
    end = "## Now\n\n1. *See*: yes.\n\n**Ask yourself.** Why?\n\n**References.** He et al."
    assert on_slides(end, "slide")[:2] == [
        ("slide", "## Now\n\n1. *See*: yes."),
        ("slide", "## Ask yourself\n\nWhy?"),
    ]


def test_a_heading_further_down_starts_a_slide():
    text = "So it ends.\n\n## Next\n\nHere.\n\n### Now\n\n**Predict, then run.** What?"
    next_ones = [
        ("slide", "## Next\n\nHere."),
        ("slide", "### Now\n\n**Predict, then run.** What?"),
    ]
    assert on_slides(text, "fragment") == [("fragment", "So it ends."), *next_ones]
    assert on_slides(text, "slide") == [*next_ones, ("notes", text)]


def test_sentences_end_where_a_reader_ends_them():
    assert sentences("It is 0.5 (as `a. b` says). *So?* Yes!") == [
        "It is 0.5 (as `a. b` says).", "*So?*", "Yes!",
    ]  # fmt: skip


def test_the_command_wants_a_checkout(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["slides"]) == 2
    assert "no slides/package.json there" in capsys.readouterr().err
