"""Reads a grid of runs from a YAML file, and checks all of it before anything runs.

A grid names a notebook, the CSV that its rows go to, parameters for every run, and the runs::

    notebook: ../notebooks/experiments/train_one_model.ipynb
    results: ../data/results/depth.csv
    parameters: {dataset: ncf-ml-1m, epochs: 30}
    runs:
      - model: MLP
        hidden_layers: [[16], [32, 16]]
        seed: [0, 1, 2]
      - together:
          - {num_factors: 8, hidden_layers: [32, 16, 8]}
          - {num_factors: 16, hidden_layers: [64, 32, 16]}
        seed: [0, 1, 2]

Paths are relative to the grid's file. In an entry of ``runs`` a list holds the values to try, and
the entry stands for every combination of them; the name that is written first changes slowest. So
a parameter whose value is a list itself, as `hidden_layers` is, takes a list of lists. In
``together`` are parameters that change together: each of its lines is tried as it stands. What a
run leaves open has the notebook's own value.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import math
import os
import reprlib
from dataclasses import dataclass, replace
from pathlib import Path

from . import parameters as kinds
from .parameters import KINDS, nearest

MOST_RUNS = 10_000
_MAKERS = ("integer", "number", "choice", "integers", "optional")
_PLAIN = ("boolean", "dataset_name")


class GridError(ValueError):
    """A grid that cannot be run; each line of the message names the file, the line and the fault"""


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a grid.

    Attributes:
        id: 12 characters that follow from the notebook's name and all its parameters.
        parameters: name -> value, all that the notebook has.
        chosen: the names among them that the run's entry of the grid sets.
        entry: where it stands, such as ``"depth.yaml, line 5"``.
    """

    id: str
    parameters: dict
    chosen: tuple[str, ...]
    entry: str

    def __str__(self):
        values = (f"{name}={json.dumps(self.parameters[name])}" for name in self.chosen)
        return " ".join([self.id, *(value.replace('"', "") for value in values)])


@dataclass(frozen=True)
class Grid:
    """What a grid's file asks for.

    Attributes:
        path: the file.
        notebook: path of the notebook.
        results: path of the CSV.
        parameters: name -> the notebook's own value.
        runs: the runs in their order, each once.
        repeated: how many runs an earlier entry held already.
    """

    path: Path
    notebook: Path
    results: Path
    parameters: dict
    runs: tuple[Run, ...]
    repeated: int

    def only(self, ids) -> Grid:
        """The grid with these runs alone.

        Raises:
            GridError: the grid has no run of such an id.
        """
        known = [run.id for run in self.runs]
        unknown = [name for name in ids if name not in known]
        if unknown:
            told = ", ".join(f"{name}{nearest(name, known)}" for name in unknown)
            raise GridError(f"{self.path}: no run {told}")
        return replace(self, runs=tuple(run for run in self.runs if run.id in ids))


def read_grid(path) -> Grid:
    """Read and check a grid's file; nothing in it or in its notebook is executed.

    Raises:
        GridError: the file is not as described at the top of this module, or a parameter is
            unknown, has a value of a wrong type or an impossible one, or a run comes twice.
        OSError: the file cannot be read.
    """
    path = Path(path)
    top = _Mapping(path, *_parse(path))
    unknown = [
        top.fault(f"unknown entry {name}{nearest(name, _TOP)}", name)
        for name in top
        if name not in _TOP
    ]
    missing = [
        top.fault(f"no entry {name}") for name in ("notebook", "results", "runs") if name not in top
    ]
    if unknown or missing:
        raise GridError("\n".join(unknown + missing))
    notebook, results = (_path(top, name) for name in ("notebook", "results"))
    if not os.path.isfile(notebook):  # pathlib raises where a name is too long
        raise GridError(top.fault(f"notebook: there is no {notebook}", "notebook"))
    if results.suffix != ".csv":
        raise GridError(top.fault("results: expected a name that ends in .csv", "results"))
    own = _Notebook(notebook)
    faults = []
    common = {}
    if "parameters" in top:
        common = _checked(top.mapping("parameters"), own, faults)
    entries = [_entry(entry, own, faults) for entry in top.mappings("runs")]
    if faults:
        raise GridError("\n".join(dict.fromkeys(faults)))  # a list of values tells a fault of each
    runs, repeated = _combine(entries, own, common)
    return Grid(path, notebook, results, own.defaults, runs, repeated)


