"""What to change in a network so that it fits a chip: changes are tried on its graph and checked again.

    proposal = propose(graph, target)
    proposal.fits, proposal.changes

Every change here costs something (most ask for training again), so nothing is applied: a proposal says what would be
enough. Each finding's code has one edit of the graph; findings without one (a chip too small, say) end the search.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.errors import GraphError
from snnkit.graph.findings import Finding, errors
from snnkit.graph.model import Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF
from snnkit.graph.synapses import Sparse
from snnkit.passes.split_host import split_host
from snnkit.targets.base import Target
from snnkit.validation.pipeline import Bias, check_graph

Array = np.ndarray[Any, Any]

ROUNDS = 6
"""So often are changes made and checked again: one change may show what the next must be."""


@dataclass(frozen=True)
class Change:
    """One change: `what` is to be done at `where`, because of a finding's `code`; `retrain`: weights must follow."""

    code: str
    where: str
    what: str
    retrain: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (" (train again)" if self.retrain else "")


@dataclass(frozen=True)
class Proposal:
    """What `propose` found: with `changes` the check passes, if `fits`; else `left` are the errors that remain."""

    fits: bool
    changes: tuple[Change, ...]
    left: tuple[Finding, ...] = ()


Edit = Callable[[Graph, Finding], "tuple[Graph, Change] | None"]


def propose(
    graph: Graph,
    target: Target,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    findings: Sequence[Finding] | None = None,
) -> Proposal:
    """Changes with which the check of a float graph on the model's timeline passes.

    Args:
        graph: the network. target: the chip.
        bias, host: as in `check_graph`.
        findings: those of `check_graph`, where they are known already.
    """
    found = errors(check_graph(graph, target, bias=bias, host=host) if findings is None else findings)
    if host and not any(f.code == "HOST" for f in found):
        graph = split_host(graph, host).chip
    changes: dict[tuple[str, str], Change] = {}  # of two at one place, the later goes further
    for _ in range(ROUNDS):
        if not found:
            break
        before = graph
        for finding in found:
            edit = EDITS.get(finding.code)
            done = None if edit is None else edit(graph, finding)
            if done is not None:
                graph, change = done
                changes[change.code, change.where] = change
        if graph is before:
            break
        found = errors(check_graph(graph, target, bias=bias))
    return Proposal(not found, tuple(changes.values()), tuple(found))


# ----------------------------------------------------------------------------------------------------- edits, by code
def _population(graph: Graph, where: str) -> Population | None:
    name = where.split("[")[0]
    return next((p for p in graph.populations if p.name == name), None)


def _with(graph: Graph, new: Population) -> Graph:
    return graph.with_(populations=tuple(new if p.name == new.name else p for p in graph.populations))


def _changed(neuron: Any, **values: Any) -> Any:
    return replace(neuron, **values)


def _full(p: Population, value: float) -> Array:
    return np.full(p.n, value, np.float32)


