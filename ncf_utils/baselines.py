"""Baselines that every trained model should be compared with."""

from __future__ import annotations

import numpy as np

from ncf_utils.data import Interactions


def popularity_score(train: Interactions):
    """Score an item by its number of training interactions, the same for every user.

    Args:
        train: the training interactions.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.

    Example:
        >>> train = Interactions.from_pairs([0, 1, 1], [2, 2, 0], num_users=2, num_items=3)
        >>> popularity_score(train)(np.array([[0]]), np.array([[0, 1, 2]]))
        array([[1, 0, 2]])
    """
    counts = train.item_counts()

    def score(user, item):
        return np.broadcast_to(counts[item], np.broadcast_shapes(np.shape(user), np.shape(item)))

    return score


def random_score(seed=0):
    """Score every pair with a random number: HR@10 against 99 negatives is 10 / 100 on average.

    Args:
        seed: seed of the scores.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.
    """
    rng = np.random.default_rng(seed)

    def score(user, item):
        return rng.random(np.broadcast_shapes(np.shape(user), np.shape(item)))

    return score
