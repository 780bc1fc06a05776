"""Negative sampling: what may be drawn, how often, and that every epoch is a fresh one."""

import tracemalloc
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import ncf_utils.sampler
from ncf_utils.data import Interactions
from ncf_utils.sampler import NegativeSampler, _SeenItems

SEEN = [{0, 1, 2, 3, 8}, {4}, {0, 1, 2, 4, 5, 6, 7, 8}, {2, 8}, set()]  # the last user is new
NUM_ITEMS = 9
# Membership by one bitmap, by blocks of two users, or by binary search.
PATHS = {"bitmap": (2**22, 2**20, 16), "blocks": (0, 2 * NUM_ITEMS, 10**9), "search": (0, 1, -1)}


def interactions(seen, num_items):
    pairs = [(user, item) for user, items in enumerate(seen) for item in sorted(items)]
    user, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Interactions.from_pairs(user, item, len(seen), num_items)


@pytest.fixture
def train():
    return interactions(SEEN, NUM_ITEMS)


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Look pairs up in each of the ways that the sampler has, for small and for large data."""
    choose(monkeypatch, request.param)
    return request.param


def choose(monkeypatch, path):
    names = ("BITMAP_BYTES", "BLOCK_BYTES", "SET_A_LOOK_UP")
    for name, value in zip(names, PATHS[path], strict=True):
        monkeypatch.setattr(_SeenItems, name, value)


def slow_complement(seen, num_items):
    """Each user's missing items, by the definition."""
    return [[item for item in range(num_items) if item not in items] for items in seen]


def p_value(drawn, expected_share):
    """Of a chi-square test that `drawn` items follow `expected_share`; other items forbid it."""
    share = np.asarray(expected_share, float)
    counts = np.bincount(drawn, minlength=len(share))
    assert counts[share == 0].sum() == 0
    possible = share > 0
    if possible.sum() == 1:  # nothing left to chance
        return 1.0
    return chisquare(counts[possible], share[possible] / share.sum() * len(drawn)).pvalue


# --- what an epoch holds -------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
@pytest.mark.parametrize("num_negatives", [1, 4])
def test_epoch_against_a_slow_loop(train, path, strategy, num_negatives):
    user, item, label = NegativeSampler(train, num_negatives, strategy, seed=1).epoch()
    assert (user.dtype, item.dtype, label.dtype) == (np.int32, np.int32, np.float32)
    assert user.shape == item.shape == label.shape == (len(train) * (1 + num_negatives),)

    instances = list(zip(user.tolist(), item.tolist(), label.tolist(), strict=True))
    positives = Counter((u, i) for u, i, one in instances if one == 1.0)
    assert positives == Counter((u, i) for u, items in enumerate(SEEN) for i in items)
    negatives = [(u, i) for u, i, one in instances if one == 0.0]
    assert len(positives) + len(negatives) == len(instances)
    for u, items in enumerate(SEEN):
        mine = [i for who, i in negatives if who == u]
        assert len(mine) == num_negatives * len(items)
        assert set(mine) <= set(range(NUM_ITEMS)) - items


@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
def test_epoch_groups_keep_a_positive_beside_its_negatives(train, path, strategy):
    user, item = NegativeSampler(train, 3, strategy, seed=1).epoch_groups()
    assert (user.dtype, item.dtype) == (np.int32, np.int32)
    assert user.shape == (len(train), 1) and item.shape == (len(train), 4)
    positives = Counter(zip(user[:, 0].tolist(), item[:, 0].tolist(), strict=True))
    assert positives == Counter((u, i) for u, items in enumerate(SEEN) for i in items)
    for u, row in zip(user[:, 0], item, strict=True):
        assert not set(row[1:].tolist()) & SEEN[u]


