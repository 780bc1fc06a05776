"""GMF, MLP and NeuMF (He et al., 2017) in PyTorch, and `fit`.

Built step by step in notebooks 06, 07 and 08. `ncf_utils.keras_ncf` has the same names, and models,
`fit`, `save` and `load` the same arguments and defaults; losses and optimisers take what their
framework gives them. All models return logits; the sigmoid is in the loss.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ncf_utils.data import Dataset
from ncf_utils.errors import check_number
from ncf_utils.files import whole
from ncf_utils.sampler import IN_GROUPS
from ncf_utils.torch_device import DeviceRanks, DeviceSampler, choose_device, is_accelerator
from ncf_utils.training import (
    LOSSES,
    OPTIMIZERS,
    Fit,
    check_architecture,
    check_average,
    check_choice,
    check_pretrained,
    check_weights,
    groups_per_step,
    pretrained_weights,
    run_epochs,
    tower_config,
)

EMBEDDING_STD = 0.01  # N(0, 1), PyTorch's default, barely trains: see notebook 08
_ACTIVATION = {"relu": F.relu, "linear": lambda x: x, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class ConcatLinear(nn.Module):
    """A linear layer over the concatenation of two inputs, computed without concatenating.

    W [a; b] + bias = W_a a + W_b b + bias. The two sides need only broadcast, so that one user's
    product is computed once for a positive and all its negatives (notebook 07).

    Args:
        first_dim, second_dim: widths of the two inputs.
        out_dim: width of the output.
    """

    def __init__(self, first_dim, second_dim, out_dim, generator):
        super().__init__()
        self.dims = [first_dim, second_dim]
        self.weight = nn.Parameter(torch.empty(out_dim, first_dim + second_dim))
        self.bias = nn.Parameter(torch.zeros(out_dim))
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, first, second):
        """Map (..., first_dim) and (..., second_dim) to (..., out_dim)."""
        first_weight, second_weight = self.weight.split(self.dims, dim=1)
        return F.linear(first, first_weight) + F.linear(second, second_weight, self.bias)


class Embedding(nn.Embedding):
    """`nn.Embedding` with a faster gradient on a CPU: the same numbers, to the last bit.

    Both add up the gradients of each row's look-ups, in the order of the batch. `index_select`
    leaves that to `index_add_`, which takes a fifth to a third of the time of
    `embedding_dense_backward`; it needs 64-bit indices for it.
    """

    def forward(self, index):
        """Map indices of any shape to their rows, of shape (*index.shape, embedding_dim)."""
        if index.device.type != "cpu":
            return super().forward(index)
        rows = self.weight.index_select(0, index.flatten().long())
        return rows.view(*index.shape, self.embedding_dim)


def _embedding(num_rows, dim, generator):
    table = Embedding(num_rows, dim)
    nn.init.normal_(table.weight, std=EMBEDDING_STD, generator=generator)
    return table


def _linear(in_dim, out_dim, generator):
    layer = nn.Linear(in_dim, out_dim)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


class _Recommender(nn.Module):
    """What the three models share: their configuration and the L2 penalty."""

    def __init__(self, l2_embeddings, l2_layers, seed, **config):
        super().__init__()
        self.l2_embeddings = check_number("l2_embeddings", l2_embeddings, 0)
        self.l2_layers = check_number("l2_layers", l2_layers, 0)
        l2 = {"l2_embeddings": self.l2_embeddings, "l2_layers": self.l2_layers}
        self.config = config | l2 | {"seed": check_number("seed", seed, 0, integer=True)}

    def penalty(self):
        """L2 penalty: l2_embeddings |P, Q|^2 + l2_layers |W|^2, biases left out."""
        total = 0.0
        for name, weight in self.named_parameters():
            if "bias" not in name:
                l2 = self.l2_embeddings if "embedding" in name else self.l2_layers
                total = total + l2 * weight.square().sum() if l2 else total
        return total


class GMF(_Recommender):
    """Generalised matrix factorisation: logit = h . (p_u * q_i) + b (He et al., 2017, eq. 9).

    Args:
        num_users, num_items: rows of the two embedding tables.
        num_factors: width K of the embeddings.
        l2_embeddings, l2_layers: weights of the L2 penalty that `fit` adds to the loss.
        seed: seed of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> model = GMF(num_users=3, num_items=5, num_factors=4)
        >>> model(torch.tensor([[0], [2]]), torch.tensor([[1, 2, 3], [0, 1, 4]])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, num_users, num_items, num_factors=8, *, l2_embeddings=0.0, l2_layers=0.0, seed=0
    ):
        config = check_architecture(num_users, num_items, num_factors=num_factors)
        super().__init__(l2_embeddings, l2_layers, seed, **config)
        generator = torch.Generator().manual_seed(self.config["seed"])
        self.user_embedding = _embedding(num_users, num_factors, generator)
        self.item_embedding = _embedding(num_items, num_factors, generator)
        self.output = _linear(num_factors, 1, generator)

    def forward(self, user, item):
        """Logits for index tensors that broadcast, such as (B, 1) and (B, n)."""
        p = self.user_embedding(user)  # (B, 1, K)
        q = self.item_embedding(item)  # (B, n, K)
        return self.output(p * q).squeeze(-1)  # (B, n)


