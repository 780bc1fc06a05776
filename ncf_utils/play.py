"""Things to play with: films added up, users browsed, sweeps slid through, a list of one's own.

Each is made of functions that take and return data, or draw it, and of a thin widget that calls
them; so what a control shows, a line of code shows as well. `flip` holds all its pages from the
start, and works on a web page; the others compute, and need a kernel.
"""

from __future__ import annotations

import base64
import difflib
import html
import io
import re

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from ncf_utils import plots
from ncf_utils.data import DataError
from ncf_utils.errors import check_number
from ncf_utils.report import METRICS
from ncf_utils.serving import best, fold_in

# Lines that are seen on white and on black; everything else is as the page around it.
_STYLE = """<style>
.ncf-table {border-collapse: collapse; color: inherit; font-size: 90%; line-height: 1.5}
.ncf-table th, .ncf-table td {text-align: left; padding: 0.15em 0.9em 0.15em 0;
 border: 0; border-bottom: 1px solid rgba(128, 128, 128, 0.4)}
</style>"""


# --- films, added and subtracted ------------------------------------------------------------------


def find_title(title, titles) -> int:
    """The place of a film in a list of titles; capitals do not matter, nor does a missing year.

    Args:
        title: what somebody typed.
        titles: list of str.

    Raises:
        DataError: there is no such title, or several; the message names the nearest.

    Example:
        >>> find_title("alien", ["Alien (1979)", "Aliens (1986)"])
        0
    """
    wanted = title.strip().lower()
    names = [known.lower() for known in titles]
    short = [name.rpartition(" (")[0] or name for name in names]
    for candidates in (names, short):
        found = [place for place, name in enumerate(candidates) if name == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(repr(titles[place]) for place in found[:3])
            raise DataError(f"{title!r} may be any of {several}")
    near = [place for place, name in enumerate(names) if wanted and wanted in name]
    for close in difflib.get_close_matches(wanted[:100], [*short, *names], n=3):
        near.append([*short, *names].index(close) % len(titles))
    near = [repr(titles[place]) for place in dict.fromkeys(near)]
    hint = f"; the nearest are {', '.join(near[:3])}" if near else ""
    raise DataError(f"none of these {len(titles)} films is titled {title!r}{hint}")


def add_films(directions, titles, plus, minus=(), k=10) -> pd.DataFrame:
    """The films whose direction is nearest to a sum of films, and what each of these contributes.

    With s the sum of the directions in `plus` less those in `minus`, a film's cosine to s is a sum
    itself: for each chosen film its cosine to this film, over the length of s.

    Args:
        directions: (n, K), rows of length 1.
        titles: n strings.
        plus, minus: titles, see `find_title`; at least one in all, none twice.
        k: how many films to return, none of those chosen.

    Returns:
        DataFrame of k rows, the nearest first, its index the titles: a column for each chosen film,
        such as ``"+ Alien (1979)"``, with what it contributes. A row adds up to the cosine.

    Raises:
        DataError: there is no film of that title; the message names the nearest.
        ValueError: no film is chosen, one is chosen twice, they cancel each other, or `k` is out
            of range.

    Example:
        >>> d = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, -0.6]])
        >>> add_films(d, ["A", "B", "C", "D"], plus=["a"], minus=["b"], k=1).round(2).to_dict()
        {'+ A': {'D': 0.57}, '- B': {'D': 0.42}}
    """
    chosen = [(title, sign) for titled, sign in ((plus, 1), (minus, -1)) for title in titled]
    places = [find_title(title, titles) for title, _ in chosen]
    if not places:
        raise ValueError("choose at least one film")
    for place in places:
        if places.count(place) > 1:
            raise ValueError(f"{titles[place]!r} is chosen twice")
    check_number("k", k, 1, integer=True)
    if k > len(titles) - len(places):
        raise ValueError(f"k must be at most {len(titles) - len(places)}, not {k}")
    signs = np.array([sign for _, sign in chosen])
    terms = signs * (directions @ directions[places].T)  # (n, films chosen)
    length = np.linalg.norm(signs @ directions[places])
    if length < 1e-6:  # of unit vectors: what is left is rounding
        raise ValueError("the chosen films cancel each other: nothing is left to be near to")
    terms = terms / length
    cosine = terms.sum(axis=1)
    cosine[places] = -np.inf
    nearest = best(cosine[None, :], k)[0]
    names = [
        f"{'+' if sign > 0 else '-'} {titles[place]}"
        for place, sign in zip(places, signs, strict=True)
    ]
    return pd.DataFrame(terms[nearest], [titles[place] for place in nearest], names)


def draw_sum(table):
    """Draw what `add_films` returns: a bar for each film, of what the chosen ones contribute.

    Args:
        table: DataFrame, see `add_films`.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(8, 0.9 + 0.28 * len(table)))
    colors = [plots.COLORS[name] for name in ("GMF", "item", "NeuMF", "user", "MLP", "MF")]
    places = np.arange(len(table))
    # Bars of one sign stand end to end, and never on top of each other.
    ends = {+1: np.zeros(len(table)), -1: np.zeros(len(table))}
    for number, name in enumerate(table.columns):
        for sign, end in ends.items():
            part = np.where(np.sign(table[name]) == sign, table[name], 0)
            label = _short(name, 44) if sign > 0 else None
            ax.barh(places, part, 0.62, left=end, color=colors[number % 6], label=label)
            end += part
    ax.plot(table.sum(axis=1), places, "k|", ms=13, mew=2, label="sum: the cosine")
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_yticks(places, [_short(title, 38) for title in table.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("cosine to the sum")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return figure


def film_calculator(directions, titles, plus, minus=(), k=10):
    """Controls for `add_films`: two titles to add, one to subtract; each may be left empty.

    An unknown title is answered by the nearest ones, and the last picture stays.

    Args:
        directions, titles, k: see `add_films`.
        plus, minus: titles to start from, at most two and one.

    Returns:
        The widget; its controls are described as ``"plus"``, ``"and"`` and ``"minus"``.

    Raises:
        DataError, ValueError: as `add_films`, for the titles to start from.
    """
    if len(plus) > 2 or len(minus) > 1:
        raise ValueError("start from at most two titles in plus, and one in minus")
    start = [*plus, *[""] * (2 - len(plus)), *minus, *[""] * (1 - len(minus))]
    boxes = [
        widgets.Combobox(
            value=title, options=list(titles), description=name, placeholder="type a title",
            continuous_update=False, layout={"width": "32em", "max_width": "98%"},
        )
        for title, name in zip(start, ("plus", "and", "minus"), strict=True)
    ]  # fmt: skip
    answer, message = widgets.HTML(), widgets.HTML()

    def show(_=None):
        *added, taken = ([title] if (title := box.value.strip()) else [] for box in boxes)
        try:
            table = add_films(directions, titles, sum(added, []), taken, k)
        except ValueError as error:
            message.value = _alert(error)
            return
        message.value = ""
        cosines = ", ".join(f"{title} {value:.2f}" for title, value in table.sum(axis=1).items())
        answer.value = picture(draw_sum(table), f"Nearest to {' '.join(table.columns)}: {cosines}")

    add_films(directions, titles, plus, minus, k)  # a bad start is an error of the call
    show()
    for box in boxes:
        box.observe(show, "value")
    return Toy([*boxes, message, answer])


# --- users and their lists ------------------------------------------------------------------------


def user_lists(dataset, lists, user, num_last=10) -> pd.DataFrame:
    """What a user saw last, and what each model shows them, by title.

    Args:
        dataset: the data set.
        lists: name of a model -> int (num_users, k), each user's items, best first; -1 is none.
        user: a user index.
        num_last: how many of the films seen in training to return, the latest last.

    Returns:
        DataFrame of strings, columns ``"last seen"`` and the models; an arrow stands before the
        user's test film, which they saw next.

    Raises:
        IndexError: the user is out of range.
        ValueError: a model has no list for each user.
    """
    seen = dataset.train.items_of(user)
    for name, items in lists.items():
        if np.shape(items)[:1] != (dataset.num_users,):
            raise ValueError(f"{name}: expected {dataset.num_users} lists, not {len(items)}")
    following = dataset.test.item[dataset.test.user == user]

    def named(items):
        items = np.asarray(items)[np.asarray(items) >= 0]
        return [
            _short(f"{'→ ' if item in following else ''}{title}", 26)
            for item, title in zip(items, dataset.titles(items), strict=True)
        ]

    columns = {"last seen": named(seen[max(0, len(seen) - num_last) :])}
    columns |= {name: named(items[user]) for name, items in lists.items()}
    table = pd.DataFrame({name: pd.Series(values, dtype=str) for name, values in columns.items()})
    return table.fillna("").set_axis(range(1, len(table) + 1))


def browse_users(dataset, lists, users=None, num_last=10):
    """A choice of users, and `user_lists` of the one that is chosen; works without a kernel.

    Args:
        dataset, lists, num_last: see `user_lists`.
        users: user indices; twelve from the least to the most active where None.

    Returns:
        The widget; its control is described as ``"user"``.

    Raises:
        IndexError: a user is out of range.
        ValueError: there is no user.
    """
    counts = dataset.train.user_counts()
    if users is None:
        order = np.argsort(counts, kind="stable")
        users = order[np.linspace(0, len(order) - 1, min(12, len(order))).astype(int)]
    pages = {}
    for user in users:
        table = user_lists(dataset, lists, user, num_last)
        pages[f"{user}: {counts[user]} films seen"] = table_html(table)
    return flip(pages, "user")


# --- sweeps ---------------------------------------------------------------------------------------


def draw_setting(table, x, value, by="model", kind="test", levels=None, colors=plots.COLORS):
    """Draw HR@10 and NDCG@10 at one value of a setting: a bar for each group, with its seeds.

    Args:
        table: DataFrame, see `ncf_utils.report.summary`.
        x: column of the setting, such as ``"num_negatives"``.
        value: the value to draw; what has no run with it is drawn without a bar.
        by: column of which each value is a bar.
        kind: ``"test"`` or ``"refit"``.
        levels: name -> (HR@10, NDCG@10) of what does not depend on `x`; dotted.
        colors: value of `by`, or name of a level -> colour.

    Returns:
        The figure, with two axes.

    Raises:
        ValueError: no run has the value.
    """
    rows = table[table[x] == value].set_index(by)
    if rows.empty:
        known = ", ".join(f"{known:g}" for known in sorted(table[x].unique()))
        raise ValueError(f"no run has {x} = {value}; there are {known}")
    names = list(table[by].drop_duplicates())
    figure, axes = plt.subplots(1, 2, figsize=(8, 1.2 + 0.3 * len(names)), sharey=True)
    for at, (ax, metric) in enumerate(zip(axes, ("hr", "ndcg"), strict=True)):
        column = f"{kind}_{metric}"
        known = {
            name: level[at] for name, level in (levels or {}).items() if level[at] == level[at]
        }
        highest = max(table[column].max(), *known.values(), 0)
        for place, name in enumerate(names):
            if name not in rows.index or np.isnan(rows[column][name]):
                ax.text(0, place, " no run yet", va="center", fontsize="small")
                continue
            mean, std = rows[column][name], rows[f"{column}_std"][name]
            ax.barh(place, mean, 0.6, color=colors[name])
            spread = "" if np.isnan(std) else f" ± {std:.3f}"
            ax.errorbar(mean, place, xerr=np.nan_to_num(std), color="black")
            ax.text(1.02 * highest, place, f"{mean:.3f}{spread}", va="center", fontsize="small")
        for name, level in known.items():
            ax.axvline(level, ls=":", color=colors.get(name, plots.COLORS.get(name)), label=name)
        ax.set(xlim=(0, 1.4 * highest), xlabel=f"{METRICS[column]}, 99 candidates")
        ax.set_yticks(range(len(names)), [f"{name}" for name in names])
        ax.grid(axis="y", visible=False)
    axes[0].invert_yaxis()
    axes[0].set_ylabel(None if by == "model" else by.replace("_", "\n"))
    handles = axes[0].get_legend_handles_labels()
    seeds = [f"{number:g}" for number in sorted(rows.seeds.unique())]
    figure.legend(*handles, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"{plots.axis_label(x)}: {value:g} (seeds: {' or '.join(seeds)})", fontsize=10)
    return figure


def slide(table, x, start, by="model", kind="test", levels=None, colors=plots.COLORS):
    """A slider along the values of a setting, and `draw_setting` of each; works without a kernel.

    Args:
        table, x, by, kind, levels, colors: see `draw_setting`.
        start: the value to start from.

    Returns:
        The widget; its control is described by the name of the setting.

    Raises:
        ValueError: no run has the value to start from.
    """
    pages = {}
    for value in sorted(table[x].unique()):
        rows = table[table[x] == value]
        said = ", ".join(f"{a} {b:.3f}" for a, b in zip(rows[by], rows[f"{kind}_hr"], strict=True))
        figure = draw_setting(table, x, value, by, kind, levels, colors)
        pages[f"{value:g}"] = picture(figure, f"HR@10 at {plots.axis_label(x)} {value:g}: {said}")
    if f"{start:g}" not in pages:
        raise ValueError(f"no run has {x} = {start}; there are {', '.join(pages)}")
    return flip(pages, plots.axis_label(x), f"{start:g}", widgets.SelectionSlider)


# --- a newcomer -----------------------------------------------------------------------------------


def well_known(vectors, counts, num_films=10, among=60) -> np.ndarray:
    """Films that many know and that differ: a good first question to somebody new.

    Among the films with the most viewers, the first is the one with the most, and each next one the
    film least like all that are chosen: the one whose largest cosine to them is the smallest.

    Args:
        vectors: (n, K), the films.
        counts: (n,), their viewers.
        num_films: how many to choose, at least 1.
        among: how many of the most seen to choose from, at least `num_films`.

    Returns:
        int64 (num_films,).

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> well_known(np.array([[1, 0], [1, 0.1], [0, 1]]), [9, 8, 7], num_films=2)
        array([0, 2])
    """
    check_number("num_films", num_films, 1, integer=True)
    check_number("among", among, num_films, integer=True)
    popular = np.argsort(-np.asarray(counts), kind="stable")[:among]
    if num_films > len(popular):
        raise ValueError(f"num_films must be at most {len(popular)}, not {num_films}")
    v = np.asarray(vectors, dtype=float)[popular]
    d = v - v.mean(axis=0) if len(v) > 2 else v
    d = d / np.linalg.norm(d, axis=1, keepdims=True)
    chosen = [0]
    while len(chosen) < num_films:
        likeness = (d @ d[chosen].T).max(axis=1)
        likeness[chosen] = np.inf
        chosen.append(int(likeness.argmin()))
    return popular[chosen]


def recommend(vectors, stars, *, start, bias=0.0, num_negatives=4, k=10) -> pd.DataFrame:
    """Fold in somebody who has rated a few films, and return the best films for them.

    Four or five stars make a film a positive. One or two make it a certain negative, which counts
    as much as a positive does; a missing one counts as in training, far less. Three stars say only
    that the film is known. What is rated is not shown.

    Args:
        vectors: (n, K), of the films.
        stars: item index -> 1 to 5; what is 0 is not seen.
        start, bias, num_negatives: see `ncf_utils.serving.fold_in`; the user of whom nothing is
            known is at `start`.
        k: how many films to return.

    Returns:
        DataFrame of k rows, the best first: ``item``, ``logit``, and ``place``, where the item
        stands for the user of whom nothing is known, who is shown the same films; 1 is the best.

    Raises:
        IndexError: an item is out of range.
        ValueError: stars are not whole numbers from 0 to 5, or `k` is out of range.
    """
    for item, given in stars.items():
        if given not in (0, 1, 2, 3, 4, 5):
            raise ValueError(f"stars of item {item}: expected 0 to 5, not {given!r}")
        if not 0 <= item < len(vectors):
            raise IndexError(f"item: expected 0 <= item < {len(vectors)}, found {item}")
    rated = [item for item, given in stars.items() if given]
    check_number("k", k, 1, integer=True)
    if k > len(vectors) - len(rated):
        raise ValueError(f"k must be at most {len(vectors) - len(rated)}, not {k}")
    liked = [item for item in rated if stars[item] >= 4]
    missing = np.full(len(vectors), num_negatives * len(liked) / (len(vectors) - len(liked)))
    missing[[item for item in rated if stars[item] <= 2]] = 1
    missing[[item for item in rated if stars[item] == 3]] = 0
    p = fold_in(vectors, np.array(liked, int), start=start, bias=bias, missing=missing)
    logits, before = vectors @ p + bias, vectors @ start + bias  # (n,)
    logits[rated] = before[rated] = -np.inf
    items = best(logits[None, :], k)[0]
    place = [1 + int((before > before[item]).sum()) for item in items]
    return pd.DataFrame({"item": items, "logit": logits[items], "place": place})


def list_for(dataset, vectors, stars, *, start, bias=0.0, num_negatives=4, k=10) -> pd.DataFrame:
    """`recommend` with titles, beside the list for somebody who has rated nothing.

    Args:
        dataset: the data set.
        vectors, stars, start, bias, num_negatives, k: see `recommend`.

    Returns:
        DataFrame of k rows: ``for you``; ``place for anybody``, where these films stand without
        stars; and ``for anybody``, the list of somebody who has rated nothing.
    """
    options = {"start": start, "bias": bias, "num_negatives": num_negatives, "k": k}
    yours, anybodys = recommend(vectors, stars, **options), recommend(vectors, {}, **options)
    columns = {"for you": yours["item"], "place for anybody": yours.place}
    columns |= {"for anybody": anybodys["item"]}
    table = pd.DataFrame(columns).set_axis(range(1, k + 1))
    for name in ("for you", "for anybody"):
        titles = dataset.titles(table[name])
        table[name] = [_short(title, 40) for title in titles]
    return table


def rate_films(dataset, vectors, stars, *, start, bias=0.0, num_negatives=4, k=10):
    """A choice of stars for each of some films, and `list_for` somebody who rates them so.

    Args:
        dataset, vectors, start, bias, num_negatives, k: see `list_for`.
        stars: item index -> the stars to start from, 0 for a film not seen. For a film by its title
            there is `ncf_utils.serving.find_item`.

    Returns:
        The widget; each control is described by the title of its film.

    Raises:
        IndexError, ValueError: as `recommend`.
    """
    options = {"start": start, "bias": bias, "num_negatives": num_negatives, "k": k}
    answer = widgets.HTML(table_html(list_for(dataset, vectors, stars, **options)))
    choices = [("not seen", 0), *(("★" * number, number) for number in range(1, 6))]
    boxes = {
        item: widgets.Dropdown(
            options=choices,
            value=stars[item],
            description=_short(title, 36),
            style={"description_width": "19em"},
            layout={"width": "28em", "max_width": "98%"},
        )
        for item, title in zip(stars, dataset.titles(list(stars)), strict=True)
    }

    def show(_):
        given = {item: box.value for item, box in boxes.items()}
        answer.value = table_html(list_for(dataset, vectors, given, **options))

    for box in boxes.values():
        box.observe(show, "value")
    columns = "repeat(auto-fill, minmax(28em, 1fr))"
    questions = widgets.GridBox(list(boxes.values()), layout={"grid_template_columns": columns})
    return Toy([questions, answer])


# --- what they share ------------------------------------------------------------------------------


class Toy(widgets.VBox):
    """Controls and what they show, with a word for where no widget can be drawn."""

    def _repr_mimebundle_(self, **kwargs):
        shown = super()._repr_mimebundle_(**kwargs)
        return shown | {"text/plain": "(controls: run this cell to use them)"}


def flip(pages, description, start=None, control=widgets.Dropdown):
    """A control that shows one of several pages. It holds them all, so it works without a kernel.

    Args:
        pages: name -> HTML, at least one.
        description: label of the control.
        start: name of the page to start from; the first where None.
        control: ``Dropdown`` or ``SelectionSlider`` of ipywidgets.

    Returns:
        The widget.

    Raises:
        ValueError: there is no page, or none of the name `start`.
    """
    if not pages or (start is not None and start not in pages):
        raise ValueError(f"no page {'' if start is None else repr(start)} among {list(pages)}")
    layout, style = widgets.Layout(width="100%"), widgets.HTML().style
    choose = control(
        options=list(pages), value=next(iter(pages)) if start is None else start,
        description=description, style={"description_width": "initial"},
        layout={"width": "32em", "max_width": "98%"},
    )  # fmt: skip
    held = [widgets.HTML(page, layout=layout, style=style) for page in pages.values()]
    stack = widgets.Stack(held, selected_index=choose.index)
    widgets.dlink((choose, "index"), (stack, "selected_index"))  # where Python sets the value
    widgets.jsdlink((choose, "index"), (stack, "selected_index"))  # in the reader's browser
    return Toy([choose, stack])


def table_html(table) -> str:
    """A DataFrame as HTML that takes its colours from the page around it."""
    page = table.to_html(border=0, classes="ncf-table", justify="left")
    return _STYLE + page.replace(' class="dataframe ncf-table"', ' class="ncf-table"')


def picture(figure, text) -> str:
    """A figure as HTML, closed; `text` is for those who cannot see it."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    plt.close(figure)
    # Few colours make a small file, of which a notebook holds many.
    Image.open(drawn).convert("RGB").quantize(48, dither=Image.Dither.NONE).save(
        buffer, "png", optimize=True
    )
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(text)
    return f'<img style="max-width: 100%" alt="{text}" src="data:image/png;base64,{data}">'


def _short(title, width):
    """A title cut to a width, without other names; its year stays.

    >>> _short("Men in Black (a.k.a. MIB) (1997)", 30), _short("Raiders of the Lost Ark (1981)", 20)
    ('Men in Black (1997)', 'Raiders of t… (1981)')
    """
    if len(title) <= width:
        return title
    name, year = re.fullmatch(r"(.*?)((?: \(\d{4}\))?)", title, re.DOTALL).groups()
    name = name.partition(" (")[0] + year
    if len(name) <= width:
        return name
    return f"{name.removesuffix(year)[: width - 1 - len(year)].rstrip()}…{year}"


def _alert(error):
    return f'<span role="alert">⚠ {html.escape(str(error))}</span>'
