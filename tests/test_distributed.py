"""Two ranks against one process, number for number; and what is left when a rank is killed.

`launch` runs this very file, or the command, under torchrun: real processes, over loopback.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_models import small_dataset
from safetensors import SafetensorError
from safetensors.torch import load_file

from ncf_utils import distributed, torch_ncf
from ncf_utils.data import Dataset, HeldOut, Interactions
from ncf_utils.distributed import (
    ITEMS,
    Checkpoint,
    Network,
    Shard,
    fit_distributed,
    item_blocks,
    mean_gains,
    process_group,
    rank_counts,
    step_sizes,
    train_epoch,
    user_blocks,
    users_of,
)
from ncf_utils.metrics import evaluate, hit_ratio
from ncf_utils.sampler import NegativeSampler
from ncf_utils.torch_ncf import LOSS_FUNCTIONS, MODELS, make_optimizer

L2 = {"l2_embeddings": 0.01, "l2_layers": 0.02}
TOWER = {"hidden_layers": [8, 5]}
CASES = {  # model, its arguments, optimiser, learning rate, loss
    "GMF, SGD": ("GMF", {"num_factors": 4}, "sgd", 2.0, "log"),
    "GMF, SGD, BPR": ("GMF", {"num_factors": 4}, "sgd", 2.0, "bpr"),
    "MLP, Adam, penalty": ("MLP", TOWER | L2, "adam", 0.01, "log"),
    "MLP-0, RMSprop": ("MLP", {"hidden_layers": []}, "rmsprop", 0.01, "squared"),
    "NeuMF, SGD, penalty": ("NeuMF", {"num_factors": 4} | TOWER | L2, "sgd", 2.0, "log"),
    "NeuMF, Adam": ("NeuMF", {"num_factors": 4} | TOWER, "adam", 0.01, "log"),
    "NeuMF, Adagrad": ("NeuMF", {"num_factors": 4} | TOWER, "adagrad", 0.01, "log"),
}
# A run that is interrupted must come out as this one does. Dropout: its chances count as well.
RUN = {"name": "NeuMF", "config": {"dropout": 0.3}, "items": "sharded", "epochs": 4}
RUN |= {"batch_size": 256, "learning_rate": 0.004, "progress": False}


# --- what both sides of a comparison are fed -----------------------------------------------------


@cache
def batches():
    """Twelve steps of groups by hand: uneven for the ranks, one of a single rank, one of one group.

    Returns a list of (user (b, 1), item (b, 4)).
    """
    data, rng = small_dataset(), np.random.default_rng(1)
    steps = [(rng.integers(40, size=(b, 1)), rng.integers(150, size=(b, 4))) for b in [30] * 10]
    first = user_blocks(data.train, 2)[1]
    steps.append((rng.integers(first, size=(20, 1)), rng.integers(150, size=(20, 4))))
    steps.append((np.array([[39]]), np.array([[3, 3, 149, 0]])))
    return steps


def whole_weights(model):
    """Weights of a size that matters, by name, float64."""
    rng = np.random.default_rng(2)
    return {n: torch.from_numpy(rng.normal(0, 0.5, w.shape)) for n, w in model.named_parameters()}


def whole_config(arguments):
    return {"num_users": 40, "num_items": 150} | arguments


def one_process(case):
    """The weights and the mean loss after `batches`, twice over, in one process with one batch."""
    name, arguments, optimizer, learning_rate, loss = CASES[case]
    model = MODELS[name](**whole_config(arguments)).double()
    model.load_state_dict(whole_weights(model))
    step = make_optimizer(optimizer, model.parameters(), learning_rate)
    total = 0.0
    for user, item in batches() * 2:
        step.zero_grad()
        loss_here = LOSS_FUNCTIONS[loss](model(torch.tensor(user), torch.tensor(item)))
        loss_here = loss_here + model.penalty()
        loss_here.backward()
        step.step()
        total += float(loss_here.detach()) * len(user)
    return model.state_dict(), total / sum(len(user) for user, _ in batches() * 2)


# --- what the ranks run --------------------------------------------------------------------------


def rank_exact(folder):
    """All cases in double precision, an evaluation, and what goes over the network."""
    torch.set_default_dtype(torch.float64)
    results = {}
    for case in CASES:
        for items in ITEMS:
            results[f"{case}, {items}"] = rank_case(folder, case, items)
    data, network = small_dataset(), Network()
    users = user_blocks(data.train, network.world_size)
    few = HeldOut(*(x[:5] for x in (data.test.user, data.test.item, data.test.negatives)))
    data = replace(data, validation=few)  # of rank 0 alone
    own = users_of(data, users[network.rank], users[network.rank + 1])
    for items in ITEMS:
        shard = make_shard("NeuMF", {"num_factors": 4} | TOWER, users, items)
        for split in ("validation", "test"):
            results[f"{split}, {items}"] = rank_counts(shard, own, split).tolist()
    torch.set_default_dtype(torch.float32)
    fit = fit_distributed(dataset=small_dataset(), checkpoint=folder / "whole", **RUN)
    results["has model"] = fit.model is not None
    results["history"] = fit.history[["epoch", "test_hr"]].to_dict("list")
    rank_negatives(folder)
    results["setting"] = [torch.get_num_threads(), os.environ["GLOO_SOCKET_IFNAME"]]
    results["denormal"] = float(torch.tensor([1e-39]) * 1)
    results["modules"] = [name for name in ("tensorflow", "keras") if name in sys.modules]
    (folder / f"rank-{network.rank}.json").write_text(json.dumps(results))


def make_shard(name, arguments, users, items):
    """A shard that starts from its part of `whole_weights`."""
    config, network = whole_config(arguments), Network()
    shard = Shard(name, config, users, items, network)
    whole = whole_weights(MODELS[name](**config))
    for key, weight in shard.weights.items():
        bounds = shard.blocks.get(key)
        rows = slice(*bounds[network.rank :][:2]) if bounds else slice(None)
        weight.data.copy_(whole[key][rows])
    return shard


def rank_case(folder, case, items):
    name, arguments, optimizer, learning_rate, loss = CASES[case]
    rank, users = Network().rank, user_blocks(small_dataset().train, Network().world_size)
    shard = make_shard(name, arguments, users, items)
    step = make_optimizer(optimizer, shard.model.parameters(), learning_rate)
    owner = [np.searchsorted(users, user[:, 0], "right") - 1 for user, _ in batches()]
    sizes = np.array([np.bincount(o, minlength=len(users) - 1) for o in owner])
    own = [(u[o == rank], i[o == rank]) for (u, i), o in zip(batches(), owner, strict=True)]
    user, item = (torch.from_numpy(np.concatenate(x)) for x in zip(*own, strict=True))
    shard.network.reset()
    losses = [
        train_epoch(shard, step, LOSS_FUNCTIONS[loss], user - users[rank], item, sizes)
        for _ in range(2)
    ]
    sent = shard.network.bytes_sent
    whole = shard.gather(shard.model.state_dict())
    if rank == 0:
        torch_ncf.save(whole, folder / f"{case}, {items}.safetensors")
    return {"loss": float(shard.network.sum(torch.tensor(losses)).mean()), "bytes": sent}


def rank_negatives(folder):
    """Keep the first negatives of a data set whose second half of users repeats the first."""

    def keep(shard, optimizer, loss_function, user, item, sizes):
        np.save(folder / f"negatives-{shard.network.rank}.npy", item.numpy())
        return 0.5

    original, distributed.train_epoch = distributed.train_epoch, keep
    fit_distributed("GMF", twins(), epochs=1, progress=False)
    distributed.train_epoch = original


def twins():
    items = np.tile(np.arange(20), 10)
    train = Interactions.from_pairs(np.repeat(np.arange(10), 20), items, 10, 1000)
    test = HeldOut(range(10), [500] * 10, np.tile(np.arange(600, 620), (10, 1)))
    return Dataset("twins", 10, 1000, train, None, test)


def rank_killed(folder):
    """Be killed in the middle of epoch 2, and, once back, while the manifest of epoch 3 is written.

    Killed for real, as by `kill -9`: no handler runs, and nothing is flushed or closed.
    """
    restart, rank = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), Network().rank
    kept = folder / "killed"
    if rank == 0:
        manifest = kept / "manifest.json"
        epoch = json.loads(manifest.read_text())["history"][-1]["epoch"] if manifest.exists() else 0
        (folder / f"start-{restart}.json").write_text(json.dumps(epoch))
    train_step, replace_file, calls = distributed.train_step, os.replace, []

    def step_or_die(*arguments):
        calls.append(1)
        if rank == 1 and restart == 0 and len(calls) == 18:  # of 13 an epoch
            os.kill(os.getpid(), signal.SIGKILL)
        return train_step(*arguments)

    def replace_or_die(part, target):
        if restart == 1 and Path(target).name == "manifest.json":
            if json.loads(Path(part).read_text())["history"][-1]["epoch"] == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return replace_file(part, target)

    distributed.train_step, os.replace = step_or_die, replace_or_die
    fit_distributed(dataset=small_dataset(), checkpoint=kept, **RUN)


def launch(*command, ranks=2, restarts=0):
    """Run a command of Python under torchrun, on loopback and a free port."""
    options = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(ranks)]
    options += ["--max-restarts", str(restarts)]
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *options, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=300)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, err


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The folder in which two ranks left what `rank_exact` writes."""
    folder = tmp_path_factory.mktemp("exact")
    code, _, err = launch(__file__, "rank_exact", folder)
    assert code == 0, err
    return folder


