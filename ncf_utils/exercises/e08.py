"""Exercises of notebook 08, NeuMF; the same for both twins."""

import numpy as np

from . import Exercise

# --- 08.1 ----------------------------------------------------------------------------------------


def mix_output(h_gmf, b_gmf, h_mlp, b_mlp, alpha):
    h = [alpha * weight for weight in h_gmf]
    h += [(1 - alpha) * weight for weight in h_mlp]
    return h, alpha * b_gmf + (1 - alpha) * b_mlp


def _as_layer(function, *case):
    h, b = function(*case)
    return {"h": h, "b": b}


def _outputs(rng):
    yield np.array([2.0]), 1.0, np.array([4.0]), 3.0, 0.5
    yield np.array([2.0]), 1.0, np.array([4.0]), 3.0, 1.0
    yield np.array([1.0, 2.0]), 0.5, np.array([3.0]), -1.0, 0.25
    for width in (3, 8):
        yield rng.normal(size=8), 0.3, rng.normal(size=width), -0.7, 0.9


def _mixed(h_gmf, b_gmf, h_mlp, b_mlp, kernels, biases):
    h = np.concatenate([kernels[0] * h_gmf, kernels[1] * h_mlp])
    return h, biases[0] * b_gmf + biases[1] * b_mlp


# --- 08.2 ----------------------------------------------------------------------------------------


def honest_report(validation_ndcg, test_hr):
    picked = 1
    for epoch in range(1, len(validation_ndcg)):
        if validation_ndcg[epoch] > validation_ndcg[picked]:
            picked = epoch
    return picked, test_hr[picked], max(test_hr[1:]) - test_hr[picked]


def _histories(rng):
    yield [0.1, 0.5], [0.1, 0.6]
    yield [0.1, 0.5, 0.4], [0.1, 0.5, 0.7]
    yield [0.1, 0.3, 0.5, 0.4], [0.1, 0.7, 0.6, 0.65]
    yield [0.9, 0.3, 0.5, 0.4], [0.1, 0.7, 0.6, 0.65]
    yield [0.1, 0.3, 0.5, 0.4], [0.8, 0.7, 0.6, 0.65]
    yield rng.random(20).round(3), rng.random(20).round(3)


def _report(validation_ndcg, test_hr, epoch, shown=0):
    best = np.max(test_hr[1:])
    return epoch + shown, test_hr[epoch], best - test_hr[epoch]


# --- 08.3 ----------------------------------------------------------------------------------------


def not_learning(gradients):
    names = []
    for name, gradient in gradients.items():
        if gradient is None or all(slope == 0 for slope in np.ravel(gradient)):
            names.append(name)
    return names


def _found(function, gradients):
    names = list(function(gradients))
    found = {name: name in names for name in gradients}
    return found | {"other names": len(set(names) - set(gradients)) > 0}


def _networks(rng):
    some = rng.normal(size=(2, 2)).round(2)
    yield ({"output.weight": some, "mlp_user_embedding.weight": None},)
    yield ({"output.weight": some, "tower.0.weight": np.zeros((2, 2)), "output.bias": None},)
    yield ({"output.weight": np.array([1.0, -1.0]), "output.bias": np.array([0.5])},)
    yield ({"gmf_user_embedding.weight": np.array([[0.0, 0.0], [0.1, 0.0]]), "tower.0.bias": some},)


# --- 08.4 ----------------------------------------------------------------------------------------


def hr_by_alpha(gmf, mlp, alphas):
    values = []
    for alpha in alphas:
        hits = 0
        for one, other in zip(gmf, mlp, strict=True):
            mixed = [alpha * a + (1 - alpha) * b for a, b in zip(one, other, strict=True)]
            hits += sum(score >= mixed[0] for score in mixed[1:]) < 10
        values.append(hits / len(gmf))
    return values


def _two_models(rng):
    """Scores of one hidden film, column 0, and its rivals; the models are of unlike scale."""
    yield np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), [0.5]
    for users, rivals in ((4, 12), (10, 20), (40, 99)):
        gmf, mlp = rng.integers(-4, 5, (2, users, 1 + rivals)) / np.array([2.0, 1.0])[:, None, None]
        gmf[:, 0] += 1
        mlp[:, 0] += 1
        yield gmf, mlp, [0.0, 0.25, 0.5, 1.0]


def _hits(scores, strict=False, k=10):
    ahead = scores[:, 1:] > scores[:, :1] if strict else scores[:, 1:] >= scores[:, :1]
    return (ahead.sum(axis=1) < k).mean()


