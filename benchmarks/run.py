"""Sampling, ranking and parsing against plain Python loops that do the same.

Run with ``make bench``. The two sides take turns, so that a busy moment of the machine hits both;
the figure is the ratio of their medians. Where a result is determined, it is checked to be equal.
"""

import io
import json
import math
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np

from ncf_utils import NegativeSampler, hit_ratio, load_dataset, ndcg, positive_ranks
from ncf_utils.readers import parse_table

RESULTS = Path(__file__).with_name("results.json")
ROUNDS = 7
NUM_NEGATIVES = 4


def main():
    dataset = load_dataset("ml-latest-small")
    table = [measure(*case(dataset)) for case in (sampling, ranking, parsing)]
    print(f"{'':<50} {'ncf_utils':>14} {'plain loop':>12}    ratio")
    for row in table:
        print("{name:<50} {ours:11.1f} ms {loop:9.1f} ms {ratio:6.1f} x".format(**row))
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    RESULTS.write_text(json.dumps({"machine": machine, "rows": table}, indent=1) + "\n")


def measure(name, ours, loop, agree=None):
    """Median milliseconds of both sides, and how many times faster ours is."""
    assert agree is None or agree(ours(), loop())
    times = {ours: [], loop: []}
    for _ in range(ROUNDS):
        for side in times:
            start = time.perf_counter()
            side()
            times[side].append(1000 * (time.perf_counter() - start))
    fast, slow = (statistics.median(times[side]) for side in (ours, loop))
    return {
        "name": name,
        "ours": round(fast, 3),
        "loop": round(slow, 3),
        "ratio": round(slow / fast, 1),
    }


def sampling(dataset):
    """One epoch of training instances; the loop is the usual rejection loop over a set of pairs."""
    train = dataset.train
    sampler = NegativeSampler(train, NUM_NEGATIVES, seed=0)
    pairs = list(zip(train.user.tolist(), train.item.tolist(), strict=True))
    seen = set(pairs)
    rng = np.random.default_rng(0)

    def loop():
        user_input, item_input, labels = [], [], []
        for user, item in pairs:
            user_input.append(user)
            item_input.append(item)
            labels.append(1.0)
            for _ in range(NUM_NEGATIVES):
                negative = int(rng.random() * dataset.num_items)
                while (user, negative) in seen:
                    negative = int(rng.random() * dataset.num_items)
                user_input.append(user)
                item_input.append(negative)
                labels.append(0.0)
        return np.array(user_input), np.array(item_input), np.array(labels, np.float32)

    def agree(ours, plain):
        return len(ours[0]) == len(plain[0]) and ours[2].sum() == plain[2].sum()

    return f"one epoch, {len(train):,} positives x {NUM_NEGATIVES}", sampler.epoch, loop, agree


def ranking(dataset):
    """HR@10 and NDCG@10 of random scores; the loop counts rivals user by user."""
    rng = np.random.default_rng(0)
    negative = rng.random((20_000, 99))
    positive = rng.random(20_000)

    def ours():
        ranks = positive_ranks(positive, negative)
        return hit_ratio(ranks), ndcg(ranks)

    def loop():
        hits = gain = 0.0
        for score, rivals in zip(positive.tolist(), negative.tolist(), strict=True):
            rank = sum(rival >= score for rival in rivals)
            if rank < 10:
                hits += 1
                gain += 1 / math.log2(rank + 2)
        return hits / len(positive), gain / len(positive)

    return "HR and NDCG, 20,000 users x 100 candidates", ours, loop, np.allclose


def parsing(dataset):
    """Lines of the paper's format into arrays."""
    rng = np.random.default_rng(0)
    numbers = np.column_stack(
        [np.sort(rng.integers(0, 6040, 200_000)), rng.integers(0, 3706, (200_000, 3))]
    )
    text = io.StringIO()
    np.savetxt(text, numbers, fmt="%d", delimiter="\t")
    content = text.getvalue().encode()
    names = ("user", "item", "rating", "timestamp")

    def loop():
        columns = ([], [], [], [])
        for line in io.TextIOWrapper(io.BytesIO(content)):
            for column, field in zip(columns, line.split("\t"), strict=True):
                column.append(int(field))
        return [np.array(column) for column in columns]

    def agree(ours, plain):
        return all(np.array_equal(a, b) for a, b in zip(ours, plain, strict=True))

    return (
        "200,000 lines of four numbers",
        lambda: parse_table(content, "-", names, "\t"),
        loop,
        agree,
    )


if __name__ == "__main__":
    main()