def test_epoch_and_epoch_groups_hold_the_same_kind_of_instances(train):
    user, item, label = NegativeSampler(train, 5, seed=0).epoch()
    group_user, group_item = NegativeSampler(train, 5, seed=0).epoch_groups()
    flat_user = np.broadcast_to(group_user, group_item.shape)
    assert np.array_equal(np.sort(user[label == 1]), np.sort(group_user[:, 0]))
    assert np.array_equal(np.sort(item[label == 1]), np.sort(group_item[:, 0]))
    assert np.array_equal(np.sort(user[label == 0]), np.sort(flat_user[:, 1:].ravel()))


def test_the_test_item_may_be_a_negative(path):
    # User 0 trains on item 0; item 1 is their held-out test item, and nothing hides it.
    train = interactions([{0}, {1}], 3)
    item = NegativeSampler(train, 1, seed=0).sample(np.zeros(200, int))
    assert set(item.tolist()) == {1, 2}


def test_all_strategy_lists_every_pair_once(train):
    user, item, label = NegativeSampler(train, strategy="all", seed=0).epoch()
    assert (user.dtype, item.dtype, label.dtype) == (np.int32, np.int32, np.float32)
    found = {(u, i): one for u, i, one in zip(user.tolist(), item.tolist(), label, strict=True)}
    assert len(user) == len(found) == len(SEEN) * NUM_ITEMS
    assert found == {
        (u, i): float(i in items) for u, items in enumerate(SEEN) for i in range(NUM_ITEMS)
    }


def test_all_strategy_takes_a_user_who_has_everything():
    train = interactions([{0, 1, 2}, {1}], 3)
    sampler = NegativeSampler(train, strategy="all")
    label = sampler.epoch()[2]
    assert label.sum() == 4 and len(label) == 6
    assert set(sampler.sample([1, 1, 1, 1]).tolist()) <= {0, 2}
    with pytest.raises(ValueError, match="user 0 has interacted with all 3 items"):
        sampler.sample([[1, 0]])


@pytest.mark.parametrize("shape", [(0,), (7,), (3, 4), (2, 1, 5), ()])
@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
def test_sample_keeps_the_shape(train, path, strategy, shape):
    user = np.random.default_rng(0).integers(4, size=shape)
    item = NegativeSampler(train, 4, strategy).sample(user)
    assert item.dtype == np.int32 and item.shape == shape
    assert all(i not in SEEN[u] for u, i in zip(user.ravel(), item.ravel(), strict=True))


# --- how often -----------------------------------------------------------------------------------


def test_uniform_over_what_a_user_has_not_touched(train, path):
    sampler = NegativeSampler(train, seed=3)
    assert (sampler._seen.bitmap is None) == (path != "bitmap")
    for user, missing in enumerate(slow_complement(SEEN, NUM_ITEMS)):
        share = np.isin(np.arange(NUM_ITEMS), missing)
        assert p_value(sampler.sample(np.full(30_000, user)), share) > 1e-3, user


def test_uniform_whoever_else_is_in_the_batch(train, path):
    user = np.random.default_rng(0).integers(len(SEEN), size=100_000)
    item = NegativeSampler(train, seed=4).sample(user)
    for one, missing in enumerate(slow_complement(SEEN, NUM_ITEMS)):
        share = np.isin(np.arange(NUM_ITEMS), missing)
        assert p_value(item[user == one], share) > 1e-3, one


def test_draws_are_independent_and_with_replacement(train, path):
    # Pairs of neighbouring draws of user 3, who misses 7 items: all 49 pairs are equally likely.
    missing = slow_complement(SEEN, NUM_ITEMS)[3]
    draws = NegativeSampler(train, seed=5).sample(np.full((50_000, 2), 3))
    pair = np.searchsorted(missing, draws) @ [len(missing), 1]
    assert p_value(pair, np.ones(len(missing) ** 2)) > 1e-3


