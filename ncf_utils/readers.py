"""Readers of the text formats: MovieLens archives and the files of the NCF paper.

Each file is parsed by pandas at full speed first. Only when that result is not exactly what the
format allows is the file read again, line by line, to say which line is wrong and why.
"""

from __future__ import annotations

import csv
import io
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
RATINGS = ("ratings.csv", "ratings.dat", "u.data")
MOVIES = {"ratings.csv": "movies.csv", "ratings.dat": "movies.dat", "u.data": "u.item"}
CSV_HEADER = "userId,movieId,rating,timestamp"
GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
).split("|")


@dataclass(frozen=True)
class Raw:
    """What a source holds, before validation items are taken out of it.

    `user` and `item` are int32 indices sorted by user, then time; `test` is (user, item, negatives)
    where the source brings its own split.
    """

    user: np.ndarray
    item: np.ndarray
    num_users: int
    num_items: int
    test: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    items: pandas.DataFrame | None = None
    notes: tuple[str, ...] = ()


class Files:
    """A folder, or a zip archive read in place: nothing in it is ever unpacked to disk."""

    def __init__(self, path):
        self.path = Path(path)
        self.members = None
        if self.path.is_dir():
            return
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
        except zipfile.BadZipFile as error:
            raise DataError(f"{self.path}: expected a whole zip archive, found {error}") from error
        # A data set's files lie in one folder of the archive, or at its top.
        shallow = sorted((n for n in names if n.count("/") <= 1), key=lambda n: n.count("/"))
        self.members = {}
        for member in shallow:
            self.members.setdefault(member.rsplit("/", 1)[-1], member)

    def has(self, name) -> bool:
        return name in self.members if self.members is not None else (self.path / name).is_file()

    def label(self, name) -> str:
        if self.members is None:
            return str(self.path / name)
        return f"{self.path}/{self.members.get(name, name)}"

    def source(self, name) -> Path:
        """Return the file on disk whose change means that `name` has changed."""
        return self.path / name if self.members is None else self.path

    def read(self, name) -> bytes:
        try:
            if self.members is None:
                return (self.path / name).read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.members[name])
        except FileNotFoundError as error:
            raise DataError(f"{self.label(name)}: expected a file, found none") from error
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise DataError(
                f"{self.label(name)}: expected a readable zip member, found {error}"
            ) from error
        except OSError as error:
            raise DataError(f"{self.label(name)}: cannot be read: {error}") from error


# --- tables of numbers -------------------------------------------------------------------------


def parse_table(content: bytes, label: str, names: tuple[str, ...], sep: str, skip: int = 0):
    """Parse lines of numbers; columns named user, item or neg… hold ids, others finite numbers.

    Args:
        content: the file's bytes; CRLF, a byte order mark and blank lines are allowed.
        label: how error messages call the file.
        names: the columns, all of which each line must have.
        sep: one character.
        skip: lines to leave out at the top.

    Returns:
        list of arrays (n,), one a column: int64 for ids, int64 or float64 for the others.

    Raises:
        DataError: names the file, the line and what was expected there.
    """
    columns = _parse_fast(content, names, sep, skip)
    if columns is None:
        columns = _parse_slowly(content, label, names, sep, skip)
    if not len(columns[0]):
        raise DataError(f"{label}: expected lines of {describe(names, sep)}, found an empty file")
    return columns


def _parse_fast(content, names, sep, skip):
    """Return the columns, or None where anything at all is unusual."""
    import pandas as pd

    first = next(numbered_lines(content, skip), None)
    # pandas would take a longer first line for a table with an index.
    if first is None or first[1].count(sep) != len(names) - 1:
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
            na_filter=False,
        )
    except (ValueError, OverflowError):  # pandas' ParserError is a ValueError
        return None
    columns = [frame[i].to_numpy() for i in range(len(names))]
    for name, column in zip(names, columns, strict=True):
        if _is_id(name):
            if column.dtype != np.int64 or column.min(initial=0) < 0:
                return None
            if column.max(initial=0) > LARGEST:
                return None
        elif column.dtype not in (np.int64, np.float64) or not np.isfinite(column).all():
            return None
    return columns


