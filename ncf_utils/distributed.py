"""One large GMF, MLP or NeuMF, trained by many processes with PyTorch's own distributed package.

    torchrun --standalone --nproc-per-node 2 -m ncf_utils.distributed \
        --dataset ncf-ml-1m --model NeuMF --items sharded --checkpoint FOLDER

Each process, a *rank*, has a block of the users: their interactions and their rows of the user
tables, which no other rank ever needs. The item tables are *replicated* (each rank has them all,
and their gradients are summed over the ranks) or *sharded* (each rank has a block of the items, and
lends the rows that a step needs to whoever needs them). Each rank has the dense layers. A step of W
ranks is the step of one process on all their instances together.

Notebook 15 explains it in the order of this module: the network, the shard, the look-up, the sum of
the gradients, the step, the evaluation, the checkpoint.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import shutil
import socket
import sys
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous
from torch.func import functional_call

from ncf_utils.allocation import keep_freed_memory
from ncf_utils.data import Dataset, HeldOut, Interactions, load_dataset
from ncf_utils.errors import check_number
from ncf_utils.files import whole
from ncf_utils.metrics import NaNScoresError, evaluate, hit_ratio, ndcg
from ncf_utils.sampler import NegativeSampler
from ncf_utils.torch_device import choose_device
from ncf_utils.torch_ncf import (
    LOSS_FUNCTIONS,
    MODELS,
    _denormals_flushed,
    _one_thread,
    _write_tensors,
    make_optimizer,
    save,
)
from ncf_utils.training import LOSSES, OPTIMIZERS, Fit, check_choice, groups_per_step

ITEMS = ("replicated", "sharded")


# --- the network ---------------------------------------------------------------------------------


@contextmanager
def process_group():
    """Join the ranks that torchrun started; without torchrun, be the only one.

    NCCL carries what is on GPUs, where each rank of this machine has one; Gloo the rest.
    """
    with _one_thread(), _denormals_flushed():  # a core a rank, as in `torch_ncf.fit`
        keep_freed_memory()
        backend = "gloo"
        if _device().type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
            backend = "cpu:gloo,cuda:nccl"
        store, rank, world_size = _meeting_place()
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
        try:
            yield
        finally:
            dist.destroy_process_group()


def _meeting_place():
    """Where the ranks find each other: a store, this rank's number, and how many there are."""
    env = os.environ
    if "RANK" not in env:
        return dist.HashStore(), 0, 1
    # For every attempt after a loss, torchrun lends the same store, with the addresses of the dead
    # in it: github.com/pytorch/pytorch/issues/135712. So each attempt gets names of its own there.
    # Machines count attempts each for itself: several of them need a new store.
    one_machine = env.get("LOCAL_WORLD_SIZE") == env.get("WORLD_SIZE")
    restarts, same = env.get("TORCHELASTIC_MAX_RESTARTS"), env.get("TORCHELASTIC_USE_AGENT_STORE")
    if not one_machine and restarts != "0" and same == "True":
        raise ValueError(
            "--max-restarts on several machines: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for each "
            "torchrun, or restarted processes look for dead ones"
        )
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if one_machine and loopback:
        env.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
    store, rank, world_size = next(rendezvous("env://"))
    if one_machine:
        store = dist.PrefixStore(env.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    return store, rank, world_size


def _device():
    """A GPU, where `fit` would take one and each rank of this machine can have its own."""
    on_gpu = choose_device().type == "cuda"
    enough = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return torch.device("cuda" if on_gpu and enough else "cpu")


class Network:
    """The two ways in which ranks talk in training; counts bytes and seconds.

    Attributes:
        rank, world_size: which of how many processes this is.
        device: where this rank's tensors are.
        bytes_sent: what this rank sent to others since `reset`. A sum counts as the ring algorithm
            sends it: 2 (W - 1) / W of the tensor.
        seconds: what these calls took, waiting for slower ranks included.
    """

    def __init__(self):
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.device = _device()
        self.reset()

    def reset(self):
        self.bytes_sent, self.seconds = 0, 0.0

    def sum(self, tensor):
        """Sum `tensor` over the ranks, in place (an all-reduce); all ranks get the same bits."""
        with self._timed():
            dist.all_reduce(tensor)
        self.bytes_sent += 2 * (self.world_size - 1) * tensor.nbytes // self.world_size
        return tensor

    def exchange(self, rows, sent, received):
        """Send each rank its part of `rows`, and get one from each (an all-to-all).

        Args:
            rows: tensor (sum(sent), ...), the rows for rank 0 first.
            sent, received: lists of W counts of rows, to and from each rank.

        Returns:
            Tensor (sum(received), ...), the rows from rank 0 first.
        """
        result = rows.new_empty(sum(received), *rows.shape[1:])
        with self._timed():
            dist.all_to_all_single(result, rows.contiguous(), received, sent)
        self.bytes_sent += (len(rows) - sent[self.rank]) * rows[:1].nbytes
        return result

    @contextmanager
    def _timed(self):
        wait = torch.cuda.synchronize if self.device.type == "cuda" else lambda: None
        wait()
        start = time.perf_counter()
        yield
        wait()
        self.seconds += time.perf_counter() - start


# --- the shard: who has what ---------------------------------------------------------------------


def user_blocks(train: Interactions, world_size) -> list[int]:
    """Cut the users into blocks of about equally many interactions.

    Returns:
        W + 1 bounds: rank r has the users bounds[r] <= user < bounds[r + 1].

    Raises:
        ValueError: a rank would have nothing to train on.
    """
    shares = len(train) * np.arange(1, world_size) / world_size
    bounds = [0, *np.searchsorted(train.indptr, shares).tolist(), train.num_users]
    if (np.diff(train.indptr[bounds]) <= 0).any():
        raise ValueError(
            f"{world_size} processes are too many for {train.num_users} users: "
            "one of them would have no interactions"
        )
    return bounds


def item_blocks(num_items, world_size) -> list[int]:
    """Cut the items into blocks of equally many; W + 1 bounds, as in `user_blocks`."""
    if world_size > num_items:
        raise ValueError(f"{world_size} processes are too many for {num_items} items")
    return [num_items * rank // world_size for rank in range(world_size + 1)]


def users_of(dataset: Dataset, first, last) -> Dataset:
    """What a data set knows of the users first <= user < last, who are counted from `first`."""

    def own(split):
        if split is None:
            return None
        mine = (first <= split.user) & (split.user < last)
        return HeldOut(split.user[mine] - first, split.item[mine], split.negatives[mine])

    train, size = dataset.train, last - first
    start, stop = train.indptr[[first, last]]
    user, item = train.user[start:stop] - first, train.item[start:stop]
    indptr = train.indptr[first : last + 1] - start
    train = Interactions(user, item, indptr, size, train.num_items)
    held_out = {"validation": own(dataset.validation), "test": own(dataset.test)}
    return replace(dataset, num_users=size, train=train, user_ids=None, **held_out)


@dataclass(frozen=True)
class Route:
    """How the item rows of one step travel.

    Attributes:
        asked: W counts, the rows that this rank asks of each rank.
        wanted: W counts, the rows that each rank asks of this one.
        rows: int tensor (sum(wanted),), those rows, counted from this rank's first item.
    """

    asked: list[int]
    wanted: list[int]
    rows: torch.Tensor


class Shard:
    """One rank's part of a model: itself a `GMF`, `MLP` or `NeuMF`, of fewer users and items.

    Each rank draws its own rows; what all ranks have, rank 0 draws for all.

    Args:
        name: ``"GMF"``, ``"MLP"`` or ``"NeuMF"``.
        config: the whole model's arguments, `num_users` and `num_items` among them.
        users: bounds of the users' blocks, see `user_blocks`.
        items: ``"replicated"`` or ``"sharded"``.
        network: the `Network`.

    Attributes:
        model: the part.
        weights: its parameters by name.
        blocks: name of each divided table -> the bounds of its blocks.
    """

    def __init__(self, name, config, users, items, network):
        self.network, rank, self.items = network, network.rank, None
        seed = np.random.default_rng([config.get("seed", 0), rank]).integers(2**31)
        part = config | {"num_users": users[rank + 1] - users[rank], "seed": int(seed)}
        if items == "sharded":
            self.items = item_blocks(config["num_items"], network.world_size)
            part["num_items"] = self.items[rank + 1] - self.items[rank]
        self.model = MODELS[name](**part).to(network.device)
        self.config = self.model.config | {"seed": 0} | config
        self.weights = dict(self.model.named_parameters())
        self.lent = [name for name in self.weights if "item_embedding" in name and self.items]
        self.widths = [self.weights[name].shape[1] for name in self.lent]
        self.blocks = {name: users for name in self.weights if "user_embedding" in name}
        self.blocks |= {name: self.items for name in self.lent}
        self.replicated = [self.weights[name] for name in self.weights if name not in self.blocks]
        for weight in self.replicated:
            dist.broadcast(weight.data, src=0)

    # --- the look-up ---

    def plan(self, items) -> list[tuple[torch.Tensor, Route | None]]:
        """Tell every owner which of its rows each coming step needs, for all steps at once.

        Args:
            items: a list of int tensors of item indices, one a step.

        Returns:
            For each step the items and their `Route`. The items are now counted among the distinct
            ones of the step, which rise. Where items are replicated: as they were, and None.
        """
        if not self.items:
            return [(item, None) for item in items]
        exchange, device = self.network.exchange, self.network.device
        bounds, ones = torch.tensor(self.items), [1] * self.network.world_size
        distinct, items = zip(*[torch.unique(i, return_inverse=True) for i in items], strict=True)
        # As distinct items rise, those of one owner are neighbours. asked: (S, W), wanted: (W, S)
        asked = torch.stack([torch.searchsorted(d.cpu(), bounds).diff() for d in distinct])
        wanted = exchange(asked.T.to(device), ones, ones).cpu()
        parts = [d.split(a) for d, a in zip(distinct, asked.tolist(), strict=True)]
        ids = torch.cat([part for of_owner in zip(*parts, strict=True) for part in of_owner])
        ids = exchange(ids, asked.sum(dim=0).tolist(), wanted.sum(dim=1).tolist())
        rows = (ids - self.items[self.network.rank]).split(wanted.flatten().tolist())
        steps = zip(asked.tolist(), wanted.T.tolist(), range(len(items)), strict=True)
        routes = [Route(a, w, torch.cat(rows[s :: len(items)])) for a, w, s in steps]
        return list(zip(items, routes, strict=True))

    def fetch(self, route):
        """Borrow the rows that a step needs of all item tables, side by side; None: has them."""
        if route is None:
            return None
        rows = [self.weights[name].detach()[route.rows] for name in self.lent]
        return self.network.exchange(torch.cat(rows, dim=1), route.wanted, route.asked)

    def logits(self, user, item, fetched):
        """The model's logits, with the borrowed rows in the place of its own item tables."""
        if fetched is None:
            return self.model(user, item)
        tables = zip(self.lent, fetched.split(self.widths, dim=1), strict=True)
        return functional_call(self.model, dict(tables), (user, item))

    # --- the sum of the gradients ---

    def return_gradients(self, fetched, route):
        """Send the gradients of borrowed rows home, where their owner adds them up."""
        if route is None:
            return
        gradient = self.network.exchange(fetched.grad, route.asked, route.wanted)
        for name, part in zip(self.lent, gradient.split(self.widths, dim=1), strict=True):
            weight = self.weights[name]
            if weight.grad is None:  # there is one already where a penalty made it
                weight.grad = torch.zeros_like(weight)
            weight.grad.index_add_(0, route.rows, part)

    def sum_gradients(self):
        """Sum over the ranks the gradients of what all ranks have, in one message."""
        flat = self.network.sum(torch.cat([weight.grad.flatten() for weight in self.replicated]))
        parts = flat.split([weight.numel() for weight in self.replicated])
        for weight, part in zip(self.replicated, parts, strict=True):
            weight.grad = part.view_as(weight)

    def penalty(self):
        """This rank's part of the L2 penalty; what all ranks have counts for 1 / W on each."""
        total = 0.0
        for name, weight in self.weights.items():
            l2 = self.config["l2_embeddings" if "embedding" in name else "l2_layers"]
            if l2 and "bias" not in name:
                copies = 1 if name in self.blocks else self.network.world_size
                total = total + l2 / copies * weight.square().sum()
        return total

    def gather(self, weights):
        """Return the whole model on rank 0, None elsewhere; `weights`: this rank's, by name."""
        weights = {name: weight.cpu() for name, weight in weights.items()}
        for name, bounds in self.blocks.items():
            if self.network.rank > 0:
                dist.send(weights[name], dst=0)
                continue
            own = weights[name]
            weights[name] = own.new_empty(bounds[-1], own.shape[1])
            weights[name][: len(own)] = own
            for rank in range(1, self.network.world_size):
                dist.recv(weights[name][bounds[rank] : bounds[rank + 1]], src=rank)
        if self.network.rank > 0:
            return None
        model = type(self.model)(**self.config)
        model.load_state_dict(weights)
        return model


# --- the step ------------------------------------------------------------------------------------


def step_sizes(positives, groups) -> np.ndarray:
    """How many of its positives each rank takes in each step, so that all ranks end together.

    Args:
        positives: W counts, the positives of each rank.
        groups: positives in a step, all ranks together; fewer in the last.

    Returns:
        int64 (S, W); each rank's share of a step is its share of all positives.

    Example:
        >>> step_sizes([6, 4], groups=4).tolist()
        [[2, 1], [2, 2], [2, 1]]
    """
    total = sum(positives)
    ends = np.minimum(np.arange(0, total + groups, groups), total)
    return np.diff(ends[:, None] * np.asarray(positives) // total, axis=0)


def train_epoch(shard, optimizer, loss_function, user, item, sizes) -> float:
    """Train on one epoch's groups, all ranks at the same time.

    Args:
        shard: the `Shard`.
        optimizer: of its parameters.
        loss_function: one of `torch_ncf.LOSS_FUNCTIONS`.
        user: int tensor (p, 1), users counted from this rank's first.
        item: int tensor (p, 1 + n), each positive and its negatives.
        sizes: int array (S, W), see `step_sizes`.

    Returns:
        This rank's part of the epoch's mean loss, which is the sum over the ranks.
    """
    shard.model.train()
    own, groups, total = sizes[:, shard.network.rank].tolist(), sizes.sum(axis=1).tolist(), 0.0
    for u, (i, route), n in zip(user.split(own), shard.plan(item.split(own)), groups, strict=True):
        total += n * train_step(shard, optimizer, loss_function, u, i, route, len(u) / n).double()
    return float(total) / sum(groups)


def train_step(shard, optimizer, loss_function, user, item, route, share):
    """One step; returns this rank's part of its loss. `share`: this rank's part of its positives.

    The mean over all positives is the sum, over the ranks, of share times the rank's own mean.
    """
    optimizer.zero_grad()
    fetched = shard.fetch(route)
    if fetched is not None:
        fetched.requires_grad_()
    logits = shard.logits(user, item, fetched)
    # The mean over no positives at all would be 0 / 0; their sum is 0.
    loss = share * loss_function(logits) if len(user) else logits.sum()
    loss = loss + shard.penalty()
    loss.backward()
    shard.return_gradients(fetched, route)
    shard.sum_gradients()
    optimizer.step()
    return loss.detach()


# --- the evaluation ------------------------------------------------------------------------------


def rank_counts(shard, dataset: Dataset, split) -> np.ndarray:
    """How many held-out items of all ranks' users come first, second, ... of their candidates.

    Args:
        shard: the `Shard`.
        dataset: this rank's part, see `users_of`.
        split: ``"validation"`` or ``"test"``.

    Returns:
        int64 (C + 1,). Whole numbers: their sum over the ranks is exact, and small for any number
        of users.
    """
    held_out, device = getattr(dataset, split), shard.network.device
    distinct = torch.from_numpy(np.union1d(held_out.negatives, held_out.item)).to(device)
    ((_, route),) = shard.plan([distinct])
    fetched = shard.fetch(route)

    def score(user, item):
        user, item = torch.tensor(user, device=device), torch.tensor(item, device=device)
        if fetched is not None:
            item = torch.searchsorted(distinct, item)
        return shard.logits(user, item, fetched).cpu().numpy()

    shard.model.eval()
    with torch.inference_mode():
        ranks = evaluate(score, dataset, split).ranks if len(held_out) else np.empty(0, np.int64)
    counts = np.bincount(ranks, minlength=held_out.negatives.shape[1] + 1)
    return shard.network.sum(torch.from_numpy(counts).to(device)).cpu().numpy()


def mean_gains(counts) -> list[float]:
    """HR@10 and NDCG@10 from what `rank_counts` returns."""
    gains = [metric(np.arange(len(counts)), 10, reduce=False) for metric in (hit_ratio, ndcg)]
    return [float(counts @ gain / counts.sum()) for gain in gains]


# --- the checkpoint ------------------------------------------------------------------------------


class Checkpoint:
    """What a group needs to go on after a loss: a file a rank, and a manifest that names the epoch.

    The manifest takes its name when the files of all ranks are whole. So whatever is killed, and
    whenever, the folder holds one epoch of all ranks. They must all see the same folder.

    Args:
        folder: where it is kept.
        run: what the run is, for JSON; the checkpoint of another run is refused.
        rank: which process this is.
    """

    def __init__(self, folder, run, rank):
        self.folder, self.run, self.rank = Path(folder), json.loads(json.dumps(run)), rank

    def read(self):
        """Return the (history, tensors, chance) last written, or None where there is none.

        Raises:
            ValueError: the checkpoint is of another run, or a file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        path = self.folder / "manifest.json"
        if not path.exists():
            return None
        try:
            manifest = json.loads(path.read_text())
            run, history = manifest["run"], manifest["history"]
            differs = [key for key in self.run | run if run.get(key) != self.run.get(key)]
            if not differs:
                path = self._file(history[-1]["epoch"])
                with safe_open(path, framework="pt") as file:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    return history, tensors, json.loads(file.metadata()["chance"])
        except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}") from error
        raise ValueError(
            f"{path} is of a run with {differs[0]} {run.get(differs[0])!r}, not "
            f"{self.run.get(differs[0])!r}: go on as it began, or give another folder"
        )

    def write(self, history, tensors, chance):
        """Keep an epoch, all ranks at the same time.

        Args:
            history: list of rows for JSON, the same on all ranks.
            tensors: this rank's tensors by name.
            chance: the state of this rank's random numbers, for JSON.

        Raises:
            OSError: a file cannot be written.
        """
        epoch = history[-1]["epoch"]
        file = self._file(epoch)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_tensors(tensors, file, {"chance": json.dumps(chance)})
        dist.barrier()  # now the files of all ranks are whole
        if self.rank == 0:
            text = json.dumps({"run": self.run, "history": history}, indent=1)
            with whole(self.folder / "manifest.json") as part:
                part.write_text(text)
            for old in self.folder.glob("epoch-*"):
                if int(old.name.removeprefix("epoch-")) < epoch:
                    shutil.rmtree(old)

    def _file(self, epoch):
        return self.folder / f"epoch-{epoch}" / f"rank-{self.rank}.safetensors"


def _pack(shard, optimizer, best) -> dict[str, torch.Tensor]:
    """All that a rank has learnt: its weights, those of the best epoch, the optimiser's state."""
    tensors = {f"best.{name}": value for name, value in best.items()}
    for name, weight in shard.weights.items():
        tensors[f"model.{name}"] = weight.detach()
        tensors |= {f"{key}.{name}": value for key, value in optimizer.state[weight].items()}
    return tensors


def _unpack(shard, optimizer, tensors) -> dict[str, torch.Tensor]:
    """Put back what `_pack` packed, and return the weights of the best epoch."""
    best = {}
    for name, value in tensors.items():
        key, name = name.split(".", 1)
        if key == "model":
            shard.weights[name].data.copy_(value)
        elif key == "best":
            best[name] = value.to(shard.network.device)
        else:
            optimizer.state[shard.weights[name]][key] = value.to(shard.network.device)
    return best


# --- fit -----------------------------------------------------------------------------------------


def fit_distributed(
    name,
    dataset: Dataset,
    config=None,
    *,
    items="replicated",
    checkpoint=None,
    num_negatives=4,
    epochs=20,
    batch_size=16384,
    learning_rate=0.004,
    optimizer="adam",
    loss="log",
    patience=None,
    seed=0,
    evaluate_test=True,
    progress=True,
) -> Fit:
    """Train one model with all ranks of a `process_group`, as `torch_ncf.fit` does with one.

    Every rank calls it with the same arguments. Negatives are uniform: to draw them by popularity a
    rank would have to count the others' interactions.

    Args:
        name: ``"GMF"``, ``"MLP"`` or ``"NeuMF"``.
        dataset: the whole data set; a rank keeps its users' part of it.
        config: further arguments of the model.
        items: ``"replicated"`` or ``"sharded"``, how the item tables are kept.
        checkpoint: folder to keep each epoch in, to resume from, and for the whole model at the
            end, `model.safetensors`; None keeps nothing.
        num_negatives, epochs, learning_rate, optimizer, loss, patience, evaluate_test: as in `fit`.
        batch_size: training instances in a step, all ranks together.
        seed: of negatives, order and dropout; each rank's own are drawn from it and its number.
            PyTorch's global generator, which dropout draws from, is seeded in each epoch.
        progress: print a line an epoch, on rank 0.

    Returns:
        A `Fit`; its model is whole on rank 0, and None elsewhere. The history says two things more
        of an epoch's training: `bytes_sent`, by all ranks together, and `communication_seconds`,
        a rank's mean, its waiting for others included.

    Raises:
        ValueError: an argument is out of range, or the checkpoint is of another run.
        FloatingPointError: the loss is no longer a number.
        OSError: the checkpoint cannot be written.
    """
    import pandas as pd

    check_choice("name", name, MODELS)
    check_choice("items", items, ITEMS)
    check_choice("loss", loss, LOSSES)
    check_number("epochs", epochs, 1, integer=True)
    check_number("batch_size", batch_size, 1, integer=True)
    if patience is not None:
        check_number("patience", patience, 1, integer=True)
    check_number("seed", seed, 0, integer=True)
    network = Network()
    rank, device = network.rank, network.device
    users = user_blocks(dataset.train, network.world_size)
    own = users_of(dataset, users[rank], users[rank + 1])
    chance = np.random.default_rng([seed, rank])
    sampler = NegativeSampler(own.train, num_negatives, seed=chance)
    groups = groups_per_step(batch_size, num_negatives)
    sizes = step_sizes(np.diff(dataset.train.indptr[users]), groups)
    config = (config or {}) | {"num_users": dataset.num_users, "num_items": dataset.num_items}
    shard = Shard(name, config, users, items, network)
    step = make_optimizer(optimizer, shard.model.parameters(), learning_rate)
    splits = [s for s in ("validation", "test") if getattr(dataset, s) is not None]
    if not evaluate_test:
        splits.remove("test")

    def measure(epoch, loss, seconds=0.0, communication_seconds=0.0, bytes_sent=0):
        row = {"epoch": epoch, "loss": loss}
        for split in splits:
            metrics = mean_gains(rank_counts(shard, own, split))
            row |= dict(zip((f"{split}_hr", f"{split}_ndcg"), metrics, strict=True))
        row |= {"seconds": seconds, "communication_seconds": communication_seconds}
        row |= {"bytes_sent": int(bytes_sent)}
        if progress and rank == 0:
            print(", ".join(f"{k} {value:.4g}" for k, value in row.items() if value), flush=True)
        return row

    def train(epoch):
        start = time.perf_counter()
        network.reset()
        torch.manual_seed(int(chance.integers(2**62)))  # dropout
        user, item = (torch.from_numpy(index).to(device) for index in sampler.epoch_groups())
        loss_here = train_epoch(shard, step, LOSS_FUNCTIONS[loss], user, item, sizes)
        cost = [time.perf_counter() - start, network.seconds, network.bytes_sent]
        totals = torch.tensor([loss_here, *cost], dtype=torch.float64, device=device)
        mean_loss, seconds, communication, sent = network.sum(totals).tolist()
        if not math.isfinite(mean_loss):
            raise FloatingPointError(
                f"the loss is {mean_loss} in epoch {epoch}: try a smaller learning_rate"
            )
        seconds, communication = seconds / network.world_size, communication / network.world_size
        try:
            return measure(epoch, mean_loss, seconds, communication, sent)
        except NaNScoresError as error:
            raise FloatingPointError(
                f"the scores are NaN after epoch {epoch}: try a smaller learning_rate"
            ) from error

    run = {
        "world_size": network.world_size, "items": items, "model": name, "config": shard.config,
        "dataset": dataset.name, "interactions": len(dataset.train),
        "checksum": zlib.crc32(dataset.train.item, zlib.crc32(dataset.train.user)),
        "num_negatives": num_negatives, "batch_size": batch_size, "learning_rate": learning_rate,
        "optimizer": optimizer, "loss": loss, "seed": seed,
    }  # fmt: skip
    kept = Checkpoint(checkpoint, run, rank) if checkpoint is not None else None
    saved = kept.read() if kept else None
    if saved:
        history, tensors, chance.bit_generator.state = saved
        best, picked = _unpack(shard, step, tensors), _picked(history)
    else:
        history, picked = [measure(0, None)], 0
    for epoch in range(history[-1]["epoch"] + 1, epochs + 1):
        if patience is not None and picked and epoch - 1 - picked >= patience:
            break
        history.append(train(epoch))
        picked = _picked(history)
        if picked == epoch:
            best = {name: weight.detach().clone() for name, weight in shard.weights.items()}
        if kept:
            kept.write(history, _pack(shard, step, best), chance.bit_generator.state)

    model = shard.gather(best)
    if kept and rank == 0:
        save(model, kept.folder / "model.safetensors")
    history = pd.DataFrame(history)
    return Fit(model, history, picked, float(history.seconds.sum()))


def _picked(history):
    """The epoch that validates best, the first of equals; the last where nothing validates."""
    trained = history[1:]
    return max(trained, key=lambda row: row.get("validation_ndcg", row["epoch"]))["epoch"]


def main(arguments=None):
    """Run `fit_distributed` from the command line, as one of the processes of torchrun."""
    parser = argparse.ArgumentParser(prog="ncf_utils.distributed", description=main.__doc__)
    add = parser.add_argument
    add("--dataset", required=True, help="a name or a path, see ncf_utils.load_dataset")
    add("--model", choices=MODELS, default="NeuMF")
    add("--num-factors", type=int)
    add("--hidden-layers", type=int, nargs="+")
    add("--items", choices=ITEMS, default="replicated", help="how the item tables are kept")
    add("--checkpoint", required=True, help="folder for each epoch, and the model in the end")
    for name in ("num-negatives", "epochs", "batch-size", "patience", "seed"):
        add(f"--{name}", type=int)
    add("--learning-rate", type=float)
    add("--optimizer", choices=OPTIMIZERS)
    add("--loss", choices=LOSSES)
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    config = {k: given.pop(k) for k in ("num_factors", "hidden_layers") if k in given}
    model = given.pop("model")
    try:
        for option in config:
            if option not in inspect.signature(MODELS[model]).parameters:
                raise ValueError(f"--{option.replace('_', '-')} is not for {model}")
        config["seed"] = given.get("seed", 0)
        with process_group():
            fit_distributed(model, load_dataset(given.pop("dataset")), config, **given)
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"ncf_utils.distributed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
