"""Broken files for the readers, judged by a reader of their own.

An input is a small valid data set, spoiled at random: fields, bytes, lines, encodings. What it is
then worth is worked out by `trust.oracle`, which shares no code with the readers. A valid input
must be read right; another must be refused with a `DataError` that names the file, the line and
what was expected and found. Each input has a number, and is the same whenever it is made.
"""

from __future__ import annotations

import contextlib
import random
import re
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from ncf_utils import readers
from ncf_utils.errors import DataError
from ncf_utils.results import read_records, read_rows

from . import oracle

#: Seconds that one input may take.
LIMIT = 5
#: Bytes of address space that reading may take beyond what the process has.
ROOM = 2 * 10**9
KINDS = (
    *("ratings.csv", "ratings.dat", "u.data", "movies.csv", "movies.dat", "u.item"),
    *("items.csv", "the paper's files", "records of runs", "results of runs"),
)
RATINGS_OF = {"movies.csv": "ratings.csv", "movies.dat": "ratings.dat", "u.item": "u.data"}
SEPARATORS = {"ratings.csv": b",", "ratings.dat": b"::", "u.data": b"\t", "movies.dat": b"::"}
SEPARATORS |= {"movies.csv": b",", "u.item": b"|", "items.csv": b","}

HOSTILE = [  # what a field may be replaced by
    *(b"", b" ", b"  7", b"7  ", b"+7", b"-7", b"-0", b"+-7", b"007", b"7.0", b"7.", b".7", b"."),
    *(b"7e0", b"1e3", b"1E+2", b"1e", b"e1", b"1e999", b"-1e999", b"1e-999", b"1e400", b"nan"),
    *(b"NaN", b"inf", b"-Infinity", b"NA", b"N/A", b"null", b"None", b"True", b"false", b"0x10"),
    *(b"1_000", b"1,000", b"1 000", b"2147483647", b"2147483648", b"4294967297", b"9" * 19),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" * 400),
    *(b"9" * 5000, b"0" * 5000 + b"1", b"0." + b"3" * 5000, b"1e" + b"9" * 30, b"\x00", b"7\x00"),
    *(b"\x007", b'"7"', b"'7'", b'"', b'""', b'7"', b'"7', b'"a,b"', b'"a""b"', b'"a"b', b"\t7"),
    *(b"7\t", b"7\x0b", b"\x0c7", b"\x1c7", b"(7)", b"(1,2)", b"7;8", b"7|8", b"7::8", b"#7"),
    *("\u0667 \uff17 \u00b2 \u00bd \u2460 \ufeff7 7\u00a0 7\u2028 \u20071".encode().split()),
    *(b"\xff", b"7\xff", b"\xe9", b"\xc3", b"\xef\xbb\xbf7", b"=1+1", b"x" * 140_000, b"a\rb"),
]
INSERTED = [b"\x00", b"\r", b"\n", b'"', b"'", b"\xff", b"\xef\xbb\xbf", b" ", b"\t", b",", b"-"]
INSERTED += [b"\x1a", b"\x0c", b"\x85", "\u2028".encode(), b"(", b")", b":", b"|", b"e", b"."]


class InMemory(readers.Files):
    """Files that are nowhere but in memory, so that a trial costs what reading costs."""

    def __init__(self, files):
        self.path, self.members, self.files = Path("data"), None, files

    def has(self, name):
        return name in self.files

    def read(self, name):
        if name not in self.files:
            raise DataError(f"{self.label(name)}: expected this file, found none")
        return self.files[name]


# --- inputs --------------------------------------------------------------------------------------


def make(number, seed=0):
    """The input of that number: its kind, and {file name: content}."""
    chance = random.Random(f"{seed} {number}")
    kind = KINDS[number % len(KINDS)]
    files = valid(kind, chance)
    target = chance.choice([name for name in files if name != RATINGS_OF.get(kind)])
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        files[target] = chance.choice(SPOILERS)(files[target], kind, chance)
    if chance.random() < 0.3:
        files[target] = chance.choice(HARMLESS)(files[target])
    return kind, files


