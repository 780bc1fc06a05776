"""Things to play with: what the functions return, and what the widgets show when they are used."""

import base64
import io
import re
import time

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ncf_utils import play
from ncf_utils.course import refresh_notebook, run_notebook, widgets_numbered
from ncf_utils.data import DataError, load_dataset
from ncf_utils.editions import student_edition
from ncf_utils.report import summary
from ncf_utils.serving import fold_in

TITLES = ["Alien (1979)", "Aliens (1986)", "Toy Story (1995)", "Toy Story 2 (1999)", "Up (2009)"]
TITLES += ["Batman (1989)", "Batman (1966)", "Heat (1995)"]


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def directions():
    rows = np.random.default_rng(0).normal(size=(len(TITLES), 3))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("ml-latest-small")


def inside(widget):
    """A widget and all that are in it."""
    parts = [part for child in getattr(widget, "children", ()) for part in inside(child)]
    return [widget, *parts]


def control(widget, description):
    (found,) = [w for w in inside(widget) if getattr(w, "description", None) == description]
    return found


def controls(widget):
    return [w for w in inside(widget) if not isinstance(w, ipywidgets.Box | ipywidgets.HTML)]


def shown(widget):
    """The HTML that is visible, without what lies behind in a stack."""
    if isinstance(widget, ipywidgets.Stack):
        return shown(widget.children[widget.selected_index])
    if isinstance(widget, ipywidgets.HTML):
        return widget.value
    return "".join(shown(child) for child in getattr(widget, "children", ()))


# --- films, added and subtracted


def test_a_title_is_found_without_capitals_and_without_its_year():
    assert [play.find_title(title, TITLES) for title in TITLES] == list(range(len(TITLES)))
    assert play.find_title(" toy story ", TITLES) == 2
    assert play.find_title("ALIENS", TITLES) == 1


@pytest.mark.parametrize(
    "typed, said",
    [
        ("Toy Stroy", "the nearest are 'Toy Story (1995)', 'Toy Story 2 (1999)'$"),
        ("sto", "the nearest are 'Toy Story (1995)', 'Toy Story 2 (1999)'$"),
        ("Alein (1979)", "the nearest are 'Alien (1979)'"),
        ("batman", "'batman' may be any of 'Batman (1989)', 'Batman (1966)'$"),
        ("xyzzy", "none of these 8 films is titled 'xyzzy'$"),
        ("", "none of these 8 films is titled ''$"),
    ],
)
def test_an_unknown_title_is_answered_by_the_nearest(typed, said):
    with pytest.raises(DataError, match=said.replace("(", r"\(").replace(")", r"\)")):
        play.find_title(typed, TITLES)


def test_the_parts_add_up_to_the_cosine_and_the_nearest_come_first(directions):
    table = play.add_films(directions, TITLES, ["up", "heat"], ["alien"], k=5)
    total = directions[4] + directions[7] - directions[0]
    cosine = directions @ total / np.linalg.norm(total)
    others = [place for place in np.argsort(-cosine) if place not in (4, 7, 0)]
    assert table.index.tolist() == [TITLES[place] for place in others]
    assert np.allclose(table.sum(axis=1), cosine[others])
    assert table.columns.tolist() == ["+ Up (2009)", "+ Heat (1995)", "- Alien (1979)"]
    part = -directions[others] @ directions[0] / np.linalg.norm(total)
    assert np.allclose(table["- Alien (1979)"], part)


def test_what_cannot_be_added_is_named(directions):
    with pytest.raises(ValueError, match="choose at least one film"):
        play.add_films(directions, TITLES, [])
    with pytest.raises(ValueError, match=r"'Up \(2009\)' is chosen twice"):
        play.add_films(directions, TITLES, ["up"], ["Up (2009)"])
    with pytest.raises(ValueError, match="k must be at most 7, not 8"):
        play.add_films(directions, TITLES, ["up"], k=8)


def test_films_that_cancel_each_other_have_no_neighbours():
    twice = np.array([[0.6, 0.8], [0.6, 0.8], [1.0, 0.0]])
    with pytest.raises(ValueError, match="cancel each other"):
        play.add_films(twice, ["A", "B", "C"], plus=["A"], minus=["B"], k=1)


