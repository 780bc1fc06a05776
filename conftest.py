"""The environment of every test, and notebooks under test run as they do in Jupyter."""

import os

from ncf_utils.course import ENVIRONMENT

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
