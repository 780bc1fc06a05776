"""What is installed and how: the package's front, the pins, and the conda environment."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

MACHINES = [
    {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux"},
    {"sys_platform": "linux", "platform_machine": "aarch64", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_machine": "arm64", "platform_system": "Darwin"},
    {"sys_platform": "win32", "platform_machine": "AMD64", "platform_system": "Windows"},
]


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(root):
    """The requirements that constraints.txt pins."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def environment(root):
    return yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))


def requirements(project):
    lines = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    return [Requirement(line) for line in lines]


def pinned(pins, name, machine):
    """The one version that `pins` has for a package on a machine; None where it has none."""
    versions = [
        next(iter(pin.specifier)).version
        for pin in pins
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate(machine))
    ]
    assert len(versions) <= 1, f"{name} is pinned {len(versions)} times on {machine}"
    return versions[0] if versions else None


# --- the package's front


def run(source):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_quick_and_loads_no_framework():
    heavy = ("torch", "tensorflow", "keras", "pandas", "scipy", "matplotlib", "numpy")
    shown = run(
        "import sys, time; start = time.perf_counter(); import ncf_utils;"
        f"print(time.perf_counter() - start, *[m for m in {heavy} if m in sys.modules])"
    ).split()
    assert float(shown[0]) < 0.5
    assert shown[1:] == []


def test_the_core_loads_no_framework():
    loaded = run(
        "import sys, ncf_utils\n"
        "for name in ncf_utils.__all__: getattr(ncf_utils, name)\n"
        "print([m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules])"
    )
    assert loaded == "[]\n"


def test_every_public_name_is_there():
    import ncf_utils

    for name in ncf_utils.__all__:
        assert getattr(ncf_utils, name) is not None
    assert set(ncf_utils.__all__) <= set(dir(ncf_utils))
    with pytest.raises(AttributeError, match="no attribute 'load_datasets'"):
        _ = ncf_utils.load_datasets


def test_the_command_says_its_version():
    import ncf_utils

    done = subprocess.run(
        [sys.executable, "-m", "ncf_utils", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"ncf_utils {ncf_utils.__version__}\n"
    scripts = importlib.metadata.distribution("ncf-utils").entry_points.select(name="ncf")
    assert [script.value for script in scripts] == ["ncf_utils.cli:main"]


@pytest.mark.skipif(os.name == "nt", reason="a pipe to a shell's head")
def test_the_command_ends_in_silence_where_nobody_reads_on(tmp_path):
    """`ncf report | head -1`: more lines than a pipe holds."""
    rows = "".join(f"{seed},0.5,{'x' * 200}{seed}\n" for seed in range(3000))
    (tmp_path / "rows.csv").write_text("seed,test_hr,model\n" + rows)
    command = f"{sys.executable} -m ncf_utils report rows.csv --by model seed"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == "" and done.stdout.splitlines()[-1] == "141", done


# --- the pins


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m['sys_platform']}")
def test_every_requirement_is_pinned_within_its_bound(project, pins, machine):
    wanted = [r for r in requirements(project) if r.name != "ncf-utils"]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate(machine)]
    assert len(wanted) > 20
    for requirement in wanted:
        version = pinned(pins, requirement.name, machine)
        assert version, f"{requirement.name} has no pin on {machine}"
        assert requirement.specifier.contains(version), f"{requirement} but {version} is pinned"


def test_bounds_are_loose_and_pins_are_exact(project, pins):
    for requirement in requirements(project):
        assert {s.operator for s in requirement.specifier} <= {">="}, str(requirement)
        assert requirement.specifier or requirement.name == "ncf-utils", str(requirement)
    for pin in pins:
        assert re.fullmatch(r"==\d+(\.\d+)*(\.post\d+)?", str(pin.specifier)), str(pin)
        assert pin.url is None


def test_the_versions_that_the_course_promises(pins):
    promised = {
        "torch": "==2.13.0",
        "keras": "==3.15.*",
        "jupyterlab": "==4.6.*",
        "papermill": "==2.7.*",
        "nbval": "==0.11.*",
        "pandas": "==3.*",
    }
    for machine in MACHINES:
        for name, wanted in promised.items():
            assert SpecifierSet(wanted).contains(pinned(pins, name, machine)), name
        is_cpu = machine["sys_platform"] == "linux" and machine["platform_machine"] == "x86_64"
        tensorflow = {n: pinned(pins, n, machine) for n in ("tensorflow", "tensorflow-cpu")}
        assert tensorflow == {
            "tensorflow": None if is_cpu else "2.21.0",
            "tensorflow-cpu": "2.21.0" if is_cpu else None,
        }


