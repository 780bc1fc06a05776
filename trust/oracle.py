"""What a file says, worked out slowly from the description of its format: the judge of the readers.

Nothing here is taken from `ncf_utils.readers`: no pandas, no csv module, no regular expression of
its. A function returns what a right reader returns, and the faults that a reader may name: pairs
(file, line), with line 0 for what is wrong with the whole file. Where there are faults there is no
value.
"""

from __future__ import annotations

import json
import math
from collections import Counter

LARGEST = 2**31 - 1
DIGITS = frozenset("0123456789")
AROUND = " \t\v\f"  # what may stand around a number
LONGEST = 131_072  # characters of a field of a CSV file
HEADERS = {
    "ratings.csv": "userId,movieId,rating,timestamp",
    "movies.csv": "movieId,title,genres",
    "items.csv": "item,movie_id,title,genres",
}
GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()
# A CSV of results has one of these columns at least.
RESULTS = set(
    "dataset framework model num_factors hidden_layers embedding_dim num_negatives batch_size "
    "learning_rate optimizer loss epochs seed pretrain refit picked_epoch validation_hr "
    "validation_ndcg test_hr test_ndcg refit_hr refit_ndcg best_test_hr seconds cpus python "
    "ncf_utils numpy torch tensorflow keras".split()
)


# --- lines and numbers ---------------------------------------------------------------------------


def lines(content, encoding="utf-8"):
    """[(number from 1, text, or None where the bytes are none)] of the lines that are not blank."""
    if encoding == "utf-8" and content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    found, start, number = [], 0, 1
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        try:
            text = content[start:end].decode(encoding)
        except UnicodeDecodeError:
            text = None
        if text is None or not (text == "" or text.isspace()):
            found.append((number, text))
        start, number = end + 1, number + 1
    return found


def whole(text):
    """A user or item, or None where it is none."""
    text = text.strip(AROUND).removeprefix("+")
    text = text[1:] if text[:1] == "-" and not text[1:].strip("0") else text
    if not text or not DIGITS.issuperset(text):
        return None
    text = text.lstrip("0") or "0"
    return int(text) if len(text) <= 10 and int(text) <= LARGEST else None


def real(text):
    """A rating or time, or None where it is none: whole where it is written so."""
    text = text.strip(AROUND)
    body = text[1:] if text[:1] in ("+", "-") else text
    mantissa, mark, exponent = body.replace("E", "e").partition("e")
    before, _, after = mantissa.partition(".")
    if mark:
        if exponent[:1] in ("+", "-"):
            exponent = exponent[1:]
        if not exponent or not DIGITS.issuperset(exponent):
            return None
    if not (before or after) or not DIGITS.issuperset(before + after):
        return None
    number = float(text)
    if not math.isfinite(number):
        return None
    if not mark and "." not in mantissa and len(mantissa) < 1000:
        return int(text)
    return number


def table(name, content, sep, skip=0):
    """Rows (line, user, item, rating, time), and faults."""
    rows, faults = [], set()
    for number, text in lines(content):
        if number <= skip:
            continue
        fields = text.split(sep) if text is not None else []
        if len(fields) == 4:
            row = [whole(fields[0]), whole(fields[1]), real(fields[2]), real(fields[3])]
        if len(fields) != 4 or None in row:
            faults.add((name, number))
        else:
            rows.append((number, *row))
    if not rows and not faults:
        faults.add((name, 0))
    return rows, faults


def repeated(name, rows):
    """The lines of pairs that have been there before."""
    seen, faults = set(), set()
    for number, user, item, *_ in rows:
        if (user, item) in seen:
            faults.add((name, number))
        seen.add((user, item))
    return faults


def one_kind(numbers):
    """A column of numbers as a computer holds it: 64-bit integers where all are, else floats."""
    small = all(isinstance(n, int) and -(2**63) <= n < 2**63 for n in numbers)
    return numbers if small else [float(n) for n in numbers]


# --- MovieLens -----------------------------------------------------------------------------------


