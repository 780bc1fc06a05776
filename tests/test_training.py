"""`fit`: which epoch it keeps and why, what it records, what it refuses, what it repeats."""

import importlib
import itertools
import json
import math
import queue
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from reference_models import is_torch, small_dataset

from ncf_utils import training
from ncf_utils.data import Dataset, HeldOut, Interactions
from ncf_utils.errors import check_number
from ncf_utils.metrics import evaluate
from ncf_utils.sampler import NegativeSampler
from ncf_utils.training import (
    Fit,
    ahead,
    check_choice,
    groups_per_step,
    run_epochs,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

METRICS = ["validation_hr", "validation_ndcg", "test_hr", "test_ndcg"]


# --- the epoch loop, with a model that does as it is told ----------------------------------------


def told_dataset(validation=True):
    """One user; item 0 is held out for validation against 1 to 14, item 15 for the test."""
    return Dataset(
        name="told",
        num_users=1,
        num_items=40,
        train=Interactions.from_pairs([0] * 5, range(30, 35), 1, 40),
        validation=HeldOut([0], [0], [range(1, 15)]) if validation else None,
        test=HeldOut([0], [15], [range(16, 30)]),
    )


class Told:
    """A model whose held-out items have these ranks after each epoch; its weight is the epoch."""

    def __init__(self, validation_ranks, test_ranks=None, losses=None):
        self.ranks = validation_ranks, test_ranks or [0] * len(validation_ranks)
        self.losses = losses or [0.5] * len(validation_ranks)
        self.epoch, self.batches = 0, []

    def train_epoch(self, user, item):
        self.batches.append((user, item))
        self.epoch += 1
        return self.losses[self.epoch]

    def score(self, user, item):
        split = item // 15  # 0 in validation, 1 in test
        rank = np.array([ranks[self.epoch] for ranks in self.ranks])[split]
        return np.where(item % 15 == 0, 0.5 - rank, 1.0 - item % 15) + 0.0 * user

    def set_epoch(self, epoch):
        self.epoch = epoch

    def fit(self, epochs=None, validation=True, **more):
        arguments = {
            "num_negatives": 2, "strategy": "uniform", "patience": None, "keep_start": False,
            "seed": 0, "evaluate_test": True, "progress": False,
        } | more  # fmt: skip
        return run_epochs(
            self,
            told_dataset(validation),
            train_epoch=self.train_epoch,
            score=self.score,
            get_weights=lambda: self.epoch,
            set_weights=self.set_epoch,
            epochs=len(self.losses) - 1 if epochs is None else epochs,
            **arguments,
        )


def test_the_told_model_has_the_ranks_it_is_told():
    model = Told([3, 0], [14, 7])
    for model.epoch, expected in ((0, (3, 14)), (1, (0, 7))):
        for split, rank in zip(("validation", "test"), expected, strict=True):
            assert evaluate(model.score, told_dataset(), split).ranks.tolist() == [rank]


def test_the_epoch_is_picked_on_validation_not_on_test():
    #              epoch: 0  1  2  3  4
    model = Told([9, 4, 1, 3, 2], [9, 8, 7, 0, 2])
    fit = model.fit()
    assert fit.picked_epoch == 2
    assert model.epoch == 2  # the weights of that epoch are back
    assert fit.picked.test_ndcg == pytest.approx(1 / math.log2(7 + 2))
    assert fit.history.test_ndcg.idxmax() == 3  # what a look at the test would have picked


def test_of_equal_epochs_the_first_is_kept():
    model = Told([9, 4, 2, 2, 2])
    assert model.fit().picked_epoch == model.epoch == 2


def test_the_untrained_model_is_never_picked():
    """On a few items it may win by luck."""
    model = Told([0, 5, 4, 6])
    assert model.fit().picked_epoch == model.epoch == 2


@pytest.mark.parametrize(
    ("ranks", "picked"), [([0, 5, 4], 0), ([4, 5, 4], 0), ([4, 5, 3], 2), ([14, 14, 14], 0)]
)
def test_a_model_that_is_trained_already_may_be_kept_as_it_is(ranks, picked):
    model = Told(ranks)
    fit = model.fit(keep_start=True)
    assert fit.picked_epoch == model.epoch == picked
    assert fit.picked.validation_ndcg == fit.history.validation_ndcg.max()


def test_a_start_that_is_kept_counts_for_patience():
    fit = Told([0, 5, 4, 3, 2]).fit(keep_start=True, patience=2)
    assert len(fit.history) == 3 and fit.picked_epoch == 0


def test_a_start_that_is_kept_needs_no_epoch():
    model = Told([3])
    fit = model.fit(keep_start=True, epochs=0)
    assert len(fit.history) == 1 and fit.picked_epoch == 0 and not model.batches
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        model.fit(epochs=0)


def test_without_validation_items_the_last_epoch_is_kept_and_not_the_start():
    model = Told([0, 5, 4])
    assert model.fit(keep_start=True, validation=False).picked_epoch == model.epoch == 2


def test_an_epoch_is_kept_even_where_none_hits():
    model = Told([14, 14, 14])
    assert model.fit().picked_epoch == model.epoch == 1


def test_without_validation_the_last_epoch_is_kept():
    model = Told([9, 0, 5, 9], [9, 0, 5, 9])
    fit = model.fit(validation=False)
    assert fit.picked_epoch == model.epoch == 3
    assert fit.history.columns.tolist() == ["epoch", "loss", "test_hr", "test_ndcg", "seconds"]


@pytest.mark.parametrize(
    "ranks, patience, last, picked",
    [
        ([9, 5, 3, 4, 4, 4, 4], 2, 4, 2),
        ([9, 5, 3, 4, 4, 4, 4], 1, 3, 2),
        ([9, 5, 3, 4, 4, 4, 4], 4, 6, 2),
        ([9, 5, 3, 4, 2, 4, 4, 4], 2, 6, 4),  # a better epoch starts the wait again
        ([9, 5, 3, 3, 3, 3], 2, 4, 2),  # an equal one does not
        ([9, 5, 4, 3, 2, 1], 1, 5, 5),
        ([0, 5, 6, 6, 6], 1, 2, 1),
    ],
)
def test_patience_stops(ranks, patience, last, picked):
    model = Told(ranks)
    fit = model.fit(patience=patience)
    assert (fit.history.epoch.max(), fit.picked_epoch, model.epoch) == (last, picked, picked)
    assert len(model.batches) == last


def test_patience_does_not_look_at_the_test():
    model = Told([9, 5, 4, 3, 2], [0, 1, 2, 3, 4])
    assert model.fit(patience=1).history.epoch.max() == 4


def test_patience_without_validation_never_stops():
    assert Told([9] * 6, [9] * 6).fit(validation=False, patience=1).picked_epoch == 5


def test_history_records_every_epoch():
    model = Told([9, 0, 12], [5, 1, 2], losses=[None, 0.7, 0.25])
    history = model.fit().history
    assert history.columns.tolist() == ["epoch", "loss", *METRICS, "seconds"]
    assert history.epoch.tolist() == [0, 1, 2]
    assert math.isnan(history.loss[0]) and history.loss[1:].tolist() == [0.7, 0.25]
    assert history.validation_hr.tolist() == [1.0, 1.0, 0.0]
    expected = [1 / math.log2(11), 1.0, 0.0]
    assert history.validation_ndcg.to_numpy() == pytest.approx(expected)
    assert history.test_ndcg.to_numpy() == pytest.approx([1 / math.log2(r + 2) for r in (5, 1, 2)])
    assert history.seconds[0] == 0 and (history.seconds >= 0).all()


def test_seconds_are_those_of_training(monkeypatch):
    ticks = iter(range(0, 1000, 10))
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(ticks))
    fit = Told([9, 1, 2]).fit()
    assert fit.history.seconds.tolist() == [0.0, 10.0, 10.0] and fit.seconds == 20.0


