"""The course as a web site: the notebooks with the outputs they have, executed by nobody.

`build_book` gathers the pages in ``BUILD/book-source``, links to files among them, and hands them
to Sphinx, which ``docs/conf.py`` configures. The site asks no other machine for anything.
"""

from __future__ import annotations

import ast
import html
import json
import os
import posixpath
import re
import shutil
import subprocess  # nosec B404
import tarfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .results import MIME

#: Pages that stand in the repository as Markdown; one that is not there is left out.
MARKDOWN = (
    "notebooks/GLOSSARY.md",
    "notebooks/QUESTIONS.md",
    "benchmarks/README.md",
    "trust/README.md",
    "data/reference/README.md",
    "data/results/README.md",
)
# Their short names in the table of contents, where their titles are long.
_SHORT = {"benchmarks/README.md": "Speed", "trust/README.md": "Trust"}
# What the site takes from an npm package: (package, files in it, folder of the site's `_static`).
_VENDORED = (
    ("mathjax", "es5/tex-chtml.js", "mathjax"),
    ("mathjax", "es5/output/chtml/fonts/woff-v2/*", "mathjax/output/chtml/fonts/woff-v2"),
    ("mathjax", "es5/input/tex/extensions/*", "mathjax/input/tex/extensions"),
    ("mathjax", "LICENSE", "mathjax"),
    ("@jupyter-widgets/html-manager", "dist/embed.js*.txt", "html-manager"),
    ("@jupyter-widgets/html-manager", "dist/embed.js", "html-manager"),
    ("@jupyter-widgets/html-manager", "dist/*.woff2", "html-manager"),
)
# A link in Markdown or in HTML, and what an image is made of; group 2 is where it leads.
_LINK = re.compile(r"""(\]\(|\b(?:href|src)=")([^)"\s]+)([)"])""")
# A table of pandas, a cell of it (tag, attributes, content), and what a column of numbers holds.
_TABLE = re.compile(r'<table border="1" class="dataframe">.*?</table>', re.DOTALL)
_CELL = re.compile(r"<(t[hd])\b([^>]*)>(.*?)</\1>", re.DOTALL)
_NUMBER = re.compile(r"[-+±\d.,eE%\s]*|NaN|-?inf")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}


def build_book(root=".", build="build", report=print) -> Path:
    """Build the course site in ``BUILD/book`` from the stored outputs of the notebooks.

    Args:
        root: the checkout.
        build: folder that the site, its sources and what npm brought go to.
        report: is called with each line of text.

    Returns:
        The site's first page.

    Raises:
        FileNotFoundError: `root` is no checkout of the course, or there is no npm.
        OSError: npm, or Sphinx, failed; the message holds what it said.
    """
    from sphinx.cmd.build import build_main

    root, build = Path(root).resolve(), Path(build).resolve()
    if not (root / "docs/conf.py").is_file():
        raise FileNotFoundError(f"{root}: no docs/conf.py there; call it in a checkout")
    packages = fetch_packages(root / "docs/package.json", build / "npm", report)
    source, site = build / "book-source", build / "book"
    for folder in (source, site):  # a page that is no more would stay
        shutil.rmtree(folder, ignore_errors=True)
    pages = gather(root, source)
    for package, files, folder in _VENDORED:
        for path in sorted(packages[package].glob(files)):
            _copy(path, site / "_static" / folder / path.name)
    _copy(_ipywidgets_licence(), site / "_static/html-manager/LICENSE.txt")
    jobs = str(os.cpu_count() or 1)
    options = ["--builder", "html", "--doctree-dir", str(source / ".doctrees"), "--fresh-env"]
    quiet = ["--quiet", "--fail-on-warning", "--jobs", jobs]
    if build_main([*options, *quiet, str(source), str(site)]):
        raise OSError("Sphinx could not build the site; it says why above")
    report(f"{len(pages)} pages: {site / 'index.html'}")
    return site / "index.html"


# --- what npm brings ------------------------------------------------------------------------------


