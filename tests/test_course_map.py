"""The course's pages beside the notebooks: questions, mistakes and words lead where they say.

`notebooks/QUESTIONS.md` says where each question that learners ask, and each mistake that is common
elsewhere, is dealt with. `WORDS` are words of the place itself, so that a heading that stays while
its lesson goes is noticed.
"""

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

# Question, as on the page -> words under the heading that the page links to.
WORDS = {
    "Why resample every epoch?": "## Why fresh ones every epoch?",
    "Are negatives really negative?": "one that the user did not watch *so far*",
    "Why four?": "*why four?*",
    "With or without replacement?": "Forbidding repeats would cost time",
    "May the test item be a training negative?": "a test item may be a training negative",
    "Why can't I reach the paper's HR?": "Why can't I reach the paper's HR?",
    "Why is full-ranking HR only 5 %?": "full-ranking HR only a few per cent",
    "Is it log2(rank + 1) or + 2?": "These are the same. Mixed up",
    "Why does the validation loss rise?": "HR asks only for the *order* of scores",
    "Is a difference of one point real?": "the *paired* bootstrap",
    "Is an embedding a Linear?": "**Is an embedding a Linear over",
    "Why not feed the id itself?": "a model believes every number it is given",
    "Why Hadamard and not dot?": "a sum cannot be undone",
    "Does a dot product need normalised vectors?": "a dot product needs no normalised vectors",
    "Is a layer missing in GMF?": "**Is a layer missing?**",
    "Are factors the embedding size?": "**Are factors the embedding size",
    "Where is the sigmoid?": "In the loss, not in the model",
    "How do I pre-train, and SGD or Adam after?": "**Why not Adam?**",
    "Do I need the network at all?": "any network has to beat MF, ALS and EASE",
    "How do I get the top ten for one user?": "**How do I get the top ten for one user?**",
    "What about a new user?": "**What about a new user?**",
    "And what about a new user, without any training?": "No training, no table row",
    "Why is the GPU slower than the CPU?": "the CPU must tell it each operation",
    "What is a good batch size?": "The fastest one that still learns as well",
    "How long should it take?": "**How long should it take?**",
}
MISTAKES = {
    "the best epoch is picked on the test items": "code prints the first",
    "the test items are among the training data": "With the test items in training HR@10 soars",
    "the positive stands among its own candidates": "156 of 6,040 rows",
    "ties decide": "For the constant model the rule",
    "NDCG with a natural logarithm": "the natural logarithm inflates every value",
    "training negatives avoid the test item": "The leaking one finds",
    "negatives are drawn once, and reused": "With the same negatives in every epoch",
    "a rejection loop without an end": "a training that hangs, without a message",
    "the range of items is taken from the number of users": "below the number of *films*",
    "raw ids are used as indices": "The cure is to number afresh",
    "the MLP branch is fed with the MF embeddings": "tower is fed with the *GMF* tables",
    "pre-trained weights are copied without biases": "tower's weights but not its biases",
    "a sigmoid inside a loss that has one": "look for a second sigmoid",
    "embeddings drawn from N(0, 1)": r"$\mathcal N(0, 1)$",
    "no ReLU between the layers": "linear layers, however many, are one",
    "an L2 penalty so large that all scores tie": "too strong a penalty has pushed to zero",
    "an L2 penalty on P and Q, but not on h": "halve both tables and multiply `h`",
    "a full ranking beside 99 candidates": "A recommender in service does not choose among",
    "training items are left in the full ranking": "films from *training* have to be taken out",
    "“factors” that mean three things": "Predictive factors are what the output layer",
    "lists of layers are read with `eval`": "read as data, never with `eval`",
    "whole models are pickled": "The usual alternative, a pickle",
}
LINK = r"\[(?P<label>[^\]]+)\]\((?P<file>[\w.]+\.ipynb)#(?P<anchor>[^\s)]+)\)"


