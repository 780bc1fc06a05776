"""Notebook parameters: what is let through, what is named, and how it is said."""

import json
import math

import data_files
import nbformat
import pytest

from ncf_utils.data import load_dataset
from ncf_utils.errors import DataError
from ncf_utils.parameters import (
    KINDS,
    ParameterError,
    boolean,
    check_parameters,
    choice,
    integer,
    nearest,
    number,
)

GOOD = {
    "dataset": "ml-latest-small",
    "num_factors": 8,
    "embedding_dim": None,
    "hidden_layers": [64, 32, 16, 8],
    "num_negatives": 4,
    "epochs": 20,
    "batch_size": 256,
    "learning_rate": 0.001,
    "optimizer": "adam",
    "loss": "log",
    "l2_embeddings": 0.0,
    "l2_layers": 0.0,
    "dropout": 0.0,
    "patience": None,
    "pretrain": False,
    "seed": 0,
}

BAD = [
    ("num_negatives", -1, "a whole number from 1 to 1,000"),
    ("num_negatives", 0, "a whole number from 1 to 1,000"),
    ("num_negatives", 10**9, "a whole number from 1 to 1,000"),
    ("num_negatives", "four", "a whole number from 1 to 1,000"),
    ("num_negatives", 4.0, "a whole number from 1 to 1,000"),
    ("num_negatives", True, "a whole number from 1 to 1,000"),
    ("num_negatives", None, "a whole number from 1 to 1,000"),
    ("num_negatives", [4], "a whole number from 1 to 1,000"),
    ("epochs", 0, "a whole number from 1 to 10,000"),
    ("num_factors", 0, "a whole number from 1 to 4,096"),
    ("num_factors", 10**6, "a whole number from 1 to 4,096"),
    ("embedding_dim", 0, "None or a whole number from 1 to 4,096"),
    ("batch_size", 0, "a whole number from 1 to 10,000,000"),
    ("seed", -1, "a whole number from 0 to 4,294,967,295"),
    ("seed", 2**32, "a whole number from 0 to 4,294,967,295"),
    ("learning_rate", 0, "a number above 0 to 100"),
    ("learning_rate", -0.1, "a number above 0 to 100"),
    ("learning_rate", math.nan, "a number above 0 to 100"),
    ("learning_rate", math.inf, "a number above 0 to 100"),
    ("learning_rate", True, "a number above 0 to 100"),
    ("learning_rate", "0.001", "a number above 0 to 100"),
    ("l2_layers", -1e-9, "a number from 0 to 100"),
    ("dropout", 1.0, "a number from 0 to 0.99"),
    ("hidden_layers", "[64, 32]", "whole numbers from 1 to 8,192; papermill takes a list by -y"),
    ("hidden_layers", 64, "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("hidden_layers", [64, 0], "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("hidden_layers", [-8], "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("hidden_layers", [10**9], "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("hidden_layers", [8.0], "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("hidden_layers", [True], "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("hidden_layers", [8] * 17, "a list of 0 to 16 whole numbers from 1 to 8,192"),
    ("loss", "bce", "one of 'log', 'squared', 'bpr'"),
    ("optimizer", "Adam", "did you mean 'adam'?"),
    ("pretrain", 1, "True or False"),
    ("pretrain", "False", "True or False"),
    ("dataset", "ml-latest-smal", "did you mean 'ml-latest-small'?"),
    ("dataset", "", "one of 'ml-latest-small'"),
    ("dataset", 7, "one of 'ml-latest-small'"),
    ("dataset", None, "one of 'ml-latest-small'"),
]


def test_good_values_come_back_in_order_and_unchanged():
    assert check_parameters(GOOD) == GOOD
    assert list(check_parameters(GOOD)) == list(GOOD)


@pytest.mark.parametrize(
    "name, value, used",
    [
        ("hidden_layers", [], []),  # MLP-0
        ("hidden_layers", (16, 8), [16, 8]),
        ("learning_rate", 1, 1.0),
        ("num_negatives", 1, 1),
        ("num_negatives", 1000, 1000),
        ("seed", 2**32 - 1, 2**32 - 1),
        ("dataset", "somewhere/my-ratings", "somewhere/my-ratings"),
        ("patience", 3, 3),
    ],
)
def test_values_at_the_edge(name, value, used):
    checked = check_parameters({name: value})
    assert checked == {name: used}
    assert type(checked[name]) is type(used)


def test_a_dataset_may_be_a_folder_of_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "our-clicks").mkdir()
    monkeypatch.setenv("NCF_DATA_DIR", str(tmp_path))
    assert check_parameters({"dataset": "our-clicks"}) == {"dataset": "our-clicks"}
    with pytest.raises(ParameterError, match="did you mean 'our-clicks'?"):
        check_parameters({"dataset": "our-click"})


def test_a_dataset_may_be_a_folder_that_exists(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert check_parameters({"dataset": "mine"}) == {"dataset": "mine"}


def test_a_dataset_may_be_whatever_load_dataset_finds_here(tmp_path, monkeypatch):
    data_dir, here = tmp_path / "data", tmp_path / "here"
    data_files.write(data_dir, {"clicks.zip": data_files.zipped(data_files.PAPER)})
    data_files.write(here, data_files.PAPER | {"plain.txt": b"", "mine.zip": b""})
    (here / "mine.zip").write_bytes((data_dir / "clicks.zip").read_bytes())
    monkeypatch.setenv("NCF_DATA_DIR", str(data_dir))
    monkeypatch.chdir(here)
    # By the name of an archive, an archive, and the prefix of files in the working folder.
    for name in ("clicks", "clicks.zip", "mine.zip", "toy"):
        assert check_parameters({"dataset": name}) == {"dataset": name}
        assert load_dataset(name, num_candidates=2, download=False).num_users == 3
    for name in ("plain.txt", "to", "mine", "nul\0", "x" * 300):
        with pytest.raises(ParameterError, match="^dataset = .*expected one of 'ml-latest-small'"):
            check_parameters({"dataset": name})
        with pytest.raises(DataError, match="unknown data set"):
            load_dataset(name, download=False)
    with pytest.raises(ParameterError, match="'clicks', or a path; did you mean 'clicks'?"):
        check_parameters({"dataset": "click"})


def test_a_dataset_is_looked_for_and_not_read(tmp_path, monkeypatch):
    """What is wrong with it is for `load_dataset` to say, which names the file and the line."""
    data_files.write(tmp_path, {"clicks.zip": b"no archive", "toy.train.rating": b"no ratings"})
    monkeypatch.setenv("NCF_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("clicks", "toy"):
        assert check_parameters({"dataset": name}) == {"dataset": name}
    monkeypatch.setenv("NCF_DATA_DIR", str(tmp_path / "nowhere"))
    assert check_parameters({"dataset": "toy"}) == {"dataset": "toy"}


@pytest.mark.parametrize("name, value, allowed", BAD)
def test_a_bad_value_is_named_in_one_line(name, value, allowed):
    with pytest.raises(ParameterError) as caught:
        check_parameters(GOOD | {name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} = {value!r}"[:30])
    assert allowed in message
    assert len(message.splitlines()) == 1


def test_a_huge_value_makes_a_short_message():
    with pytest.raises(ParameterError) as caught:
        check_parameters({"hidden_layers": [7] * 10_000, "dataset": "x\n" * 10_000})
    assert len(str(caught.value)) < 600
    assert len(str(caught.value).splitlines()) == 1


def test_every_fault_is_named():
    with pytest.raises(ParameterError, match=r"epochs = 0: .* \| seed = -1: "):
        check_parameters(GOOD | {"epochs": 0, "seed": -1})


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("neumf", ["GMF", "MLP", "NeuMF"]) == "; did you mean 'NeuMF'?"
    assert nearest("SED", ["seed", "dataset"]) == "; did you mean 'seed'?"


def test_a_misspelled_name_brings_the_nearest():
    with pytest.raises(ParameterError, match="unknown parameter num_negative; did you mean 'num_n"):
        check_parameters(GOOD | {"num_negative": 4})


def test_names_that_are_no_parameters_are_left_alone():
    import math as module

    namespace = GOOD | {"_private": 1, "math": module, "a_function": print, "array": object()}
    assert check_parameters(namespace) == GOOD


def test_a_notebook_brings_its_own_kinds():
    kinds = {"num_rows": integer(1, 10), "num_negatives": integer(0, 5), "sort": boolean}
    assert check_parameters({"num_rows": 3, "num_negatives": 0, "sort": True}, **kinds) == {
        "num_rows": 3,
        "num_negatives": 0,
        "sort": True,
    }
    with pytest.raises(ParameterError, match="num_rows = 11: expected a whole number from 1 to 10"):
        check_parameters({"num_rows": 11}, **kinds)
    assert number(0, 1)(0.5) == 0.5
    assert choice("a", "b")("a") == "a"


def cells(*sources, **values):
    """The globals of a kernel that has run `sources` and is about to check."""
    return values | {"In": ["", *sources, "check_parameters(globals())"], "Out": {}}


OWN = "# what to train\nnum_factors = 8\nseed = -0"


def test_only_the_parameters_cell_is_looked_at():
    namespace = cells("import numpy", "k = 'later'", "x()", OWN, num_factors=8, seed=0, k="later")
    assert check_parameters(namespace) == {"num_factors": 8, "seed": 0}


def test_an_injected_name_that_the_notebook_lacks_is_unknown():
    injected = "# Parameters\nnum_factors = 16\nepochs = 3\n"
    with pytest.raises(ParameterError, match="^unknown parameter epochs$"):
        check_parameters(cells(OWN, injected, num_factors=16, seed=0, epochs=3))
    with pytest.raises(ParameterError, match="^unknown parameter SEED; did you mean 'seed'"):
        check_parameters(cells(OWN, "# Parameters\nSEED = 3\n", num_factors=16, seed=0, SEED=3))


def test_an_injected_value_that_is_no_literal_is_checked():
    injected = "# Parameters\nnum_factors = float('nan')\n"
    with pytest.raises(ParameterError, match="num_factors = nan"):
        check_parameters(cells(OWN, injected, num_factors=math.nan, seed=0))


def test_checking_again_in_a_kernel_that_has_gone_on():
    after = ["losses = [1, 2]", "train()"]
    namespace = cells(OWN, "check_parameters(globals())", *after, num_factors=8, losses=[1, 2])
    assert check_parameters(namespace) == {"num_factors": 8}


@pytest.mark.parametrize("error", [ParameterError, DataError])
def test_ipython_shows_one_line(error):
    assert error("epochs = 0: no")._render_traceback_() == [f"{error.__name__}: epochs = 0: no"]


def test_each_notebook_checks_its_parameters_at_once(root):
    folder = root / "notebooks"
    for path in sorted([*folder.glob("*.ipynb"), *folder.glob("experiments/*.ipynb")]):
        code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        tagged = ["parameters" in cell.metadata.get("tags", ()) for cell in code]
        if any(tagged):
            assert sum(tagged) == 1, path.name
            source = "".join(code[tagged.index(True) + 1].source.split())
            assert "check_parameters(globals()" in source, path.name


def test_the_kinds_that_twin_modules_know_agree():
    from ncf_utils.metrics import TIES
    from ncf_utils.training import ACTIVATIONS, LOSSES, OPTIMIZERS

    for name, options in {
        "ties": TIES,
        "activation": ACTIVATIONS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
    }.items():
        for option in options:
            assert KINDS[name](option) == option
        with pytest.raises(ValueError) as caught:
            KINDS[name]("?")
        assert str(caught.value) == f"one of {', '.join(map(repr, options))}"


def test_a_message_is_plain_text_in_json():
    with pytest.raises(ParameterError) as caught:
        check_parameters({"dataset": "naïve \x1b[31m"})
    assert "\x1b" not in str(caught.value)
    assert json.loads(json.dumps(str(caught.value))) == str(caught.value)
