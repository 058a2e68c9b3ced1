"""Connections as NIR: a delay, then operators, then an edge; by length of delay where synapses differ in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snnkit.export.nir import synapses
from snnkit.export.nir.model import Array
from snnkit.export.nir.plan import KEY, per_channel
from snnkit.export.nir.sketch import Sketch
from snnkit.export.nir.synapses import Shape
from snnkit.graph.model import Connection, Population
from snnkit.graph.rules.loihi import effective_weight
from snnkit.graph.synapses import Conv, Dense, LoihiWeightFormat, Pool


class Connections(Sketch):
    """Writes connections."""

    def loops_alone(self, c: Connection) -> bool:
        """Whether the reader gives this connection its one step by itself: a loop of one population."""
        return self.way.loops in ("flat", "nested") and c.src == c.dst

    def holder(self, p: Population) -> str | None:
        """The connection in whose last node the bias of a population can stand."""
        if p.bias is None:
            return None
        for c in self.graph.incoming(p.name):
            last = synapses.operators(c.synapse)[-1]
            if c.src != c.dst and not isinstance(c.delay, np.ndarray) and not self.vanishes(last):
                channels = last.out_shape[0] if isinstance(last, Conv | Pool) else p.n
                if len(self.shapes[p.name]) == 1 or per_channel(p.bias, channels) is not None:
                    return c.name
        return None

    def vanishes(self, op: synapses.Op) -> bool:
        """Whether an operator becomes an edge or a Scale, which holds no bias."""
        return synapses.is_identity(op) or (synapses.is_diagonal(op) and "Scale" in self.way.types)

    def connection(self, c: Connection) -> dict[str, Any]:
        """Writes a connection; its facts for the plan."""
        chain = type(c.synapse).__name__ == "Chain"
        facts: dict[str, Any] = {"name": c.name, "src": c.src, "dst": c.dst, "chain": chain}
        if isinstance(c.format, LoihiWeightFormat):
            facts["format"] = vars(c.format)
        ops = synapses.operators(c.synapse)
        if isinstance(c.delay, np.ndarray):
            assert isinstance(c.synapse, Dense)
            return facts | self.by_delay(c, c.synapse, c.delay)
        facts["delay"] = int(c.delay)
        at, shape = self.name_of[c.src], self.shapes[c.src]
        dst = self.name_of[c.dst]
        base = f"{at}_to_{dst}"
        loop: list[str] = []
        if self.loops_alone(c):
            if c.delay != 1 or c.src in self.loops:
                self.unread(
                    c.name, f"a loop of {c.delay} steps, or one of several; in {self.way.name} a loop takes one"
                )
        elif c.delay > 0:
            at = self.delay(base, at, shape, int(c.delay), c.name)
            loop.append(at)
        specs = []
        hold = self.holder(self.population_of[c.dst]) == c.name
        for k, op in enumerate(ops):
            last = k == len(ops) - 1
            direct = last and at != dst and (at, dst) not in self.edges
            if isinstance(c.format, LoihiWeightFormat):
                encoded = self.integer(op, shape, c.format)
            else:
                encoded = synapses.encode(op, shape, self.way, direct, hold and last)
            for code in encoded.inexact:
                self.find(code, c.name, "nir 1.0.8 miscomputes the output of a kernel that is not square", "note",
                          "read it with nir.read(..., type_check=False)")  # fmt: skip
            label = base if len(ops) == 1 else f"{base}_{k + 1}"
            for suffix, node in encoded.nodes:
                behind = self.add(label if suffix == "weight" else f"{label}_{suffix}", node, c.name)
                self.edges.append((at, behind))
                loop.append(behind)
                at = behind
            specs.append({**encoded.spec, "node": at if encoded.nodes else None})
            shape = encoded.shape
        facts["ops"] = specs
        goal = self.shapes[c.dst]
        if shape != goal:
            assert len(goal) == 1
            behind = self.add(f"{base}_flat", synapses.flatten(shape), c.name)
            self.edges.append((at, behind))
            loop.append(behind)
            at = behind
        self.edges.append((at, dst))
        if self.loops_alone(c):
            self.loops[c.src] = loop
        return facts

    def integer(self, op: Any, shape: Shape, fmt: LoihiWeightFormat) -> synapses.Encoded:
        """A chip's integer weights as real numbers in units of the current; the mantissas are kept."""
        real = synapses.real_op(op, lambda w: effective_weight(w, fmt).astype(np.float64))
        encoded = synapses.encode(real, shape, self.way)
        suffix, node = encoded.nodes[-1]
        weight = op.weight.data if isinstance(op, synapses.Sparse) else op.weight
        encoded.nodes[-1] = suffix, replace(node, metadata={KEY: {**node.metadata.get(KEY, {}), "mantissa": weight}})
        return encoded

    def by_delay(self, c: Connection, synapse: Dense, delay: Array) -> dict[str, Any]:
        """Synapses of several delays: a Delay and a Linear for each."""
        src, dst = self.name_of[c.src], self.name_of[c.dst]
        parts: list[dict[str, Any]] = []
        for steps in np.unique(delay):
            at, shape = src, self.shapes[c.src]
            label = f"{src}_to_{dst}_d{int(steps)}"
            if steps > 0:
                at = self.delay(label, at, shape, int(steps), c.name)
            weight = np.where(delay == steps, synapse.weight, 0)
            op = Dense(weight)
            if isinstance(c.format, LoihiWeightFormat):
                op = Dense(effective_weight(weight, c.format).astype(np.float64))
            for suffix, node in synapses.encode(op, shape, self.way).nodes:
                behind = self.add(label if suffix == "weight" else f"{label}_{suffix}", node, c.name)
                self.edges.append((at, behind))
                at = behind
            self.edges.append((at, dst))
            parts.append({"delay": int(steps), "node": at})
        kept = {"weight": synapse.weight, "delay": delay}
        first = parts[0]["node"]
        self.nodes[first] = replace(self.nodes[first], metadata={KEY: kept})
        return {"delay": None, "parts": parts}
