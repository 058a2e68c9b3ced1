"""Our own NIR files → the graph that was written, bit for bit.

The plan in the metadata says what each node is; decays, thresholds and registers are taken from the nodes' metadata,
weights and biases from the nodes. Then the graph is written again in memory, and the file must say the same: a time
constant that was changed by another program no longer agrees with the decay that is kept beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from snnkit.errors import GraphError, NirError, UsageError
from snnkit.export.nir import own_synapses, synapses
from snnkit.export.nir.dialects import dialect
from snnkit.export.nir.model import Array, Net, Node
from snnkit.export.nir.plan import FORMAT, KEY
from snnkit.export.nir.writer import to_net
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, LoihiNeuron
from snnkit.graph.synapses import Chain, Dense, LoihiWeightFormat

AGREEMENT = 1e-5
"""Relative difference that rounding to float32 by another program may leave."""
MOST_NEURONS = 2**25
MOST_TEXT = 2**26
KINDS: dict[str, Any] = {c.__name__: c for c in (LIF, CubaLIF, LI, CubaLI, LoihiNeuron)}
FOREIGN = "read the file without its metadata (metadata=False, --ignore-metadata), giving what NIR leaves out"


def plan_of(net: Net) -> dict[str, Any] | None:
    """Our plan in the metadata, or None for a file of others.

    Raises:
        NirError: there is one, but it is damaged or from a newer snnkit.
    """
    text = net.metadata.get(KEY)
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise NirError("the metadata `snnkit` are no text", fix=FOREIGN)
    try:
        plan = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NirError("the metadata `snnkit` are damaged", why=str(error)[:200], fix=FOREIGN) from None
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        said = plan.get("format") if isinstance(plan, dict) else None
        raise NirError(f"the metadata `snnkit` have format {said!r}, this version reads {FORMAT}",
                       fix=f"use the snnkit that wrote it, or {FOREIGN}")  # fmt: skip
    return plan


def to_graph(net: Net, plan: Mapping[str, Any]) -> Graph:
    """The graph that was written.

    Raises:
        NirError: the plan does not fit the nodes, or nodes and kept values contradict each other.
    """
    nodes = dict(net.walk())
    try:
        graph = _build(nodes, plan)
        graph.validate()
        _in_order(graph)
        again = to_net(graph, dialect(plan["dialect"]), float(plan["dt"]))
    except NirError:
        raise
    except (GraphError, UsageError) as error:
        raise NirError(f"its metadata describe no network: {error.what}", fix=FOREIGN) from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, AssertionError) as error:
        raise NirError(f"its metadata describe no network ({type(error).__name__}: {error})", fix=FOREIGN) from error
    for difference in _differences(again.net, net, ""):
        raise NirError(
            f"its nodes and its metadata contradict each other: {difference}",
            why="decays and thresholds of a step are kept beside NIR's numbers, and one of the two was changed",
            fix=FOREIGN,
        )
    return graph


def _in_order(graph: Graph) -> None:
    """Undelayed connections run from earlier to later populations."""
    place = {p.name: k for k, p in enumerate(graph.populations)}
    for c in graph.connections:
        if c.src in place and place[c.src] >= place[c.dst] and np.min(c.delay) == 0:
            raise ValueError(f"the connection {c.name!r} has no delay against the order of the populations")


def _build(nodes: Mapping[str, Node], plan: Mapping[str, Any]) -> Graph:
    inputs = tuple(
        Input(
            str(i["name"]),
            _shape(i["shape"]),
            int(i["max_count"]),
            None if i["gate_from"] is None else int(i["gate_from"]),
        )
        for i in plan["inputs"]
    )
    populations = tuple(_population(nodes, facts) for facts in plan["populations"])
    sizes = {i.name: i.n for i in inputs} | {p.name: p.n for p in populations}
    connections = tuple(_connection(nodes, facts, sizes) for facts in plan["connections"])
    readout = None if plan["readout"] is None else Readout(*plan["readout"][:2], *map(int, plan["readout"][2:3]))
    rules = ("count", "first", "mean", "max", "last")
    if (readout is not None and readout.rule not in rules) or plan["timeline"] not in ("model", "chip"):
        raise ValueError("an unknown read-out or timeline")
    steps, dt_us = plan["steps"], plan["dt_us"]
    return Graph(
        str(plan["name"]), inputs, populations, connections, readout, None if steps is None else int(steps),
        None if dt_us is None else float(dt_us), plan["timeline"], dict(plan["notes"]),
    )  # fmt: skip


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(v) is int and v >= 0 for v in value) or len(value) > 8:
        raise ValueError(f"a shape {value!r}")
    if math.prod(value) > MOST_NEURONS:
        raise ValueError(f"{math.prod(value):,} neurons in one place; at most {MOST_NEURONS:,} are read")
    return tuple(value)


def _population(nodes: Mapping[str, Node], facts: Mapping[str, Any]) -> Population:
    node, shape, kind = nodes[facts["node"]], _shape(facts["shape"]), KINDS[facts["kind"]]
    n = math.prod(shape)
    kept = {k: np.asarray(v).reshape(-1) for k, v in node.metadata[KEY].items()}
    for name, value in kept.items():
        if value.shape != (n,) or value.dtype.kind not in "fi":
            raise ValueError(f"{name} of {facts['name']!r} has shape {value.shape} for {n} neurons")
    plain = dict(facts["neuron"])
    if plain.get("reset", "zero") not in ("zero", "subtract") or any(
        type(v) is not int for k, v in plain.items() if k != "reset"
    ):
        raise ValueError(f"the settings of {facts['name']!r} are {plain!r}")
    bias = None
    if facts["bias"] is not None:
        values = nodes[facts["bias"]["node"]].array("bias").astype(np.float32)
        bias = values if values.size == n else np.repeat(values, n // values.size)
    return Population(str(facts["name"]), shape, kind(**kept, **plain), bias, int(facts["lag"]))


def _connection(nodes: Mapping[str, Node], facts: Mapping[str, Any], sizes: Mapping[str, int]) -> Connection:
    name, src, dst = (str(facts[k]) for k in ("name", "src", "dst"))
    fmt = LoihiWeightFormat(**{k: int(v) for k, v in facts["format"].items()}) if "format" in facts else None
    if facts["delay"] is None:
        kept = nodes[facts["parts"][0]["node"]].metadata[KEY]
        return Connection(name, src, dst, Dense(np.asarray(kept["weight"])), np.asarray(kept["delay"]), fmt)
    most = max(sizes[src], sizes[dst])
    ops = []
    for spec in facts["ops"]:
        node = None if spec["node"] is None else nodes[spec["node"]]
        if spec["as"] == "edge" and (spec.get("n", 0) > most or math.prod(spec.get("in_shape", [])) > max(most, 1)):
            raise ValueError(f"an edge of {name!r} that is wider than its ends")
        op = own_synapses.decode(spec, node, f"the connection {name!r}")
        kept = {} if node is None else node.metadata.get(KEY, {})
        if "mantissa" in kept:
            mantissa = np.asarray(kept["mantissa"])
            op = synapses.real_op(op, lambda w: _same(w, mantissa))  # noqa: B023
        ops.append(op)
    synapse = Chain(tuple(ops)) if facts["chain"] else ops[0]
    delay = int(facts["delay"])
    if not ops or delay >= 2**31:
        raise ValueError(f"{name!r} has no synapse")
    return Connection(name, src, dst, synapse, delay, fmt)  # type: ignore[arg-type]


def _same(weight: Array, mantissa: Array) -> Array:
    if weight.shape != mantissa.shape or mantissa.dtype.kind != "i":
        raise ValueError("mantissas that do not fit their weights")
    return mantissa


# ------------------------------------------------------------------------------------------------------- contradictions
def _differences(expected: Net, found: Net, prefix: str) -> Iterator[str]:
    """What the file says otherwise than the graph written anew."""
    for name in dict.fromkeys([*expected.nodes, *found.nodes]):
        a, b, path = expected.nodes.get(name), found.nodes.get(name), prefix + name
        if a is None or b is None or isinstance(a, Net) != isinstance(b, Net):
            yield f"the node {path!r} {'is new' if a is None else 'is missing or of another kind'}"
        elif isinstance(a, Net) and isinstance(b, Net):
            yield from _differences(a, b, f"{path}.")
        elif isinstance(a, Node) and isinstance(b, Node):
            yield from _node_differences(path, a, b)
    if set(expected.edges) != set(found.edges):
        changed = set(expected.edges) ^ set(found.edges)
        yield f"the edge {' -> '.join(prefix + n for n in min(changed))} was added or removed"


def _node_differences(path: str, a: Node, b: Node) -> Iterator[str]:
    if a.type != b.type:
        yield f"the node {path!r} is a {b.type}, by the metadata a {a.type}"
        return
    for name in dict.fromkeys([*a.fields, *b.fields]):
        x, y = a.fields.get(name), b.fields.get(name)
        if name == "input_type" and y is None:
            continue
        if isinstance(x, str) or isinstance(y, str) or x is None or y is None:
            if x is not y and x != y:
                yield f"{name} of {path!r} is {y!r}"
        elif x.shape != y.shape:
            yield f"{name} of {path!r} has shape {list(y.shape)}, by the metadata {list(x.shape)}"
        elif not np.allclose(y, x, rtol=AGREEMENT, atol=0, equal_nan=True):
            k = int(np.argmax(~np.isclose(y, x, rtol=AGREEMENT, atol=0).reshape(-1)))
            yield f"{name}[{k}] of {path!r} is {y.reshape(-1)[k]:.9g}, by the metadata {x.reshape(-1)[k]:.9g}"
