"""Baselines that a trained model should be compared with: popularity, neighbours, EASE, blends.

Those that factorise the matrix are in `ncf_utils.matrix_factorisation`.
"""

from __future__ import annotations

import numpy as np

from ncf_utils.data import Interactions, check_interactions
from ncf_utils.errors import check_number, random_generator
from ncf_utils.training import check_choice

SIMILARITIES = ("cosine", "jaccard")
AT_ONCE = 2**16  # scores that a blend asks its parts for; few enough stay in the cache


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
    check_interactions(train)
    return _same_for_all(train.item_counts())


def popularity_odds(train: Interactions):
    """Score an item by how often it is a positive for each time that it is drawn as a negative.

    A user with n of N items draws negatives in proportion to n, uniformly from the other N - n: an
    item is drawn by those who have not touched it, and most by the most active of them. So the odds
    do not rank quite as popularity does. They are what a model without interaction, such as an MLP
    without hidden layers, learns, but for what its user term does to its item term.

    Args:
        train: the training interactions.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`: the odds at one negative a positive, the
        same for every user, and infinite where nobody is left to draw the item.

    Raises:
        ValueError: there are no interactions.

    Example:
        >>> train = Interactions.from_pairs([0, 1, 1], [2, 2, 0], num_users=2, num_items=3)
        >>> popularity_odds(train)(np.array([[0]]), np.array([[0, 1, 2]]))
        array([[ 2.,  0., inf]])
    """
    check_train(train)
    touched = train.user_counts()
    others = train.num_items - touched
    draws = np.divide(touched, others, out=np.zeros(len(touched)), where=others > 0)
    drawn = draws.sum() - np.bincount(train.item, draws[train.user], train.num_items)
    # Counted besides, because a difference of sums need not end at 0.
    lacking = (draws > 0).sum() - np.bincount(train.item, draws[train.user] > 0, train.num_items)
    positive = train.item_counts()
    never = np.where(positive > 0, np.inf, 0.0)
    return _same_for_all(np.divide(positive, drawn, out=never, where=lacking > 0))


def _same_for_all(scores):
    def score(user, item):
        return np.broadcast_to(scores[item], np.broadcast_shapes(np.shape(user), np.shape(item)))

    return score


def random_score(seed=0):
    """Score every pair with a random number: HR@10 against 99 negatives is 10 / 100 on average.

    Args:
        seed: seed of the scores.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.
    """
    rng = random_generator(seed)

    def score(user, item):
        return rng.random(np.broadcast_shapes(np.shape(user), np.shape(item)))

    return score


