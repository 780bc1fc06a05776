"""The notebooks' discipline, read from the files: what they hold, and how it is laid out.

`python tests/test_notebooks.py` lists the notebooks' asserts anew in `notebook_asserts.json`.
"""

import ast
import json
import re
import statistics
from pathlib import Path
from urllib.parse import unquote
from uuid import NAMESPACE_URL, uuid5

import nbformat
import pytest

from ncf_utils.course import SUMS_BY_PROCESSOR

ROOT = Path(__file__).resolve().parent.parent
ASSERTS = ROOT / "tests" / "notebook_asserts.json"
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TWINS = [path for path in PATHS if path.stem.endswith("_pytorch")]

NOT_COMPARED = {"nbval-ignore-output", "nbval-skip"}
# A path of somebody's machine. A link inside the course is relative, an address has a colon.
ABSOLUTE = re.compile(
    r"(?<![\w.:/<~])/(?:home|root|tmp|Users|usr|var|work|opt|mnt|private|etc|srv|data)/\w"
    r"|\b[A-Z]:\\\\?\w|/ipykernel_\d"
)
ADDRESS_OF_OBJECT = re.compile(r"\bat 0x[0-9a-f]{6,}")
PROGRESS = re.compile(r"\r|\d+(?:\.\d+)?\s?(?:it/s|s/it)\b|[█▏▎▍▌▋▊▉]")
FORBIDDEN = {
    "a shell command or an installation": re.compile(r"^\s*(?:!|%\s*pip|%%)", re.MULTILINE),
    "a star import": re.compile(r"^\s*from \S+ import \*", re.MULTILINE),
    "sys.path": re.compile(r"\bsys\.path\b"),
    "a blanket warning filter": re.compile(r"\b(?:simplefilter|filterwarnings)\(.ignore.\)"),
    "eval or exec": re.compile(r"(?<![.\w])(?:eval|exec)\("),
    "a path from its own folder, where papermill does not start": re.compile(r"[\"']\.\./"),
    "a pickle": re.compile(r"\bpickle\b|\btorch\.(?:load|save)\("),
}


def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in notebook(path).cells if cell.cell_type == "code"]


def text_of(path):
    """All Markdown of a notebook."""
    return "\n\n".join(c.source for c in notebook(path).cells if c.cell_type == "markdown")


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def length(cell):
    """Lines of a cell that are not blank."""
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def has_image(output):
    return any(kind.startswith("image/") for kind in output.get("data", ()))


def widget_id(output):
    """The id of the widget that an output shows, None where it shows none."""
    view = output.get("data", {}).get("application/vnd.jupyter.widget-view+json", {})
    return view.get("model_id")


def printed(cell):
    """The outputs of a cell that are text, a table or a record, and not a drawing."""
    return [output for output in cell.outputs if not has_image(output)]


def strings(value):
    """All strings in an output, however deep."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in strings(part)]


def output_text(cell):
    """What a reader sees of a cell's outputs, images left out."""
    return "\n".join(
        text
        for output in cell.outputs
        for key, value in {**output.get("data", {}), "text": output.get("text", "")}.items()
        if not key.startswith("image/")
        for text in strings(value)
    )


def asserts(path):
    """The asserts of a notebook, in order, written in one way."""
    return [
        ast.unparse(node)
        for cell in code_cells(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Assert)
    ]


def each_notebook(test):
    return pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)(test)


def test_the_course_has_no_gaps():
    numbers = sorted({int(path.stem[:2]) for path in PATHS})
    assert numbers == list(range(16))


# --- stored outputs ------------------------------------------------------------------------------


