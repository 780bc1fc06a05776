"""For scale: what two strong models without a network take on the same data."""

from __future__ import annotations

from ncf_utils import evaluate
from ncf_utils.baselines import ease

from .measuring import Side, rounded, stopwatch


def measure(setting):
    """Seconds of training, and HR@10 and NDCG@10 on the test items; ALS only where it is there."""
    train = setting.load().train
    models = {"ease": lambda: ease(train)}
    try:
        import implicit  # noqa: F401

        from ncf_utils.matrix_factorisation import als
    except ImportError:
        pass
    else:
        models["als"] = lambda: als(train)
    scores = {}

    def side(name, make):
        def train_it():
            scores[name] = make()

        return Side(name, stopwatch(train_it))

    turns = setting.take_turns([side(name, make) for name, make in models.items()], slow=True)
    quality = {name: evaluate(score, setting.load()) for name, score in scores.items()}
    return {
        "sides": turns,
        "hr": {name: rounded(found.hr) for name, found in quality.items()},
        "ndcg": {name: rounded(found.ndcg) for name, found in quality.items()},
    }
