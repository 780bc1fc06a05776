"""What only the Keras models have: `ConcatDense`, dense gradients, Keras's own file format."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference_models import make, randomise, small_dataset

from ncf_utils import keras_ncf
from ncf_utils.keras_ncf import ConcatDense, DenseAdagrad, DenseAdam, DenseRMSprop

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_concat_dense_is_dense_over_the_concatenation():
    rng = np.random.default_rng(0)
    first = tf.constant(rng.normal(size=(6, 1, 3)), tf.float32)
    second = tf.constant(rng.normal(size=(6, 5, 4)), tf.float32)
    weight = rng.normal(size=(6, 5, 2)).astype(np.float32)  # any direction to take the gradient in
    ours, plain = ConcatDense(2, seed=1), keras.layers.Dense(2)
    ours.build([first.shape, second.shape])
    plain.build((6, 5, 7))
    ours.bias.assign([0.5, -2.0])
    plain.set_weights(ours.get_weights())

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([first, second])
        out = ours([first, second])
        joined = tf.concat([tf.repeat(first, 5, axis=1), second], axis=-1)
        expected = plain(joined)
        sums = [tf.reduce_sum(x * weight) for x in (out, expected)]
    assert out.shape == (6, 5, 2)
    assert ours.compute_output_shape([first.shape, second.shape]) == (6, 5, 2)
    assert np.allclose(out, expected, atol=1e-5)
    for one, other in ((ours.kernel, plain.kernel), (ours.bias, plain.bias)):
        found, gradient = tape.gradient(sums[0], one), tape.gradient(sums[1], other)
        assert np.abs(gradient).max() > 0.1
        assert np.allclose(found, gradient, atol=1e-5)
    for x in (first, second):
        assert np.allclose(tape.gradient(sums[0], x), tape.gradient(sums[1], x), atol=1e-5)


def test_concat_dense_multiplies_matrices_and_not_one_row_at_a_time():
    """A product of batches would make the kernel's gradient once a row, and only then add up."""
    layer = ConcatDense(2, seed=1)
    layer.build([(None, 1, 3), (None, 5, 4)])

    @tf.function
    def gradients(first, second):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer([first, second]))
        return tape.gradient(total, layer.trainable_variables)

    graph = gradients.get_concrete_function(tf.ones((6, 1, 3)), tf.ones((6, 5, 4))).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("MatMul") == 4  # forward and for the kernel: of the users, of the items
    assert not any(kind.startswith("BatchMatMul") for kind in kinds)


def test_concat_dense_can_be_made_again_from_its_configuration():
    layer = ConcatDense(2, seed=7, kernel_regularizer=keras.regularizers.L2(0.25), name="join")
    again = ConcatDense.from_config(layer.get_config())
    for one in (layer, again):
        one.build([(None, 1, 3), (None, 5, 4)])
    assert (again.units, again.name, again.kernel.shape) == (2, "join", (7, 2))
    assert np.array_equal(again.kernel, layer.kernel)
    assert float(again.losses[0]) == pytest.approx(0.25 * float(np.square(layer.kernel).sum()))


@pytest.mark.parametrize("begun, threads", [("", 1), ("; tf.constant(1) + 1", 0)])
def test_tensorflow_is_held_to_one_thread_unless_it_has_begun(root, begun, threads):
    """Sums are split among threads: with several, results would depend on the number of cores."""
    ask = f"import tensorflow as tf{begun}; from ncf_utils import keras_ncf"
    ask += "; print(tf.config.threading.get_intra_op_parallelism_threads())"
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "4", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", ask]
    said = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert said.stdout == f"{threads}\n", said.stderr


# --- a row that stands twice in a batch ----------------------------------------------------------


def one_table(optimizer, num_steps=1, scale=1.0):
    """Train a table of three rows on a batch that looks row 0 up twice, row 1 once."""
    table = keras.layers.Embedding(3, 2, keras.initializers.Constant(0.5))
    table.build()
    for _ in range(num_steps):
        with tf.GradientTape() as tape:
            rows = table(tf.constant([0, 0, 1]))
            slope = tf.constant([[1.0, 2.0], [3.0, -1.0], [4.0, 0.5]])
            loss = scale * tf.reduce_sum(rows * slope)
        gradient = tape.gradient(loss, table.trainable_variables)
        assert isinstance(gradient[0], tf.IndexedSlices)  # one gradient for each look-up
        optimizer.apply(gradient, table.trainable_variables)
    return np.array(keras.ops.convert_to_numpy(table.embeddings))


