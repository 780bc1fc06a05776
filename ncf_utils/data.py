"""Data sets: `load_dataset(name)` gives the interactions to train on and the items held out.

What a `Dataset` holds is read from left to right through the course: `train` goes to the sampler,
`validation` picks the epoch, `test` is looked at once, at the end. An *index* is dense and counts
from zero; an *id* is the data set's own (a MovieLens movie id).
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ncf_utils import readers
from ncf_utils.cache import cached
from ncf_utils.errors import DataError, check_whole
from ncf_utils.split import draw_candidates, time_order

if TYPE_CHECKING:
    import pandas
    import scipy.sparse

__all__ = ["DATASETS", "DataError", "Dataset", "HeldOut", "Interactions", "load_dataset"]

# num_users, num_items and interactions (of the paper's data sets: those in training) as published.
SIZES = {
    "ml-100k": (943, 1_682, 100_000),
    "ml-1m": (6_040, 3_706, 1_000_209),
    "ml-20m": (138_493, 26_744, 20_000_263),
    "ml-25m": (162_541, 59_047, 25_000_095),
    "ncf-ml-1m": (6_040, 3_706, 994_169),
    "ncf-pinterest-20": (55_187, 9_916, 1_445_622),
    "pinterest-37k": (37_501, 9_836, 962_653),
}
EMBEDDED = ("ml-latest-small",)
# A core of Pinterest's interactions, not the paper's; it is nowhere to be downloaded.
LOCAL = ("pinterest-37k",)
DATASETS = (*EMBEDDED, *SIZES, "synthetic")

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
            DataError: lengths differ, an index is out of range, a pair comes twice, or a time is
                NaN.

        >>> Interactions.from_pairs([0, 0], [5, 3], 1, 6, time=[20, 10]).item.tolist()
        [3, 5]
        """
        user, item = np.asarray(user), np.asarray(item)
        if user.size == item.size == 0:  # an empty list comes as floats
            user, item = user.astype(np.int32), item.astype(np.int32)
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
        user = int(user)  # a small type would overflow below
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


def check_interactions(train):
    """Raise a ValueError unless `train` is Interactions."""
    if not isinstance(train, Interactions):
        raise ValueError(f"train must be Interactions (dataset.train), not {type(train).__name__}")


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

    @cached_property
    def rivals(self) -> np.ndarray:
        """Which candidates the positive has to beat, bool (E, C).

        False where a candidate is the positive itself, as in 156 rows of the paper's published
        ML-1M file, or repeats an earlier one of its row.
        """
        order = np.argsort(self.negatives, axis=1, kind="stable")
        ordered = np.take_along_axis(self.negatives, order, axis=1)
        first = np.ones(ordered.shape, bool)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        rivals = np.empty_like(first)
        np.put_along_axis(rivals, order, first, axis=1)
        return rivals & (self.negatives != self.item[:, None])

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
    mirrors=(),
    **synthetic,
) -> Dataset:
    """Load a data set and split it for leave-one-out evaluation.

    Where the source brings no split of its own, each user's latest interaction is held out for the
    test; of two at the same time, the one further down the file counts as later. A MovieLens rating
    of any value is one interaction. Users and items are numbered by rising id; a user with fewer
    than `min_interactions` interactions stays in training only, and `notes` counts such users.

    Then one training interaction of each evaluated user who has two or more is held out for
    validation; where nobody has, `validation` is None, and `notes` says so. All choices are drawn
    from `seed`, each from a stream of its own.

    Test candidates are drawn from the items that the user never touched, or are those that the
    paper's files bring. Validation candidates are drawn from what the user touched neither in
    training nor in validation: the test item may be among them, because a validation that avoids it
    knows it.

    Args:
        name: one of `DATASETS`; or the name of a folder in `data_dir`; or a path: of a folder in
            the paper's format or a MovieLens layout, of a zip archive of one, or of a file prefix
            (`some/where/ml-1m` for `some/where/ml-1m.train.rating` and so on).
        num_candidates: int >= 1, candidates to draw for each held-out item.
        validation: "random" (any training interaction, as in the paper), "last" (the latest
            training interaction) or None.
        seed: int >= 0.
        data_dir: folder in which a folder (or zip archive) named `name` is looked for before
            anything is downloaded; by default what the environment variable NCF_DATA_DIR names. Its
            files are read as they are: their counts are checked, not their checksums.
        min_interactions: int >= 2.
        download: bool, whether a data set that is not there may be downloaded.
        mirrors: addresses of folders that are tried before the publisher's; the environment
            variable NCF_MIRRORS can name more.
        **synthetic: for "synthetic": num_users, num_items, num_interactions, rank; see
            `ncf_utils.synthetic`, whose `synthetic_truth` gives what was true.

    Returns:
        Dataset.

    Raises:
        DataError: an argument or a file is not as expected; the message names it, and the line.

    Source: He et al., Neural Collaborative Filtering, WWW 2017, section 4.1.

    >>> load_dataset("ml-latest-small")
    Dataset('ml-latest-small': 671 users x 9066 items, 98,662 train, 671 validation, 671 test)
    >>> load_dataset("ml-latest-smal")
    Traceback (most recent call last):
    ncf_utils.errors.DataError: unknown data set 'ml-latest-smal': did you mean ml-latest-small?
    """
    check_whole("num_candidates", num_candidates, 1)
    check_whole("min_interactions", min_interactions, 2)
    check_whole("seed", seed, 0)
    if validation not in ("random", "last", None):
        raise DataError(f"validation: expected 'random', 'last' or None, found {validation!r}")
    name = os.fspath(name)
    if name == "synthetic":
        raw, items = _synthetic(seed, synthetic), None
    elif synthetic:
        raise DataError(f"{name!r} takes no argument {next(iter(synthetic))!r}")
    else:
        raw, items = _read(name, data_dir, download, mirrors)
    if name not in DATASETS:
        name = Path(name).resolve().name.removesuffix(".zip")
    return _split(name, raw, items, num_candidates, validation, seed, min_interactions)


