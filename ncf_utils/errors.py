"""Errors that speak to whoever gave a value or a file."""


class OneLineError(ValueError):
    """An error whose message says all: a notebook shows it alone, without a traceback."""

    def _render_traceback_(self):
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class DataError(OneLineError):
    """Data that cannot be used: its message names the file, the line and what was expected."""
