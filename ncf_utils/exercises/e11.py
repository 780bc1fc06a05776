"""Exercises of notebook 11, the paper rerun."""

import math

import numpy as np

from . import Exercise

# --- 11.1 ----------------------------------------------------------------------------------------


def mean_leak(validation, test):
    total = 0.0
    for by_validation, by_test in zip(validation, test, strict=True):
        picked = 0
        for epoch in range(len(by_validation)):
            if by_validation[epoch] > by_validation[picked]:
                picked = epoch
        total += max(by_test) - by_test[picked]
    return total / len(test)


def _histories(rng):
    yield np.array([[0.30, 0.41, 0.40, 0.39]]), np.array([[0.50, 0.60, 0.62, 0.61]])
    yield (
        np.array([[0.3, 0.5, 0.4], [0.5, 0.3, 0.4]]),
        np.array([[0.5, 0.6, 0.7], [0.6, 0.5, 0.7]]),
    )
    for size in ((3, 5), (8, 20)):
        yield rng.uniform(0.3, 0.5, size), rng.uniform(0.5, 0.7, size)


def _picked(validation, test):
    return test[np.arange(len(test)), validation.argmax(axis=1)]


def _picked_of_all(validation, test):
    """As if all runs were one long run."""
    return test.max() - test.ravel()[validation.argmax()]


def _picked_together(validation, test):
    return test.max(axis=1).mean() - test[:, validation.mean(axis=0).argmax()].mean()


# --- 11.2 ----------------------------------------------------------------------------------------


def ndcg_by_k(ranks, longest):
    lines = []
    for k in range(1, longest + 1):
        gains = [1 / math.log2(rank + 2) if rank < k else 0 for rank in ranks]
        lines.append(sum(gains) / len(gains))
    return lines


def _ranks(rng):
    yield [0], 1
    yield [1], 3
    yield [0, 4, 12], 10
    for size in (6, 40):
        yield rng.integers(0, 30, size), 10


def _by_k(ranks, longest, inside, gain):
    ranks = np.asarray(ranks)
    return [np.mean(inside(ranks, k) * gain(ranks)) for k in range(1, longest + 1)]


def _worth(ranks):
    return 1 / np.log2(ranks + 2)


def _from_rank_1(ranks):
    with np.errstate(divide="ignore"):
        return 1 / np.log2(ranks + 1)


def _times_infinity(ranks, longest):
    at_place = np.bincount(ranks, minlength=longest)[:longest] / len(ranks)
    with np.errstate(invalid="ignore"):
        return np.cumsum(at_place * _from_rank_1(np.arange(longest)))


def _infinite(ranks, longest):
    ranks = np.asarray(ranks)
    worth = _from_rank_1(ranks)
    return [np.mean(np.where(ranks < k, worth, 0)) for k in range(1, longest + 1)]


def _divided_by_zero(ranks, longest):
    lines = []
    for k in range(1, longest + 1):
        lines.append(sum(1 / math.log2(rank + 1) for rank in ranks if rank < k) / len(ranks))
    return lines


# --- 11.3 ----------------------------------------------------------------------------------------


def fields_near(ours, published, tolerance):
    near = known = 0
    for mine, theirs in zip(ours.ravel(), published.ravel(), strict=True):
        if math.isnan(mine) or math.isnan(theirs):
            continue
        known += 1
        near += abs(mine - theirs) <= tolerance
    return near, known


def _tables(rng):
    yield np.array([[0.690]]), np.array([[0.685]]), 0.01
    yield np.array([[0.650, np.nan]]), np.array([[0.685, 0.700]]), 0.01
    yield np.array([[0.690, np.nan, 0.7]]), np.array([[0.685, 0.700, np.nan]]), 0.01
    for size in ((3, 4), (5, 8)):
        published = rng.uniform(0.6, 0.7, size)
        ours = published + rng.normal(scale=0.01, size=size)
        ours[rng.random(size) < 0.3] = np.nan
        yield ours, published, 0.01


def _number_known(ours, published):
    return (~np.isnan(ours - published)).sum()


# --- 11.4 ----------------------------------------------------------------------------------------


def seeds_needed(gain, std):
    seeds = 1
    while not gain > 2 * math.sqrt(std**2 / seeds + std**2 / seeds):
        seeds += 1
    return seeds