def test_exact_draw_maps_rank_to_the_missing_item_of_that_rank(train):
    class Fixed:
        """A generator whose next numbers are known."""

        def __init__(self, numbers):
            self.numbers = np.asarray(numbers)

        def random(self, size):
            assert size == len(self.numbers)
            return self.numbers

    users, numbers, expected = [], [], []
    for user, missing in enumerate(slow_complement(SEEN, NUM_ITEMS)):
        for rank, item in enumerate(missing):  # both ends of the interval that means `rank`
            low, high = rank / len(missing), np.nextafter((rank + 1) / len(missing), 0)
            low = np.nextafter(low, 1) if int(low * len(missing)) < rank else low
            users += [user, user]
            numbers += [low, high]
            expected += [item, item]
    drawn = _SeenItems(train)._sample_exactly(Fixed(numbers), np.array(users))
    assert drawn.tolist() == expected


def test_popularity_weights_are_counts_to_the_power_three_quarters(path):
    counts = [16, 8, 4, 2, 1, 0]  # item 0 was touched by 16 users, item 5 by nobody
    seen = [{item for item, count in enumerate(counts) if user < count} for user in range(16)]
    train = interactions([*seen, set()], len(counts))
    sampler = NegativeSampler(train, strategy="popularity", seed=6)
    weight = np.array(counts) ** 0.75
    newcomer, third = np.full(30_000, 16), np.full(30_000, 3)  # user 3 touched items 0, 1, 2
    assert p_value(sampler.sample(newcomer), weight) > 1e-3
    assert p_value(sampler.sample(third), [0, 0, 0, *weight[3:]]) > 1e-3
    # The test has the power to tell this weight from its neighbours.
    for wrong in (counts, np.array(counts) ** 0.5, np.sign(counts)):
        assert p_value(sampler.sample(newcomer), wrong) < 1e-6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [5, 9000], ids=["small", "large"])
def test_where_nobody_has_touched_anything_all_are_alike(size):
    sampler = NegativeSampler(interactions([set()] * size, size), strategy="popularity", seed=1)
    drawn = sampler.sample(np.zeros(400, int) + [[3], [1]])
    assert drawn.min() >= 0 and drawn.max() < size and len(np.unique(drawn)) > size // 40
    assert all(len(part) == 0 for part in sampler.epoch())


def test_of_one_item_there_is_one_to_draw():
    sampler = NegativeSampler(interactions([set()], 1), seed=0)
    assert sampler.sample(np.zeros(3, int)).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="user 1 has interacted with all 1 items"):
        NegativeSampler(interactions([set(), {0}], 1))


def test_without_items_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="there are no items to draw negatives from"):
        NegativeSampler(interactions([set()], 0))


def test_popularity_for_a_user_who_misses_only_rare_items(path):
    # 400 users share items 0 to 29. User 0 misses items 30 (16 users) and 31 (1 user): a draw hits
    # those twice in thousands, so that drawing again and again seldom ends.
    crowd = [set(range(30)) for _ in range(400)]
    for user in range(1, 17):
        crowd[user].add(30)
    crowd[1].add(31)
    sampler = NegativeSampler(interactions(crowd, 33), strategy="popularity", seed=7)
    item = sampler.sample(np.zeros(20_000, int))
    assert p_value(item, [0] * 30 + [8, 1, 0]) > 1e-3  # 16 ** 0.75 = 8; nobody touched item 32


def test_popularity_for_a_user_who_misses_only_what_nobody_touched(path):
    sampler = NegativeSampler(interactions([{0, 1}, {0}], 4), strategy="popularity", seed=8)
    assert p_value(sampler.sample(np.zeros(10_000, int)), [0, 0, 1, 1]) > 1e-3


# --- chance --------------------------------------------------------------------------------------


def epochs_of(sampler, method, n=3):
    return [np.column_stack(getattr(sampler, method)()).tolist() for _ in range(n)]


