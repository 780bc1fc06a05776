"""Mutation testing

Small faults are planted in a module, one at a time, and the tests that run the faulty lines must
fail. A fault is planted in a copy of a process that has loaded the module and collected its tests.
"""

from __future__ import annotations

import ast
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

from .elsewhere import ALONE
from .mutants import mutants

ROOT = Path(__file__).resolve().parent.parent
SAME = Path(__file__).with_name("same.json")
FORWARD = ("ConcatLinear", "Embedding", "_embedding", "_linear")
FORWARD += ("_Recommender", "GMF", "_Tower", "MLP", "NeuMF")
LOSSES = ("log_loss", "squared_loss", "bpr_loss")
SPLIT_TESTS = ("tests/test_data_split.py", "ncf_utils/split.py")
DATA_TESTS = ("tests/test_data.py", *SPLIT_TESTS, "tests/test_data_cache.py", "ncf_utils/data.py")
DATA_TESTS += ("tests/test_readers.py", "tests/test_download.py")
MODEL_TESTS = ("tests/test_models.py", "tests/test_parity.py")
#: Module -> the classes and functions to change, all where empty; and the tests that are its own.
MODULES = {
    "sampler": ((), ("tests/test_sampler.py", "ncf_utils/sampler.py")),
    "metrics": ((), ("tests/test_metrics.py", "ncf_utils/metrics.py")),
    "split": ((), (*SPLIT_TESTS, "tests/test_data.py")),
    "data": ((), DATA_TESTS),
    "ratings": ((), ("tests/test_ratings.py", "ncf_utils/ratings.py")),
    "readers": ((), ("tests/test_readers.py", "ncf_utils/readers.py", "tests/test_data.py")),
    "torch_ncf": ((*FORWARD, *LOSSES), ("tests/test_torch_ncf.py", *MODEL_TESTS)),
    "keras_ncf": (
        ("ConcatDense", "_Layers", "_inputs", "_Recommender", "GMF", "MLP", "NeuMF", *LOSSES),
        ("tests/test_keras_ncf.py", *MODEL_TESTS),
    ),
}
FRAMEWORKS = {"torch_ncf": ("torch",), "keras_ncf": ("torch", "keras")}
# faulthandler waits for a thread, which a copy of a process does not have.
PYTEST = "-x -q -p no:cacheprovider -p no:xdist -p no:nbval -p no:faulthandler".split()
PYTEST += ["--hypothesis-seed=0", "-m", "not slow"]
AGAIN = 77  # status of a fault that waits for a process of its own


def measure(module="", sample=40, seed=0, limit=60):
    """Plant faults and run the tests.

    Args:
        module: one of `MODULES`, and the stored figures of the others stay; all where empty.
        sample: how many faults of a module, drawn at random; 0 takes all.
        seed: of the draw.
        limit: seconds of CPU that the tests of one fault may take; more counts as failing.
    """
    from ncf_utils.parameters import ParameterError, nearest

    if module and module not in MODULES:
        raise ParameterError(f"no module {module!r}{nearest(module, MODULES)}")
    known = json.loads(SAME.read_text(encoding="utf-8")) if SAME.exists() else {}
    from .__main__ import stored

    others = [f"`{name}.py`" for name in MODULES if name != module]
    figures, alive = stored("mutation", others) if module else ({}, [])
    with tempfile.TemporaryDirectory() as folder:
        checkout = copied(Path(folder) / "checkout")
        for name in [module] if module else MODULES:
            outcomes = tested(checkout, name, sample, seed, limit)
            figure, survivors = _counted(outcomes, known.get(name, {}))
            figures[f"`{name}.py`"] = {"seed": seed} | figure
            alive += [f"- `{name}.py`: `{mutant.key}`" for mutant in survivors]
    figures = {name: figures[name] for name in map("`{}.py`".format, MODULES) if name in figures}
    text = (
        "A fault swaps an operator, shifts a number, negates a condition, drops a keyword argument "
        "or a statement, or empties a value. Of each module a sample is planted, drawn with the "
        "seed that stands there: `of` is how many there are. A fault is caught where a test of the "
        "module fails; `same` were looked at and change nothing that the module promises: "
        "`trust/same.json` says why, one by one. Of the frameworks' modules, the models and the "
        "losses are changed."
    )
    if alive:
        text += "\n\nNot caught:\n\n" + "\n".join(alive)
    return figures, text


