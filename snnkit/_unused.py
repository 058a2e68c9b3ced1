"""Folders of compiled functions that nobody has used for a long time are removed.

Every version of a source file has a folder of its own, so a cache would grow with every version that a machine has
seen. Whoever uses a folder touches it (`touch`); whoever makes a new one looks for old ones (`remove`). Other processes
may do the same at the same time, or use a folder that is about to go: it leaves its place in one step, and comes back
where somebody has touched it meanwhile. A process that misses its folder compiles anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

DAYS = 30
"""How long a folder stays that nobody uses."""

_LEAVING = ".leaving-"


def touch(folder: Path) -> None:
    """Note that the folder is in use, where it can be written."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def remove(base: Path, prefix: str, current: Collection[str]) -> list[str]:
    """Remove the folders `<prefix><16 hexadecimal digits>` in `base` that nobody has used for `DAYS`.

    Args:
        base: where they are; what cannot be removed stays, without an error.
        prefix: what their names begin with.
        current: names of folders that stay, however old.

    Returns:
        The names of those removed.
    """
    now, gone = time.time(), []
    with contextlib.suppress(OSError):
        for place in sorted(base.iterdir()):
            name, since = place.name, now - DAYS * 86400
            if name.startswith(_LEAVING):  # what a process that was killed has left
                if _last_used(place) < since:
                    shutil.rmtree(place, ignore_errors=True)
            elif _is_key(name, prefix) and name not in current and _last_used(place) < since and _leave(place, since):
                gone.append(name)
    return gone


def _is_key(name: str, prefix: str) -> bool:
    digits = name.removeprefix(prefix)
    return name.startswith(prefix) and len(digits) == 16 and set(digits) <= set("0123456789abcdef")


def _last_used(folder: Path) -> float:
    """When something was written or, where the system keeps account of it, read there; now where that is unknown."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return time.time()
        times = [folder.stat().st_mtime]
        for file in folder.rglob("*"):
            found = file.stat()
            times.append(found.st_mtime if file.is_dir() else max(found.st_mtime, found.st_atime))
    except OSError:
        return time.time()
    return max(times)


def _leave(folder: Path, since: float) -> bool:
    """Remove a folder unless somebody has used it after all; whether it is gone."""
    try:
        away = Path(tempfile.mkdtemp(prefix=_LEAVING, dir=folder.parent))
    except OSError:
        return False
    taken = away / folder.name
    try:
        os.rename(folder, taken)
    except OSError:  # somebody else was faster, or it is not ours
        shutil.rmtree(away, ignore_errors=True)
        return False
    if _last_used(taken) >= since:
        with contextlib.suppress(OSError):  # its user has made it anew already
            os.rename(taken, folder)
    shutil.rmtree(away, ignore_errors=True)
    return not folder.exists()