@each_notebook
def test_every_cell_was_run_once_in_order(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_outputs_are_stored(path):
    """A cell that ends with a print has printed, one that ends with a figure has drawn."""
    for cell in code_cells(path):
        last = ast.parse(cell.source).body[-1]
        if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
            if getattr(last.value.func, "id", "") == "print":
                assert any(output.get("name") == "stdout" for output in cell.outputs), cell.source
        if "plt.subplots(" in cell.source and not re.search(r"^def ", cell.source, re.MULTILINE):
            assert any(has_image(output) for output in cell.outputs), cell.source
    assert any(has_image(output) for cell in code_cells(path) for output in cell.outputs)


@each_notebook
def test_no_errors_and_nothing_on_stderr(path):
    for cell in code_cells(path):
        assert "raises-exception" not in tags(cell), cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text[:300]


@each_notebook
def test_no_path_address_or_progress_bar_is_stored(path):
    for cell in notebook(path).cells:
        shown = output_text(cell) if cell.cell_type == "code" else ""
        for pattern in (ABSOLUTE, ADDRESS_OF_OBJECT):
            found = pattern.search(cell.source) or pattern.search(shown)
            assert not found, f"{found.group()!r} in: {cell.source[:80]}"
        assert not PROGRESS.search(shown), f"a progress bar below: {cell.source[:80]}"


@each_notebook
def test_nothing_about_the_run_is_stored(path):
    """Times, the machine's Python and editors' settings are no part of a lesson."""
    stored = notebook(path)
    allowed = {"jupytext", "kernelspec", "language_info", "widgets"}
    if path.stem in SUMS_BY_PROCESSOR:  # what its last digits depend on
        allowed.add("processor")
        assert re.fullmatch(r"\w+ \d+K", stored.metadata.processor)
    assert set(stored.metadata) <= allowed
    assert stored.metadata.kernelspec == {
        "display_name": "Python 3", "language": "python", "name": "python3"
    }  # fmt: skip
    assert set(stored.metadata.get("language_info", ())) <= {"name"}
    for cell in stored.cells:
        keys = {"tags", "mystnb", "slideshow", "lines_to_next_cell"}
        assert set(cell.metadata) <= keys, cell.source[:80]


@each_notebook
def test_most_of_what_is_printed_is_compared(path):
    """nbval compares a cell's stored output unless a tag tells it not to."""
    printing = [cell for cell in code_cells(path) if printed(cell)]
    compared = [cell for cell in printing if not tags(cell) & NOT_COMPARED]
    assert len(compared) >= 0.6 * len(printing) > 0


@each_notebook
def test_what_is_not_compared_asserts_or_only_draws(path):
    for cell in code_cells(path):
        assert not re.search(r"NBVAL_|PYTEST_VALIDATE", cell.source), "use tags, not comments"
        assert "nbval-skip" not in tags(cell), cell.source
        if tags(cell) & NOT_COMPARED:
            tree = ast.walk(ast.parse(cell.source))
            has_assert = any(isinstance(node, ast.Assert) for node in tree)
            assert has_assert or not printed(cell), cell.source


@each_notebook
def test_no_assert_was_lost(path):
    """An assert is what a notebook claims: taking one away shows here."""
    listed = json.loads(ASSERTS.read_text(encoding="utf-8")).get(path.stem)
    assert asserts(path) == listed, "if that is meant: python tests/test_notebooks.py"
    assert len(listed) >= 5


@each_notebook
def test_widgets_are_stored_whole_labelled_and_beside_a_picture(path):
    """A page made from the notebook shows its widgets; where none can be shown, there is more."""
    stored = notebook(path)
    cells = [cell for cell in code_cells(path) if any(map(widget_id, cell.outputs))]
    saved = stored.metadata.get("widgets", {})
    assert bool(saved) == bool(cells)
    models = {name: model for part in saved.values() for name, model in part["state"].items()}
    # Ids that follow from the notebook's name come out again in the next run.
    expected = {uuid5(NAMESPACE_URL, f"{path.stem} {number}").hex for number in range(len(models))}
    assert set(models) == expected
    assert set(re.findall(r"IPY_MODEL_(\w+)", json.dumps(models))) <= expected
    assert len(json.dumps(models)) < 400_000
    assert not ABSOLUTE.search(" ".join(strings(models)))
    for model in models.values():
        if "disabled" in model["state"]:  # a control
            assert model["state"]["description"], model["model_name"]
    for cell in cells:
        others = [output for output in cell.outputs if not widget_id(output)]
        assert set(filter(None, map(widget_id, cell.outputs))) <= expected
        assert any(has_image(o) or "text/html" in o.get("data", ()) for o in others), cell.source


# --- parameters and record -----------------------------------------------------------------------


@each_notebook
def test_one_cell_of_parameters_plain_literals_checked_at_once(path):
    cells = code_cells(path)
    (at,) = [i for i, cell in enumerate(cells) if "parameters" in tags(cell)]
    for statement in ast.parse(cells[at].source).body:
        assert isinstance(statement, ast.Assign) and len(statement.targets) == 1
        assert isinstance(statement.targets[0], ast.Name)
        ast.literal_eval(statement.value)
    assert "check_parameters(" in cells[at + 1].source
    assert not any("check_parameters(" in cell.source for cell in cells[: at + 1])


@each_notebook
def test_every_parameter_is_used(path):
    cells = code_cells(path)
    (at,) = [i for i, cell in enumerate(cells) if "parameters" in tags(cell)]
    names = [statement.targets[0].id for statement in ast.parse(cells[at].source).body]
    used = {
        node.id
        for cell in cells[at + 1 :]
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name)
    }
    assert set(names) <= used


