"""Popularity and random scores: what a trained model has to beat."""

import numpy as np
import pytest

from ncf_utils.baselines import popularity_score, random_score
from ncf_utils.data import Interactions
from ncf_utils.metrics import evaluate

SHAPES = [((3,), (3,)), ((3, 1), (3, 4)), ((3, 1), (1, 5)), ((1, 1), (1, 5)), ((), (4,))]


@pytest.fixture
def train():
    return Interactions.from_pairs([0, 0, 1, 1, 2, 2], [1, 4, 1, 3, 1, 4], 3, 6)


def slow_counts(train):
    counts = [0] * train.num_items
    for item in train.item.tolist():
        counts[item] += 1
    return counts


def test_popularity_counts_training_interactions(train):
    assert slow_counts(train) == [0, 3, 0, 1, 2, 0]
    scores = popularity_score(train)(np.array([[0], [2]]), np.arange(6)[None, :])
    assert scores.tolist() == [slow_counts(train)] * 2  # the same for everybody


@pytest.mark.parametrize("user, item", SHAPES)
def test_scores_broadcast(train, user, item):
    rng = np.random.default_rng(0)
    user, item = rng.integers(3, size=user), rng.integers(6, size=item)
    shape = np.broadcast_shapes(user.shape, item.shape)
    popularity = popularity_score(train)(user, item)
    assert popularity.shape == random_score()(user, item).shape == shape
    expected = np.array(slow_counts(train))[np.broadcast_arrays(user, item)[1]]
    assert np.array_equal(popularity, expected)


def test_popularity_knows_only_what_it_was_given(ml_latest_small):
    before = popularity_score(ml_latest_small.train)
    after = popularity_score(ml_latest_small.with_validation_in_train().train)
    items = np.arange(ml_latest_small.num_items)
    gained = after(np.zeros(1, int), items) - before(np.zeros(1, int), items)
    held_out = np.bincount(ml_latest_small.validation.item, minlength=len(items))
    assert np.array_equal(gained, held_out) and gained.sum() == 671


def test_popularity_by_hand_on_ml_latest_small(ml_latest_small):
    """HR@10 from the counts alone, one user at a time."""
    counts, hits = ml_latest_small.train.item_counts(), 0
    test = ml_latest_small.test
    for positive, negatives in zip(test.item, test.negatives, strict=True):
        hits += sum(counts[i] >= counts[positive] for i in negatives) < 10
    found = evaluate(popularity_score(ml_latest_small.train), ml_latest_small)
    assert found.hr == pytest.approx(hits / 671, abs=1e-12)
    assert 0.4 < found.hr < 0.7


def test_random_scores_are_seeded_uniform_and_personal():
    pairs = np.arange(50)[:, None], np.arange(200)[None, :]
    scores = random_score(seed=3)(*pairs)
    assert np.array_equal(scores, random_score(seed=3)(*pairs))
    assert not np.array_equal(scores, random_score(seed=4)(*pairs))
    assert len(np.unique(scores)) == scores.size  # no ties, no two users alike
    assert scores.mean() == pytest.approx(0.5, abs=0.01) and 0 <= scores.min() < scores.max() < 1


def test_random_score_draws_anew():
    score = random_score(seed=0)
    pair = np.zeros((1, 1), int), np.zeros((1, 9), int)
    assert not np.array_equal(score(*pair), score(*pair))
