"""Placed integer network -> memory images: what the cores of a TrueNorth board would hold.

The result holds everything the emulator needs, routing included, and nothing of the graph. Lowering is deterministic:
equal graphs give equal bytes. A graph that says which neurons share a core (reference vectors) is taken as it is;
others are cut into cores by `plan`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph
from snnkit.targets import lowered
from snnkit.targets.truenorth import placed, rules, spec
from snnkit.targets.truenorth.bounds import run_ticks
from snnkit.targets.truenorth.build import plan
from snnkit.targets.truenorth.images import CoreImage
from snnkit.targets.truenorth.plan import LIMITS
from snnkit.targets.truenorth.schema import TrueNorthSection

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LowerOptions:
    """How to lower.

    Attributes:
        strict: potentials that may leave 20 bits are errors (an export); else nothing is proved (a replay).
        max_chips: chips of the board; None for the largest board (16).
        leak_crossing: option T2 of the spec.
        seed: of the generator that the emulator uses for a run that brings no draws.
    """

    strict: bool = True
    max_chips: int | None = None
    leak_crossing: str = "equation"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Lowered(lowered.Lowered[TrueNorthSection]):
    """Memory images with what they cost."""

    def resources(self) -> dict[str, Any]:
        """Totals, per layer and per core, with a core's limits."""
        return {**super().resources(), "limits": dict(LIMITS)}


def lower(
    graph: Graph, options: LowerOptions | None = None, *, progress: Callable[[str], None] | None = None
) -> Lowered:
    """Place an integer graph on the chip timeline and write its memory images.

    Never raises for a network that does not fit: `findings` says why and `arrays` is empty.
    """
    options = options or LowerOptions()
    nothing = TrueNorthSection(n_cores=0, n_chips=0)
    findings = list(rules.check_integer(graph))
    proved: int | None = None
    if not has_errors(findings) and options.strict:
        proved, unsafe = run_ticks(graph)
        findings += unsafe
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    make = placed.images if placed.is_placed(graph) else plan
    if progress is not None:
        progress(graph.name)
    arrays, cores, output_xy, found = make(graph)
    findings += found
    chips = -(-len(cores) // spec.CORES_PER_CHIP)
    available = spec.MAX_CHIPS if options.max_chips is None else options.max_chips
    if chips > available:
        findings.append(
            Finding(
                "CHIPS",
                graph.name,
                f"the network needs {len(cores)} cores",
                resource="chips",
                needed=chips,
                available=available,
                remedy="use a larger board, or narrower layers",
            )
        )
    if has_errors(findings):
        return Lowered({}, nothing, tuple(findings))
    section = TrueNorthSection(
        n_cores=len(cores), n_chips=max(chips, 1), output_xy=output_xy, run_ticks=proved, seed=options.seed,
        leak_crossing="zero" if options.leak_crossing == "zero" else "equation",
    )  # fmt: skip
    return Lowered(arrays, section, tuple(findings), _costs(cores))


def _costs(cores: list[CoreImage]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"core": k, "chip": k // spec.CORES_PER_CHIP, "slot": k % spec.CORES_PER_CHIP, "layer": c.layer,
         "usage": c.usage()}
        for k, c in enumerate(cores)
    )  # fmt: skip


__all__ = ["LowerOptions", "Lowered", "lower"]
