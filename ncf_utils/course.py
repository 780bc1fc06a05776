"""Runs notebooks from outside: the whole course, one with other parameters, or to store outputs."""

import json
import os
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from .errors import DataError
from .files import whole
from .grid import run_id
from .kernels import kernel_environment, limited, register_engine
from .parameters import ParameterError, nearest
from .results import add_rows, read_records, read_rows, recorded

# The order in which a matrix product is summed goes by the processor, and with it the last digits:
# MKL, in PyTorch, has another for Intel's than for others, also where it is held to AVX2; Eigen, in
# TensorFlow, sums in blocks that fit the first data cache. `refresh` notes the processor in these
# notebooks, and where another is found their cells run without being compared.
SUMS_BY_PROCESSOR = (
    "00_start_here",
    "07_mlp_keras",
    "07_mlp_pytorch",
    "08_neumf_keras",
    "08_neumf_pytorch",
    "10_negatives_and_depth",
    "13_beyond_ids",
    "14_serving",
    "15_scaling_out",
    "run_blend",
    "train_one_model",
)
CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
CACHE_FIELDS = "level", "type", "size"
# A kernel warns at each start that it listens on loopback unencrypted, and now and then reports
# its own shutdown as an error.
KERNEL_ARGUMENTS = ["--IPKernelApp.log_level=CRITICAL"]


@dataclass(frozen=True)
class Outcome:
    """What came of running one notebook.

    Attributes:
        name: the notebook's file name without its suffix.
        seconds: from the start of its kernel to the end of its last cell.
        text: what it measured, as `record` shows it; "" where it records nothing.
        error: one line naming the cell and the error; "" where it passed.
    """

    name: str
    seconds: float
    text: str = ""
    error: str = ""


def find_notebooks(folder, patterns=()):
    """Notebooks of a folder, in the order of their names.

    Args:
        folder: where the notebooks are.
        patterns: names or globs, with or without the suffix, such as ``"08*"``; all if empty.

    Raises:
        ValueError: a pattern matches nothing (the message names the nearest notebook) or names
            another folder, or there is no notebook at all.
    """
    found = {path.stem: path for path in sorted(Path(folder).glob("*.ipynb"))}
    if not found:
        raise ValueError(f"no notebooks in {folder}")
    chosen = set()
    for pattern in patterns:
        parent = Path(pattern).parent
        if parent != Path() and parent.resolve() != Path(folder).resolve():
            raise ValueError(f"{pattern}: not in {folder}; --notebooks names another folder")
        stem = Path(pattern).name.removesuffix(".ipynb")
        matching = [name for name in found if fnmatch(name, stem)]
        if not matching:
            raise ValueError(f"no notebook matches {pattern!r}{nearest(stem, found)}")
        chosen.update(matching)
    return [path for name, path in found.items() if name in chosen or not patterns]


def run_notebook(notebook, output, parameters=None, cell_timeout=None, **environment):
    """Execute a notebook with papermill, in its own folder; errors come back, and are not raised.

    One that outputs more than `ncf_utils.kernels.MOST_OUTPUT` characters is stopped.

    Args:
        notebook: path of the notebook.
        output: path of the executed copy; written as far as it got, also after an error.
        parameters: dict of name -> value to write over the notebook's own.
        cell_timeout: seconds that one cell may take; no limit if None.
        **environment: variables for the kernel, beside those of `kernel_environment`.

    Returns:
        Outcome.

    Raises:
        ValueError: the output would take the place of the notebook.
    """
    import nbformat
    import papermill

    notebook, output = Path(notebook).resolve(), Path(output).resolve()
    if output.exists() and output.samefile(notebook):
        raise ValueError(f"{output}: is the notebook itself, name another place for the output")
    start = time.perf_counter()
    error = text = ""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.unlink(missing_ok=True)
        papermill.execute_notebook(
            notebook,
            output,
            parameters or {},
            cwd=notebook.parent,
            engine_name=register_engine(),
            kernel_name="python3",
            language="python",
            execution_timeout=cell_timeout,
            extra_arguments=KERNEL_ARGUMENTS,
            progress_bar=False,
            environment=kernel_environment(**environment),
        )
        text = recorded(nbformat.read(output, as_version=4))[1]
    except Exception as problem:  # whatever goes wrong in one notebook, the others go on
        executed = None
        with suppress(Exception):  # it may be absent, a folder, or half written
            executed = nbformat.read(output, as_version=4)
        error = describe(problem, cells_started(executed))
    return Outcome(notebook.stem, time.perf_counter() - start, text, error)


def describe(problem, cell=0):
    """One line on why a notebook did not run: the cell, the error, or the line that it stopped at.

    Args:
        problem: what papermill or nbclient raised.
        cell: number of the cell that was running; 0 if none was.
    """
    name = getattr(problem, "ename", type(problem).__name__)
    lines = getattr(problem, "evalue", str(problem)).splitlines()
    message = next((line.strip() for line in lines if line.strip()), "")
    if not message and hasattr(problem, "traceback"):  # a bare assert says nothing: show it
        parts = [problem.traceback] if isinstance(problem.traceback, str) else problem.traceback
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(parts))
        stopped = re.findall(r"^-+> *\d+ (.*)$", trace, re.MULTILINE)
        message = stopped[-1].strip() if stopped else ""
    return f"{f'cell {cell}: ' if cell else ''}{name}{': ' if message else ''}{message}"


