"""What GMF, MLP, NeuMF and `fit` promise in both frameworks, against NumPy and by hand."""

import importlib
import json

import numpy as np
import pytest
from reference_models import (
    MODELS,
    SIZES,
    error,
    forward,
    is_torch,
    loss_by_hand,
    loss_of,
    make,
    penalty_by_hand,
    penalty_of,
    randomise,
    small_dataset,
    training_logits,
)

from ncf_utils.sampler import NegativeSampler

# Keras's own conversion to NumPy, where TensorFlow is older than NumPy 2's protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

USER, ITEM = np.indices((SIZES["num_users"], SIZES["num_items"]), dtype=np.int32)
SIGMOID_OF_3 = 1 / (1 + np.exp(-3.0))


@pytest.fixture(params=["torch_ncf", "keras_ncf"], scope="module")
def ncf(request):
    return importlib.import_module(f"ncf_utils.{request.param}")


@pytest.fixture
def extension(ncf):
    return ".safetensors" if is_torch(ncf) else ".keras"


def logits_of(ncf, model, user=USER[:, :1], item=ITEM):
    return ncf.score_function(model)(user, item)


# --- architecture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, arguments, tables, layers",
    [
        ("GMF", {"num_factors": 4}, 18 * 4, 4 + 1),
        ("GMF", {}, 18 * 8, 8 + 1),
        ("MLP", {}, 18 * 16, (32 * 32 + 32) + (32 * 16 + 16) + (16 * 8 + 8) + (8 + 1)),
        ("MLP", {"hidden_layers": [8, 6, 3]}, 18 * 4, (8 * 8 + 8) + (8 * 6 + 6) + (18 + 3) + 4),
        ("MLP", {"hidden_layers": (7,)}, 18 * 3, (6 * 7 + 7) + 8),
        ("MLP", {"hidden_layers": [1]}, 18 * 1, (2 * 1 + 1) + 2),
        ("MLP", {"hidden_layers": []}, 18 * 8, 16 + 1),
        ("MLP", {"hidden_layers": [], "embedding_dim": 3}, 18 * 3, 6 + 1),
        ("MLP", {"hidden_layers": [5], "embedding_dim": 9}, 18 * 9, (18 * 5 + 5) + 6),
        ("NeuMF", {"num_factors": 4, "hidden_layers": [8, 5]}, 18 * 8, 72 + 45 + (4 + 5 + 1)),
        ("NeuMF", {}, 18 * (8 + 16), 32 * 32 + 32 + 32 * 16 + 16 + 16 * 8 + 8 + 17),
    ],
)
def test_number_of_parameters_by_formula(ncf, kind, arguments, tables, layers):
    model = getattr(ncf, kind)(**SIZES, **arguments)
    weights = ncf.get_weights(model)
    count = {name: value.size for name, value in weights.items()}
    assert sum(size for name, size in count.items() if "embedding" in name) == tables
    assert sum(count.values()) == tables + layers
    if is_torch(ncf):
        assert sum(weight.numel() for weight in model.parameters()) == tables + layers
    else:
        assert model.count_params() == tables + layers


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("activation", ["relu", "linear", "tanh", "sigmoid"])
def test_logits_against_numpy(ncf, name, activation):
    kind = MODELS[name][0]
    more = {} if kind == "GMF" else {"activation": activation}
    model = make(ncf, name, **more)
    weights = randomise(ncf, model, seed=1)
    expected = forward(kind, weights, USER[:, :1], ITEM, activation)
    found = logits_of(ncf, model)
    assert found.dtype == np.float32
    assert error(found, expected) < 1e-6
    assert expected.std() > 0.001  # not all alike, so that equality says something


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "user, item",
    [((5, 1), (5, 3)), ((5, 1), (1, 9)), ((1, 1), (1, 11)), ((6, 4), (6, 4)), ((1, 4), (3, 1))]
    + [((4,), (4,)), ((), (11,)), ((3, 1), (7,)), ((2, 0), (2, 0))],
)
def test_users_and_items_broadcast(ncf, name, user, item):
    rng = np.random.default_rng(0)
    user = rng.integers(SIZES["num_users"], size=user)
    item = rng.integers(SIZES["num_items"], size=item)
    model = make(ncf, name)
    weights = randomise(ncf, model)
    expected = forward(MODELS[name][0], weights, *np.broadcast_arrays(user, item))
    for dtype in (np.int32, np.int64):
        found = logits_of(ncf, model, np.asarray(user, dtype), np.asarray(item, dtype))
        assert found.shape == expected.shape
        assert error(found, expected) < 1e-6


