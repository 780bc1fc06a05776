"""Lists against their definition, ids and titles, and folding in against a general minimiser."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from ncf_utils.data import DataError, load_dataset
from ncf_utils.metrics import evaluate
from ncf_utils.sampler import NegativeSampler
from ncf_utils.serving import best, find_item, find_user, fold_in, seen_items, top_k


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(
        "synthetic", num_users=30, num_items=120, num_interactions=300, num_candidates=20
    )


def table_score(dataset, levels=None, seed=0):
    """Scores from a table, with many ties where there are few levels."""
    rng = np.random.default_rng(seed)
    shape = dataset.num_users, dataset.num_items
    table = rng.random(shape) if levels is None else rng.integers(levels, size=shape)
    return table, lambda user, item: table[user, item]


def slow_list(table, dataset, user, k):
    """The definition, with the language's own sort."""
    seen = set(dataset.train.items_of(user).tolist())
    seen |= set(dataset.validation.item[dataset.validation.user == user].tolist())
    unseen = [item for item in range(dataset.num_items) if item not in seen]
    return sorted(unseen, key=lambda item: (-table[user, item], item))[:k]


@pytest.mark.parametrize("levels", [None, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 500, 2**20])
def test_lists_are_those_of_the_definition(dataset, levels, batch_size):
    table, score = table_score(dataset, levels)
    users = np.arange(dataset.num_users)
    lists = top_k(score, dataset, users, k=7, batch_size=batch_size)
    assert lists.tolist() == [slow_list(table, dataset, user, 7) for user in users]
    assert top_k(score, dataset, 3, k=7).tolist() == lists[3].tolist()
    assert top_k(score, dataset, [3, 3, 0], k=7).tolist() == lists[[3, 3, 0]].tolist()


def test_the_validation_item_is_masked_and_the_test_item_is_not(dataset):
    def clairvoyant(user, item):
        held = (dataset.test, dataset.validation)
        return sum(np.isin(user * 1000 + item, part.user * 1000 + part.item) for part in held)

    lists = top_k(clairvoyant, dataset, dataset.test.user, k=5)
    assert np.array_equal(lists[:, 0], dataset.test.item)
    validation = dict(zip(dataset.validation.user, dataset.validation.item, strict=True))
    assert not any(
        validation.get(user) in row for user, row in zip(dataset.test.user, lists, strict=True)
    )


def test_seen_without_validation_is_training_alone(dataset):
    users = np.array([4, 2, 4])
    seen = seen_items(replace(dataset, validation=None), users)
    assert np.array_equal(seen, dataset.train.to_csr()[users].toarray() == 1)
    assert (seen_items(dataset, users).sum(axis=1) == seen.sum(axis=1) + 1).all()


def test_lists_agree_with_the_full_ranking(dataset):
    """A test item is in the list exactly if `evaluate` ranks it within the first k."""
    _, score = table_score(dataset)
    ranks = evaluate(score, dataset, full=True, k=20).ranks
    lists = top_k(score, dataset, dataset.test.user, k=20)
    found = (lists == dataset.test.item[:, None]).any(axis=1)
    assert np.array_equal(found, ranks < 20) and 0 < found.sum() < len(found)


def test_where_little_is_unseen_the_list_is_short(dataset):
    _, score = table_score(dataset)
    unseen = 120 - seen_items(dataset, np.array([0])).sum()
    assert len(top_k(score, dataset, 0, k=500)) == unseen
    lists = top_k(score, dataset, [0], k=500)
    assert lists.shape == (1, 500) and (lists[0, unseen:] == -1).all()
    assert (
        sorted(lists[0, :unseen]) == np.flatnonzero(~seen_items(dataset, np.array([0]))[0]).tolist()
    )
    assert top_k(score, dataset, []).shape == (0, 10)


def test_the_callers_scores_are_left_alone(dataset):
    table = np.random.default_rng(0).random((1, dataset.num_items))
    before = table.copy()
    top_k(lambda user, item: table, dataset, 0)
    assert np.array_equal(table, before)


