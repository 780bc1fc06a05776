"""The environment of every test, and notebooks under test run as they do in Jupyter."""

import functools
import os
from pathlib import Path

from ncf_utils.course import ENVIRONMENT, SUMS_BY_CACHE, comparable, first_data_cache

try:
    from nbval.kernel import RunningKernel
except ImportError:  # without nbval no notebook is tested
    RunningKernel = None

os.environ.update(ENVIRONMENT | os.environ)  # before any test loads a framework


def execute_and_remember(self, cell_input, allow_stdin=None):
    """Run a cell as nbval does, but keep it in the history.

    There IPython looks for the semicolon that hides a cell's value, and `check_parameters` for the
    cell of parameters.
    """
    return self.kc.execute(
        cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
    )


if RunningKernel is not None:
    RunningKernel.execute_cell_input = execute_and_remember


def pytest_collection_modifyitems(items):
    """Where Keras adds in another order than when outputs were stored, asserts are what counts."""
    here = functools.cache(comparable)
    for item in items:
        if hasattr(item, "cell_num") and not here(item.path):
            item.options["check"] = False


def pytest_terminal_summary(terminalreporter, config):
    """Say which notebooks were run without being compared."""
    if getattr(config.option, "nbval", False):
        folder = Path(__file__).parent / "notebooks"
        uncompared = [name for name in SUMS_BY_CACHE if not comparable(folder / f"{name}.ipynb")]
        if uncompared:
            terminalreporter.write_line(
                f"outputs not compared, as the first data cache has another size here "
                f"({first_data_cache()}) than where they were stored: {', '.join(uncompared)}"
            )
