"""Figures: what is drawn is what was measured, with labels, in the model's own colour."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import FancyBboxPatch

from ncf_utils import plots
from ncf_utils.metrics import Evaluation
from ncf_utils.training import Fit

matplotlib.use("Agg")

OKABE_ITO = "#000000 #E69F00 #56B4E9 #009E73 #F0E442 #0072B2 #D55E00 #CC79A7".lower().split()


@pytest.fixture(autouse=True)
def clean():
    """Leave matplotlib as it was."""
    with matplotlib.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def fit():
    history = pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3],
            "loss": [np.nan, 0.6, 0.4, 0.3],
            "validation_hr": [0.1, 0.5, 0.7, 0.6],
            "validation_ndcg": [0.05, 0.3, 0.45, 0.4],
            "test_hr": [0.11, 0.4, 0.5, 0.55],
            "test_ndcg": [0.04, 0.2, 0.25, 0.3],
            "seconds": [0.0, 1.0, 1.0, 1.0],
        }
    )
    return Fit(model=None, history=history, picked_epoch=2, seconds=3.0)


def reference(hr, ndcg):
    return Evaluation(hr, ndcg, 10, np.array([0]), np.array([0]), 99, False)


def labelled(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


# --- training curves -----------------------------------------------------------------------------


def test_curves_are_the_history(fit):
    references = {"Random": reference(0.1, 0.045), "Popularity": reference(0.45, 0.25)}
    figure = plots.training_curves(fit, references, "MLP")
    loss, hr, ndcg = figure.axes
    line = loss.lines[0]
    assert line.get_xdata().tolist() == [1, 2, 3] and line.get_ydata().tolist() == [0.6, 0.4, 0.3]
    assert to_hex(line.get_color()) == plots.COLORS["MLP"].lower()
    for ax, metric in ((hr, "hr"), (ndcg, "ndcg")):
        lines = labelled(ax)
        assert set(lines) == {"MLP, validation", "MLP, test", "Random, test", "Popularity, test"}
        for split in ("validation", "test"):
            line = lines[f"MLP, {split}"]
            assert line.get_xdata().tolist() == fit.history.epoch.tolist()
            assert line.get_ydata().tolist() == fit.history[f"{split}_{metric}"].tolist()
            assert to_hex(line.get_color()) == plots.COLORS["MLP"].lower()
        assert lines["MLP, test"].get_linestyle() != lines["MLP, validation"].get_linestyle()
        for name, evaluation in references.items():
            line = lines[f"{name}, test"]
            assert set(line.get_ydata()) == {getattr(evaluation, metric)}
            assert to_hex(line.get_color()) == plots.COLORS[name].lower()


def test_curves_mark_the_picked_epoch(fit):
    for ax in plots.training_curves(fit).axes:
        marks = [line for line in ax.lines if set(line.get_xdata()) == {2}]
        assert len(marks) == 1 and marks[0].get_ydata() == [0, 1]  # from bottom to top


def test_curves_say_what_they_show(fit):
    figure = plots.training_curves(fit, {"Random": reference(0.1, 0.045)}, "NeuMF")
    loss, hr, ndcg = figure.axes
    assert all("epoch" in ax.get_xlabel() and "picked" in ax.get_xlabel() for ax in figure.axes)
    assert "nats" in loss.get_ylabel()
    assert hr.get_title() == "HR@10 against 99 candidates"
    assert ndcg.get_title() == "NDCG@10 against 99 candidates"
    assert hr.get_ylim()[0] == ndcg.get_ylim()[0] == 0
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["NeuMF, validation", "NeuMF, test", "Random, test"]


@pytest.mark.parametrize("missing, kept", [("validation", "test"), ("test", "validation")])
def test_curves_without_one_of_the_splits(fit, missing, kept):
    history = fit.history.drop(columns=[f"{missing}_hr", f"{missing}_ndcg"])
    figure = plots.training_curves(Fit(None, history, 3, 3.0))
    for ax in figure.axes[1:]:
        assert list(labelled(ax)) == [f"GMF, {kept}"]


# --- style ---------------------------------------------------------------------------------------


# What is left of linear red, green and blue in each kind of colour blindness: Machado, Oliveira and
# Fernandes, A physiologically-based model for simulation of color vision deficiency, TVCG 2009.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def cielab(colour, vision):
    """Lightness and the two axes of colour, in which equal distances look about equal."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(vision) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ seen / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(
    "more, message",
    [
        ({"model": "NeuFM"}, "no colour for 'NeuFM'; known are Random"),
        ({"references": {"Sesame": None}}, "no colour for 'Sesame'; known are Random, Popularity"),
    ],
)
def test_curves_of_an_unknown_model(fit, more, message):
    with pytest.raises(ValueError, match=message):
        plots.training_curves(fit, **more)
    assert not plt.get_fignums()


