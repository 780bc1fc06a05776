"""Clients of kernels that end a notebook which outputs without end, before it fills the disk."""

from __future__ import annotations

import contextlib
import os

# What the kernels of notebooks run with, unless the environment says otherwise: no chatter from
# TensorFlow and the debugger, the CPU even where there is a GPU, and products by AVX2 also where a
# CPU has more, so that a stored output comes out again on other machines (not all of them: see
# `ncf_utils.course`).
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "MKL_CBWR": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NCF_DEVICE": "cpu",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
# A kernel works in its notebook's folder, and what the environment says is meant from here.
_PATHS = "NCF_DATA_DIR", "NCF_CACHE_DIR", "NCF_RECORD"

#: Characters that a notebook may output; what goes beyond stops it.
MOST_OUTPUT = 20_000_000
ENGINE = "ncf"


class OutputError(RuntimeError):
    """A notebook has output too much, and its kernel was killed."""

    def __init__(self):
        super().__init__(f"more than {MOST_OUTPUT / 10**6:g} MB of output")


def kernel_environment(**values):
    """The environment for a kernel: this process's, where that is silent `ENVIRONMENT`.

    Args:
        **values: variables to set; they count before both.

    Returns:
        dict of name -> text; the paths in it are absolute.
    """
    environment = ENVIRONMENT | os.environ | values
    paths = {name: environment[name] for name in _PATHS if environment.get(name)}
    return environment | {name: os.path.abspath(path) for name, path in paths.items()}


def limited(client):
    """Return a class of clients, of nbclient or papermill, that knows `MOST_OUTPUT`.

    Its `execute` raises `OutputError` where a notebook outputs more. The notebook keeps what it had
    output before.
    """

    class Limited(client):
        said = 0  # characters

        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] == "status" or self.has_room(msg["content"]):
                return super().process_message(msg, cell, cell_index)

        def has_room(self, content):
            """Count a message; False where it is one too many, and is to be dropped."""
            before = self.said
            self.said += sum(len(str(value)) for value in content.values())
            if before <= MOST_OUTPUT < self.said:  # the first that is too much
                self.stop()
            return self.said <= MOST_OUTPUT

        def stop(self):
            _kill(self.pid())

        def pid(self):
            """The kernel's process id; None before it has one."""
            return getattr(getattr(self.km, "provisioner", None), "pid", None)

        def execute(self, *arguments, **options):
            try:
                return super().execute(*arguments, **options)
            except Exception as problem:  # the kernel is dead, which says nothing
                if self.said <= MOST_OUTPUT:
                    raise
                raise OutputError from problem

    return Limited


def _kill(pid):
    """Kill a kernel and all that it has started."""
    import psutil

    with contextlib.suppress(psutil.Error):
        kernel = psutil.Process(pid)
        for process in [*kernel.children(recursive=True), kernel]:
            with contextlib.suppress(psutil.Error):  # it may have ended by itself
                process.kill()


def register_engine():
    """Tell papermill of the engine `ENGINE`, whose clients are limited; returns its name."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    client = limited(PapermillNotebookClient)

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, execution_timeout, extra_arguments, environment, **_
        ):
            return client(
                nb_man,
                kernel_name=kernel_name,
                timeout=execution_timeout,
                startup_timeout=120,
                extra_arguments=extra_arguments,
            ).execute(env=environment)

    papermill_engines.register(ENGINE, Engine)
    return ENGINE
