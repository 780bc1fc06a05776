"""What a sweep's worker does: execute one notebook, watch over it, and send back what it recorded.

See `ncf_utils.sweep`, whose client hands out the runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess  # nosec B404
import tempfile
import threading
import time
from pathlib import Path

from .course import KERNEL_ARGUMENTS, cells_started, describe
from .kernels import OutputError, kernel_environment, limited
from .results import read_records

# Runs share a machine: each gets one core, and is as fast beside others as alone.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    + ("TF_NUM_INTRAOP_THREADS",),
    "1",
)
# Operations that TensorFlow may run side by side; this changes no sum. A sweep of fewer runs than
# cores sets it for its workers.
SIDE_BY_SIDE = "TF_NUM_INTEROP_THREADS"
ENGINE = "ncf-sweep"


def execute(notebook, folder, parameters, timeout=None, memory=None):
    """Execute a notebook in a kernel of its own; errors come back, and are not raised.

    Args:
        notebook: the notebook's text.
        folder: the kernel's working folder, where this machine has it.
        parameters: dict of name -> value to write over the notebook's own.
        timeout: seconds that the run may take; None for no limit.
        memory: bytes that the kernel and its processes may hold; None for no limit.

    Returns:
        dict of `rows` (what was recorded), `notebook` (the executed copy's text, as far as it got),
        `seconds`, `error` (one line; "" where it passed) and `cell` (where it failed, or 0).
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
                folder=folder if os.path.isdir(folder) else scratch,
                record=lines,
                watch=watch,
            )
            rows = read_records(lines) if lines.exists() else []
            error = "" if rows else "the notebook records nothing"
        except Exception as problem:  # whatever goes wrong in one run, the others go on
            if executed.exists():
                cell = cells_started(nbformat.read(executed, as_version=4))
            error = describe(problem, cell)
            if watch.stopped:
                error = f"{f'cell {cell}: ' if cell else ''}stopped: {watch.stopped}"
        text = executed.read_text(encoding="utf-8") if executed.exists() else ""
    seconds = time.perf_counter() - start
    return {"rows": rows, "notebook": text, "seconds": seconds, "error": error, "cell": cell}


class _Watch:
    """Watches over a run, and kills its kernel where it must not go on.

    That is where it takes too long, holds or outputs too much, or is no longer wanted; `stopped`
    then says which, and is "" otherwise.
    """

    def __init__(self, timeout, memory):
        self.stopped = ""
        self._timeout, self._memory = timeout, memory
        self._start, self._wanted = time.monotonic(), _still_wanted()
        self._pid, self._kernel, self._ended = None, None, threading.Event()

    @contextlib.contextmanager
    def over(self, pid):
        """Watch, in a thread, the kernel whose process id `pid()` returns; None before."""
        self._pid = pid
        thread = threading.Thread(target=self._loop, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _loop(self):
        while not self._ended.wait(0.5):
            if self._timeout is not None and time.monotonic() - self._start > self._timeout:
                self.stop(f"not done after {self._timeout:g} s")
            if self._memory is not None and self._held() > self._memory:
                self.stop(f"more than {self._memory / 10**6:,.0f} MB of memory")
            if not self._wanted():
                self.stop("called off")

    def stop(self, reason):
        """Kill the kernel and all that it has started; the first reason is kept."""
        self.stopped = self.stopped or reason
        for process in self._processes():
            with contextlib.suppress(Exception):  # it may have ended by itself
                process.kill()

    def _held(self):
        total = 0
        for process in self._processes():
            with contextlib.suppress(Exception):
                total += process.memory_info().rss
        return total

    def _processes(self):
        """The kernel and all that it has started, as far as they live."""
        import psutil

        try:
            # The process as it was first seen: its number may be another's once it has ended. None
            # is no number yet, and would be this process to psutil.
            if self._kernel is None and (pid := self._pid()) is not None:
                self._kernel = psutil.Process(pid)
            return [*self._kernel.children(recursive=True), self._kernel] if self._kernel else []
        except psutil.Error:
            return []


def _still_wanted():
    """A function that says whether the scheduler still wants what this thread computes.

    Dask cannot stop a thread: this is how a task learns that its client has called it off or is
    gone, or that its worker is closing. Outside of a worker the answer is always yes.
    """
    from distributed import get_worker

    try:
        worker = get_worker()
        key = worker.get_current_task()
    except ValueError:
        return lambda: True

    def wanted():
        task = worker.state.tasks.get(key)
        works = worker.status.name in ("init", "running", "paused", "closing_gracefully")
        return works and task is not None and task.state == "executing"

    return wanted


def _scratch():
    """The worker's own folder, which Dask clears up even after a kill; None outside of a worker."""
    from distributed import get_worker

    try:
        return get_worker().local_directory
    except ValueError:
        return None


def _register_engine():
    """Tell papermill of an engine whose kernels are watched, each with an environment of its own.

    A worker may have many threads, so nothing may be set for the whole process.
    """
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Client(limited(PapermillNotebookClient)):
        watch = None

        def has_room(self, content):
            return super().has_room(content) and not self.watch.stopped

        def stop(self):
            self.watch.stop(str(OutputError()))

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, *, watch, record, folder, **_):
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=120,
                extra_arguments=KERNEL_ARGUMENTS,
                resources={"metadata": {"path": folder}},
            )
            client.watch = watch
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with watch.over(client.pid):
                return client.execute(env=_environment(record), **quiet)

    papermill_engines.register(ENGINE, Engine)


def _environment(record):
    environment = {SIDE_BY_SIDE: "1"} | kernel_environment(**ONE_THREAD, NCF_RECORD=str(record))
    # Dask has its workers give memory back at once; training would ask for it in each step anew.
    environment.pop("MALLOC_TRIM_THRESHOLD_", None)
    return environment


def dask_setup(worker):
    """Dask calls this in each worker that a sweep starts: interrupts are for the client.

    Ctrl-C reaches every process of a terminal; the client then calls the others off in good order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
