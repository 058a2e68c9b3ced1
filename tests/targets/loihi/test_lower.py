"""Lowering: memory images decode back into the network, run as it, fit the budgets, and are the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import descriptor, emulator
from snnkit.graph import Connection, Conv, Dense, Graph, Input, LoihiNeuron, LoihiWeightFormat, Population
from snnkit.graph.rules.loihi import effective_weight
from snnkit.graph.run import run
from snnkit.targets.loihi import TARGET, plan, spec
from snnkit.targets.loihi.lower import Lowered, LowerOptions, lower
from snnkit.targets.loihi.schema import check_images, decode_synapses
from snnkit.targets.manifest import build_manifest

from .networks import mantissas, random_graph, stimulus

Array = np.ndarray[Any, Any]
WAYS = [LowerOptions(), LowerOptions(share=True), LowerOptions(as_dense=True)]


def synapses(graph: Graph, lowered: Lowered) -> dict[tuple[str, str], Array]:
    """Effective weights by register delay, [n_dst, n_src, delays], from the images alone."""
    a = lowered.arrays
    ptr = a["core_ptr"]
    where = {p.name: a[f"placement.{p.name}"] for p in graph.populations}
    owner = {(int(c), int(k)): (name, i) for name, t in where.items() for i, (c, k) in enumerate(t)}
    result = {(src, dst): np.zeros((graph.node(dst).n, graph.node(src).n, 64), np.int64)
              for src in graph.names() for dst in where}  # fmt: skip
    routes: list[tuple[str, int, int, int, int]] = [
        (graph.inputs[port].name, int(line), int(core), int(axon), int(atom))
        for port, line, core, axon, atom in a["host_input"]
    ]
    sender = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr[:, 5]))
    for core, (compartment, to, axon, atom, _) in zip(sender, a["output_axon"]):
        routes.append((*owner[int(core), int(compartment)], int(to), int(axon), int(atom)))
    decoded = {}
    for core in range(len(ptr) - 1):
        axons = a["input_axon"][ptr[core, 4] : ptr[core + 1, 4]]
        formats = a["synapse_format"][ptr[core, 3] : ptr[core + 1, 3]]
        words = a["synapse_memory"][ptr[core, 6] : ptr[core + 1, 6]]
        lists, which = np.unique(axons[:, 2:4], axis=0, return_inverse=True)  # axons may share a list
        decoded[core] = (axons, which.reshape(-1), decode_synapses(formats, words, lists[:, 0], lists[:, 1]))
    for src, line, core, axon, atom in routes:
        axons, which, lists = decoded[core]
        _, atoms, _, n, base = axons[axon]
        size, first = n // atoms, lists.ptr[which[axon]]
        here = np.arange(first + atom * size, first + (atom + 1) * size)
        offset = np.where(lists.index[here] < 0, here - first, lists.index[here])
        for k, o in zip(here, offset):
            dst, i = owner[core, int(base + o)]
            shift = 6 + int(lists.wgt_exp[k])
            m = int(lists.mantissa[k])
            result[src, dst][i, line, int(lists.delay[k])] += m << shift if shift >= 0 else m >> -shift
    return result


def expected(graph: Graph) -> dict[tuple[str, str], Array]:
    hosts = {i.name for i in graph.inputs}
    result = {(src, p.name): np.zeros((p.n, graph.node(src).n, 64), np.int64)
              for src in graph.names() for p in graph.populations}  # fmt: skip
    for c in graph.connections:
        w = effective_weight(np.asarray(c.synapse.matrix().toarray()), c.format)  # type: ignore[arg-type]
        delay = np.broadcast_to(np.asarray(c.delay), w.shape) - (0 if c.src in hosts else 1)
        np.add.at(result[c.src, c.dst], (*np.indices(w.shape), delay), w)
    return result


@given(seed=st.integers(0, 10**6), way=st.sampled_from(WAYS))
@settings(max_examples=15)
def test_images_hold_exactly_the_network(seed: int, way: LowerOptions) -> None:
    graph = random_graph(seed)
    lowered = lower(graph, way)
    assert not lowered.findings
    check_images(lowered.arrays, lowered.section)
    found, want = synapses(graph, lowered), expected(graph)
    for key, w in want.items():
        assert np.array_equal(found[key], w), key
    for core in lowered.cores:
        assert all(core["usage"][k] <= limit for k, limit in plan.LIMITS.items())
    ptr = np.diff(lowered.arrays["core_ptr"], axis=0)
    assert [c["usage"]["synapse_bits"] for c in lowered.cores] == (ptr[:, 6] * 64).tolist()
    assert [c["usage"]["input_axons"] for c in lowered.cores] == ptr[:, 4].tolist()


def emulate(graph: Graph, lowered: Lowered, inputs: dict[str, Array], folder: Path) -> emulator.EmulationResult:
    descriptor.write(folder, build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    return emulator.open(folder).run(inputs, probes=("s", "u", "v"))


def small_cores(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setitem(plan.LIMITS, name, value)


@given(seed=st.integers(0, 10**6), way=st.sampled_from(WAYS))
@settings(max_examples=12)
def test_emulator_equals_plain_executor(seed: int, way: LowerOptions, tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = random_graph(seed)
    inputs = stimulus(graph, seed)
    result = emulate(graph, lower(graph, way), inputs, tmp_path_factory.mktemp("d") / "x.snnx")
    trace = run(graph, inputs)
    for p in graph.populations:
        assert np.array_equal(result.spikes[p.name], trace.spikes[p.name])
        assert np.array_equal(result.u[p.name], trace.u[p.name])
        assert np.array_equal(result.v[p.name], trace.v[p.name])
    assert np.array_equal(result.scores, trace.scores())


@pytest.mark.parametrize("seed", range(6))
def test_placement_does_not_change_spikes(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(seed)
    inputs = stimulus(graph, seed)
    trace = run(graph, inputs)
    limits = (
        {"compartments": 16}, {"input_axons": 110}, {"synapse_bits": 6000}, {"threshold_profiles": 1},
        {"output_axons": 150}, {"compartments": 40, "output_axons": 90},
    )[seed]  # fmt: skip
    small_cores(monkeypatch, **limits)
    lowered = lower(graph, WAYS[seed % 2])
    assert lowered.ok, lowered.findings
    assert len(lowered.cores) > len(graph.populations)
    for core in lowered.cores:
        assert all(core["usage"][k] <= v for k, v in limits.items())
    result = emulate(graph, lowered, inputs, tmp_path / "x.snnx")
    for p in graph.populations:
        assert np.array_equal(result.spikes[p.name], trace.spikes[p.name])


def test_two_exports_are_byte_identical() -> None:
    first, second = (lower(random_graph(3), LowerOptions(share=True)) for _ in range(2))
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert array.tobytes() == second.arrays[name].tobytes()
        assert array.dtype == second.arrays[name].dtype


def neurons(n: int, **changes: Any) -> LoihiNeuron:
    values = {"du": 4095, "dv": 500, "vth": 1000, "bias_mant": 0, "bias_exp": 0, "refract": 1}
    arrays = {k: np.broadcast_to(np.asarray(changes.get(k, v), np.int32), (n,)).copy() for k, v in values.items()}
    return LoihiNeuron(**arrays)


def single(n_src: int, n_dst: int, *, delay: Any = 0, shape: tuple[int, ...] | None = None, **registers: Any) -> Graph:
    rng = np.random.default_rng(0)
    fmt = LoihiWeightFormat()
    return Graph(
        "single", (Input("in", (n_src,)),), (Population("p", shape or (n_dst,), neurons(n_dst, **registers)),),
        (Connection("c", "in", "p", Dense(mantissas(rng, (n_dst, n_src), fmt) | 2), delay, fmt),), timeline="chip",
    )  # fmt: skip


def cores(graph: Graph, **options: Any) -> tuple[dict[str, Any], ...]:
    lowered = lower(graph, LowerOptions(**options))
    assert lowered.ok, [str(f) for f in lowered.findings]
    check_images(lowered.arrays, lowered.section)
    return lowered.cores


def test_every_budget_splits_a_layer() -> None:
    assert len(cores(single(2, 1024))) == 1
    assert len(cores(single(2, 1025))) == 2
    assert len(cores(single(4096, 250))) == 9  # 4096 lists of 4 words fill the memory: 30 weights each
    assert len(cores(single(1, 40, vth=np.arange(40) + 1))) == 5
    assert len(cores(single(1, 70, dv=np.arange(70)))) == 3
    mixed = cores(single(1, 40, vth=np.arange(40) % 10 + 1))
    assert len(mixed) == 2
    assert {c["usage"]["compartments"] for c in mixed} == {20}
    depth = spec.delay_depth(62)
    assert len(cores(single(1, 1024, delay=62))) == -(-1024 * depth // spec.DELAY_CAPACITY)


def test_sources_are_split_for_their_output_axons() -> None:
    rng = np.random.default_rng(0)
    fmt = LoihiWeightFormat()
    wide = Dense(mantissas(rng, (2100, 1000), fmt) | 2)
    graph = Graph(
        "fan", (Input("in", (1,)),),
        (Population("a", (1000,), neurons(1000)), Population("b", (2100,), neurons(2100), lag=1)),
        (
            Connection("x", "in", "a", Dense(np.full((1000, 1), 2, np.int32)), 0, fmt),
            Connection("y", "a", "b", wide, 1, fmt),
        ),
        timeline="chip",
    )  # fmt: skip
    used = cores(graph)
    n_b = sum(c["layer"] == "b" for c in used)
    assert n_b >= 17  # 2.1 M weights of 8 bits at 128 KiB a core
    assert sum(c["layer"] == "a" for c in used) == -(-1000 // (4096 // n_b))
    assert all(c["usage"]["output_axons"] <= 4096 for c in used)


def test_convolutions_share_weights_and_bias_lines_have_their_own_format() -> None:
    rng = np.random.default_rng(0)
    fmt, coarse = LoihiWeightFormat(-1), LoihiWeightFormat(4, 2)
    conv = Conv(mantissas(rng, (16, 2, 5, 5), fmt), (2, 34, 34), (2, 2), (2, 2, 2, 2))
    gate = Dense(np.repeat(mantissas(rng, (16, 1), coarse), conv.n_dst // 16, 0))
    graph = Graph(
        "conv", (Input("in", (2, 34, 34)), Input("on", (1,), gate_from=0)),
        (Population("p", conv.out_shape, neurons(conv.n_dst)),),
        (Connection("c", "in", "p", conv, 0, fmt), Connection("g", "on", "p", gate, 0, coarse),
         Connection("g2", "on", "p", Dense(gate.weight.copy()), 0, LoihiWeightFormat(3, 2))), timeline="chip",
    )  # fmt: skip
    used = cores(graph)
    assert len(used) <= -(-conv.n_dst // 1024) + 1
    bits = sum(c["usage"]["synapse_bits"] for c in used)
    matrix = sum(c["usage"]["synapse_bits"] for c in cores(graph.with_(connections=tuple(
        Connection(c.name, c.src, c.dst, Dense(c.synapse.matrix().toarray()), c.delay, c.format)
        for c in graph.connections))))  # fmt: skip
    assert bits < matrix / 4
    assert all("population32" in c["axons"] or "population16" in c["axons"] for c in used)


def test_what_does_not_fit_is_a_finding() -> None:
    graph = single(5000, 3)
    lowered = lower(graph)
    assert not lowered.ok
    assert not lowered.arrays
    assert [(f.code, f.needed, f.available) for f in lowered.findings] == [("AXONS", 5000, 4096)]
    lowered = lower(single(3, 2000), LowerOptions(max_chips=0))
    assert [f.code for f in lowered.findings] == ["CHIPS"]


def test_disputed_weights_are_errors_of_an_export_and_notes_of_a_replay() -> None:
    graph = single(3, 2)
    c = graph.connections[0]
    odd = graph.with_(connections=(Connection("c", "in", "p", Dense(np.array([[3, 2, 2]] * 2)), 0, c.format),))
    assert [f.severity for f in lower(odd).findings] == ["error"]
    lenient = lower(odd, LowerOptions(strict=False))
    assert lenient.ok
    assert [(f.code, f.severity) for f in lenient.findings] == [("DISPUTED", "note")]
