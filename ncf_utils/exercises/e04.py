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
    return round(float(at), 6)


def _numbers(rng):
    yield from ((1,), (2,), (4,), (99,))


# --- 04.4 ----------------------------------------------------------------------------------------


def draw_negatives(users, seen, num_items, rng):
    drawn = []
    for user in users.tolist():
        missing = [item for item in range(num_items) if item not in seen[user]]
        drawn.append(missing[rng.integers(len(missing))])
    return drawn


def _faults(function, users, seen, num_items, rng):
    """What is wrong with the draws, in words that do not depend on how they were made."""
    drawn = np.asarray(function(users, seen, num_items, rng), dtype=int)
    if drawn.shape != users.shape:
        return {"one film for each user": False}
    own = outside = left_out = preferred = False
    for user, films in seen.items():
        counts = np.bincount(drawn[users == user].clip(0), minlength=num_items)
        missing = np.setdiff1d(np.arange(num_items), list(films))
        fair = (users == user).sum() / len(missing)
        own |= bool(counts[list(films)].any())
        outside |= bool(counts[num_items:].any() or (drawn < 0).any())
        left_out |= bool((counts[missing] == 0).any())
        preferred |= bool((counts[missing] > fair + 7 * fair**0.5).any())
    return {
        "a film the user has seen": own,
        "a film that does not exist": outside,
        "some film never": left_out,
        "some film too often": preferred,
    }


def _worlds(rng):
    yield np.zeros(500, int), {0: {1, 2}}, 4, rng
    yield np.repeat([0, 1], 500), {0: {1, 2, 5}, 1: {0, 7}}, 8, rng
    yield (
        rng.permutation(np.repeat([0, 1, 2], 800)),
        {0: {0, 1, 3}, 1: {9}, 2: {2, 4, 6, 8}},
        10,
        rng,
    )


def _seen_by(seen, users, items):
    return np.array([item in seen[user] for user, item in zip(users, items, strict=True)])


def _redrawn(users, seen, num_items, rng, rounds):
    items = rng.integers(num_items, size=len(users))
    for _ in range(rounds):
        again = _seen_by(seen, users, items)
        items[again] = rng.integers(num_items, size=again.sum())
    return items


def _neighbour(users, seen, num_items, rng):
    items = rng.integers(num_items, size=len(users))
    while (again := _seen_by(seen, users, items)).any():
        items[again] = (items[again] + 1) % num_items
    return items


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
            "this is the log loss, each logit by itself; BPR sees only how far they are apart.": (
                lambda p, n: (_sigmoid(p) - 1, _sigmoid(n))
            ),
            "a larger negative logit makes the loss larger: its slope is above 0.": lambda p, n: (
                _sigmoid(p - n) - 1,
                _sigmoid(p - n) - 1,
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
            "the sign: with more negatives the logit falls.": math.log,
            "this is the logarithm of ŷ; the logit is log(ŷ / (1 - ŷ)).": lambda n: math.log(
                1 / (1 + n)
            ),
        },
        tolerance=1e-3,
    ),
    Exercise(
        "04.4",
        "Films of one's own",
        ("users", "seen", "num_items", "rng"),
        draw_negatives,
        _worlds,
        {
            "the user's own films are drawn, too: throw them back, until none is left.": (
                lambda *case: _redrawn(*case, rounds=1)
            ),
            "stepping on to the next film favours the films that stand behind seen ones.": (
                _neighbour
            ),
            "the range is the number of films, not the number of users.": lambda *case: _redrawn(
                case[0], case[1], len(case[1]), case[3], rounds=99
            ),
        },
        measure=_faults,
    ),
]
