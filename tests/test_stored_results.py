"""The rows in data/results: each belongs to a grid, and can be made again from it."""

import csv
import json
import random
from pathlib import Path

import pytest

from ncf_utils.cli import main
from ncf_utils.grid import read_grid
from ncf_utils.paper import tower
from ncf_utils.results import read_rows

ROOT = Path(__file__).resolve().parent.parent
GRIDS = {
    grid.results.name: grid for grid in map(read_grid, sorted((ROOT / "sweeps").glob("*.yaml")))
}
FILES = [path for path in sorted((ROOT / "data" / "results").glob("*.csv")) if path.name in GRIDS]
ML_1M, SMALL = 6_040 + 3_706, 671 + 9_066  # users and items
TRAIN = ROOT / "notebooks" / "experiments" / "train_one_model.ipynb"


def value(text):
    """A cell of the CSV as the value it stands for."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_row_belongs_to_its_grid_and_has_the_parameters_of_its_run(path):
    runs = {run.id: run for run in GRIDS[path.name].runs}
    rows = read_rows(path)
    assert len({row["run"] for row in rows}) == len(rows) > 0
    for row in rows:
        run = runs[row["run"]]
        for name, given in run.parameters.items():
            # A row leaves open what its model has no use for; a baseline's fills in defaults.
            assert value(row.get(name)) in (given, None) or given is None, (row["run"], name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rows_are_tidy(path):
    """Equal columns, one line a run, metrics in [0, 1], lists that end with the metric itself."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert len(set(header)) == len(header) and {len(line) for line in lines} == {len(header)}
    for row in read_rows(path):
        for name, text in row.items():
            if name.endswith(("_hr", "_ndcg")) and text:
                assert 0 <= float(text) <= 1, (row["run"], name)
            if name.endswith("_by_k") and text and name.removesuffix("_by_k") in row:
                metric = float(row[name.removesuffix("_by_k")])
                assert json.loads(text)[-1] == pytest.approx(metric, abs=5.1e-5), (row["run"], name)
        assert float(row["seconds"]) > 0


def test_the_grid_of_the_paper_has_all_of_its_tables():
    """NeuMF from scratch and pre-trained, MLP-0 to MLP-4, at 8 to 64 factors; negatives 1 to 10."""
    runs = [run.parameters for run in GRIDS["paper-ncf-ml-1m.csv"].runs]
    neumf = {(p["num_factors"], p["pretrain"]) for p in runs if p["model"] == "NeuMF"}
    assert {(f, pretrain) for f in (8, 16, 32, 64) for pretrain in (False, True)} <= neumf
    mlp = {tuple(p["hidden_layers"]) for p in runs if p["model"] == "MLP" and p["refit"]}
    assert {tuple(tower(f, n)) for f in (8, 16, 32, 64) for n in range(5)} <= mlp
    negatives = {(p["model"], p["num_negatives"], p["seed"]) for p in runs}
    wanted = {(m, n, s) for m in ("GMF", "MLP", "NeuMF") for n in range(1, 11) for s in range(3)}
    assert wanted <= negatives


def stored(name):
    return read_rows(ROOT / "data" / "results" / name)


def random_rows(number=3):
    """Other rows whenever rows were added, and the same ones until then."""
    rows = [row for row in stored("paper-ncf-ml-1m.csv") if row["framework"] == "torch"]
    return random.Random(len(rows)).sample(rows, min(number, len(rows)))


@pytest.mark.parametrize("row", random_rows(), ids=lambda row: row["run"])
def test_a_random_row_is_made_again_at_small_scale(row, tmp_path):
    """Its parameters are all that the notebook needs, and make a model of the same shape."""
    run = next(run for run in GRIDS["paper-ncf-ml-1m.csv"].runs if run.id == row["run"])
    small = {"dataset": "ml-latest-small", "epochs": 1, "pretrain_epochs": 1, "refit": False}
    given = run.parameters | small
    options = [part for name, v in given.items() for part in ("-p", name, json.dumps(v))]
    results = tmp_path / "again.csv"
    assert (
        main(["run", str(TRAIN), str(tmp_path / "out.ipynb"), *options, "--results", str(results)])
        == 0
    )
    [again] = read_rows(results)
    for name in (
        "model",
        "num_layers",
        "predictive_factors",
        "hidden_layers",
        "activation",
        "loss",
    ):
        assert again[name] == row[name], name
    # Only the tables have another number of rows: those of the users and items.
    config = value(row["hidden_layers"]), value(row["embedding_dim"]), value(row["num_factors"])
    more = int(float(row["num_weights"])) - int(float(again["num_weights"]))
    assert more == (ML_1M - SMALL) * numbers_a_row(row["model"], *config)
    assert 0 < float(again["test_hr"]) < 1


def numbers_a_row(model, hidden_layers, embedding_dim, num_factors):
    """How many numbers stand for a user or an item, in all tables."""
    mlp = 0 if model == "GMF" else embedding_dim or hidden_layers[0] // 2
    return mlp + (0 if model == "MLP" else num_factors)


@pytest.mark.parametrize("model", ["GMF", "EASE"])
def test_a_cheap_row_is_made_again_in_full(model, tmp_path, ncf_ml_1m):
    """A model trained to its last epoch, and a baseline: every number that is stored, again."""
    name = "baselines-ncf-ml-1m.csv" if model == "EASE" else "paper-ncf-ml-1m.csv"
    rows = [row for row in stored(name) if row["model"] == model and row["framework"] != "keras"]
    row = min(rows, key=lambda row: float(row["seconds"]))
    grid = GRIDS[name].path
    results = tmp_path / "again.csv"
    options = ["--run", row["run"], "--results", str(results), "--build", str(tmp_path)]
    assert main(["sweep", str(grid), "--workers", "1", *options]) == 0
    [again] = read_rows(results)
    assert again["picked_epoch"] == row["picked_epoch"]
    for metric in ("validation_hr", "validation_ndcg", "test_hr", "test_ndcg"):
        # Other processors add in another order: a user or two of 6,040 may change sides.
        assert float(again[metric]) == pytest.approx(float(row[metric]), abs=5e-4), metric
