"""Exercises of notebook 12, NCF against matrix factorisation."""

import itertools
import math

import numpy as np

from . import Exercise

# --- 12.1 ----------------------------------------------------------------------------------------


def fold(P, Q, user_bias, item_bias, b):
    users = [[*row, bias + b, 1.0] for row, bias in zip(P, user_bias, strict=True)]
    items = [[*row, 1.0, bias] for row, bias in zip(Q, item_bias, strict=True)]
    return users, items


def _folded(function, P, Q, user_bias, item_bias, b):
    """The width of the tables, and their dot products."""
    tables = function(P, Q, user_bias, item_bias, b)
    if tables is None:
        return None
    users, items = (np.asarray(table) for table in tables)
    return {"columns": users.shape[1], "logits": (users @ items.T).round(6).tolist()}


def _models(rng):
    yield np.array([[2.0]]), np.array([[3.0]]), np.array([5.0]), np.array([7.0]), 0.5
    for users, items, factors in ((2, 3, 2), (6, 9, 4)):
        sizes = (users, factors), (items, factors), users, items
        yield (*(rng.normal(size=size) for size in sizes), -1.5)


def _stacked(users, items):
    """Each table with more columns; a number stands for a column of it."""

    def table(rows, columns):
        return np.column_stack([rows, *(np.broadcast_to(c, len(rows)) for c in columns)])

    return lambda P, Q, *biases: (table(P, users(*biases)), table(Q, items(*biases)))


# --- 12.2 ----------------------------------------------------------------------------------------


def cheapest(P, Q, h):
    """The lowest penalty over a fine grid of log c, then once more around the best."""
    tables = sum(float(x) ** 2 for x in [*P.ravel(), *Q.ravel()])
    weights = sum(float(x) ** 2 for x in h)
    low, high = -10.0, 10.0
    for _ in range(8):
        grid = np.linspace(low, high, 401)
        at = grid[(tables * np.exp(-2 * grid) + weights * np.exp(4 * grid)).argmin()]
        low, high = at - (high - low) / 100, at + (high - low) / 100
    return math.exp(at)


def _weights(rng):
    yield np.array([[2.0]]), np.array([[1.0]]), np.array([1.0])
    for users, items, factors in ((2, 3, 2), (20, 30, 8)):
        yield tuple(rng.normal(size=size) for size in ((users, factors), (items, factors), factors))


def _squares(*arrays):
    return sum((array**2).sum() for array in arrays)


# --- 12.3 ----------------------------------------------------------------------------------------


def expected_ndcg(ranks, num_candidates, rivals):
    total = 0.0
    for rank in ranks:
        rank = int(rank)
        for place in range(min(10, num_candidates + 1)):
            # so many of the better rivals drawn, the other candidates from the worse ones
            ways = math.comb(rank, place) * math.comb(rivals - rank, num_candidates - place)
            total += ways / math.comb(rivals, num_candidates) / math.log2(place + 2)
    return total / len(ranks)


def _exams(rng):
    yield np.array([0]), 3, 5
    yield np.array([2]), 2, 4
    yield np.array([5, 12]), 19, 30
    for size in (5, 20):
        yield rng.integers(0, 300, size), 99, 999


def _with_pmf(ranks, places, pmf, worth):
    return float(np.mean([sum(pmf(rank, j) * worth(j) for j in places) for rank in ranks]))


def _hypergeometric(n, rivals, chance="pmf"):
    from scipy.stats import hypergeom

    return lambda rank, place: getattr(hypergeom, chance)(place, rivals, rank, n)


def _binomial(n, rivals):
    from scipy.stats import binom

    return lambda rank, place: binom.pmf(place, n, rank / rivals)


def _worth(place):
    return 1 / np.log2(place + 2)


def _worth_from_1(place):
    return 1 / math.log2(place + 1)  # ZeroDivisionError


def _infinite(ranks, n, rivals):
    with np.errstate(divide="ignore", invalid="ignore"):
        return _with_pmf(
            ranks, range(10), _hypergeometric(n, rivals), lambda place: 1 / np.log2(place + 1)
        )


def _at_the_mean_place(ranks, num_candidates, rivals):
    place = np.asarray(ranks) * num_candidates / rivals
    return float(np.mean(np.where(place < 10, _worth(place), 0)))


# --- 12.4 ----------------------------------------------------------------------------------------


def after_tries(validation, test, k):
    reported = []
    for tries in itertools.combinations(range(len(test)), k):
        picked = max(tries, key=lambda setting: validation[setting])
        reported.append(test[picked])
    return sum(reported) / len(reported)


def _settings(rng):
    yield np.array([0.3]), np.array([0.6]), 1
    yield np.array([0.40, 0.42, 0.38]), np.array([0.70, 0.68, 0.65]), 2
    for size, k in ((6, 3), (9, 4)):
        yield rng.permutation(size) / 100 + 0.3, rng.uniform(0.6, 0.7, size), k


def _with_repeats(validation, test, k):
    share = np.arange(len(test) + 1) / len(test)
    return float(np.diff(share**k) @ test[np.argsort(validation)])


