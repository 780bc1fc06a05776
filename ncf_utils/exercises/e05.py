"""Exercises of notebook 05, evaluation."""

import math

import numpy as np

from . import Exercise

# --- 05.1 ----------------------------------------------------------------------------------------


def mrr(ranks):
    total = 0.0
    for rank in ranks:
        total += 1 / (rank + 1)
    return total / len(ranks)


def _ranks(rng):
    yield (np.array([0]),)
    yield (np.array([0, 3]),)
    for size in (5, 40):
        yield (rng.integers(0, 100, size),)


def _by_rank(ranks):
    with np.errstate(divide="ignore"):
        return np.mean(1 / ranks)


# --- 05.2 ----------------------------------------------------------------------------------------


def pessimistic_ranks(positive, negatives):
    ranks = []
    for own, rivals in zip(positive, negatives, strict=True):
        ranks.append(sum(rival >= own for rival in rivals))
    return ranks


def _scores(rng):
    yield np.array([2.0]), np.array([[1.0]])
    yield np.array([1.0]), np.array([[3.0, 1.0, 1.0, 0.0]])
    yield np.array([0.0, 2.0]), np.array([[0.0, 0.0, 0.0], [5.0, 2.0, 1.0]])
    for size in (4, 20):
        yield rng.integers(0, 4, size), rng.integers(0, 4, (size, 10))


def _ranks_by(positive, negatives, level):
    positive = np.asarray(positive)[:, None]
    ties = (np.asarray(negatives) == positive).sum(axis=1)
    return (np.asarray(negatives) > positive).sum(axis=1) + level * ties


# --- 05.3 ----------------------------------------------------------------------------------------


def dcg_and_ndcg(relevant, k):
    def gain(entries):
        return sum(entry / math.log2(place + 2) for place, entry in enumerate(entries[:k]))

    dcg = gain(list(relevant))
    return dcg, dcg / gain(sorted(relevant, reverse=True))


def _lists(rng):
    yield [1], 1
    yield [0, 1], 2
    yield [1, 0, 1], 3
    yield [1, 1, 0, 1, 0], 3
    for size in (6, 20):
        relevant = rng.integers(0, 2, size)
        relevant[0] = 1
        yield rng.permutation(relevant), size // 2


def _dcg(relevant, k, log=np.log2, first=2):
    relevant = np.asarray(relevant)[:k]
    return (relevant / log(np.arange(len(relevant)) + first)).sum()


def _ideal(relevant, k, log=np.log2):
    return _dcg(sorted(relevant, reverse=True), k, log)


# --- 05.4 ----------------------------------------------------------------------------------------


def users_needed(hr, difference, disagree):
    def smallest(variance):
        return (1.96 / difference) ** 2 * variance

    return smallest(hr * (1 - hr) + hr * (1 - hr)), smallest(disagree)


def _comparisons(rng):
    yield 0.5, 0.1, 0.5
    yield 0.68, 0.01, 0.1
    for _ in range(2):
        yield tuple(rng.uniform(0.1, 0.9, 3).round(2).tolist())


EXERCISES = [
    Exercise(
        "05.1",
        "Mean reciprocal rank",
        ("ranks",),
        mrr,
        _ranks,
        {
            "a rank counts from 0, so the place is rank + 1.": lambda ranks: np.mean(
                1 / (np.asarray(ranks) + 2)
            ),
            "1 / rank is infinite for the best rank, 0: the place is rank + 1.": _by_rank,
            "this counts the first ten places only; the mean is over all users, as they are.": (
                lambda ranks: np.mean(np.where(ranks < 10, 1 / (ranks + 1), 0))
            ),
            "the mean of 1 / place, not 1 / the mean place.": lambda ranks: (
                1 / (np.mean(ranks) + 1)
            ),
            "this is the sum over users; divide by their number.": lambda ranks: np.sum(
                1 / (np.asarray(ranks) + 1)
            ),
        },
    ),
    Exercise(
        "05.2",
        "Ties",
        ("positive", "negatives"),
        pessimistic_ranks,
        _scores,
        {
            "ties went in favour of the hidden film; pessimistically an equal rival is ahead.": (
                lambda positive, negatives: _ranks_by(positive, negatives, 0)
            ),
            "this breaks ties by a fair die; pessimistically every equal rival is ahead.": (
                lambda positive, negatives: _ranks_by(positive, negatives, 0.5)
            ),
            "a rank counts from 0: with nobody ahead it is 0.": lambda positive, negatives: (
                _ranks_by(positive, negatives, 1) + 1
            ),
            "each rival meets the film of its own row: positive must be a column, [:, None].": (
                lambda positive, negatives: (negatives >= positive).sum(axis=1)
            ),
            "these are the rivals that lose; a rank counts those that win.": (
                lambda positive, negatives: (np.asarray(negatives).T < positive).sum(axis=0)
            ),
        },
    ),
    Exercise(
        "05.3",
        "Two hidden films",
        ("relevant", "k"),
        dcg_and_ndcg,
        _lists,
        {
            "DCG is 1.44 times too large, NDCG is right: base 2, not the natural logarithm.": (
                lambda relevant, k: (
                    _dcg(relevant, k, np.log),
                    _dcg(relevant, k, np.log) / _ideal(relevant, k, np.log),
                )
            ),
            "the second is DCG again: divide by what the ideal list, ones first, would get.": (
                lambda relevant, k: (_dcg(relevant, k),) * 2
            ),
            "sort the whole list first and cut it at k then, not the other way round.": (
                lambda relevant, k: (
                    _dcg(relevant, k),
                    _dcg(relevant, k) / max(_ideal(relevant[:k], k), 1e-12),
                )
            ),
            "an ideal list of k ones would do only if there were k of them.": lambda relevant, k: (
                _dcg(relevant, k),
                _dcg(relevant, k) / _dcg(np.ones(k), k),
            ),
            "the worth of the first place is 1 / log2(2): count places from 2.": (
                lambda relevant, k: (
                    _dcg(relevant, k, first=3),
                    _dcg(relevant, k, first=3) / _ideal(relevant, k),
                )
            ),
        },
    ),
    Exercise(
        "05.4",
        "How many users for one hundredth?",
        ("hr", "difference", "disagree"),
        users_needed,
        _comparisons,
        {
            "unpaired, both models bring their variance: twice hr * (1 - hr).": lambda *case: (
                _users(*case, models=1)
            ),
            "a width shrinks with the root of the users: the ratio 1.96 / difference is squared.": (
                lambda *case: _users(*case, power=1)
            ),
            "95 % lie within 1.96 standard deviations, not within one.": lambda *case: _users(
                *case, wide=1.0
            ),
            "paired, the variance of one user's difference is the share who disagree, as it is.": (
                lambda hr, difference, disagree: _users(hr, difference, disagree * (1 - disagree))
            ),
        },
    ),
]


def _users(hr, difference, disagree, models=2, power=2, wide=1.96):
    factor = (wide / difference) ** power
    return factor * models * hr * (1 - hr), factor * disagree
