"""Archives and caches that are broken, or made to break something.

What a download or a learner brings is a zip archive, read in place and never unpacked. What was
parsed is kept as arrays in a zip archive of another kind, which must never be trusted further than
it can be checked.
"""

from __future__ import annotations

import io
import random
import struct
import tempfile
import time
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from ncf_utils import readers
from ncf_utils.cache import cached
from ncf_utils.errors import DataError

from .fuzz import memory_limit, time_limit

#: Seconds and bytes of memory that one archive may take.
LIMIT, ROOM = 10, 25 * 10**7
RATINGS = b"userId,movieId,rating,timestamp\n" + b"".join(
    b"%d,%d,%d,%d\n" % (user, item, 1 + item % 5, 100 * item)
    for user in range(1, 5)
    for item in range(user, user + 9)
)
MOVIES = b"movieId,title,genres\n" + b"".join(b"%d,Film %d,Drama\n" % (i, i) for i in range(1, 13))
DATA = {"ratings.csv": RATINGS, "movies.csv": MOVIES}


def zipped(files, inside="ml-x/", **options):
    """The bytes of an archive of {name: content}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(inside + name, content)
    return out.getvalue()


# --- archives made to break something ------------------------------------------------------------


@cache
def crafted():
    """Name -> (content, whether it is to be read: otherwise it must be refused)."""
    good = zipped(DATA)
    link = zipfile.ZipInfo("ml-x/ratings.csv")
    link.external_attr = 0o120777 << 16
    symlink, twice, bomb = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(symlink, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("ml-x/ratings.csv", RATINGS)
        archive.writestr("ml-x/ratings.cs2", RATINGS.replace(b"1,1,", b"9,9,"))
    many = {f"{number}": b"" for number in range(20_000)}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("ml-x/ratings.csv", "w") as member:
            member.write(RATINGS)
            for _ in range(ROOM // 10**6 + 1):
                member.write(b"0" * 10**6)
    bomb = bomb.getvalue()
    folders = {f"{folder}/{name}": content for folder in "ab" for name, content in DATA.items()}
    shares = (0.1, 0.5, 0.9, 0.99)
    return {
        "as it should be": (good, True),
        "without a folder": (zipped(DATA, inside=""), True),
        "with a name that climbs out beside the data": (zipped(DATA | {"../../../x": b"x"}), True),
        "with an absolute name beside the data": (zipped(DATA | {"/../x": b"x"}, "/x/"), False),
        "data under a name that climbs out": (zipped(DATA, inside="../"), False),
        "data under an absolute name": (zipped(DATA, inside="/"), False),
        "data under a name with backslashes": (zipped(DATA, inside="..\\..\\"), False),
        "a symbolic link in place of the data": (symlink.getvalue(), False),
        "a bomb that says its size": (bomb, False),
        "a bomb that says another size": (_central(bomb, sizes=(len(RATINGS), None)), False),
        "a bomb of an archive in the archive": (zipped({"ml-x.zip": bomb}), False),
        "a bomb beside the data": (zipped(DATA | {"x": b"0" * 10**7}), True),
        "20,000 members beside the data": (zipped(many | DATA), True),
        "a size of 2 ** 60": (_central(good, sizes=(2**32 - 1, 2**32 - 1)), False),
        "two folders down": (zipped(DATA, inside="a/b/"), False),
        "two folders with data": (zipped(folders, inside=""), False),
        "a member that comes twice": (twice.getvalue().replace(b"cs2", b"csv"), False),
        "encrypted": (_central(good, flags=1), False),
        "compressed in an unknown way": (_central(good, method=77), False),
        "a wrong checksum": (_central(good, checksum=1), False),
        "no member at all": (zipped({}), False),
        "no data": (zipped({"README": b"x"}), False),
        "rubbish before the archive": (b"#!/bin/sh\n" * 9 + good, True),
        "rubbish after the archive": (good + b"\0" * 70_000, False),
        "a page of the web": (b"<html>please log in</html>", False),
        "empty": (b"", False),
        **{f"cut after {part:.0%}": (good[: int(len(good) * part)], False) for part in shares},
    }


def _central(content, *, flags=None, method=None, checksum=None, sizes=(None, None)):
    """An archive whose first member is described otherwise, in its directory and beside it."""
    content = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        local = archive.infolist()[0].header_offset
        central = archive.start_dir
    for start, shift in ((local, 0), (central, 2)):
        for at, form, value in (
            (6, "<H", flags),
            (8, "<H", method),
            (14, "<L", checksum),
            (18, "<L", sizes[1]),
            (22, "<L", sizes[0]),
        ):
            if value is not None:
                struct.pack_into(form, content, start + shift + at, value)
    return bytes(content)


def try_crafted():
    """Columns of the page's row, and what was lost."""
    row, lost = dict.fromkeys(("tried", "read right", "caught", "lost"), 0), []
    for name, (content, readable) in crafted().items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "deep", "data", "ml-x.zip")
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            outcome, why = _judge(path, readable)
            left = {p for p in Path(folder).rglob("*") if p.is_file()} - {path}
        if left:
            outcome, why = "lost", f"left {sorted(left)}"
        row["tried"] += 1
        row[outcome] += 1
        lost += [f"{name}: {why}"] * (outcome == "lost")
    return row, lost


