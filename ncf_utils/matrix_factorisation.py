"""Matrix factorisation: by SGD on the log loss or on pairs (BPR), and by alternating least squares.

All give a user a vector p, an item a vector q and perhaps a bias, and score a pair by their dot
product. They differ in what they make of the pairs that were not observed. `mf` is compiled by
numba; `als` and `bpr` are the library implicit's (the extra ``baselines`` installs both).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

import numpy as np

from ncf_utils.baselines import check_train, score_by_user
from ncf_utils.data import Interactions
from ncf_utils.errors import check_number
from ncf_utils.sampler import NegativeSampler
from ncf_utils.training import check_choice

NEGATIVES = ("any", "missing")


def mf(
    train: Interactions,
    num_factors=192,
    num_negatives=8,
    learning_rate=0.002,
    l2=0.005,
    epochs=256,
    init_std=0.1,
    negatives="any",
    loss="log",
    seed=0,
    on_epoch=None,
):
    """Matrix factorisation with biases, trained by SGD on sampled negatives, a step at a time.

    The logit of a pair is b + b_u + b_i + p_u · q_i. The defaults are the settings that Rendle et
    al. (2020) report for MovieLens-1M. Each epoch draws fresh negatives and has a new order: with
    the log loss of the single instances, as in their experiments, with BPR of the positives.

    Args:
        train: the training interactions.
        num_factors: length of p and q.
        num_negatives: negatives for each positive, at least 1.
        learning_rate: step size, above 0.
        l2: penalty on factors and biases, at least 0.
        epochs: passes over the positives.
        init_std: standard deviation of the factors at the start, above 0; the biases start at 0.
        negatives: drawn uniformly from ``"any"`` item, as Rendle et al. do, so that now and then
            one is an item that the user has touched, or from those ``"missing"`` in the user's
            training items, as `NegativeSampler` does.
        loss: ``"log"``, each instance by itself, or ``"bpr"``, each negative against its positive:
            Bayesian personalised ranking, in which b and b_u cancel and stay 0.
        seed: seed of the start, the negatives and the order. The same seed gives the same factors.
        on_epoch: called with the epoch (from 1 on) and the score function of that moment, which
            later epochs do not change: what a caller needs to pick an epoch on validation.

    Returns:
        The score function of the last epoch, see `ncf_utils.metrics.evaluate`; scores are logits.

    Raises:
        ValueError: an argument is out of range.
        FloatingPointError: the factors are no longer numbers.

    Source: Rendle, Krichene, Zhang and Anderson, Neural Collaborative Filtering vs. Matrix
    Factorization Revisited, RecSys 2020, section 3 and appendix A; Rendle, Freudenthaler, Gantner
    and Schmidt-Thieme, BPR: Bayesian personalized ranking from implicit feedback, UAI 2009.

    Example:
        >>> train = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], 3, 3)
        >>> score = mf(train, num_factors=2, num_negatives=1, learning_rate=0.1, epochs=100)
        >>> score(np.array([[0], [2]]), np.arange(3)).argmax(axis=1)
        array([0, 2])
    """
    check_train(train)
    check_number("num_factors", num_factors, 1, integer=True)
    check_number("num_negatives", num_negatives, 1, integer=True)
    check_number("learning_rate", learning_rate, 0, strict=True)
    check_number("l2", l2, 0)
    check_number("epochs", epochs, 1, integer=True)
    check_number("init_std", init_std, 0, strict=True)
    check_choice("negatives", negatives, NEGATIVES)
    check_choice("loss", loss, _EPOCHS)
    check_number("seed", seed, 0, integer=True)
    model = _start(train, num_factors, init_std, seed)
    epoch_pairs = _groups(train, num_negatives, negatives, seed)
    if loss == "log":
        epoch_pairs = _instances(epoch_pairs, seed)
    train_epoch = _compiled(_EPOCHS[loss])
    for epoch in range(1, epochs + 1):
        train_epoch(*model, *next(epoch_pairs), np.float32(learning_rate), np.float32(l2))
        if not all(np.isfinite(weights).all() for weights in model):
            raise FloatingPointError(
                f"the factors are no longer numbers in epoch {epoch}: try a smaller learning_rate"
            )
        if on_epoch is not None:
            on_epoch(epoch, _logits(*(weights.copy() for weights in model)))
    return _logits(*model)


def sgd_epoch(P, Q, user_bias, item_bias, bias, user, item, label, learning_rate, l2):
    """One epoch of `mf`, in place. `mf` compiles it; as plain Python it gives the same, slowly.

    Args:
        P, Q: float32 (num_users, num_factors) and (num_items, num_factors).
        user_bias, item_bias, bias: float32 (num_users,), (num_items,) and (1,).
        user, item, label: int, int and float32 (n,), in the order they are learned from.
        learning_rate, l2: float32.
    """
    one = np.float32(1)
    for n in range(len(user)):
        u, i = user[n], item[n]
        p, q = P[u], Q[i]
        logit = bias[0] + user_bias[u] + item_bias[i]
        for k in range(len(p)):
            logit += p[k] * q[k]
        error = label[n] - one / (one + np.exp(-logit))  # minus the slope of the log loss
        bias[0] += learning_rate * (error - l2 * bias[0])
        user_bias[u] += learning_rate * (error - l2 * user_bias[u])
        item_bias[i] += learning_rate * (error - l2 * item_bias[i])
        for k in range(len(p)):
            p_k = p[k]  # as it was: q's step must not see p's
            p[k] += learning_rate * (error * q[k] - l2 * p_k)
            q[k] += learning_rate * (error * p_k - l2 * q[k])


def bpr_epoch(P, Q, user_bias, item_bias, bias, user, item, learning_rate, l2):
    """One epoch of `mf` with the loss ``"bpr"``; other arguments as in `sgd_epoch`.

    Args:
        user, item: int (n, 1) and (n, 1 + num_negatives); column 0 of `item` is the positive.
    """
    one = np.float32(1)
    for row in range(len(user)):
        u, i = user[row, 0], item[row, 0]
        p, q_i = P[u], Q[i]
        for column in range(1, item.shape[1]):
            j = item[row, column]
            q_j = Q[j]
            margin = item_bias[i] - item_bias[j]
            for k in range(len(p)):
                margin += p[k] * (q_i[k] - q_j[k])
            error = one / (one + np.exp(margin))  # 1 - the chance that i ranks before j
            item_bias[i] += learning_rate * (error - l2 * item_bias[i])
            item_bias[j] += learning_rate * (-error - l2 * item_bias[j])
            for k in range(len(p)):
                p_k = p[k]
                p[k] += learning_rate * (error * (q_i[k] - q_j[k]) - l2 * p_k)
                q_i[k] += learning_rate * (error * p_k - l2 * q_i[k])
                q_j[k] += learning_rate * (-error * p_k - l2 * q_j[k])


_EPOCHS = {"log": sgd_epoch, "bpr": bpr_epoch}


@cache
def _compiled(epoch):
    # The dot product may be summed in any order, so that the processor takes several factors at
    # once. On one machine the order is the same in every run, and NaN stays NaN.
    return _extra("numba").njit(fastmath={"reassoc", "contract"})(epoch)


def _start(train, num_factors, init_std, seed):
    # A stream of its own: that of the negatives is seeded with `seed` alone.
    rng = np.random.default_rng([seed, 1])
    sizes = train.num_users, train.num_items
    std = np.float32(init_std)
    factors = [std * rng.standard_normal((n, num_factors), np.float32) for n in sizes]
    return factors + [np.zeros(n, np.float32) for n in (*sizes, 1)]


def _groups(train, num_negatives, negatives, seed):
    """Each epoch's positives in a new order, (n, 1) users and (n, 1 + num_negatives) items."""
    if negatives == "missing":
        sampler = NegativeSampler(train, num_negatives, seed=seed)
        while True:
            yield sampler.epoch_groups()
    rng = np.random.default_rng(seed)
    item = np.empty((len(train), 1 + num_negatives), np.int32)
    while True:
        order = rng.permutation(len(train))
        item[:, 0] = train.item[order]
        item[:, 1:] = rng.integers(train.num_items, size=(len(train), num_negatives))
        yield train.user[order, None], item