class _Tower(nn.ModuleList):
    """The MLP's hidden layers; the first is a `ConcatLinear` over user and item."""

    def __init__(self, embedding_dim, widths, activation, dropout, generator):
        first = ConcatLinear(embedding_dim, embedding_dim, widths[0], generator)
        rest = [_linear(a, b, generator) for a, b in itertools.pairwise(widths)]
        super().__init__([first, *rest])
        self.activation, self.dropout = _ACTIVATION[activation], dropout

    def forward(self, p, q):
        z = self._activate(self[0](p, q))  # (B, n, widths[0])
        for layer in list(self)[1:]:
            z = self._activate(layer(z))  # (B, n, width)
        return z

    def _activate(self, z):
        return F.dropout(self.activation(z), self.dropout, self.training)


class MLP(_Recommender):
    """Multi-layer perceptron over concatenated embeddings (He et al., 2017, eq. 10).

    Args:
        num_users, num_items: rows of the two embedding tables.
        hidden_layers: widths of the hidden layers, first to last; the last is the number of
            "predictive factors". Empty: MLP-0, a user term plus an item term.
        embedding_dim: width of each embedding; None takes half of `hidden_layers[0]`, as the
            paper's tower does (the authors' code takes all of it), and 8 for MLP-0.
        activation: of the hidden layers; ``"relu"``, ``"linear"``, ``"tanh"`` or ``"sigmoid"``.
        dropout: share of each hidden layer's outputs dropped in training.
        l2_embeddings, l2_layers: weights of the L2 penalty that `fit` adds to the loss.
        seed: seed of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> model = MLP(num_users=3, num_items=5, hidden_layers=[8, 4])
        >>> model(torch.tensor([[0], [2]]), torch.tensor([[1, 2, 3], [0, 1, 4]])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        num_users,
        num_items,
        hidden_layers=(32, 16, 8),
        embedding_dim=None,
        *,
        activation="relu",
        dropout=0.0,
        l2_embeddings=0.0,
        l2_layers=0.0,
        seed=0,
    ):
        config = tower_config(
            num_users, num_items, hidden_layers, embedding_dim, activation, dropout
        )
        super().__init__(l2_embeddings, l2_layers, seed, **config)
        generator = torch.Generator().manual_seed(self.config["seed"])
        dim, widths = config["embedding_dim"], config["hidden_layers"]
        self.user_embedding = _embedding(num_users, dim, generator)
        self.item_embedding = _embedding(num_items, dim, generator)
        if widths:
            self.tower = _Tower(dim, widths, activation, dropout, generator)
            self.output = _linear(widths[-1], 1, generator)
        else:
            self.tower, self.output = None, ConcatLinear(dim, dim, 1, generator)

    def forward(self, user, item):
        """Logits for index tensors that broadcast, such as (B, 1) and (B, n)."""
        p = self.user_embedding(user)  # (B, 1, embedding_dim)
        q = self.item_embedding(item)  # (B, n, embedding_dim)
        if self.tower is None:
            return self.output(p, q).squeeze(-1)  # (B, n)
        return self.output(self.tower(p, q)).squeeze(-1)  # (B, n)


class NeuMF(_Recommender):
    """Neural matrix factorisation: GMF and MLP side by side (He et al., 2017, eq. 12).

    The two branches have their own embeddings; the output layer reads both.

    Args:
        num_users, num_items: rows of the four embedding tables.
        num_factors: width of the GMF branch's embeddings.
        hidden_layers, embedding_dim, activation, dropout: of the MLP branch, see `MLP`;
            `hidden_layers` may not be empty here.
        l2_embeddings, l2_layers: weights of the L2 penalty that `fit` adds to the loss.
        seed: seed of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> model = NeuMF(num_users=3, num_items=5, num_factors=4, hidden_layers=[8, 4])
        >>> model(torch.tensor([[0], [2]]), torch.tensor([[1, 2, 3], [0, 1, 4]])).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        num_users,
        num_items,
        num_factors=8,
        hidden_layers=(32, 16, 8),
        embedding_dim=None,
        *,
        activation="relu",
        dropout=0.0,
        l2_embeddings=0.0,
        l2_layers=0.0,
        seed=0,
    ):
        config = tower_config(
            num_users, num_items, hidden_layers, embedding_dim, activation, dropout
        )
        num_factors = check_number("num_factors", num_factors, 1, integer=True)
        if not config["hidden_layers"]:
            raise ValueError("hidden_layers must not be empty for NeuMF; without a tower, use GMF")
        super().__init__(l2_embeddings, l2_layers, seed, num_factors=num_factors, **config)
        generator = torch.Generator().manual_seed(self.config["seed"])
        dim, widths = config["embedding_dim"], config["hidden_layers"]
        self.gmf_user_embedding = _embedding(num_users, num_factors, generator)
        self.gmf_item_embedding = _embedding(num_items, num_factors, generator)
        self.mlp_user_embedding = _embedding(num_users, dim, generator)
        self.mlp_item_embedding = _embedding(num_items, dim, generator)
        self.tower = _Tower(dim, widths, activation, dropout, generator)
        self.output = ConcatLinear(num_factors, widths[-1], 1, generator)

    def forward(self, user, item):
        """Logits for index tensors that broadcast, such as (B, 1) and (B, n)."""
        gmf = self.gmf_user_embedding(user) * self.gmf_item_embedding(item)  # (B, n, num_factors)
        p = self.mlp_user_embedding(user)  # (B, 1, embedding_dim)
        q = self.mlp_item_embedding(item)  # (B, n, embedding_dim)
        return self.output(gmf, self.tower(p, q)).squeeze(-1)  # (B, n)

    @classmethod
    def from_pretrained(cls, gmf: GMF, mlp: MLP, alpha=0.5):
        """NeuMF that starts from a trained GMF and a trained MLP (He et al., 2017, eq. 13).

        Args:
            gmf, mlp: trained models on the same users and items.
            alpha: the GMF branch's share of the output layer, between 0 and 1: the initial logit
                is alpha times GMF's plus 1 - alpha times MLP's. Biases are copied too.

        Raises:
            ValueError: the models do not fit together, or `alpha` is not in [0, 1].
        """
        check_pretrained(gmf.config, mlp.config, alpha)
        model = cls(**mlp.config, num_factors=gmf.config["num_factors"])
        set_weights(model, pretrained_weights(get_weights(gmf), get_weights(mlp), alpha))
        return model


