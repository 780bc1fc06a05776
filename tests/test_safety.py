"""Nothing that is read is run: no pickles, no eval, no shell; what listens, listens here only."""

import ast
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from papermill.parameterize import parameterize_notebook

from trust.advisories import advisories

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ncf_utils", "trust", "benchmarks")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
# Compiles the package with a fault in it: that is what it is for.
SOURCES = [path for path in SOURCES if path != ROOT / "trust" / "mutation.py"]

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "jsonpickle"}
BUILTINS = {"eval", "exec", "__import__"}
CALLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
CALLS |= {"pd.read_pickle", "pandas.read_pickle", "yaml.unsafe_load", "yaml.full_load"}
CALLS |= {"tempfile.mktemp", "ssl._create_unverified_context"}
#: Call -> the argument that it must have, and its value.
MUST_HAVE = {
    "torch.load": ("weights_only", True),
    "keras.saving.load_model": ("safe_mode", True),
    "keras.models.load_model": ("safe_mode", True),
    "np.load": ("allow_pickle", False),
}
MUST_NOT_HAVE = {"shell": True, "verify": False, "allow_pickle": True, "safe_mode": False}
MUST_NOT_HAVE |= {"weights_only": False, "trust_remote_code": True}


def unsafe(source):
    """[(line, what)] of a source that would run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            names = names if isinstance(node, ast.Import) else [node.module or ""]
            found += [(node.lineno, n) for n in names if n.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {k.arg: getattr(k.value, "value", ...) for k in node.keywords}
        if name in BUILTINS | CALLS or name.endswith("unsafe_load"):
            found.append((node.lineno, name))
        if name in MUST_HAVE and given.get(MUST_HAVE[name][0], ...) is not MUST_HAVE[name][1]:
            found.append((node.lineno, f"{name} without {MUST_HAVE[name][0]}={MUST_HAVE[name][1]}"))
        if name == "yaml.load" and "safe" not in ast.unparse(node).lower():
            found.append((node.lineno, name))
        for argument, value in MUST_NOT_HAVE.items():
            if given.get(argument, ...) is value:
                found.append((node.lineno, f"{argument}={value}"))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_it_reads(path):
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import numpy, dill.source",
        "eval(text)",
        "x = [exec(line) for line in lines]",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=flag)",
        "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "yaml.load(text)",
        "requests.get(url, verify=False)",
    ],
)
def test_the_search_finds(source):
    assert unsafe(source)


def test_the_search_lets_pass_what_is_safe():
    assert not unsafe(
        "model.eval()\nre.compile(x)\ntorch.load(p, weights_only=True)\n"
        "keras.saving.load_model(p, safe_mode=True)\nnp.load(p, allow_pickle=False)\n"
        "yaml.load(text, Loader=yaml.SafeLoader)\nsubprocess.run(['ls'], shell=False)"
    )


# --- parameters are values -----------------------------------------------------------------------

TEXTS = st.text() | st.sampled_from(
    ["'; import os #", '"""\nimport os\n"""', "\\", "'\\'", "\n%%bash\nls", "{x}", "\x00", "\ud7ff"]
)
# PyTorch's models, where a test made one before, have switched subnormal numbers off.
FLOATS = st.floats(allow_nan=False, allow_subnormal=False)
VALUES = st.none() | st.booleans() | st.integers() | FLOATS | TEXTS
VALUES |= st.lists(st.integers() | TEXTS, max_size=3)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_a_parameter_of_a_run_is_a_value_and_never_code(value):
    """What a grid or `ncf run -p` gives is written into a notebook's cell, and read there."""
    cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python"}
    notebook.metadata["papermill"] = {}
    made = parameterize_notebook(notebook, {"x": value}).cells[1].source
    (assignment,) = ast.parse(made).body
    assert isinstance(assignment, ast.Assign) and ast.unparse(assignment.targets[0]) == "x"
    if not (isinstance(value, float) and abs(value) == float("inf")):
        assert ast.literal_eval(assignment.value) == value


# --- JupyterLab ----------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="make is for other systems")
def test_jupyterlab_listens_on_loopback_and_asks_for_its_token(tmp_path):
    """The command of `make lab`, at a port and with folders of its own."""
    ready = tmp_path / "venv" / ".ready"
    ready.parent.mkdir()
    ready.touch()
    future = time.time() + 60  # newer than any file of the checkout
    os.utime(ready, (future, future))
    command = ["make", "--dry-run", "lab", f"VENV={ready.parent}", "NO_BROWSER=1"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    options = planned.replace("\\\n", " ").split("jupyter lab", 1)[1].split("\n")[0].split()
    assert not re.search("token=|password=|allow_|0\\.0\\.0\\.0|disable_check", " ".join(options))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    runtime = tmp_path / "runtime"
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime)}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options, f"--ServerApp.port={port}"]
        + ["--ServerApp.port_retries=0", "--allow-root"],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (files := list(runtime.glob("jpserver-*.json"))) or not files[0].stat().st_size:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        told = json.loads(files[0].read_text())
        wait_for(told["url"])
        listening = psutil.Process(server.pid).net_connections("inet")
        assert {c.laddr.ip for c in listening if c.status == "LISTEN"} == {"127.0.0.1"}
        assert told["hostname"] == "127.0.0.1" and len(told["token"]) >= 40
        assert status(f"{told['url']}api/contents") == 403
        assert status(f"{told['url']}api/contents?token=guess") == 403
        assert status(f"{told['url']}api/contents?token={told['token']}") == 200
    finally:
        server.terminate()
        server.wait()


def wait_for(url):
    """Until somebody answers: the file is written a moment before."""
    for _ in range(300):
        with contextlib.suppress(urllib.error.URLError):
            return status(url)
        time.sleep(0.1)


def status(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(url, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code


# --- known faults of the packages ----------------------------------------------------------------


def said(text, status=0, to="stdout"):
    return [sys.executable, "-c", f"import sys; sys.{to}.write({text!r}); sys.exit({status})"]


PACKAGE = {"name": "a", "version": "1", "vulns": []}
FAULTY = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    "command, lines, bad",
    [
        (
            said(json.dumps({"dependencies": [PACKAGE, FAULTY, SKIPPED]}), 1),
            ["b 2: CVE-1, mended in 3", "2 of 3 packages are known, 1 faults"],
            True,
        ),
        (
            said(json.dumps({"dependencies": [PACKAGE]})),
            ["1 of 1 packages are known, 0 faults"],
            False,
        ),
        (
            said(json.dumps({"dependencies": [SKIPPED]})),
            ["skipped: pip-audit's database knows none of these packages here"],
            False,
        ),
        (
            said("Traceback\nno route to host\n", 1, "stderr"),
            ["skipped: pip-audit cannot reach its database: no route to host"],
            False,
        ),
        (
            [sys.executable, "-c", "import time; time.sleep(60)"],
            ["skipped: pip-audit was not done after 1 s"],
            False,
        ),
    ],
)
def test_known_faults_are_told_and_a_database_out_of_reach_is_no_fault(command, lines, bad):
    assert advisories("pins", command, patience=1 if "sleep" in command[-1] else 60) == (lines, bad)
