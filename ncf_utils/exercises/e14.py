"""Exercises of notebook 14, serving."""

import numpy as np

from . import Exercise

# --- 14.1 ----------------------------------------------------------------------------------------


def top_k_of(scores, seen, allowed, k):
    left = [film for film in range(len(scores)) if allowed[film] and not seen[film]]
    top = []
    while left and len(top) < k:
        top.append(max(left, key=lambda film: (scores[film], -film)))
        left.remove(top[-1])
    return top


def _masks(rng):
    yield np.array([0.2, 0.9]), np.array([False, False]), np.array([True, False]), 1
    yield np.array([0.2, 0.9, 0.5]), np.array([False, True, False]), np.ones(3, bool), 1
    yield np.array([0.2, 0.9, 0.5, 0.5]), np.zeros(4, bool), np.array([True, False, True, True]), 2
    yield np.array([0.2, 0.9, 0.5, 0.7, 0.1]), np.zeros(5, bool), np.arange(5) > 2, 4
    for size in (12, 100):
        # few values, so that many scores are equal
        scores = rng.integers(0, 6, size) / 10
        yield scores, rng.random(size) < 0.3, rng.random(size) < 0.5, size // 4


def _sorted(scores, without, kind="stable"):
    masked = np.where(without, -np.inf, scores)
    order = np.argsort(-masked, kind=kind)
    return order[np.isfinite(masked[order])]


def _turned_round(scores, seen, allowed, k):
    masked = np.where(seen | ~allowed, -np.inf, scores)
    order = np.argsort(masked)[::-1]
    return order[np.isfinite(masked[order])][:k]


def _filter_last(scores, seen, allowed, k):
    top = _sorted(scores, seen)[:k]
    return top[allowed[top]]


# --- 14.2 ----------------------------------------------------------------------------------------


def two_vectors(user_term, item_term):
    return [[term, 1.0] for term in user_term], [[1.0, term] for term in item_term]


def _products(function, user_term, item_term):
    """More than one pair of tables is right: what counts is their width and the scores."""
    P, Q = (np.asarray(table, dtype=float) for table in function(user_term, item_term))
    return {"shapes": f"{P.shape} and {Q.shape}", "P @ Q.T": np.round(P @ Q.T, 6).tolist()}


def _terms(rng):
    yield np.array([1.0]), np.array([2.0])
    yield np.array([1.0, 2.0]), np.array([10.0, 20.0, 30.0])
    for users, items in ((2, 4), (3, 5)):
        yield rng.integers(-9, 9, users).astype(float), rng.integers(-9, 9, items).astype(float)


# --- 14.3 ----------------------------------------------------------------------------------------


def take_back(left, right, q):
    """Column by column: Gauss and Jordan on the system without the film."""
    n = len(right)
    rows = [
        [float(left[i, j] - q[i] * q[j]) for j in range(n)] + [float(right[i] - q[i])]
        for i in range(n)
    ]
    for at in range(n):
        best = max(range(at, n), key=lambda i: abs(rows[i][at]))
        rows[at], rows[best] = rows[best], rows[at]
        for i in range(n):
            if i != at:
                factor = rows[i][at] / rows[at][at]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[at], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def _systems(rng):
    for films, width in ((2, 1), (2, 2), (4, 3), (20, 6)):
        Q = rng.integers(-3, 4, (films, width)).astype(float)
        Q[0, 0] = 2.0
        yield np.eye(width) + Q.T @ Q, Q.sum(axis=0), Q[0]


# --- 14.4 ----------------------------------------------------------------------------------------


def candidates_needed(places, share):
    wanted, count = [place for row in places for place in row], 0
    while sum(place < count for place in wanted) < share * len(wanted):
        count += 1
    return count


def _places(rng):
    yield np.array([[0]]), 1.0
    yield np.array([[0, 3]]), 0.5
    yield np.array([[0, 3, 5]]), 0.5
    yield np.array([[0, 7, 2, 4]]), 0.75
    yield np.array([[0, 1, 5, 9], [0, 30, 2, 3]]), 0.75
    for users in (4, 20):
        yield rng.geometric(0.02, (users, 10)) - 1, 0.9


def _needed(places, share, and_one=1):
    ordered = np.sort(np.ravel(places))
    return ordered[int(np.ceil(share * len(ordered))) - 1] + and_one


# --- 14.5 ----------------------------------------------------------------------------------------


def at_most(ranked, kind, limit, k):
    shown = []
    for film in ranked:
        same = sum(kind[other] == kind[film] for other in shown)
        if same < limit and len(shown) < k:
            shown.append(film)
    return shown


def _rankings(rng):
    yield np.array([1, 0]), np.array([5, 5]), 1, 2
    yield np.array([2, 0, 1]), np.array([5, 6, 5]), 1, 2
    yield np.array([3, 1, 0, 2]), np.array([0, 1, 1, 1]), 2, 3
    yield np.array([4, 3, 2, 1, 0]), np.array([7, 7, 8, 8, 8]), 2, 3
    for size in (10, 30):
        yield rng.permutation(size), rng.integers(0, 4, size), 2, 6


