"""Data sets: `load_dataset(name)` gives the interactions to train on and the items held out.

What a `Dataset` holds is read from left to right through the course: `train` goes to the sampler,
`validation` picks the epoch, `test` is looked at once, at the end. An *index* is dense and counts
from zero; an *id* is the data set's own (a MovieLens movie id).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ncf_utils import readers
from ncf_utils.errors import DataError
from ncf_utils.split import draw_candidates, leave_one_out, time_order

if TYPE_CHECKING:
    import pandas
    import scipy.sparse

__all__ = ["DATASETS", "DataError", "Dataset", "HeldOut", "Interactions", "load_dataset"]

DATASETS = (
    "ml-latest-small",
    "ml-100k",
    "ml-1m",
    "ml-20m",
    "ml-25m",
    "ncf-ml-1m",
    "ncf-pinterest-20",
    "synthetic",
)

# Independent streams of chance: changing one choice leaves the other draws as they were.
PICK_VALIDATION, VALIDATION_CANDIDATES, TEST_CANDIDATES = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Interactions:
    """The pairs (user, item) that a model learns from, by user, and in time within a user.

    Args:
        user: int32 (n,), read-only, never falling.
        item: int32 (n,), read-only.
        indptr: int64 (num_users + 1,), read-only: user u has rows indptr[u] to indptr[u + 1].
        num_users: int, users are 0 <= user < num_users, with or without interactions.
        num_items: int, items are 0 <= item < num_items.

    >>> pairs = Interactions.from_pairs([1, 0, 1], [2, 0, 1], num_users=2, num_items=3)
    >>> len(pairs), pairs.items_of(1).tolist(), pairs.item_counts().tolist()
    (3, [2, 1], [1, 1, 1])
    """

    user: np.ndarray
    item: np.ndarray
    indptr: np.ndarray
    num_users: int
    num_items: int

    def __post_init__(self):
        for name, dtype in (("user", np.int32), ("item", np.int32), ("indptr", np.int64)):
            _freeze(self, name, dtype)

    @classmethod
    def from_pairs(cls, user, item, num_users, num_items, time=None) -> Interactions:
        """Sort pairs by user, then time; pairs of equal time keep the order they came in.

        Args:
            user: int (n,), 0 <= user < num_users.
            item: int (n,), 0 <= item < num_items.
            num_users: int.
            num_items: int.
            time: number (n,), or None where the pairs are in order already.

        Raises:
            DataError: lengths differ, an index is out of range, or a pair comes twice.

        >>> Interactions.from_pairs([0, 0], [5, 3], 1, 6, time=[20, 10]).item.tolist()
        [3, 5]
        """
        user, item = np.asarray(user), np.asarray(item)
        if user.shape != item.shape or user.ndim != 1:
            raise DataError(f"user {user.shape} and item {item.shape}: expected equal 1-D shapes")
        for name, index, size in (("user", user, num_users), ("item", item, num_items)):
            if len(index) and not np.issubdtype(index.dtype, np.integer):
                raise DataError(f"{name}: expected integers, found {index.dtype}")
            outside = np.flatnonzero((index < 0) | (index >= size))
            if len(outside):
                at = outside[0]
                raise DataError(f"{name}[{at}]: expected 0 <= {name} < {size}, found {index[at]}")
        keys = np.sort(user.astype(np.int64) * num_items + item)
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            u, i = divmod(int(keys[twice[0]]), num_items)
            raise DataError(f"user {u}, item {i}: expected each pair once, found it twice")
        if time is not None or (user[1:] < user[:-1]).any():
            order = time_order(user, time)
            user, item = user[order], item[order]
        return cls._sorted(user, item, num_users, num_items)

    @classmethod
    def _sorted(cls, user, item, num_users, num_items):
        indptr = np.zeros(num_users + 1, np.int64)
        np.cumsum(np.bincount(user, minlength=num_users), out=indptr[1:])
        return cls(user, item, indptr, int(num_users), int(num_items))

    def __len__(self):
        return len(self.user)

    def __repr__(self):
        return f"Interactions({len(self):,} of {self.num_users} users x {self.num_items} items)"

    def items_of(self, user: int) -> np.ndarray:
        """Return the items of one user in time, int32, as a read-only view."""
        if not 0 <= user < self.num_users:
            raise IndexError(f"user: expected 0 <= user < {self.num_users}, found {user}")
        return self.item[self.indptr[user] : self.indptr[user + 1]]

    def item_counts(self) -> np.ndarray:
        """Return how many users touched each item, int64 (num_items,): its popularity."""
        return np.bincount(self.item, minlength=self.num_items).astype(np.int64)

    def user_counts(self) -> np.ndarray:
        """Return how many items each user touched, int64 (num_users,)."""
        return np.diff(self.indptr)

    def to_csr(self) -> scipy.sparse.csr_matrix:
        """Return the interaction matrix, float32 (num_users, num_items), 1 where touched."""
        from scipy.sparse import csr_matrix

        ones = np.ones(len(self), np.float32)
        shape = (self.num_users, self.num_items)
        matrix = csr_matrix((ones, self.item.copy(), self.indptr.copy()), shape=shape)
        matrix.sort_indices()
        return matrix


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One held-out positive for each evaluated user, and the candidates it is ranked against.

    Args:
        user: int32 (E,), rising, read-only.
        item: int32 (E,), the held-out positive of each, read-only.
        negatives: int32 (E, C), read-only; C is 99 in the paper.
        position: int64 (E,) or None, where the item stood in its user's history: what
            `Dataset.with_validation_in_train` needs to put it back in its place.
    """

    user: np.ndarray
    item: np.ndarray
    negatives: np.ndarray
    position: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        for name in ("user", "item", "negatives"):
            _freeze(self, name, np.int32)
        if self.position is not None:
            _freeze(self, "position", np.int64)

    def __len__(self):
        return len(self.user)

    def __repr__(self):
        return f"HeldOut({len(self):,} users, {self.negatives.shape[1]} candidates each)"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, split for leave-one-out evaluation. See `load_dataset`.

    Args:
        name: str, what it was loaded as.
        num_users: int.
        num_items: int.
        train: Interactions, without the held-out items of `validation` and `test`.
        validation: HeldOut or None, what an epoch is picked with.
        test: HeldOut, what is reported.
        items: pandas DataFrame or None, by item index: movie_id, title, genres ("A|B").
        user_ids: (num_users,) or None, the data set's own id of each user index.
        item_ids: (num_items,) or None, the data set's own id of each item index.
        notes: tuple of str, what was found while loading that a reader should know.
    """

    name: str
    num_users: int
    num_items: int
    train: Interactions
    validation: HeldOut | None
    test: HeldOut
    items: pandas.DataFrame | None = None
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self):
        validation = 0 if self.validation is None else len(self.validation)
        return (
            f"Dataset({self.name!r}: {self.num_users} users x {self.num_items} items, "
            f"{len(self.train):,} train, {validation:,} validation, {len(self.test):,} test)"
        )

    def with_validation_in_train(self) -> Dataset:
        """Return the data set with its validation items back in `train`, each in its old place.

        For the last fit: pick the number of epochs on the validation items, then train that long
        on everything but the test items.

        >>> data = load_dataset("synthetic", num_users=20, num_items=150, num_interactions=200)
        >>> refit = data.with_validation_in_train()
        >>> len(refit.train) == len(data.train) + len(data.validation), refit.validation is None
        (True, True)
        """
        if self.validation is None:
            return self
        held, train = self.validation, self.train
        position = held.position
        if position is None:
            position = train.user_counts()[held.user]
        at = train.indptr[held.user] + position
        merged = Interactions._sorted(
            np.insert(train.user, at, held.user),
            np.insert(train.item, at, held.item),
            self.num_users,
            self.num_items,
        )
        return replace(self, train=merged, validation=None)

    def titles(self, items) -> list[str]:
        """Return the titles of items, and "item 17" where item 17 has none.

        Args:
            items: int or int (n,), 0 <= item < num_items.

        Raises:
            IndexError: an item is out of range.

        >>> data = load_dataset("ml-latest-small")
        >>> data.titles([0, 1])
        ['Toy Story (1995)', 'Jumanji (1995)']
        """
        items = np.atleast_1d(np.asarray(items))
        outside = items[(items < 0) | (items >= self.num_items)]
        if len(outside):
            raise IndexError(f"item: expected 0 <= item < {self.num_items}, found {outside[0]}")
        known = [""] * len(items) if self.items is None else self.items["title"].iloc[items]
        return [title or f"item {i}" for title, i in zip(known, items.tolist(), strict=True)]


def _freeze(owner, name, dtype):
    """Make an array attribute of a frozen dataclass read-only, without touching the caller's."""
    array = np.ascontiguousarray(getattr(owner, name), dtype).view()
    array.flags.writeable = False
    object.__setattr__(owner, name, array)