@each_notebook
def test_guarded_claims_are_asserted_for_the_parameters_that_stand_there(path):
    """`not usual or ...` must be able to fail in the notebook as it is."""
    cells = code_cells(path)
    (at,) = [i for i, cell in enumerate(cells) if "parameters" in tags(cell)]
    parameters = {s.targets[0].id: s.value for s in ast.parse(cells[at].source).body}
    parameters = {name: ast.literal_eval(value) for name, value in parameters.items()}
    guards, scope = {"as_written", "ours", "usual"}, parameters | {"parameters": parameters}
    for statement in ast.parse(cells[at + 1].source).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id in guards | {"chosen"}:
            exec(compile(ast.Module([statement], []), path.name, "exec"), scope)
    assert all(scope[name] is True for name in guards & set(scope))
    used = {name for name in guards for claim in asserts(path) if f"not {name}" in claim}
    assert used <= set(scope), "defined where the parameters are checked"


@each_notebook
def test_the_result_is_recorded(path):
    calls = [c for c in code_cells(path) if re.search(r"^record\(", c.source, re.MULTILINE)]
    assert len(calls) >= 1
    kind = "application/vnd.ncf.result+json"
    assert any(kind in output.get("data", ()) for cell in calls for output in cell.outputs)


# --- layout --------------------------------------------------------------------------------------


@each_notebook
def test_cells_are_short(path):
    lengths = sorted(length(cell) for cell in code_cells(path))
    assert lengths[-1] <= 25 and lengths[0] >= 1
    assert statistics.median(lengths) <= 7
    assert statistics.quantiles(lengths, n=10)[-1] <= 15


@each_notebook
def test_prose_stands_before_code(path):
    cells = notebook(path).cells
    assert cells[0].cell_type == cells[-1].cell_type == "markdown"
    words = [
        len(before.source.split())
        for before, cell in zip(cells, cells[1:], strict=False)
        if cell.cell_type == "code" and before.cell_type == "markdown"
    ]
    # Fifteen words or more; now and then a bridge such as "The same as a picture:" will do.
    assert sum(number >= 15 for number in words) >= 0.85 * len(words)
    kinds = "".join(cell.cell_type[0] for cell in cells)
    assert "ccc" not in kinds  # two cells of code in a row at most
    assert kinds.count("cc") <= 0.2 * kinds.count("c")