def test_lists_are_arrays(ncf):
    model = make(ncf, "MLP")
    weights = randomise(ncf, model)
    expected = forward("MLP", weights, np.array([[3]]), np.arange(11)[None])
    assert error(logits_of(ncf, model, [[3]], [list(range(11))]), expected) < 1e-6


def test_scores_follow_the_weights(ncf):
    """A score function made before training scores with the weights of today."""
    model = make(ncf, "NeuMF")
    score = ncf.score_function(model)
    before = score(USER, ITEM)
    weights = randomise(ncf, model)
    assert not np.allclose(before, score(USER, ITEM))
    assert error(score(USER, ITEM), forward("NeuMF", weights, USER, ITEM)) < 1e-6


# --- initial weights -----------------------------------------------------------------------------

BIG = {"num_users": 1500, "num_items": 2000}


@pytest.mark.parametrize("kind", ["GMF", "MLP", "NeuMF"])
def test_initial_weights(ncf, kind):
    weights = ncf.get_weights(getattr(ncf, kind)(**BIG))
    for name, value in weights.items():
        if "embedding" in name:  # N(0, 0.01)
            assert value.std() == pytest.approx(0.01, rel=0.03), name
            assert abs(value.mean()) < 3e-4 and np.abs(value).max() > 0.035, name
        elif name.endswith("bias"):
            assert (value == 0).all(), name
        else:  # uniform within sqrt(6 / (inputs + outputs))
            limit = np.sqrt(6 / sum(value.shape))
            assert 0.7 * limit < np.abs(value).max() <= limit, name
            assert abs(value.mean()) < 0.5 * limit, name


@pytest.mark.parametrize("kind", ["GMF", "MLP", "NeuMF"])
def test_every_layer_has_its_own_initial_weights(ncf, kind):
    square = {"num_users": 9, "num_items": 9}
    more = {} if kind == "GMF" else {"hidden_layers": [8, 8, 8]}
    more |= {"num_factors": 4} if kind == "NeuMF" else {}
    weights = ncf.get_weights(getattr(ncf, kind)(**square, **more))
    random = {name: value for name, value in weights.items() if not name.endswith("bias")}
    start = {name: tuple(value.ravel()[:4].round(7)) for name, value in random.items()}
    assert len(set(start.values())) == len(random) > 2
    for name, value in random.items():  # nor do rows of a table repeat
        assert len(np.unique(value.ravel())) == value.size, name


@pytest.mark.parametrize("kind", ["GMF", "MLP", "NeuMF"])
def test_the_seed_makes_the_weights(ncf, kind):
    first, again, other = (
        ncf.get_weights(getattr(ncf, kind)(**SIZES, seed=seed)) for seed in (3, 3, 4)
    )
    for name, value in first.items():
        assert np.array_equal(value, again[name]), name
        assert name.endswith("bias") or not np.array_equal(value, other[name]), name


