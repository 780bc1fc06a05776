"""What the notebooks of the course share.

The names below can be taken from here (``from ncf_utils import load_dataset``); each is loaded
from its module at its first use, so ``import ncf_utils`` is quick and loads neither torch nor
tensorflow. The models live in a module a framework: ``ncf_utils.torch_ncf`` and
``ncf_utils.keras_ncf``.
"""

from importlib import import_module

from . import import_order

__version__ = "0.1.0"

# Public name -> the module that defines it.
_HOME = {
    "DATASETS": "data",
    "DataError": "data",
    "Dataset": "data",
    "HeldOut": "data",
    "Interactions": "data",
    "load_dataset": "data",
    "load_ratings": "ratings",
    "NegativeSampler": "sampler",
    "bootstrap_interval": "metrics",
    "evaluate": "metrics",
    "hit_ratio": "metrics",
    "ndcg": "metrics",
    "positive_ranks": "metrics",
    "popularity_score": "baselines",
    "random_score": "baselines",
    "ParameterError": "parameters",
    "check_parameters": "parameters",
    "record": "results",
}

__all__ = ["__version__", *_HOME]

import_order.install()


def __getattr__(name):
    """Load a public name from its module at its first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
