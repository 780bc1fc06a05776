"""The course as slides: of each notebook the cells that are marked as slides, for a projector.

A cell's mark is Jupyter's own (``slide_type`` in its metadata; JupyterLab's property inspector
shows it). A cell without one is on no slide, and a code cell tagged ``no-input-on-slides`` shows
what it drew, but not its code. Of a marked text a slide shows what the last row can read, see
`on_slides`; the whole of it is in the speaker's notes. nbconvert makes reveal.js slides of this;
``slides/`` holds their template, their style, and the versions of what they are shown with.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

NO_INPUT = "no-input-on-slides"
WORDS = 32  # of running text that a cell brings to a slide, twice as many where it stands alone
HEADING = re.compile(r"^#+ .*", re.MULTILINE)
QUESTION = "**Predict, then run.**"
GOALS = "**After this notebook you can**"
# Blocks of Markdown that a slide shows whole: headings, lists, tables, formulas and code.
WHOLE = re.compile(r"#|[-*] |\d+\. |\||\$\$|```")
SENTENCE_END = re.compile(r"[.?!][)\"*]*(?=\s)")
# A link to a notebook of the course, with or without a heading.
NOTEBOOK_LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb(#[^)\s]*)?\)")
# A link to another file of the course, which the slides do not have: its text stays.
FILE_LINK = re.compile(r"(?<!!)\[([^]]*)\]\((?![a-z]+:|\d\d_\w+\.ipynb)[^)\s]+\)")
# What the slides take from an npm package: (package, files in it).
_VENDORED = (
    ("mathjax", "MathJax.js"),
    ("mathjax", "LICENSE"),
    ("mathjax", "config/TeX-AMS_CHTML-full.js"),
    ("mathjax", "config/Safe.js"),
    ("mathjax", "extensions/Safe.js"),
    ("mathjax", "extensions/Math*.js"),
    ("mathjax", "extensions/HelpDialog.js"),
    ("mathjax", "fonts/HTML-CSS/TeX/woff/*"),
    ("mathjax", "jax/element/mml/optable/*.js"),
    ("mathjax", "jax/output/CommonHTML/**/*.js"),
    ("requirejs", "require.js"),
    ("reveal.js", "LICENSE"),
    ("reveal.js", "dist/reveal.js"),
    ("reveal.js", "dist/reveal.css"),
    ("reveal.js", "dist/theme/white.css"),
    ("reveal.js", "dist/theme/fonts/source-sans-pro/*"),
    ("reveal.js", "plugin/notes/notes.js"),
)


def build_slides(root=".", build="build", report=print) -> list[Path]:
    """Write the slides of each notebook to ``BUILD/slides``, with a page that lists them.

    They are made from the stored outputs, and ask no other machine for anything.

    Args:
        root: the checkout.
        build: folder that the slides and what npm brought go to; what an earlier call wrote to
            its ``slides`` is replaced.
        report: is called with each line of text.

    Returns:
        The slides' pages.

    Raises:
        FileNotFoundError: `root` is no checkout of the course, or there is no npm.
        OSError: npm failed.
    """
    from nbconvert import SlidesExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    from .book import fetch_packages

    root, build = Path(root).resolve(), Path(build).resolve()
    folder = build / "slides"
    if not (root / "slides/package.json").is_file():
        raise FileNotFoundError(f"{root}: no slides/package.json there; call it in a checkout")
    packages = fetch_packages(root / "slides/package.json", build / "npm", report)
    shutil.rmtree(folder, ignore_errors=True)
    for package, files in _VENDORED:
        for path in sorted(packages[package].glob(files)):
            copy = folder / package / path.relative_to(packages[package])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    shutil.copyfile(root / "slides/slides.css", folder / "slides.css")
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(root)],
        preprocessors=[TagRemovePreprocessor(remove_input_tags={NO_INPUT}, enabled=True)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        reveal_url_prefix="reveal.js",
        reveal_theme="white",
        reveal_transition="none",
        reveal_number="c/t",
        reveal_width="1280",
        reveal_height="720",
        require_js_url="requirejs/require.js",
        mathjax_url="mathjax/MathJax.js?config=TeX-AMS_CHTML-full,Safe",
    )
    written, entries = [], []
    for path in sorted(root.glob("notebooks/[0-9]*.ipynb")):
        title, question, number, text = _slides_of(path, exporter)
        written.append(folder / f"{path.stem}.html")
        written[-1].write_text(text, encoding="utf-8", newline="\n")
        entries.append((written[-1].name, title, question, number))
    (folder / "index.html").write_text(_index(entries), encoding="utf-8", newline="\n")
    slides = sum(number for *_, number in entries)
    report(f"{slides} slides of {len(written)} notebooks: {folder / 'index.html'}")
    return written


def _slides_of(path, exporter):
    """A notebook's title, its question, how many slides it has, and their page."""
    import nbformat

    notebook = only_slides(nbformat.read(path, as_version=4))
    title, question = re.findall(r"^# (.+)|^\*\*(.+)\*\*$", notebook.cells[0].source, re.MULTILINE)
    notebook.metadata["title"] = title[0]
    text, _ = exporter.from_notebook_node(notebook)
    number = sum(slide_type(cell) == "slide" for cell in notebook.cells)
    return title[0], question[1], number, text


