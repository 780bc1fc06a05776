"""Runs a notebook over a grid on Dask workers, so that it can be stopped and resumed anywhere.

The client hands out the runs of a `ncf_utils.grid`, as many at a time as there are threads. A
worker executes a run's notebook with papermill in a kernel of its own and sends back what was
recorded, and the executed notebook. Only the client writes: the executed copy, then the row, each
in one step. So whatever is killed, and whenever, what is lost are runs that were not finished; the
next `ncf sweep` makes them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from .course import ENVIRONMENT, KERNEL_ARGUMENTS, _cells_started, describe
from .grid import Grid
from .results import add_rows, read_records, read_rows, row_key

# Runs share a machine, and each is measured as if it had one core.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    + ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    "1",
)
#: Bytes that a notebook may output; what goes beyond stops it.
MOST_OUTPUT = 20_000_000
#: How often a run whose worker dies is begun, on the workers that a sweep starts itself.
ATTEMPTS = 3
ENGINE = "ncf-sweep"


# --- on the worker -------------------------------------------------------------------------------


def execute(notebook, folder, parameters, timeout=None, memory=None):
    """Execute a notebook in a kernel of its own; errors come back, and are not raised.

    Args:
        notebook: the notebook's text.
        folder: the kernel's working folder, where this machine has it.
        parameters: name -> value.
        timeout: seconds that the run may take; None for no limit.
        memory: bytes that the kernel and its processes may hold; None for no limit.

    Returns:
        dict of `rows` (what was recorded), `notebook` (the executed copy's text, as far as it got),
        `seconds`, `error` (one line; "" where it passed) and `cell` (the one that failed, or 0).
    """
    import nbformat
    import papermill

    _register_engine()
    start = time.perf_counter()
    rows, error, cell = [], "", 0
    with tempfile.TemporaryDirectory(prefix="ncf-sweep-", dir=_scratch()) as scratch:
        source, executed, lines = (Path(scratch, n) for n in ("in.ipynb", "out.ipynb", "rows"))
        source.write_text(notebook, encoding="utf-8")
        watch = _Watch(timeout, memory)
        try:
            papermill.execute_notebook(
                source,
                executed,
                parameters,
                engine_name=ENGINE,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                extra_arguments=KERNEL_ARGUMENTS,
                resources={"metadata": {"path": folder if os.path.isdir(folder) else scratch}},
                record=lines,
                watch=watch,
            )
            rows = read_records(lines) if lines.exists() else []
            error = "" if rows else "the notebook records nothing"
        except Exception as problem:  # whatever goes wrong in one run, the others go on
            if executed.exists():
                cell = _cells_started(nbformat.read(executed, as_version=4))
            error = describe(problem, cell)
            if watch.stopped:
                error = f"cell {cell}: stopped: {watch.stopped}"
        text = executed.read_text(encoding="utf-8") if executed.exists() else notebook
    seconds = time.perf_counter() - start
    return {"rows": rows, "notebook": text, "seconds": seconds, "error": error, "cell": cell}


class _Watch:
    """Watches over a run, and kills its kernel where it must not go on: too long, too large, too
    loud, or no longer wanted.

    `stopped` says why it was killed; "" where it was not.
    """

    def __init__(self, timeout, memory):
        self.stopped = ""
        self._timeout, self._memory, self._output = timeout, memory, 0
        self._start, self._wanted = time.monotonic(), _wanted_check()
        self._pid, self._ended = (lambda: None), threading.Event()

    @contextlib.contextmanager
    def over(self, pid):
        """Watch, in a thread, the kernel whose process id `pid()` returns once it has one."""
        self._pid = pid
        thread = threading.Thread(target=self._loop, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def count(self, content):
        """Count a message; returns whether there is room for it."""
        self._output += sum(len(str(value)) for value in content.values())
        if self._output > MOST_OUTPUT:
            self._stop(f"more than {MOST_OUTPUT // 10**6} MB of output")
        return self._output <= MOST_OUTPUT

    def _loop(self):
        while not self._ended.wait(0.5):
            if self._timeout is not None and time.monotonic() - self._start > self._timeout:
                self._stop(f"not done after {self._timeout:g} s")
            if self._memory is not None and self._held() > self._memory:
                self._stop(f"more than {self._memory / 10**6:,.0f} MB of memory")
            if not self._wanted():
                self._stop("cancelled")

    def _stop(self, reason):
        self.stopped = self.stopped or reason
        for process in self._processes():
            with contextlib.suppress(Exception):
                process.kill()

    def _held(self):
        total = 0
        for process in self._processes():
            with contextlib.suppress(Exception):
                total += process.memory_info().rss
        return total

    def _processes(self):
        """The kernel and what it has started, as far as they live."""
        import psutil

        try:
            kernel = psutil.Process(self._pid())
            return [*kernel.children(recursive=True), kernel]
        except (psutil.Error, TypeError):
            return []


def _wanted_check():
    """A function that says whether the scheduler still wants what this worker's thread computes.

    Dask has no way to stop a thread: a task learns here that its client has cancelled it, is gone,
    or that its worker is closing. Outside of a worker the answer is always yes.
    """
    from distributed import get_worker

    try:
        worker = get_worker()
        key = worker.get_current_task()
    except ValueError:
        return lambda: True

    def wanted():
        task = worker.state.tasks.get(key)
        running = worker.status.name in ("init", "running", "paused", "closing_gracefully")
        return running and task is not None and task.state in ("executing", "long-running")

    return wanted


def _scratch():
    """The worker's own folder, which Dask clears up after a kill; None outside of a worker."""
    from distributed import get_worker

    try:
        return get_worker().local_directory
    except ValueError:
        return None


def _register_engine():
    """Tell papermill of an engine whose kernels are watched, and record to a file of their own."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Client(PapermillNotebookClient):
        watch = None

        def process_message(self, msg, cell, cell_index):
            status = msg["msg_type"] == "status"
            if status or self.watch.count(msg["content"]):
                return super().process_message(msg, cell, cell_index)

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, *, watch, record, **options):
            keep = ("resources", "extra_arguments")
            chosen = {name: options[name] for name in keep}
            client = Client(nb_man, kernel_name=kernel_name, startup_timeout=120, **chosen)
            client.watch = watch
            environment = ENVIRONMENT | os.environ | ONE_THREAD | {"NCF_RECORD": str(record)}
            with watch.over(lambda: client.km.provisioner.pid):
                return client.execute(env=environment)

    papermill_engines.register(ENGINE, Engine)


# --- on the client -------------------------------------------------------------------------------


@dataclass
class Sweep:
    """What came of a sweep.

    Attributes:
        held: runs that the CSV held at the start.
        done: runs that were made and recorded.
        failed: runs that were made and failed.
    """

    held: int
    done: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list, repr=False)


def run_sweep(
    grid: Grid,
    build="build",
    *,
    workers=None,
    scheduler=None,
    limit=None,
    timeout=None,
    memory=None,
    dry_run=False,
    report=print,
) -> Sweep:
    """Make the runs of a grid that its CSV does not hold.

    Args:
        grid: see `ncf_utils.grid.read_grid`.
        build: folder of what is not kept for ever: executed notebooks and failures go to
            ``build/sweep/NAME``, where NAME is that of the CSV.
        workers: processes to start, each for one run at a time; as many as cores if None.
        scheduler: address of a running Dask scheduler, whose workers are used instead.
        limit: the most runs to make now.
        timeout, memory: limits of one run, see `execute`.
        dry_run: only report what would be run.
        report: is called with each line of text.

    Returns:
        Sweep.

    Raises:
        ConnectionError: there is no scheduler at that address, or no more.
    """
    from tqdm import tqdm

    keeper = _Keeper(grid, Path(build) / "sweep" / grid.results.stem)
    waiting = [run for run in grid.runs if not keeper.holds(run)]
    state = Sweep(held=len(grid.runs) - len(waiting))
    waiting = deque(waiting[:limit])
    report(
        f"{grid.path}: {len(grid.runs)} runs, {state.held} of them in {grid.results.name}, "
        f"{len(waiting)} to make now"
    )
    if dry_run:
        for run in waiting:
            report(str(run))
    if dry_run or not waiting:
        return state
    notebook = _without_outputs(grid.notebook)
    bar = tqdm(total=len(waiting), desc="sweep", unit="run", disable=None)
    with bar, _cluster(workers, scheduler) as client:
        flight = _Flight(client, keeper, waiting, (notebook, str(grid.notebook.parent)), report)
        for run, result in flight.results(timeout, memory):
            if result is not None:
                _count(state, run, result, bar, report, len(flight), flight.slots)
            else:
                state.held += 1
            bar.update()
    return state


def _count(state, run, result, bar, report, left, slots):
    """Count a finished run, and say so."""
    state.seconds.append(result["seconds"])
    state.failed += bool(result["error"])
    state.done += not result["error"]
    row = result["rows"][-1] if result["rows"] else {}
    measured = [f"{name} {row[name]:.4f}" for name in ("test_hr", "refit_hr") if row.get(name)]
    said = f"FAILED {result['error']}" if result["error"] else ", ".join(measured)
    line = f"{run}: {said}{', ' if said else ''}{result['seconds']:.0f} s"
    if bar.disable:
        rest = statistics.fmean(state.seconds) * left / max(1, min(slots, left))
        total = state.done + state.failed + left
        report(f"[{total - left}/{total}] {line}; {_duration(rest)} left")
    elif result["error"]:
        bar.write(line)
    else:
        bar.set_postfix_str(line[:80])


def _duration(seconds):
    """Seconds as a reader wants them.

    >>> _duration(59), _duration(90), _duration(5400)
    ('59 s', '2 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class _Keeper:
    """Knows what is done, and writes what comes in: the only part that touches files."""

    def __init__(self, grid, folder):
        self.results, self.folder, self.notebook = grid.results, folder, grid.notebook.stem
        self.names = ("notebook", *grid.parameters)

    def holds(self, run):
        """Whether the CSV has the run's row."""
        if not self.results.exists():
            return False
        return self._key(run) in {row_key(row, self.names) for row in read_rows(self.results)}

    def _key(self, run):
        return row_key({"notebook": self.notebook} | run.parameters, self.names)

    def claim(self, run):
        """A lock on a run, or None where another sweep on this machine makes it already."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "claims" / f"{run.id}.lock")
        lock_folder = Path(lock.lock_file).parent
        lock_folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def keep(self, run, result):
        """Write the executed notebook, and then the row, or what went wrong."""
        if result["notebook"]:
            _write(self.folder / f"{run.id}.ipynb", result["notebook"])
        failure = self.folder / f"{run.id}.failed.json"
        if result["error"]:
            told = {"run": run.id, "results": self.results.name, "notebook": self.notebook}
            told |= {"cell": result["cell"], "error": result["error"]}
            _write(failure, json.dumps(told | {"parameters": run.parameters}, indent=1) + "\n")
        else:
            given = {"notebook": self.notebook} | run.parameters
            add_rows(self.results, [row | given for row in result["rows"]], self.names)
            failure.unlink(missing_ok=True)


def _write(path, text):
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class _Flight:
    """The runs that wait, and those that are under way."""

    def __init__(self, client, keeper, waiting, notebook, report):
        self.client, self.keeper, self.waiting, self.notebook = client, keeper, waiting, notebook
        self.report, self.slots = report, 0
        self.flying = {}  # future -> (run, its lock)
        self._told = set()

    def __len__(self):
        return len(self.waiting) + len(self.flying)

    def results(self, timeout, memory):
        """Make the runs; yields (run, result), of which the result is None where it was made
        elsewhere meanwhile. What is under way is called back when the caller leaves."""
        try:
            while len(self):
                yield from self._start(timeout, memory)
                if not self.flying:
                    time.sleep(0.5)
                for future in self._finished():
                    run, lock = self.flying.pop(future)
                    try:
                        result = _result(future)
                        if result is None:  # the connection broke, and came back
                            self.waiting.appendleft(run)
                            continue
                        self.keeper.keep(run, result)
                    finally:
                        lock.release()
                    yield run, result
        finally:
            for future, (_, lock) in self.flying.items():
                with contextlib.suppress(Exception):
                    future.cancel()
                lock.release()

    def _start(self, timeout, memory):
        """Send out runs while threads are free; yields those that turn out to be done."""
        try:
            self.slots = sum(self.client.nthreads().values())
        except (OSError, RuntimeError, ValueError):  # the connection is broken
            self._reconnect()
        if not self.slots:
            self._tell("waiting for a worker")
        for _ in range(len(self.waiting)):
            if len(self.flying) >= self.slots:
                return
            run = self.waiting.popleft()
            lock = self.keeper.claim(run)
            if lock is None:
                self.waiting.append(run)
                self._tell("some runs are being made by another sweep: waiting for it")
                continue
            if self.keeper.holds(run):
                lock.release()
                yield run, None
                continue
            key = f"{run.id}-{uuid.uuid4().hex[:8]}"
            arguments = (*self.notebook, run.parameters, timeout, memory)
            self.flying[self.client.submit(execute, *arguments, key=key, pure=False)] = run, lock

    def _finished(self):
        from concurrent.futures import CancelledError

        from distributed import wait

        with contextlib.suppress(TimeoutError, CancelledError, ValueError):
            if self.flying:
                wait(list(self.flying), timeout=1, return_when="FIRST_COMPLETED")
        if self.client.status != "running":
            self._reconnect()
        return [future for future in self.flying if future.done()]

    def _reconnect(self):
        """Wait until Dask has found the scheduler again, or has given up."""
        address = self.client._start_arg
        while self.client.status == "connecting":
            time.sleep(0.1)
        if self.client.status != "running":
            raise ConnectionError(f"the scheduler at {address} is gone; a rerun goes on from here")

    def _tell(self, text):
        if text not in self._told:
            self._told.add(text)
            self.report(text)


def _result(future):
    """What `execute` returned; a failure where it could not; None where it was called back."""
    if future.cancelled() or future.status == "lost":
        return None
    problem = future.exception()
    if problem is None:
        return future.result()
    from distributed.scheduler import KilledWorker

    error = f"{type(problem).__name__}: {problem}".splitlines()[0]
    if isinstance(problem, KilledWorker):
        tries = problem.allowed_failures + 1
        error = f"the worker died, {tries} times in {tries}: killed, or out of memory"
    return {"rows": [], "notebook": "", "seconds": 0.0, "error": error, "cell": 0}


def _without_outputs(path):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook)


@contextlib.contextmanager
def _cluster(workers, scheduler):
    """A Dask client: of a scheduler that runs already, or of processes on this machine."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise ConnectionError(f"no scheduler at {scheduler}: {error}") from None
        with client:
            yield client
        return
    settings = {"distributed.scheduler.allowed-failures": ATTEMPTS - 1}
    with dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        with cluster, Client(cluster) as client:
            yield client
