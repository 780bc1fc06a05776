"""Every format as it should be, and every way in which a file can be wrong."""

import re
import tracemalloc

import data_files
import numpy as np
import pytest

from ncf_utils.data import DataError, load_dataset
from ncf_utils.readers import Files, parse_table, read_movielens, read_movies


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NCF_DATA_DIR", raising=False)


def load(folder, **options):
    return load_dataset(folder, **{"num_candidates": 3, **options})


# --- MovieLens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("layout", data_files.LAYOUTS)
def test_movielens_layout(tmp_path, layout, archive):
    files = data_files.movielens(layout)
    if archive:
        path = tmp_path / "ml-test.zip"
        path.write_bytes(data_files.zipped(files))
    else:
        path = data_files.write(tmp_path / "ml-test", files)
    data = load(path, validation=None)

    assert data.name == "ml-test"
    assert data.user_ids.tolist() == [1, 2, 3, 7]
    assert data.item_ids.tolist() == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    # User 1: 10, 40, then 30 and 20 at the same time, of which the later line is the later one.
    assert data.train.items_of(0).tolist() == [0, 3, 2]
    assert data.test.user.tolist() == [0, 1, 3]  # user 3 (index 2) has two ratings only
    assert data.test.item.tolist() == [1, 1, 9]
    assert data.train.items_of(2).tolist() == [5, 6]
    assert data.notes == ("1 user with fewer than 3 interactions: in training only",)

    assert data.items["movie_id"].tolist() == data.item_ids.tolist()
    assert data.titles([0, 7, 9]) == ["Café, or: a Tale (1995)", "item 7", "Tenth (1997)"]
    assert data.items["genres"].iloc[3] == "Action|Western"


def test_movielens_without_movies(tmp_path):
    files = data_files.movielens("ratings.csv")
    del files["movies.csv"]
    data = load(data_files.write(tmp_path / "a", files))
    assert data.items is None
    assert data.titles([4]) == ["item 4"]
    assert read_movies(Files(tmp_path / "a")) == {}


def test_movie_titles_keep_the_separator(tmp_path):
    files = data_files.movielens("ratings.dat", movies={10: ("A::B (1995)", "Drama")})
    assert read_movies(Files(data_files.write(tmp_path, files))) == {10: ("A::B (1995)", "Drama")}


def test_ids_far_apart(tmp_path):
    """A table of all numbers up to the largest id would need two gigabytes here."""
    ratings = [(5, 2_000_000_000, 1, 1), (5, 3, 1, 2), (2_000_000_001, 3, 1, 3)]
    files = data_files.movielens("u.data", ratings)
    tracemalloc.start()
    raw = read_movielens(Files(data_files.write(tmp_path, files)))
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert raw.user_ids.tolist() == [5, 2_000_000_001]
    assert raw.item_ids.tolist() == [3, 2_000_000_000]
    assert raw.user.tolist() == [0, 0, 1]
    assert raw.item.tolist() == [1, 0, 0]


