"""The runner: executing notebooks, saying what failed, and keeping what was measured."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ncf_utils import course, kernels, results
from ncf_utils.cli import main
from ncf_utils.course import (
    find_notebooks,
    processor,
    refresh_notebook,
    run_notebook,
)
from ncf_utils.results import COLUMNS, MIME, add_rows, read_records, read_rows, record, recorded

PARAMETERS = 'dataset = "ml-latest-small"\nnum_factors = 8\nhidden_layers = [16, 8]\nseed = 0'
CHECK = "from ncf_utils import check_parameters, record\n\np = check_parameters(globals())"
RECORD = (
    'record(p, framework="pytorch", model="GMF", test_hr=0.5 + num_factors / 1000, seconds=1.5)'
)


def write_notebook(path, *sources, parameters=None):
    cells = [new_markdown_cell("# A notebook")]
    if parameters:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in sources]
    # Cell ids are random; these are not, so that a file can be compared.
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    path.parent.mkdir(exist_ok=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A course of four notebooks, of which one fails."""
    here = tmp_path / "notebooks"
    write_notebook(here / "00_plain.ipynb", "1 + 1")
    write_notebook(here / "01_gmf.ipynb", CHECK, RECORD, parameters=PARAMETERS)
    write_notebook(here / "02_fails.ipynb", "x = 1", "assert x == 2", "open('never', 'w')")
    write_notebook(here / "03_after.ipynb", "open('beside.txt').read()")
    (here / "beside.txt").write_text("found in the notebook's own folder")
    return here


def ncf(folder, *arguments):
    build = folder.parent / "build"
    return main([*arguments, "--notebooks", str(folder), "--build", str(build)])


# --- the course


def test_the_course_goes_on_after_a_failure_and_ends_with_a_table(folder, capfd):
    assert ncf(folder, "course", "--jobs", "2") == 1
    lines = capfd.readouterr().out.splitlines()
    table = lines[lines.index("notebook  seconds  measured") + 1 :]
    assert [line.split()[0] for line in table[:4]] == [
        "00_plain",
        "01_gmf",
        "02_fails",
        "03_after",
    ]
    assert table[0].endswith("  -")
    assert table[1].endswith("  HR@10 0.508")
    assert table[2].endswith("  FAILED cell 2: AssertionError: assert x == 2")
    assert table[3].endswith("  -")
    assert table[-1].startswith("4 notebooks, 3 passed, 1 failed, ")
    assert {path.name for path in (folder.parent / "build").iterdir()} == {
        path.name for path in folder.glob("*.ipynb")
    }
    assert not (folder / "never").exists()


def test_the_course_passes_where_all_pass_and_leaves_the_notebooks_alone(folder, capfd):
    before = (folder / "01_gmf.ipynb").read_bytes()
    assert ncf(folder, "course", "00*", "01_gmf.ipynb") == 0
    assert "2 notebooks, 2 passed, 0 failed" in capfd.readouterr().out
    assert (folder / "01_gmf.ipynb").read_bytes() == before


def test_a_parameter_reaches_the_notebooks_that_have_it(folder, capfd):
    assert ncf(folder, "course", "0[01]*", "-p", "num_factors", "20") == 0
    assert "HR@10 0.520" in capfd.readouterr().out
    assert ncf(folder, "course", "-p", "num_factor", "20") == 2
    said = capfd.readouterr().err
    assert said == "ncf: no notebook has a parameter num_factor; did you mean 'num_factors'?\n"


@pytest.mark.parametrize(
    "selection, message",
    [
        (["02_fail"], "no notebook matches '02_fail'; did you mean '02_fails'?"),
        (["9*"], "no notebook matches '9*'"),
    ],
)
def test_a_selection_that_matches_nothing_is_an_error(folder, capfd, selection, message):
    assert ncf(folder, "course", *selection) == 2
    assert capfd.readouterr().err == f"ncf: {message}\n"