def _gains(rng):
    yield 0.1, 0.06
    yield 0.25, 0.125
    yield 0.01, 0.004
    yield 0.01, 0.008
    yield 0.002, 0.0051


EXERCISES = [
    Exercise(
        "11.1",
        "What looking at the test brings",
        ("validation", "test"),
        mean_leak,
        _histories,
        {
            "each run picks an epoch of its own: argmax(axis=1).": _picked_together,
            "validation picks an epoch, which need not be the last.": lambda validation, test: (
                np.mean(test.max(axis=1) - test[:, -1])
            ),
            "validation only *picks*; what is reported is the test in that epoch.": (
                lambda validation, test: np.mean(test.max(axis=1) - validation.max(axis=1))
            ),
            "each run has a best of its own, test.max(axis=1); this is the best of all runs.": (
                lambda validation, test: test.max() - _picked(validation, test).mean()
            ),
            "without an axis argmax and max look at all runs at once: axis=1.": (_picked_of_all),
            "this is the sum over the runs; return their mean.": lambda validation, test: np.sum(
                test.max(axis=1) - _picked(validation, test)
            ),
            "the sign: the best on the test is never below the picked one.": (
                lambda validation, test: np.mean(_picked(validation, test) - test.max(axis=1))
            ),
        },
    ),
    Exercise(
        "11.2",
        "Every K from one list of ranks",
        ("ranks", "longest"),
        ndcg_by_k,
        _ranks,
        {
            "this is HR@K; in NDCG a hit counts for 1 / log2(rank + 2).": lambda ranks, longest: (
                _by_k(ranks, longest, np.less, np.ones_like)
            ),
            "rank 0 is the first place, and log2(0 + 1) is 0: rank + 2.": _infinite,
            "ranks count from 0, and 0 times infinity is nan: a hit is worth 1 / log2(rank + 2).": (
                _times_infinity
            ),
            "log2(1) is 0, and rank 0 divides by it: with ranks from 0 it is log2(rank + 2).": (
                _divided_by_zero
            ),
            "this counts the films *at* place K; a list of K holds all places up to it.": (
                lambda ranks, longest: _by_k(ranks, longest, lambda r, k: r == k - 1, _worth)
            ),
            "ranks count from 0, so a list of K holds those below K.": lambda ranks, longest: _by_k(
                ranks, longest, np.less_equal, _worth
            ),
            "the logarithm has the base 2: at rank 0 a hit counts for 1.": (
                lambda ranks, longest: _by_k(
                    ranks, longest, np.less, lambda ranks: 1 / np.log(ranks + 2)
                )
            ),
        },
    ),
    Exercise(
        "11.3",
        "Near, off, not known",
        ("ours", "published", "tolerance"),
        fields_near,
        _tables,
        {
            "a field without a number on both sides is not known: do not count it.": (
                lambda ours, published, tolerance: (
                    (np.abs(ours - published) <= tolerance).sum(),
                    ours.size,
                )
            ),
            "NaN is not above the tolerance, but not within it either.": (
                lambda ours, published, tolerance: (
                    (~(np.abs(ours - published) > tolerance)).sum(),
                    _number_known(ours, published),
                )
            ),
            "without np.abs every field below the paper's is near.": (
                lambda ours, published, tolerance: (
                    (ours - published <= tolerance).sum(),
                    _number_known(ours, published),
                )
            ),
        },
    ),
    Exercise(
        "11.4",
        "How many seeds?",
        ("gain", "std"),
        seeds_needed,
        _gains,
        {
            "both sides vary: the variances of two means add up.": lambda gain, std: (
                math.floor(4 * std**2 / gain**2) + 1
            ),
            "the gain must be more than *twice* its error.": lambda gain, std: (
                math.floor(2 * std**2 / gain**2) + 1
            ),
            "the error falls with the *root* of the number of seeds: square both sides.": (
                lambda gain, std: math.floor(8**0.5 * std / gain) + 1
            ),
            "exactly twice the error is not *more* than twice.": lambda gain, std: math.ceil(
                8 * std**2 / gain**2
            ),
            "so many are just not enough: the next whole number.": lambda gain, std: math.floor(
                8 * std**2 / gain**2
            ),
        },
    ),
]