def load_dataset(
    name,
    *,
    num_candidates=99,
    validation="random",
    seed=0,
    data_dir=None,
    min_interactions=3,
    download=True,
    **synthetic,
) -> Dataset:
    """Load a data set by name.

    >>> load_dataset("ml-latest-small")
    Dataset('ml-latest-small': 671 users x 9066 items, 98,662 train, 671 validation, 671 test)
    """
    if data_dir is None:
        data_dir = os.environ.get("NCF_DATA_DIR") or None
    if name == "synthetic":
        from ncf_utils.synthetic import synthetic_interactions

        raw = synthetic_interactions(seed=seed, **synthetic)
    elif name == "ml-latest-small":
        raw = readers.read_folder(_embedded(name))
    elif data_dir is not None and (Path(data_dir) / name).is_dir():
        raw = readers.read_folder(Path(data_dir) / name)
    else:
        raise DataError(f"data set {name!r} is not there")
    return _split(name, raw, num_candidates, validation, seed, min_interactions)


def _embedded(name):
    """Return the folder of a data set that comes with the course: in a checkout, or installed."""
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "data" / name, here / "_data" / name):
        if (folder / "ratings.csv").is_file():
            return folder
    raise DataError(
        f"{here / '_data' / name}: expected the embedded data set, found no such folder"
    )