def test_the_test_split_can_be_left_alone():
    fit = Told([9, 1, 2]).fit(evaluate_test=False)
    assert not any("test" in column for column in fit.history)
    assert fit.picked_epoch == 1
    assert repr(fit) == "Fit(picked epoch 1 of 2: validation HR@10 1.000, NDCG@10 0.631)"


def test_what_a_fit_says():
    fit = Told([9, 1, 2], [9, 0, 5]).fit()
    assert isinstance(fit, Fit)
    assert repr(fit) == "Fit(picked epoch 1 of 2: test HR@10 1.000, NDCG@10 1.000)"
    assert fit.picked.validation_ndcg == fit.history.validation_ndcg[1]
    assert repr(Told([9, 1], [9, 0]).fit(validation=False)).startswith("Fit(picked epoch 1 of 1")


def test_a_fit_that_measured_nothing_still_has_a_name():
    fit = Told([9, 1, 2]).fit(validation=False, evaluate_test=False)
    assert repr(fit) == "Fit(picked epoch 2 of 2)"


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_and_names_the_epoch(loss):
    model = Told([9, 1, 2, 3], losses=[None, 0.5, loss, 0.5])
    with pytest.raises(FloatingPointError, match="in epoch 2: try a smaller learning_rate"):
        model.fit()


