"""The paper's towers, its stored runs, and the published numbers."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf_utils import paper
from ncf_utils.parameters import ParameterError


@pytest.fixture
def runs():
    """A run that varies in nothing, one for each thing that may vary, and a GMF."""
    plain = paper.FIXED | {"model": "MLP", "seed": 0}
    others = {
        "framework": "keras",
        "loss": "bpr",
        "activation": "linear",
        "tower": "code",
        "pretrain": True,
        "predictive_factors": 16,
        "num_layers": 1,
        "num_negatives": 2,
    }
    assert set(others) == set(paper.FIXED)
    gmf = plain | {"model": "GMF", "num_layers": 0, "activation": np.nan, "tower": None}
    return pd.DataFrame([plain, *(plain | {name: other} for name, other in others.items()), gmf])


def test_nothing_varies_unless_it_is_named(runs):
    assert paper.vary(runs).index.tolist() == [0, len(runs) - 1]


@pytest.mark.parametrize("at, name", list(enumerate(paper.FIXED, start=1)))
def test_what_is_named_may_vary_and_nothing_else(runs, at, name):
    assert paper.vary(runs, name).index.tolist() == [0, at, len(runs) - 1]


def test_a_gmf_is_held_to_what_it_has(runs):
    gmf = runs.iloc[[-1]]
    assert len(paper.vary(gmf)) == 1
    assert len(paper.vary(gmf.assign(num_negatives=2))) == 0


def test_an_unknown_name_is_refused_with_the_nearest(runs):
    with pytest.raises(ParameterError, match="num_negative .*num_negatives"):
        paper.vary(runs, "num_negative")


@pytest.mark.parametrize(
    "layers, dim, kind",
    [
        ([32, 16, 8], np.nan, "paper"),
        ([32, 16, 8], 16, "paper"),
        ([32, 16, 8], 32, "code"),
        ([32, 16, 8], 8, "other"),
        ([], 4, "paper"),
        (np.nan, np.nan, None),
    ],
)
def test_a_tower_is_known_by_its_embeddings(layers, dim, kind):
    assert paper._kind(layers, dim) == kind


def test_stored_runs_hold_lists_where_the_file_has_them():
    runs = paper.stored_runs("paper-ncf-ml-1m")
    assert runs.run.is_unique and len(runs) > 0
    first = runs.iloc[0]
    assert isinstance(first.test_hr_by_k, list) and len(first.test_hr_by_k) == 10
    assert first.test_hr_by_k[-1] == pytest.approx(first.test_hr, abs=5e-5)
    assert runs[runs.model == "GMF"].hidden_layers.isna().all()
    assert all(isinstance(layers, list) for layers in runs[runs.model != "GMF"].hidden_layers)


def test_each_stored_run_agrees_with_its_own_curves():
    """The picked epoch is the best on the validation items, and the test metric is its own."""
    for run in paper.stored_runs("paper-ncf-ml-1m").itertuples():
        curve = run.validation_ndcg_by_epoch
        first = 0 if run.pretrain else 1  # a pre-trained model is one before its first epoch
        assert curve[run.picked_epoch] == max(curve[first:]), run.run
        assert run.test_hr_by_epoch[run.picked_epoch] == pytest.approx(run.test_hr, abs=5e-5)
        assert run.best_test_hr == pytest.approx(max(run.test_hr_by_epoch[first:]), abs=5e-5)
        assert run.test_hr_low <= run.test_hr <= run.test_hr_high
        assert json.loads(str(run.validation_hr_by_k)) == sorted(run.validation_hr_by_k)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="no-such-runs.csv"):
        paper.stored_runs("no-such-runs")


def test_published_numbers_by_data_set_and_source():
    rows = paper.published("ml-1m", "he2017")
    assert len(rows) == 28 and set(rows.model) == {"NeuMF", "MLP"}
    assert len(paper.published("pinterest-20")) == len(paper.published("ml-1m")) == 44
    best = paper.published().query("source == 'rendle2020' and model == 'MF'")
    assert best.hr_at_10.item() == 0.7294


def test_settings_are_picked_on_validation_over_their_seeds_and_never_on_test():
    rows = [
        ("ALS", 8, 1, 0, 0.3, 0.1),
        ("ALS", 8, 1, 1, 0.5, 0.2),
        ("ALS", 8, 9, 0, 0.39, 0.9),
        ("ALS", 16, 9, 0, 0.6, 0.3),
        ("KNN", np.nan, np.nan, 0, 0.1, 0.4),
    ]
    names = ["model", "num_factors", "l2", "seed", "validation_ndcg", "test_hr"]
    runs = pd.DataFrame(rows, columns=names)
    assert paper.picked(runs).test_hr.tolist() == [0.3, 0.4]
    assert paper.picked(runs, "num_factors").test_hr.tolist() == [0.1, 0.2, 0.3, 0.4]


RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
STORED = sorted(path.stem for path in RESULTS.glob("*.csv"))


@pytest.mark.parametrize("name", STORED)
def test_settings_are_picked_from_what_is_stored_with_its_lists(name):
    runs = paper.stored_runs(name)
    picked = paper.picked(runs)
    assert set(picked.model) == set(runs.model)
    for model, best in picked.groupby("model"):
        others = runs[runs.model.eq(model)].groupby(runs.hidden_layers.map(str)).validation_ndcg
        assert best.validation_ndcg.mean() >= others.mean().max() - 1e-12
        assert best.hidden_layers.map(str).nunique() == 1


def test_the_spread_of_seeds_is_pooled_over_settings(runs):
    """As if each setting's runs were moved to the same mean; single seeds have no say."""
    rng = np.random.default_rng(0)
    sizes = {1: 2, 2: 5, 3: 1, 4: 3}
    rows = pd.DataFrame({"n": np.repeat(list(sizes), list(sizes.values()))})
    rows["hr"] = rng.normal(rows.n, 0.1)
    rest = [rows.hr[rows.n == n] - rows.hr[rows.n == n].mean() for n in sizes]
    expected = np.sqrt(np.square(np.concatenate(rest)).sum() / (1 + 4 + 0 + 2))
    assert paper.seed_std(rows, "hr", "n") == pytest.approx(expected)
    assert np.isnan(paper.seed_std(rows[rows.n == 3], "hr", "n"))
    assert np.isnan(paper.seed_std(runs.assign(hr=0.5), "hr"))  # each its own setting, or NaN in it
    twice = pd.concat([runs.assign(hr=0.5), runs.assign(hr=0.6)])
    assert paper.seed_std(twice, "hr") == pytest.approx(np.std([0.5, 0.6], ddof=1))