def fetch_packages(package_json, folder, report=print) -> dict[str, Path]:
    """Fetch the packages that a ``package.json`` pins, without those that they depend on.

    What was fetched earlier stays. No script of a package is run.

    Args:
        package_json: its versions are exact.
        folder: each package gets a folder ``NAME-VERSION`` in it.
        report: is called with a line for each package that is fetched.

    Returns:
        dict of package -> its folder.

    Raises:
        FileNotFoundError: there is no npm.
        OSError: npm failed, or a package has a file that leads out of it.
    """
    told = json.loads(Path(package_json).read_text(encoding="utf-8"))
    found = {}
    for name, version in (told["dependencies"] | told.get("devDependencies", {})).items():
        found[name] = Path(folder) / f"{name.replace('/', '-').lstrip('@')}-{version}"
        if found[name].is_dir():
            continue
        report(f"npm: {name} {version}")
        _fetch(f"{name}@{version}", found[name])
    return found


def _fetch(package, folder):
    fresh = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    command = ["npm", "pack", package, "--ignore-scripts", "--pack-destination", str(fresh)]
    try:
        # A list, without a shell, of names that stand in this package.
        done = subprocess.run(command, capture_output=True, text=True, cwd=fresh)  # nosec B603
    except (FileNotFoundError, PermissionError):
        raise FileNotFoundError("npm is not there, which the site needs: install Node.js") from None
    if done.returncode:
        raise OSError(f"npm pack {package} failed: {done.stderr.strip()}")
    [archive] = fresh.glob("*.tgz")
    with tarfile.open(archive) as files:
        _unpack(files, fresh)
    (fresh / "package").rename(folder)  # all there or not at all
    shutil.rmtree(fresh)


def _unpack(files, folder):
    # By hand, for extractall knows no filter before Python 3.11.4. npm packs nothing but files.
    for member in filter(tarfile.TarInfo.isfile, files):
        target = (folder / member.name).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise OSError(f"{files.name}: {member.name} leads out of the package")
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.extractfile(member) as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy)


def _ipywidgets_licence():
    """The licence of the widgets: html-manager comes from the same repository, without it."""
    from importlib.metadata import files

    [path] = [path for path in files("ipywidgets") if path.name == "LICENSE"]
    return Path(path.locate())


# --- the pages ------------------------------------------------------------------------------------


def gather(root, folder) -> list[str]:
    """Write all that Sphinx is to read to a folder.

    Args:
        root: the checkout.
        folder: the site's sources.

    Returns:
        The pages, as paths in `folder`.
    """
    root, folder = Path(root), Path(folder)
    pages = {}  # path -> text
    for path in sorted(root.glob("docs/**/*")):
        if path.is_file() and "__pycache__" not in path.parts:
            pages[path.relative_to(root / "docs").as_posix()] = path.read_bytes()
    readme = (root / "README.md").read_text(encoding="utf-8")
    pages["_introduction.md"], table, rest = _parts(readme)
    pages["running.md"] = f"# Run it yourself\n\n{rest}"
    notebooks = sorted(path for path in root.glob("notebooks/[0-9]*.ipynb"))
    pages |= {f"notebooks/{path.name}": path.read_text(encoding="utf-8") for path in notebooks}
    for name in MARKDOWN:
        if (root / name).is_file():
            pages[name] = (root / name).read_text(encoding="utf-8")
    pages["_notebooks.md"] = notebook_table(table, {path.name: path for path in notebooks})
    pages["_contents.md"] = _contents(pages)

    linked = {}  # file or folder in the repository -> its page's text
    for name, text in list(pages.items()):
        if name.endswith(".ipynb"):
            pages[name] = _relinked_notebook(text, name, root, pages, linked)
        elif name.endswith(".md"):
            text = text if isinstance(text, str) else text.decode("utf-8")
            pages[name] = _relinked(text, name, root, pages, linked)
    while missing := [name for name in linked if name not in pages]:
        for name in missing:  # pages of folders and of Markdown have links, the others are code
            has_links = name.endswith("/index.md") or (root / name).is_file()
            text = linked[name]
            pages[name] = _relinked(text, name, root, pages, linked) if has_links else text
    pages |= _from_results(root)

    for name, text in pages.items():
        _write(folder / name, text)
    return [name for name in pages if name.endswith((".md", ".ipynb")) and name[0] != "_"]