def _curve(gmf, mlp, alphas, **options):
    return [_hits(alpha * gmf + (1 - alpha) * mlp, **options) for alpha in alphas]


EXERCISES = [
    Exercise(
        "08.1",
        "α and the biases",
        ("h_gmf", "b_gmf", "h_mlp", "b_mlp", "alpha"),
        mix_output,
        _outputs,
        {
            "the biases are mixed by α like the kernels; this adds them up.": lambda *case: _mixed(
                *case[:4], (case[4], 1 - case[4]), (1, 1)
            ),
            "α belongs to the kernels as well, not to the biases alone.": lambda *case: _mixed(
                *case[:4], (1, 1), (case[4], 1 - case[4])
            ),
            "α is the share of GMF, and 1 - α that of the MLP.": lambda *case: _mixed(
                *case[:4], (1 - case[4], case[4]), (1 - case[4], case[4])
            ),
            "the GMF branch comes first in the output layer, then the MLP's.": (
                lambda h_gmf, b_gmf, h_mlp, b_mlp, alpha: mix_output(
                    h_mlp, b_mlp, h_gmf, b_gmf, 1 - alpha
                )
            ),
            "both get α; the MLP's share is 1 - α.": lambda *case: _mixed(
                *case[:4], (case[4], case[4]), (case[4], case[4])
            ),
        },
        measure=_as_layer,
    ),
    Exercise(
        "08.2",
        "One honest number",
        ("validation_ndcg", "test_hr"),
        honest_report,
        _histories,
        {
            "the epoch is picked by validation; the test may only be looked at.": lambda v, t: (
                _report(v, t, 1 + int(np.argmax(t[1:])))
            ),
            "this is the last epoch, not the one that validated best.": lambda v, t: _report(
                v, t, len(v) - 1
            ),
            "row 0 is the untrained model: it does not compete.": lambda v, t: _report(
                v, t, int(np.argmax(v))
            ),
            "leaving row 0 out shifts the places by one: epochs count from 1.": lambda v, t: (
                _report(v, t, 1 + int(np.argmax(v[1:])), shown=-1)
            ),
            "place 0 of v[1:] is epoch 1: add 1 before you read the test.": (
                lambda v, t: _report(v, t, int(np.argmax(v[1:])))
            ),
            "row 0 is the untrained model: it is no best on the test, either.": lambda v, t: (
                *honest_report(v, t)[:2],
                np.max(t) - honest_report(v, t)[1],
            ),
            "the sign: the best on the test is never below the picked one.": lambda v, t: (
                *honest_report(v, t)[:2],
                -honest_report(v, t)[2],
            ),
        },
    ),
    Exercise(
        "08.3",
        "Spot the dead branch",
        ("gradients",),
        not_learning,
        _networks,
        {
            "None is one way of not learning; a gradient of zeros everywhere is the other.": (
                lambda gradients: [name for name in gradients if gradients[name] is None]
            ),
            "slopes up and slopes down may add up to 0: look at each, or at their sizes.": (
                lambda gradients: [
                    name for name, g in gradients.items() if g is None or np.sum(g) == 0
                ]
            ),
            "a row of zeros is no fault, it was not in the batch: *all* must be zero.": (
                lambda gradients: [
                    name for name, g in gradients.items() if g is None or not np.all(g)
                ]
            ),
        },
        measure=_found,
    ),
    Exercise(
        "08.4",
        "The best α without training",
        ("gmf", "mlp", "alphas"),
        hr_by_alpha,
        _two_models,
        {
            "α is the share of GMF: at α = 1 this must be GMF's own HR.": lambda g, m, alphas: (
                _curve(m, g, alphas)
            ),
            "ties go against the hidden film: count rivals with the same score as well.": (
                lambda g, m, alphas: _curve(g, m, alphas, strict=True)
            ),
            "mix the scores, and then rank: HR of a mixture is no mixture of two HR.": (
                lambda g, m, alphas: [a * _hits(g) + (1 - a) * _hits(m) for a in alphas]
            ),
            "mix the logits: the sigmoid bends each of the two before they are added.": (
                lambda g, m, alphas: _curve(1 / (1 + np.exp(-g)), 1 / (1 + np.exp(-m)), alphas)
            ),
            "ten places are ranks 0 to 9: fewer than ten rivals ahead.": lambda g, m, alphas: (
                _curve(g, m, alphas, k=11)
            ),
        },
    ),
]
