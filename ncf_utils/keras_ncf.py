"""GMF, MLP and NeuMF (He et al., 2017) in Keras 3, and `fit`.

Built step by step in notebooks 06, 07 and 08. `ncf_utils.torch_ncf` has the same names, and models,
`fit`, `save` and `load` the same arguments and defaults; losses and optimisers take what their
framework gives them. All models return logits; the sigmoid is in the loss.
"""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from functools import partial
from itertools import count
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from ncf_utils.data import Dataset
from ncf_utils.errors import check_number
from ncf_utils.files import whole
from ncf_utils.sampler import IN_GROUPS
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

EMBEDDING_STD = 0.01  # as in the paper; see notebook 08 for what N(0, 1) does
STEPS_PER_EXECUTION = 64  # batches between two returns to Python


def _one_thread():
    """Hold TensorFlow's operations to one thread, as `torch_ncf.fit` holds PyTorch's.

    Their sums are split among the threads, so that results would depend on the number of cores.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with suppress(RuntimeError):  # TensorFlow has begun to work, and cannot change any more
            tf.config.threading.set_intra_op_parallelism_threads(1)


_one_thread()


@keras.saving.register_keras_serializable("ncf_utils")
class ConcatDense(layers.Layer):
    """A dense layer over the concatenation of two inputs, computed without concatenating.

    [a, b] W + bias = a W_a + b W_b + bias. The two sides need only broadcast, so that one user's
    product is computed once for a positive and all its negatives (notebook 07).

    Args:
        units: width of the output.
        seed: seed of the initial kernel.
        kernel_regularizer: of the kernel.
    """

    def __init__(self, units, seed=0, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.seed = units, seed
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        first, second = input_shape
        self.first_dim = first[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(first[-1] + second[-1], self.units),
            initializer=keras.initializers.GlorotUniform(seed=self.seed),
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs):
        """Map (..., first_dim) and (..., second_dim) to (..., units)."""
        first, second = inputs
        split = self.first_dim
        # tensordot, as in Dense: `@` would make the kernel's gradient once a row, and then add up.
        first = ops.tensordot(first, self.kernel[:split], axes=1)
        return first + (ops.tensordot(second, self.kernel[split:], axes=1) + self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[1][:-1], self.units)

    def get_config(self):
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        config = {"units": self.units, "seed": self.seed, "kernel_regularizer": regularizer}
        return super().get_config() | config


class _Layers:
    """Makes layers, each with its own seed, in the order of construction."""

    def __init__(self, l2_embeddings, l2_layers, seed):
        l2_embeddings = check_number("l2_embeddings", l2_embeddings, 0)
        l2_layers = check_number("l2_layers", l2_layers, 0)
        seed = check_number("seed", seed, 0, integer=True)
        self.l2_embeddings = keras.regularizers.L2(l2_embeddings) if l2_embeddings else None
        self.l2_layers = keras.regularizers.L2(l2_layers) if l2_layers else None
        self.config = {"l2_embeddings": l2_embeddings, "l2_layers": l2_layers, "seed": seed}
        # A number for each layer: equal seeds would give equal tables.
        self.seeds = (int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in count())

    def embedding(self, num_rows, dim, name):
        normal = keras.initializers.RandomNormal(stddev=EMBEDDING_STD, seed=next(self.seeds))
        return layers.Embedding(
            num_rows, dim, normal, embeddings_regularizer=self.l2_embeddings, name=name
        )

    def dense(self, units, name):
        return layers.Dense(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(self.seeds)),
            kernel_regularizer=self.l2_layers,
            name=name,
        )

    def concat_dense(self, units, name):
        return ConcatDense(
            units, seed=next(self.seeds), kernel_regularizer=self.l2_layers, name=name
        )

    def tower(self, p, q, widths, activation, dropout):
        """The MLP's hidden layers; the first is a `ConcatDense` over user and item."""
        z = self.concat_dense(widths[0], "tower_0")([p, q])  # (B, n, widths[0])
        for depth, width in enumerate(widths):
            if depth > 0:
                z = self.dense(width, f"tower_{depth}")(z)  # (B, n, width)
            z = layers.Activation(activation, name=f"{activation}_{depth}")(z)
            if dropout:
                z = layers.Dropout(dropout, seed=next(self.seeds), name=f"dropout_{depth}")(z)
        return z