def said_by(folder, rank=0):
    return json.loads((folder / f"rank-{rank}.json").read_text())


# --- two ranks are one process -------------------------------------------------------------------


@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_train_as_one_process_does(exact, case, items):
    """In double precision: the ranks add the same numbers in another order."""
    expected, loss = one_process(case)
    start = whole_weights(MODELS[CASES[case][0]](**whole_config(CASES[case][1])))
    found = load_file(exact / f"{case}, {items}.safetensors")
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-10, atol=1e-12, msg=name)
        if (case, name) != ("GMF, SGD, BPR", "output.bias"):  # a pair's biases cancel
            assert (weight - start[name]).abs().max() > 1e-3, name
    assert said_by(exact)[f"{case}, {items}"]["loss"] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if "penalty" not in case])
def test_sharded_and_replicated_agree_to_the_last_bit(exact, case):
    """Two ranks: a + b, whoever adds. (A penalty is a third summand: its place differs.)"""
    sharded, replicated = (load_file(exact / f"{case}, {items}.safetensors") for items in ITEMS)
    assert all(torch.equal(sharded[name], replicated[name]) for name in replicated)


@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_evaluation_is_that_of_one_process(exact, split, items):
    """The validation users of this test are all with rank 0: the other has nobody to evaluate."""
    data = small_dataset()
    model = MODELS["NeuMF"](**whole_config({"num_factors": 4} | TOWER)).double()
    model.load_state_dict(whole_weights(model))
    expected = evaluate(torch_ncf.score_function(model), data)
    ranks = expected.ranks if split == "test" else expected.ranks[:5]
    counts = np.array(said_by(exact)[f"{split}, {items}"])
    assert counts.tolist() == np.bincount(ranks, minlength=31).tolist()
    assert mean_gains(counts)[0] == hit_ratio(ranks)
    if split == "test":
        assert mean_gains(counts)[1] == pytest.approx(expected.ndcg, rel=1e-12)