# --- where a data set is -------------------------------------------------------------------------


def _synthetic(seed, arguments):
    from ncf_utils.synthetic import synthetic_interactions

    sizes = {"num_users": 1000, "num_items": 500, "num_interactions": 30_000, "rank": 8}
    for argument in arguments:
        if argument not in sizes:
            raise DataError(
                f"'synthetic' takes no argument {argument!r}: expected {', '.join(sizes)}"
            )
    sizes |= arguments
    user, item = synthetic_interactions(**sizes, seed=seed)
    return readers.Raw(user, item, sizes["num_users"], sizes["num_items"])


def _read(name, data_dir, download, mirrors):
    """Return the Raw of a name or a path, parsed or from the cache, and its table of items."""
    data_dir = _data_dir(data_dir)
    path, prefix, verified = _find(name, data_dir, download, mirrors)
    files = readers.Files(path)
    prefix = _one_prefix(files, prefix)
    num_users, num_items, count = SIZES.get(name, (None, None, None))
    folder = path if path.is_dir() else path.parent

    if prefix is not None:
        raw, items = _read_paper(name, files, prefix, num_users, num_items, folder, data_dir)
    else:
        ratings = readers.ratings_file(files)
        if ratings is None:
            raise DataError(
                f"{path}: expected files of the paper's format (*{readers.PAPER[0]} …) or of "
                f"MovieLens ({', '.join(readers.RATINGS)}), found none"
            )
        parse = partial(readers.read_movielens, files)
        cache_at = None if name in EMBEDDED else folder
        stem = path.resolve().name.removesuffix(".zip")
        raw = cached(parse, [files.source(ratings)], stem, cache_at)
        movies = readers.read_movies(files)
        items = readers.item_table(raw.item_ids, movies) if movies else None

    found = (raw.num_users, raw.num_items, len(raw.item))
    if count is not None and not verified and found != (num_users, num_items, count):
        expected, found = (
            "{:,} users, {:,} items, {:,} interactions".format(*n)
            for n in ((num_users, num_items, count), found)
        )
        raise DataError(f"{path}: expected {expected}, as in the published {name}, found {found}")
    return raw, items


