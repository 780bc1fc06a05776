"""Readers of the text formats: MovieLens archives and the files of the NCF paper.

Each file is parsed by pandas at full speed first. Only where that result is not exactly what the
format allows is the file read again, line by line, to say which line is wrong and why.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ncf_utils.errors import DataError
from ncf_utils.split import time_order

if TYPE_CHECKING:
    import pandas

LARGEST = 2**31 - 1  # indices are int32 throughout
# A member of an archive that is larger and was compressed more than that is no text, but a bomb.
SMALL, DENSE = 2**24, 100

COLUMNS = ("user", "item", "rating", "timestamp")
PAPER = (".train.rating", ".test.rating", ".test.negative")  # after the prefix of the data set
ITEMS_HEADER = ["item", "movie_id", "title", "genres"]

RATINGS = ("ratings.csv", "ratings.dat", "u.data")  # GroupLens' three layouts
MOVIES = {"ratings.csv": "movies.csv", "ratings.dat": "movies.dat", "u.data": "u.item"}
CSV_HEADER = "userId,movieId,rating,timestamp"
GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
).split("|")


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source holds, before validation items are taken out of it.

    Args:
        user: int32 (n,), indices, never falling.
        item: int32 (n,), indices, in time within a user.
        num_users: int.
        num_items: int.
        test: (user, item, negatives) where the source brings its own split, by user.
        user_ids: int64 (num_users,) or None.
        item_ids: int64 (num_items,) or None.
        notes: what a reader of the data should know.
    """

    user: np.ndarray
    item: np.ndarray
    num_users: int
    num_items: int
    test: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Files:
    """The files of a folder, or of a zip archive that is read in place and never unpacked."""

    def __init__(self, path):
        self.path = Path(path)
        self.members = None
        if self.path.is_dir():
            return
        try:
            with zipfile.ZipFile(self.path) as archive:
                found = [info for info in archive.infolist() if not info.is_dir()]
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error}") from error
        except Exception as error:  # a damaged archive ends in errors of zipfile, struct, codecs …
            raise DataError(f"{self.path}: expected a whole zip archive, found: {error}") from error
        # A data set's files lie at the top of its archive or, if not there, one folder down.
        self.members = {}
        for info in sorted(found, key=lambda info: "/" in info.filename):
            folder, slash, name = info.filename.rpartition("/")
            if slash and (folder in ("", "..") or "/" in folder):
                continue
            same = self.members.setdefault(name, [])
            if not same or bool(slash) == ("/" in same[0].filename):
                same.append(info)

    def has(self, name) -> bool:
        return (self.path / name).is_file() if self.members is None else name in self.members

    def prefixes(self) -> list[str]:
        """Return the prefixes of the data sets in the paper's format."""
        names = [p.name for p in self.path.iterdir()] if self.members is None else self.members
        return sorted(n.removesuffix(PAPER[0]) for n in names if n.endswith(PAPER[0]))

    def label(self, name) -> str:
        """Return how error messages call a file."""
        return str(self.path / name) if self.members is None else f"{self.path}/{name}"

    def source(self, name) -> Path:
        """Return the file on disk that changes whenever `name` changes.

        Raises:
            DataError: it is not there.
        """
        if not self.has(name):
            raise DataError(f"{self.label(name)}: expected this file, found none")
        return self.path / name if self.members is None else self.path

    def read(self, name) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: it is not there, or cannot be read.
        """
        self.source(name)
        info = None if self.members is None else self._member(name)
        try:
            if info is None:
                return (self.path / name).read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(info)
        except OSError as error:
            raise DataError(f"{self.label(name)}: cannot be read: {error}") from error
        except Exception as error:  # a damaged archive ends in errors of zipfile, zlib, struct …
            raise DataError(
                f"{self.label(name)}: expected a whole member of a zip archive, found: {error}"
            ) from error

    def _member(self, name):
        """Return what an archive says of a member; refuse what is no text of a data set."""
        info, *others = self.members[name]
        if others:
            raise DataError(
                f"{self.label(name)}: expected one file of this name, found "
                f"{_shown(info.filename)} and {_shown(others[0].filename)}"
            )
        if info.file_size > SMALL and info.file_size > DENSE * info.compress_size:
            raise DataError(
                f"{self.label(name)}: expected text, found {info.compress_size:,} bytes that "
                f"would be {info.file_size:,}"
            )
        return info


# --- tables of numbers ---------------------------------------------------------------------------


def parse_table(content: bytes, label: str, names, sep: str, skip=0) -> list[np.ndarray]:
    """Parse lines of numbers.

    Args:
        content: the file's bytes; CRLF, a byte order mark and blank lines are allowed.
        label: how error messages call the file.
        names: the columns, which each line must have; "user" and "item" are whole numbers from 0.
        sep: what is between the fields.
        skip: lines to leave out at the top.

    Returns:
        arrays (n,), one a column: int64 for users and items, int64 or float64 for the others.

    Raises:
        DataError: names the file, the line and what was expected there.

    >>> parse_table(b"0 5 3.5\\n1 7 4\\n", "text", ("user", "item", "rating"), " ")[2].tolist()
    [3.5, 4.0]
    >>> parse_table(b"0 5 3.5\\n1 seven 4\\n", "text", ("user", "item", "rating"), " ")
    Traceback (most recent call last):
    ncf_utils.errors.DataError: text, line 2, item: expected a whole number from 0, found 'seven'
    """
    columns = _parse_fast(content, names, sep, skip)
    if columns is None:
        columns = _parse_slowly(content, label, names, sep, skip)
    if not len(columns[0]):
        raise DataError(f"{label}: expected lines of {_described(names, sep)}, found none")
    return columns


def _parse_fast(content, names, sep, skip):
    """Return the columns, or None where anything at all is unusual."""
    import pandas as pd

    if len(sep) > 1:  # pandas is quick with one character only
        content, sep = content.replace(sep.encode(), b"\t"), "\t"
    if b"\0" in content:  # some versions of pandas pass over it
        return None
    first = next(numbered_lines(content, skip), None)
    if first is None or first[1].count(sep) != len(names) - 1:  # pandas would make it an index
        return None
    try:
        frame = pd.read_csv(
            io.BytesIO(content),
            sep=sep,
            header=None,
            names=range(len(names)),
            skiprows=skip,
            index_col=False,
            quoting=csv.QUOTE_NONE,
            low_memory=False,
        )
    except (ValueError, OverflowError):  # pandas' ParserError is a ValueError
        return None
    columns = [frame[i].to_numpy() for i in range(len(names))]
    usual = all(_is_usual(name, column) for name, column in zip(names, columns, strict=True))
    return columns if usual else None


def _is_usual(name, column):
    """Say whether pandas, which was not told what to expect, found what we do."""
    if name in ("user", "item"):
        return column.dtype == np.int64 and column.min() >= 0 and column.max() <= LARGEST
    return column.dtype in (np.int64, np.float64) and bool(np.isfinite(column).all())


def _parse_slowly(content, label, names, sep, skip):
    """Parse line by line, up to the first line that is not as it should be."""
    columns = [[] for _ in names]
    for number, line in numbered_lines(content, skip):
        fields = line.split(sep)
        if len(fields) != len(names):
            raise DataError(
                f"{label}, line {number}: expected {_described(names, sep)}, "
                f"found {len(fields)} in {_shown(line)}"
            )
        for column, name, text in zip(columns, names, fields, strict=True):
            column.append(_number(text, name, f"{label}, line {number}, {name}"))
    return [np.array(column) for column in columns]


def _number(text, name, where):
    bare = text.strip(" \t\v\f")  # what pandas passes over, too
    if name in ("user", "item"):
        if len(text) < 10 and text.isdecimal() and text.isascii():  # nearly always, and quick
            return int(text)
        if not re.fullmatch(r"\+?[0-9]+|-0+", bare):
            raise DataError(f"{where}: expected a whole number from 0, found {_shown(text)}")
        # Python refuses to convert thousands of digits.
        if len(bare.lstrip("+-0")) > 10 or int(bare[-11:]) > LARGEST:
            raise DataError(f"{where}: expected {LARGEST} at most, found {_shown(text)}")
        return int(bare[-11:])
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", bare):
        raise DataError(f"{where}: expected a number, found {_shown(text)}")
    # Times in nanoseconds have more digits than a float.
    if re.fullmatch(r"[-+]?[0-9]{1,19}", bare) and -(2**63) <= int(bare) < 2**63:
        return int(bare)
    if not math.isfinite(float(bare)):
        raise DataError(f"{where}: expected a finite number, found {_shown(text)}")
    return float(bare)


def _shown(text):
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _described(names, sep):
    between = {"\t": "tabs", ",": "commas", " ": "spaces"}.get(sep, repr(sep))
    return f"{len(names)} fields with {between} between them ({' '.join(names)})"


def numbered_lines(content: bytes, skip=0, encoding="utf-8") -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of the lines that are not blank.

    >>> list(numbered_lines(b"a\\r\\n\\r\\nb"))
    [(1, 'a'), (3, 'b')]
    """
    text = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, errors="replace")
    for number, line in enumerate(text, start=1):
        line = line.rstrip("\n").removeprefix("\ufeff" if number == 1 else "")
        if number > skip and line.strip():
            yield number, line