def test_the_bars_are_the_parts(directions):
    table = play.add_films(directions, TITLES, ["up", "heat"], ["alien"], k=5)
    (ax,) = play.draw_sum(table).axes
    # For each chosen film the bars to the right of zero, and those to the left.
    bars = [[bar.get_width() for bar in group] for group in ax.containers]
    drawn = [np.add(*bars[at : at + 2]) for at in range(0, 6, 2)]
    assert np.allclose(drawn, table.to_numpy().T)
    ends = [[bar.get_x() + bar.get_width() for bar in group] for group in ax.containers]
    assert np.allclose(np.add(ends[4], ends[5]), table.sum(axis=1))
    assert np.allclose(ax.lines[0].get_xdata(), table.sum(axis=1))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == table.index.tolist()


def test_the_calculator_shows_what_is_typed(directions):
    widget = play.film_calculator(directions, TITLES, ["up"], k=3)
    assert "Nearest to + Up (2009): " in shown(widget)
    control(widget, "and").value = "heat"
    control(widget, "minus").value = "Alien"
    table = play.add_films(directions, TITLES, ["up", "heat"], ["alien"], k=3)
    said = ", ".join(f"{title} {value:.2f}" for title, value in table.sum(axis=1).items())
    assert f"Nearest to + Up (2009) + Heat (1995) - Alien (1979): {said}" in shown(widget)
    control(widget, "plus").value = ""
    assert "Nearest to + Heat (1995) - Alien (1979): " in shown(widget)
    assert control(widget, "plus").options == tuple(TITLES)


def test_a_bad_title_keeps_the_last_picture(directions):
    widget = play.film_calculator(directions, TITLES, ["up"], k=3)
    before = shown(widget)
    control(widget, "plus").value = "<b>Toy Stroy"
    alert, rest = shown(widget).split("</span>")
    assert alert.startswith('<span role="alert">') and "Toy Story (1995)" in alert
    assert rest == before and "<b>" not in alert
    control(widget, "plus").value = ""
    assert "choose at least one film" in shown(widget)
    control(widget, "plus").value = "up"
    assert shown(widget) == before
    with pytest.raises(DataError, match="nearest"):
        play.film_calculator(directions, TITLES, ["Toy Stroy"])
    with pytest.raises(ValueError, match="at most two titles"):
        play.film_calculator(directions, TITLES, TITLES[:3])


# --- users and their lists


def test_lists_are_shown_by_title_with_the_test_film_marked(dataset):
    user = 6
    test = dataset.test.item[dataset.test.user == user][0]
    lists = np.tile(np.arange(5), (dataset.num_users, 1))
    lists[user] = [3, 1, test, -1, -1]
    table = play.user_lists(dataset, {"A": lists, "B": lists[:, ::-1]}, user, num_last=4)
    last = [title[:8] for title in dataset.titles(dataset.train.items_of(user)[-4:])]
    assert [title[:8] for title in table["last seen"]] == last
    assert table["A"].tolist()[:2] == dataset.titles([3, 1])
    assert table["A"][3].startswith("→ ") and table["A"][4] == ""
    assert [title.startswith("→ ") for title in table["B"]] == [True, False, False, False]
    assert table.index.tolist() == [1, 2, 3, 4] and table.map(len).to_numpy().max() <= 26


def test_a_user_or_a_list_that_is_not_there_is_named(dataset):
    lists = np.zeros((dataset.num_users, 3), int)
    for user in (-1, dataset.num_users):
        with pytest.raises(IndexError, match=f"0 <= user < 671, found {user}"):
            play.user_lists(dataset, {"A": lists}, user)
    with pytest.raises(ValueError, match="GMF: expected 671 lists, not 670"):
        play.user_lists(dataset, {"GMF": lists[1:]}, 0)
    with pytest.raises(ValueError, match="no page"):
        play.browse_users(dataset, {"A": lists}, users=[])