def _counted(outcomes, known):
    """Figures of one module, and its mutants that live and are not known to change nothing."""
    living = [mutant for mutant, outcome in outcomes["tried"] if outcome == "lived"]
    survivors = [mutant for mutant in living if mutant.key not in known]
    tried = len(outcomes["tried"])
    return {
        "of": outcomes["of"],
        "tried": tried,
        "caught": tried - len(living),
        "same": len(living) - len(survivors),
        "lost": len(survivors),
        "caught, %": round(100 * (tried - len(living)) / max(tried, 1), 1),
    }, survivors


def copied(folder):
    """A copy of the files that git knows, as they are now, and of new ones that it would take."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)  # with its mode: some files are to be executed
    return folder


def tested(checkout, name, sample=0, seed=0, limit=60):
    """Plant the faults of one module into a copy of the checkout.

    Returns:
        dict: "of", how many faults there are; "tried", a list of (Mutant, "killed" or "lived").
    """
    scopes, tests = MODULES[name]
    path = checkout / "ncf_utils" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    found = mutants(source, scopes)
    chosen = found
    if 0 < sample < len(found):
        order = random.Random(f"{seed} {name}").sample(range(len(found)), sample)
        chosen = [found[i] for i in sorted(order)]
    load_frameworks(FRAMEWORKS.get(name, ()))
    trials = _Trials(path, source, chosen, limit, checkout / "answers.json")
    told = answered(checkout, tests, trials)
    if told["failed"]:
        raise RuntimeError(f"{name}: before anything is changed, {told['failed']} fails")
    lived, quickest_first = [], _Only(told["tests"])
    for mutant, status in zip(chosen, told["statuses"], strict=True):
        if status == AGAIN:
            path.write_text(mutant.applied(source), encoding="utf-8")
            status = forked(lambda: _session(checkout, tests, quickest_first), limit)
        lived.append(status == 0)
    path.write_text(source, encoding="utf-8")
    tried = [(m, "lived" if alive else "killed") for m, alive in zip(chosen, lived, strict=True)]
    return {"of": len(found), "tried": tried}


def answered(checkout, tests, plugin):
    """Run tests in a copy of this process; what the plugin wrote into its file `answers`."""
    status = forked(lambda: _session(checkout, tests, plugin), limit=24 * 3600)
    if status:
        named = " ".join(tests)
        raise RuntimeError(f"{named}: pytest did not come to the tests, and ended with {status}")
    told = json.loads(plugin.answers.read_text(encoding="utf-8"))
    plugin.answers.unlink()
    return told


def load_frameworks(frameworks):
    """Import once what every copy of this process needs; nothing of the project."""
    os.environ |= ALONE
    for package in ("pandas", "pytest", "scipy.sparse", "hypothesis.extra.numpy", *frameworks):
        import_module(package)
    with suppress(ImportError):
        import_module("nbval.kernel")  # the tests' configuration does


def forked(work, limit):
    """Exit status that `work()` returns in a copy of this process.

    It is negative where the copy takes more than `limit` seconds of CPU, or twenty times as long
    by the clock.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)  # so that what a test starts ends with it
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20 * limit)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            status = work()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def _session(checkout, tests, plugin):
    """Run pytest on what `checkout` holds; its exit status."""
    import hypothesis
    import pytest

    # That an example fails is enough: the smallest one that does is not looked for.
    phases = hypothesis.Phase.explicit, hypothesis.Phase.generate
    hypothesis.settings.register_profile("trust", phases=phases, database=None, deadline=None)
    hypothesis.settings.load_profile("trust")
    # The copy's modules, also where this process has tests of the same names.
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name != "__main__" and Path(file).is_relative_to(ROOT) and "site-packages" not in file:
            del sys.modules[name]
    sys.dont_write_bytecode = True  # two faults of one second and one length look alike
    os.chdir(checkout)
    os.environ["PYTHONPATH"] = str(checkout)
    sys.path.insert(0, str(checkout))
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(pytest.main([*PYTEST, *tests], [plugin]))


class _Only:
    """Runs some tests of a collection, in a given order."""

    def __init__(self, names):
        self.place = {name: i for i, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid in self.place]
        items.sort(key=lambda item: self.place[item.nodeid])


