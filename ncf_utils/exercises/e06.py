"""Exercises of notebook 06, GMF; the same for both twins."""

import math

import numpy as np

from . import Exercise

# --- 06.1 ----------------------------------------------------------------------------------------


def weighted_scores(p, q, h):
    scores = []
    for film in q:
        score = 0.0
        for factor in range(len(h)):
            score += h[factor] * p[factor] * film[factor]
        scores.append(score)
    return scores


def _one_user(rng):
    yield np.array([2.0]), np.array([[3.0]]), np.array([5.0])
    yield np.array([2.0, 1.0]), np.array([[3.0, 0.0], [1.0, 1.0]]), np.array([1.0, -1.0])
    for films, factors in ((4, 2), (9, 8)):
        yield rng.normal(size=factors), rng.normal(size=(films, factors)), rng.normal(size=factors)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


# --- 06.2 ----------------------------------------------------------------------------------------


def newcomer_scores(P, Q, h):
    scores = np.zeros(len(Q))
    for item in range(len(Q)):
        for user in range(len(P)):
            for factor in range(len(h)):
                scores[item] += h[factor] * P[user, factor] * Q[item, factor]
    return scores / len(P)


def _tables(rng):
    yield np.array([[1.0, 3.0]]), np.array([[2.0, 1.0]]), np.array([1.0, 1.0])
    yield np.array([[1.0, 0.0], [3.0, 4.0]]), np.eye(2), np.array([1.0, 0.5])
    for users, films, factors in ((3, 2, 2), (10, 7, 4)):
        yield tuple(rng.normal(size=size) for size in ((users, factors), (films, factors), factors))


# --- 06.3 ----------------------------------------------------------------------------------------


def absorb(P, Q, h):
    """The sign of a negative weight goes to the users; it could go to the films as well."""
    P2, Q2 = P.astype(float), Q.astype(float)
    for factor, weight in enumerate(h):
        P2[:, factor] *= math.copysign(math.sqrt(abs(weight)), weight)
        Q2[:, factor] *= math.sqrt(abs(weight))
    return P2, Q2


def _root_or_nan(h):
    return np.sqrt(np.where(h < 0, np.nan, h))


def _both_tables(function, P, Q, h):
    P2, Q2 = (np.asarray(table, dtype=float) for table in function(P, Q, h))
    stretch = [np.linalg.norm(b, axis=0) / np.linalg.norm(a, axis=0) for a, b in ((P, P2), (Q, Q2))]
    return {"scores": P2 @ Q2.T, "P stretched by": stretch[0], "Q stretched by": stretch[1]}


def _weights(rng):
    yield np.array([[1.0]]), np.array([[3.0]]), np.array([4.0])
    yield np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]]), np.array([4.0, 9.0])
    yield np.array([[1.0, 2.0]]), np.array([[3.0, 1.0], [0.0, 5.0]]), np.array([4.0, -9.0])
    yield rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.normal(size=3)


# --- 06.4 ----------------------------------------------------------------------------------------


def gradient_of_p(p, q, h, bias, label):
    """Central differences of the log loss."""
    step = 1e-6

    def loss(p):
        logit = sum(weight * a * b for weight, a, b in zip(h, p, q, strict=True)) + bias
        return math.log1p(math.exp(-logit)) if label else math.log1p(math.exp(logit))

    slopes = []
    for factor in range(len(p)):
        shift = np.eye(len(p))[factor] * step
        slopes.append((loss(p + shift) - loss(p - shift)) / (2 * step))
    return slopes


def _pairs(rng):
    yield np.array([0.0]), np.array([1.0]), np.array([1.0]), 0.0, 1
    yield np.array([0.0]), np.array([2.0]), np.array([3.0]), 0.0, 0
    yield np.array([1.0, 2.0]), np.array([3.0, -1.0]), np.array([1.0, 0.5]), 0.5, 1
    for label in (0, 1):
        yield *rng.normal(size=(3, 6)), -1.0, label


def _error(p, q, h, bias, label):
    return _sigmoid((p * q) @ h + bias) - label


EXERCISES = [
    Exercise(
        "06.1",
        "Weighted scores",
        ("p", "q", "h"),
        weighted_scores,
        _one_user,
        {
            "this is the plain dot product; each factor has its weight in h.": lambda p, q, h: (
                q @ p
            ),
            "a film's score is the sum over its factors; this sums over the films.": (
                lambda p, q, h: (p * q * h).sum(axis=0)
            ),
            "scores are logits: the sigmoid is in the loss.": lambda p, q, h: _sigmoid(q @ (p * h)),
            "this divides by the number of factors: a sum, not a mean.": lambda p, q, h: (
                p * q * h
            ).mean(axis=1),
        },
        tolerance=1e-5,
    ),
    Exercise(
        "06.2",
        "A user without a history",
        ("P", "Q", "h"),
        newcomer_scores,
        _tables,
        {
            "average over the users, the rows of P: axis 0.": lambda P, Q, h: (
                (Q * h).sum(axis=1) * P.mean()
            ),
            "this is the sum over the users; the ranking is the same, the mean is smaller.": (
                lambda P, Q, h: (Q * h) @ P.sum(axis=0)
            ),
            "the average user has factors of their own; h weighs them as for anybody.": (
                lambda P, Q, h: Q @ P.mean(axis=0)
            ),
            "these are the films' sums, as if the newcomer had 1 in every factor.": (
                lambda P, Q, h: Q @ h
            ),
        },
        tolerance=1e-5,
    ),
    Exercise(
        "06.3",
        "Absorb h evenly",
        ("P", "Q", "h"),
        absorb,
        _weights,
        {
            "the scores are right, but one table has taken all of h: give each its root.": (
                lambda P, Q, h: (P * h, Q)
            ),
            "each table has all of h, so the scores have its square: give each its root.": (
                lambda P, Q, h: (P * h, Q * h)
            ),
            "halves add up to h; what multiplies to h are its roots.": lambda P, Q, h: (
                P * h / 2,
                Q * h / 2,
            ),
            "the sign of a negative weight is lost: keep it on one side.": lambda P, Q, h: (
                P * np.sqrt(np.abs(h)),
                Q * np.sqrt(np.abs(h)),
            ),
            "a negative weight has no root: take that of its size, and its sign on one side.": (
                lambda P, Q, h: (P * _root_or_nan(h), Q * _root_or_nan(h))
            ),
        },
        measure=_both_tables,
        tolerance=1e-5,
    ),
    Exercise(
        "06.4",
        "The gradient by hand",
        ("p", "q", "h", "bias", "label"),
        gradient_of_p,
        _pairs,
        {
            "the sign: the error is ŷ - y, what was said minus what is true.": lambda *case: (
                -_error(*case) * case[2] * case[1]
            ),
            "ŷ is the sigmoid of the logit, not the logit.": lambda p, q, h, bias, label: (
                ((p * q) @ h + bias - label) * h * q
            ),
            "h weighs the film's factors on the way back, too.": lambda *case: (
                _error(*case) * case[1]
            ),
            "this is the film's gradient; the user's has q in it.": lambda *case: (
                _error(*case) * case[2] * case[0]
            ),
            "the bias is part of the logit.": lambda p, q, h, bias, label: (
                _error(p, q, h, 0, label) * h * q
            ),
        },
        tolerance=1e-4,
    ),
]
