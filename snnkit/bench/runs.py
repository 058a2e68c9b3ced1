"""A run of a benchmark as it is kept: its rows, and with what, where and when they were measured."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snnkit import __version__, _io
from snnkit.errors import UsageError

PACKAGES = ("torch", "numba", "triton", "spikingjelly", "snntorch", "norse")
"""Whose versions decide the figures, where they are installed."""

ROW = ("work", "impl", "settings", "ms_min", "ms_median", "floor_ratio", "peak_ratio", "differing_spikes")
"""What every row has; others may stand beside it."""


def processor() -> str:
    """The processor's name, as far as the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that runs, with "+" where files differ from it; None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    told = []
    for command in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode:
            return None
        told.append(done.stdout.strip())
    return told[0] + ("+" if told[1] else "")


def made(command: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of these rows, by this command, now."""
    versions = {"snnkit": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "machine": {"processor": processor(), "cores": cores},
        "versions": versions,
        "rows": rows,
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The run or runs in a file.

    Raises:
        UsageError: it holds none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}", fix="give a file of `snnkit bench … --out FILE`") from error
    runs = value if isinstance(value, list) else [value]
    for run in runs:
        _check(path, run)
    return runs


def _check(path: Path, run: Any) -> None:
    said = ("command", "date", "machine", "versions", "rows")
    missing = [key for key in said if key not in run] if isinstance(run, dict) else list(said)
    rows = run["rows"] if not missing else []
    for k, row in enumerate(rows if isinstance(rows, list) else [None]):
        missing += [f"rows[{k}].{key}" for key in ROW if not isinstance(row, dict) or key not in row]
    if missing:
        why = "it has no " + ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise UsageError(f"{path} is no run of a benchmark", why=why, fix="give a file of `snnkit bench … --out FILE`")


def write(path: Path, runs: list[dict[str, Any]]) -> None:
    """Keep runs in a file, complete or not at all."""
    _io.write_json(path, runs)
