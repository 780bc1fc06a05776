"""What the course site is made from: its pages, their links, and the tables drawn from results."""

import io
import json
import re
import shutil
import tarfile

import pandas as pd
import pytest

from ncf_utils import book
from ncf_utils.cli import main


@pytest.fixture(scope="module")
def source(root, tmp_path_factory):
    """The site's sources, and the pages among them."""
    folder = tmp_path_factory.mktemp("source")
    return folder, book.gather(root, folder)


def text(source, name):
    return (source[0] / name).read_text(encoding="utf-8")


def test_every_notebook_is_a_page_with_its_outputs(root, source):
    for path in root.glob("notebooks/[0-9]*.ipynb"):
        name = f"notebooks/{path.name}"
        assert name in source[1]
        cells = [json.loads(page)["cells"] for page in (path.read_text(), text(source, name))]
        for own, page in zip(*cells, strict=True):
            assert len(own.get("outputs", ())) == len(page.get("outputs", ()))
            assert own["cell_type"] != "code" or own["source"] == page["source"]


def test_a_link_to_a_file_leads_to_a_page_that_shows_it(root, source):
    page = text(source, "notebooks/15_scaling_out.ipynb")
    assert "](../ncf_utils/distributed.py.md)" in page and "distributed.py)" not in page
    shown = text(source, "ncf_utils/distributed.py.md")
    code = (root / "ncf_utils/distributed.py").read_text(encoding="utf-8")
    assert f"{{code-block}} python\n{code}``````" in shown
    in_html = text(source, "notebooks/05_evaluation.ipynb")
    assert re.search(r'href=\\"solutions/05_1\.py\.html\\"', in_html)
    assert "](../data/results/README.md)" in text(source, "benchmarks/README.md")
    assert "](../../sweeps/index.md)" in text(source, "data/results/README.md")


def test_a_link_to_markdown_leads_to_a_page_of_it(root, source):
    assert "](CONTRIBUTING.md)" in text(source, "running.md")
    page = text(source, "CONTRIBUTING.md")
    own = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert page.startswith("---\norphan: true\n---\n# ") and "```{code-block}" not in page
    assert page.splitlines()[3] == own.splitlines()[0]
    assert "CONTRIBUTING.md.md" not in source[1]


def test_what_was_measured_and_tried_is_in_the_table_of_contents(root, source):
    contents = text(source, "_contents.md").splitlines()
    for name, short in (("benchmarks", "Speed"), ("trust", "Trust")):
        assert f"{short} <{name}/README.md>" in contents
        own = (root / name / "README.md").read_text(encoding="utf-8").splitlines()
        assert text(source, f"{name}/README.md").splitlines()[0] == own[0]


def test_in_pandas_tables_columns_of_words_are_marked():
    table = pd.DataFrame(
        {"film": ["Heat", "1984"], "hr": [0.5, float("nan")], "gain": ["+1 %", "-2.5e-3"]},
        index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["model", "seed"]),
    )
    shown = book.with_columns(f"<div>{table.to_html()}</div><table><td>Heat</td></table>")
    words = re.findall(r'<t[hd] class="text"[^>]*>(.*?)</t[hd]>', shown)
    # The names of rows, with the headings above them; not the empty headings of columns.
    assert words == ["", "", "film", "model", "seed", "", "a", "1", "Heat", "2", "1984"]
    assert (
        re.sub(' class="text"', "", shown)
        == f"<div>{table.to_html()}</div><table><td>Heat</td></table>"
    )
    assert book.with_columns("no table") == "no table"


def test_anchors_and_other_sites_stay_as_they_are(root):
    pages, linked = {"notebooks/a.ipynb": ""}, {}
    given = "[a](a.ipynb#One-hot) [b](https://example.org/a.ipynb) [c](#here) [d](nowhere.md)"
    assert book._relinked(given, "notebooks/b.md", root, pages, linked) == given
    assert not linked
    assert (
        book._relinked('<a href="a.ipynb#One-hot">', "notebooks/b.md", root, pages, linked)
        == '<a href="a.html#One-hot">'
    )