# --- dropout and L2 ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MLP", "NeuMF"])
def test_dropout_is_for_training_only(ncf, name):
    kind = MODELS[name][0]
    model = make(ncf, name, dropout=0.4, activation="linear")
    weights = randomise(ncf, model)
    expected = forward(kind, weights, USER[:, :1], ITEM, "linear")
    assert error(logits_of(ncf, model), expected) < 1e-6

    user, item = np.full((40_000, 1), 2), np.full((40_000, 1), 3)
    dropped = training_logits(ncf, model, user, item)[:, 0]
    # What is kept is scaled up, so that the mean of a linear network stays where it was.
    assert dropped.std() > 0.1
    assert abs(dropped.mean() - expected[2, 3]) < 4 * dropped.std() / np.sqrt(len(dropped))
    assert error(logits_of(ncf, model), expected) < 1e-6  # and scoring drops nothing again


def test_share_that_dropout_drops(ncf):
    model = ncf.MLP(**SIZES, hidden_layers=[6], dropout=0.3, activation="sigmoid")
    weights = randomise(ncf, model)
    weights = {n: np.zeros_like(v) if "tower" in n else v for n, v in weights.items()}
    weights["tower_0.bias"] += 3  # every hidden unit is sigmoid(3) / 0.7, or dropped
    weights["output.kernel"] = np.ones_like(weights["output.kernel"])
    weights["output.bias"] *= 0
    ncf.set_weights(model, weights)
    units = training_logits(ncf, model, np.zeros((5000, 1), int), np.zeros((5000, 1), int))[:, 0]
    kept = units * 0.7 / SIGMOID_OF_3
    assert np.allclose(kept, kept.round(), atol=1e-5)
    assert kept.mean() / 6 == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 30_000))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("l2", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.02), (0.3, 0.02)])
def test_penalty_by_hand(ncf, name, l2):
    model = make(ncf, name, l2_embeddings=l2[0], l2_layers=l2[1])
    weights = randomise(ncf, model)
    expected = penalty_by_hand(weights, *l2)
    assert penalty_of(ncf, model) == pytest.approx(expected, rel=1e-5)
    assert (expected > 0.1) == (sum(l2) > 0)


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["log", "squared", "bpr"])
@pytest.mark.parametrize("num_negatives", [1, 4])
def test_losses_against_numpy(ncf, loss, num_negatives):
    logits = np.random.default_rng(0).normal(0, 3, (50, 1 + num_negatives))
    assert loss_of(ncf, loss, logits) == pytest.approx(loss_by_hand(loss, logits), rel=1e-5)


@pytest.mark.parametrize(
    "loss, logits, expected",
    [
        ("log", [[0, 0, 0]], np.log(2)),
        ("squared", [[0, 0, 0]], 0.25),
        ("bpr", [[0, 0, 0]], np.log(2)),
        # The positive first: swapping the labels would give another number.
        ("log", [[3, -3]], -np.log(SIGMOID_OF_3)),
        ("squared", [[3, -3]], (1 - SIGMOID_OF_3) ** 2),
        ("bpr", [[2, -1]], -np.log(SIGMOID_OF_3)),
        # A sigmoid that has run into 0 or 1 would give inf or nan.
        ("log", [[1e4, -1e4]], 0.0),
        ("log", [[-1e4, 1e4]], 1e4),
        ("squared", [[-1e4, 1e4]], 1.0),
        ("squared", [[1e4, -1e4]], 0.0),
        ("bpr", [[-1e4, 1e4]], 2e4),
        ("bpr", [[1e4, -1e4]], 0.0),
    ],
)
def test_losses_by_hand(ncf, loss, logits, expected):
    assert loss_of(ncf, loss, logits) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name, loss, l2", [("NeuMF", "log", 0.01), ("GMF", "squared", 0.0)])