def _parse_slowly(content, label, names, sep, skip):
    """Parse line by line; raise a DataError at the first line that is not as it should be."""
    rows = []
    for number, line in numbered_lines(content, skip):
        fields = line.split(sep)
        if len(fields) != len(names):
            raise DataError(
                f"{label}, line {number}: expected {describe(names, sep)}, "
                f"found {len(fields)} fields in {_shown(line)}"
            )
        rows.append([_number(f, n, label, number) for f, n in zip(fields, names, strict=True)])
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in names]
    return [
        np.array(c, dtype=np.int64 if _is_id(n) else np.float64)
        for c, n in zip(columns, names, strict=True)
    ]


def _number(field, name, label, number):
    where = f"{label}, line {number}, {name}"
    text = field.strip(" ")
    if _is_id(name):
        if not re.fullmatch(r"\+?[0-9]+", text):
            raise DataError(f"{where}: expected a whole number from 0, found {_shown(field)}")
        if int(text) > LARGEST:
            raise DataError(f"{where}: expected a number up to {LARGEST}, found {_shown(field)}")
        return int(text)
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        raise DataError(f"{where}: expected a number, found {_shown(field)}")
    return float(text)


def _is_id(name):
    return name in ("user", "item") or name.startswith("negative")


def _shown(text):
    return repr(text if len(text) <= 60 else text[:57] + "...")


def describe(names, sep):
    """Return how a line of these columns is described to a reader."""
    between = {"\t": "a tab", ",": "a comma"}.get(sep, repr(sep))
    listed = " ".join(names) if len(names) < 8 else f"{names[0]} {names[1]} … {names[-1]}"
    return f"{len(names)} fields with {between} between them ({listed})"


