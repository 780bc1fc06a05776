"""Servers, disks and folders that fail, and processes that want the same at once.

Each fault is tried on the real code, with a server on the loopback address, a small disk and
processes of their own; afterwards, without the fault, the same call must give the right data.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from ncf_utils import data, download
from ncf_utils.data import load_dataset
from ncf_utils.download import Remote
from ncf_utils.errors import DataError
from ncf_utils.results import add_rows, read_rows, write_whole

from .archives import zipped
from .server import SCENARIOS, Server

NOWHERE = "https://127.0.0.1:9/"  # the discard port: nothing listens there
PAIRS = [(user, 1 + (7 * user + step) % 60) for user in range(1, 31) for step in range(20)]
TEXT = "".join(f"{u}::{i}::{1 + i % 5}::{1000 * u + i}\n" for u, i in PAIRS).encode()
ARCHIVE = zipped({"ratings.dat": TEXT}, inside="ml-1m/")
COLUMNS = ("tried", "caught", "lost")
#: Seconds that a server may say nothing; fewer where that is what is tried.
PATIENCE, HASTE = 20, 0.5


class Trials:
    """Counts trials of one row of the page, and says what was lost."""

    def __init__(self, name, tell=print):
        self.name, self.tell, self.figures = name, tell, dict.fromkeys(COLUMNS, 0)
        self.lost = []

    @contextlib.contextmanager
    def trial(self, what):
        """One trial; what is raised in it is a loss."""
        self.figures["tried"] += 1
        try:
            yield
            self.figures["caught"] += 1
        except Exception as error:
            self.figures["lost"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.lost.append(f"{self.name}, {what}: {error!r} ({where.name}, line {where.lineno})")
            self.tell(f"\n{self.lost[-1]}", flush=True)


def require(condition, what):
    if not condition:
        raise AssertionError(what)


@contextlib.contextmanager
def published(archive=ARCHIVE, folder=None):
    """A small archive stands for MovieLens-1M; caches go to a folder that is returned."""
    before = download.REMOTES, data.SIZES, download.TIMEOUT, download.LARGEST, dict(os.environ)
    digest = "md5:" + hashlib.md5(archive, usedforsecurity=False).hexdigest()
    users, items = (len(set(column)) for column in zip(*PAIRS, strict=True))
    download.REMOTES = {"ml-1m": (Remote("ml-1m.zip", NOWHERE, digest),)}
    data.SIZES = {"ml-1m": (users, items, len(PAIRS))}
    download.TIMEOUT, download.LARGEST = PATIENCE, 10**7
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("NCF_DATA_DIR", "NCF_MIRRORS"):
            os.environ.pop(name, None)
        cache = folder or Path(scratch, "cache")
        os.environ |= {"NCF_CACHE_DIR": str(cache), "NO_PROXY": "127.0.0.1", "TQDM_DISABLE": "1"}
        try:
            yield cache
        finally:
            download.REMOTES, data.SIZES, download.TIMEOUT, download.LARGEST, environment = before
            os.environ.clear()
            os.environ.update(environment)


def load(name="ml-1m", *mirrors):
    return load_dataset(name, mirrors=mirrors, num_candidates=5)


def digest(dataset):
    """What a data set holds, in a few letters."""
    arrays = [dataset.train.user, dataset.train.item, dataset.test.item, dataset.test.negatives]
    arrays += [dataset.validation.item, dataset.user_ids, dataset.item_ids]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- servers -------------------------------------------------------------------------------------


def servers(trials, names=tuple(SCENARIOS)):
    """Each scenario alone, then before a mirror that works; and one that works the second time."""
    with Server({"ml-1m.zip": ARCHIVE}) as server:
        with published():
            right = digest(load("ml-1m", server.url("as-it-should-be")))
        for name in names:
            can_be_had = SCENARIOS[name][1]
            with trials.trial(name), published() as cache:
                start = time.monotonic()
                hurry = name.startswith(("silent", "drips"))
                download.TIMEOUT = HASTE if hurry else PATIENCE
                try:
                    found = digest(load("ml-1m", server.url(name)))
                    require(can_be_had, "what is wrong was accepted")
                    require(found == right, "something else was read")
                except DataError as error:
                    require(not can_be_had, f"was refused: {error}")
                    require(server.url(name) in str(error), f"does not name the address: {error}")
                    require(files_in(cache) == [], f"left {files_in(cache)}")
                require(time.monotonic() - start < PATIENCE, "took too long")
                download.TIMEOUT = PATIENCE
                require(digest(load("ml-1m", server.url("as-it-should-be"))) == right, "a rerun")
            with trials.trial(f"{name}, then another mirror"), published():
                both = server.url(name), server.url("as-it-should-be")
                download.TIMEOUT = 4 * HASTE if hurry else PATIENCE
                require(digest(load("ml-1m", *both)) == right, "something else was read")


# --- disks ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def full_disk(folder):
    """Let a folder hold about 100 kB; yields how: a file system of that size, or a limit on files.

    Only an administrator may mount a file system; the limit is for a file, and for this process.
    """
    import resource

    if os.geteuid() == 0 and sys.platform == "linux":
        command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode == 0:
            try:
                (folder / "filler").write_bytes(b"0" * 80_000)
                yield "file system"
            finally:
                subprocess.run(["umount", "-l", str(folder)], check=True)
            return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield "limit on files"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def disks(trials):
    """A disk that is full while something is written: the error says so, what was there stays."""
    big = zipped({"ratings.dat": TEXT, "noise": np.random.default_rng(0).bytes(200_000)}, "ml-1m/")
    how = ""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "disk")
        folder.mkdir()
        with Server({"ml-1m.zip": big}) as server, published(big) as elsewhere:
            url = server.url("as-it-should-be")
            right = digest(load("ml-1m", url))
            with trials.trial("a download"), full_disk(folder) as how:
                os.environ["NCF_CACHE_DIR"] = str(folder)
                try:
                    load("ml-1m", url)
                    raise AssertionError("a file larger than the disk was written")
                except DataError as error:
                    require("ml-1m.zip: cannot be written: " in str(error), str(error))
                require("ml-1m/ml-1m.zip" not in files_in(folder), "half a file")
                require(not any("part" in name for name in files_in(folder)), "a part is left")
            os.environ["NCF_CACHE_DIR"] = str(elsewhere)
            require(digest(load("ml-1m", url)) == right, "something else was read")
        with trials.trial("a cache of parsed files"), published(folder=folder), full_disk(folder):
            lines = "".join(f"{u}\t{i}\t1\t{i}\n" for u in range(9) for i in range(u, u + 600))
            data_folder = Path(scratch, "data")
            with _unlimited():
                data_folder.mkdir()
                (data_folder / "u.data").write_text(lines)
            data_folder.chmod(0o555)
            before = digest(load(data_folder))
            require(before == digest(load(data_folder)), "something else was read")
            require(not any("npz" in name for name in files_in(folder)), "half a cache")
        with trials.trial("rows of results"), full_disk(folder):
            add_rows(folder / "rows.csv", [{"seed": 0, "text": "x" * 9000}])
            with contextlib.suppress(OSError):
                for seed in range(1, 99):
                    add_rows(folder / "rows.csv", [{"seed": seed, "text": "x" * 9000}])
                raise AssertionError("a file larger than the disk was written")
            rows = read_rows(folder / "rows.csv")
            require([row["seed"] for row in rows] == [str(n) for n in range(len(rows))], "rows")
            require(0 < len(rows) < 99 and files_in(folder)[-1] != "rows.csv.part", "a part")
        with trials.trial("an executed notebook"), full_disk(folder):
            write_whole(folder / "a.ipynb", "before")
            with contextlib.suppress(OSError):
                write_whole(folder / "a.ipynb", "x" * 200_000)
                raise AssertionError("a file larger than the disk was written")
            require((folder / "a.ipynb").read_text() == "before", "what was there is gone")
        with trials.trial("a checkpoint"), full_disk(folder):
            from ncf_utils import torch_ncf

            small, large = (torch_ncf.GMF(size, size, 8, seed=1) for size in (9, 9000))
            torch_ncf.save(small, folder / "a.safetensors")
            try:
                torch_ncf.save(large, folder / "a.safetensors")
                raise AssertionError("a file larger than the disk was written")
            except OSError as error:
                require("a.safetensors cannot be written" in str(error), repr(error))
            require(torch_ncf.load(folder / "a.safetensors").config["num_users"] == 9, "was lost")
            require(not any(".part" in name for name in files_in(folder)), "a part is left")
    return how


@contextlib.contextmanager
def _unlimited():
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[1], limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# --- processes -----------------------------------------------------------------------------------


def forked(*works, user=None):
    """Do each work in a process of its own, all at once; returns what they return, as text.

    Args:
        works: functions.
        user: number of the user that they become; only an administrator can.
    """
    started = []
    for work in works:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                said = str(work())
            except BaseException as error:
                said = f"failed: {error!r}"
            os.write(writing, said.encode()[:60_000])
            os._exit(0)
        os.close(writing)
        started.append((pid, reading))
    said = []
    for pid, reading in started:
        with open(reading, encoding="utf-8") as pipe:
            said.append(pipe.read())
        os.waitpid(pid, 0)
    return said


def read_only(trials):
    """A data folder that may be read and not written, seen by a user who is no administrator."""
    user = 65_534 if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as scratch, published():
        folder, cache = Path(scratch, "ml-x"), Path(scratch, "cache")
        Path(scratch).chmod(0o755)
        folder.mkdir()
        (folder / "ratings.dat").write_bytes(TEXT)
        right = digest(load_dataset(folder, num_candidates=5))
        (folder / "ml-x.parsed.npz").unlink()
        folder.chmod(0o555)
        for what, mode in (("with a cache elsewhere", 0o777), ("with no cache at all", 0o555)):
            with trials.trial(f"read-only, {what}"):
                shutil.rmtree(cache, ignore_errors=True)
                cache.mkdir()
                cache.chmod(mode)
                os.environ["NCF_CACHE_DIR"] = str(cache)
                for _ in range(2):
                    said = forked(lambda: digest(load_dataset(folder, num_candidates=5)), user=user)
                    require(said == [right], said)
                require(files_in(folder) == ["ratings.dat"], "something was written")
                written = [name for name in files_in(cache) if name.endswith(".npz")]
                require(len(written) == (mode == 0o777), f"caches: {written}")
        with trials.trial("read-only, a download"), Server({"ml-1m.zip": ARCHIVE}) as server:
            import pooch  # noqa: F401  # here, for the other user may not be allowed to read it
            import requests  # noqa: F401

            url = server.url("as-it-should-be")
            (said,) = forked(lambda: load("ml-1m", url), user=user)
            require("DataError" in said and "cannot be written" in said, said)
        folder.chmod(0o755)
        with trials.trial("a file that may not be read"):
            (folder / "ratings.dat").chmod(0)
            (said,) = forked(lambda: load_dataset(folder), user=user)
            require("DataError" in said and "ratings.dat: cannot be read" in said, said)


def at_once(trials, rounds, together=4):
    """Processes that download, parse and write the same at the same time."""
    for number in range(rounds):
        with trials.trial(f"downloads at once, {number}"), published() as cache:
            with Server({"ml-1m.zip": ARCHIVE}) as server:
                url = server.url("slow")
                said = forked(*[lambda url=url: digest(load("ml-1m", url))] * together)
                require(said == [digest(load("ml-1m"))] * together, said)
                require(files_in(cache) == ["ml-1m/ml-1m.parsed.npz", "ml-1m/ml-1m.zip"], cache)
        with trials.trial(f"readers at once, {number}"), published() as cache:
            folder = cache.parent / "ml-x"
            folder.mkdir()
            (folder / "ratings.dat").write_bytes(TEXT)

            def read(folder=folder):
                return digest(load_dataset(folder, num_candidates=5))

            said = forked(*[read] * together)
            require(said == [read()] * together, said)
            require(files_in(folder) == ["ml-x.parsed.npz", "ratings.dat"], files_in(folder))
        with trials.trial(f"writers of rows at once, {number}"), published() as cache:
            table = cache.parent / "rows.csv"

            def write(who, table=table):
                return [add_rows(table, [{"seed": 100 * who + n}]) for n in range(10)][-1]

            forked(*[lambda who=who: write(who) for who in range(together)])
            seeds = sorted(int(row["seed"]) for row in read_rows(table))
            require(seeds == sorted(100 * w + n for w in range(together) for n in range(10)), seeds)


def measure(rounds=20):
    rows = {}
    for name in ("servers", "full disks", "read-only folders", "at once"):
        rows[name] = Trials(name)
    servers(rows["servers"])
    read_only(rows["read-only folders"])
    at_once(rows["at once"], rounds)
    how = disks(rows["full disks"])  # last: it runs a framework, and the others fork
    text = f"""
{len(SCENARIOS)} servers on the loopback address, from one that is slow to one that never ends, each
alone and before a mirror that works; a full disk (here by a {how}) under a download, a cache, rows
of results, an executed notebook and a checkpoint; folders that may not be written, as a user who is
no administrator; four processes that download, read or write the same at once. *Caught*: the data
came out right, or an error named the address or the file, nothing half was left, and the same call
without the fault gave the right data.
"""
    return {name: trials.figures for name, trials in rows.items()}, text
