"""Real weights, thresholds and biases -> TrueNorth's integers.

An integrate-and-fire neuron does not change when its weights, threshold and bias are multiplied by one number, so each
neuron has a scale of its own: weights are a factor times trinary or 4-bit integers, exact where the row is already of
that form. With reset to zero and no bias the next whole threshold is exact too; otherwise the factor is chosen that
makes threshold and bias whole, or nearest to it.

The linear leak and the floor of a `LinearLeakIF` are registers too. A bias becomes the leak. A gated bias acts from the
tick on in which frame 0 arrives, k ticks after the start; the leak acts from tick 0, so the initial potential is -k
times the leak: V is 0 when frame 0 arrives, which is exact wherever nothing fires on the way there. Where something
would, or where a leak that turns with the sign of V takes the register, the layer keeps its gate line: an axon of a
type of its own. A LIF has no floor, and V has one at -beta: proved not to be reached within the run length. Where relay
cores copy spikes with fewer cores than duplicated neurons, the layers behind them get one tick more lag. Populations
that are an OR of their sources (max pooling) become axons that these share, a tick earlier, where that needs no more
cores. The pixels of a channel share the rows of a convolution, at the edges too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import TrueNorthAxon, TrueNorthNeuron
from snnkit.graph.synapses import Sparse, TrueNorthFormat
from snnkit.targets.quantized import Quantized, on_chip_timeline
from snnkit.targets.truenorth import spec
from snnkit.targets.truenorth.bounds import bounds
from snnkit.targets.truenorth.lag import make_room
from snnkit.targets.truenorth.layer import Layer, QuantizeOptions
from snnkit.targets.truenorth.plan import Plan, make_plan
from snnkit.targets.truenorth.shared import ors

Array = np.ndarray[Any, Any]


def quantize(
    graph: Graph, rates: Mapping[str, Array] | None = None, options: QuantizeOptions | None = None
) -> Quantized:
    """Quantise a float graph on the chip timeline.

    Args:
        graph: a float graph whose neurons passed `rules.check`.
        rates: firing probability per step of each source, by name [n], measured on calibration data; weights the error
            of rows that are not exact. Equal rates are assumed without it.
        options: see `QuantizeOptions`.
    """
    on_chip_timeline(graph)
    options = options or QuantizeOptions()
    layers = [Layer(graph, p, rates or {}, options) for p in graph.populations]
    for layer in layers:
        layer.choose_gate(graph)
    findings = [f for layer in layers for f in layer.findings]
    if has_errors(findings):
        return Quantized(graph, [layer.report for layer in layers], findings)
    chosen, best, relayed, room, pools = _cheapest(graph, layers, options, ())
    merged = ors(graph) if options.shared_axons is not False else ()
    lifted = make_room(graph, (), merged) if merged else None
    if lifted is not None and all(c.max_delay <= spec.DELAY_MAX for c in lifted.connections):
        other = _cheapest(lifted, layers, options, merged)
        fewer = other[1].n_cores <= best.n_cores or options.shared_axons
        if not other[1].findings and (best.findings or fewer):
            chosen, best, relayed, room, pools = other
    layers = [layer for layer in layers if layer.population.name not in pools]
    if any(layer.warm_up(room) for layer in layers):  # more lag, longer warm-up
        for layer in layers:
            layer.choose_gate(room)
        chosen = _assemble(room, layers, pools)
        best = make_plan(chosen)
    findings += best.findings
    for layer in layers:
        findings += layer.warm_up(room)
    findings += _floors(chosen, {layer.population.name: layer.floor < 0 for layer in layers})
    lags = {p.name: p.lag for p in chosen.populations}
    for layer in layers:
        name = layer.population.name
        layer.report |= {"gated_bias": layer.gated, "relayed": name in relayed, "lag": lags[name]}
    reports = {layer.population.name: layer.report for layer in layers}
    reports |= {name: _pool_report(chosen, name) for name in pools}
    return Quantized(chosen, [reports[p.name] for p in chosen.populations], findings)


def _cheapest(
    graph: Graph, layers: list[Layer], options: QuantizeOptions, pools: tuple[str, ...]
) -> tuple[Graph, Plan, tuple[str, ...], Graph, tuple[str, ...]]:
    """(integer graph, plan, relayed, float graph with its lags, pools): with relays where they save cores."""
    chosen = _assemble(graph, layers, pools)
    relayed: tuple[str, ...] = ()
    best, room = make_plan(chosen), graph
    for p in graph.populations if options.relays else ():
        if not graph.outgoing(p.name) or p.name in pools:
            continue
        wider = make_room(graph, (*relayed, p.name), pools)
        if wider is None or any(c.max_delay > spec.DELAY_MAX for c in wider.connections):
            continue
        candidate = _assemble(wider, layers, pools)
        tried = make_plan(candidate)
        if not tried.findings and p.name in tried.relayed and (best.findings or tried.n_cores < best.n_cores):
            chosen, best, relayed, room = candidate, tried, (*relayed, p.name), wider
    return chosen, best, relayed, room, pools


def _assemble(graph: Graph, layers: list[Layer], pools: tuple[str, ...]) -> Graph:
    """The integer graph with the lags of `graph`; gate lines have become leaks, `pools` axons."""
    by_name = {layer.population.name: layer for layer in layers}
    made: list[Connection] = []
    populations: list[Population] = []
    for p in graph.populations:
        if p.name in pools:
            made += [replace(c, synapse=_ones(c), format=TrueNorthFormat()) for c in graph.incoming(p.name)]
            populations.append(replace(p, neuron=TrueNorthAxon(), bias=None))
        else:
            made += by_name[p.name].connections(graph)
            populations.append(replace(p, neuron=by_name[p.name].neuron(graph), bias=None))
    used = {c.src for c in made}
    return graph.with_(
        inputs=tuple(i for i in graph.inputs if i.gate_from is None or i.name in used),
        populations=tuple(populations),
        connections=tuple(made),
    )


def _ones(c: Connection) -> Sparse:
    """1 for every synapse of a connection to shared axons."""
    m = sp.csr_matrix(c.synapse.matrix())
    m.eliminate_zeros()
    return Sparse(sp.csr_matrix((np.ones(m.nnz, np.int32), m.indices, m.indptr), shape=m.shape))


def _pool_report(graph: Graph, name: str) -> dict[str, Any]:
    """What there is to say of a population of shared axons."""
    p = graph.node(name)
    fan_in = [int(np.diff(c.synapse.matrix().tocsr().indptr).max(initial=0)) for c in graph.incoming(name)]
    return {
        "layer": name, "neurons": p.n, "exact_weights": True, "exact": True, "fan_in_max": sum(fan_in),
        "threshold_and_bias_error_max": 0.0, "connections": {}, "gated_bias": False, "relayed": False,
        "shared_axons": True, "lag": getattr(p, "lag", 0),
    }  # fmt: skip


def _floors(graph: Graph, infinite: Mapping[str, Array]) -> list[Finding]:
    """A finding where V might reach -beta within a run, of neurons whose floor is `infinite` [n] in the model."""
    ticks = None if graph.steps is None else graph.steps + graph.max_lag
    findings = []
    for p in graph.populations:
        if not isinstance(p.neuron, TrueNorthNeuron):
            continue
        free = replace(p.neuron, neg_saturate=np.zeros(p.n, np.int32), neg_threshold=np.full(p.n, 2**40, np.int64))
        low, _ = bounds(graph, replace(p, neuron=free), ticks)
        bad = np.flatnonzero((low < -spec.THRESHOLD_MAX) & infinite[p.name])
        if not bad.size:
            continue
        i = int(bad[0])
        if ticks is None:
            findings.append(
                Finding(
                    "RUN_LENGTH",
                    p.name,
                    "inhibition adds up for as long as the network runs, and the graph does not say how long",
                    remedy="export with the number of steps of a sample (steps=T)",
                )
            )
            continue
        findings.append(
            Finding(
                "POTENTIAL_RANGE",
                f"{p.name}[{i}]",
                f"V may fall to its floor within {ticks} ticks; the model has none",
                resource="potential",
                needed=float(-low[i]),
                available=spec.THRESHOLD_MAX,
                remedy="run fewer steps per sample, or use weights and biases with a coarser common unit",
            )
        )
    return findings
