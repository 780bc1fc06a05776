"""Metrics: by hand, by a slow loop, by the authors' protocol, and by properties."""

import heapq
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_utils.baselines import popularity_score, random_score
from ncf_utils.data import Dataset, HeldOut, Interactions, load_dataset
from ncf_utils.metrics import (
    Evaluation,
    NaNScoresError,
    bootstrap_interval,
    evaluate,
    hit_ratio,
    ndcg,
    positive_ranks,
)

# --- slow loops, written from the definitions ----------------------------------------------------


def slow_rank(positive, negatives, positive_first):
    """Sort the list; of equal scores the positive goes first or last."""
    entries = [(-score, 0 if not positive_first else 1, "negative") for score in negatives]
    entries.append((-positive, 1 if not positive_first else 0, "positive"))
    return [kind for _, _, kind in sorted(entries)].index("positive")


def slow_gains(rank, k):
    """(hit, discounted gain) of one list, its places counted from 0."""
    if rank >= k:
        return 0.0, 0.0
    return 1.0, math.log(2) / math.log(rank + 2)


def slow_expected_gains(positive, negatives, k):
    """Average over every order of the candidates, each sorted by a stable sort."""
    entries = [(positive, True), *((score, False) for score in negatives)]
    gains = [
        slow_gains([one for _, one in sorted(order, key=lambda e: -e[0])].index(True), k)
        for order in itertools.permutations(entries)
    ]
    return np.mean(gains, axis=0)


def authors_protocol(score, held_out, k=10):
    """HR and NDCG of each user, as section 4.1 and the authors' description of it have it.

    The candidates' scores go into a dictionary by item, so that an item which stands twice counts
    once; the k largest are the list; the gain is log 2 / log(place + 2).
    """
    gains = []
    for user, positive, negatives in zip(
        held_out.user, held_out.item.tolist(), held_out.negatives.tolist(), strict=True
    ):
        candidates = [*negatives, positive]
        scores = score(np.full(len(candidates), user), np.array(candidates))
        by_item = dict(zip(candidates, scores.tolist(), strict=True))
        top = heapq.nlargest(k, by_item, key=by_item.get)
        place = top.index(positive) if positive in top else None
        gains.append((0.0, 0.0) if place is None else (1.0, math.log(2) / math.log(place + 2)))
    return np.array(gains).T


def low_rank_score(num_users, num_items, seed=0):
    """A random personal taste without ties, the same however it is asked for."""
    rng = np.random.default_rng(seed)
    P, Q = rng.normal(size=(num_users, 4)), rng.normal(size=(num_items, 4))
    return lambda user, item: (P[user] * Q[item]).sum(-1)


def constant_score(user, item):
    return np.zeros(np.broadcast_shapes(np.shape(user), np.shape(item)))


@pytest.fixture
def tiny():
    """Three users, six items; user 1's candidates hold the positive itself, and one item twice."""
    return Dataset(
        name="tiny",
        num_users=3,
        num_items=6,
        train=Interactions.from_pairs([0, 0, 1, 2, 2], [0, 1, 5, 2, 3], 3, 6),
        validation=HeldOut([0, 2], [2, 0], [[3, 4], [1, 5]]),
        test=HeldOut([0, 1, 2], [3, 2, 4], [[4, 5], [2, 2], [1, 1]]),
    )


# --- ranks ---------------------------------------------------------------------------------------


def test_ranks_by_hand():
    negatives = [[0.9, 0.8, 0.7], [0.9, 0.1, 0.2], [0.4, 0.3, 0.2], [0.5, 0.9, 0.5]]
    ranks = positive_ranks([0.5, 0.5, 0.5, 0.5], negatives)
    assert ranks.tolist() == [3, 1, 0, 3]
    assert np.issubdtype(ranks.dtype, np.integer)