@pytest.mark.parametrize("user", [-1, 30, [0, 30]])
def test_an_unknown_user_is_an_error(dataset, user):
    with pytest.raises(IndexError, match=r"expected 0 <= user < 30, found (-1|30)$"):
        top_k(table_score(dataset)[1], dataset, user)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_small_integers_are_users_like_any(ml_latest_small, dtype):
    last = np.array([min(np.iinfo(dtype).max, 255)], dtype)
    every = np.arange(ml_latest_small.num_items, dtype=float)

    def score(user, item):
        return np.broadcast_arrays(every[item], user)[0]

    assert top_k(score, ml_latest_small, last, 50).tolist() == [
        top_k(score, ml_latest_small, int(last[0]), 50).tolist()
    ]
    items = ml_latest_small.train.items_of(last[0])
    assert np.array_equal(items, ml_latest_small.train.items_of(int(last[0])))


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int8])
def test_best_takes_scores_of_any_type(dtype):
    scores = np.array([[0, 1, 1, 0]]).astype(dtype)
    assert best(scores, 3).tolist() == [[1, 2, 0]]
    assert best(np.array([[-128, 0, 5]], np.int8), 3).tolist() == [[2, 1, 0]]


@pytest.mark.parametrize("user", [1.0, "1", True, [[1]], None])
def test_what_is_no_index_is_an_error(dataset, user):
    with pytest.raises(ValueError, match="user must be an index"):
        top_k(table_score(dataset)[1], dataset, user)


def test_scores_that_cannot_be_ranked_are_an_error(dataset):
    with pytest.raises(ValueError, match=r"shape \(120,\) .* expected \(1, 120\)"):
        top_k(lambda user, item: np.zeros(120), dataset, 0)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"score returned {bad} for user 5"):
            top_k(lambda user, item, bad=bad: np.where(user == 5, bad, item), dataset, [4, 5])
    for name, value in (("k", 0), ("k", 2.5), ("batch_size", 0)):
        with pytest.raises(ValueError, match=name):
            top_k(table_score(dataset)[1], dataset, 0, **{name: value})


@given(st.data())
def test_best_is_the_head_of_the_full_sort(data):
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])
    scores = np.array(
        [data.draw(st.lists(values, min_size=columns, max_size=columns)) for _ in range(rows)]
    )
    k = data.draw(st.integers(1, columns))
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert np.array_equal(best(scores, k), expected)


# --- ids and titles ------------------------------------------------------------------------------


def test_every_id_leads_to_its_index(ml_latest_small):
    data = ml_latest_small
    assert [find_user(data, one) for one in data.user_ids[::50]] == list(range(0, 671, 50))
    assert [find_item(data, int(one)) for one in data.item_ids[::999]] == list(range(0, 9066, 999))
    assert find_item(data, "Jumanji (1995)") == 1
    assert type(find_user(data, 7)) is type(find_item(data, "Jumanji (1995)")) is int


def test_an_unknown_id_or_title_is_an_error(ml_latest_small):
    with pytest.raises(DataError, match="user 672: .* 671 ids go from 1 to 671; .*fold_in"):
        find_user(ml_latest_small, 672)
    with pytest.raises(DataError, match="item 0: .* 9,066 ids go from 1 to 163949$"):
        find_item(ml_latest_small, 0)
    with pytest.raises(DataError, match=r"titled 'JUMANJI'; did you mean 'Jumanji \(1995\)'\?"):
        find_item(ml_latest_small, "JUMANJI")
    with pytest.raises(DataError, match="titled 'qqqqqq'$"):
        find_item(ml_latest_small, "qqqqqq")
    with pytest.raises(DataError, match="titled ''$"):
        find_item(ml_latest_small, "")  # five films have no title


def test_a_title_of_two_films_asks_for_an_id(ml_latest_small):
    items = ml_latest_small.items.copy()
    items.loc[3, "title"] = items.title[9]
    data = replace(ml_latest_small, items=pd.DataFrame(items))
    with pytest.raises(DataError, match="title of 2 items: give an id, one of 4, 10"):
        find_item(data, items.title[9])


def test_without_ids_or_titles_there_is_nothing_to_find(dataset):
    with pytest.raises(DataError, match="synthetic has no user ids: its users are .* 0 to 29"):
        find_user(dataset, 3)
    with pytest.raises(DataError, match="synthetic has no item ids: its items are .* 0 to 119"):
        find_item(dataset, 3)
    with pytest.raises(DataError, match="synthetic has no titles"):
        find_item(dataset, "Jumanji (1995)")


# --- folding in ----------------------------------------------------------------------------------


def slow_loss(p, V, positives, start, bias, missing, l2):
    """The log loss, term by term."""
    total = l2 * sum((a - b) ** 2 for a, b in zip(p, start, strict=True))
    for index, vector in enumerate(V):
        logit = float(np.dot(vector, p) + np.broadcast_to(bias, len(V))[index])
        if index in positives:
            total += np.log1p(np.exp(-logit))
        else:
            total += np.broadcast_to(missing, len(V))[index] * np.log1p(np.exp(logit))
    return total


