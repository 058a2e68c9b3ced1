"""A TrueNorth descriptor as files of RANC, the open reconfigurable architecture: `snnkit export --also ranc`.

    config.json    sizes of cores and grid, `neuron_reset_type` 0 (strict negative test)
    input.json     output bus, cores, packets of sample 0
    samples.json   packets and expected outputs of every stored sample
    run.py         runs the samples in RANC's simulator and compares (`ranc_run.py`)

RANC's `destination_tick` is the delay less 1, its `negative_threshold` is minus ours, and its coordinates start at 0,
so the grid is shifted. Packets enter at its corner with absolute places; one for tick t is in list t with tick 0.
Neurons without a destination report to a spare line of the output bus, the last one.
Source: UA-RCL/RANC, commit 08ae4bd, simulator/src/decode.hpp, neuronblock.cpp, schedulersram.cpp, outputbus.cpp.

Findings (errors are refused; only neurons count that can do anything):
    STOCHASTIC      RANC draws no random numbers: stochastic synapses, leaks and masked thresholds
    LEAK_REVERSAL   its leak has one sign
    RESET_MODE      it has reset modes 0 and 1, not 2
    SATURATION      it has no saturating negative threshold; accepted where V = -beta is what its reset gives too, or
                    where V cannot fall to -beta within the run (a note then says for how many ticks)
    PORTS           a port carries counts; a packet is a spike
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.descriptor.vectors import Vectors, decode
from snnkit.targets.truenorth import schema, spec
from snnkit.targets.truenorth.schema import AXONS, column
from snnkit.targets.writer import Lost, Writer

Array = np.ndarray[Any, Any]

SCRIPT = Path(__file__).with_name("ranc_run.py")
_REVERSAL, _STOCHASTIC = 1, 2
_TO_VALUE, _SUBTRACT, _KEEP = 0, 1, 2


def neurons(descriptor: Descriptor) -> dict[str, Array]:
    """Columns of the neuron table [C,256] with the weights [C,256,4], the crossbar and what follows from them.

    `used`: has a synapse, a leak, a destination or a potential. `reach` [C,256,4]: has a crossbar bit on that type.
    """
    arrays = descriptor.arrays
    table = arrays["neuron"]
    n = {name: column(table, name) for name in schema.NEURON_COLUMNS}
    n["crossbar"] = schema.unpack_crossbar(arrays["crossbar"])
    kinds = schema.unpack_axon_types(arrays["axon_type"])
    n["kinds"] = kinds
    n["weight"] = np.stack([n[f"weight{k}"] for k in range(spec.AXON_TYPES)], 2)
    per_type = [(n["crossbar"] * (kinds == k)[:, :, None]).sum(1, dtype=np.int64) for k in range(spec.AXON_TYPES)]
    n["fan_in"] = np.stack(per_type, 2)
    n["reach"] = n["fan_in"] > 0
    n["mode"], n["saturates"] = n["reset"] % 4, n["reset"] // 4
    linked = arrays["destination"][:, :, 0] != schema.NOWHERE
    n["used"] = n["reach"].any(2) | (n["leak"] != 0) | linked | (n["v_init"] != 0) | (n["threshold"] == 0)
    return n


def safe_ticks(n: dict[str, Array]) -> Array:
    """Ticks [C,256] in which V cannot fall below -beta, whatever the input; -1 if for any number.

    V starts at v_init or, after a spike, at R (mode 0) or at least 0 (mode 1), and falls by no more than all negative
    weights and leak in a tick.
    """
    fall = -(np.minimum(n["weight"], 0) * n["fan_in"]).sum(2) - np.minimum(n["leak"], 0)
    start = np.minimum(n["v_init"], np.where(n["mode"] == _TO_VALUE, n["reset_value"], 0))
    room = start + n["neg_threshold"]
    return np.where((fall == 0) & (room >= 0), -1, np.maximum(room, 0) // np.maximum(fall, 1))


def _run_ticks(descriptor: Descriptor) -> int:
    manifest = descriptor.manifest
    spikes = decode(descriptor.vectors, manifest).spikes
    return max([(manifest.steps or 0) + manifest.max_lag, *(len(s) for s in spikes.values())])


# --------------------------------------------------------------------------------------------------------------- checks
def check(descriptor: Descriptor) -> list[Lost]:
    """What RANC cannot hold."""
    n, ticks = neurons(descriptor), _run_ticks(descriptor)
    used = n["used"]
    drawn = ((n["synapse_stochastic"][:, :, None] >> np.arange(spec.AXON_TYPES)) & 1 == 1) & n["reach"]
    moving = used & (n["leak"] != 0)
    chance = (drawn & (n["weight"] != 0)).any(2) | (moving & (n["leak_flags"] & _STOCHASTIC != 0))
    alike = (n["mode"] == _TO_VALUE) & (n["reset_value"] == n["neg_threshold"])
    kappa, safe = used & (n["saturates"] != 0) & ~alike, safe_ticks(n)
    found = [
        _lost("STOCHASTIC", used & (chance | (n["thr_mask_bits"] > 0)), "{} neurons draw random numbers; RANC has none",
              "use deterministic synapses, leaks and thresholds"),
        _lost("LEAK_REVERSAL", moving & (n["leak_flags"] & _REVERSAL != 0),
              "{} neurons have a leak that follows the sign of V; RANC's does not", "use a bias instead"),
        _lost("RESET_MODE", used & (n["mode"] == _KEEP), "{} neurons keep V when they fire (reset mode 2)",
              "reset to zero or subtract"),
        _lost("SATURATION", kappa & (safe >= 0) & (safe < ticks),
              f"{{}} neurons could fall to their saturating negative threshold within {ticks} ticks; RANC has none",
              "a lower negative threshold, or shorter runs"),
    ]  # fmt: skip
    if any(p.max_count > 1 for p in descriptor.manifest.ports):
        found.append(Lost("PORTS", "the input", "a port carries counts; a packet is one spike", remedy="binary input"))
    bounded = safe[kappa & (safe >= ticks)]
    if not any(found) and bounded.size:
        what = f"equal for runs of up to {int(bounded.min())} ticks: RANC has no saturating negative threshold"
        found.append(Lost("SATURATION", "the neurons", what, "note"))
    return [lost for lost in found if lost is not None]


def _lost(code: str, bad: Array, what: str, remedy: str) -> Lost | None:
    where = np.argwhere(bad)
    if not len(where):
        return None
    return Lost(code, f"core {where[0][0]}, neuron {where[0][1]}", what.format(len(where)), remedy=remedy)


# -------------------------------------------------------------------------------------------------------------- writing
def write(descriptor: Descriptor, path: Path) -> list[Path]:
    """Write the four files of the module's docstring into the folder `path`."""
    arrays, manifest = descriptor.arrays, descriptor.manifest
    section = schema.TrueNorthSection.model_validate(manifest.chip)
    xy = arrays["core"].astype(np.int64)
    bus = np.array(section.output_xy, np.int64)
    every = np.concatenate([xy, bus[None]])
    shift = -every.min(0)
    lines = len(arrays["output_line"])
    n = neurons(descriptor)
    cores = [_core(descriptor, n, c, (xy[c] + shift).tolist(), bus - xy[c], lines) for c in range(len(xy))]
    spare = any(neuron["destination_axon"] == lines and neuron["destination_core_offset"] == (bus - xy[c]).tolist()
                for c, core in enumerate(cores) for neuron in core["neurons"])  # fmt: skip
    width, height = (int(k) for k in (every + shift).max(0) + 1)
    config = {
        "num_neurons": schema.NEURONS, "num_axons": AXONS, "num_cores_x": width, "num_cores_y": height,
        "num_weights": spec.AXON_TYPES, "max_tick_offset": spec.SCHEDULER_ROWS, "neuron_block_trace_verbosity": 0,
        "core_controller_trace_verbosity": 0, "scheduler_trace_verbosity": 0, "neuron_reset_type": 0,
    }  # fmt: skip
    vectors = decode(descriptor.vectors, manifest)
    known = _known_lines(descriptor, vectors)
    samples = _samples(descriptor, vectors, known, xy + shift, _run_ticks(descriptor))
    network = {
        "output_bus": {"coordinates": (bus + shift).tolist(), "num_outputs": lines + spare},
        "cores": cores,
        "packets": samples[0]["packets"] if samples else [],
    }
    files = [path / name for name in ("config.json", "input.json", "samples.json", "run.py")]
    for file, value in zip(files, (config, network, {"known_lines": sorted(known), "samples": samples})):
        file.write_text(json.dumps(value, separators=(",", ":")) + "\n", encoding="utf-8")
    files[3].write_bytes(SCRIPT.read_bytes())
    return files


