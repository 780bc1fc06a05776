"""From a score function to the list that a user is shown: top k, ids and titles, folding in.

Built step by step in notebook 14, `serving`. Nothing here knows a framework.
"""

from __future__ import annotations

import numpy as np

from ncf_utils.data import DataError, Dataset
from ncf_utils.errors import check_number
from ncf_utils.metrics import checked_scores
from ncf_utils.parameters import nearest


def top_k(score, dataset: Dataset, user, k=10, batch_size=2**20):
    """Return the items with the best scores among those that a user has not seen.

    Seen is what the user touched in training or validation; the test item is the future. Of equal
    scores the smaller item index goes first.

    Args:
        score: a function `score(user, item) -> scores`, see `ncf_utils.metrics.evaluate`.
        dataset: the data set.
        user: a user index, or an integer array of B of them.
        k: length of the list, at least 1.
        batch_size: scores computed at once.

    Returns:
        int64 (k,), best first, for one user; fewer where fewer items are unseen. For an array of
        users (B, k), such rows filled up with -1.

    Raises:
        IndexError: a user index is out of range.
        ValueError: `user` is no index, another argument is out of range, or the scores have a wrong
            shape or are not finite.

    Example:
        >>> from ncf_utils.baselines import popularity_score
        >>> from ncf_utils.data import load_dataset
        >>> dataset = load_dataset("ml-latest-small")
        >>> dataset.titles(top_k(popularity_score(dataset.train), dataset, user=0, k=2))
        ['Forrest Gump (1994)', 'Pulp Fiction (1994)']
    """
    check_number("k", k, 1, integer=True)
    check_number("batch_size", batch_size, 1, integer=True)
    users = np.atleast_1d(_indices("user", user, dataset.num_users))
    every_item = np.arange(dataset.num_items)[None, :]
    rows = max(1, batch_size // dataset.num_items)
    lists = np.full((len(users), k), -1)
    for start in range(0, len(users), rows):
        block = users[start : start + rows]
        scores = checked_scores(score, block[:, None], every_item)  # (B, num_items)
        if not np.isfinite(scores).all():
            row, item = np.argwhere(~np.isfinite(scores))[0]
            raise ValueError(f"score returned {scores[row, item]} for user {block[row]}")
        scores = scores.astype(float)  # a copy: the scores may be the caller's own
        seen = seen_items(dataset, block)
        scores[seen] = -np.inf
        top = best(scores, min(k, dataset.num_items))
        top[np.take_along_axis(seen, top, axis=1)] = -1
        lists[start : start + rows, : top.shape[1]] = top
    return lists if np.ndim(user) else lists[0][lists[0] >= 0]


def seen_items(dataset: Dataset, user) -> np.ndarray:
    """Which items users have touched in training or validation, bool (B, num_items).

    Args:
        dataset: the data set.
        user: integer array of B user indices.

    Example:
        >>> from ncf_utils.data import load_dataset
        >>> seen_items(load_dataset("ml-latest-small"), np.array([0, 1])).sum(axis=1)
        array([19, 75])
    """
    seen = np.zeros((len(user), dataset.num_items), bool)
    for row, one in zip(seen, user, strict=True):
        row[dataset.train.items_of(one)] = True
    if dataset.validation is not None:
        held = np.full(dataset.num_users, -1)
        held[dataset.validation.user] = dataset.validation.item
        has = held[user] >= 0
        seen[has, held[user][has]] = True
    return seen


def best(scores, k) -> np.ndarray:
    """Columns of the k best scores of each row, best first; of equals the first column.

    Only the k best are sorted: `numpy.argpartition` splits them from the rest in one pass.

    Args:
        scores: array (B, n) without NaN.
        k: 1 <= k <= n.

    Returns:
        int64 (B, k).

    Example:
        >>> best(np.array([[0.1, 0.7, 0.7, 0.9]]), k=2)
        array([[3, 1]])
    """
    scores = np.asarray(scores)
    if scores.dtype.kind != "f":  # in an unsigned type -scores would wrap around
        scores = scores.astype(float)
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    last = np.take_along_axis(scores, top, axis=1).min(axis=1, keepdims=True)
    # Which of several equals at the edge comes first, argpartition leaves open.
    open_edge = (scores >= last).sum(axis=1) > k
    top[open_edge] = np.argsort(-scores[open_edge], axis=1, kind="stable")[:, :k]
    top.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1)


def find_user(dataset: Dataset, user_id) -> int:
    """The index of a user, by the data set's own id.

    Raises:
        DataError: there is no such user, or the data set has no ids.

    Example:
        >>> from ncf_utils.data import load_dataset
        >>> find_user(load_dataset("ml-latest-small"), 1)
        0
    """
    return _find("user", dataset, dataset.user_ids, user_id, "; a new user is folded in: fold_in")


def find_item(dataset: Dataset, item) -> int:
    """The index of an item, by the data set's own id or by its title.

    Raises:
        DataError: there is no such item, or more than one; the message names the nearest title.

    Example:
        >>> from ncf_utils.data import load_dataset
        >>> dataset = load_dataset("ml-latest-small")
        >>> find_item(dataset, 2), find_item(dataset, "Jumanji (1995)")
        (1, 1)
    """
    if not isinstance(item, str):
        return _find("item", dataset, dataset.item_ids, item)
    if dataset.items is None:
        raise DataError(f"{dataset.name} has no titles, so none to find {item!r} by")
    titles = dataset.items["title"].to_numpy(object)
    found = np.flatnonzero((titles == item) & (titles != ""))
    if len(found) > 1:
        ids = ", ".join(str(dataset.item_ids[index]) for index in found)
        raise DataError(f"{item!r} is the title of {len(found)} items: give an id, one of {ids}")
    if len(found) == 0:
        raise DataError(
            f"no item of {dataset.name} is titled {item!r}{nearest(item, filter(None, titles))}"
        )
    return int(found[0])