def _inputs():
    user = keras.Input((None,), dtype="int32", name="user")  # (B, 1)
    item = keras.Input((None,), dtype="int32", name="item")  # (B, n)
    return user, item


class _Recommender(keras.Model):
    """What the three models share: a functional graph, and the arguments that made it."""

    def __init__(self, user, item, logits, config, **kwargs):
        # What Keras adds when it reads a checkpoint, and nothing else.
        if unknown := kwargs.keys() - {"name", "trainable", "dtype"}:
            raise TypeError(f"{type(self).__name__} takes no argument {min(unknown)!r}")
        super().__init__(inputs=[user, item], outputs=ops.squeeze(logits, -1), **kwargs)
        self._arguments = json.dumps(config)

    @property
    def config(self):
        """The arguments that make this model again: `type(model)(**model.config)`."""
        return json.loads(self._arguments)

    def get_config(self):
        return self.config | {"name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


@keras.saving.register_keras_serializable("ncf_utils")
class GMF(_Recommender):
    """Generalised matrix factorisation: logit = h . (p_u * q_i) + b (He et al., 2017, eq. 9).

    Args:
        num_users, num_items: rows of the two embedding tables.
        num_factors: width K of the embeddings.
        l2_embeddings, l2_layers: weights of the L2 penalty that is added to the loss.
        seed: seed of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> model = GMF(num_users=3, num_items=5, num_factors=4)
        >>> tuple(model([np.array([[0], [2]]), np.array([[1, 2, 3], [0, 1, 4]])]).shape)
        (2, 3)
    """

    def __init__(
        self,
        num_users,
        num_items,
        num_factors=8,
        *,
        l2_embeddings=0.0,
        l2_layers=0.0,
        seed=0,
        **kwargs,
    ):
        config = check_architecture(num_users, num_items, num_factors=num_factors)
        num_users, num_items, num_factors = config.values()
        make = _Layers(l2_embeddings, l2_layers, seed)
        user, item = _inputs()
        p = make.embedding(num_users, num_factors, "user_embedding")(user)  # (B, 1, K)
        q = make.embedding(num_items, num_factors, "item_embedding")(item)  # (B, n, K)
        product = layers.Multiply(name="hadamard")([p, q])  # (B, n, K)
        logits = make.dense(1, "output")(product)  # (B, n, 1)
        super().__init__(user, item, logits, config | make.config, **kwargs)


@keras.saving.register_keras_serializable("ncf_utils")
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
        l2_embeddings, l2_layers: weights of the L2 penalty that is added to the loss.
        seed: seed of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> model = MLP(num_users=3, num_items=5, hidden_layers=[8, 4])
        >>> tuple(model([np.array([[0], [2]]), np.array([[1, 2, 3], [0, 1, 4]])]).shape)
        (2, 3)
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
        **kwargs,
    ):
        config = tower_config(
            num_users, num_items, hidden_layers, embedding_dim, activation, dropout
        )
        num_users, num_items = config["num_users"], config["num_items"]
        make = _Layers(l2_embeddings, l2_layers, seed)
        user, item = _inputs()
        dim, widths = config["embedding_dim"], config["hidden_layers"]
        p = make.embedding(num_users, dim, "user_embedding")(user)  # (B, 1, embedding_dim)
        q = make.embedding(num_items, dim, "item_embedding")(item)  # (B, n, embedding_dim)
        if widths:
            z = make.tower(p, q, widths, activation, config["dropout"])  # (B, n, widths[-1])
            logits = make.dense(1, "output")(z)  # (B, n, 1)
        else:
            logits = make.concat_dense(1, "output")([p, q])  # (B, n, 1)
        super().__init__(user, item, logits, config | make.config, **kwargs)