BAD_RATINGS = [
    # layout, what is replaced, by what, line, what was expected, what was found
    ("ratings.csv", b"2,50,4,800", b"2,50,four,800", 7, "rating: expected a number", "'four'"),
    ("ratings.csv", b"2,50,4,800", b"2,50,nan,800", 7, "rating: expected a number", "'nan'"),
    ("ratings.csv", b"2,50,4,800", b"2,50,inf,800", 7, "rating: expected a number", "'inf'"),
    ("ratings.csv", b"2,50,4,800", b"2,50,,800", 7, "rating: expected a number", "''"),
    ("ratings.csv", b"2,50,4,800", b"2,50,True,800", 7, "rating: expected a number", "'True'"),
    ("ratings.csv", b"2,50,4,800", b"2,50,4", 7, "4 fields with commas", "3 in '2,50,4'"),
    ("ratings.csv", b"2,50,4,800", b"2,50,4,800,1", 7, "4 fields with commas", "found 5"),
    ("ratings.csv", b"1,30,4,500", b"1,30,4,500,1", 2, "4 fields with commas", "found 5"),
    ("ratings.csv", b"2,50,4,800", b"2.0,50,4,800", 7, "user: expected a whole number", "'2.0'"),
    ("ratings.csv", b"2,50,4,800", b"2,-50,4,800", 7, "item: expected a whole number", "'-50'"),
    ("ratings.csv", b"2,50,4,800", b"2,5e1,4,800", 7, "item: expected a whole number", "'5e1'"),
    (
        "ratings.csv",
        b"2,50,4,800",
        b"2,5\x000,4,800",
        7,
        "item: expected a whole number",
        r"'5\x000'",
    ),
    ("ratings.csv", b"2,50,4,800", b"2,5_0,4,800", 7, "item: expected a whole number", "'5_0'"),
    ("ratings.csv", b"2,50,4,800", b'2,"50",4,800', 7, "item: expected a whole number", "'\"50\"'"),
    ("ratings.csv", b"2,50,4,800", b"2,9876543210,4,8", 7, "expected 2147483647 at most", "9876"),
    ("ratings.csv", b"2,50,4,800", b"2,50,4,1e999", 7, "timestamp: expected a finite", "'1e999'"),
    ("ratings.csv", b"2,50,4,800", b"2," + b"9" * 5000 + b",4,8", 7, "2147483647 at most", "..."),
    ("ratings.csv", b"2,50,4,800", b"2,50,4,soon", 7, "timestamp: expected a number", "'soon'"),
    ("ratings.csv", b"7,100,5,4\n", b"7,100", 14, "4 fields with commas", "found 2"),
    ("ratings.csv", b"2,50,4,800", b"2,20,4,800", 7, "each pair once", "user 2, item 20 again"),
    ("ratings.csv", b"userId,", b"user,", 1, "'userId,movieId,rating,timestamp'", "'user,movie"),
    ("ratings.dat", b"2::50::4::800", b"2::50::x::800", 6, "rating: expected a number", "'x'"),
    ("ratings.dat", b"2::50::4::800", b"2::50:4::800", 6, "4 fields with '::'", "found 3"),
    ("ratings.dat", b"2::50::4::800", b"2::20::4::800", 6, "each pair once", "item 20 again"),
    ("u.data", b"2\t50\t4\t800", b"2\t50\t?\t800", 6, "rating: expected a number", "'?'"),
    ("u.data", b"2\t50\t4\t800", b"2 50 4 800", 6, "4 fields with tabs", "found 1"),
    ("movies.csv", b"30,Third (1997),Action", b"30,Third", 4, "movieId,title,genres", "2 fields"),
    ("movies.csv", b"\n30,", b"\nx,", 4, "movie: expected a whole number", "'x'"),
    ("movies.csv", b"\n30,", b"\n20,", 4, "each movie once", "20 again"),
    ("movies.csv", b"Third (1997)", b'"Third (1997)', 12, "fields of a CSV file", "end of data"),
    ("movies.csv", b"Third (1997)", b'"Third" (1997)', 4, "fields of a CSV file", "',' expected"),
    ("movies.csv", b"Third (1997)", b"x" * 200_000, 4, "fields of a CSV file", "field limit"),
    ("movies.csv", b"Third (1997)", b"Caf\xe9", 4, "expected text in UTF-8", "the byte 0xe9"),
    ("movies.csv", b"movieId,title", b"movieId,name", 1, "movieId,title,genres", "movieId,name"),
    ("movies.dat", b"30::Third (1997)::Action", b"30::Third", 3, "3 fields with '::'", "Third"),
    ("u.item", b"30|Third (1997)|", b"30|", 3, "24 fields with '|'", "30|"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "expected", "found"),
    BAD_RATINGS,
    ids=[f"{b[0]}-{b[2][:16]!r}" for b in BAD_RATINGS],
)
def test_bad_movielens_line(tmp_path, name, old, new, line, expected, found):
    layout = {"movies.csv": "ratings.csv", "movies.dat": "ratings.dat", "u.item": "u.data"}
    files = data_files.movielens(layout.get(name, name))
    assert files[name].count(old) == 1
    files[name] = files[name].replace(old, new)
    if name == "u.item":  # one field too few
        files[name] = files[name].replace(b"30|01-Jan-1995|", b"30|")
    folder = data_files.write(tmp_path / "data", files)
    with pytest.raises(DataError) as error:
        load(folder)
    message = str(error.value)
    assert message.startswith(f"{folder / name}, line {line}")
    assert expected in message
    assert found in message