def test_ties_three_ways_by_hand():
    scores = [0.5], [[0.9, 0.5, 0.5, 0.1]]
    assert positive_ranks(*scores).tolist() == [3]
    assert positive_ranks(*scores, ties="pessimistic").tolist() == [3]
    assert positive_ranks(*scores, ties="optimistic").tolist() == [1]
    assert positive_ranks(*scores, ties="expected").tolist() == [[1, 3]]


def test_a_constant_model_earns_nothing_unless_asked_for():
    positive, negative = np.zeros(4), np.zeros((4, 99))
    assert hit_ratio(positive_ranks(positive, negative)) == 0.0
    assert hit_ratio(positive_ranks(positive, negative, ties="optimistic")) == 1.0
    expected = positive_ranks(positive, negative, ties="expected")
    assert hit_ratio(expected) == pytest.approx(10 / 100, abs=1e-12)
    by_hand = sum(1 / math.log2(place + 2) for place in range(10)) / 100
    assert ndcg(expected) == pytest.approx(by_hand, abs=1e-12)


SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=7)


@settings(max_examples=150, deadline=None)
@given(st.integers(-3, 3), SCORES)
def test_ranks_against_a_sort(positive, negatives):
    for ties, first in (("pessimistic", False), ("optimistic", True)):
        rank = positive_ranks([positive], [negatives], ties)
        assert rank.tolist() == [slow_rank(positive, negatives, first)]
    both = positive_ranks([positive], [negatives], "expected")
    assert both.tolist() == [[slow_rank(positive, negatives, first) for first in (True, False)]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1), st.lists(st.integers(-1, 1), min_size=1, max_size=5), st.integers(1, 7))
def test_expected_ties_against_every_order(positive, negatives, k):
    ranks = positive_ranks([positive], [negatives], "expected")
    by_hand = slow_expected_gains(positive, negatives, k)
    assert hit_ratio(ranks, k) == pytest.approx(by_hand[0], abs=1e-12)
    assert ndcg(ranks, k) == pytest.approx(by_hand[1], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(-3, 3), SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(positive, negatives, random):
    shuffled = random.sample(negatives, len(negatives))
    for ties in ("pessimistic", "optimistic", "expected"):
        ranks = positive_ranks([positive], [negatives], ties)
        assert np.array_equal(ranks, positive_ranks([positive], [shuffled], ties))


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic", "expected"])
def test_who_is_no_rival_does_not_count(ties):
    # The positive itself (score 5, always a tie) and a repeated stronger candidate.
    masked = positive_ranks([5], [[5, 9, 9, 1]], ties, rivals=[[False, True, False, True]])
    assert np.array_equal(masked, positive_ranks([5], [[9, 1]], ties))
    assert not np.array_equal(positive_ranks([5], [[5, 9, 9, 1]], ties), masked)


def test_infinite_scores_have_their_place():
    inf = math.inf
    assert positive_ranks([inf, -inf, 0.0], [[9, -inf], [0, 1], [inf, -inf]]).tolist() == [0, 2, 1]
    assert positive_ranks([-inf], [[-inf, 0]]).tolist() == [2]
    assert positive_ranks([-inf], [[-inf, 0]], ties="optimistic").tolist() == [1]


def test_a_difference_in_the_last_bit_of_float32_is_no_tie():
    one = np.float32(1)
    above = np.nextafter(one, np.float32(2))
    assert positive_ranks(np.array([above]), np.array([[one]])).tolist() == [0]
    assert positive_ranks(np.array([one]), np.array([[above]]), ties="optimistic").tolist() == [1]


@pytest.mark.parametrize("where", ["positive", "negative", "no rival"])
def test_nan_is_an_error_that_names_the_row(where):
    positive, negative = np.zeros(3), np.zeros((3, 2))
    if where == "positive":
        positive[1] = np.nan
    else:
        negative[1, 0] = np.nan
    rivals = [[True, True], [False, True], [True, True]] if where == "no rival" else None
    with pytest.raises(ValueError, match="1 rows of scores hold NaN, the first is row 1"):
        positive_ranks(positive, negative, rivals=rivals)


@pytest.mark.parametrize("full", [False, True])
def test_nan_is_an_error_that_names_the_user(full):
    def score(user, item):
        user, item = np.broadcast_arrays(user, item)
        return np.where(user == 900, np.nan, item)

    with pytest.raises(NaNScoresError, match="score returned NaN for user 900$"):
        evaluate(score, load_dataset("synthetic"), full=full)


@pytest.mark.parametrize(
    "positive, negative",
    [
        ([1, 2], [[1, 2]]),
        ([1], [1, 2]),
        ([[1]], [[1, 2]]),
        (1.0, [[1, 2]]),
        ([1, 2], [[[1], [2]]]),
    ],
)
def test_shapes_that_do_not_fit(positive, negative):
    with pytest.raises(ValueError, match=r"positive_scores must have shape \(E,\)"):
        positive_ranks(positive, negative)


@pytest.mark.parametrize("rivals", [[True, False], [[True], [True]], [[True, False]], True])
def test_rivals_of_another_shape_are_not_stretched(rivals):
    with pytest.raises(ValueError, match=r"rivals must have shape \(2, 2\)"):
        positive_ranks([1, 2], [[1, 2], [3, 4]], rivals=rivals)


@pytest.mark.parametrize("ties", ["worst", "", None])
def test_unknown_ties(ties):
    with pytest.raises(ValueError, match="ties must be one of pessimistic, optimistic, expected"):
        positive_ranks([1], [[1]], ties=ties)


# --- HR and NDCG ---------------------------------------------------------------------------------


def test_metrics_by_hand():
    ranks = [0, 2, 9, 10, 50]  # places 1, 3, 10, 11 and 51
    assert hit_ratio(ranks) == pytest.approx(3 / 5, abs=1e-15)
    assert ndcg(ranks) == pytest.approx((1 + 1 / 2 + 1 / math.log2(11)) / 5, abs=1e-15)
    assert hit_ratio(ranks, k=1) == ndcg(ranks, k=1) == pytest.approx(1 / 5, abs=1e-15)
    assert hit_ratio(ranks, k=11) == pytest.approx(4 / 5, abs=1e-15)
    assert hit_ratio(ranks, k=1000) == 1.0


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "uint64"])
def test_ranks_of_any_integer_type(kind):
    ranks = np.array([0, np.iinfo(kind).max if kind != "uint64" else 300], kind)
    assert hit_ratio(ranks) == ndcg(ranks) == 0.5


