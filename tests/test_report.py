"""`ncf report`: means over seeds, failures, and a figure that shows what the rows hold."""

import json
import math

import pytest

from ncf_utils.cli import main
from ncf_utils.parameters import ParameterError
from ncf_utils.report import draw, failures, read_results, summary, varying
from ncf_utils.results import add_rows

HR = {(4, 0): 0.60, (4, 1): 0.64, (1, 0): 0.50, (1, 1): 0.51, (10, 0): 0.66}


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Results of an MLP with three numbers of negatives, and of a GMF."""
    monkeypatch.chdir(tmp_path)
    common = {"dataset": "synthetic", "epochs": 3, "hidden_layers": [16, 8], "own": "x"}
    measured = {"seconds": 1.5, "picked_epoch": 2, "num_weights": 9, "test_hr_by_k": [0.1, 0.2]}
    rows = [
        {"model": "MLP", "num_negatives": negatives, "seed": seed, "test_hr": hr, "test_ndcg": hr}
        for (negatives, seed), hr in HR.items()
    ]
    rows.append({"model": "GMF", "num_negatives": 4, "seed": 0, "test_hr": 0.7, "test_ndcg": 0.7})
    for at, row in enumerate(rows):
        row |= {"num_weights": at, "weights": [at, 1], "picked_epochs": [at]}
    add_rows("negatives.csv", [common | measured | row for row in rows])
    return tmp_path / "negatives.csv"


def test_only_parameters_that_differ_make_a_configuration(path):
    assert varying(read_results(path)) == ["model", "num_negatives"]


def test_mean_and_standard_deviation_over_seeds(path):
    table = summary(read_results(path), ["model", "num_negatives"])
    assert table[["model", "num_negatives", "seeds"]].values.tolist() == [
        ["GMF", 4, 1],
        ["MLP", 1, 2],
        ["MLP", 4, 2],
        ["MLP", 10, 1],
    ]
    assert table.test_hr.tolist() == pytest.approx([0.7, 0.505, 0.62, 0.66])
    assert table.test_hr_std.iloc[2] == pytest.approx(0.02 * math.sqrt(2))
    assert table.test_hr_std.isna().tolist() == [True, False, False, True]
    assert "refit_hr" not in table


def test_runs_of_one_seed_are_not_taken_for_seeds(tmp_path):
    rows = [{"seed": 0, "learning_rate": rate, "test_hr": rate} for rate in (0.1, 0.2)]
    add_rows(tmp_path / "r.csv", [{"model": "GMF"} | row for row in rows])
    table = summary(read_results(tmp_path / "r.csv"), ["model"])
    assert table[["seeds", "runs"]].values.tolist() == [[1, 2]]
    assert "runs" not in summary(read_results(tmp_path / "r.csv"), ["learning_rate"])


@pytest.mark.parametrize(
    "text, fault", [("", ": holds no runs"), ("a,b\n1\n", ", line 2: expected 2 fields, found 1")]
)
def test_a_file_that_holds_no_results_is_named(tmp_path, capsys, text, fault):
    path = tmp_path / "r.csv"
    path.write_text(text)
    assert main(["report", str(path)]) == 2
    assert capsys.readouterr().err == f"ncf: {path}{fault}\n"


def test_a_metric_that_is_no_number_is_named(tmp_path, capsys):
    path = tmp_path / "r.csv"
    path.write_text("model,test_hr\nMF,0.5\nMF,\nMF,oops\n")
    assert main(["report", str(path)]) == 2
    said = capsys.readouterr().err
    assert said == f"ncf: {path}: expected numbers as test_hr, found 'oops'\n"


def test_configurations_that_differ_look_different(tmp_path, capsys):
    rates = [1e-7, 1.0000001e-7, 1048576.0, 1048577.0, 0.007]
    rows = [{"learning_rate": rate, "test_hr": 0.5} for rate in rates]
    add_rows(tmp_path / "r.csv", rows)
    assert main(["report", str(tmp_path / "r.csv")]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:7]]
    assert shown == ["1e-07", "1.0000001e-07", "0.007", "1048576", "1048577"]


def test_lists_come_by_length_and_then_by_size(tmp_path):
    layers = [[], [8], [16], [32, 8], [128, 8], [64, 32, 8]]
    add_rows(tmp_path / "r.csv", [{"hidden_layers": each, "test_hr": 0.5} for each in layers[::-1]])
    table = summary(read_results(tmp_path / "r.csv"), ["hidden_layers"])
    assert [json.loads(text) for text in table.hidden_layers] == layers


def test_the_report_prints_a_line_a_configuration_and_what_failed(path, capsys):
    folder = path.parent / "build" / "sweep" / "negatives"
    folder.mkdir(parents=True)
    told = {"run": "0a1b", "chosen": ["x"], "parameters": {"x": 3}, "error": "cell 4: Oh: no"}
    (folder / "0a1b.failed.json").write_text(json.dumps(told))
    (folder / "0a1c.failed.json").write_text("{")
    assert main(["report", "negatives.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "negatives.csv: 6 runs"
    assert lines[1].split() == ["model", "num_negatives", "seeds", "HR@10", "NDCG@10"]
    assert lines[2].split() == ["GMF", "4", "1", "0.7000", "0.7000"]
    assert lines[4].split() == ["MLP", "4", "2", "0.6200", "±0.0283", "0.6200", "±0.0283"]
    assert lines[6] == "FAILED 0a1b x=3: cell 4: Oh: no"
    assert lines[7].startswith("FAILED ") and lines[7].endswith("0a1c.failed.json: cannot be read")
    assert failures(path.parent / "nowhere") == []


def test_a_failure_whose_run_was_made_later_is_no_longer_told(path, capsys):
    folder = path.parent / "build" / "sweep" / "negatives"
    folder.mkdir(parents=True)
    for run in ("0a1b", "0a1c"):
        told = {"run": run, "chosen": [], "parameters": {}, "error": "cell 4: Oh: no"}
        (folder / f"{run}.failed.json").write_text(json.dumps(told))
    add_rows(path, [{"run": "0a1b", "test_hr": 0.5}])
    assert main(["report", "negatives.csv"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "FAILED" in line] == ["FAILED 0a1c: cell 4: Oh: no"]


def test_by_chooses_the_columns(path, capsys):
    assert main(["report", "negatives.csv", "--by", "num_negatives"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:5]] == [
        ["1", "2"],
        ["4", "2"],
        ["10", "1"],
    ]
    assert main(["report", "negatives.csv", "--by", "model", "model"]) == 0
    assert main(["report", "negatives.csv", "--by", "test_hr"]) == 2
    said = capsys.readouterr().err
    assert said == "ncf: test_hr is what the runs measured, and makes no configuration\n"
    assert main(["report", "negatives.csv", "--by", "num_negative"]) == 2
    said = capsys.readouterr().err
    assert said == "ncf: no column num_negative; did you mean 'num_negatives'?\n"


def test_without_names_it_reports_all_that_is_kept(path, capsys):
    assert main(["report"]) == 2
    assert capsys.readouterr().err == "ncf: no CSVs in data/results: name one\n"
    for name in ("b", "a"):
        add_rows(f"data/results/{name}.csv", [{"seed": 0, "test_hr": 0.5}])
    assert main(["report"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "1 runs" in line] == [
        "data/results/a.csv: 1 runs",
        "data/results/b.csv: 1 runs",
    ]
    assert main(["report", "c.csv"]) == 2
    assert capsys.readouterr().err == "ncf: c.csv: there is no such file\n"


def test_the_figure_shows_each_mean_and_a_band_of_one_standard_deviation(path):
    figure = draw(read_results(path), "num_negatives", "model")
    hr, ndcg = figure.axes
    assert hr.get_ylabel() == "HR@10" and ndcg.get_ylabel() == "NDCG@10"
    assert hr.get_xlabel() == "negatives for each positive"
    labels = [text.get_text() for text in hr.get_legend().get_texts()]
    assert labels == ["GMF (1 seeds)", "MLP (1-2 seeds)"]
    mlp = hr.get_lines()[-1] if len(hr.get_lines()[-1].get_xdata()) == 3 else hr.get_lines()[1]
    assert list(mlp.get_xdata()) == [1, 4, 10]
    assert list(mlp.get_ydata()) == pytest.approx([0.505, 0.62, 0.66])
    band = hr.collections[-1].get_paths()[0].vertices if hr.collections else ()
    heights = [y for x, y in band if x == 4]
    assert max(heights) - min(heights) == pytest.approx(2 * 0.02 * math.sqrt(2))


def test_the_figure_prefers_the_refit_and_takes_lists_along_the_axis(tmp_path):
    rows = [
        {"hidden_layers": layers, "seed": seed, "test_hr": 0.1, "refit_hr": 0.2 + len(layers) / 10}
        for layers in ([32, 8], [], [8])
        for seed in (0, 1)
    ]
    add_rows(tmp_path / "r.csv", rows)
    (ax,) = draw(read_results(tmp_path / "r.csv"), "hidden_layers").axes
    assert ax.get_ylabel() == "refit HR@10"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["[]", "[8]", "[32, 8]"]
    assert list(ax.get_lines()[0].get_ydata()) == pytest.approx([0.2, 0.3, 0.4])


def test_the_figure_shows_no_mean_of_refits_that_some_seeds_lack(tmp_path):
    rows = [{"seed": 0, "test_hr": 0.1, "refit_hr": 0.2}, {"seed": 1, "test_hr": 0.3}]
    add_rows(tmp_path / "r.csv", [row | {"x": 1} for row in rows])
    (ax,) = draw(read_results(tmp_path / "r.csv"), "x").axes
    assert ax.get_ylabel() == "HR@10"
    assert list(ax.get_lines()[0].get_ydata()) == pytest.approx([0.2])


def test_the_figure_is_written_and_needs_a_column_to_run_along(path, capsys):
    command = ["report", "negatives.csv", "--figure", "f.png"]
    assert main([*command, "--by", "num_negatives", "model"]) == 0
    assert (path.parent / "f.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(command) == 2
    assert "--figure needs one CSV, and --by" in capsys.readouterr().err
    with pytest.raises(ParameterError, match="nothing to draw"):
        draw(read_results(path).drop(columns=["test_hr", "test_ndcg"]), "num_negatives")
