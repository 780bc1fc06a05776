"""What training shares between the frameworks: checks, the epoch loop, the history, the pick.

A framework's `fit` says how to train one epoch and how to score; this module does the rest, so
that both frameworks see the same batches and pick their epoch by the same rule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncf_utils.allocation import keep_freed_memory
from ncf_utils.data import Dataset
from ncf_utils.errors import check_number
from ncf_utils.metrics import NaNScoresError, evaluate, hit_ratio, ndcg
from ncf_utils.sampler import NegativeSampler

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("log", "squared", "bpr")
OPTIMIZERS = ("adam", "sgd", "rmsprop", "adagrad")
ACTIVATIONS = ("relu", "linear", "tanh", "sigmoid")


@dataclass(frozen=True)
class Fit:
    """A trained model and how it got there.

    Attributes:
        model: the model, with the weights of the picked epoch.
        history: DataFrame, one row an epoch (epoch 0 is the untrained model), with columns `epoch`,
            `loss`, `validation_hr`, `validation_ndcg`, `test_hr`, `test_ndcg`, `seconds`.
        picked_epoch: the epoch with the best validation NDCG, from 1 on (from 0 on where `fit` was
            to `keep_start`); the last one where there is no validation split. The test columns are
            for looking at, and never used to pick.
        seconds: time spent training, evaluation not counted.
    """

    model: Any
    history: pd.DataFrame
    picked_epoch: int
    seconds: float

    @property
    def picked(self) -> pd.Series:
        """The history's row of the picked epoch."""
        return self.history.set_index("epoch").loc[self.picked_epoch]

    def __repr__(self):
        text = f"picked epoch {self.picked_epoch} of {self.history.epoch.max()}"
        for split in ("test", "validation"):
            if f"{split}_hr" in self.history:
                hr, ndcg = self.picked[f"{split}_hr"], self.picked[f"{split}_ndcg"]
                return f"Fit({text}: {split} HR@10 {hr:.3f}, NDCG@10 {ndcg:.3f})"
        return f"Fit({text})"


def check_choice(name, value, choices):
    """Raise a ValueError that names the parameter unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_average(average):
    """Raise a ValueError unless `average` is None or a decay in [0, 1)."""
    if average is not None:
        check_number("average", average, 0)
        if average >= 1:
            raise ValueError(f"average must be below 1, not {average!r}")


def check_architecture(num_users, num_items, **sizes):
    """The sizes of a model by name, plain integers of at least 1; `sizes` are further ones."""
    sizes = {"num_users": num_users, "num_items": num_items, **sizes}
    return {name: check_number(name, value, 1, integer=True) for name, value in sizes.items()}


def tower_config(num_users, num_items, hidden_layers, embedding_dim, activation, dropout):
    """Check an MLP's arguments and return them as a dictionary, `embedding_dim` filled in.

    By default the two embeddings, concatenated, are as wide as the first hidden layer: the tower
    of the paper.
    """
    sizes = check_architecture(num_users, num_items)
    if not isinstance(hidden_layers, (list, tuple)):
        raise ValueError(f"hidden_layers must be a list of widths, not {hidden_layers!r}")
    widths = [
        check_number("each width in hidden_layers", width, 1, integer=True)
        for width in hidden_layers
    ]
    check_choice("activation", activation, ACTIVATIONS)
    dropout = check_number("dropout", dropout, 0)
    if dropout >= 1:
        raise ValueError(f"dropout must be below 1, not {dropout!r}")
    if embedding_dim is None:
        embedding_dim = max(1, widths[0] // 2) if widths else 8
    return sizes | {
        "hidden_layers": widths,
        "embedding_dim": check_number("embedding_dim", embedding_dim, 1, integer=True),
        "activation": activation,
        "dropout": dropout,
    }


def check_pretrained(gmf_config, mlp_config, alpha):
    """Raise a ValueError unless the two models can start a NeuMF with share `alpha`."""
    check_number("alpha", alpha, 0)
    if alpha > 1:
        raise ValueError(f"alpha must be at most 1, not {alpha!r}")
    for model, config, only in (
        ("gmf", gmf_config, "num_factors"),
        ("mlp", mlp_config, "hidden_layers"),
    ):
        if {"num_factors", "hidden_layers"} & config.keys() != {only}:
            raise ValueError(f"{model} must be a model of class {model.upper()}")
    for name in ("num_users", "num_items"):
        if gmf_config[name] != mlp_config[name]:
            raise ValueError(
                f"{name} differs: {gmf_config[name]} in the GMF, {mlp_config[name]} in the MLP"
            )
    if not mlp_config["hidden_layers"]:
        raise ValueError("the MLP has no hidden layers, so there is no tower to copy")


def pretrained_weights(gmf, mlp, alpha):
    """The weights of a NeuMF that starts from a GMF and an MLP (He et al., 2017, eq. 13).

    Args:
        gmf, mlp: weights by name, as `get_weights` of either framework returns them.
        alpha: the GMF's share of the output layer.

    Returns:
        NeuMF's weights by name.
    """
    weights = {name: value for name, value in mlp.items() if name.startswith("tower")}
    for branch, source in (("gmf", gmf), ("mlp", mlp)):
        for side in ("user", "item"):
            weights[f"{branch}_{side}_embedding"] = source[f"{side}_embedding"]
    kernels = [alpha * gmf["output.kernel"], (1 - alpha) * mlp["output.kernel"]]
    weights["output.kernel"] = np.concatenate(kernels)
    weights["output.bias"] = alpha * gmf["output.bias"] + (1 - alpha) * mlp["output.bias"]
    return weights


def check_weights(weights, shapes):
    """Raise a ValueError that names the first weight whose name or shape is not in `shapes`."""
    for name in sorted(set(weights) ^ set(shapes)):
        raise ValueError(f"weight {name} is {'unknown' if name in weights else 'missing'}")
    for name, shape in shapes.items():
        if np.shape(weights[name]) != tuple(shape):
            raise ValueError(
                f"weight {name} has shape {np.shape(weights[name])}, expected {tuple(shape)}"
            )


def groups_per_step(batch_size, num_negatives):
    """How many positives, each beside its negatives, make up about `batch_size` instances."""
    return max(1, round(batch_size / (1 + num_negatives)))


def ahead(make, times):
    """Yield what `make()` returns, `times` times; the next is made, in a thread, meanwhile.

    So an epoch is drawn while the one before it is trained on. The calls never overlap: what
    comes out is what a plain loop would yield.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(make)
        for left in reversed(range(times)):
            made = coming.result()
            if left:
                coming = thread.submit(make)
            yield made


