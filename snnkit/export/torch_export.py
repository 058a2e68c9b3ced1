"""torch model → float graph: walks the fx graph with symbolic values, collects every finding, builds populations."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from snnkit import nn as snn
from snnkit.errors import FindingsError, UsageError
from snnkit.export.leaves import Leaves, logic, relay
from snnkit.export.tracer import ExportTracer, known_base, node_line, trace
from snnkit.export.value import Term, Value, concatenate, connections
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, Neuron
from snnkit.graph.synapses import Scale
from snnkit.nn.neurons.own_builtin import as_built_in
from snnkit.nn.synapses.gate import Gate
from snnkit.passes import simplify

_ADD = {operator.add, operator.iadd, torch.add}
_MUL = {operator.mul, operator.imul, torch.mul}
_CAT = {torch.cat, torch.concat, torch.concatenate}


class _Builder:
    """State of one export: graph nodes so far and findings so far."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.findings: list[Finding] = []
        self.inputs: list[Input] = []
        self.populations: list[Population] = []
        self.connections: list[Connection] = []
        self.leaves = Leaves(self.report)
        self.binary: dict[str, bool] = {}
        self.lead = 2
        """Dimensions before the features: T and B, or T·B inside `over_time`."""

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

    # ------------------------------------------------------------------------------------------------------- functions
    def call(self, node: fx.Node, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Value | None:
        values = [a for a in args if isinstance(a, Value)]
        if target in _ADD and len(args) >= 2:
            return self.add(node, args[0], args[1], kwargs)
        if target in _MUL and len(values) == 1 and all(isinstance(a, Value | int | float) for a in args):
            factor = float(next(a for a in args if not isinstance(a, Value)))
            return values[0].apply(Scale(np.full(values[0].n, factor)), values[0].shape)
        if target in _CAT:
            return self.cat(node, args, kwargs)
        if target is torch.flatten or target == "flatten":
            start = args[1] if len(args) > 1 else kwargs.get("start_dim", 0)
            end = args[2] if len(args) > 2 else kwargs.get("end_dim", -1)
            return self.flatten(node_line(node), args[0], start, end)
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if target is getattr:
            self.error("UNSUPPORTED_CALL", node_line(node), f"the attribute .{args[1]} of a signal is used",
                       "snn.Flatten() or flatten(2) instead of view or reshape")  # fmt: skip
            return None
        if name in ("contiguous", "detach", "clone", "float") and values:
            return values[0]
        self.error("UNSUPPORTED_CALL", node_line(node), f"{name}() has no counterpart on a chip",
                   "use snnkit.nn layers, +, torch.cat and flatten(2)")  # fmt: skip
        return None

    def flatten(self, where: str, x: Value, start: int, end: int) -> Value | None:
        if start == self.lead and end in (-1, len(x.shape) + self.lead - 1):
            return replace(x, shape=(x.n,))
        self.error("UNSUPPORTED_CALL", where, f"flatten(start_dim={start}, end_dim={end}) would mix time or batch with "
                   "features, or flatten some of them only", f"flatten({self.lead}), or snn.Flatten()")  # fmt: skip
        return None

    def add(self, node: fx.Node, a: Any, b: Any, kwargs: Mapping[str, Any]) -> Value | None:
        if kwargs.get("alpha", 1) != 1:
            self.error("UNSUPPORTED_CALL", node_line(node), f"add with alpha={kwargs['alpha']}", "scale by * first")
            return None
        if isinstance(a, Value) and isinstance(b, Value):
            if a.shape != b.shape:
                self.error("SHAPE", node_line(node), f"+ of features {list(a.shape)} and {list(b.shape)}",
                           "equal shapes: broadcasting over features is not exported")  # fmt: skip
                return None
            return a + b
        value, constant = (a, b) if isinstance(a, Value) else (b, a)
        if isinstance(value, Value) and isinstance(constant, int | float):
            return value.shifted(np.full(value.n, float(constant)))
        self.error("UNSUPPORTED_CALL", node_line(node), "+ of something that is not a signal")
        return None

    def cat(self, node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Value | None:
        parts = list(args[0] if args else kwargs["tensors"])
        dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
        axis = dim - self.lead if dim >= 0 else dim + len(parts[0].shape)
        shapes = [list(p.shape) for p in parts]
        others = [[s for k, s in enumerate(shape) if k != axis] for shape in shapes]
        if not 0 <= axis < len(shapes[0]) or any(o != others[0] for o in others):
            self.error("UNSUPPORTED_CALL", node_line(node), f"cat of {shapes} along dim {dim}",
                       f"concatenate along a feature axis (dim >= {self.lead}) with equal other axes")  # fmt: skip
            return None
        return concatenate(parts, axis)

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


def to_graph(
    model: nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    *,
    steps: int | None = None,
    dt_us: float | None = None,
    readout: str | None = None,
    max_count: int | Sequence[int | None] | None = 1,
    name: str = "model",
    input_names: Sequence[str] = (),
    strict: bool = True,
) -> tuple[Graph | None, list[Finding]]:
    """Turn a torch model in eval mode into a float graph on the model's timeline.

    Args:
        model: modules of `snnkit.nn` joined by Sequential, `+`, `torch.cat`, `flatten(2)`, branches, nested modules.
        input_shape: features [C, H, W] or [N] of the input, or one such shape per input; without T and B.
        steps: T of a sample. dt_us: length of a step in microseconds.
        readout: `count` or `first` for a firing last layer, `mean`, `max` or `last` for an LI; by default `count` or
            `last`.
        max_count: the largest input value per step; 1 means binary spikes, None real numbers, which no graph takes.
        name: of the graph, for messages and descriptors.
        input_names: one per input; by default those of the model's arguments.
        strict: raise FindingsError if any finding is an error; otherwise return them.

    Returns:
        The simplified graph (None if there are errors) and all findings.
    """
    shapes: list[tuple[int, ...]]
    shapes = [tuple(input_shape)] if isinstance(input_shape[0], int) else [tuple(s) for s in input_shape]  # type: ignore
    counts = [max_count] * len(shapes) if max_count is None or isinstance(max_count, int) else list(max_count)
    if input_names and len(input_names) != len(shapes):
        raise UsageError(f"{len(input_names)} input names for {len(shapes)} inputs", fix="give one per input")
    builder = _Builder(model)
    fx_graph, found = trace(model)
    for finding in found:
        builder.report(finding)
    out = builder.walk(fx_graph, model, "", builder.feed(shapes, counts, input_names)) if fx_graph is not None else None
    wrong = out is None if not has_errors(builder.findings) else False
    if wrong or (out is not None and not (isinstance(out, Value) and out.votes is not None)):
        builder.error("OUTPUT_NOT_A_NEURON", "output", "the model must return one tensor, made by a neuron layer",
                      "end with snn.LIF (spike counts) or snn.LI (membrane read-out)")  # fmt: skip
    rule = None
    if isinstance(out, Value) and not has_errors(builder.findings):
        rule = _readout(builder, out.terms[0].source, readout, out.votes or 1)
    if has_errors(builder.findings) or rule is None:
        if strict:
            raise FindingsError(f"{name} cannot be exported", builder.findings)
        return None, builder.findings
    graph = Graph(
        name, tuple(builder.inputs), tuple(builder.populations), tuple(builder.connections), rule, steps, dt_us
    )
    graph.validate()
    return simplify(graph), builder.findings


def _readout(builder: _Builder, source: str, rule: str | None, votes: int) -> Readout | None:
    population = next((p for p in builder.populations if p.name == source), None)
    if population is None:
        builder.error("OUTPUT_NOT_A_NEURON", "output", "the model returns its input", "end with snn.LIF or snn.LI")
        return None
    silent = isinstance(population.neuron, LI)
    rule = rule or ("last" if silent else "count")
    if (rule in ("count", "first")) == silent:
        builder.error(
            "READOUT",
            source,
            f"the read-out rule is {rule!r}, but the last layer is {'a non-firing LI' if silent else 'firing'}",
            "count and first need a firing last layer; mean, max and last need snn.LI",
        )
        return None
    if votes > 1 and rule != "count":
        builder.error("READOUT", source, f"the read-out rule is {rule!r}, but snn.Votes counts spikes",
                      "use a loss whose read-out is the count, or leave snn.Votes out")  # fmt: skip
        return None
    return Readout(source, rule, votes)  # type: ignore[arg-type]
