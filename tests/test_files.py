"""Files that are whole or not there: one step, one place for each writer, nothing left behind."""

import os
import time

import pytest

from ncf_utils.files import ABANDONED, part_of, whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", ["", ".keras"])
def test_a_file_takes_its_name_when_it_is_whole(tmp_path, suffix):
    path = tmp_path / "model.keras"
    path.write_text("before")
    with whole(str(path), suffix) as part:
        assert part.parent == tmp_path and part.name.endswith(f".part{suffix}")
        part.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after" and names(tmp_path) == ["model.keras"]


@pytest.mark.parametrize("error", [OSError("No space left"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_lies_there_alone(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(type(error)), whole(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "before" and names(tmp_path) == ["a"]


def test_a_writer_that_writes_nothing_replaces_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), whole(path):
        pass
    assert path.read_text() == "before"


def test_it_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    """Else a power failure may leave the new name with no content."""
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    with whole(tmp_path / "a") as part:
        part.write_text("new")
    assert done == ["fsync", "replace"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with whole(path) as first:
        first.write_text("the first begins")
        with whole(path) as second:
            second.write_text("the second")
        assert path.read_text() == "the second"
        first.write_text("the first ends last")
    assert path.read_text() == "the first ends last" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("suffix", ["", ".keras"])
def test_what_killed_writers_left_long_ago_is_removed(tmp_path, suffix):
    """A name with [ ] is not taken for a pattern, and parts of other files stay."""
    path, other = tmp_path / "a[b]", tmp_path / "ab"
    old, young, others = part_of(path, suffix), part_of(path, suffix), part_of(other, suffix)
    for part in (old, young, others):
        part.write_text("half")
    for part in (old, others):
        os.utime(part, (time.time() - ABANDONED - 1,) * 2)
    assert part_of(path, suffix) not in (old, young)
    assert names(tmp_path) == sorted([young.name, others.name])