@pytest.mark.parametrize("method", ["epoch", "epoch_groups"])
@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
def test_same_seed_same_epochs_and_another_seed_others(train, strategy, method):
    first = epochs_of(NegativeSampler(train, 4, strategy, seed=11), method)
    assert first == epochs_of(NegativeSampler(train, 4, strategy, seed=11), method)
    assert first != epochs_of(NegativeSampler(train, 4, strategy, seed=12), method)


def test_four_uniform_negatives_and_seed_zero_unless_told_otherwise(train):
    for one, other in zip(
        NegativeSampler(train).epoch(), NegativeSampler(train, 4, "uniform", 0).epoch(), strict=True
    ):
        assert np.array_equal(one, other)


def test_a_seed_sequence_is_a_seed(train):
    first, second = (np.random.SeedSequence(5, spawn_key=(i,)) for i in (0, 1))
    expected = epochs_of(NegativeSampler(train, seed=first), "epoch")
    again = np.random.SeedSequence(5, spawn_key=(0,))
    assert epochs_of(NegativeSampler(train, seed=again), "epoch") == expected
    assert epochs_of(NegativeSampler(train, seed=second), "epoch") != expected


@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
def test_every_epoch_draws_fresh_negatives(train, path, strategy):
    sampler = NegativeSampler(train, 4, strategy, seed=0)
    epochs = []
    for _ in range(2):
        user, item = sampler.epoch_groups()
        order = np.lexsort((item[:, 0], user[:, 0]))
        epochs.append(item[order])
    assert np.array_equal(epochs[0][:, 0], epochs[1][:, 0])  # the same positives
    assert (epochs[0][:, 1:] != epochs[1][:, 1:]).mean() > 0.2  # other negatives


@pytest.mark.parametrize("method", ["epoch", "epoch_groups"])
def test_every_place_of_an_epoch_is_as_likely(method):
    train = interactions([{0}, {1}, {2}], 5)
    sampler, places = NegativeSampler(train, 1, seed=9), []
    for _ in range(3000):
        user, item = getattr(sampler, method)()[:2]
        positive = (user.ravel() == 0) & (item.reshape(len(user), -1)[:, 0] == 0)
        places.append(int(np.flatnonzero(positive)[0]))
    assert p_value(np.array(places), np.ones(len(user))) > 1e-3


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_groups_made_in_pieces_come_in_every_order_as_often(monkeypatch, piece):
    monkeypatch.setattr(ncf_utils.sampler, "AT_ONCE", 0)
    monkeypatch.setattr(ncf_utils.sampler, "PIECE", piece)
    train = interactions([{0}, {1, 2}, {3}], 6)
    sampler, orders = NegativeSampler(train, 1, seed=2), []
    every = {order: place for place, order in enumerate(permutations(range(4)))}
    for _ in range(6000):
        orders.append(every[tuple(sampler.epoch_groups()[1][:, 0].tolist())])
    assert p_value(np.array(orders), np.ones(24)) > 1e-3


@pytest.mark.parametrize("room", [0, 1, 1000])
def test_groups_that_fit_are_shuffled_at_once(monkeypatch, train, room):
    """By one permutation, drawn before the negatives: what a seed gives is not to change."""
    order = np.random.default_rng(3).permutation(len(train))
    monkeypatch.setattr(ncf_utils.sampler, "AT_ONCE", len(train) + room)
    user, item = NegativeSampler(train, 2, seed=3).epoch_groups()
    assert np.array_equal(user[:, 0], train.user[order])
    assert np.array_equal(item[:, 0], train.item[order])


def test_groups_that_do_not_fit_are_made_in_pieces(monkeypatch, train):
    at_once = NegativeSampler(train, 2, seed=3).epoch_groups()[1]
    monkeypatch.setattr(ncf_utils.sampler, "AT_ONCE", len(train) - 1)
    assert not np.array_equal(NegativeSampler(train, 2, seed=3).epoch_groups()[1], at_once)