@keras.saving.register_keras_serializable("ncf_utils")
class NeuMF(_Recommender):
    """Neural matrix factorisation: GMF and MLP side by side (He et al., 2017, eq. 12).

    The two branches have their own embeddings; the output layer reads both.

    Args:
        num_users, num_items: rows of the four embedding tables.
        num_factors: width of the GMF branch's embeddings.
        hidden_layers, embedding_dim, activation, dropout: of the MLP branch, see `MLP`;
            `hidden_layers` may not be empty here.
        l2_embeddings, l2_layers: weights of the L2 penalty that is added to the loss.
        seed: seed of the initial weights.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> model = NeuMF(num_users=3, num_items=5, num_factors=4, hidden_layers=[8, 4])
        >>> tuple(model([np.array([[0], [2]]), np.array([[1, 2, 3], [0, 1, 4]])]).shape)
        (2, 3)
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
        **kwargs,
    ):
        config = tower_config(
            num_users, num_items, hidden_layers, embedding_dim, activation, dropout
        )
        num_factors = check_number("num_factors", num_factors, 1, integer=True)
        if not config["hidden_layers"]:
            raise ValueError("hidden_layers must not be empty for NeuMF; without a tower, use GMF")
        config["num_factors"] = num_factors
        num_users, num_items = config["num_users"], config["num_items"]
        make = _Layers(l2_embeddings, l2_layers, seed)
        user, item = _inputs()
        dim, widths = config["embedding_dim"], config["hidden_layers"]
        gmf_p = make.embedding(num_users, num_factors, "gmf_user_embedding")(user)
        gmf_q = make.embedding(num_items, num_factors, "gmf_item_embedding")(item)
        gmf = layers.Multiply(name="hadamard")([gmf_p, gmf_q])  # (B, n, num_factors)
        p = make.embedding(num_users, dim, "mlp_user_embedding")(user)  # (B, 1, embedding_dim)
        q = make.embedding(num_items, dim, "mlp_item_embedding")(item)  # (B, n, embedding_dim)
        z = make.tower(p, q, widths, activation, config["dropout"])  # (B, n, widths[-1])
        logits = make.concat_dense(1, "output")([gmf, z])  # (B, n, 1)
        super().__init__(user, item, logits, config | make.config, **kwargs)

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


@keras.saving.register_keras_serializable("ncf_utils")
def log_loss(labels, logits):
    """Binary cross-entropy over groups: column 0 has label 1, the others 0 (eq. 7)."""
    # softplus(-x) = -log(sigmoid(x)), and softplus(x) = -log(1 - sigmoid(x)), without overflow.
    return ops.mean(ops.softplus((1 - 2 * labels) * logits), axis=-1)


@keras.saving.register_keras_serializable("ncf_utils")
def squared_loss(labels, logits):
    """Mean squared error between sigmoid(logit) and the label."""
    return ops.mean(ops.square(labels - ops.sigmoid(logits)), axis=-1)


@keras.saving.register_keras_serializable("ncf_utils")
def bpr_loss(labels, logits):
    """BPR: -log sigmoid(positive - negative), over all pairs of a group (Rendle et al., 2009)."""
    return ops.mean(ops.softplus(logits[:, 1:] - logits[:, :1]), axis=-1)


LOSS_FUNCTIONS = {"log": log_loss, "squared": squared_loss, "bpr": bpr_loss}


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
        model: a `GMF`, `MLP`, `NeuMF`, or any `keras.Model` that maps index tensors `user`
            (B, 1) and `item` (B, n) to logits (B, n).
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
        seed: seed of the negatives and of the order of the batches; dropout follows the model's
            seed. The same seed gives both frameworks the same batches. The global generators of
            Python, NumPy and Keras's backend are seeded with it too, and stay so.
        evaluate_test: also record the test metrics of every epoch.
        progress: show a progress bar.
        device: where to train, such as ``"cpu"`` or ``"cuda"``; None takes the one that the
            environment variable ``NCF_DEVICE`` names, else leaves the choice to Keras, which takes
            a GPU if there is one. Sampling and ranking stay on the CPU.

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
    scope = _device_scope(device or os.environ.get("NCF_DEVICE"))
    keras.utils.set_random_seed(seed)
    step = make_optimizer(optimizer, learning_rate)
    step.use_ema, step.ema_momentum = average is not None, average
    step.build(model.trainable_variables)  # made inside the first step, it would be traced twice
    model.compile(
        optimizer=step,
        loss=LOSS_FUNCTIONS[loss],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,
    )

    def train_epoch(user, item):
        labels = np.zeros(item.shape, np.float32)
        labels[:, 0] = 1
        groups = groups_per_step(batch_size, num_negatives)
        step.resume(model.trainable_variables)
        log = model.fit([user, item], labels, batch_size=groups, shuffle=False, verbose=0)
        return log.history["loss"][0]

    with scope:
        return run_epochs(
            model,
            dataset,
            train_epoch=train_epoch,
            score=score_function(model),
            get_weights=model.get_weights,
            set_weights=model.set_weights,
            num_negatives=num_negatives,
            strategy=strategy,
            epochs=epochs,
            patience=patience,
            keep_start=keep_start,
            seed=seed,
            evaluate_test=evaluate_test,
            progress=progress,
        )


def _device_scope(name):
    """Keras's scope of the device `name`; Keras writes "gpu" where PyTorch has "cuda"."""
    if not name:
        return nullcontext()
    kind, _, index = name.lower().replace("cuda", "gpu").partition(":")
    # TensorFlow would quietly take the CPU for a device that is not there.
    here = [device.lower() for device in keras.distribution.list_devices()]
    if f"{kind}:{index or 0}" not in here:
        raise ValueError(f"device {name!r} cannot be used here; there is {', '.join(here)}")
    return keras.device(f"{kind}:{index or 0}")


