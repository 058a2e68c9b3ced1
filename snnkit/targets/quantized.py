"""What every chip's `quantize` gives, and the totals of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snnkit.errors import GraphError
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph


@dataclass(frozen=True)
class Quantized:
    """An integer graph, what it cost (one dict per layer), and findings."""

    graph: Graph
    report: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def on_chip_timeline(graph: Graph) -> None:
    """Refuse a graph that `passes.add_lag` has not seen.

    Raises:
        GraphError: it is on the model's timeline.
    """
    if graph.timeline != "chip":
        raise GraphError("quantize needs a graph on the chip timeline", fix="run snnkit.passes.add_lag first")


def summary(report: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Totals over layers: clipped, zeroed and all weights, the largest decay and threshold errors."""
    rows = [c for layer in report for c in layer["connections"].values()]
    return {
        "weights": sum(r["weights"] for r in rows),
        "clipped": sum(r["clipped"] for r in rows),
        "zeroed": sum(r["zeroed"] for r in rows),
        "decay_error_max": max((layer["decay_error_max"] for layer in report), default=0.0),
        "threshold_error_max": max((layer.get("threshold_error_max", 0.0) for layer in report), default=0.0),
        "exact_layers": [layer["layer"] for layer in report if layer["exact_weights"]],
    }
