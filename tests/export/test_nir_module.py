"""Graphs as torch modules: the spikes of the plain executor, names as paths, streams, gradients, and back again."""

from __future__ import annotations

import copy
import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.bench import nir as networks
from snnkit.errors import GraphError, ShapeError, StateError
from snnkit.export import nir, to_graph
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, LoihiNeuron
from snnkit.graph.run import run
from snnkit.graph.synapses import Conv, Dense, Pool, Sparse
from snnkit.validation.random_graphs import random_graph

from .test_nir_round_trip import full

Array = np.ndarray[Any, Any]
T, B = 7, 3


def rounded(values: Array, steps: int) -> Array:
    return np.round(values * steps) / steps


def dyadic(graph: Graph) -> Graph:
    """Weights, biases, decays and thresholds that are multiples of 1/8 or 1/4, so that every sum is exact."""
    populations = []
    for p in graph.populations:
        values = {f.name: getattr(p.neuron, f.name) for f in fields(p.neuron)}
        arrays = {k: rounded(v, 4).astype(np.float32) for k, v in values.items() if isinstance(v, np.ndarray)}
        if "threshold" in arrays:
            arrays["threshold"] = np.maximum(arrays["threshold"], np.float32(0.25))
        bias = None if p.bias is None else rounded(p.bias, 8).astype(np.float32)
        populations.append(replace(p, neuron=replace(p.neuron, **arrays), bias=bias))
    wires = []
    for c in graph.connections:
        synapse = c.synapse
        if isinstance(synapse, Sparse):
            matrix = synapse.weight.copy()
            matrix.data = rounded(matrix.data, 8)
            wires.append(replace(c, synapse=Sparse(matrix)))
        else:
            assert isinstance(synapse, Dense | Conv)
            wires.append(replace(c, synapse=replace(synapse, weight=rounded(synapse.weight, 8))))
    return graph.with_(populations=tuple(populations), connections=tuple(wires))


