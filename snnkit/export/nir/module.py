"""Graph → torch module of our layers: networks of other frameworks can be run, trained on, and exported again.

Populations keep their names as module paths, so that recordings and a later export name the same layers. Parts without
loops run layer by layer over whole sequences; a population that hears itself one step later is a `Recurrent`; longer
loops run step by step in a `Loop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import GraphError
from snnkit.export.nir import loops, synapses
from snnkit.export.nir.layers import Loop, Network, Part
from snnkit.export.nir.model import Array
from snnkit.export.nir.reader import read
from snnkit.export.nir.synapses import Shape
from snnkit.export.nir.torch_layers import layers_of, one_to_one, reshaped, set_values
from snnkit.graph.model import Connection, Graph, Population
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF, Neuron
from snnkit.graph.synapses import Dense
from snnkit.surrogate import Surrogate

MOST_INPUTS = 4


@dataclass(frozen=True)
class Options:
    """How neurons are made: the surrogate gradient, and what is learned beside the weights."""

    surrogate: str | Surrogate = "arctan"
    learn_decay: bool = False
    learn_threshold: bool = False


def to_module(
    graph: Graph,
    *,
    surrogate: str | Surrogate = "arctan",
    learn_decay: bool = False,
    learn_threshold: bool = False,
) -> nn.Module:
    """A torch module of `snnkit.nn` layers that does what the graph does: x [T, B, *input shape] → [T, B, *output].

    Its spikes are those of `snnkit.graph.run` wherever float32 sums are exact (dyadic weights); elsewhere torch adds
    in another order. It returns the read-out population's spikes or v, or the last population's where none is read.

    Args:
        graph: of real numbers, on the model's timeline, with one to four inputs.
        surrogate, learn_decay, learn_threshold: as for `snn.LIF`.

    Raises:
        GraphError: a graph of integers, on the chip's timeline, or with a loop without delay.
        ParameterError: a decay or threshold that no layer takes.
    """
    if graph.timeline != "model":
        raise GraphError("the graph is on the chip's timeline", fix="give the float graph, before add_lag")
    graph.validate()
    if not 1 <= len(graph.inputs) <= MOST_INPUTS or any(i.gate_from is not None for i in graph.inputs):
        raise GraphError(f"the graph has {len(graph.inputs)} inputs", fix=f"1 to {MOST_INPUTS} inputs of data")
    return _Maker(graph, Options(surrogate, learn_decay, learn_threshold)).run()


def load(path: str | Path, **options: Any) -> nn.Module:
    """A `.nir` file as a torch module; `options` are those of `read` and of `to_module`.

    Raises:
        NirError, FindingsError: as `read`.
    """
    made = {k: options.pop(k) for k in ("surrogate", "learn_decay", "learn_threshold") if k in options}
    graph, _ = read(path, **options)
    assert graph is not None
    return to_module(graph, **made)


class _Maker:
    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph, self.options = graph, options
        output = graph.readout.population if graph.readout is not None else graph.populations[-1].name
        self.net = Network([i.name for i in graph.inputs], output)
        self.shapes: dict[str, Shape] = {n.name: n.shape or (1,) for n in graph.nodes()}
        self.order = {p.name: k for k, p in enumerate(graph.populations)}
        self.made = 0

    def run(self) -> nn.Module:
        graph = self.graph
        after: dict[str, list[str]] = {}
        inner = [c for c in graph.connections if c.src in self.order]
        for c in inner:
            after.setdefault(c.src, []).append(c.dst)
        for group in loops.components([p.name for p in graph.populations], after):
            names = sorted(group, key=self.order.__getitem__)
            inside = [c for c in inner if c.src in group and c.dst in group]
            self.part([p for p in graph.populations if p.name in names], inside)
        return self.net.eval()

    def part(self, populations: list[Population], inside: list[Connection]) -> None:
        first = populations[0]
        simple = (
            len(populations) == 1 and len(inside) == 1 and isinstance(inside[0].delay, int) and inside[0].delay == 1
        )
        layer: nn.Module
        if not inside:
            layer = self.neuron(first)
        elif simple:
            way = self.layers(inside[0], None)
            layer = snn.Recurrent(self.firing(first), way[0] if len(way) == 1 else nn.Sequential(*way))
        else:
            layer = self.loop(populations, inside)
        path = self.put(first.name if len(populations) == 1 else "loop_" + "_".join(p.name for p in populations), layer)
        part = Part(path, [p.name for p in populations], loop=isinstance(layer, Loop))
        for p in populations:
            outside = [c for c in self.graph.incoming(p.name) if c not in inside]
            part.ways.append(self.ways(p, outside))
        self.net.plan.append(part)

    def loop(self, populations: list[Population], inside: list[Connection]) -> Loop:
        names = [p.name for p in populations]
        made = Loop(names, [self.shapes[n] for n in names], [self.firing(p) for p in populations])
        for c in inside:
            for delay, part in _by_delay(c):
                if delay == 0 and self.order[c.src] >= self.order[c.dst]:
                    raise GraphError(f"connection {c.name!r} has delay 0 against the order of evaluation",
                                     fix="a loop needs a delay of at least 1")  # fmt: skip
                made.synapses.append(nn.Sequential(*self.layers(part, None)))
                made.wires.append((names.index(c.src), names.index(c.dst), delay))
        return made

    # ------------------------------------------------------------------------------------------------------------ names
    def put(self, name: str, module: nn.Module) -> str:
        """Registers a module under a dotted path as near to `name` as torch allows; returns the path."""
        words = [w for w in name.split(".") if w] or ["layer"]
        at: nn.Module = self.net
        for k, word in enumerate(words[:-1]):
            child = at._modules.get(word)
            if child is None and not hasattr(at, word):
                at.add_module(word, nn.Module())
            elif type(child) is not nn.Module:
                words[k:] = ["_".join(words[k:])]
                break
            at = at._modules[word]  # type: ignore[assignment]
        last, k = words[-1], 2
        while hasattr(at, last):
            last, k = f"{words[-1]}_{k}", k + 1
        at.add_module(last, module)
        return ".".join([*words[:-1], last])

    # ---------------------------------------------------------------------------------------------------------- neurons
    def firing(self, p: Population) -> snn.Neuron:
        layer = self.neuron(p)
        if not isinstance(layer, snn.Neuron):
            raise GraphError(f"population {p.name!r} is a {type(p.neuron).__name__}, which cannot feed back")
        return layer

    def neuron(self, p: Population) -> nn.Module:
        neuron: Neuron = p.neuron
        shape = self.shapes[p.name]

        def value(array: Array) -> Any:
            if array.size and np.all(array == array[0]):
                return float(array[0])
            return torch.from_numpy(np.ascontiguousarray(array.reshape(shape)))

        o = self.options
        learned: dict[str, Any] = {"learn_decay": o.learn_decay}
        if isinstance(neuron, LI):
            return snn.LI(decay=value(neuron.decay), **learned)
        if isinstance(neuron, CubaLI):
            return nn.Sequential(*(snn.LI(decay=value(d), **learned) for d in (neuron.decay_syn, neuron.decay_mem)))
        if not isinstance(neuron, LIF | CubaLIF):
            raise GraphError(
                f"population {p.name!r} has a chip's neuron, {type(neuron).__name__}", fix="give the float graph"
            )
        firing: dict[str, Any] = {
            "threshold": value(neuron.threshold), "reset": neuron.reset, "refractory": neuron.refractory,
            "surrogate": o.surrogate, "learn_threshold": o.learn_threshold, **learned,
        }  # fmt: skip
        if isinstance(neuron, LIF):
            return snn.LIF(decay=value(neuron.decay), **firing)
        return snn.CubaLIF(decay_syn=value(neuron.decay_syn), decay_mem=value(neuron.decay_mem), **firing)

    # --------------------------------------------------------------------------------------------------------- synapses
    def ways(self, p: Population, connections: Sequence[Connection]) -> list[tuple[str, tuple[str, ...]]]:
        """Sources of a population, each with the paths of the layers on the way; the first way has its bias."""
        ways = []
        bias = p.bias
        for c in connections:
            for delay, part in _by_delay(c):
                made: list[nn.Module] = [snn.Delay(delay)] if delay else []
                paths = [self.put(f"synapses.{_word(c.name)}", m) for m in [*made, *self.layers(part, bias)]]
                bias = None
                ways.append((c.src, tuple(paths)))
        if bias is not None:  # nothing but its bias reaches it
            source = self.graph.inputs[0]
            linear = snn.Linear(source.n, p.n)
            nn.init.zeros_(linear.weight)
            set_values(linear.bias, bias)
            flat: list[nn.Module] = [snn.Flatten()] if len(self.shapes[source.name]) > 1 else []
            made = [*flat, linear, *reshaped((p.n,), self.shapes[p.name])]
            ways.append((source.name, tuple(self.put(f"synapses.{_word(p.name)}_bias", m) for m in made)))
        return ways

    def layers(self, c: Connection, bias: Array | None) -> list[nn.Module]:
        """The layers of a connection, without its delay, with the bias of its population."""
        made: list[nn.Module] = []
        shape, goal = self.shapes[c.src], self.shapes[c.dst]
        ops = [op for op in synapses.operators(c.synapse) if not synapses.is_identity(op)]
        for k, op in enumerate(ops):
            more, shape = layers_of(op, shape, bias if k == len(ops) - 1 else None)
            made += more
        made += reshaped(shape, goal)
        if bias is not None and not any(getattr(m, "bias", None) is not None for m in made):
            made.append(one_to_one(np.ones(int(np.prod(goal))), goal, bias))
        return made


def _word(name: str) -> str:
    return name.replace(".", "_")


def _by_delay(c: Connection) -> list[tuple[int, Connection]]:
    """A connection as one per delay, its own delay left out."""
    if not isinstance(c.delay, np.ndarray):
        return [(int(c.delay), c)]
    assert isinstance(c.synapse, Dense)
    weight = c.synapse.weight
    return [
        (int(d), Connection(c.name, c.src, c.dst, Dense(np.where(c.delay == d, weight, 0)))) for d in np.unique(c.delay)
    ]
