"""One epoch of training instances: `NegativeSampler` against the loop that everybody writes."""

from __future__ import annotations

import random

import numpy as np

from ncf_utils import NegativeSampler

from .measuring import NUM_NEGATIVES, Side, rounded, stopwatch


def python_loop(positives, seen, num_negatives, draw):
    """The textbook's epoch: a negative is drawn again while the user has touched it.

    Args:
        positives: pairs (user, item).
        seen: dictionary with every observed pair (user, item) as a key.
        num_negatives: negatives for each positive.
        draw: function that returns a random item.

    Returns:
        Lists of users, items and labels.
    """
    users, items, labels = [], [], []
    for user, item in positives:
        users.append(user)
        items.append(item)
        labels.append(1)
        for _ in range(num_negatives):
            negative = draw()
            while (user, negative) in seen:
                negative = draw()
            users.append(user)
            items.append(negative)
            labels.append(0)
    return users, items, labels


def bare_groups(rng, train, num_negatives):
    """What `epoch_groups` returns, but for one thing: nobody looks whether a pair was seen."""
    item = np.empty((len(train), 1 + num_negatives), np.int32)
    item[:, 0] = train.item
    item[:, 1:] = rng.integers(train.num_items, size=(len(train), num_negatives), dtype=np.int32)
    order = rng.permutation(len(train))
    return train.user[order, None], item[order]


def bare_instances(rng, train, num_negatives):
    """What `epoch` returns, but for one thing: nobody looks whether a pair was seen."""
    item = np.empty((len(train), 1 + num_negatives), np.int32)
    item[:, 0] = train.item
    item[:, 1:] = rng.integers(train.num_items, size=(len(train), num_negatives), dtype=np.int32)
    label = np.zeros(item.shape, np.float32)
    label[:, 0] = 1
    user = np.broadcast_to(train.user[:, None], item.shape)
    order = rng.permutation(item.size)
    return user.ravel()[order], item.ravel()[order], label.ravel()[order]


def measure(setting):
    dataset = setting.load()
    train, num_items = dataset.train, dataset.num_items
    sampler = NegativeSampler(train, NUM_NEGATIVES, seed=0)
    seen = dict.fromkeys(zip(train.user.tolist(), train.item.tolist(), strict=True), 1.0)
    positives = list(seen)[:: max(1, len(seen) // setting.about(50_000))]
    share = len(positives) / len(train)
    rng = np.random.default_rng(0)
    shape = len(train), 1 + NUM_NEGATIVES
    user, item, label = sampler.epoch()
    groups = user[: len(train)], item

    def loop(draw):
        return stopwatch(python_loop, positives, seen, NUM_NEGATIVES, draw)

    def copy(*arrays):
        return stopwatch(lambda: [array.copy() for array in arrays])

    def numbers():
        rng.integers(num_items, size=(len(train), NUM_NEGATIVES), dtype=np.int32)

    sides = [
        Side("epoch_groups", stopwatch(sampler.epoch_groups)),
        Side("epoch", stopwatch(sampler.epoch)),
        Side("loop_numpy", loop(lambda: np.random.randint(num_items)), share),
        Side("loop_random", loop(lambda: int(random.random() * num_items)), share),
        Side("bare_groups", stopwatch(bare_groups, rng, train, NUM_NEGATIVES)),
        Side("bare_instances", stopwatch(bare_instances, rng, train, NUM_NEGATIVES)),
        Side("numbers", stopwatch(numbers)),
        Side("permutation_groups", stopwatch(rng.permutation, len(train))),
        Side("permutation_instances", stopwatch(rng.permutation, len(label))),
        Side("writing_groups", copy(*groups)),
        Side("writing_instances", copy(user, item, label)),
    ]
    return {
        "positives": len(train),
        "instances": shape[0] * shape[1],
        "loop_share": rounded(share),
        "sides": setting.take_turns(sides),
    }
