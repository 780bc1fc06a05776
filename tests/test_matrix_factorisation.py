"""Matrix factorisation by SGD, ALS and BPR: against slow versions, and by what they must do."""

import inspect
import sys

import numpy as np
import pytest

from ncf_utils import matrix_factorisation
from ncf_utils.baselines import popularity_score
from ncf_utils.data import Interactions, load_dataset
from ncf_utils.matrix_factorisation import als, bpr, bpr_epoch, mf, sgd_epoch
from ncf_utils.metrics import evaluate
from ncf_utils.sampler import NegativeSampler

FAST = {
    mf: {"num_factors": 8, "num_negatives": 2, "learning_rate": 0.05, "epochs": 4},
    als: {"num_factors": 8, "l2": 5.0, "iterations": 4},
    bpr: {"num_factors": 8, "learning_rate": 0.05, "iterations": 4},
}
each_method = pytest.mark.parametrize("method", FAST, ids=lambda method: method.__name__)


@pytest.fixture(scope="module")
def synthetic():
    """Users with tastes of their own, so that there is something to learn beyond popularity."""
    return load_dataset("synthetic", num_users=300, num_items=200, num_interactions=9_000, rank=4)


@pytest.fixture
def train():
    return Interactions.from_pairs([0, 0, 1, 1, 2, 2], [1, 4, 1, 3, 1, 4], 3, 6)


def all_scores(score, train):
    return score(np.arange(train.num_users)[:, None], np.arange(train.num_items)[None, :])


# --- one step of SGD -----------------------------------------------------------------------------


def logistic_loss(weights, user, item, label, l2):
    """The log loss of one instance, and half of l2 times the squares of the weights it touches."""
    P, Q, user_bias, item_bias, bias = weights
    logit = bias[0] + user_bias[user] + item_bias[item] + P[user] @ Q[item]
    probability = 1 / (1 + np.exp(-logit))
    log_loss = -np.log(probability if label else 1 - probability)
    touched = [P[user], Q[item], user_bias[user], item_bias[item], bias[0]]
    return log_loss + l2 / 2 * sum(np.sum(part**2) for part in touched)


def slope(loss, weights, step=1e-5):
    """Finite differences of `loss()` in every entry of every array of `weights`."""
    slopes = [np.zeros_like(array) for array in weights]
    for array, gradient in zip(weights, slopes, strict=True):
        for at in np.ndindex(array.shape):
            array[at] += step
            above = loss()
            array[at] -= 2 * step
            gradient[at] = (above - loss()) / (2 * step)
            array[at] += step
    return slopes


