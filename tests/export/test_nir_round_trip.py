"""Our own NIR files come back bit for bit, in every dialect, and contradictions inside a file are found."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.bench import nir as networks
from snnkit.errors import FindingsError, NirError, UsageError
from snnkit.export import nir, to_graph
from snnkit.graph.findings import has_errors
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF, CubaLI, CubaLIF
from snnkit.graph.run import run
from snnkit.graph.synapses import Chain, Conv, Dense, Pool, Scale, Select, Sparse
from snnkit.targets import registry
from snnkit.validation.pipeline import chip_timeline
from snnkit.validation.random_graphs import random_graph

from .nir_files import differences

Array = np.ndarray[Any, Any]


def back(path: Path, graph: Graph, **options: Any) -> Graph:
    """Write, read."""
    nir.write(path, graph, **options)
    read, findings = nir.read(path)
    assert findings == []
    assert read is not None
    return read


def stimulus(graph: Graph, steps: int = 8, batch: int = 3) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {i.name: (rng.random((steps, batch, i.n)) < 0.4).astype(np.uint8) for i in graph.inputs}


def full(value: float, n: int) -> Array:
    return np.full(n, value, np.float32)


def one(neuron: Any, n: int, synapse: Any = None, delay: Any = 0, bias: Array | None = None) -> Graph:
    """One layer behind three inputs."""
    synapse = synapse or Dense(np.arange(3.0 * n).reshape(n, 3) / 8)
    rule: Any = "last" if isinstance(neuron, LI | CubaLI) else "count"
    wires = (Connection("c", "in", "p", synapse, delay),)
    return Graph(
        "one", (Input("in", (3,)),), (Population("p", (n,), neuron, bias),), wires, Readout("p", rule), 5, 1000.0
    )


# ------------------------------------------------------------------------------------------------------------ networks
def random_case(seed: int, folder: Path) -> int:
    """A random network comes back bit for bit; read as a file of others it fires alike. Returns spikes compared."""
    graph: Graph = random_graph(random.Random(seed))
    if seed % 4:
        graph = graph.with_(populations=tuple(replace(p, neuron=_never_tired(p.neuron)) for p in graph.populations))
    path = folder / f"{seed}.nir"
    assert differences(graph, back(path, graph, dt=1e-3)) == [], seed
    if any(getattr(p.neuron, "refractory", 0) for p in graph.populations):
        return 0
    assert graph.readout is not None
    read, _ = nir.read(path, metadata=False, dt=1e-3, reset="zero", readout=graph.readout.rule)
    assert read is not None
    x = stimulus(graph)
    want = run(graph, x)
    got = run(read, {i.name: x[j.name] for i, j in zip(read.inputs, sorted(graph.inputs, key=lambda i: i.name))})
    for p in graph.populations:
        assert np.array_equal(want.spikes[p.name], got.spikes[p.name]), (seed, p.name)
    return sum(s.size for s in want.spikes.values())


def _never_tired(neuron: Any) -> Any:
    return replace(neuron, refractory=0) if hasattr(neuron, "refractory") else neuron


def test_random_networks(tmp_path: Path) -> None:
    assert sum(random_case(seed, tmp_path) for seed in range(25)) > 10_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_random_networks(tmp_path: Path) -> None:
    for seed in range(25, 600):
        random_case(seed, tmp_path)


@pytest.mark.parametrize("bias", ["gated", "register"])
def test_integer_graphs_with_their_registers_and_formats(bias: Any, tmp_path: Path) -> None:
    for seed in range(12):
        late = chip_timeline(random_graph(random.Random(seed)), bias)
        whole = registry.get("loihi").quantize(late).graph
        assert differences(whole, back(tmp_path / "i.nir", whole, dt=1e-3)) == [], seed
        assert any(f.code == "NIR_INTEGERS" for f in nir.encode(whole, dt=1e-3)[1])


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutions, norm, pools": (
        lambda: nn.Sequential(
            snn.Conv2d(2, 4, 3, padding=1), snn.BatchNorm(4), snn.AvgPool2d(2), snn.LIF(tau=3.0),
            snn.Conv2d(4, 6, (1, 3), stride=2, groups=2), snn.LIF(decay=0.4, reset="subtract", refractory=2),
            snn.SumPool2d((2, 1)), snn.Flatten(), snn.Linear(6, 5), snn.LI(decay=1.0),
        ),
        (2, 9, 9),
    ),
    "1-d, recurrent": (
        lambda: nn.Sequential(
            snn.Conv1d(2, 3, 3, padding=2, dilation=2), snn.CubaLIF(), snn.Flatten(), snn.Linear(21, 6),
            snn.Recurrent.dense(snn.CubaLIF(decay_syn=0.0, decay_mem=1.0), 6, bias=True),
        ),
        (2, 7),
    ),
    "pool in front": (
        lambda: nn.Sequential(snn.AvgPool2d(2), snn.LIF(), snn.Flatten(), snn.Linear(8, 3), snn.LIF()),
        (2, 5, 5),
    ),
    "delays": (
        lambda: nn.Sequential(snn.Linear(4, 5), snn.LIF(), snn.Delay([0, 3, 1, 1, 2]), snn.Linear(5, 3), snn.LIF()),
        (4,),
    ),
    "residual": (
        lambda: nn.Sequential(snn.Conv2d(2, 2, 3, padding=1), snn.LIF(),
                              snn.Residual(nn.Sequential(snn.Conv2d(2, 2, 3, padding=1), snn.LIF())),
                              snn.Conv2d(2, 2, 1), snn.LIF()),
        (2, 4, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_trained_models(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    make, shape = MODELS[name]
    graph, _ = to_graph(make().eval(), shape, steps=6, dt_us=500.0)
    assert graph is not None
    assert differences(graph, back(tmp_path / "m.nir", graph)) == []
    read, _ = nir.read(tmp_path / "m.nir", metadata=False, dt=5e-4, reset="zero")
    assert read is not None
    assert graph.readout is not None
    if "norm" not in name:  # that one resets by subtraction and is refractory
        x = stimulus(graph)
        want, got = run(graph, x), run(read, {read.inputs[0].name: next(iter(x.values()))})
        assert np.array_equal(want.spikes[graph.readout.population], got.spikes[got.graph.readout.population])  # type: ignore[union-attr]


def test_the_networks_of_the_table_in_every_dialect(tmp_path: Path) -> None:
    written = 0
    for make in networks.NETWORKS.values():
        graph = make()
        for name in nir.DIALECTS:
            _, found = nir.encode(graph, dialect=name)
            if has_errors(found):
                assert {f.code for f in found if f.severity == "error"} == {"NIR_NOT_READ"}
                with pytest.raises(FindingsError, match=f"readers of the dialect {name}"):
                    nir.write(tmp_path / "d.nir", graph, dialect=name)
            else:
                assert differences(graph, back(tmp_path / "d.nir", graph, dialect=name)) == [], name
                written += 1
    assert written >= 15


ODD: dict[str, Graph] = {
    "LI": one(LI(np.array([0.0, 0.5, 1.0], np.float32)), 3),
    "CubaLI": one(CubaLI(full(0.5, 4), full(1.0, 4)), 4),
    "extreme decays": one(LIF(np.array([0, 1e-30, 1 - 6e-8, 1], np.float32), full(0.5, 4)), 4),
    "per-synapse delays": one(LIF(full(0.5, 2), full(1, 2)), 2, delay=np.array([[0, 2, 1], [3, 0, 0]])),
    "sparse with stored zeros": one(
        LIF(full(0.5, 2), full(1, 2)), 2, Sparse(sp.csr_matrix(([0.0, 0.5, 2.0], ([0, 0, 1], [0, 2, 1])), shape=(2, 3)))
    ),
    "negative zero": one(LIF(full(0.5, 2), full(1, 2)), 2, Dense(np.array([[-0.0, 0, 1], [1, 2, 3]]))),
    "float32 weights": one(LIF(full(0.5, 2), full(1, 2)), 2, Dense(np.ones((2, 3), np.float32))),
    "chain": one(LIF(full(0.5, 2), full(1, 2)), 2, Chain((Scale(np.array([1.0, 2, 3])), Dense(np.ones((2, 3)))))),
    "select": one(LIF(full(0.5, 5), full(1, 5)), 5, Chain((Select(np.array([4, 0, 2]), 5),))),
    "identity": one(LIF(full(0.5, 3), full(1, 3)), 3, Scale(np.ones(3)), bias=full(0.25, 3)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", ODD)
def test_odd_networks(name: str, tmp_path: Path) -> None:
    assert differences(ODD[name], back(tmp_path / "o.nir", ODD[name])) == []


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 2, 1), (0, 2, -1, 0), (-1, -2, 3, 0)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 4), (4, 2)])
def test_convolutions_of_every_form_are_exact(padding: Any, kernel: tuple[int, int], tmp_path: Path) -> None:
    """Read as a file of others, the kernel with its added zeros gives the same operator."""
    rng = np.random.default_rng(0)
    checked = 0
    for stride, dilation, groups in (((1, 1), (1, 1), 1), ((2, 3), (1, 2), 2), ((1, 2), (2, 1), 1)):
        conv = Conv(rng.normal(size=(4, 4 // groups, *kernel)), (4, 12, 10), stride, padding, dilation, groups)
        n = conv.n_dst
        p = Population("p", conv.out_shape, LIF(full(0.5, n), full(1, n)))
        graph = Graph(
            "c", (Input("in", (4, 12, 10)),), (p,), (Connection("c", "in", "p", conv),), Readout("p", "count")
        )
        assert differences(graph, back(tmp_path / "c.nir", graph, dt=1e-3)) == []
        read, _ = nir.read(tmp_path / "c.nir", metadata=False, dt=1e-3, reset="zero")
        assert read is not None
        assert np.array_equal(read.connections[0].synapse.matrix().toarray(), conv.matrix().toarray())
        assert isinstance(read.connections[0].synapse, Conv)
        checked += 1
    assert checked == 3


def test_pools_are_written_as_pools(tmp_path: Path) -> None:
    for average, kind in ((True, "AvgPool2d"), (False, "SumPool2d")):
        pool = Pool((2, 6, 6), (2, 3), (2, 2), (1, 1, 0, 0), average)
        n = pool.n_dst
        p = Population("p", pool.out_shape, LIF(full(0.5, n), full(1, n)))
        for synapse in (Chain((pool,)), pool.as_conv()):
            wires = (Connection("c", "in", "p", synapse),)
            graph = Graph("c", (Input("in", (2, 6, 6)),), (p,), wires, Readout("p", "count"))
            assert differences(graph, back(tmp_path / "p.nir", graph, dt=1e-3)) == []
            with h5py.File(tmp_path / "p.nir") as f:
                assert f["node/nodes/input_to_p_pool/type"][()].decode() == kind


def test_loops_of_several_populations(tmp_path: Path) -> None:
    lif = LIF(full(0.5, 3), full(1, 3))
    w = Dense(np.eye(3) / 2)
    wires = (Connection("i", "in", "a", w), Connection("ab", "a", "b", w), Connection("ba", "b", "a", w, 2))
    graph = Graph(
        "loop",
        (Input("in", (3,)),),
        (Population("a", (3,), lif), Population("b", (3,), lif)),
        wires,
        Readout("b", "count"),
    )
    assert differences(graph, back(tmp_path / "l.nir", graph, dt=1e-3)) == []
    for name in ("snntorch", "norse", "sinabs", "rockpool"):
        found = nir.encode(graph, dialect=name, dt=1e-3)[1]
        assert any(f.code == "NIR_NOT_READ" and f.where == "ba" for f in found), name


def test_names_that_hdf5_and_torch_would_not_take(tmp_path: Path) -> None:
    graph = networks.recurrent()
    names = {"hidden": "a/b.c", "out": "a_b_c"}
    graph = graph.with_(
        populations=tuple(replace(p, name=names[p.name]) for p in graph.populations),
        connections=tuple(replace(c, src=names.get(c.src, c.src), dst=names[c.dst]) for c in graph.connections),
        readout=Readout("a_b_c", "count"),
    )
    assert differences(graph, back(tmp_path / "n.nir", graph)) == []


def test_steps_and_provenance(tmp_path: Path) -> None:
    graph = networks.recurrent().with_(steps=None, dt_us=None, readout=None, notes={"made": "here"})
    nir.write(tmp_path / "a.nir", graph, dt=2e-3, provenance={"run": "abc"})
    read, _ = nir.read(tmp_path / "a.nir", steps=7)
    assert read is not None
    assert (read.steps, read.dt_us, read.readout, read.notes) == (7, None, None, {"made": "here"})
    with h5py.File(tmp_path / "a.nir") as f:
        plan = json.loads(f["node/metadata/snnkit"][()])
    assert plan["provenance"] == {"run": "abc"}
    assert (plan["dt"], plan["threshold_test"]) == (2e-3, "v >= threshold")


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        nir.write(tmp_path / f"{name}.nir", networks.convolutional())
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()


# ------------------------------------------------------------------------------------------------------ contradictions
@pytest.fixture
def written(tmp_path: Path) -> Path:
    nir.write(tmp_path / "net.nir", networks.recurrent())
    return tmp_path / "net.nir"


def test_weights_and_biases_may_be_changed_by_others(tmp_path: Path) -> None:
    graph = networks.convolutional()
    nir.write(tmp_path / "net.nir", graph)
    with h5py.File(tmp_path / "net.nir", "r+") as f:
        f["node/nodes/conv2_to_out/weight"][0, 0] = 7.5
        f["node/nodes/input_to_conv1_conv/bias"][...] = 0.125
    read, _ = nir.read(tmp_path / "net.nir")
    assert read is not None
    assert read.connections[2].synapse.matrix()[0, 0] == 7.5
    assert np.all(read.populations[0].bias == 0.125)


@pytest.mark.parametrize("field", ["tau_mem", "tau_syn", "r", "w_in", "v_threshold", "v_leak", "v_reset"])
def test_a_changed_neuron_is_refused_by_name(written: Path, field: str) -> None:
    with h5py.File(written, "r+") as f:
        f[f"node/nodes/hidden/{field}"][3] += 1e-3
    with pytest.raises(NirError, match=rf"{field}\[3\] of 'hidden'.*by the metadata") as caught:
        nir.read(written)
    assert "--ignore-metadata" in caught.value.fix
    graph, _ = nir.read(written, metadata=False, dt=1e-3, reset="zero") if field[0] != "v" else (True, [])
    assert graph is not None


def test_rounding_to_float32_by_another_program_is_no_contradiction(written: Path) -> None:
    with h5py.File(written, "r+") as f:
        tau = f["node/nodes/hidden/tau_mem"][...]
        f["node/nodes/hidden/tau_mem"][...] = tau.astype(np.float32)
    read, _ = nir.read(written)
    assert differences(networks.recurrent(), read) == []


def test_a_changed_structure_is_refused(written: Path) -> None:
    with h5py.File(written, "r+") as f:
        edges = f["node/edges"][...]
        del f["node/edges"]
        f["node"].create_dataset("edges", data=edges[:-1], dtype=h5py.string_dtype())
    with pytest.raises(NirError, match="edge out -> output was added or removed"):
        nir.read(written)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.update(format=99), "format 99"),
        (lambda p: p.pop("inputs"), "KeyError"),
        (lambda p: p.update(dialect="other"), "dialect"),
        (lambda p: p["populations"][0].update(shape=[2**40]), "neurons in one place"),
        (lambda p: p["populations"][0].update(kind="Evil"), "KeyError"),
        (lambda p: p["populations"][0].update(node="nowhere"), "KeyError"),
        (lambda p: p["populations"][0]["neuron"].update(refractory=[1]), "settings"),
        (lambda p: p["connections"][0]["ops"][0].update(dtype="O8"), "describe"),
        (lambda p: p["connections"][0]["ops"][0].update(op="Conv"), "describe"),
        (lambda p: p["connections"][0].update(delay=5), "contradict"),
        (lambda p: p["connections"][1]["ops"].clear(), "describe"),
        (lambda p: p["connections"].pop(), "contradict"),
        (lambda p: p["populations"].reverse(), "contradict|describe"),
        (lambda p: p.update(dt=2e-3), "contradict"),
        (lambda p: p.update(dt="x"), "describe"),
        (lambda p: p.update(readout=["out", "argmax"]), "describe"),
        (lambda p: p["inputs"][0].update(shape=[12, -1]), "shape"),
    ],
)
def test_damaged_metadata(written: Path, change: Callable[[Any], Any], said: str) -> None:
    with h5py.File(written, "r+") as f:
        plan = json.loads(f["node/metadata/snnkit"][()])
        change(plan)
        del f["node/metadata/snnkit"]
        f["node/metadata"].create_dataset("snnkit", data=json.dumps(plan), dtype=h5py.string_dtype())
    with pytest.raises(NirError, match=said) as caught:
        nir.read(written)
    assert str(written) in caught.value.what


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "[" * 5000])
def test_metadata_that_are_no_plan(written: Path, text: str) -> None:
    with h5py.File(written, "r+") as f:
        del f["node/metadata/snnkit"]
        f["node/metadata"].create_dataset("snnkit", data=text, dtype=h5py.string_dtype())
    with pytest.raises(NirError, match="metadata"):
        nir.read(written)


@pytest.mark.parametrize(
    "said", [{"dt": 2e-3}, {"reset": "subtract"}, {"dialect": "norse"}, {"readout": "first"}, {"steps": 3}]
)
def test_the_caller_may_not_say_otherwise(written: Path, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(said))}=.*written by snnkit"):
        nir.read(written, **said)


def test_the_caller_may_say_the_same(written: Path) -> None:
    read, _ = nir.read(written, dt=1e-3, reset="zero", readout="count", steps=networks.STEPS)
    assert differences(networks.recurrent(), read) == []


def test_what_is_needed_to_write(tmp_path: Path) -> None:
    graph = networks.recurrent().with_(dt_us=None)
    with pytest.raises(NirError, match="length of a step") as caught:
        nir.write(tmp_path / "a.nir", graph)
    assert "--dt" in caught.value.fix
    for dt in (0, -1, float("nan"), float("inf")):
        with pytest.raises(NirError, match="no length of a step"):
            nir.write(tmp_path / "a.nir", graph, dt=dt)
    with pytest.raises(NirError, match="does not end in .nir"):
        nir.write(tmp_path / "a.h5", graph, dt=1)
    with pytest.raises(UsageError, match="did you mean 'norse'"):
        nir.write(tmp_path / "a.nir", graph, dialect="nors")
    wide = Connection("w", "in", "hidden", Sparse(sp.csr_matrix((20, 2**23))))
    big = graph.with_(inputs=(Input("in", (2**23,)),), connections=(wide,))
    with pytest.raises(NirError, match="matrix of 167,772,160 numbers"):
        nir.write(tmp_path / "a.nir", big, dt=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_losses_are_stated(tmp_path: Path) -> None:
    lif = LIF(full(0.5, 4), full(1, 4), "subtract", 2)
    graph = one(lif, 4)
    codes = {name: {f.code for f in nir.encode(graph, dialect=name)[1]} for name in nir.DIALECTS}
    assert codes["nir"] == {"NIR_RESET", "NIR_REFRACTORY"}
    assert codes["snntorch"] == {"NIR_RESET", "NIR_REFRACTORY", "NIR_STEP"}
    assert codes["norse"] == {"NIR_RESET", "NIR_REFRACTORY", "NIR_STEP"}
    assert codes["sinabs"] == {"NIR_MULTIPLE", "NIR_REFRACTORY", "NIR_STEP"}
    assert codes["rockpool"] == {"NIR_RESET", "NIR_MULTIPLE", "NIR_REFRACTORY", "NIR_NOT_READ"}
    several = replace(lif, threshold=np.array([1, 1, 2, 1], np.float32))
    assert "NIR_NOT_READ" in {f.code for f in nir.encode(one(several, 4), dialect="snntorch")[1]}
    silent = CubaLIF(full(0, 4), full(0.5, 4), full(1, 4))
    assert "NIR_NOT_READ" in {f.code for f in nir.encode(one(silent, 4), dialect="rockpool")[1]}
    with pytest.raises(FindingsError, match="snntorch has no LI"):
        nir.write(tmp_path / "a.nir", one(LI(full(0.5, 4)), 4), dialect="snntorch")
