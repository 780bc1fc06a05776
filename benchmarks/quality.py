"""Time to quality: what the runs of a sweep say about NeuMF at the defaults of `fit`."""

from __future__ import annotations

import json
from pathlib import Path

from ncf_utils import torch_ncf
from ncf_utils.results import read_rows

from .measuring import HIDDEN_LAYERS, ML_1M, NUM_FACTORS, NUM_NEGATIVES, default_of, rounded

RUNS = Path(__file__).parents[1] / "data" / "results" / "learning-rate-ncf-ml-1m.csv"


def measure(setting, path=RUNS):
    """The runs that count: NeuMF with 8 factors on MovieLens-1M, batch and step size the default.

    Args:
        setting: not used; these runs were made before.
        path: a CSV that `ncf sweep` wrote; no rows where there is none.
    """
    wanted = {
        "dataset": ML_1M,
        "model": "NeuMF",
        "num_factors": NUM_FACTORS,
        "hidden_layers": list(HIDDEN_LAYERS),
        "embedding_dim": None,
        "num_negatives": NUM_NEGATIVES,
        **{name: default_of(torch_ncf.fit, name) for name in ("batch_size", "learning_rate")},
    }
    runs = [run for run in (read_rows(path) if path.exists() else []) if fits(run, wanted)]
    return {
        "batch_size": wanted["batch_size"],
        "learning_rate": wanted["learning_rate"],
        "rows": [summary(run) for run in runs],
    }


def fits(run, wanted):
    """Whether a run's cells are the wanted values, and its model did not start pre-trained."""
    cells = {name: value(run.get(name)) for name in [*wanted, "pretrain", "loss", "optimizer"]}
    return (
        all(cells[name] == wanted[name] for name in wanted)
        and not cells["pretrain"]
        and cells["loss"] in (None, "log")
        and cells["optimizer"] in (None, "adam")
    )


def summary(run):
    """What counts of one run.

    The CSV has the seconds of all its epochs; those up to the picked one are their share, as
    epochs are alike.
    """
    epochs = len(value(run["test_hr_by_epoch"])) - 1  # its first entry is the untrained model
    picked = value(run["picked_epoch"])
    return {
        "framework": run["framework"],
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