def test_a_folder_without_notebooks_is_an_error(tmp_path, capfd):
    assert ncf(tmp_path, "course") == 2
    assert capfd.readouterr().err == f"ncf: no notebooks in {tmp_path}\n"


def test_a_notebook_of_another_folder_is_not_taken_for_one_here(folder, tmp_path):
    write_notebook(tmp_path / "other" / "01_gmf.ipynb", "1")
    (path,) = find_notebooks(folder, [str(folder / "01_gmf.ipynb")])
    assert path == folder / "01_gmf.ipynb"
    with pytest.raises(ValueError, match="01_gmf.ipynb: not in "):
        find_notebooks(folder, [str(tmp_path / "other" / "01_gmf.ipynb")])


def test_notebooks_come_in_the_order_of_their_names(folder):
    names = [path.stem for path in find_notebooks(folder, ["03*", "00*", "0[03]*"])]
    assert names == ["00_plain", "03_after"]


@pytest.mark.parametrize(
    "source, error",
    [
        ("raise ValueError('one line\\nand more')", "cell 2: ValueError: one line"),
        ("import os; os._exit(1)", "cell 2: DeadKernelError: Kernel died"),
        ("import time; time.sleep(60)", "cell 2: CellTimeoutError: A cell timed out"),
        ("a b", "cell 2: SyntaxError: invalid syntax"),
        ("assert 1 == 1\nassert 1 == 2  # why", "cell 2: AssertionError: assert 1 == 2  # why"),
    ],
)
def test_a_failure_names_the_cell_and_the_error(tmp_path, source, error):
    notebook = write_notebook(tmp_path / "fails.ipynb", "1", source, "2")
    outcome = run_notebook(notebook, tmp_path / "out.ipynb", cell_timeout=3)
    assert outcome.error.startswith(error)
    assert len(outcome.error.splitlines()) == 1


def test_a_notebook_that_outputs_without_end_is_stopped(tmp_path, monkeypatch):
    """Whatever it has started goes with its kernel, and the disk is not filled."""
    monkeypatch.setattr(kernels, "MOST_OUTPUT", 100_000)
    child = "import subprocess as s; child = s.Popen(['sleep', '600']); print(child.pid)"
    endless = "print('begun', flush=True)\nwhile True: print('x' * 1000)"
    notebook = write_notebook(tmp_path / "endless.ipynb", child, endless, "print('never')")
    before, copy = notebook.read_text(), tmp_path / "out.ipynb"
    outcome = run_notebook(notebook, copy, cell_timeout=100)
    assert outcome.error == "cell 2: OutputError: more than 0.1 MB of output"
    assert outcome.seconds < 50  # and not when the cell has run out of time
    assert copy.stat().st_size < 200_000
    first, second, third = (cell.outputs for cell in nbformat.read(copy, 4).cells[1:4])
    deadline = time.monotonic() + 10
    while _alive(int(first[0].text)) and time.monotonic() < deadline:
        time.sleep(0.1)  # until init has buried it
    assert not _alive(int(first[0].text))
    assert second[0].text.startswith("begun") and not third

    assert refresh_notebook(notebook, 60).error == outcome.error
    assert notebook.read_text() == before


def test_what_is_output_up_to_the_limit_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "MOST_OUTPUT", 100_000)
    notebook = write_notebook(tmp_path / "much.ipynb", "print('x' * 80_000)")
    assert not run_notebook(notebook, tmp_path / "out.ipynb").error
    assert "x" * 80_000 in (tmp_path / "out.ipynb").read_text()