def _judge(path, readable):
    """What became of an archive; `readable`: whether it must be read, None where it may be."""
    try:
        with time_limit(LIMIT), memory_limit(ROOM):
            files = readers.Files(path)
            found = readers.read_ratings(files), readers.read_movies(files)
    except DataError as error:
        if not str(error).startswith(str(path)) or "\n" in str(error):
            return "lost", f"a message that does not say what is wrong where: {error}"
        return ("lost", f"was refused: {error}") if readable else ("caught", "")
    except (Exception, MemoryError) as error:
        return "lost", f"crashed: {error!r}"
    rows = np.array(found[0], np.int64).T
    if not np.array_equal(rows, EXPECTED) or (found[1] and found[1] != TITLES):
        return "lost", "something else was read"
    return ("read right", "") if readable is not False else ("lost", "was accepted")


EXPECTED = np.array([line.split(b",") for line in RATINGS.splitlines()[1:]], np.int64)
TITLES = {number: (f"Film {number}", "Drama") for number in range(1, 13)}


# --- bytes that have changed ---------------------------------------------------------------------


def spoiled(content, chance):
    """A content with some bytes changed, inserted or gone."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at, what = chance.randrange(len(content) or 1), chance.randrange(5)
        if what < 3 and content:
            content[at] = chance.choice((chance.randrange(256), 0, 255, content[at] ^ 1))
        elif what == 3:
            content[at:at] = chance.randbytes(chance.choice((1, 4, 100)))
        else:
            del content[at : at + chance.choice((1, 4, 100, len(content)))]
    return bytes(content)


def try_spoiled(number, seed):
    """Archives with changed bytes: the row, and what was lost."""
    row, lost = dict.fromkeys(("tried", "read right", "caught", "lost"), 0), []
    good = zipped(DATA)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ml-x.zip")
        for at in range(number):
            path.write_bytes(spoiled(good, random.Random(f"{seed} {at}")))
            outcome, why = _judge(path, None)
            row["tried"] += 1
            row[outcome] += 1
            lost += [f"changed bytes {at}: {why}"] * (outcome == "lost")
    return row, lost


def try_caches(number, seed):
    """Caches with changed bytes: read right where nothing of it was used but what is right."""
    row, lost = dict.fromkeys(("tried", "read right", "caught", "lost"), 0), []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "ratings.csv")
        source.write_bytes(RATINGS)
        parsed = []

        def parse():
            parsed.append(True)
            return readers.read_movielens(readers.Files(source.parent))

        def load():
            raw = cached(parse, [source], "ml-x", source.parent)
            return [raw.user, raw.item, raw.user_ids, raw.item_ids]

        right = load()
        cache = source.parent / "ml-x.parsed.npz"
        good = cache.read_bytes()
        for at in range(number):
            cache.write_bytes(spoiled(good, random.Random(f"{seed} {at}")))
            parsed.clear()
            try:
                with time_limit(LIMIT), memory_limit(ROOM):
                    found = load()
                ok = all(map(np.array_equal, found, right))
                outcome, why = ("lost", "read as something else") if not ok else ("", "")
            except (Exception, MemoryError) as error:
                outcome, why = "lost", f"crashed: {error!r}"
            outcome = outcome or ("caught" if parsed else "read right")
            row["tried"] += 1
            row[outcome] += 1
            lost += [f"cache {at}: {why}"] * (outcome == "lost")
    return row, lost


def measure(inputs=10_000, seed=0):
    start = time.perf_counter()
    figures, lost = {}, []
    for name, trial in {
        "archives made to break something": try_crafted,
        "archives with changed bytes": lambda: try_spoiled(inputs, seed),
        "caches with changed bytes": lambda: try_caches(inputs, seed),
    }.items():
        figures[name], more = trial()
        lost += more
    for line in lost[:20]:
        print(f"\n{line}", flush=True)
    text = f"""
Archives that climb out of their folder, link, swell, nest, lie about their sizes, come twice, are
encrypted, cut or none at all; and good archives and caches some of whose bytes were changed,
inserted or taken out. *Read right*: what matters was whole, and nothing was written anywhere.
*Caught*: refused with the name of the archive, or, where it was a cache, parsed anew. An archive
may take {LIMIT} s and {ROOM / 1e9:g} GB; all of them together took
{time.perf_counter() - start:.0f} s.
"""
    return figures, text
