"""Loads Triton before TensorFlow, where both are installed.

On Linux, PyTorch's CUDA build brings Triton along, and loads it when the first optimiser is made.
Triton and TensorFlow (2.20 and 2.21 at least) each bring an LLVM of their own, and where
TensorFlow's comes first the process dies of a segmentation fault
(https://github.com/tensorflow/tensorflow/issues/124205). The other way round all is well.
"""

import sys
from contextlib import suppress
from importlib import import_module


class TritonFirst:
    """A finder of modules that finds none: it only sees TensorFlow come."""

    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow" and self in sys.meta_path:
            sys.meta_path.remove(self)
            with suppress(Exception):  # most often it is not installed
                import_module("triton")
        return None


def install():
    """From now on, an `import tensorflow` imports Triton before it."""
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, TritonFirst())