def test_ndcg_has_a_logarithm_of_base_two():
    # The list's second place is worth log(2) / log(3); a natural logarithm would give 1.44 times
    # as much, and the first place more than 1.
    values = ndcg(np.arange(12), reduce=False)
    assert values[:4].round(4).tolist() == [1.0, 0.6309, 0.5, 0.4307]
    assert values[9:].round(4).tolist() == [0.2891, 0.0, 0.0]


def test_one_value_a_user():
    ranks = np.array([0, 10, 3])
    assert hit_ratio(ranks, reduce=False).tolist() == [1.0, 0.0, 1.0]
    assert ndcg(ranks, reduce=False).shape == (3,)
    assert ndcg(ranks, reduce=False).mean() == pytest.approx(ndcg(ranks), abs=1e-15)
    pairs = np.array([[0, 1], [9, 12]])
    assert hit_ratio(pairs, reduce=False).tolist() == [1.0, 0.25]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 120), min_size=1, max_size=30), st.integers(1, 110))
def test_metrics_against_a_loop(ranks, k):
    hits, gains = np.mean([slow_gains(rank, k) for rank in ranks], axis=0)
    assert hit_ratio(ranks, k) == pytest.approx(hits, abs=1e-12)
    assert ndcg(ranks, k) == pytest.approx(gains, abs=1e-12)
    assert 0 <= ndcg(ranks, k) <= hit_ratio(ranks, k) <= 1
    assert hit_ratio(ranks, k) <= hit_ratio(ranks, k + 1)
    assert isinstance(hit_ratio(ranks, k), float) and isinstance(ndcg(ranks, k), float)


