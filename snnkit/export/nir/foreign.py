"""NIR files of others → float graph: values are walked from the inputs, and everything that would be lost is a finding.

NIR does not say how long a step is, how a neuron is reset (to v_reset, or by the threshold), nor how many steps a loop
without a Delay takes: these are asked for, never assumed, unless a dialect fixes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from snnkit.export.nir import loops
from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.foreign_neurons import decode
from snnkit.export.nir.linear import ANALOG, MOST_FEATURES, MOST_SYNAPSES, LinearNodes
from snnkit.export.nir.model import FIRING, NEURONS, Array
from snnkit.export.nir.nodes import Flat, whole
from snnkit.export.nir.questions import Facts, ask
from snnkit.export.value import Term, Value, connections
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, CubaLI
from snnkit.graph.synapses import Dense, Scale, Sparse
from snnkit.passes import simplify

DECAYS_ALIKE = 1e-3
MOST_PATHS = 4096
"""Ways from neurons to one node; a chain of forks doubles them at each."""
RULES = ("count", "first", "mean", "max", "last")


def to_graph(flat: Flat, way: Dialect, facts: Facts, name: str) -> tuple[Graph | None, list[Finding]]:
    """A checked flat NIR graph as a float graph on the model's timeline, and all findings.

    Raises:
        NirError: something that NIR leaves out is needed and not given; names all of it.
    """
    return _Reader(flat, way, facts, name).run()


class _Reader:
    def __init__(self, flat: Flat, way: Dialect, facts: Facts, name: str) -> None:
        self.flat, self.way, self.facts, self.name = flat, way, facts, name
        self.findings: list[Finding] = []
        self.values: dict[str, Value | None] = {}
        self.inputs: list[Input] = []
        self.bias: dict[str, Array] = {}
        self.factor: dict[str, Array] = {}

    def report(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def find(self, code: str, where: str, what: str, remedy: str = "", severity: Any = "error") -> None:
        self.report(Finding(code, where, what, severity, remedy=remedy))

    def open_loops(self) -> list[list[str]]:
        """Loops through neurons without a Delay node that delays."""
        nodes = self.flat.nodes
        late = {p for p, n in nodes.items() if n.type == "Delay" and bool(np.all(n.array("delay") > 0))}
        edges = [(a, b) for a, b in self.flat.edges() if a not in late and b not in late]
        found = []
        for part in loops.cyclic([p for p in nodes if p not in late], edges):
            linear = {p for p in part if nodes[p].type not in NEURONS}
            for inner in loops.cyclic(linear, [(a, b) for a, b in edges if a in linear and b in linear]):
                what = "a loop without a neuron: its value depends on itself in the same step"
                self.find("NIR_LOOP", " -> ".join([*inner, inner[0]]), what, "put a neuron or a Delay into the loop")
            if len(linear) < len(part):
                found.append(part)
        return found

    # -------------------------------------------------------------------------------------------------------------- run
    def run(self) -> tuple[Graph | None, list[Finding]]:
        dt = ask(self.flat, self.way, self.facts, self.open_loops(), self.name)
        if has_errors(self.findings):
            return None, self.findings
        made = self.sources(dt)
        linear = [p for p in self.flat.nodes if p not in self.values]
        inside = set(linear)
        edges = [(a, b) for a, b in self.flat.edges() if a in inside and b in inside]
        self.integration(dt)
        apply = LinearNodes(self.report, dt).apply
        for path in loops.order(linear, edges, {}):
            x = self.incoming(path)
            self.values[path] = None if x is None else apply(path, self.flat.nodes[path], x)
        populations, wires = self.wire(made)
        readout = self.readout(made)
        if has_errors(self.findings) or readout is None:
            return None, self.findings
        ordered, wires = self.in_order(populations, wires)
        facts = self.facts
        seconds = self.way.step if self.way.step is not None and self.way.seconds else facts.dt
        dt_us = None if seconds is None else round(seconds * 1e6, 9)
        graph = Graph(self.name, tuple(self.inputs), tuple(ordered), tuple(wires), readout, facts.steps, dt_us)
        graph.validate()
        return simplify(graph), self.findings

    def sources(self, dt: float) -> dict[str, Any]:
        """Neurons and inputs, whose shapes are known; the neurons of ours (None where one is refused)."""
        made: dict[str, Any] = {}
        for path, node in self.flat.nodes.items():
            if node.type in NEURONS:
                decoded = decode(path, node, self.way, dt, self.facts.reset or "zero")
                self.findings += decoded.findings
                made[path] = decoded.neuron
                if decoded.bias is not None:
                    self.bias[path] = decoded.bias.astype(np.float64)
                if decoded.factor is not None:
                    self.factor[path] = decoded.factor
                shape = next(v.shape for v in node.fields.values() if not isinstance(v, str))
                self.values[path] = Value(shape, (Term(path),), analog=node.type not in FIRING)
            elif node.type == "Input" and not self.flat.before[path]:
                shape = whole(node.fields["shape"])
                if math.prod(shape) > MOST_FEATURES:
                    what = f"{math.prod(shape):,} inputs; at most {MOST_FEATURES:,} are read"
                    self.find("NIR_SIZE", path, what, "smaller inputs")
                self.inputs.append(Input(path, shape, self.facts.max_count))
                self.values[path] = Value(shape, (Term(path),))
        return made

    def integration(self, dt: float) -> None:
        """A note where it matters how the equations are solved, which NIR does not say either."""
        if self.way.name != "nir":
            return
        worst = 0.0
        for node in self.flat.nodes.values():
            for name in ("tau", "tau_mem", "tau_syn"):
                if name in node.fields and np.all(node.array(name) > 0):
                    ratio = dt / node.array(name).astype(np.float64)
                    worst = max(worst, float(np.abs(np.exp(-ratio) - (1 - ratio)).max()))
        if worst > DECAYS_ALIKE:
            what = f"decays are exp(-dt/tau); norse and snntorch mean 1 - dt/tau, which is up to {worst:.2g} less"
            self.find("NIR_INTEGRATION", self.name, what, "--dialect norse or snntorch for their files", "note")

    def incoming(self, path: str) -> Value | None:
        """The sum of what reaches a node, or None after a finding."""
        sources = self.flat.before[path]
        if not sources:
            self.find("NO_INPUT", path, "no edge leads to it", "connect it, or leave it out")
            return None
        values = [self.values[s] for s in sources]
        total = values[0]
        for source, value in zip(sources[1:], values[1:]):
            if total is None or value is None:
                return None  # a finding upstream says why
            if value.shape != total.shape:
                what = f"it gets features {list(total.shape)} from {sources[0]!r}, {list(value.shape)} from {source!r}"
                self.find("SHAPE", path, what, "what is added must have one shape")
                return None
            if len(total.terms) + len(value.terms) > MOST_PATHS:
                what = f"more than {MOST_PATHS} ways lead to it"
                self.find("NIR_SIZE", path, what, "put neurons between, or add weights up")
                return None
            total = total + value
        return total

    # ------------------------------------------------------------------------------------------------------------ graph
    def wire(self, made: Mapping[str, Any]) -> tuple[list[Population], list[Connection]]:
        populations: list[Population] = []
        wires: list[Connection] = []
        taken: set[str] = set()
        for path, neuron in made.items():
            x = self.incoming(path)
            own = self.values[path]
            assert own is not None
            if x is None:
                continue
            if x.shape != own.shape:
                LinearNodes(self.report, 1).misfit(path, self.flat.nodes[path], x, list(own.shape))
                continue
            if x.analog:
                self.find("ANALOG_SOURCE", path, ANALOG, "end the network with that neuron, or make it fire")
                continue
            factor = self.factor.get(path)
            if factor is not None and np.any(factor != 1):
                x = x.apply(Scale(factor), x.shape)
            if neuron is None or not self.multipliable(path, x):
                continue
            bias = x.bias
            if path in self.bias:
                bias = self.bias[path] if bias is None else bias + self.bias[path]
            array = None if bias is None else bias.astype(np.float32)
            populations.append(Population(path, own.shape, neuron, array))
            wires += connections(path, x.terms, x.shape, taken)
        return populations, wires

    def multipliable(self, path: str, x: Value) -> bool:
        """Whether rows of linear nodes can become one synapse each; a finding where that would be too large."""
        for term in x.terms:
            source = self.values[term.source]
            matrices = any(isinstance(op, Dense | Sparse | Scale) for op in term.ops)
            if source is not None and len(term.ops) > 1 and matrices and source.n * x.n > MOST_SYNAPSES:
                what = f"{len(term.ops)} linear nodes from {term.source!r} would become {source.n * x.n:,} weights"
                self.find("NIR_SIZE", path, what, "put neurons between them")
                return False
        return True

    def in_order(
        self, populations: list[Population], wires: list[Connection]
    ) -> tuple[list[Population], list[Connection]]:
        """Populations so that undelayed connections run forwards; those that cannot take the step of a loop."""
        sources = {i.name for i in self.inputs}
        near = _distances([i.name for i in self.inputs], [(c.src, c.dst) for c in wires])
        edges = [(c.src, c.dst) for c in wires if c.delay == 0 and c.src not in sources]
        place = {n: k for k, n in enumerate(loops.order([p.name for p in populations], edges, near))}
        late = self.facts.loop_delay or 1
        out = []
        for c in wires:
            if c.src not in sources and c.delay == 0 and place[c.src] >= place[c.dst]:
                c = replace(c, delay=late)
                what = f"it closes a loop and takes {late} step{'s' if late > 1 else ''}"
                self.find("NIR_LOOP", c.name, what, severity="note")
            out.append(c)
        return sorted(populations, key=lambda p: place[p.name]), out

    def readout(self, made: Mapping[str, Any]) -> Readout | None:
        lead_on = {a for a, _ in self.flat.edges()}  # as outputs of nested graphs do
        outputs = [p for p, n in self.flat.nodes.items() if n.type == "Output" and p not in lead_on]
        wanted = self.facts.output
        if wanted is not None:
            if wanted not in outputs:
                self.find("NIR_ENDS", wanted, "is no Output of the graph", f"outputs: {', '.join(outputs)}")
                return None
            outputs = [wanted]
        if len(outputs) != 1:
            what = f"the graph has {len(outputs)} outputs"
            self.find("NIR_ENDS", ", ".join(outputs[:8]) or self.name, what, "choose one: --output NAME")
            return None
        value = self.values.get(outputs[0])
        if value is None:
            return None
        if not value.is_output or value.terms[0].source not in made:
            what = f"{', '.join(self.flat.before[outputs[0]])} leads to it, which is no neuron"
            remedy = "end with a firing neuron (spike counts), or an LI or I (membrane read-out)"
            self.find("OUTPUT_NOT_A_NEURON", outputs[0], what, remedy)
            return None
        source = value.terms[0].source
        silent = isinstance(made[source], LI | CubaLI)
        rule = self.facts.readout or ("last" if silent else "count")
        if rule not in RULES or (rule in ("count", "first")) == silent:
            what = f"the read-out rule is {rule!r}, but this neuron {'does not fire' if silent else 'fires'}"
            remedy = "count and first need a firing last layer; mean, max and last need an LI or I"
            self.find("READOUT", source, what, remedy)
            return None
        return Readout(source, rule)  # type: ignore[arg-type]


def _distances(starts: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """Connections from the nearest input, by population."""
    after: dict[str, list[str]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    far = dict.fromkeys(starts, 0)
    queue = list(starts)
    for node in queue:
        for b in after.get(node, ()):
            if b not in far:
                far[b] = far[node] + 1
                queue.append(b)
    return far