def _parts(readme):
    """The README: what stands before its first picture, the table of notebooks, what stands after.

    The site draws the picture anew. Sections for those who work on the repository are in neither.
    """
    _, _, text = readme.partition("\n")
    before, _, after = text.partition("## The notebooks")
    rows = [line for line in after.splitlines() if re.match(r"\| \d\d ", line)]
    _, _, rest = after.partition("## Without make")
    return before.partition("![")[0].strip() + "\n", rows, f"## Without make{rest}"


def notebook_table(rows, notebooks) -> str:
    """The README's table of notebooks, and of each its goals and its run time, as it says itself.

    Args:
        rows: the table's lines, such as ``| 05 | [evaluation](notebooks/…) | How …? |``.
        notebooks: file name -> path.

    Returns:
        Markdown with a table in HTML.

    Raises:
        ValueError: a notebook is not in the table, or does not say its goals or its run time.
    """
    lines, listed = [], set()
    for row in rows:
        number, title, question = (cell.strip() for cell in row.strip("| ").split(" | "))
        links = re.findall(r"\[([^]]+)\]\((?:notebooks/)?([^)]+)\)", title)
        listed |= {name for _, name in links}
        own, goals, runs_in = _promise(notebooks[links[0][1]])
        if len(links) == 1:  # twins are told apart in the README's words
            links = [(own, links[0][1])]
        for text, name in links:
            link = f'<a href="notebooks/{name}">{text}</a>'
            title = re.sub(r"\[[^]]+\]\([^)]+\)", link, title, count=1)
        goals = "".join(f"<li>{goal}</li>" for goal in goals)
        lines.append(
            f'<tr><td class="number">{number}</td><td><span class="title">{title}</span>'
            f"<p>{question}</p><details><summary>After it you can</summary><ol>{goals}</ol>"
            f"</details></td><td>{runs_in}</td></tr>"
        )
    if absent := sorted(set(notebooks) - listed):
        raise ValueError(f"README.md: its table does not have {', '.join(absent)}")
    head = (
        '<thead><tr><th scope="col"><span class="visually-hidden">number</span></th>'
        '<th scope="col">notebook</th><th scope="col">runs in</th></tr></thead>'
    )
    body = "\n".join(lines)
    return f'<table class="course">{head}<tbody>\n{body}\n</tbody></table>\n'


def _promise(path):
    """A notebook's title, what one can do after it, as HTML, and in what time it says it runs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    text = next((text for text in texts if "**After this notebook you can**" in text), "")
    goals = re.findall(r"^\d\. (.+?)[;.]?$", text.partition("you can**")[2], re.MULTILINE)
    runs = re.search(r"\bRuns in (?:about )?([^.,:]+)", text)
    if not goals or not runs:
        raise ValueError(f"{path}: does not say its goals, or in what time it runs")
    title = texts[0].split("\n")[0].partition(" · ")[2]
    return title, [_inline(goal) for goal in goals], runs[1]


def _inline(markdown):
    """A line of Markdown as HTML: code, emphasis, formulas for MathJax."""
    text = html.escape(markdown, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\$([^$]+)\$", r'<span class="math">\\(\1\\)</span>', text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def _contents(pages):
    """The tables of contents, which the first page holds and does not show."""

    def titled(name):
        return f"{_SHORT[name]} <{name}>" if name in _SHORT else name

    parts = {
        "The course": sorted((name for name in pages if name.endswith(".ipynb")), key=_twins_last),
        "Beside it": [
            "running.md",
            "results.md",
            *(titled(name) for name in MARKDOWN if name in pages),
        ],
    }
    trees = [
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n"
        for caption, names in parts.items()
    ]
    return "\n".join(trees)


def _twins_last(name):
    """Sorts notebooks by number; of twins, PyTorch's comes first, as in the README."""
    return name.replace("_keras", "_~keras")


def anchor(heading):
    """A heading's anchor as in Jupyter, so that one link serves there and on the site.

    >>> anchor("Why fresh ones every epoch?")
    'Why-fresh-ones-every-epoch?'
    """
    return heading.replace(" ", "-")


# --- links ----------------------------------------------------------------------------------------


