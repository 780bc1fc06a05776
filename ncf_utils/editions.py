"""A teacher's copies of the course: the student edition, without solutions and outputs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

# A solution in a text, and the sentence that says where to load one from.
SOLUTION = re.compile(r"\n*<details><summary>Solution</summary>.*?</details>", re.DOTALL)
STUCK = re.compile(r" Stuck\? The hint, and then `%load [^`]*`[^.]*\.")
# What the notebooks read or link to beside them, relative to their folder.
BESIDE = ("../data/results", "../data/reference", "../benchmarks", "../sweeps", "../ncf_utils")


def without_solutions(text):
    """A Markdown text without its solutions; hints stay.

    >>> without_solutions("**1.** Why?\\n\\n<details><summary>Solution</summary>So.</details>")
    '**1.** Why?'
    """
    return STUCK.sub("", SOLUTION.sub("", text))


def student_edition(notebooks="notebooks", build="build") -> list[Path]:
    """Write each notebook without its outputs and solutions to ``BUILD/student/notebooks``.

    The files that the notebooks read are copied beside them. What an earlier call wrote there is
    replaced.

    Args:
        notebooks: folder of the course.
        build: folder that the edition goes to.

    Returns:
        The notebooks written.

    Raises:
        FileNotFoundError: the folder has no notebooks.
    """
    from nbconvert import NotebookExporter
    from nbconvert.preprocessors import ClearOutputPreprocessor, Preprocessor

    class WithoutSolutions(Preprocessor):
        def preprocess(self, notebook, resources):
            notebook.metadata.pop("widgets", None)  # what widgets showed is an output, too
            return super().preprocess(notebook, resources)

        def preprocess_cell(self, cell, resources, index):
            if cell.cell_type == "markdown":
                cell.source = without_solutions(cell.source)
            return cell, resources

    notebooks = Path(notebooks)
    paths = sorted([*notebooks.glob("*.ipynb"), *notebooks.glob("experiments/*.ipynb")])
    if not paths:
        raise FileNotFoundError(f"{notebooks}: no notebooks there")
    folder = Path(build) / "student" / notebooks.resolve().name
    shutil.rmtree(folder.parent, ignore_errors=True)
    exporter = NotebookExporter(preprocessors=[ClearOutputPreprocessor, WithoutSolutions])
    written = []
    for path in paths:
        text, _ = exporter.from_filename(str(path))
        written.append(folder / path.relative_to(notebooks))
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        written[-1].write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    for page in notebooks.glob("*.md"):  # the glossary and the questions, which lessons link to
        shutil.copy(page, folder)
    for name in BESIDE:
        if (notebooks / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.lock")
            shutil.copytree(notebooks / name, folder / name, ignore=ignored, dirs_exist_ok=True)
    return written
