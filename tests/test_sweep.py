"""Sweeps: grids that are checked, runs that fail alone, and kills that lose nothing.

The sweeps here are real: notebooks in kernels, on the workers of a Dask scheduler that is started
for this file, or on workers of the sweep's own.
"""

import csv
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ncf_utils import sweep as sweeps
from ncf_utils import sweep_worker
from ncf_utils.cli import main
from ncf_utils.grid import GridError, read_grid
from ncf_utils.parameters import ParameterError, check_parameters
from ncf_utils.results import add_rows, read_rows, recorded, row_key

ROOT = Path(__file__).resolve().parent.parent
GRIDS = sorted((ROOT / "sweeps").glob("*.yaml"))
TRAIN = ROOT / "notebooks" / "experiments" / "train_one_model.ipynb"

PARAMETERS = """x = 1
mode = "fast"
rate = 0.5
hidden_layers = [8]
embedding_dim = None
own = None
seed = 0"""
CHECK = """from ncf_utils import check_parameters, record
from ncf_utils.parameters import choice, integer

modes = "fast", "sleep", "hang", "raise", "silent", "print", "eat", "exit", "kill", "kill once"
p = check_parameters(
    globals(),
    x=integer(0, 99),
    rate=lambda value: value,
    own=lambda value: value,
    mode=choice("fast", "sleep", "hang", "raise", "silent", "print", "eat", "exit", "kill", "kill once"),
)"""  # noqa: E501
WORK = """import os, signal, time
from pathlib import Path

with open("trace", "a") as trace:
    trace.write(f"{os.getpid()} {mode} {x} {seed}\\n")
if mode == "sleep":
    time.sleep(1)
if mode == "hang":
    time.sleep(999)
if mode == "raise" and not Path("mended").exists():
    raise ValueError("no such luck")
while mode == "print":
    print("a" * 1000)
if mode == "eat":
    much = [b"b" * 10**6 + bytes(i) for i in range(1000)]
    time.sleep(99)
if mode == "exit":
    os._exit(1)
if mode == "kill" or (mode == "kill once" and not Path("killed").exists()):
    Path("killed").touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(99)"""
RECORD = """if mode != "silent":
    record(p | {"embedding_dim": 16}, test_hr=own or x / 100, curve=[None, 1 / 3], seconds=1)"""


# Five lines of YAML that would be 2**40 numbers if they were written out.
LAUGHS = "[&a0 [1, 1]" + "".join(f", &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)) + "]"


