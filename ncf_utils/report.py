"""What the results hold: one line a configuration, what failed, and a figure with seed bands."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .errors import DataError
from .parameters import ParameterError, nearest
from .results import MEASURED, PROVENANCE, read_rows

#: Column of the results -> how a table or a figure calls it.
METRICS = {
    "test_hr": "HR@10",
    "test_ndcg": "NDCG@10",
    "refit_hr": "refit HR@10",
    "refit_ndcg": "refit NDCG@10",
}
# Columns that a run fills in: with those of `results`, what it measured. All others are parameters.
_OTHER_MEASURED = re.compile(
    r"(hr|ndcg)$|_(low|high|by_k|by_epoch)$"
    r"|^(num_weights|num_layers|predictive_factors|picked_epochs|weights|notebook|run)$"
)


def print_report(results=(), by=None, figure=None, build="build", report=print):
    """Report each CSV's configurations, with mean and standard deviation over runs, and failures.

    Args:
        results: paths of CSVs; all in ``data/results`` if empty.
        by: columns that make a configuration; the parameters that differ if None.
        figure: path of a picture to draw of HR@10 and NDCG@10 by the first column of `by`.
        build: folder in which sweeps keep what failed.
        report: is called with each line of text.

    Raises:
        ParameterError: there is no such column, or no column for the figure.
        FileNotFoundError: there is no such CSV, and no failure of its name.
    """
    if figure and (not by or len(results) != 1):
        raise ParameterError("--figure needs one CSV, and --by with the column that it runs along")
    results = [Path(path) for path in results] or sorted(Path("data/results").glob("*.csv"))
    if not results:
        raise FileNotFoundError("no CSVs in data/results: name one")
    for path in results:
        made = {row.get("run") for row in read_rows(path)} if path.exists() else ()
        failed = failures(Path(build) / "sweep" / path.stem, made)
        if not path.exists() and not failed:
            raise FileNotFoundError(f"{path}: there is no such file")
        if path.exists():
            rows = read_results(path)
            columns = by or varying(rows)
            report(f"{path}: {len(rows)} runs")
            report(_as_text(summary(rows, columns)))
            if figure:
                draw(rows, *columns).savefig(figure, dpi=150)
                report(f"{figure}: drawn")
        for line in failed:
            report(f"FAILED {line}")
        report("")


def read_results(path):
    """A results CSV as a DataFrame: numbers as numbers, lists as the text that they are there.

    Raises:
        DataError: it cannot be read as one; the message names file and line.
    """
    import pandas as pd

    if not read_rows(path):  # says what is wrong, where anything is
        raise DataError(f"{path}: holds no runs")
    rows = pd.read_csv(path)
    for name in METRICS:
        if name in rows and not pd.api.types.is_numeric_dtype(rows[name]):
            wrong = rows[name].notna() & pd.to_numeric(rows[name], errors="coerce").isna()
            raise DataError(
                f"{path}: expected numbers as {name}, found {rows[name][wrong].iat[0]!r}"
            )
    return rows


def failures(folder, made=()):
    """One line for each failed run, but those of the ids `made`: its id, choices and error."""
    lines = []
    for path in sorted(folder.glob("*.failed.json")):
        if path.name.removesuffix(".failed.json") in made:  # elsewhere, or later by `ncf run`
            continue
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            values = [f"{name}={told['parameters'][name]}" for name in told["chosen"]]
            lines.append(" ".join([told["run"], *values]) + f": {told['error']}")
        except (ValueError, KeyError, TypeError):
            lines.append(f"{path}: cannot be read")
    return lines


def varying(rows):
    """The parameters that differ between runs, the seed left out."""
    fixed = {"seed", *MEASURED, *PROVENANCE}
    parameters = [c for c in rows.columns if c not in fixed and not _OTHER_MEASURED.search(c)]
    # As text, for a list has no place among keys.
    return [name for name in parameters if rows[name].map(str).nunique() > 1]


def summary(rows, by):
    """Mean and standard deviation over the runs of each configuration.

    Args:
        rows: DataFrame, see `read_results`.
        by: columns that make a configuration.

    Returns:
        DataFrame: the columns `by`, then `seeds`, how many there are, and `runs` where a
        configuration has more runs than seeds, so that more than the seed varies; ``METRIC`` and
        ``METRIC_std`` for each of `METRICS` that was measured; NaN where there is no value, or no
        spread.

    Raises:
        ParameterError: there is no such column, and the message brings the nearest; or it holds
            a metric.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"model": ["MLP", "MLP"], "seed": [0, 1], "test_hr": [0.6, 0.7]})
    >>> summary(rows, ["model"]).round(3).values.tolist()
    [['MLP', 2, 0.65, 0.071]]
    """
    import pandas as pd

    by = list(dict.fromkeys(by))
    for name in by:
        if name not in rows.columns:
            raise ParameterError(f"no column {name}{nearest(name, rows.columns)}")
        if name in METRICS:
            raise ParameterError(f"{name} is what the runs measured, and makes no configuration")
    names = [name for name in METRICS if name in rows and rows[name].notna().any()]
    if not by:
        rows, by = rows.assign(runs="all"), ["runs"]
    groups = rows.groupby(by, dropna=False, sort=False)
    parts = {"seeds": groups.seed.nunique() if "seed" in rows else groups.size()}
    if (groups.size() > parts["seeds"]).any() and "runs" not in by:
        parts["runs"] = groups.size()
    for name in names:
        parts |= {name: groups[name].mean(), f"{name}_std": groups[name].std()}
    table = pd.DataFrame(parts).reset_index()
    return table.sort_values(by, key=_order, ignore_index=True)


def _order(column):
    """Numbers by size, lists by length and then by their numbers, other text by the alphabet."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column
    keys = [_sort_key(value) for value in column]
    place = {key: at for at, key in enumerate(sorted(set(keys)))}
    return pd.Series([place[key] for key in keys], index=column.index)


