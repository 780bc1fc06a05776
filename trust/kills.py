"""Processes that are killed at a random moment of a download, a parse, a checkpoint or a row.

A process does its work, and is killed without a word (SIGKILL) somewhere between its beginning and
its end. What it left must be whole, and the same work done again must give the right result.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from ncf_utils.data import load_dataset
from ncf_utils.results import add_rows, read_records, read_rows, record, write_whole

from .archives import zipped
from .faults import TEXT, Trials, digest, files_in, load, published, require
from .server import Server

#: Larger than what is published in the trials of faults, so that a kill hits it half-way.
NOISE = np.random.default_rng(0).bytes(2_000_000)
LONG = "x" * 50_000


class Victim:
    """A process that does some work; `done` is what it has said, a line a piece of work."""

    def __init__(self, work):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1)
                os.dup2(quiet, 2)
                work(lambda line: os.write(writing, f"{line}\n".encode()))
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        self.reading = reading

    def kill(self, after):
        """Kill it, after some seconds; whether it had ended before, and what it has said."""
        time.sleep(after)
        os.kill(self.pid, signal.SIGKILL)
        return self._ended(), self._said()

    def wait(self):
        """Let it end by itself; what it has said."""
        self._ended()
        return self._said()

    def _ended(self):
        """Whether it came to its end; it must not have ended by an error."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code > 0:
            self._said()
            raise RuntimeError(f"the work ended by an error, with status {code}")
        return code == 0

    def _said(self):
        with open(self.reading, encoding="utf-8") as pipe:
            return pipe.read().splitlines()


def span(work):
    """Seconds that a work takes when nobody disturbs it."""
    start = time.perf_counter()
    Victim(work).wait()
    return time.perf_counter() - start


class Kills(Trials):
    """Trials of one kind of work, and how many kills came before its end."""

    def __init__(self, name, chance, **more):
        super().__init__(name, **more)
        self.chance, self.longest = chance, 0.0
        self.figures |= {"before the end": 0, "parts left": 0}

    def kill(self, work):
        """Kill a work once; returns what it said before."""
        ended, said = Victim(work).kill(self.chance.uniform(0, self.longest))
        self.figures["before the end"] += not ended
        self.longest *= 0.7 if ended else 1.05  # how long it takes changes with the machine's load
        return said

    def count_parts(self, folder):
        self.figures["parts left"] += sum("part" in name for name in files_in(folder))


def downloads(kills, number):
    archive = zipped({"ratings.dat": TEXT, "noise": NOISE}, inside="ml-1m/")
    with Server({"ml-1m.zip": archive}) as server:
        url = server.url("trickle")
        with published(archive):
            kills.longest = span(lambda _: load("ml-1m", url))
            right = digest(load("ml-1m"))
        for at in range(number):
            with kills.trial(at), published(archive) as cache:
                kills.kill(lambda _: load("ml-1m", url))
                whole = cache / "ml-1m" / "ml-1m.zip"
                require(not whole.exists() or whole.read_bytes() == archive, "half a file")
                require(digest(load("ml-1m", url)) == right, "a rerun gives something else")
                require(whole.read_bytes() == archive, "the rerun's file")
                kills.count_parts(cache)


def parses(kills, number):
    with published() as cache:
        folder = cache.parent / "ml-x"
        folder.mkdir()
        (folder / "ratings.dat").write_bytes(TEXT)

        def read(_=None):
            return digest(load_dataset(folder, num_candidates=5))

        kills.longest, right = span(read), read()
        for at in range(number):
            with kills.trial(at):
                _empty(folder, but="ratings.dat")
                kills.kill(read)
                require(read() == right, "a rerun gives something else")
                require(read() == right, "the cache gives something else")
                kills.count_parts(folder)


def _empty(folder, but):
    for path in folder.iterdir():
        if path.name != but:
            path.unlink()


def checkpoints(kills, number):
    """Models whose weights are all one number, saved over one another."""
    from ncf_utils import torch_ncf

    model = torch_ncf.GMF(300, 300, 64, seed=1)
    torch_ncf.set_weights(model, filled(torch_ncf.get_weights(model), 0))

    def save_all(say, start, path):
        for value in range(start, start + 20):
            torch_ncf.set_weights(model, filled(torch_ncf.get_weights(model), value))
            torch_ncf.save(model, path)
            say(value)

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "model.safetensors")
        kills.longest = span(lambda say: save_all(say, 0, path))
        for at in range(number):
            with kills.trial(at):
                start = 100 * (at + 1)
                said = kills.kill(lambda say: save_all(say, start, path))  # noqa: B023
                loaded = torch_ncf.get_weights(torch_ncf.load(path)).values()
                values = {float(value) for weight in loaded for value in np.unique(weight)}
                require(len(values) == 1, f"weights of {len(values)} checkpoints in one")
                require(not said or values.pop() >= float(said[-1]), "an older one came back")
                torch_ncf.save(model, path)
                kills.count_parts(Path(scratch))