def _one_prefix(files, prefix):
    """Return the prefix that was named or is the only one, or None where there is none."""
    prefixes = [prefix] if prefix else files.prefixes()
    if len(prefixes) > 1:
        raise DataError(
            f"{files.path}: expected one data set, found {', '.join(prefixes)}: name one"
        )
    return prefixes[0] if prefixes else None


def _read_paper(name, files, prefix, num_users, num_items, folder, data_dir):
    sources = [files.source(prefix + end) for end in readers.PAPER]
    listed = readers.read_items(files)
    if listed is not None:
        sources.append(files.source("items.csv"))
        num_items = num_items or len(listed[0])
        if len(listed[0]) != num_items:
            raise DataError(
                f"{files.label('items.csv')}: expected {num_items} items, found {len(listed[0])}"
            )
    archive = _movielens_1m(data_dir) if name == "ncf-ml-1m" and listed is None else None
    if archive is not None:
        sources.append(archive.source(readers.ratings_file(archive)))

    published = name in SIZES

    def parse():
        raw = readers.read_paper(files, prefix, num_users, num_items, published)
        if archive is None:
            return raw
        return replace(raw, item_ids=readers.number_by_first_appearance(archive, raw))

    raw = cached(parse, sources, prefix, folder, (num_users, num_items, published))
    if listed is not None:
        item_ids, movies = listed
        return replace(raw, item_ids=item_ids), readers.item_table(item_ids, movies)
    if raw.item_ids is not None:
        return raw, readers.item_table(raw.item_ids, readers.read_movies(archive))
    if name == "ncf-ml-1m":
        note = "no titles: they come from MovieLens ml-1m, where that is in data_dir or downloaded"
        raw = replace(raw, notes=(*raw.notes, note))
    return raw, None


def _data_dir(data_dir):
    if data_dir is None:
        data_dir = os.environ.get("NCF_DATA_DIR") or None
    return None if data_dir is None else Path(data_dir)


def _find(name, data_dir, download, mirrors):
    """Return (folder or archive, file prefix or None, whether its content was verified)."""
    if name in EMBEDDED:
        return _embedded(name), None, True
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"data_dir (or NCF_DATA_DIR): expected a folder, found none at {data_dir}")
    given = _given(name, data_dir)
    if given is not None:
        return given, None, False
    if name in SIZES:
        from ncf_utils import download as downloads

        if name in LOCAL:
            raise DataError(
                f"{name} cannot be downloaded: data_dir (or NCF_DATA_DIR) must name a folder that "
                f"holds {name}"
            )
        folder = downloads.downloaded(name)
        if folder is None and not download:
            raise DataError(f"{name} is not on this machine, and download=False")
        folder = folder or downloads.download(name, mirrors)
        archive = folder / f"{name}.zip"
        return archive if archive.is_file() else folder, None, True
    found = _at_path(name)
    if found is not None:
        return *found, False
    if len(Path(name).parts) > 1:
        raise DataError(
            f"data set {name!r}: expected a folder, a zip archive or a file prefix, found none"
        )
    known = known_names(data_dir)
    near = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise DataError(f"unknown data set {name!r}: {hint}")


def known_names(data_dir=None) -> list[str]:
    """Return the names in `DATASETS` and those that `data_dir` (or NCF_DATA_DIR) adds to them.

    These are the names of its folders, and of its zip archives without the ending.
    """
    data_dir = _data_dir(data_dir)
    found = sorted(data_dir.iterdir()) if data_dir and _is_folder(data_dir) else []
    own = [path.name for path in found if _is_folder(path) or _is_archive(path)]
    return list(dict.fromkeys([*DATASETS, *(name.removesuffix(".zip") for name in own)]))


def is_here(name, data_dir=None) -> bool:
    """Whether `load_dataset` would find something in `data_dir` (or NCF_DATA_DIR) or at a path.

    Nothing is read or downloaded: what is wrong with what is there is for `load_dataset` to say.
    """
    return _given(name, _data_dir(data_dir)) is not None or _at_path(name) is not None


# os.path says no where pathlib raises: of a name that is too long, or holds a NUL.
def _is_folder(path):
    return os.path.isdir(path)