def log_loss(logits):
    """Binary cross-entropy over groups: column 0 has label 1, the others 0 (eq. 7)."""
    # softplus(-x) = -log(sigmoid(x)), and softplus(x) = -log(1 - sigmoid(x)), without overflow.
    return torch.cat([F.softplus(-logits[:, :1]), F.softplus(logits[:, 1:])], dim=1).mean()


def squared_loss(logits):
    """Mean squared error between sigmoid(logit) and the label."""
    scores = torch.sigmoid(logits)
    return torch.cat([1 - scores[:, :1], scores[:, 1:]], dim=1).square().mean()


def bpr_loss(logits):
    """BPR: -log sigmoid(positive - negative), over all pairs of a group (Rendle et al., 2009)."""
    return F.softplus(logits[:, 1:] - logits[:, :1]).mean()


LOSS_FUNCTIONS = {"log": log_loss, "squared": squared_loss, "bpr": bpr_loss}
MODELS = {"GMF": GMF, "MLP": MLP, "NeuMF": NeuMF}


def fit(
    model,
    dataset: Dataset,
    *,
    num_negatives=4,
    epochs=20,
    batch_size=16384,
    learning_rate=0.004,
    optimizer="adam",
    loss="log",
    strategy="uniform",
    average=None,
    patience=None,
    keep_start=False,
    seed=0,
    evaluate_test=True,
    progress=True,
    device=None,
) -> Fit:
    """Train `model` in place, and leave it with the weights of its best validation epoch.

    Args:
        model: a `GMF`, `MLP`, `NeuMF`, or any module that maps `user` (B, 1) and `item` (B, n)
            index tensors to logits (B, n).
        dataset: the data set; the epoch is picked by NDCG@10 on its validation items, never on
            its test items. Without validation items the last epoch is kept.
        num_negatives: negatives for each positive, drawn afresh every epoch.
        epochs: the most epochs to train.
        batch_size: training instances (positives and negatives together) in a step. Notebook 15
            shows how it was chosen: of equal quality, large batches are the fastest.
        learning_rate: the optimiser's step size. For Adam it goes with the square root of
            `batch_size`: 0.001 at 1,024 and 0.004 at 16,384 train alike.
        optimizer: ``"adam"``, ``"sgd"``, ``"rmsprop"`` or ``"adagrad"``.
        loss: ``"log"`` (binary cross-entropy, the paper's), ``"squared"`` (on the sigmoid's output)
            or ``"bpr"`` (each positive against its own negatives; Rendle et al., 2009).
        strategy: ``"uniform"`` or ``"popularity"``, see `NegativeSampler`.
        average: decay of a moving average of the weights over the steps, such as 0.997 (Polyak
            and Juditsky, 1992): the model that is ranked, picked and kept has the averaged
            weights, while training goes on from its own. None keeps the weights as trained.
        patience: stop after this many epochs without a better validation NDCG; None never does.
        keep_start: epoch 0, the model as it is given, may be picked too. For a model that is
            trained already, such as `NeuMF.from_pretrained`: more training may spoil it. `epochs`
            may then be 0.
        seed: seed of the negatives, the order of the batches and dropout. The same seed gives both
            frameworks the same batches. Dropout draws from PyTorch's global generator: it is seeded
            here, and what the caller draws from it afterwards follows from this seed too.
        evaluate_test: also record the test metrics of every epoch.
        progress: show a progress bar.
        device: where to train, such as ``"cpu"`` or ``"cuda"``; None takes the one that the
            environment variable ``NCF_DEVICE`` names, else a GPU if there is one. On a GPU the
            whole epoch stays there, and the negatives are other ones than on the CPU. The model
            comes back to where it was, after an error too.

    Returns:
        A `Fit`: the model, its history, the picked epoch, the seconds.

    Raises:
        ValueError: an argument is out of range.
        FloatingPointError: the loss is no longer a number.
    """
    check_number("batch_size", batch_size, 1, integer=True)
    check_choice("loss", loss, LOSSES)
    check_choice("strategy", strategy, IN_GROUPS)
    seed = check_number("seed", seed, 0, integer=True)
    check_average(average)
    device = choose_device(device)
    with _moved(model, device):  # before the optimiser takes hold of the weights
        torch.manual_seed(seed)  # dropout
        step = make_optimizer(optimizer, model.parameters(), learning_rate)
        loss_function = LOSS_FUNCTIONS[loss]
        penalty = getattr(model, "penalty", lambda: 0.0)
        ranked = model  # whose weights are ranked and kept: the model's, or their moving average
        if average is not None:
            averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(average))
            ranked = averaged.module
        on_device = {}
        if is_accelerator(device):
            on_device = _on_device(ranked, dataset, num_negatives, strategy, seed, device)

        def train_epoch(user, item):
            model.train()
            groups, total = groups_per_step(batch_size, num_negatives), 0.0
            user, item = torch.as_tensor(user).to(device), torch.as_tensor(item).to(device)
            for u, i in zip(user.split(groups), item.split(groups), strict=True):
                step.zero_grad()
                batch_loss = loss_function(model(u, i)) + penalty()
                batch_loss.backward()
                step.step()
                if ranked is not model:
                    averaged.update_parameters(model)
                total += batch_loss.detach().double() * len(u)
            return float(total) / len(user)

        with _one_thread(), _denormals_flushed():
            return run_epochs(
                model,
                dataset,
                train_epoch=train_epoch,
                score=score_function(ranked),
                get_weights=lambda: copy.deepcopy(ranked.state_dict()),
                set_weights=model.load_state_dict,
                num_negatives=num_negatives,
                strategy=strategy,
                epochs=epochs,
                patience=patience,
                keep_start=keep_start,
                seed=seed,
                evaluate_test=evaluate_test,
                progress=progress,
                **on_device,
            )