def test_loss_of_an_epoch_by_hand(ncf, name, loss, l2):
    """With steps of no length, the epoch's loss is that of all its groups, plus the penalty."""
    dataset = small_dataset()
    kind, arguments = MODELS[name]
    sizes = {"num_users": dataset.num_users, "num_items": dataset.num_items}
    model = getattr(ncf, kind)(**sizes, **arguments, l2_embeddings=l2, l2_layers=2 * l2)
    weights = randomise(ncf, model)
    fit = ncf.fit(
        model, dataset, epochs=1, num_negatives=3, batch_size=36, loss=loss, optimizer="sgd",
        learning_rate=1e-30, seed=5, evaluate_test=False, progress=False,
    )  # fmt: skip
    user, item = NegativeSampler(dataset.train, 3, seed=5).epoch_groups()
    # 9 groups a step: 68 steps, more than Keras takes at a time, and 5 groups left over.
    assert len(user) // 9 == 68 and len(user) % 9 == 5
    expected = loss_by_hand(loss, forward(kind, weights, user, item))
    expected += penalty_by_hand(weights, l2, 2 * l2)
    assert fit.history.loss[1] == pytest.approx(expected, rel=2e-5)


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MLP-0", "NeuMF"])
def test_every_weight_is_trained(ncf, name):
    dataset = small_dataset()
    kind, arguments = MODELS[name]
    model = getattr(ncf, kind)(dataset.num_users, dataset.num_items, **arguments)
    before = ncf.get_weights(model)
    fit = ncf.fit(
        model, dataset, epochs=1, batch_size=100, learning_rate=0.01, evaluate_test=False,
        progress=False,
    )  # fmt: skip
    assert fit.model is model
    after = ncf.get_weights(model)
    for weight, value in before.items():
        change = np.abs(after[weight] - value)
        assert change.max() > 0.01, weight
        if "embedding" in weight:  # every row that training holds
            rows = np.unique(dataset.train.user if "user" in weight else dataset.train.item)
            assert (change[rows].max(axis=1) > 1e-4).all(), weight


# --- pre-training --------------------------------------------------------------------------------


def gmf_and_mlp(ncf, **mlp):
    gmf = make(ncf, "GMF")
    mlp = make(ncf, "MLP", **mlp)
    return gmf, mlp, randomise(ncf, gmf, seed=1), randomise(ncf, mlp, seed=2)


@pytest.mark.parametrize("alpha", [0, 0.3, 0.5, 1.0])
def test_pretrained_logits_are_a_weighted_mean(ncf, alpha):
    gmf, mlp, *_ = gmf_and_mlp(ncf)
    model = ncf.NeuMF.from_pretrained(gmf, mlp, alpha)
    expected = alpha * logits_of(ncf, gmf) + (1 - alpha) * logits_of(ncf, mlp)
    assert error(logits_of(ncf, model), expected) < 1e-6
    assert np.abs(logits_of(ncf, gmf) - logits_of(ncf, mlp)).mean() > 0.5


def test_pretrained_alpha_is_one_half_by_default(ncf):
    gmf, mlp, *_ = gmf_and_mlp(ncf)
    expected = (logits_of(ncf, gmf) + logits_of(ncf, mlp)) / 2
    found = logits_of(ncf, ncf.NeuMF.from_pretrained(gmf, mlp))
    assert error(found, expected) < 1e-6


def test_pretrained_weights_are_copied_biases_too(ncf):
    gmf, mlp, gmf_weights, mlp_weights = gmf_and_mlp(ncf)
    model = ncf.NeuMF.from_pretrained(gmf, mlp, alpha=0.25)
    weights = ncf.get_weights(model)
    for side in ("user", "item"):
        assert np.array_equal(weights[f"gmf_{side}_embedding"], gmf_weights[f"{side}_embedding"])
        assert np.array_equal(weights[f"mlp_{side}_embedding"], mlp_weights[f"{side}_embedding"])
    for depth in range(3):
        for part in ("kernel", "bias"):
            name = f"tower_{depth}.{part}"
            assert np.array_equal(weights[name], mlp_weights[name]), name
    kernel = [0.25 * gmf_weights["output.kernel"], 0.75 * mlp_weights["output.kernel"]]
    assert np.allclose(weights["output.kernel"], np.concatenate(kernel), atol=1e-7)
    bias = 0.25 * gmf_weights["output.bias"] + 0.75 * mlp_weights["output.bias"]
    assert np.allclose(weights["output.bias"], bias, atol=1e-7)

    randomise(ncf, model, seed=9)  # a copy: the sources stay as they were
    for source, expected in ((gmf, gmf_weights), (mlp, mlp_weights)):
        found = ncf.get_weights(source)
        assert all(np.array_equal(found[name], value) for name, value in expected.items())


