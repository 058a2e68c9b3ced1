"""Networks that are given core by core, as reference vectors are: populations of axons, crossbars, neurons, lines.

Each core is a population of `TrueNorthAxon` with one crossbar connection (delay 0) to a population of
`TrueNorthNeuron`; inputs and neurons lead to axons, neurons also to lines of one `TrueNorthOutput`. `graph.notes`
may hold `core_xy` (by population of neurons) and `output_xy`. Cores smaller than 256 x 256 are embedded in full ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import TrueNorthAxon, TrueNorthNeuron
from snnkit.graph.synapses import TrueNorthFormat
from snnkit.targets.truenorth import schema
from snnkit.targets.truenorth.images import CoreImage, neuron_rows, pack, site

Array = np.ndarray[Any, Any]
OUTPUT_XY = (-1, 0)


def is_placed(graph: Graph) -> bool:
    """True if the graph says which neurons share a core."""
    return any(isinstance(c.format, TrueNorthFormat) and c.format.axon_type is not None for c in graph.connections)


def images(graph: Graph) -> tuple[dict[str, Array], list[CoreImage], tuple[int, int], list[Finding]]:
    """(memory images, cores, place of the output port, findings) of a placed graph."""
    axons = {p.name: p for p in graph.populations if isinstance(p.neuron, TrueNorthAxon)}
    bodies = [p for p in graph.populations if isinstance(p.neuron, TrueNorthNeuron)]
    lines = next((p for p in graph.populations if p.name not in axons and p not in bodies), None)
    findings: list[Finding] = []
    core_of = {p.name: k for k, p in enumerate(bodies)}
    cores, core_of_axons = [], {}
    for k, p in enumerate(bodies):
        crossbars = [c for c in graph.incoming(p.name) if c.src in axons]
        if len(crossbars) != 1 or len(graph.incoming(p.name)) != 1:
            findings.append(_bad(p.name, f"has {len(graph.incoming(p.name))} connections, a core has one crossbar"))
            continue
        core_of_axons[crossbars[0].src] = k
        cores.append(_core(p, axons[crossbars[0].src], crossbars[0], findings))
    if findings:
        return {}, [], OUTPUT_XY, findings
    host = _routes(graph, cores, core_of, core_of_axons, lines, findings)
    if findings:
        return {}, [], OUTPUT_XY, findings
    places = dict(graph.notes.get("core_xy", {}))
    xy = np.array([places.get(p.name, site(k)) for k, p in enumerate(bodies)], np.int64)
    port = tuple(int(k) for k in graph.notes.get("output_xy", OUTPUT_XY))
    arrays = pack(cores, xy, (port[0], port[1]))
    arrays["host_input"] = host
    arrays["output_line"] = np.full((0 if lines is None else lines.n, 2), -1, np.int32)
    for p in graph.populations:
        kind, core = schema.IS_LINE, 0
        if p.name in core_of:
            kind, core = schema.IS_NEURON, core_of[p.name]
        elif p.name in axons:
            kind, core = schema.IS_AXON, core_of_axons[p.name]
        table = np.column_stack([np.full(p.n, kind), np.full(p.n, core), np.arange(p.n)])
        arrays[schema.PLACEMENT + p.name] = table.astype(np.int32)
    return arrays, cores, (port[0], port[1]), []


def _core(p: Population, axons: Population, crossbar: Connection, findings: list[Finding]) -> CoreImage:
    fmt, neuron = crossbar.format, p.neuron
    assert isinstance(fmt, TrueNorthFormat)
    assert isinstance(neuron, TrueNorthNeuron)
    image = CoreImage(p.name, n_axons=axons.n, n_neurons=p.n)
    for what, n, most in (("axons", axons.n, schema.AXONS), ("neurons", p.n, schema.NEURONS)):
        if n > most:
            findings.append(
                Finding(
                    what.upper(),
                    p.name,
                    f"the core has {n} {what}",
                    resource=what,
                    needed=n,
                    available=most,
                    remedy="split the core",
                )
            )
    if findings:
        return image
    assert fmt.axon_type is not None
    assert fmt.weight is not None
    image.kinds[: axons.n] = fmt.axon_type
    image.bits[: axons.n, : p.n] = (crossbar.synapse.matrix().toarray() != 0).T
    image.neuron[: p.n] = neuron_rows(neuron, np.arange(p.n), fmt.weight, fmt.stochastic)
    return image


def _routes(
    graph: Graph,
    cores: list[CoreImage],
    core_of: dict[str, int],
    core_of_axons: dict[str, int],
    lines: Population | None,
    findings: list[Finding],
) -> Array:
    """Fill in every neuron's target; returns the host's table."""
    ports = {i.name: k for k, i in enumerate(graph.inputs)}
    host = [np.zeros((0, 5), np.int64)]
    for c in graph.connections:
        if c.dst in core_of:
            continue
        entries = c.synapse.matrix().tocoo()
        on = entries.data != 0
        to, source = entries.row[on].astype(np.int64), entries.col[on].astype(np.int64)
        delay = np.asarray(c.delay)[to, source] if np.ndim(c.delay) else np.full(len(to), int(np.max(c.delay)))
        if c.src in ports:
            port = np.full(len(to), ports[c.src])
            host.append(np.column_stack([port, source, np.full(len(to), core_of_axons[c.dst]), to, delay]))
            continue
        target = cores[core_of[c.src]].target
        twice = (target[source, 0] != schema.NOWHERE).any() or len(np.unique(source)) < len(source)
        if twice:
            findings.append(_bad(c.src, "has a neuron with several targets; it reaches one axon", "FAN_OUT"))
            continue
        is_line = lines is not None and c.dst == lines.name
        target[source, 0] = schema.TO_OUTPUT if is_line else schema.TO_CORE
        target[source, 1] = 0 if is_line else core_of_axons[c.dst]
        target[source, 2] = to
        target[source, 3] = np.maximum(delay, 1)
    table = np.concatenate(host)
    return np.ascontiguousarray(table[np.lexsort(table.T[::-1])], np.int32)


def _bad(where: str, what: str, code: str = "GRAPH") -> Finding:
    return Finding(code, where, what, remedy="give every neuron of a core one target, and every core one crossbar")
