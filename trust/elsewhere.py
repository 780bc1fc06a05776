"""A fresh process, for what forks

Where a framework has run, its threads may hold a lock at the moment of a fork; the copy has no such
threads, and waits for the lock for ever.
"""

from __future__ import annotations

import os
import traceback
from multiprocessing import get_context
from unittest.mock import patch

#: No thread more than a process needs.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def elsewhere(function, *arguments):
    """What a function returns in a process where nothing has run; its error is raised here.

    Args:
        function: one at the top of a module.
        arguments: what it is called with; they and what it returns have to be pickled.

    Raises:
        RuntimeError: the process died.
    """
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(send, function, arguments))
    with patch.dict(os.environ, ALONE):  # before what it imports can start threads
        process.start()
    send.close()
    try:
        while not receive.poll(1):  # what it has forked may outlive it, and holds the pipe open
            if not process.is_alive() and not receive.poll():
                raise EOFError
        answer, error = receive.recv()
    except EOFError:
        process.join()
        what = f"{function!r:.60}{arguments!r:.100}"
        raise RuntimeError(f"{what}: its process ended with status {process.exitcode}") from None
    process.join()
    if error is not None:
        raise error
    return answer


def _work(send, function, arguments):
    try:
        answer = function(*arguments), None
    except BaseException as error:
        error.add_note(traceback.format_exc())
        answer = None, error
    send.send(answer)
