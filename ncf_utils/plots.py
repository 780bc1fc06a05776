"""One style for every figure of the course, and one colour for each model.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart, and three
more that stay apart from them in every kind of colour blindness (Machado et al., 2009).
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.patches import FancyBboxPatch

COLORS = {
    "Random": "#999999",
    "Popularity": "#555555",
    "MF": "#56B4E9",
    "GMF": "#0072B2",
    "MLP": "#D55E00",
    "NeuMF": "#009E73",
    "EASE": "#000000",
    "ALS": "#4B0092",
    "BPR": "#8B4513",
    "item-KNN": "#DDCC77",
    "Blend": "#A54BFF",
    "user": "#CC79A7",
    "item": "#E69F00",
}

_AXES = {"num_negatives": "negatives for each positive", "num_layers": "hidden layers"}


def axis_label(name):
    """What an axis or a control calls a parameter.

    >>> axis_label("num_layers"), axis_label("learning_rate")
    ('hidden layers', 'learning rate')
    """
    return _AXES.get(name, name.replace("_", " "))


def use_style():
    """Set matplotlib's defaults to the style of the course."""
    plt.rcParams.update(
        {
            "figure.figsize": (8, 3.6),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.titlesize": "medium",
            "axes.prop_cycle": cycler(
                color=[COLORS[name] for name in ("GMF", "MLP", "NeuMF", "user", "item", "MF")]
            ),
            "grid.color": "#e5e5e5",
            "font.size": 10,
            "legend.frameon": False,
            "image.cmap": "viridis",
        }
    )


def training_curves(fit, references=None, model="GMF"):
    """Draw a training history: the loss, and HR@10 and NDCG@10 on the test items, by epoch.

    Args:
        fit: a `Fit`.
        references: name -> `Evaluation` of baselines on the test items, drawn as level lines.
        model: the model's name, which gives the colour.

    Returns:
        The figure, with three axes.

    Raises:
        ValueError: a name has no colour in `COLORS`.
    """
    for name in (model, *(references or {})):
        if name not in COLORS:
            raise ValueError(f"no colour for {name!r}; known are {', '.join(COLORS)}")
    history = fit.history
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
    axes[0].plot(history.epoch[1:], history.loss[1:], marker="o", ms=3, color=COLORS[model])
    axes[0].set(title="Training loss", ylabel="loss (nats per instance)")
    for ax, metric in zip(axes[1:], ("hr", "ndcg"), strict=True):
        for split, style in (("validation", "--"), ("test", "-")):
            if f"{split}_{metric}" in history:
                values = history[f"{split}_{metric}"]
                ax.plot(
                    history.epoch, values, style, color=COLORS[model], label=f"{model}, {split}"
                )
        for name, evaluation in (references or {}).items():
            level = getattr(evaluation, metric)
            ax.axhline(level, color=COLORS[name], lw=1.2, ls=":", label=f"{name}, test")
        ax.set(title=f"{metric.upper()}@10 against 99 candidates", ylim=(0, None))
    for ax in axes:
        ax.axvline(fit.picked_epoch, color="0.7", lw=6, alpha=0.4, zorder=0)
        ax.set_xlabel("epoch (grey: picked)")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")
    return figure


def seed_band(ax, x, mean, std, **options):
    """Draw means over seeds as a line, and one standard deviation to either side as a band.

    Args:
        ax: the axes.
        x, mean, std: arrays of shape (P,), the points in order; a `std` of NaN (one seed) draws
            no band.
        **options: of the line, such as ``color`` and ``label``.

    Returns:
        The line.
    """
    std = np.nan_to_num(np.asarray(std, dtype=float))
    [line] = ax.plot(x, mean, **{"marker": "o", "ms": 4, "lw": 1.5} | options)
    ax.errorbar(x, mean, std, fmt="none", ecolor=line.get_color(), elinewidth=1.5)
    ax.fill_between(x, mean - std, mean + std, color=line.get_color(), alpha=0.2, lw=0)
    return line


