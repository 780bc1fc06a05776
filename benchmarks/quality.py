"""Time to quality: what the rows of our sweeps say about NeuMF with 8 factors."""

from __future__ import annotations

import json
from pathlib import Path

from ncf_utils.results import read_rows

from .measuring import ML_1M, NUM_FACTORS, rounded

RESULTS = Path(__file__).parents[1] / "data" / "results"
FILES = tuple(RESULTS / f"{name}-{ML_1M}.csv" for name in ("fast", "learning-rate"))
WANTED = {
    "dataset": (ML_1M,),
    "model": ("NeuMF",),
    "num_factors": (NUM_FACTORS,),
    "pretrain": (False, None),
    "loss": ("log", None),
    "optimizer": ("adam", None),
}
# What runs may differ in.
WAY = ("hidden_layers", "embedding_dim", "num_negatives", "batch_size", "learning_rate", "average")


def measure(setting, files=FILES):
    """The runs that count: NeuMF-8 from scratch on MovieLens-1M.

    Args:
        setting: not used; these runs were made before.
        files: CSVs that `ncf sweep` wrote; one that is not there has no runs.
    """
    runs = [run for file in files if file.exists() for run in read_rows(file)]
    return {"rows": [summary(run) for run in runs if counts(run)]}


def counts(run):
    """Whether a run's cells are the wanted ones."""
    return all(value(run.get(name)) in allowed for name, allowed in WANTED.items())


def summary(run):
    """What counts of one run.

    The CSV has the seconds of all its epochs; those up to the picked one are their share, as
    epochs are alike.
    """
    epochs = len(value(run["test_hr_by_epoch"])) - 1  # its first entry is the untrained model
    picked = value(run["picked_epoch"])
    return {
        "framework": run["framework"],
        **{name: value(run.get(name)) for name in WAY},
        "seed": value(run["seed"]),
        "picked_epoch": picked,
        "epochs": epochs,
        "seconds": rounded(value(run["seconds"]) * picked / epochs),
        "test_hr": rounded(value(run["test_hr"])),
        "test_ndcg": rounded(value(run["test_ndcg"])),
    }


def value(cell):
    """What a cell of the CSV says: a number, a list, a truth value, text, or None."""
    if not cell:
        return None
    try:
        return json.loads(cell)
    except ValueError:
        return cell
