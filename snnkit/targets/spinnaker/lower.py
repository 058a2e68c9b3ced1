"""Integer graph -> placed network -> memory images: regions of every core and tables of every router.

Lowering is deterministic: equal graphs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph
from snnkit.targets import lowered
from snnkit.targets.spinnaker import rules, spec
from snnkit.targets.spinnaker.network import Network
from snnkit.targets.spinnaker.plan import LIMITS, place, usage
from snnkit.targets.spinnaker.schema import SpinnakerSection

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LowerOptions:
    """How to lower.

    Attributes:
        board: "SpiNN-3", "SpiNN-5" or "triad"; None for the smallest that has enough cores.
        neurons_per_core: at most so many, for sources too; None for 256 (sources: all of a port).
    """

    board: Literal["SpiNN-3", "SpiNN-5", "triad"] | None = None
    neurons_per_core: int | None = None


@dataclass(frozen=True, eq=False)
class Lowered(lowered.Lowered[SpinnakerSection]):
    """Memory images with what they cost. `network`: which neuron went where."""

    network: Network | None = None

    @classmethod
    def of(cls, network: Network, findings: Sequence[Finding]) -> Lowered:
        """The images of a placed network."""
        chips = sorted({c.chip for c in network.cores})
        cores = tuple(
            {
                "core": number,
                "chip": chips.index(c.chip),
                "place": [*c.chip, c.p],
                "layer": c.layer,
                "binary": spec.BINARIES[c.binary],
                "usage": usage(c),
            }
            for number, c in enumerate(network.cores)
        )
        return cls(network.images(), network.section(), tuple(findings), cores, network)

    def resources(self) -> dict[str, Any]:
        """Totals, per layer and per core, with a core's limits (SDRAM: a chip's)."""
        used = super().resources()
        used["total"]["router_entries"] = self.section.router_entries
        return {**used, "limits": dict(LIMITS)}


def lower(
    graph: Graph, options: LowerOptions | None = None, *, progress: Callable[[str], None] | None = None
) -> Lowered:
    """Place an integer graph on the chip timeline and write its memory images.

    Never raises for a network that does not fit: `findings` says why and `arrays` is empty.
    """
    options = options or LowerOptions()
    findings = list(rules.check_integer(graph))
    network = None
    if not has_errors(findings):
        if progress is not None:
            progress(f"placing {graph.name}")
        network, more = place(graph, board=options.board, neurons_per_core=options.neurons_per_core)
        findings += more
    if network is None or has_errors(findings):
        return Lowered({}, SpinnakerSection(n_cores=0, n_chips=0), tuple(findings))
    return Lowered.of(network, findings)


__all__ = ["LowerOptions", "Lowered", "lower"]
