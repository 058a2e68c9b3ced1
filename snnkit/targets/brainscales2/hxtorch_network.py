"""A BrainScaleS-2 network in hxtorch: builds its modules from the files beside this one, runs samples, counts spikes.

    python network.py                    every stored sample on the chip; what differs from the stored spikes
    python network.py --mock             in hxtorch's simulation in steps instead of on a chip

Needs hxtorch (as of 2025) and its environment, with torch and numpy, nothing else; `build` gives the modules to
programs that import this file. It was written from hxtorch's public interface and has not been run. The chip is
calibrated to the targets in network.npz when it first runs. Circuits differ, so spikes are compared by their counts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

Array = Any


class Net:
    """The modules of a network in the order of `network.json`, None for silent neurons, and the experiment."""

    def __init__(self, experiment: Any, inputs: list[Any], synapses: list[Any], neurons: list[Any]) -> None:
        self.experiment, self.inputs, self.synapses, self.neurons = experiment, inputs, synapses, neurons


def neurons(entry: dict[str, Any], part: Any, experiment: Any, targets: dict[str, Array], bias: dict[str, int]) -> Any:
    """LIF or LI of one population at its circuits, with its calibration targets.

    Targets of the chip are whole codes and seconds; `model_value` is what a simulation takes: with a capacitance of
    1e-6 / gain, a weight of 1 moves dv/dt by gain codes per us.
    """
    import hxtorch.spiking as hxsnn
    import torch
    from dlens_vx_v3 import halco
    from hxtorch.spiking.morphology import SingleCompartmentNeuron

    def number(name: str) -> Any:
        return torch.as_tensor(targets[name], dtype=torch.float64)

    def code(name: str) -> Any:
        return hxsnn.MixedHXModelParameter(number(name), torch.round(number(name)).to(torch.int64))

    shape = SingleCompartmentNeuron(entry["rows"] * entry["columns"])
    places = [
        halco.LogicalNeuronOnDLS(
            shape.compartments,
            halco.AtomicNeuronOnDLS(halco.NeuronRowOnDLS(int(c) // 256), halco.NeuronColumnOnDLS(int(c) % 256)),
        )
        for c in targets["circuit"]
    ]
    tau_syn = torch.stack([number("tau_syn_e"), number("tau_syn_i")])
    gain = number("gain")
    capacitance = torch.where(gain > 0, 1e-6 / gain.clamp(min=1e-30), torch.ones_like(gain))
    options = {
        "experiment": experiment, "execution_instance": part, "placement_constraint": places,
        "neuron_structure": shape, "tau_mem": hxsnn.HXParameter(number("tau_mem")),
        "tau_syn": hxsnn.MixedHXModelParameter(tau_syn[0], tau_syn), "leak": code("leak"),
        "membrane_capacitance": hxsnn.MixedHXModelParameter(capacitance, torch.as_tensor(targets["capacitance"])),
        **bias,
    }  # fmt: skip
    if not entry["fires"]:
        return hxsnn.LI(entry["n"], enable_cadc_recording=True, **options)
    return hxsnn.LIF(
        entry["n"], reset=code("reset"), threshold=code("threshold"),
        refractory_time=hxsnn.HXParameter(number("refractory_time")), holdoff_time=0.0, enable_cadc_recording=False,
        **options,
    )  # fmt: skip


def build(net: dict[str, Any], arrays: Any, mock: bool = False, bias: dict[str, int] | None = None) -> Net:
    """All modules.

    Args:
        net: `network.json`. arrays: `network.npz`. mock: simulate instead of using a chip.
        bias: i_synin_gm and synapse_dac_bias, for the whole chip; what is missing is hxtorch's default.
    """
    import hxtorch.spiking as hxsnn
    import torch

    experiment = hxsnn.Experiment(mock=mock, dt=net["step_s"])
    parts = [hxsnn.ExecutionInstance() for _ in range(net["parts"])]
    inputs = [hxsnn.InputNeuron(i["n"], experiment, execution_instance=parts[i["part"]]) for i in net["inputs"]]
    made: list[Any] = []
    for p, entry in enumerate(net["populations"]):
        if entry["silent"]:
            made.append(None)
            continue
        names = ("circuit", "tau_mem", "tau_syn_e", "tau_syn_i", "leak", "reset", "threshold", "gain",
                 "refractory_time", "capacitance")  # fmt: skip
        targets = {name: arrays[f"population{p}.{name}"] for name in names}
        made.append(neurons(entry, parts[entry["part"]], experiment, targets, bias or {}))
    synapses = []
    for c, entry in enumerate(net["connections"]):
        kind, k = entry["from"]
        target = net["populations"][entry["to"]]
        row, col = arrays[f"connection{c}.row"].astype(np.int64), arrays[f"connection{c}.col"].astype(np.int64)
        weight = torch.zeros(target["n"], net[kind][k]["n"])
        weight[row, col] = torch.as_tensor(arrays[f"connection{c}.weight"].astype(np.float32))
        synapse = hxsnn.SparseSynapse((weight != 0).float().T, experiment, execution_instance=parts[target["part"]])
        synapse.weight.data = weight
        synapses.append(synapse)
    return Net(experiment, inputs, synapses, made)


def rasters(net: dict[str, Any], arrays: Any, data: dict[int, Array], steps: int, batch: int) -> list[Array]:
    """float32 [ticks, batch, n] of every input: its lines, delayed; gate lines are driven here.

    Args:
        data: [T, batch, n] by port, gates left out. steps: T.
    """
    result = []
    for i, entry in enumerate(net["inputs"]):
        port = net["ports"][entry["port"]]
        if port["gate_from"] is None:
            lines = data[entry["port"]][..., arrays[f"input{i}.line"]]
            begin = entry["delay"]
        else:
            lines = np.ones((steps, batch, entry["n"]))
            begin = port["gate_from"] + entry["delay"]
        raster = np.zeros((net["ticks"], batch, entry["n"]), np.float32)
        room = raster[begin : begin + steps]
        room[:] = lines[: len(room)]
        result.append(raster)
    return result


def simulate(net: dict[str, Any], modules: Net, inputs: list[Array]) -> list[Array]:
    """Spikes [ticks, batch, n] of every population, or v in codes of one that does not fire."""
    import hxtorch.spiking as hxsnn
    import torch

    sent = [m(hxsnn.LIFObservables(spikes=torch.as_tensor(x))) for m, x in zip(modules.inputs, inputs)]
    given: dict[int, Any] = {}
    for p in net["order"]:
        arriving = []
        for c, entry in enumerate(net["connections"]):
            if entry["to"] == p:
                kind, k = entry["from"]
                arriving.append(modules.synapses[c](sent[k] if kind == "inputs" else given[k]))
        given[p] = modules.neurons[p](*arriving)
    hxsnn.run(modules.experiment, net["ticks"])
    traces = []
    for p, entry in enumerate(net["populations"]):
        if entry["silent"]:
            traces.append(np.zeros((*inputs[0].shape[:2], entry["n"]), np.float32))
            continue
        trace = given[p].spikes if entry["fires"] else given[p].membrane_cadc
        traces.append(np.asarray(trace.detach().cpu())[: net["ticks"]])
    return traces


def layers(net: dict[str, Any], arrays: Any, traces: list[Array]) -> list[Array]:
    """[ticks, batch, n] of every layer, from the populations of its parts."""
    result = []
    for k in range(len(net["layers"])):
        columns = [traces[p][..., i] for p, i in arrays[f"layer{k}"].tolist()]
        result.append(np.stack(columns, -1))
    return result


def answers(net: dict[str, Any], trace: Array, steps: int) -> Array:
    """The class of each sample [batch]: the readout's rule over its steps, ties to the lowest."""
    rule, window = net["readout"]["rule"], trace[:steps].astype(np.float64)
    if rule in ("count", "mean"):
        scores = window.sum(0)
    elif rule == "first":
        scores = np.where(window.any(0), len(window) - (window != 0).argmax(0), 0)
    else:
        scores = window.max(0) if rule == "max" else window[-1]
    return scores.argmax(-1)


