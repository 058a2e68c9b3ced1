"""One place that configures numba: call `configure()` before the first `import numba`.

The cache folder is keyed by a digest of every source file that holds a compiled function, because numba itself does
not notice that an imported helper changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

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


def cache_folder() -> Path:
    """`$SNNKIT_CACHE/numba-<digest>`, by default under `~/.cache/snnkit`."""
    base = os.environ.get("SNNKIT_CACHE")
    return (Path(base) if base else Path.home() / ".cache" / "snnkit") / f"numba-{source_digest()}"


@cache
def configure() -> None:
    """Set numba's cache folder and threading layer for this process, unless the user chose them.

    The `omp` layer is used because numba's own `workqueue` aborts under concurrent threads. Idempotent.
    """
    folder = cache_folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
    os.environ.setdefault("NUMBA_THREADING_LAYER", "omp")
    import numba

    # numba may have been imported by somebody else before the variables were set
    for name in ("CACHE_DIR", "THREADING_LAYER"):
        setattr(numba.config, name, os.environ[f"NUMBA_{name}"])