def item_knn(train: Interactions, num_neighbours=50, shrinkage=0.0, similarity="cosine"):
    """Score an item by how similar it is to the user's items (Sarwar et al., 2001).

    Two items are similar if the same users touched them. With n_i users of item i and n_ij users
    of both, the cosine is n_ij / (sqrt(n_i n_j) + shrinkage), and Jaccard's coefficient is
    n_ij / (n_i + n_j - n_ij + shrinkage). The score sums the similarities of the item to those of
    its nearest neighbours that the user has touched.

    Args:
        train: the training interactions.
        num_neighbours: neighbours of each item that count, at least 1. Those as similar as the
            last of them count too, so that the numbering of the items has no say.
        shrinkage: number >= 0 that makes a similarity small where few users speak for it.
        similarity: ``"cosine"`` or ``"jaccard"``.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.

    Raises:
        ValueError: an argument is out of range.

    Source: Sarwar, Karypis, Konstan and Riedl, Item-based collaborative filtering recommendation
    algorithms, WWW 2001; shrinkage as in Ferrari Dacrema et al., TOIS 2021.

    Example:
        >>> train = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 1], 3, 3)
        >>> item_knn(train)(np.array([[2]]), np.arange(3)).round(2)  # user 2 has item 1
        array([[0.82, 0.  , 0.  ]], dtype=float32)
    """
    check_train(train)
    check_number("num_neighbours", num_neighbours, 1, integer=True)
    check_number("shrinkage", shrinkage, 0)
    check_choice("similarity", similarity, SIMILARITIES)
    from scipy.sparse import vstack

    touched = train.to_csr()  # (num_users, num_items)
    users_of = touched.T.tocsr()
    counts = train.item_counts()
    step = max(1, 2**24 // train.num_items)  # items at a time, which bounds the memory
    nearest = []
    for start in range(0, train.num_items, step):
        similar = users_of[start : start + step] @ touched  # n_ij, (step, num_items)
        item = np.repeat(np.arange(similar.shape[0]), np.diff(similar.indptr)) + start
        other, both = similar.indices, similar.data
        if similarity == "cosine":
            scale = np.sqrt(counts[item] * counts[other])
        else:
            scale = counts[item] + counts[other] - both
        similar.data = np.where(item == other, 0, both / (scale + shrinkage)).astype(np.float32)
        rows = np.split(similar.data, similar.indptr[1:-1])
        last = np.array([_last_kept(row, num_neighbours) for row in rows])
        similar.data[similar.data < last[item - start]] = 0
        similar.eliminate_zeros()
        nearest.append(similar)
    weights = vstack(nearest).T.tocsr()  # (the user's item, the scored item)
    return score_by_user(lambda user: (touched[user] @ weights).toarray())


def _last_kept(values, num_kept):
    """The smallest of the `num_kept` largest values."""
    return np.partition(values, -num_kept)[-num_kept] if len(values) > num_kept else 0


def ease(train: Interactions, l2=1000.0, max_gigabytes=8.0):
    """Predict each item from all the others, in closed form (EASE, Steck 2019).

    A linear regression for each item on all others, with an l2 penalty. With the matrix X of
    interactions and P = (X'X + l2 I)^-1, the weights are B = I - P / diag(P) (each column divided
    by its entry of the diagonal), and the scores are X B. Where there are fewer users than items,
    the same scores come from the smaller matrix R = (XX' + l2 I)^-1 X: column j of the scores is
    x_j - l2 r_j / (1 - x_j · r_j).

    Args:
        train: the training interactions.
        l2: penalty, above 0.
        max_gigabytes: about the most memory that it may take, five matrices of float64: num_items²
            or, if that is less, num_users x num_items.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.

    Raises:
        ValueError: an argument is out of range, or there are too many items.

    Source: Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019, equation 8; its
    second form follows by Woodbury's identity.

    Example:
        >>> train = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 1], 3, 3)
        >>> ease(train, l2=1.0)(np.array([[2]]), np.arange(3)).round(2)  # user 2 has item 1
        array([[0.5, 0. , 0. ]], dtype=float32)
    """
    check_train(train)
    check_number("l2", l2, 0, strict=True)
    check_number("max_gigabytes", max_gigabytes, 0, strict=True)
    num_users, num_items = train.num_users, train.num_items
    gigabytes = 5 * 8 * num_items * min(num_users, num_items) / 1e9
    if gigabytes > max_gigabytes:
        raise ValueError(
            f"num_items is {num_items:,}: EASE would take {gigabytes:,.1f} gigabytes, "
            f"more than max_gigabytes = {max_gigabytes:g}"
        )
    X = train.to_csr()
    if num_users < num_items:
        dense = X.toarray().astype(float)
        R = np.linalg.solve(dense @ dense.T + l2 * np.eye(num_users), dense)
        R *= -l2 / (1 - (dense * R).sum(axis=0))
        scores = (dense + R).astype(np.float32)  # (num_users, num_items)
        return score_by_user(lambda user: scores[user])
    gram = (X.T @ X).toarray().astype(float)
    gram[np.diag_indices(num_items)] += l2
    P = np.linalg.inv(gram)
    B = (P / -np.diag(P)).astype(np.float32)
    np.fill_diagonal(B, 0)
    return score_by_user(lambda user: X[user] @ B)


def blend(train: Interactions, scores, weights):
    """Score by the weighted sum of several score functions, put on one scale first.

    Two methods' scores are not comparable: a probability, a regression, a logit. So each method's
    scores of the items that a user has not touched are standardised for that user (mean 0,
    standard deviation 1), and then added with the weights.

    Args:
        train: the training interactions, whose items do not count for the scale.
        scores: the score functions.
        weights: one number for each of them, none below 0, not all 0.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> train = Interactions.from_pairs([0], [3], num_users=1, num_items=4)
        >>> first = lambda user, item: np.array([[0.0, 1.0, 2.0, 9.0]])[user, item]
        >>> second = lambda user, item: np.array([[100.0, 300.0, 200.0, 0.0]])[user, item]
        >>> blend(train, [first, second], [1, 1])(np.array([[0]]), np.array([0, 1, 2])).round(2)
        array([[-2.45,  1.22,  1.22]])
    """
    check_train(train)
    scores, weights = list(scores), list(weights)
    for weight in weights:
        check_number("weights", weight, 0)
    if len(weights) != len(scores) or sum(weights) == 0:
        raise ValueError(
            f"weights must hold one number for each of {len(scores)} scores, not all 0, "
            f"not {weights}"
        )
    seen, item = train.to_csr(), np.arange(train.num_items)
    rows = max(1, AT_ONCE // train.num_items)

    def some(user):
        missing = seen[user].toarray() == 0
        return sum(
            weight * _standardised(np.asarray(score(user[:, None], item), float), missing)
            for score, weight in zip(scores, weights, strict=True)
        )

    def scores_of(user):
        starts = range(0, max(len(user), 1), rows)
        return np.concatenate([some(user[start : start + rows]) for start in starts])

    return score_by_user(scores_of)


def _standardised(values, counted):
    """`values` (B, n), shifted and scaled so that each row's `counted` have mean 0 and std 1."""
    count = np.maximum(counted.sum(axis=1, keepdims=True), 1)
    largest = np.abs(values).max(axis=1, where=counted, initial=0, keepdims=True)
    values = values - values.sum(axis=1, where=counted, keepdims=True) / count
    std = np.sqrt((values**2).sum(axis=1, where=counted, keepdims=True) / count)
    # What is left of equal scores is the rounding of their mean, and no spread.
    return values / np.where(std > 1e-12 * largest, std, 1)


def score_by_user(scores_of):
    """A score function made of one that scores all items of some users.

    Args:
        scores_of: function of an integer array of B users that returns their scores of all items,
            an array of shape (B, num_items).

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`. Each user is computed once a call,
        which is faster than looking up a hundred vectors for each of them.
    """

    def score(user, item):
        distinct, row = np.unique(user, return_inverse=True)
        return scores_of(distinct)[row.reshape(np.shape(user)), item]

    return score


def check_train(train):
    """Raise a ValueError unless `train` is Interactions, and holds some."""
    check_interactions(train)
    if len(train) == 0:
        raise ValueError("train holds no interactions to learn from")