def test_a_folder_lists_what_each_file_says_of_itself(source):
    page = text(source, "ncf_utils/index.md")
    assert "[metrics.py](metrics.py.md): " in page
    assert "__init__" not in page


def test_the_table_has_the_readmes_questions_and_the_notebooks_goals(root, source):
    table = text(source, "_notebooks.md")
    readme = (root / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d) \| .* \| (.*) \|$", readme, re.MULTILINE)
    assert len(rows) == table.count("<tr><td") > 15
    for _, question in rows:
        assert f"<p>{question}</p>" in table
    assert '<a href="notebooks/06_gmf_keras.html">Keras</a>' in table
    first = table.partition("<details>")[2].partition("</details>")[0]
    assert first.count("<li>") == 4 and "say whether your machine has what" in first


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ("**After this notebook you can**", "does not say its goals"),
        ("Runs in", "in what time it runs"),
    ],
)
def test_a_notebook_that_does_not_say_what_the_table_needs_is_named(root, tmp_path, taken, message):
    path = shutil.copy(root / "notebooks/05_evaluation.ipynb", tmp_path)
    (tmp_path / "05_evaluation.ipynb").write_text(
        (tmp_path / "05_evaluation.ipynb").read_text(encoding="utf-8").replace(taken, ""),
        encoding="utf-8",
    )
    row = "| 05 | [evaluation](notebooks/05_evaluation.ipynb) | How? |"
    with pytest.raises(ValueError, match=f"05_evaluation.ipynb: .*{message}"):
        book.notebook_table([row], {"05_evaluation.ipynb": tmp_path / "05_evaluation.ipynb"})
    assert path


def test_a_notebook_that_the_readme_forgot_is_named(root):
    path = root / "notebooks/05_evaluation.ipynb"
    with pytest.raises(ValueError, match="does not have 05_evaluation.ipynb"):
        book.notebook_table([], {path.name: path})


# --- from the results


def test_the_explorer_holds_the_number_that_compares(root, tmp_path):
    folder = tmp_path / "data/results"
    folder.mkdir(parents=True)
    shutil.copytree(root / "data/reference", tmp_path / "data/reference")
    runs = pd.DataFrame(
        {
            "dataset": ["ncf-ml-1m"] * 2,
            "framework": "torch",
            "model": ["GMF", "MLP"],
            "num_factors": [8.0, None],
            "hidden_layers": [None, "[32, 16, 8]"],
            "num_negatives": 4,
            "seed": [0, 1],
            "pretrain": [None, False],
            "test_hr": [0.61, 0.62],
            "test_ndcg": [0.31, 0.32],
            "refit_hr": [0.63, None],
            "refit_ndcg": [0.33, None],
            "refit_full_hr_by_k": ["[0.01, 0.09]", None],
            "learning_rate": [0.1, 0.2],
            "run": ["<a>", "b"],
        }
    )
    runs.to_csv(folder / "own.csv", index=False)
    table = book.results_table(tmp_path)
    rows = re.findall(r"<tr [^>]*data-ours>(.*?)</tr>", table)
    cells = [dict(re.findall(r'data-label="([^"]+)"[^>]*>([^<]*)</td>', row)) for row in rows]
    gmf, mlp = cells
    assert (gmf["HR@10"], gmf["HR@10, all items"], gmf["factors"]) == ("0.6300", "0.0900", "8")
    assert gmf["layers"] == "" and gmf["pre-trained"] == ""
    assert gmf["more"].startswith("refit, learning rate 0.1") and "own.csv &lt;a&gt;" in gmf["more"]
    assert (mlp["HR@10"], mlp["HR@10, all items"], mlp["layers"]) == ("0.6200", "", "3")
    assert mlp["factors"] == "8" and mlp["pre-trained"] == "no" and "picked epoch" in mlp["more"]
    published = pd.read_csv(root / "data/reference/published.csv")
    assert table.count("<tr data-dataset") == 2 + len(published)


