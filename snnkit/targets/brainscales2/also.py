"""A BrainScaleS-2 descriptor in hxtorch, the vendor's PyTorch library: `snnkit export --also hxtorch`.

    network.py     builds the experiment (ExecutionInstance, InputNeuron, SparseSynapse, LIF, LI), runs the stored
                   samples and counts what differs from the stored spikes (`hxtorch_network.py`)
    network.json   parts, inputs, populations, connections, layers, readout
    network.npz    input<i>.line; population<p>.circuit and the targets tau_mem, tau_syn_e, tau_syn_i, leak, reset,
                   threshold, gain, refractory_time (seconds and codes), capacitance; connection<c>.row, .col, .weight;
                   layer<k> [n, 2], the population and the place in it of each neuron
    vectors.npz    port<k> [T, B, n], layer<k> [ticks, B, n], answer [B]

A part is an execution instance; hxtorch hands spikes from one to the next. A population is the neurons of one layer in
one part that are joined alike. What is written are neurons at their circuits, integer weights with a sign, and targets
of the calibration; drivers, labels and crossbar are worked out again by hxtorch's router.

hxtorch has no target for the strength of a synapse: its bias currents are for the whole chip. The capacitance of a
membrane is per neuron, and it moves by charge / capacitance, so it holds the ratios of the gains, in 63 steps. The
common factor has to be measured on the chip.

Findings (errors are refused):
    EMPTY          there is no neuron, or none that a spike reaches
    LOOP           populations of one part feed each other: hxtorch then needs a function of its own for them
    COUNTS         several spikes of one line in a step: tensors of spikes hold one
    UNDRIVEN       a population without synapses that is read or fires: hxtorch runs none
    MORPHOLOGY     circuits that are joined otherwise than as a rectangle of both halves
    CODE_RANGE     a leak, reset or threshold outside of the codes 0 to 255 that a calibration can aim at
    GAIN_RANGE     gains of one part that are more than 63 apart
    HOLD_OFF       a hold-off register that is not 0
    SILENT         a note: populations without synapses that never fire are left out
    GAIN           a warning: the common factor of the gains, and how far rounded capacitances are off
    CODES          a note: targets rounded to whole codes
    ROUTING        a note: the router of hxtorch chooses drivers and labels, and may find no room for shared rows
    READ_OUT       a note: hxtorch reads membranes about every 2 us and interpolates
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from snnkit._io import canonical_json
from snnkit.descriptor import Descriptor
from snnkit.descriptor.vectors import decode as decode_vectors
from snnkit.targets.brainscales2 import schema, spec
from snnkit.targets.brainscales2.populations import CAPACITANCE_MAX, PS, Group, Network
from snnkit.targets.writer import Lost, Writer

Array = np.ndarray[Any, Any]

SCRIPT = Path(__file__).with_name("hxtorch_network.py")


# --------------------------------------------------------------------------------------------------------------- checks
def check(descriptor: Descriptor) -> Sequence[Lost]:
    """What hxtorch cannot hold or does differently."""
    net = Network(descriptor)
    n = len(net.place)
    if not n or not len(net.synapses):
        return [Lost("EMPTY", "the descriptor", "no spike reaches a neuron", remedy="export a network with synapses")]
    found = [
        Lost("COUNTS", f"port {p.name}", f"up to {p.max_count} spikes of a line in a step; tensors of spikes hold one",
             remedy="train with binary input")
        for p in descriptor.manifest.ports
        if p.max_count > 1
    ]  # fmt: skip
    try:
        _ = net.order
    except CycleError as error:
        names = ", ".join(sorted({_name(net, net.groups[g]) for g in error.args[1]}))
        what = f"{names} feed each other; hxtorch needs a wrapper with a function of its own for a loop"
        found.append(Lost("LOOP", names, what, remedy="train without recurrence"))
    driven = set(net.synapses[:, 3].tolist())
    found += [
        Lost("UNDRIVEN", _name(net, group), "no synapse reaches it; hxtorch runs neurons behind synapses only",
             remedy="leave the layer out")
        for g, group in enumerate(net.groups)
        if g not in driven and g not in net.silent
    ] + [
        Lost("MORPHOLOGY", f"part {group.part}, circuit {group.circuits[0]}", "its circuits are no rectangle",
             remedy="join whole columns of both halves")
        for group in net.groups
        if not group.rows
    ]  # fmt: skip
    return [*found, *_target_findings(net)]


def _target_findings(net: Network) -> list[Lost]:
    found: list[Lost] = []
    worst = 0.0
    for group in net.groups:
        values = net.targets(group)
        for name in ("leak", "reset", "threshold") if group.fires else ("leak",):
            x = values[name]
            out = (np.rint(x) < 0) | (np.rint(x) > spec.CODE_MAX)
            if out.any():
                what = (
                    f"{name} of {int(out.sum())} neurons is {x[out][0]:.4g} codes; targets go from 0 to {spec.CODE_MAX}"
                )
                found.append(Lost("CODE_RANGE", _name(net, group), what, remedy="smaller biases or thresholds"))
            worst = max(worst, float(np.abs(np.rint(x) - x).max()))
    held = int(np.count_nonzero(net.descriptor.arrays["neuron"][..., 5]))
    if held:
        found.append(Lost("HOLD_OFF", "neuron", f"{held} circuits have a hold-off", remedy="a hold-off register of 0"))
    heard = net.gain > 0
    ratio = np.where(heard, net.gain, 1) / np.where(heard, net.least_gain, 1)
    if heard.any() and ratio.max() > CAPACITANCE_MAX:
        what = f"gains of one part are up to {ratio.max():.3g} apart; capacitances hold {CAPACITANCE_MAX}"
        found.append(Lost("GAIN_RANGE", "target", what, remedy="thresholds that are closer to each other"))
    elif heard.any():
        off = float(np.abs(CAPACITANCE_MAX / net.capacitance / ratio - 1)[heard].max())
        least = net.least_gain[heard]
        what = (
            f"no target for the strength of a synapse: capacitances hold the ratios of the gains to {100 * off:.2g} %; "
            f"a weight of 1 has to move dv/dt by {least.min():.4g} to {least.max():.4g} codes/us at capacitance "
            f"{CAPACITANCE_MAX}"
        )
        remedy = "measure it on the chip, and set --i-synin-gm and --synapse-dac-bias of network.py"
        found.append(Lost("GAIN", "target", what, "warning", remedy))
    if net.silent:
        n = sum(len(net.groups[g].neurons) for g in net.silent)
        what = f"{n} neurons that no spike reaches and that rest below the threshold are left out"
        found.append(Lost("SILENT", "neurons", what, "note"))
    if worst > 0:
        found.append(Lost("CODES", "target", f"targets are rounded to whole codes, by up to {worst:.2g}", "note"))
    what = "hxtorch's router chooses drivers, labels and crossbar; rows that sources share here may not fit there"
    found.append(Lost("ROUTING", "synapses", what, "note"))
    if not all(group.fires for group in net.groups):
        what = "hxtorch reads membranes about every 2 us and interpolates; the descriptor reads at the end of each step"
        found.append(Lost("READ_OUT", "readout", what, "note"))
    return found


def _name(net: Network, group: Group) -> str:
    return "neurons of no layer" if group.layer < 0 else net.descriptor.manifest.layers[group.layer].name


# -------------------------------------------------------------------------------------------------------------- writing
def write(descriptor: Descriptor, path: Path) -> list[Path]:
    """Write the four files of the module's docstring into the folder `path`."""
    manifest, net = descriptor.manifest, Network(descriptor)
    arrays: dict[str, Array] = {f"input{i}.line": lines for i, lines in enumerate(net.lines)}
    populations = []
    for g, group in enumerate(net.groups):
        populations.append({
            "part": group.part, "n": len(group.neurons), "fires": group.fires, "rows": group.rows,
            "columns": group.columns, "silent": g in net.silent,
        })  # fmt: skip
        arrays[f"population{g}.circuit"] = group.circuits
        arrays |= {f"population{g}.{name}": x for name, x in net.targets(group).items()}
    names = [entry.name for entry in manifest.layers]
    for k, name in enumerate(names):
        place = descriptor.arrays[schema.PLACEMENT + name].astype(np.int64)
        number = {
            (p, c): part.first + i for p, part in enumerate(net.parts) for i, c in enumerate(part.circuits.tolist())
        }
        mine = np.array([number[p, c] for p, c in place.tolist()], np.int64)
        arrays[f"layer{k}"] = net.place[mine].reshape(-1, 2)
    vectors = decode_vectors(descriptor.vectors, manifest)
    stored = {f"port{k}": vectors.inputs[p.name] for k, p in enumerate(manifest.ports) if p.name in vectors.inputs}
    stored |= {f"layer{k}": vectors.spikes[name] for k, name in enumerate(names) if name in vectors.spikes}
    if vectors.readout is not None:
        stored["answer"] = vectors.readout
    ticks = [len(a) for key, a in stored.items() if key.startswith("layer")]
    readout = manifest.readout
    whole = {
        "name": manifest.name, "digest": manifest.digest, "spikes": "not run",
        "step_s": schema.read_section(manifest).step_ps * PS, "parts": len(net.parts),
        "ticks": ticks[0] if ticks else (manifest.steps or 0) + manifest.max_lag,
        "samples": max((a.shape[1] for key, a in stored.items() if key != "answer"), default=0),
        "ports": [{"name": p.name, "n": p.n, "gate_from": p.gate_from} for p in manifest.ports],
        "inputs": [{"part": p, "port": port, "delay": delay, "n": len(lines)}
                   for (p, port, delay), lines in zip(net.inputs, net.lines)],
        "populations": populations, "order": net.order,
        "connections": _connections(net, arrays),
        "layers": [{"name": e.name, "n": e.n, "fires": all(g.fires for g in net.groups if g.layer == k)}
                   for k, e in enumerate(manifest.layers)],
        "readout": None if readout is None else {"rule": readout.rule, "layer": names.index(readout.layer)},
    }  # fmt: skip
    files = [path / name for name in ("network.py", "network.json", "network.npz", "vectors.npz")]
    files[0].write_bytes(SCRIPT.read_bytes())
    files[1].write_text(canonical_json(whole), encoding="utf-8")
    np.savez_compressed(files[2], **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    np.savez_compressed(files[3], **dict(sorted(stored.items())))  # type: ignore[arg-type]
    return files


def _connections(net: Network, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Entries of `network.json`, one per source, target population and repetition; fills `arrays`."""
    table = net.synapses[np.lexsort(net.synapses.T[::-1])]
    pair = np.ones(len(table), bool)
    pair[1:] = (table[1:, :5] != table[:-1, :5]).any(1)
    first = np.flatnonzero(pair)
    repeat = np.arange(len(table)) - np.repeat(first, np.diff(np.append(first, len(table))))
    keys = np.stack([table[:, 3], table[:, 0], table[:, 1], repeat], 1)
    order = np.lexsort((table[:, 2], table[:, 4], *keys.T[::-1]))
    table, keys = table[order], keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = (keys[1:] != keys[:-1]).any(1)
    entries = []
    for c, (begin, end) in enumerate(pairwise([*np.flatnonzero(new).tolist(), len(keys)])):
        to, kind, k, _ = keys[begin].tolist()
        entries.append({"from": ["populations" if kind else "inputs", k], "to": to})
        arrays[f"connection{c}.row"] = table[begin:end, 4].astype(np.int32)
        arrays[f"connection{c}.col"] = table[begin:end, 2].astype(np.int32)
        arrays[f"connection{c}.weight"] = table[begin:end, 5].astype(np.int8)
    return entries


FORMATS = {
    "hxtorch": Writer(
        write,
        title="modules of hxtorch.spiking",
        tool="hxtorch.spiking as of 2025 (LIF, LI, SparseSynapse)",
        check=check,
    )
}
