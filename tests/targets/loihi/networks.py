"""Random integer networks for tests of lowering and emulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph import (
    Connection,
    Conv,
    Dense,
    Graph,
    Input,
    LoihiNeuron,
    LoihiWeightFormat,
    Population,
    Readout,
    Sparse,
)

Array = np.ndarray[Any, Any]


def neuron(rng: np.random.Generator, n: int, *, kinds: int = 3, level: int = 200) -> LoihiNeuron:
    """Registers drawn from a few kinds of neurons."""
    kind = rng.integers(0, kinds, n)

    def pick(low: int, high: int) -> Array:
        return rng.integers(low, high, kinds).astype(np.int32)[kind]

    return LoihiNeuron(
        du=pick(1000, 4096), dv=pick(0, 4096), vth=pick(1, level), bias_mant=rng.integers(-20, 60, n).astype(np.int32),
        bias_exp=rng.integers(0, 4, n).astype(np.int32), refract=pick(1, 5), ds_offset=int(rng.integers(2)),
    )  # fmt: skip


def mantissas(rng: np.random.Generator, shape: tuple[int, ...], fmt: LoihiWeightFormat) -> Array:
    """Mantissas that every reference reads alike."""
    step = 1 << max(8 - fmt.bits + (fmt.sign_mode == 1), -fmt.exponent)
    low, high = {1: (-254, 255), 2: (0, 256), 3: (-255, 1)}[fmt.sign_mode]
    return (np.fix(rng.integers(low, high, shape) / step) * step).astype(np.int32)


def weight_format(rng: np.random.Generator) -> LoihiWeightFormat:
    return LoihiWeightFormat(int(rng.integers(-3, 2)), int(rng.integers(1, 4)), int(rng.choice([3, 5, 8])))


def random_graph(seed: int, *, steps: int = 10) -> Graph:
    """Two inputs (one gated), two convolutional layers, a dense layer with delays, loops and a skip connection."""
    rng = np.random.default_rng(seed)
    c0, c1, c2 = (int(x) for x in rng.integers(1, 5, 3))
    h, w = (int(x) for x in rng.integers(5, 11, 2))
    groups = c0 if rng.random() < 0.3 else 1
    c1 *= groups
    kernel, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    fmt = [weight_format(rng) for _ in range(7)]
    pad = tuple(int(x) for x in rng.integers(0, 2, 4))
    first = Conv(
        mantissas(rng, (c1, c0 // groups, kernel, kernel), fmt[0]), (c0, h, w), (stride, 1), pad, groups=groups
    )  # type: ignore[arg-type]
    second = Conv(mantissas(rng, (c2, c1, 2, 3), fmt[1]), first.out_shape, (1, 2), (0, 1, 1, 1))
    n_out = int(rng.integers(1, 12))
    dense = Dense(mantissas(rng, (n_out, second.n_dst), fmt[2]) * (rng.random((n_out, second.n_dst)) < 0.5))
    delay = rng.integers(1, int(rng.choice([2, 9, 63])), dense.weight.shape)
    skip = sp.random(n_out, first.n_dst, 0.2, format="csr", random_state=seed)
    skip.data = mantissas(rng, skip.data.shape, fmt[3])
    loop = Dense(mantissas(rng, (n_out, n_out), fmt[4]))
    gate = Dense(mantissas(rng, (second.n_dst, 2), fmt[5]))
    return Graph(
        f"random{seed}",
        (Input("in", (c0, h, w)), Input("on", (2,), gate_from=1)),
        (
            Population("a", first.out_shape, neuron(rng, first.n_dst)),
            Population("b", second.out_shape, neuron(rng, second.n_dst), lag=1),
            Population("out", (n_out,), neuron(rng, n_out), lag=2),
        ),
        (
            Connection("in-a", "in", "a", first, int(rng.integers(0, 3)), fmt[0]),
            Connection("a-b", "a", "b", second, 1, fmt[1]),
            Connection("b-out", "b", "out", dense, delay, fmt[2]),
            Connection("a-out", "a", "out", Sparse(skip), 2, fmt[3]),
            Connection("out-out", "out", "out", loop, 1, fmt[4]),
            Connection("on-b", "on", "b", gate, 0, fmt[5]),
        ),
        Readout("out", "count"),
        steps,
        timeline="chip",
    )


def stimulus(graph: Graph, seed: int, *, batch: int = 3, rate: float = 0.3) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        i.name: (rng.random((graph.steps or 10, batch, i.n)) < rate).astype(np.uint8)
        for i in graph.inputs
        if i.gate_from is None
    }
