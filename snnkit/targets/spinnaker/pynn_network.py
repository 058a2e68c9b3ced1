"""A SpiNNaker network in PyNN (sPyNNaker): builds it from network.json and network.npz beside this file, and runs it.

    python network.py                  one sample, on the machine of ~/.spynnaker.cfg
    python network.py --sample 3 --virtual

Prints how many spikes of every layer differ from the stored ones; exit code 1 if any does. A virtual machine loads and
simulates nothing: it only shows that the network maps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ONE = 32768.0
RAW = {
    "v_rest": "v_rest", "v_reset": "v_reset", "v_thresh": "v_thresh", "cm": "c_m", "tau_m": "tau_m",
    "tau_refrac": "tau_refrac", "i_offset": "i_offset", "tau_syn_E": "tau_syn_e", "tau_syn_I": "tau_syn_i",
}  # fmt: skip
"""Parameters of PyNN with the names of the raw s16.15 columns."""
RECEPTORS = ("excitatory", "inhibitory")


def spike_times(raster: Any, step_ms: float) -> list[list[float]]:
    """Times in ms of the packets of every line of a raster [ticks, n]; a count of k gives k of them."""
    return [
        [float(t) * step_ms for t in np.repeat(np.arange(len(raster)), raster[:, k])] for k in range(raster.shape[1])
    ]


def build(sim: Any, net: dict[str, Any], arrays: Any, rasters: list[Any]) -> tuple[list[Any], list[Any]]:
    """Sources, one per port, and populations, one per layer, with their projections.

    Args:
        sim: pyNN.spiNNaker, set up. net: network.json. arrays: network.npz. rasters: [ticks, n] of every port.
    """
    sources = [
        sim.Population(
            port["n"], sim.SpikeSourceArray(spike_times=spike_times(raster, net["step_ms"])), label=port["name"]
        )
        for port, raster in zip(net["ports"], rasters)
    ]
    layers = []
    for k, layer in enumerate(net["layers"]):
        raw = {
            name: arrays[f"layer{k}.{column}"] / ONE for name, column in RAW.items() if f"layer{k}.{column}" in arrays
        }
        cell = getattr(sim, layer["model"])(**raw)
        # the platform takes the smallest shift n with 2**n above this sum: it gives the shifts of the descriptor
        sums = [0.75 * 2.0**shift for shift in layer["shift"]]
        population = sim.Population(
            layer["n"], cell, label=layer["name"], additional_parameters={"max_expected_summed_weight": sums}
        )
        population.initialize(v=arrays[f"layer{k}.v_init"] / ONE)
        if np.any(arrays[f"layer{k}.refrac_init"]):
            population.initialize(refract_timer=arrays[f"layer{k}.refrac_init"].astype(float))
        population.record("spikes")
        layers.append(population)
    nodes = {"ports": sources, "layers": layers}
    for number, entry in enumerate(net["projections"]):
        pre, post, word, delay = (arrays[f"projection{number}.{part}"] for part in ("pre", "post", "word", "delay"))
        sign = -1.0 if entry["receptor"] else 1.0
        weight = sign * word.astype(np.float64) * 2.0 ** entry["shift"] / ONE
        rows = np.column_stack([pre, post, weight, delay * net["step_ms"]])
        kind, k = entry["from"]
        sim.Projection(
            nodes[kind][k], layers[entry["to"]], sim.FromListConnector(rows), synapse_type=sim.StaticSynapse(),
            receptor_type=RECEPTORS[entry["receptor"]],
        )  # fmt: skip
    return sources, layers


def rasters_of(net: dict[str, Any], vectors: Any, sample: int) -> list[Any]:
    """What every port sends in every tick, [ticks, n]; gate lines as long as a sample lasts, from their step on."""
    out = []
    for k, port in enumerate(net["ports"]):
        raster = np.zeros((net["ticks"], port["n"]), np.int64)
        if port["gate_from"] is None:
            stored = vectors[f"port{k}"]
            raster[: len(stored)] = stored[: net["ticks"], sample]
        else:
            raster[port["gate_from"] : port["gate_from"] + net["steps"]] = 1
        out.append(raster)
    return out


def differing(population: Any, expected: Any, step_ms: float) -> int:
    """Neuron-steps in which the recorded spikes of a layer are not the expected ones [ticks, n]."""
    got = np.zeros(expected.shape, np.int64)
    for neuron, train in enumerate(population.get_data("spikes").segments[0].spiketrains):
        for time in train:
            got[round(float(time) / step_ms), neuron] += 1
    return int(np.sum(got != expected))


def main(arguments: list[str] | None = None) -> int:
    """Build, run, compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="which of the stored samples")
    parser.add_argument("--virtual", action="store_true", help="only map: a virtual machine simulates nothing")
    given = parser.parse_args(arguments)
    import pyNN.spiNNaker as sim

    net = json.loads((HERE / "network.json").read_text(encoding="utf-8"))
    arrays, vectors = np.load(HERE / "network.npz"), np.load(HERE / "vectors.npz")
    sim.setup(timestep=net["step_ms"])
    sim.set_number_of_neurons_per_core(sim.IF_curr_exp, net["neurons_per_core"])
    sim.set_number_of_neurons_per_core(sim.IF_curr_delta, net["neurons_per_core"])
    _, layers = build(sim, net, arrays, rasters_of(net, vectors, given.sample))
    sim.run(net["ticks"] * net["step_ms"])
    wrong = 0
    for k, layer in enumerate(net["layers"]):
        if not given.virtual and f"layer{k}" in vectors:
            count = differing(layers[k], vectors[f"layer{k}"][: net["ticks"], given.sample], net["step_ms"])
            print(f"{layer['name']}: {count} of {net['ticks'] * layer['n']} differ")
            wrong += count
    sim.end()
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