def test_all_ranks_know_the_same(exact):
    first, second = (said_by(exact, rank) for rank in (0, 1))
    assert first["has model"] and not second["has model"]
    evaluations = [f"{split}, {items}" for split in ("validation", "test") for items in ITEMS]
    for key in ["history", *evaluations]:
        assert first[key] == second[key]


def test_a_rank_takes_one_core_the_loopback_and_one_framework(exact):
    threads, interface = said_by(exact)["setting"]
    assert threads == 1 and interface in ("lo", "lo0")
    assert said_by(exact)["denormal"] == 0.0
    assert said_by(exact)["modules"] == []


@pytest.fixture
def settings():
    """Two threads, and small numbers as they are; returns a function that tells both."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    yield lambda: (torch.get_num_threads(), bool(np.nextafter(0, 1) * 1.0 == 0))
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def test_a_group_gives_back_the_threads_and_the_small_numbers(settings):
    assert settings() == (2, False)
    with process_group():
        assert settings() == (1, True)
    assert settings() == (2, False)
    with pytest.raises(ZeroDivisionError), process_group():
        raise ZeroDivisionError
    assert settings() == (2, False)


@pytest.mark.parametrize("what", ["_device", "_meeting_place", "dist.init_process_group"])
def test_a_group_that_cannot_be_joined_gives_them_back_too(settings, monkeypatch, what):
    def fails(*_, **__):
        raise ConnectionError

    monkeypatch.setattr(f"ncf_utils.distributed.{what}", fails)
    with pytest.raises(ConnectionError), process_group():
        pass
    assert settings() == (2, False)


def test_restarts_on_several_machines_need_a_new_store(monkeypatch):
    told = {"RANK": 0, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2, "TORCHELASTIC_MAX_RESTARTS": 3}
    for name, value in (told | {"TORCHELASTIC_USE_AGENT_STORE": True}).items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ValueError, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"):
        with process_group():
            pass


def test_each_rank_draws_its_own_negatives(exact):
    first, second = (np.load(exact / f"negatives-{rank}.npy") for rank in (0, 1))
    assert first.shape == second.shape == (100, 5)
    assert sorted(first[:, 0]) == sorted(second[:, 0])  # the same positives
    shared = np.intersect1d(first[:, 1:], second[:, 1:]).size / np.unique(first[:, 1:]).size
    assert shared < 0.6  # 400 draws of 980 items share a third by chance; one stream, all


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.parametrize("case", ["GMF, SGD", "NeuMF, Adam"])
def test_bytes_are_counted(exact, case, items, rank):
    """By the definition: everything that one rank has to tell the other."""
    name, arguments, *_ = CASES[case]
    model = MODELS[name](**whole_config(arguments))
    sizes = {key: weight.numel() * 8 for key, weight in model.named_parameters()}
    dense = sum(n for key, n in sizes.items() if "embedding" not in key)
    table = sum(n for key, n in sizes.items() if "item_embedding" in key)
    if items == "replicated":
        expected = len(batches()) * (dense + table)  # a ring of two sends all of it once
    else:
        users, middle = user_blocks(small_dataset().train, 2), item_blocks(150, 2)[1]
        asks = [[0, 0], [0, 0]]  # asks[r][o]: rows that rank r needs of owner o
        for user, item in batches():
            for r in (0, 1):
                own = (user[:, 0] >= users[r]) & (user[:, 0] < users[r + 1])
                needs = set(item[own].ravel().tolist())
                asks[r][0] += sum(i < middle for i in needs)
                asks[r][1] += sum(i >= middle for i in needs)
        row, other = table // 150, 1 - rank
        lends, borrows = asks[other][rank], asks[rank][other]
        expected = len(batches()) * (dense + 8) + borrows * (8 + row) + lends * row
    assert said_by(exact, rank)[f"{case}, {items}"]["bytes"] == 2 * expected


# --- who has what --------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_blocks_cover_all_users_evenly_and_lose_nothing(ml_latest_small, world_size):
    data = ml_latest_small
    bounds = user_blocks(data.train, world_size)
    parts = [users_of(data, *bounds[rank : rank + 2]) for rank in range(world_size)]
    assert bounds[0] == 0 and bounds[-1] == data.num_users
    largest = data.train.user_counts().max()
    assert max(len(part.train) for part in parts) <= len(data.train) / world_size + largest
    for split in ("train", "validation", "test"):
        pieces = [getattr(part, split) for part in parts]
        whole = getattr(data, split)
        users = [piece.user + first for piece, first in zip(pieces, bounds, strict=False)]
        assert np.array_equal(np.concatenate(users), whole.user)
        assert np.array_equal(np.concatenate([piece.item for piece in pieces]), whole.item)
    for part, first in zip(parts, bounds, strict=False):
        assert part.train.items_of(1).tolist() == data.train.items_of(first + 1).tolist()


def test_too_many_ranks_are_refused():
    data = small_dataset()
    with pytest.raises(ValueError, match="41 processes are too many for 40 users"):
        user_blocks(data.train, 41)
    with pytest.raises(ValueError, match="151 processes are too many for 150 items"):
        item_blocks(150, 151)
    assert item_blocks(5, 3) == [0, 1, 3, 5]


@pytest.mark.parametrize("positives", [[617], [6, 4], [100, 3, 57], [1, 1000]])
@pytest.mark.parametrize("groups", [1, 5, 64, 2000])
def test_steps_share_out_all_positives(positives, groups):
    sizes = step_sizes(positives, groups)
    total = sum(positives)
    assert sizes.sum(axis=0).tolist() == positives
    assert len(sizes) == -(-total // groups) and (sizes >= 0).all()
    assert sizes.sum(axis=1)[:-1] == pytest.approx(groups, abs=len(positives))
    assert np.abs(sizes[:-1] - groups * np.array(positives) / total).max(initial=0) <= 1
    if len(positives) == 1:  # as `fit` cuts them
        assert sizes[:-1].tolist() == [[groups]] * (len(sizes) - 1)


def test_one_rank_takes_the_steps_of_fit():
    data = small_dataset()
    model = torch_ncf.NeuMF(40, 150, 4, seed=3)
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    more = {"epochs": 1, "batch_size": 100, "learning_rate": 0.001}
    torch_ncf.fit(model, data, seed=5, progress=False, **more)
    with process_group():
        shard = Shard("NeuMF", whole_config({"num_factors": 4}), [0, 40], "sharded", Network())
        shard.model.load_state_dict(start)
        step = make_optimizer("adam", shard.model.parameters(), 0.001)
        groups = map(torch.from_numpy, NegativeSampler(data.train, 4, seed=5).epoch_groups())
        sizes = step_sizes([len(data.train)], 20)
        train_epoch(shard, step, LOSS_FUNCTIONS["log"], *groups, sizes)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(shard.weights[name].data, weight, rtol=1e-4, atol=1e-6)
        assert not torch.equal(weight, start[name])


# --- the loss of a rank --------------------------------------------------------------------------


def test_a_killed_rank_changes_nothing(exact):
    code, _, err = launch(__file__, "rank_killed", exact, restarts=2)
    assert code == 0, err
    starts = [json.loads((exact / f"start-{i}.json").read_text()) for i in range(3)]
    assert starts == [0, 1, 2]  # both kills happened, and no more than an epoch was lost
    killed, whole = (load_file(exact / run / "model.safetensors") for run in ("killed", "whole"))
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    histories = [
        json.loads((exact / run / "manifest.json").read_text())["history"]
        for run in ("killed", "whole")
    ]
    for row in histories[0] + histories[1]:
        del row["seconds"], row["communication_seconds"]
    assert histories[0] == histories[1] and len(histories[0]) == 5
    files = sorted(
        str(path.relative_to(exact / "killed")) for path in (exact / "killed").rglob("*.*")
    )
    part, *files = files  # of the killed manifest: nobody knows yet that it is abandoned
    assert part.startswith(".manifest.json.") and part.endswith(".part")
    shards = [f"epoch-4/rank-{rank}.safetensors" for rank in (0, 1)]
    assert files == [*shards, "manifest.json", "model.safetensors"]


SHORT = {"name": "NeuMF", "items": "sharded", "progress": False}
SHORT |= {"batch_size": 500, "learning_rate": 0.004}


def fit_one(folder=None, dataset=None, **more):
    """`fit_distributed` as the only rank."""
    with process_group():
        return fit_distributed(
            dataset=dataset or small_dataset(), checkpoint=folder, **SHORT | more
        )


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adagrad"])
def test_resuming_is_as_going_on(tmp_path, optimizer):
    more = {"optimizer": optimizer, "config": {"dropout": 0.2}, "items": "replicated"}
    expected = fit_one(epochs=4, **more)
    fit_one(tmp_path, epochs=2, **more)
    found = fit_one(tmp_path, epochs=4, **more)
    weights = found.model.state_dict()
    assert all(torch.equal(weights[n], w) for n, w in expected.model.state_dict().items())
    columns = ["epoch", "loss", "validation_ndcg", "test_hr"]
    assert found.history[columns].equals(expected.history[columns])
    again = fit_one(tmp_path, epochs=3, **more)  # nothing left to do, and nothing undone
    assert len(again.history) == 5
    assert again.picked_epoch == found.picked_epoch


def test_the_best_epoch_survives_the_resumption(tmp_path):
    """After many epochs at this rate the best one lies behind; its weights come out after all."""
    more = {"learning_rate": 0.03, "epochs": 12}
    fit = fit_one(tmp_path, **more)
    assert fit.picked_epoch < 12
    again = fit_one(tmp_path, **more)
    assert again.picked_epoch == fit.picked_epoch
    model = torch_ncf.load(tmp_path / "model.safetensors")
    for other in (again.model, model):
        found = evaluate(torch_ncf.score_function(other), small_dataset(), "validation")
        assert found.ndcg == pytest.approx(fit.history.validation_ndcg[1:].max(), rel=1e-9)


@pytest.mark.parametrize(
    "more, message",
    [
        ({"learning_rate": 0.1}, "learning_rate 0.004, not 0.1"),
        ({"config": {"num_factors": 5}}, "config .*'num_factors': 8.* not .*'num_factors': 5"),
        ({"items": "replicated"}, "items 'sharded', not 'replicated'"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"dataset": twins()}, "config"),
        ({"dataset": replace(small_dataset(), name="other")}, "dataset 'synthetic', not 'other'"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, more, message):
    expected = fit_one(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=f"manifest.json is of a run with {message}"):
        fit_one(tmp_path, epochs=2, **more)
    found = fit_one(tmp_path, epochs=1)  # it is still there
    assert torch.equal(found.model.output.weight, expected.model.output.weight)


def test_the_checkpoint_of_another_world_is_refused(tmp_path):
    fit_one(tmp_path, epochs=1)
    path = tmp_path / "manifest.json"
    run = json.loads(path.read_text())["run"]
    for rank in (0, 1):  # rank 1 has no file there at all
        with pytest.raises(
            ValueError, match="of a run with world_size 1, not 2: go on as it began"
        ):
            Checkpoint(tmp_path, run | {"world_size": 2}, rank).read()


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "file, damage",
    [
        ("manifest.json", cut),
        ("manifest.json", lambda path: path.write_text("[]")),
        ("manifest.json", lambda path: path.write_text('{"run": {}}')),
        ("epoch-1/rank-0.safetensors", cut),
        ("epoch-1/rank-0.safetensors", Path.unlink),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, file, damage):
    fit_one(tmp_path, epochs=1)
    damage(tmp_path / file)
    with pytest.raises(ValueError, match=f"{Path(file).name} is damaged"):
        fit_one(tmp_path, epochs=2)


# --- fit -----------------------------------------------------------------------------------------


def test_patience_and_the_pick_are_those_of_fit():
    fit = fit_one(learning_rate=0.05, epochs=40, patience=2)
    quality = fit.history.validation_ndcg[1:]
    assert fit.picked_epoch == quality.idxmax() and len(fit.history) == fit.picked_epoch + 3
    last = fit_one(dataset=replace(small_dataset(), validation=None), epochs=2)
    assert last.picked_epoch == 2 and "validation_hr" not in last.history
    assert "test_hr" not in fit_one(epochs=1, evaluate_test=False).history


def test_of_equally_good_epochs_the_first_is_picked():
    rows = [{"epoch": i, "validation_ndcg": q} for i, q in enumerate([0.9, 0.3, 0.5, 0.4, 0.5])]
    assert distributed._picked(rows) == 2  # epoch 0 is not trained
    assert distributed._picked([{"epoch": i} for i in range(4)]) == 3


@pytest.mark.parametrize(
    "more, message",
    [
        ({"name": "NMF"}, "name must be one of"),
        ({"items": "shared"}, "items must be one of replicated, sharded"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_bad_arguments_are_named(more, message):
    with pytest.raises(ValueError, match=message):
        fit_one(**more)


def test_a_loss_that_is_no_number_stops(tmp_path):
    with pytest.raises(FloatingPointError, match="epoch 1: try a smaller learning_rate"):
        fit_one(tmp_path, optimizer="sgd", loss="squared", learning_rate=1e30, epochs=3)
    assert not (tmp_path / "manifest.json").exists()


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    arguments = ["--dataset", "ml-latest-smal", "--checkpoint", str(tmp_path)]
    assert distributed.main(arguments) == 2
    assert "did you mean ml-latest-small?" in capsys.readouterr().err


@pytest.mark.parametrize("model, option", [("GMF", "--hidden-layers"), ("MLP", "--num-factors")])
def test_the_command_refuses_an_option_of_another_model(tmp_path, capsys, model, option):
    arguments = ["--dataset", "synthetic", "--model", model, option, "8", "--epochs", "1"]
    assert distributed.main([*arguments, "--checkpoint", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"ncf_utils.distributed: {option} is not for {model}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "model, options",
    [
        ("GMF", {"num_factors": 3}),
        ("MLP", {"hidden_layers": [6, 4]}),
        ("NeuMF", {"num_factors": 3, "hidden_layers": [6, 4]}),
    ],
)
def test_the_command_gives_a_model_its_options(tmp_path, monkeypatch, model, options):
    monkeypatch.setattr(distributed, "load_dataset", lambda name: small_dataset())
    arguments = ["--dataset", "small", "--model", model, "--epochs", "1"]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", *map(str, np.ravel(value))]
    assert distributed.main([*arguments, "--checkpoint", str(tmp_path)]) == 0
    loaded = torch_ncf.load(tmp_path / "model.safetensors")
    assert type(loaded) is MODELS[model] and options.items() <= loaded.config.items()


def test_half_a_file_of_a_rank_is_removed(tmp_path, monkeypatch):
    """safetensors removes it itself from 0.8 on; before, it lay there."""

    def disk_full(tensors, file, metadata):
        Path(file).write_text("half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", disk_full)
    with pytest.raises(OSError, match="rank-0.safetensors cannot be written: No space left"):
        fit_one(tmp_path, epochs=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["epoch-1"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_said_and_leaves_no_half_file(tmp_path, monkeypatch, capsys):
    import resource

    monkeypatch.setattr(distributed, "load_dataset", lambda name: small_dataset())
    arguments = ["--dataset", "small", "--epochs", "1", "--checkpoint", str(tmp_path)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        assert distributed.main(arguments) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err
    assert said.startswith("ncf_utils.distributed: ") and "Traceback" not in said
    assert "rank-0.safetensors cannot be written: " in said
    assert [path.name for path in tmp_path.rglob("*")] == ["epoch-1"]


def test_the_command_trains_as_well_as_one_process(tmp_path, ml_latest_small):
    """Who is hit by one training and missed by the other is chance, a coin for each such user.

    So the difference of the two counts is normal, with the variance of their sum (McNemar, 1947).
    """
    options = ["--items", "sharded", "--epochs", "2", "--seed", "1"]
    options += ["--batch-size", "4096", "--learning-rate", "0.004"]
    command = ["-m", "ncf_utils.distributed", "--dataset", "ml-latest-small", *options]
    code, out, err = launch(*command, "--checkpoint", tmp_path)
    assert code == 0, err
    assert out.count("epoch") == 2

    model = torch_ncf.load(tmp_path / "model.safetensors")
    two = evaluate(torch_ncf.score_function(model), ml_latest_small)
    history = json.loads((tmp_path / "manifest.json").read_text())["history"]
    picked = max(history[1:], key=lambda row: row["validation_ndcg"])
    assert picked["test_hr"] == two.hr
    assert picked["test_ndcg"] == pytest.approx(two.ndcg, rel=1e-9)

    model = torch_ncf.NeuMF(ml_latest_small.num_users, ml_latest_small.num_items)
    torch_ncf.fit(
        model, ml_latest_small, epochs=2, batch_size=4096, learning_rate=0.004, progress=False
    )
    one = evaluate(torch_ncf.score_function(model), ml_latest_small)
    hits = [hit_ratio(found.ranks, reduce=False) for found in (one, two)]
    only_one, only_two = ((a > b).sum() for a, b in (hits, hits[::-1]))
    assert abs(only_one - only_two) < 4 * np.sqrt(only_one + only_two)
    assert two.hr > 0.5  # ten of a hundred by chance


if __name__ == "__main__":
    with process_group():
        globals()[sys.argv[1]](Path(sys.argv[2]))
