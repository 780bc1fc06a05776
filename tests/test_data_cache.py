"""The cache of parsed files: quick, and never trusted further than it can be checked."""

import os
import sys

import data_files
import numpy as np
import pytest

import ncf_utils.data as data_module
from ncf_utils import readers
from ncf_utils.data import load_dataset


@pytest.fixture
def parsed(tmp_path, monkeypatch):
    """How often text was parsed; caches of the user go to a folder of the test."""
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NCF_DATA_DIR", raising=False)
    calls = []
    for name in ("read_paper", "read_movielens"):
        plain = getattr(readers, name)

        def counting(*arguments, plain=plain, name=name):
            calls.append(name)
            return plain(*arguments)

        monkeypatch.setattr(readers, name, counting)
    return calls


def load(path):
    return load_dataset(path, num_candidates=3)


def same(a, b):
    assert repr(a) == repr(b) and a.notes == b.notes
    for part in ("train", "validation", "test"):
        for name in ("user", "item", "indptr", "negatives", "position"):
            x, y = (getattr(getattr(d, part), name, None) for d in (a, b))
            assert (x is None and y is None) or (x.dtype == y.dtype and np.array_equal(x, y))
    for name in ("user_ids", "item_ids"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None and y is None) or np.array_equal(x, y)
    assert (a.items is None) == (b.items is None)
    assert a.items is None or a.items.equals(b.items)


@pytest.fixture(params=["paper", "movielens", "archive"])
def source(request, tmp_path):
    """A data set, and the function that changes its content."""
    if request.param == "paper":
        path = data_files.write(tmp_path / "data", data_files.PAPER)
        data_files.write(path, {"items.csv": data_files.ITEMS})
        file, old, new = path / "toy.train.rating", b"0\t1\t5\t300", b"0\t8\t5\t300"
    elif request.param == "movielens":
        path = data_files.write(tmp_path / "data", data_files.movielens("u.data"))
        file, old, new = path / "u.data", b"2\t50\t4\t800", b"2\t40\t4\t800"
    else:
        path = file = tmp_path / "data" / "ml.zip"
        path.parent.mkdir()
        files = data_files.movielens("ratings.csv")
        path.write_bytes(data_files.zipped(files))
        other = files | {"ratings.csv": files["ratings.csv"].replace(b"2,50,4", b"2,40,4")}

        def change():
            path.write_bytes(data_files.zipped(other))
            os.utime(path, ns=(1, 1))

        return path, change

    def change():
        content = file.read_bytes()
        assert content.count(old) == 1
        file.write_bytes(content.replace(old, new))
        os.utime(file, ns=(1, 1))  # the same size, another time

    return path, change


def test_second_load_is_equal_and_parses_nothing(source, parsed):
    first = load(source[0])
    assert len(parsed) == 1
    same(load(source[0]), first)
    assert len(parsed) == 1


def test_changed_source_is_parsed_again(source, parsed):
    path, change = source
    first = load(path)
    change()
    second = load(path)
    assert len(parsed) == 2
    items = [
        np.sort(np.r_[d.with_validation_in_train().train.item, d.test.item])
        for d in (first, second)
    ]
    assert first.num_items != second.num_items or not np.array_equal(*items)
    same(load(path), second)
    assert len(parsed) == 2


def the_cache(folder):
    (cache,) = folder.glob("*.parsed.npz")
    return cache


def with_array(name, value):
    def damage(cache):
        with np.load(cache) as stored:
            arrays = dict(stored)
        arrays[name] = value(arrays[name])
        np.savez(cache, **arrays)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda cache: cache.write_bytes(b""),
        lambda cache: cache.write_bytes(b"no archive at all"),
        lambda cache: cache.write_bytes(cache.read_bytes()[:-40]),
        lambda cache: cache.write_bytes(cache.read_bytes().replace(b"\x08", b"\x09")),
        lambda cache: np.savez(cache, other=np.arange(3)),
        lambda cache: np.savez(cache, key=np.array([{"a": 1}], dtype=object)),
        with_array("key", lambda key: np.array(key.item().replace("[2,", "[1,"))),
        with_array("item", lambda item: item + 100),
        with_array("item", lambda item: item - 1),
        with_array("item", lambda item: item.astype(np.float64)),
        with_array("item", lambda item: item[:-1]),
        with_array("indptr", lambda indptr: indptr[:-1]),
        with_array("indptr", lambda indptr: indptr[::-1]),
        with_array("negatives", lambda negatives: negatives + 50),
        with_array("test_user", lambda user: user[:-1]),
    ],
)
def test_damaged_cache_is_ignored_and_written_anew(tmp_path, parsed, damage):
    folder = data_files.write(tmp_path / "data", data_files.PAPER)
    first = load(folder)
    damage(the_cache(folder))
    same(load(folder), first)
    assert len(parsed) == 2
    same(load(folder), first)
    assert len(parsed) == 2