def test_groups_made_in_pieces_are_whole(monkeypatch):
    monkeypatch.setattr(ncf_utils.sampler, "AT_ONCE", 0)
    monkeypatch.setattr(ncf_utils.sampler, "PIECE", 50)
    rng = np.random.default_rng(0)
    seen = [set(rng.choice(40, rng.integers(1, 20), replace=False).tolist()) for _ in range(60)]
    sampler = NegativeSampler(interactions(seen, 40), 4, seed=0)
    epochs = [sampler.epoch_groups() for _ in range(2)]
    for user, item in epochs:
        assert (user.dtype, item.dtype) == (np.int32, np.int32)
        assert user.shape == (len(item), 1) and item.shape[1] == 5
        positives = Counter(zip(user[:, 0].tolist(), item[:, 0].tolist(), strict=True))
        assert positives == Counter((u, i) for u, items in enumerate(seen) for i in items)
        for u, row in zip(user[:, 0], item, strict=True):
            assert not set(row[1:].tolist()) & seen[u]
    assert not np.array_equal(epochs[0][1], epochs[1][1])


def test_every_way_of_looking_up_gives_the_same_epochs(train):
    drawn = []
    for path in PATHS:
        with pytest.MonkeyPatch.context() as patch:
            choose(patch, path)
            sampler = NegativeSampler(train, 3, seed=5)
            drawn.append([np.column_stack(sampler.epoch_groups()) for _ in range(50)])
    for other in drawn[1:]:
        assert np.array_equal(drawn[0], other)


def test_all_strategy_is_shuffled(train):
    sampler = NegativeSampler(train, strategy="all", seed=0)
    first, second = (np.column_stack(sampler.epoch()) for _ in range(2))
    assert not np.array_equal(first, second)
    assert sorted(first.tolist()) == sorted(second.tolist())


# --- sizes ---------------------------------------------------------------------------------------


def test_memory_is_linear_in_the_interactions():
    # 5e9 possible pairs would take a bitmap of 625 MB; 2,000 interactions take a few.
    num_users, num_items, n = 100_000, 50_000, 2_000
    rng = np.random.default_rng(0)
    user = rng.choice(num_users, n, replace=False)
    train = Interactions.from_pairs(user, rng.integers(num_items, size=n), num_users, num_items)
    tracemalloc.start()
    NegativeSampler(train, 4).epoch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_bitmap_stays_within_its_limit(monkeypatch):
    train = interactions([{0}] * 10, 100)  # 1,000 pairs: 125 bytes
    monkeypatch.setattr(_SeenItems, "BITMAP_BYTES", 125)
    assert _SeenItems(train).bitmap is not None
    monkeypatch.setattr(_SeenItems, "BITMAP_BYTES", 124)
    assert _SeenItems(train).bitmap is None


def test_item_indices_up_to_the_largest_int32():
    largest = 2**31 - 2
    train = Interactions.from_pairs([0, 1, 2], [largest, 0, 5], 3, largest + 1)
    user, item, label = NegativeSampler(train, 2, seed=0).epoch()
    assert item.min() >= 0 and item[label == 0].max() > 2**29
    positives = zip(user[label == 1].tolist(), item[label == 1].tolist(), strict=True)
    assert set(positives) == {(0, largest), (1, 0), (2, 5)}


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["uniform", "popularity"])
def test_a_user_who_has_everything_is_named(path, strategy):
    train = interactions([{0}, {2}, {0, 1, 2}, {1}], 3)
    with pytest.raises(ValueError, match="user 2 has interacted with all 3 items"):
        NegativeSampler(train, strategy=strategy)


@pytest.mark.parametrize("num_negatives", [0, -1, 1.5, 4.0, True, "4", None, [4]])
def test_bad_num_negatives_is_named(train, num_negatives):
    with pytest.raises(ValueError, match="num_negatives must be"):
        NegativeSampler(train, num_negatives)


@pytest.mark.parametrize("strategy", ["Uniform", "", None, 3])
def test_bad_strategy_is_named(train, strategy):
    with pytest.raises(ValueError, match="strategy must be one of uniform, popularity, all"):
        NegativeSampler(train, strategy=strategy)


