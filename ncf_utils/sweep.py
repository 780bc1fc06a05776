"""Runs a notebook over a grid on Dask workers, so that it can be stopped and resumed anywhere.

The client hands out the runs of a `ncf_utils.grid`, as many at a time as there are threads. A
worker executes a run's notebook with papermill, in a kernel of its own, and sends back what was
recorded and the executed notebook. Only the client writes: the executed copy, then the row, each
in one step. So whatever is killed, and whenever, only runs that were not finished are lost, and
the next `ncf sweep` makes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import statistics
import tempfile
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import sweep_worker
from .course import describe
from .grid import Grid
from .results import RowError, add_rows, read_rows, write_whole

#: How often a run is begun whose worker dies, on workers that the sweep has started itself.
ATTEMPTS = 3
#: Seconds to look for a scheduler, at the start and where the connection breaks.
CONNECT = 10
# A run takes minutes, and there is one for each core: Dask's looking after itself many times a
# second would cost an eighth of a core there, a scheduler and a worker together.
LOCAL = {
    "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "1s",
}


@dataclass
class Sweep:
    """What came of a sweep.

    Attributes:
        held: runs that the CSV had already.
        added: runs that were made and recorded.
        failed: runs that were made and failed.
        seconds: what each run took.
    """

    held: int
    added: int = 0
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
        build: folder of what is not kept for ever: executed notebooks and failures go to its
            ``sweep/NAME``, where NAME is that of the CSV.
        workers: processes to start, each for one run at a time; as many as cores if None.
        scheduler: address of a running Dask scheduler, whose workers are used instead.
        limit: the most runs to make now.
        timeout, memory: limits of one run, see `ncf_utils.sweep_worker.execute`.
        dry_run: only report what would be run.
        report: is called with each line of text.

    Returns:
        Sweep.

    Raises:
        ConnectionError: there is no scheduler at that address, or no more.
    """
    from tqdm import tqdm

    keeper = _Keeper(grid, build)
    held = keeper.held()
    waiting = [run for run in grid.runs if run.id not in held]
    sweep = Sweep(held=len(grid.runs) - len(waiting))
    waiting = waiting[:limit]
    report(
        f"{grid.path}: {len(grid.runs)} runs, {sweep.held} of them in {grid.results.name}, "
        f"{len(waiting)} to make now"
    )
    if dry_run:
        for run in waiting:
            report(str(run))
    if dry_run or not waiting:
        return sweep
    keeper.ready()
    task = (_without_outputs(grid.notebook), str(grid.notebook.parent), timeout, memory)
    # Without a terminal there is no bar: a line a run as it ends.
    bar = tqdm(total=len(waiting), desc="sweep", unit="run", disable=None)
    with bar, _cluster(workers, scheduler) as client:
        flight = _Flight(client, keeper, waiting, task, report)
        with contextlib.closing(flight.results()) as results:
            for run, result in results:
                if result is None:
                    sweep.held += 1
                else:
                    _count(sweep, result)
                    _tell(sweep, run, result, bar, flight, report)
                bar.update()
    return sweep


def _count(sweep, result):
    sweep.failed += bool(result["error"])
    sweep.added += not result["error"]
    if result["seconds"]:
        sweep.seconds.append(result["seconds"])


