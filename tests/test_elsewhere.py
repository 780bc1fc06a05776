"""The course on other machines: the workflow, Binder, Colab, and what a newcomer is told."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from ncf_utils.cli import main
from ncf_utils.hosted import CELL, hosted_edition, links, repository

ADDRESS = "https://github.com/owner/ncf-course"


@pytest.fixture(scope="module")
def workflow(root):
    text = (root / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def commands(text):
    """The lines of a text's first block of shell code, without comments."""
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL).group(1)
    return [line.split("#")[0].strip() for line in block.splitlines()]


def targets(root):
    return set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))


# --- the workflow


def test_the_workflow_runs_the_two_commands_of_the_readme(workflow, root):
    readme = commands((root / "README.md").read_text(encoding="utf-8"))
    assert sorted(readme) == ["make course", "make test"]
    (job,) = workflow["jobs"].values()
    assert [s["run"] for s in job["steps"] if s.get("run", "") in readme] == readme[::-1]
    systems = job["strategy"]["matrix"]["os"]
    assert systems == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert job["strategy"]["fail-fast"] is False and 0 < job["timeout-minutes"] <= 120


def test_the_workflow_has_least_permissions_and_a_cache_of_what_is_pinned(workflow, root):
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job and "secrets" not in str(workflow)
    uses = {step["uses"].split("@")[0]: step["with"] for step in job["steps"] if "uses" in step}
    assert uses["actions/checkout"]["persist-credentials"] is False
    python = uses["actions/setup-python"]
    assert python["cache"] == "pip"
    assert all((root / name).is_file() for name in python["cache-dependency-path"].split())
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(python["python-version"])
    assert "pull_request_target" not in workflow[True]  # YAML reads `on` as true


def test_make_finds_the_programs_of_a_virtual_environment_on_windows(root, tmp_path):
    if os.name == "nt":
        pytest.skip("there they are found, or nothing would run")
    command = ["make", "--dry-run", "--no-print-directory", "-o", "v/.ready", "student", "VENV=v"]
    for system, folder in (("Windows_NT", "Scripts"), ("", "bin")):
        environment = os.environ | {"OS": system}
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"v/{folder}/ncf student"


# --- Binder