def test_scores_that_are_nan_after_the_last_step_stop_and_name_the_epoch(monkeypatch):
    """The loss of an epoch is what its steps saw: it knows nothing of the last step's weights."""
    model = Told([9, 1, 2, 3])
    told = model.score

    def score(user, item):
        return told(user, item) + (math.nan if model.epoch == 2 else 0)

    monkeypatch.setattr(model, "score", score)
    with pytest.raises(FloatingPointError, match="NaN after epoch 2: try a smaller learning_rate"):
        model.fit()


def test_every_epoch_has_fresh_negatives_from_the_seed():
    model = Told([9, 1, 1, 1])
    model.fit(seed=7, num_negatives=3)
    sampler = NegativeSampler(told_dataset().train, 3, seed=7)
    for found in model.batches:
        for array, expected in zip(found, sampler.epoch_groups(), strict=True):
            assert np.array_equal(array, expected)
    first, second = (np.sort(item[:, 1:].ravel()) for _, item in model.batches[:2])
    assert not np.array_equal(first, second)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def test_one_epoch_is_drawn_ahead_and_no_more():
    made, numbers, threads = queue.Queue(), itertools.count(), threading.active_count()

    def make():
        made.put(next(numbers))
        return made.queue[-1]

    epochs = ahead(make, 3)
    assert made.empty()  # nothing before the first is asked for
    for epoch in range(3):
        assert next(epochs) == epoch
        assert made.get(timeout=10) == epoch
        if epoch < 2:  # while this one is worked on
            wait_for(lambda: not made.empty())
            assert list(made.queue) == [epoch + 1]
    with pytest.raises(StopIteration):
        next(epochs)
    assert made.empty() and threading.active_count() == threads  # none is left behind


