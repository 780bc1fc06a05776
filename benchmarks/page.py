"""The page: what was measured, in words, tables and targets met or missed, from `results.json`.

A section is a function that takes a case's result, and returns its text and its targets.
"""

from __future__ import annotations

import math
import re
import statistics
import textwrap
from dataclasses import dataclass
from itertools import combinations

from .measuring import HIDDEN_LAYERS, ML_1M, NUM_FACTORS, NUM_NEGATIVES

TITLE = "# How fast, how large, against what"
INTRO = f"""
`make bench` measures, and writes this page; nothing on it is typed by hand. A figure is the median
of five rounds, or of three where a round is slow. Sides that are compared ran in one process and
took turns, so that a busy moment of the machine hit them all. A rival that is too slow to run in
full did the stated share of the work. The rivals are written out, as the textbook has them, beside
each case in this folder. `make bench BENCH="sampler growth"` measures these cases again and leaves
the others as they are.

The model is NeuMF with {NUM_FACTORS} factors and hidden layers
{"-".join(map(str, HIDDEN_LAYERS))}; its MLP branch has embeddings of 16 numbers (the paper's) or
of 32. Each positive has {NUM_NEGATIVES} negatives, but where it says otherwise. PyTorch and Keras
run on one thread, as `fit` holds them to it, and so do their rivals; `fit` draws the next epoch in
a second one meanwhile.
"""

FRAMEWORKS = {"torch": "PyTorch", "keras": "Keras"}
OWN_DATA = ("growth", "quality")  # cases that do not measure on the data set of the others


@dataclass(frozen=True)
class Target:
    """What was to be reached, what was measured, whether that is enough, and if not, why."""

    wanted: str
    measured: str
    met: bool
    why: str = ""


def render(results):
    """The whole page.

    Args:
        results: case -> what `python -m benchmarks` stored of it; a case that is not there has no
            section.
    """
    sections, targets = [], []
    for case, section in SECTIONS.items():
        if case in results:
            text, its_targets = section(results[case]["result"])
            sections += [text] if text else []
            targets += its_targets
    parts = [
        TITLE,
        *warnings(results),
        INTRO,
        target_table(targets),
        "![How many times faster than each rival](speed.png)",
        *sections,
        provenance(results),
    ]
    return filled("\n\n".join(part.strip() for part in parts if part)) + "\n"


def filled(text):
    """Markdown with its paragraphs and lists filled to 100 columns; tables are left as they are."""
    blocks = []
    for block in text.split("\n\n"):
        items = re.split(r"\n(?=- )", block)
        if not block.startswith(("|", "#", "!")):
            indent = "  " if block.startswith("- ") else ""
            options = {"subsequent_indent": indent, "break_on_hyphens": False}
            items = [textwrap.fill(" ".join(item.split()), 100, **options) for item in items]
        blocks.append("\n".join(items))
    return "\n\n".join(blocks)


def warnings(results):
    if any(entry["quick"] for entry in results.values()):
        yield "> **Made with `--quick`: the numbers mean nothing.**"
    others = [
        case
        for case, entry in results.items()
        if entry["dataset"] != ML_1M and case not in OWN_DATA
    ]
    if others:
        yield (
            f"> **Not measured on MovieLens-1M**, for which the targets are: {', '.join(others)}. "
            "Set `NCF_DATA_DIR` to a folder that holds `ncf-ml-1m`."
        )


def target_table(targets):
    if not targets:
        return ""
    rows = [(t.wanted, t.measured, "met" if t.met else "**missed**") for t in targets]
    met = sum(target.met for target in targets)
    reasons = "\n".join(f"- *{t.wanted}*: {t.why}" for t in targets if t.why and not t.met)
    return "\n\n".join(
        [
            "## Targets",
            f"They were set for 2 cores and MovieLens-1M. {met} of {len(targets)} are met.",
            table(["target", "measured", ""], rows, left=3),
            *(["What stands in the way of those that are missed:", reasons] if reasons else []),
        ]
    )


# --- numbers -------------------------------------------------------------------------------------


def median(side):
    return statistics.median(side["seconds"])


