"""What fits of plastic connections, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.synapses import SpinnakerPair, SpinnakerWeightFormat
from snnkit.targets.spinnaker import spec

TABLE_MAX = (1 << 16) - 1
"""Values of a table: its size has 16 bits."""


def check_pairs(graph: Graph) -> Iterator[Finding]:
    """Findings about every population that learns."""
    for p in graph.populations:
        learning = [c for c in graph.incoming(p.name) if _pair(c) is not None]
        if not learning or not isinstance(p.neuron, SpinnakerNeuron):
            continue
        yield from _population(p, p.neuron, learning)
        for c in learning:
            slots = 1 << p.neuron.delay_bits
            if c.max_delay >= slots:
                yield Finding(
                    "DELAY_RANGE", c.name, f"a plastic synapse with a delay of {c.max_delay} delivers nothing",
                    resource="delay of a plastic synapse", needed=c.max_delay, available=slots - 1,
                    remedy=f"set delay_bits of {p.name} to {int(c.max_delay).bit_length()}, or use shorter delays",
                )  # fmt: skip


def _pair(c: Connection) -> SpinnakerPair | None:
    return c.format.pair if isinstance(c.format, SpinnakerWeightFormat) else None


def _population(p: Population, neuron: SpinnakerNeuron, learning: list[Connection]) -> Iterator[Finding]:
    if neuron.model != "exp":
        yield Finding("PAIR_RULE", p.name, "no program of IF_curr_delta learns", remedy="use IF_curr_exp")
    pairs = {pair for c in learning if (pair := _pair(c)) is not None}
    if len(pairs) > 1:
        yield Finding(
            "PAIR_RULE", p.name, f"{len(pairs)} different rules", resource="rules of a core", needed=len(pairs),
            available=1, remedy="give all plastic connections of a population one rule",
        )  # fmt: skip
    for pair in pairs:
        for name, table in (("plus", pair.plus), ("minus", pair.minus)):
            if len(table) % 2 or not 0 < len(table) <= TABLE_MAX:
                yield Finding(
                    "PAIR_RULE", p.name, f"the table {name} has {len(table)} values", resource="values",
                    needed=len(table), available=TABLE_MAX, remedy="use an even number of values, the last may be 0",
                )  # fmt: skip
            if any(not -(1 << 15) <= v < 1 << 15 for v in table):
                yield Finding("PAIR_RULE", p.name, f"a value of the table {name} does not fit 16 bits",
                              remedy=f"use 4.11: 1 is {spec.TRACE_ONE}")  # fmt: skip
        if any(not -(1 << 31) <= v < 1 << 31 for row in pair.limits for v in row):
            yield Finding("PAIR_RULE", p.name, "a limit or rate does not fit 32 bits", remedy="use s16.15")
        if any(not 0 <= s <= 31 for s in pair.shifts):
            yield Finding("PAIR_RULE", p.name, f"time shifts {pair.shifts}", remedy="use 0 to 31")