def some_weights(num_users=3, num_items=5, num_factors=4, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (num_users, num_factors), (num_items, num_factors), num_users, num_items, 1
    return [rng.normal(0, 0.5, shape) for shape in shapes]


def pairwise_loss(weights, user, item, other, l2):
    """BPR of one pair: -log of the chance that `item` ranks before `other`, and the penalty."""
    P, Q, _, item_bias, _ = weights
    margin = item_bias[item] - item_bias[other] + P[user] @ (Q[item] - Q[other])
    touched = [P[user], Q[[item, other]], item_bias[[item, other]]]
    return np.log1p(np.exp(-margin)) + l2 / 2 * sum(np.sum(part**2) for part in touched)


def as_learned(epoch, user, item):
    """Groups of a positive and its negatives, as the loop `epoch` takes them: BPR as they are."""
    if epoch is bpr_epoch:
        return user, item
    label = (np.arange(item.size) % item.shape[1] == 0).astype(np.float32)
    return np.repeat(user[:, 0], item.shape[1]), item.ravel(), label


@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("epoch", [sgd_epoch, bpr_epoch])
def test_sgd_steps_down_the_slope_of_the_loss(epoch, compiled, l2):
    """A positive, three negatives, one of them twice: each step from where the last one ended."""
    expected = some_weights()
    items, rate = [2, 0, 4, 0], 0.1
    if epoch is sgd_epoch:
        losses = [(logistic_loss, 1, item, item == 2, l2) for item in items]
    else:
        losses = [(pairwise_loss, 1, 2, item, l2) for item in items[1:]]
    for loss, *instance in losses:
        gradients = slope(lambda f=loss, x=instance: f(expected, *x), expected)
        for weights, gradient in zip(expected, gradients, strict=True):
            weights -= rate * gradient
    found = [weights.astype(np.float32) for weights in some_weights()]
    step = matrix_factorisation._compiled(epoch) if compiled else epoch
    batch = np.array([[1]], np.int32), np.array([items], np.int32)
    step(*found, *as_learned(epoch, *batch), np.float32(rate), np.float32(l2))
    for at, (one, other, start) in enumerate(zip(found, expected, some_weights(), strict=True)):
        assert one.dtype == np.float32
        assert np.allclose(one, other, atol=1e-6)
        # There was a step; with BPR, not in the biases that cancel.
        assert (abs(one - start).max() > 1e-3) == (epoch is sgd_epoch or at in (0, 1, 3))


@pytest.mark.parametrize("epoch", [sgd_epoch, bpr_epoch])
def test_compiled_and_plain_python_agree_on_an_epoch(epoch):
    rng = np.random.default_rng(0)
    user, item = rng.integers(30, size=(200, 1)), rng.integers(40, size=(200, 5))
    item[:, 1:] += item[:, :1] == item[:, 1:]  # a negative is not the positive
    weights = {}
    for name, loop in (("plain", epoch), ("compiled", matrix_factorisation._compiled(epoch))):
        weights[name] = [w.astype(np.float32) for w in some_weights(30, 41, 19)]
        pairs = as_learned(epoch, user, item)
        loop(*weights[name], *pairs, np.float32(0.05), np.float32(0.01))
    for one, other in zip(*weights.values(), strict=True):
        assert np.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("epoch", [sgd_epoch, bpr_epoch])
def test_the_loops_are_short_enough_to_show(epoch):
    body = inspect.getsource(epoch).split('"""')[2]
    assert len(body.strip().splitlines()) <= 25


def test_extreme_logits_do_not_overflow():
    """exp overflows in float32 beyond 88; the error is then 0 or 1 all the same."""
    for sign in (-1, 1):
        weights = [w.astype(np.float32) for w in some_weights()]
        weights[4][0] = sign * 200
        matrix_factorisation._compiled(sgd_epoch)(
            *weights,
            *(np.array([0, 0]), np.array([1, 2]), np.float32([1, 0])),
            *np.float32([0.1, 0]),
        )
        assert all(np.isfinite(w).all() for w in weights)
        assert weights[4][0] == pytest.approx(sign * 199.9)  # wrong once, right once


# --- training by SGD -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss, epoch", [("log", sgd_epoch), ("bpr", bpr_epoch)])
def test_mf_is_its_loop_over_what_the_sampler_gives(train, loss, epoch):
    """Three epochs of `mf` are three calls of the plain loop: on groups, or on single instances."""
    options = {"num_factors": 3, "num_negatives": 2, "learning_rate": 0.1, "l2": 0.01, "seed": 5}
    score = mf(train, epochs=3, loss=loss, negatives="missing", **options)
    P, Q, user_bias, item_bias, bias = weights = matrix_factorisation._start(train, 3, 0.1, 5)
    sampler = NegativeSampler(train, 2, seed=5)
    pairs = (sampler.epoch_groups() for _ in range(3))
    if loss == "log":
        pairs = matrix_factorisation._instances(pairs, 5)
    for given in pairs:
        epoch(*weights, *given, np.float32(0.1), np.float32(0.01))
    expected = P @ Q.T + user_bias[:, None] + item_bias + bias
    assert np.allclose(all_scores(score, train), expected, atol=1e-5)


@pytest.mark.parametrize("negatives", ["any", "missing"])
def test_each_epoch_has_every_positive_and_fresh_negatives(synthetic, negatives):
    train = synthetic.train
    pairs = set(zip(train.user.tolist(), train.item.tolist(), strict=True))
    seen, touched, counts = [], [], np.zeros(train.num_items, int)
    groups = matrix_factorisation._groups(train, 4, negatives, seed=0)
    for _ in range(20):
        user, item = next(groups)
        assert user.shape == (len(train), 1) and item.shape == (len(train), 5)
        found = list(zip(user[:, 0].tolist(), item[:, 0].tolist(), strict=True))
        assert set(found) == pairs and len(found) == len(pairs)
        seen.append((found, item[:, 1:].copy()))
        counts += np.bincount(item[:, 1:].ravel(), minlength=train.num_items)
        touched += [
            (u, i) in pairs for (u, _), row in zip(found, item, strict=True) for i in row[1:]
        ]
    assert seen[0][0] != seen[1][0] and not np.array_equal(seen[0][1], seen[1][1])
    if negatives == "missing":
        assert not any(touched)
    else:  # every item as often, whoever has touched it: as a user has touched a share of them
        share = (train.user_counts() ** 2).sum() / len(train) / train.num_items
        assert np.mean(touched) == pytest.approx(share, rel=0.02)
        mean = counts.mean()
        assert abs(counts - mean).max() < 5 * mean**0.5


def test_the_instances_of_an_epoch_are_its_groups_shuffled(synthetic):
    """Not one is lost or changed, a positive's negatives do not follow it, and orders differ."""
    train, orders = synthetic.train, []
    groups = matrix_factorisation._groups(train, 3, "any", seed=0)
    copies = matrix_factorisation._groups(train, 3, "any", seed=0)
    shuffled = matrix_factorisation._instances(groups, seed=0)
    for _ in range(2):
        user, item, label = instances = next(shuffled)
        assert user.shape == item.shape == label.shape == (4 * len(train),)
        assert label.dtype == np.float32
        plain = as_learned(sgd_epoch, *next(copies))
        asked, found = (np.lexsort(parts) for parts in (plain, instances))
        for one, other in zip(plain, instances, strict=True):
            assert np.array_equal(one[asked], other[found])
        assert np.mean(label[::4]) == pytest.approx(0.25, abs=0.02)
        # A user of 300 is seldom the next one's too; in groups of four three out of four are.
        assert np.mean(user[1:] == user[:-1]) < 0.05
        orders.append(label)
    assert not np.array_equal(*orders)


def test_the_start_has_the_asked_spread(ml_latest_small):
    P, Q, *biases = matrix_factorisation._start(ml_latest_small.train, 16, 0.3, 0)
    assert [table.shape for table in (P, Q, *biases)] == [
        (671, 16),
        (9066, 16),
        (671,),
        (9066,),
        (1,),
    ]
    for table in (P, Q):
        assert table.dtype == np.float32
        assert table.std() == pytest.approx(0.3, rel=0.02) and abs(table.mean()) < 0.01
    assert not np.array_equal(P[:5], Q[:5]) and not any(bias.any() for bias in biases)
    other = matrix_factorisation._start(ml_latest_small.train, 16, 0.3, seed=1)
    assert not np.array_equal(P, other[0])


def test_on_epoch_sees_each_epoch_as_it_was(synthetic):
    train, seen = synthetic.train, []
    last = mf(train, **FAST[mf], on_epoch=lambda epoch, score: seen.append((epoch, score)))
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    for epoch, score in seen:  # called after the training, each still is what it was
        shorter = mf(train, **(FAST[mf] | {"epochs": epoch}))
        assert np.array_equal(all_scores(score, train), all_scores(shorter, train))
    assert np.array_equal(all_scores(seen[-1][1], train), all_scores(last, train))
    assert not np.array_equal(all_scores(seen[0][1], train), all_scores(last, train))


def test_l2_keeps_weights_small(synthetic):
    free, held = (
        all_scores(mf(synthetic.train, **FAST[mf], l2=l2), synthetic.train) for l2 in (0, 1)
    )
    assert np.abs(held).max() < 0.5 * np.abs(free).max()


def test_a_divergence_is_reported(synthetic):
    with pytest.raises(FloatingPointError, match="in epoch 1: try a smaller learning_rate"):
        mf(synthetic.train, **(FAST[mf] | {"learning_rate": 1e6, "init_std": 10.0}))


# --- ALS and BPR ---------------------------------------------------------------------------------


def slow_als(X, num_factors, l2, weight, iterations):
    """Each user's, then each item's normal equations, solved exactly, from a start of its own."""
    P, Q = (np.random.default_rng(7).normal(size=(n, num_factors)) for n in X.shape)
    for _ in range(iterations):
        for table, other, seen in ((P, Q, X), (Q, P, X.T)):
            for row in range(len(table)):
                C = np.where(seen[row] > 0, weight, 1.0)  # confidence of each pair
                A = other.T @ (C[:, None] * other) + l2 * np.eye(num_factors)
                table[row] = np.linalg.solve(A, other.T @ (C * seen[row]))
    return P @ Q.T


@pytest.mark.parametrize("l2, weight", [(0.3, 1.0), (0.5, 6.0), (2.0, 0.5)])
def test_als_ends_where_the_normal_equations_hold(l2, weight):
    X = (np.random.default_rng(3).random((14, 9)) < 0.4).astype(float)
    train = Interactions.from_pairs(*np.nonzero(X), *X.shape)
    score = als(train, num_factors=2, l2=l2, weight=weight, iterations=400)
    expected = slow_als(X, 2, l2, weight, iterations=400)
    assert np.allclose(all_scores(score, train), expected, atol=2e-3)
    assert np.ptp(expected) > 0.1


def test_weight_says_how_much_an_observed_pair_counts(synthetic):
    train = synthetic.train
    light, heavy = (als(train, 8, l2=5.0, weight=w) for w in (1, 20))
    pairs = train.user, train.item
    assert heavy(*pairs).mean() > light(*pairs).mean() + 0.1


def test_als_has_one_thread_of_blas(train, monkeypatch, recwarn):
    """The library warns, once a process, where BLAS has threads of its own while it fits."""
    from implicit import utils
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(utils, "_checked_blas_config", False)
    with threadpool_limits(2, "blas"):
        als(train, num_factors=2)
    assert [str(warning.message) for warning in recwarn] == []


def test_bpr_reports_a_divergence(synthetic):
    with pytest.raises(FloatingPointError, match="no longer numbers: try a smaller learning_rate"):
        bpr(synthetic.train, num_factors=8, learning_rate=1e8, iterations=20)


# --- all three -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, options",
    [
        (mf, {"num_factors": 8, "learning_rate": 0.05, "num_negatives": 4, "epochs": 30}),
        (als, {"num_factors": 8, "l2": 5.0, "weight": 2.0}),
        (mf, {"num_factors": 8, "learning_rate": 0.02, "loss": "bpr", "epochs": 20}),
        (bpr, {"num_factors": 8, "learning_rate": 0.02, "iterations": 60}),
    ],
)
def test_each_learns_more_than_popularity(synthetic, method, options):
    popularity = evaluate(popularity_score(synthetic.train), synthetic)
    learned = evaluate(method(synthetic.train, **options), synthetic)
    assert learned.hr > popularity.hr + 0.08


