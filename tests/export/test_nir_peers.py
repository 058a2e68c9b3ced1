"""NIR files between us and other packages, where they are installed: nir itself, snntorch, norse, sinabs, rockpool."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnkit.bench import nir as networks
from snnkit.errors import FindingsError, NirError
from snnkit.export import nir
from snnkit.graph.model import Graph
from snnkit.graph.neurons import CubaLIF
from snnkit.graph.run import run

from .nir_files import chain, differences, neuron, node, save, simulate

Array = np.ndarray[Any, Any]
README = Path(__file__).parents[2] / "README.md"
package = pytest.importorskip("nir", reason="needs the package nir")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the packages' own
        yield


# ----------------------------------------------------------------------------------------------------------------- nir
def test_nir_reads_and_writes_what_we_write_and_it_stays_ours(tmp_path: Path) -> None:
    for name, make in networks.NETWORKS.items():
        for way in ("nir", "norse", "snntorch"):
            graph = make()
            try:
                nir.write(tmp_path / "a.nir", graph, dialect=way)
            except FindingsError:
                continue
            package.write(str(tmp_path / "b.nir"), package.read(str(tmp_path / "a.nir")))
            read, _ = nir.read(tmp_path / "b.nir")
            assert differences(graph, read) == [], (name, way)


def test_every_node_that_nir_has(tmp_path: Path) -> None:
    """Written by nir, read by us, field by field; and nir reads the files that our tests make by hand."""
    rng = np.random.default_rng(0)
    f = lambda *shape: rng.uniform(1, 2, shape)  # noqa: E731
    built = {
        "affine": package.Affine(f(3, 4), f(3)), "linear": package.Linear(f(3, 4)), "scale": package.Scale(f(2, 3)),
        "conv1d": package.Conv1d(9, f(4, 2, 3), 2, "valid", 1, 1, f(4)),
        "conv2d": package.Conv2d((9, 8), f(4, 2, 3, 3), (1, 2), 1, (1, 1), 1, f(4)),
        "sum": package.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "avg": package.AvgPool2d(np.array([2, 3]), np.array([2, 1]), np.array([1, 1])),
        "flat": package.Flatten({"input": np.array([2, 3, 4])}, 0, -1), "delay": package.Delay(f(3)),
        "threshold": package.Threshold(f(3)), "i": package.I(f(3)), "if": package.IF(f(3), f(3)),
        "li": package.LI(f(3), f(3), f(3)), "lif": package.LIF(f(3), f(3), f(3), f(3)),
        "cubali": package.CubaLI(f(3), f(3), f(3), f(3)),
        "cubalif": package.CubaLIF(f(3), f(3), f(3), f(3), f(3), w_in=f(3)),
    }  # fmt: skip
    ends = {"input": package.Input(np.array([3])), "output": package.Output(np.array([3]))}
    graph = package.NIRGraph({**ends, **built}, [("input", "lif"), ("lif", "output")], type_check=False)
    package.write(str(tmp_path / "a.nir"), graph)
    from snnkit.export.nir.isolated import read_file
    from snnkit.export.nir.model import TYPES
    from snnkit.export.nir.nodes import check

    net = read_file(tmp_path / "a.nir").net
    assert check(net) == []
    assert {n.type for _, n in net.walk()} == set(TYPES)
    for name, theirs in built.items():
        for key, value in net.nodes[name].fields.items():  # type: ignore[union-attr]
            want = theirs.input_type["input"] if key == "input_type" else getattr(theirs, key)
            assert value == want if isinstance(want, str) else np.array_equal(value, want), (name, key)
    by_hand = save(tmp_path / "b.nir", chain(("n", neuron("LIF", 3)), ends=([3], [3])))
    assert isinstance(package.read(str(by_hand)).nodes["n"], package.LIF)


def test_a_type_check_that_goes_wrong_is_foretold(tmp_path: Path) -> None:
    """nir 1.0.8 takes the height of a kernel for its width; where no square one does the same, a note says so."""
    graph = networks.convolutional()
    first = graph.connections[0]
    wide = first.synapse.__class__(np.ones((4, 2, 3, 2)) / 8, (2, 8, 8), (1, 1), (1, 1, 1, 0))
    graph = graph.with_(connections=(first.__class__("w", "in", "conv1", wide), *graph.connections[1:]))
    found = nir.write(tmp_path / "a.nir", graph)
    assert [f.code for f in found] == []  # one row of zeros makes it square
    assert isinstance(package.read(str(tmp_path / "a.nir")), package.NIRGraph)
    odd = first.synapse.__class__(np.ones((4, 2, 3, 2)) / 8, (2, 8, 9), (1, 1), (1, 1, 0, 0))
    graph = graph.with_(
        inputs=(graph.inputs[0].__class__("in", (2, 8, 9)),),
        connections=(first.__class__("w", "in", "conv1", odd), *graph.connections[1:]),
    )
    assert [f.code for f in nir.write(tmp_path / "a.nir", graph)] == ["NIR_TYPE_CHECK"]
    with pytest.raises(ValueError, match="type mismatch"):
        package.read(str(tmp_path / "a.nir"))
    assert isinstance(package.read(str(tmp_path / "a.nir"), type_check=False), package.NIRGraph)


# -------------------------------------------------------------------------------------------------- the README's table
def test_the_table_in_the_readme_is_what_is_measured() -> None:
    for name in networks.PEERS:
        pytest.importorskip(name, reason=f"needs the package {name}")
    text = README.read_text(encoding="utf-8")
    (found,) = re.findall(r"<!-- nir-conformance -->\n(.*?)<!-- /nir-conformance -->", text, re.DOTALL)
    assert found == networks.table(networks.run())


def test_dyadic_networks_lose_nothing_that_is_not_said() -> None:
    for name in networks.PEERS:
        pytest.importorskip(name, reason=f"needs the package {name}")
    for row in networks.run():
        if row["differing spikes"] and not row["differing spikes"].startswith("0 of"):
            assert "reset" in row["cause"], row
        if row["read"] == "no":
            assert "Delay" in row["cause"], row


# ------------------------------------------------------------------------------------------------------------- writers
def theirs(module: Any, x: Array) -> Array:
    """The output of a module of snntorch, step by step over x [T, B, …]."""
    out = []
    with torch.no_grad():
        for x_t in torch.from_numpy(x.astype(np.float32)):
            y = module(x_t)
            out.append((y[0] if isinstance(y, tuple) else y).numpy())
    return np.stack(out)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RSynaptic"])
def test_what_snntorch_writes(kind: str, reset: Any, tmp_path: Path) -> None:
    snntorch = pytest.importorskip("snntorch", reason="needs the package snntorch")
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(1)
    more: dict[str, Any] = {"reset_mechanism": reset, "reset_delay": False, "init_hidden": True}
    alpha, beta, one = (torch.full((5,), v) for v in (0.5, 0.75, 1.0))
    if kind == "Leaky":
        layer = snntorch.Leaky(beta=beta, threshold=one, **more)
    elif kind == "Synaptic":
        layer = snntorch.Synaptic(alpha=alpha, beta=beta, threshold=one, **more)
    else:  # its forward fails without a delayed reset, and with one it fires otherwise; the file is what counts here
        layer = snntorch.RSynaptic(
            alpha=alpha, beta=beta, threshold=one, linear_features=5, **more | {"reset_delay": True}
        )
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), layer)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_((p * 16).round() / 8 + 0.25)
    package.write(str(tmp_path / "s.nir"), export_to_nir(model, torch.rand(4)))
    graph, _ = nir.read(tmp_path / "s.nir", dialect="snntorch", reset=reset)
    assert graph is not None
    if kind == "RSynaptic":
        delays = {c.src == c.dst: c.delay for c in graph.connections}
        assert delays == {False: 0, True: 1}
        assert isinstance(graph.populations[0].neuron, CubaLIF)
        (own,) = (c for c in graph.connections if c.src == c.dst)
        assert np.array_equal(own.synapse.matrix().toarray(), layer.recurrent.weight.detach().numpy())
        return
    x = (np.random.default_rng(0).random((30, 4, 4)) < 0.5).astype(np.uint8)
    want, got = theirs(model, x), run(graph, {"input": x}).spikes[graph.populations[0].name]
    if reset == "zero":
        assert np.array_equal(got, want)
    else:  # its subtraction is repeated before the next step where v stays above the threshold
        assert (got != want).mean() < 0.2
    assert 0.05 < want.mean() < 0.95


def test_what_norse_writes_is_refused_with_the_reason(tmp_path: Path) -> None:
    """norse 1.1.0 makes numbers where vectors belong (which nir cannot write), and multiplies tau by dt."""
    pytest.importorskip("norse", reason="needs the package norse")
    import norse.torch

    module = norse.torch.SequentialState(torch.nn.Linear(4, 5), norse.torch.LIFBoxCell())
    lif = norse.torch.to_nir(module, torch.rand(4)).nodes["1"]
    assert (lif.tau.shape, float(lif.tau)) == ((), pytest.approx(1e-5))  # 10 ms, times 1 ms
    fields = {k: np.asarray(getattr(lif, k)) for k in ("tau", "r", "v_leak", "v_threshold", "v_reset")}
    save(tmp_path / "n.nir", chain(("1", node("LIF", **fields)), ends=([5], [5])))
    with pytest.raises(FindingsError, match="NIR_SCALAR at 1: tau is one number"):
        nir.read(tmp_path / "n.nir", dialect="norse", dt=1e-3, reset="zero")
    vectors = {k: np.full(5, v) for k, v in fields.items()}
    save(tmp_path / "n.nir", chain(("1", node("LIF", **vectors)), ends=([5], [5])))
    with pytest.raises(FindingsError, match="NIR_TAU at 1: tau is 1e-05 s, below the step of 0.001 s"):
        nir.read(tmp_path / "n.nir", dialect="norse", dt=1e-3, reset="zero")


# --------------------------------------------------------------------------------------------- readers with own tables
def many_spikes(graph: Graph, x: Array) -> Array:
    """The graph with floor(v/threshold) spikes in a step and as many thresholds subtracted: sinabs and rockpool."""
    out: dict[str, list[Array]] = {p.name: [] for p in graph.populations}
    state: dict[str, Any] = {p.name: (0.0, 0.0) for p in graph.populations}
    for t in range(len(x)):
        given = {graph.inputs[0].name: x[t].reshape(len(x[t]), -1)}
        for p in graph.populations:
            drive = 0.0 if p.bias is None else p.bias.astype(np.float64)
            for c in graph.incoming(p.name):
                source = given.get(c.src) if c.delay == 0 else (out[c.src][t - 1] if t else None)
                if source is not None:
                    drive = drive + source @ c.synapse.matrix().toarray().T
            i, v = state[p.name]
            neuron: Any = p.neuron
            if isinstance(neuron, CubaLIF):
                i = neuron.decay_syn * i + drive
                v = neuron.decay_mem * v + i
            else:
                v = neuron.decay * v + drive
            s = np.floor(np.maximum(v, 0) / neuron.threshold)
            state[p.name] = i, v - s * neuron.threshold
            given[p.name] = s
            out[p.name].append(s)
    return np.stack(out[graph.populations[-1].name])


def test_sinabs_reads_ours(tmp_path: Path) -> None:
    pytest.importorskip("sinabs", reason="needs the package sinabs")
    import sinabs.nir

    graph = networks.convolutional("subtract")
    nir.write(tmp_path / "s.nir", graph, dialect="sinabs")
    x = (np.random.default_rng(0).random((20, 3, 2, 8, 8)) < 0.4).astype(np.float32)
    module = sinabs.nir.from_nir(package.read(str(tmp_path / "s.nir"), type_check=False), batch_size=3)
    with torch.no_grad():
        y = module(torch.from_numpy(x.swapaxes(0, 1).reshape(-1, 2, 8, 8).copy()))[0]
    assert np.array_equal(y.numpy().reshape(3, 20, -1).swapaxes(0, 1), many_spikes(graph, x))


def test_rockpool_reads_ours(tmp_path: Path) -> None:
    pytest.importorskip("rockpool", reason="needs the package rockpool")
    from rockpool.nn.modules.torch.nir import from_nir

    graph = cuba_only()
    nir.write(tmp_path / "r.nir", graph, dialect="rockpool")
    x = (np.random.default_rng(0).random((20, 3, 12)) < 0.4).astype(np.float32)
    y, _ = from_nir(package.read(str(tmp_path / "r.nir")))(torch.from_numpy(x.swapaxes(0, 1).copy()))
    y = y[0] if isinstance(y, tuple) else y
    assert np.array_equal(y.detach().numpy().swapaxes(0, 1), many_spikes(graph, x))


def cuba_only() -> Graph:
    graph = networks.recurrent()
    values = [[np.full(n, v, np.float32) for v in (0.5, 0.75, 2.0)] for n in (20, 6)]
    neurons = [CubaLIF(a, b, c, "subtract") for a, b, c in values]
    return graph.with_(populations=tuple(p.__class__(p.name, p.shape, n) for p, n in zip(graph.populations, neurons)))


def test_the_dialects_of_packages_that_are_not_here(tmp_path: Path) -> None:
    """What sinabs and rockpool make of our numbers, by their formulas: decay, gain and threshold come out as ours."""
    graph = cuba_only()
    nir.write(tmp_path / "r.nir", graph, dialect="rockpool")
    lif = package.read(str(tmp_path / "r.nir")).nodes["hidden"].nodes["lif"]
    dt = np.min(lif.tau_mem / (1 + lif.r))
    alpha, beta = np.exp(-dt / lif.tau_mem), np.exp(-dt / lif.tau_syn)
    assert np.allclose([dt, alpha[0], beta[0]], [1e-3, 0.75, 0.5])
    assert np.allclose(lif.v_threshold, 2 * beta)  # its current decays before it is added
    nir.write(tmp_path / "s.nir", networks.convolutional("subtract"), dialect="sinabs")
    read = package.read(str(tmp_path / "s.nir"), type_check=False)
    assert np.allclose(np.exp(-1 / read.nodes["conv2"].tau), 0.75)
    assert np.allclose([read.nodes["conv2"].r, read.nodes["conv2"].v_threshold], 1)
    assert isinstance(read.nodes["conv2_to_out"], package.Affine)


def test_a_file_of_a_later_nir_is_refused(tmp_path: Path) -> None:
    simulated = simulate(chain(("n", neuron("LIF", 2)), ends=([2], [2])), np.ones((3, 1, 2)), 1e-3)
    assert simulated["n"].shape == (3, 1, 2)
    path = save(tmp_path / "v.nir", chain(("w", node("Linear", weight=np.eye(2))), ends=([2], [2])), "2.0.0")
    with pytest.raises(NirError, match="version"):
        nir.read(path)
