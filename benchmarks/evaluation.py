"""Ranking every user's held-out item: `evaluate` against one call of the model a user."""

from __future__ import annotations

import heapq
import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ncf_utils import HeldOut, evaluate, keras_ncf, torch_ncf

from . import rates
from .measuring import HIDDEN_LAYERS, NUM_FACTORS, Side, default_of, neumf, stopwatch

K = 10


def hit_and_gain(items, scores, positive):
    """HR@K and NDCG@K of one user, as the textbook has them: the K best by a heap."""
    score_of = dict(zip(items, scores, strict=True))
    best = heapq.nlargest(K, score_of, key=score_of.get)
    if positive not in best:
        return 0.0, 0.0
    return 1.0, math.log(2) / math.log(best.index(positive) + 2)


def predict_each_user(model, held_out):
    """HR@K and NDCG@K by one Keras `predict` a user.

    Args:
        model: a Keras model of one user and one item a row.
        held_out: a `HeldOut`.
    """
    found = []
    for user, item, negatives in zip(
        held_out.user, held_out.item.tolist(), held_out.negatives.tolist(), strict=True
    ):
        items = [*negatives, item]
        rows = np.full((len(items), 1), user), np.array(items)[:, None]
        scores = model.predict(rows, batch_size=len(items), verbose=0)
        found.append(hit_and_gain(items, scores.ravel().tolist(), item))
    return np.mean(found, axis=0)


def score_each_user(model, held_out):
    """HR@K and NDCG@K by one forward pass of a PyTorch model a user."""
    found = []
    model.eval()
    with torch.no_grad():
        for user, item, negatives in zip(
            held_out.user.tolist(), held_out.item.tolist(), held_out.negatives.tolist(), strict=True
        ):
            items = [*negatives, item]
            scores = model(torch.full((len(items),), user), torch.tensor(items))
            found.append(hit_and_gain(items, scores.tolist(), item))
    return np.mean(found, axis=0)


def some_users(held_out, amount):
    """The held-out items of `amount` users, evenly among all, and which share they are."""
    rows = np.arange(0, len(held_out), max(1, len(held_out) // amount))
    part = HeldOut(held_out.user[rows], held_out.item[rows], held_out.negatives[rows])
    return part, len(rows) / len(held_out)


def full_ranking_products(num_users, num_items, embedding_dim, num_factors, hidden_layers):
    """The matrix products of scoring every pair, as (m, k, n): the first layer once a table."""
    pairs, widths = num_users * num_items, list(hidden_layers)
    return [
        (num_users, embedding_dim, widths[0]),
        (num_items, embedding_dim, widths[0]),
        *((pairs, k, n) for k, n in zip(widths[:-1], widths[1:], strict=True)),
        (pairs, num_factors, 1),
        (pairs, widths[-1], 1),
    ]


def measure(setting):
    dataset = setting.load()
    return {
        "users": len(dataset.test),
        "candidates": 1 + dataset.test.negatives.shape[1],
        "items": dataset.num_items,
        "rows": [compare(setting, dataset, dim) for dim in setting.embedding_dims],
    }


def compare(setting, dataset, embedding_dim):
    """Both frameworks' `evaluate`, the loops and the limit of full ranking, in turns."""
    in_torch, in_keras = (neumf(ncf, dataset, embedding_dim) for ncf in (torch_ncf, keras_ncf))
    scores = {
        "torch": torch_ncf.score_function(in_torch),
        "keras": keras_ncf.score_function(in_keras),
    }
    few, few_share = some_users(dataset.test, setting.about(40))
    many, many_share = some_users(dataset.test, setting.about(500))
    sampled = [
        *(Side(name, stopwatch(evaluate, score, dataset)) for name, score in scores.items()),
        Side("predict", stopwatch(predict_each_user, in_keras, few), few_share),
        Side("loop", rates.one_thread(stopwatch(score_each_user, in_torch, many)), many_share),
    ]
    ranked, _ = some_users(dataset.test, setting.about(len(dataset.test)))
    full_ranking = partial(evaluate, dataset=replace(dataset, test=ranked), full=True)
    sizes = embedding_dim, NUM_FACTORS, HIDDEN_LAYERS
    work = rates.flop(full_ranking_products(len(ranked), dataset.num_items, *sizes))
    # In the pieces that `evaluate` takes: what so many pairs give would not fit the cache.
    rows = max(1, default_of(evaluate, "batch_size") // dataset.num_items)
    piece = full_ranking_products(rows, dataset.num_items, *sizes)
    full = [
        *(Side(f"full_{name}", stopwatch(full_ranking, score)) for name, score in scores.items()),
        rates.large_products(work),
        rates.these_products(piece, len(ranked) / rows, backward=False),
    ]
    return {
        "embedding_dim": embedding_dim,
        "users_predicted": len(few),
        "users_looped": len(many),
        "gigaflop": work / 1e9,
        "sides": setting.take_turns(sampled) | setting.take_turns(full, slow=True),
    }
