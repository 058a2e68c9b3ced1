"""The chip half's network: populations of neurons and connections in discrete time, as frozen data over numpy.

Nothing is a default of a backend: the graph states its step, the update order (in the neuron's type), reset,
threshold test, delays and units. Two kinds of graph use the same classes: float graphs (neurons `LIF`, `CubaLIF`,
`LinearLeakIF`, `LI`, `CubaLI`, weights in units of the membrane) and integer graphs (a chip's neuron such as
`LoihiNeuron`, weights as the chip's mantissas with a `format`).

Time. On the *model* timeline (`timeline="model"`) every feed-forward connection has delay 0: a spike of step t acts
in step t of the next layer, as in the torch model. On the *chip* timeline (`timeline="chip"`) every connection
between neurons has delay d >= 1, the number of steps from emission to effect, and `Population.lag` says by how many
steps a population's trace is late. A row t of an input raster acts in step t + delay, delay >= 0, on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from snnkit.errors import GraphError
from snnkit.graph.neurons import BrainScales2Neuron, Neuron, TrueNorthAxon, TrueNorthOutput
from snnkit.graph.synapses import (
    Dense,
    IntegerFormat,
    LoihiWeightFormat,
    SpinnakerWeightFormat,
    Synapse,
    TrueNorthFormat,
)

Array = np.ndarray[Any, Any]


# ------------------------------------------------------------------------------------------------------------ graph
@dataclass(frozen=True, eq=False)
class Input:
    """A source driven by the host. `max_count` 1 means binary spikes.

    `gate_from`: None for data; k for a bias line that the host drives with 1 in every step from step k on.
    """

    name: str
    shape: tuple[int, ...]
    max_count: int = 1
    gate_from: int | None = None

    @property
    def n(self) -> int:
        """How many there are: the product of the shape."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one layer. `bias` float32 [n] is added to x in every step (float graphs only; None for none)."""

    name: str
    shape: tuple[int, ...]
    neuron: Neuron
    bias: Array | None = None
    lag: int = 0

    @property
    def n(self) -> int:
        """How many there are: the product of the shape."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from `src` to `dst`. `delay` in steps: an int, or an int array [n_dst, n_src] for `Dense`."""

    name: str
    src: str
    dst: str
    synapse: Synapse
    delay: int | Array = 0
    format: LoihiWeightFormat | SpinnakerWeightFormat | TrueNorthFormat | IntegerFormat | None = None

    @property
    def max_delay(self) -> int:
        """The largest delay in steps."""
        return int(np.max(self.delay)) if np.size(self.delay) else 0


@dataclass(frozen=True)
class Readout:
    """How the answer is read: `count` of spikes or the `first` to spike, or `mean`, `max`, `last` of a non-firing v.

    The class is the argmax, ties to the lowest index. The steps are the T steps of the sample, aligned by lag.
    `votes`: so many neurons in a row belong to one class, and their counts are added.
    """

    population: str
    rule: Literal["count", "first", "mean", "max", "last"]
    votes: int = 1

    @property
    def of_spikes(self) -> bool:
        """Whether it reads spikes, and not v."""
        return self.rule in ("count", "first")


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in discrete time. `populations` in an order of evaluation; `dt_us` is the length of a step."""

    name: str
    inputs: tuple[Input, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    readout: Readout | None = None
    steps: int | None = None
    dt_us: float | None = None
    timeline: Literal["model", "chip"] = "model"
    notes: Mapping[str, Any] = field(default_factory=dict)

    def node(self, name: str) -> Input | Population:
        """The input or population of that name."""
        for node in self.nodes():
            if node.name == name:
                return node
        raise GraphError(f"no input or population is called {name!r}", fix=f"known: {', '.join(self.names())}")

    def nodes(self) -> tuple[Input | Population, ...]:
        """Inputs, then populations."""
        return (*self.inputs, *self.populations)

    def names(self) -> list[str]:
        """Their names."""
        return [n.name for n in self.nodes()]

    def incoming(self, name: str) -> list[Connection]:
        """The connections that end in a population."""
        return [c for c in self.connections if c.dst == name]

    def outgoing(self, name: str) -> list[Connection]:
        """The connections that begin in an input or population."""
        return [c for c in self.connections if c.src == name]

    @property
    def max_lag(self) -> int:
        """The largest lag of a population in steps."""
        return max((p.lag for p in self.populations), default=0)

    def with_(self, **changes: Any) -> Graph:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def validate(self) -> None:
        """Raise GraphError unless names, sizes, delays and parameters are consistent."""
        names = self.names()
        if len(set(names)) != len(names):
            raise GraphError(f"two nodes share a name: {sorted(n for n in names if names.count(n) > 1)}")
        inputs = {i.name for i in self.inputs}
        for c in self.connections:
            src, dst = self.node(c.src), self.node(c.dst)
            if isinstance(dst, Input):
                raise GraphError(f"connection {c.name!r} ends in the input {c.dst!r}")
            if c.synapse.n_src != src.n or c.synapse.n_dst != dst.n:
                raise GraphError(
                    f"connection {c.name!r} has synapses {c.synapse.n_src} -> {c.synapse.n_dst}, "
                    f"but {c.src!r} has {src.n} and {c.dst!r} has {dst.n} neurons"
                )
            low = int(np.min(c.delay)) if np.size(c.delay) else 0
            inside = isinstance(dst.neuron, TrueNorthOutput | BrainScales2Neuron) or (
                isinstance(src, Population) and isinstance(src.neuron, TrueNorthAxon)
            )
            least = 1 if self.timeline == "chip" and c.src not in inputs and not inside else 0
            if low < least:
                raise GraphError(f"connection {c.name!r} has delay {low}; at least {least} is needed here")
            if isinstance(c.delay, np.ndarray) and not (
                isinstance(c.synapse, Dense) and c.delay.shape == c.synapse.weight.shape
            ):
                raise GraphError(f"connection {c.name!r}: per-synapse delays need a Dense synapse of the same shape")
        for p in self.populations:
            for key, value in vars(p.neuron).items():
                if isinstance(value, np.ndarray) and value.shape != (p.n,):
                    raise GraphError(f"population {p.name!r}: {key} has shape {value.shape}, expected ({p.n},)")
            if p.bias is not None and p.bias.shape != (p.n,):
                raise GraphError(f"population {p.name!r}: bias has shape {p.bias.shape}, expected ({p.n},)")
        if self.readout is not None:
            n, votes = self.node(self.readout.population).n, self.readout.votes
            if votes < 1 or n % votes or (votes > 1 and self.readout.rule != "count"):
                raise GraphError(
                    f"the read-out {self.readout.rule!r} of {n} neurons with {votes} votes per class",
                    fix="votes are counts, and divide the neurons of the layer",
                )
