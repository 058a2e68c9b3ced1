"""NIR files made by hand, a plain executor of their equations, and bit-for-bit comparison of graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

Array = np.ndarray[Any, Any]
Nodes = dict[str, Any]
Edges = Sequence[tuple[str, str]]


# --------------------------------------------------------------------------------------------------------------- files
def node(type: str, **fields: Any) -> dict[str, Any]:
    return {"type": type, **{k: v if isinstance(v, str) else np.asarray(v) for k, v in fields.items()}}


def neuron(type: str, shape: int | tuple[int, ...], **fields: Any) -> dict[str, Any]:
    """A neuron whose parameters are spread over `shape`; the usual values where none are given."""
    usual = {
        "I": {"r": 1.0},
        "IF": {"r": 1.0, "v_threshold": 1.0},
        "LI": {"tau": 2e-3, "r": 1.0, "v_leak": 0.0},
        "LIF": {"tau": 2e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.5},
        "CubaLI": {"tau_syn": 1e-3, "tau_mem": 2e-3, "r": 1.0, "v_leak": 0.0, "w_in": 1.0},
        "CubaLIF": {"tau_syn": 1e-3, "tau_mem": 2e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.2, "w_in": 1.0},
        "Threshold": {"threshold": 0.5},
    }[type]
    return node(
        type, **{k: np.broadcast_to(np.asarray(v, float), shape).copy() for k, v in {**usual, **fields}.items()}
    )


def net(nodes: Mapping[str, Any], edges: Edges) -> dict[str, Any]:
    return {"type": "NIRGraph", "nodes": dict(nodes), "edges": list(edges)}


def chain(*nodes: tuple[str, dict[str, Any]], ends: tuple[Sequence[int], Sequence[int]]) -> dict[str, Any]:
    """input -> nodes, in order -> output, with the shapes of the ends."""
    every = [("input", node("Input", shape=ends[0])), *nodes, ("output", node("Output", shape=ends[1]))]
    names = [n for n, _ in every]
    return net(dict(every), list(pairwise(names)))


def save(path: Path, graph: Mapping[str, Any], version: str | None = "1.0.8") -> Path:
    """Write a graph in the layout of nir 1.0.8, without any code of snnkit."""
    with h5py.File(path, "w") as f:
        if version is not None:
            f.create_dataset("version", data=version, dtype=h5py.string_dtype())
        _put(f.create_group("node"), graph)
    return path


def _put(group: h5py.Group, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if key == "edges":
            pairs = np.array(list(value), dtype=object).reshape(-1, 2)
            group.create_dataset(key, data=pairs, dtype=h5py.string_dtype())
        elif isinstance(value, Mapping):
            _put(group.create_group(key), value)
        elif isinstance(value, str):
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        else:
            group.create_dataset(key, data=value)


# ------------------------------------------------------------------------------------------------------------ executor
def simulate(
    graph: Mapping[str, Any], x: Array, dt: float, *, euler: bool = False, reset: str = "zero", start: str = "leak"
) -> dict[str, Array]:
    """What every node gives in every step [T, B, …], from NIR's equations in float64.

    An input is held over the step; round a loop without a delay, a spike acts in the next step.
    `start`: v begins at v_leak or at 0.
    """
    nodes, edges = graph["nodes"], graph["edges"]
    before: dict[str, list[str]] = {n: [a for a, b in edges if b == n] for n in nodes}
    late = {n for n, v in nodes.items() if v["type"] == "Delay" and np.all(v["delay"] > 0)}
    quiet = {n: np.zeros((x.shape[1], *_shape(v))) for n, v in nodes.items() if _shape(v) is not None}
    state: dict[str, Any] = {n: {} for n in nodes}
    out: dict[str, list[Array]] = {n: [] for n in nodes}
    for t in range(len(x)):
        now = {n: x[t].astype(np.float64) for n, v in nodes.items() if v["type"] == "Input"}
        now |= {n: _late(nodes[n], state[n], dt, x.shape[1]) for n in late}
        left = [n for n in nodes if n not in now]
        cut = False
        while left:
            for name in left:
                linear = name not in quiet and nodes[name]["type"] != "Output"
                known = [now.get(s, quiet.get(s) if cut and linear else None) for s in before[name]]
                if all(k is not None for k in known):
                    total = np.asarray(sum(k for k in known if k is not None))
                    now[name] = _node(nodes[name], total, state[name], dt, euler, reset, start)
                    left.remove(name)
                    cut = False
                    break
            else:
                assert not cut, "the graph cannot be ordered"
                cut = True  # a loop: a linear node takes what the neuron gave in the last step
        for name in late:
            state[name].setdefault("past", []).append(np.asarray(sum(now[s] for s in before[name])))
        quiet = {n: now[n] for n in quiet}
        for name, value in now.items():
            out[name].append(value)
    return {n: np.stack(v) for n, v in out.items()}


def _shape(n: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape of a neuron."""
    keys = ("v_threshold", "threshold", "r")
    return next((n[k].shape for k in keys if k in n and n["type"] != "Scale"), None)


