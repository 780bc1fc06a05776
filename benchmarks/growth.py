"""What an interaction costs as the data grow, from 100 thousand to 32 million of them.

Each size lives in a process of its own (`python -m benchmarks.growth SIZE`), which does one thing
for each word that it is sent; so the sizes take turns, and each has a peak memory of its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

from ncf_utils import NegativeSampler, evaluate, load_dataset

from .measuring import NUM_NEGATIVES, Side, default_of, neumf, rounded, some_positives, stopwatch
from .memory import ROOT, peak_memory


@dataclass(frozen=True)
class Size:
    """A synthetic data set, with about as many users and items as the MovieLens of that size.

    Args:
        part: positives to train on, where an epoch of all of them would take too long.
    """

    num_users: int
    num_items: int
    num_interactions: int
    part: int


SIZES = (
    Size(1_000, 1_700, 100_000, 100_000),
    Size(6_000, 3_700, 1_000_000, 1_000_000),
    Size(70_000, 10_700, 10_000_000, 1_000_000),
    Size(200_000, 87_000, 32_000_000, 1_000_000),
)
QUICK_SIZES = (Size(100, 400, 3_000, 3_000), Size(300, 800, 10_000, 3_000))
REFERENCE = 1_000_000  # interactions that the default batch size was chosen for
WORK = ("sampling", "training", "evaluation")


class Worker:
    """One size's data, sampler and model; each method does one thing once, and says for how long.

    Up to a million interactions a batch is what `fit` takes by default. From there on it grows with
    the data, so that an epoch has as many steps at any size: Adam moves every row of every table in
    each step, whether the batch has it or not. With batches of one size, both the steps of an epoch
    and the cost of each would grow with the data.
    """

    def __init__(self, size):
        from ncf_utils import torch_ncf

        self.dataset = load_dataset(
            "synthetic",
            num_users=size.num_users,
            num_items=size.num_items,
            num_interactions=size.num_interactions,
        )
        self.sampler = NegativeSampler(self.dataset.train, NUM_NEGATIVES, seed=0)
        self.part, self.share = some_positives(self.dataset, size.part)
        self.part_sampler = NegativeSampler(self.part.train, NUM_NEGATIVES, seed=0)
        default = default_of(torch_ncf.fit, "batch_size")
        self.batch_size = round(default * max(1, size.num_interactions / REFERENCE))
        self.model, self.fit = neumf(torch_ncf, self.dataset), torch_ncf.fit
        self.score = torch_ncf.score_function(self.model)
        self.peak = {"loaded": peak_memory()}

    def facts(self):
        train = self.dataset.train
        return {
            "interactions": len(train),
            "users": train.num_users,
            "items": train.num_items,
            "evaluated": len(self.dataset.test),
            "batch_size": self.batch_size,
            "steps": round(len(train) * (1 + NUM_NEGATIVES) / self.batch_size),
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "share": rounded(self.share),
        }

    def sampling(self):
        return self._seconds("sampling", self.sampler.epoch_groups)

    def training(self):
        """Seconds of the steps alone: what sampling took, measured again, is taken off."""
        options = {"evaluate_test": False, "progress": False, "device": "cpu"}
        fit = self.fit(self.model, self.part, epochs=1, batch_size=self.batch_size, **options)
        return fit.seconds - self._seconds("training", self.part_sampler.epoch_groups)

    def evaluation(self):
        return self._seconds("evaluation", lambda: evaluate(self.score, self.dataset))

    def _seconds(self, name, work):
        seconds = stopwatch(work)()
        self.peak[name] = peak_memory()
        return seconds


def serve(index, quick):
    """The process of one size: a word comes in, a line of JSON goes out."""
    worker = Worker((QUICK_SIZES if quick else SIZES)[index])
    for word in sys.stdin:
        answer = getattr(worker, word.strip())
        print(json.dumps(answer() if callable(answer) else answer), flush=True)


class Process:
    """A fresh process that serves one size."""

    def __init__(self, index, quick):
        self.command = [sys.executable, "-m", "benchmarks.growth", str(index), str(int(quick))]
        self.running = subprocess.Popen(
            self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, word):
        with contextlib.suppress(BrokenPipeError):
            print(word, file=self.running.stdin, flush=True)
        line = self.running.stdout.readline()
        if not line:  # out of memory, most likely
            status = self.running.wait()
            raise RuntimeError(f"{' '.join(self.command[1:])} ended with {status} at {word!r}")
        return json.loads(line)

    def end(self):
        self.running.kill()
        with contextlib.suppress(BrokenPipeError), self.running:  # closes its pipes
            pass


def measure(setting):
    sizes = range(len(QUICK_SIZES if setting.quick else SIZES))
    processes = [Process(index, setting.quick) for index in sizes]
    try:
        facts = [process.ask("facts") for process in processes]  # when all have their data
        sides = [
            Side(f"{work} {index}", partial(process.ask, work), share)
            for work in WORK
            for index, process in enumerate(processes)
            for share in [facts[index]["share"] if work == "training" else 1.0]
        ]
        turns = setting.take_turns(sides, slow=True)
        rows = [
            facts[index]
            | {"sides": {work: turns[f"{work} {index}"] for work in WORK}}
            | {"peak": process.ask("peak")}
            for index, process in enumerate(processes)
        ]
    finally:
        for process in processes:
            process.end()
    return {"rows": rows}


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2] == "1")