def main() -> int:
    """Run the stored samples and say what differs; 1 if there are none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mock", action="store_true", help="simulate instead of using a chip")
    parser.add_argument("--i-synin-gm", type=int, help="strength of all synapses of the chip, see about.json")
    parser.add_argument("--synapse-dac-bias", type=int, help="likewise")
    args = parser.parse_args()
    bias = {k: v for k, v in (("i_synin_gm", args.i_synin_gm), ("synapse_dac_bias", args.synapse_dac_bias)) if v}
    here = Path(__file__).resolve().parent
    net = json.loads((here / "network.json").read_text(encoding="utf-8"))
    arrays, vectors = np.load(here / "network.npz"), np.load(here / "vectors.npz")
    data = {k: vectors[f"port{k}"] for k in range(len(net["ports"])) if f"port{k}" in vectors}
    if not net["samples"]:
        print("no samples are stored: nothing was compared")
        return 1
    steps = len(next(iter(data.values()))) if data else net["ticks"]
    modules = build(net, arrays, args.mock, bias)
    traces = layers(net, arrays, simulate(net, modules, rasters(net, arrays, data, steps, net["samples"])))
    for k, entry in enumerate(net["layers"]):
        if f"layer{k}" in vectors and entry["fires"]:  # hxtorch says whether there was a spike in a step, not how many
            stored, mine = (np.minimum(x, 1).astype(np.int64) for x in (vectors[f"layer{k}"], traces[k]))
            differ = int(np.abs(stored - mine).sum())
            print(f"{entry['name']}: {int(mine.sum())} steps with spikes, {int(stored.sum())} stored, {differ} differ")
    if "answer" in vectors:
        mine = answers(net, traces[net["readout"]["layer"]], steps)
        print(f"answers equal: {int((mine == vectors['answer']).sum())} of {net['samples']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