@pytest.mark.parametrize("layout", data_files.LAYOUTS)
def test_empty_ratings(tmp_path, layout):
    files = data_files.movielens(layout)
    header = b"userId,movieId,rating,timestamp\n" if layout == "ratings.csv" else b""
    for content in (header, header + b"\n\n"):
        files[layout] = content
        folder = data_files.write(tmp_path / "data", files)
        with pytest.raises(DataError, match="expected lines of 4 fields.*found none"):
            load(folder)


def test_no_header(tmp_path):
    folder = data_files.write(tmp_path / "data", {"ratings.csv": b""})
    with pytest.raises(DataError, match=r"ratings\.csv, line 1: expected 'userId"):
        load(folder)


def test_folder_without_data(tmp_path):
    with pytest.raises(DataError, match=r"expected files of the paper's format .*ratings\.csv"):
        load(data_files.write(tmp_path / "data", {"notes.txt": b"nothing"}))


# --- archives ------------------------------------------------------------------------------------


def test_archive_that_is_none(tmp_path):
    (tmp_path / "ml-x.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match=r"ml-x\.zip: expected a whole zip archive"):
        load(tmp_path / "ml-x.zip")


def test_archive_cut_short(tmp_path):
    content = data_files.zipped(data_files.movielens("ratings.dat"))
    (tmp_path / "ml-x.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"ml-x\.zip: expected a whole zip archive"):
        load(tmp_path / "ml-x.zip")


def test_archive_with_a_damaged_member(tmp_path):
    content = bytearray(data_files.zipped(data_files.movielens("ratings.dat")))
    at = content.index(b"ratings.dat") + len(b"ratings.dat") + 4
    content[at : at + 8] = b"\xff" * 8
    (tmp_path / "ml-x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"ml-x\.zip/ratings\.dat: expected a whole member"):
        load(tmp_path / "ml-x.zip")


def test_archive_without_the_member(tmp_path):
    (tmp_path / "ml-x.zip").write_bytes(data_files.zipped({"README": b""}))
    with pytest.raises(DataError, match=r"ml-x\.zip: expected .*ratings\.csv.*found none"):
        load(tmp_path / "ml-x.zip")


def test_archive_is_never_unpacked(tmp_path):
    """A member whose name climbs out of the archive writes nothing, here or elsewhere."""
    files = data_files.movielens("ratings.csv") | {"../../evil.txt": b"x"}
    folder = tmp_path / "deep" / "data"
    folder.mkdir(parents=True)
    (folder / "ml-x.zip").write_bytes(data_files.zipped(files))
    assert load(folder / "ml-x.zip").num_users == 4
    names = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert names == {"ml-x.zip", "ml-x.parsed.npz"}


# --- the paper's format --------------------------------------------------------------------------


def paper(tmp_path, **changed):
    files = dict(data_files.PAPER)
    for name, content in changed.items():
        files["toy." + name.replace("_", ".")] = content
    return data_files.write(tmp_path / "toys", files)


def test_paper_format(tmp_path):
    data = load(paper(tmp_path), validation=None)
    assert (data.num_users, data.num_items, len(data.train)) == (3, 12, 9)
    assert data.train.items_of(0).tolist() == [2, 3, 1]  # by time
    assert data.train.items_of(1).tolist() == [4, 5]  # at one time: in the order of the file
    assert data.train.items_of(2).tolist() == [7, 1, 0, 6]
    assert data.test.user.tolist() == [0, 1, 2]
    assert data.test.item.tolist() == [4, 0, 2]
    assert data.test.negatives.tolist() == [[5, 6, 7, 8, 9], [1, 2, 3, 10, 11], [3, 4, 5, 8, 9]]
    assert data.items is None
    assert data.notes == ()


def test_paper_prefix_names_one_of_several(tmp_path):
    folder = paper(tmp_path)
    data_files.write(folder, {k.replace("toy", "two"): v for k, v in data_files.PAPER.items()})
    with pytest.raises(DataError, match="expected one data set, found toy, two: name one"):
        load(folder)
    assert load(folder / "two").name == "two"
    assert len(load(folder / "toy").train) == 6  # nine less three for validation


def test_rows_of_the_test_in_any_order(tmp_path):
    turned = {
        name: b"\n".join(data_files.PAPER[f"toy.{name}"].splitlines()[::-1]) + b"\n"
        for name in ("test.rating", "test.negative")
    }
    data = load(paper(tmp_path, **turned))
    assert data.test.user.tolist() == [0, 1, 2]
    assert data.test.item.tolist() == [4, 0, 2]
    assert data.test.negatives[0].tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("name", ["train.rating", "test.rating", "test.negative"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text + b"\n\r\n  \n",
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b"\n", b"\n\n"),
    ],
    ids=["crlf", "bom", "blank lines at the end", "no newline at the end", "blank lines"],
)
def test_harmless_differences(tmp_path, name, edit):
    plain = load(paper(tmp_path))
    folder = paper(tmp_path, **{name: edit(data_files.PAPER[f"toy.{name}"])})
    data = load(folder)
    for attribute in ("user", "item", "negatives"):
        assert np.array_equal(getattr(data.test, attribute), getattr(plain.test, attribute))
    assert np.array_equal(data.train.item, plain.train.item)


BAD_PAPER = [
    # file, what is replaced, by what, line, what was expected, what was found
    ("train.rating", b"1\t4\t1\t50", b"1\t4\tx\t50", 4, "rating: expected a number", "'x'"),
    ("train.rating", b"1\t4\t1\t50", b"1\t4\t1", 4, "4 fields with tabs", "3 in"),
    ("train.rating", b"0\t1\t5\t300", b"0\t1\t5\t300\t9", 1, "4 fields with tabs", "5 in"),
    ("train.rating", b"1\t4\t1\t50", b"1\t4.5\t1\t50", 4, "item: expected a whole", "'4.5'"),
    ("train.rating", b"1\t4\t1\t50", b"1\t4.0\t1\t50", 4, "item: expected a whole", "'4.0'"),
    ("train.rating", b"1\t4\t1\t50", b"-1\t4\t1\t50", 4, "user: expected a whole", "'-1'"),
    ("train.rating", b"1\t4\t1\t50", b"1\tnan\t1\t50", 4, "item: expected a whole", "'nan'"),
    ("train.rating", b"1\t4\t1\t50", b"1\t5\t1\t50", 5, "each pair once", "user 1, item 5 again"),
    ("train.rating", b"1\t4\t1\t50", b"1\t4000\t1\t50", 4, "dense item indices", "4000"),
    ("train.rating", b"1\t4\t1\t50", b"9\t4\t1\t50", None, "each of the 10 users", "user 3"),
    ("train.rating", b"\n2\t6\t3\t9", b"\n2\t6\t3\t9\n2", 7, "4 fields with tabs", "1 in '2'"),
    ("test.rating", b"1\t0\t2\t60", b"1\t0\t?\t60", 2, "rating: expected a number", "'?'"),
    ("test.rating", b"1\t0\t2\t60", b"0\t0\t2\t60", None, "(0,0)", "(1,0)"),
    ("test.rating", b"1\t0\t2\t60\n", b"", None, "expected (2,2)", "(1,0)"),
    ("test.rating", b"2\t2\t3\t10\n", b"", None, "2 lines, one for each line", "another"),
    ("test.negative", b"\t10\t11", b"\t10", 2, "5 candidates, as on the first line", "found 4"),
    ("test.negative", b"\t10\t11", b"\t10\t11\t6", 2, "5 candidates, as on the first", "found 6"),
    ("test.negative", b"\t10\t11", b"\t10\tx", 2, "candidate 5: expected a whole", "'x'"),
    ("test.negative", b"\t10\t11", b"\t10\t-3", 2, "candidate 5: expected a whole", "'-3'"),
    ("test.negative", b"\t10\t11", b"\t10,11", 2, "candidate 4: expected a whole", "'10,11'"),
    ("test.negative", b"\t10\t11", b"\t10\t9000", 2, "dense item indices from 0", "9000"),
    ("test.negative", b"(1,0)", b"()1,0)", 2, "user: expected a whole number", "')1'"),
    ("test.negative", b"(1,0)\t1\t2", b"(1)\t0,1\t2", 2, "(user,item) and candidates", "(1)"),
    ("test.negative", b"(1,0)", b"1,0", 2, "(user,item) and candidates", "1,0"),
    ("test.negative", b"(1,0)", b"(1;0)", 2, "(user,item) and candidates", "(1;0)"),
    ("test.negative", b"(1,0)", b"(1,3)", 2, "expected (1,0)", "(1,3)"),
    ("test.negative", b"(2,2)\t3\t4\t5\t8\t9\n", b"", None, "found 2", "(2,2) is the first"),
    ("test.negative", b"(1,0)\t1\t2\t3\t10\t11\n", b"", 2, "expected (1,0)", "(2,2)"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "expected", "found"),
    BAD_PAPER,
    ids=[f"{b[0]}-{b[2][:16]!r}" for b in BAD_PAPER],
)
def test_bad_paper_line(tmp_path, name, old, new, line, expected, found):
    content = data_files.PAPER[f"toy.{name}"]
    assert content.count(old) == 1
    folder = paper(tmp_path, **{name: content.replace(old, new)})
    with pytest.raises(DataError) as error:
        load(folder)
    message = str(error.value)
    if line is not None:
        assert message.startswith(f"{folder / 'toy.'}{name}, line {line}")
    assert re.match(rf"{re.escape(str(folder))}/toy\.(train|test)\.(rating|negative)\b", message)
    assert expected in message
    assert found in message


@pytest.mark.parametrize("name", ["train.rating", "test.rating", "test.negative"])
def test_empty_paper_file(tmp_path, name):
    for content in (b"", b"\n\n"):
        with pytest.raises(DataError, match=rf"toy\.{name}: expected .*found none"):
            load(paper(tmp_path, **{name: content}))


@pytest.mark.parametrize("name", ["train.rating", "test.rating", "test.negative"])
def test_missing_paper_file(tmp_path, name):
    folder = paper(tmp_path)
    (folder / f"toy.{name}").unlink()
    with pytest.raises(DataError, match=rf"toy\.{name}: expected this file, found none"):
        load(folder / "toy")


def test_user_twice_in_the_test(tmp_path):
    test = data_files.PAPER["toy.test.rating"].replace(b"1\t0\t2", b"0\t0\t2")
    negative = data_files.PAPER["toy.test.negative"].replace(b"(1,0)", b"(0,0)")
    folder = paper(tmp_path, test_rating=test, test_negative=negative)
    with pytest.raises(DataError, match=r"toy\.test\.rating, line 2: expected one line a user"):
        load(folder)


def test_user_without_a_test_row(tmp_path):
    test = data_files.PAPER["toy.test.rating"].replace(b"1\t0\t2\t60\n", b"")
    negative = data_files.PAPER["toy.test.negative"].replace(b"(1,0)\t1\t2\t3\t10\t11\n", b"")
    folder = paper(tmp_path, test_rating=test, test_negative=negative)
    with pytest.raises(DataError, match="one line for each of the 3 users, found none for user 1"):
        load(folder)


def test_a_user_beyond_all_others_takes_no_memory(tmp_path):
    """A count for each of two billion users would need 16 gigabytes."""
    train = data_files.PAPER["toy.train.rating"] + b"2147483647\t1\t1\t1\n"
    folder = paper(tmp_path, train_rating=train)
    tracemalloc.start()
    with pytest.raises(DataError, match="each of the 2147483648 users, found none for user 3"):
        load(folder)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_held_out_item_in_training(tmp_path):
    test = data_files.PAPER["toy.test.rating"].replace(b"1\t0\t2", b"1\t5\t2")
    negative = data_files.PAPER["toy.test.negative"].replace(b"(1,0)", b"(1,5)")
    folder = paper(tmp_path, test_rating=test, test_negative=negative)
    with pytest.raises(DataError, match=r"test\.rating, line 2: expected an item that user 1 has"):
        load(folder)


def test_odd_candidates_are_noted(tmp_path):
    negative = data_files.PAPER["toy.test.negative"]
    negative = negative.replace(b"\t10\t11", b"\t0\t11").replace(b"\t5\t6\t7", b"\t10\t1\t2")
    data = load(paper(tmp_path, test_negative=negative))
    assert any(note.startswith("in 1 of 3 rows the held-out item is among") for note in data.notes)
    assert "2 candidates are in their user's training" in data.notes
    assert data.test.negatives[1].tolist() == [1, 2, 3, 0, 11]  # kept as it is


def test_equal_times_are_noted(tmp_path):
    train = re.sub(rb"\t\d+\n", b"\t1\n", data_files.PAPER["toy.train.rating"])
    data = load(paper(tmp_path, train_rating=train), validation=None)
    assert data.notes == ("all times are equal: the order of the training file stands for time",)
    assert data.train.items_of(0).tolist() == [1, 2, 3]


def test_items_csv(tmp_path):
    folder = data_files.write(paper(tmp_path), {"items.csv": data_files.ITEMS})
    data = load(folder)
    assert data.titles([0, 11]) == ["Film 0", "Film 11"]
    assert data.item_ids.tolist() == list(range(100, 88, -1))
    assert list(data.items.columns) == ["movie_id", "title", "genres"]
    assert data.items.index.tolist() == list(range(12))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"item,movie_id", b"item,id", r"items\.csv, line 1: expected 'item,movie_id,title,genres"),
        (b"\n3,97", b"\n4,97", r"items\.csv, line 5: expected item 3, found '4'"),
        (b"\n3,97", b"\n3,98", r"items\.csv, line 5: expected each movie_id once, found 98 again"),
        (b"\n3,97", b"\n3,x", r"items\.csv, line 5, movie_id: expected a whole number"),
        (b"\n3,97,", b"\n3,", r"items\.csv, line 5: expected .* found 3 fields"),
        (b"11,89,Film 11,Drama\n", b"", r"negative, line 2: expected 0 <= item < 11, found 11"),
        (data_files.ITEMS[27:], b"", r"items\.csv: expected a line for each item, found none"),
    ],
)
def test_bad_items_csv(tmp_path, old, new, message):
    assert data_files.ITEMS.count(old) == 1
    items = data_files.ITEMS.replace(old, new)
    folder = data_files.write(paper(tmp_path), {"items.csv": items})
    with pytest.raises(DataError, match=message):
        load(folder)