@pytest.mark.parametrize("metric", [hit_ratio, ndcg])
@pytest.mark.parametrize("k", [0, -1, 2.5, True, None, "10"])
def test_bad_k_is_named(metric, k):
    with pytest.raises(ValueError, match="k must be (an integer|at least 1), not "):
        metric([0], k)


@pytest.mark.parametrize("metric", [hit_ratio, ndcg])
def test_no_ranks_have_no_mean(metric):
    with pytest.raises(ValueError, match="no ranks"):
        metric([])


@pytest.mark.parametrize("metric", [hit_ratio, ndcg])
def test_ranks_count_from_zero(metric):
    with pytest.raises(ValueError, match="ranks must be at least 0"):
        metric([3, -1])


@pytest.mark.parametrize("metric", [hit_ratio, ndcg])
@pytest.mark.parametrize(
    "ranks, message",
    [
        ([0.5, 1.0], "ranks must be integers, not float64"),
        ([np.nan], "ranks must be integers, not float64"),
        ([True], "ranks must be integers, not bool"),
        (5, r"ranks must have shape \(E,\) or \(E, 2\), not \(\)"),
        ([[1, 2, 3]], r"ranks must have shape \(E,\) or \(E, 2\), not \(1, 3\)"),
        ([[1, 3], [5, 3]], "the first rank before the last"),
    ],
)
def test_ranks_that_are_none(metric, ranks, message):
    with pytest.raises(ValueError, match=message):
        metric(ranks)


def test_a_list_may_be_longer_than_all_candidates():
    """Even so long that an array of its gains would not fit into any memory."""
    for k in (4, 10**15):
        assert hit_ratio([0, 3], k) == 1.0
        assert ndcg([0, 3], k) == pytest.approx((1 + 1 / math.log2(5)) / 2)


# --- the smallest data sets ----------------------------------------------------------------------


def smallest(num_items, train, test, negatives):
    """One user, with these items in training, this one in the test."""
    interactions = Interactions.from_pairs([0] * len(train), train, 1, num_items)
    held_out = HeldOut([0], [test], np.array([negatives], np.int32).reshape(1, -1))
    return Dataset("smallest", 1, num_items, interactions, None, held_out)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("ties, hr", [("pessimistic", 0), ("optimistic", 1), ("expected", 0.5)])
@pytest.mark.parametrize("value", [0.0, math.inf, -math.inf, 1e308])
def test_equal_scores_are_ties_whatever_they_are(full, ties, hr, value):
    dataset = smallest(3, [0], 1, [2])
    score = lambda user, item: value + constant_score(user, item)  # noqa: E731
    assert evaluate(score, dataset, k=1, full=full, ties=ties).hr == hr


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "dataset",
    [smallest(1, [], 0, []), smallest(3, [0, 2], 1, [])],
    ids=["one item", "a user who has every other item"],
)
def test_a_positive_without_rivals_is_the_first(dataset, full):
    evaluation = evaluate(constant_score, dataset, full=full)
    assert (evaluation.hr, evaluation.ndcg, evaluation.num_candidates) == (1, 1, 0)


# --- evaluate against the authors' protocol ------------------------------------------------------


@pytest.mark.parametrize("split", ["test", "validation"])
def test_evaluate_is_the_authors_protocol_on_ml_latest_small(ml_latest_small, split):
    score = low_rank_score(ml_latest_small.num_users, ml_latest_small.num_items)
    hits, gains = authors_protocol(score, getattr(ml_latest_small, split))
    result = evaluate(score, ml_latest_small, split)
    assert np.array_equal(hit_ratio(result.ranks, reduce=False), hits)
    assert result.hr == pytest.approx(hits.mean(), abs=1e-12)
    assert result.ndcg == pytest.approx(gains.mean(), abs=1e-12)
    assert 0 < result.hr < 0.5  # the scores are random, so the comparison says something