def slide_type(cell) -> str:
    """A cell's mark: slide, subslide, fragment, notes, skip, or "-" for a slide's further cells.

    A cell without a mark is skipped.
    """
    return cell.metadata.get("slideshow", {}).get("slide_type", "skip")


def only_slides(notebook):
    """A notebook's marked cells, made ready for slides.

    A slide without a heading gets that of its section. Links between notebooks lead from slides to
    slides, those to other files of the course are taken away. Figures get the alternative text that
    the notebook has for them.

    Args:
        notebook: as nbformat reads it; it is left as it is.

    Returns:
        A notebook of the marked cells.
    """
    from nbformat import from_dict
    from nbformat.v4 import new_markdown_cell

    cells, heading = [], ""

    def add(mark, cell):
        cell.metadata["slideshow"] = {"slide_type": mark}
        cells.append(cell)

    all_cells = from_dict(notebook).cells
    marks = [slide_type(cell) for cell in all_cells]
    for place, cell in enumerate(all_cells):
        mark, is_text = marks[place], cell.cell_type == "markdown"
        following = next((m for m in marks[place + 1 :] if m not in ("skip", "notes")), "slide")
        alone = mark == following == "slide"
        words = 2 * WORDS if alone else WORDS
        left_out = following == "slide" and marks[place + 1 : place + 2] == ["skip"]
        parts = on_slides(cell.source, mark, words, not left_out) if is_text else [(mark, "")]
        for mark, text in parts if slide_type(cell) != "skip" else ():
            if mark == "slide" and not HEADING.match(text):
                add("slide", new_markdown_cell(heading))
                mark = "-"
            if is_text:
                text = NOTEBOOK_LINK.sub(r"](\1.html)", FILE_LINK.sub(r"\1", text))
                add(mark, new_markdown_cell(text))
                heading = _heading(text) or heading
            else:
                add(mark, _with_alternative_text(cell))
        heading = (_heading(cell.source) if is_text else "") or heading
    metadata = {name: part for name, part in notebook.metadata.items() if name != "widgets"}
    return from_dict({**notebook, "cells": cells, "metadata": metadata})


def _heading(text):
    """The last heading of a text, as that of a section; "" where it has none."""
    headings = HEADING.findall(text)
    return re.sub("^#+", "##", headings[-1]) if headings else ""


def _with_alternative_text(cell):
    from nbformat import from_dict

    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    for output in cell.outputs:
        if alt and "image/png" in output.get("data", ()):
            output.metadata = from_dict({"image/png": {"alt": alt}})
    return cell


def on_slides(text, mark, words=WORDS, announces=True) -> list[tuple[str, str]]:
    """What slides show of a Markdown cell, and the notes for who speaks.

    Headings, lists, tables, formulas and code are shown whole; of running text that no list comes
    before the first sentences, and those in bold, a question with its answer's first. A question to
    predict is shown whole, on a slide of its own if the cell belongs to the slide before. So are
    the goals; and the title with its question, and the questions at the notebook's end, always have
    slides of their own. A heading further down starts a slide; what a slide's cell has before it
    ends the section before, and stays in the notes.

    Args:
        text: the cell's source.
        mark: its `slide_type`.
        words: of running text, or the first sentence if that is longer.
        announces: whether the slides show what comes next; else the text's last sentence is left
            out where it announces that and ends in a colon.

    Returns:
        list of (mark, text); what was left out of the text brings the whole of it as "notes".

    >>> on_slides("All is well. **Predict, then run.** Is it?", "fragment")
    [('fragment', 'All is well.'), ('slide', '**Predict, then run.** Is it?')]
    """
    if mark in ("skip", "notes"):
        return [(mark, text)]
    told, _, _ = text.partition("\n\n**References.**")
    told, _, asked = told.partition("\n\n**Ask yourself.**")
    parts = _parts(told, mark, words)
    if not announces:
        mark, shown = parts.pop()
        parts.append((mark, _without_announcement(shown)))
    if asked:
        parts.append(("slide", f"## Ask yourself\n\n{asked.strip()}"))
    number = sum(len(part.split()) for _, part in parts)
    return parts if number >= len(text.split()) else [*parts, ("notes", text)]


