"""GMF, MLP and NeuMF in NumPy, from the paper's equations: what both frameworks are held against.

And the few things that a test asks of a framework in the framework's own words.
"""

from functools import cache

import numpy as np

from ncf_utils.data import load_dataset

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
SIZES = {"num_users": 7, "num_items": 11}
# Every shape of model, small. NeuMF's two kinds of embeddings have one width, so that code which
# mixes them up would still run.
MODELS = {
    "GMF": ("GMF", {"num_factors": 4}),
    "MLP": ("MLP", {"hidden_layers": [8, 6, 3]}),
    "MLP-0": ("MLP", {"hidden_layers": []}),
    "MLP-wide": ("MLP", {"hidden_layers": [5], "embedding_dim": 9}),
    "NeuMF": ("NeuMF", {"num_factors": 4, "hidden_layers": [8, 5]}),
}


def make(ncf, name, **more):
    """One of `MODELS` in the framework `ncf`."""
    kind, arguments = MODELS[name]
    return getattr(ncf, kind)(**SIZES | arguments | more)


@cache
def small_dataset():
    """Forty users, with validation and test items. 617 positives, which is a prime number."""
    return load_dataset(
        "synthetic", num_users=40, num_items=150, num_interactions=697, num_candidates=30
    )


def randomise(ncf, model, seed=0, scale=1.0):
    """Replace all weights, biases too, by random ones of a size that matters; return them."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(0, scale, value.shape).astype(np.float32)
        for name, value in sorted(ncf.get_weights(model).items())
    }
    ncf.set_weights(model, weights)
    return weights


def dense(x, w, name):
    return x @ w[f"{name}.kernel"] + w[f"{name}.bias"]


def concatenate(p, q):
    shape = np.broadcast_shapes(p.shape[:-1], q.shape[:-1])
    return np.concatenate([np.broadcast_to(x, (*shape, x.shape[-1])) for x in (p, q)], axis=-1)


def mlp_vector(w, user, item, activation, prefix=""):
    """Equation 10 up to the last hidden layer."""
    z = concatenate(w[f"{prefix}user_embedding"][user], w[f"{prefix}item_embedding"][item])
    for depth in range(sum(name.endswith(".kernel") and "tower" in name for name in w)):
        z = ACTIVATIONS[activation](dense(z, w, f"tower_{depth}"))
    return z


def forward(kind, weights, user, item, activation="relu"):
    """Logits of a model with these weights, in double precision."""
    w = {name: value.astype(float) for name, value in weights.items()}
    if kind == "GMF":
        phi = w["user_embedding"][user] * w["item_embedding"][item]
    elif kind == "MLP":
        phi = mlp_vector(w, user, item, activation)
    else:
        gmf = w["gmf_user_embedding"][user] * w["gmf_item_embedding"][item]
        phi = concatenate(gmf, mlp_vector(w, user, item, activation, "mlp_"))
    return dense(phi, w, "output")[..., 0]


def error(found, expected):
    """The largest difference, relative to the largest value where that is above 1."""
    return np.abs(found - expected).max(initial=0) / max(1, np.abs(expected).max(initial=0))


def loss_by_hand(name, logits):
    """A loss of groups of logits (B, 1 + num_negatives), column 0 the positive."""
    logits = np.asarray(logits, float)
    labels = np.zeros(logits.shape)
    labels[:, 0] = 1
    if name == "log":  # -log sigmoid(x) = log(1 + exp(-x))
        return np.mean(labels * np.logaddexp(0, -logits) + (1 - labels) * np.logaddexp(0, logits))
    if name == "squared":
        return np.mean((labels - np.exp(-np.logaddexp(0, -logits))) ** 2)
    return np.mean([np.logaddexp(0, row[1:] - row[0]) for row in logits])


def penalty_by_hand(weights, l2_embeddings, l2_layers):
    total = 0.0
    for name, value in weights.items():
        square = float((value.astype(float) ** 2).sum())
        if name.endswith("_embedding"):
            total += l2_embeddings * square
        elif name.endswith(".kernel"):
            total += l2_layers * square
    return total


# --- in the framework's own words ----------------------------------------------------------------


def is_torch(ncf):
    return ncf.__name__.endswith("torch_ncf")


def training_logits(ncf, model, user, item):
    """Logits in training mode, where dropout drops."""
    if is_torch(ncf):
        import torch

        model.train()
        return model(torch.as_tensor(user), torch.as_tensor(item)).detach().numpy()
    import keras

    return keras.ops.convert_to_numpy(model([user, item], training=True))


def loss_of(ncf, name, logits):
    logits = np.asarray(logits, np.float32)
    if is_torch(ncf):
        import torch

        return float(ncf.LOSS_FUNCTIONS[name](torch.as_tensor(logits)))
    labels = np.zeros_like(logits)
    labels[:, 0] = 1
    return float(np.mean(ncf.LOSS_FUNCTIONS[name](labels, logits)))


def penalty_of(ncf, model):
    if is_torch(ncf):
        penalty = model.penalty()
        return penalty if isinstance(penalty, float) else penalty.item()
    return float(sum(model.losses))