def test_what_fails_ahead_is_raised_when_it_is_asked_for():
    numbers = iter([1, 0])
    quotients = ahead(lambda: 1 // next(numbers), 2)
    assert next(quotients) == 1
    with pytest.raises(ZeroDivisionError):
        next(quotients)


def test_the_strategy_reaches_the_sampler():
    model = Told([9, 1])
    with pytest.raises(ValueError, match="strategy must be one of"):
        model.fit(strategy="hard")


# --- fit in both frameworks ----------------------------------------------------------------------


@pytest.fixture(params=["torch_ncf", "keras_ncf"], scope="module")
def ncf(request):
    return importlib.import_module(f"ncf_utils.{request.param}")


def small_model(ncf, kind="GMF", **more):
    dataset = small_dataset()
    return getattr(ncf, kind)(dataset.num_users, dataset.num_items, **more)


def test_fit_restores_the_weights_of_the_picked_epoch(ncf, monkeypatch):
    validation, weights = iter([0.0, 0.1, 0.4, 0.3, 0.2]), []
    model = small_model(ncf)

    def told(score, dataset, split):
        result = evaluate(score, dataset, split)
        if split == "validation":
            weights.append({name: value.copy() for name, value in ncf.get_weights(model).items()})
            first = round(next(validation) * len(result.ranks))  # so many users hit at the top
            result.ranks[:], result.ranks[:first] = 99, 0
        return result

    monkeypatch.setattr(training, "evaluate", told)
    fit = ncf.fit(model, small_dataset(), epochs=4, learning_rate=0.01, progress=False)
    assert fit.picked_epoch == 2 and len(weights) == 5
    for name, value in ncf.get_weights(model).items():
        assert np.array_equal(value, weights[2][name]), name
        assert not np.array_equal(value, weights[4][name]), name
    # What the history says of that epoch is what the model does now.
    again = evaluate(ncf.score_function(model), small_dataset())
    assert (again.hr, again.ndcg) == (fit.picked.test_hr, fit.picked.test_ndcg)


def test_fit_learns():
    """In PyTorch; test_parity.py shows that Keras's curves are the same."""
    torch_ncf = importlib.import_module("ncf_utils.torch_ncf")
    dataset = small_dataset()
    model = small_model(torch_ncf, "MLP", hidden_layers=[16, 8], l2_embeddings=1e-5)
    fit = torch_ncf.fit(
        model, dataset, epochs=12, batch_size=64, learning_rate=0.01, patience=11, progress=False
    )
    assert fit.history.columns.tolist() == ["epoch", "loss", *METRICS, "seconds"]
    assert fit.history.loss[12] < 0.8 * fit.history.loss[1]
    assert fit.picked.validation_ndcg > fit.history.validation_ndcg[0] + 0.15
    assert fit.picked_epoch == fit.history.validation_ndcg[1:].idxmax()
    assert fit.seconds == pytest.approx(fit.history.seconds.sum()) and fit.seconds > 0


def test_the_average_is_ranked_and_kept_while_training_goes_on(ncf):
    """Against the average worked out from the same training, an epoch of one step each."""
    dataset, decay = small_dataset(), 0.6
    options = {"batch_size": 10**6, "learning_rate": 0.05, "seed": 1, "progress": False}
    steps = []
    for epochs in (1, 2, 3):
        model = small_model(ncf)
        # Without validation the last epoch is kept.
        plain = replace(dataset, validation=None)
        ncf.fit(model, plain, epochs=epochs, **options)
        steps.append(ncf.get_weights(model))
    model = small_model(ncf)
    fit = ncf.fit(model, plain, epochs=3, average=decay, **options)
    for name, kept in ncf.get_weights(model).items():
        expected = steps[0][name]  # the first average is the first step's weights
        for step in steps[1:]:
            expected = decay * expected + (1 - decay) * step[name]
        assert np.allclose(kept, expected, atol=1e-5), name
        assert np.abs(expected - steps[2][name]).max() > 1e-3, name
    again = evaluate(ncf.score_function(model), dataset)
    assert (again.hr, again.ndcg) == (fit.picked.test_hr, fit.picked.test_ndcg)


def test_refit_on_training_and_validation(ncf):
    dataset = small_dataset().with_validation_in_train()
    assert len(dataset.train) == len(small_dataset().train) + 40
    fit = ncf.fit(small_model(ncf), dataset, epochs=2, learning_rate=0.01, progress=False)
    assert fit.picked_epoch == 2 and "validation_ndcg" not in fit.history
    again = evaluate(ncf.score_function(fit.model), dataset)
    assert again.ndcg == fit.history.test_ndcg[2]


def test_same_seed_same_history(ncf):
    def history(seed):
        model = small_model(ncf, "MLP", hidden_layers=[8], dropout=0.3, seed=seed)
        fit = ncf.fit(
            model, small_dataset(), epochs=2, learning_rate=0.01, seed=seed, progress=False
        )
        return fit.history.drop(columns="seconds")[1:].to_numpy().tolist()

    first = history(1)
    assert first == history(1)
    assert first != history(2)


def test_the_progress_bar_is_there_or_not(ncf, capfd):
    model = small_model(ncf)
    for progress in (False, True):
        ncf.fit(model, small_dataset(), epochs=2, progress=progress)
        captured = capfd.readouterr()
        assert captured.out == "" and ("0/2" in captured.err) == progress


FIT_ERRORS = [
    ({"learning_rate": 0}, "learning_rate must be above 0"),
    ({"learning_rate": -0.1}, "learning_rate must be above 0"),
    ({"learning_rate": math.nan}, "learning_rate must be a number"),
    ({"learning_rate": "0.1"}, "learning_rate must be a number"),
    ({"epochs": 0}, "epochs must be at least 1"),
    ({"epochs": 1.5}, "epochs must be an integer"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"batch_size": 32.0}, "batch_size must be an integer"),
    ({"num_negatives": 0}, "num_negatives must be at least 1"),
    ({"num_negatives": True}, "num_negatives must be an integer"),
    ({"loss": "x"}, "loss must be one of log, squared, bpr"),
    ({"optimizer": "adamw"}, "optimizer must be one of adam, sgd, rmsprop, adagrad"),
    ({"strategy": "x"}, "strategy must be one of uniform, popularity, not"),
    ({"strategy": "all"}, "strategy must be one of uniform, popularity, not"),
    ({"average": -0.1}, "average must be at least 0"),
    ({"average": 1}, "average must be below 1"),
    ({"average": "0.9"}, "average must be a number"),
    ({"patience": 0}, "patience must be at least 1"),
    ({"patience": 2.5}, "patience must be an integer"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"seed": 1.5}, "seed must be an integer"),
]


