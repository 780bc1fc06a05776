"""A cache of parsed files: arrays in a .npz beside the text they were parsed from.

Nothing depends on it. A cache that is absent, damaged, of another version or of other files is
parsed anew, and one that cannot be written is not written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ncf_utils.files import part_of
from ncf_utils.readers import Raw

FORMAT = 2  # raise it when what is stored, or how a file is read, changes
ARRAYS = ("item", "indptr", "test_user", "test_item", "negatives", "user_ids", "item_ids")


def cached(
    parse: Callable[[], Raw], sources: list[Path], name: str, folder: Path | None, settings=()
) -> Raw:
    """Return what `parse()` returns, from the cache where that holds it.

    Args:
        parse: reads the sources.
        sources: files on disk; when the size or the time of one changes, they are parsed again.
        name: what the cache file is named after.
        folder: where the sources lie; the cache is left there, or in the user's cache folder where
            nothing may be written there. None: no cache.
        settings: what else `parse` depends on; its repr is compared.
    """
    if folder is None:
        return parse()
    key = _key(sources, settings)
    places = _places(folder, name)
    for place in places:
        raw = _read(place, key)
        if raw is not None:
            return raw
    raw = parse()
    for place in places:
        if _write(place, key, raw):
            break
    return raw


def cache_folder() -> Path:
    """Return where downloads and parsed files go: NCF_CACHE_DIR, or the system's own place."""
    chosen = os.environ.get("NCF_CACHE_DIR")
    if chosen:
        return Path(chosen)
    import pooch

    return Path(pooch.os_cache("ncf_utils"))


def _key(sources, settings):
    stats = [(path.name, path.stat()) for path in sources]
    files = [[file, stat.st_size, stat.st_mtime_ns] for file, stat in stats]
    return json.dumps([FORMAT, repr(settings), files])


def _places(folder, name):
    """Return where the cache may lie, best first."""
    where = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return folder / f"{name}.parsed.npz", cache_folder() / "parsed" / f"{name}-{where}.npz"


def _read(place, key):
    try:
        with np.load(place, allow_pickle=False) as stored:
            return _unpack(stored) if stored["key"].item() == key else None
    except Exception:  # whatever is wrong with it, it is no cache of ours: parse the text
        return None


def _unpack(stored):
    """Return the Raw that is stored, or None where its parts do not fit together."""
    if sorted(stored["names"].tolist()) != sorted(stored.files):  # some may be absent, as written
        return None
    arrays = {name: stored[name] for name in ARRAYS if name in stored}
    num_users, num_items = (int(n) for n in stored["sizes"])
    item, indptr = arrays["item"], arrays["indptr"]
    fits = indptr.shape == (num_users + 1,) and indptr[0] == 0 and indptr[-1] == len(item)
    checks = [(item, num_items)]
    test = None
    if "negatives" in arrays:
        test = tuple(arrays[name] for name in ("test_user", "test_item", "negatives"))
        checks += zip(test, (num_users, num_items, num_items), strict=True)
        fits &= len({len(array) for array in test}) == 1 and test[2].ndim == 2
    for name, size in (("user_ids", num_users), ("item_ids", num_items)):
        fits &= name not in arrays or arrays[name].shape == (size,)
    for array, size in checks:
        fits &= array.dtype == np.int32 and array.min() >= 0 and array.max() < size
    if not fits:
        return None
    return Raw(
        np.repeat(np.arange(num_users, dtype=np.int32), np.diff(indptr)),
        item,
        num_users,
        num_items,
        test=test,
        user_ids=arrays.get("user_ids"),
        item_ids=arrays.get("item_ids"),
        notes=tuple(stored["notes"].tolist()),
    )


def _write(place, key, raw):
    """Write the cache whole or not at all; return whether it was written."""
    parent, part = place.parent, part_of(place)
    arrays = {
        "key": np.array(key),
        "sizes": np.array([raw.num_users, raw.num_items]),
        "item": raw.item,
        "indptr": np.searchsorted(raw.user, np.arange(raw.num_users + 1)),
        "notes": np.array(raw.notes, dtype=np.str_),
    }
    if raw.test is not None:
        arrays |= dict(zip(("test_user", "test_item", "negatives"), raw.test, strict=True))
    for name in ("user_ids", "item_ids"):
        if getattr(raw, name) is not None:
            arrays[name] = getattr(raw, name)
    arrays["names"] = np.array([*arrays, "names"])
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # An administrator may write anywhere; a folder marked read-only is left alone all the same.
        if not parent.stat().st_mode & 0o222:
            return False
        with open(part, "wb") as file:
            np.savez(file, **arrays)
        os.replace(part, place)
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
