"""Times against the memory floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snnkit.bench.figures.base import Measure, Progress


def speed(work: str, pick: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> Measure:
    """Run `snnkit.bench.WORK`; `pick` takes what is compared out of its rows."""

    def measure(folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        import importlib

        progress("bench", 0, 1)
        rows = importlib.import_module(f"snnkit.bench.{work}").run()
        progress("bench", 1, 1)
        return {**pick(rows), "rows": rows}

    return measure


def ours(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The ratios of our own compiled form."""
    row = next(r for r in rows if str(r["impl"]).startswith("snnkit") and "eager" not in str(r["impl"]))
    return {"floor_ratio": row["floor_ratio"], "peak_ratio": row["peak_ratio"]}