def test_the_user_that_is_chosen_is_shown(dataset):
    rng = np.random.default_rng(0)
    lists = {"A": rng.integers(dataset.num_items, size=(dataset.num_users, 10))}
    widget = play.browse_users(dataset, lists, users=[6, 0])
    choose = control(widget, "user")
    assert choose.options == ("6: 86 films seen", "0: 18 films seen")
    for option, user in (("0: 18 films seen", 0), ("6: 86 films seen", 6)):
        choose.value = option
        assert shown(widget) == play.table_html(play.user_lists(dataset, lists, user))
    everybody = control(play.browse_users(dataset, lists), "user").options
    seen = [int(re.search(r": (\d+) films", option).group(1)) for option in everybody]
    counts = dataset.train.user_counts()
    assert len(seen) == 12 and seen == sorted(seen)
    assert (seen[0], seen[-1]) == (counts.min(), counts.max())


# --- sweeps


@pytest.fixture
def sweep():
    rows = [
        {"model": model, "num_negatives": n, "seed": seed, "test_hr": hr + seed / 100}
        for (model, n), hr in {("GMF", 1): 0.5, ("GMF", 4): 0.6, ("MLP", 4): 0.7}.items()
        for seed in ((0, 2) if model == "GMF" else (0,))
    ]
    rows = pd.DataFrame(rows)
    rows["test_ndcg"] = rows.test_hr / 2
    return summary(rows, ["model", "num_negatives"])


LEVELS = {"Popularity": (0.4, 0.2), "BPR": (np.nan, np.nan)}


def test_a_setting_is_drawn_with_its_spread_levels_and_gaps(sweep):
    figure = play.draw_setting(sweep, "num_negatives", 4, levels=LEVELS)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "HR@10, 99 candidates",
        "NDCG@10, 99 candidates",
    ]
    for ax, scale in zip(figure.axes, (1, 0.5), strict=True):
        widths = [bar.get_width() for bar in ax.patches]
        assert np.allclose(widths, [0.61 * scale, 0.7 * scale])
        assert ax.get_xlim()[0] == 0  # a bar that does not start at zero lies
        (spread, alone) = [bars.get_segments()[0][:, 0] for bars in ax.collections]
        assert np.isclose(np.ptp(spread) / 2, np.std([0, 0.02], ddof=1) * scale)
        assert np.ptp(alone) == 0  # one seed has no spread
        dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        assert dotted == [0.4 * scale]  # a level without a run is left out
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["0.610 ± 0.014", "0.700"]
    assert figure.get_suptitle() == "negatives for each positive: 4 (seeds: 1 or 2)"
    one = play.draw_setting(sweep, "num_negatives", 1)
    assert [text.get_text() for text in one.axes[0].texts] == ["0.510 ± 0.014", " no run yet"]
    with pytest.raises(ValueError, match="no run has num_negatives = 3; there are 1, 4"):
        play.draw_setting(sweep, "num_negatives", 3)


def test_the_slider_has_each_value_and_shows_its_picture(sweep):
    widget = play.slide(sweep, "num_negatives", 4, levels=LEVELS)
    slider = control(widget, "negatives for each positive")
    assert isinstance(slider, ipywidgets.SelectionSlider)
    assert slider.options == ("1", "4") and slider.value == "4"
    assert 'alt="HR@10 at negatives for each positive 4: GMF 0.610, MLP 0.700"' in shown(widget)
    slider.value = "1"
    assert 'alt="HR@10 at negatives for each positive 1: GMF 0.510"' in shown(widget)
    with pytest.raises(ValueError, match="no run has num_negatives = 2; there are 1, 4"):
        play.slide(sweep, "num_negatives", 2)


def test_a_picture_in_a_widget_is_the_figure(sweep):
    page = play.picture(play.draw_setting(sweep, "num_negatives", 4), 'a "quoted" <text>')
    assert 'alt="a &quot;quoted&quot; &lt;text&gt;"' in page
    few = Image.open(io.BytesIO(base64.b64decode(re.search('base64,([^"]+)', page).group(1))))
    figure = play.draw_setting(sweep, "num_negatives", 4)
    figure.savefig(buffer := io.BytesIO())
    all_colors = np.asarray(Image.open(buffer).convert("RGB"), float)
    assert np.abs(np.asarray(few.convert("RGB")) - all_colors).mean() < 2  # of 255
    assert len(page) < 20_000 and not set(plt.get_fignums()) - {figure.number}


# --- a newcomer


