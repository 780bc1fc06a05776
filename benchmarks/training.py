"""An epoch of training in PyTorch: `fit` against a `Dataset` that draws each negative by itself."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ncf_utils import torch_ncf
from ncf_utils.training import groups_per_step

from . import rates
from .measuring import (
    HIDDEN_LAYERS,
    NUM_FACTORS,
    NUM_NEGATIVES,
    Side,
    default_of,
    neumf,
    rounded,
    some_positives,
    stopwatch,
)

BATCH_SIZES = (256, 1024)  # and the default of `fit`


class Instances(Dataset):
    """The idiom: an epoch is indexed, and an index that means a negative draws it on the spot.

    Args:
        positives: pairs (user, item).
        seen: dictionary with every observed pair (user, item) as a key.
        num_items: items to draw from.
        num_negatives: negatives for each positive.
    """

    def __init__(self, positives, seen, num_items, num_negatives):
        self.positives, self.seen = positives, seen
        self.num_items, self.num_negatives = num_items, num_negatives

    def __len__(self):
        return len(self.positives) * (1 + self.num_negatives)

    def __getitem__(self, index):
        positive, place = divmod(index, 1 + self.num_negatives)
        user, item = self.positives[positive]
        if place == 0:
            return user, item, np.float32(1)
        negative = np.random.randint(self.num_items)
        while (user, negative) in self.seen:
            negative = np.random.randint(self.num_items)
        return user, negative, np.float32(0)


def train_epoch(model, optimizer, batches):
    """The loop of every tutorial, over batches of users, items and labels."""
    loss_function = torch.nn.BCEWithLogitsLoss()
    model.train()
    for user, item, label in batches:
        optimizer.zero_grad()
        loss = loss_function(model(user, item), label)
        loss.backward()
        optimizer.step()


def measure(setting):
    dataset = setting.load()
    default = default_of(torch_ncf.fit, "batch_size")
    batch_sizes = [default] if setting.quick else sorted({*BATCH_SIZES, default})
    return {
        "default_batch_size": default,
        "instances": len(dataset.train) * (1 + NUM_NEGATIVES),
        "rows": [
            compare(setting, dataset, embedding_dim, batch_size, default)
            for embedding_dim in setting.embedding_dims
            for batch_size in batch_sizes
        ],
    }


def compare(setting, dataset, embedding_dim, batch_size, default):
    """`fit`, the idiom and the limits at one batch size, in turns."""
    # Small steps are slow, and part of an epoch is enough of them.
    amount = setting.about(len(dataset.train) if batch_size == default else 50_000)
    groups = groups_per_step(batch_size, NUM_NEGATIVES)
    steps = len(dataset.train) / groups
    sizes = groups, NUM_NEGATIVES, embedding_dim, NUM_FACTORS, HIDDEN_LAYERS
    shapes = rates.products(*sizes)
    moved = rates.step_bytes(*sizes, dataset.num_users + dataset.num_items)
    work, size = 3 * rates.flop(shapes) * steps, rates.FLOAT * batch_size * HIDDEN_LAYERS[0]
    sides = [
        fit_side("fit", torch_ncf, dataset, embedding_dim, batch_size, amount),
        dataloader_side(dataset, embedding_dim, batch_size, max(setting.about(10_000), 2 * groups)),
        rates.large_products(work),
        rates.these_products(shapes, steps),
        rates.copies(sum(moved.values()) * steps, size),
    ]
    return {
        "embedding_dim": embedding_dim,
        "batch_size": batch_size,
        "steps": round(steps),
        "gigaflop": work / 1e9,
        "gigabytes": {name: count * steps / 1e9 for name, count in moved.items()},
        "sides": setting.take_turns(sides, slow=amount == len(dataset.train)),
    }


def fit_side(name, framework, dataset, embedding_dim, batch_size, amount, compiling=None):
    """A side: the second epoch of `fit`, its negatives included, its evaluation not.

    The first is not like those that follow: Keras compiles in it, and its negatives are waited for,
    while those of the others are drawn ahead.

    Args:
        amount: positives to train on.
        compiling: a list that takes by how many seconds the first epoch was slower.
    """
    part, share = some_positives(dataset, amount)
    model = neumf(framework, dataset, embedding_dim)

    def run():
        options = {"evaluate_test": False, "progress": False, "device": "cpu"}
        fit = framework.fit(model, part, epochs=2, batch_size=batch_size, **options)
        first, last = fit.history.seconds.iloc[[1, -1]]  # row 0 is the untrained model
        if compiling is not None:
            compiling.append(rounded(first - last))
        return float(last)

    return Side(name, run, share)


def dataloader_side(dataset, embedding_dim, batch_size, amount):
    """A side: an epoch of the idiom over some of the positives; one thread, as in `fit`."""
    train = dataset.train
    part, share = some_positives(dataset, amount)
    seen = dict.fromkeys(zip(train.user.tolist(), train.item.tolist(), strict=True), 1.0)
    positives = list(zip(part.train.user.tolist(), part.train.item.tolist(), strict=True))
    instances = Instances(positives, seen, dataset.num_items, NUM_NEGATIVES)
    model = neumf(torch_ncf, dataset, embedding_dim)
    optimizer = torch.optim.Adam(model.parameters(), default_of(torch_ncf.fit, "learning_rate"))

    def epoch():
        train_epoch(model, optimizer, DataLoader(instances, batch_size, shuffle=True))

    return Side("dataloader", rates.one_thread(stopwatch(epoch)), share)
