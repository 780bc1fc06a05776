"""Exercises of notebook 00, the first recommender and its test."""

import numpy as np

from . import Exercise

# --- 00.1 ----------------------------------------------------------------------------------------


def share_of_hits(places, k):
    hits = 0
    for place in places:
        if place <= k:
            hits += 1
    return hits / len(places)


def _places(rng):
    yield [1], 10
    yield [3, 1, 2], 2
    for size in (5, 40):
        yield rng.integers(1, 101, size), 10


# --- 00.2 ----------------------------------------------------------------------------------------


def recommend(scores, seen, k):
    left = [film for film in range(len(scores)) if film not in set(seen.tolist())]
    chosen = []
    for _ in range(k):
        best = left[0]
        for film in left:
            if scores[film] > scores[best]:
                best = film
        left.remove(best)
        chosen.append(best)
    return chosen


def _films(rng):
    yield np.array([0.1, 0.3]), np.array([1]), 1
    yield np.array([-1.0, -2.0, -3.0]), np.array([0]), 1
    yield np.array([0.2, 0.9, 0.5, 0.7]), np.array([1]), 2
    for size in (8, 40):
        yield rng.normal(size=size), rng.permutation(size)[: size // 4], 5


# --- 00.3 ----------------------------------------------------------------------------------------


def in_common(recommended, counts, seen):
    popular = recommend(np.asarray(counts, dtype=float), seen, len(recommended))
    return sum(film in popular for film in recommended)


def _recommended(rng):
    yield np.array([1]), np.array([5, 9]), np.array([0])
    yield np.array([3, 2]), np.array([60, 50, 40, 30, 20]), np.array([0])
    yield np.array([1, 4]), np.array([60, 50, 40, 30, 20]), np.array([2])
    for size in (12, 50):
        films = rng.permutation(size)
        yield films[:5], rng.permutation(size) * 3, films[5 : 5 + size // 4]


def _most_popular(counts, number):
    return np.argsort(-counts)[:number]


def _unseen(order, seen):
    """The films of an order that were not seen."""
    return order[~np.isin(order, seen)]


def _struck_out_whole(recommended, counts, seen):
    left = counts.copy()
    left[seen] = -np.inf  # OverflowError
    return np.isin(recommended, _most_popular(left, len(recommended))).sum()


EXERCISES = [
    Exercise(
        "00.1",
        "The share of hits",
        ("places", "k"),
        share_of_hits,
        _places,
        {
            "place k is still on the list: a hit is a place of k or less.": lambda places, k: (
                np.mean(np.asarray(places) < k)
            ),
            "this counts the hits; divide by the number of people.": lambda places, k: np.sum(
                np.asarray(places) <= k
            ),
            "this is the share of misses; a hit is a *small* place.": lambda places, k: np.mean(
                np.asarray(places) > k
            ),
        },
    ),
    Exercise(
        "00.2",
        "A list for one person",
        ("scores", "seen", "k"),
        recommend,
        _films,
        {
            "films that were seen must be struck out before the best are taken.": (
                lambda scores, seen, k: np.argsort(-scores)[:k]
            ),
            "a score may be below 0, and a seen film at 0 then wins: strike it out with -np.inf.": (
                lambda scores, seen, k: np.argsort(
                    -np.where(np.isin(np.arange(len(scores)), seen), 0, scores)
                )[:k]
            ),
            "these are the lowest scores: argsort begins with the smallest.": (
                lambda scores, seen, k: [f for f in np.argsort(scores) if f not in seen][:k]
            ),
            "these are scores; asked for are the films, by their numbers.": (
                lambda scores, seen, k: np.sort(np.delete(scores, seen))[::-1][:k]
            ),
            "np.delete moves the films behind it up, and their numbers change.": (
                lambda scores, seen, k: np.argsort(-np.delete(scores, seen))[:k]
            ),
        },
    ),
    Exercise(
        "00.3",
        "How original is it?",
        ("recommended", "counts", "seen"),
        in_common,
        _recommended,
        {
            "what was seen is not recommended: strike it out among the popular, too.": (
                lambda recommended, counts, seen: len(
                    np.intersect1d(recommended, _most_popular(counts, len(recommended)))
                )
            ),
            "counts are whole numbers, and none of them is infinite: strike out with -1.": (
                _struck_out_whole
            ),
            "np.delete moves the films behind it up, and their numbers change.": (
                lambda recommended, counts, seen: len(
                    np.intersect1d(
                        recommended, _most_popular(np.delete(counts, seen), len(recommended))
                    )
                )
            ),
            "take as many popular films as were recommended, not ten.": (
                lambda recommended, counts, seen: len(
                    np.intersect1d(recommended, _unseen(np.argsort(-counts), seen)[:10])
                )
            ),
            "these are the least popular films: argsort begins with the smallest.": (
                lambda recommended, counts, seen: len(
                    np.intersect1d(
                        recommended, _unseen(np.argsort(counts), seen)[: len(recommended)]
                    )
                )
            ),
            "a film counts at whatever place it stands in the two lists: see np.isin.": (
                lambda recommended, counts, seen: (
                    recommended == _unseen(np.argsort(-counts), seen)[: len(recommended)]
                ).sum()
            ),
            "this is a share; asked for is the number of films.": (
                lambda recommended, counts, seen: (
                    in_common(recommended, counts, seen) / len(recommended)
                )
            ),
            "these are the films that are *not* among the popular ones.": (
                lambda recommended, counts, seen: (
                    len(recommended) - in_common(recommended, counts, seen)
                )
            ),
        },
    ),
]