def test_pretrained_model_keeps_the_mlps_arguments(ncf):
    arguments = {"activation": "tanh", "dropout": 0.2, "l2_embeddings": 0.1, "l2_layers": 0.3}
    gmf, mlp, *_ = gmf_and_mlp(ncf, **arguments, embedding_dim=5)
    model = ncf.NeuMF.from_pretrained(gmf, mlp)
    assert model.config == mlp.config | {"num_factors": 4}
    expected = (logits_of(ncf, gmf) + logits_of(ncf, mlp)) / 2
    assert error(logits_of(ncf, model), expected) < 1e-6


@pytest.mark.parametrize(
    "gmf, mlp, alpha, message",
    [
        ({"num_users": 8}, {}, 0.5, "num_users differs: 8 in the GMF, 7 in the MLP"),
        ({}, {"num_items": 12}, 0.5, "num_items differs: 11 in the GMF, 12 in the MLP"),
        ({}, {"hidden_layers": []}, 0.5, "no hidden layers"),
        ({}, {}, -0.1, "alpha must be at least 0"),
        ({}, {}, 1.1, "alpha must be at most 1"),
        ({}, {}, "0.5", "alpha must be a number"),
        ({}, {}, np.nan, "alpha must be a number"),
    ],
)
def test_models_that_do_not_fit_together(ncf, gmf, mlp, alpha, message):
    with pytest.raises(ValueError, match=message):
        ncf.NeuMF.from_pretrained(make(ncf, "GMF", **gmf), make(ncf, "MLP", **mlp), alpha)


@pytest.mark.parametrize(
    "gmf, mlp, wrong",
    [
        ("MLP", "GMF", "gmf must be a m.* GMF"),
        ("NeuMF", "MLP", "gmf must"),
        ("GMF", "GMF", "mlp must"),
    ],
)
def test_models_of_another_class_are_refused(ncf, gmf, mlp, wrong):
    with pytest.raises(ValueError, match=wrong):
        ncf.NeuMF.from_pretrained(make(ncf, gmf), make(ncf, mlp))


# --- weights by name -----------------------------------------------------------------------------


def test_get_weights_returns_copies(ncf):
    model = make(ncf, "NeuMF")
    before = logits_of(ncf, model)
    for value in ncf.get_weights(model).values():
        value = np.array(value)
        value += 1
    weights = ncf.get_weights(model)
    kept = {name: value.copy() for name, value in weights.items()}
    randomise(ncf, model)  # what was taken out does not change with the model
    assert all(np.array_equal(value, kept[name]) for name, value in weights.items())
    ncf.set_weights(model, weights)
    assert np.array_equal(logits_of(ncf, model), before)


def test_set_weights_names_what_does_not_fit(ncf):
    model = make(ncf, "MLP")
    weights = ncf.get_weights(model)
    missing = {name: value for name, value in weights.items() if name != "tower_1.bias"}
    with pytest.raises(ValueError, match="weight tower_1.bias is missing"):
        ncf.set_weights(model, missing)
    with pytest.raises(ValueError, match="weight tower_9.bias is unknown"):
        ncf.set_weights(model, weights | {"tower_9.bias": np.zeros(3)})
    transposed = weights | {"tower_1.kernel": weights["tower_1.kernel"].T}
    with pytest.raises(ValueError, match=r"weight tower_1.kernel has shape \(6, 8\), expected"):
        ncf.set_weights(model, transposed)
    with pytest.raises(ValueError, match=r"user_embedding has shape \(11, 4\), expected \(7, 4\)"):
        ncf.set_weights(model, weights | {"user_embedding": weights["item_embedding"]})


