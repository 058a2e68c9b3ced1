"""Small networks for these tests: a run and descriptors on a sensor of 34 x 34 or 9 x 9 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from snnkit.data import EVENT_DTYPE
from snnkit.graph import Connection, Conv, Dense, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF
from snnkit.live.network import Network, open_network
from snnkit.targets import registry
from snnkit.validation.pipeline import graph_to_chip, write_descriptor

Array = np.ndarray[Any, Any]
SIDE = 9


def events(n: int, us: int, side: int = SIDE, seed: int = 0, start: int = 0) -> Array:
    """Random events [n] on side x side pixels within `us` microseconds, in order of time."""
    rng = np.random.default_rng(seed)
    made = np.zeros(n, EVENT_DTYPE)
    made["t"] = np.sort(rng.integers(0, us, n)) + start
    made["x"], made["y"] = rng.integers(0, side, (2, n))
    made["p"] = rng.integers(0, 2, n)
    return made


def write(
    path: Path, target: str = "loihi", convolution: bool = True, steps: int = 6, rule: Literal["count", "last"] = "last"
) -> Path:
    """A descriptor: events of 9 x 9 pixels in steps of 1 ms, four classes."""
    rng = np.random.default_rng(1)
    size = 2 * SIDE * SIDE
    one: Any = Dense(rng.integers(-2, 3, (20, size)).astype(float))
    shape: tuple[int, ...] = (20,)
    if convolution:
        one = Conv(rng.integers(-40, 60, (8, 2, 3, 3)) / 64.0, (2, SIDE, SIDE), stride=(2, 2), padding=(1, 1, 1, 1))
        shape = (8, 5, 5)
    n = int(np.prod(shape))
    level = 1.0 if convolution else 4.0
    hidden = Population("hidden", shape, LIF(np.full(n, 1 if target == "truenorth" else 0.5, np.float32),
                                             np.full(n, level, np.float32)))  # fmt: skip
    neuron: Any = LI(np.full(4, 0.75, np.float32))
    if rule == "count":
        neuron = LIF(np.full(4, 1 if target == "truenorth" else 0.5, np.float32), np.full(4, 2, np.float32))
    last = Dense(rng.integers(-2, 3, (4, n)).astype(float))
    graph = Graph(
        "small", (Input("in", (2, SIDE, SIDE)),), (hidden, Population("out", (4,), neuron)),
        (Connection("a", "in", "hidden", one), Connection("b", "hidden", "out", last)),
        Readout("out", rule), steps=steps, dt_us=1000,
    )  # fmt: skip
    x = (rng.random((steps, 4, size)) < 0.3).astype(np.uint8)
    chip = graph_to_chip(graph, target, {"in": x})
    data = {
        "name": "events", "sensor_size": [SIDE, SIDE], "classes": ["a", "b", "c", "d"], "channels": ["OFF", "ON"],
        "frames": {"T": steps, "by": "time", "binary": True, "window_us": 1000 * steps},
    }  # fmt: skip
    write_descriptor(path, chip, registry.get(target), {"in": x}, provenance={"data": data})
    return path


def dyadic(run: Path) -> Any:
    """A run's network whose weights are multiples of 1/64, without norms: its sums are exact in any order."""
    network: Any = open_network(run)
    with torch.no_grad():
        for name, module in list(network._model.named_modules()):
            if name.startswith("norm"):
                setattr(network._model, name, torch.nn.Identity())
            elif isinstance(getattr(module, "weight", None), torch.Tensor):
                module.weight.copy_((module.weight * 3 * 64).round() / 64)
    return network


class Recorded:
    """A network that keeps the rows it gave, in the order of steps, and the windows between resets."""

    def __init__(self, network: Network) -> None:
        self._network, self.facts, self.most = network, network.facts, network.most
        self.windows: list[list[Array]] = []

    def feed(self, frames: Array) -> Array:
        rows = self._network.feed(frames)
        self.windows[-1].append(np.array(rows))
        return rows

    def flush(self) -> Array:
        rows = self._network.flush()
        self.windows[-1].append(np.array(rows))
        return rows

    def reset(self) -> None:
        self._network.reset()
        self.windows.append([])

    def prepare(self, steps: int) -> None:
        self._network.prepare(steps)
        self.windows.clear()
        self.reset()

    def read(self, rows: Array, before: Array | None) -> Array:
        return self._network.read(rows, before)

    def counters(self) -> Any:
        return self._network.counters()

    def rows(self) -> list[Array]:
        """The rows [T, C] of every window that had any."""
        full = [[r for r in w if len(r)] for w in self.windows]
        return [np.concatenate(w) for w in full if w]
