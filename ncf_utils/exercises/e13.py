"""Exercises of notebook 13, beyond ids."""

import math

import numpy as np

from . import Exercise

# --- 13.1 ----------------------------------------------------------------------------------------


def pool(vectors, mask):
    pooled = np.zeros((len(vectors), vectors.shape[2]))
    for user, places in enumerate(mask):
        real = [vectors[user, place] for place, there in enumerate(places) if there]
        for vector in real:
            pooled[user] += vector / len(real)
    return pooled


def _histories(rng):
    yield np.array([[[1.0, 3.0], [3.0, 5.0]]]), np.array([[1.0, 1.0]])
    yield np.array([[[9.0, 9.0], [3.0, 5.0]]]), np.array([[0.0, 1.0]])
    yield np.array([[[9.0], [2.0]], [[4.0], [8.0]]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    for users, places, width in ((3, 4, 2), (8, 10, 5)):
        vectors = rng.normal(size=(users, places, width))
        yield vectors, (rng.random((users, places)) < 0.6).astype(float)


def _sums(vectors, mask):
    return (vectors * mask[..., None]).sum(1)


# --- 13.2 ----------------------------------------------------------------------------------------


def leaking(past, mask, positive):
    count = 0
    for row in range(len(past)):
        count += any(
            item == positive[row] for item, there in zip(past[row], mask[row], strict=True) if there
        )
    return count


def _pasts(rng):
    yield np.array([[7]]), np.array([[True]]), np.array([7])
    yield np.array([[0, 7]]), np.array([[False, True]]), np.array([0])
    yield np.array([[4, 4], [2, 5]]), np.array([[True, True]] * 2), np.array([4, 3])
    for size in (5, 30):
        mask = np.arange(6) >= rng.integers(0, 7, size)[:, None]
        past = np.where(mask, rng.integers(0, 9, (size, 6)), 0)
        yield past, mask, np.where(rng.random(size) < 0.3, 0, rng.integers(0, 9, size))


# --- 13.3 ----------------------------------------------------------------------------------------


def decade_rows(year):
    decades = sorted({int(one) // 10 for one in year if not math.isnan(one)})
    rows = np.zeros((len(year), len(decades)))
    for film, one in enumerate(year):
        if not math.isnan(one):
            rows[film, decades.index(int(one) // 10)] = 1
    return rows


def _years(rng):
    yield (np.array([1994.0]),)
    yield (np.array([1999.0, 1990.0, 1989.0]),)
    yield (np.array([1979.0, np.nan, 1995.0, 2004.0]),)
    for size in (6, 12):
        yield (np.where(rng.random(size) < 0.2, np.nan, rng.integers(1930, 2019, size)),)


def _one_hot(decade):
    return (decade[:, None] == np.unique(decade[~np.isnan(decade)])).astype(float)


def _all_between(year):
    decade = year // 10
    return (decade[:, None] == np.arange(np.nanmin(decade), np.nanmax(decade) + 1)).astype(float)


def _unknown_first(year):
    return _one_hot(np.where(np.isnan(year), np.nanmin(year), year) // 10)


# --- 13.4 ----------------------------------------------------------------------------------------


def softmax_loss(logits):
    total = 0.0
    for row in logits.tolist():
        largest = max(row)
        total += largest - row[0] + math.log(sum(math.exp(logit - largest) for logit in row))
    return total / len(logits)


def _groups(rng):
    yield (np.array([[0.0, 0.0]]),)
    yield (np.array([[2.0, 0.0, 1.0]]),)
    yield (np.array([[1000.0, 1001.0, 999.0]]),)
    yield (np.array([[1.0, 0.0], [-1.0, 3.0]]),)
    yield (np.array([[1000.0, 999.0], [0.0, -1.0]]),)
    for shape in ((4, 5), (10, 5)):
        yield (rng.normal(size=shape).round(2),)


def _without_care(logits):
    with np.errstate(all="ignore"):
        return -np.log(np.exp(logits[:, 0]) / np.exp(logits).sum(1)).mean()


def _log_sum(logits, axis=1):
    largest = logits.max(axis=axis, keepdims=True)
    return np.log(np.exp(logits - largest).sum(axis=axis)) + largest.squeeze(axis)


# --- 13.5 ----------------------------------------------------------------------------------------


def attend(film, past, mask):
    user = np.zeros_like(film)
    for row in range(len(film)):
        places = [place for place in range(past.shape[1]) if mask[row, place]]
        weights = [math.exp(sum(film[row] * past[row, place])) for place in places]
        for place, weight in zip(places, weights, strict=True):
            user[row] += weight / sum(weights) * past[row, place]
    return user


def _queries(rng):
    yield np.array([[1.0]]), np.array([[[0.0], [1.0]]]), np.array([[1.0, 1.0]])
    yield np.array([[1.0]]), np.array([[[5.0], [2.0], [1.0]]]), np.array([[0.0, 1.0, 1.0]])
    for users, places, width in ((2, 3, 2), (6, 8, 4)):
        mask = np.arange(places) >= rng.integers(0, places, users)[:, None]
        past = rng.normal(size=(users, places, width))
        yield rng.normal(size=(users, width)), past, mask.astype(float)


def _weighted(film, past, mask, softmax):
    score = np.einsum("bd,btd->bt", film, past)
    return np.einsum("bt,btd->bd", softmax(score, mask), past)


def _share(power, axis=1):
    return power / power.sum(axis=axis, keepdims=True)


EXERCISES = [
    Exercise(
        "13.1",
        "A masked mean",
        ("vectors", "mask"),
        pool,
        _histories,
        {
            "this counts the filling; multiply by the mask first.": lambda vectors, mask: (
                vectors.mean(1)
            ),
            "divide by the number of real films, not by the number of places.": (
                lambda vectors, mask: _sums(vectors, mask) / mask.shape[1]
            ),
            "this is the sum; the mean divides it by the number of real films.": _sums,
            "somebody has seen nothing, and 0 / 0 is no vector: the divisor may not be 0.": (
                lambda vectors, mask: (
                    _sums(vectors, mask) / np.where(mask.any(1), mask.sum(1), np.nan)[:, None]
                )
            ),
        },
    ),
    Exercise(
        "13.2",
        "The leak",
        ("past", "mask", "positive"),
        leaking,
        _pasts,
        {
            "a masked place is no film, whatever stands there.": lambda past, mask, positive: (
                (past == positive[:, None]).any(1).sum()
            ),
            "a row counts once, however often the positive stands in it.": (
                lambda past, mask, positive: ((past == positive[:, None]) & mask).sum()
            ),
            "count the rows with a leak, not those without.": lambda past, mask, positive: (
                ~((past == positive[:, None]) & mask).any(1)
            ).sum(),
        },
    ),
    Exercise(
        "13.3",
        "Decades",
        ("year",),
        decade_rows,
        _years,
        {
            "1999 belongs to the nineties: divide by 10 and round down.": lambda year: _one_hot(
                np.round(year / 10)
            ),
            "a decade of which there is no film needs no column: it would never be trained.": (
                _all_between
            ),
            "a film without a year belongs to no decade: its row is all zeros.": _unknown_first,
            "this makes a column for each year; ten of them make a decade.": _one_hot,
        },
    ),
    Exercise(
        "13.4",
        "A third loss",
        ("logits",),
        softmax_loss,
        _groups,
        {
            "exp(1000) overflows: take the largest logit of a row away first; no share changes.": (
                _without_care
            ),
            "take away the largest logit of each *row*: beside 1000, a row near 0 is all zeros.": (
                lambda logits: _without_care(logits - logits.max())
            ),
            "the positive is one of the films to choose from: it belongs into the sum as well.": (
                lambda logits: (_log_sum(logits[:, 1:]) - logits[:, 0]).mean()
            ),
            "the sign: a share is at most 1, its logarithm at most 0, and a loss at least 0.": (
                lambda logits: (logits[:, 0] - _log_sum(logits)).mean()
            ),
            "the mean over users; this is the sum.": lambda logits: (
                _log_sum(logits) - logits[:, 0]
            ).sum(),
            "a user chooses among the films of one row; this sums down the columns.": (
                lambda logits: (_log_sum(logits, axis=0)[0] - logits[:, 0]).mean()
            ),
        },
    ),
    Exercise(
        "13.5",
        "What this film calls to mind",
        ("film", "past", "mask"),
        attend,
        _queries,
        {
            "exp(0) is 1: a score times the mask still has a weight. Mask what exp returns.": (
                lambda film, past, mask: _weighted(
                    film, past, mask, lambda score, mask: _share(np.exp(score * mask))
                )
            ),
            "the weights of the real films must sum to 1: divide after masking, not before.": (
                lambda film, past, mask: _weighted(
                    film, past, mask, lambda score, mask: _share(np.exp(score)) * mask
                )
            ),
            "this forgets the mask: filling is no film.": lambda film, past, mask: _weighted(
                film, past, mask, lambda score, mask: _share(np.exp(score))
            ),
            "these weights do not sum to 1: divide by their sum over a user's places.": (
                lambda film, past, mask: _weighted(
                    film, past, mask, lambda score, mask: np.exp(score) * mask
                )
            ),
        },
    ),
]