def valid(kind, chance):
    """A small data set as it should be."""
    if kind == "records of runs":
        rows = [f'{{"seed": {n}, "curve": [null, 0.5], "name": "a, b"}}' for n in range(3)]
        return {"rows.jsonl": _lines(*rows)}
    if kind == "results of runs":
        rows = [f'{n},"[null, 0.5]",{chance.choice(["a", "", _quoted("a, b")])}' for n in range(3)]
        return {"runs.csv": _lines("seed,curve,name", *rows)}
    if kind == "the paper's files":
        return _paper(chance)
    ratings = _ratings(chance, RATINGS_OF.get(kind, kind)) if kind != "items.csv" else {}
    if kind in RATINGS_OF.values():
        return ratings
    titles = ["Plain (1995)", "", "Café, or: a Tale", 'The "Quoted" One', "  Spaced ", "A::B", "7"]
    ids = chance.sample(range(1, 60), chance.randint(1, 6))
    rows = [(i, chance.choice(titles), chance.choice(["Drama", "Comedy|War", ""])) for i in ids]
    if kind == "u.item":
        flags = [
            [str(int(name in genres.split("|"))) for name in oracle.GENRES] for *_, genres in rows
        ]
        text = "".join(
            "|".join([str(i), title, "01-Jan-1995", "", "http://x", *flag]) + "\n"
            for (i, title, _), flag in zip(rows, flags, strict=True)
        )
        return ratings | {kind: text.encode("latin-1")}
    if kind == "movies.dat":
        text = "".join(f"{i}::{title}::{genres}\n" for i, title, genres in rows)
        return ratings | {kind: text.encode("latin-1")}
    lines = [f"{i},{_quoted(title)},{genres}" for i, title, genres in rows]
    if kind == "items.csv":
        return {kind: _lines(oracle.HEADERS[kind], *(f"{n},{r}" for n, r in enumerate(lines)))}
    return ratings | {kind: _lines(oracle.HEADERS[kind], *lines)}


def _ratings(chance, name):
    pairs = chance.sample([(u, i) for u in range(1, 8) for i in range(1, 8)], chance.randint(1, 14))
    far = chance.choice((1, 1, 1, 300_000_000))
    times = chance.choice(([100, 200, 300], [1260759144], [-5, 0.5, 2], [10**18, 10**18 + 1, 7]))
    values = chance.choice(([4], [1, 2, 3, 4, 5], [0.5, 3.5, 4]))
    rows = [(u * far, i, chance.choice(values), chance.choice(times)) for u, i in pairs]
    sep = SEPARATORS[name].decode()
    lines = [sep.join(map(str, row)) for row in rows]
    return {name: _lines(*([oracle.HEADERS[name]] if name == "ratings.csv" else []), *lines)}


def _paper(chance):
    num_users, num_items = chance.randint(1, 5), chance.randint(8, 12)
    train, test, negative = [], [], []
    for user in range(num_users):
        own = chance.sample(range(num_items), chance.randint(2, 4))
        rest = [item for item in range(num_items) if item not in own]
        train += [f"{user}\t{i}\t{chance.randint(1, 5)}\t{chance.randint(0, 9)}" for i in own[1:]]
        test.append(f"{user}\t{own[0]}\t3\t10")
        negative.append(f"({user},{own[0]})\t" + "\t".join(map(str, chance.sample(rest, 4))))
    files = {"train.rating": train, "test.rating": test, "test.negative": negative}
    return {f"toy.{name}": _lines(*rows) for name, rows in files.items()}


def _lines(*rows):
    return "".join(f"{row}\n" for row in rows).encode()


def _quoted(text):
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"') else text