def test_colours_are_measured_as_they_are_seen():
    assert np.allclose(cielab("white", VISION["normal"]), [100, 0, 0], atol=0.1)
    assert np.allclose(cielab("red", VISION["normal"]), [53.2, 80.1, 67.2], atol=0.2)
    for vision, far in (("normal", True), ("protanopia", False)):
        red, dark = (cielab(colour, VISION[vision]) for colour in ("#a40000", "#402500"))
        assert (np.linalg.norm(red - dark) > 50) == far, vision


@pytest.mark.parametrize("vision", VISION)
def test_colours_can_be_told_apart(vision):
    colours = {name: colour.lower() for name, colour in plots.COLORS.items()}
    assert len(set(colours.values())) == len(colours)
    assert {"Random", "Popularity", "GMF", "MLP", "NeuMF", "user", "item"} <= set(colours)
    place = {name: cielab(colour, VISION[vision]) for name, colour in colours.items()}
    for name, colour in colours.items():
        grey = colour[1:3] == colour[3:5] == colour[5:]
        if not grey and colour not in OKABE_ITO:  # a colour of our own: measured
            for other in set(colours) - {name}:
                assert np.linalg.norm(place[name] - place[other]) > 20, (name, other)


def test_style_draws_models_in_their_colours():
    plots.use_style()
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    assert cycle[:3] == [plots.COLORS[name] for name in ("GMF", "MLP", "NeuMF")]
    assert not matplotlib.rcParams["axes.spines.top"] and matplotlib.rcParams["axes.grid"]


# --- architectures -------------------------------------------------------------------------------


def drawing(figure):
    """({label: (x, y)}, [((x, y) from, (x, y) to)]) of a diagram."""
    (ax,) = figure.axes
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    labels = [text for text in ax.texts if text not in arrows]
    assert len(boxes) == len(labels)
    for box, text in zip(boxes, labels, strict=True):  # each label in the middle of its box
        x, y = text.get_position()
        assert (box.get_x() + box.get_width() / 2) == pytest.approx(x)
        assert (box.get_y() + box.get_height() / 2) == pytest.approx(y)
    places = [(text.get_text(), text.get_position()) for text in labels]
    return places, [(arrow.xyann, arrow.xy) for arrow in arrows], boxes


# What stands on what, from the paper's figures 2 and 3.
GMF = {("user u", "p, 4"), ("item i", "q, 4"), ("p, 4", "GMF"), ("q, 4", "GMF"), ("GMF", "logit")}
MLP = {
    ("user u", "p, 8"), ("item i", "q, 8"), ("p, 8", "[p; q]"), ("q, 8", "[p; q]"),
    ("[p; q]", "ReLU, 16"), ("ReLU, 16", "ReLU, 5"), ("ReLU, 5", "logit"),
}  # fmt: skip


@pytest.mark.parametrize("model, expected", [("GMF", GMF), ("MLP", MLP), ("NeuMF", GMF | MLP)])
def test_architecture(model, expected):
    figure = plots.architecture(model, hidden_layers=(16, 5), num_factors=4)
    places, arrows, boxes = drawing(figure)
    height = boxes[0].get_height()

    def box_at(point, edge):
        (name,) = (
            name
            for name, (x, y) in places
            if point == (pytest.approx(x), pytest.approx(y + edge * height / 2))
        )
        return "GMF" if "odot" in name else name

    edges = [(box_at(start, 1), box_at(end, -1)) for start, end in arrows]
    assert len(edges) == len(set(edges)) and set(edges) == expected
    assert all(end[1] > start[1] for start, end in arrows)  # upwards, through no box
    names = [name for name, _ in places]
    assert len(set(names)) == len(names)
    for i, one in enumerate(boxes):  # no box covers another
        for other in boxes[:i]:
            apart = abs(one.get_x() - other.get_x()), abs(one.get_y() - other.get_y())
            assert apart[0] >= one.get_width() or apart[1] >= height


def test_architecture_fits_its_axes():
    figure = plots.architecture("NeuMF")
    (ax,) = figure.axes
    for box in ax.patches:
        assert ax.get_xlim()[0] < box.get_x() and box.get_x() + box.get_width() < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < box.get_y() and box.get_y() + box.get_height() < ax.get_ylim()[1]


def test_architecture_of_an_mlp_without_hidden_layers():
    places, arrows, _ = drawing(plots.architecture("MLP", hidden_layers=[]))
    names = [name for name, _ in places]
    assert sorted(names) == sorted(["user u", "item i", "p, 8", "q, 8", "[p; q]", "logit"])
    assert len(arrows) == 5


