"""Random networks inside a chip's declared capabilities, for conformance tests.

Layers without weights or with weights of zero, single neurons, skips, loops over one and more layers, several inputs,
sparse, dense and convolutional synapses, delays per connection and per synapse, any decay, thresholds and decays per
neuron, refractory periods, biases. Choices come from a `random.Random`, or from what behaves like one, such as
hypothesis's, so that a failing network can be made smaller; weights come from a generator that it seeds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Array, Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLIF
from snnkit.graph.synapses import Conv, Dense
from snnkit.graph.synapses import Sparse as SparseSynapse
from snnkit.passes import add_lag, loop_findings
from snnkit.targets.capabilities import Capabilities

SHAPES: tuple[tuple[int, ...], ...] = ((20,), (7,), (1,), (2, 3, 3), (2, 5, 5), (3, 5, 5))
ANY = Capabilities(
    neurons=("LIF", "CubaLIF", "LI"),
    refractory=2,
    delays=(1, 62),
    input_delays=(0, 62),
    biases=("gated", "register"),
    readouts=("count", "first", "mean", "max", "last"),
)
"""A frame for tests without a chip."""
EVERYTHING = Capabilities(
    neurons=("LIF", "CubaLIF", "LI"),
    resets=("zero", "subtract"),
    refractory=2,
    delays=(1, 80),
    input_delays=(0, 80),
    biases=("gated", "register"),
    readouts=("count", "first", "mean", "max", "last"),
)
"""More than most chips can do: networks drawn in it end in findings or on the chip, and never in an exception."""


@dataclass
class _Maker:
    rng: random.Random
    can: Capabilities
    wide: int
    inputs: list[Input] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    @property
    def numbers(self) -> np.random.Generator:
        """A generator of its own for each array."""
        return np.random.default_rng(self.rng.randrange(2**32))

    def shape(self) -> tuple[int, ...]:
        if self.chance(0.15):
            return (self.rng.randint(1, self.wide),)
        return self.rng.choice(SHAPES)

    # -------------------------------------------------------------------------------------------------------- synapses
    def values(self, shape: tuple[int, ...], spread: float) -> Array:
        numbers = self.numbers
        if self.can.weights is not None:
            return numbers.choice(np.array(self.can.weights, np.float64), shape)
        return numbers.normal(0.05, spread, shape)

    def synapse(self, src: tuple[int, ...], dst: tuple[int, ...], fan_in: int | None) -> Any:
        """A random synapse with at most `fan_in` sources per neuron; a convolution where one fits."""
        n_src, n_dst = int(np.prod(src)), int(np.prod(dst))
        kind = self.rng.choice([*self.can.synapses, "zero"])
        if kind == "conv" and len(src) == len(dst) == 3:
            conv = self.conv(src, dst, fan_in)
            if conv is not None:
                return conv
        if kind == "zero":
            return Dense(np.zeros((n_dst, n_src)))
        weight = self.values((n_dst, n_src), 0.5)
        few = "dense" not in self.can.synapses or kind == "sparse"
        if few:
            weight = np.where(self.numbers.random(weight.shape) < 0.7, 0, weight)
        if fan_in is not None and n_src > fan_in:
            order = np.argsort(self.numbers.random(weight.shape), axis=1)
            weight = np.where(order < fan_in, weight, 0)
        return SparseSynapse(sp.csr_matrix(weight)) if few and "sparse" in self.can.synapses else Dense(weight)

    def conv(self, src: tuple[int, ...], dst: tuple[int, ...], fan_in: int | None) -> Conv | None:
        for _ in range(30):
            kernel, stride = self.rng.randint(1, 3), self.rng.randint(1, 3)
            pad = tuple(self.rng.randint(0, 1) for _ in range(4))
            weight = self.values((dst[0], src[0], kernel, kernel), 0.4)
            conv = Conv(weight, src, (stride, stride), pad)  # type: ignore[arg-type]
            if conv.out_shape == dst and (fan_in is None or src[0] * kernel * kernel <= fan_in):
                return conv
        return None

    # --------------------------------------------------------------------------------------------------------- neurons
    def decay(self, n: int, most: float = 1.0) -> Array:
        known = self.can.decays
        if known is not None:
            allowed = [d for d in known if d <= most] or list(known)
            one = np.full(n, self.rng.choice(allowed))
            return (self.numbers.choice(np.array(allowed), n) if self.chance(0.3) else one).astype(np.float32)
        return self.either(n, 0, most, (0.0, 0.3, 0.8, 1.0))

    def either(self, n: int, low: float, high: float, choices: tuple[float, ...]) -> Array:
        """A value per neuron, or one for the layer."""
        values = self.numbers.uniform(low, high, n) if self.chance(0.3) else np.full(n, self.rng.choice(choices))
        return values.astype(np.float32)

    def neuron(self, n: int, last: bool) -> Any:
        of_v = any(r in self.can.readouts for r in ("mean", "max", "last"))
        kinds = [k for k in self.can.neurons if k != "LI" or (last and of_v)]
        kind = self.rng.choice(kinds)
        decay = self.decay(n)
        if kind == "LI":
            return LI(decay)
        threshold, reset = self.either(n, 0.2, 2, (1.0,)), self.rng.choice(self.can.resets)
        refractory = self.rng.randint(0, min(self.can.refractory, 2))
        if kind == "CubaLIF":
            return CubaLIF(self.decay(n, 0.9), decay, threshold, reset, refractory)
        return LIF(decay, threshold, reset, refractory)

    # --------------------------------------------------------------------------------------------------------- network
    def connect(self, src: str, dst: str, delay: int = 0, spread: float = 1.0, fan_in: int | None = None) -> None:
        shapes = {i.name: i.shape for i in self.inputs} | {p.name: p.shape for p in self.populations}
        if fan_in is not None and fan_in < 1:
            return
        synapse = self.synapse(shapes[src], shapes[dst], fan_in)
        if spread != 1.0 and isinstance(synapse, Dense) and self.can.weights is None:
            synapse = Dense(synapse.weight * spread)
        late: Any = delay
        room = self.can.delays[1] - self.can.delays[0]
        if isinstance(synapse, Dense) and room and src not in {i.name for i in self.inputs} and self.chance(0.15):
            late = delay + self.numbers.integers(0, min(room, 4) + 1, synapse.weight.shape)
        name = f"{src}->{dst}" if all(c.name != f"{src}->{dst}" for c in self.connections) else f"{src}->{dst}'"
        self.connections.append(Connection(name, src, dst, synapse, late))

    def layer(self, k: int, last: bool) -> None:
        name, shape = f"p{k}", self.shape()
        n = int(np.prod(shape))
        before = [(i.name, True) for i in self.inputs] + [(p.name, False) for p in self.populations]
        numbers = self.numbers
        bias = None
        if self.can.biases and self.chance(0.6):
            size = numbers.choice(np.array(self.can.weights), n) if self.can.weights else numbers.normal(0, 0.5, n)
            bias = (size * (numbers.random(n) < 0.7)).astype(np.float32)
        model = self.neuron(n, last)
        self.populations.append(Population(name, shape, model, bias))
        count = self.rng.randint(0 if bias is not None else 1, min(3, len(before)))
        chosen = self.rng.sample(before, count)
        again = not isinstance(model, LI) and self.can.recurrent and self.chance(0.3)
        again = again and (self.can.loop is None or n <= self.can.loop)
        share = None
        if self.can.fan_in is not None:
            share = (self.can.fan_in - 2) // max(count + 2 * again, 1)  # a bias may take two lines
        for src, of_host in chosen:
            most = self.can.input_delays[1] if of_host else self.can.delays[1]
            late = self.rng.randint(0, min(most, 3)) if self.chance(0.2) else 0
            self.connect(src, name, late, fan_in=share)
        if again:
            self.connect(name, name, self.rng.randint(1, min(self.can.delays[1], 3)), 0.6, share)
            if len(self.populations) > 1 and self.can.delays[1] > 1 and self.chance(0.5):
                back = self.rng.choice(self.populations[:-1])
                if not isinstance(back.neuron, LI):
                    self.connect(name, back.name, self.rng.randint(2, min(self.can.delays[1], 6)), 0.6, share)


def random_graph(rng: random.Random, can: Capabilities = ANY, *, wide: int = 160) -> Graph:
    """One to four layers on the model's timeline; each has connections from earlier ones, a bias, or both.

    Args:
        rng: `random.Random(seed)` or alike.
        can: the frame.
        wide: the most neurons of a layer or input.
    """
    maker = _Maker(rng, can, wide)
    maker.inputs = [Input(f"in{k}", maker.shape()) for k in range(rng.randint(1, 2))]
    layers = rng.randint(1, 4)
    for k in range(layers):
        maker.layer(k, k == layers - 1)
    last = maker.populations[-1]
    of_spikes = not isinstance(last.neuron, LI)
    rule: Any = rng.choice([r for r in can.readouts if (r in ("count", "first")) == of_spikes])
    steps = rng.randint(1, 12)
    graph = Graph(
        "random", tuple(maker.inputs), tuple(maker.populations), tuple(maker.connections), Readout(last.name, rule),
        steps=steps,
    )  # fmt: skip
    return _inside(maker, graph)


def _inside(maker: _Maker, graph: Graph) -> Graph:
    """The graph without the connections whose delays on the chip are outside the frame, and without short loops.

    A layer that loses all its sources is connected to an input.
    """
    hosts = {i.name for i in graph.inputs}
    rewired: set[str] = set()
    while True:
        if loop_findings(graph):
            order = {p.name: k for k, p in enumerate(graph.populations)}
            back = [c for c in graph.connections if c.src in order and order[c.src] > order[c.dst]]
            graph = graph.with_(connections=tuple(c for c in graph.connections if c is not back[-1]))
            continue
        late = add_lag(graph)
        keep = []
        for c, moved in zip(graph.connections, late.connections):
            low, high = maker.can.input_delays if c.src in hosts else maker.can.delays
            passes = not maker.can.skips and c.src not in hosts and moved.max_delay - c.max_delay > 1
            if int(np.min(moved.delay)) >= low and moved.max_delay <= high and not passes:
                keep.append(c)
        fixed = graph.with_(connections=tuple(keep))
        for p in fixed.populations:
            alone = all(c.src == p.name for c in fixed.incoming(p.name))
            if alone and p.name not in rewired and (p.bias is None or not np.any(p.bias)):
                maker.connections = list(fixed.connections)
                fan_in = None if maker.can.fan_in is None else maker.can.fan_in // 3
                maker.connect(graph.inputs[0].name, p.name, fan_in=fan_in)
                rewired.add(p.name)
                fixed = fixed.with_(connections=tuple(maker.connections))
        if fixed.connections == graph.connections:
            return graph
        graph = fixed