def test_well_known_films_differ(dataset):
    rng = np.random.default_rng(0)
    vectors, counts = rng.normal(size=(200, 4)), rng.permutation(200)
    chosen = play.well_known(vectors, counts, num_films=6, among=30)
    popular = np.argsort(-counts)[:30]
    assert chosen[0] == popular[0] and set(chosen) <= set(popular) and len(set(chosen)) == 6
    d = vectors[popular] - vectors[popular].mean(axis=0)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    place = {film: at for at, film in enumerate(popular)}
    for step in range(1, 6):  # each is the one least like those before
        before = [place[film] for film in chosen[:step]]
        likeness = {film: (d[place[film]] @ d[before].T).max() for film in popular}
        rest = {film: value for film, value in likeness.items() if film not in chosen[:step]}
        assert min(rest, key=rest.get) == chosen[step]
    with pytest.raises(ValueError, match="among must be at least 6, not 3"):
        play.well_known(vectors, counts, num_films=6, among=3)


@pytest.fixture(scope="module")
def films(dataset):
    rng = np.random.default_rng(1)
    return rng.normal(size=(dataset.num_items, 5)), rng.normal(size=5)


def test_stars_are_folded_in_as_they_say(films):
    vectors, start = films
    before = vectors @ start - 1
    rated = np.argsort(-before)[:5].tolist()  # what anybody would be shown, had they not rated it
    stars = dict(zip([*rated, 30], [5, 4, 1, 2, 3, 0], strict=True))
    table = play.recommend(vectors, stars, start=start, bias=-1.0, num_negatives=2, k=7)
    missing = np.full(len(vectors), 2 * 2 / (len(vectors) - 2))
    missing[rated[2:4]], missing[rated[4]] = 1, 0
    p = fold_in(vectors, rated[:2], start=start, bias=-1.0, missing=missing)
    logits = vectors @ p - 1
    order = [item for item in np.argsort(-logits) if item not in rated][:7]
    assert set(np.argsort(-logits)[:7]) & set(rated)
    assert table["item"].tolist() == order
    assert np.allclose(table.logit, logits[order])
    free = np.delete(before, rated)
    assert table.place.tolist() == [1 + (free > before[item]).sum() for item in order]


def test_without_stars_one_gets_what_anybody_gets(films, dataset):
    vectors, start = films
    for stars in ({}, {5: 0, 9: 0}):
        table = play.recommend(vectors, stars, start=start)
        assert table["item"].tolist() == np.argsort(-(vectors @ start))[:10].tolist()
        assert table.place.tolist() == list(range(1, 11))
    table = play.list_for(dataset, vectors, {5: 5}, start=start)
    nobody = play.recommend(vectors, {}, start=start)["item"]
    assert [t[:20] for t in table["for anybody"]] == [t[:20] for t in dataset.titles(nobody)]


def test_stars_that_are_none_are_named(films):
    vectors, start = films
    for bad in (6, -1, 2.5, "5", None):
        with pytest.raises(ValueError, match="stars of item 3: expected 0 to 5, not"):
            play.recommend(vectors, {3: bad}, start=start)
    with pytest.raises(IndexError, match="item: expected 0 <= item < 9066, found 9066"):
        play.recommend(vectors, {9066: 5}, start=start)
    with pytest.raises(ValueError, match="k must be at most 2, not 3"):
        play.recommend(vectors[:4], {0: 5, 1: 3}, start=start, k=3)


def test_a_new_star_makes_a_new_list(dataset, films):
    vectors, start = films
    stars = {0: 5, 1: 0, 2: 1}
    widget = play.rate_films(dataset, vectors, stars, start=start, num_negatives=2)
    assert shown(widget) == play.table_html(
        play.list_for(dataset, vectors, stars, start=start, num_negatives=2)
    )
    control(widget, "Jumanji (1995)").value = 4
    stars[1] = 4
    after = play.list_for(dataset, vectors, stars, start=start, num_negatives=2)
    assert shown(widget) == play.table_html(after)
    for box in controls(widget):
        box.value = 0
    nothing = play.list_for(dataset, vectors, {}, start=start)
    assert shown(widget) == play.table_html(nothing)
    assert nothing["for you"].tolist() == nothing["for anybody"].tolist()
    with pytest.raises(ValueError, match="stars of item 0: expected 0 to 5, not 7"):
        play.rate_films(dataset, vectors, {0: 7}, start=start)


