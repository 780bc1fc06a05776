"""Popularity, random scores, item-KNN and EASE: what a trained model has to beat."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_utils import baselines
from ncf_utils.baselines import (
    blend,
    ease,
    item_knn,
    popularity_odds,
    popularity_score,
    random_score,
)
from ncf_utils.data import Interactions
from ncf_utils.metrics import bootstrap_interval, evaluate
from ncf_utils.sampler import NegativeSampler

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


def slow_odds(train):
    """A loop over users and items; what nobody draws is 0 if nobody has it, else infinite."""
    odds = []
    for i in range(train.num_items):
        positive, drawn = 0, Fraction(0)
        for u in range(train.num_users):
            own = set(train.items_of(u).tolist())
            positive += i in own
            drawn += 0 if i in own else Fraction(len(own), train.num_items - len(own))
        odds.append(float(positive / drawn) if drawn else np.inf if positive else 0.0)
    return odds


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=6).filter(any))
def test_popularity_odds_against_a_loop(seen):
    pairs = [(user, item) for user, items in enumerate(seen) for item in items]
    train = Interactions.from_pairs(*zip(*pairs, strict=True), len(seen), 5)
    scores = popularity_odds(train)(np.zeros((1, 1), int), np.arange(5))
    assert scores.ravel().tolist() == pytest.approx(slow_odds(train), rel=1e-12)


def test_popularity_odds_are_what_the_sampler_draws(ml_latest_small):
    train = ml_latest_small.train
    sampler = NegativeSampler(train, num_negatives=4, seed=0)
    drawn = np.zeros(train.num_items)
    for _ in range(5):
        drawn += np.bincount(sampler.epoch_groups()[1][:, 1:].ravel(), minlength=train.num_items)
    often = train.item_counts() >= 50
    odds = popularity_odds(train)(np.zeros(1, int), np.arange(train.num_items))
    expected = 4 * 5 * train.item_counts()[often] / odds[often]
    # Draws are independent or exclude one another, so their counts vary no more than Poisson's.
    assert np.abs((drawn[often] - expected) / np.sqrt(expected)).max() < 5


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


def random_interactions(num_users, num_items, seed=0, share=0.3):
    """A matrix of chance (num_users, num_items), and the same as Interactions."""
    X = (np.random.default_rng(seed).random((num_users, num_items)) < share).astype(float)
    return X, Interactions.from_pairs(*np.nonzero(X), num_users, num_items)


def all_scores(score, train):
    return score(np.arange(train.num_users)[:, None], np.arange(train.num_items)[None, :])


# --- item-KNN ------------------------------------------------------------------------------------


def slow_item_knn(X, num_neighbours, shrinkage, similarity):
    """Item-KNN from its definition, one pair of items at a time."""
    num_items = X.shape[1]
    similar = np.zeros((num_items, num_items))
    for i in range(num_items):
        for j in range(num_items):
            users_i, users_j = set(np.flatnonzero(X[:, i])), set(np.flatnonzero(X[:, j]))
            if i != j and users_i & users_j:
                scale = (len(users_i) * len(users_j)) ** 0.5
                if similarity == "jaccard":
                    scale = len(users_i | users_j)
                similar[i, j] = len(users_i & users_j) / (scale + shrinkage)
    scores = np.zeros(X.shape)
    for i in range(num_items):
        worst = sorted(similar[i], reverse=True)[:num_neighbours][-1]
        for u in range(len(X)):
            of_user = [similar[i, j] for j in np.flatnonzero(X[u])]
            scores[u, i] = sum(s for s in of_user if s >= worst - 1e-12)
    return scores


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize("num_neighbours, shrinkage", [(1, 0), (3, 0.5), (5, 20), (12, 0), (99, 3)])
def test_item_knn_against_the_definition(num_neighbours, shrinkage, similarity):
    X, train = random_interactions(15, 12)
    score = item_knn(train, num_neighbours, shrinkage, similarity)
    expected = slow_item_knn(X, num_neighbours, shrinkage, similarity)
    assert np.allclose(all_scores(score, train), expected, atol=1e-5)
    assert expected.max() > 10 * 1e-2  # the scores are no zeros


def test_item_knn_in_blocks_is_the_same(ml_latest_small):
    """On a catalogue of thousands the similarities are computed some rows at a time."""
    train = ml_latest_small.train
    blocks = train.num_items / (2**24 // train.num_items)
    assert blocks > 4
    score, X = item_knn(train, num_neighbours=20), train.to_csr()
    counts = train.item_counts()
    for item in (0, 1849, 1850, train.num_items - 1):  # 1850 begins the second block
        both = np.asarray((X.T @ X[:, [item]]).todense()).ravel()
        similar = both / np.sqrt(np.maximum(counts * counts[item], 1))
        similar[item] = 0
        similar[similar < np.sort(similar)[-20]] = 0
        assert np.allclose(score(np.arange(50), item), X[:50] @ similar, atol=1e-5)


def test_item_knn_does_not_depend_on_the_numbering():
    """Neighbours tied with the last count, so renumbering users and items renumbers scores."""
    X, train = random_interactions(30, 20, share=0.15)
    rng = np.random.default_rng(1)
    users, items = rng.permutation(30), rng.permutation(20)
    other = Interactions.from_pairs(*np.nonzero(X[users][:, items]), 30, 20)
    for method in (item_knn, ease):
        options = {"num_neighbours": 2} if method is item_knn else {"l2": 3.0}
        one, two = (all_scores(method(t, **options), t) for t in (train, other))
        assert np.allclose(one[users][:, items], two, atol=1e-5)


def test_shrinkage_doubts_what_few_users_say():
    """Items 0 and 1 share their only user; 2 and 3 share four of five."""
    pairs = [(0, 0), (0, 1), (1, 2)] + [(u, i) for u in range(2, 6) for i in (2, 3)]
    train = Interactions.from_pairs(*zip(*pairs, strict=True), 6, 4)
    plain, shrunk = (item_knn(train, shrinkage=h)(np.arange(6), np.arange(6) % 4) for h in (0, 5))
    for scores, rare_wins in ((item_knn(train), True), (item_knn(train, shrinkage=5), False)):
        rare, usual = scores(np.array([0, 1]), np.array([1, 3]))
        assert (rare > usual) == rare_wins


# --- EASE ----------------------------------------------------------------------------------------


def slow_ease(X, l2):
    """One ridge regression for each item, on all the other items."""
    weights = np.zeros((X.shape[1], X.shape[1]))
    for item in range(X.shape[1]):
        others = np.delete(np.arange(X.shape[1]), item)
        A = X[:, others]
        weights[others, item] = np.linalg.solve(
            A.T @ A + l2 * np.eye(len(others)), A.T @ X[:, item]
        )
    return X @ weights


@pytest.mark.parametrize("num_users, num_items", [(40, 12), (12, 12), (9, 25)])
@pytest.mark.parametrize("l2", [0.5, 20])
def test_ease_is_ridge_regression_without_the_item_itself(num_users, num_items, l2):
    X, train = random_interactions(num_users, num_items)
    expected = slow_ease(X, l2)
    assert np.allclose(all_scores(ease(train, l2), train), expected, atol=1e-5)
    assert abs(expected).max() > 0.1


def test_ease_says_how_much_memory_it_would_take():
    train = Interactions.from_pairs([0, 0], [3, 5], 60_000, 50_000)
    with pytest.raises(ValueError, match=r"num_items is 50,000: EASE would take 100\.0 gigabytes"):
        ease(train)
    with pytest.raises(ValueError, match="more than max_gigabytes = 1e-06"):
        ease(random_interactions(9, 9)[1], max_gigabytes=1e-6)
    few_users = Interactions.from_pairs([0, 0, 1], [3, 5, 3], 2, 50_000)
    assert ease(few_users)(1, 5) > 0


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [item_knn, ease])
@pytest.mark.parametrize("user, item", SHAPES)
def test_learned_scores_broadcast(method, user, item):
    X, train = random_interactions(3, 6, share=0.5)
    score = method(train)
    table = all_scores(score, train)
    rng = np.random.default_rng(0)
    user, item = rng.integers(3, size=user), rng.integers(6, size=item)
    scores = score(user, item)
    assert scores.shape == np.broadcast_shapes(user.shape, item.shape)
    assert np.array_equal(scores, table[user, item])


@pytest.mark.parametrize("method", [item_knn, ease])
def test_who_and_what_training_does_not_know_scores_zero(method):
    """User 2 and item 3 have no interactions: nothing can be said, and nothing goes wrong."""
    train = Interactions.from_pairs([0, 0, 1, 1], [0, 1, 1, 2], 3, 4)
    scores = all_scores(method(train), train)
    assert np.isfinite(scores).all()
    assert not scores[2].any() and not scores[:, 3].any() and scores[0, 2] > 0


@pytest.mark.parametrize("method", [item_knn, ease])
def test_two_groups_of_users_with_their_own_items(method):
    """What one group likes says nothing to the other; what is missing at home comes first."""
    X = np.zeros((8, 10))
    X[:4, :5] = X[4:, 5:] = 1
    X[0, 2] = X[7, 8] = 0
    train = Interactions.from_pairs(*np.nonzero(X), 8, 10)
    scores = all_scores(method(train), train)
    assert abs(scores[:4, 5:]).max() < 1e-6 < 1e-3 < scores[0, 2]
    unseen = np.where(X == 0, scores, -np.inf)
    assert unseen[0].argmax() == 2 and unseen[7].argmax() == 8


@pytest.mark.parametrize(
    "method, options, message",
    [
        (item_knn, {"num_neighbours": 0}, "num_neighbours must be at least 1, not 0"),
        (item_knn, {"num_neighbours": 2.5}, "num_neighbours must be an integer, not 2.5"),
        (item_knn, {"shrinkage": -1}, "shrinkage must be at least 0, not -1"),
        (item_knn, {"similarity": "cosin"}, "similarity must be one of cosine, jaccard"),
        (ease, {"l2": 0}, "l2 must be above 0, not 0"),
        (ease, {"l2": float("nan")}, "l2 must be a number, not nan"),
        (ease, {"max_gigabytes": "8"}, "max_gigabytes must be a number, not '8'"),
    ],
)
def test_bad_arguments_are_named(train, method, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        method(train, **options)


@pytest.mark.parametrize(
    "method", [item_knn, ease, popularity_odds, popularity_score, NegativeSampler]
)
def test_bad_training_data_is_named(method, ml_latest_small):
    with pytest.raises(ValueError, match=r"train must be Interactions .*, not Dataset"):
        method(ml_latest_small)


@pytest.mark.parametrize("method", [item_knn, ease, popularity_odds])
def test_methods_that_learn_need_interactions(method):
    with pytest.raises(ValueError, match="train holds no interactions"):
        method(Interactions.from_pairs([], [], 2, 3))


@pytest.mark.parametrize("seed", [-1, 1.5, "x"])
def test_a_bad_seed_is_named(seed):
    train = Interactions.from_pairs([0], [1], 2, 3)
    for make in (
        random_score,
        lambda seed: NegativeSampler(train, seed=seed),
        lambda seed: bootstrap_interval([0.0, 1.0], seed=seed),
    ):
        with pytest.raises(
            ValueError, match=f"seed must be an integer of at least 0, not {seed!r}"
        ):
            make(seed)


def test_the_modules_of_baselines_are_light():
    heavy = "('numba', 'implicit', 'scipy', 'pandas', 'torch', 'tensorflow')"
    code = (
        "import sys, ncf_utils.baselines, ncf_utils.matrix_factorisation\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- at the published figures --------------------------------------------------------------------


def test_popularity_and_ease_at_the_published_figures(ncf_ml_1m):
    """Rendle et al. (2020) and Ferrari Dacrema et al. (2021): .4535 / .2543 and .7192 / .4494.

    They trained on everything but the test items. Validation picked the penalty.
    """
    everything = ncf_ml_1m.with_validation_in_train()
    popularity = popularity_score(everything.train)
    low, high = (evaluate(popularity, everything, ties=t) for t in ("pessimistic", "optimistic"))
    assert 0.4530 < low.hr < 0.4535 < high.hr < 0.4540
    assert low.ndcg == pytest.approx(0.2543, abs=0.001) and low.ndcg <= high.ndcg
    found = evaluate(ease(everything.train, l2=1000), everything)
    assert found.hr == pytest.approx(0.7192, abs=0.003)
    assert found.ndcg == pytest.approx(0.4494, abs=0.003)


def slow_blend(train, tables, weights, user, item):
    """One pair of a blend, from the definition."""
    total = 0.0
    for table, weight in zip(tables, weights, strict=True):
        row = table[user]
        rest = np.delete(row, train.items_of(user))
        spread = rest.std() if len(rest) else 0.0
        centre = rest.mean() if len(rest) else 0.0
        total += weight * (row[item] - centre) / (spread or 1.0)
    return total


@pytest.mark.parametrize("at_once", [1, 20, 2**16])
@pytest.mark.parametrize("weights", [(1, 1), (0.7, 0.3), (0, 2)])
def test_blend_is_the_sum_of_standardised_scores(weights, at_once, monkeypatch):
    monkeypatch.setattr(baselines, "AT_ONCE", at_once)
    train = random_interactions(6, 9)[1]
    rng = np.random.default_rng(1)
    tables = [rng.normal(size=(6, 9)), 100 * rng.random((6, 9)).astype(np.float32)]
    scores = [lambda user, item, table=table: table[user, item] for table in tables]
    score = blend(train, scores, weights)
    found = score(np.array([[5], [0], [3]]), np.arange(9))
    expected = [[slow_blend(train, tables, weights, u, i) for i in range(9)] for u in (5, 0, 3)]
    assert np.allclose(found, expected, rtol=1e-5)
    rows = score(np.array([4, 0, 4]), np.array([1, 2, 7]))  # pairs, users repeated
    pairs = ((4, 1), (0, 2), (4, 7))
    assert np.allclose(rows, [slow_blend(train, tables, weights, *pair) for pair in pairs])
    assert score(np.zeros((0, 1), int), np.zeros((0, 3), int)).shape == (0, 3)


@pytest.mark.filterwarnings("error")
def test_blend_of_scores_that_have_no_spread():
    train = Interactions.from_pairs([0, 0, 1], [0, 1, 0], 2, 2)  # user 0 has everything
    score = blend(train, [lambda user, item: np.full((len(user), 2), 3.0)], [1])
    assert np.array_equal(score(np.array([[0], [1]]), np.arange(2)), [[3, 3], [0, 0]])


@pytest.mark.parametrize("value", [0.1, -1e9 / 3, 1e-30 / 3])
def test_rounding_is_no_spread(value):
    """The mean of equal numbers is not quite the number."""
    train = Interactions.from_pairs([0], [6], 1, 7)
    score = blend(train, [lambda user, item: np.full((len(user), 7), value)], [1])
    assert abs(score(np.array([[0]]), np.arange(6))).max() <= 1e-12 * abs(value)


def test_blend_of_one_ranks_as_it_does(ml_latest_small):
    score = ease(ml_latest_small.train, l2=300.0)
    blended = blend(ml_latest_small.train, [score, popularity_score(ml_latest_small.train)], [2, 0])
    for full in (False, True):
        ranks = [evaluate(each, ml_latest_small, full=full).ranks for each in (score, blended)]
        assert (ranks[0] == ranks[1]).mean() > 0.99  # but for ties that rounding parts


@pytest.mark.parametrize(
    "weights, message",
    [
        ([1], "one number for each of 2 scores"),
        ([0, 0], "not all 0"),
        ([1, -1], "weights must be at least 0"),
        ([1, float("nan")], "weights must be a number"),
        ([1, "1"], "weights must be a number"),
    ],
)
def test_blend_refuses(train, weights, message):
    with pytest.raises(ValueError, match=message):
        blend(train, [popularity_score(train), random_score()], weights)