def times(slow, fast):
    return median(slow) / median(fast)


def count(value):
    """A ratio as text: 3.1 ×, 61 ×, 4,200 ×."""
    return (
        f"{value:,.0f} ×" if value >= 20 else f"{value:.1f} ×" if value >= 2 else f"{value:.2f} ×"
    )


def seconds(value):
    """Seconds as text: 470 s, 3.1 s, 0.14 s, 12 ms."""
    if value < 0.1:
        return f"{float(f'{1000 * value:.2g}'):g} ms"
    return (
        f"{value:,.0f} s" if value >= 100 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"
    )


def percent(share):
    return f"{float(f'{100 * share:.2g}'):g} %"


def gigabytes(number):
    return "not known" if number is None else f"{number / 1e9:.2f} GB"


def table(head, rows, left=1):
    """A Markdown table; all columns but the first `left` are numbers, to the right."""
    rule = ["---" if at < left else "---:" for at in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


# --- sections ------------------------------------------------------------------------------------


def sampler(result):
    sides = result["sides"]
    ours = sides["epoch_groups"]
    names = {
        "epoch_groups": "`NegativeSampler.epoch_groups()`, what `fit` trains on",
        "epoch": "`NegativeSampler.epoch()`, one instance a row",
        "loop_numpy": "Python loop, numbers from `np.random.randint`",
        "loop_random": "Python loop, numbers from `random.random`",
        "bare_groups": "bare NumPy, groups",
        "bare_instances": "bare NumPy, instances",
        "numbers": "a random item for each negative, in one call",
        "permutation_groups": "a permutation of the groups",
        "permutation_instances": "a permutation of the instances",
        "writing_groups": "the groups' arrays, copied",
        "writing_instances": "the instances' arrays, copied",
    }
    rows = [
        (text, seconds(median(sides[name])), count(times(sides[name], ours)))
        for name, text in names.items()
    ]
    limit = {
        kind: sum(median(sides[f"{part}{kind}"]) for part in ("permutation_", "writing_"))
        + median(sides["numbers"])
        for kind in ("groups", "instances")
    }
    above = {
        "groups": median(ours) / limit["groups"],
        "instances": median(sides["epoch"]) / limit["instances"],
    }
    bare = {
        "groups": times(ours, sides["bare_groups"]),
        "instances": times(sides["epoch"], sides["bare_instances"]),
    }
    faster = times(sides["loop_numpy"], ours)
    text = f"""
## The sampler: one epoch of training instances

{result["positives"]:,} positives, each with {NUM_NEGATIVES} negatives: {result["instances"]:,}
instances, shuffled.

{table(["", "seconds", "relative"], rows)}

**The Python loop** is that of most implementations: draw an item, and draw again while the
dictionary of observed pairs has it. It ran on {percent(result["loop_share"])} of the positives:
with numbers from NumPy, as most write it, and with Python's own, the fastest that a plain loop
gets.

**Bare NumPy** makes arrays of the same shapes and shuffles them, but does not look whether a user
has seen an item. `epoch_groups` takes {count(bare["groups"])} its time, `epoch`
{count(bare["instances"])}.

**The limit** is the sum of a random item for each negative, one permutation, and the arrays written
once, in order: {seconds(limit["groups"])} for groups, {seconds(limit["instances"])} for instances.
Between it and bare NumPy lies the shuffling itself: rows are read in a random order, which costs
more than the permutation that says in which.
"""
    return text, [
        Target(
            "sampler at least 200 × the Python loop",
            count(faster),
            faster >= 200,
            "NumPy alone makes and shuffles such arrays, without a look at what users have seen, "
            f"{count(times(sides['loop_numpy'], sides['bare_groups']))} as fast as the loop.",
        ),
        Target(
            "sampler within 2 × of its limit",
            f"groups {count(above['groups'])}, instances {count(above['instances'])}",
            max(above.values()) <= 2,
            f"NumPy alone takes {count(median(sides['bare_groups']) / limit['groups'])} the limit "
            "for groups: it has to move rows that lie in a random order.",
        ),
    ]


def training(result):
    default = result["default_batch_size"]
    rows, speed, limits = [], [], []
    for row in result["rows"]:
        sides = row["sides"]
        fit = sides["fit"]
        large, these, moved = (
            median(sides[name]) for name in ("products_large", "products_these", "bytes")
        )
        rows.append(
            (
                row["embedding_dim"],
                f"{row['batch_size']:,}",
                seconds(median(fit)),
                seconds(median(sides["dataloader"])),
                count(times(sides["dataloader"], fit)),
                seconds(large),
                seconds(these),
                seconds(moved),
                count(median(fit) / (large + moved)),
            )
        )
        speed.append(times(sides["dataloader"], fit))
        if row["batch_size"] == default:
            limits.append((row, median(fit), large, these, moved))
    head = ["embedding", "batch", "`fit`", "`DataLoader`", "faster"]
    head += ["products, full rate", "products, own rate", "bytes", "`fit` / limit"]
    shares, fit_shares = (
        sorted({percent(row["sides"][name]["share"]) for row in result["rows"]})
        for name in ("dataloader", "fit")
    )
    counted = " and ".join(
        f"{row['gigaflop']:.0f} Gflop and {sum(row['gigabytes'].values()):.0f} GB "
        f"(embeddings of {row['embedding_dim']})"
        for row, *_ in limits
    )
    arithmetic = max(fit / large for _, fit, large, _, _ in limits)
    own = max(fit / these for _, fit, _, these, _ in limits)
    both = max(fit / (large + moved) for _, fit, large, _, moved in limits)
    thin = max(these / large for _, _, large, these, _ in limits)
    small = result["rows"][speed.index(min(speed))]
    text = f"""
## Training: an epoch in PyTorch

Seconds an epoch of {result["instances"]:,} instances, the second of a `fit`, its negatives
included, evaluation not:

{table(head, rows, left=0)}

![Seconds an epoch, by batch size](training.png)

**`DataLoader`** is the idiom of most tutorials: a `Dataset` whose `__getitem__` draws a negative
until it finds one that the user has not seen, in the main process (`num_workers=0`), with the same
model, batch and step size, and Adam as PyTorch has it by default. It ran on {" or ".join(shares)}
of the positives, `fit` on {" or ".join(fit_shares)}. Python spends its time once an instance here,
whatever the batch; `fit` spends it once a batch.

**The limit** is the least work that this architecture takes, at rates measured in the same turns.
A batch has G groups of a positive and its negatives, so B = {1 + NUM_NEGATIVES} G instances;
embeddings have d numbers, layers the widths w₀, w₁, w₂, and there are K factors.

- *Products*: 2 (G d w₀ + B (d w₀ + w₀ w₁ + w₁ w₂ + w₂ + K)) floating-point operations forward, with
  the user's half of the first layer once a group; twice as many backward, for the gradients of both
  factors. *Full rate* is that of products of two matrices of 1,024 × 1,024; *own rate* that of
  these very products, one after the other and nothing else: they are long and thin.
- *Bytes*, 4 for each number. Rows looked up, read and written: 2 (G + B) (d + K). Their gradients,
  read, and added to the tables': 3 (G + B) (d + K). Outputs of the layers, written and read
  back, and their gradients likewise: 4 B (K + w₀ + w₁ + w₂ + 1). Adam: 8 for each parameter of the
  tables. They move at the rate at which an array of the size of one layer's output is copied.

At the default batch of {default:,}, an epoch takes {counted}. The last column divides by products
at full rate and bytes together.
"""
    return text, [
        Target(
            "training epoch at least 10 × the `DataLoader` idiom, same batch",
            f"{count(min(speed))} to {count(max(speed))}",
            min(speed) >= 10,
            f"at a batch of {small['batch_size']:,} an epoch is {small['steps']:,} steps, which "
            f"take {seconds(median(small['sides']['fit']))} of the idiom's "
            f"{seconds(median(small['sides']['dataloader']))} when sampling costs next to nothing.",
        ),
        Target(
            f"training epoch at most 3 × its arithmetic at the full matrix rate, batch {default:,}",
            f"{count(arithmetic)}; at the products' own rate {count(own)}",
            arithmetic <= 3,
            f"the products alone, long and thin as they are, take {count(thin)} their time at the "
            "full rate.",
        ),
        Target(
            f"training epoch at most 3 × arithmetic and bytes, batch {default:,}",
            count(both),
            both <= 3,
            "PyTorch does one operation after the other, and each reads and writes whole arrays: "
            "sums, biases, activations and their gradients are passes of their own.",
        ),
    ]


def keras_training(result):
    default, textbook = result["default_batch_size"], result["textbook_batch_size"]
    rows, against = [], []
    for row in result["rows"]:
        sides = row["sides"]
        against.append(times(sides["keras"], sides["torch"]))
        small = sides.get("keras_small_batch")
        rows.append(
            (
                row["embedding_dim"],
                seconds(median(sides["keras"])),
                seconds(median(sides["torch"])),
                count(against[-1]),
                seconds(median(small)) if small else "",
                seconds(median(sides["textbook"])),
                count(times(sides["textbook"], sides["keras"])),
                seconds(statistics.median(row["compiling"])),
            )
        )
    head = ["embedding", f"Keras, {default:,}", f"PyTorch, {default:,}", "Keras / PyTorch"]
    head += [f"Keras, {textbook}", f"textbook, {textbook}", "faster", "compiling"]
    share = percent(result["rows"][0]["sides"]["textbook"]["share"])
    text = f"""
## Training: an epoch in Keras

Seconds an epoch of {result["instances"]:,} instances, by batch size:

{table(head, rows, left=0)}

**The textbook's** model has one user and one item a row, a sigmoid at its end, binary
cross-entropy, Adam, and `fit` at batch {textbook}: what Keras does by default. Its negatives come
from our sampler, so only the training differs. It ran on {share} of the positives. *Faster* says
how much sooner `keras_ncf.fit` is through an epoch at its own default batch; the column before the
textbook's has it at the textbook's batch. *Compiling* is by how much the first epoch of a `fit`
takes longer; it is not part of the other columns.
"""
    return text, [
        Target(
            f"Keras within 1.3 × of PyTorch, batch {default:,}",
            count(max(against)),
            max(against) <= 1.3,
        )
    ]


def evaluation(result):
    rows, predict, full = [], [], []
    for row in result["rows"]:
        sides = row["sides"]
        for name, framework in FRAMEWORKS.items():
            predict.append(times(sides["predict"], sides[name]))
            full.append(median(sides[f"full_{name}"]))
            rows.append(
                (
                    framework,
                    row["embedding_dim"],
                    seconds(median(sides[name])),
                    seconds(median(sides["predict"])),
                    count(predict[-1]),
                    seconds(median(sides["loop"])),
                    count(times(sides["loop"], sides[name])),
                    seconds(full[-1]),
                    seconds(median(sides["products_large"])),
                    seconds(median(sides["products_these"])),
                )
            )
    first = result["rows"][0]
    flops = " or ".join(f"{row['gigaflop']:.0f}" for row in result["rows"])
    head = ["", "embedding", "`evaluate`", "`predict`", "faster", "loop", "faster"]
    head += ["full ranking", "products, full rate", "products, own rate"]
    text = f"""
## Evaluation

Seconds to rank the held-out items of {result["users"]:,} users, each against
{result["candidates"] - 1} candidates; and in *full ranking*, against all {result["items"]:,} items:

{table(head, rows)}

***`predict`*** calls Keras's `predict` once a user and finds the ten best with a heap; it ran for
{first["users_predicted"]:,} users. ***Loop*** does the same with one forward pass of the PyTorch
model a user, for {first["users_looped"]:,} users. Both find the HR@10 and NDCG@10 that `evaluate`
finds. The products are those of full ranking, one forward pass over all pairs with the first layer
once a user and once an item: {flops} Gflop; *full rate* is that of products of two matrices of
1,024 × 1,024, *own rate* that of these very products in the pieces that `evaluate` takes.
"""
    return text, [
        Target(
            f"evaluation of {result['users']:,} × {result['candidates']} "
            "at least 500 × one `predict` a user",
            f"{count(min(predict))} to {count(max(predict))}",
            min(predict) >= 500,
        ),
        Target(
            f"full ranking of {result['users']:,} × {result['items']:,} under 3 s",
            f"{seconds(min(full))} to {seconds(max(full))}",
            max(full) < 3,
        ),
    ]


def quality(result):
    groups = {}
    for row in result["rows"]:
        # The paper's embeddings are half as wide as the first hidden layer.
        wide = row["embedding_dim"] or row["hidden_layers"][0] // 2
        way = wide, "-".join(map(str, row["hidden_layers"])), row["num_negatives"]
        way += row["batch_size"], row["learning_rate"], row["average"]
        groups.setdefault((row["framework"], *way), []).append(row)
    if not groups:
        return "", []

    def mean(runs, column):
        return statistics.mean(run[column] for run in runs)

    rows = []
    for (framework, wide, tower, negatives, batch_size, rate, average), runs in groups.items():
        hr = sorted(run["test_hr"] for run in runs)
        rows.append(
            (
                FRAMEWORKS[framework],
                f"{wide}, {tower}",
                negatives,
                f"{batch_size:,}",
                f"{rate:g}",
                "" if average is None else f"{average:g}",
                len(runs),
                f"{mean(runs, 'picked_epoch'):.1f}",
                seconds(mean(runs, "seconds")),
                f"{mean(runs, 'test_hr'):.4f}",
                f"{hr[0]:.4f} to {hr[-1]:.4f}",
                f"{mean(runs, 'test_ndcg'):.4f}",
            )
        )
    targets = []
    for name, framework in FRAMEWORKS.items():
        ways = [runs for way, runs in groups.items() if way[0] == name]
        # Never the way with the best test items: the one with most seeds, then the quickest.
        runs = min(ways, key=lambda runs: (-len(runs), mean(runs, "seconds")), default=[])
        if runs:
            hr, took = mean(runs, "test_hr"), mean(runs, "seconds")
            targets.append(
                Target(
                    f"NeuMF-8 in {framework}: test HR@10 at least 0.680 within 30 s, 5 seeds",
                    f"{hr:.4f} after {seconds(took)}, seeds: {len(runs)}",
                    hr >= 0.680 and took <= 30 and len(runs) >= 5,
                )
            )
    head = ["", "embedding, tower", "negatives", "batch", "learning rate", "average", "seeds"]
    head += ["picked epoch"]
    head += ["seconds", "HR@10", "from, to", "NDCG@10"]
    text = f"""
## Time to quality

NeuMF with {NUM_FACTORS} factors from scratch on MovieLens-1M; means over seeds:

{table(head, rows, left=2)}

The *validation* items pick the epoch; *seconds* are those of training until its end, evaluation not
counted, and HR@10 and NDCG@10 are its on the test items. *Average* is the decay of the moving
average of the weights, where one was kept. A target is judged by the way that most seeds went, and
of several such by the quickest. These runs come from `ncf sweep` and are kept in
[data/results](../data/results). They did not take turns with anything.
"""
    return text, targets


def memory(result):
    stages = {
        "import_ncf_utils": "`import ncf_utils`",
        "load": "`load_dataset`",
        "import_framework": "the framework, imported",
        "model": "`NeuMF(...)`",
        "fit": "`fit`, one epoch, evaluated before and after",
    }
    runs = {
        name: {
            stage: statistics.median(run["seconds"][stage] for run in result["runs"][name])
            for stage in stages
        }
        for name in FRAMEWORKS
    }
    rows = [
        (text, *(seconds(runs[name][stage]) for name in FRAMEWORKS))
        for stage, text in stages.items()
    ]
    peaks = {}
    for name in FRAMEWORKS:
        known = [run["peak"] for run in result["runs"][name]]
        peaks[name] = {
            stage: max(peak[stage] for peak in known) if known[0][stage] is not None else None
            for stage in ("import_framework", "fit")
        }
    for stage, label in (("import_framework", "framework imported"), ("fit", "at the end")):
        rows.append(
            (f"peak memory, {label}", *(gigabytes(peaks[name][stage]) for name in FRAMEWORKS))
        )
    text = f"""
## A first run: start-up and memory

A fresh process imports, loads the data set, and trains NeuMF for one epoch, all by default:

{table(["", *FRAMEWORKS.values()], rows)}

Before PyTorch's process starts, what was parsed of the data set is forgotten, so its `load_dataset`
is the first ever; that of Keras's process finds the cache. (The embedded data set has no cache.)
Keras's `fit` includes compiling. Memory is the most that was resident.
"""
    return text, [
        Target(
            f"peak memory under 1.5 GB, {framework}",
            gigabytes(peaks[name]["fit"]),
            peaks[name]["fit"] is not None and peaks[name]["fit"] < 1.5e9,
        )
        for name, framework in FRAMEWORKS.items()
    ]


GROWTH_WORK = ("sampling", "training", "epoch", "evaluation")
WHOLE = ("epoch", "evaluation")  # what a user waits for; sampling and training make up an epoch


def growth_costs(row):
    """What an interaction (evaluation: an evaluated user) costs at one size, in seconds."""
    cost = {
        work: median(row["sides"][work]) / row["interactions"] for work in ("sampling", "training")
    }
    cost["epoch"] = cost["sampling"] + cost["training"]
    return cost | {"evaluation": median(row["sides"]["evaluation"]) / row["evaluated"]}


def growth(result):
    costs = [growth_costs(row) for row in result["rows"]]
    rows = []
    for row, cost in zip(result["rows"], costs, strict=True):
        peak = row["peak"]
        rows.append(
            (
                f"{row['interactions']:,}",
                f"{row['users']:,} × {row['items']:,}",
                f"{row['batch_size']:,}",
                percent(row["share"]),
                *(f"{1e9 * cost[work]:,.0f}" for work in ("sampling", "training", "epoch")),
                f"{1e6 * cost['evaluation']:.1f}",
                f"{row['parameters'] * row['steps'] / row['interactions']:.0f}",
                gigabytes(peak["evaluation"]),
            )
        )
    head = ["interactions", "users × items", "batch", "trained on"]
    head += ["sampling, ns", "training, ns", "epoch, ns", "evaluation, µs a user"]
    head += ["moved", "peak memory"]
    dearer = {
        work: max(late[work] / early[work] for early, late in combinations(costs, 2))
        for work in GROWTH_WORK
    }
    growth = ", ".join(f"{work} {count(ratio)}" for work, ratio in dearer.items())
    part = max(cost["sampling"] / cost["epoch"] for cost in costs)
    largest = result["rows"][-1]["peak"]["evaluation"]
    steps = result["rows"][-1]["steps"]
    text = f"""
## Growth

Synthetic data of growing size, each size in a process of its own, all taking turns; what one
interaction costs, and one evaluated user:

{table(head, rows, left=0)}

![Cost of an interaction and peak memory, by size](growth.png)

Up to a million interactions a batch is what `fit` takes by default. From there on it grows with the
data, so that an epoch has about {steps:,} steps at any size. Adam moves every row of every table in
each step, whether the batch holds it or not; with batches of one size, both the steps of an epoch
and the cost of each would grow with the data. *Moved* is parameters × steps / interactions: how
many numbers Adam moves for one interaction. *Trained on* is the share of the epoch's steps that
ran.

From any size to any larger one, an interaction becomes dearer by at most: {growth}. Where that is
below 1, it only becomes cheaper: larger batches share a step's costs among more. What makes it
dearer are tables and arrays of an epoch that outgrow the processor's caches, so that rows that are
looked up come from memory. More than 4 million positives are therefore drawn and shuffled piece by
piece (`AT_ONCE` in `ncf_utils.sampler`). Sampling is at most {percent(part)} of an epoch.
"""
    return text, [
        Target(
            "an interaction at most 1.25 × as dear at any size as at a smaller one",
            ", ".join(f"{work} {count(dearer[work])}" for work in WHOLE),
            max(dearer[work] for work in WHOLE) <= 1.25,
        ),
        Target(
            f"memory under 8 GB at {result['rows'][-1]['interactions']:,} interactions",
            gigabytes(largest),
            largest is not None and largest < 8e9,
        ),
    ]


def distributed(result):
    ranks, runs, one = f"{result['ranks']} ranks", result["runs"], "one process"
    names = {
        one: one,
        "replicated": f"{ranks}, items replicated",
        "sharded": f"{ranks}, items sharded",
    }

    def middle(kind, column):
        return statistics.median(value for run in runs[kind] for value in run[column])

    epoch = {kind: middle(kind, "seconds") for kind in names}
    hr = {kind: statistics.mean(run["hr"] for run in runs[kind]) for kind in names}
    seeds = len(runs[one])
    error = math.sqrt(hr[one] * (1 - hr[one]) / result["users"])
    rows = [
        (
            name,
            seconds(epoch[kind]),
            count(epoch[one] / epoch[kind]),
            seconds(middle(kind, "communication")) if kind != one else "",
            f"{runs[kind][0]['bytes_sent'] / 1e6:,.0f} MB" if kind != one else "",
            f"{hr[kind]:.4f}",
        )
        for kind, name in names.items()
    ]
    head = ["", "an epoch", "faster", "of it talking and waiting", "sent", "HR@10"]
    text = f"""
## Two processes for one model

`fit`, and `torchrun` with {ranks} on this machine, which talk over loopback; batch
{result["batch_size"]:,}, {counted(result["epochs"], "epoch")} of {counted(seeds, "seed")}:

{table(head, rows)}

An epoch's time is the median over epochs and seeds. *Sent* is what all ranks together send in an
epoch. HR@10 is that of the test items after the last epoch, the mean over the seeds; each rank
draws its own negatives and first weights, so the numbers differ. The standard error of an HR@10 of
so many users is {error:.4f}.
"""
    apart = max(abs(hr[kind] - hr[one]) for kind in names)
    return text, [
        Target(
            f"{ranks} as good as one process: HR@10 within two standard errors",
            f"{apart:.4f} apart, two standard errors are {2 * error:.4f}",
            apart <= 2 * error,
        )
    ]


def counted(number, what):
    """A number and its noun: 1 epoch, 3 epochs."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def baselines(result):
    names = {"ease": "EASE", "als": "ALS (implicit), 192 factors"}
    rows = [
        (
            names[name],
            seconds(median(side)),
            f"{result['hr'][name]:.3f}",
            f"{result['ndcg'][name]:.3f}",
        )
        for name, side in result["sides"].items()
    ]
    text = f"""
## For scale: two models without a network

{table(["", "training", "HR@10", "NDCG@10"], rows)}

`ncf_utils.baselines.ease` and `ncf_utils.matrix_factorisation.als` with their default arguments, on
the same interactions and test items. EASE inverts a matrix on all cores; ALS runs on one thread.
"""
    return text, []


SECTIONS = {
    "sampler": sampler,
    "training": training,
    "keras_training": keras_training,
    "evaluation": evaluation,
    "quality": quality,
    "memory": memory,
    "growth": growth,
    "distributed": distributed,
    "baselines": baselines,
}


def provenance(results):
    rows = [
        (
            case,
            entry["date"],
            entry["dataset"] if case not in OWN_DATA else "see there",
            seconds(entry["took"]),
            " to ".join(f"{load:.1f}" for load in entry["load"] if load is not None) or "not known",
        )
        for case, entry in results.items()
    ]
    return f"""
## When and where

{table(["case", "date", "data", "took", "load before, after"], rows, left=3)}

Load is how many processes ran or waited, on average over a minute, this one among them. Kernels sum
by AVX2 whatever a processor has (`MKL_CBWR=AVX2`), as in the notebooks; so did those of the limits.

{machine_lines(results)}
"""


def machine_lines(results):
    """A list of the machines that results were measured on, each once."""
    machines = []
    for entry in results.values():
        if entry["machine"] not in machines:
            machines.append(entry["machine"])
    return "\n".join(f"- {machine_line(machine)}" for machine in machines)


def machine_line(machine):
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine.items()
        if name not in ("processor", "cores", "memory", "system")
    )
    return (
        f"{machine['processor']}; {machine['cores']} cores, {gigabytes(machine['memory'])}; "
        f"{machine['system']}; {versions}"
    )
