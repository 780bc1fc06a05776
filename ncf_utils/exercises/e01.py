"""Exercises of notebook 01, implicit feedback."""

import numpy as np

from . import Exercise

# --- 01.1 ----------------------------------------------------------------------------------------


def share_of_rare(counts, at_most):
    rare = 0
    for count in counts:
        if count <= at_most:
            rare += 1
    return rare / len(counts)


def _counts(rng):
    yield np.array([1]), 1
    yield np.array([0, 3]), 1
    for size in (4, 10, 100):
        yield rng.integers(0, 6, size), 2


# --- 01.2 ----------------------------------------------------------------------------------------


def in_common(a, b):
    shared = 0
    for item in a:
        for other in b:
            if item == other:
                shared += 1
    return shared


def _histories(rng):
    yield [0], [0]
    yield [0], [1]
    yield [0, 1], [1, 2]
    for size in (3, 8, 30):
        yield tuple(rng.permutation(2 * size)[:size] for _ in range(2))


# --- 01.3 ----------------------------------------------------------------------------------------


def testable_users(user, rating, least):
    liked = {}
    for u, r in zip(user, rating, strict=True):
        if r >= least:
            liked[u] = liked.get(u, 0) + 1
    return sum(number >= 2 for number in liked.values())


def _ratings(rng):
    yield np.array([0, 0]), np.array([4.0, 5.0]), 4.0
    yield np.array([0, 1]), np.array([5.0, 5.0]), 4.0
    yield np.array([0, 0, 1, 1]), np.array([4.0, 3.0, 5.0, 5.0]), 4.0
    for size in (10, 60):
        yield np.sort(rng.integers(0, 5, size)), rng.integers(1, 11, size) / 2, 4.0


def _liked(user, rating, least, enough):
    user, rating = np.asarray(user), np.asarray(rating)
    return sum(np.bincount(user[enough(rating, least)], minlength=1) >= 2)


# --- 01.4 ----------------------------------------------------------------------------------------


def last_but_one(user, time):
    rows = []
    for person in sorted(set(user)):
        own = sorted((time[row], row) for row in range(len(user)) if user[row] == person)
        if len(own) >= 3:
            rows.append(own[-2][1])
    return rows


def _moments(rng):
    yield np.array([0, 0, 0]), np.array([1, 3, 2])
    yield np.array([0, 0, 0, 1]), np.array([5, 5, 5, 1])
    yield np.array([0, 0, 0, 1, 1]), np.array([3, 1, 2, 8, 9])
    for size in (12, 60):
        yield np.sort(rng.integers(0, size // 4, size)), rng.integers(0, 9, size)


def _held_out(user, time, ties=1, back=2, least=3):
    """The row that stands `back` from a user's end; of equal times, `ties` puts the later last."""
    user = np.asarray(user)
    order = np.lexsort((ties * np.arange(len(user)), time, user))
    counts = np.bincount(user)
    return order[np.cumsum(counts)[counts >= least] - back]


EXERCISES = [
    Exercise(
        "01.1",
        "The very end of the tail",
        ("counts", "at_most"),
        share_of_rare,
        _counts,
        {
            "`at most` includes the number itself: <=, not <.": lambda counts, at_most: np.mean(
                np.asarray(counts) < at_most
            ),
            "a share lies between 0 and 1: divide by the number of films.": (
                lambda counts, at_most: np.sum(np.asarray(counts) <= at_most)
            ),
            "these are the films with more, not with at most so many.": (
                lambda counts, at_most: np.mean(np.asarray(counts) > at_most)
            ),
        },
    ),
    Exercise(
        "01.2",
        "Films in common",
        ("a", "b"),
        in_common,
        _histories,
        {
            "this compares place by place; a film may stand anywhere in the other's list.": (
                lambda a, b: int(np.sum(np.asarray(a) == np.asarray(b)))
            ),
            "these are the films that either has seen, and not both.": lambda a, b: len(
                set(a) | set(b)
            ),
            "these are the films that only the first has seen.": lambda a, b: len(set(a) - set(b)),
        },
    ),
    Exercise(
        "01.3",
        "Only what was liked",
        ("user", "rating", "least"),
        testable_users,
        _ratings,
        {
            "a user with a single liked film has nothing left to train on: two are needed.": (
                lambda user, rating, least: len(
                    {u for u, r in zip(user, rating, strict=True) if r >= least}
                )
            ),
            "a rating of exactly `least` is liked, too.": lambda *case: _liked(*case, np.greater),
            "this counts interactions; the question is about users.": (
                lambda user, rating, least: int(np.sum(np.asarray(rating) >= least))
            ),
        },
    ),
    Exercise(
        "01.4",
        "Validation at the end, too",
        ("user", "time"),
        last_but_one,
        _moments,
        {
            "these are the latest rows, which the test has already taken: one before.": (
                lambda user, time: _held_out(user, time, back=1)
            ),
            "test and validation leave nothing of a user with two interactions: ask for three.": (
                lambda user, time: _held_out(user, time, least=2)
            ),
            "of two equal times, the row further down the file is the later one.": (
                lambda user, time: _held_out(user, time, ties=-1)
            ),
            "the file need not be in the order of time: sort within each user first.": (
                lambda user, time: _held_out(user, np.zeros(len(user)))
            ),
        },
    ),
]
