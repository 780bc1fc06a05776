"""The NCF paper's experiments: the towers, the stored runs of them, and the published numbers.

Notebooks 10 to 12 draw what stands in ``data/results`` beside ``data/reference/published.csv``.
"""

from __future__ import annotations

import json
import math

from .data import packaged
from .parameters import ParameterError, nearest
from .report import varying

#: What an experiment holds fixed, unless it varies it; see `vary`.
FIXED = {
    "framework": "torch",
    "loss": "log",
    "activation": "relu",
    "tower": "paper",
    "pretrain": False,
    "predictive_factors": 8,
    "num_layers": 3,
    "num_negatives": 4,
}

_OF_TOWERS = ("activation", "tower", "num_layers")


def tower(predictive_factors, num_layers):
    """The paper's hidden layers: the last has the predictive factors, each other twice the next.

    Args:
        predictive_factors: width of the last hidden layer.
        num_layers: how many hidden layers.

    Returns:
        list of widths, first to last.

    >>> tower(8, 3), tower(16, 1), tower(8, 0)
    ([32, 16, 8], [16], [])
    """
    return [predictive_factors * 2**level for level in reversed(range(num_layers))]


def stored_runs(name):
    """The runs of a results file, one a row.

    Args:
        name: of a file in ``data/results``, without ``.csv``.

    Returns:
        DataFrame: the file's columns, of which those with lists (``…_by_k``, ``…_by_epoch``,
        ``hidden_layers``) hold lists, or NaN where there is none. `tower` is added: ``"paper"``
        where embeddings are half as wide as the first hidden layer, ``"code"`` where they are as
        wide as it, as in the code that the paper's authors published, ``"other"`` else. A GMF
        has no tower, so it goes with any.

    Raises:
        FileNotFoundError: there is no such file; the message names it.
    """
    import pandas as pd

    runs = pd.read_csv(_file("results", f"{name}.csv"))
    for column in runs.filter(regex="_by_k$|_by_epoch$|^hidden_layers$"):
        runs[column] = runs[column].map(json.loads, na_action="ignore")
    layers_and_dim = zip(runs.hidden_layers, runs.embedding_dim, strict=True)
    runs["tower"] = [_kind(*pair) for pair in layers_and_dim]
    return runs


def _kind(hidden_layers, embedding_dim):
    if not isinstance(hidden_layers, list):
        return None
    if embedding_dim != embedding_dim:  # NaN: the paper's, by default
        return "paper"
    width = hidden_layers[0] if hidden_layers else 2 * embedding_dim
    return {width / 2: "paper", width: "code"}.get(embedding_dim, "other")


def vary(runs, *names):
    """The runs in which nothing but `names` differs from `FIXED`, and the model.

    What a model does not have, it need not hold fixed: GMF has no layers.

    Args:
        runs: DataFrame, see `stored_runs`.
        *names: of `FIXED`: what may have any value.

    Returns:
        DataFrame, some of the rows.

    Raises:
        ParameterError: a name is not in `FIXED`.
    """
    for name in names:
        if name not in FIXED:
            raise ParameterError(f"{name} is not among what is fixed{nearest(name, FIXED)}")
    kept = runs
    for name, value in FIXED.items():
        if name not in names:
            fits = kept[name].eq(value)
            kept = kept[fits | kept.model.eq("GMF") if name in _OF_TOWERS else fits]
    return kept


def picked(runs, *by):
    """Of the settings that a method was run with, those that are best on the validation items.

    Args:
        runs: DataFrame, see `stored_runs`.
        *by: columns beside the model for which a setting is picked, such as ``"num_factors"``.

    Returns:
        DataFrame: for each model and value of `by`, the rows of the setting with the highest
        NDCG@10 on the validation items, a mean over seeds.
    """
    groups = ["model", *by]
    settings = [*groups, *(name for name in varying(runs) if name not in groups)]
    keys = runs[settings].map(str)  # a list is no key
    setting = keys.groupby(settings).ngroup()
    mean = runs.validation_ndcg.groupby(setting).transform("mean")
    best = mean.groupby([keys[name] for name in groups]).idxmax()
    return runs[setting.isin(setting[best])].reset_index(drop=True)