def _relinked_notebook(text, name, root, pages, linked):
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _relinked("".join(cell["source"]), name, root, pages, linked)
        for output in cell.get("outputs", ()):  # what `record` keeps for programs; its text stays
            shown = output.get("data", {})
            shown.pop(MIME, None)
            if "text/html" in shown:
                shown["text/html"] = with_columns("".join(shown["text/html"]))
    return json.dumps(notebook, ensure_ascii=False, indent=1)


def with_columns(text) -> str:
    """HTML in which the cells of pandas' tables that hold words have the class ``text``.

    What is not marked are columns of numbers, and their headings; ``course.css`` sets them to the
    right, and words to the left.

    Args:
        text: HTML, with or without such tables.
    """
    return _TABLE.sub(lambda table: _with_columns(table[0]), text)


def _with_columns(table):
    rows = table.split("</tr>")
    values = [[cell[3] for cell in _CELL.finditer(row) if cell[1] == "td"] for row in rows]
    width = max(map(len, values))
    # Counted from the right: a row may lack the names that it shares with the one above.
    words = {
        place
        for row in values
        for place, value in enumerate(reversed(row))
        if not _NUMBER.fullmatch(value)
    }

    def marked(row):
        places = iter(reversed(range(len(_CELL.findall(row)))))

        def cell(match):
            place = next(places)
            if place not in words and place < width:
                return match[0]
            return f'<{match[1]} class="text"{match[2]}>{match[3]}</{match[1]}>'

        return _CELL.sub(cell, row)

    return "</tr>".join(map(marked, rows))


def _relinked(text, name, root, pages, linked):
    """A page's text, in which a link to a file or folder leads to a page that shows it.

    Args:
        text: Markdown.
        name: of the page, a path as in the repository.
        root: the checkout.
        pages: name -> text of the site's pages; an image that is linked to is added.
        linked: page -> text of files and folders; what is linked to is added.
    """

    def replaced(match):
        opening, target, closing = match.groups()
        url = urlsplit(target)
        if url.scheme or not url.path:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(url.path)))
        page = _page_of(path, root, pages, linked)
        if page is None:
            return match[0]
        if opening != "](":  # what stands in HTML, Sphinx leaves as it is
            page = re.sub(r"\.(md|ipynb)$", ".html", page)
        to = posixpath.relpath(page, posixpath.dirname(name) or ".")
        return opening + to + (f"#{url.fragment}" if url.fragment else "") + closing

    return _LINK.sub(replaced, text)


def _page_of(path, root, pages, linked):
    """The page that shows a file or folder of the repository; None where it has none."""
    if path in pages:
        return path
    if f"{path}/README.md" in pages:
        return f"{path}/README.md"
    here = root / path
    if here.suffix in (".png", ".svg", ".csv") and here.is_file():
        pages.setdefault(path, here.read_bytes())
        return path
    if here.suffix == ".md" and here.is_file():
        linked[path] = "---\norphan: true\n---\n" + here.read_text(encoding="utf-8")
        return path
    if here.is_file():
        linked[f"{path}.md"] = _shown_file(path, here)
        return f"{path}.md"
    if here.is_dir():
        linked[f"{path}/index.md"] = _shown_folder(path, here)
        return f"{path}/index.md"
    return None


def _shown_file(path, here):
    text = here.read_text(encoding="utf-8")
    language = _LANGUAGES.get(here.suffix, "text")
    return f"---\norphan: true\n---\n# {path}\n\n``````{{code-block}} {language}\n{text}``````\n"


def _shown_folder(path, here):
    """Links to a folder's files, each with what its first line says."""
    files = sorted(p for p in here.iterdir() if p.suffix in _LANGUAGES and p.name[0] != "_")
    lines = [f"- [{file.name}]({file.name}): {_first_line(file)}" for file in files]
    return f"---\norphan: true\n---\n# {path}\n\n" + "\n".join(lines) + "\n"


