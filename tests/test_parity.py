"""PyTorch and Keras: the same names, logits, gradients, losses, and the same training."""

import importlib.util
import inspect
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from reference_models import MODELS, SIZES, error, make, penalty_of, randomise, small_dataset

from ncf_utils import keras_ncf, torch_ncf

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

USER, ITEM = np.indices((SIZES["num_users"], SIZES["num_items"]), dtype=np.int32)
BOTH = (torch_ncf, keras_ncf)


def twins(name, seed=0, **more):
    """The same model in both frameworks, with the same random weights."""
    one, other = (make(ncf, name, **more) for ncf in BOTH)
    weights = randomise(torch_ncf, one, seed)
    keras_ncf.set_weights(other, weights)
    return one, other


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "model.keras"])
@pytest.mark.parametrize("writer, reader", [BOTH, BOTH[::-1]], ids=["to Keras", "to PyTorch"])
def test_a_checkpoint_of_the_other_framework_is_refused_whatever_its_name(
    tmp_path, writer, reader, name
):
    written = tmp_path / ("a.keras" if writer is keras_ncf else "a.safetensors")
    writer.save(make(writer, "GMF"), written)
    written.rename(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is not a checkpoint of GMF, MLP or NeuMF"):
        reader.load(tmp_path / name)


# --- other engines -------------------------------------------------------------------------------

SCRIPT = """
import sys
import keras
import numpy as np
from ncf_utils import keras_ncf

assert keras.backend.backend() == sys.argv[1]
for path in sys.argv[2:]:
    model = keras_ncf.load(path)
    np.save(path + ".npy", keras_ncf.score_function(model)(*np.indices((SIZES))))
"""


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras_on_another_backend_gives_the_same_logits(tmp_path, backend):
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    expected = {}
    for name in MODELS:
        one, other = twins(name)
        keras_ncf.save(other, path := tmp_path / f"{name}.keras")
        expected[path] = torch_ncf.score_function(one)(USER, ITEM)
    script = SCRIPT.replace("SIZES", str(USER.shape))
    command = [sys.executable, "-c", script, backend, *map(str, expected)]
    subprocess.run(command, env=os.environ | {"KERAS_BACKEND": backend}, check=True)
    for path, logits in expected.items():
        found = np.load(f"{path}.npy")
        assert logits.std() > 0.1 and error(found, logits) < 1e-6, path.stem


# --- the same names ------------------------------------------------------------------------------

PUBLIC = ["GMF", "MLP", "NeuMF", "fit", "score_function", "get_weights", "set_weights", "save"]


@pytest.mark.parametrize("name", [*PUBLIC, "load", "GMF.from_pretrained", "NeuMF.from_pretrained"])
def test_same_arguments_and_defaults(name):
    def parameters(module):
        found = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            return None
        signature = inspect.signature(found).parameters.values()
        return [(p.name, p.default, p.kind) for p in signature if p.kind is not p.VAR_KEYWORD]

    assert parameters(torch_ncf) == parameters(keras_ncf)
    assert (parameters(torch_ncf) is None) == (name == "GMF.from_pretrained")


def test_same_public_names():
    def public(module):
        return {
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        }

    own = (
        {"ConcatLinear", "Embedding"},
        {"ConcatDense", "DenseAdam", "DenseRMSprop", "DenseAdagrad", "PlainSGD"},
    )
    assert public(torch_ncf) - own[0] == public(keras_ncf) - own[1] >= set(PUBLIC)
    assert torch_ncf.LOSS_FUNCTIONS.keys() == keras_ncf.LOSS_FUNCTIONS.keys()
    assert torch_ncf.EMBEDDING_STD == keras_ncf.EMBEDDING_STD == 0.01


@pytest.mark.parametrize("name", MODELS)
def test_same_weight_names_shapes_and_configuration(name):
    one, other = (make(ncf, name) for ncf in BOTH)
    shapes, others = (
        {weight: (value.shape, value.dtype) for weight, value in ncf.get_weights(model).items()}
        for ncf, model in zip(BOTH, (one, other), strict=True)
    )
    assert shapes == others
    assert one.config == other.config


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("start", BOTH)
def test_weights_across_give_the_same_logits(name, start):
    one, other = (make(ncf, name, seed=seed) for seed, ncf in enumerate(BOTH))
    source = one if start is torch_ncf else other
    randomise(start, source)
    if start is torch_ncf:
        keras_ncf.set_weights(other, torch_ncf.get_weights(one))
    else:
        torch_ncf.set_weights(one, keras_ncf.get_weights(other))
    first = torch_ncf.score_function(one)(USER, ITEM)
    second = keras_ncf.score_function(other)(USER, ITEM)
    assert error(first, second) < 1e-6
    assert first.std() > 0.1
    weights = torch_ncf.get_weights(one)
    for weight, value in keras_ncf.get_weights(other).items():
        assert np.array_equal(value, weights[weight]), weight


@pytest.mark.parametrize("name", [name for name in MODELS if name != "GMF"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "linear"])
def test_same_activations(name, activation):
    one, other = twins(name, activation=activation)
    first = torch_ncf.score_function(one)(USER, ITEM)
    assert error(first, keras_ncf.score_function(other)(USER, ITEM)) < 1e-6


def torch_gradients(model, user, item, loss):
    value = torch_ncf.LOSS_FUNCTIONS[loss](model(torch.tensor(user), torch.tensor(item)))
    (value + model.penalty()).backward()
    gradients = {}
    for name, weight in model.named_parameters():
        grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        name = name.replace("tower.", "tower_")
        if "embedding" in name:
            gradients[name.removesuffix(".weight")] = grad.numpy()
        elif name.endswith("weight"):
            gradients[name.replace("weight", "kernel")] = grad.numpy().T
        else:
            gradients[name] = grad.numpy()
    return float(value.detach()), gradients


def keras_gradients(model, user, item, loss):
    labels = np.zeros(item.shape, np.float32)
    labels[:, 0] = 1
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(keras_ncf.LOSS_FUNCTIONS[loss](labels, model([user, item])))
        total = tf.add_n([value, *model.losses])
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_weights])
    names = [weight.path.removesuffix("/embeddings") for weight in model.trainable_weights]
    arrays = [
        np.zeros(weight.shape) if gradient is None else np.array(tf.convert_to_tensor(gradient))
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
    ]
    names = [name.replace("/", ".") for name in names]
    return float(value), dict(zip(names, arrays, strict=True))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("loss", ["log", "squared", "bpr"])
