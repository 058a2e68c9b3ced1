"""Atomic writes, canonical JSON and digests: nothing half-written, the same bytes every time."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def canonical_json(value: Any, *, indent: int | None = 1) -> str:
    """JSON with sorted keys, no NaN, a final newline: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of a byte string."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems refuse fsync on folders
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file beside `path`; on success it replaces `path`, on any error it vanishes.

    A reader sees the old file or the new one, never a part, whatever kills the writer.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(fd)
    temp = Path(name)
    try:
        yield temp
        with open(temp, "rb+") as f:
            os.fsync(f.fileno())
        os.chmod(temp, 0o644)
        os.replace(temp, target)
        _sync_folder(target.parent)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temp:
        temp.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write canonical JSON atomically."""
    write_text(path, canonical_json(value))


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step of the file system (Linux renameat2); False where that is not possible."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _swap_in(temp: Path, target: Path) -> None:
    """`temp` takes the place of the folder `target`, which is then removed."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    try:
        if _exchange(temp, target):
            os.replace(temp, old / "x")
        else:  # between these two steps a kill leaves the old folder beside its place
            os.replace(target, old / "x")
            try:
                os.replace(temp, target)
            except BaseException:
                os.replace(old / "x", target)
                raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def replace_folder(path: str | os.PathLike[str], fill: Callable[[Path], None]) -> None:
    """Build a folder beside `path` with `fill(folder)` and swap it in; on any error `path` is as before.

    Raises:
        NotADirectoryError: `path` is a file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the place of the folder", str(target))
    temp = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        fill(temp)
        os.chmod(temp, 0o755)
        for file in temp.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as f:
                    os.fsync(f.fileno())
        if target.exists():
            _swap_in(temp, target)
        else:
            os.replace(temp, target)
        _sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise
