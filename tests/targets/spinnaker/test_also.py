"""`--also pynn`: the script with a stand-in for PyNN, and with sPyNNaker's own host code where it is installed.

For the latter set SNNKIT_SPYNNAKER_PYTHON to the Python of an environment with sPyNNaker 7.4.1.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from snnkit import descriptor
from snnkit.descriptor import Vectors
from snnkit.graph.neurons import LIF
from snnkit.graph.run import run
from snnkit.targets.manifest import build_manifest
from snnkit.targets.spinnaker import TARGET, also, spec
from snnkit.targets.spinnaker.lower import LowerOptions, lower
from snnkit.targets.spinnaker.quantize import quantize
from snnkit.targets.spinnaker.replay import replay
from tests.targets.spinnaker.test_learning import network as learning_network
from tests.targets.spinnaker.test_quantize import random_graph
from tests.targets.spinnaker.test_scales import network as layered

BOARD = Path(__file__).with_name("pynn_board.py")
PYTHON = os.environ.get("SNNKIT_SPYNNAKER_PYTHON", "")


def biased():
    """Registers for biases, which act from step 1 on: the membranes stand still in step 0."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.3, (9, 20)), rng.normal(0, 0.4, (4, 9))]
    bias = [rng.normal(0.1, 0.1, 9).astype(np.float32), rng.normal(0.1, 0.1, 4).astype(np.float32)]
    return layered(lambda n: LIF(np.full(n, 0.9, np.float32), np.ones(n, np.float32), "zero", 1), weights, 12, bias)


def written(seed, tmp_path, options=None):
    """A random integer graph, its descriptor and the folder of its script."""
    graph = quantize(biased() if seed == "bias" else random_graph(seed)).graph
    most = graph.inputs[0].max_count
    x = (np.random.default_rng(0).random((12, 3, graph.inputs[0].n)) < 0.4).astype(np.uint8) * most
    trace = run(graph, {"in": x})
    lowered = lower(graph, options)
    vectors = Vectors({"in": x}, trace.spikes, readout=trace.answer())
    path = tmp_path / "net.snnx"
    descriptor.write(path, build_manifest(TARGET, graph, lowered), lowered.arrays, vectors.encode())
    opened = descriptor.load(path)
    assert {f.code for f in also.check(opened)} <= {"COUNTS"}
    folder = tmp_path / "net.pynn"
    folder.mkdir()
    files = also.pynn(opened, folder)
    assert sorted(f.name for f in files) == ["network.json", "network.npz", "network.py", "vectors.npz"]
    return graph, opened, folder, trace, x


class StandIn(types.ModuleType):
    """Records what a script asks of `pyNN.spiNNaker`; a run gives the spikes that it was given."""

    def __init__(self, spikes) -> None:
        super().__init__("pyNN.spiNNaker")
        self.spikes, self.populations, self.projections, self.calls = spikes, [], [], []
        sim = self

        class Population:
            def __init__(self, size, cell, label, additional_parameters=None) -> None:
                self.size, self.cell, self.label, self.extra = size, cell, label, additional_parameters
                self.state: dict[str, np.ndarray] = {}
                sim.populations.append(self)

            def initialize(self, **values) -> None:
                self.state |= values

            def record(self, what) -> None:
                assert what == "spikes"

            def get_data(self, what):
                trains = [np.flatnonzero(sim.spikes[self.label][:, k]).astype(float) for k in range(self.size)]
                return types.SimpleNamespace(segments=[types.SimpleNamespace(spiketrains=trains)])

        self.Population = Population
        for name in ("IF_curr_exp", "IF_curr_delta", "SpikeSourceArray"):
            setattr(self, name, lambda _name=name, **values: (_name, values))
        self.FromListConnector = lambda rows: np.asarray(rows)
        self.StaticSynapse = lambda: "static"
        self.setup = lambda timestep: self.calls.append(("setup", timestep))
        self.run = lambda time: self.calls.append(("run", time))
        self.end = lambda: self.calls.append(("end",))
        self.set_number_of_neurons_per_core = lambda model, n: self.calls.append(("cores", n))

    def Projection(self, pre, post, rows, synapse_type, receptor_type) -> None:
        self.projections.append((pre.label, post.label, receptor_type, rows))


