"""BrainScaleS-2 for hxtorch: the script and its data, run with a stand-in that records what it builds."""

from __future__ import annotations

import ast
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor, emulator
from snnkit.errors import FindingsError
from snnkit.graph.model import Graph
from snnkit.graph.synapses import Dense
from snnkit.targets import also, registry
from snnkit.targets.brainscales2.also import SCRIPT
from snnkit.targets.manifest import build_manifest
from snnkit.targets.writer import NOT_RUN
from snnkit.validation.pipeline import ChipGraph, write_descriptor

from . import hxtorch_stand_in as stand_in
from .networks import chain, layer, neuron

Array = np.ndarray[Any, Any]


def weights(rng: np.random.Generator, n: int, sources: int, spread: float = 20.0, filled: float = 1.0) -> Array:
    w = np.clip(np.rint(rng.normal(5, spread, (n, sources))), -63, 63).astype(np.int32)
    return np.where(rng.random(w.shape) < filled, w, 0).astype(np.int32)


def deploy(graph: Graph, path: Path, batch: int = 2, seed: int = 0) -> descriptor.Descriptor:
    rng = np.random.default_rng(seed)
    x = {i.name: (rng.random((graph.steps, batch, i.n)) < 0.3).astype(np.uint8) for i in graph.inputs}
    return write_descriptor(path, ChipGraph(graph, graph), registry.get("brainscales2"), x)


