"""Fixtures that the tests share."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure():
    # A shell's background job ignores SIGINT, and so would what the tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root():
    """The checkout's folder."""
    return ROOT


@pytest.fixture(scope="session")
def ml_latest_small():
    """The embedded data set."""
    from ncf_utils import load_dataset

    return load_dataset("ml-latest-small")


@pytest.fixture(scope="session")
def ncf_ml_1m():
    """The paper's MovieLens-1M split, where NCF_DATA_DIR holds it."""
    from ncf_utils import load_dataset

    folder = os.environ.get("NCF_DATA_DIR")
    if not folder or not (Path(folder) / "ncf-ml-1m").is_dir():
        pytest.skip("NCF_DATA_DIR names no folder that holds ncf-ml-1m")
    return load_dataset("ncf-ml-1m", download=False)