def test_a_file_that_is_no_notebook_fails_alone(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{ not json")
    stale = write_notebook(tmp_path / "out.ipynb", "1")
    outcome = run_notebook(tmp_path / "broken.ipynb", stale)
    assert outcome.error.startswith("NotJSONError: ")
    assert not stale.exists(), "an older run's notebook must not pass for this one's"


def test_an_output_never_takes_the_place_of_its_notebook(folder, capfd):
    path = folder / "00_plain.ipynb"
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is the notebook itself"):
        run_notebook(path, folder / ".." / folder.name / path.name)
    assert main(["course", "--notebooks", str(folder), "--build", str(folder)]) == 2
    assert "holds the notebooks" in capfd.readouterr().err
    assert path.read_bytes() == before
    (folder / "taken.ipynb").mkdir()
    assert run_notebook(path, folder / "taken.ipynb").error  # comes back, and is not raised


@pytest.mark.parametrize("run", [lambda path: run_notebook(path, "out.ipynb"), refresh_notebook])
def test_paths_of_the_environment_are_meant_from_here(tmp_path, monkeypatch, run):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NCF_DATA_DIR", "mine")
    monkeypatch.setenv("NCF_RECORD", "runs.jsonl")
    monkeypatch.delenv("NCF_DEVICE", raising=False)
    source = (
        "import os; from ncf_utils import record; assert os.environ['NCF_DEVICE'] == 'cpu'\n"
        "record(there=os.path.isdir(os.environ['NCF_DATA_DIR']))"
    )
    assert not run(write_notebook(tmp_path / "notebooks" / "a.ipynb", source)).error
    [row] = read_records("runs.jsonl")
    assert row["there"] is True and "NCF_DEVICE" not in os.environ  # nor is it left behind


def test_a_bad_parameter_is_one_clear_line(folder, tmp_path):
    outcome = run_notebook(folder / "01_gmf.ipynb", tmp_path / "o.ipynb", {"num_factors": -1})
    assert outcome.error == (
        "cell 3: ParameterError: num_factors = -1: expected a whole number from 1 to 4,096"
    )
    outcome = run_notebook(folder / "01_gmf.ipynb", tmp_path / "o.ipynb", {"epochs": 3})
    assert outcome.error == "cell 3: ParameterError: unknown parameter epochs"


@pytest.mark.skipif(os.name == "nt", reason="signals a process group")
def test_an_interrupt_ends_the_course_and_its_kernels(tmp_path):
    notebooks = tmp_path / "notebooks"
    started = tmp_path / "started"
    source = f"import os, time\nopen({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)"
    write_notebook(notebooks / "00_sleeps.ipynb", source)
    command = [sys.executable, "-m", "ncf_utils", "course", "--notebooks", notebooks, "--build"]
    run = subprocess.Popen(
        [*command, tmp_path / "build"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    kernel = int(started.read_text())
    os.killpg(run.pid, signal.SIGINT)
    assert "ncf: interrupted" in run.communicate(timeout=60)[1]
    assert run.returncode == 130
    deadline = time.monotonic() + 15
    while _alive(kernel) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(kernel)


def _alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


# --- record


def test_record_shows_rounded_numbers_and_appends_every_digit(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NCF_RECORD", str(tmp_path / "runs.jsonl"))
    for seed in (0, 1):
        record({"seed": seed, "num_factors": 8}, model="GMF", test_hr=1 / 3, pairs=98662, seconds=2)
    assert capsys.readouterr().out == "HR@10 0.333, pairs 98,662\n" * 2
    rows = read_records(tmp_path / "runs.jsonl")
    assert [row["seed"] for row in rows] == [0, 1]
    assert rows[0]["test_hr"] == 1 / 3
    assert rows[0]["seconds"] == 2
    assert rows[0]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert rows[0]["numpy"] == np.__version__


def test_record_displays_nothing_that_changes_from_run_to_run(folder, tmp_path):
    run_notebook(folder / "01_gmf.ipynb", tmp_path / "out.ipynb")
    values, text = recorded(nbformat.read(tmp_path / "out.ipynb", as_version=4))
    assert text == "HR@10 0.508"
    assert values == {
        "dataset": "ml-latest-small",
        "num_factors": 8,
        "hidden_layers": [16, 8],
        "seed": 0,
        "framework": "pytorch",
        "model": "GMF",
        "test_hr": 0.508,
    }


def test_record_takes_numpy_numbers_and_refuses_what_is_no_number(capsys):
    record(test_hr=np.float32(0.5), pairs=np.int64(3), flag=np.True_, none=None)
    assert capsys.readouterr().out == "HR@10 0.500, pairs 3\n"
    for bad in (float("nan"), float("inf"), np.zeros(2), object()):
        with pytest.raises(ValueError, match="record: test_hr = "):
            record(test_hr=bad)


def test_a_notebook_without_a_record_has_measured_nothing(folder):
    assert recorded(nbformat.read(folder / "00_plain.ipynb", as_version=4)) == ({}, "")


def test_nbval_compares_the_record(folder, tmp_path):
    """A changed number in a stored result makes nbval fail."""
    notebook = folder / "01_gmf.ipynb"
    assert main(["refresh", "01*", "--notebooks", str(folder)]) == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    command += ["--nbval-current-env", "-c", os.devnull, str(notebook)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    stored = notebook.read_text(encoding="utf-8")
    assert stored.count("0.508") == 2
    notebook.write_text(stored.replace('"test_hr": 0.508', '"test_hr": 0.509'), encoding="utf-8")
    assert subprocess.run(command, capture_output=True).returncode == 1


# --- refresh


def test_refresh_stores_outputs_and_is_the_same_each_time(folder):
    path = folder / "01_gmf.ipynb"
    assert main(["refresh", "01_gmf", "--notebooks", str(folder)]) == 0
    first = path.read_bytes()
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert code[-1].outputs[0].data[MIME]["test_hr"] == 0.508
    assert "injected-parameters" not in first.decode()
    assert stored.metadata.language_info == {"name": "python"}
    assert main(["refresh", "01_gmf", "--notebooks", str(folder)]) == 0
    assert path.read_bytes() == first


def test_refresh_keeps_a_notebook_that_fails_as_it_was(folder, capsys):
    before = (folder / "02_fails.ipynb").read_bytes()
    assert main(["refresh", "02*", "--notebooks", str(folder)]) == 1
    assert "cell 2: AssertionError: assert x == 2" in capsys.readouterr().out
    assert (folder / "02_fails.ipynb").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"cells": [{"cell_type": "markdown", "source": "mine"}], "metadata": {}}', "nbformat"),
        ('{"cells": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}', "nbformat is not 4"),
        ("[]", "TypeError"),
        ("<<<<<<< HEAD", "JSONDecodeError"),
    ],
)
def test_refresh_leaves_what_is_no_notebook_and_goes_on(text, told, folder, capsys):
    bad, plain = folder / "00_bad.ipynb", folder / "00_plain.ipynb"
    bad.write_text(text)
    before = plain.read_bytes()
    assert main(["refresh", "00*", "--notebooks", str(folder)]) == 1
    said = capsys.readouterr().out
    assert f"{bad}: not a notebook" in said and told in said
    assert bad.read_text() == text and plain.read_bytes() != before


def test_refresh_stores_nothing_over_an_edit_that_was_saved_meanwhile(folder, capsys):
    path, gone, plain = (folder / f"00_{name}.ipynb" for name in ("edits", "gone", "plain"))
    source = "text = open('00_edits.ipynb').read()\nopen('00_edits.ipynb', 'w').write(text + ' ')"
    write_notebook(path, source)
    write_notebook(gone, "import os\nos.rename('00_gone.ipynb', 'elsewhere.ipynb')")
    before, plain_before = path.read_text(), plain.read_bytes()
    assert main(["refresh", "00*", "--notebooks", str(folder)]) == 1
    assert capsys.readouterr().out.count("changed while it ran") == 2
    assert path.read_text() == before + " " and not gone.exists()
    assert plain.read_bytes() != plain_before


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_refresh_writes_through_a_link(folder, tmp_path):
    path, link = folder / "00_plain.ipynb", tmp_path / "links" / "00_plain.ipynb"
    link.parent.mkdir()
    link.symlink_to(path)
    before = path.read_bytes()
    assert main(["refresh", "--notebooks", str(link.parent)]) == 0
    assert link.is_symlink() and path.read_bytes() != before


# --- sums that go by the processor's cache


def caches(folder, *described):
    """A folder as Linux has it below /sys, one entry for each (level, type, size)."""
    for number, fields in enumerate(described):
        for name, text in zip(("level", "type", "size"), fields, strict=True):
            path = folder / f"index{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    return folder


INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nprocessor\t: 1\nvendor_id\t: GenuineIntel\n"


def test_the_first_data_cache_is_found_among_the_others(tmp_path):
    others = (1, "Instruction", "64K"), (2, "Unified", "1024K"), (2, "Data", "512K")
    first = caches(tmp_path, *others, (1, "Data", "48K"))
    (tmp_path / "cpuinfo").write_text(INTEL)
    assert processor(tmp_path / "cpuinfo", first) == "GenuineIntel 48K"


def test_a_processor_that_is_not_described_is_unknown(tmp_path):
    first = caches(tmp_path, (1, "Data", "48K"))
    (tmp_path / "cpuinfo").write_text(INTEL)
    (tmp_path / "other").write_text("processor\t: 0\nBogoMIPS\t: 48.00\n")
    assert processor(tmp_path / "missing", first) == "unknown"
    assert processor(tmp_path / "other", first) == "unknown"
    assert processor(tmp_path / "cpuinfo", tmp_path / "missing") == "unknown"
    (first / "index0" / "size").unlink()
    assert processor(tmp_path / "cpuinfo", first) == "unknown"


def test_refresh_notes_the_processor_where_sums_go_by_it(folder, monkeypatch):
    monkeypatch.setattr(course, "SUMS_BY_PROCESSOR", ("01_gmf",))
    assert main(["refresh", "00*", "01_gmf", "--notebooks", str(folder)]) == 0
    plain, gmf = (
        nbformat.read(folder / f"{name}.ipynb", as_version=4) for name in ("00_plain", "01_gmf")
    )
    assert "processor" not in plain.metadata
    assert gmf.metadata.processor == processor()


def test_refresh_keeps_such_a_notebook_on_an_unknown_processor(folder, monkeypatch, capsys):
    monkeypatch.setattr(course, "SUMS_BY_PROCESSOR", ("01_gmf",))
    monkeypatch.setattr(course, "processor", lambda: "unknown")
    before = (folder / "01_gmf.ipynb").read_bytes()
    assert main(["refresh", "01_gmf", "--notebooks", str(folder)]) == 1
    assert "the processor, which this system does not tell" in capsys.readouterr().out
    assert (folder / "01_gmf.ipynb").read_bytes() == before


def test_two_unknown_processors_are_not_the_same(tmp_path, monkeypatch):
    path = write_notebook(tmp_path / "course" / "a.ipynb", "1 + 1")
    monkeypatch.setattr(course, "processor", lambda: "unknown")
    assert course.comparable(path)
    stored = nbformat.read(path, as_version=4)
    stored.metadata.processor = "unknown"
    nbformat.write(stored, path)
    assert not course.comparable(path)


@pytest.mark.parametrize("noted, failures", [(None, 1), (processor(), 1), ("other 7K", 0)])
def test_only_outputs_of_another_processor_are_not_compared(folder, root, noted, failures):
    """A stored number is changed; a wrong assert fails in any case."""
    path = folder / "01_gmf.ipynb"
    assert main(["refresh", "01_gmf", "--notebooks", str(folder)]) == 0
    stored = nbformat.read(path, as_version=4)
    stored.cells[-1].outputs[0].data[MIME]["test_hr"] = 0.509
    stored.cells.append(new_code_cell("assert num_factors == 9"))
    if noted:
        stored.metadata.processor = noted
    nbformat.write(stored, path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest"),
            *("--nbval", "--nbval-current-env", "-c", os.devnull, str(path)),
        ],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert f"{failures + 1} failed, {3 - failures} passed" in done.stdout
    said = [line for line in done.stdout.splitlines() if line.startswith("outputs not compared")]
    assert [line.endswith(": 01_gmf") for line in said] == [True] * (noted == "other 7K")


# --- results


def test_a_run_becomes_one_row_and_a_second_run_replaces_it(folder, tmp_path):
    table = tmp_path / "results" / "runs.csv"
    run = ["run", str(folder / "01_gmf.ipynb"), str(tmp_path / "o.ipynb"), "--results", str(table)]
    assert main([*run, "-p", "num_factors", "16", "-p", "hidden_layers", "[4, 2]"]) == 0
    assert main([*run, "-p", "num_factors", "16", "-p", "hidden_layers", "[4, 2]"]) == 0
    assert main(run) == 0
    rows = read_rows(table)
    assert [(row["num_factors"], row["hidden_layers"]) for row in rows] == [
        ("16", "[4, 2]"),
        ("8", "[16, 8]"),
    ]
    assert [row["test_hr"] for row in rows] == ["0.516", "0.508"]
    assert rows[0]["seconds"] == "1.5" and rows[0]["framework"] == "pytorch"
    assert rows[0]["torch"] == "", "a version is that of a library that the run has loaded"
    assert tuple(rows[0]) == (*COLUMNS, "notebook", "run")
    assert rows[0]["notebook"] == "01_gmf" and rows[0]["run"] != rows[1]["run"]
    assert [path.name for path in tmp_path.glob("*.jsonl")] == []


def test_the_results_are_looked_at_before_anything_runs(tmp_path, capsys):
    """And a CSV that is the output, too, is not written over."""
    notebook = write_notebook(tmp_path / "course" / "a.ipynb", "open('it ran', 'w')")
    table, link = tmp_path / "runs.csv", tmp_path / "link.csv"
    link.symlink_to(table)
    run = ["run", str(notebook), str(tmp_path / "out.ipynb"), "--results"]
    for text, command, fault in (
        ("seed,test_hr\n0,0.5,7\n", [*run, str(table)], "line 2: expected 2 fields, found 3"),
        ("buy milk\n", [*run, str(table)], "line 1: expected columns of results"),
        ("seed\n0\n", ["run", str(notebook), str(link), "--results", str(table)], "is the CSV of"),
    ):
        table.write_text(text)
        assert main(command) == 2
        assert fault in capsys.readouterr().err and table.read_text() == text
    assert not (tmp_path / "course" / "it ran").exists()


def test_a_row_that_cannot_be_added_is_kept_beside_the_output(tmp_path, capsys):
    source = "from ncf_utils import record\nrecord(test_hr=1 / 3, note='a\\rb')"
    notebook = write_notebook(tmp_path / "course" / "a.ipynb", source)
    table = tmp_path / "runs.csv"
    run = ["run", str(notebook), str(tmp_path / "new" / "out.ipynb"), "--results", str(table)]
    assert main(run) == 2
    [kept] = (tmp_path / "new").glob("*.jsonl")
    assert capsys.readouterr().err.endswith(f"; what the run recorded is kept in {kept}\n")
    assert [row["test_hr"] for row in read_records(kept)] == [1 / 3] and not table.exists()


def test_a_run_that_fails_or_records_nothing_leaves_no_row(folder, tmp_path, capsys):
    table = tmp_path / "runs.csv"
    for name, said in {"02_fails": "assert x == 2", "00_plain": "records nothing"}.items():
        run = ["run", str(folder / f"{name}.ipynb"), str(tmp_path / "o.ipynb")]
        assert main([*run, "--results", str(table)]) == 1
        assert said in capsys.readouterr().out
    assert not table.exists()


def test_runs_that_differ_by_a_parameter_of_their_own_are_two_rows(tmp_path, monkeypatch, capsys):
    path = tmp_path / "notebooks" / "a.ipynb"
    write_notebook(path, "from ncf_utils import record\nrecord({'l2': l2})", parameters="l2 = 1")
    for l2 in (1, 2, 2):
        command = ["run", str(path), str(tmp_path / "out.ipynb"), "-p", "l2", str(l2)]
        assert main([*command, "--results", str(tmp_path / "ran.csv")]) == 0
    monkeypatch.setenv("NCF_RECORD", str(tmp_path / "runs.jsonl"))
    for l2 in (1, 2, 2):
        record({"l2": l2})
    records = str(tmp_path / "runs.jsonl")
    assert main(["collect", records, "--results", str(tmp_path / "collected.csv")]) == 0
    for name in ("ran.csv", "collected.csv"):
        rows = read_rows(tmp_path / name)
        assert [row["l2"] for row in rows] == ["1", "2"] and "parameters" not in rows[0]


@pytest.mark.parametrize(
    "arguments, fault",
    [
        (["course", "--jobs", "x"], "expected a whole number of at least 1, found 'x'"),
        (["course", "--cell-timeout", "-5"], "expected a whole number of at least 1, found '-5'"),
        (["sweep", "g", "--timeout", "y"], "expected a number above 0, found 'y'"),
        (["sweep", "g", "--timeout", "0"], "expected a number above 0, found '0'"),
    ],
)
def test_a_number_that_is_none_is_named(capsys, arguments, fault):
    with pytest.raises(SystemExit):
        main(arguments)
    assert fault in capsys.readouterr().err


def test_collect_adds_the_files_that_runs_have_written(tmp_path, monkeypatch, capsys):
    for seed in (0, 1, 1):
        monkeypatch.setenv("NCF_RECORD", str(tmp_path / f"{seed}.jsonl"))
        record({"seed": seed}, test_hr=seed / 7)
    files = [str(tmp_path / "0.jsonl"), str(tmp_path / "1.jsonl")]
    assert main(["collect", *files, "--results", str(tmp_path / "runs.csv")]) == 0
    assert "3 runs read, 2 rows" in capsys.readouterr().out
    rows = read_rows(tmp_path / "runs.csv")
    assert [float(row["test_hr"]) for row in rows] == [0, 1 / 7]


def test_a_broken_record_is_named(tmp_path, capsys):
    (tmp_path / "runs.jsonl").write_text('{"seed": 0}\n{"se\n')
    table = tmp_path / "runs.csv"
    assert main(["collect", str(tmp_path / "runs.jsonl"), "--results", str(table)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ncf: {tmp_path / 'runs.jsonl'}, line 2: expected a JSON object; ")
    assert not table.exists()


def test_half_a_line_spoils_no_line_after_it(tmp_path, monkeypatch, capsys):
    """What a run that was killed while it wrote leaves is named, and can be deleted."""
    path = tmp_path / "runs.jsonl"
    path.write_text('{"se')
    monkeypatch.setenv("NCF_RECORD", str(path))
    record(seed=1)
    with pytest.raises(ValueError, match="line 1: expected a JSON object; half of one is left by"):
        read_records(path)
    path.write_text(path.read_text().removeprefix('{"se'))
    assert [row["seed"] for row in read_records(path)] == [1]


@pytest.mark.parametrize(
    "line", ["[]", '""', '[["a", 1]]', '{"a": NaN}', '{"a": 1e999}', "[" * 9999]
)
def test_a_line_that_is_no_object_of_finite_numbers_is_refused(tmp_path, line):
    (tmp_path / "runs.jsonl").write_text(f'{{"seed": 0}}\n{line}\n')
    with pytest.raises(ValueError, match="line 2: expected a JSON object"):
        read_records(tmp_path / "runs.jsonl")


@pytest.mark.parametrize("names", ["3", "null", '"seed"', '[["a"]]'])
def test_parameters_that_are_no_names_are_refused(tmp_path, names):
    (tmp_path / "runs.jsonl").write_text(f'{{"seed": 0}}\n{{"seed": 1, "parameters": {names}}}\n')
    with pytest.raises(ValueError, match="runs.jsonl, line 2: expected a list of names as param"):
        read_records(tmp_path / "runs.jsonl")


@pytest.mark.parametrize(
    "text, fault",
    [
        ("a,b\n1\n", "line 2: expected 2 fields, found 1"),
        ("a,b\n1,2,3\n", "line 2: expected 2 fields, found 3"),
        ("a,a\n1,2\n", "line 1: expected names that differ, found a,a"),
        ('a,b\n1,"2\n', "line 2: expected fields of a CSV file"),
    ],
)
def test_a_results_file_that_is_broken_is_named_and_left_alone(tmp_path, text, fault):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"runs.csv, {fault}"):
        add_rows(path, [{"seed": 1}])
    assert path.read_text() == text


def test_columns_keep_their_order_and_new_ones_follow(tmp_path):
    table = tmp_path / "runs.csv"
    add_rows(table, [{"seed": 0, "pairs": 3}])
    add_rows(table, [{"seed": 1, "alpha": 0.5, "pretrain": True, "test_hr": None}])
    with open(table, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*COLUMNS, "pairs", "alpha"]
    assert len(rows) == 2
    second = dict(zip(header, rows[1], strict=True))
    assert (second["alpha"], second["pretrain"], second["test_hr"]) == ("0.5", "true", "")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    table = tmp_path / "runs.csv"
    add_rows(table, [{"seed": 0}])
    before = table.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.csv.DictWriter, "writerows", full)
    with pytest.raises(OSError, match="No space left"):
        add_rows(table, [{"seed": 1}])
    assert table.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_processes_that_add_at_once_lose_no_row(tmp_path):
    table = tmp_path / "runs.csv"
    source = (
        "import sys; from ncf_utils.results import add_rows\n"
        "for seed in range(25): add_rows(sys.argv[1], [{'seed': seed, 'model': sys.argv[2]}])"
    )
    runs = [subprocess.Popen([sys.executable, "-c", source, str(table), name]) for name in "abcd"]
    assert [run.wait(timeout=120) for run in runs] == [0] * 4
    rows = read_rows(table)
    assert {(row["model"], row["seed"]) for row in rows} == {
        (name, str(seed)) for name in "abcd" for seed in range(25)
    }
    assert len(rows) == 100


def test_processes_that_record_into_one_file_do_not_mix_lines(tmp_path):
    source = (
        "import sys; from ncf_utils import record\n"
        "for k in range(50): record({'k': k}, model=sys.argv[1] * 500)"
    )
    environment = os.environ | {"NCF_RECORD": str(tmp_path / "runs.jsonl")}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", source, name], env=environment, stdout=subprocess.DEVNULL
        )
        for name in "ab"
    ]
    assert [run.wait(timeout=60) for run in runs] == [0, 0]
    rows = read_records(tmp_path / "runs.jsonl")
    assert sorted((row["model"][0], row["k"]) for row in rows) == [
        (name, k) for name in "ab" for k in range(50)
    ]


def test_values_on_the_command_line():
    from ncf_utils.cli import _value

    shown = ["8", "1e-3", "[64, 32]", "true", "True", "None", "ml-1m", "NaN", '"8"', "[8"]
    assert json.dumps([_value(text) for text in shown]) == (
        '[8, 0.001, [64, 32], true, true, null, "ml-1m", NaN, "8", "[8"]'
    )
