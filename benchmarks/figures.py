"""The page's figures, drawn from `results.json`."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
from matplotlib import rc_context
from matplotlib.ticker import FuncFormatter, NullLocator

from ncf_utils.plots import use_style

from .page import FRAMEWORKS, GROWTH_WORK, count, growth_costs, median, times

# Okabe and Ito (2008), and a marker each: no line is told from another by its colour alone.
BLUE, ORANGE, GREEN, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#555555"


def draw(results, folder):
    """Write the figures of those cases that are there.

    Args:
        results: case -> what `python -m benchmarks` stored of it.
        folder: a `Path`.
    """
    with rc_context():
        use_style()
        for name, figure in FIGURES.items():
            measured = {case: entry["result"] for case, entry in results.items()}
            drawn = figure(measured)
            if drawn is not None:
                drawn.savefig(folder / name, dpi=120)
                plt.close(drawn)


def comparisons(measured):
    """How many times faster than each rival: (label, factor, target or None), a line each."""
    if "sampler" in measured:
        sides = measured["sampler"]["sides"]
        for name, generator in (("loop_numpy", "NumPy"), ("loop_random", "Python")):
            target = 200 if name == "loop_numpy" else None
            label = f"sampler against a loop, numbers from {generator}"
            yield label, times(sides[name], sides["epoch_groups"]), target
    if "training" in measured:
        for row in measured["training"]["rows"]:
            label = f"PyTorch fit against DataLoader, batch {row['batch_size']:,}, embedding "
            factor = times(row["sides"]["dataloader"], row["sides"]["fit"])
            yield f"{label}{row['embedding_dim']}", factor, 10
    if "keras_training" in measured:
        for row in measured["keras_training"]["rows"]:
            factor = times(row["sides"]["textbook"], row["sides"]["keras"])
            label = f"Keras fit against textbook's at batch 256, embedding {row['embedding_dim']}"
            yield label, factor, None
    if "evaluation" in measured:
        for row in measured["evaluation"]["rows"]:
            for name, framework in FRAMEWORKS.items():
                label = f"evaluate, {framework}, against a predict a user, embedding "
                factor = times(row["sides"]["predict"], row["sides"][name])
                yield f"{label}{row['embedding_dim']}", factor, 500


def speed(measured):
    """Bars: how many times faster than each rival; a stroke where the target is."""
    rows = list(comparisons(measured))
    if not rows:
        return None
    figure, ax = plt.subplots(figsize=(8.5, 1 + 0.3 * len(rows)))
    labels, factors, targets = zip(*reversed(rows), strict=True)
    ax.barh(labels, factors, color=SKY, height=0.62)
    for place, (factor, target) in enumerate(zip(factors, targets, strict=True)):
        at_the_right = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center"}
        ax.annotate(count(factor), (1, place), **at_the_right)
        if target:
            ax.plot([target] * 2, [place - 0.42, place + 0.42], color=ORANGE, lw=2.5)
    ax.plot([], [], color=ORANGE, lw=2.5, label="target")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1))
    ax.set(xscale="log", xlabel="times faster (logarithmic)", xlim=(1, 8 * max(factors)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.grid(axis="y", visible=False)
    return figure


def training(measured):
    """Seconds an epoch by batch size: the idiom, `fit`, and the two limits."""
    if "training" not in measured:
        return None
    rows = measured["training"]["rows"]
    dims = sorted({row["embedding_dim"] for row in rows})
    lines = {
        "DataLoader idiom": (lambda s: median(s["dataloader"]), GREY, "s-"),
        "fit": (lambda s: median(s["fit"]), BLUE, "o-"),
        "products alone, at their own rate": (lambda s: median(s["products_these"]), GREEN, "^--"),
        "limit: products at full rate, and bytes": (
            lambda s: median(s["products_large"]) + median(s["bytes"]),
            ORANGE,
            "v:",
        ),
    }
    figure, axes = plt.subplots(
        1, len(dims), figsize=(9, 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, dim in zip(axes[0], dims, strict=True):
        chosen = [row for row in rows if row["embedding_dim"] == dim]
        for label, (value, color, style) in lines.items():
            batch_sizes = [row["batch_size"] for row in chosen]
            values = [value(row["sides"]) for row in chosen]
            ax.plot(batch_sizes, values, style, color=color, label=label)
        ax.set(title=f"embeddings of {dim}", xscale="log", yscale="log")
        ax.set_xticks([row["batch_size"] for row in chosen])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.set_xlabel("batch size (instances)")
    axes[0, 0].set_ylabel("seconds an epoch")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def growth(measured):
    """What an interaction costs, relative to the cheapest size, and the peak memory."""
    if "growth" not in measured:
        return None
    rows = measured["growth"]["rows"]
    sizes = [row["interactions"] for row in rows]
    costs = [growth_costs(row) for row in rows]
    figure, (cost, memory) = plt.subplots(1, 2, figsize=(9, 3.6))
    cost.axhspan(1, 1.25, color="0.9", label="flat within 25 %")
    styles = {"sampling": "s-", "training": "o-", "evaluation": "^--"}
    colors = {"sampling": ORANGE, "training": BLUE, "evaluation": GREEN}
    for work in GROWTH_WORK:
        if work in styles:
            values = [each[work] for each in costs]
            relative = [value / min(values) for value in values]
            cost.plot(sizes, relative, styles[work], color=colors[work], label=work)
    cost.set(title="Cost of an interaction, cheapest size = 1", ylim=(0, None))
    cost.legend()
    peak = [(row["peak"]["evaluation"] or math.nan) / 1e9 for row in rows]
    memory.plot(sizes, peak, "o-", color=BLUE, label="measured")
    memory.axhline(8, color=ORANGE, ls="--", label="target: below 8 GB")
    memory.set(title="Peak memory (GB)", ylim=(0, None))
    memory.legend()
    for ax in (cost, memory):
        ax.set(xscale="log", xlabel="interactions (logarithmic)")
        ax.set_xticks(sizes, [short(size) for size in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
    return figure


def short(number):
    """A large number as text: 98 k, 9.9 M."""
    unit, letter = (1e6, "M") if number >= 999_500 else (1e3, "k")
    return f"{float(f'{number / unit:.2g}'):g} {letter}"


FIGURES = {"speed.png": speed, "training.png": training, "growth.png": growth}
