"""Layers on the host: the emulator's own executor equals `graph/run.py` bit for bit, and refuses damaged sections."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit import descriptor, emulator
from snnkit.emulator.host import HostPart, Hosts
from snnkit.errors import DescriptorError, FindingsError, UsageError
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense
from snnkit.passes.split_host import Split
from snnkit.targets import registry
from snnkit.targets.capabilities import Capabilities
from snnkit.targets.host import bits, lower_host
from snnkit.validation.pipeline import check_graph, graph_to_chip, write_descriptor
from snnkit.validation.random_graphs import random_graph

Array = np.ndarray[Any, Any]
STEPS, BATCH = 9, 6
CAN = Capabilities(("LIF", "CubaLIF", "LI"), resets=("zero", "subtract"), refractory=2, delays=(1, 4))


def full(n: int, value: float) -> Array:
    return np.full(n, value, np.float32)


def hybrid(first: Any = None, last: Any = None, max_count: int = 4) -> Graph:
    """Counts -> a layer for the host -> two for the chip -> a layer for the host."""
    rng = np.random.default_rng(5)

    def weight(n: int, m: int) -> Array:
        return rng.choice([-1.0, 0.0, 1.0], (n, m))

    def fire(n: int) -> LIF:
        return LIF(full(n, 1), full(n, 2))

    return Graph(
        "hybrid",
        (Input("in", (20,), max_count),),
        (
            Population("code", (16,), first or CubaLIF(full(16, 0.3), full(16, 0.8), full(16, 1)), full(16, 0.05)),
            Population("hidden", (12,), fire(12)),
            Population("out", (8,), fire(8)),
            Population("read", (4,), last or LI(full(4, 0.9))),
        ),
        (
            Connection("a", "in", "code", Dense(rng.normal(0, 0.4, (16, 20)))),
            Connection("b", "code", "hidden", Dense(weight(12, 16))),
            Connection("c", "hidden", "out", Dense(weight(8, 12))),
            Connection("d", "out", "read", Dense(rng.normal(0, 0.7, (4, 8)))),
        ),
        Readout("read", "last" if last is None or isinstance(last, LI | CubaLI) else "first"),
        steps=STEPS,
    )


@pytest.fixture
def samples() -> Array:
    return np.random.default_rng(0).integers(0, 5, (STEPS, BATCH, 20)).astype(np.uint8)


@given(st.integers(0, 2**31))
def test_equals_the_plain_executor(seed: int) -> None:
    graph = random_graph(random.Random(seed), CAN, wide=10)
    inputs = {i.name: (np.random.default_rng(seed).random((6, 3, i.n)) < 0.5).astype(np.uint8) for i in graph.inputs}
    section, arrays = lower_host(Split(graph, graph, None))
    assert section is not None
    assert section.before is not None
    made, trace = HostPart(section.before, arrays).run(inputs), run(graph, inputs)
    for p in graph.populations:
        assert np.array_equal(made.spikes[p.name], trace.spikes[p.name])
        assert np.array_equal(made.v[p.name], trace.v[p.name])


@given(st.lists(st.floats(width=64, allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30)))
def test_bits_lose_nothing(values: list[float]) -> None:
    kept = bits(np.array(values))
    back = kept.view(np.float32 if kept.dtype == np.int32 else np.float64)
    assert np.array_equal(back.astype(np.float64), values)


@pytest.mark.parametrize("chip", ["loihi", "spinnaker", "truenorth"])
@pytest.mark.parametrize(
    "last", [None, CubaLI(full(4, 0.2), full(4, 0.9)), LIF(full(4, 0.5), full(4, 1), "subtract", 1)]
)
def test_the_road(chip: str, last: Any, samples: Array, tmp_path: Path) -> None:
    """Counts, currents and membranes that no TrueNorth has: on the host, with the chip between."""
    graph, target = hybrid(last=last), registry.get(chip)
    host = ["code", "read"]
    made = graph_to_chip(graph, target, samples, host=host)
    path = tmp_path / "a.snnx"
    written = write_descriptor(path, made, target, samples).manifest
    assert [p.name for p in written.inputs] == ["in"]
    assert [layer.name for layer in written.all_layers] == ["hidden", "out", "code", "read"]
    assert any(part.startswith("run code before the chip") for part in written.host_parts)
    assert made.layers == ["code", "hidden", "out", "read"]
    assert emulator.verify(path).ok
    assert set(emulator.verify(path).compared) == {"s.code", "s.hidden", "s.out", "s.read", "readout"}
    result, trace = emulator.open(path).run({"in": samples}, probes=("s", "v")), made.run(samples, record=("s", "v"))
    for name, spikes in trace.aligned().items():
        assert np.array_equal(result.aligned(name), spikes)
    v = trace.aligned("v")["read"]
    assert v.dtype == np.float32
    assert np.array_equal(result.v["read"][:STEPS], v)
    assert np.array_equal(result.answer, trace.answer())
    assert result.scores is not None
    assert np.array_equal(result.scores, trace.parts[-1].scores())
    assert trace.aligned()["hidden"].any()
    write_descriptor(tmp_path / "b.snnx", made, target, samples)
    assert (path / "manifest.json").read_bytes() == (tmp_path / "b.snnx" / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="run on from sample to sample"):
        emulator.open(path).run({"in": samples}, continuous=True)


def test_what_must_be_on_the_host(samples: Array) -> None:
    target = registry.get("truenorth")
    codes = {f.code for f in check_graph(hybrid(), target)}
    assert {"INPUT_NOT_BINARY", "LI_READOUT", "NEURON"} <= codes
    assert not [f for f in check_graph(hybrid(), target, host=["code", "read"]) if f.severity == "error"]
    (found,) = check_graph(hybrid(), target, host=["hidden"])
    assert (found.code, found.where) == ("HOST", "hidden")
    with pytest.raises(FindingsError):
        graph_to_chip(hybrid(), target, samples, host=["hiden"])


def test_damaged_sections(samples: Array, tmp_path: Path) -> None:
    target = registry.get("loihi")
    made = graph_to_chip(hybrid(), target, samples, host=["code", "read"])
    write_descriptor(tmp_path / "a.snnx", made, target, samples)
    good = descriptor.load(tmp_path / "a.snnx")
    host = good.manifest.host
    assert host is not None
    assert host.before is not None
    assert host.after is not None
    Hosts(good.manifest, good.arrays)
    bad: list[tuple[dict[str, Any], str]] = [
        ({"host.code.decay_syn": None}, "host.code.decay_syn is missing"),
        ({"host.code.bias": np.zeros(3, np.int32)}, "3 numbers for 16 neurons"),
        ({"host.code.bias": np.full(16, 0x7FC00000, np.int32)}, "NaN"),
        ({"host.code.bias": np.zeros((16, 1), np.int32)}, "no list of numbers"),
        ({"host.a.indptr": np.zeros(17, np.int64)}, "is no matrix"),
        ({"host.a.indices": good.arrays["host.a.indices"] + np.int32(1)}, "is no matrix"),
        ({"host.d.weight": None}, "host.d.weight is missing"),
    ]
    for change, what in bad:
        arrays = {k: v for k, v in {**good.arrays, **change}.items() if v is not None}
        with pytest.raises(DescriptorError, match=what):
            Hosts(good.manifest, arrays)

    def with_host(**changes: Any) -> Any:
        return good.manifest.model_copy(update={"host": host.model_copy(update=changes)})

    before, after = host.before, host.after
    lost = before.synapses[0].model_copy(update={"src": "nowhere"})
    loop = before.synapses[0].model_copy(update={"src": "code", "name": "d"})
    wrong: list[tuple[Any, str]] = [
        (with_host(before=before.model_copy(update={"synapses": (lost,)})), "leads nowhere"),
        (with_host(before=before.model_copy(update={"synapses": (loop,)})), "has no delay"),
        (with_host(before=after, after=before), "waits"),
        (with_host(after=after.model_copy(update={"ports": ()})), "leads nowhere"),
        (
            with_host(after=after.model_copy(update={"readout": after.readout.model_copy(update={"layer": "x"})})),  # type: ignore[union-attr]
            "reads no layer",
        ),
    ]
    for manifest, what in wrong:
        with pytest.raises(DescriptorError, match=what):
            Hosts(manifest, good.arrays)
