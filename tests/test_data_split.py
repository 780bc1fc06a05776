"""Leave-one-out and candidates, against loops written from their definitions."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_utils.data import (
    DataError,
    Dataset,
    HeldOut,
    Interactions,
    _split,
    load_dataset,
)
from ncf_utils.readers import Raw
from ncf_utils.split import draw_candidates, leave_one_out, time_order

NUM_USERS, NUM_ITEMS = 6, 14


@st.composite
def histories(draw):
    """User, item and time of different pairs; many at equal times."""
    pairs = st.tuples(st.integers(0, NUM_USERS - 1), st.integers(0, NUM_ITEMS - 1))
    unique = draw(st.lists(pairs, unique=True, min_size=12, max_size=40))
    times = draw(st.lists(st.integers(0, 4), min_size=len(unique), max_size=len(unique)))
    user, item = np.array(unique).T
    return user, item, np.array(times)


def split(user, item, time, **options):
    order = time_order(user, time)
    raw = Raw(user[order].astype(np.int32), item[order].astype(np.int32), NUM_USERS, NUM_ITEMS)
    settings = {"num_candidates": 1, "validation": "random", "seed": 0, "min_interactions": 3}
    return _split("drawn", raw, None, **(settings | options))


def latest_by_hand(user, time):
    """The definition: each user's interaction of the latest time, the furthest down of equals."""
    held_out = {}
    for at, (u, t) in enumerate(zip(user.tolist(), time.tolist(), strict=True)):
        if u not in held_out or t >= time[held_out[u]]:
            held_out[u] = at
    return held_out


@given(histories(), st.integers(2, 5))
def test_leave_one_out(history, min_interactions):
    user, _, time = history
    counts = Counter(user.tolist())
    expected = {
        u: at for u, at in latest_by_hand(user, time).items() if counts[u] >= min_interactions
    }
    found = leave_one_out(user, time, min_interactions)
    assert found.tolist() == [expected[u] for u in sorted(expected)]


def test_leave_one_out_without_times():
    assert leave_one_out([4, 4, 4, 1, 1, 4]).tolist() == [5]
    with pytest.raises(DataError, match="min_interactions: expected 2 or more, found 1"):
        leave_one_out([0, 0], min_interactions=1)


@given(
    histories(), st.integers(2, 4), st.sampled_from(["random", "last", None]), st.integers(0, 99)
)
@settings(max_examples=200, deadline=None)
def test_split(history, min_interactions, validation, seed):
    user, item, time = history
    counts = Counter(user.tolist())
    if max(counts.values()) < min_interactions or max(counts.values()) > NUM_ITEMS - 1:
        return
    data = split(
        user, item, time, min_interactions=min_interactions, validation=validation, seed=seed
    )
    pairs = set(zip(user.tolist(), item.tolist(), strict=True))
    latest = latest_by_hand(user, time)
    evaluated = sorted(u for u in counts if counts[u] >= min_interactions)

    # The test item is the latest, of all users with enough interactions, and never in training.
    assert data.test.user.tolist() == evaluated
    assert data.test.item.tolist() == [item[latest[u]] for u in evaluated]
    train = list(zip(data.train.user.tolist(), data.train.item.tolist(), strict=True))
    held_out = [
        list(zip(h.user.tolist(), h.item.tolist(), strict=True))
        for h in (data.test, data.validation)
        if h is not None
    ]
    assert sorted(train + sum(held_out, [])) == sorted(pairs)  # nothing lost, nothing twice

    # Training is by user, and in time within each user.
    when = {
        pair: (t, at)
        for at, (pair, t) in enumerate(zip(zip(user, item, strict=True), time, strict=True))
    }
    assert train == sorted(train, key=lambda pair: (pair[0], when[pair]))

    enough = [u for u in evaluated if counts[u] >= 3]
    if validation is None or not enough:
        assert data.validation is None
        assert len(data.notes) == (len(evaluated) < NUM_USERS) + (validation is not None)
    else:
        assert data.validation.user.tolist() == enough
    if validation == "last" and enough:
        for u, i in held_out[1]:
            assert when[u, i] == sorted(when[p] for p in pairs if p[0] == u)[-2]

    # With validation back in its place, training is all but the test items, in the same order.
    refit = data.with_validation_in_train()
    assert refit.validation is None
    expected = sorted(pairs - set(held_out[0]), key=lambda pair: (pair[0], when[pair]))
    assert list(zip(refit.train.user.tolist(), refit.train.item.tolist(), strict=True)) == expected
    assert np.array_equal(
        refit.train.user_counts(), np.bincount(refit.train.user, minlength=NUM_USERS)
    )


@pytest.mark.parametrize("validation", ["random", "last"])
def test_where_nobody_keeps_two_interactions_there_is_no_validation(validation):
    """An empty one would be evaluated, and there is nothing to average."""
    user, item = np.repeat(np.arange(NUM_USERS), 2), np.tile([3, 8], NUM_USERS)
    data = split(user, item, None, min_interactions=2, validation=validation)
    assert data.validation is None and len(data.test) == len(data.train) == NUM_USERS
    assert data.notes == ("no validation items: no evaluated user has two training interactions",)
    assert split(user, item, None, min_interactions=2, validation=None).notes == ()
    # One user with three is enough.
    data = split(np.append(user, 4), np.append(item, 5), None, min_interactions=2)
    assert data.validation.user.tolist() == [4] and data.notes == ()


