"""Makes files of the toy's reference vectors, with traces from a simulation in plain Python integers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any


def neuron_step(v: int, q: int, leak: int, threshold: int, reset: int) -> tuple[int, int]:
    """One neuron, one step: (v, spike)."""
    if leak < 15:
        v -= v // 2**leak
    v = max(-(2**23), min(2**23 - 1, v + q))
    if v < threshold:
        return v, 0
    return (v - threshold if reset else 0), 1


def simulate(content: dict[str, Any]) -> dict[str, Any]:
    """The traces of all populations."""
    sizes = {p["name"]: len(p["leak"]) for p in content["populations"]}
    v = {name: [0] * n for name, n in sizes.items()}
    fired = {name: [0] * n for name, n in sizes.items()}
    traces: dict[str, Any] = {"s": {name: [] for name in sizes}, "v": {name: [] for name in sizes}}
    for t in range(content["steps"]):
        sources = {**{name: rows[t] for name, rows in content["inputs"].items()}, **fired}
        fired = {}
        for p in content["populations"]:
            name, now = p["name"], []
            for i in range(sizes[name]):
                q = sum(
                    w
                    for c in content["connections"]
                    if c["dst"] == name
                    for w, s in zip(c["weight"][i], sources[c["src"]])
                    if s
                )
                v[name][i], s = neuron_step(v[name][i], q, p["leak"][i], p["threshold"][i], p["reset"][i])
                now.append(s)
            fired[name] = now
            traces["s"][name].append(now)
            traces["v"][name].append(list(v[name]))
    return traces


def case(seed: int) -> dict[str, Any]:
    """A random network of two populations with a loop, each on one to three cores."""
    rng = random.Random(seed)
    sizes = {"in": rng.randint(1, 30), "a": rng.randint(1, 150), "b": rng.randint(1, 20)}

    def weight(src: str, dst: str, low: int, high: int) -> list[list[int]]:
        return [[rng.choice((0, rng.randint(low, high))) for _ in range(sizes[src])] for _ in range(sizes[dst])]

    content: dict[str, Any] = {
        "format": "toy-vectors/1",
        "steps": rng.randint(1, 25),
        "populations": [
            {
                "name": name,
                "leak": [rng.randint(0, 15) for _ in range(sizes[name])],
                "threshold": [rng.randint(1, 300) for _ in range(sizes[name])],
                "reset": [rng.randint(0, 1) for _ in range(sizes[name])],
            }
            for name in ("a", "b")
        ],
        "connections": [
            {"src": "in", "dst": "a", "weight": weight("in", "a", -60, 127)},
            {"src": "a", "dst": "b", "weight": weight("a", "b", -128, 127)},
            {"src": "b", "dst": "a", "weight": weight("b", "a", -128, 60)},
        ],
    }
    content["inputs"] = {"in": [[rng.randint(0, 1) for _ in range(sizes["in"])] for _ in range(content["steps"])]}
    content["expected"] = simulate(content)
    return content


def write(path: Path, content: dict[str, Any]) -> Path:
    """The file."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