# --- all of them


def test_every_control_is_labelled_and_quick(directions, dataset, films, sweep):
    lists = {"A": np.zeros((dataset.num_users, 10), int)}
    vectors, start = films
    calculator = play.film_calculator(directions, TITLES, ["up"], k=3)
    rates = play.rate_films(dataset, vectors, dict.fromkeys(range(10), 0), start=start)
    pages = [play.browse_users(dataset, lists), play.slide(sweep, "num_negatives", 4)]
    for widget in (calculator, rates, *pages):
        descriptions = [box.description for box in controls(widget)]
        assert all(descriptions) and len(set(descriptions)) == len(descriptions)
    changes = [(control(calculator, "plus"), "heat"), (control(rates, "Jumanji (1995)"), 5)]
    changes += [(controls(page)[0], controls(page)[0].options[0]) for page in pages]
    for box, value in changes:
        begun = time.process_time()
        box.value = value
        assert time.process_time() - begun < 0.8, box.description


def test_a_table_takes_its_colours_from_the_page():
    page = play.table_html(pd.DataFrame({"film": ["<b>Up</b>"]}))
    assert "&lt;b&gt;Up" in page and 'border="' not in page
    assert set(re.findall(r"color: (\w+)", page)) == {"inherit"} and "background" not in page


# --- in a notebook

SOURCE = """
from ncf_utils import play
display(play.flip({"one": "<p>first</p>", "two": "<p>second</p>"}, "page", "two"))
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with a widget, with its outputs and the state of the widget."""
    path = tmp_path_factory.mktemp("play") / "01_play.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cell = nbformat.v4.new_code_cell(SOURCE, id="a")
    book = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(book, path)
    assert not refresh_notebook(path).error
    return path.read_bytes()


@pytest.fixture
def stored(executed, tmp_path):
    path = tmp_path / "notebooks" / "01_play.ipynb"
    path.parent.mkdir()
    path.write_bytes(executed)
    return path


def test_stored_widgets_work_without_a_kernel_and_are_the_same_each_time(stored):
    first = stored.read_bytes()
    book = nbformat.reads(first.decode(), as_version=4)
    nbformat.validate(book)
    (saved,) = book.metadata.widgets.values()
    (output,) = book.cells[0].outputs
    assert output.data["application/vnd.jupyter.widget-view+json"]["model_id"] in saved["state"]
    assert output.data["text/plain"] == "(controls: run this cell to use them)"
    models = {model["model_name"]: model["state"] for model in saved["state"].values()}
    link, ids = models["DirectionalLinkModel"], set(saved["state"])
    (source, field), (target, selected) = link["source"], link["target"]
    assert saved["state"][source.removeprefix("IPY_MODEL_")]["model_name"] == "DropdownModel"
    assert saved["state"][target.removeprefix("IPY_MODEL_")]["model_name"] == "StackModel"
    assert (field, selected) == ("index", "selected_index")
    assert models["DropdownModel"]["index"] == models["StackModel"]["selected_index"] == 1
    assert set(re.findall(r"IPY_MODEL_(\w+)", first.decode())) <= ids
    assert not refresh_notebook(stored).error
    assert stored.read_bytes() == first
    # The same notebook under another name shares no widget with it.
    (saved,) = widgets_numbered(book, "02_play").metadata.widgets.values()
    assert len(saved["state"]) == len(ids) and not ids & set(saved["state"])


def test_a_notebook_whose_widgets_are_gone_keeps_no_state(stored):
    book = nbformat.read(stored, as_version=4)
    book.cells[0].source = "1 + 1"
    nbformat.write(book, stored)
    assert not refresh_notebook(stored).error
    assert "widgets" not in nbformat.read(stored, as_version=4).metadata


def test_the_student_edition_has_no_widget_state_and_papermill_stores_its_own(stored, tmp_path):
    (path,) = student_edition(stored.parent, tmp_path / "build")
    text = path.read_text(encoding="utf-8")
    assert "play.flip" in text and "widget" not in text
    assert not run_notebook(stored, tmp_path / "out.ipynb").error
    (saved,) = nbformat.read(tmp_path / "out.ipynb", as_version=4).metadata.widgets.values()
    assert "StackModel" in {model["model_name"] for model in saved["state"].values()}