class _Trials:
    """Plants faults once the tests are collected, and runs those that meet the faulty lines.

    A fault inside a function is planted by giving the function other code. One outside, such as in
    a default, has to wait for a process that imports the module anew.
    """

    def __init__(self, path, source, chosen, limit, answers):
        self.path, self.source, self.chosen = path, source, chosen
        self.limit, self.answers, self.lines = limit, answers, None

    def pytest_runtestloop(self, session):
        items = {item.nodeid: item for item in session.items}
        forked(lambda: self.covering(items), limit=3600)
        told = json.loads(self.answers.read_text())
        statuses, every = [], sorted(items, key=lambda name: told["seconds"].get(name, 0))
        if not told["failed"]:
            for mutant in self.chosen:
                self.path.write_text(mutant.applied(self.source), encoding="utf-8")
                met = _due(told, mutant)
                due = [items[name] for name in every if met is None or name in met]
                statuses.append(forked(lambda m=mutant, d=due: self.plant(m, d), self.limit))
            self.path.write_text(self.source, encoding="utf-8")
        text = json.dumps({"failed": told["failed"], "statuses": statuses, "tests": every})
        self.answers.write_text(text)
        return True

    def covering(self, items):
        """Note which tests run which lines, and how long each takes."""
        self.lines = _Lines(str(self.path))
        seconds, failed = {}, ""
        for name, item in items.items():
            start = time.process_time()
            passed = passes([item])
            self.lines.now = None
            if not passed:
                failed = name
                break
            seconds[name] = time.process_time() - start
        every = list(items)
        found = self.lines.found.items()
        covered = {line: every if None in tests else sorted(tests) for line, tests in found}
        told = {"failed": failed, "seconds": seconds, "lines": covered}
        self.answers.write_text(json.dumps(told))
        return 0

    def pytest_runtest_call(self, item):
        if self.lines:
            self.lines.now = item.nodeid

    def plant(self, mutant, due):
        if not _planted(str(self.path), mutant.applied(self.source), mutant):
            return AGAIN
        if not passes(due):
            return 1
        # Whoever imported a constant by its name still has the old one.
        return 0 if mutant.inside else AGAIN


def _due(told, mutant):
    """Names of the tests that run a line that the mutant changes; None of them all."""
    if not mutant.inside:
        return None
    last = mutant.line + mutant.old.count("\n")
    lines = map(str, range(mutant.line, last + 1))
    return {name for line in lines for name in told["lines"].get(line, ())}


def passes(items):
    """Run tests, up to the first that fails."""
    from _pytest.runner import runtestprotocol

    for item, after in zip(items, [*items[1:], None], strict=False):
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=after)):
            return False
    return True


def _planted(path, source, mutant):
    """Give the loaded function that holds a mutant other code or other defaults.

    A constant of a module or class gets its other value. Returns False where none of this will do.
    """
    owner = next(m for m in sys.modules.values() if getattr(m, "__file__", None) == path)
    names, body, space = mutant.where.split("."), ast.parse(source).body, vars(owner)
    for name in filter(None, names):
        plain = name.removesuffix("(…)")
        node = next(each for each in body if getattr(each, "name", None) == plain)
        owner, body = vars(owner)[plain], node.body
        for wrapped in ("__func__", "fget", "func", "__wrapped__"):
            owner = getattr(owner, wrapped, owner)
        if name != plain:
            return _other_defaults(owner, node.args, space)
        if not isinstance(owner, type):
            return _other_code(owner, compile(source, path, "exec"))
    for node in body:
        if isinstance(node, ast.Assign) and node.lineno <= mutant.line <= node.end_lineno:
            setattr(owner, node.targets[0].id, _value(node.value, space))
            return True
    return False


def _other_code(function, module):
    new = codes_of(module).get(function.__code__.co_qualname)
    if new is None or new.co_freevars != function.__code__.co_freevars:
        return False
    function.__code__ = new
    return True


def _other_defaults(function, arguments, space):
    function.__defaults__ = tuple(_value(node, space) for node in arguments.defaults)
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    function.__kwdefaults__ = {a.arg: _value(node, space) for a, node in named if node is not None}
    return True


def _value(node, space):
    expression = compile(ast.fix_missing_locations(ast.Expression(node)), "default", "eval")
    return eval(expression, space)  # nosec B307


def codes_of(code):
    """Code objects in another one, however deep, by their qualified names."""
    inner = [each for each in code.co_consts if hasattr(each, "co_qualname")]
    return {each.co_qualname: each for each in inner} | {
        name: each for code in inner for name, each in codes_of(code).items()
    }


class _Lines:
    """Notes which lines of one file run in the call of which test.

    What runs in a fixture counts for every test: others may use what it made.
    """

    def __init__(self, path):
        self.path, self.found, self.now = path, defaultdict(set), None
        sys.settrace(self._enter)

    def _enter(self, frame, event, argument):
        return self._step if frame.f_code.co_filename == self.path else None

    def _step(self, frame, event, argument):
        self.found[frame.f_lineno].add(self.now)
        return self._step