class _KeepsTrained:
    """Lets training go on from its own weights after Keras has put their average in their place."""

    trained = None

    def finalize_variable_values(self, var_list):
        if self.use_ema:
            self.trained = [ops.copy(variable) for variable in var_list]
        super().finalize_variable_values(var_list)

    def resume(self, variables):
        if self.trained is not None:
            for variable, value in zip(variables, self.trained, strict=True):
                variable.assign(value)


class _DenseGradients(_KeepsTrained):
    """Sums an embedding row's gradients over the batch before the optimiser sees them.

    TensorFlow hands Keras one gradient for each look-up. Keras adds them up where they enter
    linearly, but Adam, RMSprop and Adagrad square them one by one: without this, a row that stands
    twice in a batch is trained by another rule than in PyTorch (notebook 09).
    """

    def apply(self, grads, trainable_variables=None):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            grads = [tf.convert_to_tensor(grad) for grad in grads]
        return super().apply(grads, trainable_variables)


class DenseAdam(_DenseGradients, keras.optimizers.Adam):
    """Adam with epsilon where the paper and PyTorch have it: added after the bias correction.

    Keras adds it before, which makes it 30 times larger in the first step. The gradients of
    embeddings near zero are so small that this alone leads to other weights.
    """

    def update_step(self, gradient, variable, learning_rate):
        step = ops.cast(self.iterations + 1, variable.dtype)
        given = self.epsilon
        self.epsilon = given * ops.sqrt(1 - ops.power(self.beta_2, step))
        super().update_step(gradient, variable, learning_rate)
        self.epsilon = given


class PlainSGD(_KeepsTrained, keras.optimizers.SGD):
    pass


class DenseRMSprop(_DenseGradients, keras.optimizers.RMSprop):
    pass


class DenseAdagrad(_DenseGradients, keras.optimizers.Adagrad):
    pass