def ratings(name, files):
    """The columns user, item, rating and time of a MovieLens file of ratings."""
    content, sep, skip = files[name], {"ratings.csv": ",", "ratings.dat": "::", "u.data": "\t"}, 0
    if name == "ratings.csv":
        skip = 1
        first = next(iter(lines(content)), (1, ""))
        if first != (1, HEADERS[name]):
            return None, {(name, 1), (name, first[0])}
    rows, faults = table(name, content, sep[name], skip)
    faults |= repeated(name, rows)
    if faults:
        return None, faults
    _, *columns = (list(column) for column in zip(*rows, strict=True))
    return [*columns[:2], *map(one_kind, columns[2:])], faults


def dense(columns):
    """(user ids, item ids, users, items) of ratings: indices by rising id, by user and time."""
    user_ids, item_ids = sorted(set(columns[0])), sorted(set(columns[1]))
    order = sorted(range(len(columns[0])), key=lambda row: (columns[0][row], columns[3][row]))
    users = [user_ids.index(columns[0][row]) for row in order]
    items = [item_ids.index(columns[1][row]) for row in order]
    return user_ids, item_ids, users, items


def movies(name, files):
    """{movie id: (title, genres)}."""
    found, faults = {}, set()
    if name == "movies.csv":
        records, faults = csv_records(name, files[name])
        cells = [(span, *row) for span, row in records]
    else:
        sep, least = ("::", 3) if name == "movies.dat" else ("|", 24)
        cells = []
        for number, text in lines(files[name], "latin-1"):
            fields = text.split(sep)
            if len(fields) < least:
                faults.add((name, number))
            elif name == "movies.dat":
                cells.append(([number], fields[0], sep.join(fields[1:-1]), fields[-1]))
            else:
                flags = zip(GENRES, fields[5:24], strict=True)
                genres = "|".join(genre for genre, flag in flags if flag == "1")
                cells.append(([number], fields[0], fields[1], genres))
    for span, movie, title, genres in cells:
        movie = whole(movie)
        if movie is None or movie in found:
            faults |= {(name, number) for number in span}
        found[movie] = (title.strip(), genres.strip())
    return (None if faults else found), faults


def items(files):
    """(movie ids, {movie id: (title, genres)}) of items.csv."""
    name = "items.csv"
    records, faults = csv_records(name, files[name])
    ids, found = [], {}
    for span, (item, movie, title, genres) in records:
        movie = whole(movie)
        if whole(item) != len(ids) or movie is None or movie in found:
            faults |= {(name, number) for number in span}
        ids.append(movie)
        found[movie] = (title.strip(), genres.strip())
    if not records and not faults:
        faults.add((name, 0))
    return (None if faults else (ids, found)), faults


def csv_records(name, content):
    """[(lines of a record, its fields)] below the header of a CSV file (RFC 4180), and faults."""
    header = HEADERS[name].split(",") if name in HEADERS else None
    content, faults = content.removeprefix(b"\xef\xbb\xbf"), set()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        # The bytes before it are text, and say which line it is.
        before = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return [], {(name, before.count(b"\n") + 1)}
    records, unclosed = _records(text)
    faults |= {(name, number) for number in unclosed}
    if header is None:  # any will do, whose names differ
        header = records[0][1] if records else []
        if len(set(header)) < len(header) or max(map(len, header), default=0) > LONGEST:
            return [], faults | {(name, 1)}
    elif not records or records[0] != ([1], header):
        return [], faults | {(name, 1)}
    good = []
    for span, fields in records[1:]:
        if len(fields) != len(header) or max(map(len, fields)) > LONGEST:
            faults |= {(name, number) for number in span}
        else:
            good.append((span, fields))
    return good, faults


