"""Checks of nodes and edges that need nothing but the file, every fault at once; and nested graphs made flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.errors import did_you_mean
from snnkit.export.nir.model import NEURONS, TYPES, Array, Field, Net, Node
from snnkit.graph.findings import Finding

AXES = {"matrix": 2, "vector": 1, "kernel1d": 3, "kernel2d": 4}


def check(net: Net) -> list[Finding]:
    """Unknown types and fields, missing ones, scalars where vectors belong, values that are not finite, wrong edges."""
    findings = list(_structure(net, ""))
    for path, node in net.walk():
        findings += _node(path, node)
    return findings


def _error(code: str, where: str, what: str, remedy: str = "") -> Finding:
    return Finding(code, where, what, remedy=remedy)


def _structure(net: Net, prefix: str) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for a, b in net.edges:
        for name in (a, b):
            if name not in net.nodes:
                yield _error("NIR_EDGE", f"{prefix}{a} -> {prefix}{b}", f"there is no node {name!r}"
                             f"{did_you_mean(name, net.nodes)}", "every edge joins two nodes of its graph")  # fmt: skip
        if (a, b) in seen:
            yield _error(
                "NIR_EDGE",
                f"{prefix}{a} -> {prefix}{b}",
                "the edge stands twice",
                "merge the two, or scale the weights by 2",
            )
        seen.add((a, b))
    kinds = [n.type for n in net.nodes.values() if isinstance(n, Node)]
    for kind in ("Input", "Output"):
        if kind not in kinds:
            yield _error(
                "NIR_ENDS", prefix or "the graph", f"it has no {kind} node", f"add an {kind} node with the shape"
            )
    for name, node in net.nodes.items():
        if isinstance(node, Net):
            yield from _structure(node, f"{prefix}{name}.")
            ends = [sum(isinstance(n, Node) and n.type == k for n in node.nodes.values()) for k in ("Input", "Output")]
            if max(ends) > 1:
                yield _error("NIR_ENDS", prefix + name, f"a nested graph with {ends[0]} inputs and {ends[1]} outputs",
                             "one of each: an edge from outside does not say which")  # fmt: skip


def _node(path: str, node: Node) -> Iterator[Finding]:
    if node.type not in TYPES:
        yield _error("NIR_NODE", path, f"the type {node.type!r} is unknown{did_you_mean(node.type, TYPES)}",
                     f"NIR 1.0 has {', '.join(TYPES)} and NIRGraph")  # fmt: skip
        return
    wanted = TYPES[node.type]
    for name in node.fields:
        if name not in wanted:
            yield _error("NIR_FIELD", path, f"{node.type} has no parameter {name!r}{did_you_mean(name, wanted)}",
                         f"it has {', '.join(wanted)}")  # fmt: skip
    faults = 0
    for name, kind in wanted.items():
        if name not in node.fields:
            if not kind.optional:
                faults += 1
                yield _error("NIR_FIELD", path, f"{node.type} lacks {name!r}", "write it again with nir 1.0")
            continue
        for finding in _value(path, node.type, name, node.fields[name], kind):
            faults += 1
            yield finding
    if not faults:
        yield from _together(path, node)


def _value(path: str, kind: str, name: str, value: Array | str, wanted: Field) -> Iterator[Finding]:
    if isinstance(value, str):
        if wanted.kind != "padding" or value not in ("same", "valid"):
            yield _error("NIR_FIELD", path, f"{name} is the text {value[:40]!r}", "it must be numbers")
        return
    if wanted.kind in ("neuron", "array"):
        if value.ndim == 0:
            yield _error("NIR_SCALAR", path, f"{name} is one number; it must have one value per neuron",
                         "write it with the shape of the layer, such as numpy.full(n, value)")  # fmt: skip
            return
    elif wanted.kind in AXES:
        if value.ndim != AXES[wanted.kind]:
            yield _error("NIR_SCALAR" if value.ndim == 0 else "SHAPE", path,
                         f"{name} has shape {list(value.shape)}; it must have {AXES[wanted.kind]} axes")  # fmt: skip
            return
    else:
        yield from _whole(path, name, value, wanted)
        return
    if value.dtype.kind not in "fiu":
        yield _error("NIR_FIELD", path, f"{name} is of type {value.dtype}", "it must be numbers")
    elif not np.all(np.isfinite(value)):
        bad = int(value.size - np.isfinite(value).sum())
        code = "NIR_TAU" if name.startswith("tau") else "NOT_FINITE"
        yield _error(code, path, f"{bad} of {value.size} values of {name} are NaN or infinite",
                     "a neuron without a leak is an IF or I" if code == "NIR_TAU" else "train again")  # fmt: skip
    elif value.size == 0:
        yield _error("SHAPE", path, f"{name} has shape {list(value.shape)}: nothing is in it")


def _whole(path: str, name: str, value: Array, wanted: Field) -> Iterator[Finding]:
    """Numbers of pixels, axes and the like."""
    flat = value.reshape(-1)
    most = {"number": 1, "numbers": 2, "padding": 2, "shape": 8}[wanted.kind]
    if value.ndim > 1 or not 1 <= flat.size <= most:
        yield _error(
            "NIR_FIELD", path, f"{name} has shape {list(value.shape)}", f"it must be 1 to {most} whole numbers"
        )
    elif value.dtype.kind not in "iuf" or not np.all(np.isfinite(flat)) or np.any(flat != np.floor(flat)):
        yield _error("NIR_FIELD", path, f"{name} is {flat.tolist()}", "it must be whole numbers")
    else:
        least = {"padding": 0, "start_dim": -8, "end_dim": -8}.get(name, 1)
        if np.any(flat < least) or np.any(flat >= 2**31) or np.prod(flat.astype(np.float64)) >= 2**31:
            yield _error(
                "NIR_FIELD", path, f"{name} is {flat.tolist()}", f"it must be at least {least} and of a sane size"
            )


def _together(path: str, node: Node) -> Iterator[Finding]:
    """Whether the parameters of a node agree."""
    fields = node.fields
    if node.type in NEURONS:
        shapes = {k: v.shape for k, v in fields.items() if not isinstance(v, str)}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{k} {list(v)}" for k, v in shapes.items())
            yield _error(
                "SHAPE", path, f"its parameters differ in shape: {listed}", "give all of them the layer's shape"
            )
        return
    if node.type in ("Affine", "Conv1d", "Conv2d"):
        out, bias = node.array("weight").shape[0], node.array("bias").size
        if out != bias:
            yield _error("SHAPE", path, f"{out} outputs, but {bias} biases")
    if node.type in ("Conv1d", "Conv2d"):
        groups = whole(fields["groups"])[0]
        if node.array("weight").shape[0] % groups:
            yield _error("SHAPE", path, f"{node.array('weight').shape[0]} outputs do not divide into {groups} groups")
    if node.type == "Delay" and np.any(node.array("delay") < 0):
        yield _error("NIR_DELAY", path, f"a delay of {float(node.array('delay').min()):g} s", "a delay is 0 or more")


def whole(value: Array | str) -> tuple[int, ...]:
    """Checked whole numbers as integers."""
    assert not isinstance(value, str)
    return tuple(int(v) for v in value.reshape(-1))


# ---------------------------------------------------------------------------------------------------------------- flat
@dataclass(eq=False)
class Flat:
    """A checked graph without nesting: `graph.node` names what was inside. Inner Input and Output only pass on."""

    nodes: dict[str, Node] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)
    """Nodes before each node, in the order of the edges."""

    def edges(self) -> Iterator[tuple[str, str]]:
        for b, sources in self.before.items():
            for a in sources:
                yield a, b


def flat(net: Net) -> Flat:
    """The graph with nested graphs replaced by what is in them."""
    out = Flat()
    _gather(net, "", out)
    return out


def _gather(net: Net, prefix: str, out: Flat) -> None:
    ends: dict[str, tuple[str, str]] = {}
    for name, node in net.nodes.items():
        path = prefix + name
        if isinstance(node, Net):
            kinds: Mapping[str, Any] = {n.type: k for k, n in node.nodes.items() if isinstance(n, Node)}
            ends[name] = f"{path}.{kinds['Input']}", f"{path}.{kinds['Output']}"
            _gather(node, f"{path}.", out)
        else:
            ends[name] = path, path
            out.nodes[path] = node
            out.before.setdefault(path, [])
    for a, b in net.edges:
        out.before.setdefault(ends[b][0], []).append(ends[a][1])
