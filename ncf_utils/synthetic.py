"""Synthetic interactions whose truth is known: what a model could learn at best.

Each user is a mixture of a few tastes, each taste a distribution over items, so the chance that a
user picks an item is a dot product of `rank` numbers: a matrix factorisation that is true.
"""

from dataclasses import dataclass

import numpy as np

from ncf_utils.errors import DataError, check_whole

ROUNDS = 20  # of drawing again what came twice, before the exact and slower way
BLOCK = 1 << 19  # interactions drawn at once: their memory is the cache's size, not the data's
CHANCE_BITS = 20  # of randomness an interaction when a user's items are shuffled
FEWEST = 3  # interactions of every user: one each for training, validation and test


@dataclass(frozen=True, eq=False)
class Truth:
    """The chances that synthetic interactions were drawn with.

    Args:
        user_factors: float32 (num_users, rank), each user's tastes; rows add up to 1.
        item_factors: float32 (num_items, rank), each taste's items; columns add up to 1.

    >>> truth = synthetic_truth(num_users=5, num_items=7, rank=2)
    >>> chances = truth.user_factors @ truth.item_factors.T
    >>> chances.shape, bool(np.allclose(chances.sum(axis=1), 1))
    ((5, 7), True)
    """

    user_factors: np.ndarray
    item_factors: np.ndarray

    def score(self, user, item) -> np.ndarray:
        """Return the chance that each user picks each item: the best possible scores.

        Args:
            user: int, of any shape.
            item: int, of any shape that broadcasts with that of `user`.

        Returns:
            float32, of the broadcast shape; so `evaluate` takes this function as it takes a model.

        >>> truth = synthetic_truth(num_users=5, num_items=7, rank=2)
        >>> truth.score([[0], [4]], [[1, 2, 6]]).shape
        (2, 3)
        """
        return np.einsum("...k,...k->...", self.user_factors[user], self.item_factors[item])


def synthetic_truth(num_users=1000, num_items=500, rank=8, seed=0) -> Truth:
    """Draw the tastes of users and the items of tastes.

    Popularity follows Zipf's law: the k-th most popular item is k times rarer than the first,
    before tastes bend it. Which item has which popularity is left to chance.

    Args:
        num_users: int >= 1.
        num_items: int >= 1.
        rank: int >= 1, number of tastes, the rank of the matrix of chances.
        seed: int >= 0; `load_dataset("synthetic", seed=...)` draws from the truth of the same seed.

    Raises:
        DataError: a size is not a whole number from 1, or `seed` is none from 0.
    """
    for name, value in (("num_users", num_users), ("num_items", num_items), ("rank", rank)):
        check_whole(name, value, 1)
    check_whole("seed", seed, 0)
    rng = np.random.default_rng([seed, 10])
    # Small Dirichlet parameters: most users have one or two tastes, most items serve as few.
    user_factors = _dirichlet(rng, num_users, rank)
    item_factors = _dirichlet(rng, num_items, rank)
    item_factors += np.float32(0.05 / rank)  # no item is impossible for anybody
    item_factors *= (1 / (1 + rng.permutation(num_items))).astype(np.float32)[:, None]
    item_factors /= item_factors.sum(axis=0, dtype=np.float64).astype(np.float32)
    return Truth(user_factors, item_factors)


