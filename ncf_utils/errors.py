"""Errors that speak to whoever gave a value or a file."""

import math


class OneLineError(ValueError):
    """An error whose message says all: a notebook shows it alone, without a traceback."""

    def _render_traceback_(self):
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class DataError(OneLineError):
    """Data that cannot be used: its message names the file, the line and what was expected."""


def check_whole(name, value, least):
    """Raise a DataError that names the parameter, unless its value is a whole number from `least`.

    Args:
        name: of the parameter.
        value: what was given for it.
        least: the smallest that it may be.
    """
    import numpy as np

    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"{name}: expected a whole number from {least}, found {value!r}")


def check_number(name, value, least, integer=False, strict=False):
    """`value` as a plain number, which JSON can hold.

    Raises:
        ValueError: it is no number >= `least`; the message names the parameter.
    """
    import numpy as np

    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    try:
        finite = isinstance(value, kinds) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        finite = False
    if isinstance(value, bool) or not finite:
        raise ValueError(f"{name} must be {'an integer' if integer else 'a number'}, not {value!r}")
    if value < least or (strict and value == least):
        raise ValueError(
            f"{name} must be {'above' if strict else 'at least'} {least}, not {value!r}"
        )
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def random_generator(seed):
    """NumPy's generator for a seed.

    Raises:
        ValueError: the seed is none; the message names the parameter.
    """
    import numpy as np

    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ValueError(f"seed must be an integer of at least 0, not {seed!r}") from error
