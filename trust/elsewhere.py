"""A fresh process, for what forks

Where a framework has run, its threads may hold a lock at the moment of a fork; the copy has no such
threads, and waits for the lock for ever.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

#: No thread more than a process needs.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def elsewhere(function, *arguments):
    """What a function returns in a process where nothing has run; its error is raised here.

    Args:
        function: one at the top of a module.
        arguments: what it is called with; they and what it returns have to be pickled.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_alone) as pool:
        return pool.submit(function, *arguments).result()


def _alone():
    os.environ |= ALONE