def _field(content, kind, chance):
    """One field, of some line, becomes something else."""
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    sep = SEPARATORS.get(kind, b"\t" if kind == "the paper's files" else b",")
    fields = lines[at].split(sep)
    fields[chance.randrange(len(fields))] = chance.choice(HOSTILE)
    lines[at] = sep.join(fields)
    return b"\n".join(lines)


def _number_of_fields(content, kind, chance):
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    sep = SEPARATORS.get(kind, b"\t")
    fields = lines[at].split(sep)
    where = chance.randrange(len(fields))
    fields[where : where + chance.randint(0, 1)] = chance.choice(([], [b"7"], [b""], [b"7", b"8"]))
    lines[at] = sep.join(fields)
    return b"\n".join(lines)


def _byte(content, kind, chance):
    at = chance.randrange(len(content) + 1)
    new = chance.choice((b"", bytes([chance.randrange(256)]), chance.choice(INSERTED)))
    return content[:at] + new + content[at + chance.randint(0, 1) :]


def _bit(content, kind, chance):
    if not content:
        return content
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _cut(content, kind, chance):
    at = chance.randrange(len(content) + 1)
    return chance.choice((content[:at], content[at:], content[:at] + content[at + 20 :]))


def _line(content, kind, chance):
    """Lines go, come twice, change places, or lose what stands at their end."""
    lines = content.split(b"\n")
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    what = chance.randrange(6)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(other, lines[at])
    elif what == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] += (b" ", b"\t", SEPARATORS.get(kind, b"\t"))[what - 3]
    return b"\n".join(lines)


def _encoding(content, kind, chance):
    text = content.decode("utf-8", errors="replace")
    codec = chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp1252"))
    return text.encode(codec, errors="replace")


def _rubbish(content, kind, chance):
    size = chance.choice((0, 1, 7, 300))
    return chance.choice((chance.randbytes(size), b"\x00" * size, b"\n" * size, b"<html></html>"))


SPOILERS = [_field] * 6 + [_number_of_fields, _byte, _byte, _bit, _cut, _line, _line, _encoding]
SPOILERS += [_rubbish]
HARMLESS = [  # of a table; elsewhere the oracle says what they are worth
    lambda content: content.replace(b"\n", b"\r\n"),
    lambda content: content.replace(b"\n", b"\r"),
    lambda content: b"\xef\xbb\xbf" + content,
    lambda content: content.rstrip(b"\n"),
    lambda content: content + b"\n\r\n  \n",
    lambda content: content.replace(b"\n", b"\n\n", 1),
    lambda content: b"\n" + content,
]


# --- the judgement -------------------------------------------------------------------------------


def read(kind, files, number=0):
    """What the package reads, as the oracle would say it."""
    source = InMemory(files)
    if kind in RATINGS_OF.values():
        if number % 2:
            raw = readers.read_movielens(source)
            arrays = (raw.user_ids, raw.item_ids, raw.user, raw.item)
            return tuple(array.tolist() for array in arrays)
        return [column.tolist() for column in readers.read_ratings(source)]
    if kind in RATINGS_OF:
        return readers.read_movies(source)
    if kind == "items.csv":
        ids, movies = readers.read_items(source)
        return ids.tolist(), movies
    if kind == "the paper's files":
        raw = readers.read_paper(source, "toy")
        users, positives, negatives = raw.test
        return raw.user.tolist(), raw.item.tolist(), np.c_[users, positives, negatives].tolist()
    if kind == "records of runs":
        return _on_disk(read_records, "rows.jsonl", files)
    return _on_disk(read_rows, "runs.csv", files)


def _on_disk(reader, name, files):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(files[name])
        try:
            return reader(Path(folder, name))
        except ValueError as error:
            kind = DataError if isinstance(error, DataError) else ValueError
            raise kind(str(error).replace(folder, "data")) from error


