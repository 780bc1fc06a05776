"""One model trained by one process, and by two under `torchrun` that talk over loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ncf_utils import torch_ncf

from .measuring import HIDDEN_LAYERS, NUM_FACTORS, default_of, neumf, rounded
from .memory import ROOT

RANKS = 2
KINDS = ("one process", "replicated", "sharded")  # how items are kept where there are ranks


def measure(setting):
    """The kinds in turns, once for each seed."""
    seeds, epochs = (1, 1) if setting.quick else (3, 5)
    dataset = setting.load()
    runs = {kind: [] for kind in KINDS}
    for seed in range(seeds):
        for kind in KINDS:
            train = by_one if kind == KINDS[0] else by_ranks
            runs[kind].append(summed_up(train(setting, kind, seed, epochs)))
    return {
        "ranks": RANKS,
        "epochs": epochs,
        "batch_size": default_of(torch_ncf.fit, "batch_size"),
        "users": len(dataset.test),
        "runs": runs,
    }


def summed_up(history):
    """What is kept of a history, a list of rows by epoch of which the first is before training."""
    trained = history[1:]
    return {
        "seconds": [rounded(row["seconds"]) for row in trained],
        "communication": [rounded(row.get("communication_seconds", 0.0)) for row in trained],
        "bytes_sent": trained[-1].get("bytes_sent", 0),
        "hr": trained[-1]["test_hr"],
    }


def by_one(setting, kind, seed, epochs):
    """`fit` in this process."""
    dataset = setting.load()
    model = neumf(torch_ncf, dataset, seed=seed)
    fit = torch_ncf.fit(model, dataset, epochs=epochs, seed=seed, progress=False)
    return fit.history.to_dict("records")


def by_ranks(setting, items, seed, epochs):
    """The same model and settings, by processes of their own."""
    batch_size = default_of(torch_ncf.fit, "batch_size")
    learning_rate = default_of(torch_ncf.fit, "learning_rate")
    with tempfile.TemporaryDirectory() as folder:
        command = f"""-m torch.distributed.run --standalone --nproc-per-node {RANKS}
            -m ncf_utils.distributed --items {items} --model NeuMF --num-factors {NUM_FACTORS}
            --hidden-layers {" ".join(map(str, HIDDEN_LAYERS))} --epochs {epochs} --seed {seed}
            --batch-size {batch_size} --learning-rate {learning_rate}"""
        command = [sys.executable, *command.split(), "--dataset", setting.dataset]
        done = subprocess.run(
            [*command, "--checkpoint", folder], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
        return json.loads((Path(folder) / "manifest.json").read_text())["history"]
