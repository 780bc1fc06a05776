"""The results that are kept in the repository are whole, and say what the project says of them."""

import dataclasses
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf_utils import results
from ncf_utils.errors import DataError
from ncf_utils.metrics import Evaluation, bootstrap_interval, hit_ratio, ndcg
from ncf_utils.report import varying
from ncf_utils.results import (
    COLUMNS,
    KEY,
    RowError,
    add_rows,
    measured,
    read_rows,
    record,
    row_key,
)

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
FILES = sorted(RESULTS.glob("*.csv"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rows_are_whole(path):
    rows = pd.read_csv(path)
    assert rows.columns[: len(COLUMNS)].tolist() == list(COLUMNS)
    assert not rows.duplicated(sorted({*KEY, *varying(rows)} & {*rows})).any()
    metrics = rows.filter(regex="_(hr|ndcg)$").stack().dropna()
    assert metrics.gt(0).all() and metrics.lt(1).all()
    trained = rows[rows.picked_epoch.notna()]
    first = 1 - trained.pretrain.eq(True)  # a pre-trained model is one before its first epoch
    assert trained.picked_epoch.between(first, trained.epochs).all()
    assert (trained.best_test_hr >= trained.test_hr).all()
    assert rows[["test_hr", "test_ndcg"]].notna().all(axis=None)
    assert rows[["seconds", "python", "numpy", "ncf_utils"]].notna().all(axis=None)
    for framework in ("torch", "keras"):
        assert rows.loc[rows.framework == framework, framework].notna().all()
    for name in rows.filter(regex="_by_k$"):
        lists = rows[name].dropna().map(json.loads)
        assert lists.map(len).eq(10).all() and lists.map(lambda each: each == sorted(each)).all()
        if (single := name.removesuffix("_by_k")) in rows:
            assert (lists.str[-1] - rows[single]).abs().max() < 1e-4


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_neumf_reaches_the_paper_with_the_epoch_picked_on_validation(framework):
    rows = pd.read_csv(RESULTS / "neumf-ncf-ml-1m.csv")
    rows = rows[(rows.framework == framework) & (rows.num_factors == 8)]
    assert sorted(rows.seed) == [0, 1, 2]
    assert rows.test_hr.mean() >= 0.675 and rows.test_ndcg.mean() >= 0.395
    assert rows.refit_hr.mean() >= 0.675 and rows.refit_ndcg.mean() >= 0.395


# --- the columns of a run -------------------------------------------------------------------------


def evaluation(ranks, full=False):
    return Evaluation(
        hr=hit_ratio(ranks), ndcg=ndcg(ranks), k=10, ranks=ranks, user=np.arange(len(ranks)),
        num_candidates=99, full=full,
    )  # fmt: skip


def test_the_columns_of_a_run_are_what_a_loop_over_its_users_finds():
    rng = np.random.default_rng(0)
    longest = {"validation": 100, "test": 30, "refit": 20, "test_full": 300}
    ranks = {name: rng.integers(0, last, 47) for name, last in longest.items()}
    found = measured({name: evaluation(each, "full" in name) for name, each in ranks.items()})
    expected = {}
    for name, each in ranks.items():
        hr, value = [], []
        for k in range(1, 11):
            gains = [1 / math.log2(rank + 2) for rank in each if rank < k]
            hr.append(len(gains) / 47)
            value.append(sum(gains) / 47)
        expected[f"{name}_hr_by_k"] = [round(each, 4) for each in hr]
        expected[f"{name}_ndcg_by_k"] = [round(each, 4) for each in value]
        if name != "test_full":
            expected |= {f"{name}_hr": hr[-1], f"{name}_ndcg": value[-1]}
    for name in ("test", "refit"):
        hits = (ranks[name] < 10).astype(float)
        expected[f"{name}_hr_low"], expected[f"{name}_hr_high"] = bootstrap_interval(hits)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        close = pytest.approx(value, rel=1e-12)
        assert found[name] == (value if name.endswith("by_k") else close), name


def test_the_list_of_an_evaluation_does_not_change_the_columns():
    ranks = np.array([0, 3, 12])
    other = dataclasses.replace(evaluation(ranks), hr=0.1, ndcg=0.1, k=1)
    assert measured({"test": other}) == measured({"test": evaluation(ranks)})


@pytest.mark.parametrize("name, full", [("test", True), ("test_full", False)])
def test_full_ranking_is_not_taken_for_the_other(name, full):
    with pytest.raises(ValueError, match=f"evaluations: '{name}' must end in _full if"):
        measured({name: evaluation(np.array([0, 3]), full)})


# --- adding rows ---------------------------------------------------------------------------------


def test_runs_differ_by_the_parameters_that_only_their_notebook_has(tmp_path):
    table = tmp_path / "runs.csv"
    own = ["notebook", "shrink"]
    for shrink in (1, 2, 2):
        row = {"notebook": "run_baseline", "shrink": shrink, "seed": 0, "test_hr": 0.5}
        assert add_rows(table, [row], own) == min(shrink, 2)
    add_rows(table, [{"seed": 0, "test_hr": 0.7}])
    rows = read_rows(table)
    assert [row["shrink"] for row in rows] == ["1", ""], "one that names no shrink takes the last"
    add_rows(table, [{"seed": 1}])
    assert [row["seed"] for row in read_rows(table)] == ["0", "0", "1"]


def test_rows_that_are_there_are_never_merged(tmp_path):
    """Not even where the writer does not know the parameter that tells them apart."""
    table = tmp_path / "runs.csv"
    add_rows(table, [{"shrink": 1}, {"shrink": 2}], ["shrink"])
    add_rows(table, [{"seed": 1}])
    assert [row["shrink"] for row in read_rows(table)] == ["1", "2", ""]


def test_rows_that_say_what_made_them_are_told_apart_by_it(tmp_path):
    """A row that does not say, as older ones do not, stands for a run of the same parameters."""
    table = tmp_path / "runs.csv"
    told = {"seed": 0, "test_hr": 0.5, "notebook": "a", "run": "1f"}
    add_rows(table, [{"seed": 0, "test_hr": 0.4}])
    assert add_rows(table, [told]) == 1
    assert add_rows(table, [told | {"run": "2f"}, told | {"notebook": "b", "run": "3f"}]) == 3
    assert add_rows(table, [told | {"test_hr": 0.6}]) == 3
    assert add_rows(table, [{"seed": 0, "notebook": "c"}]) == 4
    assert add_rows(table, [told | {"test_hr": 0.7}, {"seed": 0, "notebook": "c"}]) == 4
    assert [row["test_hr"] for row in read_rows(table)] == ["0.7", "0.5", "0.5", ""]


def test_the_rows_of_neumf_which_lack_an_id_are_replaced(tmp_path):
    """As its command in data/results/README.md would."""
    table = tmp_path / "neumf.csv"
    table.write_bytes((RESULTS / "neumf-ncf-ml-1m.csv").read_bytes())
    before = read_rows(table)
    own = ["pretrain_epochs", "probe_epochs", "alpha", "sgd_learning_rate"]
    made_by = {"notebook": "08_neumf_pytorch", "parameters": own}
    again = [row | made_by | {"run": f"{at}f"} for at, row in enumerate(before)]
    assert add_rows(table, again) == len(before)
    assert [row["run"] for row in read_rows(table)] == [row["run"] for row in again]


@pytest.mark.parametrize(
    "name, value",
    [("note", "a\rb"), ("a\rb", 1), ("ranks", list(range(55_187))), ("note", "\ud800")],
    ids=["carriage return", "column", "long", "half a character"],
)
def test_a_row_that_would_not_be_read_back_is_refused(tmp_path, name, value):
    table = tmp_path / "runs.csv"
    add_rows(table, [{"seed": 0, "note": 'a, "b"\nc'}])
    fault = f"{table}, column {name!r} of a new row: expected text without carriage returns"
    with pytest.raises(RowError, match=re.escape(fault)):
        add_rows(table, [{"seed": 1}, {"seed": 2, name: value}])
    [row] = read_rows(table)
    assert row["note"] == 'a, "b"\nc'


@pytest.mark.parametrize("text", ['\n{"seed": 0, "test_hr": 0.5}\n', "buy milk\n"])
def test_a_file_that_holds_something_else_is_not_written_over(tmp_path, text):
    path = tmp_path / "notes"
    path.write_text(text)
    with pytest.raises(DataError, match=f"{path}, line [12]: expected columns of results, such as"):
        add_rows(path, [{"seed": 0}])
    assert path.read_text() == text


@pytest.mark.skipif(os.name == "nt", reason="makes a symbolic link")
def test_rows_go_to_the_file_that_a_link_means(tmp_path):
    link, table = tmp_path / "link.csv", tmp_path / "kept" / "runs.csv"
    add_rows(table, [{"seed": 0}])
    link.symlink_to(table)
    assert add_rows(link, [{"seed": 1}]) == len(read_rows(table)) == 2
    assert link.is_symlink()
    assert sorted(tmp_path.rglob("*.lock")) == [tmp_path / "kept" / "runs.csv.lock"]


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_record_that_the_disk_takes_in_part_is_an_error(tmp_path):
    source = (
        "import resource, signal; from ncf_utils import record\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "record(seed=0)"
    )
    environment = os.environ | {"NCF_RECORD": str(tmp_path / "rows")}
    done = subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and (tmp_path / "rows").stat().st_size == 100
    told = f"OSError: [Errno 28] No space left on device: '{tmp_path / 'rows'}'"
    assert done.stderr.splitlines()[-1] == told


def test_a_key_is_the_same_from_values_and_from_the_file(tmp_path):
    run = {"seed": 3, "rate": 1e-7, "layers": [16, 8], "pretrain": True, "dim": None, "name": "a,b"}
    add_rows(tmp_path / "runs.csv", [run])
    (row,) = read_rows(tmp_path / "runs.csv")
    assert row_key(row, run) == row_key(run, run) != row_key(run | {"rate": 1e-6}, run)


def test_a_list_stays_out_of_the_sentence_and_all_its_digits_go_to_the_file(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("NCF_RECORD", str(tmp_path / "rows"))
    record(test_hr=0.5, curve=[None, 1 / 3])
    assert capsys.readouterr().out == "HR@10 0.500\n"
    assert json.loads((tmp_path / "rows").read_text())["curve"] == [None, 1 / 3]


@pytest.mark.parametrize(
    "value, shown",
    [(1e-6, 1e-6), (-1.23456e-5, -1.23e-5), (0.0, 0.0), (0.00123456, 0.0012), ([1e-6], [1e-6])],
)
def test_a_small_number_is_not_shown_as_none(value, shown):
    assert results._rounded(value) == shown


def test_kills_while_rows_are_written_leave_a_whole_file(tmp_path):
    table = tmp_path / "runs.csv"
    source = (
        "import itertools, sys; from ncf_utils.results import add_rows\n"
        "for seed in itertools.count(int(sys.argv[2])):\n"
        "    add_rows(sys.argv[1], [{'seed': seed, 'text': 'x' * 50_000}])\n"
        "    print(seed, flush=True)"
    )
    chance, written = random.Random(7), []
    for start in range(0, 8000, 1000):
        command = [sys.executable, "-c", source, str(table), str(start)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        first = writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        written += [int(line) for line in [first, *writer.communicate()[0].splitlines()]]
        rows = read_rows(table)
        assert all(row["text"] == "x" * 50_000 for row in rows)
        seeds = [int(row["seed"]) for row in rows]
        assert len(set(seeds)) == len(seeds) and set(written) <= set(seeds)
        assert len(seeds) <= len(written) + 1 + start // 1000
    assert len(written) > 8
    add_rows(table, [{"seed": -1}])
    assert sorted(tmp_path.iterdir()) == [table, tmp_path / "runs.csv.lock"]