def _first_line(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    return text.strip("# \n").split("\n")[0]


# --- what the results show ------------------------------------------------------------------------

#: Source of published numbers -> how it is cited.
SOURCES = {
    "he2017": "He et al., 2017",
    "rendle2020": "Rendle et al., 2020",
    "dacrema2021": "Ferrari Dacrema et al., 2021",
}
OURS = "this course"
# A column of the explorer: its heading, and whether it holds numbers.
COLUMNS = {
    "source": ("source", False),
    "model": ("model", False),
    "hr": ("HR@10", True),
    "ndcg": ("NDCG@10", True),
    "full": ("HR@10, all items", True),
    "factors": ("factors", True),
    "layers": ("layers", True),
    "negatives": ("negatives", True),
    "pretrained": ("pre-trained", False),
    "framework": ("framework", False),
    "seed": ("seed", True),
    "more": ("more", False),
}


def _from_results(root):
    """The parts of pages that are made from the stored results, and the figures."""
    tables, levels = paper_runs()
    pages, images = {"_results.html": results_table(root)}, []
    for x, table in tables.items():
        told = promise_in_words(table, x, levels)
        for kind in ("light", "dark"):
            pages[name := f"{x}-{kind}.svg"] = promise(table, x, levels, dark=kind == "dark")
            images.append(f"```{{image}} {name}\n:class: only-{kind}\n:alt: {told}\n```\n")
    pages["_promise.md"] = "````{container} promise\n" + "\n".join(images) + "````\n"
    return pages


def paper_runs():
    """What the first page draws, from the stored runs on the paper's MovieLens-1M.

    Returns:
        dict of column -> DataFrame of means over seeds, see `ncf_utils.report.summary`: the models
        by negatives, the MLP by hidden layers; and what popularity and chance score.
    """
    from . import paper
    from .report import summary

    runs = paper.stored_runs("paper-ncf-ml-1m")
    ways = ("num_negatives", "num_layers")
    tables = {x: summary(paper.vary(runs, x), ["model", x]) for x in ways}
    tables["num_layers"] = tables["num_layers"].query("model == 'MLP'")
    return tables, paper.levels(paper.stored_runs("baselines-ncf-ml-1m"))


def promise_in_words(table, x, levels) -> str:
    """What `promise` draws, in words, from the same numbers."""
    from . import plots

    told = []
    for model, line in table.groupby("model"):
        first, last = line.iloc[0], line.iloc[-1]
        told.append(
            f"{model} goes from {first.test_hr:.2f} with {first[x]:g} to {last.test_hr:.2f} "
            f"with {last[x]:g}"
        )
    told += [f"{name} has {hr:.2f}" for name, (hr, _) in levels.items()]
    return f"HR@10 on MovieLens-1M by {plots.axis_label(x)}: {', '.join(told)}."


def promise(table, x, levels, dark=False) -> str:
    """One half of the course in one picture: HR@10 by the number of negatives, or by depth.

    Args:
        table, levels: see `paper_runs`.
        x: the column to run along.
        dark: drawn for a dark page.

    Returns:
        The picture as SVG.
    """
    import io

    import matplotlib.pyplot as plt

    from . import plots

    ink, grid = ("#e6e6e6", "#4a4a4a") if dark else ("#222222", "#e5e5e5")
    with plt.rc_context():
        plots.use_style()
        inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        plt.rcParams.update(dict.fromkeys(inked, ink))
        plt.rcParams.update({"grid.color": grid, "svg.fonttype": "path", "svg.hashsalt": "ncf"})
        figure, ax = plt.subplots(figsize=(4.4, 4))
        for model, line in table.groupby("model"):
            color = _lighter(plots.COLORS[model]) if dark else plots.COLORS[model]
            label = f"{model}, {plots.seeds_in_words(line.seeds)}"
            plots.seed_band(ax, line[x], line.test_hr, line.test_hr_std, color=color, label=label)
        for name, (hr, _) in levels.items():
            color = _lighter(plots.COLORS[name]) if dark else plots.COLORS[name]
            ax.axhline(hr, ls=":", color=color, label=name)
        ticks = sorted(table[x].unique())
        ax.set(
            xlabel=plots.axis_label(x), ylabel="HR@10, 99 candidates", xticks=ticks, ylim=(0, 0.75)
        )
        handles = ax.get_legend_handles_labels()
        # Two lines in either half, so that the axes are of one size.
        ncols = (len(handles[0]) + 1) // 2
        narrow = {"fontsize": "small", "handlelength": 1.5, "columnspacing": 1}
        figure.legend(*handles, loc="outside lower center", ncols=ncols, **narrow)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    return drawn.getvalue()


def _lighter(color):
    """A colour half way to white, which a dark page needs."""
    from matplotlib.colors import to_hex, to_rgb

    return to_hex([(part + 1) / 2 for part in to_rgb(color)])


def results_table(root) -> str:
    """All stored runs and all published numbers, as a table in HTML that a script can sort.

    Args:
        root: the checkout.
    """
    rows = [*_our_rows(Path(root) / "data/results"), *_published_rows(root)]
    head = "".join(
        f'<th scope="col" data-column="{name}"{" data-numbers" if numbers else ""}>{title}</th>'
        for name, (title, numbers) in COLUMNS.items()
    )
    lines = []
    for row in rows:
        cells = "".join(
            f'<td data-label="{title}"{" data-numbers" if numbers else ""}>'
            f"{html.escape(str(row.get(name, '')))}</td>"
            for name, (title, numbers) in COLUMNS.items()
        )
        ours = " data-ours" if row["source"] == OURS else ""
        lines.append(f'<tr data-dataset="{row["dataset"]}"{ours}>{cells}</tr>')
    body = "\n".join(lines)
    return (
        '<div id="explorer"><div class="scrolls"><table>'
        f"<caption>Our runs and published numbers</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>\n{body}\n</tbody></table></div></div>\n"
        '<script src="_static/explorer.js"></script>\n'
    )


def _our_rows(folder):
    import pandas as pd

    from .report import varying

    named = {"dataset", "model", "framework", "num_factors", "hidden_layers", "num_negatives"}
    for path in sorted(folder.glob("*.csv")):
        runs = pd.read_csv(path)
        more = [name for name in varying(runs) if name not in named | {"pretrain", "refit", "run"}]
        for run in runs.to_dict("records"):
            run = {name: value for name, value in run.items() if value == value}  # no NaN
            kind = "refit" if "refit_hr" in run else "test"
            layers = run.get("hidden_layers")
            widths = json.loads(layers) if layers else []
            full = json.loads(run.get(f"{kind}_full_hr_by_k", "[null]"))[-1]
            told = [
                f"{name.replace('_', ' ')} {_number(run[name])}" for name in more if name in run
            ]
            yield {
                "source": OURS,
                "dataset": run["dataset"].removeprefix("ncf-"),
                "model": run["model"],
                "framework": run["framework"],
                "factors": _number(
                    run.get("num_factors") or run.get("predictive_factors") or (widths or [""])[-1]
                ),
                "layers": "" if layers is None else len(widths),
                "negatives": _number(run.get("num_negatives", "")),
                "pretrained": {True: "yes", False: "no"}.get(run.get("pretrain"), ""),
                "seed": run["seed"],
                "hr": f"{run[f'{kind}_hr']:.4f}",
                "ndcg": f"{run[f'{kind}_ndcg']:.4f}",
                "full": "" if full is None else f"{full:.4f}",
                "more": ", ".join([kind.replace("test", "picked epoch"), *told, _id(path, run)]),
            }


def _id(path, run):
    return f"{path.name} {run.get('run', '')}".strip()


def _published_rows(root):
    import pandas as pd

    table = pd.read_csv(Path(root) / "data/reference/published.csv", dtype=str).fillna("")
    for row in table.to_dict("records"):
        yield {
            "source": SOURCES[row["source"]],
            "dataset": row["dataset"],
            "model": row["model"],
            "factors": row["factors"],
            "layers": row["hidden_layers"],
            "negatives": row["negatives"],
            "pretrained": row["pretrained"],
            "hr": f"{float(row['hr_at_10']):.3f}",
            "ndcg": f"{float(row['ndcg_at_10']):.3f}",
            "more": f"table {row['table']}" if row["table"][:1].isdigit() else row["table"],
        }


def _number(value):
    """A number without the point that pandas gave it for want of an empty cell."""
    return f"{value:g}" if isinstance(value, float) else value


# --- files ----------------------------------------------------------------------------------------


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)


def _copy(start, end):
    _write(end, start.read_bytes())