def synthetic_interactions(
    num_users=1000, num_items=500, num_interactions=30_000, rank=8, seed=0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw interactions from `synthetic_truth`, each pair at most once.

    A few users have many interactions and most have few, at least three. Memory grows with the
    interactions, with num_users x rank and with num_items x rank, never with users x items.

    Args:
        num_users: int >= 1.
        num_items: int >= 12, of which each user's three interactions are a quarter.
        num_interactions: int, from 3 x num_users to num_users x num_items / 4.
        rank: int >= 1.
        seed: int >= 0.

    Returns:
        user and item, int32 (num_interactions,), by user; a user's items in a random order, which
        counts as their order in time.

    Raises:
        DataError: a size or `seed` is out of its range.

    >>> user, item = synthetic_interactions(num_users=10, num_items=40, num_interactions=60)
    >>> len(user), len(set(zip(user.tolist(), item.tolist())))
    (60, 60)
    """
    check_whole("num_users", num_users, 1)
    check_whole("num_items", num_items, 4 * FEWEST)
    check_whole("num_interactions", num_interactions, FEWEST * num_users)
    if num_interactions > num_users * num_items // 4:
        raise DataError(
            f"num_interactions: expected {num_users * num_items // 4:,} at most (a quarter of "
            f"{num_users} users x {num_items} items), found {num_interactions:,}"
        )
    truth = synthetic_truth(num_users, num_items, rank, seed)
    rng = np.random.default_rng([seed, 11])
    counts = _activity(num_users, num_interactions, num_items // 2, rng)
    return _draw_pairs(truth, counts, rng)


def _dirichlet(rng, rows, rank, concentration=0.1):
    weights = rng.standard_gamma(concentration, (rows, rank), dtype=np.float32)
    weights += np.float32(1e-6)
    return weights / weights.sum(axis=1, keepdims=True)


def _activity(num_users, total, most, rng):
    """Return how many interactions each user has: log-normal, FEWEST to `most`, sum `total`."""
    counts = np.full(num_users, FEWEST, np.int64)
    weight = rng.lognormal(0.0, 1.0, num_users)
    while (left := total - int(counts.sum())) > 0:
        room = counts < most
        counts += rng.multinomial(left, np.where(room, weight, 0) / weight[room].sum())
        np.minimum(counts, most, out=counts)
    return counts


def _draw_pairs(truth, counts, rng):
    """Return user and item of `counts[user]` different items for each user, in a random order."""
    num_items, rank = truth.item_factors.shape
    # One rising table for all tastes: the items of taste k lie between k and k + 1.
    table = np.cumsum(truth.item_factors.T, axis=1, dtype=np.float64)
    table /= table[:, -1:]
    table = (table + np.arange(rank)[:, None]).ravel()

    user = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    item = np.empty(len(user), np.int32)
    end = np.cumsum(counts)
    low = 0
    while low < len(counts):  # as many users at once as have about BLOCK interactions
        before = end[low] - counts[low]
        high = max(low + 1, int(np.searchsorted(end, before + BLOCK)))
        users = np.arange(low, high)
        keys = _draw_distinct(truth, table, users, counts[low:high], rng)
        item[before : end[high - 1]] = _shuffle_within_users(keys, num_items, rng)
        low = high
    return user, item


def _draw_distinct(truth, table, users, counts, rng):
    """Return row * num_items + item, sorted: `counts[row]` different items for users[row]."""
    num_items = len(truth.item_factors)
    mixture = np.cumsum(truth.user_factors[users], axis=1)
    keys = np.empty(0, np.int64)
    missing = counts.copy()
    for _ in range(ROUNDS):
        row = np.repeat(np.arange(len(users)), missing)
        keys = _merge(keys, _draw(mixture, table, row, num_items, rng))
        missing = counts - np.diff(np.searchsorted(keys, np.arange(len(users) + 1) * num_items))
        if not missing.any():
            return keys
    start = np.searchsorted(keys, np.arange(len(users) + 1) * num_items)
    extra = [keys]
    for row in np.flatnonzero(missing):
        chances = truth.item_factors @ truth.user_factors[users[row]]
        # The smallest of exponential waiting times: drawing without replacement, all at once.
        wait = rng.standard_exponential(num_items, dtype=np.float32) / chances
        wait[keys[start[row] : start[row + 1]] - row * num_items] = np.inf
        extra.append(row * num_items + np.argpartition(wait, missing[row])[: missing[row]])
    return np.sort(np.concatenate(extra))


def _merge(keys, drawn):
    """Add to sorted keys what was drawn and is not among them yet."""
    drawn.sort()
    place = np.searchsorted(keys, drawn)
    new = np.r_[True, drawn[1:] != drawn[:-1]]
    if len(keys):
        new &= keys[np.minimum(place, len(keys) - 1)] != drawn
    return np.insert(keys, place[new], drawn[new])


def _draw(mixture, table, row, num_items, rng):
    """Draw one item for each entry of `row`: a taste of that row, then an item of that taste."""
    chance = rng.random(len(row), dtype=np.float32) * mixture[row, -1]
    taste = np.zeros(len(row), np.int64)
    for k in range(mixture.shape[1] - 1):
        taste += chance >= mixture[row, k]
    place = np.searchsorted(table, taste + rng.random(len(row)), side="right")
    return row * num_items + np.minimum(place - taste * num_items, num_items - 1)


def _shuffle_within_users(keys, num_items, rng):
    """Return the items in a random order within each row: sorts by (row, chance, item) packed."""
    item_bits = int(num_items - 1).bit_length()
    row, item = np.divmod(keys, num_items)
    chance = rng.integers(0, 1 << CHANCE_BITS, len(keys))
    packed = (row << (CHANCE_BITS + item_bits)) | (chance << item_bits) | item
    packed.sort()
    return (packed & ((1 << item_bits) - 1)).astype(np.int32)