def test_nothing_is_set_where_one_weight_does_not_fit(ncf):
    model = make(ncf, "GMF")
    before = logits_of(ncf, model)
    wrong = {name: value + 1 for name, value in ncf.get_weights(model).items()}
    wrong["output.bias"] = np.zeros(2)
    with pytest.raises(ValueError):
        ncf.set_weights(model, wrong)
    assert np.array_equal(logits_of(ncf, model), before)


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_save_and_load(ncf, extension, tmp_path, name):
    kind = MODELS[name][0]
    more = {"l2_embeddings": 0.1, "l2_layers": 0.2, "seed": 3}
    more |= {} if kind == "GMF" else {"activation": "tanh", "dropout": 0.25}
    model = make(ncf, name, **more)
    weights = randomise(ncf, model)
    ncf.save(model, tmp_path / f"model{extension}")
    loaded = ncf.load(tmp_path / f"model{extension}")
    assert type(loaded) is type(model) and loaded.config == model.config
    assert np.array_equal(logits_of(ncf, loaded), logits_of(ncf, model))
    assert penalty_of(ncf, loaded) == pytest.approx(penalty_by_hand(weights, 0.1, 0.2), rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"model{extension}"]


def test_a_loaded_model_can_be_trained_on(ncf, extension, tmp_path):
    dataset = small_dataset()
    model = ncf.GMF(dataset.num_users, dataset.num_items)
    ncf.save(model, tmp_path / f"model{extension}")
    loaded = ncf.load(str(tmp_path / f"model{extension}"))
    arguments = {"epochs": 1, "evaluate_test": False, "progress": False, "learning_rate": 0.01}
    losses = [ncf.fit(one, dataset, **arguments).history.loss[1] for one in (model, loaded)]
    assert losses[0] == losses[1]


