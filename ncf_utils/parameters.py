"""Checks the values that a notebook starts from.

A notebook's ``parameters`` cell holds plain literals, and papermill writes other values over them.
``check_parameters(globals())``, in the cell right after, turns a bad value or a misspelled name
into one line that says what is allowed, before anything is trained with it.
"""

import ast
import difflib
import reprlib

from .errors import OneLineError


class ParameterError(OneLineError):
    """A notebook parameter has a bad value or a name that the notebook does not know."""


# A kind is a function of one value: it returns the value to use, or raises ValueError saying what
# is allowed.


def integer(low, high):
    """Kind: a whole number from `low` to `high`."""

    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low:,} to {high:,}")
        return value

    return check


def number(low, high, exclude_low=False):
    """Kind: a finite number from (or above) `low` to `high`; returned as a float."""

    def check(value):
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        # NaN fails the comparison.
        if not (plain and low <= value <= high) or (exclude_low and value == low):
            raise ValueError(f"a number {'above' if exclude_low else 'from'} {low:g} to {high:g}")
        return float(value)

    return check


def boolean(value):
    """Kind: True or False."""
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def choice(*options):
    """Kind: one of the strings `options`."""

    def check(value):
        if not isinstance(value, str) or value not in options:
            raise ValueError(f"one of {', '.join(map(repr, options))}{nearest(value, options)}")
        return value

    return check


def integers(low, high, shortest=0, longest=16):
    """Kind: a list of `shortest` to `longest` whole numbers from `low` to `high`."""
    item = integer(low, high)

    def check(value):
        try:
            if isinstance(value, (list, tuple)) and shortest <= len(value) <= longest:
                return [item(number) for number in value]
        except ValueError:
            pass
        # papermill's -p takes a list for text.
        hint = "; papermill takes a list by -y 'NAME: [64, 32]'" if isinstance(value, str) else ""
        raise ValueError(
            f"a list of {shortest} to {longest} whole numbers from {low:,} to {high:,}{hint}"
        )

    return check


def optional(kind):
    """Kind: None, or what `kind` allows."""

    def check(value):
        try:
            return None if value is None else kind(value)
        except ValueError as error:
            raise ValueError(f"None or {error}") from None

    return check


def dataset_name(value):
    """Kind: a name that `load_dataset` knows, or a path."""
    from .data import is_here, known_names

    names = known_names()
    if isinstance(value, str) and value.strip():
        # What is wrong with a path is for load_dataset to say.
        if value in names or "/" in value or "\\" in value or is_here(value):
            return value
    raise ValueError(f"one of {', '.join(map(repr, names))}, or a path{nearest(value, names)}")


#: Parameter name -> its kind. A notebook adds its own: ``check_parameters(globals(), name=kind)``.
KINDS = {
    # data
    "dataset": dataset_name,
    "num_candidates": integer(1, 100_000),
    "num_users": integer(1, 10_000_000),
    "num_items": integer(1, 10_000_000),
    # model
    "num_factors": integer(1, 4096),
    "embedding_dim": optional(integer(1, 4096)),
    "hidden_layers": integers(1, 8192),
    "activation": choice("relu", "linear", "tanh", "sigmoid"),
    "dropout": number(0, 0.99),
    "alpha": number(0, 1),
    # training
    "num_negatives": integer(1, 1000),
    "strategy": choice("uniform", "popularity", "all"),
    "epochs": integer(1, 10_000),
    "batch_size": integer(1, 10_000_000),
    "learning_rate": number(0, 100, exclude_low=True),
    "sgd_learning_rate": number(0, 100, exclude_low=True),
    "optimizer": choice("adam", "sgd", "rmsprop", "adagrad"),
    "loss": choice("log", "squared", "bpr"),
    "l2_embeddings": number(0, 100),
    "l2_layers": number(0, 100),
    "average": optional(number(0, 0.999999)),
    "patience": optional(integer(1, 10_000)),
    "pretrain": boolean,
    "pretrain_epochs": integer(1, 10_000),
    "probe_epochs": integer(1, 10_000),
    "refit": boolean,
    "full_ranking": boolean,
    "seed": integer(0, 2**32 - 1),
    "num_seeds": integer(1, 1000),
    # evaluation
    "k": integer(1, 10_000),
    "ties": choice("pessimistic", "optimistic", "expected"),
}


def check_parameters(namespace, /, **kinds):
    """Check a notebook's parameters and return them.

    In a notebook the parameters are the names that the ``parameters`` cell assigns (and the cell
    that papermill adds to it): call this in the cell right after.

    Args:
        namespace: dict of name -> value, in a notebook ``globals()``.
        **kinds: for names that this notebook alone has, or means differently: `integer`, `number`,
            `boolean`, `choice`, `integers` or `optional` of this module, or any function of the
            value that returns the value to use, or raises ValueError saying what is allowed.

    Returns:
        dict of the checked parameters, in the notebook's order.

    Raises:
        ParameterError: one line naming each bad parameter, its value and what is allowed, or each
            unknown name and the nearest known one.

    >>> check_parameters({"dataset": "ml-latest-small", "num_factors": 8, "seed": 0})
    {'dataset': 'ml-latest-small', 'num_factors': 8, 'seed': 0}
    >>> check_parameters({"num_negatives": -1})
    Traceback (most recent call last):
        ...
    ncf_utils.parameters.ParameterError: num_negatives = -1: expected a whole number from 1 to 1,000
    >>> check_parameters({"num_factor": 8})
    Traceback (most recent call last):
        ...
    ncf_utils.parameters.ParameterError: unknown parameter num_factor; did you mean 'num_factors'?
    """
    known = KINDS | kinds
    own, injected = _written(namespace)
    names = dict.fromkeys(own + injected)
    if not names:
        names = {n: None for n, v in namespace.items() if _is_parameter(n, v, known, namespace)}
    faults, checked = [], {}
    for name in names:
        if name not in known or (own and name not in own):
            faults.append(f"unknown parameter {name}{nearest(name, own or known)}")
            continue
        try:
            checked[name] = known[name](namespace[name])
        except ValueError as error:
            faults.append(f"{name} = {reprlib.repr(namespace[name])}: expected {error}")
    if faults:
        raise ParameterError(" | ".join(faults))
    return checked


def _is_parameter(name, value, known, namespace):
    # A kernel in which other cells have run holds literals that are no parameters.
    plain = value is None or isinstance(value, (bool, int, float, str, list, tuple, dict))
    return plain and name[:1] != "_" and ("In" not in namespace or name in known)


def _written(namespace):
    """Names that the parameters cell assigns, and names that papermill assigns after it.

    IPython keeps the sources of the cells in ``In``: the last cells before this one that hold
    nothing but literals. papermill heads the cell it adds with "# Parameters".
    """
    own, injected = [], []
    for source in reversed(namespace.get("In", ())):
        if "check_parameters(" in source:
            continue
        from_papermill = source.lstrip().startswith("# Parameters")
        names = _assigned(source, literals_only=not from_papermill)
        if not names:
            break
        (injected if from_papermill else own).extend(names)
    return own, injected


def _assigned(source, literals_only):
    """Names that a cell of nothing but ``name = value`` assigns; else an empty list."""
    try:
        body = ast.parse(source).body
        for node in body if literals_only else ():
            ast.literal_eval(node.value)
        return [node.targets[0].id for node in body]
    except (SyntaxError, ValueError, AttributeError):
        return []


def nearest(value, names):
    """``"; did you mean 'adam'?"`` for the name closest to `value`, or "" where none is close."""
    by_lower = {str(name).lower(): name for name in names}
    near = difflib.get_close_matches(str(value)[:100].lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
