"""What a script needs of hxtorch.spiking and halco, with their signatures: records modules, and runs them as a graph.

The modules that were made and called become a graph of its own, from the model values that a simulation would take,
which `graph/run.py` runs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from snnkit.graph.model import Connection, Graph, Input, Population
from snnkit.graph.neurons import BrainScales2Neuron
from snnkit.graph.run import run as run_graph
from snnkit.graph.synapses import Dense, IntegerFormat

MADE: list[Any] = []
"""Every module, in order."""


@dataclass
class Observables:
    spikes: Any = None
    membrane_cadc: Any = None
    sender: Any = None


@dataclass
class Parameter:
    model_value: Any
    hardware_value: Any = None


class Experiment:
    def __init__(self, mock: bool = False, dt: float = 1e-6) -> None:
        self.mock, self.dt = mock, dt
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []


class ExecutionInstance:
    pass


class Module:
    def __init__(self, experiment: Experiment, execution_instance: ExecutionInstance) -> None:
        assert isinstance(experiment, Experiment)
        assert isinstance(execution_instance, ExecutionInstance)
        self.experiment, self.part = experiment, execution_instance
        self.out = Observables(sender=self)
        MADE.append(self)

    def __call__(self, *given: Observables) -> Observables:
        self.experiment.calls.append((self, given))
        return self.out


class InputNeuron(Module):
    def __init__(self, size: int, experiment: Experiment, execution_instance: Any = None) -> None:
        super().__init__(experiment, execution_instance)
        self.size = size


class SparseSynapse(Module):
    def __init__(self, connections: Any, experiment: Experiment, execution_instance: Any = None) -> None:
        super().__init__(experiment, execution_instance)
        self.mask = connections.T.bool()
        self.weight = SimpleNamespace(data=torch.full(self.mask.shape, torch.nan))

    def integers(self) -> np.ndarray[Any, Any]:
        """[n_dst, n_src] as the hardware gets them."""
        w = self.weight.data
        assert w.shape == self.mask.shape
        assert ((w != 0) == self.mask).all()
        assert w.abs().max() <= 63
        assert torch.equal(w, w.round())
        return w.numpy().astype(np.int32)


class Neurons(Module):
    fires = True

    def __init__(
        self, size: int, experiment: Experiment, leak: Any = 80, reset: Any = 80, threshold: Any = 125,
        tau_mem: Any = 10e-6, tau_syn: Any = 10e-6, i_synin_gm: Any = 500, membrane_capacitance: Any = None,
        refractory_time: Any = 1e-6, synapse_dac_bias: Any = 600, holdoff_time: Any = 0.0,
        execution_instance: Any = None, enable_cadc_recording: bool = True, placement_constraint: Any = None,
        neuron_structure: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(experiment, execution_instance)
        self.size, self.places, self.structure = size, placement_constraint, neuron_structure
        self.targets = {
            "leak": leak, "reset": reset, "threshold": threshold, "tau_mem": tau_mem, "tau_syn": tau_syn,
            "membrane_capacitance": membrane_capacitance, "refractory_time": refractory_time,
        }  # fmt: skip
        self.chip_wide = i_synin_gm, synapse_dac_bias
        self.cadc = enable_cadc_recording
        assert len(placement_constraint) == size
        assert holdoff_time == 0

    def value(self, name: str, scale: float) -> Any:
        """The model's value as an integer register."""
        x = self.targets[name]
        x = x.model_value if isinstance(x, Parameter) else x
        return np.broadcast_to(np.rint(np.asarray(x, np.float64) * scale).astype(np.int64), (self.size,)).copy()

    def neuron(self) -> BrainScales2Neuron:
        gain = 1e-6 / np.asarray(self.targets["membrane_capacitance"].model_value, np.float64)
        tau_syn = self.value("tau_syn", 1e12)
        reset = self.value("reset" if self.fires else "leak", 1e6)
        return BrainScales2Neuron(
            tau_mem=self.value("tau_mem", 1e12), tau_syn_e=tau_syn, tau_syn_i=tau_syn, v_leak=self.value("leak", 1e6),
            v_reset=reset, v_thresh=self.value("threshold", 1e6), gain=np.rint(gain * 1e6).astype(np.int64),
            t_hold=self.value("refractory_time", 1e12), fires=self.fires, step=round(self.experiment.dt * 1e12),
        )  # fmt: skip


