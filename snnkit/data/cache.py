"""The disk cache of decoded recordings: `$SNNKIT_CACHE`, or `~/.cache/snnkit`.

One entry is a folder of `.npy` columns and a `meta.json` that holds every file's length and SHA-256. It is built beside
its place and moved there by one rename, so a reader sees a whole entry or none, whatever kills the writer; of several
writers of the same entry the first one wins and the others take its entry. An entry that does not match its own
`meta.json` is set aside and built again. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from snnkit import _io
from snnkit.data.store import COLUMNS, ContentHash, EventStore, Recording, coordinate_dtype, store_in_memory
from snnkit.errors import DataError

CACHE_FORMAT = 1
_ABANDONED_S = 24 * 3600.0
_PIECE = 1 << 22


def cache_folder() -> Path:
    """Where cache entries lie: `$SNNKIT_CACHE`, else `$XDG_CACHE_HOME/snnkit`, else `~/.cache/snnkit`."""
    if chosen := os.environ.get("SNNKIT_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "snnkit" if base else Path.home() / ".cache" / "snnkit"


def cache_key(settings: dict[str, Any]) -> str:
    """The key of an entry: SHA-256 of the settings and source fingerprint that define its content."""
    text = _io.canonical_json({"cache_format": CACHE_FORMAT, **settings}, indent=None)
    return _io.sha256_bytes(text.encode("utf-8"))[:32]


def cached_store(
    name: str,
    settings: dict[str, Any],
    sensor_size: tuple[int, int] | Callable[[], tuple[int, int]],
    recordings: Callable[[], Iterable[Recording]],
    folder: str | os.PathLike[str] | None = None,
    notes: Callable[[], dict[str, Any]] = dict,
) -> EventStore:
    """Open the store for these settings, building it from `recordings()` if it is missing or damaged.

    Args:
        name: the data set's name, part of the entry's path.
        settings: everything that decides the content, as JSON values.
        sensor_size: (width, height); or a function that tells it after the last recording was given.
        recordings: gives the decoded recordings in order; called only when the entry has to be built.
        folder: the cache folder; None for `cache_folder()`.
        notes: what else is to be kept of the decoding, as JSON values; asked after the last recording.

    Where the cache cannot be used (a full disk, a read-only home, a folder of another user) the store is kept in
    memory, with a warning. An entry is read only if it belongs to this user, to the administrator, or to the owner of a
    cache folder that not everybody can write to.
    """
    root = Path(folder) if folder is not None else cache_folder()
    entry = root / f"{name}-{cache_key(settings)}"
    try:
        _check_owner(root, entry)
        if (store := _try_open(entry)) is not None:
            return store
        _remove_abandoned(root, name)
        return _build(entry, settings, sensor_size, recordings, notes)
    except OSError as error:
        warnings.warn(
            f"cannot use the data cache at {entry} ({error.strerror or error}); the data stay in memory and will be"
            " decoded again next time. Free some space, or set SNNKIT_CACHE to a folder of your own that can be"
            " written.",
            stacklevel=2,
        )
        return store_in_memory(recordings(), sensor_size, notes)


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _check_owner(root: Path, entry: Path) -> None:
    """Raise `PermissionError` where the entry is there and belongs to somebody who is not trusted with it."""
    try:
        owner, folder = entry.stat().st_uid, root.stat()
    except FileNotFoundError:
        return
    trusted = {_user(), 0}
    if not folder.st_mode & 0o002:
        trusted.add(folder.st_uid)
    if owner not in trusted:
        raise PermissionError(errno.EACCES, f"it belongs to another user, number {owner}")


def open_entry(entry: Path, verify: bool = True) -> EventStore:
    """Map an entry of the cache; with `verify`, compare every file with its SHA-256 first.

    Raises:
        DataError: a file is missing, cut or changed.
        PermissionError: this user may not read it.
    """
    try:
        meta = json.loads((entry / "meta.json").read_text("utf-8"))
        arrays: dict[str, Any] = {}
        for name, facts in meta["files"].items():
            file = entry / name
            if file.stat().st_size != facts["bytes"] or (verify and _io.sha256_file(file) != facts["sha256"]):
                raise ValueError(f"{name} does not match its digest")
            # An empty file cannot be mapped, and a mapped array is sliced faster as a plain one.
            mode: Literal["r"] | None = "r" if facts["length"] else None
            arrays[Path(name).stem] = np.load(file, mmap_mode=mode, allow_pickle=False).view(np.ndarray)
        width, height = meta["sensor_size"]
        return EventStore(
            **arrays,
            names=tuple(meta["names"]),
            sensor_size=(width, height),
            digest=meta["digest"],
            folder=entry,
            notes=meta.get("notes", {}),
        )
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cache entry {entry} is damaged: {error}", fix="delete that folder; it is built again when needed"
        ) from error


def _try_open(entry: Path) -> EventStore | None:
    if not entry.is_dir():
        return None
    try:
        return open_entry(entry)
    except DataError as error:
        warnings.warn(f"{error.what}; building it again", stacklevel=3)
        # Renamed before it is removed: no other process can open it half-deleted under its own name.
        doomed = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", suffix=".damaged", dir=entry.parent))
        with contextlib.suppress(OSError):
            os.replace(entry, doomed / "entry")
        shutil.rmtree(doomed, ignore_errors=True)
        return None


def _remove_abandoned(root: Path, name: str) -> None:
    """Delete what killed writers of this data set left behind more than a day ago."""
    if not root.is_dir():
        return
    for path in root.glob(f".{name}-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)


class _ColumnFile:
    """An `.npy` file that grows: the header is written again, at the same length, when the length is known."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype, self.length = path, dtype, 0
        self.file: BinaryIO = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._header()

    def _header(self) -> None:
        head = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, head)

    def append(self, values: Any) -> None:
        column = np.ascontiguousarray(values, self.dtype)
        self.file.write(column.data)
        self.length += len(column)

    def close(self) -> None:
        if self.file.closed:
            return
        try:
            start = self.file.tell() - self.length * self.dtype.itemsize
            self.file.seek(0)
            self._header()
            if self.file.tell() != start:
                raise ValueError(f"{self.path}: the header changed its length")
            self.file.flush()
            os.fsync(self.file.fileno())
        finally:
            self.file.close()