def _core(
    descriptor: Descriptor, n: dict[str, Array], c: int, place: list[int], to_bus: Array, spare: int
) -> dict[str, Any]:
    """One entry of `cores`; neurons after the last used one are left out: RANC fills up with such that never fire."""
    used = np.flatnonzero(n["used"][c])
    count = int(used[-1]) + 1 if len(used) else 0
    bits = n["crossbar"][c]
    axons = np.flatnonzero(bits.any(1))
    width = int(axons[-1]) + 1 if len(axons) else 0
    entries = []
    for i in range(count):
        kind, dx, dy, to, delay = descriptor.arrays["destination"][c, i].tolist()
        if kind == schema.NOWHERE:
            (dx, dy), to, delay = to_bus.tolist(), spare, spec.DELAY_MIN
        entries.append({
            "reset_potential": int(n["reset_value"][c, i]), "weights": n["weight"][c, i].tolist(),
            "leak": int(n["leak"][c, i]), "positive_threshold": int(n["threshold"][c, i]),
            "negative_threshold": -int(n["neg_threshold"][c, i]), "destination_core_offset": [dx, dy],
            "destination_axon": to, "destination_tick": delay - 1, "current_potential": int(n["v_init"][c, i]),
            "reset_mode": int(n["mode"][c, i]),
        })  # fmt: skip
    return {
        "coordinates": place, "axons": n["kinds"][c, :width].tolist(), "neurons": entries,
        "connections": bits[:width, :count].T.tolist(),
    }  # fmt: skip


