"""Ranking metrics for leave-one-out evaluation: HR@K, NDCG@K, ties, full ranking, intervals.

Built step by step in notebook 05, `evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ncf_utils.data import Dataset
from ncf_utils.errors import check_number, random_generator

TIES = ("pessimistic", "optimistic", "expected")


class NaNScoresError(ValueError):
    """Scores that hold NaN, which has no place in an order; `row` is the first such, if known."""

    def __init__(self, message, row=None):
        super().__init__(message)
        self.row = row


def positive_ranks(positive_scores, negative_scores, ties="pessimistic", rivals=None):
    """Rank each held-out positive among its negatives; rank 0 is the top of the list.

    Args:
        positive_scores: array of shape (E,), one score for each evaluated user.
        negative_scores: array of shape (E, C), the scores of the same user's candidates.
        ties: what an equal score means. ``"pessimistic"``: the negative goes first, so that a
            model which scores everything alike earns nothing. ``"optimistic"``: the positive goes
            first. ``"expected"``: ties are broken by a fair die.
        rivals: boolean array of shape (E, C); False where a candidate is no rival (it is the
            positive itself, or stands twice in its row). None: all are rivals.

    Returns:
        Integer array of shape (E,); for ``ties="expected"`` of shape (E, 2), the first and the
        last rank that the positive may get. `hit_ratio` and `ndcg` take either.

    Raises:
        ValueError: the shapes do not fit, `ties` is unknown, or a score is NaN (`NaNScoresError`).

    Example:
        >>> positive_ranks([0.9, 0.5], [[0.1, 0.95], [0.5, 0.2]])
        array([1, 1])
        >>> positive_ranks([0.9, 0.5], [[0.1, 0.95], [0.5, 0.2]], ties="optimistic")
        array([1, 0])
    """
    positive = np.asarray(positive_scores, dtype=float)
    negative = np.asarray(negative_scores, dtype=float)
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(TIES)}, not {ties!r}")
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative):
        raise ValueError(
            "positive_scores must have shape (E,) and negative_scores (E, C), "
            f"not {positive.shape} and {negative.shape}"
        )
    invalid = np.isnan(positive) | np.isnan(negative).any(axis=1)
    if invalid.any():
        raise NaNScoresError(
            f"{invalid.sum()} rows of scores hold NaN, the first is row {invalid.argmax()}",
            invalid.argmax(),
        )
    rivals = np.ones(negative.shape, bool) if rivals is None else np.asarray(rivals, bool)
    if rivals.shape != negative.shape:
        raise ValueError(f"rivals must have shape {negative.shape}, not {rivals.shape}")
    first = ((negative > positive[:, None]) & rivals).sum(axis=1)
    last = ((negative >= positive[:, None]) & rivals).sum(axis=1)
    return {"pessimistic": last, "optimistic": first}.get(ties, np.stack([first, last], axis=1))


def hit_ratio(ranks, k=10, reduce=True):
    """HR@K: the share of users whose held-out item is among their first K.

    Args:
        ranks: what `positive_ranks` returns.
        k: length of the list, at least 1.
        reduce: return the mean over users (the default) or one value a user.

    Returns:
        A float in [0, 1], or a float array of shape (E,).

    Raises:
        ValueError: `k` is below 1, a rank is no whole number from 0, or there are no ranks.

    Example:
        >>> hit_ratio([0, 3, 12], k=10)
        0.6666666666666666
    """
    return _mean_gain(np.ones_like, ranks, k, reduce)


def ndcg(ranks, k=10, reduce=True):
    """NDCG@K with one relevant item: 1 / log2(rank + 2) within the first K, else 0.

    The rank counts from 0; counted from 1 as in most formulas, the same is 1 / log2(rank + 1). With
    one relevant item the ideal list has gain 1, so nothing is left to divide by (Järvelin and
    Kekäläinen, 2002; He et al., 2015).

    Args:
        ranks: what `positive_ranks` returns.
        k: length of the list, at least 1.
        reduce: return the mean over users (the default) or one value a user.

    Returns:
        A float in [0, 1], or a float array of shape (E,).

    Raises:
        ValueError: `k` is below 1, a rank is no whole number from 0, or there are no ranks.

    Example:
        >>> round(ndcg([0, 2, 12], k=10), 3)
        0.5
    """
    return _mean_gain(lambda rank: 1 / np.log2(rank + 2), ranks, k, reduce)


def _mean_gain(gain, ranks, k, reduce):
    """Average `gain(rank)` (0 beyond the list), over users and over tied ranks."""
    k, ranks = check_number("k", k, 1, integer=True), np.asarray(ranks)
    if ranks.size == 0:
        raise ValueError("there are no ranks to average")
    if ranks.ndim != 1 and (ranks.ndim != 2 or ranks.shape[1] != 2):
        raise ValueError(f"ranks must have shape (E,) or (E, 2), not {ranks.shape}")
    if not np.issubdtype(ranks.dtype, np.integer):
        raise ValueError(f"ranks must be integers, not {ranks.dtype}")
    if ranks.min() < 0:
        raise ValueError(f"ranks must be at least 0 (the top of the list), not {ranks.min()}")
    ranks = ranks.astype(np.int64)  # a small type would overflow below
    first, last = (ranks, ranks) if ranks.ndim == 1 else ranks.T
    if (last < first).any():
        raise ValueError("ranks of shape (E, 2) must hold the first rank before the last")
    k = min(k, int(last.max()) + 1)  # beyond the last rank a list may be as long as it likes
    total = np.concatenate([[0.0], np.cumsum(gain(np.arange(k)))])  # total[r]: of all ranks below r
    values = (total[np.minimum(last + 1, k)] - total[np.minimum(first, k)]) / (last - first + 1)
    return float(values.mean()) if reduce else values


@dataclass(frozen=True)
class Evaluation:
    """The ranks of the held-out items and the two metrics they give.

    Attributes:
        hr: HR@k, the mean over the evaluated users.
        ndcg: NDCG@k, likewise.
        k: length of the list.
        ranks: integer array of shape (E,) or (E, 2), see `positive_ranks`.
        user: int array of shape (E,), the evaluated users.
        num_candidates: the most items that any held-out item was ranked against.
        full: whether every item that the user had not touched was a candidate.
    """

    hr: float
    ndcg: float
    k: int
    ranks: np.ndarray
    user: np.ndarray
    num_candidates: int
    full: bool

    def __repr__(self):
        against = "all items" if self.full else f"{self.num_candidates} candidates"
        return (
            f"HR@{self.k} {self.hr:.3f}, NDCG@{self.k} {self.ndcg:.3f} "
            f"({len(self.user):,} users, {against})"
        )


def evaluate(
    score, dataset: Dataset, split="test", k=10, full=False, ties="pessimistic", batch_size=2**16
) -> Evaluation:
    """Rank every user's held-out item, and average HR@k and NDCG@k.

    Args:
        score: a function `score(user, item) -> scores`, all that is known of a model. It gets
            two integer arrays that broadcast as NumPy's do, such as (B, 1) and (B, 100), and
            returns their scores in the broadcast shape; higher is better.
        dataset: the data set.
        split: ``"test"`` or ``"validation"``.
        k: length of the list, at least 1.
        full: False ranks against the data set's sampled candidates (99, as in the paper); True
            against every item that the user has touched in neither training nor, when testing,
            validation. The two numbers are not comparable.
        ties: see `positive_ranks`.
        batch_size: scores computed at once; few enough stay in the cache.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: the split does not exist, the scores have a wrong shape or hold NaN, or another
            argument is out of range.

    Example:
        >>> from ncf_utils.baselines import popularity_score
        >>> from ncf_utils.data import load_dataset
        >>> dataset = load_dataset("ml-latest-small")
        >>> evaluate(popularity_score(dataset.train), dataset).num_candidates
        99
    """
    if split not in ("test", "validation"):
        raise ValueError(f"split must be test or validation, not {split!r}")
    held_out = getattr(dataset, split)
    if held_out is None or len(held_out) == 0:
        raise ValueError(f"{dataset.name} has no {split} items to evaluate")
    batch_size = check_number("batch_size", batch_size, 1, integer=True)
    if full:
        ranks, num_candidates = _full_ranks(score, dataset, split, ties, batch_size)
    else:
        ranks = _sampled_ranks(score, held_out, ties, batch_size)
        num_candidates = int(held_out.rivals.sum(axis=1).max())
    return Evaluation(
        hit_ratio(ranks, k), ndcg(ranks, k), k, ranks, held_out.user, num_candidates, full
    )


def _sampled_ranks(score, held_out, ties, batch_size):
    candidates = np.column_stack([held_out.item, held_out.negatives])  # (E, 1 + C)
    rows = max(1, batch_size // candidates.shape[1])
    ranks = []
    for start in range(0, len(held_out), rows):
        batch = slice(start, start + rows)
        scores = checked_scores(score, held_out.user[batch, None], candidates[batch])
        user, rivals = held_out.user[batch], held_out.rivals[batch]
        ranks.append(_ranks_of(user, scores[:, 0], scores[:, 1:], ties, rivals))
    return np.concatenate(ranks)


def _full_ranks(score, dataset, split, ties, batch_size):
    held_out = getattr(dataset, split)
    every_item = np.arange(dataset.num_items, dtype=np.int32)[None, :]
    rows = max(1, batch_size // dataset.num_items)
    known = dataset if split == "validation" else dataset.with_validation_in_train()
    seen = known.train.to_csr()
    ranks, num_candidates = [], 0
    for start in range(0, len(held_out), rows):
        user, item = held_out.user[start : start + rows], held_out.item[start : start + rows]
        scores = checked_scores(score, user[:, None], every_item)
        positive = scores[np.arange(len(user)), item]
        rivals = np.ones(scores.shape, bool)
        rivals[seen[user].nonzero()] = False
        rivals[np.arange(len(user)), item] = False
        ranks.append(_ranks_of(user, positive, scores, ties, rivals))
        num_candidates = max(num_candidates, int(rivals.sum(axis=1).max()))
    return np.concatenate(ranks), num_candidates


def _ranks_of(user, *scores_and_rivals):
    """`positive_ranks` of a batch, whose rows the caller of `evaluate` does not know: its users."""
    try:
        return positive_ranks(*scores_and_rivals)
    except NaNScoresError as error:
        raise NaNScoresError(f"score returned NaN for user {user[error.row]}") from None


def checked_scores(score, user, item):
    """What `score` returns for arrays of indices; a ValueError where it is not of their shape."""
    scores = np.asarray(score(user, item))
    expected = np.broadcast_shapes(user.shape, item.shape)
    if scores.shape != expected:
        raise ValueError(
            f"score returned shape {scores.shape} for users {user.shape} and items {item.shape}; "
            f"expected {expected}"
        )
    return scores


def bootstrap_interval(values, level=0.95, num_resamples=2000, seed=0) -> tuple[float, float]:
    """Percentile bootstrap interval for a mean over users (Efron and Tibshirani, 1993).

    Args:
        values: array of shape (E,), one value a user, such as `hit_ratio(ranks, reduce=False)`.
        level: coverage, between 0 and 1.
        num_resamples: how many times E users are drawn with replacement.
        seed: seed of the draws.

    Returns:
        The interval's lower and upper end.

    Raises:
        ValueError: there are no values, one is not finite, or an argument is out of range.

    Example:
        >>> low, high = bootstrap_interval([0.0, 1.0] * 200)
        >>> round(low, 2), round(high, 2)
        (0.45, 0.55)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values must have shape (E,) with E > 0, not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    num_resamples = check_number("num_resamples", num_resamples, 1, integer=True)
    # How often each distinct value is drawn is multinomial: no users x resamples array.
    distinct, counts = np.unique(values, return_counts=True)
    rng = random_generator(seed)
    drawn = rng.multinomial(len(values), counts / len(values), size=num_resamples)
    means = drawn @ distinct / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
