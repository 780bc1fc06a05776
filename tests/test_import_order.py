"""Triton is loaded before TensorFlow: the other way round the process dies on Linux."""

import json
import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("triton", "order"),
    [
        ("print('triton')", ["triton", "tensorflow"]),
        (None, ["tensorflow"]),
        ("raise ImportError", ["tensorflow"]),
    ],
    ids=["installed", "missing", "broken"],
)
def test_triton_comes_first(tmp_path, root, triton, order):
    (tmp_path / "tensorflow.py").write_text("print('tensorflow')")
    if triton is not None:
        (tmp_path / "triton.py").write_text(triton)
    hidden = "" if triton is not None else "sys.modules['triton'] = None\n"  # it may be installed
    code = f"import sys, ncf_utils\n{hidden}import tensorflow, tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (order, "")


def test_it_stays_out_of_the_way_of_a_tensorflow_that_is_there(root):
    code = "import sys; sys.modules['tensorflow'] = sys; before = list(sys.meta_path)\n"
    code += "import ncf_utils; print(sys.meta_path == before)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_every_notebook_imports_the_package_before_keras(root):
    found = 0
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        imports = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
        for name in {"keras", "tensorflow"} & set(imports):
            assert imports.index("ncf_utils") < imports.index(name), path.name
            found += 1
    assert found >= 4