SUMMED = np.array([[4.0, 1.0], [4.0, 0.5], [0.0, 0.0]])  # the gradient by the definition


def adam_by_the_paper(gradient, num_steps, learning_rate=0.1, epsilon=1e-8):
    """Kingma and Ba, 2015, algorithm 1, from a table of 0.5."""
    m, v, theta = 0.0, 0.0, np.full(gradient.shape, 0.5)
    for step in range(1, num_steps + 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        theta -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta


def test_adam_sees_the_sum_of_a_rows_gradients():
    expected = adam_by_the_paper(SUMMED, 3)
    assert np.allclose(one_table(DenseAdam(0.1, epsilon=1e-8), 3), expected, atol=1e-5)
    # Keras's own Adam squares the look-ups one by one, which is why ours exists.
    plain = one_table(keras.optimizers.Adam(0.1, epsilon=1e-8), 3)
    assert np.allclose(plain[1], expected[1], atol=1e-5)
    assert np.abs(plain[0] - expected[0]).max() > 0.01


def test_adam_adds_epsilon_after_the_correction():
    """Which tells where gradients are as small as those of an embedding near zero."""
    expected = adam_by_the_paper(1e-7 * SUMMED, 3)
    optimizer = DenseAdam(0.1, epsilon=1e-8)
    assert np.allclose(one_table(optimizer, 3, scale=1e-7), expected, atol=1e-5)
    assert optimizer.epsilon == 1e-8  # as it was given
    plain = one_table(keras.optimizers.Adam(0.1, epsilon=1e-8), 3, scale=1e-7)
    assert np.abs(plain[1] - expected[1]).max() > 0.1


@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_rmsprop_sees_the_sum_of_a_rows_gradients(scale):
    gradient = scale * SUMMED
    expected = 0.5 - 0.1 * gradient / (np.sqrt(0.1 * gradient**2) + 1e-15)
    found = one_table(keras_ncf.make_optimizer("rmsprop", 0.1), scale=scale)
    assert np.allclose(found, expected, atol=1e-5)


def test_adagrad_sees_the_sum_of_a_rows_gradients():
    expected = 0.5 - 0.1 * SUMMED / np.sqrt(0.1 + SUMMED**2)
    found = one_table(keras_ncf.make_optimizer("adagrad", 0.1))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "name, kind",
    [("adam", DenseAdam), ("rmsprop", DenseRMSprop), ("adagrad", DenseAdagrad)]
    + [("sgd", keras_ncf.PlainSGD)],  # linear in the gradient: it adds up by itself
)
def test_optimisers_of_fit(name, kind):
    optimizer = keras_ncf.make_optimizer(name, 0.25)
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate) == 0.25


# --- Keras models of one's own -------------------------------------------------------------------


def test_fit_takes_any_keras_model():
    dataset = small_dataset()
    user = keras.Input((None,), dtype="int32")
    item = keras.Input((None,), dtype="int32")
    bias = keras.layers.Embedding(dataset.num_items, 1, "zeros")(item)
    model = keras.Model([user, item], keras.ops.squeeze(bias, -1))
    fit = keras_ncf.fit(model, dataset, epochs=12, batch_size=50, learning_rate=0.1, progress=False)
    counts = dataset.train.item_counts()
    learned = model.get_weights()[0][:, 0]
    assert np.corrcoef(learned, np.log(counts + 1))[0, 1] > 0.7  # it learns popularity
    assert fit.picked.validation_ndcg > fit.history.validation_ndcg[0] + 0.1


def test_scores_can_be_written_to():
    scores = keras_ncf.score_function(make(keras_ncf, "GMF"))(np.array([[0]]), np.array([[1, 2]]))
    assert isinstance(scores, np.ndarray)
    scores[0, 0] = -np.inf  # as a recommender does with items already seen


