"""Exercises of notebook 10, negatives and depth."""

import math

import numpy as np

from . import Exercise

# --- 10.1 ----------------------------------------------------------------------------------------


def shift(logits, trained_with, wanted):
    """By way of the odds, of which the logit is the logarithm."""
    shifted = []
    for logit in logits:
        lift = math.exp(logit) * trained_with  # p / q
        shifted.append(math.log(lift / wanted))
    return shifted


def _logits(rng):
    yield np.array([0.0]), 1, 4
    yield np.array([0.22, -2.08]), 4, 1
    for size, wanted in ((5, 99), (20, 2)):
        yield rng.normal(size=size), 4, wanted


# --- 10.2 ----------------------------------------------------------------------------------------


def gain_and_error(first, second):
    def mean(values):
        return sum(values) / len(values)

    def variance_of_mean(values):
        squares = sum((value - mean(values)) ** 2 for value in values)
        return squares / (len(values) - 1) / len(values)

    error = math.sqrt(variance_of_mean(first) + variance_of_mean(second))
    return mean(first) - mean(second), error


def _seeds(rng):
    yield np.array([0.64, 0.60]), np.array([0.55, 0.54])
    yield np.array([0.64, 0.60, 0.59]), np.array([0.55, 0.54])
    for one, other in ((5, 3), (10, 20)):
        yield 0.65 + rng.normal(scale=0.02, size=one), 0.6 + rng.normal(scale=0.01, size=other)


def _error(first, second, spread):
    """The gain, and a wrong error of it."""
    return np.mean(first) - np.mean(second), spread(np.asarray(first), np.asarray(second))


# --- 10.3 ----------------------------------------------------------------------------------------


def rest(scores):
    """The interaction with every other user and every other film, on the average."""
    users, films = scores.shape
    left = np.zeros((users, films))
    for u in range(users):
        for i in range(films):
            for v in range(users):
                for j in range(films):
                    left[u, i] += scores[u, i] - scores[u, j] - scores[v, i] + scores[v, j]
    return left / (users * films)


def _scores(rng):
    yield (np.array([[3.0]]),)
    yield (np.array([[1.0, 2.0], [3.0, 4.0]]),)
    yield (np.array([[1.0, 0.0], [0.0, 3.0]]),)
    for size in ((3, 4), (7, 9)):
        yield (rng.normal(size=size),)


# --- 10.4 ----------------------------------------------------------------------------------------


def merge(W1, b1, W2, b2):
    """Ask the two layers: the bias is what they make of zeros, a column what a one-hot adds."""

    def layers(x):
        return W2 @ (W1 @ x + b1) + b2

    bias = layers(np.zeros(W1.shape[1]))
    columns = [layers(one_hot) - bias for one_hot in np.eye(W1.shape[1])]
    return np.array(columns).T, bias


def _beside(function, *layers):
    """Matrix and bias as one array, the bias as its last column."""
    merged = function(*layers)
    return merged if merged is None else np.column_stack(merged)


def _layers(rng):
    yield tuple(np.array(values) for values in ([[2.0]], [3.0], [[5.0]], [7.0]))
    for inputs, middle, outputs in ((2, 2, 2), (3, 4, 2), (32, 16, 8)):
        sizes = (middle, inputs), middle, (outputs, middle), outputs
        yield tuple(rng.integers(-5, 6, size).astype(float) for size in sizes)


EXERCISES = [
    Exercise(
        "10.1",
        "Another number of negatives",
        ("logits", "trained_with", "wanted"),
        shift,
        _logits,
        {
            "the logits hold -log(trained_with) already: add it back first.": lambda logits, n, m: (
                logits - np.log(m)
            ),
            "the sign: the more negatives, the lower the logits.": lambda logits, n, m: (
                logits - np.log(n) + np.log(m)
            ),
            "n + 1 is in the share of positives; the logit has log n.": lambda logits, n, m: (
                logits + np.log(n + 1) - np.log(m + 1)
            ),
            "the logit moves by a difference of logarithms, not of numbers.": lambda logits, n, m: (
                logits + n - m
            ),
            "the *odds* are multiplied by a ratio; the logit is their logarithm, and moves.": (
                lambda logits, n, m: logits * n / m
            ),
        },
    ),
    Exercise(
        "10.2",
        "A gain, and how sure it is",
        ("first", "second"),
        gain_and_error,
        _seeds,
        {
            "few seeds: divide the squares by their number less one, ddof=1.": lambda a, b: _error(
                a, b, lambda a, b: np.sqrt(a.var() / len(a) + b.var() / len(b))
            ),
            "this is how far single runs lie apart; a mean of n runs has 1 / n of the variance.": (
                lambda a, b: _error(a, b, lambda a, b: np.sqrt(a.var(ddof=1) + b.var(ddof=1)))
            ),
            "errors do not add up, their squares do.": lambda a, b: _error(
                a,
                b,
                lambda a, b: a.std(ddof=1) / len(a) ** 0.5 + b.std(ddof=1) / len(b) ** 0.5,
            ),
            "this is the variance of the gain; its error is the root.": lambda a, b: _error(
                a, b, lambda a, b: a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)
            ),
        },
    ),
    Exercise(
        "10.3",
        "What no sum can say",
        ("scores",),
        rest,
        _scores,
        {
            "the mean of all has been taken away twice, with the users and with the films.": (
                lambda s: s - s.mean(axis=1, keepdims=True) - s.mean(axis=0)
            ),
            "only the users' terms are gone; a film has one, too.": lambda s: (
                s - s.mean(axis=1, keepdims=True)
            ),
            "only the films' terms are gone; a user has one, too.": lambda s: s - s.mean(axis=0),
            "the users' means must stand in a column: keepdims=True.": lambda s: (
                s - s.mean(axis=1) - s.mean(axis=0) + s.mean()
            ),
        },
    ),
    Exercise(
        "10.4",
        "Two layers are one",
        ("W1", "b1", "W2", "b2"),
        merge,
        _layers,
        {
            "the layer that comes second stands on the left: W2 @ W1.": lambda W1, b1, W2, b2: (
                W1 @ W2,
                W2 @ b1 + b2,
            ),
            "here x is a column: W2 @ W1; in notebook 07 it was a row.": lambda W1, b1, W2, b2: (
                W1 @ W2,
                b1 @ W2 + b2,
            ),
            "the first layer has a bias, too, and the second takes it along: W2 @ b1.": (
                lambda W1, b1, W2, b2: (W2 @ W1, b2)
            ),
            "b1 goes through the second layer as well.": lambda W1, b1, W2, b2: (W2 @ W1, b1 + b2),
            "the second layer adds a bias of its own.": lambda W1, b1, W2, b2: (W2 @ W1, W2 @ b1),
        },
        measure=_beside,
    ),
]
