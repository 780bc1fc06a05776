"""What only the PyTorch models have: `ConcatLinear`, safetensors, modules of one's own."""

import json
import pickle

import numpy as np
import pytest
import torch
from reference_models import make, randomise, small_dataset
from safetensors.torch import load_file, save_file
from torch import nn

from ncf_utils import torch_ncf
from ncf_utils.torch_ncf import ConcatLinear, Embedding


def test_concat_linear_is_linear_over_the_concatenation():
    first, second = torch.randn(6, 1, 3), torch.randn(6, 5, 4)
    ours = ConcatLinear(3, 4, 2, torch.Generator().manual_seed(0))
    plain = nn.Linear(7, 2)
    with torch.no_grad():
        ours.bias += torch.tensor([0.5, -2.0])
        plain.weight.copy_(ours.weight)
        plain.bias.copy_(ours.bias)

    inputs = [(x.clone().requires_grad_(), x.clone().requires_grad_()) for x in (first, second)]
    (a, a_plain), (b, b_plain) = inputs
    out = ours(a, b)
    expected = plain(torch.cat([a_plain.expand(6, 5, 3), b_plain], dim=-1))
    assert out.shape == (6, 5, 2)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)

    weight = torch.randn(6, 5, 2)  # any direction to take the gradient in
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    for one, other in (
        (ours.weight, plain.weight), (ours.bias, plain.bias), (a, a_plain), (b, b_plain)
    ):  # fmt: skip
        assert other.grad.abs().max() > 0.1
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(5,), (2000, 1), (2000, 5)])
def test_embedding_is_pytorchs_to_the_last_bit(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(30, shape, generator=generator, dtype=dtype)  # rows stand there often
    slope = torch.randn(*shape, 8, generator=generator)
    ours, plain = Embedding(40, 8), nn.Embedding(40, 8)
    plain.load_state_dict(ours.state_dict())
    for table in (ours, plain):
        (table(index) * slope).sum().backward()
    assert torch.equal(ours(index), plain(index))
    assert ours.weight.grad.count_nonzero() > 0
    assert torch.equal(ours.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("index", [-1, 40])
def test_embedding_refuses_an_index_that_has_no_row(index):
    with pytest.raises(IndexError, match="out of range"):
        Embedding(40, 8)(torch.tensor([[0, index]]))


def test_models_list_their_layers_once():
    """torchinfo and printing see every layer, and optimisers every parameter, one time."""
    model = make(torch_ncf, "NeuMF")
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names)) == 4 + 2 * 2 + 2
    assert "ConcatLinear" in repr(model) and "Embedding(7, 4)" in repr(model)


def test_scoring_leaves_the_mode_as_it_was():
    model = make(torch_ncf, "MLP", dropout=0.5)
    for training in (True, False):
        model.train(training)
        torch_ncf.score_function(model)([[0]], [[1]])
        assert model.training is training


def test_scoring_builds_no_graph():
    scores = torch_ncf.score_function(make(torch_ncf, "GMF"))(np.array([[0]]), np.array([[1]]))
    assert isinstance(scores, np.ndarray)


def test_a_model_without_l2_has_no_penalty_to_differentiate():
    model = make(torch_ncf, "NeuMF")
    assert model.penalty() == 0.0 and not torch.is_tensor(model.penalty())


def test_penalty_reaches_gradients_and_leaves_biases_alone():
    model = make(torch_ncf, "NeuMF", l2_embeddings=0.3, l2_layers=0.02)
    randomise(torch_ncf, model)
    model.penalty().backward()
    for name, weight in model.named_parameters():
        if "bias" in name:
            assert weight.grad is None or not weight.grad.any(), name
        else:
            l2 = 0.3 if "embedding" in name else 0.02
            torch.testing.assert_close(weight.grad, 2 * l2 * weight.detach(), msg=name)


# --- modules of one's own ------------------------------------------------------------------------


class BiasOnly(nn.Module):
    """A model of a reader: no `penalty`, no `config`."""

    def __init__(self, num_items):
        super().__init__()
        self.item_bias = nn.Embedding(num_items, 1)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, user, item):
        return self.item_bias(item).squeeze(-1) + 0.0 * user


def test_fit_takes_any_module():
    dataset = small_dataset()
    model = BiasOnly(dataset.num_items)
    fit = torch_ncf.fit(model, dataset, epochs=12, batch_size=50, learning_rate=0.1, progress=False)
    counts = dataset.train.item_counts()
    learned = model.item_bias.weight.detach().numpy()[:, 0]
    assert np.corrcoef(learned, np.log(counts + 1))[0, 1] > 0.7  # it learns popularity
    assert fit.picked.validation_ndcg > fit.history.validation_ndcg[0] + 0.1


# --- a model on another device -------------------------------------------------------------------


@pytest.fixture
def moves(monkeypatch):
    """Where `fit` moves a model to from the CPU: seen from its calls, without another device."""
    monkeypatch.setattr(torch_ncf, "choose_device", lambda device: torch.device("meta"))
    moves = []
    monkeypatch.setattr(torch_ncf.GMF, "to", lambda model, device: moves.append(device.type))
    return moves


@pytest.mark.parametrize("wrong", [{"optimizer": "lbfgs"}, {"learning_rate": 0}])
@pytest.mark.parametrize("average", [None, 0.9])
def test_a_model_comes_home_where_an_argument_is_refused(moves, wrong, average):
    data = small_dataset()
    model = torch_ncf.GMF(data.num_users, data.num_items)
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        torch_ncf.fit(model, data, average=average, progress=False, **wrong)
    assert moves in ([], ["meta", "cpu"])