@each_notebook
def test_figures_have_alternative_text(path):
    for cell in code_cells(path):
        if any(has_image(output) for output in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 5, cell.source
    assert not re.search(r"!\[\s*\]\(", text_of(path)) and "<img" not in text_of(path)


@each_notebook
def test_title_goals_and_answers(path):
    text, cells = text_of(path), notebook(path).cells
    titles = re.findall(r"^# (.*)", text, re.MULTILINE)
    assert len(titles) == 1 and cells[0].source.startswith(f"# {path.stem[:2]} · ")
    start = text.index("After this notebook you can")
    goals = re.match(r"(?:(?!\n\d).)*?\n((?:\n?\d+\. .*)+)", text[start:], re.DOTALL).group(1)
    goals = re.findall(r"^\d+\. ", goals.split("\n\n#")[0], re.MULTILINE)
    answers = text[text.index("## What you can do now") :]
    answers = re.findall(r"^\d+\. ", answers, re.MULTILINE)
    assert 3 <= len(goals) <= 5
    assert answers == goals  # each goal is answered in a line


@each_notebook
def test_readers_are_asked(path):
    text = text_of(path)
    assert re.search(r"\*\*Predict, then run", text)
    assert re.search(r"\*\*Ask yourself", text)
    exercises = text[text.index("\n## Exercises") : text.index("\n## What you can do now")]
    numbers = re.findall(r"^\*\*(\d+)\.", exercises, re.MULTILINE)
    assert numbers == [str(i + 1) for i in range(len(numbers))] and 3 <= len(numbers) <= 6
    assert exercises.count("<summary>Hint") >= 2
    assert exercises.count("<summary>Solution") >= 2


@each_notebook
def test_links_inside_the_course_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        assert not target.startswith("/"), target
        if not re.match(r"[a-z]+:", target):
            file, _, heading = target.partition("#")
            found = path.parent / unquote(file) if file else path
            assert found.is_file(), target
            if heading and found.suffix == ".ipynb":
                heads = re.findall(r"^#+ (.*)", text_of(found), re.MULTILINE)
                assert heading in [head.replace(" ", "-") for head in heads], target
        assert not re.search(r"!\[[^\]]*\]\(https?:", text_of(path)), "a picture from elsewhere"


@each_notebook
def test_code_that_a_lesson_must_not_show(path):
    for cell in code_cells(path):
        for name, pattern in FORBIDDEN.items():
            assert not pattern.search(cell.source), f"{name}: {cell.source}"


# --- twins ---------------------------------------------------------------------------------------


def neutral(text):
    """A text with the framework's name left open."""
    return re.sub(r"PyTorch|Keras|pytorch|keras|torch", "X", text)


@pytest.mark.parametrize("path", TWINS, ids=lambda path: path.stem)
def test_twins_are_the_same_lesson(path):
    one = notebook(path).cells
    other = notebook(path.with_name(path.name.replace("_pytorch", "_keras"))).cells
    assert [cell.cell_type for cell in one] == [cell.cell_type for cell in other]
    for first, second in zip(one, other, strict=True):
        assert first.metadata.get("slideshow") == second.metadata.get("slideshow"), first.source
        heads = [re.findall(r"^#+ .*", neutral(c.source), re.MULTILINE) for c in (first, second)]
        if first.cell_type == "markdown":
            assert heads[0] == heads[1]
            continue
        assert tags(first) == tags(second), first.source
        drawn = [sum(map(has_image, cell.outputs)) for cell in (first, second)]
        assert drawn[0] == drawn[1] and bool(first.outputs) == bool(second.outputs), first.source
        if "parameters" in tags(first):
            assert first.source == second.source
        alts = [c.metadata.get("mystnb", {}).get("image", {}).get("alt") for c in (first, second)]
        assert neutral(alts[0] or "") == neutral(alts[1] or "")


@pytest.mark.parametrize("path", TWINS, ids=lambda path: path.stem)
def test_twins_name_each_other(path):
    twin = path.with_name(path.name.replace("_pytorch", "_keras"))
    assert f"]({twin.name})" in text_of(path) and f"]({path.name})" in text_of(twin)


def test_no_twin_stands_alone():
    stems = {path.stem for path in PATHS}
    for stem in stems:
        if stem.endswith(("_pytorch", "_keras")):
            assert {stem.rsplit("_", 1)[0] + end for end in ("_pytorch", "_keras")} <= stems


if __name__ == "__main__":
    listed = json.dumps({path.stem: asserts(path) for path in PATHS}, indent=1, ensure_ascii=False)
    ASSERTS.write_text(listed + "\n", encoding="utf-8")