def test_levels_are_means_over_seeds_with_chance_last():
    rows = [
        {"model": "popularity", "num_factors": None, "test_hr": 0.45, "test_ndcg": 0.25},
        {"model": "BPR", "num_factors": 8, "test_hr": 0.5, "test_ndcg": 0.3},
        {"model": "BPR", "num_factors": 8, "test_hr": 0.6, "test_ndcg": 0.4},
        {"model": "BPR", "num_factors": 16, "test_hr": 0.9, "test_ndcg": 0.9},
    ]
    levels = paper.levels(pd.DataFrame(rows).assign(validation_ndcg=0.3), "BPR 8")
    assert list(levels) == ["BPR", "Popularity", "Random"]
    assert levels["BPR"] == pytest.approx((0.55, 0.35)) and levels["Popularity"] == (0.45, 0.25)
    gains = [1 / np.log2(rank + 2) if rank < 10 else 0 for rank in range(100)]
    assert levels["Random"] == pytest.approx((0.1, np.mean(gains)))
    for names, fault in {
        ("BRP",): "there is no run of BRP",
        ("BPR 32",): "there is no run of BPR 32",
        ("BPR 8", "BPR 16"): "BPR is named twice",
    }.items():
        with pytest.raises(ParameterError, match=re.escape(fault)):
            paper.levels(pd.DataFrame(rows).assign(validation_ndcg=0.3), *names)


@pytest.mark.parametrize("asked", [("ml1m",), ("ml-1m", "he2016")])
def test_published_numbers_that_there_are_not_are_an_error(asked):
    with pytest.raises(ParameterError, match="did you mean 'ml-1m'|did you mean 'he2017'"):
        paper.published(*asked)
