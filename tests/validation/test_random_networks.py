"""Random networks through quantiser, mapping, descriptor and emulator: the emulator equals the integer graph in every
spike, u and v, and rounding changes few spikes of the float graph.

Layers without weights or with weights of zero, single neurons, skips, loops, several inputs, sparse, dense and
convolutional synapses, any decay, thresholds and decays per neuron, refractory periods, biases gated or in registers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from snnkit import emulator
from snnkit.graph.model import (
    LI,
    LIF,
    Array,
    Connection,
    Conv,
    CubaLIF,
    Dense,
    Graph,
    Input,
    Population,
    Readout,
    Sparse,
    Synapse,
)
from snnkit.graph.run import run
from snnkit.targets import registry
from snnkit.validation import ChipGraph, write_descriptor
from snnkit.validation.pipeline import Bias, chip_timeline

SHAPES: tuple[tuple[int, ...], ...] = ((2, 5, 5), (3, 5, 5), (2, 3, 3), (7,), (1,), (20,))
Rng = np.random.Generator


def synapse(rng: Rng, src: tuple[int, ...], dst: tuple[int, ...]) -> Synapse:
    """A random synapse between two shapes; a convolution where one fits."""
    n_src, n_dst = int(np.prod(src)), int(np.prod(dst))
    kind = rng.choice(["dense", "zero", "sparse", "conv"])
    if kind == "conv" and len(src) == len(dst) == 3:
        for _ in range(30):
            kernel, stride = (int(k) for k in rng.integers(1, 4, 2))
            pad = tuple(int(p) for p in rng.integers(0, 2, 4))
            weight = rng.normal(0.05, 0.4, (dst[0], src[0], kernel, kernel))
            conv = Conv(weight, src, (stride, stride), pad)  # type: ignore[arg-type]
            if conv.out_shape == dst:
                return conv
    if kind == "zero":
        return Dense(np.zeros((n_dst, n_src)))
    weight = rng.normal(0.05, 0.5, (n_dst, n_src))
    if kind == "sparse":
        return Sparse(sp.csr_matrix(np.where(rng.random(weight.shape) < 0.7, 0, weight)))
    return Dense(weight)


def neuron(rng: Rng, n: int, last: bool) -> Any:
    """A random neuron model with parameters for the layer or per neuron."""

    def either(low: float, high: float, choices: tuple[float, ...]) -> Array:
        values = rng.uniform(low, high, n) if rng.random() < 0.3 else np.full(n, rng.choice(choices))
        return values.astype(np.float32)

    decay, threshold = either(0, 1, (0.0, 0.3, 0.8, 1.0)), either(0.2, 2, (1.0,))
    refractory = int(rng.integers(0, 3))
    kind = rng.choice(["lif", "cuba", "li"] if last else ["lif", "cuba"])
    if kind == "li":
        return LI(decay)
    if kind == "cuba":
        return CubaLIF(either(0, 0.9, (0.0, 0.5, 1.0)), decay, threshold, "zero", refractory)
    return LIF(decay, threshold, "zero", refractory)


def network(rng: Rng) -> Graph:
    """One to four layers; each has connections from earlier ones, a bias, or both, and may feed back to itself."""
    inputs = tuple(Input(f"in{k}", SHAPES[rng.integers(len(SHAPES))]) for k in range(rng.integers(1, 3)))
    sources = [(i.name, i.shape) for i in inputs]
    populations: list[Population] = []
    connections: list[Connection] = []
    layers = int(rng.integers(1, 5))
    for k in range(layers):
        name, shape = f"p{k}", SHAPES[rng.integers(len(SHAPES))]
        n = int(np.prod(shape))
        model = neuron(rng, n, last=k == layers - 1)
        bias = None
        if rng.random() < 0.6:
            bias = (rng.normal(0, 0.5, n) * (rng.random(n) < 0.7)).astype(np.float32)
        populations.append(Population(name, shape, model, bias))
        count = int(rng.integers(0 if bias is not None else 1, min(3, len(sources)) + 1))
        for s in rng.choice(len(sources), size=count, replace=False):
            src, src_shape = sources[s]
            connections.append(Connection(f"{src}->{name}", src, name, synapse(rng, src_shape, shape)))
        if not isinstance(model, LI):
            sources.append((name, shape))
            if rng.random() < 0.3:
                connections.append(Connection(f"{name}->{name}", name, name, Dense(rng.normal(0, 0.3, (n, n))), 1))
    rule = str(rng.choice(["last", "mean", "max"] if isinstance(model, LI) else ["count", "first"]))
    readout = Readout(name, rule)  # type: ignore[arg-type]
    return Graph("random", inputs, tuple(populations), tuple(connections), readout, steps=int(rng.integers(1, 9)))


def differing(seed: int, folder: Path) -> tuple[int, int]:
    """(spikes that rounding changed, neuron-steps); asserts that the emulator equals the integer graph."""
    rng = np.random.default_rng(seed)
    graph, target = network(rng), registry.get("loihi")
    graph.validate()
    bias: Bias = "gated" if rng.random() < 0.7 else "register"
    late = chip_timeline(graph, bias)
    assert target.check(late) == []
    made = target.quantize(late)
    assert made.findings == []
    assert graph.steps is not None
    x = {i.name: (rng.random((graph.steps, 3, i.n)) < 0.5).astype(np.uint8) for i in graph.inputs}
    path = folder / f"{seed}.snnx"
    write_descriptor(path, ChipGraph(graph, made.graph, made.report), target, x)
    assert emulator.verify(path).ok
    real, whole = emulator.open(path).run(x, probes=("s", "u", "v")), run(made.graph, x)
    model = run(late, x)
    wrong = steps = 0
    for p in graph.populations:
        for ours, theirs in ((whole.spikes, real.spikes), (whole.u, real.u), (whole.v, real.v)):
            assert np.array_equal(ours[p.name], theirs[p.name]), (seed, p.name)
        wrong += int(np.sum(model.spikes[p.name] != whole.spikes[p.name]))
        steps += whole.spikes[p.name].size
    return wrong, steps


def test_few(tmp_path: Path) -> None:
    counts = np.array([differing(seed, tmp_path) for seed in range(30)])
    assert counts[:, 0].sum() < 0.01 * counts[:, 1].sum()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many(tmp_path: Path) -> None:
    counts = np.array([differing(seed, tmp_path) for seed in range(100, 1100)])
    assert counts[:, 0].sum() < 0.01 * counts[:, 1].sum()
