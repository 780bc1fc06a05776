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
    yield ([0],)
    yield ([0, 3],)
    for size in (5, 40):
        yield (rng.integers(0, 100, size),)


# --- 05.2 ----------------------------------------------------------------------------------------


def auc(ranks, num_candidates):
    won = 0
    for rank in ranks:
        for place in range(num_candidates):
            won += place >= rank
    return won / (len(ranks) * num_candidates)


def _ranks_of(rng):
    yield [0], 1
    yield [1], 4
    for size in (3, 30):
        yield rng.integers(0, 100, size), 99


# --- 05.3 ----------------------------------------------------------------------------------------


def ndcg_of(relevant, k):
    def gain(entries):
        return sum(entry / math.log2(place + 2) for place, entry in enumerate(entries[:k]))

    return gain(list(relevant)) / gain(sorted(relevant, reverse=True))


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
        "Area under the curve",
        ("ranks", "num_candidates"),
        auc,
        _ranks_of,
        {
            "this is the share of rivals that win; AUC is the share that lose.": lambda ranks, c: (
                np.mean(ranks) / c
            ),
            "there are num_candidates rivals; the held-out film is not one of them.": (
                lambda ranks, c: 1 - np.mean(ranks) / (c + 1)
            ),
            "a rank counts from 0: rank 0 is beaten by nobody.": lambda ranks, c: (
                1 - np.mean(np.asarray(ranks) + 1) / c
            ),
        },
    ),
    Exercise(
        "05.3",
        "Two hidden films",
        ("relevant", "k"),
        ndcg_of,
        _lists,
        {
            "this is DCG: divide by what the ideal list, ones first, would get.": _dcg,
            "sort the whole list first and cut it at k then, not the other way round.": (
                lambda relevant, k: (
                    _dcg(relevant, k) / max(_dcg(sorted(relevant[:k], reverse=True), k), 1e-12)
                )
            ),
            "an ideal list of k ones would do only if there were k of them.": (
                lambda relevant, k: _dcg(relevant, k) / _dcg(np.ones(k), k)
            ),
            "the first place is log2(2): count places from 2.": lambda relevant, k: (
                _dcg(relevant, k, first=3) / _dcg(sorted(relevant, reverse=True), k, first=2)
            ),
        },
    ),
]
