"""The environment of every test, and notebooks under test run as they do in Jupyter."""

import functools
import os
from pathlib import Path

from ncf_utils.course import comparable, processor
from ncf_utils.kernels import ENVIRONMENT

try:
    from nbval.kernel import RunningKernel
except ImportError:  # without nbval no notebook is tested
    RunningKernel = None

UNCOMPARED = ("outputs", "not compared")  # said of a cell in its report

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
    """Where products are summed in another order than when outputs were stored, asserts count."""
    here = functools.cache(comparable)
    for item in items:
        if hasattr(item, "cell_num") and not here(item.path):
            item.options["check"] = False
            item.user_properties.append(UNCOMPARED)


def pytest_terminal_summary(terminalreporter):
    """Say which notebooks were run without being compared."""
    reports = [each for found in terminalreporter.stats.values() for each in found]
    names = {
        Path(report.fspath).stem
        for report in reports
        if UNCOMPARED in getattr(report, "user_properties", ())
    }
    if names:
        terminalreporter.write_line(
            f"outputs not compared, as the processor here ({processor()}) sums products in another "
            f"order than the one they were stored with: {', '.join(sorted(names))}"
        )