@given(histories(), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_candidates_of_a_split(history, num_candidates, seed):
    user, item, time = history
    own = {u: set(item[user == u].tolist()) for u in range(NUM_USERS)}
    most = max(map(len, own.values()))
    if most < 3 or num_candidates > NUM_ITEMS - most:
        return
    data = split(user, item, time, num_candidates=num_candidates, seed=seed)
    for held_out, hidden in (
        (data.test, {}),
        (data.validation, dict(zip(data.test.user.tolist(), data.test.item.tolist(), strict=True))),
    ):
        assert held_out.negatives.shape == (len(held_out), num_candidates)
        for u, row in zip(held_out.user.tolist(), held_out.negatives.tolist(), strict=True):
            assert len(set(row)) == num_candidates
            assert all(0 <= i < NUM_ITEMS for i in row)
            # Validation must not know the test item: that one may be a candidate.
            assert not (own[u] - {hidden.get(u)}) & set(row)


def test_the_test_item_is_a_validation_candidate_at_times():
    """Were it never one, the candidates would give it away."""
    data = load_dataset(
        "synthetic", num_users=200, num_items=60, num_interactions=1000, num_candidates=30
    )
    held = dict(zip(data.test.user.tolist(), data.test.item.tolist(), strict=True))
    hits = sum(
        held[u] in row
        for u, row in zip(data.validation.user.tolist(), data.validation.negatives, strict=True)
    )
    # 30 of some 55 untouched items are drawn: about 110 of 200 rows, give or take 7.
    assert 80 < hits < 140


def test_candidates_are_uniform():
    """Each untouched item is drawn as often as any other, in every column."""
    rows = 30_000
    user = np.repeat(np.arange(rows), 3)
    item = np.tile([0, 4, 7], rows)
    drawn = draw_candidates(user, item, np.arange(rows), num_items=10, num_candidates=4, seed=5)
    untouched = [1, 2, 3, 5, 6, 8, 9]
    for column in drawn.T:
        counts = np.bincount(column, minlength=10)
        assert counts[[0, 4, 7]].sum() == 0
        # Expected 4285.7 each; the standard deviation is 61, so five of them are 303.
        assert np.abs(counts[untouched] - rows / 7).max() < 303
    # And each of the 35 sets of four as often as any other: 857 each, standard deviation 29.
    sets = Counter(tuple(sorted(row)) for row in drawn.tolist())
    assert len(sets) == 35
    assert max(abs(n - rows / 35) for n in sets.values()) < 5 * 29


def test_a_user_who_has_almost_everything():
    item = np.arange(997)
    drawn = draw_candidates(np.zeros(997, int), item, [0], num_items=1000, num_candidates=3)
    assert sorted(drawn[0].tolist()) == [997, 998, 999]


def test_candidates_of_users_without_interactions_and_of_none():
    assert sorted(draw_candidates([], [], [3], 4, 4)[0].tolist()) == [0, 1, 2, 3]
    assert draw_candidates([0], [0], [], 4, 2).shape == (0, 2)


def test_repeated_pairs_count_once():
    assert sorted(draw_candidates([0, 0, 0], [1, 1, 2], [0], 5, 3)[0].tolist()) == [0, 3, 4]


def test_too_few_candidates_names_the_user():
    with pytest.raises(
        DataError, match="num_candidates=4: user 8 has touched all but 3 of 5 items"
    ):
        draw_candidates([2, 8, 8], [0, 1, 2], [2, 8], num_items=5, num_candidates=4)
    with pytest.raises(DataError, match="num_candidates: expected a whole number from 1, found 0"):
        draw_candidates([0], [0], [0], num_items=5, num_candidates=0)


@pytest.mark.parametrize(
    "user, item, users, more, message",
    [
        ([0], [7], [0], {}, "item: expected 0 <= item < 5, found 7"),
        ([0], [-1], [0], {}, "item: expected 0 <= item < 5, found -1"),
        ([0], [0], [0, 0], {}, "users: expected indices from 0, each once"),
        ([0], [0], [-1], {}, "users: expected indices from 0, each once"),
        ([-1], [0], [0], {}, "users: expected indices from 0, each once"),
        ([0], [0], [0], {"num_candidates": 1.5}, "num_candidates: expected a whole number from 1"),
        ([0], [0], [0], {"num_candidates": True}, "num_candidates: expected a whole number"),
        ([0], [0], [0], {"num_candidates": 0}, "num_candidates: expected a whole number from 1"),
        ([0, 0], [0, 0], [0], {"num_candidates": 5}, "has touched all but 4 of 5 items"),
    ],
)
def test_candidates_of_what_cannot_be(user, item, users, more, message):
    with pytest.raises(DataError, match=message):
        draw_candidates(user, item, users, 5, **{"num_candidates": 2} | more)


@pytest.mark.parametrize(
    "user, time, expected",
    [
        ([], [], []),
        ([7], [1], []),
        ([7, 7], [1, 1], [1]),
        ([7, 7], [np.inf, -np.inf], [0]),
        ([7, 3, 7], None, [2]),
    ],
)
def test_leave_one_out_of_very_little(user, time, expected):
    assert leave_one_out(user, time, min_interactions=2).tolist() == expected


@pytest.mark.parametrize(
    "time, message",
    [
        ([1.0, np.nan], r"time\[1\]: expected a number, found nan"),
        ([1], r"time \(1,\) and user \(2,\): expected equal 1-D shapes"),
        (5, "expected equal 1-D shapes"),
    ],
)
def test_each_interaction_needs_a_time(time, message):
    """NaN would come last in the order, and be held out as the latest."""
    for what in (time_order, leave_one_out):
        with pytest.raises(DataError, match=message):
            what([0, 0], time)
    with pytest.raises(DataError, match=message):
        Interactions.from_pairs([0, 0], [1, 2], num_users=1, num_items=3, time=time)


def test_more_users_than_a_block():
    """Blocks are an economy of memory: each user gets what is theirs."""
    num_users = 5000
    user, item = np.arange(num_users), np.arange(num_users) % 7
    drawn = draw_candidates(user, item, user, num_items=7, num_candidates=6)
    assert np.array_equal(np.sort(drawn), [np.delete(np.arange(7), i) for i in item])


# --- Interactions and HeldOut --------------------------------------------------------------------


def test_from_pairs_is_stable():
    pairs = Interactions.from_pairs([1, 0, 1, 1, 0], [4, 3, 2, 1, 0], 3, 5, time=[2, 1, 2, 1, 1])
    assert pairs.user.tolist() == [0, 0, 1, 1, 1]
    assert pairs.item.tolist() == [3, 0, 1, 4, 2]
    assert pairs.indptr.tolist() == [0, 2, 5, 5]
    assert pairs.items_of(2).tolist() == []
    assert pairs.user_counts().tolist() == [2, 3, 0]
    assert pairs.item_counts().tolist() == [1, 1, 1, 1, 1]
    assert pairs.user.dtype == pairs.item.dtype == np.int32
    assert pairs.indptr.dtype == pairs.item_counts().dtype == np.int64
    untimed = Interactions.from_pairs([1, 0, 1], [2, 1, 0], 2, 3)
    assert untimed.item.tolist() == [1, 2, 0]


def test_matrix():
    pairs = Interactions.from_pairs([1, 0, 1], [2, 1, 0], 2, 3)
    matrix = pairs.to_csr()
    assert matrix.dtype == np.float32
    assert matrix.toarray().tolist() == [[0, 1, 0], [1, 0, 1]]
    assert matrix.has_sorted_indices
    assert pairs.item.tolist() == [1, 2, 0]  # sorting the matrix left the order in time alone


def test_arrays_are_read_only():
    user = np.array([0, 1], np.int32)
    pairs = Interactions.from_pairs(user, [0, 1], 2, 2)
    held_out = HeldOut(user, user, np.ones((2, 3), np.int32))
    for array in (pairs.user, pairs.item, pairs.indptr, pairs.items_of(0), held_out.negatives):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0
    user[0] = 1  # the caller's own array is left as it was


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [
        ([0, 2], [0, 0], r"user\[1\]: expected 0 <= user < 2, found 2"),
        ([0, -1], [0, 0], r"user\[1\]: expected 0 <= user < 2, found -1"),
        ([0, 1], [3, 0], r"item\[0\]: expected 0 <= item < 3, found 3"),
        ([0, 1], [0.0, 1.5], r"item: expected integers, found float64"),
        ([0, 1], [0], r"user \(2,\) and item \(1,\): expected equal 1-D shapes"),
        ([1, 0, 1], [2, 0, 2], r"user 1, item 2: expected each pair once, found it twice"),
    ],
)
def test_bad_pairs(user, item, message):
    with pytest.raises(DataError, match=message):
        Interactions.from_pairs(user, item, 2, 3)


@pytest.mark.parametrize("user", [-1, 2])
def test_items_of_nobody(user):
    with pytest.raises(IndexError, match="expected 0 <= user < 2"):
        Interactions.from_pairs([0], [0], 2, 2).items_of(user)


def test_validation_without_positions_goes_to_the_end():
    train = Interactions.from_pairs([0, 0, 1], [1, 2, 3], 2, 5)
    held_out = HeldOut([0, 1], [4, 0], [[0], [1]])
    data = Dataset("own", 2, 5, train, held_out, HeldOut([0], [3], [[0]]))
    assert data.with_validation_in_train().train.item.tolist() == [1, 2, 4, 3, 0]


def test_no_pairs_are_pairs():
    empty = Interactions.from_pairs([], [], num_users=2, num_items=3)
    assert len(empty) == 0 and empty.indptr.tolist() == [0, 0, 0]
    assert empty.item_counts().tolist() == [0, 0, 0]