def make_optimizer(name, learning_rate):
    """An optimiser with the same constants as that of `torch_ncf`.

    Args:
        name: ``"adam"``, ``"sgd"``, ``"rmsprop"`` or ``"adagrad"``.
        learning_rate: its step size, above 0.

    Raises:
        ValueError: an argument is out of range.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    check_number("learning_rate", learning_rate, 0, strict=True)
    if name == "adam":
        return DenseAdam(learning_rate, epsilon=1e-8)
    if name == "rmsprop":
        # Keras adds epsilon to the square, PyTorch to its root: 1e-15 is too small to matter.
        return DenseRMSprop(learning_rate, rho=0.9, epsilon=1e-30)
    if name == "adagrad":
        return DenseAdagrad(learning_rate, initial_accumulator_value=0.1, epsilon=1e-7)
    return PlainSGD(learning_rate)


def score_function(model):
    """A model as `evaluate` wants it: `score(user, item)` from index arrays to NumPy logits.

    Args:
        model: maps index tensors that broadcast to logits of the broadcast shape.

    Returns:
        A function of two integer arrays that broadcast; it returns float32 of that shape.
    """

    logits = partial(model, training=False)
    graph = _graph(logits)

    def score(user, item):
        shape = np.broadcast_shapes(np.shape(user), np.shape(item))
        pair = [np.atleast_2d(index).astype(np.int64) for index in (user, item)]
        found = graph(pair) if max(map(np.ndim, pair)) == 2 else logits(pair)
        return np.array(ops.convert_to_numpy(found)).reshape(shape)

    return score


def _graph(logits):
    """The function as TensorFlow's graph, in half the time; as it is with another backend.

    One graph serves all shapes: to trace anew for each takes longer than it saves.
    """
    if keras.backend.backend() != "tensorflow":
        return logits
    import tensorflow as tf

    index = tf.TensorSpec((None, None), tf.int64)
    return tf.function(logits, input_signature=[[index, index]])


def get_weights(model) -> dict[str, np.ndarray]:
    """The weights by name, as arrays; `torch_ncf.get_weights` gives the same names and shapes."""
    return {_common_name(weight): ops.convert_to_numpy(weight) for weight in model.weights}


def set_weights(model, weights):
    """Put the weights that `get_weights` of either framework returned into `model`.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs.
    """
    variables = {_common_name(variable): variable for variable in model.weights}
    check_weights(weights, {name: variable.shape for name, variable in variables.items()})
    for name, variable in variables.items():
        variable.assign(np.asarray(weights[name]))


def _common_name(weight):
    return weight.path.removesuffix("/embeddings").replace("/", ".")


def save(model, path):
    """Write a `GMF`, `MLP` or `NeuMF` to a `.keras` file: its weights and its configuration.

    The file takes its name only when it is whole, so that a crash never leaves half a checkpoint.

    Args:
        model: the model.
        path: the file to write, `*.keras`.

    Raises:
        ValueError: the name does not end with `.keras`, or `load` could not make the model again: a
            subclass of the three must be registered (`keras.saving.register_keras_serializable`).
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path must end with .keras, not {path.name!r}")
    kind = type(model)
    known = keras.saving.get_registered_object(keras.saving.get_registered_name(kind))
    if not isinstance(model, _Recommender) or known is None:
        raise ValueError(
            "model must be a GMF, MLP or NeuMF of keras_ncf, or of a class registered with Keras "
            f"that is derived from one, not a {kind.__module__}.{kind.__qualname__}"
        )
    with whole(path, suffix=".keras") as part:  # Keras goes by the name's end
        model.save(part)


def load(path):
    """Read a model that `save` wrote, in Keras's safe mode: nothing in the file is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not such a checkpoint.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        model = keras.saving.load_model(path, safe_mode=True, compile=False)
    except Exception as error:  # Keras raises half a dozen kinds for a file that is not its own
        raise ValueError(
            f"{path} is not a checkpoint of GMF, MLP or NeuMF written by keras_ncf.save: {error}"
        ) from error
    if not isinstance(model, _Recommender):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a GMF, MLP or NeuMF")
    return model