def page(name):
    return (NOTEBOOKS / name).read_text(encoding="utf-8")


@cache
def cells(file):
    """The Markdown and code of a notebook's cells, and whether it is Markdown."""
    parts = json.loads(page(file))["cells"]
    return [("".join(cell["source"]), cell["cell_type"] == "markdown") for cell in parts]


@cache
def sections(file):
    """heading -> all that stands under it, up to the next heading."""
    found, under = {}, None
    for source, is_markdown in cells(file):
        for part in re.split(r"^(?=#+ )", source, flags=re.MULTILINE) if is_markdown else [source]:
            if is_markdown and (head := re.match(r"#+ (.*)", part)):
                under = found.setdefault(head[1], [])
            if part:  # the first cell begins with the title
                under.append(part)
    return {heading: "\n".join(parts) for heading, parts in found.items()}


def twins(file):
    """A notebook, and its twin where there is one."""
    return sorted({file, file.replace("_pytorch", "_keras")})


def questions():
    """question -> (its answer, its link) on the page."""
    entry = re.compile(rf"^\*\*(?P<question>[^*]+\?)\*\* (?P<answer>.+) {LINK}$", re.MULTILINE)
    return {found["question"]: found for found in entry.finditer(page("QUESTIONS.md"))}


def mistakes():
    """mistake -> (how it shows, its link) on the page."""
    row = re.compile(rf"^\| (?P<mistake>.+?) \| (?P<answer>.+?) \| {LINK} \|$", re.MULTILINE)
    return {found["mistake"]: found for found in row.finditer(page("QUESTIONS.md"))}


ENTRIES = questions() | mistakes()


def test_the_page_and_the_map_have_the_same_entries():
    text = page("QUESTIONS.md")
    assert list(questions()) == list(WORDS) and list(mistakes()) == list(MISTAKES)
    assert len(WORDS) >= 20 and len(MISTAKES) >= 21
    # nothing on the page escapes the patterns above
    assert text.count("\n**") == len(WORDS) and text.count("\n| ") == len(MISTAKES) + 2


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_is_dealt_with_where_the_page_says(entry):
    link, words = ENTRIES[entry], (WORDS | MISTAKES)[entry]
    number = link["file"][:2]
    heading = link["label"] if link["label"] in sections(link["file"]) else link["label"][5:]
    assert link["label"] in (heading, f"{number} · {heading}") and link["label"][:2] == number
    assert link["anchor"] == heading.replace(" ", "-")
    for file in twins(link["file"]):
        assert heading in sections(file), f"{file}: there is no heading {heading!r}"
        assert words in sections(file)[heading], f"{file}: {words!r} is not under {heading!r}"


@pytest.mark.parametrize("question", questions())
def test_an_answer_is_short(question):
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z[])", ENTRIES[question]["answer"])
    assert len(sentences) <= 2 and sentences[-1].endswith("."), sentences


@pytest.mark.parametrize("name", ["QUESTIONS.md", "GLOSSARY.md"])
def test_links_of_the_pages_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", page(name)):
        file, _, anchor = target.partition("#")
        assert (NOTEBOOKS / file).is_file(), target
        if anchor:
            heads = sections(file) if file.endswith(".ipynb") else glossary()
            assert anchor in [head.replace(" ", "-") for head in heads], target


@pytest.mark.parametrize("file", ["../README.md", "00_start_here.ipynb"])
@pytest.mark.parametrize("name", ["QUESTIONS.md", "GLOSSARY.md"])
def test_the_pages_are_linked_to(file, name):
    assert re.search(rf"\]\((notebooks/)?{name}\)", page(file))


# --- words ---------------------------------------------------------------------------------------