def expected(kind, files, number=0):
    """The oracle's value and faults."""
    if kind in RATINGS_OF.values():
        columns, faults = oracle.ratings(kind, files)
        return (columns if faults or number % 2 == 0 else oracle.dense(columns)), faults
    if kind in RATINGS_OF:
        return oracle.movies(kind, files)
    if kind == "items.csv":
        return oracle.items(files)
    if kind == "the paper's files":
        return oracle.paper(files)
    if kind == "records of runs":
        return oracle.records("rows.jsonl", files["rows.jsonl"])
    return oracle.results("runs.csv", files["runs.csv"])


def judge(kind, files, number=0):
    """What becomes of an input: ("read" or "refused", ""), or ("lost", what went wrong)."""
    value, faults = expected(kind, files, number)
    try:
        with time_limit(LIMIT):
            found = read(kind, files, number)
    except TimeoutError:
        return "lost", f"not done after {LIMIT} s"
    except ValueError as error:
        if kind != "records of runs" and not isinstance(error, DataError):
            return "lost", f"crashed: {error!r}"[:300]
        if not faults:
            return "lost", f"a valid input was refused: {error}"[:300]
        return misplaced(str(error), faults)
    except Exception as error:  # whatever it is, it is not the reader's own
        return "lost", f"crashed: {error!r}"[:300]
    if faults:
        return "lost", f"accepted, in spite of {sorted(faults)[:3]}"
    return (
        ("read", "") if same(found, value) else ("lost", f"read as {found!r}, is {value!r}"[:600])
    )


def misplaced(message, faults):
    """Whether a message names a file, a line and a reason that are among the faults."""
    named = re.match(r"data/([^,:\n]+)(?:, line (\d+))?(?:, [\w ]+)?: expected [^\n]+$", message)
    if named is None or len(message) > 600:
        return "lost", f"a message that does not say what is wrong where: {message}"[:600]
    place = named[1], int(named[2] or 0)
    if place not in faults:
        return "lost", f"names {place}, not one of {sorted(faults)[:3]}: {message}"[:600]
    return "refused", ""


def same(found, value):
    """Whether two values agree; floats to the last digits but one or two."""
    if isinstance(found, (list, tuple)) and isinstance(value, (list, tuple)):
        return len(found) == len(value) and all(map(same, found, value))
    if isinstance(found, float) or isinstance(value, float):
        return abs(found - value) <= 1e-14 * abs(value)
    return found == value


@contextlib.contextmanager
def time_limit(seconds):
    """Raise TimeoutError where it takes longer; no limit where the system has no such timer."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def memory_limit(room):
    """Let the process take so many more bytes; no limit where the system has none."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def measure(inputs=100_000, seed=0):
    columns = ("tried", "read right", "caught", "lost")
    figures = {kind: dict.fromkeys(columns, 0) for kind in KINDS}
    slowest, examples = 0.0, Counter()
    with memory_limit(ROOM):
        for number in range(inputs):
            kind, files = make(number, seed)
            start = time.perf_counter()
            outcome, why = judge(kind, files, number)
            slowest = max(slowest, time.perf_counter() - start)
            column = {"read": "read right", "refused": "caught"}.get(outcome, outcome)
            figures[kind]["tried"] += 1
            figures[kind][column] += 1
            if outcome == "lost":
                examples[kind] += 1
                if examples[kind] <= 5:
                    print(f"\n{kind}, input {number} of seed {seed}: {why}", flush=True)
    text = f"""
Small valid files of every format, spoiled at random: hostile fields (empty, signed, huge,
floating, not a number, quoted, with NUL bytes, in other scripts), bits, bytes and lines that
change, vanish or come twice, other encodings, byte order marks, line ends, rubbish. A reader of its
own, which shares no code with the package, says what each is worth: *read right* are valid files
whose content came out as it says; *caught* are the others, refused by an error that names the file,
a line that is wrong, and what was expected there and found. *Lost* is any other error, more than
{LIMIT} s or {ROOM / 1e9:g} GB, a wrong content, a valid file refused or another accepted. The
slowest input took {slowest:.2f} s.
"""
    return figures, text