def filled(weights, value):
    return {name: np.full_like(weight, value) for name, weight in weights.items()}


def rows(kills, number):
    """Rows added to a CSV, and the executed notebook of each before it, as a sweep writes them."""

    def write(say, start, folder):
        for seed in range(start, start + 10):
            write_whole(folder / f"{seed}.ipynb", LONG)
            add_rows(folder / "runs.csv", [{"seed": seed, "text": LONG}])
            say(seed)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "runs")
        kills.longest, written = span(lambda say: write(say, 0, folder)), set(range(10))
        for at in range(number):
            with kills.trial(at):
                start = 100 * (at + 1)
                if at % 10 == 0:  # a file of all rows would only be slower
                    _empty(folder, but="")
                    written = set()
                said = kills.kill(lambda say: write(say, start, folder))  # noqa: B023
                written |= set(map(int, said))
                found = read_rows(folder / "runs.csv") if (folder / "runs.csv").exists() else []
                seeds = [int(row["seed"]) for row in found]
                require(len(set(seeds)) == len(seeds), "a row stands there twice")
                require(written <= set(seeds), "a row is lost")
                require(len(set(seeds) - written) <= 1, "a row that nobody wrote")
                require(all(row["text"] == LONG for row in found), "half a row")
                for seed in set(seeds) - {-1}:
                    require((folder / f"{seed}.ipynb").read_text() == LONG, "half a notebook")
                written = set(seeds)
                add_rows(folder / "runs.csv", [{"seed": -1, "text": LONG}])
                written.add(-1)
                kills.count_parts(folder)


def records(kills, number):
    """Lines that `record` appends."""

    def write(say, start, path):
        os.environ["NCF_RECORD"] = str(path)
        for seed in range(start, start + 100):
            record({"seed": seed, "text": LONG}, test_hr=0.5)
            say(seed)

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "lines")
        span(lambda say: write(say, 0, path))  # modules are loaded
        kills.longest = span(lambda say: write(say, 0, path))
        for at in range(number):
            with kills.trial(at):
                path.unlink(missing_ok=True)
                said = kills.kill(lambda say: write(say, 0, path))
                with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
                    os.environ["NCF_RECORD"] = str(path)
                    record({"seed": -1, "text": LONG}, test_hr=0.5)
                    del os.environ["NCF_RECORD"]
                lines = path.read_text(encoding="utf-8").split("\n")
                try:
                    found = read_records(path)
                except ValueError as error:  # one line is half, is named, and can be deleted
                    number = int(re.search(r", line (\d+): expected a JSON object", str(error))[1])
                    require(LONG not in lines[number - 1], "a whole line was refused")
                    path.write_text("\n".join(lines[: number - 1] + lines[number:]))
                    found = read_records(path)
                    kills.figures["parts left"] += 1
                seeds = [row["seed"] for row in found]
                require(seeds == [*range(len(seeds) - 1), -1], "lines lost or double")
                require(len(said) <= len(seeds) - 1 <= len(said) + 1, "a line is lost")
                require(all(row["text"] == LONG for row in found), "half a line")


WORKS = {
    "downloads": downloads,
    "parses and their caches": parses,
    "checkpoints": checkpoints,
    "rows of results and their notebooks": rows,
    "lines that a notebook records": records,
}


def measure(kills=200, seed=0):
    figures = {}
    for at, (name, work) in enumerate(WORKS.items()):
        share = len(range(at, kills, len(WORKS)))
        trials = Kills(name, random.Random(f"{seed} {name}"))
        if share:
            work(trials, share)
        figures[name] = trials.figures
    text = """
A process is killed at a random moment, drawn from the time that its work takes undisturbed; *before
the end* is how often it had not ended by itself. *Caught*: what it left was whole (no half file, no
row or line lost, double or half, weights of one checkpoint only), and the work done again gave the
right result. *Parts left* are unfinished files that lay about after that (those of downloads and
caches go with the next one an hour later, the others are written over), and half lines, which are
named when the file is read, and can be deleted.
"""
    return figures, text