def test_evaluate_is_the_authors_protocol_on_the_papers_files(ncf_ml_1m):
    assert (~ncf_ml_1m.test.rivals).any(axis=1).sum() >= 156
    holds_itself = (ncf_ml_1m.test.negatives == ncf_ml_1m.test.item[:, None]).any(axis=1)
    assert holds_itself.sum() == 156
    for seed in (0, 1):
        score = low_rank_score(ncf_ml_1m.num_users, ncf_ml_1m.num_items, seed)
        hits, gains = authors_protocol(score, ncf_ml_1m.test)
        result = evaluate(score, ncf_ml_1m)
        assert np.array_equal(hit_ratio(result.ranks, reduce=False), hits)
        assert result.hr == pytest.approx(hits.mean(), abs=1e-12)
        assert result.ndcg == pytest.approx(gains.mean(), abs=1e-12)


def test_published_popularity_on_the_papers_files(ncf_ml_1m):
    # .4531 to .4538 by the rule for ties, on all that is not test.
    everything = ncf_ml_1m.with_validation_in_train()
    score = popularity_score(everything.train)
    for ties in ("pessimistic", "expected", "optimistic"):
        assert 0.4530 <= evaluate(score, everything, ties=ties).hr <= 0.45385, ties
    pessimistic, optimistic = (
        evaluate(score, everything, ties=ties).hr for ties in ("pessimistic", "optimistic")
    )
    assert round(pessimistic, 4) == 0.4531 and round(optimistic, 4) == 0.4538


def test_a_candidate_that_is_the_positive_is_no_rival(tiny):
    # User 1's two candidates are their held-out item: nothing to beat, whatever the rule.
    for ties in ("pessimistic", "optimistic"):
        assert evaluate(constant_score, tiny, ties=ties).ranks[1] == 0


def test_a_candidate_that_stands_twice_is_one_rival(tiny):
    result = evaluate(lambda user, item: -np.abs(item - 1.0) + 0 * user, tiny)
    assert result.ranks[2] == 1  # item 1 beats item 4, once


def test_ties_reach_evaluate(tiny):
    assert evaluate(constant_score, tiny).ranks.tolist() == [2, 0, 1]
    assert evaluate(constant_score, tiny, ties="optimistic").ranks.tolist() == [0, 0, 0]
    expected = evaluate(constant_score, tiny, ties="expected")
    assert expected.ranks.tolist() == [[0, 2], [0, 0], [0, 1]]
    assert evaluate(constant_score, tiny, k=1, ties="expected").hr == pytest.approx(
        (1 / 3 + 1 + 1 / 2) / 3, abs=1e-12
    )


def test_the_list_length_reaches_evaluate(ml_latest_small):
    score = low_rank_score(ml_latest_small.num_users, ml_latest_small.num_items)
    for k in (1, 5, 20):
        result = evaluate(score, ml_latest_small, k=k)
        assert (result.k, result.hr) == (k, hit_ratio(result.ranks, k))
        assert result.ndcg == ndcg(result.ranks, k)
    assert result.hr > evaluate(score, ml_latest_small, k=5).hr


def test_what_an_evaluation_says(ml_latest_small):
    result = evaluate(popularity_score(ml_latest_small.train), ml_latest_small)
    assert isinstance(result, Evaluation)
    assert np.array_equal(result.user, ml_latest_small.test.user)
    assert (result.num_candidates, result.full, result.k) == (99, False, 10)
    assert repr(result) == (
        f"HR@10 {result.hr:.3f}, NDCG@10 {result.ndcg:.3f} (671 users, 99 candidates)"
    )


def test_random_scores_hit_one_in_ten(ml_latest_small):
    hits = [evaluate(random_score(seed), ml_latest_small).hr for seed in range(20)]
    assert np.mean(hits) == pytest.approx(0.1, abs=4 * 0.3 / math.sqrt(20 * 671))


# --- full ranking --------------------------------------------------------------------------------