def test_a_model_comes_home_where_there_are_no_negatives(moves):
    """Found out by the sampler, which is made on the device."""
    data = small_dataset()
    with pytest.raises(ValueError, match="num_negatives must be"):
        torch_ncf.fit(torch_ncf.GMF(data.num_users, data.num_items), data, num_negatives=0)
    assert moves in ([], ["meta", "cpu"])


def test_a_model_comes_home_from_half_the_way(moves, monkeypatch):
    """A GPU that is too small takes some of the weights."""

    def move(model, device):
        moves.append(device.type)
        if device.type == "meta":
            raise torch.OutOfMemoryError("too small")

    monkeypatch.setattr(torch_ncf.GMF, "to", move)
    data = small_dataset()
    with pytest.raises(torch.OutOfMemoryError):
        torch_ncf.fit(torch_ncf.GMF(data.num_users, data.num_items), data, progress=False)
    assert moves == ["meta", "cpu"]


# --- checkpoints ---------------------------------------------------------------------------------


class MyGMF(torch_ncf.GMF):
    """A reader's own, which the name in a file would not lead to."""


class Namesake(MyGMF):
    pass


Namesake.__name__ = "GMF"


@pytest.mark.parametrize(
    "make_it, kind",
    [
        (lambda: MyGMF(3, 5), "MyGMF"),
        (lambda: Namesake(3, 5), "Namesake"),
        (lambda: nn.Linear(2, 1), "Linear"),
        (lambda: BiasOnly(5), "BiasOnly"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, make_it, kind):
    path = tmp_path / "model.safetensors"
    path.write_text("before")
    with pytest.raises(ValueError, match=rf"a GMF, MLP or NeuMF of torch_ncf, not a .*\.{kind}$"):
        torch_ncf.save(make_it(), path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_two_savers_of_one_path_do_not_meet(tmp_path, monkeypatch):
    """The second begins and ends while the first one writes."""
    path, second = tmp_path / "model.safetensors", make(torch_ncf, "MLP")

    def interrupted(tensors, file, metadata):
        save_file(tensors, file, metadata)
        monkeypatch.setattr("safetensors.torch.save_file", save_file)
        torch_ncf.save(second, path)
        assert type(torch_ncf.load(path)) is torch_ncf.MLP

    monkeypatch.setattr("safetensors.torch.save_file", interrupted)
    torch_ncf.save(make(torch_ncf, "GMF"), path)
    assert type(torch_ncf.load(path)) is torch_ncf.GMF
    assert list(tmp_path.iterdir()) == [path]


class Evil:
    """A pickle that runs code where it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_a_pickle_is_refused_and_not_run(tmp_path, write):
    path, trace = tmp_path / "model.safetensors", tmp_path / "was-run"
    write(Evil(trace), path)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        torch_ncf.load(path)
    assert not trace.exists()


def test_no_checkpoint_goes_through_pickle(tmp_path, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("pickle")

    for module, names in ((torch, ("load", "save")), (pickle, ("load", "loads", "Unpickler"))):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    torch_ncf.save(make(torch_ncf, "NeuMF"), tmp_path / "model.safetensors")
    torch_ncf.load(tmp_path / "model.safetensors")


@pytest.fixture
def checkpoint(tmp_path):
    """A good file, its tensors and its metadata, to be spoilt in one place."""
    path = tmp_path / "model.safetensors"
    model = make(torch_ncf, "GMF")
    torch_ncf.save(model, path)
    return path, load_file(path), {"model": "GMF", "config": json.dumps(model.config)}


def test_the_checkpoint_fixture_is_a_good_file(checkpoint):
    path, tensors, metadata = checkpoint
    save_file(tensors, path, metadata)
    assert isinstance(torch_ncf.load(path), torch_ncf.GMF)


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": None},
        {"metadata": {"model": "GMF"}},
        {"model": "Sequential"},
        {"model": "NeuMF"},
        {"config": "{"},
        {"config": "[7, 11]"},
        {"config": '{"num_users": 7, "num_items": 11, "num_factors": 4, "evil": 1}'},
        {"config": '{"num_users": 0, "num_items": 11}'},
        {"config": '{"num_users": 8, "num_items": 11, "num_factors": 4}'},
        {"tensors": {}},
    ],
    ids=str,
)
def test_a_safetensors_file_of_another_kind_is_refused(checkpoint, change):
    path, tensors, metadata = checkpoint
    change = dict(change)
    tensors = change.pop("tensors", tensors)
    metadata = change.pop("metadata", metadata and metadata | change)
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match="is not a checkpoint of GMF, MLP or NeuMF"):
        torch_ncf.load(path)


@pytest.mark.parametrize("before", [False, True])
def test_small_numbers_are_what_they_were_after_a_training(before):
    """NumPy in the same thread flushes as PyTorch does."""
    data = small_dataset()
    try:
        torch.set_flush_denormal(before)
        torch_ncf.fit(
            torch_ncf.GMF(data.num_users, data.num_items), data, epochs=1, progress=False
        )  # fmt: skip
        assert (np.nextafter(0, 1) * 1.0 == 0) == before
    finally:
        torch.set_flush_denormal(False)