def run_epochs(
    model,
    dataset: Dataset,
    *,
    train_epoch: Callable[[np.ndarray, np.ndarray], float],
    score: Callable,
    get_weights: Callable[[], Any],
    set_weights: Callable[[Any], None],
    num_negatives: int,
    strategy: str,
    epochs: int,
    patience: int | None,
    keep_start: bool,
    seed: int,
    evaluate_test: bool,
    progress: bool,
    sampler=None,
    rank: Callable[[str], np.ndarray] | None = None,
) -> Fit:
    """Train epoch by epoch, keep the weights that validate best, and return a `Fit`.

    Args:
        train_epoch: trains on one epoch's `user` (P, 1) and `item` (P, 1 + num_negatives) and
            returns the mean loss.
        score: the model's score function, see `ncf_utils.metrics.evaluate`.
        get_weights: copies the weights out.
        set_weights: puts a copy back.
        sampler: has `epoch_groups`; None makes a `NegativeSampler`.
        rank: the ranks of a split's held-out items; None takes those of `evaluate`.

    Raises:
        FloatingPointError: the loss is no longer a number, or the scores are none.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    check_number("epochs", epochs, 0 if keep_start else 1, integer=True)
    if patience is not None:
        check_number("patience", patience, 1, integer=True)
    keep_freed_memory()
    if sampler is None:
        sampler = NegativeSampler(dataset.train, num_negatives, strategy, seed)
        drawn = ahead(sampler.epoch_groups, epochs)
    else:
        drawn = (sampler.epoch_groups() for _ in range(epochs))
    if rank is None:

        def rank(split):
            return evaluate(score, dataset, split).ranks

    splits = [s for s in ("validation", "test") if getattr(dataset, s) is not None]
    if not evaluate_test:
        splits.remove("test")

    def measure(epoch, loss, seconds):
        row = {"epoch": epoch, "loss": loss}
        for split in splits:
            ranks = rank(split)
            row |= {f"{split}_hr": hit_ratio(ranks), f"{split}_ndcg": ndcg(ranks)}
        return row | {"seconds": seconds}

    history = [measure(0, math.nan, 0.0)]
    best, picked, best_weights = -1.0, 0, None
    if keep_start:  # else epoch 0 does not compete: on few items it may win by luck
        best, best_weights = history[0].get("validation_ndcg", 0), get_weights()
    bar = tqdm(range(1, epochs + 1), desc="epochs", leave=False, disable=not progress)
    for epoch in bar:
        start = time.perf_counter()
        loss = train_epoch(*next(drawn))
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} in epoch {epoch}: try a smaller learning_rate"
            )
        try:
            history.append(measure(epoch, loss, seconds))
        except NaNScoresError as error:  # the last step, whose loss is not looked at, was too long
            raise FloatingPointError(
                f"the scores are NaN after epoch {epoch}: try a smaller learning_rate"
            ) from error
        quality = history[-1].get("validation_ndcg", epoch)
        if quality > best:
            best, picked, best_weights = quality, epoch, get_weights()
        bar.set_postfix(loss=f"{loss:.4f}")
        if patience is not None and epoch - picked >= patience:
            break
    set_weights(best_weights)
    history = pd.DataFrame(history)
    return Fit(model, history, picked, float(history.seconds.sum()))
