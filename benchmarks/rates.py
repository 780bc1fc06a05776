"""What the hardware allows: a training step's arithmetic and bytes, at measured rates.

The counts are the least that a step can do for the architecture; see `products` and `step_bytes`.
"""

from __future__ import annotations

import numpy as np
import torch

from .measuring import Side, stopwatch

FLOAT = 4  # bytes
LARGE = 1024  # rows and columns of a product that runs at the processor's full rate


def products(groups, num_negatives, embedding_dim, num_factors, hidden_layers):
    """The matrix products of a forward pass of NeuMF over `groups` positives and their negatives.

    The first layer is two products, because a user's half is the same for a positive and its
    negatives (`ConcatLinear`); so is the output layer, for it reads two branches.

    Returns:
        Triples (m, k, n): a matrix (m, k) times one (k, n). A training step has three of each, as
        the backward pass needs the gradients of both factors.
    """
    rows = groups * (1 + num_negatives)
    widths = list(hidden_layers)
    return [
        (groups, embedding_dim, widths[0]),
        *((rows, k, n) for k, n in zip([embedding_dim, *widths[:-1]], widths, strict=True)),
        (rows, num_factors, 1),
        (rows, widths[-1], 1),
    ]


def flop(shapes):
    """Multiplications and additions in products of these shapes."""
    return sum(2 * m * k * n for m, k, n in shapes)


def step_bytes(groups, num_negatives, embedding_dim, num_factors, hidden_layers, num_rows):
    """The bytes that a training step has to move, each array as seldom as can be.

    Args:
        num_rows: users and items together.

    Returns:
        A dictionary of bytes:

        gather: embedding rows read from the tables and written to the batch;
        scatter: their gradients read, and added to the tables' gradients (read and written);
        activations: outputs of the layers written, and read by the backward pass; their gradients
            likewise;
        adam: of each parameter, the gradient cleared and read; value and two moments read and
            written.
    """
    rows = groups * (1 + num_negatives)
    width = embedding_dim + num_factors  # of a user's, or an item's, two embeddings
    looked_up = (groups + rows) * width
    outputs = rows * (num_factors + sum(hidden_layers) + 1)
    parameters = num_rows * width  # those of the layers are too few to matter
    return {
        "gather": FLOAT * 2 * looked_up,
        "scatter": FLOAT * 3 * looked_up,
        "activations": FLOAT * 4 * outputs,
        "adam": FLOAT * 8 * parameters,
    }


def large_products(work):
    """A side: products of large square matrices, as the share of `work` (flop) that they are."""
    a, b = torch.rand(2, LARGE, LARGE)
    calls = 4 * [(a, b, torch.empty(LARGE, LARGE))]
    done = 2 * LARGE**3 * len(calls)
    return Side("products_large", one_thread(stopwatch(multiply, calls)), done / work)


def these_products(shapes, steps, backward=True):
    """A side: products of these shapes, as the share of `steps` such steps that they are.

    Args:
        shapes: triples (m, k, n), such as `products` returns.
        steps: steps in the whole work.
        backward: whether a step also has the two products for the gradients of both factors.
    """
    calls = []
    for m, k, n in shapes:
        x, w, y = torch.rand(m, k), torch.rand(k, n), torch.rand(m, n)
        calls.append((x, w, torch.empty(m, n)))
        if backward:
            calls.append((y, w.T, torch.empty(m, k)))
            calls.append((x.T, y, torch.empty(k, n)))
    times = max(1, round(2e9 / flop(shapes)))
    run = one_thread(stopwatch(multiply, calls * times))
    return Side("products_these", run, times / steps)


def multiply(calls):
    """The products a @ b of triples (a, b, out), each written into its `out`."""
    for a, b, out in calls:
        torch.mm(a, b, out=out)


def copies(work, size):
    """A side: arrays of `size` bytes copied, as the share of `work` (bytes) that they are."""
    source, target = np.ones((2, max(1, size // FLOAT)), np.float32)
    times = max(1, round(2e8 / size))

    def copy():
        for _ in range(times):
            np.copyto(target, source)

    return Side("bytes", stopwatch(copy), 2 * source.nbytes * times / work)


def one_thread(run):
    """The same function, with PyTorch held to one thread, as `fit` and `score_function` hold it."""

    def alone():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return run()
        finally:
            torch.set_num_threads(threads)

    return alone
