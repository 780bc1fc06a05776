"""The course on machines of others: an edition for Colab, and links that open it there.

Everything follows from the repository's address, which stands in one place: ``Repository`` in
``[project.urls]`` of ``pyproject.toml``. Binder needs the address alone; ``.binder`` tells it what
to install. Colab opens single notebooks, so each of them gets a first cell that fetches the rest.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

# The cell finds a course that is installed, as everywhere but on Colab, and does nothing then.
CELL = """\
# Colab has this notebook alone: fetch the course, and install it with the tested versions.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("ncf_utils") is None:
    subprocess.run(["git", "clone", "--depth", "1", "{address}", "course"], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-c", "constraints.txt", "-e", ".[all]"], cwd="course", check=True)
    sys.path.append(os.path.abspath("course"))  # what is installed now, this kernel cannot see
if os.path.isdir("course/notebooks"):
    os.chdir("course/notebooks")  # in a later session, too"""


def repository(root=".") -> str:
    """The repository's address on GitHub, as ``pyproject.toml`` has it.

    Raises:
        ValueError: it has none, or one that is not on GitHub.
    """
    path = Path(root) / "pyproject.toml"
    urls = tomllib.loads(path.read_text(encoding="utf-8"))["project"].get("urls", {})
    address = urls.get("Repository", "").removesuffix("/").removesuffix(".git")
    if not address:
        raise ValueError(f'{path}: write the address as Repository = "…" below [project.urls]')
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(f"{path}: {address} is not of the form https://github.com/OWNER/NAME")
    return address


def links(address, name, branch="main", edition="hosted") -> dict[str, str]:
    """Where a notebook can be opened.

    Args:
        address: of the repository, see `repository`.
        name: the notebook's file name.
        branch: that Binder builds.
        edition: branch that holds what `hosted_edition` writes.

    >>> links("https://github.com/a/b", "06_gmf_keras.ipynb")["Colab"]
    'https://colab.research.google.com/github/a/b/blob/hosted/notebooks/06_gmf_keras.ipynb'
    """
    where = address.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{where}/blob/{edition}/notebooks/{name}"
    binder = f"https://mybinder.org/v2/gh/{where}/{branch}?urlpath=lab/tree/notebooks/{name}"
    return {"Colab": colab, "Binder": binder}


def hosted_edition(root=".", build="build") -> list[Path]:
    """Write each notebook with a first cell for Colab to ``BUILD/hosted/notebooks``.

    ``BUILD/hosted/README.md`` links to each of them, on Colab and on Binder.

    Args:
        root: the checkout.
        build: folder that the edition goes to.

    Returns:
        The notebooks written.

    Raises:
        ValueError: the repository's address is not known, see `repository`.
    """
    import nbformat
    from nbformat.v4 import new_code_cell

    address = repository(root)
    folder = Path(build) / "hosted" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    written, rows = [], ["| notebook | | |", "| --- | --- | --- |"]
    for path in sorted((Path(root) / "notebooks").glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cell = new_code_cell(CELL.format(address=address), id="hosted")
        notebook.cells.insert(1, cell)
        written.append(folder / path.name)
        written[-1].write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
        title = re.search(r"^# (.+)", notebook.cells[0].source, re.MULTILINE).group(1)
        shown = " | ".join(f"[{name}]({to})" for name, to in links(address, path.name).items())
        rows.append(f"| {title} | {shown} |")
    text = "# The course on machines of others\n\n" + "\n".join(rows) + "\n"
    (folder.parent / "README.md").write_text(text, encoding="utf-8", newline="\n")
    return written