def numbered_lines(content: bytes, skip: int = 0, encoding="utf-8") -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of the lines that are not blank."""
    text = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, errors="replace", newline=None)
    for number, line in enumerate(text, start=1):
        line = line.lstrip("\ufeff") if number == 1 else line
        if number > skip and line.strip():
            yield number, line.rstrip("\r\n")


def line_of_row(content: bytes, row: int, skip: int = 0) -> int:
    """Return the line number of the row-th row (from 0) of a table."""
    for at, (number, _) in enumerate(numbered_lines(content, skip)):
        if at == row:
            return number
    raise IndexError(row)


def _duplicate_row(user, item):
    """Return the position of the first pair that has been there before, or None."""
    keys = user.astype(np.int64) * (int(item.max(initial=0)) + 1) + item
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return None
    order = np.argsort(keys, kind="stable")
    again = order[1:][keys[order[1:]] == keys[order[:-1]]]
    return int(again.min())


def _refuse_duplicates(user, item, content, label, skip=0):
    row = _duplicate_row(user, item)
    if row is not None:
        raise DataError(
            f"{label}, line {line_of_row(content, row, skip)}: expected each pair once, "
            f"found user {user[row]}, item {item[row]} again"
        )


# --- MovieLens ---------------------------------------------------------------------------------


def read_movielens(files: Files) -> Raw:
    """Read a MovieLens folder or archive in any of GroupLens' three layouts.

    Every rating, whatever its value, is one implicit interaction. Users and items are numbered by
    sorted id, over those that have ratings.
    """
    name = next((name for name in RATINGS if files.has(name)), None)
    if name is None:
        raise DataError(f"{files.path}: expected {', '.join(RATINGS[:-1])} or {RATINGS[-1]}")
    user_id, item_id, time = read_ratings(files.read(name), files.label(name), name)
    user_ids, user = np.unique(user_id, return_inverse=True)
    item_ids, item = np.unique(item_id, return_inverse=True)
    order = time_order(user, time)
    return Raw(
        user[order].astype(np.int32),
        item[order].astype(np.int32),
        len(user_ids),
        len(item_ids),
        user_ids=user_ids,
        item_ids=item_ids,
        items=_read_items(files, MOVIES[name], item_ids),
    )


def read_ratings(content: bytes, label: str, layout: str):
    """Return (user id, movie id, time) of a ratings file in the layout of that name."""
    skip = 0
    sep = "\t"
    if layout == "ratings.csv":
        sep, skip = ",", 1
        header = next(numbered_lines(content), (1, ""))[1]
        if not header:
            raise DataError(f"{label}: expected the header {CSV_HEADER!r}, found an empty file")
        if header.strip() != CSV_HEADER:
            raise DataError(f"{label}, line 1: expected {CSV_HEADER!r}, found {_shown(header)}")
    elif layout == "ratings.dat":
        content = content.replace(b"::", b"\t")  # pandas is fast with one character only
    names = ("user", "item", "rating", "timestamp")
    user, item, _, time = parse_table(content, label, names, sep, skip)
    _refuse_duplicates(user, item, content, label, skip)
    return user, item, time


def read_movies(content: bytes, label: str, layout: str) -> dict[int, tuple[str, str]]:
    """Return {movie id: (title, genres)} of a movies file in the layout of that name."""
    movies = {}
    for number, movie, title, genres in _movie_rows(content, label, layout):
        movie = _number(movie, "item", label, number)
        if movie in movies:
            raise DataError(
                f"{label}, line {number}: expected each movie once, found {movie} again"
            )
        movies[movie] = (title.strip(), genres.strip())
    return movies


def _movie_rows(content, label, layout):
    if layout == "movies.csv":
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig", errors="replace")))
        for row in rows:
            if rows.line_num == 1 or not row:
                continue
            if len(row) != 3:
                raise DataError(
                    f"{label}, line {rows.line_num}: expected movieId,title,genres, "
                    f"found {len(row)} fields"
                )
            yield rows.line_num, *row
    elif layout == "movies.dat":
        for number, line in numbered_lines(content, encoding="latin-1"):
            fields = line.split("::")
            if len(fields) < 3:
                raise DataError(
                    f"{label}, line {number}: expected id::title::genres, found {_shown(line)}"
                )
            yield number, fields[0], "::".join(fields[1:-1]), fields[-1]
    else:
        for number, line in numbered_lines(content, encoding="latin-1"):
            fields = line.split("|")
            if len(fields) != 5 + len(GENRES_100K):
                raise DataError(
                    f"{label}, line {number}: expected {5 + len(GENRES_100K)} fields with '|' "
                    f"between them, found {len(fields)}"
                )
            flags = zip(GENRES_100K, fields[5:], strict=True)
            yield number, fields[0], fields[1], "|".join(g for g, f in flags if f == "1")


def _read_items(files, name, item_ids):
    if not files.has(name):
        return None
    movies = read_movies(files.read(name), files.label(name), name)
    return item_table(item_ids, movies)


def item_table(item_ids, movies) -> pandas.DataFrame:
    """Return the table of items by item index: movie_id, title, genres."""
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


# --- the paper's files -------------------------------------------------------------------------

PAPER = (".train.rating", ".test.rating", ".test.negative")
COLUMNS = ("user", "item", "rating", "timestamp")


def read_paper(files: Files, prefix: str) -> Raw:
    """Read PREFIX.train.rating, PREFIX.test.rating and PREFIX.test.negative."""
    train, test, negative = (prefix + suffix for suffix in PAPER)
    content = files.read(train)
    user, item, _, time = parse_table(content, files.label(train), COLUMNS, "\t")
    _refuse_duplicates(user, item, content, files.label(train))
    test_content = files.read(test)
    test_user, test_item, _, _ = parse_table(test_content, files.label(test), COLUMNS, "\t")
    negatives = read_negatives(files.read(negative), files.label(negative), test_user, test_item)
    num_users = int(max(user.max(), test_user.max())) + 1
    num_items = int(max(item.max(), test_item.max(), negatives.max())) + 1
    order = time_order(user, time)
    return Raw(
        user[order].astype(np.int32),
        item[order].astype(np.int32),
        num_users,
        num_items,
        test=(test_user.astype(np.int32), test_item.astype(np.int32), negatives.astype(np.int32)),
    )


def read_negatives(content: bytes, label: str, test_user, test_item) -> np.ndarray:
    """Return the candidates (E, C) of a file of lines `(user,item) n1 … nC`."""
    first = next(numbered_lines(content), (1, ""))[1]
    count = first.count("\t")
    names = ("user", "item", *(f"negative {i + 1}" for i in range(count)))
    table = parse_table(content.translate(bytes.maketrans(b",", b"\t"), b"()"), label, names, "\t")
    return np.stack(table[2:], axis=1)


def read_folder(path) -> Raw:
    files = Files(path)
    prefixes = sorted(p.name.removesuffix(PAPER[0]) for p in files.path.glob("*" + PAPER[0]))
    return read_paper(files, prefixes[0]) if prefixes else read_movielens(files)