def test_slow_and_fast_parsers_agree(monkeypatch):
    import ncf_utils.readers as readers

    content = b"\xef\xbb\xbf1\t2\t3.5\t-4\r\n\r\n+5\t 6\t.5\t1e3\r\n"
    names = ("user", "item", "rating", "timestamp")
    fast = parse_table(content, "x", names, "\t")
    monkeypatch.setattr(readers, "_parse_fast", lambda *_: None)
    slow = parse_table(content, "x", names, "\t")
    for a, b in zip(fast, slow, strict=True):
        assert a.tolist() == b.tolist()
    assert fast[0].dtype == slow[0].dtype == np.int64


@pytest.mark.parametrize("blank", ["", "\u00a0\n"], ids=["fast", "slow"])
def test_times_in_nanoseconds_keep_every_digit(blank):
    """A float has 53 bits: it cannot tell these two apart."""
    times = [10**18 + 1, 10**18]
    content = blank + "".join(f"0,{item},1,{time}\n" for item, time in enumerate(times))
    time = parse_table(content.encode(), "x", ("user", "item", "rating", "timestamp"), ",")[3]
    assert time.tolist() == times and time.dtype == np.int64


def test_a_byte_order_mark_alone_is_a_blank_line():
    assert parse_table(b"\xef\xbb\xbf\n1 2\n", "x", ("user", "item"), " ")[1].tolist() == [2]


def test_fast_parser_is_used(monkeypatch, tmp_path):
    """A good file of any layout never reaches the line-by-line pass."""
    import ncf_utils.readers as readers

    def refuse(*_):
        raise AssertionError("parsed line by line")

    monkeypatch.setattr(readers, "_parse_slowly", refuse)
    monkeypatch.setattr(readers, "_read_negatives_slowly", refuse)
    for layout in data_files.LAYOUTS:
        load(data_files.write(tmp_path / layout, data_files.movielens(layout)))
    load(paper(tmp_path))
