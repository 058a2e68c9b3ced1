"""A bound on every potential of a network over the length of a run: what it proves is written in the descriptor.

Between two comparisons V changes by at most the sum of a neuron's positive (negative) weights plus its leak. What the
comparison leaves behind decides how far V can go: a reset to R, a subtraction, a floor. Draws count at their worst.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import TrueNorthNeuron
from snnkit.graph.rules.truenorth import parts
from snnkit.targets.truenorth import spec

Array = np.ndarray[Any, Any]

ENDLESS = 2.0**60
"""Ticks of a run whose length is not known: whatever grows leaves every range."""


def reach(graph: Graph, population: Population) -> tuple[Array, Array]:
    """(up, down): the largest and smallest possible input of each neuron in one tick, leak included."""
    up, down = np.zeros(population.n, np.int64), np.zeros(population.n, np.int64)
    for c in graph.incoming(population.name):
        for part in parts(c):
            matrix = part.matrix.tocsr()
            plus, minus = matrix.copy(), matrix.copy()
            plus.data, minus.data = np.maximum(matrix.data, 0), np.minimum(matrix.data, 0)
            up += np.asarray(plus.sum(axis=1)).reshape(-1)
            down += np.asarray(minus.sum(axis=1)).reshape(-1)
    neuron = population.neuron
    assert isinstance(neuron, TrueNorthNeuron)
    leak = neuron.leak.astype(np.int64)
    either = neuron.leak_reversal != 0
    up += np.where(either, np.abs(leak), np.maximum(leak, 0))
    down += np.where(either, -np.abs(leak), np.minimum(leak, 0))
    return up, down


def bounds(graph: Graph, population: Population, ticks: int | None) -> tuple[Array, Array]:
    """(lowest, highest) V before a comparison within `ticks` ticks; float64, very large where nothing bounds it."""
    n = population.neuron
    assert isinstance(n, TrueNorthNeuron)
    up, down = reach(graph, population)
    eta = (1 << n.thr_mask_bits.astype(np.int64)) - 1
    top = n.threshold.astype(np.int64) + eta
    floor = np.where(n.neg_saturate != 0, n.neg_threshold, n.neg_threshold + eta).astype(np.int64)
    reset, start = n.reset_value.astype(np.int64), n.v_init.astype(np.int64)
    t = ENDLESS if ticks is None else float(max(ticks, 1))
    to_value, subtract, saturates = n.reset_mode == 0, n.reset_mode == 1, n.neg_saturate != 0

    # What is left of the largest V after a comparison, and what a bounce at the other side may throw up to.
    left = np.where(to_value, np.maximum(top - 1, reset), np.where(subtract, np.maximum(top - 1, up - n.threshold), 0))
    thrown = np.where(to_value & ~saturates, -reset, 0)
    steady = np.maximum(np.maximum(left, thrown), start) + up
    grows = (~to_value & ~subtract) | (subtract & (up > n.threshold))
    grown = np.maximum(start, np.maximum(top, 0)) + t * np.maximum(up, 0)
    high = np.where(grows & (up > 0), grown, steady)

    kept = np.where(saturates | to_value, -floor, np.minimum(-floor, down + n.neg_threshold))
    kept = np.where(to_value & ~saturates, np.minimum(kept, -np.abs(reset)), kept)
    kept = np.where(to_value, np.minimum(kept, reset), kept)
    steady_low = np.minimum(kept, start) + down
    sinks = ~saturates & ((~to_value & ~subtract) | (subtract & (-down > n.neg_threshold)))
    sunk = np.minimum(start, -floor) + t * np.minimum(down, 0)
    low = np.where(sinks & (down < 0), sunk, steady_low)
    # Within a run V cannot go further than all its ticks carry it, whatever the comparisons do to bring it back.
    farthest = np.minimum(start, np.where(to_value, np.minimum(reset, -np.abs(reset) * ~saturates), 0))
    low = np.maximum(low, farthest + t * np.minimum(down, 0)) if ticks is not None else low
    return low, high


def run_ticks(graph: Graph) -> tuple[int | None, list[Finding]]:
    """(ticks for which 20 bits hold every V, 0 for any number; findings where they do not)."""
    ticks = None if graph.steps is None else graph.steps + graph.max_lag
    findings: list[Finding] = []
    always = True
    for p in graph.populations:
        if not isinstance(p.neuron, TrueNorthNeuron):
            continue
        endless = bounds(graph, p, None)
        if _fits(*endless).all():
            continue
        always = False
        low, high = bounds(graph, p, ticks)
        bad = np.flatnonzero(~_fits(low, high))
        if not bad.size:
            continue
        if ticks is None:
            findings.append(
                Finding(
                    "RUN_LENGTH",
                    p.name,
                    "its potential grows for as long as the network runs, and the graph does not say how long",
                    remedy="export with the number of steps of a sample (steps=T)",
                )
            )
            continue
        worst = max(float(high[bad].max()), float(-low[bad].min()))
        findings.append(
            Finding(
                "POTENTIAL_RANGE",
                f"{p.name}[{bad[0]}]",
                f"V may leave its 20 bits within {ticks} ticks",
                resource="potential",
                needed=worst,
                available=spec.POTENTIAL_MAX,
                remedy="run fewer steps per sample, use fewer weight levels, or lower the threshold beside the weights",
            )
        )
    return (0 if always else ticks), findings


def _fits(low: Array, high: Array) -> Array:
    return np.asarray((low >= spec.POTENTIAL_MIN) & (high <= spec.POTENTIAL_MAX))
