"""Exercises of notebook 07, the MLP; the same for both twins."""

import numpy as np

from . import Exercise

# --- 07.1 ----------------------------------------------------------------------------------------


def count_parameters(embedding_dim, hidden_layers):
    numbers, inputs = 0, 2 * embedding_dim
    for width in [*hidden_layers, 1]:
        for _ in range(width):
            numbers += inputs + 1  # a unit's weights and its bias
        inputs = width
    return numbers


def _towers(rng):
    yield 1, []
    yield 2, [3]
    yield 16, [32, 16, 8]
    yield 32, [32, 16, 8]


def _count(embedding_dim, hidden_layers, sides=2, bias=1, output=True):
    widths = [sides * embedding_dim, *hidden_layers, *([1] if output else [])]
    return sum(a * b + bias * b for a, b in zip(widths, widths[1:], strict=False))


# --- 07.2 ----------------------------------------------------------------------------------------


def either(size):
    """First what both bring, then, twice as strong, what exceeds one of them."""
    return np.ones((2, 2)) / size, np.array([0.0, -1.0]), np.array([1.0, -2.0])


def _outputs(function, size):
    W, b, h = (np.asarray(part, dtype=float) for part in function(size))
    corners = {
        "neither": [0, 0],
        "only the first": [size, 0],
        "only the second": [0, size],
        "both": [size, size],
    }
    return {name: float(np.maximum(x @ W + b, 0) @ h) for name, x in corners.items()}


def _sizes(rng):
    yield from ((1,), (2,), (0.5,), (10,))


# --- 07.3 ----------------------------------------------------------------------------------------


def collapse(W1, b1, W2, b2):
    """What the two layers make of nothing, and of a 1 in one place."""

    def layers(x):
        return (x @ W1 + b1) @ W2 + b2

    bias = layers(np.zeros(len(W1)))
    return np.array([layers(one) - bias for one in np.eye(len(W1))]), bias


def _as_layer(function, *layers):
    W, b = function(*layers)
    return {"W": W, "b": b}


def _two_layers(rng):
    yield np.array([[2.0]]), np.array([1.0]), np.array([[3.0]]), np.array([5.0])
    for widths in ((2, 2, 2), (4, 3, 2), (6, 5, 1)):
        a, b, c = widths
        yield tuple(rng.normal(size=size) for size in ((a, b), b, (b, c), c))


# --- 07.4 ----------------------------------------------------------------------------------------


def first_layer(p, q, W, b):
    z = np.zeros((*q.shape[:2], len(b)))
    for row in range(q.shape[0]):
        for place in range(q.shape[1]):
            joined = np.concatenate([p[row], q[row, place]])
            z[row, place] = [max(joined @ W[:, unit] + b[unit], 0) for unit in range(len(b))]
    return z


def _batches(rng):
    yield np.array([[1.0]]), np.array([[[2.0]]]), np.array([[1.0], [10.0]]), np.array([0.5])
    for users, films, dim, width in ((2, 2, 1, 2), (2, 3, 2, 2), (3, 5, 4, 6)):
        sizes = (users, dim), (users, films, dim), (2 * dim, width), width
        yield tuple(rng.normal(size=size) for size in sizes)


def _relu(z):
    return np.maximum(z, 0)


EXERCISES = [
    Exercise(
        "07.1",
        "Count",
        ("embedding_dim", "hidden_layers"),
        count_parameters,
        _towers,
        {
            "every unit has a bias besides its weights.": lambda *case: _count(*case, bias=0),
            "the output layer counts, too: one unit over the last width.": lambda *case: _count(
                *case, output=False
            ),
            "the first layer reads both embeddings: 2 * embedding_dim numbers.": lambda *case: (
                _count(*case, sides=1)
            ),
        },
    ),
    Exercise(
        "07.2",
        "Either, but not both",
        ("size",),
        either,
        _sizes,
        {
            'this is "at least one": take away twice what "both" adds too much.': lambda size: (
                np.ones((2, 2)) / size,
                [0, -1],
                [1, -1],
            ),
            "without a bias both units bend at 0, and the second can add nothing to the first.": (
                lambda size: (np.ones((2, 2)) / size, [0, 0], [1, -2])
            ),
            "inputs are 0 or `size`: divide the weights by it.": lambda size: (
                np.ones((2, 2)),
                [0, -1],
                [1, -2],
            ),
        },
        measure=_outputs,
    ),
    Exercise(
        "07.3",
        "Two layers are one",
        ("W1", "b1", "W2", "b2"),
        collapse,
        _two_layers,
        {
            "the first bias goes through the second layer as well: b1 @ W2.": (
                lambda W1, b1, W2, b2: (W1 @ W2, b1 + b2)
            ),
            "the first layer has a bias, too, and it goes through the second.": (
                lambda W1, b1, W2, b2: (W1 @ W2, b2)
            ),
            "the input meets W1 first: x @ W1 @ W2.": lambda W1, b1, W2, b2: (
                W2 @ W1,
                b1 @ W2 + b2,
            ),
            "one layer after the other multiplies the weights; it does not add them.": (
                lambda W1, b1, W2, b2: (W1 + W2, b1 @ W2 + b2)
            ),
        },
        measure=_as_layer,
        tolerance=1e-5,
    ),
    Exercise(
        "07.4",
        "The first layer without concatenating",
        ("p", "q", "W", "b"),
        first_layer,
        _batches,
        {
            "p needs an axis for the films, p[:, None]: here users were lined up with films.": (
                lambda p, q, W, b: _relu(p @ W[: p.shape[1]] + q @ W[p.shape[1] :] + b)
            ),
            "the bias comes once for the sum, not once for each half.": lambda p, q, W, b: _relu(
                p[:, None] @ W[: p.shape[1]] + q @ W[p.shape[1] :] + 2 * b
            ),
            "the ReLU comes after the sum; what is cut off before can no longer balance.": (
                lambda p, q, W, b: (
                    _relu(p[:, None] @ W[: p.shape[1]]) + _relu(q @ W[p.shape[1] :] + b)
                )
            ),
            "the upper half of W belongs to the user, the lower to the film.": lambda p, q, W, b: (
                _relu(p[:, None] @ W[p.shape[1] :] + q @ W[: p.shape[1]] + b)
            ),
            "the ReLU is missing: without it the two halves never meet.": lambda p, q, W, b: (
                p[:, None] @ W[: p.shape[1]] + q @ W[p.shape[1] :] + b
            ),
        },
        tolerance=1e-5,
    ),
]