def _is_archive(path):
    return path.suffix == ".zip" and os.path.isfile(path)


def _given(name, data_dir):
    """Return the folder or archive of that name that a user has put into `data_dir`, or None."""
    if data_dir is None or Path(name).name != name:
        return None
    folder = data_dir / name
    for path in (folder / f"{name}.zip", folder / name, folder, data_dir / f"{name}.zip"):
        if _is_folder(path) or _is_archive(path):
            return path
    return None


def _at_path(name):
    """Return (folder or archive, file prefix or None) where `name` is a path to it, or None."""
    path = Path(name)
    if (name and _is_folder(path)) or _is_archive(path):
        return path, None
    if any(os.path.isfile(name + end) for end in readers.PAPER):
        return path.parent, path.name
    return None


def _movielens_1m(data_dir):
    """Return MovieLens-1M where it is on this machine, for its titles, or None."""
    from ncf_utils.download import downloaded

    folder = downloaded("ml-1m")
    path = _given("ml-1m", data_dir) or (folder and folder / "ml-1m.zip")
    if not path:
        return None
    files = readers.Files(path)
    return files if readers.ratings_file(files) else None


def _embedded(name):
    """Return the folder of a data set that comes with the course: in a checkout, or installed."""
    if ratings := packaged(name, "ratings.csv"):
        return ratings.parent
    folder = Path(__file__).resolve().parent / "_data" / name
    raise DataError(f"{folder}: expected the embedded data set, found no such folder")


def packaged(*parts):
    """Return the path of a file of the course, in a checkout or installed, or None."""
    here = Path(__file__).resolve().parent
    paths = here.parent.joinpath("data", *parts), here.joinpath("_data", *parts)
    return next((path for path in paths if path.is_file()), None)


# --- the split -----------------------------------------------------------------------------------


def _split(name, raw, items, num_candidates, validation, seed, min_interactions) -> Dataset:
    """Hold out test and validation items, and draw the candidates that the source lacks."""
    history = Interactions._sorted(raw.user, raw.item, raw.num_users, raw.num_items)
    notes = list(raw.notes)
    if raw.test is not None:
        test = HeldOut(*raw.test)
    else:
        counts = history.user_counts()
        users = np.flatnonzero(counts >= min_interactions)
        if not len(users):
            raise DataError(
                f"{name}: expected users with {min_interactions} interactions or more, found none"
            )
        if len(users) < raw.num_users:
            few = raw.num_users - len(users)
            notes.append(
                f"{few:,} {'user' if few == 1 else 'users'} with fewer than {min_interactions} "
                "interactions: in training only"
            )
        latest = history.indptr[users + 1] - 1
        negatives = draw_candidates(
            history.user,
            history.item,
            users,
            raw.num_items,
            num_candidates,
            [seed, TEST_CANDIDATES],
        )
        test = HeldOut(users, history.item[latest], negatives)
        history = _without(history, latest)
    held_out = None
    if validation is not None:
        history, held_out = _hold_out_validation(
            history, test.user, validation, num_candidates, seed
        )
        if held_out is None:
            notes.append("no validation items: no evaluated user has two training interactions")
    return Dataset(
        name,
        raw.num_users,
        raw.num_items,
        history,
        held_out,
        test,
        items,
        raw.user_ids,
        raw.item_ids,
        tuple(notes),
    )


def _hold_out_validation(history, users, how, num_candidates, seed):
    """Take one training interaction away from each user who has two or more, if anybody has."""
    counts = history.user_counts()[users]
    if not (counts >= 2).any():
        return history, None
    if how == "random":
        chance = np.random.default_rng([seed, PICK_VALIDATION]).random(len(users))
        position = (chance * counts).astype(np.int64)
    else:
        position = counts - 1
    users, position = users[counts >= 2], position[counts >= 2]
    at = history.indptr[users] + position
    # `history` is training and validation, not the test: a validation that avoids the test item
    # knows it, so the test item may be a candidate here, as it may be a negative in training.
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
    user, item = np.delete(history.user, at), np.delete(history.item, at)
    return Interactions._sorted(user, item, history.num_users, history.num_items)
