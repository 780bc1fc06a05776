"""Exercises of notebook 02, one-hot and embedding."""

import numpy as np

from . import Exercise

# --- 02.1 ----------------------------------------------------------------------------------------


def batch_bytes(batch_size, num_users):
    one_hot = index = 0
    for _ in range(batch_size):
        one_hot += num_users * 4
        index += 8
    return one_hot, index


def _sizes(rng):
    yield 1, 2
    yield 3, 10
    yield 256, 162_541


# --- 02.2 ----------------------------------------------------------------------------------------


def bag(items, table):
    total = np.zeros(table.shape[1])
    for item in items:
        total += table[item]
    return total / len(items)


def _bags(rng):
    yield [0], np.array([[1.0, 2.0]])
    yield [0, 2], np.array([[1.0, 2.0], [9.0, 9.0], [3.0, 4.0]])
    for size in (4, 20):
        yield rng.permutation(50)[:size], rng.normal(size=(50, 8))


# --- 02.3 ----------------------------------------------------------------------------------------


def to_index(ids, known_ids):
    places = []
    for id in ids:
        where = [at for at, known in enumerate(known_ids) if known == id]
        if not where:
            raise KeyError(int(id))
        places.append(where[0])
    return places


def _ids(rng):
    yield np.array([7]), np.array([7])
    yield np.array([5]), np.array([4, 7, 9])
    yield np.array([9, 4]), np.array([4, 7, 9])
    yield np.array([4, 12, 1]), np.array([4, 7, 9])
    for size in (5, 40):
        known = np.sort(rng.permutation(1000)[:size])
        yield rng.choice(known, 2 * size), known


# --- 02.4 ----------------------------------------------------------------------------------------


def sgd_step(table, rows, gradients, learning_rate):
    stepped = [list(row) for row in table]
    for row, gradient in zip(rows, gradients, strict=True):
        for factor, slope in enumerate(gradient):
            stepped[row][factor] -= learning_rate * slope
    return stepped


def _look_ups(rng):
    yield np.array([[1.0, 2.0]]), np.array([0]), np.array([[10.0, 20.0]]), 0.1
    yield np.ones((2, 1)), np.array([1, 1]), np.array([[1.0], [2.0]]), 0.1
    yield np.ones((3, 2)), np.array([2, 0, 2]), np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), 0.5
    for size in (5, 40):
        yield (
            rng.normal(size=(size // 2, 3)),
            rng.integers(0, size // 2, size),
            rng.normal(size=(size, 3)),
            0.01,
        )


def _step(table, rows, gradients, learning_rate, sign=-1):
    stepped = np.array(table)
    np.add.at(stepped, rows, sign * learning_rate * gradients)
    return stepped


def _last_wins(table, rows, gradients, learning_rate):
    stepped = np.array(table)
    stepped[rows] -= learning_rate * gradients
    return stepped


def _mean_of_repeats(table, rows, gradients, learning_rate):
    counts = np.bincount(rows, minlength=len(table))[rows]
    return _step(table, rows, gradients / counts[:, None], learning_rate)


EXERCISES = [
    Exercise(
        "02.1",
        "A larger batch",
        ("batch_size", "num_users"),
        batch_bytes,
        _sizes,
        {
            "a float32 has 32 bits, which are 4 bytes.": lambda batch_size, num_users: (
                batch_size * num_users * 32,
                batch_size * 8,
            ),
            "float32 takes 4 bytes a number; 8 is float64.": lambda batch_size, num_users: (
                batch_size * num_users * 8,
                batch_size * 8,
            ),
            "first the bytes of the one-hot batch, then those of the indices.": (
                lambda batch_size, num_users: (batch_size * 8, batch_size * num_users * 4)
            ),
            "an index is one number for each user of the batch, not for each user there is.": (
                lambda batch_size, num_users: (batch_size * num_users * 4, num_users * 8)
            ),
            "a batch has a row for each of its users, and num_users numbers in each row.": (
                lambda batch_size, num_users: (num_users * 4, batch_size * 8)
            ),
            "an index is an int64: 8 bytes.": lambda batch_size, num_users: (
                batch_size * num_users * 4,
                batch_size * 4,
            ),
        },
    ),
    Exercise(
        "02.2",
        "A bag of films",
        ("items", "table"),
        bag,
        _bags,
        {
            "this is the sum of the rows; divide by the number of films.": lambda items, table: (
                table[items].sum(axis=0)
            ),
            "this averages over the columns: one number a film. Average over the films, axis 0.": (
                lambda items, table: table[items].mean(axis=1)
            ),
            "divide by the films of the bag, not by all films of the table.": lambda items, table: (
                table[items].sum(axis=0) / len(table)
            ),
        },
    ),
    Exercise(
        "02.3",
        "Ids to indices",
        ("ids", "known_ids"),
        to_index,
        _ids,
        {
            "searchsorted finds a place for any id, also for one that is not there: compare.": (
                lambda ids, known_ids: np.searchsorted(known_ids, ids)
            ),
            "an id beyond the last has a place outside of the array: clip it before you compare.": (
                lambda ids, known_ids: _unclipped(ids, known_ids)
            ),
            "an id is not its own index: look for where it stands in known_ids.": (
                lambda ids, known_ids: ids
            ),
        },
    ),
    Exercise(
        "02.4",
        "One step on a table",
        ("table", "rows", "gradients", "learning_rate"),
        sgd_step,
        _look_ups,
        {
            "a row that was looked up twice gets both of its gradients: see `np.add.at`.": (
                _last_wins
            ),
            "downhill is against the gradient: subtract.": lambda *case: _step(*case, sign=1),
            "a row that was looked up twice gets the sum of its gradients, not their mean.": (
                _mean_of_repeats
            ),
        },
    ),
]


def _unclipped(ids, known_ids):
    place = np.searchsorted(known_ids, ids)
    wrong = known_ids[place] != ids
    if wrong.any():
        raise KeyError(int(ids[wrong][0]))
    return place