def _find(kind, dataset, ids, value, advice=""):
    size = dataset.num_users if kind == "user" else dataset.num_items
    if ids is None:
        raise DataError(
            f"{dataset.name} has no {kind} ids: its {kind}s are the indices 0 to {size - 1}"
        )
    found = np.flatnonzero(np.asarray(ids) == value)
    if len(found) == 0:
        raise DataError(
            f"{kind} {value!r}: {dataset.name} has no such id; "
            f"its {size:,} ids go from {min(ids)} to {max(ids)}{advice}"
        )
    return int(found[0])


def _indices(name, values, size):
    """`values` as an integer array of at most one dimension, each 0 <= value < size."""
    values = np.asarray(values)
    if values.size == 0:
        values = values.astype(np.int64)
    if values.ndim > 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} must be an index or a list of them, not {values.tolist()!r}")
    each = values.ravel()
    outside = each[(each < 0) | (each >= size)]
    if len(outside):
        raise IndexError(f"{name}: expected 0 <= {name} < {size}, found {outside[0]}")
    return values


def _finite(name, values):
    """`values` as an array of finite floats."""
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, not {values!r}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, found {values[~np.isfinite(values)][0]}")
    return values


def fold_in(
    vectors, positives, *, start=None, bias=0.0, num_negatives=4, missing=None, l2=0.3
) -> np.ndarray:
    """The vector of a newcomer, by the log loss of training, with all other vectors held fixed.

    For a new user `vectors` are those of the items, and `positives` the items that they touched;
    for a new item, those of the users and the users who touched it. The logit is p · v + bias. The
    loss is the one that training minimises on average, with every missing pair counted as often as
    it would be drawn, plus l2 |p - start|². It has one lowest point; Newton's steps find it.

    Args:
        vectors: (n, K). A GMF's item vectors are ``Q * h``, see notebook 14.
        positives: integer array of distinct indices, 0 <= index < n; may be empty.
        start: (K,), where the newcomer stands before anything is known of them, such as the mean
            vector; None is the zero vector.
        bias: a number or (n,), added to the logits.
        num_negatives: negatives that training drew for each positive.
        missing: a number or (n,) >= 0, how often each missing pair counts; None spreads
            `num_negatives` for each positive evenly.
        l2: pull towards `start`, above 0.

    Returns:
        float64 (K,).

    Raises:
        IndexError: a positive is out of range.
        ValueError: a shape does not fit, a positive comes twice, or a number is out of range or not
            finite.

    Source: He et al., Neural Collaborative Filtering, WWW 2017, equation 7, for one user; Newton's
    method as in Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.3.

    Example:
        >>> fold_in(np.eye(3), [0], num_negatives=2).round(2)
        array([ 0.59, -0.59, -0.59])
    """
    V = _finite("vectors", vectors)
    if V.ndim != 2:
        raise ValueError(f"vectors must have shape (n, K), not {V.shape}")
    positives = np.atleast_1d(_indices("positives", positives, len(V)))
    if len(np.unique(positives)) < len(positives):
        raise ValueError("positives holds an index twice")
    check_number("num_negatives", num_negatives, 0)
    check_number("l2", l2, 0, strict=True)
    # A copy: without positives it is what is returned.
    start = np.zeros(V.shape[1]) if start is None else _finite("start", start).copy()
    if start.shape != V.shape[1:]:
        raise ValueError(f"start must have shape {V.shape[1:]}, not {start.shape}")
    if missing is None:
        missing = num_negatives * len(positives) / max(1, len(V) - len(positives))
    bias, missing = _finite("bias", bias), _finite("missing", missing)
    for name, each in (("bias", bias), ("missing", missing)):
        if each.shape not in ((), (len(V),)):
            raise ValueError(f"{name} must be a number or have shape ({len(V)},), not {each.shape}")
    if (missing < 0).any():
        raise ValueError(f"missing must be at least 0, not {missing.min()}")
    weight, label = np.empty(len(V)), np.zeros(len(V))
    weight[:] = missing
    weight[positives] = label[positives] = 1

    def loss(p):
        logits = V @ p + bias
        pairs = weight @ (np.logaddexp(0, logits) - label * logits)
        return pairs + l2 * np.sum((p - start) ** 2), logits

    p, (lowest, logits) = start, loss(start)
    for _ in range(100):
        chance = 0.5 * (1 + np.tanh(0.5 * logits))  # the sigmoid, without overflow
        slope = (weight * (chance - label)) @ V + 2 * l2 * (p - start)
        curvature = (V.T * (weight * chance * (1 - chance))) @ V + 2 * l2 * np.eye(V.shape[1])
        step = np.linalg.solve(curvature, slope)
        if slope @ step <= 1e-10 * (1 + abs(lowest)):
            break
        reached, logits = loss(p - step)
        while reached > lowest:  # too far: a Newton step may overshoot
            step = step / 2
            reached, logits = loss(p - step)
        p, lowest = p - step, reached
    return p
