"""Comparison with the plain solver, and replay of reference vectors, of which there are none for this chip yet.

`compare` judges a run of the ideal chip: the emulator solves each neuron in closed form between events, `graph/run.py`
moves all neurons through cells of a step. Both are exact up to rounding, so a spike may differ only where its time is
within COMPARE_TOLERANCE_PS of the end of a step and the two put it on different sides, and a reading of the ADC by one
code.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.errors import ReplayFormatError
from snnkit.graph.model import Graph
from snnkit.graph.rules.brainscales2 import run_network
from snnkit.targets.brainscales2 import spec

Array = np.ndarray[Any, Any]


def recognise(path: str | os.PathLike[str]) -> bool:
    """False: no reference vectors of this chip are known."""
    return False


def replay(paths: Iterable[str | os.PathLike[str]], **options: Any) -> list[Any]:
    """Refuse every file.

    Raises:
        ReplayFormatError: always, unless there is no file.
    """
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        raise ReplayFormatError(
            f"{Path(path)}: no format of reference vectors is known for BrainScaleS-2",
            fix="`snnkit verify` and `snnkit validate` compare the emulator with a plain solver",
        )
    return []


def compare(graph: Graph, inputs: Mapping[str, Array], result: Any) -> list[str]:
    """What is wrong with a run of the ideal chip, as sentences.

    Args:
        graph: quantised. inputs: rasters [T, B, n] by data input. result: an `EmulationResult` of them.
    """
    batch = next(iter(inputs.values())).shape[1]
    ticks, steps = result.ticks, result.steps
    rasters = {name: np.asarray(x).reshape(len(x), batch, -1) for name, x in inputs.items()}
    for gate in (i for i in graph.inputs if i.gate_from is not None):
        raster = np.zeros((ticks, batch, gate.n), np.uint8)
        raster[gate.gate_from : int(gate.gate_from or 0) + steps] = 1
        rasters[gate.name] = raster
    done = run_network(graph, rasters, ticks, batch)
    step = graph.populations[0].neuron.step * 1e-6  # type: ignore[union-attr]
    least, most = _bounds(done.times, ticks, batch, sum(p.n for p in graph.populations), step)
    problems = []
    at = 0
    for p in graph.populations:
        mine = slice(at, at + p.n)
        got = result.spikes[p.name].astype(np.int64).cumsum(0)
        wrong = (got < least[:, :, mine]) | (got > most[:, :, mine])
        if wrong.any():
            where = np.argwhere(wrong)[0]
            problems.append(
                f"spikes of {p.name} are more than {spec.COMPARE_TOLERANCE_PS} ps from those of graph/run.py, first at "
                f"tick, sample, neuron {where.tolist()}"
            )
        if p.name in result.v:
            off = np.abs(result.v[p.name].astype(np.int64) - done.codes[:, :, mine])
            if off.size and off.max() > 1:
                problems.append(f"v of {p.name} differs by {off.max()} codes from graph/run.py")
        at += p.n
    return problems


def _bounds(times: list[list[tuple[float, int]]], ticks: int, batch: int, n: int, step: float) -> tuple[Array, Array]:
    """Fewest and most spikes of each neuron up to the end of each step, for times known to the tolerance."""
    tolerance = spec.COMPARE_TOLERANCE_PS * 1e-6
    least, most = np.zeros((2, ticks, batch, n), np.int64)
    for b, spikes in enumerate(times):
        for time, neuron in spikes:
            late, early = int((time + tolerance) / step), int(max(time - tolerance, 0) / step)
            if late < ticks:
                least[late, b, neuron] += 1
            most[min(early, ticks - 1), b, neuron] += 1
    return least.cumsum(0), most.cumsum(0)


__all__ = ["compare", "recognise", "replay"]