def without_array(name):
    def damage(cache):
        with np.load(cache) as stored:
            np.savez(cache, **{each: stored[each] for each in stored if each != name})

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        with_array("user_ids", lambda ids: ids[:-1]),
        with_array("item_ids", lambda ids: ids[:-1]),
        without_array("user_ids"),
        without_array("item_ids"),
    ],
)
def test_cache_without_some_ids_is_ignored(tmp_path, parsed, damage):
    folder = data_files.write(tmp_path / "data", data_files.movielens("u.data"))
    first = load(folder)
    damage(the_cache(folder))
    same(load(folder), first)
    assert len(parsed) == 2


def test_cache_of_another_data_set_is_ignored(tmp_path, parsed):
    one = data_files.write(tmp_path / "one", data_files.PAPER)
    changed = data_files.PAPER["toy.train.rating"].replace(b"0\t1\t5\t300", b"0\t8\t5\t300")
    two = data_files.write(tmp_path / "two", data_files.PAPER | {"toy.train.rating": changed})
    os.utime(two / "toy.train.rating", ns=(5, 5))
    first = load(one)
    load(two)
    os.replace(the_cache(two), the_cache(one))
    same(load(one), first)
    assert len(parsed) == 3


def test_what_was_read_leniently_is_not_taken_for_strict(tmp_path, parsed, monkeypatch):
    """A published name forgives a repeated pair; the same files as a folder do not."""
    monkeypatch.setattr(data_module, "SIZES", {"toy": (3, 12, 9)})
    train = data_files.PAPER["toy.train.rating"] + b"1\t4\t1\t70\n"
    data_files.write(tmp_path / "toy", data_files.PAPER | {"toy.train.rating": train})
    load_dataset("toy", data_dir=tmp_path, num_candidates=3)
    with pytest.raises(data_module.DataError, match="line 10: expected each pair once"):
        load(tmp_path / "toy")


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permission there")
def test_read_only_folder_uses_the_cache_of_the_user(tmp_path, parsed):
    folder = data_files.write(tmp_path / "data", data_files.PAPER)
    folder.chmod(0o555)
    try:
        first = load(folder)
        assert sorted(p.name for p in folder.iterdir()) == sorted(data_files.PAPER)
        assert len(list((tmp_path / "cache" / "parsed").iterdir())) == 1
        same(load(folder), first)
        assert len(parsed) == 1
    finally:
        folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permission there")
def test_no_place_for_a_cache(tmp_path, parsed, monkeypatch):
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_bytes(b"")
    folder = data_files.write(tmp_path / "data", data_files.PAPER)
    folder.chmod(0o555)
    try:
        same(load(folder), load(folder))
        assert len(parsed) == 2
    finally:
        folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_full_disk_leaves_no_cache_and_no_error(tmp_path, parsed):
    import resource

    lines = "".join(f"{u}\t{i}\t1\t{i}\n" for u in range(40) for i in range(u, u + 900))
    folder = data_files.write(tmp_path / "data", {"u.data": lines.encode()})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        first = load(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in folder.iterdir()] == ["u.data"]
    assert not any(p.is_file() for p in (tmp_path / "cache").rglob("*"))
    same(load(folder), first)
    assert the_cache(folder).is_file()


def test_cache_folder_is_the_systems_own_by_default(monkeypatch):
    import pooch

    from ncf_utils.cache import cache_folder

    monkeypatch.delenv("NCF_CACHE_DIR", raising=False)
    assert cache_folder() == pooch.os_cache("ncf_utils")