def _late(n: Mapping[str, Any], s: dict[str, Any], dt: float, batch: int) -> Array:
    """What a Delay of at least one step gives, which needs nothing of this step."""
    y = np.zeros((batch, *n["delay"].shape))
    steps = np.rint(n["delay"] / dt).astype(int)
    past = s.get("past", [])
    for d in np.unique(steps):
        if d <= len(past):
            y = np.where(steps == d, past[len(past) - d], y)
    return y


def _node(n: Mapping[str, Any], x: Array, s: dict[str, Any], dt: float, euler: bool, reset: str, start: str) -> Array:
    kind = n["type"]
    if kind == "Output":
        return x
    if kind in ("Linear", "Affine"):
        return x @ n["weight"].T + n.get("bias", 0)
    if kind == "Scale":
        return np.asarray(x * n["scale"])
    if kind in ("Conv1d", "Conv2d"):
        conv = F.conv1d if kind == "Conv1d" else F.conv2d
        padding = n["padding"] if isinstance(n["padding"], str) else tuple(np.atleast_1d(n["padding"]).tolist())
        stride, dilation = (tuple(np.atleast_1d(n[k]).tolist()) for k in ("stride", "dilation"))
        weight, bias = (torch.from_numpy(n[k]).double() for k in ("weight", "bias"))
        y = conv(torch.from_numpy(x), weight, bias, stride, padding, dilation, int(n["groups"]))
        return y.numpy()
    if kind in ("SumPool2d", "AvgPool2d"):
        size, stride, padding = (tuple(np.atleast_1d(n[k]).tolist()) for k in ("kernel_size", "stride", "padding"))
        y = F.avg_pool2d(torch.from_numpy(x), size, stride, padding)
        return y.numpy() * (np.prod(size) if kind == "SumPool2d" else 1)
    if kind == "Flatten":
        first, last = (int(n[k]) + (1 if int(n[k]) >= 0 else 0) for k in ("start_dim", "end_dim"))
        return torch.from_numpy(x).flatten(first, last).numpy()
    if kind == "Delay":
        past = s.setdefault("past", [])
        past.append(x)
        y = np.zeros_like(x)
        steps = np.rint(n["delay"] / dt).astype(int)
        for d in np.unique(steps):
            if d < len(past):
                y = np.where(steps == d, past[len(past) - 1 - d], y)
        return y
    if kind == "Threshold":
        return (x > n["threshold"]).astype(np.float64)
    return _neuron(n, x, s, dt, euler, reset, start)


def _neuron(n: Mapping[str, Any], x: Array, s: dict[str, Any], dt: float, euler: bool, reset: str, start: str) -> Array:
    kind = n["type"]

    def toward(value: Array, goal: Array, tau: Array) -> Array:
        share = dt / tau if euler else 1 - np.exp(-dt / tau)
        return np.asarray(value + share * (goal - value))

    leak = n.get("v_leak", 0.0)
    v = s.get("v", np.zeros_like(x) + (leak if start == "leak" else 0.0))
    if kind.startswith("Cuba"):
        s["i"] = toward(s.get("i", np.zeros_like(x)), n.get("w_in", 1.0) * x, n["tau_syn"])
        x = s["i"]
    tau = n.get("tau_mem", n.get("tau"))
    v = v + dt * n["r"] * x if tau is None else toward(v, leak + n["r"] * x, tau)
    if "v_threshold" not in n:
        s["v"] = v
        return np.asarray(v)
    fires = v > n["v_threshold"]
    after = v - n["v_threshold"] if reset == "subtract" else n.get("v_reset", 0.0)
    s["v"] = np.where(fires, after, v)
    return fires.astype(np.float64)


# --------------------------------------------------------------------------------------------------------------- equal
def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two graphs (or parts of them) are not equal bit for bit, types of numbers included."""
    if type(a) is not type(b):
        return [f"{path}: {type(a).__name__}, {type(b).__name__}"]
    if isinstance(a, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return [] if same else [f"{path}: {a.dtype} {a.shape}, {b.dtype} {b.shape}"]
    if sp.issparse(a):
        parts = ("data", "indices", "indptr", "shape")
        return [d for p in parts for d in differences(getattr(a, p), getattr(b, p), f"{path}.{p}")]
    if dataclasses.is_dataclass(a):
        names = [f.name for f in dataclasses.fields(a)]
        return [d for n in names for d in differences(getattr(a, n), getattr(b, n), f"{path}.{n}")]
    if isinstance(a, tuple):
        if len(a) != len(b):
            return [f"{path}: {len(a)}, {len(b)} items"]
        return [d for k, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f"{path}[{k}]")]
    return [] if a == b else [f"{path}: {a!r}, {b!r}"]