def seeds_in_words(seeds):
    """How many seeds the points of a line have, an array of their numbers, for its label.

    >>> seeds_in_words(np.array([3, 5, 3])), seeds_in_words(np.array([1]))
    ('3 to 5 seeds', '1 seed')
    """
    few, many = int(np.min(seeds)), int(np.max(seeds))
    return f"{few} to {many} seeds" if few < many else f"{many} seed{'s' * (many > 1)}"


def hr_and_ndcg(
    table, x, by="model", kind="test", levels=None, dots=None, colors=COLORS, close_up=False
):
    """Draw HR@10 and NDCG@10 by one setting: a line with its band of seeds for each group.

    Args:
        table: DataFrame, see `ncf_utils.report.summary`: columns `by`, `x`, ``seeds``, and for
            each metric ``test_hr`` and ``test_hr_std``, or what `kind` names.
        x: column to run along.
        by: column of which each value is a line.
        kind: ``"test"`` or ``"refit"``.
        levels: name -> (HR@10, NDCG@10) of what does not depend on `x`; dotted.
        dots: DataFrame of published values, hollow circles: columns `by`, `x`, ``hr_at_10`` and
            ``ndcg_at_10``.
        colors: value of `by`, or name of a level -> colour; a level may be one of `COLORS`.
        close_up: show from 0.01 below the lowest mean of `table` to 0.01 above the highest; levels,
            dots and bands may lie outside.

    Returns:
        The figure, with two axes.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.9))
    for at, (ax, metric) in enumerate(zip(axes, ("hr", "ndcg"), strict=True)):
        for name, line in table.groupby(by):
            mean, std = line[f"{kind}_{metric}"], line[f"{kind}_{metric}_std"]
            label = f"{name}, {seeds_in_words(line.seeds)}"
            seed_band(ax, line[x], mean, std, color=colors[name], label=label)
        for name, group in dots.groupby(by) if dots is not None else ():
            style = {"mfc": "none", "color": colors[name]}
            ax.plot(group[x], group[f"{metric}_at_10"], "o", **style)
        for name, values in (levels or {}).items():
            if np.isnan(values[at]):  # there is no run yet
                continue
            ax.axhline(values[at], ls=":", color=(COLORS | colors)[name], label=name)
        ticks = sorted({*table[x], *(dots[x] if dots is not None else ())})
        if x == "predictive_factors":  # 8, 16, 32, 64
            ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set(xlabel=axis_label(x), ylabel=f"{metric.upper()}@10, 99 candidates")
        if close_up:
            points = table[f"{kind}_{metric}"]
            ax.set_ylim(points.min() - 0.01, points.max() + 0.01)
    handles = axes[0].get_legend_handles_labels()
    title = None if by == "model" else axis_label(by)
    style = {"loc": "outside lower center", "ncols": 4, "fontsize": "small"}
    figure.legend(*handles, title=title, **style)
    return figure


def beside(ax, ours, theirs, title, limit=0.03):
    """Draw a table of ours beside a published one: ours above theirs, coloured by the difference.

    Args:
        ax: the axes.
        ours, theirs: DataFrames of equal index and columns; NaN in `ours` is a run that is missing.
        title: of the axes.
        limit: difference at which the colour is full; blue is above the published, red below.
    """
    difference = (ours - theirs).to_numpy(dtype=float)
    ax.imshow(difference, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    ax.set_facecolor("0.92")  # shows where there is no run
    for (row, column), value in np.ndenumerate(ours.to_numpy(dtype=float)):
        text = "no run" if np.isnan(value) else f"{value:.3f}"
        color = "white" if abs(difference[row, column]) > 0.7 * limit else "black"
        text = f"{text}\n{theirs.iloc[row, column]:.3f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(ours.shape[1]), map(_label, ours.columns))
    ax.set_yticks(range(ours.shape[0]), map(_label, ours.index))
    xlabel, ylabel = (str(name).replace("_", " ") for name in (ours.columns.name, ours.index.name))
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.grid(False)


def _label(value):
    return value if isinstance(value, str) else f"{value:g}"


def boxes(ax, nodes, edges):
    """Draw a small diagram of labelled boxes and arrows, for model architectures.

    Args:
        ax: the axes; its frame and ticks are taken away.
        nodes: name -> (x, y, label, colour), in units of boxes.
        edges: pairs of names, from and to.
    """
    width, height = 0.84, 0.52
    for start, end in edges:
        (x0, y0), (x1, y1) = nodes[start][:2], nodes[end][:2]
        arrow = {"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (x1, y1 - height / 2), (x0, y0 + height / 2), arrowprops=arrow)
    for x, y, label, color in nodes.values():
        corner = (x - width / 2, y - height / 2)
        style = "round,pad=0,rounding_size=0.1"
        ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc=color, ec="0.3"))
        ax.text(x, y, label, ha="center", va="center", fontsize=9)
    xs, ys = [node[0] for node in nodes.values()], [node[1] for node in nodes.values()]
    ax.set_xlim(min(xs) - 0.6, max(xs) + 0.6)
    ax.set_ylim(min(ys) - 0.45, max(ys) + 0.45)
    ax.set_axis_off()


def architecture(model, hidden_layers=(32, 16, 8), num_factors=8):
    """Draw the architecture of GMF, MLP or NeuMF, from the indices (below) to the logit (above).

    A number in a box is the width of what comes out of it.

    Args:
        model: ``"GMF"``, ``"MLP"`` or ``"NeuMF"``.
        hidden_layers: widths of the MLP's hidden layers; may be empty.
        num_factors: width of GMF's embeddings.

    Returns:
        The figure.

    Raises:
        ValueError: the model is unknown.
    """
    if model not in ("GMF", "MLP", "NeuMF"):
        raise ValueError(f"model must be GMF, MLP or NeuMF, not {model!r}")
    user, item, gmf, mlp, head = "#f0d3e3", "#fae3b4", "#bfdcec", "#f5cdb0", "#bfe5d9"
    nodes, edges = {}, []
    top = 1 + (len(hidden_layers) + 1 if model != "GMF" else 1)
    columns = {"GMF": [("gmf", 0)], "MLP": [("mlp", 0)], "NeuMF": [("gmf", 0), ("mlp", 2)]}[model]
    for branch, x in columns:
        mlp_width = max(1, hidden_layers[0] // 2) if len(hidden_layers) else 8
        width = num_factors if branch == "gmf" else mlp_width
        nodes[branch + "p"] = (x, 1, f"p, {width}", user)
        nodes[branch + "q"] = (x + 1, 1, f"q, {width}", item)
        if branch == "gmf":
            nodes["gmfz"] = (x + 0.5, 2, r"$p \odot q$", gmf)
            edges += [("gmfp", "gmfz"), ("gmfq", "gmfz")]
            last_gmf = "gmfz"
        else:
            nodes["mlpz"] = (x + 0.5, 2, "[p; q]", mlp)
            edges += [("mlpp", "mlpz"), ("mlpq", "mlpz")]
            last_mlp = "mlpz"
            for depth, units in enumerate(hidden_layers):
                name = f"mlp{depth}"
                nodes[name] = (x + 0.5, 3 + depth, f"ReLU, {units}", mlp)
                edges.append((last_mlp, name))
                last_mlp = name
    center = sum(x for _, x in columns) / len(columns) + 0.5
    nodes["user"] = (center - 0.5, 0, "user u", user)
    nodes["item"] = (center + 0.5, 0, "item i", item)
    nodes["out"] = (center, top + 1, "logit", head)
    for branch, _ in columns:
        edges += [("user", branch + "p"), ("item", branch + "q")]
        edges.append((last_gmf if branch == "gmf" else last_mlp, "out"))
    size = (max(node[0] for node in nodes.values()) + 1.2, (top + 2) * 0.75)
    figure, ax = plt.subplots(figsize=(size[0] * 1.3, size[1]))
    boxes(ax, nodes, edges)
    return figure
