"""Downloads: verified, whole or not at all, from a mirror where one is named."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ncf_utils.cache import cache_folder
from ncf_utils.errors import DataError
from ncf_utils.files import part_of

GROUPLENS = "https://files.grouplens.org/datasets/movielens/"
PAPER = "https://raw.githubusercontent.com/hexiangnan/neural_collaborative_filtering/master/Data/"

TIMEOUT = 30  # seconds that a server may say nothing
SLOWEST = 10_000  # bytes a second, after a first minute: ml-1m may take 11 minutes
LONGEST = 6 * 3600  # seconds for one file, however it comes
LARGEST = 2**30  # bytes; the largest file that is published has a quarter
CHUNK = 1 << 14  # bytes


@dataclass(frozen=True)
class Remote:
    """A file to download: its name, where it is published, and how its content is known.

    Args:
        file: str, its name.
        base: str, the address of the folder that it is published in.
        digest: str, "md5:…", or "git:…" for a git blob id.
    """

    file: str
    base: str
    digest: str


def _archive(name, md5):
    return (Remote(f"{name}.zip", GROUPLENS, f"md5:{md5}"),)


def _paper(name, train, test, negative):
    ends = {"train.rating": train, "test.rating": test, "test.negative": negative}
    return tuple(Remote(f"{name}.{end}", PAPER, f"git:{blob}") for end, blob in ends.items())


# What each data set consists of. MD5s as GroupLens publishes them; the paper's files are known by
# the ids that git gives their content.
REMOTES = {
    "ml-100k": _archive("ml-100k", "0e33842e24a9c977be4e0107933c0723"),
    "ml-1m": _archive("ml-1m", "c4d9eecfca2ab87c1945afe126590906"),
    "ml-20m": _archive("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    "ml-25m": _archive("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    "ncf-ml-1m": _paper(
        "ml-1m",
        "31ba384fd58dac8fbd09d2dfc6616431f3563ab5",
        "1b79e03c96710c3b0c35deb19155ef74f7965a02",
        "c82844fb99d021f94751a6f915a230a1e8b8da92",
    ),
    "ncf-pinterest-20": _paper(
        "pinterest-20",
        "99813f8ed7486c36fa0f405e3f400db5d6fed0be",
        "87fdbd13bced61c51f2842e2a667e83b9b0084e3",
        "b752ccdc14df423b9484771440ff4a73e4a4a304",
    ),
}


def downloaded(name: str) -> Path | None:
    """Return the folder of a data set that was downloaded before, or None."""
    folder = cache_folder() / name
    there = all((folder / remote.file).is_file() for remote in REMOTES[name])
    return folder if there else None


def download(name: str, mirrors=()) -> Path:
    """Download a data set, unless it is there already, and return its folder.

    A file gets its name only when it is complete and its content is what was published, so whatever
    has that name can be trusted. Mirrors are tried in order, before the publisher's own address.
    A server is given up where it says nothing for `TIMEOUT` seconds, where it sends less than
    `SLOWEST` bytes a second once twice as long has passed, and where a file takes `LONGEST` seconds
    or has more than `LARGEST` bytes.

    Args:
        name: a key of REMOTES.
        mirrors: addresses of folders that hold the same files; NCF_MIRRORS may name more, with
            blanks or commas between them.

    Raises:
        DataError: no address gave the file, or it cannot be written; it says what to do by hand.
    """
    folder = cache_folder() / name
    mirrors = _mirrors(mirrors)
    for remote in REMOTES[name]:
        if not (folder / remote.file).is_file():
            _fetch(remote, [*mirrors, remote.base], folder, name)
    return folder


def git_blob_id(content: bytes) -> str:
    """Return the id that git gives a file of this content.

    >>> git_blob_id(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _mirrors(given):
    given = [given] if isinstance(given, (str, os.PathLike)) else list(given)
    named = re.split(r"[\s,]+", os.environ.get("NCF_MIRRORS", ""))
    mirrors = [str(m).strip() for m in [*given, *named] if str(m).strip()]
    for mirror in mirrors:
        if not mirror.startswith(("https://", "http://")):
            raise DataError(f"mirror {mirror!r}: expected an address that begins with https://")
    return mirrors


def _fetch(remote, bases, folder, name):
    """Download one file from the first address that gives it."""
    import requests

    failures = []
    part = part_of(folder / remote.file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for base in bases:
            url = f"{base.rstrip('/')}/{remote.file}"
            try:
                _get(url, part)
            except requests.RequestException as error:
                failures.append(f"{url}: {_reason(error)}")
                continue
            found = _digest(part, remote.digest)
            if found == remote.digest:
                os.replace(part, folder / remote.file)
                return
            failures.append(f"{url}: expected content of {remote.digest}, found {found}")
    except OSError as error:
        raise DataError(f"{folder / remote.file}: cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    raise DataError(
        f"{remote.file} could not be downloaded:\n  "
        + "\n  ".join(failures)
        + f"\nWithout a network, put it into a folder named {name} and let NCF_DATA_DIR (or "
        "data_dir) name the folder around that one; or name a mirror in NCF_MIRRORS."
    )


def _get(url, part):
    """Write what an address gives to a file, as long as it goes on and ends."""
    import requests
    from tqdm import tqdm

    with contextlib.closing(_received(url)) as received, open(part, "wb") as file:
        with tqdm(total=next(received), ncols=79, unit="B", unit_scale=True) as bar:
            for chunk in received:
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > LARGEST:
                    raise requests.RequestException(f"more than {LARGEST:,} bytes")


def _received(url):
    """Yield how many bytes an address says that it gives, or None, and then the bytes.

    A thread listens: a server that sends a byte now and then would keep this one waiting for ever.
    """
    import requests

    start, size, given_up, said = time.monotonic(), 0, threading.Event(), queue.Queue(64)
    threading.Thread(target=_listen, args=(url, given_up, said.put), daemon=True).start()
    try:
        while True:
            left = start + min(2 * TIMEOUT + size / SLOWEST, LONGEST) - time.monotonic()
            try:
                what, value = said.get(timeout=max(left, 0))
            except queue.Empty:
                took = f"{size:,} bytes after {time.monotonic() - start:.0f} s"
                what, value = "failure", requests.Timeout(f"too slow: {took}")
            if what == "end":
                return
            if what == "failure":
                raise value
            size += len(value) if what == "bytes" else 0
            yield value
    finally:
        given_up.set()
        while not said.empty():  # so that there is room for the thread's last word
            said.get()


def _listen(url, given_up, say):
    """Say what an address gives: ("size", number or None), ("bytes", …) again and again, and "end".

    The last may be ("failure", error) as well. It says nothing more once it is given up.
    """
    import requests

    try:
        with requests.get(url, stream=True, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            told = answer.headers.get("Content-Length", "")
            say(("size", int(told) if re.fullmatch("[0-9]{1,15}", told) else None))
            for chunk in answer.iter_content(CHUNK):
                say(("bytes", chunk))
                if given_up.is_set():
                    return
        say(("end", None))
    except Exception as error:
        say(("failure", error))


def _reason(error):
    """Return a request's failure in a few words: its status, or what began the chain of errors."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    first = error
    while first.__context__ is not None:
        first = first.__context__
    return f"{type(error).__name__}: {first}"


def _digest(path, like):
    """Return the digest of a file, of the same kind as `like`."""
    if like.startswith("git:"):
        return f"git:{git_blob_id(path.read_bytes())}"
    import pooch

    return f"md5:{pooch.file_hash(str(path), alg='md5')}"
