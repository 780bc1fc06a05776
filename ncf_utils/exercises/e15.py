"""Exercises of notebook 15, scaling out."""

import heapq
from itertools import pairwise

import numpy as np

from . import Exercise

# --- 15.1 ----------------------------------------------------------------------------------------


def rate_for(batch_size):
    """From the default of `fit`, a factor of two at a time."""
    rate, reached = 0.004, 16384.0
    step = 2.0 if batch_size > reached else 0.5
    while not np.isclose(reached, batch_size):
        reached *= step
        rate *= 2**0.5 if step > 1 else 2**-0.5
    return rate


def _batch_sizes(rng):
    yield from ((16384,), (4096,), (1024,), (2048,), (65536,))


# --- 15.2 ----------------------------------------------------------------------------------------


def level_from(batches, seconds):
    for place in range(len(batches) - 1):
        now, then = (seconds[at] / batches[at] for at in (place, place + 1))
        if not then < 0.9 * now:
            return batches[place]
    return batches[-1]


def _timings(rng):
    yield [256, 1024], [0.001, 0.004]
    yield [64, 256], [0.001, 0.0012]
    yield [64, 256, 1024], [0.001, 0.0012, 0.0048]
    for fixed in (2e-3, 2e-2):
        batches = 4 ** np.arange(3, 9)
        yield batches, (fixed + 1e-6 * batches) * rng.uniform(0.99, 1.01, len(batches))


def _level(batches, seconds):
    cost = np.asarray(seconds) / np.asarray(batches)
    return [
        pair
        for pair, gain in zip(pairwise(batches), cost[1:] / cost[:-1], strict=True)
        if gain >= 0.9
    ]


# --- 15.3 ----------------------------------------------------------------------------------------


def whole_gradient(gradients, instances):
    total = np.zeros(gradients.shape[1])
    for gradient, count in zip(gradients, instances, strict=True):
        if count:
            total += gradient * count
    return total / sum(instances)


def _ranks(rng):
    yield np.array([[1.0], [5.0]]), np.array([3, 1])
    yield np.array([[2.0, 0.0], [2.0, 8.0]]), np.array([1, 3])
    yield np.array([[2.0, 1.0], [4.0, 0.0], [np.nan, np.nan]]), np.array([5, 3, 0])
    for ranks in (4, 16):
        yield rng.normal(size=(ranks, 3)).round(3), rng.integers(1, 9, ranks)


# --- 15.4 ----------------------------------------------------------------------------------------


def longest_first(lengths, workers):
    """Event by event: whoever is free first takes the longest run that is left."""
    free, left = [0.0] * workers, sorted(lengths)
    while left:
        place = min(range(workers), key=free.__getitem__)
        free[place] += left.pop()
    return max(free)


def _sweeps(rng):
    yield [2], 1
    yield [1, 1, 2], 2
    yield [2, 3, 2, 3, 2], 2
    for runs, workers in ((9, 3), (40, 7)):
        yield rng.integers(1, 60, runs), workers


def _in_order(lengths, workers):
    free = [0.0] * workers
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


# --- 15.5 ----------------------------------------------------------------------------------------


def step_bytes(films, bounds, width):
    total = 0
    for rank, needed in enumerate(films):
        for film in set(needed.tolist()):
            if not bounds[rank] <= film < bounds[rank + 1]:
                total += 4 + 4 * width + 4 * width
    return total


def _looked_up(rng):
    yield np.array([[5], [6]]), np.array([0, 4, 8]), 1
    yield np.array([[5, 1, 5, 7], [4, 3, 3, 6]]), np.array([0, 4, 8]), 2
    yield np.array([[0, 4, 4, 8], [4, 0, 0, 5], [9, 8, 4, 9]]), np.array([0, 4, 8, 12]), 3
    for ranks, drawn in ((2, 20), (4, 40)):
        yield rng.integers(0, 10 * ranks, (ranks, drawn)), 10 * np.arange(ranks + 1), 24


def _rows(films, bounds, distinct=np.unique, owned=False, last_owned=0):
    count = 0
    for rank, needed in enumerate(films):
        needed = distinct(needed)
        inside = (needed >= bounds[rank]) & (needed < bounds[rank + 1] + last_owned)
        count += len(needed) if owned else (~inside).sum()
    return count