_TOP = ("notebook", "results", "parameters", "runs")


def _path(top, name):
    value = top.value(name)
    if not isinstance(value, str) or not value.strip():
        raise GridError(top.fault(f"{name}: expected a path", name))
    if "\0" in value:
        raise GridError(top.fault(f"{name}: expected a path, found {_short(value)}", name))
    return Path(top.path.parent, value).resolve()


# --- YAML, with the line of everything -----------------------------------------------------------


def _parse(path):
    """Return (loader, node) of the file's one document. The loader makes plain values only."""
    import yaml

    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        return loader, loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise GridError(f"{path}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GridError(f"{path}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise GridError(f"{path}: lists or mappings too deep in one another") from None


class _Mapping:
    """A mapping of the file, name -> value, that knows its lines."""

    def __init__(self, path, loader, node):
        import yaml

        self.path, self._loader, self._node = path, loader, node
        if not isinstance(node, yaml.MappingNode):
            raise GridError(self.fault("expected names with values, as in 'seed: 0'"))
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise GridError(f"{path}, line {_line(key)}: expected a name before the colon")
        written = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if written.count(key.value) > 1:
                raise GridError(f"{path}, line {_line(key)}: {key.value} stands there twice")
        try:
            loader.flatten_mapping(node)  # "<<: *name" takes over what &name has
            self._nodes = {key.value: value for key, value in node.value}
        except yaml.MarkedYAMLError as error:
            raise GridError(self.fault(error.problem)) from None

    def __iter__(self):
        return iter(self._nodes)

    def __contains__(self, name):
        return name in self._nodes

    def fault(self, text, name=None):
        """One line that says where `text` is wrong."""
        node = self._nodes[name] if name is not None else self._node
        return f"{self.path}{f', line {_line(node)}' if node else ''}: {text}"

    def value(self, name):
        """The plain value of a name."""
        import yaml

        try:
            return self._loader.construct_object(self._nodes[name], deep=True)
        except yaml.MarkedYAMLError as error:
            raise GridError(self.fault(error.problem, name)) from None
        except RecursionError:
            raise GridError(self.fault(f"{name}: too deep in one another", name)) from None
        except Exception:  # where a value does not fit its tag, PyYAML's errors are of any kind
            text = self._loader.buffer[self._nodes[name].start_mark.index :].splitlines()[0]
            fault = f"{name}: expected a plain value, found {reprlib.repr(text)}"
            raise GridError(self.fault(fault, name)) from None

    def mapping(self, name):
        return _Mapping(self.path, self._loader, self._nodes[name])

    def mappings(self, name):
        """The mappings in a list."""
        import yaml

        node = self._nodes[name]
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise GridError(self.fault(f"{name}: expected a list, of lines that begin '- '", name))
        return [_Mapping(self.path, self._loader, item) for item in node.value]


def _line(node):
    return node.start_mark.line + 1


# --- the notebook's parameters -------------------------------------------------------------------


class _Notebook:
    """The parameters of a notebook and their kinds, read from its cells without running them."""

    def __init__(self, path):
        self.name = path.stem
        cells = _code_cells(path)
        tagged = [source for source, tags in cells if "parameters" in tags]
        if not tagged:
            raise GridError(f"{path}: no cell is tagged parameters")
        self.defaults = _literals(path, tagged[0])
        self.kinds = {name: _like(value) for name, value in self.defaults.items()}
        self.kinds |= {name: kind for name, kind in KINDS.items() if name in self.defaults}
        for source, _ in cells:
            self.kinds |= _own_kinds(source)
        if self.kinds.get("dataset") is KINDS["dataset"]:
            self.kinds["dataset"] = _dataset_from(path.parent)
        try:
            self.defaults = {name: self.check(name, value) for name, value in self.defaults.items()}
        except ValueError as error:
            raise GridError(f"{path}: {error}") from None

    def check(self, name, value):
        """The value to use; raises ValueError saying what is allowed."""
        if name not in self.defaults:
            raise ValueError(f"unknown parameter {name}{nearest(name, self.defaults)}")
        try:
            return self.kinds[name](value)
        except ValueError as error:
            raise ValueError(f"{name} = {_short(value)}: expected {error}") from None


def _short(value):
    text = reprlib.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _code_cells(path):
    """(source, tags) of each code cell of a notebook's file."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if notebook["nbformat"] != 4:
            raise ValueError
        return [
            ("".join(cell["source"]), cell["metadata"].get("tags", ()))
            for cell in notebook["cells"]
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GridError(f"{path}: not a notebook of format 4") from None


def _literals(path, source):
    """name -> value of a cell that assigns plain literals."""
    try:
        assigned = [node for node in ast.parse(source).body if not _is_text(node)]
        names = [getattr(node, "target", None) or node.targets[0] for node in assigned]
        return {
            name.id: ast.literal_eval(node.value)
            for name, node in zip(names, assigned, strict=True)
        }
    except (SyntaxError, ValueError, AttributeError):
        raise GridError(f"{path}: expected plain literals in the cell of parameters") from None


def _is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _own_kinds(source):
    """The kinds that a cell gives to `check_parameters`, as far as they can be read."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # a cell with IPython's own syntax
        return {}
    found = {}
    for node in nodes:
        name = getattr(getattr(node, "func", None), "id", None)
        if name == "check_parameters":
            for keyword in node.keywords:
                try:
                    found[keyword.arg] = _kind(keyword.value)
                except (KeyError, ValueError, TypeError, AttributeError):
                    pass  # a kind that only the notebook knows: its run will check it
    return found


def _kind(node):
    """The kind that an expression such as ``optional(integer(1, 9))`` says, or a literal in it."""
    if isinstance(node, ast.Name):
        return {name: getattr(kinds, name) for name in _PLAIN}[node.id]
    if isinstance(node, ast.Subscript) and node.value.id == "KINDS":
        return KINDS[ast.literal_eval(node.slice)]
    if isinstance(node, ast.Call):
        make = {name: getattr(kinds, name) for name in _MAKERS}[node.func.id]
        options = {keyword.arg: _kind(keyword.value) for keyword in node.keywords}
        return make(*map(_kind, node.args), **options)
    return ast.literal_eval(node)


def _dataset_from(folder):
    """Kind: what `load_dataset` takes in a notebook in `folder`, where a relative path starts."""

    def check(value):
        from .data import is_here, known_names

        if isinstance(value, str) and value.strip():
            # An absolute path may be one of the workers' machines.
            there = is_here(os.path.join(folder, value))
            if there or value in known_names() or os.path.isabs(value):
                return value
        KINDS["dataset"](value)  # says what is wrong with a name
        raise ValueError(f"a name, an absolute path, or a path from {folder} to what is there")

    return check


_TYPES = {bool: "a truth value", int: "a whole number", float: "a number", str: "text"}
_TYPES[list] = "a list"


def _like(default):
    """Kind: a value of the same type as the notebook's own; anything where that is None."""

    def check(value):
        if isinstance(default, float) and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                raise ValueError("a finite number") from None
        if default is not None and type(value) is not type(default):
            raise ValueError(f"{_TYPES.get(type(default), 'a value')}, as {default!r} is")
        if not _is_plain(value):
            raise ValueError("a finite number, text, a truth value, null, or a list of these")
        return value

    return check


def _is_plain(value):
    """Whether JSON can hold a value; what aliases have made endless or huge is not plain."""
    waiting = [value]
    for part in waiting:
        if isinstance(part, list):
            waiting += part
        finite = not isinstance(part, float) or math.isfinite(part)
        known = part is None or isinstance(part, (bool, int, float, str, list))
        if not (finite and known) or len(waiting) > 10_000:
            return False
    return True


# --- entries and runs ----------------------------------------------------------------------------


def _checked(mapping, own, faults):
    """name -> checked value of a mapping of single values; what is wrong goes to `faults`."""
    good = {}
    for name in mapping:
        _check(mapping, name, mapping.value(name), own, good, faults)
    return good


def _check(mapping, name, value, own, good, faults, hint=""):
    try:
        good[name] = own.check(name, value)
    except ValueError as error:
        if isinstance(value, str) and _is_number(value):
            hint = f"; YAML takes {value} for text: write it with a point, as in 1.0e-3"
        faults.append(mapping.fault(f"{error}{hint}", name))


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _entry(entry, own, faults):
    """(where it stands, axes): each axis a list of name -> value, of which one is tried."""
    axes = []
    for name in entry:
        if name == "together":
            lines = entry.mappings(name)
            axes.append([_checked(line, own, faults) for line in lines])
            if len({frozenset(line) for line in lines}) > 1:
                faults.append(entry.fault("together: expected the same names in each line", name))
            continue
        values = entry.value(name)
        if isinstance(values, list) and not values:
            faults.append(entry.fault(f"{name}: expected at least one value", name))
            continue
        axis = []
        for value in values if isinstance(values, list) else [values]:
            # [32, 16] are two values to try, and neither is a list of layers.
            is_layer = isinstance(own.defaults.get(name), list) and not isinstance(value, list)
            hint = f"; a list of lists, such as {name}: [{_short(values)}]" if is_layer else ""
            good = {}
            _check(entry, name, value, own, good, faults, hint)
            axis.append(good)
        axes.append(axis)
    names = [name for axis in axes for name in (axis[0] if axis else ())]
    for name in {name for name in names if names.count(name) > 1}:
        faults.append(entry.fault(f"{name}: both on its own and in together"))
    count = math.prod(map(len, axes))
    if count > MOST_RUNS:
        faults.append(entry.fault(f"{count:,} runs, of which a grid may have {MOST_RUNS:,}"))
        axes = []
    return entry, axes


def _combine(entries, own, common):
    """The runs of all entries in order; one that an earlier entry holds is left out."""
    runs, repeated = {}, 0
    for entry, axes in entries:
        here = set()
        for combination in itertools.product(*axes):
            chosen = {name: value for part in combination for name, value in part.items()}
            parameters = own.defaults | common | chosen
            identity = _identity(own.name, parameters)
            if identity in here:
                values = ", ".join(f"{name} = {value}" for name, value in chosen.items())
                raise GridError(entry.fault(f"a run stands there twice: {values}"))
            here.add(identity)
            repeated += identity in runs
            where = entry.fault("").removesuffix(": ")
            runs.setdefault(identity, Run(identity, parameters, tuple(chosen), where))
            if len(runs) > MOST_RUNS:
                raise GridError(entry.fault(f"more than {MOST_RUNS:,} runs in all"))
    return tuple(runs.values()), repeated


def run_id(notebook, parameters):
    """The id that a run has in every grid of its notebook.

    Args:
        notebook: path of the notebook.
        parameters: dict of name -> value to write over the notebook's own.

    Raises:
        ValueError: no grid can have the run: the notebook has no cell that is tagged parameters,
            or a parameter is unknown or has an impossible value.
        OSError: the notebook cannot be read.
    """
    own = _Notebook(Path(notebook))
    given = {name: own.check(name, value) for name, value in (parameters or {}).items()}
    return _identity(own.name, own.defaults | given)


def _identity(notebook, parameters):
    text = json.dumps({"notebook": notebook, "parameters": parameters}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
