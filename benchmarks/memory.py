"""A first run in a fresh process: how long until it trains, and how much memory it takes.

`python -m benchmarks.memory torch DATASET` is that process. Nothing but Python's own library is
imported above, so that it pays for every other import itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib import import_module
from pathlib import Path

FRAMEWORKS = ("torch", "keras")
ROOT = Path(__file__).parents[1]


def peak_memory():
    """The most memory that this process has held so far, in bytes; None where that is not known."""
    try:
        # On Linux, ru_maxrss would start from the memory of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1))
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def first_run(framework, name):
    """Import, load, train NeuMF for one epoch, evaluating it before and after.

    Returns:
        Two dictionaries by stage: its seconds, and the peak memory at its end, in bytes.
    """
    seconds, peak = {}, {"python": peak_memory()}

    def stage(name, work):
        start = time.perf_counter()
        done = work()
        seconds[name] = time.perf_counter() - start
        peak[name] = peak_memory()
        return done

    ncf_utils = stage("import_ncf_utils", lambda: import_module("ncf_utils"))
    dataset = stage("load", lambda: ncf_utils.load_dataset(name, download=False))
    module = stage("import_framework", lambda: import_module(f"ncf_utils.{framework}_ncf"))
    model = stage("model", lambda: module.NeuMF(dataset.num_users, dataset.num_items))
    stage("fit", lambda: module.fit(model, dataset, epochs=1, progress=False))
    return seconds, peak


def measure(setting):
    """Such processes in turns; before PyTorch's comes, what was parsed is forgotten."""
    from concurrent.futures import ThreadPoolExecutor

    runs = {framework: [] for framework in FRAMEWORKS}
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(len(FRAMEWORKS) if setting.quick else 1) as pool,
    ):
        environment = os.environ | data_of_its_own(setting.dataset, Path(folder))
        for _ in range(1 if setting.quick else 3):
            for parsed in Path(folder).rglob("*.npz"):
                parsed.unlink()
            start = partial(fresh_process, setting.dataset, environment)
            for framework, run in zip(FRAMEWORKS, pool.map(start, FRAMEWORKS), strict=True):
                runs[framework].append(run)
    return {"runs": runs}


def data_of_its_own(name, folder):
    """The environment in which a data set is read from a copy in `folder`, where it is not ours."""
    given = Path(os.environ.get("NCF_DATA_DIR", "")) / name
    if not given.is_dir():
        return {}
    copied = shutil.copytree(given, folder / name, ignore=shutil.ignore_patterns("*.npz"))
    copied.chmod(0o755)  # so that what is parsed is kept in it, as it would be in a download
    return {"NCF_DATA_DIR": str(folder), "NCF_CACHE_DIR": str(folder / "cache")}


def fresh_process(name, environment, framework):
    """What `first_run` returns in a process of its own, as {"seconds": ..., "peak": ...}."""
    command = [sys.executable, "-m", "benchmarks.memory", framework, name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    seconds, peak = first_run(*sys.argv[1:])
    print(json.dumps({"seconds": {k: round(v, 4) for k, v in seconds.items()}, "peak": peak}))
