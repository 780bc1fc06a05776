"""Sampling and ranking on a device, held to the NumPy versions; run here on the CPU as a device."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ncf_utils import torch_ncf
from ncf_utils.data import HeldOut, Interactions, load_dataset
from ncf_utils.metrics import NaNScoresError, evaluate
from ncf_utils.torch_device import DeviceRanks, DeviceSampler, choose_device

CPU = torch.device("cpu")
SEEN = [{0, 1, 2, 3, 8}, {4}, {0, 1, 2, 4, 5, 6, 7, 8}, {2, 8}, set(), {0}]
NUM_ITEMS = 9
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture
def train():
    pairs = [(user, item) for user, items in enumerate(SEEN) for item in sorted(items)]
    return Interactions.from_pairs(*zip(*pairs, strict=True), len(SEEN), NUM_ITEMS)


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("synthetic", num_users=200, num_items=300, num_interactions=6000)


def test_negatives_are_uniform_over_what_the_user_has_not_touched(train):
    sampler = DeviceSampler(train, 4, 0, CPU)
    for user, seen in enumerate(SEEN):
        drawn = sampler.sample(torch.full((20_000,), user))
        missing = sorted(set(range(NUM_ITEMS)) - seen)
        counts = np.bincount(drawn.numpy(), minlength=NUM_ITEMS)
        assert counts.sum() == counts[missing].sum() == 20_000, user
        assert len(missing) == 1 or chisquare(counts[missing]).pvalue > 1e-4, user


@pytest.mark.parametrize("num_negatives", [1, 4])
def test_an_epoch_holds_every_positive_beside_its_own_negatives(train, num_negatives):
    user, item = DeviceSampler(train, num_negatives, 0, CPU).epoch_groups()
    assert user.shape == (len(train), 1) and item.shape == (len(train), 1 + num_negatives)
    positives = list(zip(user[:, 0].tolist(), item[:, 0].tolist(), strict=True))
    observed = list(zip(train.user.tolist(), train.item.tolist(), strict=True))
    assert sorted(positives) == sorted(observed) and positives != observed
    for row, (u, _) in zip(item[:, 1:].tolist(), positives, strict=True):
        assert not SEEN[u] & set(row)


def test_epochs_differ_and_the_seed_makes_them(train):
    first, again, other = (DeviceSampler(train, 4, seed, CPU) for seed in (1, 1, 2))
    drawn = [torch.cat(first.epoch_groups(), 1) for _ in range(2)]
    assert not drawn[0].equal(drawn[1])
    assert drawn[0].equal(torch.cat(again.epoch_groups(), 1))
    assert not drawn[0].equal(torch.cat(other.epoch_groups(), 1))


def test_a_user_who_has_everything_is_named():
    train = Interactions.from_pairs([0, 1, 1], [0, 0, 1], 2, 2)
    with pytest.raises(ValueError, match="user 1 has interacted with all 2 items"):
        DeviceSampler(train, 4, 0, CPU)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("batch_size", [1, 1000, 2**22])
def test_ranks_are_those_of_evaluate(dataset, split, batch_size):
    model = torch_ncf.NeuMF(dataset.num_users, dataset.num_items, seed=3)
    ranks = DeviceRanks(getattr(dataset, split), CPU, batch_size)(model)
    expected = evaluate(torch_ncf.score_function(model), dataset, split).ranks
    assert np.array_equal(ranks, expected)


def test_ties_and_rivals_count_as_in_evaluate(dataset):
    class Constant(torch.nn.Module):
        def forward(self, user, item):
            return torch.zeros(torch.broadcast_shapes(user.shape, item.shape))

    # The second user's candidates hold the positive itself, which is no rival.
    held_out = HeldOut(np.array([0, 1]), np.array([5, 7]), np.array([[1, 2, 3], [7, 2, 3]]))
    assert DeviceRanks(held_out, CPU)(Constant()).tolist() == [3, 2]


def test_scores_that_are_no_numbers_are_an_error(dataset):
    model = torch_ncf.GMF(dataset.num_users, dataset.num_items)
    with torch.no_grad():
        model.output.bias.fill_(float("nan"))
    with pytest.raises(NaNScoresError, match="NaN"):
        DeviceRanks(dataset.test, CPU)(model)


def test_a_last_step_that_is_too_long_is_told_from_bad_arguments(dataset, monkeypatch):
    monkeypatch.setattr(torch_ncf, "is_accelerator", lambda device: True)
    model = torch_ncf.GMF(dataset.num_users, dataset.num_items)
    with pytest.raises(FloatingPointError, match="NaN after epoch 1: try a smaller learning_rate"):
        torch_ncf.fit(
            model, dataset, epochs=1, batch_size=10**6, learning_rate=1e38, progress=False,
            device="cpu",
        )  # fmt: skip


def test_fit_on_a_device_learns_as_much(dataset, monkeypatch):
    options = {"epochs": 8, "learning_rate": 0.02, "progress": False, "device": "cpu"}

    def run():
        model = torch_ncf.GMF(dataset.num_users, dataset.num_items)
        return torch_ncf.fit(model, dataset, **options)

    usual = run()
    monkeypatch.setattr(torch_ncf, "is_accelerator", lambda device: True)
    fit = run()
    assert fit.history.loss.iloc[-1] == pytest.approx(usual.history.loss.iloc[-1], rel=0.03)
    assert fit.history.loss.iloc[-1] != usual.history.loss.iloc[-1]  # its own negatives
    result = evaluate(torch_ncf.score_function(fit.model), dataset)
    assert fit.picked.test_ndcg == result.ndcg and fit.picked.test_hr == result.hr


def test_the_device_is_chosen_by_argument_then_environment(monkeypatch):
    monkeypatch.setenv("NCF_DEVICE", "nowhere")
    assert choose_device("cpu") == CPU
    with pytest.raises(ValueError, match="device 'nowhere' cannot be used here"):
        choose_device()
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    monkeypatch.setenv("NCF_DEVICE", "")  # as unset, like an empty NCF_DATA_DIR
    assert choose_device().type == usual
    monkeypatch.delenv("NCF_DEVICE")
    assert choose_device().type == usual


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named_before_anything_is_trained(dataset):
    model = torch_ncf.GMF(dataset.num_users, dataset.num_items)
    before = torch_ncf.get_weights(model)["user_embedding"]
    with pytest.raises(ValueError, match="device 'cuda' cannot be used here"):
        torch_ncf.fit(model, dataset, device="cuda", progress=False)
    assert np.array_equal(before, torch_ncf.get_weights(model)["user_embedding"])


def test_keras_names_a_missing_device(dataset):
    from ncf_utils import keras_ncf

    model = keras_ncf.GMF(dataset.num_users, dataset.num_items)
    with pytest.raises(ValueError, match="device 'gpu:7' cannot be used here; there is .*cpu:0"):
        keras_ncf.fit(model, dataset, device="gpu:7", progress=False)


def test_keras_takes_an_empty_device_for_none(dataset, monkeypatch):
    from ncf_utils import keras_ncf

    monkeypatch.setenv("NCF_DEVICE", "")
    model = keras_ncf.GMF(dataset.num_users, dataset.num_items)
    assert len(keras_ncf.fit(model, dataset, epochs=1, progress=False).history) == 2


@gpu
def test_fit_on_a_gpu_learns_as_much_and_comes_home(dataset):
    options = {"epochs": 8, "learning_rate": 0.02, "progress": False}
    fits = [
        torch_ncf.fit(torch_ncf.NeuMF(dataset.num_users, dataset.num_items), dataset,
                      device=device, **options)
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    losses = [fit.history.loss.iloc[-1] for fit in fits]
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert next(fits[1].model.parameters()).device == CPU