@pytest.mark.parametrize("arguments, message", FIT_ERRORS, ids=str)
def test_bad_arguments_are_named_before_anything_is_trained(ncf, arguments, message):
    model = small_model(ncf)
    before = ncf.get_weights(model)
    with pytest.raises(ValueError, match=message):
        ncf.fit(model, small_dataset(), progress=False, **arguments)
    for name, value in ncf.get_weights(model).items():
        assert np.array_equal(value, before[name])


def test_a_loss_that_explodes_is_an_error(ncf):
    model = small_model(ncf)
    with pytest.raises(FloatingPointError, match="in epoch 1: try a smaller learning_rate"):
        ncf.fit(
            model, small_dataset(), epochs=3, batch_size=20, optimizer="sgd", loss="log",
            learning_rate=1e30, progress=False,
        )  # fmt: skip


# --- threads -------------------------------------------------------------------------------------

THREADS = """
import json, sys
sys.path.insert(0, sys.argv[1])
framework, threads = sys.argv[2], int(sys.argv[3])
if framework == "torch_ncf":
    import torch
    torch.set_num_threads(threads)
else:
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
from test_training import printed_history
import importlib
print(json.dumps(printed_history(importlib.import_module("ncf_utils." + framework))))
"""


def printed_history(ncf):
    """A history as a notebook prints it: three digits. Batches large enough to be shared out."""
    from ncf_utils.data import load_dataset

    dataset = load_dataset(
        "synthetic", num_users=200, num_items=300, num_interactions=4000, num_candidates=50
    )
    model = ncf.MLP(dataset.num_users, dataset.num_items, [64, 32], seed=1)
    fit = ncf.fit(model, dataset, epochs=2, batch_size=2500, learning_rate=0.01, progress=False)
    return fit.history.drop(columns="seconds")[1:].round(3).to_numpy().tolist()


def test_one_thread_and_more_print_the_same(ncf, root):
    name = ncf.__name__.split(".")[1]
    if is_torch(ncf):
        import torch

        threads, found = torch.get_num_threads(), []
        try:
            for number in (1, 2):
                torch.set_num_threads(number)
                found.append(printed_history(ncf))
                assert torch.get_num_threads() == number  # as it was
        finally:
            torch.set_num_threads(threads)
    else:  # TensorFlow's threads are chosen once a process; here they are as many as cores
        command = [sys.executable, "-c", THREADS, str(root / "tests"), name, "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
        found = [json.loads(done.stdout.splitlines()[-1]), printed_history(ncf)]
    assert found[0] == found[1]


# --- small parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch_size, num_negatives, groups",
    [(1024, 4, 205), (256, 4, 51), (5, 4, 1), (1, 4, 1), (8, 3, 2), (100, 1, 50), (10, 100, 1)],
)
def test_groups_per_step(batch_size, num_negatives, groups):
    assert groups_per_step(batch_size, num_negatives) == groups


@pytest.mark.parametrize("value", [1, 1.0, np.int64(3), np.float32(0.5)])
def test_check_number_lets_numbers_through(value):
    check_number("x", value, 0.5)


@pytest.mark.parametrize("value", [True, None, "1", [1], math.nan, math.inf, 1j, 10**400])
def test_check_number_refuses_what_is_none(value):
    with pytest.raises(ValueError, match="^x must be a number, not "):
        check_number("x", value, 0)


def test_check_number_at_its_bound():
    check_number("x", 0, 0)
    with pytest.raises(ValueError, match="x must be above 0, not 0"):
        check_number("x", 0, 0, strict=True)
    with pytest.raises(ValueError, match="x must be at least 0, not -1"):
        check_number("x", -1, 0)
    with pytest.raises(ValueError, match="x must be an integer, not 1.0"):
        check_number("x", 1.0, 0, integer=True)


def test_check_choice():
    check_choice("loss", "log", ("log", "bpr"))
    with pytest.raises(ValueError, match="loss must be one of log, bpr, not 'x'"):
        check_choice("loss", "x", ("log", "bpr"))