def slow_full_ranks(score, dataset, split):
    """Rank against every item that a user may still be shown, one item at a time."""
    held_out, ranks, sizes = getattr(dataset, split), [], []
    for user, positive in zip(held_out.user, held_out.item, strict=True):
        known = set(dataset.train.items_of(user).tolist())
        if split == "test" and dataset.validation is not None:
            validation = dataset.validation
            known |= set(validation.item[validation.user == user].tolist())
        rivals = [i for i in range(dataset.num_items) if i not in known and i != positive]
        one = score(np.array([user]), np.array([positive]))[0]
        others = [score(np.array([user]), np.array([i]))[0] for i in rivals]
        ranks.append(slow_rank(one, others, positive_first=False))
        sizes.append(len(rivals))
    return ranks, sizes


@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize("batch_size", [1, 1000, 2**18])
def test_full_ranking_against_a_loop(split, batch_size):
    dataset = load_dataset(
        "synthetic", num_users=25, num_items=150, num_interactions=600, num_candidates=10
    )
    score = low_rank_score(25, 150)
    ranks, sizes = slow_full_ranks(score, dataset, split)
    result = evaluate(score, dataset, split, full=True, batch_size=batch_size)
    assert result.ranks.tolist() == ranks
    assert result.full and result.num_candidates == max(sizes)
    assert "25 users, all items" in repr(result)


def test_full_ranking_without_validation():
    dataset = load_dataset(
        "synthetic", num_users=20, num_items=150, num_interactions=500, num_candidates=10
    ).with_validation_in_train()
    score = low_rank_score(20, 150)
    expected = slow_full_ranks(score, dataset, "test")[0]
    assert evaluate(score, dataset, full=True).ranks.tolist() == expected


def test_full_ranking_masks_training_items(ml_latest_small):
    # A model that scores training items highest: they must not stand in anybody's way.
    seen = ml_latest_small.train.to_csr().toarray()
    taste = low_rank_score(ml_latest_small.num_users, ml_latest_small.num_items)

    def memorised(user, item):
        return taste(user, item) + 1e6 * seen[user, item]

    full = evaluate(memorised, ml_latest_small, full=True)
    assert np.array_equal(full.ranks, evaluate(taste, ml_latest_small, full=True).ranks)


# --- the contract with a score function ----------------------------------------------------------


def test_a_score_function_gets_arrays_that_broadcast(tiny):
    shapes = []

    def score(user, item):
        assert np.issubdtype(user.dtype, np.integer) and np.issubdtype(item.dtype, np.integer)
        shapes.append((user.shape, item.shape))
        return constant_score(user, item)

    evaluate(score, tiny)
    evaluate(score, tiny, full=True)
    evaluate(score, tiny, batch_size=3)
    assert shapes == [((3, 1), (3, 3)), ((3, 1), (1, 6)), *[((1, 1), (1, 3))] * 3]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_batch_size_changes_nothing(ml_latest_small, split, full):
    score = low_rank_score(ml_latest_small.num_users, ml_latest_small.num_items)
    whole = evaluate(score, ml_latest_small, split, full=full).ranks
    for batch_size in (9066 * 7 + 1, 20_000):
        again = evaluate(score, ml_latest_small, split, full=full, batch_size=batch_size)
        assert np.array_equal(again.ranks, whole)


def test_batch_size_bounds_the_scores_at_once(ml_latest_small):
    sizes = []

    def score(user, item):
        sizes.append(np.broadcast(user, item).size)
        return constant_score(user, item)

    evaluate(score, ml_latest_small, batch_size=1000)
    assert max(sizes) == 1000 and sum(sizes) == 671 * 100
    sizes.clear()
    evaluate(score, ml_latest_small, full=True, batch_size=20_000)
    assert max(sizes) == 2 * 9066


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda user, item: np.zeros(user.shape),
        lambda user, item: constant_score(user, item).ravel(),
        lambda user, item: constant_score(user, item)[..., None],
        lambda user, item: 0.0,
    ],
)
def test_scores_of_another_shape_are_an_error(tiny, wrong, full):
    with pytest.raises(ValueError, match="score returned shape"):
        evaluate(wrong, tiny, full=full)