def _tell(sweep, run, result, bar, flight, report):
    """Say what came of a run, and how long the rest will take by what the others took."""
    row = result["rows"][-1] if result["rows"] else {}
    metrics = {name: row.get(name) for name in ("test_hr", "refit_hr")}
    measured = [f"{name} {hr:.4f}" for name, hr in metrics.items() if isinstance(hr, float) and hr]
    said = f"FAILED {result['error']}" if result["error"] else ", ".join(measured)
    line = f"{run}: {said}{', ' if said else ''}{result['seconds']:.0f} s"
    if bar.disable:
        made, left = sweep.added + sweep.failed, len(flight)
        each = statistics.fmean(sweep.seconds or [0])
        time_left = _duration(each * left / max(1, min(flight.slots, left)))
        report(f"[{made}/{made + left}] {line}; {time_left} left")
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

    def __init__(self, grid, build):
        self.results, self.notebook = grid.results, grid.notebook.stem
        self.folder = Path(build) / "sweep" / grid.results.stem

    def ready(self):
        """Fail before the first run, naming the CSV, where no row could be written."""
        try:
            self.results.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.results.parent).close()
        except OSError as error:
            raise OSError(f"{self.results}: cannot be written: {error}") from error

    def held(self):
        """The ids of the runs that the CSV has, of this grid or of others."""
        rows = read_rows(self.results) if self.results.exists() else ()
        return {row.get("run") for row in rows}

    @contextlib.contextmanager
    def claim(self, run):
        """Lock a run; yields False where another sweep on this machine is at it.

        A lock ends with its process. Were it lost all the same, a run would be made twice and its
        row replaced by an equal one.
        """
        from filelock import FileLock, Timeout

        path = self.folder / "claims" / f"{run.id}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=0):
                yield True
                with contextlib.suppress(OSError):  # Windows keeps a file that is open
                    path.unlink()
        except Timeout:
            yield False

    def keep(self, run, result):
        """Write the executed notebook, and then the row, or what went wrong.

        A row that the CSV cannot hold is set in `result` as the run's error. Where the CSV itself
        fails, what the run recorded, perhaps in hours, is kept beside the notebook.

        Raises:
            OSError, ValueError: the CSV cannot be written or read; it names the file and the rows'.
        """
        if result["notebook"]:
            write_whole(self.folder / f"{run.id}.ipynb", result["notebook"])
        failure = self.folder / f"{run.id}.failed.json"
        if not result["error"]:
            # What a notebook records goes before what it was given: it may fill in what was open.
            made_by = {"notebook": self.notebook, "run": run.id}
            rows = [run.parameters | row | made_by for row in result["rows"]]
            failure.unlink(missing_ok=True)  # first: of a run that has its row nobody looks again
            try:
                add_rows(self.results, rows)
                return
            except RowError as error:
                result["error"] = str(error)
            except (OSError, ValueError) as error:
                kept = self.folder / f"{run.id}.jsonl"
                write_whole(kept, "".join(json.dumps(row) + "\n" for row in rows))
                kind = OSError if isinstance(error, OSError) else ValueError
                why = f"{self.results}: {error}; what the run recorded is in {kept}"
                raise kind(why) from error
        told = {"run": run.id, "notebook": self.notebook, "chosen": run.chosen}
        told |= {"cell": result["cell"], "error": result["error"], "parameters": run.parameters}
        write_whole(failure, json.dumps(told, indent=1) + "\n")


