"""Walks the fx graph of a model with symbolic values: layers become populations and connections, or findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx, nn

from snnkit import nn as snn
from snnkit.export.calls import Calls
from snnkit.export.leaves import Leaves, logic, relay
from snnkit.export.tracer import ExportTracer, known_base, node_line, trace
from snnkit.export.value import Term, Value, connections
from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Input, Population
from snnkit.graph.neurons import LI, Neuron
from snnkit.nn.neurons.own_builtin import as_built_in
from snnkit.nn.synapses.gate import Gate


class Builder(Calls):
    """State of one export: graph nodes so far and findings so far."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.findings: list[Finding] = []
        self.inputs: list[Input] = []
        self.populations: list[Population] = []
        self.connections: list[Connection] = []
        self.leaves = Leaves(self.report)
        self.binary: dict[str, bool] = {}

    def report(self, finding: Finding) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def error(self, code: str, where: str, what: str, remedy: str = "") -> None:
        self.report(Finding(code, where, what, remedy=remedy))

    # ---------------------------------------------------------------------------------------------------- populations
    def connect(self, name: str, terms: Sequence[Term], shape: tuple[int, ...], delay: int = 0) -> None:
        self.connections += connections(name, terms, shape, {c.name for c in self.connections}, delay)

    def add_population(self, path: str, x: Value, neuron: Neuron, recurrent: Value | None = None) -> Value | None:
        if any(p.name == path for p in self.populations):
            self.error("NEURON_CALLED_TWICE", path, "this neuron layer is called twice in one pass",
                       "make a second layer: a population of a chip has one state")  # fmt: skip
            return None
        if not x.terms and x.bias is None:
            self.error("NO_INPUT", path, "nothing reaches this layer")
            return None
        if x.analog:
            self.error("ANALOG_SOURCE", path, "its input comes from a non-firing LI layer, and chips send only spikes",
                       "make the LI layer a LIF, or end the model with it")  # fmt: skip
            return None
        bias = x.bias
        self.connect(path, x.terms, x.shape)
        if recurrent is not None:
            self.connect(path, recurrent.terms, x.shape, delay=1)
            if recurrent.bias is not None:
                bias = recurrent.bias if bias is None else bias + recurrent.bias
        array = None if bias is None else bias.astype(np.float32)
        self.populations.append(Population(path, x.shape, neuron, array))
        self.binary[path] = not isinstance(neuron, LI)
        return Value(x.shape, (Term(path),), analog=isinstance(neuron, LI))

    # --------------------------------------------------------------------------------------------------------- modules
    def module(self, path: str, m: nn.Module, x: Value) -> Value | None:
        self.leaves.check_finite(path, m)
        if self.leaves.overrides(path, m):
            return None
        leaves = self.leaves
        if isinstance(m, nn.Identity | nn.modules.dropout._DropoutNd | snn.Dropout):
            return x
        if isinstance(m, nn.Linear):
            return leaves.linear(path, m, x)
        if self.lead == 2 and known_base(type(m)) is None:
            leaves.unknown(path, m)  # a layer of torch that would take T for the batch
            return None
        if isinstance(m, snn.Flatten):
            return replace(x, shape=(x.n,))
        if isinstance(m, nn.Flatten):
            return self.flatten(path, x, m.start_dim, m.end_dim)
        if isinstance(m, nn.Conv1d | nn.Conv2d):
            return leaves.conv(path, m, x)
        if isinstance(m, nn.Conv3d):
            return leaves.conv3d(path, m, x)
        if isinstance(m, nn.ConvTranspose2d):
            return leaves.conv_transpose(path, m, x)
        if isinstance(m, nn.AvgPool2d | snn.SumPool2d):
            return leaves.pool(path, m, x, average=isinstance(m, nn.AvgPool2d))
        if isinstance(m, nn.AdaptiveAvgPool2d):
            return leaves.adaptive_pool(path, m, x)
        if isinstance(m, nn.Upsample):
            return leaves.upsample(path, m, x)
        if isinstance(m, nn.MaxPool2d):
            return self.max_pool(path, m, x)
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            return leaves.norm(path, m, x)
        if isinstance(m, snn.Attention):
            self.error("ATTENTION", path, "spikes are multiplied with spikes, and a chip's synapses have fixed weights",
                       "use convolutions and joins in its place: no chip here has such synapses")  # fmt: skip
            return None
        if isinstance(m, snn.OneToOne):
            return leaves.one_to_one(path, m, x)
        if isinstance(m, snn.Delay):
            return leaves.delay(path, m, x)
        if isinstance(m, snn.OverTime):
            return self.over_time(path, m, x)
        if isinstance(m, snn.Votes):
            return leaves.votes(path, m, x)
        if isinstance(m, snn.Recurrent):
            return self.recurrent(path, m, x)
        if isinstance(m, snn.Neuron):
            m = as_built_in(m)
            neuron = leaves.neuron(path, m, x)
            return None if neuron is None else self.add_population(path, leaves.leaking(m, x), neuron)
        leaves.unknown(path, m)
        return None

    def inside(self, path: str, m: nn.Module, x: Value) -> Value | None:
        """A module within a layer of snnkit: a layer itself, or one to look into."""
        if ExportTracer().is_leaf_module(m, path):
            return self.module(path, m, x)
        fx_graph, found = trace(m)
        for finding in found:
            self.report(finding)
        if fx_graph is None:
            return None
        out = self.walk(fx_graph, m, f"{path}.", lambda k, node: x if k == 0 else node.args[0] if node.args else None)
        if out is not None and not isinstance(out, Value):
            self.error("LAYER_ARGUMENTS", path, f"{type(m).__name__} does not return one tensor", "return one tensor")
            return None
        return out

    def over_time(self, path: str, m: snn.OverTime, x: Value) -> Value | None:
        before, self.lead = self.lead, 1
        try:
            return self.inside(f"{path}.module", m.module, x)
        finally:
            self.lead = before

    def call_module(self, path: str, m: nn.Module, given: Sequence[Any]) -> Value | None:
        if len(given) == 1 and isinstance(given[0], Value):
            return self.module(path, m, given[0])
        if isinstance(m, Gate) and len(given) == 2 and all(isinstance(g, Value) for g in given):
            return self.gate(path, m, given[0], given[1])
        self.error("LAYER_ARGUMENTS", path, f"{type(m).__name__} is called with {len(given)} arguments",
                   "give it its input only: on a chip, every sample starts from the initial state")  # fmt: skip
        return None

    def max_pool(self, path: str, m: Any, x: Value) -> Value | None:
        if not x.is_spikes or not self.binary[x.terms[0].source]:
            self.error(
                "MAXPOOL_NOT_BINARY",
                path,
                "max pooling of counts or of weighted sums has no counterpart on a chip",
                "pool binary spikes (put it right behind a firing neuron), or use snn.AvgPool2d or snn.SumPool2d",
            )
            return None
        windows = self.leaves.windows(path, m, x)
        return None if windows is None else self.add_population(path, *relay(x, windows))

    def gate(self, path: str, m: Gate, a: Value, b: Value) -> Value | None:
        if not all(x.is_spikes and self.binary[x.terms[0].source] for x in (a, b)):
            self.error("GATE_NOT_BINARY", path, f"'{m.logic}' of counts or weighted sums has no counterpart on a chip",
                       "end both branches in a firing neuron, or join them by 'add'")  # fmt: skip
            return None
        return self.add_population(path, *logic(m.logic, a, b))

    def recurrent(self, path: str, m: Any, x: Value) -> Value | None:
        layer = as_built_in(m.neuron)
        neuron = self.leaves.neuron(f"{path}.neuron", layer, x)
        own = Value(x.shape, (Term(path),))
        back = self.inside(f"{path}.synapse", m.synapse, own)
        if neuron is None or back is None:
            return None
        if isinstance(neuron, LI):
            self.error("ANALOG_SOURCE", path, "a non-firing neuron cannot feed back: chips send only spikes")
            return None
        if back.shape != x.shape:
            self.error("SHAPE", path, f"the recurrent synapse gives {list(back.shape)}, the neuron has {list(x.shape)}")
            return None
        return self.add_population(path, self.leaves.leaking(layer, x), neuron, back)

    # ------------------------------------------------------------------------------------------------------------ walk
    def feed(
        self, shapes: Sequence[tuple[int, ...]], max_counts: Sequence[int | None], names: Sequence[str]
    ) -> Callable[[int, fx.Node], Any]:
        """What stands for each argument of the model: an input of the graph, named as the argument or by `names`."""

        def give(k: int, node: fx.Node) -> Any:
            if k >= len(shapes):
                if node.args:  # an argument with a default, such as a state
                    return node.args[0]
                self.error("INPUTS", node.name, f"the model takes more than {len(shapes)} inputs",
                           "give the shape of every input")  # fmt: skip
                return None
            most = max_counts[k]
            if most is None:
                self.error("INPUT_NOT_INTEGER", node.name, "the frames hold real numbers (voxel grid, time surface)",
                           "train on frames of counts or spikes (data: representation: counts or binary)")  # fmt: skip
                most = 1  # goes on, so that the other findings are told as well
            name = names[k] if names else node.name
            self.inputs.append(Input(name, tuple(shapes[k]), most))
            self.binary[name] = most == 1
            return Value(tuple(shapes[k]), (Term(name),))

        return give

    def walk(self, graph: fx.Graph, root: nn.Module, prefix: str, feed: Callable[[int, fx.Node], Any]) -> Any:
        """What a traced module makes of its arguments, `feed(k, node)`; the paths of its layers begin with `prefix`."""
        given = 0
        env: dict[fx.Node, Any] = {}

        def get(a: Any) -> Any:
            return fx.map_arg(a, lambda n: env[n])

        def known(a: Any) -> bool:
            flat: list[Any] = []
            fx.map_arg(a, lambda n: flat.append(env[n]))
            return all(v is not None for v in flat)

        for node in graph.nodes:
            if node.op == "placeholder":
                env[node] = feed(given, node)
                given += 1
            elif node.op == "output":
                return get(node.args[0]) if known(node.args[0]) else None
            elif not (known(node.args) and known(node.kwargs)):
                env[node] = None  # a finding upstream says why
            elif node.op == "call_module":
                arguments = [*get(node.args), *get(node.kwargs).values()]
                layer = root.get_submodule(str(node.target))
                env[node] = self.call_module(prefix + str(node.target), layer, arguments)
            elif node.op == "get_attr":
                self.error("UNSUPPORTED_CALL", node_line(node), f"the tensor {node.target} is used outside a layer")
                env[node] = None
            else:
                env[node] = self.call(node, node.target, get(node.args), get(node.kwargs))
        return None