def test_an_interrupted_save_leaves_the_old_file(ncf, extension, tmp_path, monkeypatch):
    path = tmp_path / f"model{extension}"
    model = make(ncf, "GMF")
    randomise(ncf, model)
    ncf.save(model, path)
    before, old = path.read_bytes(), logits_of(ncf, model)

    def disk_full(first, second, *more, **options):
        target = second  # (tensors, file name, ...) or (model, file name, ...)
        with open(target, "wb") as file:
            file.write(before[: len(before) // 2])
        raise OSError("No space left on device")

    if is_torch(ncf):
        monkeypatch.setattr("safetensors.torch.save_file", disk_full)
    else:
        monkeypatch.setattr("keras.Model.save", disk_full)
    randomise(ncf, model, seed=1)
    with pytest.raises(OSError, match="No space left"):
        ncf.save(model, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert np.array_equal(logits_of(ncf, ncf.load(path)), old)
    assert list(tmp_path.iterdir()) == [path]  # and no half file beside it


@pytest.mark.parametrize("length", [0, 1, 8, 100, 0.5, -1])
def test_a_truncated_file_is_named(ncf, extension, tmp_path, length):
    path = tmp_path / f"model{extension}"
    ncf.save(make(ncf, "NeuMF"), path)
    content = path.read_bytes()
    length = int(length * len(content)) if isinstance(length, float) else length
    path.write_bytes(content[:length])
    with pytest.raises(ValueError, match=f"model{extension} is not a checkpoint of GMF, MLP or"):
        ncf.load(path)


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 but no archive", b"\x80\x04K\x01."])
def test_a_foreign_file_is_named(ncf, extension, tmp_path, content):
    path = tmp_path / f"model{extension}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint of GMF, MLP or NeuMF"):
        ncf.load(path)


def test_a_missing_file_is_named(ncf, extension, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"nowhere{extension}"):
        ncf.load(tmp_path / f"nowhere{extension}")


# --- arguments -----------------------------------------------------------------------------------

SIZE_ERRORS = [
    ({"num_users": 0}, "num_users must be at least 1"),
    ({"num_items": -3}, "num_items must be at least 1"),
    ({"num_users": 2.0}, "num_users must be an integer"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"seed": 1.5}, "seed must be an integer"),
    ({"l2_embeddings": -1e-9}, "l2_embeddings must be at least 0"),
    ({"l2_layers": float("nan")}, "l2_layers must be a number"),
    ({"l2_layers": "0.1"}, "l2_layers must be a number"),
]
FACTOR_ERRORS = [
    ({"num_factors": 0}, "num_factors must be at least 1"),
    ({"num_factors": True}, "num_factors must be an integer"),
]
TOWER_ERRORS = [
    ({"hidden_layers": 8}, "hidden_layers must be a list"),
    ({"hidden_layers": "[64,32]"}, "hidden_layers must be a list"),
    ({"hidden_layers": [8, 0]}, "hidden_layers must be at least 1"),
    ({"hidden_layers": [8.0]}, "hidden_layers must be an integer"),
    ({"embedding_dim": 0}, "embedding_dim must be at least 1"),
    ({"dropout": 1.0}, "dropout must be below 1"),
    ({"dropout": -0.1}, "dropout must be at least 0"),
    ({"activation": "gelu"}, "activation must be one of relu, linear, tanh, sigmoid"),
]
ERRORS = (
    [("GMF", *error) for error in SIZE_ERRORS + FACTOR_ERRORS]
    + [("MLP", *error) for error in SIZE_ERRORS + TOWER_ERRORS]
    + [("NeuMF", *error) for error in SIZE_ERRORS + FACTOR_ERRORS + TOWER_ERRORS]
    + [("NeuMF", {"hidden_layers": []}, "hidden_layers must not be empty for NeuMF")]
)


@pytest.mark.parametrize("kind, arguments, message", ERRORS)
def test_bad_arguments_are_named(ncf, kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(ncf, kind)(**SIZES | arguments)


def test_a_model_does_not_share_the_callers_list(ncf):
    widths = [8, 4]
    model = ncf.MLP(**SIZES, hidden_layers=widths)
    widths.append(2)
    assert model.config["hidden_layers"] == [8, 4]


@pytest.mark.parametrize("kind", ["GMF", "MLP", "NeuMF"])
@pytest.mark.parametrize("wrong", ["num_factor", "hidden_layer", "l2_embedings"])
def test_a_misspelt_argument_is_named(ncf, kind, wrong):
    with pytest.raises(TypeError, match=f"'{wrong}'"):
        getattr(ncf, kind)(4, 7, **{wrong: 1})


@pytest.mark.parametrize("kind", ["GMF", "MLP", "NeuMF"])
def test_numpy_numbers_are_numbers(ncf, extension, tmp_path, kind):
    """Sizes are often taken from arrays, and a trained model must be saved at any rate."""
    options = {"seed": np.int64(3), "l2_embeddings": np.float32(0.5), "l2_layers": np.float64(0.25)}
    if kind != "GMF":
        options |= {"hidden_layers": [np.int64(6), np.int32(4)], "embedding_dim": np.int64(3)}
        options["dropout"] = np.float32(0.25)
    if kind != "MLP":
        options["num_factors"] = np.int16(5)
    model = getattr(ncf, kind)(np.int64(4), np.int32(7), **options)
    plain = {name: value.tolist() for name, value in options.items() if name != "hidden_layers"}
    if kind != "GMF":
        plain["hidden_layers"] = [6, 4]
    other = getattr(ncf, kind)(4, 7, **plain)
    assert model.config == other.config == json.loads(json.dumps(other.config))
    path = tmp_path / f"model{extension}"
    ncf.save(model, path)
    user, item = np.indices((4, 7), dtype=np.int32)
    expected = ncf.score_function(other)(user, item)
    assert np.array_equal(ncf.score_function(ncf.load(path))(user, item), expected)