def _binary_input(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    most = int(f.available or 1)
    inputs = tuple(replace(i, max_count=most) if i.name == f.where and i.max_count > most else i for i in graph.inputs)
    if all(a is b for a, b in zip(inputs, graph.inputs)):
        return None
    what = "bin the events as binary frames (data: binary: true)" if most == 1 else f"at most {most} events in a step"
    return graph.with_(inputs=inputs), Change(f.code, f.where, what)


def _reset(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    p = _population(graph, f.where)
    if p is None or getattr(p.neuron, "reset", None) != "subtract":
        return None
    return _with(graph, replace(p, neuron=_changed(p.neuron, reset="zero"))), Change(f.code, p.name, 'reset="zero"')


def _integrate(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    """Decays become 1; a current decays at once."""
    p = _population(graph, f.where)
    if p is None or not isinstance(p.neuron, LIF | CubaLIF):
        return None
    n = p.neuron
    if isinstance(n, LIF) and np.all(n.decay == 1):
        return None
    new = LIF(_full(p, 1.0), n.threshold, n.reset, n.refractory)
    what = "decay=1.0 (integrate and fire)" if isinstance(n, LIF) else "LIF with decay=1.0 in place of CubaLIF"
    return _with(graph, replace(p, neuron=new)), Change(f.code, p.name, what)


def _decay_range(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    p = _population(graph, f.where)
    if p is None:
        return None
    keys = [k for k in ("decay", "decay_syn", "decay_mem") if hasattr(p.neuron, k)]
    new = {k: np.clip(getattr(p.neuron, k), 0, 1) for k in keys}
    if not keys or all(np.array_equal(v, getattr(p.neuron, k)) for k, v in new.items()):
        return None
    return _with(graph, replace(p, neuron=_changed(p.neuron, **new))), Change(f.code, p.name, "decays from 0 to 1")


def _refractory(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    p, most = _population(graph, f.where), int(f.available or 0)
    if p is None or not isinstance(p.neuron, LIF | CubaLIF) or p.neuron.refractory <= most:
        return None
    new = replace(p, neuron=replace(p.neuron, refractory=most))
    return _with(graph, new), Change(f.code, p.name, f"refractory={most}")


def _read_on_host(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    """The host runs the membrane that is read out, on the spikes of the chip's last layer."""
    p = _population(graph, f.where)
    if p is None or not isinstance(p.neuron, LI | CubaLI):
        return None
    try:
        chip = split_host(graph, [p.name]).chip
    except GraphError:
        return None
    return chip, Change(f.code, p.name, f"run it on the host (--host {p.name})", retrain=False)


def _threshold(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    p = _population(graph, f.where)
    if p is None or not isinstance(p.neuron, LIF | CubaLIF) or np.all(p.neuron.threshold > 0):
        return None
    level = np.where(p.neuron.threshold > 0, p.neuron.threshold, np.float32(1)).astype(np.float32)
    return _with(graph, replace(p, neuron=replace(p.neuron, threshold=level))), Change(
        f.code, p.name, "a threshold above 0"
    )


def _delay(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    excess = int((f.needed or 0) - (f.available or 0))
    c = next((c for c in graph.connections if c.name == f.where), None)
    if c is None or excess <= 0 or c.max_delay < excess:
        return None
    most = c.max_delay - excess
    delay = np.minimum(c.delay, most) if isinstance(c.delay, np.ndarray) else most
    connections = tuple(replace(x, delay=delay) if x is c else x for x in graph.connections)
    return graph.with_(connections=connections), Change(f.code, c.name, f"delays of at most {most} steps")


def _fan_in(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    """The largest weights stay, so many that the need shrinks to what there is."""
    p = _population(graph, f.where)
    incoming = [] if p is None else graph.incoming(p.name)
    if p is None or not incoming or not f.needed or not f.available or f.needed <= f.available:
        return None
    matrices = {c.name: sp.csr_matrix(c.synapse.matrix()) for c in incoming}
    now = int(max(np.max(np.diff(sum_.indptr)) for sum_ in (sp.hstack(list(matrices.values()), format="csr"),)))
    most = int(now * f.available / f.needed)
    if not 0 < most < now:
        return None
    kept = dict(zip(matrices, _largest(list(matrices.values()), most)))
    connections = tuple(replace(c, synapse=Sparse(kept[c.name])) if c.name in kept else c for c in graph.connections)
    what = f"at most {most} inputs a neuron: groups, a smaller kernel, pooling before it, or sparse"
    return graph.with_(connections=connections), Change(f.code, p.name, what)


def _largest(matrices: list[sp.csr_matrix], most: int) -> list[sp.csr_matrix]:
    """At most `most` entries of a row over all matrices: those of the largest magnitude, the first of equal ones."""
    whole = sp.csr_matrix(sp.hstack(matrices, format="csr"))
    row = np.repeat(np.arange(whole.shape[0]), np.diff(whole.indptr))
    order = np.lexsort((whole.indices, -np.abs(whole.data), row))
    rank = np.empty(len(row), np.int64)
    rank[order] = np.arange(len(row)) - whole.indptr[row[order]]
    keep = rank < most
    cut = sp.csr_matrix((whole.data[keep], (row[keep], whole.indices[keep])), shape=whole.shape)
    edges = np.cumsum([0, *(m.shape[1] for m in matrices)])
    return [sp.csr_matrix(cut[:, a:b]) for a, b in itertools.pairwise(edges)]


def _no_bias(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    p = _population(graph, f.where)
    if p is None or p.bias is None:
        return None
    return _with(graph, replace(p, bias=None)), Change(f.code, p.name, "bias=False, or the bias of a norm folded away")


def _loop(graph: Graph, f: Finding) -> tuple[Graph, Change] | None:
    """More steps in the connection that closes the loop."""
    loop = f.where.split(" -> ")
    names, short = [p.name for p in graph.populations], int((f.needed or 0) - (f.available or 0))
    pairs = {(a, b) for a, b in itertools.pairwise(loop) if {a, b} <= set(names) and names.index(a) >= names.index(b)}
    closing = [c.name for c in graph.connections if (c.src, c.dst) in pairs]
    if not closing or short <= 0:
        return None
    connections = tuple(replace(c, delay=c.delay + short) if c.name in closing else c for c in graph.connections)
    what = f"{short} more step{'s' * (short > 1)} of delay in this connection"
    return graph.with_(connections=connections), Change(f.code, " and ".join(closing), what)


EDITS: dict[str, Edit] = {
    "INPUT_NOT_BINARY": _binary_input,
    "INPUT_COUNT": _binary_input,
    "SUBTRACT_RESET": _reset,
    "DECAY": _integrate,
    "NEURON": _integrate,
    "DECAY_RANGE": _decay_range,
    "REFRACTORY": _refractory,
    "REFRACTORY_RANGE": _refractory,
    "LI_READOUT": _read_on_host,
    "LI_NOT_READOUT": _read_on_host,
    "THRESHOLD_RANGE": _threshold,
    "DELAY_RANGE": _delay,
    "FAN_IN": _fan_in,
    "AXONS": _fan_in,
    "BIAS_RANGE": _no_bias,
    "BIAS_REGISTER": _no_bias,
    "BIAS_WARMUP": _no_bias,
    "LOOP_TOO_SHORT": _loop,
}
"""How each finding's code is answered."""