def play(monkeypatch, folder, spikes, *arguments):
    """Run the script with a stand-in; (stand-in, exit code)."""
    sim = StandIn(spikes)
    package = types.ModuleType("pyNN")
    package.spiNNaker = sim  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyNN", package)
    monkeypatch.setitem(sys.modules, "pyNN.spiNNaker", sim)
    monkeypatch.setattr(sys, "argv", ["network.py", *arguments])
    compile((folder / "network.py").read_text(), "network.py", "exec")
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(folder / "network.py"), run_name="__main__")
    return sim, end.value.code


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5, "bias"])
@pytest.mark.parametrize("most", [None, 3])
def test_the_script_rebuilds_the_graph(monkeypatch, tmp_path, seed, most):
    graph, _, folder, trace, x = written(seed, tmp_path, LowerOptions(neurons_per_core=most))
    sim, code = play(monkeypatch, folder, {k: s[:, 1] for k, s in trace.spikes.items()}, "--sample", "1")
    assert code == 0
    assert sim.calls[0] == ("setup", 1.0)
    assert sim.calls[-2:] == [("run", float(trace.ticks)), ("end",)]
    by_label = {p.label: p for p in sim.populations}
    times = by_label["in"].cell[1]["spike_times"]
    assert [len(t) for t in times] == x[:, 1].sum(0).tolist()
    assert sorted({t for row in times for t in row}) == np.flatnonzero(x[:, 1].sum(1)).tolist()
    for p in graph.populations:
        made, neuron = by_label[p.name], p.neuron
        name, values = made.cell
        assert name == f"IF_curr_{neuron.model}"
        for pynn, raw in (("v_rest", "v_rest"), ("v_thresh", "v_thresh"), ("cm", "c_m"), ("tau_m", "tau_m"),
                          ("i_offset", "i_offset"), ("tau_refrac", "tau_refrac"), ("v_reset", "v_reset")):  # fmt: skip
            assert np.array_equal(np.rint(values[pynn] * spec.ONE), getattr(neuron, raw))
        assert ("tau_syn_E" in values) == (neuron.model == "exp")
        if neuron.model == "exp":
            assert np.array_equal(np.rint(values["tau_syn_I"] * spec.ONE), neuron.tau_syn_i)
        for shift, total in zip(neuron.shift, made.extra["max_expected_summed_weight"]):
            assert 2.0**shift > total > (2.0 ** (shift - 1) if shift else 0)
        assert np.array_equal(made.state["v"] * spec.ONE, neuron.v_init)
        still = made.state.get("refract_timer", np.zeros(p.n))
        assert np.array_equal(still, neuron.refrac_init)
    wanted, got = [], []
    shifts = {p.name: p.neuron.shift for p in graph.populations}
    for c in graph.connections:
        m = c.synapse.matrix().tocoo()
        for post, pre, word in zip(m.row.tolist(), m.col.tolist(), m.data.tolist()):
            if word:
                late = c.delay[post, pre] if isinstance(c.delay, np.ndarray) else c.delay
                weight = word * 2.0 ** shifts[c.dst][int(word < 0)] / spec.ONE
                wanted.append((c.src, c.dst, pre, post, weight, float(late)))
    for pre, post, receptor, rows in sim.projections:
        assert (rows[:, 2] > 0).all() if receptor == "excitatory" else (rows[:, 2] < 0).all()
        got += [(pre, post, int(a), int(b), w, d) for a, b, w, d in rows.tolist()]
    assert sorted(got) == sorted(wanted)


def test_differing_spikes_end_with_1(monkeypatch, tmp_path, capsys):
    graph, _, folder, trace, _ = written(1, tmp_path)
    wrong = {k: s[:, 0].copy() for k, s in trace.spikes.items()}
    wrong[graph.populations[0].name][3, 0] ^= 1
    assert play(monkeypatch, folder, wrong)[1] == 1
    assert f"{graph.populations[0].name}: 1 of" in capsys.readouterr().out
    assert play(monkeypatch, folder, wrong, "--virtual")[1] == 0


def test_equal_descriptors_give_equal_bytes(tmp_path):
    _, opened, folder, _, _ = written(2, tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    for one, two in zip(sorted(also.pynn(opened, again)), sorted(folder.iterdir())):
        assert one.read_bytes() == two.read_bytes()
    assert json.loads((folder / "network.json").read_text())["digest"] == opened.manifest.digest


def test_what_the_script_cannot_hold(tmp_path):
    graph = learning_network(3, False)
    lowered = lower(graph)
    descriptor.write(tmp_path / "a.snnx", build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    lost = also.check(descriptor.load(tmp_path / "a.snnx"))
    assert {(x.code, x.severity) for x in lost} == {("PLASTIC", "error"), ("COUNTS", "note")}
    assert also.FORMATS["pynn"].label


@pytest.mark.skipif(not PYTHON, reason="sPyNNaker: set SNNKIT_SPYNNAKER_PYTHON to a Python that has it")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 5, "bias"])
def test_the_host_code_of_spynnaker_makes_our_words(tmp_path, seed):
    """Its virtual board: every fixed word, core, synapse and neuron parameter of every core is ours."""
    _, opened, folder, _, _ = written(seed, tmp_path)
    (tmp_path / ".spynnaker.cfg").write_text("[Machine]\nvirtual_board = True\nversion = 5\n")
    subprocess.run([PYTHON, str(BOARD), str(folder), str(tmp_path / "board.npz")], cwd=tmp_path, check=True,
                   capture_output=True, env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": ""})  # fmt: skip
    result = replay([tmp_path / "board.npz"])[0]
    assert result.ok, str(result)
    ptr, cores = opened.arrays["core_ptr"], opened.arrays["core"]
    ours = [opened.arrays["neuron_params"][ptr[k, 1] : ptr[k + 1, 1]] for k in range(len(cores)) if cores[k, 3]]
    with np.load(tmp_path / "board.npz") as board:
        theirs = [board[name] for name in sorted(board.files) if name.endswith("_neuron_params")]
    assert sorted(a.tobytes() for a in ours) == sorted(a.tobytes() for a in theirs)