class LIF(Neurons):
    pass


class LI(Neurons):
    fires = False


def run(experiment: Experiment, runtime: int) -> None:
    """Everything that was called, as a graph."""
    assert isinstance(runtime, int)
    inputs: dict[str, Any] = {}
    populations: list[Population] = []
    connections: list[Connection] = []
    names: dict[int, str] = {}
    through: dict[int, tuple[str, Any]] = {}
    for module, given in experiment.calls:
        if isinstance(module, InputNeuron):
            (sent,) = given
            assert sent.spikes.shape[0] == runtime
            names[id(module)] = f"i{len(inputs)}"
            inputs[names[id(module)]] = sent.spikes.numpy().astype(np.uint8)
        elif isinstance(module, SparseSynapse):
            (sent,) = given
            through[id(module.out)] = names[id(sent.sender)], module.integers()
        else:
            assert given, "hxtorch runs neurons behind synapses only"
            names[id(module)] = name = f"p{len(populations)}"
            populations.append(Population(name, (module.size,), module.neuron()))
            for sent in given:
                source, w = through[id(sent)]
                connections.append(Connection(f"c{len(connections)}", source, name, Dense(w), 0, IntegerFormat(7)))
    graph = Graph(
        "recorded", tuple(Input(k, x.shape[2:]) for k, x in inputs.items()), tuple(populations), tuple(connections),
        None, steps=runtime, timeline="chip",
    )  # fmt: skip
    trace = run_graph(graph, inputs)
    for module, _ in experiment.calls:
        if isinstance(module, Neurons):
            name = names[id(module)]
            if module.fires:
                module.out.spikes = torch.as_tensor(trace.spikes[name].astype(np.float32))
            if module.cadc:
                module.out.membrane_cadc = torch.as_tensor(trace.v[name].astype(np.float32))


class SingleCompartmentNeuron:
    def __init__(self, size: int, expand_horizontally: bool = False) -> None:
        self.compartments = size


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in where `import hxtorch.spiking` finds it."""
    MADE.clear()
    hxtorch, spiking, morphology, dlens = (
        ModuleType(name) for name in ("hxtorch", "hxtorch.spiking", "hxtorch.spiking.morphology", "dlens_vx_v3")
    )
    parts: dict[str, Any] = {
        "Experiment": Experiment, "ExecutionInstance": ExecutionInstance, "InputNeuron": InputNeuron,
        "SparseSynapse": SparseSynapse, "LIF": LIF, "LI": LI, "LIFObservables": Observables, "run": run,
        "HXParameter": lambda value: Parameter(value, value), "MixedHXModelParameter": Parameter,
        "morphology": morphology,
    }  # fmt: skip
    vars(spiking).update(parts)
    vars(hxtorch)["spiking"] = spiking
    vars(morphology)["SingleCompartmentNeuron"] = SingleCompartmentNeuron
    vars(dlens)["halco"] = SimpleNamespace(
        LogicalNeuronOnDLS=lambda shape, anchor: (shape, anchor), AtomicNeuronOnDLS=lambda row, column: (row, column),
        NeuronRowOnDLS=lambda k: _within("row", k, 2), NeuronColumnOnDLS=lambda k: _within("column", k, 256),
    )  # fmt: skip
    for module in (hxtorch, spiking, morphology, dlens):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def _within(kind: str, k: int, size: int) -> tuple[str, int]:
    assert 0 <= k < size
    return kind, k


__all__ = ["LI", "LIF", "MADE", "Experiment", "Neurons", "SparseSynapse", "install"]