def seed_std(runs, metric, *by):
    """Standard deviation of a single run over seeds, pooled over settings.

    Three seeds hardly know their own spread, and one does not know it at all. The settings of one
    model together know it better, and lend it to those with a single seed.

    Args:
        runs: DataFrame, see `stored_runs`; as a rule of one model.
        metric: a column of it.
        *by: columns that make a setting; all of `FIXED` if none is named.

    Returns:
        The root of the mean variance over seeds, each setting with the weight of its seeds but
        one; NaN if none has two.

    >>> import pandas as pd
    >>> runs = pd.DataFrame({"n": [1, 1, 2, 2, 3], "hr": [0.60, 0.62, 0.70, 0.70, 0.75]})
    >>> round(seed_std(runs, "hr", "n"), 4)
    0.01
    """
    groups = runs.groupby(list(by or FIXED), dropna=False)[metric]
    more = (groups.count() - 1).clip(lower=0)
    return math.sqrt((groups.var() * more).sum() / more.sum()) if more.any() else math.nan


def levels(baselines, *names, kind="test"):
    """(HR@10, NDCG@10) of methods that have nothing to vary, of popularity, and of chance.

    Args:
        baselines: DataFrame, see `stored_runs`.
        *names: methods, each once; a number of factors may follow, as in ``"BPR 8"``.
        kind: ``"test"`` or ``"refit"``.

    Returns:
        dict of method -> (HR@10, NDCG@10), means over the seeds of the setting that `picked`
        picks; ``"Popularity"`` and ``"Random"`` last.

    Raises:
        ParameterError: a method has no runs, or none with so many factors, or is named twice.
    """
    found = {}
    for name in names:
        method, _, factors = name.partition(" ")
        rows = baselines[baselines.model.eq(method)]
        rows = rows[rows.num_factors.eq(int(factors))] if factors else rows
        if rows.empty:
            raise ParameterError(
                f"there is no run of {name}{nearest(method, set(baselines.model))}"
            )
        if method in found:
            raise ParameterError(f"{method} is named twice")
        found[method] = rows
    found["Popularity"] = baselines[baselines.model.eq("popularity")]
    found = {name: picked(rows) for name, rows in found.items()}
    values = {
        name: (rows[f"{kind}_hr"].mean(), rows[f"{kind}_ndcg"].mean())
        for name, rows in found.items()
    }
    # A held-out item without merit is as likely at each of the 100 places.
    gains = [1 / math.log2(rank + 2) for rank in range(10)]
    return values | {"Random": (10 / 100, sum(gains) / 100)}


def published(dataset="ml-1m", source=None):
    """Published HR@10 and NDCG@10; ``data/reference/README.md`` says where each is from.

    Args:
        dataset: ``"ml-1m"`` or ``"pinterest-20"``, both with the paper's split.
        source: ``"he2017"``, ``"rendle2020"`` or ``"dacrema2021"``; None takes all.

    Returns:
        DataFrame with columns source, table, model, factors, hidden_layers, pretrained,
        negatives, hr_at_10 and ndcg_at_10.

    Raises:
        ParameterError: there is no such data set, or no such source.
    """
    import pandas as pd

    rows = pd.read_csv(_file("reference", "published.csv"))
    for column, value in (("dataset", dataset), ("source", source or rows.source[0])):
        if value not in set(rows[column]):
            raise ParameterError(f"no {column} {value!r}{nearest(value, set(rows[column]))}")
    rows = rows[rows.dataset.eq(dataset) & (rows.source.eq(source) if source else True)]
    return rows.drop(columns="dataset").reset_index(drop=True)


def _file(folder, name):
    if path := packaged(folder, name):
        return path
    raise FileNotFoundError(f"data/{folder}/{name}: there is no such file")