def test_binder_installs_the_pins_on_the_workflows_python(root, workflow):
    binder = yaml.safe_load((root / ".binder/environment.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    (python,) = (s["with"]["python-version"] for s in job["steps"] if "setup-python" in str(s))
    assert binder["dependencies"] == [f"python={python}", "pip"]
    post_build = root / ".binder/postBuild"
    assert "pip install --no-cache-dir -c constraints.txt -e '.[all]'" in post_build.read_text()
    for script in (post_build, root / ".binder/start"):
        subprocess.run(["bash", "-n", script], check=True)
        assert os.name == "nt" or os.access(script, os.X_OK)


@pytest.mark.skipif(os.name == "nt", reason="Binder is Linux")
def test_binder_starts_with_the_settings_of_make_lab(root):
    command = [root / ".binder/start", "printenv", "JUPYTER_CONFIG_PATH"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert (root / done.stdout.strip().split(":")[0] / "labconfig").is_dir()


# --- Colab


@pytest.fixture
def checkout(root, tmp_path):
    """A folder that has what the edition is made of, and an address."""
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "n"\n[project.urls]\nRepository = "{ADDRESS}.git/"\n'
    )
    (tmp_path / "notebooks").symlink_to(root / "notebooks")
    return tmp_path


def test_each_notebook_gets_a_first_cell_and_stays_as_it_was(checkout, root):
    written = hosted_edition(checkout, checkout / "build")
    assert {p.name for p in written} == {p.name for p in root.glob("notebooks/*.ipynb")}
    page = (checkout / "build/hosted/README.md").read_text(encoding="utf-8")
    for path in written:
        own = nbformat.read(path, as_version=4)
        nbformat.validate(own)
        cell = own.cells.pop(1)
        assert cell.source == CELL.format(address=ADDRESS) and not cell.outputs
        assert own.cells == nbformat.read(root / "notebooks" / path.name, as_version=4).cells
        assert all(f"]({link})" in page for link in links(ADDRESS, path.name).values())


def test_the_first_cell_does_nothing_where_the_course_is_installed(tmp_path):
    source = CELL.format(address=ADDRESS)
    ast.parse(source)
    watched = "import sys; sys.addaudithook(lambda e, a: e == 'subprocess.Popen' and sys.exit(e))\n"
    command = [sys.executable, "-c", watched + source + "\nprint(os.getcwd())"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(tmp_path), "")
    assert not list(tmp_path.iterdir())


# A package in the place of the course's, and what pip needs to install it without an index.
TINY = {
    "pyproject.toml": """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "ncf-utils"
version = "1"
[project.optional-dependencies]
all = []
""",
    "constraints.txt": "",
    "notebooks/data.txt": "beside the notebooks",
    "ncf_utils/__init__.py": "HERE = True",
    "backend.py": """
import zipfile
from pathlib import Path

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "ncf_utils-1-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        metadata = "Metadata-Version: 2.1\\nName: ncf-utils\\nVersion: 1\\nProvides-Extra: all\\n"
        wheel.writestr("ncf_utils-1.dist-info/METADATA", metadata)
        tag = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("ncf_utils-1.dist-info/WHEEL", tag)
        wheel.writestr("ncf_utils-1.dist-info/RECORD", "")
        wheel.writestr("ncf_utils.pth", str(Path.cwd()))
    return name
""",
}


@pytest.mark.skipif(os.name == "nt", reason="Colab is Linux")
def test_the_first_cell_brings_a_course_that_is_missing(tmp_path):
    origin, colab = tmp_path / "origin", tmp_path / "colab"
    for name, text in TINY.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "m"]):
        subprocess.run(["git", *command], cwd=origin, check=True)
    subprocess.run([sys.executable, "-m", "venv", colab], check=True)
    source = CELL.format(address=origin.as_uri())
    source += "\nimport ncf_utils\nprint(ncf_utils.HERE, open('data.txt').read())"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for _ in range(2):  # the second time it is there, and nothing is fetched
        command = [colab / "bin/python", "-c", source]
        done = subprocess.run(
            command, cwd=colab, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.stdout == "True beside the notebooks\n", done.stderr
        shutil.rmtree(origin, ignore_errors=True)


def test_the_first_cell_installs_what_make_installs(root):
    makefile = (root / "Makefile").read_text()
    assert "pip install $(PIP_OPTIONS) -c constraints.txt -e '.[all]'" in makefile
    assert '[*pip, "-c", "constraints.txt", "-e", ".[all]"]' in CELL


def test_without_an_address_nothing_is_written(tmp_path, monkeypatch, capsys):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "n"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["hosted"]) == 2
    assert 'Repository = "…" below [project.urls]' in capsys.readouterr().err
    project.write_text('[project]\n[project.urls]\nRepository = "https://example.org/a"\n')
    with pytest.raises(ValueError, match="not of the form https://github.com/OWNER/NAME"):
        repository(tmp_path)
    assert not (tmp_path / "build").exists()


def test_the_citation_and_the_project_agree(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    import ncf_utils

    assert citation["version"] == ncf_utils.__version__
    assert citation["license"] == project["license"]
    assert citation["authors"] == [{"name": author["name"]} for author in project["authors"]]
    assert citation.get("repository-code") == project.get("urls", {}).get("Repository")


# --- newcomers


def test_five_commands_lead_from_a_clone_to_a_refreshed_notebook(root):
    told = commands((root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(told) == 5 and told[0].startswith("git clone ")
    called = [re.match(r"make (\w+)", line).group(1) for line in told[1:]]
    assert called == ["lab", "format", "refresh", "test"] and set(called) <= targets(root)


def test_what_newcomers_are_told_to_call_is_there(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets(root)
    for path in re.findall(r"`((?:tests|notebooks)/[\w/.]+)`", text):
        assert (root / path).exists(), path