def test_same_loss_and_gradients(name, loss):
    one, other = twins(name, l2_embeddings=0.01, l2_layers=0.02)
    rng = np.random.default_rng(0)
    user = rng.integers(SIZES["num_users"], size=(20, 1))  # users and items repeat in the batch
    item = rng.integers(SIZES["num_items"], size=(20, 5))
    value, gradients = torch_gradients(one, user, item, loss)
    other_value, others = keras_gradients(other, user, item, loss)
    assert value == pytest.approx(other_value, rel=1e-6)
    assert gradients.keys() == others.keys()
    for weight, gradient in gradients.items():
        assert np.abs(gradient - others[weight]).max() < 1e-6, weight
        if loss != "bpr" or weight != "output.bias":  # which a difference of logits cancels
            assert np.abs(gradient).max() > 1e-3, weight


@pytest.mark.parametrize("name", MODELS)
def test_same_penalty(name):
    one, other = twins(name, l2_embeddings=0.3, l2_layers=0.02)
    assert penalty_of(torch_ncf, one) == pytest.approx(penalty_of(keras_ncf, other), rel=1e-6)


def test_same_pretrained_model():
    gmfs, mlps = twins("GMF", seed=1), twins("MLP", seed=2)
    found = [
        ncf.get_weights(ncf.NeuMF.from_pretrained(gmf, mlp, alpha=0.3))
        for ncf, gmf, mlp in zip(BOTH, gmfs, mlps, strict=True)
    ]
    assert found[0].keys() == found[1].keys()
    for weight, value in found[0].items():
        assert np.array_equal(value, found[1][weight]), weight


# --- the same training ---------------------------------------------------------------------------