def _on_device(model, dataset, num_negatives, strategy, seed, device):
    """What `run_epochs` needs so that sampling and ranking stay on `device`."""
    held_out = {"validation": dataset.validation, "test": dataset.test}
    rankers = {split: DeviceRanks(items, device) for split, items in held_out.items() if items}
    own = {"rank": lambda split: rankers[split](model)}
    if strategy == "uniform":
        own["sampler"] = DeviceSampler(dataset.train, num_negatives, seed, device)
    return own


def _device_of(model):
    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


@contextmanager
def _moved(model, device):
    """Have a model on a device; it comes home also where its training is refused or breaks off."""
    home = _device_of(model)
    try:
        model.to(device)
        yield
    finally:
        model.to(home)


@contextmanager
def _denormals_flushed():
    """Train with numbers as zero that are too small for float32; Adam's moments decay into them.

    They are slow otherwise. NumPy in the same thread flushes, too, so it ends with the training.
    """
    before = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def _one_thread():
    """Train on one thread: as fast as two on models this small, far faster beside other work.

    It also makes the sums, and so the results, the same on any number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def make_optimizer(name, parameters, learning_rate):
    """An optimiser with the same constants as that of `keras_ncf`.

    Args:
        name: ``"adam"``, ``"sgd"``, ``"rmsprop"`` or ``"adagrad"``.
        parameters: what it moves.
        learning_rate: its step size, above 0.

    Raises:
        ValueError: an argument is out of range.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    check_number("learning_rate", learning_rate, 0, strict=True)
    parameters = list(parameters)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, eps=1e-8, fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=learning_rate, alpha=0.9, eps=1e-15)
    if name == "adagrad":
        return torch.optim.Adagrad(
            parameters, lr=learning_rate, initial_accumulator_value=0.1, eps=1e-7
        )
    return torch.optim.SGD(parameters, lr=learning_rate)