def _distinct_at_once(films, bounds, width):
    owner = np.searchsorted(bounds, films, side="right") - 1
    borrowed = films[owner != np.arange(len(films))[:, None]]
    return len(np.unique(borrowed)) * (4 + 8 * width)


EXERCISES = [
    Exercise(
        "15.1",
        "The rate for another batch",
        ("batch_size",),
        rate_for,
        _batch_sizes,
        {
            "this is the linear rule, for plain gradient steps; with Adam take the square root.": (
                lambda batch_size: 0.004 * batch_size / 16384
            ),
            "the other way round: a larger batch makes fewer steps, and needs a larger rate.": (
                lambda batch_size: 0.004 * np.sqrt(16384 / batch_size)
            ),
            "the square is the wrong way: four times the batch is twice the rate.": (
                lambda batch_size: 0.004 * (batch_size / 16384) ** 2
            ),
        },
    ),
    Exercise(
        "15.2",
        "Where your machine stops gaining",
        ("batches", "seconds"),
        level_from,
        _timings,
        {
            "a larger step always takes longer; compare the seconds of one instance.": (
                lambda batches, seconds: next(
                    (
                        a
                        for a, s, t in zip(batches, seconds, seconds[1:], strict=False)
                        if t > 0.9 * s
                    ),
                    batches[-1],
                )
            ),
            "asked is the smaller of the two: from there on a larger batch gains little.": (
                lambda batches, seconds: next((b for a, b in _level(batches, seconds)), batches[-1])
            ),
            "this is the batch that is cheapest of all, however little it gains.": (
                lambda batches, seconds: batches[
                    int(np.argmin(np.asarray(seconds) / np.asarray(batches)))
                ]
            ),
        },
    ),
    Exercise(
        "15.3",
        "Unequal shares",
        ("gradients", "instances"),
        whole_gradient,
        _ranks,
        {
            "a rank with more instances counts for more; this is the plain mean of the ranks.": (
                lambda gradients, instances: np.nanmean(gradients, axis=0)
            ),
            "the sum of the means is too large: each counts by its share of the instances.": (
                lambda gradients, instances: np.nansum(gradients, axis=0)
            ),
            "a rank without instances has no mean, and 0 times nan is nan: leave it out.": (
                lambda gradients, instances: instances @ gradients / instances.sum()
            ),
            "divide by the number of all instances: the loss of a batch is a mean.": (
                lambda gradients, instances: instances @ np.nan_to_num(gradients)
            ),
        },
    ),
    Exercise(
        "15.4",
        "The longest first",
        ("lengths", "workers"),
        longest_first,
        _sweeps,
        {
            "this takes the runs as they come; sort them, the longest first.": _in_order,
            "this is shortest first, which leaves the longest run for the end.": (
                lambda lengths, workers: _in_order(sorted(lengths), workers)
            ),
            "this is the fair share; a run cannot be cut in pieces.": lambda lengths, workers: (
                sum(lengths) / workers
            ),
            "this is what all workers work together; asked is when the last one is done.": (
                lambda lengths, workers: sum(lengths)
            ),
        },
    ),
    Exercise(
        "15.5",
        "The bill of a step",
        ("films", "bounds", "width"),
        step_bytes,
        _looked_up,
        {
            "a film that a rank needs twice is sent once: count distinct films.": (
                lambda films, bounds, width: _rows(films, bounds, np.asarray) * (4 + 8 * width)
            ),
            "a film that two ranks need is sent to both: count distinct films rank by rank.": (
                _distinct_at_once
            ),
            "bounds[r + 1] is the next rank's first film, and no longer the rank's own.": (
                lambda films, bounds, width: _rows(films, bounds, last_owned=1) * (4 + 8 * width)
            ),
            "a rank's own rows do not travel.": lambda films, bounds, width: (
                _rows(films, bounds, owned=True) * (4 + 8 * width)
            ),
            "a row travels twice: its values there, its gradient back.": (
                lambda films, bounds, width: _rows(films, bounds) * (4 + 4 * width)
            ),
            "asking costs as well: four bytes for the number of each row.": (
                lambda films, bounds, width: _rows(films, bounds) * 8 * width
            ),
        },
    ),
]