def test_the_constraints_name_no_index_and_no_hash(root):
    for name in ("constraints.txt", "environment.yml", "pyproject.toml"):
        text = (root / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--hash|--find-links|\+cpu", text), (
            name
        )


def test_what_is_installed_is_what_is_pinned(pins):
    """Everything that the package needs here, through all its extras, stands in the constraints."""
    here = {"extra": ""}
    version = {canonicalize_name(pin.name): pinned(pins, pin.name, here) for pin in pins}
    seen, waiting = set(), [("ncf-utils", ("all", "torch", "keras", "lab", "test"))]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = importlib.metadata.distribution(name)
        if name not in ("ncf-utils", "pip"):  # pip comes with the environment
            installed = distribution.version.split("+")[0]
            assert version.get(name) == installed, f"{name} {installed} is installed"
        for line in distribution.requires or ():
            needed = Requirement(line)
            wanted = [{"extra": extra} for extra in extras or ("",)]
            if needed.marker is None or any(needed.marker.evaluate(extra) for extra in wanted):
                waiting.append((canonicalize_name(needed.name), tuple(sorted(needed.extras))))
    assert len(seen) > 100


# --- conda


def test_conda_brings_python_and_pip_and_leaves_the_rest_to_pip(environment, project):
    assert environment["channels"] == ["conda-forge"]
    python, pip, section = environment["dependencies"]
    assert pip == "pip"
    assert python == f"python{project['requires-python']}"
    assert Requirement(python).specifier == SpecifierSet(project["requires-python"])
    assert section == {"pip": ["-c constraints.txt", "-e .[all]"]}


def test_the_pip_section_asks_for_what_exists(environment, project, root):
    options = environment["dependencies"][-1]["pip"]
    constraints = [line.removeprefix("-c ") for line in options if line.startswith("-c ")]
    assert [(root / name).is_file() for name in constraints] == [True]
    (editable,) = (line.removeprefix("-e ") for line in options if line.startswith("-e "))
    wanted = Requirement(editable.replace(".", project["name"], 1))
    extras = project["optional-dependencies"]
    assert wanted.extras <= set(extras)
    (everything,) = (Requirement(line) for line in extras["all"])
    assert everything.name == project["name"]
    assert everything.extras == set(extras) - {"all"}


def test_the_pip_section_resolves(environment, root, tmp_path):
    """pip finds versions that fit together, at those pins; nothing is installed."""
    options = [word for line in environment["dependencies"][-1]["pip"] for word in line.split()]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--retries", "0"]
    report = tmp_path / "report.json"
    done = subprocess.run(
        [*command, "--report", str(report), *options],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    offline = ("Could not find a version that satisfies the requirement hatchling", "NewConnection")
    if done.returncode and any(sign in done.stderr for sign in offline):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    assert report.exists()


# --- make


def make(root, *arguments):
    return subprocess.run(["make", *arguments], cwd=root, capture_output=True, text=True)


@pytest.mark.skipif(os.name == "nt", reason="make is for other systems")
def test_make_help_lists_every_target(root):
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"^  make ([a-z]+)", make(root, "help").stdout, re.MULTILINE))
    assert shown == targets >= {"course", "test", "lab", "bench", "clean", "help"}


@pytest.mark.skipif(os.name == "nt", reason="make is for other systems")
def test_an_old_python_is_refused_in_one_line(root, tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(root, "course", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.skipif(os.name == "nt", reason="make is for other systems")
def test_make_reuses_an_environment_that_is_ready(root, tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / ".ready").touch()
    future = time.time() + 60  # newer than any file of the checkout
    os.utime(tmp_path / "venv" / ".ready", (future, future))
    planned = make(root, "--dry-run", "course", f"VENV={tmp_path / 'venv'}").stdout
    assert "pip install" not in planned and "ncf course" in planned
    planned = make(
        root, "--dry-run", "course", f"VENV={tmp_path}", "PIP_OPTIONS=--retries 3"
    ).stdout
    assert "pip install --retries 3 -c constraints.txt -e '.[all]'" in planned