def _line_of_row(content, row, skip=0):
    """Return the line that the row-th row (from 0) of a table stands on."""
    return next(n for at, (n, _) in enumerate(numbered_lines(content, skip)) if at == row)


def _repeated(user, item):
    """Return the positions of pairs that have been there before, rising."""
    keys = user * (int(item.max(initial=0)) + 1) + item
    in_order = np.sort(keys, kind="stable")
    if not (in_order[1:] == in_order[:-1]).any():
        return np.empty(0, np.int64)
    order = np.argsort(keys, kind="stable")
    return np.sort(order[1:][keys[order[1:]] == keys[order[:-1]]])


# --- MovieLens -----------------------------------------------------------------------------------


def read_movielens(files: Files) -> Raw:
    """Read the ratings of a MovieLens folder or archive, in any of GroupLens' three layouts.

    Every rating, whatever its value, is one implicit interaction. Users and items are numbered by
    rising id, over those that have a rating.

    Raises:
        DataError: names the file, the line and what was expected.
    """
    user_id, item_id, _, time = read_ratings(files)
    user_ids, user = dense(user_id)
    item_ids, item = dense(item_id)
    order = time_order(user, time)
    return Raw(
        user[order],
        item[order],
        len(user_ids),
        len(item_ids),
        user_ids=user_ids,
        item_ids=item_ids,
    )