EXERCISES = [
    Exercise(
        "12.1",
        "Only two tables",
        ("P", "Q", "user_bias", "item_bias", "b"),
        fold,
        _models,
        {
            "b needs no column of its own: another column can carry it.": _stacked(
                lambda users, items, b: (users, 1, b), lambda users, items, b: (1, items, 1)
            ),
            "b is missing from the logits.": _stacked(
                lambda users, items, b: (users, 1), lambda users, items, b: (1, items)
            ),
            "b is added once for the user and once more for the film.": _stacked(
                lambda users, items, b: (users + b, 1), lambda users, items, b: (1, items + b)
            ),
            "here bias meets bias, and they are multiplied; each should meet a 1.": _stacked(
                lambda users, items, b: (users + b, 1), lambda users, items, b: (items, 1)
            ),
        },
        measure=_folded,
    ),
    Exercise(
        "12.2",
        "A price on h as well",
        ("P", "Q", "h"),
        cheapest,
        _weights,
        {
            "the slope of c ** 4 has a factor 4, that of c ** -2 only a 2.": lambda P, Q, h: (
                (_squares(P, Q) / _squares(h)) ** (1 / 6)
            ),
            "2 A / c ** 3 = 4 H c ** 3: the 2 that is left stands with H.": lambda P, Q, h: (
                (2 * _squares(P, Q) / _squares(h)) ** (1 / 6)
            ),
            "the slope of A / c ** 2 has a factor as well, 2: half of A, not a quarter.": (
                lambda P, Q, h: (_squares(P, Q) / (4 * _squares(h))) ** (1 / 6)
            ),
            "A / 2 * H multiplies by H; A / (2 * H) divides by it.": lambda P, Q, h: (
                (_squares(P, Q) / 2 * _squares(h)) ** (1 / 6)
            ),
            "upside down: the tables are divided by c, so larger tables ask for a larger c.": (
                lambda P, Q, h: (2 * _squares(h) / _squares(P, Q)) ** (1 / 6)
            ),
            "this is c to the sixth; asked is c.": lambda P, Q, h: (
                _squares(P, Q) / (2 * _squares(h))
            ),
            "c ** -3 and c ** 3 are six powers apart: the sixth root.": lambda P, Q, h: (
                (_squares(P, Q) / (2 * _squares(h))) ** (1 / 3)
            ),
            "both tables are in the penalty.": lambda P, Q, h: (
                (_squares(P) / (2 * _squares(h))) ** (1 / 6)
            ),
            "the penalty adds squares; these are lengths.": lambda P, Q, h: (
                (_squares(P, Q) ** 0.5 / (2 * _squares(h) ** 0.5)) ** (1 / 6)
            ),
        },
        tolerance=1e-3,
    ),
    Exercise(
        "12.3",
        "Expected NDCG",
        ("ranks", "num_candidates", "rivals"),
        expected_ndcg,
        _exams,
        {
            "this is the expected HR@10: weigh each place by what it is worth.": (
                lambda ranks, n, rivals: _with_pmf(
                    ranks, range(10), _hypergeometric(n, rivals), lambda place: 1
                )
            ),
            "cdf is the chance of this place or a better one; that of the place alone is pmf.": (
                lambda ranks, n, rivals: _with_pmf(
                    ranks, range(10), _hypergeometric(n, rivals, "cdf"), _worth
                )
            ),
            "place 0 is worth 1 / log2(2): with places from 0 it is log2(place + 2).": (
                lambda ranks, n, rivals: _with_pmf(
                    ranks, range(10), _hypergeometric(n, rivals), _worth_from_1
                )
            ),
            "log2(0 + 1) is 0, and place 0 divides by it: with places from 0 it is place + 2.": (
                _infinite
            ),
            "NDCG@10 counts the places 0 to 9, and no further.": lambda ranks, n, rivals: _with_pmf(
                ranks, range(n + 1), _hypergeometric(n, rivals), _worth
            ),
            "no rival is drawn twice: the hypergeometric distribution, not the binomial one.": (
                lambda ranks, n, rivals: _with_pmf(ranks, range(10), _binomial(n, rivals), _worth)
            ),
            "the worth of the mean place is not the mean worth of the places.": _at_the_mean_place,
        },
    ),
    Exercise(
        "12.4",
        "What k tries are worth",
        ("validation", "test", "k"),
        after_tries,
        _settings,
        {
            "the tries are k different settings: none is drawn twice.": _with_repeats,
            "validation picks and the test reports; here the test picks as well.": (
                lambda validation, test, k: after_tries(test, test, k)
            ),
            "these are the k that validate best; any k may have been tried, and one is reported.": (
                lambda validation, test, k: np.mean(test[np.argsort(validation)[-k:]])
            ),
            "these are the k best on the test; any k may have been tried, and validation picks.": (
                lambda validation, test, k: np.mean(np.sort(test)[-k:])
            ),
            "divide by the number of choices, math.comb(n, k).": lambda validation, test, k: (
                after_tries(validation, test, k) * math.comb(len(test), k)
            ),
            "these are the first k only; take the mean over all choices of k.": (
                lambda validation, test, k: test[np.argmax(validation[:k])]
            ),
            "this is the best of all, as if everything had been tried.": (
                lambda validation, test, k: test[np.argmax(validation)]
            ),
            "of the k tries only the one that validation picks is reported.": (
                lambda validation, test, k: np.mean(test)
            ),
        },
    ),
]
