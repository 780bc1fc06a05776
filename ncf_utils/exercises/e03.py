"""Exercises of notebook 03, the Hadamard product."""

import numpy as np

from . import Exercise

# --- 03.1 ----------------------------------------------------------------------------------------


def score_all(P, Q, h):
    scores = np.zeros((len(P), len(Q)))
    for user in range(len(P)):
        for item in range(len(Q)):
            for factor in range(len(h)):
                scores[user, item] += h[factor] * P[user, factor] * Q[item, factor]
    return scores


def _tables(rng):
    yield np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]]), np.array([1.0, 10.0])
    yield np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1.0, -1.0])
    for users, items, factors in ((3, 4, 2), (10, 7, 8)):
        yield tuple(rng.normal(size=size) for size in ((users, factors), (items, factors), factors))


# --- 03.2 ----------------------------------------------------------------------------------------


def squared_distances(P, Q):
    return [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in Q] for p in P]


def _two_tables(rng):
    yield np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
    yield np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([[0.0, 2.0], [1.0, 1.0]])
    for users, items, factors in ((2, 3, 2), (8, 5, 4)):
        yield rng.normal(size=(users, factors)), rng.normal(size=(items, factors))


def _lengths(table):
    return (table**2).sum(axis=1)


# --- 03.3 ----------------------------------------------------------------------------------------


def put_first(products, item):
    """Weights exist where one factor sets the film apart; the cases have such a factor."""
    products = np.asarray(products)
    for factor in range(products.shape[1]):
        for sign in (1, -1):
            column = sign * products[:, factor]
            if column.argmax() == item and (column == column.max()).sum() == 1:
                return np.eye(products.shape[1])[factor] * sign
    raise ValueError("no factor does it")


def _place(function, products, item):
    scores = np.asarray(products) @ np.asarray(function(products, item), dtype=float)
    return {
        "films that score as much or more": int((np.delete(scores, item) >= scores[item]).sum())
    }


def _products(rng):
    yield np.array([[1.0, 0.0], [0.0, 2.0]]), 0
    yield np.array([[1.0, 0.0], [2.0, -2.0]]), 1
    yield np.array([[1.0, -1.0], [5.0, 0.5]]), 0  # a short film beside a long one
    yield np.array([[2.0, 1.0, -2.0], [1.0, 3.0, -1.0], [3.0, 2.0, 0.0], [0.0, 0.0, -3.0]]), 3
    for size in (5, 9):
        products = rng.normal(size=(size, 4))
        item = int(products[:, 1].argmin())
        yield products, item


# --- 03.4 ----------------------------------------------------------------------------------------


def lengthen(Q):
    longest = max(sum(x * x for x in row) for row in Q)
    return [[*row, (longest - sum(x * x for x in row)) ** 0.5] for row in Q]


def _signless(function, Q):
    """The new coordinate may have either sign."""
    longer = np.array(function(Q), dtype=float)
    if longer.ndim == 2 and longer.shape[1] == Q.shape[1] + 1:
        longer[:, -1] = np.abs(longer[:, -1])
    return longer


def _films(rng):
    yield (np.array([[3.0, 4.0]]),)
    yield (np.array([[3.0, 4.0], [0.0, 1.0]]),)
    for size in (4, 30):
        yield (rng.normal(size=(size, 5)),)


def _length(Q):
    return np.linalg.norm(Q, axis=1)


EXERCISES = [
    Exercise(
        "03.1",
        "All scores at once",
        ("P", "Q", "h"),
        score_all,
        _tables,
        {
            "this is the plain dot product; each factor has its weight in h.": lambda P, Q, h: (
                P @ Q.T
            ),
            "users belong in rows and films in columns.": lambda P, Q, h: (Q * h) @ P.T,
            "this weighs both tables: h counts twice.": lambda P, Q, h: (P * h) @ (Q * h).T,
            "P * Q lines row up with row; every user meets every film after P[:, None] * Q.": (
                lambda P, Q, h: (P * Q) @ h
            ),
        },
        tolerance=1e-5,
    ),
    Exercise(
        "03.2",
        "Distance or cosine?",
        ("P", "Q"),
        squared_distances,
        _two_tables,
        {
            "the users' lengths need an axis of their own, [:, None]: here they went by columns.": (
                lambda P, Q: _lengths(P) + _lengths(Q) - 2 * P @ Q.T
            ),
            "P - Q lines row up with row; every user meets every film after P[:, None] - Q.": (
                lambda P, Q: ((P - Q) ** 2).sum(axis=1)
            ),
            "only vectors of length 1 have the lengths 1 and 1; these have others.": (
                lambda P, Q: 2 - 2 * P @ Q.T
            ),
            "(a - b) squared is a squared minus *twice* a b plus b squared.": lambda P, Q: (
                _lengths(P)[:, None] + _lengths(Q) - P @ Q.T
            ),
            "|p|² is the length *squared*: (P**2).sum(axis=1), without the root.": lambda P, Q: (
                _length(P)[:, None] + _length(Q) - 2 * P @ Q.T
            ),
            "users belong in rows and films in columns.": lambda P, Q: (
                _lengths(Q)[:, None] + _lengths(P) - 2 * Q @ P.T
            ),
            "this is the distance itself; its square was asked for.": lambda P, Q: np.linalg.norm(
                P[:, None] - Q, axis=-1
            ),
        },
        tolerance=1e-5,
    ),
    Exercise(
        "03.3",
        "The last shall be first",
        ("products", "item"),
        put_first,
        _products,
        {
            "with all weights 1 this is the dot product, and the film is not first.": (
                lambda products, item: np.ones(products.shape[1])
            ),
            "where a film is below all others in a factor, the weight must be negative.": (
                lambda products, item: np.eye(products.shape[1])[np.abs(products[item]).argmax()]
            ),
            "a longer film can be ahead by the film's own products: look for *one* factor.": (
                lambda products, item: products[item]
            ),
            "weights of 0 make all films equal, and nobody is first.": (
                lambda products, item: np.zeros(products.shape[1])
            ),
        },
        measure=_place,
    ),
    Exercise(
        "03.4",
        "A cosine that imitates the dot product",
        ("Q",),
        lengthen,
        _films,
        {
            "this is the difference of the lengths; the squares of the lengths add up.": (
                lambda Q: np.column_stack([Q, _length(Q).max() - _length(Q)])
            ),
            "the root is missing: the square of the new coordinate fills up.": (
                lambda Q: np.column_stack([Q, _length(Q).max() ** 2 - _length(Q) ** 2])
            ),
            "dividing by the length loses it; a new coordinate must make it up.": (
                lambda Q: Q / _length(Q)[:, None]
            ),
        },
        measure=_signless,
        tolerance=1e-5,
    ),
]
