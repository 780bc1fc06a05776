"""`load_ratings` against the files themselves, and against what `load_dataset` makes of them."""

import data_files
import numpy as np
import pandas as pd
import pytest

from ncf_utils import data
from ncf_utils import download as downloads
from ncf_utils.data import DataError, load_dataset
from ncf_utils.download import Remote
from ncf_utils.ratings import load_ratings
from ncf_utils.split import leave_one_out


def pairs_of(dataset):
    parts = (dataset.train, dataset.validation, dataset.test)
    user = np.concatenate([part.user for part in parts]).astype(np.int64)
    return np.sort(user * dataset.num_items + np.concatenate([part.item for part in parts]))


@pytest.mark.parametrize("name", ["ml-latest-small", "synthetic"])
def test_the_ratings_are_the_interactions_of_the_data_set(name):
    dataset, log = load_dataset(name), load_ratings(name)
    keys = np.sort(log.user.to_numpy(np.int64) * dataset.num_items + log.item.to_numpy())
    assert np.array_equal(keys, pairs_of(dataset))
    held_out = log.iloc[leave_one_out(log.user, log.time)]
    assert np.array_equal(held_out.user, dataset.test.user)
    assert np.array_equal(held_out.item, dataset.test.item)


def test_ids_ratings_and_times_are_those_of_the_file():
    dataset, log = load_dataset("ml-latest-small"), load_ratings("ml-latest-small")
    raw = pd.read_csv(data._embedded("ml-latest-small") / "ratings.csv")
    assert np.array_equal(dataset.user_ids[log.user], raw.userId)
    assert np.array_equal(dataset.item_ids[log.item], raw.movieId)
    assert np.array_equal(log.rating, raw.rating) and np.array_equal(log.time, raw.timestamp)


def test_the_papers_format_gives_training_then_held_out_ratings(tmp_path):
    (tmp_path / "x.train.rating").write_text("0\t1\t4\t20\n0\t0\t3.5\t10\n1\t2\t1\t5\n")
    (tmp_path / "x.test.rating").write_text("0\t2\t5\t30\n1\t0\t2\t6\n")
    log = load_ratings(tmp_path / "x")
    assert log.values.tolist() == [
        [0, 1, 4, 20], [0, 0, 3.5, 10], [1, 2, 1, 5], [0, 2, 5, 30], [1, 0, 2, 6],
    ]  # fmt: skip
    assert load_ratings(tmp_path).equals(log)


def test_a_data_set_that_is_not_there_is_downloaded_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path))
    for name in ("NCF_DATA_DIR", "NCF_MIRRORS"):
        monkeypatch.delenv(name, raising=False)
    nowhere = Remote("ml-1m.zip", "http://127.0.0.1:9/", "md5:0")  # nothing listens there
    monkeypatch.setitem(downloads.REMOTES, "ml-1m", (nowhere,))
    with pytest.raises(DataError, match=r"ml-1m\.zip could not be downloaded"):
        load_ratings("ml-1m")
    with pytest.raises(DataError, match="ml-1m is not on this machine, and download=False"):
        load_ratings("ml-1m", download=False)


def test_an_argument_that_means_nothing_is_an_error():
    with pytest.raises(DataError, match="takes no argument 'rank'"):
        load_ratings("ml-latest-small", rank=3)
    with pytest.raises(DataError, match="did you mean ml-latest-small"):
        load_ratings("ml-latest-smal")


@pytest.mark.parametrize("load", [load_ratings, load_dataset])
def test_of_several_data_sets_in_a_folder_one_has_to_be_named(tmp_path, load):
    """The two never speak of different data sets."""
    other = {name.replace("toy", "game"): text for name, text in data_files.PAPER.items()}
    data_files.write(tmp_path, data_files.PAPER | other)
    with pytest.raises(DataError, match="expected one data set, found game, toy: name one"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["synthetic", "ml-latest-small"])
@pytest.mark.parametrize("seed", [-1, 0.5, "0"])
def test_a_bad_seed_is_named(name, seed):
    message = f"seed: expected a whole number from 0, found {seed!r}"
    for load in (load_ratings, load_dataset):
        with pytest.raises(DataError, match=message):
            load(name, seed=seed)
