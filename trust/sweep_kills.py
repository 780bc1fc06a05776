"""Sweeps whose client, worker or scheduler is killed at random.

A tiny notebook is run over a tiny grid, by real processes: a Dask scheduler, a worker, and the
command `ncf sweep`. Again and again one of the three is killed, and started anew.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Runs of the grid, and kills before a sweep is left alone to its end.
RUNS, KILLS_A_SWEEP = 6, 5
#: Seconds that a process may take to start, a client to notice, a sweep to end.
PATIENCE = 240
ROLES = ("client", "worker", "scheduler")
CELLS = (
    "x = 0",
    "import time\nfrom ncf_utils import record\n"
    'with open("trace", "a") as trace:\n    trace.write(f"{x}\\n")\n'
    "time.sleep(0.3)",
    'record({"x": x, "seed": 0}, test_hr=x / 100, seconds=1)',
)


class Machines:
    """A scheduler, a worker and a client, each in a session of its own."""

    def __init__(self, folder):
        self.folder, self.processes, self.address = folder, {}, None
        grid = {"notebook": "tiny.ipynb", "results": "tiny.csv", "runs": [{"x": list(range(RUNS))}]}
        _write_notebook(folder / "tiny.ipynb")
        (folder / "grid.yaml").write_text(json.dumps(grid))

    def start(self, role):
        """Start a process, and what it cannot do without."""
        if role == "scheduler":
            (self.folder / "scheduler.json").unlink(missing_ok=True)
            options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
            options += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", "scheduler.json"]
            self._start(role, "distributed.cli.dask_scheduler", *options)
            file = self.folder / "scheduler.json"
            _wait(lambda: file.exists() and file.stat().st_size)
            self.address = json.loads(file.read_text())["address"]
        elif role == "worker":
            options = ["--nthreads", "2", "--no-nanny", "--no-dashboard"]
            self._start(role, "distributed.cli.dask_worker", self.address, *options)
        else:
            options = ["sweep", "grid.yaml", "--scheduler", self.address]
            self._start(role, "ncf_utils", *options)

    def _start(self, role, module, *options):
        environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "99"}
        with open(self.folder / f"{role}.log", "ab") as log:
            self.processes[role] = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                cwd=self.folder, env=environment, start_new_session=True, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, role):
        """Kill a process, without a word."""
        process = self.processes.pop(role, None)
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def alive(self, role):
        return role in self.processes and self.processes[role].poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for role in ROLES:
            self.kill(role)

    def begun(self):
        """How many runs have begun."""
        trace = self.folder / "trace"
        return len(trace.read_text().splitlines()) if trace.exists() else 0


def _write_notebook(path):
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [new_code_cell(source) for source in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def _wait(condition, seconds=PATIENCE):
    """Whether a condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def faults(folder, before=frozenset(), complete=False):
    """What is wrong with the rows of a sweep, and the runs that have one.

    Args:
        folder: where the sweep works.
        before: runs that had a row earlier.
        complete: whether every run must have one.
    """
    path = folder / "tiny.csv"
    if not path.exists():
        header, rows = [], []
    else:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file, strict=True)
    wrong = []
    if any(len(row) != len(header) for row in rows):
        wrong.append("half a row")
    cells = [dict(zip(header, row, strict=False)) for row in rows]
    runs = [cell.get("x") for cell in cells]
    if len(set(runs)) < len(runs):
        wrong.append("a row that stands there twice")
    if not before <= set(runs):
        wrong.append("a row that was there is gone")
    if any(float(cell["test_hr"]) != int(cell["x"]) / 100 for cell in cells):
        wrong.append("a row with a wrong result")
    if complete and set(runs) != {str(run) for run in range(RUNS)}:
        wrong.append("a run without a row")
    if complete and len(list((folder / "build" / "sweep" / "tiny").glob("*.ipynb"))) < len(rows):
        wrong.append("a row without its notebook")
    return wrong, set(runs)


def one_sweep(kills, chance, tell=print):
    """Run a sweep to its end, and kill on the way.

    Returns:
        ({role: kills}, [what went wrong], how many runs were begun).
    """
    done, wrong, seen = dict.fromkeys(ROLES, 0), [], set()
    with tempfile.TemporaryDirectory() as folder, Machines(Path(folder)) as machines:
        deadline = time.monotonic() + PATIENCE * (kills + 1)
        while time.monotonic() < deadline:
            for role in ("scheduler", "worker", "client"):
                if not machines.alive(role):
                    machines.start(role)
            client = machines.processes["client"]
            if sum(done.values()) == kills:
                _wait(lambda: client.poll() is not None)  # noqa: B023
            else:
                before = machines.begun()
                _wait(lambda: machines.begun() > before or client.poll() is not None, 20)  # noqa: B023
                time.sleep(chance.uniform(0, 1.5))
                if client.poll() is None:
                    role = chance.choice(ROLES)
                    machines.kill(role)
                    done[role] += 1
                    if role == "scheduler":  # the others notice, and give up
                        if not _wait(lambda: client.poll() is not None):  # noqa: B023
                            wrong.append("a client that waits for a scheduler that is gone")
                        machines.kill("worker")
            more, seen = faults(Path(folder), seen)
            wrong += more
            if client.poll() == 0:
                break
        wrong += faults(Path(folder), seen, complete=True)[0]
        if wrong:
            logs = [(Path(folder) / f"{role}.log").read_text()[-600:] for role in ROLES]
            tell("\n".join([*wrong, *logs]))
        return done, wrong, machines.begun()


def measure(kills=100, seed=0):
    chance, total = random.Random(seed), dict.fromkeys(ROLES, 0)
    lost, sweeps, begun = [], 0, 0
    while sum(total.values()) < kills:
        wanted = min(KILLS_A_SWEEP, kills - sum(total.values()))
        done, wrong, runs = one_sweep(wanted, chance)
        total = {role: total[role] + done[role] for role in ROLES}
        lost, sweeps, begun = lost + wrong, sweeps + 1, begun + runs
    rows = RUNS * sweeps
    figures = {
        "rows of the sweeps": {"tried": rows, "caught": rows - len(lost), "lost": len(lost)}
        | {f"kills of the {role}": total[role] for role in ROLES}
    }
    text = f"""
{sweeps} sweeps of {RUNS} tiny runs, each sweep killed up to {KILLS_A_SWEEP} times and taken up
again until its client ended by itself. After each kill, and at the end, no row may be lost, double,
half or wrong, and a row must have its executed notebook. {begun} runs were begun for {rows} rows:
what was under way when it was killed is made again.
"""
    return figures, text
