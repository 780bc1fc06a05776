"""The ratings as they were given: values and times, which `load_dataset` does not keep.

A model of implicit feedback sees only that there is a rating. Notebook 01 starts from the ratings
themselves, to show what is dropped on the way, and how the split is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ncf_utils import data, readers
from ncf_utils.errors import DataError, check_whole

if TYPE_CHECKING:
    import pandas


def load_ratings(
    name, *, seed=0, data_dir=None, download=True, mirrors=(), **synthetic
) -> pandas.DataFrame:
    """Load every rating of a data set, one row each, in the order of its files.

    Of a data set in the paper's format, the training ratings come first and then the held-out ones.
    Synthetic interactions have a rating of 1, and their place in the user's history as time.

    Args:
        name, seed, data_dir, download, mirrors, **synthetic: as of `load_dataset`.

    Returns:
        DataFrame with the columns user and item (int32, the indices that `load_dataset` uses),
        rating (float64) and time (seconds since 1970 in MovieLens).

    Raises:
        DataError: an argument or a file is not as expected.

    >>> load_ratings("ml-latest-small").head(2)
       user  item  rating        time
    0     0    30     2.5  1260759144
    1     0   833     3.0  1260759179
    """
    import pandas as pd

    check_whole("seed", seed, 0)
    if name == "synthetic":
        raw = data._synthetic(seed, synthetic)
        starts = np.searchsorted(raw.user, np.arange(raw.num_users))
        time = np.arange(len(raw.user)) - starts[raw.user]
        columns = raw.user, raw.item, np.ones(len(raw.user)), time
    elif synthetic:
        raise DataError(f"{name!r} takes no argument {next(iter(synthetic))!r}")
    else:
        path, prefix, _ = data._find(str(name), data._data_dir(data_dir), download, mirrors)
        columns = _read(readers.Files(path), prefix)
    user, item, rating, time = columns
    return pd.DataFrame(
        {
            "user": user.astype(np.int32),
            "item": item.astype(np.int32),
            "rating": rating.astype(np.float64),
            "time": time,
        }
    )


def _read(files, prefix):
    """Return user index, item index, rating and time, in the order of the files."""
    prefix = data._one_prefix(files, prefix)
    if prefix is None:
        user_id, item_id, rating, time = readers.read_ratings(files)
        return readers.dense(user_id)[1], readers.dense(item_id)[1], rating, time
    parts = []
    for name in (prefix + end for end in readers.PAPER[:2]):
        content, label = files.read(name), files.label(name)
        parts.append(readers.parse_table(content, label, readers.COLUMNS, "\t"))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