def _records(text):
    """Records, up to the first that is none, and the lines of that one."""
    records, span, fields, field = [], [1], [], []
    state, at = "start", 0  # of a field: start, plain, quoted, closed

    def end_of_record():
        nonlocal span, fields, field, state
        fields.append("".join(field))
        if fields != [""] or state == "closed":
            records.append((span, fields))
        span, fields, field, state = [span[-1] + 1], [], [], "start"

    while at < len(text):
        char, at = text[at], at + 1
        if state == "quoted":
            if char == '"' and text[at : at + 1] == '"':
                field.append('"')
                at += 1
            elif char == '"':
                state = "closed"
            else:
                field.append(char)
                if char == "\n" or (char == "\r" and text[at : at + 1] != "\n"):
                    span.append(span[-1] + 1)
        elif char in "\r\n":
            at += char == "\r" and text[at : at + 1] == "\n"
            end_of_record()
        elif char == ",":
            fields.append("".join(field))
            field, state = [], "start"
        elif state == "start" and char == '"':
            state = "quoted"
        elif state == "closed":
            return records, span
        else:
            field.append(char)
            state = "plain"
    if state == "quoted":
        return records, [*span, span[-1] - 1]
    if fields or field or state == "closed":
        end_of_record()
    return records, []


# --- the paper's files ---------------------------------------------------------------------------


def paper(files):
    """(users, items, rows of (user, item, *candidates) by user) of the three files named toy."""
    train, test, negative = (
        f"toy.{end}" for end in ("train.rating", "test.rating", "test.negative")
    )
    rows, faults = table(train, files[train], "\t")
    held_out, more = table(test, files[test], "\t")
    candidates, others = _candidates(negative, files[negative])
    faults |= more | others
    if faults:
        return None, faults
    for (_, *pair), (number, *row) in zip([r[:3] for r in held_out], candidates, strict=False):
        if pair != row[:2]:
            faults.add((negative, number))
    if len(candidates) < len(held_out):
        faults.add((negative, 0))
    faults |= {(negative, row[0]) for row in candidates[len(held_out) :]}
    num_users = 1 + max(row[1] for row in [*rows, *held_out])
    times = Counter(row[1] for row in held_out)
    if len(times) < num_users:
        faults.add((test, 0))
    seen = set()
    for number, user, *_ in held_out:
        if user in seen:
            faults.add((test, number))
        seen.add(user)
    every = [(train, row[0], row[2]) for row in rows] + [(test, r[0], r[2]) for r in held_out]
    every += [(negative, row[0], item) for row in candidates for item in row[3:]]
    largest = max(item for *_, item in every)
    if 2 * len({item for *_, item in every}) < largest + 1:
        faults |= {(name, number) for name, number, item in every if item == largest}
    faults |= repeated(train, rows)
    trained = {row[1:3] for row in rows}
    faults |= {(test, row[0]) for row in held_out if row[1:3] in trained}
    if faults:
        return None, faults
    in_order = sorted(rows, key=lambda row: (row[1], row[4]))
    tests = sorted([row[1:] for row in candidates])
    return ([row[1] for row in in_order], [row[2] for row in in_order], tests), faults


def _candidates(name, content):
    """Rows [line, user, item, *candidates], and faults."""
    rows, faults = [], set()
    for number, text in lines(content):
        head, *fields = text.split("\t") if text is not None else [""]
        head = head.strip(" ")
        pair = head[1:-1].split(",") if head[:1] == "(" and head[-1:] == ")" else []
        row = [whole(field) for field in [*pair, *fields]]
        if len(pair) != 2 or not fields or None in row or (rows and len(row) != len(rows[0]) - 1):
            faults.add((name, number))
        else:
            rows.append([number, *row])
    if not rows and not faults:
        faults.add((name, 0))
    return rows, faults


# --- what runs have recorded ---------------------------------------------------------------------


def records(name, content):
    """The JSON objects of a file of one a line."""
    found, faults = [], set()
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and _finite(row):
            found.append(row)
        else:
            faults.add((name, number))
    return (None if faults else found), faults


def _finite(value):
    if isinstance(value, (list, dict)):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def results(name, content):
    """The rows of a results CSV, as {column: text}."""
    rows, faults = csv_records(name, content)
    records, _ = _records(content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace"))
    span, header = records[0] if records else ([1], [])
    if records and not RESULTS & set(header):  # some other table
        faults |= {(name, number) for number in span}
    return (None if faults else [dict(zip(header, row, strict=True)) for _, row in rows]), faults