@each_method
def test_the_same_seed_gives_the_same_scores(synthetic, method):
    train, options = synthetic.train, FAST[method]
    one, again, other = (all_scores(method(train, seed=s, **options), train) for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other, atol=1e-6)


@each_method
@pytest.mark.parametrize(
    "user, item", [((3,), (3,)), ((3, 1), (3, 4)), ((3, 1), (1, 5)), ((), (4,))]
)
def test_scores_broadcast(train, method, user, item):
    score = method(train, **FAST[method])
    table = all_scores(score, train)
    assert table.shape == (3, 6)
    rng = np.random.default_rng(0)
    user, item = rng.integers(3, size=user), rng.integers(6, size=item)
    scores = score(user, item)
    assert scores.shape == np.broadcast_shapes(user.shape, item.shape)
    assert np.allclose(scores, table[user, item], atol=1e-6)


@each_method
def test_users_and_items_that_training_does_not_know(method):
    train = Interactions.from_pairs([0, 0, 1], [0, 1, 0], 3, 4)
    assert np.isfinite(all_scores(method(train, **FAST[method]), train)).all()


@each_method
def test_training_data_is_left_alone(synthetic, method):
    user, item = synthetic.train.user.copy(), synthetic.train.item.copy()
    method(synthetic.train, **FAST[method])
    assert np.array_equal(user, synthetic.train.user)
    assert np.array_equal(item, synthetic.train.item)