def score_function(model):
    """A model as `evaluate` wants it: `score(user, item)` from index arrays to NumPy logits.

    Args:
        model: maps index tensors that broadcast to logits of the broadcast shape.

    Returns:
        A function of two integer arrays that broadcast; it returns float32 of that shape.
    """

    def score(user, item):
        user, item = np.asarray(user), np.asarray(item)
        was_training = model.training
        model.eval()
        device = _device_of(model)
        with torch.inference_mode(), _one_thread():
            pair = (torch.as_tensor(index.copy()).to(device) for index in (user, item))
            logits = model(*pair).cpu().numpy()
        model.train(was_training)
        return logits

    return score


def get_weights(model) -> dict[str, np.ndarray]:
    """The weights by name, as arrays; `keras_ncf.get_weights` gives the same names and shapes.

    A layer's kernel has shape (inputs, outputs), as in Keras; PyTorch stores its transpose.
    """
    return {
        _common_name(name): (weight.T if _is_kernel(name) else weight).detach().cpu().numpy().copy()
        for name, weight in model.named_parameters()
    }


def set_weights(model, weights):
    """Put the weights that `get_weights` of either framework returned into `model`.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    names = {_common_name(name): name for name, _ in model.named_parameters()}
    check_weights(weights, {new: value.shape for new, value in get_weights(model).items()})
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for common, name in names.items():
            value = torch.tensor(np.asarray(weights[common]))
            parameters[name].copy_(value.T if _is_kernel(name) else value)


def _is_kernel(name):
    return name.endswith("weight") and "embedding" not in name


def _common_name(name):
    if "embedding" in name:
        return name.removesuffix(".weight")
    return name.replace("tower.", "tower_").replace("weight", "kernel")


def save(model, path):
    """Write a `GMF`, `MLP` or `NeuMF` to a safetensors file: its weights and its configuration.

    The file takes its name only when it is whole, so that a crash never leaves half a checkpoint.

    Args:
        model: the model.
        path: the file to write, usually `*.safetensors`.

    Raises:
        ValueError: the model is of another class, a subclass perhaps: `load` could not make it.
        OSError: the file cannot be written.
    """
    kind = type(model)
    if MODELS.get(kind.__name__) is not kind:
        raise ValueError(
            "model must be a GMF, MLP or NeuMF of torch_ncf, not a "
            f"{kind.__module__}.{kind.__qualname__}"
        )
    _write_tensors(
        model.state_dict(), path, {"model": kind.__name__, "config": json.dumps(model.config)}
    )


def _write_tensors(tensors, path, metadata):
    """Write a safetensors file, whole or not at all.

    Args:
        tensors: tensors by name.
        path: the file to write; one that is there is replaced.
        metadata: strings by name.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with whole(path) as part:
            save_file(tensors, part, metadata)
    except SafetensorError as error:  # a disk that is full, and the like
        raise OSError(f"{path} cannot be written: {error}") from error


def load(path):
    """Read a model that `save` wrote. Nothing in the file is executed.

    Raises:
        ValueError: the file is not such a checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = MODELS[metadata["model"]](**json.loads(metadata["config"]))
        model.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of GMF, MLP or NeuMF written by torch_ncf.save: {error}"
        ) from error
    return model