def script(folder: Path) -> Any:
    """`network.py` as another program would import it."""
    spec = importlib.util.spec_from_file_location("hx_network", folder / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def simulated(folder: Path) -> tuple[list[Array], Any]:
    """The layers' traces when the script runs the stored samples, and what it built."""
    module = script(folder)
    net = json.loads((folder / "network.json").read_text())
    arrays, vectors = np.load(folder / "network.npz"), np.load(folder / "vectors.npz")
    data = {k: vectors[f"port{k}"] for k in range(len(net["ports"])) if f"port{k}" in vectors}
    built = module.build(net, arrays, mock=True)
    rasters = module.rasters(net, arrays, data, len(data[0]), net["samples"])
    return module.layers(net, arrays, module.simulate(net, built, rasters)), built


def many_parts() -> Graph:
    """Two layers in several parts, the first wider than a chip; sparse."""
    rng = np.random.default_rng(5)
    return chain([weights(rng, 520, 60, 8, 0.5), weights(rng, 20, 520, 3, 0.5)], steps=3, gain=1.0)


def joined() -> Graph:
    """Neurons of two halves and two columns."""
    rng = np.random.default_rng(6)
    return chain([weights(rng, 20, 300, 8), weights(rng, 10, 20)], steps=8, gain=0.4)


def late_and_twice() -> Graph:
    """A line that the host delays, and two connections between the same nodes."""
    rng = np.random.default_rng(7)
    graph = chain([weights(rng, 30, 20), weights(rng, 10, 30)], steps=10)
    first = graph.connections[0]
    again = [
        replace(first, name="late", synapse=Dense(weights(rng, 30, 20)), delay=2),
        replace(first, name="twice", synapse=Dense(weights(rng, 30, 20))),
    ]
    return graph.with_(connections=(*graph.connections, *again))


def read_out() -> Graph:
    """The membrane of neurons that do not fire."""
    rng = np.random.default_rng(8)
    return layer(weights(rng, 7, 30), steps=12, fires=False, gain=0.1, v_leak=120.0, v_reset=120.0)


@pytest.mark.parametrize("make", [many_parts, joined, late_and_twice])
def test_what_the_script_builds_gives_the_same_spikes(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy(make(), tmp_path / "net.snnx", batch=1 if make is many_parts else 2)
    written = also.write(made, "hxtorch")
    assert written.folder == tmp_path / "net.hxtorch"
    assert written.label == NOT_RUN
    stand_in.install(monkeypatch)
    traces, built = simulated(written.folder)
    stored = descriptor.vectors.decode(made.vectors, made.manifest).spikes
    assert sum(int(s.sum()) for s in stored.values()) > 20
    for entry, trace in zip(made.manifest.layers, traces):
        np.testing.assert_array_equal(trace, stored[entry.name], err_msg=entry.name)
    parts = made.arrays["neuron"].shape[0]
    assert len({id(m.part) for m in built.neurons}) == parts
    assert (parts > 1) == (make is many_parts)


@pytest.mark.parametrize("make", [many_parts, late_and_twice])
def test_the_weights_are_those_of_the_graph(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added up over parts and repeated connections, by the lines and neurons that the modules stand for."""
    graph = make()
    target = registry.get("brainscales2")
    lowered = target.lower(graph)
    folder = tmp_path / "net.snnx"
    descriptor.write(folder, build_manifest(target, graph, lowered), lowered.arrays, {})
    folder = also.write(folder, "hxtorch").folder
    net, arrays = json.loads((folder / "network.json").read_text()), np.load(folder / "network.npz")
    stand_in.install(monkeypatch)
    built = script(folder).build(net, arrays)
    where = {tuple(at): (k, i) for k in range(len(net["layers"])) for i, at in enumerate(arrays[f"layer{k}"].tolist())}
    got = {
        (c.src, c.dst, int(np.max(c.delay))): np.zeros(c.synapse.matrix().shape, np.int64) for c in graph.connections
    }
    for entry, synapse in zip(net["connections"], built.synapses):
        kind, k = entry["from"]
        w = synapse.integers()
        for row, col in np.argwhere(w).tolist():
            to, i = where[entry["to"], row]
            if kind == "inputs":
                source, at, delay = "in", int(arrays[f"input{k}.line"][col]), net["inputs"][k]["delay"]
            else:
                level, at = where[k, col]
                source, delay = net["layers"][level]["name"], 0
            got[source, net["layers"][to]["name"], delay][i, at] += int(w[row, col])
    wanted = {key: np.zeros_like(w) for key, w in got.items()}
    for c in graph.connections:
        wanted[c.src, c.dst, int(np.max(c.delay))] += np.asarray(c.synapse.matrix().todense(), np.int64)
    for key in wanted:
        np.testing.assert_array_equal(got[key], wanted[key], err_msg=str(key))


def test_targets_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = joined()
    fast = replace(graph.populations[1], neuron=neuron(10, gain=1.2, v_thresh=150.4, t_hold=2.0, tau_syn_i=3.0))
    graph = graph.with_(populations=(graph.populations[0], fast))
    made = deploy(graph, tmp_path / "net.snnx")
    written = also.write(made, "hxtorch")
    net, arrays = (json.loads((written.folder / "network.json").read_text()), np.load(written.folder / "network.npz"))
    stand_in.install(monkeypatch)
    built = script(written.folder).build(net, arrays, bias={"i_synin_gm": 400})
    assert [m.size for m in built.neurons] == [20, 10]
    assert [m.structure.compartments for m in built.neurons] == [4, 1]
    for k, (module, p) in enumerate(zip(built.neurons, graph.populations)):
        place = made.arrays[f"placement.{p.name}"]
        order = arrays[f"layer{k}"][:, 1]
        circuits = [256 * row[1] + column[1] for _, (row, column) in module.places]
        np.testing.assert_array_equal(np.array(circuits)[order], place[:, 1])
        assert module.chip_wide == (400, 600)
        t = module.targets
        np.testing.assert_allclose(t["tau_mem"].hardware_value, p.neuron.tau_mem * 1e-12)
        np.testing.assert_allclose(t["tau_syn"].hardware_value[0], p.neuron.tau_syn_e * 1e-12)
        np.testing.assert_allclose(t["tau_syn"].hardware_value[1], p.neuron.tau_syn_i * 1e-12)
        np.testing.assert_allclose(t["refractory_time"].hardware_value, p.neuron.t_hold * 1e-12)
        for name, register in (("leak", "v_leak"), ("reset", "v_reset"), ("threshold", "v_thresh")):
            np.testing.assert_array_equal(t[name].hardware_value, np.rint(getattr(p.neuron, register) * 1e-6))
    capacitance = [set(m.targets["membrane_capacitance"].hardware_value.tolist()) for m in built.neurons]
    assert capacitance == [{63}, {21}]  # gains of 0.4 and 1.2
    found = {f.code: f for f in written.findings}
    assert set(found) == {"GAIN", "CODES", "ROUTING"}
    assert "0.4 to 0.4 codes/us" in found["GAIN"].what
    assert "0.4" in found["CODES"].what
    about = json.loads((written.folder / "about.json").read_text())
    assert about["spikes"] == NOT_RUN


def test_what_never_fires_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(silent(), tmp_path / "net.snnx")
    written = also.write(made, "hxtorch")
    (note,) = (f for f in written.findings if f.code == "SILENT")
    assert note.what.startswith("9 neurons")
    stand_in.install(monkeypatch)
    traces, built = simulated(written.folder)
    assert [m is None for m in built.neurons] == [False, True, True]
    stored = descriptor.vectors.decode(made.vectors, made.manifest).spikes
    assert stored["h0"].any()
    for entry, trace in zip(made.manifest.layers, traces):
        np.testing.assert_array_equal(trace, stored[entry.name], err_msg=entry.name)


def test_membranes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = read_out()
    made = deploy(graph, tmp_path / "net.snnx")
    written = also.write(made, "hxtorch")
    assert "READ_OUT" in {f.code for f in written.findings}
    stand_in.install(monkeypatch)
    (trace,), _ = simulated(written.folder)
    x = descriptor.vectors.decode(made.vectors, made.manifest).inputs
    result = emulator.open(tmp_path / "net.snnx").run(x, probes=("v",))
    np.testing.assert_array_equal(trace, result.v["out"])


def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder = also.write(deploy(late_and_twice(), tmp_path / "net.snnx"), "hxtorch").folder
    stand_in.install(monkeypatch)
    monkeypatch.setattr("sys.argv", ["network.py", "--mock", "--synapse-dac-bias", "500"])
    assert script(folder).main() == 0
    out = capsys.readouterr().out
    assert out.count(", 0 differ") == 2
    assert "answers equal: 2 of 2" in out
    assert all(m.chip_wide == (500, 500) for m in stand_in.MADE if isinstance(m, stand_in.Neurons))


def test_the_script_stands_alone(tmp_path: Path) -> None:
    """It compiles, and imports nothing of ours."""
    text = SCRIPT.read_text(encoding="utf-8")
    compile(text, "network.py", "exec")
    tree = ast.parse(text, feature_version=(3, 10))
    names = {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    known = {"__future__", "argparse", "json", "pathlib", "typing", "numpy", "torch"}
    assert {n.split(".")[0] for n in names} - known == {"hxtorch", "dlens_vx_v3"}


def test_answers_of_the_script_are_ours() -> None:
    from snnkit.descriptor import Readout
    from snnkit.emulator.result import read_out as ours
    from snnkit.targets.brainscales2.hxtorch_network import answers

    rng = np.random.default_rng(0)
    for rule in ("count", "first", "mean", "max", "last"):
        s, v = rng.integers(0, 2, (9, 20, 4)), rng.integers(0, 256, (9, 20, 4))
        trace = v if rule in ("mean", "max", "last") else s
        mine = answers({"readout": {"rule": rule}}, trace, 6)
        np.testing.assert_array_equal(mine, ours(Readout(layer="o", rule=rule), 0, s, v, 6)[0])  # type: ignore[arg-type]


def loop() -> Graph:
    rng = np.random.default_rng(9)
    return chain([weights(rng, 10, 8), weights(rng, 5, 10)], loop=weights(rng, 10, 10, 6))


def silent() -> Graph:
    """A layer that nothing reaches, and one that hears it alone."""
    rng = np.random.default_rng(9)
    return chain([weights(rng, 10, 8), np.zeros((5, 10), np.int32), weights(rng, 4, 5)])


def leaking() -> Graph:
    """Neurons that fire by their leak."""
    rng = np.random.default_rng(9)
    graph = chain([weights(rng, 10, 8), np.zeros((5, 10), np.int32)])
    return graph.with_(
        populations=(graph.populations[0], replace(graph.populations[1], neuron=neuron(5, v_leak=200.0)))
    )


def off_scale() -> Graph:
    return layer(weights(np.random.default_rng(9), 5, 8), v_leak=300.0)


def far_apart() -> Graph:
    rng = np.random.default_rng(9)
    graph = chain([weights(rng, 10, 8), weights(rng, 5, 10)])
    return graph.with_(populations=(graph.populations[0], replace(graph.populations[1], neuron=neuron(5, gain=100.0))))


def counts() -> Graph:
    graph = layer(weights(np.random.default_rng(9), 5, 8))
    return graph.with_(inputs=(replace(graph.inputs[0], max_count=3),))


@pytest.mark.parametrize(
    ("make", "code"),
    [(loop, "LOOP"), (leaking, "UNDRIVEN"), (off_scale, "CODE_RANGE"), (far_apart, "GAIN_RANGE"), (counts, "COUNTS")],
)
def test_what_hxtorch_cannot_hold(make: Any, code: str, tmp_path: Path) -> None:
    deploy(make(), tmp_path / "net.snnx")
    with pytest.raises(FindingsError) as error:
        also.write(tmp_path / "net.snnx", "hxtorch")
    stopping = [f for f in error.value.findings if f.severity == "error"]
    assert [f.code for f in stopping] == [code]
    assert stopping[0].remedy
    assert not (tmp_path / "net.hxtorch").exists()


def test_circuits_and_hold_off_of_other_tools(tmp_path: Path) -> None:
    """Images that the exporter does not write, but that a chip could hold."""
    from snnkit.targets.brainscales2.also import check

    rng = np.random.default_rng(6)
    made = deploy(chain([weights(rng, 3, 20), weights(rng, 2, 3)], steps=4), tmp_path / "net.snnx")
    neurons = made.arrays["neuron"].copy()
    (head, *_) = np.flatnonzero(neurons[0, :, 0])
    assert not neurons[0, head + 1].any()
    neurons[0, head, 7], neurons[0, head, 5] = 1, 4  # a second column of one half, and a hold-off
    other = replace(made, arrays={**made.arrays, "neuron": neurons})
    assert {lost.code for lost in check(other) if lost.severity == "error"} == {"HOLD_OFF", "MORPHOLOGY"}


def test_twice_is_byte_identical(tmp_path: Path) -> None:
    made = deploy(late_and_twice(), tmp_path / "net.snnx")
    one = also.write(made, "hxtorch", tmp_path / "one").folder
    two = also.write(descriptor.load(tmp_path / "net.snnx"), "hxtorch", tmp_path / "two").folder
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}
