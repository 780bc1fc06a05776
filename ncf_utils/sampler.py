"""Negative sampling: from observed interactions to training instances.

Built step by step in notebook 04, `negative_sampling`.
"""

from __future__ import annotations

import numpy as np

from ncf_utils.data import Interactions, check_interactions
from ncf_utils.errors import check_number, random_generator

IN_GROUPS = ("uniform", "popularity")  # strategies that draw negatives for each positive
STRATEGIES = (*IN_GROUPS, "all")
AT_ONCE = 2**22  # positives; an epoch of more is made and shuffled piece by piece
PIECE = 2**17  # positives whose groups stay in the cache while they are made or shuffled


class NegativeSampler:
    """Draw fresh negatives for every training positive, epoch after epoch.

    A negative is an item that the user has not touched *in training*. The held-out test item is
    therefore a possible negative, as in the paper: a sampler that avoided it would have to know
    it. Negatives are drawn with replacement, independently for each positive.

    Args:
        train: the training interactions.
        num_negatives: negatives for each positive, an integer of at least 1.
        strategy: ``"uniform"`` over the items that the user has not touched; ``"popularity"``,
            in proportion to an item's training count to the power 0.75 (Mikolov et al., 2013);
            ``"all"``, every missing pair once, for tiny data (`num_negatives` is then not used).
        seed: an integer or a `numpy.random.SeedSequence`; the same seed gives the same epochs.

    Raises:
        ValueError: an argument is out of range, or a user has touched every item, so that no
            negative exists; the message names the user.

    Example:
        >>> train = Interactions.from_pairs([0, 0, 1], [0, 2, 1], num_users=2, num_items=4)
        >>> user, item, label = NegativeSampler(train, num_negatives=2, seed=0).epoch()
        >>> len(label), float(label.sum())
        (9, 3.0)
    """

    def __init__(self, train: Interactions, num_negatives=4, strategy="uniform", seed=0):
        check_interactions(train)
        self.num_negatives = check_number("num_negatives", num_negatives, 1, integer=True)
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
        if train.num_items < 1:
            raise ValueError("there are no items to draw negatives from")
        self.train = train
        self.strategy = strategy
        self._rng = random_generator(seed)
        self._seen = _SeenItems(train)
        if strategy == "popularity":
            weight = train.item_counts() ** 0.75
            if not len(train):  # nothing is more popular than anything else
                weight = np.ones(train.num_items)
            self._cumulative = np.cumsum(weight / weight.sum())
        if strategy != "all":
            self._check_missing(np.flatnonzero(train.user_counts()))

    def _check_missing(self, users):
        stuck = users[self._seen.num_missing[users] == 0]
        if len(stuck):
            raise ValueError(
                f"user {stuck[0]} has interacted with all {self.train.num_items} items, "
                "so no negative can be drawn for them; leave such users out of training"
            )

    def sample(self, user) -> np.ndarray:
        """Draw one negative for each entry of `user`.

        Args:
            user: integer array of any shape, 0 <= user < num_users.

        Returns:
            int32 array of the same shape: items that the user has not touched in training.

        Raises:
            IndexError: a user is out of range.
            ValueError: they are no integers, or one of them has touched every item; the message
                names the user.
        """
        user = np.asarray(user)
        shape, user = user.shape, self._checked(user.ravel())
        if self.strategy == "all":  # the only one that takes such users
            self._check_missing(np.unique(user))
        if self.strategy == "popularity":
            return self._sample_by_popularity(user).reshape(shape)
        return self._seen.sample_missing(self._rng, user).reshape(shape)

    def _checked(self, user):
        """Return users as int32: after user 127, int8 would have no next one."""
        if user.size == 0:  # an empty list comes as floats
            return user.astype(np.int32)
        if not np.issubdtype(user.dtype, np.integer):
            raise ValueError(f"user must be integers, not {user.dtype}")
        num_users = self.train.num_users
        for one in (user.min(), user.max()):
            if not 0 <= one < num_users:
                raise IndexError(f"user: expected 0 <= user < {num_users}, found {one}")
        return user.astype(np.int32, copy=False)

    def epoch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One epoch's training instances, shuffled, with fresh negatives.

        Returns:
            `user`, `item` (int32) and `label` (float32: 1 observed, 0 missing), each of shape
            (len(train) * (1 + num_negatives),); of the strategy ``"all"`` of shape
            (num_users * num_items,).
        """
        if self.strategy == "all":
            user, item, label = self._all_pairs()
        else:
            user, item = self._groups()
            label = np.zeros(item.shape, np.int64)
            label[:, 0] = 1
            user = np.broadcast_to(user, item.shape)
        # Packed into one integer, an instance is shuffled in one pass instead of three.
        packed = ((user.astype(np.int64) << 32) | (item.astype(np.int64) << 1) | label).ravel()
        self._rng.shuffle(packed)
        return (
            (packed >> 32).astype(np.int32),
            ((packed >> 1) & 0x7FFFFFFF).astype(np.int32),
            (packed & 1).astype(np.float32),
        )

    def epoch_groups(self) -> tuple[np.ndarray, np.ndarray]:
        """One epoch as groups, shuffled: each positive beside its own fresh negatives.

        The instances are those of `epoch`, in another order: a positive and its negatives stay
        together, so that a model looks their common user up once, and a pairwise loss such as
        BPR finds its pairs. The label of column 0 is 1, of the others 0.

        Returns:
            `user` of shape (len(train), 1) and `item` of shape (len(train), 1 + num_negatives),
            int32; column 0 of `item` is the positive.

        Raises:
            ValueError: the strategy is ``"all"``, which has no groups.
        """
        if self.strategy == "all":
            raise ValueError('strategy "all" has no groups; use epoch()')
        if len(self.train) > AT_ONCE:
            return self._groups_in_pieces()
        order = self._rng.permutation(len(self.train))
        user, item = self._groups()
        return np.take(user, order, axis=0), np.take(item, order, axis=0)

    def _groups_in_pieces(self):
        """`epoch_groups` for data that outgrow the caches, where rows in random order are dear.

        Each group goes to a random bucket, in the order in which the groups are made, and each
        bucket is shuffled by itself: every order is as likely as any other (Rao, 1961; Sandelius,
        1962), and what moves is always near what moved before.
        """
        size = len(self.train)
        user = np.empty((size, 1), np.int32)
        item = np.empty((size, 1 + self.num_negatives), np.int32)
        bucket = self._rng.integers(-(-size // PIECE), size=size, dtype=np.uint16)
        sizes = np.bincount(bucket)
        ends = np.cumsum(sizes)
        place = ends - sizes  # where each bucket goes on
        for start in range(0, size, PIECE):
            piece = slice(start, start + PIECE)
            order = np.argsort(bucket[piece], kind="stable")
            count = np.bincount(bucket[piece], minlength=len(sizes))
            to = np.repeat(place - np.cumsum(count) + count, count) + np.arange(len(order))
            place += count
            made = self._groups(piece)
            user[to], item[to] = (np.take(rows, order, axis=0) for rows in made)
        for start, stop in zip(ends - sizes, ends, strict=True):
            order = self._rng.permutation(stop - start)
            for rows in (user[start:stop], item[start:stop]):
                rows[:] = np.take(rows, order, axis=0)
        return user, item

    def _groups(self, piece=slice(None)):
        # Negatives are drawn in the order of the users: neighbouring look-ups hit the same memory.
        user = self.train.user[piece, None]
        item = np.empty((len(user), 1 + self.num_negatives), np.int32)
        item[:, 0] = self.train.item[piece]
        item[:, 1:] = self.sample(np.broadcast_to(user, (len(user), self.num_negatives)))
        return user, item

    def _all_pairs(self):
        shape = self.train.num_users, self.train.num_items
        label = np.zeros(shape, np.int64)
        label[self.train.user, self.train.item] = 1
        user, item = np.indices(shape, dtype=np.int32)
        return user, item, label

    def _sample_by_popularity(self, user):
        negative = np.empty(len(user), np.int32)
        pending = np.arange(len(user))
        for _ in range(20):  # most draws succeed at once; a few users need many
            draw = np.searchsorted(self._cumulative, self._rng.random(len(pending)), "right")
            negative[pending] = np.minimum(draw, self.train.num_items - 1)
            pending = pending[self._seen.contains(user[pending], negative[pending])]
            if len(pending) == 0:
                return negative
        for one in np.unique(user[pending]):  # exactly, for users who have nearly everything
            missing = np.setdiff1d(np.arange(self.train.num_items), self.train.items_of(one))
            weight = np.diff(self._cumulative, prepend=0)[missing]
            if weight.sum() == 0:  # only items that nobody has touched are left
                weight = np.ones(len(missing))
            rows = pending[user[pending] == one]
            negative[rows] = self._rng.choice(missing, len(rows), p=weight / weight.sum())
        return negative


class _SeenItems:
    """Which items each user has touched, for membership tests and draws from the complement.

    Membership is a bit for each user-item pair. Where these would take more than `BITMAP_BYTES`,
    it is a byte for each pair of a block of neighbouring users at a time, set before and cleared
    after; the block stays in the cache, so a look-up costs the same at any size. Few or unordered
    look-ups use a binary search. Memory is linear in the number of interactions.

    With a user's sorted items s_0 < s_1 < ..., exactly s_j - j missing items lie before s_j. So
    the r-th missing item is r + #{j : s_j - j <= r}: one binary search, no rejection, no loop.
    The binary searches of all users run as one, over keys offset by user.
    """

    BITMAP_BYTES = 2**22
    BLOCK_BYTES = 2**20
    SET_A_LOOK_UP = 16  # more interactions than this to set, and a binary search is faster

    def __init__(self, train: Interactions):
        self.num_users, self.num_items = train.num_users, train.num_items
        self.indptr = train.indptr
        self.num_missing = train.num_items - np.diff(train.indptr)
        self.pairs = np.sort(train.user.astype(np.int64) * train.num_items + train.item)
        place = np.arange(len(train)) - train.indptr[train.user]
        self.missing_before = self.pairs - place
        self.block = max(1, self.BLOCK_BYTES // train.num_items)  # users
        small = self.num_users * self.num_items <= 8 * self.BITMAP_BYTES
        self.bitmap = self._bitmap() if small else None

    def contains(self, user, item):
        """Whether each pair was observed; fastest where `user` ascends."""
        pair = user.astype(np.int64) * self.num_items + item
        if self.bitmap is not None:
            return _test(self.bitmap, pair)
        if len(pair) == 0 or len(self.pairs) == 0:
            return np.zeros(len(pair), bool)
        few = self.indptr[user[-1] + 1] - self.indptr[user[0]] > self.SET_A_LOOK_UP * len(pair)
        if few or not (user[1:] >= user[:-1]).all():
            at = np.searchsorted(self.pairs, pair)
            return self.pairs[np.minimum(at, len(self.pairs) - 1)] == pair
        return self._contains_by_blocks(user, pair)

    def _contains_by_blocks(self, user, pair):
        touched = np.zeros(self.block * self.num_items, bool)
        found = np.empty(len(pair), bool)
        stop = 0
        for low in range(user[0], user[-1] + 1, self.block):
            high = min(low + self.block, self.num_users)
            start, stop = stop, np.searchsorted(user, high)
            seen = self.pairs[self.indptr[low] : self.indptr[high]] - low * self.num_items
            touched[seen] = True
            found[start:stop] = touched[pair[start:stop] - low * self.num_items]
            touched[seen] = False
        return found

    def _bitmap(self):
        bitmap = np.zeros(self.num_users * self.num_items // 8 + 1, np.uint8)
        np.bitwise_or.at(bitmap, self.pairs >> 3, _bit(self.pairs))
        return bitmap

    def sample_missing(self, rng, user):
        # Uniform over all items; the few draws that hit a seen item are replaced by exact draws
        # from the complement, so that the result is uniform over the complement.
        item = rng.integers(self.num_items, size=len(user), dtype=np.int32)
        hit = np.flatnonzero(self.contains(user, item))
        item[hit] = self._sample_exactly(rng, user[hit])
        return item

    def _sample_exactly(self, rng, user):
        rank = (rng.random(len(user)) * self.num_missing[user]).astype(np.int64)
        before = np.searchsorted(
            self.missing_before, user.astype(np.int64) * self.num_items + rank, "right"
        )
        return (rank + before - self.indptr[user]).astype(np.int32)


def _test(bitmap, pair):
    return (bitmap[pair >> 3] & _bit(pair)) != 0


def _bit(pair):
    return np.left_shift(np.uint8(1), (pair & 7).astype(np.uint8))
