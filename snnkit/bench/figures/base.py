"""What a published figure is: a text, bars, and how it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[str, int, int], None]
Measure = Callable[[Path, Mapping[str, Any], Progress], dict[str, Any]]
"""Given the folder of its runs, settings of the data (`root`) and a report of progress; returns what was measured."""


@dataclass(frozen=True)
class Figure:
    """One published figure: what is measured, its bars {key: (at least | at most, value)}, and how."""

    text: str
    bars: Mapping[str, tuple[str, float]]
    measure: Measure


def train(recipe: str, seed: int, folder: Path, settings: Mapping[str, Any]) -> tuple[Any, float]:
    """A recipe trained with a seed, and the minutes that it took."""
    from snnkit.training import fit

    changes = {f"data.init_args.{k}": v for k, v in settings.items()}
    clock = time.perf_counter()
    run = fit(recipe, folder / f"seed{seed}", {"seed_everything": seed, **changes}, progress=False)
    return run, (time.perf_counter() - clock) / 60
