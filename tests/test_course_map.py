"""Where each question that learners ask, and each mistake that is common elsewhere, is dealt with.

An entry: the question or mistake, the notebook (without the framework, where there are twins), and
words that stand in the cell.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

QUESTIONS = [
    ("Why resample every epoch?", "04_negative_sampling", "## Why fresh ones every epoch?"),
    ("Are negatives really negative?", "04_negative_sampling", "## Are negatives really negative?"),
    ("Why four?", "10_negatives_and_depth", "*why four?*"),
    ("With or without replacement?", "04_negative_sampling", "## With or without replacement?"),
    ("May the test item be a training negative?", "04_negative_sampling", "avoiding it leaks"),
    ("Why can't I reach the paper's HR?", "08_neumf", "Why can't I reach the paper's HR?"),
    ("Why is full-ranking HR only 3 %?", "05_evaluation", "full-ranking HR only a few per cent"),
    ("Is it log2(rank + 1) or + 2?", "05_evaluation", "These are the same. Mixed up"),
    ("Why does the validation loss rise?", "05_evaluation", "## Why does the validation loss rise"),
    ("Where is the sigmoid?", "04_negative_sampling", "## Where is the sigmoid?"),
    ("How do I pre-train, and SGD or Adam after?", "08_neumf", "**Why not Adam?**"),
    ("Are factors the embedding size?", "07_mlp", "**Are factors the embedding size"),
    ("Why Hadamard and not dot?", "03_hadamard_product", "### Why Hadamard and not dot?"),
    ("Is a layer missing in GMF?", "06_gmf", "**Is a layer missing?**"),
    ("Is an embedding a Linear?", "02_one_hot_and_embedding", "**Is an embedding a Linear over"),
    ("How do I get the top ten for one user?", "14_serving", "## The top ten for one user"),
    ("What about a new user?", "14_serving", "**What about a new user?**"),
    (
        "Why is the GPU slower than the CPU?",
        "14_serving",
        "**Why is the GPU slower than the CPU?**",
    ),
    ("What is a good batch size?", "15_scaling_out", "## What is a good batch size?"),
    ("How long should it take?", "06_gmf", "**How long should it take?**"),
]
MISTAKES = [
    ("best epoch picked on the test items", "11_the_paper_rerun", "## Three ways to report one"),
    ("the positive among its own candidates", "05_evaluation", "156 of 6,040 rows"),
    (
        "ties decide what a constant model scores",
        "05_evaluation",
        "For the constant model the rule",
    ),
    ("natural logarithm in NDCG", "05_evaluation", "the natural logarithm inflates every value"),
    ("negatives that avoid the test item", "04_negative_sampling", "The leaking one finds"),
    ("negatives drawn once", "04_negative_sampling", "With the same negatives in every epoch"),
    ("a rejection loop without an end", "04_negative_sampling", "The `while` is the rejection"),
    ("range of items from the users", "04_negative_sampling", "`num_users` instead of `num_items`"),
    ("raw ids as indices", "02_one_hot_and_embedding", "The cure is to number afresh"),
    ("MF embeddings in the MLP branch", "08_neumf", "tower is fed with the *GMF* tables"),
    ("pre-trained weights without biases", "08_neumf", "tower's weights but not its biases"),
    ("a sigmoid inside a loss that has one", "04_negative_sampling", "look for a second sigmoid"),
    ("N(0, 1) embeddings", "08_neumf", r"$\mathcal N(0, 1)$"),
    (
        "no ReLU between the layers",
        "10_negatives_and_depth",
        "linear layers, however many, are one",
    ),
    ("L2 so large that all scores tie", "05_evaluation", "too strong a penalty has pushed to zero"),
    ("L2 on P and Q but not on h", "12_ncf_against_mf", "## A penalty that h undoes"),
    ("full ranking beside 99 candidates", "05_evaluation", "## A hundred films, or all of them?"),
    ("training items left in the full ranking", "05_evaluation", "with training films left in"),
    ("factors that mean three things", "07_mlp", "Predictive factors are what the output layer"),
    ("layer lists read with eval", "10_negatives_and_depth", "read as data, never with `eval`"),
    ("whole models pickled", "14_serving", "The usual alternative, a pickle"),
]


def texts(notebook):
    """The cells of a notebook, or of each of its twins."""
    paths = sorted((ROOT / "notebooks").glob(f"{notebook}*.ipynb"))
    assert paths, f"there is no notebook {notebook}"
    for path in paths:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path.name, ["".join(cell["source"]) for cell in cells]


@pytest.mark.parametrize(
    ("what", "notebook", "words"), QUESTIONS + MISTAKES, ids=lambda value: value
)
def test_it_is_dealt_with_where_the_map_says(what, notebook, words):
    for name, cells in texts(notebook):
        assert any(words in cell for cell in cells), f"{name}: {words!r} does not stand there"


def test_the_map_is_whole():
    assert (
        len({what for what, *_ in QUESTIONS}) == 20 and len({what for what, *_ in MISTAKES}) == 21
    )


def test_the_glossary_names_notebooks_that_use_the_term():
    """Each row has a Chinese term and a link to a notebook that has the term, or its letters."""
    text = (ROOT / "notebooks" / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    terms = [row[0].removeprefix("| ") for row in rows]
    assert len(terms) >= 35 and terms == sorted(terms, key=str.lower)
    for term, row in zip(terms, rows, strict=True):
        assert re.search(r"[\u4e00-\u9fff]", row[1]), term
        file = re.search(r"\((\S+\.ipynb)\)", row[-1]).group(1)
        cells = dict(texts(file.removesuffix(".ipynb")))[file]
        lesson = " ".join(cells).lower().replace("-", " ").replace("\u2011", " ")
        words = [part.strip().lower().replace("-", " ") for part in term.split(",")]
        words = [word.removesuffix("@k") for word in words]
        assert any(word in lesson for word in words), f"{file}: {term}"