def _sort_key(value):
    text = str(value)
    if text.startswith("["):
        numbers = tuple(float(number) for number in re.findall(r"[\d.]+", text))
        return (len(numbers), numbers, "")
    return (-1, (), text)


def _as_text(table):
    """The table as text: a mean, and the standard deviation after it where there is one."""
    import pandas as pd

    shown = {}
    for name in table:
        if name in METRICS:
            shown[METRICS[name]] = [
                "" if pd.isna(mean) else f"{mean:.4f}" + ("" if pd.isna(std) else f" ±{std:.4f}")
                for mean, std in zip(table[name], table[f"{name}_std"], strict=True)
            ]
        elif name.removesuffix("_std") not in METRICS:
            shown[name] = table[name].map(_plain)
    return pd.DataFrame(shown).to_string(index=False)


def _plain(value):
    """A cell as it is written in a grid; a whole number without its point."""
    if isinstance(value, float):
        return "" if value != value else repr(float(value)).removesuffix(".0")
    return str(value)


def draw(rows, x, *lines):
    """HR@10 and NDCG@10 by one column, with a band of one standard deviation over runs.

    The numbers are those of the refit where all runs have one, and else of the picked epoch.

    Args:
        rows: DataFrame, see `read_results`.
        x: the column to run along.
        *lines: columns of which each combination is a line; the others that differ if none.

    Returns:
        The figure.

    Raises:
        ParameterError: there is no such column, or the runs measured neither metric.
    """
    from matplotlib.figure import Figure

    from . import plots

    lines = list(lines) or [name for name in varying(rows) if name != x]
    table = summary(rows, [*lines, x])
    kind = "refit" if "refit_hr" in rows and rows.refit_hr.notna().all() else "test"
    metrics = [name for name in (f"{kind}_hr", f"{kind}_ndcg") if name in table]
    if not metrics:
        raise ParameterError("nothing to draw: the runs have neither test_hr nor test_ndcg")
    plots.use_style()
    figure = Figure(figsize=(9, 3.8))
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    ticks = table.sort_values(x, key=_order)[x].map(_plain).drop_duplicates().tolist()
    numeric = table[x].dtype.kind in "if"
    groups = table.groupby(lines, dropna=False, sort=False) if lines else [((), table)]
    for values, group in groups:
        named = dict(zip(lines, values, strict=True))
        seeds = sorted(set(group.seeds))
        label = ", ".join(_plain(value) for value in named.values()) or "all"
        label += f" ({'-'.join(map(str, seeds[:: len(seeds) - 1 or 1]))} seeds)"
        color = plots.COLORS.get(named.get("model")) if lines == ["model"] else None
        at = group[x] if numeric else group[x].map(_plain).map(ticks.index)
        for ax, metric in zip(axes, metrics, strict=True):
            spread = group[f"{metric}_std"]
            plots.seed_band(ax, at, group[metric], spread, color=color, label=label)
    for ax, metric in zip(axes, metrics, strict=True):
        ax.set(xlabel=plots.axis_label(x), ylabel=METRICS[metric])
        if not numeric:
            ax.set_xticks(range(len(ticks)), ticks)
    axes[0].legend(title=", ".join(lines).replace("_", " "), fontsize=8)
    return figure
