"""The results that are kept in the repository are whole, and say what the project says of them."""

from pathlib import Path

import pandas as pd
import pytest

from ncf_utils.results import COLUMNS

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
FILES = sorted(RESULTS.glob("*.csv"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rows_are_whole(path):
    rows = pd.read_csv(path)
    assert rows.columns[: len(COLUMNS)].tolist() == list(COLUMNS)
    assert not rows.duplicated(["dataset", "framework", "model", "num_factors", "seed"]).any()
    metrics = rows.filter(regex="_(hr|ndcg)$")
    assert metrics.gt(0).all(axis=None) and metrics.lt(1).all(axis=None)
    assert (rows.best_test_hr >= rows.test_hr).all()
    assert rows.picked_epoch.between(1, rows.epochs).all()
    assert rows[["seconds", "python", "numpy", "ncf_utils"]].notna().all(axis=None)
    for framework in ("torch", "keras"):
        assert rows.loc[rows.framework == framework, framework].notna().all()


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_neumf_reaches_the_paper_with_the_epoch_picked_on_validation(framework):
    rows = pd.read_csv(RESULTS / "neumf-ncf-ml-1m.csv")
    rows = rows[(rows.framework == framework) & (rows.num_factors == 8)]
    assert sorted(rows.seed) == [0, 1, 2]
    assert rows.test_hr.mean() >= 0.675 and rows.test_ndcg.mean() >= 0.395
    assert rows.refit_hr.mean() >= 0.675 and rows.refit_ndcg.mean() >= 0.395