def _narrow(file: _ColumnFile, dtype: np.dtype[Any]) -> _ColumnFile:
    """The same column in a narrower type."""
    if file.dtype == dtype or not file.length:
        return file
    out = _ColumnFile(file.path.with_suffix(".narrow"), dtype)
    values = np.load(file.path, mmap_mode="r", allow_pickle=False)
    for start in range(0, len(values), _PIECE):
        out.append(values[start : start + _PIECE])
    out.close()
    del values
    os.replace(out.path, file.path)
    out.path = file.path
    return out


def _build(
    entry: Path,
    settings: dict[str, Any],
    sensor_size: tuple[int, int] | Callable[[], tuple[int, int]],
    recordings: Callable[[], Iterable[Recording]],
    notes: Callable[[], dict[str, Any]],
) -> EventStore:
    entry.parent.mkdir(parents=True, exist_ok=True)
    temp = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", suffix=".tmp", dir=entry.parent))
    try:
        xy = np.dtype("<u2") if callable(sensor_size) else coordinate_dtype(sensor_size)
        dtypes = {"t": np.dtype("<u4"), "x": xy, "y": xy, "p": np.dtype("u1"), "offsets": np.dtype("<i8")}
        dtypes["labels"] = np.dtype("<i8")
        files = {name: _ColumnFile(temp / f"{name}.npy", dtype) for name, dtype in dtypes.items()}
        digest, names, total = ContentHash(), [], 0
        try:
            files["offsets"].append([0])
            for r in recordings():
                digest.update(r)
                for c in COLUMNS:
                    files[c].append(getattr(r, c))
                names.append(r.name)
                total += len(r.t)
                files["offsets"].append([total])
                files["labels"].append([r.label])
        finally:
            for f in files.values():
                f.close()
        if callable(sensor_size):
            sensor_size = sensor_size()
            files |= {c: _narrow(files[c], coordinate_dtype(sensor_size)) for c in "xy"}
        facts = {
            f.path.name: {
                "bytes": f.path.stat().st_size,
                "length": f.length,
                "sha256": _io.sha256_file(f.path),
            }
            for f in files.values()
        }
        meta = {
            "cache_format": CACHE_FORMAT,
            "digest": digest.hexdigest(),
            "files": facts,
            "names": names,
            "sensor_size": list(sensor_size),
            "settings": settings,
            "notes": notes(),
        }
        _io.write_json(temp / "meta.json", meta)
        os.chmod(temp, 0o755)
        try:
            os.rename(temp, entry)  # refused where a finished entry stands: the first writer wins
        except OSError:
            if not (entry / "meta.json").is_file():
                raise
        return open_entry(entry, verify=False)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
