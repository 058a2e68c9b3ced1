"""The host's parts of a network as typed sections of a descriptor, with their numbers as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.descriptor.schema import Host, HostLayer, HostNetwork, HostSynapse, Port, Readout
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.synapses import Dense
from snnkit.passes.split_host import Split

Array = np.ndarray[Any, Any]


def lower_host(split: Split) -> tuple[Host | None, dict[str, Array]]:
    """The sections of both parts and their arrays; None where the chip runs everything."""
    if split.before is None and split.after is None:
        return None, {}
    arrays: dict[str, Array] = {}
    before, after = (None if part is None else _network(part, arrays) for part in (split.before, split.after))
    return Host(before=before, after=after), arrays


def _network(graph: Graph, arrays: dict[str, Array]) -> HostNetwork:
    readout = graph.readout
    return HostNetwork(
        ports=tuple(Port(name=i.name, shape=i.shape, n=i.n, max_count=i.max_count) for i in graph.inputs),
        layers=tuple(_layer(p, arrays) for p in graph.populations),
        synapses=tuple(s for c in graph.connections for s in _synapses(c, arrays)),
        readout=None if readout is None else Readout(layer=readout.population, rule=readout.rule, votes=readout.votes),
    )


def _layer(p: Population, arrays: dict[str, Array]) -> HostLayer:
    kind: Any = type(p.neuron).__name__
    layer = HostLayer(
        name=p.name, shape=p.shape, n=p.n, neuron=kind, reset=getattr(p.neuron, "reset", "zero"),
        refractory=getattr(p.neuron, "refractory", 0), bias=p.bias is not None,
    )  # fmt: skip
    for key in layer.parameters:
        arrays[f"host.{p.name}.{key}"] = bits(
            p.bias if key == "bias" and p.bias is not None else getattr(p.neuron, key)
        )
    return layer


def _synapses(c: Connection, arrays: dict[str, Array]) -> list[HostSynapse]:
    """One per delay, in rising order."""
    whole = sp.csr_matrix(c.synapse.matrix(), dtype=np.float64)
    whole.sort_indices()
    if isinstance(c.delay, np.ndarray):
        assert isinstance(c.synapse, Dense)
        dense = whole.toarray()
        parts = [(int(d), sp.csr_matrix(np.where(c.delay == d, dense, 0))) for d in np.unique(c.delay)]
    else:
        parts = [(int(c.delay), whole)]
    made = []
    for delay, matrix in parts:
        name = c.name if len(parts) == 1 else f"{c.name}.delay{delay}"
        arrays[f"host.{name}.indptr"] = matrix.indptr.astype(np.int64)
        arrays[f"host.{name}.indices"] = matrix.indices.astype(np.int32)
        arrays[f"host.{name}.weight"] = bits(matrix.data)
        made.append(HostSynapse(name=name, src=c.src, dst=c.dst, delay=delay))
    return made


def bits(values: Array) -> Array:
    """The bits of float32 numbers, or of float64 where float32 would round one of them."""
    narrow = np.asarray(values, np.float32)
    if np.array_equal(narrow.astype(np.float64), np.asarray(values, np.float64)):
        return narrow.view(np.int32)
    return np.asarray(values, np.float64).view(np.int64)
