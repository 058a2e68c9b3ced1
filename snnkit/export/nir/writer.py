"""Graph → NIR: names, shapes, delays, biases, loops, and the plan that brings our own graph back bit for bit.

A population has the features of its own shape where every synapse onto it can give them, and is flat otherwise: NIR
has no node that makes [C, H, W] of [n]. A connection becomes its delay, then its operators, then an edge. A bias goes
into the last node of a connection that can hold it, or into an Affine of zero weights.

The plan (JSON in the graph's metadata, `snnkit`) lists inputs, populations and connections with what NIR leaves out:
dt, reset, threshold test, refractory steps, lags, read-out, operators' classes. Decays and thresholds as our neurons
use them are arrays in the nodes' metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnkit.errors import NirError
from snnkit.export.nir import neurons, synapses
from snnkit.export.nir.connect import Connections
from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.model import Net, Node
from snnkit.export.nir.plan import FORMAT, KEY, per_channel, plain, rename, to_json
from snnkit.export.nir.synapses import Shape
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph, Population, Readout
from snnkit.graph.neurons import LIF, CubaLIF


@dataclass(eq=False)
class Written:
    """A graph as NIR, with everything that another reader of this dialect will do otherwise."""

    net: Net
    findings: list[Finding] = field(default_factory=list)


def to_net(graph: Graph, way: Dialect, dt: float | None, provenance: Mapping[str, Any] | None = None) -> Written:
    """A graph, on either timeline, as a NIR graph in a dialect.

    Args:
        dt: length of a step in seconds for readers that go by seconds; by default the graph's.
        provenance: where the network comes from: plain values.

    Raises:
        NirError: a step's length is needed and not known, or a synapse is too large without a node of its own.
    """
    graph.validate()
    return _Writer(graph, way, step_length(graph, way, dt), provenance or {}).run()


def step_length(graph: Graph, way: Dialect, dt: float | None) -> float:
    """Seconds of a step as the reader sees it.

    Raises:
        NirError: it is neither given nor in the graph, or not positive and finite.
    """
    if way.step is not None:
        return way.step
    if dt is None and graph.dt_us is not None:
        dt = graph.dt_us * 1e-6
    if dt is None:
        raise NirError(
            f"the length of a step of {graph.name} is not known, and NIR counts time in seconds",
            fix="give dt=SECONDS (--dt 1e-3 on the command line)",
        )
    if not (dt > 0 and np.isfinite(dt)):
        raise NirError(f"dt={dt} is no length of a step", fix="give seconds above 0, such as 1e-3")
    return float(dt)


class _Writer(Connections):
    """A graph on its way to NIR."""

    # -------------------------------------------------------------------------------------------------------------- run
    def run(self) -> Written:
        graph, way = self.graph, self.way
        if way.name != "nir" and len(graph.inputs) != 1:
            self.unread(graph.name, f"{way.name} reads networks with one input, this one has {len(graph.inputs)}")
        inputs = []
        for node in graph.inputs:
            name = self.name("input" if len(graph.inputs) == 1 else node.name)
            self.nodes[name] = Node("Input", {"shape": np.array(node.shape or (1,), np.int64)})
            self.name_of[node.name], self.shapes[node.name] = name, node.shape or (1,)
            inputs.append({"name": node.name, "node": name, "shape": list(node.shape), "max_count": node.max_count,
                           "gate_from": node.gate_from})  # fmt: skip
        for p in graph.populations:
            self.name_of[p.name] = self.name(p.name)
        self.choose_shapes()
        populations = [self.population(p) for p in graph.populations]
        connections = [self.connection(c) for c in graph.connections]
        for p, facts in zip(graph.populations, populations):
            facts["bias"] = self.bias(p, connections)
        self.outputs()
        self.notes()
        plan = {
            "format": FORMAT,
            "dialect": way.name,
            "dt": self.dt,
            "name": graph.name,
            "steps": graph.steps,
            "dt_us": graph.dt_us,
            "timeline": graph.timeline,
            "readout": _readout(graph.readout),
            "update_order": "current, membrane, threshold, reset, in the same step; populations in this order",
            "threshold_test": "v >= threshold",
            "inputs": inputs,
            "populations": populations,
            "connections": connections,
            "notes": plain(graph.notes),
            "provenance": plain(self.provenance),
        }
        nodes: dict[str, Node | Net] = dict(self.nodes)
        if way.loops == "nested":
            renamed = self.nest(nodes)
            plan = rename(plan, renamed)
        return Written(Net(nodes, tuple(self.edges), {KEY: to_json(plan)}), self.findings)

    def choose_shapes(self) -> None:
        """Features of each population in NIR: its own, or flat."""
        for p in self.graph.populations:
            self.shapes[p.name] = p.shape or (1,)
        changed = True
        while changed:  # a flat population makes the convolutions behind it matrices, and so on
            changed = False
            for p in self.graph.populations:
                if len(self.shapes[p.name]) > 1 and not self.keeps_shape(p):
                    self.shapes[p.name] = (p.n,)
                    changed = True

    def keeps_shape(self, p: Population) -> bool:
        for c in self.graph.incoming(p.name):
            shape: Shape | None = self.shapes[c.src]
            if isinstance(c.delay, np.ndarray):
                return False
            for op in synapses.operators(c.synapse):
                shape = None if shape is None else synapses.gives(op, shape, self.way)
            if shape != p.shape:
                return False
        return p.bias is None or (per_channel(p.bias, p.shape[0]) is not None and self.holder(p) is not None)

    # ------------------------------------------------------------------------------------------------------ populations
    def population(self, p: Population) -> dict[str, Any]:
        neuron = p.neuron
        kept = {k: v for k, v in vars(neuron).items() if isinstance(v, np.ndarray)}
        plain_values = {k: v for k, v in vars(neuron).items() if not isinstance(v, np.ndarray)}
        shape = self.shapes[p.name]
        node = neurons.encode(neuron, shape, self.way, self.dt, {KEY: {k: v.reshape(shape) for k, v in kept.items()}})
        if node.type not in self.way.types:
            self.unread(p.name, f"{self.way.name} has no {node.type}")
        elif self.way.one_axis and len(shape) > 1:
            node = self.one_number(p.name, node)
        self.nodes[self.name_of[p.name]] = node
        self.findings += [f for f in neurons.losses(p.name, neuron, self.way) if f not in self.findings]
        return {"name": p.name, "node": self.name_of[p.name], "shape": list(p.shape), "kind": type(neuron).__name__,
                "neuron": plain_values, "lag": p.lag}  # fmt: skip

    def one_number(self, name: str, node: Node) -> Node:
        """The node with one value for all its neurons."""
        values = {k: np.unique(v) for k, v in node.fields.items() if not isinstance(v, str)}
        if any(v.size != 1 for v in values.values()):
            self.unread(name, f"{self.way.name} reads one decay and threshold for a layer on [C, H, W]; these differ")
        self.find("NIR_TYPE_CHECK", name, "one number stands for the layer, as this reader wants it", "note",
                  "read it with nir.read(..., type_check=False)")  # fmt: skip
        return replace(node, fields={k: v[:1] for k, v in values.items()})

    # ----------------------------------------------------------------------------------------------------------- biases
    def bias(self, p: Population, connections: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Puts a bias into a node and says where: `node`, or None for no bias."""
        if p.bias is None:
            return None
        held = self.holder(p)
        if held is not None:
            facts = next(f for f in connections if f["name"] == held)
            name = facts["ops"][-1]["node"]
            node = self.nodes[name]
            channels = len(node.fields["bias"]) if node.type.startswith("Conv") else p.n
            values = per_channel(p.bias, channels)
            if values is not None:
                self.nodes[name] = synapses.biased(node, values)
                return {"node": name}
        if len(self.shapes[p.name]) != 1 or not self.graph.inputs:
            raise NirError(f"the bias of {p.name!r} has no node to stand in", fix="give the population an input")
        source = self.graph.inputs[0]
        at, shape = self.name_of[source.name], self.shapes[source.name]
        base = f"bias_of_{self.name_of[p.name]}"
        if len(shape) != 1:
            behind = self.add(f"{base}_flatten", synapses.flatten(shape), p.name)
            self.edges.append((at, behind))
            at = behind
        zeros = np.zeros((p.n, source.n), np.float32)
        if zeros.size > synapses.LARGEST_MATRIX:
            raise NirError(f"the bias of {p.name!r} would need a matrix of {zeros.size:,} zeros")
        name = self.add(base, Node("Affine", {"weight": zeros, "bias": p.bias}), p.name)
        self.edges += [(at, name), (name, self.name_of[p.name])]
        return {"node": name}

    # ------------------------------------------------------------------------------------------------------------- ends
    def outputs(self) -> None:
        graph = self.graph
        if graph.readout is not None:
            ends = [graph.readout.population]
        else:
            ends = [p.name for p in graph.populations if not any(c.dst != p.name for c in graph.outgoing(p.name))]
            ends = ends or [p.name for p in graph.populations[-1:]]
        for end in ends:
            name = self.name("output" if len(ends) == 1 else f"output_{end}")
            self.nodes[name] = Node("Output", {"shape": np.array(self.shapes[end], np.int64)})
            self.edges.append((self.name_of[end], name))

    def notes(self) -> None:
        """What concerns the whole file."""
        graph, way = self.graph, self.way
        steps = {
            "snntorch": "snntorch takes a step of 0.1 ms whatever a file says, so tau is written for that",
            "norse": f"call norse.torch.from_nir(graph, dt={self.dt:g}): another step changes every decay",
            "sinabs": "sinabs counts tau in steps, so tau is written in steps",
        }
        if way.name in steps:
            self.find("NIR_STEP", graph.name, steps[way.name], "note")
        firing = [p.neuron for p in graph.populations if isinstance(p.neuron, LIF | CubaLIF)]
        if way.name == "norse" and len({n.reset for n in firing if neurons.written_type(n, way) == "CubaLIF"}) > 1:
            what = "norse resets every CubaLIF as from_nir is told, and these differ"
            self.find("NIR_RESET", graph.name, what, "warning", "train with one kind of reset for this reader")
        order = {p.name: k for k, p in enumerate(graph.populations)}
        for c in graph.connections:
            back = c.src in order and order[c.src] >= order[c.dst]
            if back and way.loops != "delay" and (way.loops == "none" or c.src != c.dst):
                self.unread(c.name, f"{way.name} reads no such loop")

    def nest(self, nodes: dict[str, Node | Net]) -> dict[str, str]:
        """Each population that feeds back to itself becomes a graph of its own; returns the new paths of its nodes."""
        paths: dict[str, str] = {}
        for population, inside in self.loops.items():
            name = self.name_of[population]
            parts = {n: "w_rec" if k == len(inside) - 1 else f"w_rec_{k + 1}" for k, n in enumerate(inside)}
            names = {name: "lif"} | parts
            shape = np.array(self.shapes[population], np.int64)
            inner: dict[str, Node | Net] = {"input": Node("Input", {"shape": shape})}
            inner |= {new: nodes.pop(old) for old, new in names.items()}
            inner["output"] = Node("Output", {"shape": shape})
            own = [(names[a], names[b]) for a, b in self.edges if a in names and b in names]
            self.edges = [e for e in self.edges if not (e[0] in names and e[1] in names)]
            nodes[name] = Net(inner, (("input", "lif"), *own, ("lif", "output")))
            paths |= {old: f"{name}.{new}" for old, new in names.items()}
        return paths


def _readout(readout: Readout | None) -> list[str | int] | None:
    if readout is None:
        return None
    return [readout.population, readout.rule, *([readout.votes] if readout.votes > 1 else [])]