@pytest.mark.parametrize("strategy", ["uniform", "popularity", "all"])
@pytest.mark.parametrize("user", [-1, 5, 2**40])
def test_a_user_who_is_none_is_named(train, path, strategy, user):
    """User -1 is no way to say the last one."""
    sampler = NegativeSampler(train, strategy=strategy)
    for users in (user, [0, user], [[1, user, 3]]):
        with pytest.raises(IndexError, match=f"user: expected 0 <= user < 5, found {user}$"):
            sampler.sample(users)


@pytest.mark.parametrize("strategy", ["uniform", "popularity", "all"])
@pytest.mark.parametrize(
    ("user", "kind"), [([0.0, 1.0], "float64"), ([True], "bool"), (["0"], "<U1"), (None, "object")]
)
def test_users_who_are_no_integers_are_named(train, strategy, user, kind):
    with pytest.raises(ValueError, match=f"user must be integers, not {kind}"):
        NegativeSampler(train, strategy=strategy).sample(user)


@pytest.mark.parametrize("strategy", ["uniform", "popularity", "all"])
def test_of_no_users_there_are_no_negatives(train, strategy):
    item = NegativeSampler(train, strategy=strategy).sample([])
    assert item.dtype == np.int32 and item.shape == (0,)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64])
def test_any_integers_name_users(path, dtype):
    """User 127 is the last that int8 can hold: the one after them would be no user."""
    train = interactions([{0}] * 200, 3)
    user = np.full(500, 127, np.int32)
    drawn = NegativeSampler(train, seed=1).sample(user.astype(dtype))
    assert np.array_equal(drawn, NegativeSampler(train, seed=1).sample(user))
    assert 0 not in drawn


def test_all_strategy_has_no_groups(train):
    with pytest.raises(ValueError, match="no groups"):
        NegativeSampler(train, strategy="all").epoch_groups()


def test_numpy_integers_are_integers(train):
    assert len(NegativeSampler(train, np.int64(2)).epoch()[0]) == 3 * len(train)


# --- properties ----------------------------------------------------------------------------------


@st.composite
def histories(draw):
    """(each user's items, num_items): nobody has everything, somebody has something."""
    num_items = draw(st.integers(2, 30))
    items = st.sets(st.integers(0, num_items - 1), max_size=num_items - 1)
    seen = draw(st.lists(items, min_size=1, max_size=6))
    seen[0] = seen[0] or {num_items - 1}
    return seen, num_items


@settings(max_examples=60, deadline=None)
@given(
    histories(),
    st.integers(1, 5),
    st.sampled_from(["uniform", "popularity"]),
    st.sampled_from(list(PATHS)),
)
def test_no_history_breaks_an_epoch(history, num_negatives, strategy, path):
    seen, num_items = history
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, path)
        sampler = NegativeSampler(interactions(seen, num_items), num_negatives, strategy)
        user, item, label = sampler.epoch()
    n = sum(map(len, seen))
    assert len(label) == n * (1 + num_negatives) and label.sum() == n
    touched = np.array([i in seen[u] for u, i in zip(user, item, strict=True)])
    assert np.array_equal(touched, label == 1)
    assert ((item >= 0) & (item < num_items)).all()
    counts = np.bincount(user, minlength=len(seen))
    assert counts.tolist() == [len(items) * (1 + num_negatives) for items in seen]


@settings(max_examples=60, deadline=None)
@given(histories(), st.sampled_from(list(PATHS)))
def test_membership_by_the_definition(history, path):
    seen, num_items = history
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, path)
        index = _SeenItems(interactions(seen, num_items))
    user, item = (x.ravel() for x in np.indices((len(seen), num_items)))
    expected = [i in seen[u] for u, i in zip(user, item, strict=True)]
    assert index.contains(user, item).tolist() == expected
