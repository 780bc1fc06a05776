"""Training that is killed at a random moment

Two ranks of `python -m ncf_utils.distributed`, and a process that writes Keras checkpoints over one
another, are killed without a word (SIGKILL); then the same is done again.
"""

from __future__ import annotations

import json
import os
import random
import socket
import tempfile
import time
from pathlib import Path

import numpy as np

from .elsewhere import elsewhere
from .faults import files_in, require
from .kills import Kills, Victim, filled, span

PAIRS = [(user, 1 + (7 * user + step) % 150) for user in range(1, 41) for step in range(8)]
RATINGS = "".join(f"{u}::{i}::4::{1000 * u + i}\n" for u, i in PAIRS)
TRAINING = "--model NeuMF --items sharded --num-factors 4 --hidden-layers 8 4 --epochs 12".split()
TRAINING += "--batch-size 64 --num-negatives 1 --learning-rate 0.01 --seed 1".split()


def distributed_training(kills, number):
    """It ends with the weights of a run that nobody disturbs, and no epoch is made twice."""
    from safetensors.numpy import load_file

    import ncf_utils.distributed  # noqa: F401  # before it forks: a kill is to hit more than imports

    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "data")
        data.mkdir()
        (data / "ratings.dat").write_text(RATINGS)

        def whole(folder):
            start = time.perf_counter()
            for victim in _ranks(data, folder):
                victim.wait()
            return time.perf_counter() - start

        kills.longest = whole(Path(scratch, "undisturbed"))
        right = load_file(Path(scratch, "undisturbed", "model.safetensors"))
        for at in range(number):
            folder = Path(scratch, str(at))
            with kills.trial(at):
                first, second = _ranks(data, folder)
                ended, _ = first.kill(kills.chance.uniform(0, kills.longest))
                second.kill(0)
                kills.figures["before the end"] += not ended
                kept = _history(folder)
                whole(folder)
                found = load_file(folder / "model.safetensors")
                require(all(np.array_equal(found[name], right[name]) for name in right), "weights")
                require(_history(folder)[: len(kept)] == kept, "an epoch was made again")
                require(len(_history(folder)) == 13, "an epoch is missing")
                kills.figures["parts left"] += sum(".part" in name for name in files_in(folder))


def _ranks(data, folder):
    """Two processes of `python -m ncf_utils.distributed`, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def rank(number):
        from ncf_utils import distributed

        os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "MASTER_PORT": str(port)}
        os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        distributed.main(["--dataset", str(data), "--checkpoint", str(folder), *TRAINING])

    return [Victim(lambda _, number=number: rank(number)) for number in range(2)]


def _history(folder):
    """The rows of the epochs that a checkpoint holds, with the seconds that each took."""
    path = folder / "manifest.json"
    return json.loads(path.read_text())["history"] if path.exists() else []


def keras_checkpoints(kills, number):
    """Models whose weights are all one number: so they must be read, and not as an older one."""
    from ncf_utils import keras_ncf

    def save_all(say, start, path):
        model = keras_ncf.GMF(300, 300, 64, seed=1)
        for value in range(start, start + 20):
            keras_ncf.set_weights(model, filled(keras_ncf.get_weights(model), value))
            keras_ncf.save(model, path)
            say(value)

    def read(say, path):  # TensorFlow must not run in a process that forks
        weights = keras_ncf.get_weights(keras_ncf.load(path)).values()
        for value in {float(value) for weight in weights for value in np.unique(weight)}:
            say(value)

    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch, "model.keras"), Path(scratch)
        kills.longest = span(lambda say: save_all(say, 0, path))
        for at in range(number):
            with kills.trial(at):
                start = 100 * (at + 1)
                said = kills.kill(lambda say: save_all(say, start, path))  # noqa: B023
                values = Victim(lambda say: read(say, path)).wait()
                require(len(values) == 1, f"weights of {len(values)} checkpoints in one")
                require(not said or float(values[0]) >= float(said[-1]), "an older one came back")
                said = Victim(lambda say: save_all(say, start + 20, path)).wait()  # noqa: B023
                values = Victim(lambda say: read(say, path)).wait()
                require(float(values[0]) == start + 39 == float(said[-1]), "the rerun's weights")
                kills.figures["parts left"] += sum(".part" in name for name in files_in(folder))


WORKS = {"distributed training": distributed_training, "Keras checkpoints": keras_checkpoints}


def measure(kills=20, seed=0):
    figures = {}
    for at, name in enumerate(WORKS):
        share = len(range(at, kills, len(WORKS)))
        trials = Kills(name, random.Random(f"{seed} {name}"))
        figures[name] = elsewhere(_work, name, trials, share) if share else trials.figures
    text = """
*Before the end* is how often the work had not ended by itself. *Caught*: training goes on after the
last epoch that was kept, whose row stays as it was, and ends with the weights, bit for bit, of a
run that nobody disturbed; a checkpoint that is read is of one moment, and not an older one than was
said to be there. *Parts left* are unfinished files that lay about in the end.
"""
    return figures, text


def _work(name, trials, share):
    """The figures of trials: a copy of `trials` has made them."""
    WORKS[name](trials, share)
    return trials.figures