# --- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_must_be_named_keras(tmp_path):
    with pytest.raises(ValueError, match="path must end with .keras, not 'model.h5'"):
        keras_ncf.save(make(keras_ncf, "GMF"), tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


class MyGMF(keras_ncf.GMF):
    """A reader's own, which Keras does not know."""


@keras.saving.register_keras_serializable("test_keras_ncf")
class KnownGMF(keras_ncf.GMF):
    pass


@keras.saving.register_keras_serializable("test_keras_ncf")
class KnownStack(keras.Sequential):
    pass


@pytest.mark.parametrize(
    "make_it, kind",
    [
        (lambda: MyGMF(3, 5), "test_keras_ncf.MyGMF"),
        (lambda: KnownStack([keras.Input((1,))]), "KnownStack"),
        (lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), "Sequential"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, make_it, kind):
    path = tmp_path / "model.keras"
    path.write_text("before")
    with pytest.raises(ValueError, match=f"a GMF, MLP or NeuMF of keras_ncf, .*, not a .*{kind}$"):
        keras_ncf.save(make_it(), path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_class_that_keras_knows_is_saved_and_loaded(tmp_path):
    keras_ncf.save(KnownGMF(3, 5), tmp_path / "model.keras")
    assert type(keras_ncf.load(tmp_path / "model.keras")) is KnownGMF


def test_two_savers_of_one_path_do_not_meet(tmp_path, monkeypatch):
    """The second begins and ends while the first one writes."""
    path, second, save = tmp_path / "model.keras", make(keras_ncf, "MLP"), keras.Model.save

    def interrupted(model, file):
        save(model, file)
        monkeypatch.setattr(keras.Model, "save", save)
        keras_ncf.save(second, path)
        assert type(keras_ncf.load(path)) is keras_ncf.MLP

    monkeypatch.setattr(keras.Model, "save", interrupted)
    keras_ncf.save(make(keras_ncf, "GMF"), path)
    assert type(keras_ncf.load(path)) is keras_ncf.GMF
    assert list(tmp_path.iterdir()) == [path]


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "model.keras", str(tmp_path / "was-run")
    inputs = keras.Input((1,))
    evil = keras.layers.Lambda(lambda x: open(trace, "w") and x, output_shape=(1,))
    model = keras.Model(inputs, evil(inputs))
    model.save(path)
    model(np.zeros((1, 1)))
    os.remove(trace)  # so much for what the layer would do
    with pytest.raises(ValueError, match="is not a checkpoint of GMF, MLP or NeuMF"):
        keras_ncf.load(path)
    assert not os.path.exists(trace)


def test_another_keras_model_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    inputs = keras.Input((1,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(path)
    with pytest.raises(ValueError, match="holds a Functional, not a GMF, MLP or NeuMF"):
        keras_ncf.load(path)


def test_dropout_of_a_loaded_model_still_drops(tmp_path):
    model = make(keras_ncf, "MLP", dropout=0.5)
    randomise(keras_ncf, model)
    keras_ncf.save(model, tmp_path / "model.keras")
    loaded = keras_ncf.load(tmp_path / "model.keras")
    pair = np.zeros((200, 1), int), np.zeros((200, 1), int)
    assert np.std(keras.ops.convert_to_numpy(loaded(list(pair), training=True))) > 0.01


def test_a_frozen_model_is_frozen_when_it_is_loaded(tmp_path):
    model = make(keras_ncf, "GMF")
    for trainable in (True, False):
        model.trainable = trainable
        keras_ncf.save(model, tmp_path / "model.keras")
        loaded = keras_ncf.load(tmp_path / "model.keras")
        assert loaded.trainable is trainable
        assert bool(loaded.trainable_variables) is trainable


def test_summary_lists_every_layer():
    lines = []
    make(keras_ncf, "NeuMF").summary(print_fn=lines.append)
    text = "\n".join(lines)
    for name in ("gmf_user_embedding", "mlp_item_embedding", "hadamard", "tower_1", "output"):
        assert name in text


def test_many_score_functions_and_shapes_trace_one_graph_each_and_say_nothing(caplog):
    """TensorFlow warns of graphs that are traced again and again; in a notebook it shows."""
    user, item = np.arange(6)[:, None] % 5, np.arange(24).reshape(6, 4) % 7
    for seed in range(12):
        model = keras_ncf.NeuMF(5, 7, 4, [8, 4], seed=seed)
        score = keras_ncf.score_function(model)
        expected = np.array(model([user, item], training=False))
        for rows in (6, 5, 3, 1):
            assert np.allclose(score(user[:rows], item[:rows]), expected[:rows], atol=1e-6)
        assert score(user, np.arange(7)).shape == (6, 7) and score(3, 5).shape == ()
        model.set_weights([2 * weight for weight in model.get_weights()])
        doubled = np.array(model([user, item], training=False))
        assert np.allclose(score(user, item), doubled, atol=1e-5)  # the weights of the moment
    assert not caplog.records


@pytest.mark.parametrize("loss", keras_ncf.LOSS_FUNCTIONS)
def test_a_loss_is_one_number_for_each_group(loss):
    """Keras takes the mean itself, and could not weigh the groups otherwise."""
    labels, logits = np.eye(1, 3, dtype="float32").repeat(5, axis=0), np.ones((5, 3), "float32")
    assert keras_ncf.LOSS_FUNCTIONS[loss](labels, logits).shape == (5,)
