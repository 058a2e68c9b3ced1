"""Where compiled kernels are kept between processes.

numba notices a change in the file of a cached function, not in the helpers it calls. So the folder is keyed by a
digest of everything that goes into a kernel: this package and the surrogates. A second process compiles nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from snnkit import _numba

ROOMS = ("kernels", "surrogate")

_PIECE: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": False,
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


@cache
def folder() -> Path:
    """`$SNNKIT_CACHE/kernels-<digest>` (default `~/.cache/snnkit`), or NUMBA_CACHE_DIR where the user has set one."""
    common = _numba.cache_folder()
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen and Path(chosen) != common:
        return Path(chosen)
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return common.parent / f"kernels-{digest.hexdigest()[:16]}"


@cache
def _can_keep() -> bool:
    """Whether kernels can be kept in `folder()`. numba would else keep them beside the sources, where no digest is."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder()).close()
    except OSError as error:
        warnings.warn(
            f"every process compiles its kernels anew, because {folder()} cannot be written ({error.strerror}): set "
            "SNNKIT_CACHE to a folder that can",
            stacklevel=2,
        )
        return False
    return True


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator of a kernel: compiled for the types it is called with, IEEE results, kept in `folder()`."""
    _numba.configure()
    import numba

    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(folder())  # type: ignore[attr-defined]
    try:
        return numba.njit(**{**_numba.OPTIONS, "cache": _can_keep()})(function)
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]


def row(function: Callable[..., Any]) -> Any:
    """Decorator of a piece that only kernels call; it ends up in theirs."""
    _numba.configure()
    import numba

    return numba.njit(**_PIECE)(function)