class _Flight:
    """The runs that wait, and those that are under way."""

    def __init__(self, client, keeper, waiting, task, report):
        self._client, self._keeper, self._waiting = client, keeper, deque(waiting)
        self._task, self._report, self._told = task, report, set()
        self._flying = {}  # future -> (run, its claim)
        self.slots = 0

    def __len__(self):
        return len(self._waiting) + len(self._flying)

    def results(self):
        """Make the runs; yields (run, result), as they end.

        A result is None where the run was made elsewhere meanwhile. When the caller leaves, what is
        under way is called off.
        """
        try:
            while len(self):
                yield from self._start()
                if not self._flying:
                    time.sleep(0.5)
                for future in self._ended():
                    run, claim = self._flying.pop(future)
                    with claim:
                        result = _result(future)
                        if result is not None:
                            self._keeper.keep(run, result)
                    if result is not None:
                        yield run, result
                    else:  # the connection broke, and came back
                        self._waiting.appendleft(run)
        finally:
            for future, (_, claim) in self._flying.items():
                with claim, contextlib.suppress(Exception):
                    future.cancel()

    def _start(self):
        """Send runs out while threads are free; yields those that turn out to be done."""
        self.slots = self._threads()
        if not self.slots:
            self._say_once("waiting for a worker")
        for _ in range(len(self._waiting)):
            if len(self._flying) >= self.slots:
                return
            run, claim = self._waiting.popleft(), contextlib.ExitStack()
            if not claim.enter_context(self._keeper.claim(run)):
                self._waiting.append(run)
                self._say_once("another sweep is at some of these runs: waiting for it")
            elif run.id in self._keeper.held():
                claim.close()
                yield run, None
            else:
                notebook, folder, *limits = self._task
                future = self._client.submit(
                    sweep_worker.execute,
                    *(notebook, folder, run.parameters, *limits),
                    key=f"{run.id}-{uuid.uuid4().hex[:8]}",
                    pure=False,
                )
                self._flying[future] = run, claim

    def _threads(self):
        try:
            return sum(self._client.nthreads().values())
        except Exception:
            if self._client.status == "running":
                raise
            self._wait_for_connection()
            return 0

    def _ended(self):
        from concurrent.futures import CancelledError

        from distributed import wait

        if self._flying:
            with contextlib.suppress(TimeoutError, CancelledError):
                wait(list(self._flying), timeout=1, return_when="FIRST_COMPLETED")
        if self._client.status != "running":
            self._wait_for_connection()
        return [future for future in self._flying if future.done()]

    def _wait_for_connection(self):
        """Dask looks for a lost scheduler for a while: wait until it has it, or gives up."""
        while self._client.status == "connecting":
            time.sleep(0.1)
        if self._client.status != "running":
            raise ConnectionError("the scheduler is gone; what is in the CSV will not be run again")

    def _say_once(self, text):
        if text not in self._told:
            self._told.add(text)
            self._report(text)


def _result(future):
    """What the worker returned, a failure where it could not, or None where it was called off."""
    from concurrent.futures import CancelledError

    from distributed.scheduler import KilledWorker

    if future.cancelled() or future.status == "lost":
        return None
    try:
        problem = future.exception()
        if problem is None:
            return future.result()
    except CancelledError:  # the scheduler died just now
        return None
    error = describe(problem)
    if isinstance(problem, KilledWorker):
        times = problem.allowed_failures + 1
        error = f"its worker died, {times} times in {times}: killed, or out of memory"
    return {"rows": [], "notebook": "", "seconds": 0.0, "error": error, "cell": 0}


def _without_outputs(path):
    """A notebook's text, without what is stored in it."""
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
    from distributed import Client

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters, the sweep says
    if scheduler:
        try:
            with ThreadPoolExecutor(1) as apart:  # a notebook has a loop of its own
                apart.submit(asyncio.run, asyncio.wait_for(_greet(scheduler), CONNECT)).result()
            client = Client(scheduler, timeout=CONNECT)
        except Exception as error:  # of any kind, by what listens there
            why = str(error) or f"nothing that speaks Dask answers within {CONNECT} s"
            raise ConnectionError(f"no scheduler at {scheduler}: {why}") from None
        with client:
            yield client
        return
    with dask.config.set(LOCAL):
        workers = workers or CPU_COUNT
        with _local_cluster(workers, CPU_COUNT // workers) as cluster, Client(cluster) as client:
            yield client


async def _greet(scheduler):
    """Shake hands with a scheduler; a client would wait for the answer without end."""
    from distributed.comm import connect
    from distributed.security import Security

    options = Security().get_connection_args("client")
    (await connect(scheduler, timeout=CONNECT, **options)).abort()


def _local_cluster(workers, cores):
    """Workers on this machine, and a scheduler, which listen on loopback only.

    Args:
        workers: how many; each makes one run at a time.
        cores: that a run may have, where that changes no result.
    """
    from distributed import LocalCluster

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # None would take the default port, and say so
                silence_logs=logging.CRITICAL,
                preload=sweep_worker.__name__,
                env={sweep_worker.SIDE_BY_SIDE: str(max(1, cores))},
            )
        except RuntimeError as error:  # a process was killed before it was up
            if attempt == ATTEMPTS:
                raise ConnectionError(f"no workers could be started: {error}") from None