def dense(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different ids, rising, and the int32 index of each id among them.

    >>> ids, index = dense(np.array([50, 2, 50]))
    >>> ids.tolist(), index.tolist()
    ([2, 50], [1, 0, 1])
    """
    largest = int(ids.max())
    if largest > 10 * len(ids) + 1000:  # too few ids for a table of all numbers up to the largest
        values, index = np.unique(ids, return_inverse=True)
        return values, index.astype(np.int32)
    present = np.zeros(largest + 1, bool)
    present[ids] = True
    return np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - 1)[ids]


def ratings_file(files: Files) -> str | None:
    """Return which of GroupLens' three layouts a folder or archive has: its ratings file."""
    return next((name for name in RATINGS if files.has(name)), None)


def read_ratings(files: Files) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return user id, movie id, rating and time of every rating, in the order of the file."""
    layout = ratings_file(files)
    if layout is None:
        raise DataError(f"{files.path}: expected a file {', '.join(RATINGS[:-1])} or {RATINGS[-1]}")
    content, label = files.read(layout), files.label(layout)
    sep, skip = "\t", 0
    if layout == "ratings.csv":
        sep, skip = ",", 1
        header = next(numbered_lines(content), (1, ""))[1]
        if header != CSV_HEADER:
            raise DataError(f"{label}, line 1: expected {CSV_HEADER!r}, found {_shown(header)}")
    elif layout == "ratings.dat":
        sep = "::"
    user, item, rating, time = parse_table(content, label, COLUMNS, sep, skip)
    again = _repeated(user, item)
    if len(again):
        raise DataError(
            f"{label}, line {_line_of_row(content, again[0], skip)}: expected each pair once, "
            f"found user {user[again[0]]}, item {item[again[0]]} again"
        )
    return user, item, rating, time


def read_movies(files: Files) -> dict[int, tuple[str, str]]:
    """Return {movie id: (title, genres)}; empty where there is no file of movies."""
    name = MOVIES[ratings_file(files)]
    if not files.has(name):
        return {}
    movies = {}
    for where, movie, title, genres in _movie_rows(files.read(name), files.label(name), name):
        movie = _number(movie, "item", f"{where}, movie")
        if movie in movies:
            raise DataError(f"{where}: expected each movie once, found {movie} again")
        movies[movie] = (title.strip(), genres.strip())
    return movies


def _movie_rows(content, label, layout):
    """Yield (where, movie id, title, genres) of each movie."""
    if layout == "movies.csv":
        for where, row in _csv_rows(content, label, ["movieId", "title", "genres"]):
            yield where, *row
        return
    between, least = ("::", 3) if layout == "movies.dat" else ("|", 5 + len(GENRES_100K))
    for number, line in numbered_lines(content, encoding="latin-1"):
        where, fields = f"{label}, line {number}", line.split(between)
        if len(fields) < least:
            raise DataError(
                f"{where}: expected {least} fields with {between!r} between them, "
                f"found {_shown(line)}"
            )
        if layout == "movies.dat":  # a title may hold the separator
            yield where, fields[0], between.join(fields[1:-1]), fields[-1]
        else:
            flags = zip(GENRES_100K, fields[5:], strict=False)
            yield where, fields[0], fields[1], "|".join(genre for genre, f in flags if f == "1")


def _csv_rows(content, label, header):
    """Yield (where, fields) of each row of a CSV file that has this header."""
    rows = csv_rows(content, label)
    _, found = next(rows, (1, []))
    if found != header:
        raise DataError(
            f"{label}, line 1: expected {','.join(header)!r}, found {_shown(','.join(found))}"
        )
    for number, row in rows:
        where = f"{label}, line {number}"
        if row and len(row) != len(header):
            raise DataError(f"{where}: expected {','.join(header)}, found {len(row)} fields")
        if row:
            yield where, row


def csv_rows(content: bytes, label: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its last line, fields) of each row of a CSV file, the header too.

    Raises:
        DataError: it is not UTF-8, or its quotes do not match; names the file and the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = re.split(rb"\r\n|\r|\n", error.object[: error.start])
        byte = error.object[error.start]
        raise DataError(
            f"{label}, line {len(before)}: expected text in UTF-8, found the byte 0x{byte:02x}"
        ) from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{label}, line {rows.line_num}: expected fields of a CSV file, found: {error}"
        ) from None


# --- the paper's files ---------------------------------------------------------------------------


def read_paper(files: Files, prefix, num_users=None, num_items=None, published=False) -> Raw:
    """Read PREFIX.train.rating, PREFIX.test.rating and PREFIX.test.negative.

    A user's training interactions are put in the order of their timestamps; those of equal time
    keep the order of the file.

    Args:
        files: where they are.
        prefix: what the three names begin with.
        num_users: int or None; None: as many as the largest index says.
        num_items: int or None; None: as many as the largest index says, of which at least half
            must occur.
        published: the file is as its authors published it: what is odd in it is kept and noted,
            where a file of the user's own would be refused.

    Raises:
        DataError: names the file, the line and what was expected.
    """
    train, test, negative = (prefix + suffix for suffix in PAPER)
    label, test_label = files.label(train), files.label(test)
    content, test_content = files.read(train), files.read(test)
    user, item, _, time = parse_table(content, label, COLUMNS, "\t")
    test_user, test_item, _, _ = parse_table(test_content, test_label, COLUMNS, "\t")
    negative_content, negative_label = files.read(negative), files.label(negative)
    negatives = _read_negatives(negative_content, negative_label, test_user, test_item)

    tables = (
        (content, label, user, item),
        (test_content, test_label, test_user, test_item),
        (negative_content, negative_label, test_user, negatives),
    )
    if num_users is None:
        num_users = int(max(user.max(), test_user.max())) + 1
    if num_items is None:
        num_items = _count_items(tables)
    for at, limit, what in ((2, num_users, "user"), (3, num_items, "item")):
        for table in tables:
            _check_range(table[0], table[1], table[at], limit, what)
    _check_one_row_a_user(test_user, num_users, test_content, test_label)

    notes = []
    again = _repeated(user, item)
    if len(again):
        if not published:
            raise DataError(
                f"{label}, line {_line_of_row(content, again[0])}: expected each pair once, "
                f"found user {user[again[0]]}, item {item[again[0]]} again"
            )
        notes.append(f"{len(again):,} lines of {train} repeat a pair: each pair counts once")
        user, item, time = (np.delete(column, again) for column in (user, item, time))
    notes += _check_held_out(
        user, item, test_user, test_item, negatives, num_items, published, test_content, test_label
    )
    if time.min() == time.max():
        notes.append("all times are equal: the order of the training file stands for time")

    order, by_user = time_order(user, time), np.argsort(test_user)
    return Raw(
        user[order].astype(np.int32),
        item[order].astype(np.int32),
        num_users,
        num_items,
        test=tuple(a[by_user].astype(np.int32) for a in (test_user, test_item, negatives)),
        notes=tuple(notes),
    )


def _read_negatives(content, label, test_user, test_item):
    """Return the candidates (E, C) of lines `(user,item) n1 … nC`, one for each test row."""
    rows = len(test_user)
    table = None
    # All brackets and commas are those of pairs at the start of lines: all numbers at once.
    pairs = re.findall(rb"\n\([0-9]+,[0-9]+\)\t", b"\n" + content)
    if all(content.count(mark) == rows for mark in (b"(", b",", b")")) and len(pairs) == rows:
        flat = content.translate(bytes.maketrans(b",", b"\t"), b"()")
        first = next(numbered_lines(flat))[1]
        columns = _parse_fast(flat, ("item",) * (first.count("\t") + 1), "\t", 0)
        table = None if columns is None or len(columns) < 3 else np.stack(columns, axis=1)
    if table is None:
        table = _read_negatives_slowly(content, label)
    for row in range(rows):
        pair = f"({test_user[row]},{test_item[row]})"
        if row == len(table):
            raise DataError(
                f"{label}: expected {rows} lines, one for each line of the test ratings, "
                f"found {row}: {pair} is the first that is missing"
            )
        if table[row, 0] != test_user[row] or table[row, 1] != test_item[row]:
            raise DataError(
                f"{label}, line {_line_of_row(content, row)}: expected {pair}, as on that line of "
                f"the test ratings, found ({table[row, 0]},{table[row, 1]})"
            )
    if len(table) > rows:
        raise DataError(
            f"{label}, line {_line_of_row(content, rows)}: expected the end of the file after "
            f"{rows} lines, one for each line of the test ratings, found another"
        )
    return table[:, 2:]


def _read_negatives_slowly(content, label):
    rows = []
    for number, line in numbered_lines(content):
        where = f"{label}, line {number}"
        head, *fields = line.split("\t")
        pair = re.fullmatch(r"\(([^,]*),([^,]*)\)", head.strip(" "))
        if pair is None or not fields:
            raise DataError(
                f"{where}: expected (user,item) and candidates with tabs between them, "
                f"found {_shown(line)}"
            )
        numbers = zip(("user", "item"), pair.groups(), strict=True)
        row = [_number(text, name, f"{where}, {name}") for name, text in numbers]
        row += [_number(f, "item", f"{where}, candidate {i + 1}") for i, f in enumerate(fields)]
        if rows and len(row) != len(rows[0]):
            raise DataError(
                f"{where}: expected {len(rows[0]) - 2} candidates, as on the first line, "
                f"found {len(fields)}"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{label}: expected lines of (user,item) and candidates, found none")
    return np.array(rows, np.int64)


def _count_items(tables):
    """Return how many items the indices imply; refuse numbers that cannot be dense indices."""
    num_items = int(max(item.max() for _, _, _, item in tables)) + 1
    items = np.sort(np.concatenate([item.ravel() for _, _, _, item in tables]))
    occurring = 1 + int((items[1:] != items[:-1]).sum())
    if occurring * 2 < num_items:
        content, label, _, item = next(t for t in tables if t[3].max() == num_items - 1)
        row = int(np.argwhere(item == num_items - 1)[0][0])
        raise DataError(
            f"{label}, line {_line_of_row(content, row)}: expected dense item indices from 0, "
            f"found {num_items - 1} where only {occurring} different items occur"
        )
    return num_items


def _check_range(content, label, index, limit, what):
    outside = np.argwhere(index >= limit)
    if len(outside):
        line = _line_of_row(content, outside[0][0])
        raise DataError(
            f"{label}, line {line}: expected 0 <= {what} < {limit}, "
            f"found {index[tuple(outside[0])]}"
        )


def _check_one_row_a_user(test_user, num_users, content, label):
    users, rows = np.unique(test_user, return_counts=True)
    if (rows > 1).any():
        user = users[np.argmax(rows > 1)]
        row = np.flatnonzero(test_user == user)[1]
        raise DataError(
            f"{label}, line {_line_of_row(content, row)}: expected one line a user, "
            f"found user {user} again"
        )
    if len(users) < num_users:  # which may be two billion, where an index is no index
        missing = np.flatnonzero(users != np.arange(len(users)))
        raise DataError(
            f"{label}: expected one line for each of the {num_users} users, found none for user "
            f"{missing[0] if len(missing) else len(users)}"
        )


def _check_held_out(
    user, item, test_user, test_item, negatives, num_items, published, content, label
):
    """Return notes on held-out items and candidates that meet the training interactions."""
    keys = np.sort(user * num_items + item, kind="stable")
    leaked = np.flatnonzero(_among(test_user * num_items + test_item, keys))
    notes = []
    if len(leaked) and not published:
        row = leaked[0]
        raise DataError(
            f"{label}, line {_line_of_row(content, row)}: expected an item that user "
            f"{test_user[row]} has not in training, found {test_item[row]}"
        )
    if len(leaked):
        notes.append(f"{len(leaked):,} held-out items are in their user's training too")
    own = int((negatives == test_item[:, None]).any(axis=1).sum())
    if own:
        notes.append(
            f"in {own:,} of {len(test_item):,} rows the held-out item is among its own candidates; "
            "evaluation does not count it as its own rival"
        )
    touched = int(_among((test_user[:, None] * num_items + negatives).ravel(), keys).sum())
    if touched:
        notes.append(f"{touched:,} candidates are in their user's training")
    return notes


def _among(wanted, keys):
    """Say which numbers are among sorted keys."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[place] == wanted


def read_items(files: Files) -> tuple[np.ndarray, dict[int, tuple[str, str]]] | None:
    """Return the movie id of each item and {movie id: (title, genres)} from items.csv, or None."""
    if not files.has("items.csv"):
        return None
    label = files.label("items.csv")
    ids, movies = [], {}
    for where, (item, movie, title, genres) in _csv_rows(
        files.read("items.csv"), label, ITEMS_HEADER
    ):
        if _number(item, "item", f"{where}, item") != len(ids):
            raise DataError(f"{where}: expected item {len(ids)}, found {_shown(item)}")
        ids.append(_number(movie, "item", f"{where}, movie_id"))
        if ids[-1] in movies:
            raise DataError(f"{where}: expected each movie_id once, found {ids[-1]} again")
        movies[ids[-1]] = (title.strip(), genres.strip())
    if not ids:
        raise DataError(f"{label}: expected a line for each item, found none")
    return np.array(ids), movies


def number_by_first_appearance(files: Files, raw: Raw) -> np.ndarray | None:
    """Return the movie id of each item of the paper's ML-1M, from GroupLens' own ratings.

    The paper counts movies in the order in which `ratings.dat` first names them. Returns None where
    that does not give each item its number of interactions: then these are not those ratings.
    """
    _, movie, _, _ = read_ratings(files)
    _, first, counts = np.unique(movie, return_index=True, return_counts=True)
    order = np.argsort(first)
    held_out = raw.test[1]
    here = np.bincount(np.concatenate([raw.item, held_out]), minlength=raw.num_items)
    return movie[first[order]] if np.array_equal(here, counts[order]) else None


def item_table(item_ids, movies) -> pandas.DataFrame:
    """Return the table of items, by item index: movie_id, title, genres."""
    import pandas as pd

    known = [movies.get(movie, ("", "")) for movie in item_ids.tolist()]
    return pd.DataFrame(
        {
            "movie_id": item_ids,
            "title": [title for title, _ in known],
            "genres": [genres for _, genres in known],
        },
        index=pd.RangeIndex(len(item_ids), name="item"),
    )