def cells_started(executed):
    """How many code cells papermill has started, by what it notes in the notebook."""
    cells = executed.cells if executed else ()
    return sum(
        cell.cell_type == "code" and bool(cell.metadata.get("papermill", {}).get("start_time"))
        for cell in cells
        if cell.source.strip()
    )


def declared_parameters(notebook):
    """Names in the cell of a notebook that is tagged ``parameters``."""
    import papermill

    try:
        return set(papermill.inspect_notebook(str(notebook)))
    except ValueError as error:
        raise ValueError(f"{notebook}: {error}") from None


def run_course(notebooks, build, parameters=None, jobs=1, cell_timeout=None, report=print):
    """Execute notebooks into a folder, with a progress bar over them, and report one table.

    Args:
        notebooks: paths.
        build: folder for the executed copies.
        parameters: name -> value, given to each notebook that has a parameter of that name.
        jobs: notebooks that run at a time, each in its own process.
        cell_timeout: seconds that one cell may take.
        report: is called with each line of the table.

    Returns:
        list of Outcome, in the order of `notebooks`.

    Raises:
        ParameterError: none of the notebooks has a parameter of that name.
        ValueError: the executed copies would take the place of the notebooks.
    """
    from tqdm import tqdm

    if any(Path(path).resolve().parent == Path(build).resolve() for path in notebooks):
        raise ValueError(f"{build}: holds the notebooks, name another folder for the copies")
    chosen = _parameters_by_notebook(notebooks, parameters or {})
    start = time.perf_counter()
    pool = ProcessPoolExecutor(max_workers=jobs, mp_context=get_context("spawn"))
    # Without a terminal there is no bar: a line a notebook as it ends.
    with pool, tqdm(total=len(notebooks), desc="course", unit="notebook", disable=None) as bar:
        runs = [
            pool.submit(run_notebook, path, Path(build) / path.name, chosen[path], cell_timeout)
            for path in notebooks
        ]
        try:
            for done, run in enumerate(as_completed(runs), start=1):
                outcome = run.result()
                line = f"{outcome.name} {'FAILED' if outcome.error else 'passed'}"
                bar.set_postfix_str(line)
                bar.update()
                if bar.disable:
                    report(f"[{done}/{len(runs)}] {line}, {outcome.seconds:.1f} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    outcomes = [run.result() for run in runs]
    _report_table(outcomes, time.perf_counter() - start, report)
    return outcomes


def _parameters_by_notebook(notebooks, parameters):
    declared = {path: declared_parameters(path) if parameters else set() for path in notebooks}
    everywhere = set().union(*declared.values())
    for name in parameters:
        if name not in everywhere:
            near = nearest(name, everywhere)
            raise ParameterError(f"no notebook has a parameter {name}{near}")
    return {
        path: {name: value for name, value in parameters.items() if name in declared[path]}
        for path in notebooks
    }


def _report_table(outcomes, seconds, report):
    width = max(len(outcome.name) for outcome in outcomes)
    report("")
    report(f"{'notebook':<{width}}  seconds  measured")
    for outcome in outcomes:
        shown = f"FAILED {outcome.error}" if outcome.error else outcome.text or "-"
        report(f"{outcome.name:<{width}}  {outcome.seconds:7.1f}  {shown}")
    failed = sum(bool(outcome.error) for outcome in outcomes)
    report(
        f"\n{len(outcomes)} notebooks, {len(outcomes) - failed} passed, {failed} failed,"
        f" {seconds:.0f} s"
    )


def run_to_results(notebook, output, parameters, results):
    """Execute one notebook and add what it recorded to a results CSV.

    The row has the notebook's name, and the id of the run in a grid, so that a sweep knows it.

    Args:
        notebook, output, parameters: as in `run_notebook`.
        results: path of the CSV, see `ncf_utils.results.add_rows`.

    Returns:
        Outcome; its error is set, and no row is written, where the notebook failed or records
        nothing.

    Raises:
        ValueError: the output would take the place of the notebook or of the CSV, or the CSV is
            none of results. Nothing was run.
        DataError, OSError: the row cannot be added; the message names the file that holds it.
    """
    notebook, output = Path(notebook), Path(output)
    if output.resolve() == Path(results).resolve():
        raise ValueError(f"{output}: is the CSV of results, name another place for the output")
    if Path(results).exists():
        read_rows(results)  # says what is wrong with it while there is nothing to lose
    made_by = {"notebook": notebook.stem}
    with suppress(ValueError, OSError):  # what no grid can have has no id; the notebook says why
        made_by["run"] = run_id(notebook, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".jsonl", f"{output.stem}-", output.parent)
    os.close(handle)
    lines = Path(name)
    with ExitStack() as at_the_end:
        at_the_end.callback(lines.unlink, missing_ok=True)
        outcome = run_notebook(notebook, output, parameters, NCF_RECORD=name)
        if outcome.error:
            return outcome
        if not lines.stat().st_size:
            return Outcome(outcome.name, outcome.seconds, error="the notebook records nothing")
        try:
            add_rows(results, [row | made_by for row in read_records(lines)])
        except (ValueError, OSError) as error:
            at_the_end.pop_all()  # a run may have taken hours: its record stays
            kind = OSError if isinstance(error, OSError) else DataError
            raise kind(f"{error}; what the run recorded is kept in {lines}") from error
    return outcome


def refresh_notebook(notebook, cell_timeout=None):
    """Execute a notebook as it stands and store its outputs in it.

    Nothing is written where a cell fails. What changes from run to run (times, the patch version
    of Python) is left out of the file. The state of its widgets is stored with it, so that a page
    made from the notebook shows them.

    Returns:
        Outcome.
    """
    import nbformat
    from nbclient import NotebookClient

    path = Path(notebook)
    start = time.perf_counter()
    try:
        text = path.read_text(encoding="utf-8")
        if json.loads(text)["nbformat"] != 4:  # without it nbformat takes it for version 1
            raise ValueError("nbformat is not 4")
        content = nbformat.reads(text, as_version=4)
    except Exception as problem:  # whatever is wrong with one file, the others go on
        return Outcome(path.stem, 0.0, error=f"{path}: not a notebook: {describe(problem)}")
    if path.stem in SUMS_BY_PROCESSOR and processor() == "unknown":
        error = "its outputs go by the processor, which this system does not tell"
        return Outcome(path.stem, 0.0, error=error)
    content.metadata.pop("widgets", None)  # of an earlier run
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = limited(NotebookClient)(
        content,
        timeout=cell_timeout,
        kernel_name="python3",
        record_timing=False,
        startup_timeout=120,
        extra_arguments=KERNEL_ARGUMENTS,
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    try:
        client.execute(env=kernel_environment())
    except Exception as problem:
        error = describe(problem, client.code_cells_executed)
        return Outcome(path.stem, time.perf_counter() - start, error=error)
    content.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    content.metadata["language_info"] = {"name": "python"}
    if path.stem in SUMS_BY_PROCESSOR:
        content.metadata["processor"] = processor()
    content = widgets_numbered(content, path.stem)
    try:
        same = path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        same = False
    if not same:
        error = f"{path}: changed while it ran: its outputs are not stored"
        return Outcome(path.stem, time.perf_counter() - start, error=error)
    with whole(path.resolve()) as part:  # a link stays one
        part.write_text(nbformat.writes(content) + "\n", encoding="utf-8", newline="\n")
    return Outcome(path.stem, time.perf_counter() - start, recorded(content)[1])


def processor(cpuinfo=CPUINFO, caches=CACHES):
    """What the order of sums goes by: vendor and first data cache, such as "GenuineIntel 48K".

    Args:
        cpuinfo: file in which the kernel describes the processor.
        caches: folder in which it describes the caches of one core.

    Returns:
        The two as Linux writes them; "unknown" where the system does not tell.
    """
    try:
        vendor = re.search(r"^vendor_id\s*:\s*(\S+)", Path(cpuinfo).read_text(), re.MULTILINE)
    except OSError:
        vendor = None
    for cache in sorted(Path(caches).glob("index*")):
        try:
            level, kind, size = ((cache / name).read_text().strip() for name in CACHE_FIELDS)
        except OSError:
            continue
        if vendor and (level, kind) == ("1", "Data"):
            return f"{vendor[1]} {size}"
    return "unknown"


def comparable(notebook):
    """Whether the notebook's outputs were stored where products are summed as on this machine."""
    import nbformat

    stored = nbformat.read(notebook, as_version=4).metadata.get("processor")
    return stored is None or stored == processor() != "unknown"


def widgets_numbered(content, name):
    """An executed notebook whose widgets have ids that are the same in every run.

    ipywidgets draws an id at random for each widget. Here they follow from the notebook's name and
    from the order in which the widgets were made. Fields of layouts and styles that hold nothing
    are left out; who reads them knows that default.

    Args:
        content: the notebook, as nbformat reads it; its widgets' state stands in its metadata.
        name: the notebook's name, so that two notebooks on a page share no id.

    Returns:
        The notebook, a copy where it has widgets.
    """
    import nbformat

    stored = content.metadata.get("widgets", {})
    text = nbformat.writes(content)
    for saved in stored.values():
        for number, drawn in enumerate(saved["state"]):
            text = text.replace(drawn, uuid5(NAMESPACE_URL, f"{name} {number}").hex)
    content = nbformat.reads(text, as_version=4)
    for saved in content.metadata.get("widgets", {}).values():
        for model in saved["state"].values():
            if model["model_name"].endswith(("LayoutModel", "StyleModel")):
                model["state"] = {k: v for k, v in model["state"].items() if v is not None}
    return content
