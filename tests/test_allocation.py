"""Freed memory that stays with the process: what it saves, and that it is asked for."""

import ctypes
import subprocess
import sys

import pytest

from ncf_utils import allocation, training
from ncf_utils.allocation import keep_freed_memory

ASK_AGAIN = """
import resource, sys
import numpy as np
from ncf_utils.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def pages(count):
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        np.ones(2**23)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start
pages(1)
print(pages(2))
"""


def pages(mode):
    done = subprocess.run([sys.executable, "-c", ASK_AGAIN, mode], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is the GNU C library's")
def test_what_is_freed_is_not_asked_for_again():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library, without mallopt")
    before, after = pages("default"), pages("keep")
    assert after < before / 10


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_without_mallopt_nothing_happens(monkeypatch, platform):
    monkeypatch.setattr(allocation.sys, "platform", platform)
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory.__wrapped__() is None


def test_every_training_asks_for_it(monkeypatch):
    def told():
        raise InterruptedError

    monkeypatch.setattr(training, "keep_freed_memory", told)
    with pytest.raises(InterruptedError):
        training.run_epochs(
            None, None, train_epoch=None, score=None, get_weights=None, set_weights=None,
            num_negatives=1, strategy="uniform", epochs=1, patience=None, keep_start=False,
            seed=0, evaluate_test=True, progress=False,
        )  # fmt: skip
