"""An epoch of training in Keras: `fit` against the textbook's model, and against PyTorch."""

from __future__ import annotations

import keras
from keras import layers

from ncf_utils import NegativeSampler, keras_ncf, torch_ncf

from .measuring import (
    HIDDEN_LAYERS,
    NUM_FACTORS,
    NUM_NEGATIVES,
    Side,
    default_of,
    some_positives,
    stopwatch,
)
from .training import fit_side

BATCH_SIZE = 256  # of the textbook


def textbook_model(num_users, num_items, num_factors, hidden_layers, embedding_dim):
    """NeuMF as tutorials build it, one instance a row, compiled with Keras's own choices."""
    user = keras.Input((1,), dtype="int32")
    item = keras.Input((1,), dtype="int32")

    def look_up(index, num_rows, dim):
        return layers.Flatten()(layers.Embedding(num_rows, dim)(index))

    gmf = layers.Multiply()(
        [look_up(user, num_users, num_factors), look_up(item, num_items, num_factors)]
    )
    z = layers.Concatenate()(
        [look_up(user, num_users, embedding_dim), look_up(item, num_items, embedding_dim)]
    )
    for width in hidden_layers:
        z = layers.Dense(width, activation="relu")(z)
    score = layers.Dense(1, activation="sigmoid")(layers.Concatenate()([gmf, z]))
    model = keras.Model([user, item], score)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    return model


def measure(setting):
    dataset = setting.load()
    return {
        "default_batch_size": default_of(keras_ncf.fit, "batch_size"),
        "textbook_batch_size": BATCH_SIZE,
        "instances": len(dataset.train) * (1 + NUM_NEGATIVES),
        "rows": [compare(setting, dataset, dim) for dim in setting.embedding_dims],
    }


def compare(setting, dataset, embedding_dim):
    """Both frameworks' `fit` and the textbook's, in turns."""
    default, everything = default_of(keras_ncf.fit, "batch_size"), setting.about(len(dataset.train))
    compiling = []
    sides = [
        fit_side("keras", keras_ncf, dataset, embedding_dim, default, everything, compiling),
        fit_side("torch", torch_ncf, dataset, embedding_dim, default, everything),
        textbook_side(dataset, embedding_dim, setting.about(25_000)),
    ]
    if not setting.quick:
        same_batch = keras_ncf, dataset, embedding_dim, BATCH_SIZE, setting.about(25_000)
        sides.append(fit_side("keras_small_batch", *same_batch))
    turns = setting.take_turns(sides, slow=True)
    return {"embedding_dim": embedding_dim, "compiling": compiling, "sides": turns}


def textbook_side(dataset, embedding_dim, amount):
    """A side: Keras's `fit` over some of the epoch, its negatives drawn by our sampler."""
    part, share = some_positives(dataset, amount)
    sampler = NegativeSampler(part.train, NUM_NEGATIVES, seed=0)
    sizes = NUM_FACTORS, HIDDEN_LAYERS, embedding_dim
    model = textbook_model(dataset.num_users, dataset.num_items, *sizes)

    def epoch():
        user, item, label = sampler.epoch()
        model.fit([user, item], label, batch_size=BATCH_SIZE, verbose=0)

    return Side("textbook", stopwatch(epoch), share)
