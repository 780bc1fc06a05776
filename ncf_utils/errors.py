"""The one error that reading data can end in."""


class DataError(ValueError):
    """Data that cannot be used: its message names the file, the line and what was expected."""