def _known_lines(descriptor: Descriptor, vectors: Vectors) -> dict[int, Array]:
    """Expected spikes [ticks, B] of every line of the output port that the vectors tell."""
    layers, known = descriptor.manifest.layers, {}
    for k, (layer, neuron) in enumerate(descriptor.arrays["output_line"].tolist()):
        if layer >= 0 and layers[layer].name in vectors.spikes:
            known[k] = vectors.spikes[layers[layer].name][:, :, neuron]
    for entry in layers:
        place = descriptor.arrays[schema.PLACEMENT + entry.name]
        for neuron in np.flatnonzero(place[:, 0] == schema.IS_LINE):
            if entry.name in vectors.spikes:
                known[int(place[neuron, 2])] = vectors.spikes[entry.name][:, :, neuron]
    return known


def _samples(
    descriptor: Descriptor, vectors: Vectors, known: dict[int, Array], xy: Array, ticks: int
) -> list[dict[str, Any]]:
    """Packets and expected outputs of every sample, per tick."""
    ports, host = descriptor.manifest.ports, descriptor.arrays["host_input"]
    if not vectors.inputs:
        return []
    steps, batch = next(iter(vectors.inputs.values())).shape[:2]
    samples = []
    for b in range(batch):
        active: list[set[tuple[int, int]]] = [set() for _ in range(ticks)]
        for port, line, core, axon, delay in host.tolist():
            gate = ports[port].gate_from
            rows = range(gate, gate + steps) if gate is not None else \
                np.flatnonzero(vectors.inputs[ports[port].name][:, b, line]).tolist()  # fmt: skip
            for t in rows:
                if t + delay < ticks:
                    active[t + delay].add((core, axon))
        packets = [
            [{"destination_core": xy[core].tolist(), "destination_axon": axon, "destination_tick": 0}
             for core, axon in sorted(row)]
            for row in active
        ]  # fmt: skip
        outputs = [[k for k in sorted(known) if t < len(known[k]) and known[k][t, b]] for t in range(ticks)]
        samples.append({"packets": packets, "outputs": outputs})
    return samples


FORMATS = {
    "ranc": Writer(
        write,
        title="configuration and input of RANC's software simulator",
        tool="RANC, commit 08ae4bd",
        check=check,
    )
}