def stimulus(graph: Graph, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {i.name: (rng.random((T, B, *i.shape)) < 0.4).astype(np.uint8) for i in graph.inputs}


def tensors(graph: Graph, x: dict[str, Array]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(x[i.name].astype(np.float32)) for i in graph.inputs)


def output(graph: Graph, x: dict[str, Array]) -> Array:
    assert graph.readout is not None
    trace = run(graph, x)
    return trace.array(graph.readout.population, "s" if graph.readout.of_spikes else "v")


def equal(graph: Graph) -> int:
    """Module and executor agree in every output value; whole and in two chunks. Returns how many are not 0."""
    x = stimulus(graph)
    module = nir.to_module(graph)
    with torch.no_grad():
        out = module(*tensors(graph, x))
        first, states = snn.run(module, tuple(t[:4] for t in tensors(graph, x)))
        second, _ = snn.run(module, tuple(t[4:] for t in tensors(graph, x)), states)
    assert torch.equal(torch.cat([first, second]), out)
    want = output(graph, x)
    assert np.array_equal(out.reshape(want.shape).numpy(), want)
    return int(np.count_nonzero(want))


def test_random_networks() -> None:
    assert sum(equal(dyadic(random_graph(random.Random(seed)))) for seed in range(10)) > 300


@pytest.mark.parametrize("name", [n for n in networks.NETWORKS if "random" not in n])
def test_the_networks_of_the_table(name: str) -> None:
    assert equal(networks.NETWORKS[name]()) > 5


def loops() -> Graph:
    """Three populations round a loop, one of which feeds back to itself after two steps; delays per synapse."""
    rng = np.random.default_rng(7)

    def w(n: int, m: int) -> Dense:
        return Dense(rng.integers(-2, 8, (n, m)) / 8)

    lif = LIF(full(0.5, 4), full(1, 4))
    late = rng.integers(0, 4, (4, 4))
    wires = (
        Connection("i", "in", "a", w(4, 5)),
        Connection("ab", "a", "b", w(4, 4)),
        Connection("bc", "b", "c", w(4, 4), 1),
        Connection("ca", "c", "a", w(4, 4), 2),
        Connection("cc", "c", "c", w(4, 4), 2),
        Connection("ac", "a", "c", w(4, 4), late),
        Connection("od", "c", "out", w(3, 4), np.arange(12).reshape(3, 4) % 3),
    )
    three = tuple(Population(n, (4,), replace(lif, reset=r)) for n, r in zip("abc", ("zero", "subtract", "zero")))
    last = Population("out", (3,), LI(full(0.75, 3)))
    return Graph("loops", (Input("in", (5,)),), (*three, last), wires, Readout("out", "last"), T)


def test_loops_and_delays() -> None:
    assert equal(loops()) > 10
    module = nir.to_module(loops())
    x = tensors(loops(), stimulus(loops()))[0]
    _, states = snn.run(module, x)
    path = next(p for p, s in states.items() if "loop" in p)
    with pytest.raises(StateError, match="past has shape"):
        snn.run(module, x, {path: states[path]._replace(past=tuple(p[:1] for p in states[path].past))})
    with pytest.raises(StateError, match="LoopState of 3"):
        module.get_submodule(path)(torch.zeros(2, 2, 12), states["out"])
    moved = states[path].to("cpu", torch.float64).detach()
    assert moved.past[0].dtype == torch.float64


def test_other_forms_of_synapses() -> None:
    conv = Conv(np.arange(8.0).reshape(2, 1, 2, 2) / 8, (2, 5, 4), (2, 1), (1, 0, -1, 2), groups=2)
    n = conv.n_dst
    bias = (np.arange(n) % 3 / 4).astype(np.float32)
    shaped = Population("p", conv.out_shape, LIF(full(0.5, n), full(1, n)), bias)
    pool = Pool(conv.out_shape, (2, 2), (2, 2), (1, 0, 0, 1), average=False)
    summed = Population("q", pool.out_shape, CubaLI(full(0.5, pool.n_dst), full(0.25, pool.n_dst)))
    wires = (Connection("c", "in", "p", conv), Connection("d", "p", "q", pool.as_conv()))
    inputs = (Input("in", (2, 5, 4)),)
    assert equal(Graph("c", inputs, (shaped, summed), wires, Readout("q", "last"), T)) > 10
    flat = Conv(np.arange(6.0).reshape(2, 1, 1, 3) / 8, (1, 1, 9), padding=(0, 0, 2, 0))
    line = Population("p", (2, 9), LIF(full(0.5, 18), full(0.5, 18)))
    wires = (Connection("c", "in", "p", flat),)
    assert equal(Graph("l", (Input("in", (1, 9)),), (line,), wires, Readout("p", "count"), T)) > 10


def test_names_are_paths_and_recordings_find_them() -> None:
    graph = networks.recurrent()
    names = {"hidden": "body.0.cells", "out": "body.1"}
    graph = graph.with_(
        populations=tuple(replace(p, name=names[p.name]) for p in graph.populations),
        connections=tuple(replace(c, src=names.get(c.src, c.src), dst=names[c.dst]) for c in graph.connections),
        readout=Readout("body.1", "count"),
    )
    module = nir.to_module(graph)
    x = tensors(graph, stimulus(graph))[0]
    with snn.record(module, v=["body.1"]) as rec:
        module(x)
    trace = run(graph, {"in": x.numpy()})
    assert np.array_equal(rec.spikes["body.0.cells"].numpy(), trace.spikes["body.0.cells"])
    assert np.array_equal(rec.v["body.1"].numpy(), trace.v["body.1"])


def test_back_to_the_graph() -> None:
    """What was read can be trained on and exported: the same names, the same spikes."""
    for make in (networks.convolutional, networks.recurrent, networks.delayed):
        graph = make()
        module = nir.to_module(graph)
        again, findings = to_graph(module, graph.inputs[0].shape, steps=T)
        assert findings == []
        assert again is not None
        assert [p.name for p in again.populations] == [p.name for p in graph.populations]
        x = stimulus(graph)["in"]
        want, got = run(graph, {"in": x}), run(again, {again.inputs[0].name: x})
        for p in graph.populations:
            assert np.array_equal(want.spikes[p.name], got.spikes[p.name])


def test_training_goes_on(tmp_path: Path) -> None:
    nir.write(tmp_path / "a.nir", networks.recurrent(), dialect="norse")
    module = nir.load(tmp_path / "a.nir", surrogate="sigmoid", learn_decay=True, learn_threshold=True).train()
    names = {n for n, _ in module.named_parameters()}
    assert {"hidden.neuron.decay_syn_logit", "hidden.synapse.weight", "out.threshold"} <= names
    x = tensors(networks.recurrent(), stimulus(networks.recurrent()))[0]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    goal = torch.tensor([0, 3, 5])
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(module(x).sum(0), goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(copy.deepcopy(module)(x), module(x))


def test_loops_learn_too() -> None:
    module = nir.to_module(loops()).train()
    module(tensors(loops(), stimulus(loops()))[0]).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_what_has_no_module() -> None:
    graph = networks.recurrent()
    with pytest.raises(GraphError, match="chip's timeline"):
        nir.to_module(graph.with_(timeline="chip"))
    with pytest.raises(GraphError, match="5 inputs"):
        nir.to_module(graph.with_(inputs=(*graph.inputs, *(Input(f"x{k}", (1,)) for k in range(4)))))
    zeros = np.zeros(6, np.int32)
    chip = replace(graph.populations[1], neuron=LoihiNeuron(zeros, zeros, zeros, zeros, zeros, zeros))
    with pytest.raises(GraphError, match="LoihiNeuron"):
        nir.to_module(graph.with_(populations=(graph.populations[0], chip)))
    wires = tuple(replace(c, delay=0) for c in graph.connections)
    with pytest.raises(GraphError, match="against the order"):
        nir.to_module(graph.with_(connections=wires))
    silent = replace(graph.populations[0], neuron=CubaLI(full(0.5, 20), full(0.5, 20)))
    with pytest.raises(GraphError, match="cannot feed back"):
        nir.to_module(graph.with_(populations=(silent, graph.populations[1])))
    with pytest.raises(ShapeError):
        nir.to_module(graph)(torch.zeros(2, 3, 99))
