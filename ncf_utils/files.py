"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import uuid
from pathlib import Path

ABANDONED = 3600  # seconds after which nobody writes to a part any more


def part_of(path: Path, suffix: str = "") -> Path:
    """Return where a file is written before it takes its name, which is no other process's place.

    What processes that were killed have left there long ago is removed.
    """
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.part{suffix}"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > ABANDONED:
                old.unlink()
    return path.parent / f".{path.name}.{uuid.uuid4().hex}.part{suffix}"


@contextlib.contextmanager
def whole(path, suffix=""):
    """Write a file that takes the place of another in one step, also where the power fails.

    Args:
        path: what the file is to be called; its folder must be there.
        suffix: how the name ends under which it is written, for writers that go by that.

    Yields:
        Path to write to. At the end of the block the file there takes the name `path`; after an
        error it is removed, and what lay at `path` still lies there.
    """
    path = Path(path)
    part = part_of(path, suffix)
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