def test_the_picture_and_its_words_say_the_same(source):
    tables, levels = book.paper_runs()
    for x, table in tables.items():
        words = book.promise_in_words(table, x, levels)
        for model, line in table.groupby("model"):
            assert f"{model} goes from {line.test_hr.iloc[0]:.2f}" in words
        light, dark = (text(source, f"{x}-{kind}.svg") for kind in ("light", "dark"))
        assert "#009e73" in light.lower() or x == "num_layers"
        assert light != dark and words in text(source, "_promise.md")


def test_the_legend_of_the_picture_is_not_cut(monkeypatch):
    import matplotlib.pyplot as plt

    drawn = []
    monkeypatch.setattr(plt, "close", drawn.append)  # they are closed once they are written
    tables, levels = book.paper_runs()
    for x, table in tables.items():
        book.promise(table, x, levels)
    monkeypatch.undo()
    for figure in drawn:
        [legend] = figure.legends
        box = legend.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.width
        plt.close(figure)
    assert len(drawn) == 2


# --- what can go wrong


def test_without_npm_the_error_says_what_to_install(tmp_path, monkeypatch):
    wanted = tmp_path / "package.json"
    wanted.write_text('{"dependencies": {"mathjax": "3.2.2"}}')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="npm is not there.*Node.js"):
        book.fetch_packages(wanted, tmp_path / "npm", report=lambda line: None)


def test_npms_own_words_are_passed_on_and_nothing_half_stays(tmp_path, monkeypatch):
    wanted = tmp_path / "package.json"
    wanted.write_text('{"dependencies": {"mathjax": "3.2.2"}}')
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no such version >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(OSError, match="npm pack mathjax@3.2.2 failed: no such version"):
        book.fetch_packages(wanted, tmp_path / "packages", report=lambda line: None)
    assert not (tmp_path / "packages/mathjax-3.2.2").exists()


@pytest.mark.parametrize("name", ["package/dist/a.js", "../a.js"])
def test_a_package_is_unpacked_but_not_beside_its_folder(tmp_path, monkeypatch, name):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"1+1;"))
    wanted = tmp_path / "package.json"
    wanted.write_text('{"dependencies": {"a": "1.0.0"}}')
    npm = tmp_path / "bin/npm"  # npm pack PACKAGE --ignore-scripts --pack-destination FOLDER
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\ncp "{tmp_path}/a.tgz" "$5"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/bin:/usr/bin")
    folder = tmp_path / "packages"
    if name.startswith(".."):
        with pytest.raises(OSError, match=r"a\.tgz: \.\./a\.js leads out of the package"):
            book.fetch_packages(wanted, folder, report=lambda line: None)
        assert not (folder / "a-1.0.0").exists() and not (folder / "a.js").exists()
    else:
        found = book.fetch_packages(wanted, folder, report=lambda line: None)
        assert (found["a"] / "dist/a.js").read_text() == "1+1;"
        assert [path.name for path in folder.iterdir()] == ["a-1.0.0"]


def test_what_was_fetched_is_not_fetched_again(tmp_path, monkeypatch):
    wanted = tmp_path / "package.json"
    wanted.write_text('{"dependencies": {"@a/b": "1.0.0"}, "devDependencies": {"c": "2.0.0"}}')
    for name in ("a-b-1.0.0", "c-2.0.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", "")
    found = book.fetch_packages(wanted, tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "@a/b": "a-b-1.0.0",
        "c": "c-2.0.0",
    }


def test_the_versions_are_exact_and_there_is_no_lock_file(root):
    told = json.loads((root / "docs/package.json").read_text())
    for version in (told["dependencies"] | told["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert not list(root.glob("docs/package-lock.json"))


def test_elsewhere_the_command_says_where_to_call_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["book"]) == 2
    assert "no docs/conf.py there; call it in a checkout" in capsys.readouterr().err