def train_both(name, epochs=1, scale=None, **arguments):
    """Train twins from the same weights; return histories, weights before, and both after."""
    dataset = small_dataset()
    kind, sizes = MODELS[name]
    sizes = {"num_users": dataset.num_users, "num_items": dataset.num_items} | sizes
    l2 = {"l2_embeddings": 1e-6, "l2_layers": 1e-6}
    histories, after, start = [], [], None
    for ncf in BOTH:
        model = getattr(ncf, kind)(**sizes, **l2)
        if start is None:
            start = randomise(ncf, model, scale=scale) if scale else ncf.get_weights(model)
        ncf.set_weights(model, start)
        arguments = {"batch_size": 40, "seed": 3} | arguments
        fit = ncf.fit(model, dataset, epochs=epochs, progress=False, **arguments)
        histories.append(fit.history)
        after.append(ncf.get_weights(model))
    return histories, start, after


# From weights of a usual start (scale None) the gradients of the embeddings are tiny, and where an
# optimiser puts its epsilon tells. A rule that divides by past gradients magnifies the last bit of
# those that are nearly zero, hence the wider tolerance for Adam in the deeper model.
@pytest.mark.parametrize(
    "name, scale, arguments, tolerance",
    [
        ("NeuMF", 0.3, {"optimizer": "sgd", "learning_rate": 0.5}, 1e-5),
        ("NeuMF", 0.3, {"optimizer": "sgd", "learning_rate": 0.5, "average": 0.9}, 1e-5),
        ("MLP", 0.6, {"optimizer": "sgd", "learning_rate": 0.5, "loss": "bpr"}, 1e-5),
        ("GMF", 0.3, {"optimizer": "sgd", "learning_rate": 5.0, "loss": "squared"}, 1e-5),
        ("NeuMF", None, {"optimizer": "adam", "learning_rate": 0.003}, 3e-4),
        ("GMF", None, {"optimizer": "adam", "learning_rate": 0.003}, 1e-5),
        ("GMF", None, {"optimizer": "rmsprop", "learning_rate": 0.003}, 1e-4),
        ("GMF", 0.3, {"optimizer": "adagrad", "learning_rate": 0.05}, 1e-5),
    ],
)
def test_an_epoch_ends_at_the_same_weights(name, scale, arguments, tolerance):
    histories, start, after = train_both(name, scale=scale, **arguments)
    for weight, value in start.items():
        if arguments.get("loss") == "bpr" and weight == "output.bias":
            continue  # which a difference of logits cancels
        change = np.abs(after[0][weight] - value).max()
        assert change > 100 * tolerance, weight  # the weights move far further than they differ
        assert np.abs(after[0][weight] - after[1][weight]).max() < tolerance, weight
    assert histories[0].loss[1] == pytest.approx(histories[1].loss[1], rel=1e-5)


def test_same_curves():
    histories, *_ = train_both("NeuMF", epochs=3, learning_rate=0.005)
    assert histories[0].columns.tolist() == histories[1].columns.tolist()
    losses = [history.loss[1:].to_numpy() for history in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for column in ("validation_hr", "validation_ndcg", "test_hr", "test_ndcg"):
        difference = np.abs(histories[0][column] - histories[1][column]).max()
        assert difference < 0.026, column  # one user of 40 may change sides of a near tie
        assert histories[0][column].std() > 0.01, column


def test_other_seeds_are_other_batches():
    """The comparison above could tell: another order of the same instances ends elsewhere."""
    dataset, weights = small_dataset(), []
    for seed in (3, 4):
        model = torch_ncf.GMF(dataset.num_users, dataset.num_items, 4)
        start = randomise(torch_ncf, model, scale=0.3)
        torch_ncf.fit(
            model, dataset, epochs=1, batch_size=40, optimizer="sgd", learning_rate=5.0, seed=seed,
            progress=False,
        )  # fmt: skip
        weights.append(torch_ncf.get_weights(model))
    for weight in start:
        assert np.abs(weights[0][weight] - weights[1][weight]).max() > 1e-3, weight


def test_keras_backend_is_tensorflow():
    """What this file compares: the backend that the course uses."""
    assert keras.backend.backend() == "tensorflow"
