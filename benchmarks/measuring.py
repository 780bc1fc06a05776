"""What every case shares: sides that take turns, the data they run on, and the machine."""

from __future__ import annotations

import datetime
import inspect
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from ncf_utils import Interactions, load_dataset

ML_1M, EMBEDDED = "ncf-ml-1m", "ml-latest-small"
NUM_NEGATIVES = 4
NUM_FACTORS, HIDDEN_LAYERS = 8, (32, 16, 8)
EMBEDDING_DIMS = (16, 32)  # the paper's tower, and the wider tables of the authors' code
PACKAGES = ("numpy", "scipy", "torch", "tensorflow", "tensorflow-cpu", "keras", "implicit")


@dataclass(frozen=True)
class Side:
    """One of those that take turns.

    Args:
        name: what its seconds are kept under.
        run: does the work once and returns the seconds that count; see `stopwatch`.
        share: the part of the whole work that `run` does; its seconds are divided by it.
    """

    name: str
    run: Callable[[], float]
    share: float = 1.0


def stopwatch(work, *arguments):
    """A function that calls `work(*arguments)` and returns how many seconds that took."""

    def run():
        start = time.perf_counter()
        work(*arguments)
        return time.perf_counter() - start

    return run


def take_turns(sides, rounds, warm_up=True):
    """Time the sides in turn, so that a busy moment of the machine hits them all.

    Args:
        sides: the sides, with names that differ.
        rounds: how often each runs and counts.
        warm_up: each runs once before the first round, uncounted: memory, caches and compiled code
            are then as they are from the second epoch on.

    Returns:
        Name -> {"seconds": one number a round, for the whole work, "share": the side's}.
    """
    if warm_up:
        for side in sides:
            side.run()
    seconds = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            seconds[side.name].append(rounded(side.run() / side.share))
    return {s.name: {"seconds": seconds[s.name], "share": rounded(s.share)} for s in sides}


def rounded(number, digits=4):
    """A number to some significant digits: more would only be noise."""
    return float(f"{number:.{digits}g}")


@dataclass(frozen=True)
class Setting:
    """What to measure on, and how thoroughly.

    Args:
        dataset: name of the data set.
        quick: once each and on little, to see that everything works; the numbers mean nothing.
    """

    dataset: str
    quick: bool = False

    def take_turns(self, sides, slow=False):
        """`take_turns`, five rounds, three where a round is slow."""
        return take_turns(sides, 1 if self.quick else 3 if slow else 5, warm_up=not self.quick)

    @property
    def embedding_dims(self):
        return EMBEDDING_DIMS[:1] if self.quick else EMBEDDING_DIMS

    def about(self, amount):
        """So many positives, users, ... of the work; a twentieth where it is to be quick."""
        return max(1, amount // 20) if self.quick else amount

    def load(self):
        """The data set; parsed once a process."""
        return _load(self.dataset)


@cache
def _load(name):
    return load_dataset(name, download=False)


def default_setting(quick=False):
    """MovieLens-1M in the paper's split where NCF_DATA_DIR has it, else the embedded data set."""
    folder = os.environ.get("NCF_DATA_DIR")
    real = folder and (Path(folder) / ML_1M).is_dir() and not quick
    return Setting(ML_1M if real else EMBEDDED, quick)


def some_positives(dataset, amount):
    """The data set with `amount` random positives to train on, and nothing to validate on.

    Users and items stay, so that tables and optimiser are as large as in a whole epoch.

    Returns:
        The data set, and the share of the positives that it has.
    """
    train = dataset.train
    if amount >= len(train):
        return replace(dataset, validation=None), 1.0
    kept = np.sort(np.random.default_rng(0).choice(len(train), amount, replace=False))
    part = Interactions.from_pairs(
        train.user[kept], train.item[kept], train.num_users, train.num_items
    )
    return replace(dataset, train=part, validation=None), amount / len(train)


def default_of(function, name):
    """The default value of a function's argument."""
    return inspect.signature(function).parameters[name].default


def neumf(framework, dataset, embedding_dim=EMBEDDING_DIMS[0], **options):
    """The benchmarks' model: NeuMF with 8 factors and hidden layers 32-16-8."""
    sizes = dataset.num_users, dataset.num_items, NUM_FACTORS, HIDDEN_LAYERS, embedding_dim
    return framework.NeuMF(*sizes, **options)


def machine():
    """What the numbers depend on: processor, cores, memory and versions."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        memory = None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES if _version(name)},
    }


def _processor():
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    fields = dict(re.findall(r"^(.+?)\s*:\s*(.+)$", told.split("\n\n")[0], re.MULTILINE))
    name = fields.get("model name", platform.processor())
    numbers = [f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields]
    return ", ".join([name, *numbers])


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load_average():
    """Processes that ran or waited in the last minute, on average; None where that is not known."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def today():
    """The date, as YYYY-MM-DD."""
    return datetime.date.today().isoformat()
