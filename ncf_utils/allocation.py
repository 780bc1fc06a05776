"""Memory that a training step has freed stays with the process, for the next step to take."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h in the GNU C library
NEVER = 2**31 - 1


@cache
def keep_freed_memory():
    """Ask the GNU C library to keep what is freed, from now on; elsewhere nothing is done.

    By default it gives large arrays back to the system, and has to ask for them again in the next
    step, page by page: with wide layers or large batches a tenth to a third of a step. Nothing that
    is computed changes. The most memory that is held hardly does in training; whoever afterwards
    scores some hundred thousand pairs at once may hold twice as much, for gaps between blocks of
    many sizes stay. Other processes have to wait for all of it until this one ends.

    Source: the manual page mallopt(3).
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, NEVER)