def glossary():
    """term -> what stands under its heading."""
    parts = re.split(r"^## (.*)$", page("GLOSSARY.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchor_of(term):
    """One anchor for JupyterLab, GitHub and Sphinx.

    JupyterLab takes a heading as it is, the other two in small letters and without commas. So terms
    are such headings; one with a capital letter has an anchor for JupyterLab before it.
    """
    return re.sub(r"[^a-z0-9-]", "", term.lower().replace(" ", "-"))


def test_each_term_has_an_anchor():
    text = page("GLOSSARY.md")
    terms = list(glossary())
    assert len(terms) >= 35 and terms == sorted(terms, key=str.lower)
    assert len({anchor_of(term) for term in terms}) == len(terms)
    for term in terms:
        before = f'<a data-jupyter-id="{anchor_of(term)}"></a>\n\n## {term}\n'
        assert anchor_of(term) == term.replace(" ", "-") or before in text, term
    assert text.count("<a ") == sum(anchor_of(term) != term.replace(" ", "-") for term in terms)


@pytest.mark.parametrize("term", glossary())
def test_the_glossary_names_a_notebook_that_uses_the_term(term):
    """Each entry has a Chinese term and a link to a notebook that has the term, or its letters."""
    entry = glossary()[term]
    assert re.search(r"[\u4e00-\u9fff]", entry)
    [file] = re.findall(r"\((\S+\.ipynb)\)", entry)
    lesson = " ".join(source for source, _ in cells(unquote(file)))
    lesson = lesson.lower().replace("-", " ").replace("\u2011", " ")
    words = [term, *re.findall(r"\*\*(\w+)[^*]*\*\*", entry)]
    words += [term.partition(" and ")[2] or term]
    assert any(word.lower().replace("-", " ") in lesson for word in words), file


# --- from a lesson to its words ------------------------------------------------------------------

LESSONS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
TO_A_TERM = re.compile(r"\[([^\]]+)\]\(GLOSSARY\.md#([^)]+)\)")
# No running text: headings, tables, what is folded, lists with numbers, the title's question.
APART = re.compile(r"#|\||<|\*\*References|\d+\. |\*\*[^*]*\?\*\*$")
NOT_READ_ON = re.compile(
    r"`[^`\n]*`|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)|^Builds on.*?\. (?=[A-Z])", re.MULTILINE
)


def running_text(file):
    """Line by line what is read on in a lesson, links to terms as they stand."""
    text = "\n".join(source for source, is_markdown in cells(file) if is_markdown)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if not APART.match(line)]


def terms_of(file):
    """(words, anchor) of each link of a lesson to a term, wherever it stands."""
    return [link for source, _ in cells(file) for link in TO_A_TERM.findall(source)]


@pytest.mark.parametrize("file", LESSONS)
def test_a_lesson_links_a_few_words_to_the_glossary(file):
    anchors = [anchor for _, anchor in terms_of(file)]
    assert set(anchors) <= {anchor_of(term) for term in glossary()}
    assert len(anchors) == len(set(anchors)) and 4 <= len(anchors) <= 12
    running = TO_A_TERM.findall("\n".join(running_text(file)))
    assert [anchor for _, anchor in running] == anchors, "a link in a heading, a list or code"


@pytest.mark.parametrize("file", LESSONS)
def test_the_first_use_of_a_word_is_the_link(file):
    text = "\n".join(running_text(file))
    for link in TO_A_TERM.finditer(text):
        before = NOT_READ_ON.sub("", TO_A_TERM.sub(r"\1", text[: link.start()]))
        assert not re.search(rf"(?<![\w-]){re.escape(link[1])}(?![\w@-])", before), link[1]


@pytest.mark.parametrize("file", [file for file in LESSONS if "_pytorch" in file])
def test_twins_link_the_same_words(file):
    assert terms_of(file) == terms_of(file.replace("_pytorch", "_keras"))


def test_each_term_is_linked_to_from_a_lesson():
    linked = {anchor for file in LESSONS for _, anchor in terms_of(file)}
    assert {anchor_of(term) for term in glossary()} == linked
