"""A SpiNNaker descriptor as a PyNN script for sPyNNaker: `snnkit export --also pynn`.

    network.py     builds populations and projections, runs a sample and compares spikes (`pynn_network.py`)
    network.json   ports, layers (model, shifts), projections, step, ticks
    network.npz    layer<k>.<raw parameter> [n] s16.15; projection<p>.pre, .post, .word, .delay (steps)
    vectors.npz    port<k> [T, B, n], layer<k> [ticks, B, n]

Everything is read from the memory images: synapses are those that each neuron's key finds, through routers, population
tables and rows. The platform encodes the parameters to the same words (they are s16.15 already), and the expected
summed weight that the script states makes it choose the descriptor's ring buffer shifts, so that its weight words are
ours, too.

Findings (errors are refused):
    PLASTIC        plastic rows are not written
    STEP           neurons with different steps: PyNN has one
    SYNAPSE_STATE  a starting synaptic state
    SHIFT          a layer whose cores have different ring buffer shifts or programs
    COUNTS         a note: several packets of one line in a step are several spikes of a source at one time
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnkit._io import canonical_json
from snnkit.descriptor import Descriptor
from snnkit.descriptor.vectors import decode
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.decode_core import fields
from snnkit.targets.spinnaker.emulate import SpinnakerChip, open_chip
from snnkit.targets.writer import Lost, Writer

Array = np.ndarray[Any, Any]

SCRIPT = Path(__file__).with_name("pynn_network.py")
PARAMETERS = ("v_init", "v_rest", "v_reset", "v_thresh", "c_m", "tau_m", "i_offset", "tau_refrac", "refrac_init")
TAUS = ("tau_syn_e", "tau_syn_i")


def check(descriptor: Descriptor) -> Sequence[Lost]:
    """Everything that the script cannot hold, all at once."""
    chip = open_chip(descriptor)
    lost: list[Lost] = []
    if len(chip.plastic.rows):
        lost.append(
            Lost("PLASTIC", "synaptic_matrix", "plastic rows are not written", remedy="export the first weights")
        )
    if len(np.unique(chip.raw["ts"])) > 1:
        lost.append(Lost("STEP", "neuron_params", "neurons with different steps; PyNN has one"))
    if np.any(chip.raw["s_e"]) or np.any(chip.raw["s_i"]):
        lost.append(Lost("SYNAPSE_STATE", "neuron_params", "a synaptic state that is not 0 at the start"))
    for name, cores in _cores(chip).items():
        if len({(*chip.cores[c].shift, chip.cores[c].binary) for c in cores}) > 1:
            lost.append(Lost("SHIFT", name, "its cores have different ring buffer shifts or programs"))
    for port in descriptor.manifest.ports:
        if port.max_count > 1:
            lost.append(
                Lost("COUNTS", port.name, f"up to {port.max_count} packets of a line in a step are as many spikes of a "
                     "source at one time", "note", "binary input")
            )  # fmt: skip
    return lost


def pynn(descriptor: Descriptor, folder: Path) -> list[Path]:
    """Write the script and its data into an empty folder; returns the files. Call `check` first.

    Equal descriptors give equal bytes.
    """
    chip, manifest = open_chip(descriptor), descriptor.manifest
    step_ms = float(chip.raw["ts"][0]) / spec.ONE if chip.n_neurons else 1.0
    vectors = decode(descriptor.vectors, manifest) if descriptor.vectors else None
    steps = manifest.steps or (0 if vectors is None else max((len(x) for x in vectors.inputs.values()), default=0))
    ticks = steps + max((layer.lag for layer in manifest.layers), default=0)
    arrays: dict[str, Array] = {}
    layers = []
    cores_of = _cores(chip)
    for k, layer in enumerate(manifest.layers):
        core = chip.cores[cores_of[layer.name][0]]
        exponential = core.binary != spec.DELTA
        layers.append(
            {"name": layer.name, "n": layer.n, "model": "IF_curr_exp" if exponential else "IF_curr_delta",
             "shift": list(core.shift)}
        )  # fmt: skip
        where = chip.placement[layer.name]
        for name in PARAMETERS:
            arrays[f"layer{k}.{name}"] = chip.raw[name][where].astype(np.int32)
        if exponential:
            taus = {name: np.concatenate([c.raw.get(name, np.zeros(c.n)) for c in chip.cores]) for name in TAUS}
            arrays |= {f"layer{k}.{name}": tau[where].astype(np.int32) for name, tau in taus.items()}
    projections = _projections(descriptor, chip, arrays)
    ports = [{"name": p.name, "n": p.n, "gate_from": p.gate_from} for p in manifest.ports]
    largest = max((c.n for c in chip.cores), default=spec.NEURONS_PER_CORE)
    net = {
        "name": manifest.name, "digest": manifest.digest, "step_ms": step_ms, "steps": steps, "ticks": ticks,
        "neurons_per_core": largest, "ports": ports, "layers": layers, "projections": projections,
    }  # fmt: skip
    stored: dict[str, Array] = {}
    if vectors is not None:
        for k, port in enumerate(manifest.ports):
            if port.name in vectors.inputs:
                stored[f"port{k}"] = vectors.inputs[port.name]
        for k, layer in enumerate(manifest.layers):
            if layer.name in vectors.spikes:
                stored[f"layer{k}"] = vectors.spikes[layer.name]
    files = [folder / name for name in ("network.py", "network.json", "network.npz", "vectors.npz")]
    files[0].write_bytes(SCRIPT.read_bytes())
    files[1].write_text(canonical_json(net), encoding="utf-8")
    np.savez_compressed(files[2], **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    np.savez_compressed(files[3], **dict(sorted(stored.items())))  # type: ignore[arg-type]
    return files


def _cores(chip: SpinnakerChip) -> dict[str, list[int]]:
    """Positions in `chip.cores` of the cores of every layer."""
    first = np.array([c.first for c in chip.cores], np.int64)
    return {
        name: np.unique(np.searchsorted(first, where, side="right") - 1).tolist()
        for name, where in chip.placement.items()
    }


def _projections(descriptor: Descriptor, chip: SpinnakerChip, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Entries of network.json, one per source, layer and receptor; fills `arrays`."""
    ports, layers = descriptor.manifest.ports, descriptor.manifest.layers
    order = [k for k, p in enumerate(ports) if p.gate_from is None]
    order += [k for k, p in enumerate(ports) if p.gate_from is not None]
    node, index = np.full(chip.n_lines + chip.n_neurons, -1), np.zeros(chip.n_lines + chip.n_neurons, np.int64)
    at = 0
    for k in order:
        node[at : at + ports[k].n], index[at : at + ports[k].n] = k, np.arange(ports[k].n)
        at += ports[k].n
    layer_of, place = np.full(chip.n_neurons, -1), np.zeros(chip.n_neurons, np.int64)
    for k, layer in enumerate(layers):
        layer_of[chip.placement[layer.name]] = k
        place[chip.placement[layer.name]] = np.arange(layer.n)
    node[chip.n_lines :], index[chip.n_lines :] = len(ports) + layer_of, place
    parts = [np.zeros((0, 8), np.int64)]
    for core in chip.cores:
        none = np.zeros(0, np.int64)
        source, keys = chip.reached.get(core.number, (none, none))
        found = words.found(core.table, core.matrix, keys, core.number)
        sender, low = source[found[:, 0]], found[:, 2] & 0xFFFF
        target, receptor, delay = fields(core, low)
        delay = np.where(delay == 0, 1 << core.delay_bits, delay)
        to = core.first + target
        shift = np.asarray(core.shift)[receptor]
        columns = (node[sender], layer_of[to], receptor, shift, index[sender], place[to], found[:, 2] >> 16, delay)
        parts.append(np.stack(columns, 1))
    table = np.concatenate(parts)
    table = table[np.lexsort(table.T[::-1])]
    kinds, which = np.unique(table[:, :4], axis=0, return_inverse=True)
    entries = []
    for number, (k, to, receptor, shift) in enumerate(kinds.tolist()):
        mine = table[which.reshape(-1) == number]
        entries.append(
            {"from": ["ports", k] if k < len(ports) else ["layers", k - len(ports)], "to": to, "receptor": receptor,
             "shift": shift}
        )  # fmt: skip
        for name, column, dtype in (
            ("pre", 4, np.int32),
            ("post", 5, np.int32),
            ("word", 6, np.uint16),
            ("delay", 7, np.int32),
        ):
            arrays[f"projection{number}.{name}"] = mine[:, column].astype(dtype)
    return entries


FORMATS = {
    "pynn": Writer(
        pynn,
        title="populations and projections in PyNN",  # its host code makes our words (optional test); spikes: not run
        tool="sPyNNaker 7.4.1",
        check=check,
    )
}