BAD = [
    ("num_factors", 0, "must be at least 1, not 0"),
    ("num_factors", 8.0, "must be an integer, not 8.0"),
    ("l2", -0.1, "must be at least 0, not -0.1"),
    ("l2", float("inf"), "must be a number, not inf"),
    ("seed", -1, "must be at least 0, not -1"),
    ("seed", None, "must be an integer, not None"),
]


@each_method
@pytest.mark.parametrize("name, value, message", BAD)
def test_bad_arguments_are_named(train, method, name, value, message):
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        method(train, **{name: value})


@pytest.mark.parametrize(
    "method, name, value, message",
    [
        (mf, "num_negatives", 0, "must be at least 1, not 0"),
        (mf, "learning_rate", 0, "must be above 0, not 0"),
        (mf, "epochs", True, "must be an integer, not True"),
        (mf, "init_std", 0, "must be above 0, not 0"),
        (mf, "negatives", "all", "must be one of any, missing, not 'all'"),
        (mf, "loss", "squared", "must be one of log, bpr, not 'squared'"),
        (als, "weight", 0, "must be above 0, not 0"),
        (als, "iterations", 0, "must be at least 1, not 0"),
        (als, "num_threads", 0, "must be at least 1, not 0"),
        (bpr, "learning_rate", "fast", "must be a number, not 'fast'"),
        (bpr, "iterations", 1.5, "must be an integer, not 1.5"),
        (bpr, "num_threads", -1, "must be at least 1, not -1"),
    ],
)
def test_bad_arguments_of_one_method_are_named(train, method, name, value, message):
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        method(train, **{name: value})


@each_method
def test_bad_training_data_is_named(synthetic, method):
    with pytest.raises(ValueError, match=r"^train must be Interactions .*, not Dataset"):
        method(synthetic)
    with pytest.raises(ValueError, match="^train holds no interactions"):
        method(Interactions.from_pairs([], [], 2, 3))


@pytest.mark.parametrize(
    "method, module", [(mf, "numba"), (als, "implicit.cpu.als"), (bpr, "implicit.cpu.bpr")]
)
def test_a_missing_library_is_named(train, monkeypatch, method, module):
    monkeypatch.setitem(sys.modules, module, None)
    matrix_factorisation._compiled.cache_clear()
    with pytest.raises(
        ModuleNotFoundError, match=rf"{module.split('.')[0]}.*ncf-utils\[baselines\]"
    ):
        method(train)