def _split(name, raw, num_candidates, validation, seed, min_interactions) -> Dataset:
    """Hold out test and validation items, draw the candidates that the source does not bring."""
    history = Interactions._sorted(raw.user, raw.item, raw.num_users, raw.num_items)
    notes = list(raw.notes)
    if raw.test is not None:
        test = HeldOut(*raw.test)
    else:
        at = leave_one_out(history.user, min_interactions=min_interactions)
        users, items = history.user[at], history.item[at]
        negatives = draw_candidates(
            history.user,
            history.item,
            users,
            raw.num_items,
            num_candidates,
            [seed, TEST_CANDIDATES],
        )
        test = HeldOut(users, items, negatives)
        few = int((history.user_counts() < min_interactions).sum())
        history = _without(history, at)
        if few:
            notes.append(
                f"{few:,} users with fewer than {min_interactions} interactions "
                "stay in training only"
            )
    held = None
    if validation is not None:
        history, held = _hold_out_validation(history, test.user, validation, num_candidates, seed)
    return Dataset(
        name,
        raw.num_users,
        raw.num_items,
        history,
        held,
        test,
        raw.items,
        raw.user_ids,
        raw.item_ids,
        tuple(notes),
    )


def _hold_out_validation(history, users, how, num_candidates, seed):
    """Take one training interaction away from each user who has two or more."""
    counts = history.user_counts()[users]
    if how == "random":
        chance = np.random.default_rng([seed, PICK_VALIDATION]).random(len(users))
        position = (chance * counts).astype(np.int64)
    else:
        position = counts - 1
    users, position = users[counts >= 2], position[counts >= 2]
    at = history.indptr[users] + position
    # The history here is training plus validation: the test item may be a candidate, as it may be
    # a negative in training. A validation that avoided it would know it.
    negatives = draw_candidates(
        history.user,
        history.item,
        users,
        history.num_items,
        num_candidates,
        [seed, VALIDATION_CANDIDATES],
    )
    return _without(history, at), HeldOut(users, history.item[at], negatives, position)


def _without(history, at):
    return Interactions._sorted(
        np.delete(history.user, at),
        np.delete(history.item, at),
        history.num_users,
        history.num_items,
    )
