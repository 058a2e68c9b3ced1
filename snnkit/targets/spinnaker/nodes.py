"""Ports and populations cut into cores: how many, where they lie, and which keys they send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.errors import did_you_mean
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.budget import dtcm_bytes
from snnkit.targets.spinnaker.machine import Chip, chips_of, cores_of

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Node:
    """A port or population cut into cores of at most `most` neurons, with the space of its keys."""

    name: str
    n: int
    most: int
    population: Population | None
    places: list[tuple[Chip, int]] = field(default_factory=list)
    key: int = 0

    @property
    def count(self) -> int:
        """Cores."""
        return -(-self.n // self.most)

    @property
    def shift(self) -> int:
        """Where the number of the core begins in a key."""
        return words.bits_for(self.most) + spec.COLOUR_BITS

    @property
    def core_bits(self) -> int:
        """Bits of the number of a core."""
        return (self.count - 1).bit_length()

    @property
    def mask(self) -> int:
        """What all its keys have in common."""
        return 0xFFFFFFFF & ~((1 << (self.shift + self.core_bits)) - 1)

    def slice_of(self, core: int) -> Array:
        """The neurons of a core."""
        return np.arange(core * self.most, min((core + 1) * self.most, self.n))


def options(board: str | None, neurons_per_core: int | None) -> list[Finding]:
    """Findings about a board that there is not, or a number of neurons that no core takes."""
    findings = []
    if board is not None and board not in spec.BOARDS:
        findings.append(
            Finding("BOARD", "the network", f"there is no board {board!r}{did_you_mean(board, spec.BOARDS)}",
                    resource="board", remedy=f"use {', '.join(spec.BOARDS)}, or none for the smallest that is enough")
        )  # fmt: skip
    if neurons_per_core is not None and not 1 <= neurons_per_core <= spec.NEURONS_PER_CORE:
        findings.append(
            Finding("NEURONS", "the network", f"{neurons_per_core} neurons on a core", resource="neurons per core",
                    needed=neurons_per_core, available=spec.NEURONS_PER_CORE,
                    remedy=f"use 1 to {spec.NEURONS_PER_CORE}")
        )  # fmt: skip
    return findings


def cut(graph: Graph, neurons_per_core: int | None) -> list[Node]:
    """Every port and population, in cores of as many neurons as their ring buffers leave room for."""
    nodes = [
        Node(i.name, i.n, min(neurons_per_core or spec.SOURCE_LINES, spec.SOURCE_LINES, i.n), None)
        for i in graph.inputs
    ]
    for p in graph.populations:
        bits = delay_bits(graph, p)
        most = min(neurons_per_core or spec.NEURONS_PER_CORE, spec.NEURONS_PER_CORE, p.n)
        most = min(most, 1 << max(spec.INDEX_BITS_MAX - spec.RECEPTOR_BITS - bits, 0))
        while most > 1 and dtcm_bytes(most, most, bits, 1024, 0) > spec.DTCM_BYTES:
            most //= 2
        nodes.append(Node(p.name, p.n, most, p))
    return nodes


def delay_bits(graph: Graph, p: Population) -> int:
    """Bits of the ring buffer that holds the longest delay into a population."""
    assert isinstance(p.neuron, SpinnakerNeuron)
    longest = max((c.max_delay for c in graph.incoming(p.name)), default=1)
    return max(words.bits_for(max(longest, 1)), p.neuron.delay_bits)


def sites_of(nodes: Sequence[Node], board: str | None) -> tuple[str | None, list[Finding]]:
    """Give every core a place, chip after chip, on the smallest board that has enough."""
    need = sum(node.count for node in nodes)
    for name in [board] if board else list(spec.BOARDS):
        sites = [(chip, p) for chip in chips_of(name) for p in cores_of(name, chip)]
        if len(sites) >= need:
            free = iter(sites)
            for node in nodes:
                node.places = [next(free) for _ in range(node.count)]
            return name, []
    return None, [
        Finding("CORES", "the network", f"{need} cores", resource="cores", needed=need, available=len(sites),
                remedy="use a larger board, or more neurons per core, or a smaller network")
    ]  # fmt: skip


def give_keys(nodes: Sequence[Node]) -> list[Finding]:
    """Give every port and population the space of its keys, the largest first."""
    at = 0
    for node in sorted(nodes, key=lambda m: -(m.shift + m.core_bits)):
        size = 1 << (node.shift + node.core_bits)
        node.key = at
        at += size
    if at > 1 << 32:
        return [
            Finding("KEYS", "the network", "its neurons have more keys than 32 bits hold", resource="keys", needed=at,
                    available=1 << 32, remedy="a smaller network")
        ]  # fmt: skip
    return []