@pytest.mark.parametrize("case", range(4))
def test_fold_in_finds_the_lowest_point(case):
    rng = np.random.default_rng(case)
    V, start = rng.normal(size=(12, 3)), rng.normal(size=3)
    positives = rng.choice(12, 1 + case, replace=False)
    bias = rng.normal() if case % 2 else rng.normal(size=12)
    missing = None if case < 2 else rng.random(12)
    l2 = [0.01, 0.3, 1.0, 5.0][case]
    found = fold_in(V, positives, start=start, bias=bias, num_negatives=3, missing=missing, l2=l2)
    spread = 3 * len(positives) / (12 - len(positives)) if missing is None else missing
    given = set(positives.tolist())
    slow = minimize(slow_loss, start, (V, given, start, bias, spread, l2), tol=1e-12)
    assert np.allclose(found, slow.x, atol=1e-4)
    assert np.linalg.norm(found - start) > 0.01  # there was a way to go


def test_fold_in_has_the_loss_that_training_has_on_average(dataset):
    """Each missing item counts as often as the sampler draws it."""
    user, num_negatives = 3, 4
    history = dataset.train.items_of(user)
    sampler, drawn = NegativeSampler(dataset.train, num_negatives), np.zeros(dataset.num_items)
    for _ in range(400):
        drawn += np.bincount(
            sampler.sample(np.full(num_negatives * len(history), user)), minlength=len(drawn)
        )
    V = np.random.default_rng(0).normal(size=(dataset.num_items, 2))
    counted = fold_in(V, history, missing=drawn / 400)
    assert np.allclose(fold_in(V, history, num_negatives=num_negatives), counted, atol=0.02)
    assert not np.allclose(fold_in(V, history, num_negatives=2), counted, atol=0.02)


def test_fold_in_without_positives_stays_at_the_start():
    start = np.array([0.3, -0.2])
    found = fold_in(np.ones((4, 2)), [], start=start)
    assert np.array_equal(found, start)
    found += 1  # the caller's own may be the mean vector of everybody
    assert np.array_equal(fold_in(np.ones((4, 2)), []), np.zeros(2))
    assert start.tolist() == [0.3, -0.2]


def test_fold_in_stands_numbers_of_any_size():
    """Logits in the hundreds neither overflow nor send Newton's steps astray."""
    V = np.random.default_rng(0).normal(scale=200, size=(50, 4))
    with np.errstate(all="raise", under="ignore"):
        p = fold_in(V, [0, 1], start=np.full(4, 3.0), bias=-100.0, l2=1e-6)
    slope = lambda p: slow_loss(p, V, {0, 1}, np.full(4, 3.0), -100.0, 8 / 48, 1e-6)  # noqa: E731
    assert slope(p) < min(slope(p + step) for step in 0.01 * np.vstack([np.eye(4), -np.eye(4)]))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"positives": [5]}, "expected 0 <= positives < 4, found 5"),
        ({"positives": [-1]}, "expected 0 <= positives < 4, found -1"),
        ({"positives": [1, 1]}, "positives holds an index twice"),
        ({"positives": [0.5]}, "positives must be an index"),
        ({"vectors": np.ones(4)}, r"vectors must have shape \(n, K\)"),
        ({"start": np.ones(3)}, r"start must have shape \(2,\), not \(3,\)"),
        ({"l2": 0}, "l2 must be above 0"),
        ({"num_negatives": -1}, "num_negatives must be at least 0"),
        ({"vectors": [[1, 2], [3, np.nan], [5, 6], [7, 8]]}, "vectors must be finite, found nan"),
        ({"vectors": "abc"}, "vectors must hold numbers, not 'abc'"),
        ({"start": [0, np.inf]}, "start must be finite, found inf"),
        ({"bias": np.nan}, "bias must be finite, found nan"),
        ({"bias": [0, 0, -np.inf, 0]}, "bias must be finite, found -inf"),
        ({"bias": [0.5]}, r"bias must be a number or have shape \(4,\), not \(1,\)"),
        ({"bias": np.ones((4, 1))}, r"bias must be .* shape \(4,\), not \(4, 1\)"),
        ({"missing": -1}, "missing must be at least 0, not -1.0"),
        ({"missing": [1, 1, -0.5, 1]}, "missing must be at least 0, not -0.5"),
        ({"missing": np.nan}, "missing must be finite, found nan"),
        ({"missing": np.ones(3)}, r"missing must be .* shape \(4,\), not \(3,\)"),
    ],
)
def test_fold_in_refuses(change, message):
    with pytest.raises((ValueError, IndexError), match=message):
        fold_in(**({"vectors": np.ones((4, 2)), "positives": [1]} | change))