EXERCISES = [
    Exercise(
        "14.1",
        "Only comedies",
        ("scores", "seen", "allowed", "k"),
        top_k_of,
        _masks,
        {
            "filter before you take the best: of ten films perhaps two are allowed.": _filter_last,
            "films that were seen are in it; mask them as well.": (
                lambda scores, seen, allowed, k: _sorted(scores, ~allowed)[:k]
            ),
            "films that are not allowed are in it; mask them as well.": (
                lambda scores, seen, allowed, k: _sorted(scores, seen)[:k]
            ),
            "where fewer than k films are left, masked ones fill up: cut the list there.": (
                lambda scores, seen, allowed, k: np.argsort(
                    -np.where(seen | ~allowed, -np.inf, scores), kind="stable"
                )[:k]
            ),
            "among equal scores the smaller number goes first: sort -scores, and stably.": (
                lambda scores, seen, allowed, k: (
                    _sorted(scores[::-1], (seen | ~allowed)[::-1])[:k] * -1 + len(scores) - 1
                )
            ),
            'argsort leaves equal scores in any order, unless you ask for kind="stable".': (
                lambda scores, seen, allowed, k: _sorted(scores, seen | ~allowed, kind=None)[:k]
            ),
            "argsort turned round turns equal scores round as well: sort -scores, and stably.": (
                _turned_round
            ),
        },
    ),
    Exercise(
        "14.2",
        "The same list for all",
        ("user_term", "item_term"),
        two_vectors,
        _terms,
        {
            "this multiplies the two terms; they are to be added.": lambda a, b: (
                np.column_stack([a, 0 * a]),
                np.column_stack([b, 0 * b]),
            ),
            "these are the users' scores among themselves; Q is made of the films' terms.": (
                lambda a, b: (np.column_stack([a, 0 * a + 1]), np.column_stack([0 * a + 1, a]))
            ),
            "each 1 must meet the other side's term: (term, 1) and (1, term).": lambda a, b: (
                np.column_stack([a, 0 * a + 1]),
                np.column_stack([b, 0 * b + 1]),
            ),
            "only the film's term is left; the user's needs a 1 in the film's vector.": (
                lambda a, b: (
                    np.column_stack([0 * a, 0 * a + 1]),
                    np.column_stack([0 * b + 1, b]),
                )
            ),
        },
        measure=_products,
    ),
    Exercise(
        "14.3",
        "Take it back",
        ("left", "right", "q"),
        take_back,
        _systems,
        {
            "the film stands in both sums; it must leave the matrix as well.": (
                lambda left, right, q: np.linalg.solve(left, right - q)
            ),
            "the film stands in both sums; it must leave the right side as well.": (
                lambda left, right, q: np.linalg.solve(left - np.outer(q, q), right)
            ),
            "this adds the film once more; to take it back is to subtract.": (
                lambda left, right, q: np.linalg.solve(left + np.outer(q, q), right + q)
            ),
            "the user is no sum of films: take the film out of left and right, and solve then.": (
                lambda left, right, q: np.linalg.solve(left, right) - q
            ),
            "the film's part of the matrix is np.outer(q, q), a table; q @ q is one number.": (
                lambda left, right, q: np.linalg.solve(left - q @ q, right - q)
            ),
            "the film's part of the matrix is np.outer(q, q), a table; q * q is a vector.": (
                lambda left, right, q: np.linalg.solve(left - q * q, right - q)
            ),
        },
        tolerance=1e-5,
    ),
    Exercise(
        "14.4",
        "How many candidates?",
        ("places", "share"),
        candidates_needed,
        _places,
        {
            "a place counts from 0: whoever stands at place 5 is among six candidates.": (
                lambda places, share: _needed(places, share, and_one=0)
            ),
            "the share is of all films of all lists, not of each list by itself.": (
                lambda places, share: max(_needed(row, share) for row in places)
            ),
            "at least the share: round the number of films up, not down.": (
                lambda places, share: (
                    np.sort(np.ravel(places))[int(share * np.size(places)) - 1] + 1
                )
            ),
            "half a candidate cannot be had: sort the places, and do not interpolate.": (
                lambda places, share: np.quantile(places, share) + 1
            ),
            "this keeps every one of the films; asked is a share of them.": (
                lambda places, share: np.max(places) + 1
            ),
        },
    ),
    Exercise(
        "14.5",
        "At most two of a kind",
        ("ranked", "kind", "limit", "k"),
        at_most,
        _rankings,
        {
            "this counts within the first k only; walk on down the ranking until k are found.": (
                lambda ranked, kind, limit, k: at_most(ranked[:k], kind, limit, k)
            ),
            "kind is indexed by film, not by place: look up kind[film].": (
                lambda ranked, kind, limit, k: [
                    film
                    for place, film in enumerate(ranked)
                    if sum(kind[:place] == kind[place]) < limit
                ][:k]
            ),
            "`limit` of a kind may be shown: stop at the next one, not at this one.": (
                lambda ranked, kind, limit, k: at_most(ranked, kind, limit - 1, k)
            ),
            "this lets one too many of a kind in.": (
                lambda ranked, kind, limit, k: at_most(ranked, kind, limit + 1, k)
            ),
        },
    ),
]
