"""Leave-one-out and candidates: how a history of interactions becomes an evaluation.

Notebook 01 builds leave-one-out by hand, notebook 05 the candidates.
"""

import numpy as np

from ncf_utils.errors import DataError

BLOCK = 4096  # users handled at once, so that memory does not grow with users x candidates


def time_order(user, time=None) -> np.ndarray:
    """Return the order that sorts interactions by user, then time, then position in the file.

    Args:
        user: int (n,), the user of each interaction.
        time: number (n,) or None; None leaves each user's interactions in the order given.

    Returns:
        int64 (n,), positions to index the interactions with.

    Raises:
        DataError: a time is NaN, or there is not one for each interaction.

    >>> time_order([1, 0, 1, 1], [5, 9, 3, 5]).tolist()
    [1, 2, 0, 3]
    """
    user = np.asarray(user)
    if time is None:
        return np.argsort(user, kind="stable")
    _check_time(user, time)
    return np.lexsort((np.asarray(time), user))  # stable: equal times keep the order of the file


def _check_time(user, time):
    time = np.asarray(time)
    if time.shape != user.shape:
        raise DataError(f"time {time.shape} and user {user.shape}: expected equal 1-D shapes")
    if len(missing := np.flatnonzero(time != time)):  # NaN differs from itself, and sorts last
        raise DataError(f"time[{missing[0]}]: expected a number, found {time[missing[0]]}")


def leave_one_out(user, time=None, min_interactions=3) -> np.ndarray:
    """Find each user's latest interaction, the one that leave-one-out holds out for the test.

    Of two interactions at the same time, the one further down the file counts as later. Users with
    fewer than `min_interactions` interactions have nothing held out.

    Args:
        user: int (n,), the user of each interaction, in the order of the file.
        time: number (n,), or None where the order of the file is the order in time.
        min_interactions: int >= 2; at 2, a user keeps one interaction to train on.

    Returns:
        int64 (E,), positions of the held-out interactions, by user.

    Raises:
        DataError: `min_interactions` is below 2, a time is NaN, or there is not one for each user.

    Source: He et al., Neural Collaborative Filtering, WWW 2017, section 4.1.

    >>> leave_one_out([0, 0, 0, 1, 1, 1], [3, 9, 9, 7, 2, 1]).tolist()
    [2, 3]
    """
    if min_interactions < 2:
        raise DataError(f"min_interactions: expected 2 or more, found {min_interactions}")
    user = np.asarray(user)
    order = time_order(user, time)
    _, first, count = np.unique(user[order], return_index=True, return_counts=True)
    enough = count >= min_interactions
    return order[(first + count - 1)[enough]]


def draw_candidates(user, item, users, num_items, num_candidates=99, seed=0) -> np.ndarray:
    """Draw items that a user has not touched, uniformly and without replacement.

    Every untouched item is as likely as any other, whatever the user's share of the catalogue: no
    draw is rejected, so a user who has almost everything takes no longer than others.

    Args:
        user: int (n,), with `item` the pairs that must not be drawn, in any order.
        item: int (n,), 0 <= item < num_items.
        users: int (E,), whom to draw for, each once.
        num_items: int, size of the catalogue.
        num_candidates: int >= 1, candidates a user.
        seed: int, sequence of ints, or numpy Generator.

    Returns:
        int32 (E, num_candidates), all different within a row, none touched by the row's user.

    Raises:
        DataError: a user has fewer than `num_candidates` untouched items (it names the user), an
            item is out of range, or one of `users` comes twice.

    >>> draw_candidates([0, 0, 1], [0, 2, 3], users=[0, 1], num_items=4, num_candidates=2).shape
    (2, 2)
    >>> sorted(draw_candidates([7, 7], [0, 2], [7], num_items=4, num_candidates=2)[0].tolist())
    [1, 3]
    """
    users = np.asarray(users)
    whole = isinstance(num_candidates, (int, np.integer)) and not isinstance(num_candidates, bool)
    if not whole or num_candidates < 1:
        raise DataError(f"num_candidates: expected a whole number from 1, found {num_candidates!r}")
    if len(users) == 0:
        return np.empty((0, num_candidates), np.int32)
    if len(user) == 0:
        user = item = np.empty(0, np.int64)
    user, item = np.asarray(user), np.asarray(item)
    if len(item) and not 0 <= item.min() <= item.max() < num_items:
        wrong = item[(item < 0) | (item >= num_items)][0]
        raise DataError(f"item: expected 0 <= item < {num_items}, found {wrong}")
    if min(users.min(), user.min(initial=0)) < 0 or len(np.unique(users)) < len(users):
        raise DataError("users: expected indices from 0, each once")
    keys, start = _touched(user, item, users, num_items)
    row = np.repeat(np.arange(len(users)), np.diff(start))
    touched = keys - row * num_items
    # How many untouched items come before each touched one: this never falls along a row.
    before = touched - (np.arange(len(keys)) - start[row])
    steps = row * (num_items + 1) + before

    untouched = num_items - np.diff(start)
    short = np.flatnonzero(untouched < num_candidates)
    if len(short):
        raise DataError(
            f"num_candidates={num_candidates}: user {users[short[0]]} has touched all but "
            f"{untouched[short[0]]} of {num_items} items; ask for fewer candidates"
        )

    rng = np.random.default_rng(seed)
    out = np.empty((len(users), num_candidates), np.int32)
    for low in range(0, len(users), BLOCK):
        rows = np.arange(low, min(low + BLOCK, len(users)))
        place = _distinct(untouched[rows], num_candidates, rng)
        # The r-th untouched item is r plus the touched items that come before it.
        wanted = rows[:, None] * (num_items + 1) + place
        out[rows] = place + np.searchsorted(steps, wanted, side="right") - start[rows, None]
    return out


def _touched(user, item, users, num_items):
    """Return row * num_items + item of the touched pairs, sorted, and where each row starts."""
    row_of = np.full(max(int(user.max(initial=-1)), int(users.max())) + 1, -1, np.int64)
    row_of[users] = np.arange(len(users))
    row = row_of[user]
    keys = row * num_items + item
    keys = keys[row >= 0] if (row < 0).any() else keys
    keys.sort(kind="stable")  # twice as quick as others where pairs come user by user
    keys = keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys
    return keys, np.searchsorted(keys, np.arange(len(users) + 1) * num_items)


def _distinct(sizes, num_draws, rng):
    """Draw `num_draws` different numbers below each size (Floyd's algorithm, all rows at once).

    Source: Bentley and Floyd, Programming pearls: a sample of brilliance, CACM 30(9), 1987.
    """
    chosen = np.empty((num_draws, len(sizes)), np.int32)
    for j in range(num_draws):
        top = sizes - num_draws + j
        draw = rng.integers(0, top + 1, dtype=np.int64)
        taken = (chosen[:j] == draw.astype(np.int32)).any(axis=0)
        chosen[j] = np.where(taken, top, draw)
    # Floyd's sample is a uniform set in an order that is not: shuffle each row.
    return rng.permuted(chosen.T, axis=1)
