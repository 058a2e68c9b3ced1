"""A network in three parts: what the host runs before the chip, the chip's part, and what the host runs after it.

Only spikes cross: a layer of `before` becomes an input of the chip, the layer that leaves the chip an input of `after`.
All three stay on the model's timeline; the host takes no time, so the chip sees row t of `before` in its step t.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snnkit.errors import GraphError, did_you_mean
from snnkit.graph.model import Graph, Input, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF

HOST_NEURONS = (LIF, CubaLIF, LI, CubaLI)
"""Those that a host can run."""


@dataclass(frozen=True, eq=False)
class Split:
    """The parts of a network. `chip` reads out the layer that leaves it, where `after` gives the answer."""

    before: Graph | None
    chip: Graph
    after: Graph | None

    @property
    def layers(self) -> list[str]:
        """The layers on the host, in the order of evaluation."""
        return [p.name for part in (self.before, self.after) if part is not None for p in part.populations]


def split_host(graph: Graph, layers: Sequence[str]) -> Split:
    """Put layers of a float graph on the host.

    Args:
        graph: on the model's timeline.
        layers: populations; those with a layer of the chip behind them run before it, the others after it.

    Raises:
        GraphError: an unknown name, a layer between two of the chip, nothing left for the chip, a neuron that no host
            runs, or not exactly one layer that leaves the chip for the answer.
    """
    if not layers:
        return Split(None, graph, None)
    names = [p.name for p in graph.populations]
    for name in layers:
        if name not in names:
            raise GraphError(
                f"no layer is called {name!r}{did_you_mean(name, names)}", fix=f"layers: {', '.join(names)}"
            )
        if not isinstance(graph.node(name).neuron, HOST_NEURONS):  # type: ignore[union-attr]
            kind = type(graph.node(name).neuron).__name__  # type: ignore[union-attr]
            raise GraphError(f"the host cannot run layer {name!r}, a {kind}", fix="leave it on the chip")
    host = set(layers)
    chip = [n for n in names if n not in host]
    if not chip:
        raise GraphError("no layer is left for the chip", fix="give the host fewer layers")
    before = {n for n in host if _reach(graph, [n]) & set(chip)}
    between = sorted(before & _reach(graph, chip))
    if between:
        raise GraphError(
            f"layer {between[0]!r} lies between layers of the chip", fix="the host runs layers before or after the chip"
        )
    after = host - before
    leaving = sorted({c.src for c in graph.connections if c.dst in after and c.src in chip})
    readout = graph.readout
    if readout is not None and readout.population in before:
        raise GraphError(f"the read-out {readout.population!r} runs before the chip", fix="leave it out of the host")
    if readout is not None and readout.population in after:
        if len(leaving) != 1:
            raise GraphError(
                f"{len(leaving)} layers leave the chip ({', '.join(leaving)})", fix="let one layer's spikes leave it"
            )
        readout = Readout(leaving[0], "count")
    return Split(
        _part(graph, before, None) if before else None,
        _part(graph, chip, readout),
        _part(graph, after, graph.readout if graph.readout and graph.readout.population in after else None)
        if after
        else None,
    )


def _reach(graph: Graph, start: Iterable[str]) -> set[str]:
    """Everything behind some layers, themselves only where a loop leads back."""
    found: set[str] = set()
    edge = list(start)
    while edge:
        at = edge.pop()
        new = {c.dst for c in graph.outgoing(at)} - found
        found |= new
        edge.extend(new)
    return found


def _part(graph: Graph, names: Iterable[str], readout: Readout | None) -> Graph:
    """Some layers with their connections; what reaches them from outside becomes an input."""
    inside = set(names)
    connections = tuple(c for c in graph.connections if c.dst in inside)
    sources = {c.src for c in connections} - inside
    inputs = [i for i in graph.inputs if i.name in sources]
    inputs += [Input(p.name, p.shape) for p in graph.populations if p.name in sources]
    inputs = inputs or list(graph.inputs[:1])  # what only its biases drive has an input too, for T and B
    return graph.with_(
        inputs=tuple(inputs),
        populations=tuple(p for p in graph.populations if p.name in inside),
        connections=connections,
        readout=readout,
    )
