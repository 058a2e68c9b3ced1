"""Runs a written PyNN script on sPyNNaker's virtual board and keeps the host's words, as a file of host encoding.

    PYTHON_OF_SPYNNAKER pynn_board.py FOLDER_OF_THE_SCRIPT RESULT.npz

Needs sPyNNaker 7.4.1 and nothing of snnkit. The home folder must have a .spynnaker.cfg with virtual_board = True.
"""

from __future__ import annotations

import json
import sqlite3
import sys

import numpy as np


def main(folder: str, result: str) -> None:
    sys.path.insert(0, folder)
    import network
    import pyNN.spiNNaker as sim
    from spinn_front_end_common.data import FecDataView
    from spynnaker.pyNN.models.neuron import PopulationMachineVertex

    net = json.loads((network.HERE / "network.json").read_text())
    arrays, vectors = np.load(network.HERE / "network.npz"), np.load(network.HERE / "vectors.npz")
    sim.setup(timestep=net["step_ms"])
    for model in (sim.IF_curr_exp, sim.IF_curr_delta):
        sim.set_number_of_neurons_per_core(model, net["neurons_per_core"])
    sources, layers = network.build(sim, net, arrays, network.rasters_of(net, vectors, 0))
    sim.run(net["ticks"] * net["step_ms"])
    number = {p._vertex.label: k for k, p in enumerate([*sources, *layers])}
    fields = {}
    rows = []
    for place in FecDataView.iterate_placemements():
        vertex = place.vertex.app_vertex
        if vertex is not None and vertex.label in number:
            part = place.vertex.vertex_slice
            rows.append((place.x, place.y, place.p, number[vertex.label], part.lo_atom, part.hi_atom))
            if isinstance(place.vertex, PopulationMachineVertex):
                fields[place.x, place.y, place.p] = True
    made = {}
    database = sqlite3.connect(FecDataView.get_ds_database_path())
    wanted = {"Neuron Core Params": "NeuronCoreParams", "neuron_params": "neuron_params"}
    wanted |= {name: name for name in ("SynapseParams", "PopTable", "SynBlocks")}
    for x, y, p, label, content in database.execute("select x, y, p, region_label, content from region"):
        if (x, y, p) in fields and label in wanted and content is not None:
            made[f"core_{x}_{y}_{p}_{wanted[label]}"] = np.frombuffer(content, "<u4").copy()
    for k, entry in enumerate(net["projections"]):
        pre, post, word, delay = (arrays[f"projection{k}.{part}"] for part in ("pre", "post", "word", "delay"))
        weight = word * 2.0 ** entry["shift"] / network.ONE * (1 - 2 * entry["receptor"])
        made[f"proj{k}_list"] = np.column_stack([pre, post, weight, delay * net["step_ms"]])
        kind, source = entry["from"]
        at = source if kind == "ports" else len(sources) + source
        made[f"proj{k}_meta"] = np.array([at, len(sources) + entry["to"], entry["receptor"], 0])
    sizes = [p.size for p in (*sources, *layers)]
    np.savez(result, sizes=np.array(sizes), timestep_ms=np.array(net["step_ms"]), placements=np.array(rows, np.int32),
             **made)  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
