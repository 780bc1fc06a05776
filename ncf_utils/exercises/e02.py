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
]


def _unclipped(ids, known_ids):
    place = np.searchsorted(known_ids, ids)
    wrong = known_ids[place] != ids
    if wrong.any():
        raise KeyError(int(ids[wrong][0]))
    return place