def test_nan_scores_are_an_error(tiny):
    with pytest.raises(ValueError, match="NaN"):
        evaluate(lambda user, item: constant_score(user, item) * np.nan, tiny)


@pytest.mark.parametrize("split", ["train", "Test", None])
def test_unknown_split(tiny, split):
    with pytest.raises(ValueError, match="split must be test or validation"):
        evaluate(constant_score, tiny, split)


def test_a_split_that_is_not_there(tiny):
    with pytest.raises(ValueError, match="tiny has no validation items"):
        evaluate(constant_score, tiny.with_validation_in_train(), "validation")


@pytest.mark.parametrize("batch_size", [0, -5, 2.5])
def test_bad_batch_size_is_named(tiny, batch_size):
    with pytest.raises(ValueError, match="batch_size must be (an integer|at least 1), not "):
        evaluate(constant_score, tiny, batch_size=batch_size)


# --- bootstrap -----------------------------------------------------------------------------------


def slow_bootstrap(values, level, num_resamples, seed):
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, len(values)).mean() for _ in range(num_resamples)]
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2])


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("skewed", [False, True])
def test_bootstrap_against_explicit_resampling(level, skewed):
    rng = np.random.default_rng(0)
    values = rng.random(150) ** 6 if skewed else (rng.random(150) < 0.3).astype(float)
    fast = np.array(bootstrap_interval(values, level, num_resamples=20_000))
    slow = slow_bootstrap(values, level, 20_000, seed=1)
    width = slow[1] - slow[0]
    assert fast == pytest.approx(slow, abs=0.05 * width)
    assert fast[0] < values.mean() < fast[1]


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(400):
        values = (rng.random(300) < 0.3).astype(float)
        low, high = bootstrap_interval(values, level=0.9, num_resamples=400, seed=seed)
        covered += low <= 0.3 <= high
    assert 0.86 < covered / 400 < 0.94  # 0.9 give or take 2.7 standard errors


def test_bootstrap_width_follows_level_and_size():
    values = np.tile([0.0, 1.0], 200)
    low, high = bootstrap_interval(values)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.5 / 20, rel=0.1)
    assert np.diff(bootstrap_interval(values, level=0.5))[0] < high - low
    assert np.diff(bootstrap_interval(np.tile(values, 4)))[0] == pytest.approx(
        (high - low) / 2, rel=0.15
    )


def test_bootstrap_of_one_resample_and_of_the_usual_number():
    values = np.random.default_rng(0).random(50)  # of zeros and ones few means are possible
    low, high = bootstrap_interval(values, num_resamples=1)
    assert low == high
    assert bootstrap_interval(values) == bootstrap_interval(values, 0.95, 2000, 0)


def test_bootstrap_takes_numbers_of_any_kind():
    """Such as a column that pandas holds as objects, or one of True and False."""
    expected = bootstrap_interval([0.0, 1.0, 1.0, 0.5])
    for kind in (object, np.float32, str):
        assert bootstrap_interval(np.array([0, 1, 1, 0.5]).astype(kind)) == expected
    assert bootstrap_interval([False, True]) == bootstrap_interval([0.0, 1.0])


def test_bootstrap_is_seeded():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert bootstrap_interval([0.25] * 9) == (0.25, 0.25)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"values": []}, "values must have shape"),
        ({"values": [[1.0]]}, "values must have shape"),
        ({"values": 1.0}, "values must have shape"),
        ({"values": [0.0, np.nan]}, "values hold NaN"),
        ({"values": [1.0], "level": 0}, "level must lie between 0 and 1"),
        ({"values": [1.0], "level": 1}, "level must lie between 0 and 1"),
        ({"values": [1.0], "level": 95}, "level must lie between 0 and 1"),
        ({"values": [0.0, np.inf]}, "values hold NaN or infinity"),
        ({"values": [1.0], "num_resamples": 0}, "num_resamples must be at least 1, not 0"),
        ({"values": [1.0], "num_resamples": 1.5}, "num_resamples must be an integer"),
    ],
)
def test_bootstrap_names_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**arguments)
