"""Exercises of notebook 04, negative sampling."""

import math

import numpy as np

from . import Exercise

# --- 04.1 ----------------------------------------------------------------------------------------


def missing_item(s, r):
    wanted = []
    for rank in r:
        missing = [item for item in range(int(rank) + len(s) + 1) if item not in set(s)]
        wanted.append(missing[int(rank)])
    return wanted


def _seen(rng):
    yield np.array([0]), np.array([0])
    yield np.array([1, 2, 5]), np.array([0, 1, 2, 3])
    for size in (4, 20):
        yield np.sort(rng.permutation(40)[:size]), rng.integers(0, 40 - size, 6)


# --- 04.2 ----------------------------------------------------------------------------------------


def bpr_slope(positive, negative):
    """Central differences of softplus(negative - positive)."""
    step = 1e-6

    def loss(positive, negative):
        return math.log1p(math.exp(negative - positive))

    return (
        (loss(positive + step, negative) - loss(positive - step, negative)) / (2 * step),
        (loss(positive, negative + step) - loss(positive, negative - step)) / (2 * step),
    )


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def _pairs(rng):
    yield 0.0, 0.0
    yield 2.0, 0.0
    for _ in range(3):
        yield tuple(rng.normal(size=2).round(2).tolist())


# --- 04.3 ----------------------------------------------------------------------------------------


def best_constant(num_negatives):
    """The least squared loss over a fine grid of logits, then once more around the best."""
    low, high = -12.0, 12.0
    for _ in range(8):
        grid = np.linspace(low, high, 401)
        answer = 1 / (1 + np.exp(-grid))
        loss = (1 - answer) ** 2 + num_negatives * answer**2
        at, width = grid[loss.argmin()], (high - low) / 100
        low, high = at - width, at + width
    return float(at)


def _numbers(rng):
    yield from ((1,), (2,), (4,), (99,))


EXERCISES = [
    Exercise(
        "04.1",
        "The r-th missing film",
        ("s", "r"),
        missing_item,
        _seen,
        {
            "this is the rank itself: films that were seen must be stepped over.": lambda s, r: r,
            'a rank that equals an entry is past it as well: side="right".': lambda s, r: (
                r + np.searchsorted(s - np.arange(len(s)), r)
            ),
            "count the seen films below the *answer*: compare r with s - arange(len(s)), not s.": (
                lambda s, r: r + np.searchsorted(s, r, side="right")
            ),
        },
    ),
    Exercise(
        "04.2",
        "The slope of BPR",
        ("positive", "negative"),
        bpr_slope,
        _pairs,
        {
            "the sign: a larger positive logit makes the loss smaller.": lambda p, n: (
                1 - _sigmoid(p - n),
                _sigmoid(p - n) - 1,
            ),
            "this is the sigmoid of the margin; the derivative is what is missing to 1.": (
                lambda p, n: (-_sigmoid(p - n), _sigmoid(p - n))
            ),
            "both logits matter: the two slopes are equal and opposite.": lambda p, n: (
                _sigmoid(p - n) - 1,
                0.0,
            ),
        },
        tolerance=1e-4,
    ),
    Exercise(
        "04.3",
        "Another base rate",
        ("num_negatives",),
        best_constant,
        _numbers,
        {
            "this is the best answer ŷ; the logit is log(ŷ / (1 - ŷ)).": lambda n: 1 / (1 + n),
            "the sign: with more negatives the logit falls.": lambda n: (
                math.log(n) if n > 1 else 1.0
            ),
            "this is the logarithm of ŷ; the logit is log(ŷ / (1 - ŷ)).": lambda n: math.log(
                1 / (1 + n)
            ),
        },
        tolerance=1e-3,
    ),
]