@pytest.mark.parametrize("model", ["gmf", "MF", None])
def test_unknown_architecture(model):
    with pytest.raises(ValueError, match="model must be GMF, MLP or NeuMF"):
        plots.architecture(model)


def test_seed_band_draws_means_and_one_standard_deviation_to_either_side():
    _, ax = plt.subplots()
    line = plots.seed_band(ax, [1, 2, 4], np.array([0.5, 0.6, 0.7]), [0.1, np.nan, 0.05], color="k")
    assert line.get_ydata().tolist() == [0.5, 0.6, 0.7] and line.get_color() == "k"
    [corners] = [path.vertices.round(6).tolist() for path in ax.collections[-1].get_paths()]
    for corner in ([1, 0.4], [1, 0.6], [2, 0.6], [4, 0.65], [4, 0.75]):
        assert corner in corners, corner


def test_hr_and_ndcg_draws_lines_levels_and_published_dots():
    rows = {"model": ["GMF", "GMF", "MLP"], "n": [1, 4, 4], "seeds": [3, 1, 2]}
    metrics = {
        f"test_{m}{end}": [0.5, 0.6, v]
        for m, v in (("hr", 0.7), ("ndcg", 0.4))
        for end in ("", "_std")
    }
    dots = pd.DataFrame({"model": ["MLP"], "n": [4], "hr_at_10": [0.71], "ndcg_at_10": [0.41]})
    figure = plots.hr_and_ndcg(
        pd.DataFrame(rows | metrics), "n", levels={"Random": (0.1, 0.05)}, dots=dots
    )
    first, second = figure.axes
    labels = first.get_legend_handles_labels()[1]
    assert labels == ["GMF, 1 to 3 seeds", "MLP, 2 seeds", "Random"]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in second.lines]
    assert ([1, 4], [0.5, 0.6]) in drawn and ([4], [0.4]) in drawn and ([4], [0.41]) in drawn
    assert second.lines[-1].get_ydata() == [0.05, 0.05]
    assert (first.get_xlabel(), first.get_ylabel()) == ("n", "HR@10, 99 candidates")


def test_a_close_up_shows_the_lines_and_not_the_room_below():
    table = pd.DataFrame({"model": "GMF", "n": [1, 4], "seeds": 1, "test_hr_std": np.nan})
    table = table.assign(test_hr=[0.6, 0.64], test_ndcg=[0.3, 0.32], test_ndcg_std=np.nan)
    levels = {"Random": (0.1, 0.05)}
    hr, ndcg = plots.hr_and_ndcg(table, "n", levels=levels, close_up=True).axes
    assert hr.get_ylim() == pytest.approx((0.59, 0.65))
    assert ndcg.get_ylim() == pytest.approx((0.29, 0.33))
    hr, _ = plots.hr_and_ndcg(table, "n", levels=levels).axes
    assert hr.get_ylim()[0] < 0.1


def test_beside_shows_both_numbers_and_colours_the_difference():
    theirs = pd.DataFrame([[0.5, 0.6]], index=pd.Index([3], name="hidden_layers"), columns=[8, 16])
    theirs.columns.name = "factors"
    _, ax = plt.subplots()
    plots.beside(ax, theirs + np.array([[0.03, np.nan]]), theirs, "MLP")
    assert [text.get_text() for text in ax.texts] == ["0.530\n0.500", "no run\n0.600"]
    assert ax.texts[0].get_color() == "white" and ax.texts[1].get_color() == "black"
    shown = ax.images[0].get_array()
    assert shown.filled(np.nan).ravel() == pytest.approx([0.03, np.nan], nan_ok=True)
    assert ax.images[0].get_clim() == (-0.03, 0.03) and ax.get_ylabel() == "hidden layers"
    assert ax.get_xlabel() == "factors"


def test_a_level_without_a_run_is_not_drawn_and_lines_are_named_by_what_they_are():
    table = pd.DataFrame({"num_layers": [8], "n": [1], "seeds": [1]})
    table = table.assign(test_hr=0.5, test_hr_std=np.nan, test_ndcg=0.3, test_ndcg_std=np.nan)
    levels = {"BPR": (np.nan, np.nan), "Random": (0.1, 0.05), "Mine": (0.2, 0.1)}
    colors = {8: "k", "Mine": "#123456"}
    figure = plots.hr_and_ndcg(table, "n", by="num_layers", levels=levels, colors=colors)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["8, 1 seed", "Random", "Mine"]
    drawn = [to_hex(line.get_color()) for line in figure.axes[0].lines[-2:]]
    assert drawn == [to_hex(plots.COLORS["Random"]), "#123456"]
    assert legend.get_title().get_text() == "hidden layers"
