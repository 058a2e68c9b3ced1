"""One place that configures numba: call `configure()` before the first `import numba`.

The cache folder is keyed by a digest of every source file that holds a compiled function, because numba itself does
not notice that an imported helper changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

from snnkit import _unused

OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": False, "nogil": True}
"""Options of every compiled function: IEEE results, no contraction, cached on disk."""

_COMPILED = re.compile(rb"\bnjit\b|_numba\b")


@cache
def source_digest() -> str:
    """First 16 hexadecimal digits of the SHA-256 over all sources that are compiled or reach a compiler."""
    root = Path(__file__).resolve().parent
    h = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        data = path.read_bytes()
        if _COMPILED.search(data) or path.name == "arithmetic.py":
            h.update(path.relative_to(root).as_posix().encode() + b"\0" + data + b"\0")
    return h.hexdigest()[:16]


def base_folder() -> Path:
    """`$SNNKIT_CACHE`, by default `~/.cache/snnkit`."""
    base = os.environ.get("SNNKIT_CACHE")
    return Path(base) if base else Path.home() / ".cache" / "snnkit"


def cache_folder() -> Path:
    """`numba-<digest>` in `base_folder()`."""
    return base_folder() / f"numba-{source_digest()}"


def chosen_folder() -> Path | None:
    """Where the user wants compiled functions to be, by $NUMBA_CACHE_DIR; None where that is unset or our own."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if not chosen or (Path(chosen).parent == base_folder() and Path(chosen).name.startswith("numba-")):
        return None
    return Path(chosen)


def in_use(folder: Path, prefix: str, current: Callable[[], Collection[str]]) -> None:
    """Make a cache folder, or note that it is used; beside a new one those that nobody uses are removed.

    Args:
        folder: in `base_folder()`.
        prefix: of the names of its kind.
        current: gives the names of those that stay, however old.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        _unused.touch(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _unused.remove(folder.parent, prefix, current())


@cache
def choose_threads() -> None:
    """Set numba's threading layer for this process, unless the user chose it.

    The `omp` layer is used because numba's own `workqueue` aborts under concurrent threads. Idempotent.
    """
    os.environ.setdefault("NUMBA_THREADING_LAYER", "omp")
    import numba

    # numba may have been imported by somebody else before the variable was set
    numba.config.THREADING_LAYER = os.environ["NUMBA_THREADING_LAYER"]  # type: ignore[attr-defined]


@cache
def configure() -> None:
    """Set numba's cache folder and threading layer for this process, unless the user chose them. Idempotent."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        in_use(folder, "numba-", lambda: {folder.name})
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
    choose_threads()
    import numba

    numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # type: ignore[attr-defined]