def write_notebook(path, *sources, parameters=PARAMETERS):
    cells = [new_code_cell(source) for source in sources]
    if parameters:
        cells.insert(0, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a notebook whose runs do what their mode says."""
    write_notebook(tmp_path / "tiny.ipynb", CHECK, WORK, RECORD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grid(folder, runs, name="grid.yaml", **top):
    """Write a grid; returns its path."""
    top = {"notebook": "tiny.ipynb", "results": "out/tiny.csv"} | top | {"runs": runs}
    lines = [f"{key}: {json.dumps(value)}" for key, value in top.items() if value is not None]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


# --- grids ---------------------------------------------------------------------------------------


def chosen(path):
    return [{name: run.parameters[name] for name in run.chosen} for run in read_grid(path).runs]


def test_an_entry_stands_for_every_combination_and_the_first_name_changes_slowest(folder):
    path = grid(folder, [{"seed": [0, 1], "x": [5, 3]}, {"hidden_layers": [[], [16, 8]]}])
    assert chosen(path) == [
        {"seed": 0, "x": 5},
        {"seed": 0, "x": 3},
        {"seed": 1, "x": 5},
        {"seed": 1, "x": 3},
        {"hidden_layers": []},
        {"hidden_layers": [16, 8]},
    ]


def test_together_changes_together(folder):
    lines = [{"x": 8, "hidden_layers": [16, 8]}, {"x": 16, "hidden_layers": [32, 16]}]
    path = grid(folder, [{"seed": [0, 1], "together": lines, "mode": "fast"}])
    assert [(run["seed"], run["x"], run["hidden_layers"]) for run in chosen(path)] == [
        (0, 8, [16, 8]),
        (0, 16, [32, 16]),
        (1, 8, [16, 8]),
        (1, 16, [32, 16]),
    ]


def test_a_run_has_all_parameters_and_an_entry_goes_before_what_is_common(folder):
    path = grid(folder, [{"x": [5]}, {"x": 6, "seed": 2}], parameters={"seed": 9, "rate": 1})
    own = {"mode": "fast", "hidden_layers": [8], "embedding_dim": None, "own": None, "rate": 1.0}
    runs = read_grid(path).runs
    assert [run.parameters for run in runs] == [
        own | {"x": 5, "seed": 9},
        own | {"x": 6, "seed": 2},
    ]
    assert type(runs[0].parameters["rate"]) is float, "1 and 1.0 are one run"
    assert str(runs[1]) == f"{runs[1].id} x=6 seed=2"
    assert len({run.id for run in runs}) == 2


def test_a_run_of_an_earlier_entry_is_not_made_twice(folder):
    path = grid(folder, [{"x": [1, 2]}, {"rate": [0.5, 2]}])
    found = read_grid(path)
    assert [(run.parameters["x"], run.parameters["rate"]) for run in found.runs] == [
        (1, 0.5),
        (2, 0.5),
        (1, 2.0),
    ]
    assert found.repeated == 1


def test_paths_are_relative_to_the_grid(folder):
    (folder / "grids").mkdir()
    path = grid(folder, [{"x": 1}], "grids/a.yaml", notebook="../tiny.ipynb", results="../r.csv")
    found = read_grid(path)
    assert found.notebook == folder / "tiny.ipynb" and found.results == folder / "r.csv"


@pytest.mark.parametrize(
    "runs, fault",
    [
        ("[{sead: 0}]", "line 3: unknown parameter sead; did you mean 'seed'?"),
        ("\n- x: 1\n- x: 2\n  seed: [0, -1]", "line 6: seed = -1: expected a whole number from 0"),
        ("[{x: 100}]", "line 3: x = 100: expected a whole number from 0 to 99"),
        ("[{x: four}]", "line 3: x = 'four': expected a whole number from 0 to 99"),
        ("[{x: true}]", "line 3: x = True: expected a whole number"),
        ("[{x: 2024-01-01}]", "line 3: x = datetime.date(2024, 1, 1): expected a whole number"),
        ("[{mode: [fats]}]", "expected one of 'fast', 'sleep', 'hang', "),
        ("[{mode: [fats]}]", "did you mean 'fast'?"),
        ("[{rate: 1e-3}]", "rate = '1e-3': expected a number, as 0.5 is; YAML takes 1e-3 for text"),
        ("[{rate: .nan}]", "line 3: rate = nan: expected a finite number"),
        ("[{rate: [[1]]}]", "line 3: rate = [1]: expected a number, as 0.5 is"),
        ("[{hidden_layers: [16, 8]}]", "; a list of lists, such as hidden_layers: [[16, 8]]"),
        ("[{hidden_layers: [[16, 0]]}]", "expected a list of 0 to 16 whole numbers"),
        ("[{seed: []}]", "line 3: seed: expected at least one value"),
        ("[{seed: [0, 0]}]", "line 3: a run stands there twice: seed = 0"),
        ("[{rate: [1, 1.0]}]", "line 3: a run stands there twice: rate = 1.0"),
        ("[{seed: !!int ''}]", "line 3: seed: expected a plain value, found \"!!int ''}]\""),
        ("[{seed: [0, !!bool maybe]}]", "line 3: seed: expected a plain value, found "),
        ("[{own: !!timestamp foo}]", "line 3: own: expected a plain value, found "),
        ("[{rate: 1" + "0" * 400 + "}]", "0: expected a finite number"),
        ("[{seed: 0, seed: 1}]", "line 3: seed stands there twice"),
        ("[{x: 1, together: [{x: 2}]}]", "line 3: x: both on its own and in together"),
        ("[{together: [{x: 2}, {seed: 2}]}]", "together: expected the same names in each line"),
        ("[{together: {x: 2}}]", "line 3: together: expected a list, of lines that begin '- '"),
        ("{seed: 0}", "line 3: runs: expected a list, of lines that begin '- '"),
        ("[]", "line 3: runs: expected a list"),
        ("[7]", "line 3: expected names with values"),
        ("[{seed: &a [*a]}]", "line 3: found unconstructable recursive node"),
        ("[{own: [" + LAUGHS + "]}]", "...: expected a finite number, text"),
        ("[{? [1]: 2}]", "line 3: expected a name before the colon"),
        ("[{seed: [0, 1}]", "line 3: expected ',' or ']'"),
        ("[{seed: !!python/object/apply:os.system [true]}]", "could not determine a constructor"),
        ("[{seed: " + "[" * 600 + "]" * 600 + "}]", "too deep in one another"),
        ("[{x: [0, 1, 2, 3], seed: [" + ", ".join(map(str, range(2501))) + "]}]", "10,004 runs"),
        ("[{seed: 0}]\nrun: 3", "line 4: unknown entry run; did you mean 'runs'?"),
        ("[{seed: 0}]\nparameters: {sed: 3}", "line 4: unknown parameter sed; did you mean 'seed'"),
        ("[{seed: 0}]\nparameters: [seed]", "line 4: expected names with values"),
    ],
)
def test_a_bad_grid_is_one_line_that_names_file_and_line(folder, capfd, runs, fault):
    path = folder / "grid.yaml"
    path.write_text(f"notebook: tiny.ipynb\nresults: out.csv\nruns: {runs}\n")
    with pytest.raises(GridError) as caught:
        read_grid(path)
    assert fault in str(caught.value)
    assert all(line.startswith(f"{path}, line ") for line in str(caught.value).splitlines()) or (
        "too deep" in fault
    )
    assert len(str(caught.value)) < 500
    assert main(["sweep", str(path)]) == 2
    assert fault in capfd.readouterr().err
    assert not (folder / "trace").exists() and not (folder / "build").exists()


def test_every_fault_of_a_grid_is_named(folder):
    path = grid(folder, [{"x": [100, 2, -1], "sead": 0}, {"mode": "slow"}])
    with pytest.raises(GridError) as caught:
        read_grid(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "x = 100",
        "x = -1",
        "unknown parameter sead; did you mean 'seed'?",
        "mode = 'slow'",
    ]


def test_a_relative_data_set_starts_where_the_notebook_stands(folder, monkeypatch):
    caller = folder / "caller"
    for made in ("lessons/beside", "caller/here"):
        (folder / made).mkdir(parents=True)
    write_notebook(folder / "lessons" / "a.ipynb", CHECK, RECORD, parameters='dataset = "beside"')
    (folder / "mine" / "given").mkdir(parents=True)
    monkeypatch.chdir(caller)
    monkeypatch.setenv("NCF_DATA_DIR", "../mine")  # from here, as for a kernel
    absolute = str(folder / "nowhere")  # it may be there on another machine
    path = grid(folder, [{"dataset": ["./beside", "given", absolute]}], notebook="lessons/a.ipynb")
    assert [run["dataset"] for run in chosen(path)] == ["./beside", "given", absolute]
    for name in ("./here", "../caller/hree", "here"):
        path = grid(folder, [{"dataset": name}], notebook="lessons/a.ipynb")
        with pytest.raises(GridError, match=f"dataset = '{name}': expected .*path"):
            read_grid(path)


@pytest.mark.parametrize(
    "top, fault",
    [
        ({"notebook": None}, "line 1: no entry notebook"),
        ({"notebook": "tyni.ipynb"}, "line 1: notebook: there is no "),
        ({"notebook": 7}, "line 1: notebook: expected a path"),
        ({"notebook": "a\0.ipynb"}, "line 1: notebook: expected a path, found 'a.x00.ipynb'"),
        ({"notebook": "x" * 300}, "line 1: notebook: there is no "),
        ({"notebook": "own.ipynb"}, "own.ipynb: epochs = 20000: expected a whole number from 1"),
        ({"notebook": "grid.yaml"}, "grid.yaml: not a notebook of format 4"),
        ({"notebook": "old.ipynb"}, "old.ipynb: not a notebook of format 4"),
        ({"notebook": "bare.ipynb"}, "bare.ipynb: no cell is tagged parameters"),
        ({"notebook": "odd.ipynb"}, "odd.ipynb: expected plain literals in the cell of parameters"),
        ({"results": "out.txt"}, "line 2: results: expected a name that ends in .csv"),
        ({"results": None}, "line 1: no entry results"),
    ],
)
def test_a_grid_without_its_notebook_or_results_is_an_error(folder, top, fault):
    write_notebook(folder / "bare.ipynb", "1", parameters=None)
    write_notebook(folder / "odd.ipynb", "1", parameters="x = open('y')")
    write_notebook(folder / "own.ipynb", "1", parameters="epochs = 20_000")
    whole = json.loads((folder / "tiny.ipynb").read_text())
    (folder / "old.ipynb").write_text(json.dumps({"cells": whole["cells"]}))
    with pytest.raises(GridError, match=fault.replace("(", r"\(")):
        read_grid(grid(folder, [{"x": 1}], **top))


def test_a_file_that_is_no_grid_is_an_error(folder, capfd):
    for content in (b"", b"7", b"\xff\xfe\x00", b"a: [", b"\0"):
        (folder / "grid.yaml").write_bytes(content)
        assert main(["sweep", "grid.yaml"]) == 2
        assert capfd.readouterr().err.startswith("ncf: grid.yaml")
    assert main(["sweep", "no.yaml"]) == 2
    assert "no.yaml" in capfd.readouterr().err


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_the_grids_that_are_kept_are_right(path):
    """Each run of each grid passes the notebook's own kinds, too, and rows go where they belong."""
    found = read_grid(path)
    assert found.runs and found.results.parent in (ROOT / "data" / "results", ROOT / "build")
    known = {"framework", "model", "finetune_optimizer"}
    for run in found.runs:
        rest = {name: value for name, value in run.parameters.items() if name not in known}
        try:
            assert check_parameters(rest) == rest
        except ParameterError as error:
            # A baseline's notebook has kinds of its own.
            assert "unknown parameter" in str(error) and found.notebook != TRAIN


@pytest.mark.parametrize("again", [[], ["--run"]])
def test_runs_can_be_named(again, folder, capsys):
    path = grid(folder, [{"x": [1, 2, 3]}])
    first, _, last = read_grid(path).runs
    assert main(["sweep", str(path), "--dry-run", "--run", last.id, *again, first.id]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("2 to make now") and shown[1:] == [str(first), str(last)]
    near = last.id[:-1] + ("0" if last.id[-1] != "0" else "1")
    with pytest.raises(GridError, match=f"no run {near}.*{last.id}"):
        read_grid(path).only([near])


def test_what_the_output_cannot_show_ends_nothing(folder, monkeypatch):
    path = grid(folder, [{"x": [1]}], name="≥.yaml")
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["sweep", str(path), "--dry-run"]) == 0
    assert b"\\u2265" in shown.getvalue()


def test_a_misspelled_parameter_is_told_once_however_many_values_it_has(folder):
    with pytest.raises(GridError) as error:
        read_grid(grid(folder, [{"sed": [1, 2, 3]}]))
    assert str(error.value).count("unknown parameter sed") == 1


# --- sweeps on a scheduler that runs already -----------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a Dask scheduler with a worker of two threads, and the worker's process."""
    folder = tmp_path_factory.mktemp("dask")
    environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    scheduler, address = start_scheduler(folder, environment)
    dask = [sys.executable, "-m", "distributed.cli.dask_worker"]
    worker = subprocess.Popen(
        [*dask, address, "--nthreads", "2", "--nworkers", "1", "--no-dashboard"],
        cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield address, worker.pid
    for process in (worker, scheduler):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def start_scheduler(folder, environment=None):
    """A scheduler on loopback; returns its process and its address."""
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    place = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = subprocess.Popen(
        [*dask, *place, "--dashboard-address", "127.0.0.1:0", "--scheduler-file", "scheduler.json"],
        cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    file = folder / "scheduler.json"
    wait_for(lambda: file.exists() and file.stat().st_size)
    return scheduler, json.loads(file.read_text())["address"]


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def trace(folder):
    """(pid of the kernel, mode, x, seed) of each run that was begun."""
    path = folder / "trace"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def rows_are_whole(folder, results="out/tiny.csv"):
    """The CSV's rows: none half, none double, and none without its executed notebook."""
    path = folder / results
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        header, *cells = csv.reader(file)
    assert all(len(row) == len(header) for row in cells)
    rows = read_rows(path)
    names = ("x", "mode", "rate", "hidden_layers", "seed")
    assert len({row_key(row, names) for row in rows}) == len(rows)
    assert all(float(row["test_hr"]) == int(row["x"]) / 100 for row in rows)
    copies = list((folder / "build" / "sweep" / path.stem).glob("*.ipynb"))
    assert len(copies) >= len(rows)
    for copy in copies:
        nbformat.validate(nbformat.read(copy, as_version=4))
    return rows


def test_a_metric_that_is_no_number_does_not_end_the_sweep(folder, cluster, capfd):
    path = grid(folder, [{"own": ["0.5"]}, {"x": [7]}])
    assert main(["sweep", str(path), "--scheduler", cluster[0]]) == 0
    said = capfd.readouterr().out
    assert "2 runs added" in said and "test_hr 0.0700" in said
    with open("out/tiny.csv", newline="") as lines:
        assert {row["test_hr"] for row in csv.DictReader(lines)} == {"0.5", "0.07"}


def test_a_failure_is_kept_the_rest_goes_on_and_a_rerun_tries_again(folder, cluster, capfd):
    modes = ["raise", "silent", "exit", "fast"]
    path = grid(folder, [{"mode": modes}], parameters={"x": 7})
    command = ["sweep", str(path), "--scheduler", cluster[0]]
    assert main([*command, "--dry-run"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0] == f"{path}: 4 runs, 0 of them in tiny.csv, 4 to make now"
    assert [line.split()[1] for line in said[1:]] == [f"mode={mode}" for mode in modes]
    assert not trace(folder)

    assert main(command) == 1
    said = capfd.readouterr().out
    assert f"{folder / 'out' / 'tiny.csv'}: 1 runs added, 3 failed" in said
    assert "mode=raise: FAILED cell 4: ValueError: no such luck" in said
    assert "[4/4]" in said and "; 0 s left" in said
    (row,) = rows_are_whole(folder)
    assert row["notebook"] == "tiny" and row["mode"] == "fast" and row["seconds"] == "1"
    assert row["hidden_layers"] == "[8]" and row["rate"] == "0.5"
    assert row["embedding_dim"] == "16", "what the notebook filled in stays"
    assert row["run"] == read_grid(path).runs[3].id
    copy = nbformat.read(folder / "build" / "sweep" / "tiny" / f"{row['run']}.ipynb", as_version=4)
    assert recorded(copy)[0]["curve"] == [None, 0.3333] and json.loads(row["curve"])[1] == 1 / 3
    assert failures(folder) == {
        "raise": (4, "cell 4: ValueError: no such luck"),
        "silent": (0, "the notebook records nothing"),
        "exit": (4, "cell 4: DeadKernelError: Kernel died"),
    }

    (folder / "mended").touch()
    assert main(command) == 1, "two of the three still fail"
    assert sorted(run[1] for run in trace(folder)) == sorted(modes + ["raise", "silent", "exit"])
    assert {row["mode"] for row in rows_are_whole(folder)} == {"fast", "raise"}
    assert set(failures(folder)) == {"silent", "exit"}


def test_a_run_of_ncf_run_counts_and_one_of_another_notebook_does_not(folder, capfd):
    """The notebook fills in an embedding_dim, so its row has other parameters than the run."""
    (folder / "twin.ipynb").write_bytes((folder / "tiny.ipynb").read_bytes())
    for name, x in (("tiny", "1"), ("twin", "2")):
        run = ["run", f"{name}.ipynb", "out.ipynb", "-p", "x", x, "-p", "rate", "1"]
        assert main([*run, "--results", "out/tiny.csv"]) == 0
    path = grid(folder, [{"x": [1, 2, 3]}], parameters={"rate": 1})
    add_rows("out/tiny.csv", [read_grid(path).runs[2].parameters])
    capfd.readouterr()
    assert main(["sweep", str(path), "--dry-run"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].endswith(": 3 runs, 1 of them in tiny.csv, 2 to make now")
    assert [line.split()[1] for line in said[1:]] == ["x=2", "x=3"]


@pytest.fixture
def keeper(folder):
    """What writes a sweep of two runs, and the runs."""
    found = read_grid(grid(folder, [{"x": [1, 2]}]))
    return sweeps._Keeper(found, folder / "build"), *found.runs


def made(error="", **row):
    rows = [] if error else [row]
    return {"notebook": "", "error": error, "rows": rows, "seconds": 9, "cell": 0}


def test_a_row_that_no_csv_can_hold_is_a_failure_of_its_run_alone(folder, keeper):
    keep, first, second = keeper
    keep.keep(first, result := made(note="a\rb"))
    keep.keep(second, made(test_hr=0.5))
    fault = f"{folder / 'out' / 'tiny.csv'}, column 'note' of a new row: expected text without"
    assert result["error"].startswith(fault)
    assert [row["run"] for row in read_rows("out/tiny.csv")] == [second.id]
    assert failures(folder) == {"fast": (0, result["error"])}


@pytest.mark.parametrize(
    "limit, fault",
    [
        ("1e400", "expected a size such as 4GB, found '1e400'"),
        ("4 GX", "Could not interpret '"),
        ("0", "at least 1"),
    ],
)
def test_a_limit_of_memory_that_is_none_is_told(limit, fault, capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "grid.yaml", "--memory", limit])
    assert f"argument --memory: {fault}" in capsys.readouterr().err


def test_a_result_that_is_called_off_while_it_is_fetched_is_no_failure():
    class Future:
        status = "finished"

        def cancelled(self):
            return False

        def exception(self):
            raise CancelledError

    assert sweeps._result(Future()) is None


def test_a_kill_after_the_row_leaves_no_failure_of_an_earlier_try(folder, keeper, monkeypatch):
    keep, first, _ = keeper
    keep.keep(first, made("DeadKernelError"))
    assert failures(folder)

    def add_and_die(*arguments):
        add_rows(*arguments)
        raise SystemExit

    monkeypatch.setattr(sweeps, "add_rows", add_and_die)
    with pytest.raises(SystemExit):
        keep.keep(first, made(test_hr=0.5))
    assert keep.held() == {first.id} and not failures(folder)


def test_a_csv_that_cannot_be_written_is_told_before_the_first_run(folder, capsys):
    (folder / "file").touch()
    path = grid(folder, [{"x": [1]}], results="file/tiny.csv")
    assert main(["sweep", str(path), "--workers", "1"]) == 2
    assert f"{folder / 'file' / 'tiny.csv'}: cannot be written" in capsys.readouterr().err
    assert not trace(folder)


def test_what_a_run_recorded_outlives_a_csv_that_fails(folder, keeper, monkeypatch):
    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sweeps, "add_rows", disk_full)
    keep, first, _ = keeper
    kept = folder / "build" / "sweep" / "tiny" / f"{first.id}.jsonl"
    with pytest.raises(OSError, match=f"tiny.csv: .*No space left.*{kept}"):
        keep.keep(first, made(test_hr=1 / 3))
    assert json.loads(kept.read_text())["test_hr"] == 1 / 3


def failures(folder):
    files = (folder / "build" / "sweep" / "tiny").glob("*.failed.json")
    told = [json.loads(file.read_text()) for file in files]
    return {each["parameters"]["mode"]: (each["cell"], each["error"]) for each in told}


def test_what_hangs_or_takes_or_prints_too_much_is_stopped(folder, cluster):
    command = ["sweep", "--scheduler", cluster[0], "--memory", "300MB"]
    assert main([*command, str(grid(folder, [{"mode": ["print", "eat"]}]))]) == 1
    assert main([*command, str(grid(folder, [{"mode": ["hang"]}])), "--timeout", "2"]) == 1
    assert {mode: error.split("stopped: ")[1] for mode, (_, error) in failures(folder).items()} == {
        "print": "more than 20 MB of output",
        "eat": "more than 300 MB of memory",
        "hang": "not done after 2 s",
    }
    wait_for(lambda: not any(alive(int(run[0])) for run in trace(folder)), 10)
    copies = list((folder / "build" / "sweep" / "tiny").glob("*.ipynb"))
    assert len(copies) == 3 and max(copy.stat().st_size for copy in copies) < 25_000_000


def test_a_run_whose_worker_dies_is_tried_again_but_not_for_ever(folder, cluster):
    path = grid(folder, [{"mode": ["kill once", "fast"]}, {"mode": "kill"}])
    assert main(["sweep", str(path), "--scheduler", cluster[0], "--limit", "2"]) == 0
    assert [run[1] for run in trace(folder)].count("kill") == 2, "kill once, and once more"
    assert {row["mode"] for row in rows_are_whole(folder)} == {"kill once", "fast"}
    assert main(["sweep", str(path), "--scheduler", cluster[0]]) == 1
    died = "its worker died, 2 times in 2: killed, or out of memory"
    assert failures(folder) == {"kill": (0, died)}
    wait_for(lambda: not any(alive(int(run[0])) for run in trace(folder)), 10)


def test_a_run_that_is_stopped_before_it_has_a_kernel_does_not_stop_its_worker():
    source = (
        "import time; from ncf_utils.sweep_worker import _Watch; watch = _Watch(0, 1)\n"
        "with watch.over(lambda: None): time.sleep(1.2)\n"
        "print(watch.stopped)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "not done after 0 s\n")


def start_sweep(folder, path, *options):
    """`ncf sweep` in a process and a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ncf_utils", "sweep", str(path), *options],
        cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_kills_of_client_and_worker_lose_what_was_under_way_and_no_more(folder, cluster):
    address, worker = cluster
    path = grid(folder, [{"x": list(range(8))}])
    chance, kills = random.Random(5), ["client", "worker"]
    for kill in kills:
        before = len(trace(folder))
        client = start_sweep(folder, path, "--scheduler", address)
        wait_for(lambda before=before: len(trace(folder)) > before)
        time.sleep(chance.uniform(0, 1.5))
        if kill == "worker":
            for process in psutil.Process(worker).children():
                process.kill()
            time.sleep(chance.uniform(0, 1.5))
        client.kill()
        client.communicate()
        rows_are_whole(folder)
    assert main(["sweep", str(path), "--scheduler", address]) == 0
    assert sorted(int(row["x"]) for row in rows_are_whole(folder)) == list(range(8))
    assert len(trace(folder)) <= 8 + 2 * 2 * len(kills), "two threads, and two kills at most"
    assert not failures(folder)


def test_a_run_whose_client_is_gone_is_called_off(folder, cluster):
    client = start_sweep(folder, grid(folder, [{"mode": "hang"}]), "--scheduler", cluster[0])
    wait_for(lambda: trace(folder))
    client.kill()
    client.communicate()
    wait_for(lambda: not alive(int(trace(folder)[0][0])), 10)


def test_two_sweeps_at_once_share_the_work(folder, cluster):
    path = grid(folder, [{"x": list(range(6)), "mode": "sleep"}])
    both = [start_sweep(folder, path, "--scheduler", cluster[0]) for _ in range(2)]
    said = [sweep.communicate(timeout=120) for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0], said
    assert sorted(int(row["x"]) for row in rows_are_whole(folder)) == list(range(6))
    assert sorted(int(run[2]) for run in trace(folder)) == list(range(6)), "each run was made once"
    added = [int(out.split(" runs added")[0].split()[-1]) for out, _ in said]
    assert sum(added) == 6


def test_without_a_scheduler_there_is_one_clear_line(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sweeps, "CONNECT", 1)
    path = grid(folder, [{"x": 1}])
    assert main(["sweep", str(path), "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert capfd.readouterr().err.startswith("ncf: no scheduler at tcp://127.0.0.1:1: ")


def test_a_port_that_says_nothing_is_no_scheduler(folder, monkeypatch, capfd):
    monkeypatch.setattr(sweeps, "CONNECT", 1)
    path = grid(folder, [{"x": 1}])
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        assert main(["sweep", str(path), "--scheduler", address]) == 2
    said = capfd.readouterr().err
    assert f"no scheduler at {address}: nothing that speaks Dask answers within 1 s" in said
    assert main(["sweep", str(path), "--scheduler", "tcp://127.0.0.1:1", "--workers", "2"]) == 2
    assert "give one of them" in capfd.readouterr().err


def test_a_scheduler_that_dies_while_a_sweep_waits_ends_it(folder, tmp_path, monkeypatch, capfd):
    path = grid(folder, [{"x": 1}])
    scheduler, address = start_scheduler(tmp_path)
    say = sweeps._Flight._say_once

    def say_and_kill(self, text):
        say(self, text)
        if scheduler.poll() is None:
            os.killpg(scheduler.pid, signal.SIGKILL)

    monkeypatch.setattr(sweeps._Flight, "_say_once", say_and_kill)
    assert main(["sweep", str(path), "--scheduler", address]) == 2
    scheduler.wait(timeout=10)  # it was killed, and not merely slow to answer
    said = capfd.readouterr()
    assert "waiting for a worker" in said.out
    assert said.err.endswith(
        "ncf: the scheduler is gone; what is in the CSV will not be run again\n"
    )


# --- sweeps on workers of their own --------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals a process group")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=lambda sent: sent.name)
def test_a_sweep_that_is_stopped_leaves_no_process_behind(folder, sent):
    path = grid(folder, [{"mode": "fast"}, {"mode": "hang"}])
    sweep = start_sweep(folder, path, "--workers", "1")
    wait_for(lambda: [run[1] for run in trace(folder)] == ["fast", "hang"])
    family = psutil.Process(sweep.pid).children(recursive=True)
    assert int(trace(folder)[1][0]) in {process.pid for process in family}
    assert listening(sweep.pid, *(process.pid for process in family)) == {"127.0.0.1"}
    if sent == signal.SIGINT:
        os.killpg(sweep.pid, sent)  # as a terminal does
    else:
        sweep.send_signal(sent)
    said = sweep.communicate(timeout=60)
    if sent == signal.SIGINT:
        assert sweep.returncode == 130 and said[1].splitlines() == ["ncf: interrupted"]
    wait_for(lambda: not any(alive(process.pid) for process in family), 10)
    assert [row["mode"] for row in rows_are_whole(folder)] == ["fast"]
    assert not failures(folder), "a run that is called off has not failed"


def listening(*pids):
    """The addresses that processes wait at for connections."""
    connections = [each for pid in pids for each in psutil.Process(pid).net_connections("inet")]
    return {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}


# --- the notebook that trains one model ----------------------------------------------------------


def test_train_one_model_records_the_protocol(folder, cluster):
    common = {"dataset": "synthetic", "epochs": 2, "learning_rate": 0.01, "batch_size": 4096}
    runs = [
        {"model": "NeuMF", "pretrain": True, "pretrain_epochs": 2, "num_factors": 4},
        {"model": "MLP", "hidden_layers": [[]], "refit": False, "framework": "keras"},
        {"model": "GMF", "pretrain": True},
    ]
    path = grid(folder, runs, notebook=str(TRAIN), parameters=common)
    assert main(["sweep", str(path), "--scheduler", cluster[0]]) == 1
    (failed,) = (folder / "build" / "sweep" / "tiny").glob("*.failed.json")
    assert "pretrain = True: expected False, because model is 'GMF'" in failed.read_text()
    rows = {row["model"]: row for row in read_rows(folder / "out" / "tiny.csv")}
    assert set(rows) == {"NeuMF", "MLP"}
    for row in rows.values():
        for name in ("validation", "test", "refit")[: 3 if row["refit"] == "true" else 2]:
            for metric in ("hr", "ndcg"):
                by_k = json.loads(row[f"{name}_{metric}_by_k"])
                assert len(by_k) == 10 and by_k == sorted(by_k) and by_k[0] > 0
                assert by_k[-1] == round(float(row[f"{name}_{metric}"]), 4)
        assert float(row["test_hr_low"]) < float(row["test_hr"]) < float(row["test_hr_high"])
        full = json.loads(row["test_full_hr_by_k"])
        assert 0 < full[-1] < float(row["test_hr"]), "more rivals, fewer hits"
        curve = json.loads(row["test_hr_by_epoch"])
        assert len(curve) == 1 + int(row["epochs"])
        assert curve[int(row["picked_epoch"])] == round(float(row["test_hr"]), 4)
        first = 0 if row["pretrain"] == "true" else 1  # pre-trained, it is a model before epoch 1
        assert max(curve[first:]) == round(float(row["best_test_hr"]), 4)
        valid = json.loads(row["validation_ndcg_by_epoch"])
        assert valid[int(row["picked_epoch"])] == max(valid[first:])
        assert json.loads(row["loss_by_epoch"])[0] is None
    assert rows["MLP"]["refit_hr"] == rows["MLP"]["refit_hr_by_k"] == ""
    # Without layers the last layer reads the two embeddings, of 8 numbers each.
    assert rows["MLP"]["predictive_factors"] == "16" and rows["MLP"]["num_layers"] == "0"
    assert rows["NeuMF"]["predictive_factors"] == "4" and rows["NeuMF"]["num_layers"] == "3"
    assert rows["MLP"]["num_factors"] == rows["MLP"]["alpha"] == "", "it has no use for them"
    assert rows["NeuMF"]["num_factors"] == "4" and rows["NeuMF"]["alpha"] == "0.5"
    # Users and items: 1,500. Embeddings of 8 and 1 + 16 weights; of 4 + 16, the tower, and the top.
    assert int(rows["MLP"]["num_weights"]) == 1500 * 8 + 16 + 1
    tower = 32 * 32 + 32 + 32 * 16 + 16 + 16 * 8 + 8
    assert int(rows["NeuMF"]["num_weights"]) == 1500 * (4 + 16) + tower + 4 + 8 + 1
    assert rows["MLP"]["keras"] and rows["NeuMF"]["torch"] and not rows["NeuMF"]["keras"]
    assert all(float(row["seconds"]) > 0 for row in rows.values())


def test_a_kernel_keeps_its_memory_although_dask_has_workers_give_theirs_back(monkeypatch):
    """The variable halves the speed of training, and Dask sets it in every worker."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    assert "MALLOC_TRIM_THRESHOLD_" not in sweep_worker._environment("rows")


def test_a_run_takes_the_cores_that_no_other_run_needs(monkeypatch):
    monkeypatch.delenv(sweep_worker.SIDE_BY_SIDE, raising=False)
    assert sweep_worker._environment("rows")[sweep_worker.SIDE_BY_SIDE] == "1"
    with sweeps._local_cluster(2, cores=3) as cluster, cluster.get_client() as client:
        told = client.run(sweep_worker._environment, "rows")
    assert len(told) == 2
    assert {worker[sweep_worker.SIDE_BY_SIDE] for worker in told.values()} == {"3"}
    assert {worker["OMP_NUM_THREADS"] for worker in told.values()} == {"1"}


IDLE = """
import time

import psutil

from ncf_utils import sweep

if __name__ == "__main__":
    with sweep._cluster(1, None) as client:
        me = psutil.Process()
        processes = [me, *me.children(recursive=True)]
        done = client.submit(time.sleep, 6)
        time.sleep(1)
        before = sum(sum(process.cpu_times()[:2]) for process in processes)
        time.sleep(4)
        print(sum(sum(process.cpu_times()[:2]) for process in processes) - before)
        done.result()
"""


def test_waiting_for_a_run_leaves_the_processor_to_it(tmp_path):
    """Dask's own settings take more than a tenth of a core, a scheduler and a worker together."""
    file = tmp_path / "idle.py"  # a process of its own: other tests leave threads behind here
    file.write_text(IDLE)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.06 * 4
