"""A NIR graph in the making: nodes under free names, edges, findings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.errors import NirError
from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.model import Node
from snnkit.export.nir.synapses import Shape
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph

MOST_BYTES = 2**30
"""Of arrays in a file; the reader takes no more."""


class Sketch:
    """What was written so far of a graph in a dialect with steps of `dt` seconds."""

    def __init__(self, graph: Graph, way: Dialect, dt: float, provenance: Mapping[str, Any]) -> None:
        self.graph, self.way, self.dt, self.provenance = graph, way, dt, provenance
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.findings: list[Finding] = []
        self.bytes = 0
        self.taken: set[str] = {""}
        self.name_of: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.population_of = {p.name: p for p in graph.populations}
        self.loops: dict[str, list[str]] = {}
        """Nodes of the connection from a population to itself that takes a step by itself, by population."""

    def find(self, code: str, where: str, what: str, severity: Any = "error", remedy: str = "") -> None:
        """Report a finding once."""
        finding = Finding(code, where, what, severity, remedy=remedy)
        if finding not in self.findings:
            self.findings.append(finding)

    def unread(self, where: str, what: str) -> None:
        """Report what the reader of this dialect does not take."""
        self.find("NIR_NOT_READ", where, what, remedy="write it with --dialect nir, or change the network")

    def name(self, wish: str) -> str:
        """A free name of letters, digits and _ (readers make module names of them and change dots)."""
        base = re.sub(r"\W", "_", wish) or "node"
        name, k = base, 2
        while name in self.taken:
            name, k = f"{base}_{k}", k + 1
        self.taken.add(name)
        return name

    def add(self, wish: str, node: Node, where: str) -> str:
        """A node under a free name, which is returned."""
        if node.type not in self.way.types:
            self.unread(where, f"{self.way.name} has no {node.type}")
        name = self.name(wish)
        self.nodes[name] = node
        self.bytes += sum(v.nbytes for v in node.fields.values() if not isinstance(v, str))
        if self.bytes > MOST_BYTES:
            raise NirError(f"{self.graph.name} needs more than {MOST_BYTES:,} bytes in NIR", fix="smaller layers")
        return name

    def delay(self, base: str, at: str, shape: Shape, steps: int, where: str) -> str:
        """A Delay behind a node; its name."""
        name = self.add(f"{base}_delay", Node("Delay", {"delay": np.full(shape, steps * self.dt)}), where)
        self.edges.append((at, name))
        return name
