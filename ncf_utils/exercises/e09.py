"""Exercises of notebook 09, two frameworks and one model."""

import math

import numpy as np

from . import Exercise

# --- 09.1 ----------------------------------------------------------------------------------------


def to_linear(kernel, bias):
    """A loop in place of the layer."""

    def layer(x):
        y = np.zeros((len(x), len(bias)))
        for example in range(len(x)):
            for output in range(len(bias)):
                y[example, output] = bias[output]
                for input in range(len(kernel)):
                    y[example, output] += x[example, input] * kernel[input, output]
        return y

    return layer


def _answers(function, kernel, bias):
    """What the layer answers to each one-hot input, and last to zeros."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what was left as PyTorch drew it is the same at each call
        layer = function(kernel, bias)
    x = np.vstack([np.eye(len(kernel)), np.zeros(len(kernel))]).astype(np.float32)
    if isinstance(layer, torch.nn.Module):
        return layer(torch.from_numpy(x)).detach().numpy()
    return layer if layer is None else layer(x)


def _kernels(rng):
    yield np.array([[2.0]], np.float32), np.array([5.0], np.float32)
    yield np.array([[1, 2], [0, -1]], np.float32), np.array([10, 20], np.float32)
    for inputs, outputs in ((3, 2), (16, 8)):
        sizes = (inputs, outputs), outputs
        yield tuple(rng.normal(size=size).astype(np.float32) for size in sizes)


def _linear(weight, bias, in_no_grad=True):
    """A way to fill a layer, from what becomes of the kernel and of the bias; None: nothing."""

    def make(kernel, own_bias):
        import torch

        layer = torch.nn.Linear(*kernel.shape)
        with torch.set_grad_enabled(not in_no_grad):
            layer.weight.copy_(torch.from_numpy(weight(kernel)))
            if bias is not None:
                layer.bias.copy_(torch.from_numpy(bias(own_bias)))
        return layer

    return make


def _as_it_is(array):
    return array


# --- 09.2 ----------------------------------------------------------------------------------------


def tell_apart(kernel):
    """The one-hot input whose row of the kernel is another than its column."""
    for at in range(len(kernel)):
        if any(kernel[at, other] != kernel[other, at] for other in range(len(kernel))):
            return [float(place == at) for place in range(len(kernel))]
    raise ValueError("the kernel is its own transpose")


def _told(function, kernel):
    x = function(kernel)
    if x is None:
        return None
    right, wrong = np.asarray(x) @ kernel, np.asarray(x) @ kernel.T
    return {"the two answers differ": bool(np.abs(right - wrong).max() > 1e-6)}


def _squares(rng):
    yield (np.array([[1.0, 2.0], [0.0, -1.0]]),)
    yield (np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]]),)  # equal sums
    yield (np.array([[1.0, 2.0, 3.0], [2.0, 5.0, 6.0], [3.0, 7.0, 9.0]]),)  # equal at first
    yield (np.array([[0.0, 3.0, -2.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),)  # equal to 1, 2, 3
    yield (np.array([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),)  # equal to 0, 1, 2
    for size in (5, 16):
        yield (rng.normal(size=(size, size)),)


# --- 09.3 ----------------------------------------------------------------------------------------


def agree(one, other, tolerance):
    if one.shape != other.shape:
        return False
    scale = max(abs(float(value)) for value in one.ravel())
    for left, right in zip(one.ravel(), other.ravel(), strict=True):
        if not abs(left - right) <= tolerance * scale:
            return False
    return True


def _pairs(rng):
    yield np.array([1.0]), np.array([1.5]), 1e-6
    yield np.array([0.0003, -0.0001]), np.array([0.0003, -0.0002]), 1e-3
    yield np.array([1000.0, 0.0001]), np.array([1000.0, 0.0002]), 1e-6
    yield np.array([5000.0, 1.0]), np.array([5000.001, 1.0]), 1e-6
    yield np.array([1.0, np.nan]), np.array([1.0, np.nan]), 1e-6
    yield np.array([1.0, 1.0, 1.0]), np.array([[1.0], [1.0], [1.0]]), 1e-6
    for size in ((3, 4), (10, 8)):
        array = rng.normal(size=size)
        yield array, array * (1 + 1e-7), 1e-6
        yield array, array + 1e-3, 1e-6


def _gap(one, other):
    return np.abs(one - other).max()


# --- 09.4 ----------------------------------------------------------------------------------------


def adam_in_keras(gradients, learning_rate, epsilon):
    """Both averages as the sums that they are, not step by step."""
    weight = 0.0
    for t in range(1, len(gradients) + 1):
        m = sum(0.1 * 0.9 ** (t - s) * gradients[s - 1] for s in range(1, t + 1))
        v = sum(0.001 * 0.999 ** (t - s) * gradients[s - 1] ** 2 for s in range(1, t + 1))
        correction = math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weight -= learning_rate * correction * m / (math.sqrt(v) + epsilon)
    return weight


def _gradients(rng):
    yield np.array([1e-8]), 1.0, 1e-8
    yield np.array([3.0, -1.0]), 0.1, 0.1
    for size in (5, 20):
        yield rng.normal(scale=1e-6, size=size), 0.1, 1e-7


def _adam(step):
    """Adam with another formula for its step, from m, v, t and ε."""

    def weight_after(gradients, learning_rate, epsilon):
        weight, m, v = 0.0, 0.0, 0.0
        for t, gradient in enumerate(gradients, start=1):
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            weight -= learning_rate * step(m, v, t, epsilon)
        return weight

    return weight_after


EXERCISES = [
    Exercise(
        "09.1",
        "The way back",
        ("kernel", "bias"),
        to_linear,
        _kernels,
        {
            "a Linear has a row for each output: the kernel must be transposed.": _linear(
                _as_it_is, _as_it_is
            ),
            "reshape gets the shape right and mixes the entries; transpose.": _linear(
                lambda kernel: kernel.reshape(kernel.shape[::-1]), _as_it_is
            ),
            "the bias is still what Linear drew for itself: copy it as well.": _linear(
                np.transpose, None
            ),
            "the layer has lost its bias, which goes across as it is.": _linear(
                np.transpose, np.zeros_like
            ),
            "PyTorch would record the copying as a step to learn from: do it in torch.no_grad().": (
                _linear(np.transpose, _as_it_is, in_no_grad=False)
            ),
        },
        measure=_answers,
        tolerance=1e-5,
    ),
    Exercise(
        "09.2",
        "An input that tells",
        ("kernel",),
        tell_apart,
        _squares,
        {
            "to zeros every layer without a bias answers zero.": lambda kernel: np.zeros(
                len(kernel)
            ),
            "ones add up rows or columns, and the sums can be equal. Less neat, please.": (
                lambda kernel: np.ones(len(kernel))
            ),
            "counting 1, 2, 3 is neat as well: draw.": lambda kernel: np.arange(
                1.0, len(kernel) + 1
            ),
            "one one-hot input reads one row; try the others, or all at once.": lambda kernel: (
                np.eye(len(kernel))[0]
            ),
        },
        measure=_told,
    ),
    Exercise(
        "09.3",
        "Do they agree?",
        ("one", "other", "tolerance"),
        agree,
        _pairs,
        {
            "np.allclose has an absolute and a relative tolerance of its own; here there is one.": (
                lambda one, other, tolerance: (
                    one.shape == other.shape and np.allclose(one, other, atol=tolerance)
                )
            ),
            "without np.abs a difference below zero passes, however large.": (
                lambda one, other, tolerance: (
                    one.shape == other.shape
                    and (one - other).max() <= tolerance * np.abs(one).max()
                )
            ),
            "compare the shapes, too: NumPy stretches (3, 1) beside (3,) and says nothing.": (
                lambda one, other, tolerance: _gap(one, other) <= tolerance * np.abs(one).max()
            ),
            "a tolerance is a share: multiply it by the largest size in `one`.": (
                lambda one, other, tolerance: (
                    one.shape == other.shape and _gap(one, other) <= tolerance
                )
            ),
            "the scale is the largest entry's, for all entries; not each one's own.": (
                lambda one, other, tolerance: (
                    one.shape == other.shape and np.allclose(other, one, rtol=tolerance, atol=0)
                )
            ),
            "NaN is not larger than anything, and slips through: ask whether the gap is small.": (
                lambda one, other, tolerance: (
                    one.shape == other.shape
                    and not _gap(one, other) > tolerance * np.abs(one).max()
                )
            ),
        },
    ),
    Exercise(
        "09.4",
        "Adam in Keras's order",
        ("gradients", "learning_rate", "epsilon"),
        adam_in_keras,
        _gradients,
        {
            "this is PyTorch's order: in Keras's, ε meets the root of the *uncorrected* v.": _adam(
                lambda m, v, t, e: (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + e)
            ),
            "both averages start at 0, and are too small at first: correct them.": _adam(
                lambda m, v, t, e: m / (math.sqrt(v) + e)
            ),
            "the weight goes down the slope: subtract the step.": _adam(
                lambda m, v, t, e: -math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (math.sqrt(v) + e)
            ),
            "the correction fades: at step t it has 0.9 and 0.999 to the power t.": _adam(
                lambda m, v, t, e: math.sqrt(0.001) / 0.1 * m / (math.sqrt(v) + e)
            ),
            "ε is added to the root of v, not to v.": _adam(
                lambda m, v, t, e: math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / math.sqrt(v + e)
            ),
        },
    ),
]