def _without_announcement(text):
    before, gap, last = text.rpartition("\n\n")
    *kept, end = sentences(last) or [""]
    return f"{before}{gap}{' '.join(kept)}" if kept and end.endswith(":") else text


def _parts(text, mark, words):
    if text.startswith("# "):
        title, question, text = text.split("\n\n", 2)
        return [("slide", f"{title}\n\n{question}"), ("slide", _shown(text, words))]
    for heading in HEADING.finditer(text):
        before, later = text[: heading.start()], text[heading.start() :]
        if HEADING.sub("", before).strip():
            kept = mark != "slide" or HEADING.match(before)
            own = [(mark, _shown(before, words))] if kept else []
            return own + _parts(later, "slide", words)
    marker = next((marker for marker in (QUESTION, GOALS) if marker in text), None)
    if marker and mark == "fragment":
        before, _, after = text.partition(marker)
        return [(mark, _shown(before, words)), ("slide", _shown(marker + after, words))]
    return [(mark, _shown(text, words))]


def _shown(text, words):
    """The part of a text that is read from afar, see `on_slides`."""
    before, question, asked = text.partition(QUESTION)
    asked, _, _ = asked.partition("\n\n")
    left, shown = words - len(asked.split()), []
    first = not question  # a question leaves no room for a long sentence before it
    for block in re.split(r"\n\n(?=\S)", before.strip()):
        if WHOLE.match(block):
            shown.append(block)
            if re.match(r"[-*] |\d+\. ", block):
                left, first = 0, False
            continue
        kept = []
        for sentence in sentences(block):
            fits = left >= len(sentence.split()) or first
            left = left - len(sentence.split()) if fits else 0
            first = False
            answers = bool(kept) and kept[-1].endswith("?**")
            stands_out = answers or re.fullmatch(r"\*\*[^*]+\*\*", sentence)
            if fits or (stands_out and not question):
                kept.append(sentence)
        if question and kept and kept[-1].endswith("?**"):
            kept.pop()  # its answer found no room
        shown += [" ".join(kept)] * bool(kept)
    return "\n\n".join(shown + [question + asked] * bool(question))


def sentences(text) -> list[str]:
    """The sentences of a paragraph; a full stop in a formula or in code ends none.

    >>> sentences("See `f. g`, and $a. b$. **Why?** So.")
    ['See `f. g`, and $a. b$.', '**Why?**', 'So.']
    """
    found, start = [], 0
    for end in SENTENCE_END.finditer(text):
        sentence = text[start : end.end()]
        whole = not sentence.count("`") % 2 and not sentence.count("$") % 2
        bold = sentence.count("**") % 2 == 0
        if whole and bold:
            found.append(sentence.strip())
            start = end.end()
    return found + [text[start:].strip()] * bool(text[start:].strip())


def _index(entries):
    lines = "\n".join(
        f'<li><a href="{name}">{html.escape(title)}</a> {html.escape(question)}'
        f" <small>{number} slides</small></li>"
        for name, title, question, number in entries
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slides of the course</title>
<style>
body {{ font: 18px/1.5 sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
ul {{ list-style: none; padding: 0; }}
li {{ margin: 0.6rem 0; }}
small {{ color: #555; }}
</style>
</head>
<body>
<h1>Slides of the course</h1>
<p>Space goes on, <kbd>S</kbd> opens the speaker's notes, <kbd>F</kbd> fills the screen,
<kbd>Esc</kbd> shows all slides. For paper, add <code>?print-pdf</code> to a lesson's address.</p>
<ul>
{lines}
</ul>
</body>
</html>
"""