def _instances(groups, seed):
    """Each epoch's groups as single instances in a new order: users, items, labels, (n,) each."""
    rng = np.random.default_rng([seed, 2])
    for user, item in groups:
        order = rng.permutation(item.size)
        row, column = np.divmod(order, item.shape[1])
        yield user[row, 0], item.ravel()[order], np.float32(column == 0)


def _logits(P, Q, user_bias, item_bias, bias):
    return score_by_user(lambda user: P[user] @ Q.T + user_bias[user, None] + item_bias + bias)


def als(
    train: Interactions, num_factors=192, l2=70.0, weight=7.0, iterations=15, seed=0, num_threads=1
):
    """Weighted matrix factorisation by alternating least squares (Hu et al., 2008).

    Every pair counts: an observed one is to score 1, with `weight`, any other 0, with weight 1.
    While the items are held still, the best vector of each user is the solution of a linear
    system, and the other way round.

    Args:
        train: the training interactions.
        num_factors: length of the vectors.
        l2: penalty on both tables, at least 0.
        weight: what an observed pair weighs (1 + alpha in Hu et al.), above 0.
        iterations: how often users and items are solved for.
        seed: seed of the start. The same seed gives the same vectors.
        num_threads: processor threads.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.

    Raises:
        ValueError: an argument is out of range.

    Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM
    2008. The library solves by three steps of conjugate gradients, from where it stood before.

    Example:
        >>> train = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], 3, 3)
        >>> score = als(train, num_factors=2, l2=0.1)
        >>> abs(score(np.array([[0], [2]]), np.arange(3)).round(1))
        array([[1., 1., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    _check_implicit(train, num_factors, l2, iterations, seed, num_threads)
    check_number("weight", weight, 0, strict=True)
    return _fit_implicit(
        _extra("implicit.cpu.als").AlternatingLeastSquares,
        train,
        factors=num_factors,
        regularization=l2,
        alpha=weight,
        iterations=iterations,
        random_state=seed,
        num_threads=num_threads,
    )


def bpr(
    train: Interactions,
    num_factors=64,
    learning_rate=0.03,
    l2=0.01,
    iterations=60,
    seed=0,
    num_threads=1,
):
    """Bayesian personalised ranking (Rendle et al., 2009) as the library implicit does it.

    It draws a negative as the item of another interaction: in proportion to popularity, and not
    uniformly as in the paper. Against candidates that are drawn uniformly it therefore ranks worse
    than the paper's BPR, which is `mf` with the loss ``"bpr"``.

    Args:
        train: the training interactions.
        num_factors: length of the vectors; an item has a bias besides.
        learning_rate: step size, above 0.
        l2: penalty on vectors and biases, at least 0.
        iterations: epochs, of as many draws as there are interactions: positives are drawn with
            replacement, and a negative that the user has touched is skipped and not repeated.
        seed: seed of start and draws. With one thread the same seed gives the same vectors.
        num_threads: processor threads; with more than one the threads race, and no two runs agree.

    Returns:
        A score function, see `ncf_utils.metrics.evaluate`.

    Raises:
        ValueError: an argument is out of range.
        FloatingPointError: the vectors are no longer numbers.

    Example:
        >>> train = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], 3, 3)
        >>> score = bpr(train, num_factors=4, learning_rate=0.1, iterations=300)
        >>> score(np.array([[2]]), np.arange(3)).argmax(axis=1)
        array([2])
    """
    _check_implicit(train, num_factors, l2, iterations, seed, num_threads)
    check_number("learning_rate", learning_rate, 0, strict=True)
    return _fit_implicit(
        _extra("implicit.cpu.bpr").BayesianPersonalizedRanking,
        train,
        factors=num_factors,
        learning_rate=learning_rate,
        regularization=l2,
        iterations=iterations,
        random_state=seed,
        num_threads=num_threads,
    )


def _check_implicit(train, num_factors, l2, iterations, seed, num_threads):
    check_train(train)
    for name, value in (
        ("num_factors", num_factors),
        ("iterations", iterations),
        ("num_threads", num_threads),
    ):
        check_number(name, value, 1, integer=True)
    check_number("l2", l2, 0)
    check_number("seed", seed, 0, integer=True)


def _fit_implicit(model_class, train, **settings):
    """Fit a model of the library implicit, and return its score function."""
    from implicit.recommender_base import ModelFitError
    from threadpoolctl import threadpool_limits

    # The library brings threads of its own; those of BLAS besides would slow it down.
    with threadpool_limits(1, "blas"):
        model = model_class(**settings)
        try:
            model.fit(train.to_csr(), show_progress=False)
        except ModelFitError:
            hint = "a smaller learning_rate" if "learning_rate" in settings else "a larger l2"
            raise FloatingPointError(f"the vectors are no longer numbers: try {hint}") from None
    P, Q = model.user_factors, model.item_factors
    return score_by_user(lambda user: P[user] @ Q.T)


def _extra(name):
    """A module of the extra ``baselines``, imported at its first use."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed: pip install 'ncf-utils[baselines]'"
        ) from None
