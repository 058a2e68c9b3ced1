"""A Loihi descriptor as processes of lava, Intel's open framework: `snnkit export --also lava-net`.

    network.py     builds the processes (LIF, Dense, Sparse, DelaySparse, RingBuffer) and runs them on the CPU in lava's
                   fixed-point models, whose spikes it compares with the stored ones (`lava_network.py`)
    network.json   ports, groups of compartments with equal registers, connections, layers, readout
    network.npz    neurons<k>.v, .bias_mant, .bias_exp; connection<c>.row, .col, .weight, .delay; layer<j> [n], the
                   group of each neuron
    vectors.npz    port<k> [T, B, n], layer<j> [ticks, B, n], answer [B]

lava-dl's own file (netx, .net) is not used: it clips weights of both signs to 8 bits without an exponent above 0, and
has one threshold and one pair of decays per layer, one connection into each, and no gated lines, so few descriptors
would come back from it unchanged (lava-dl 0.6.0, netx/hdf5.py, netx/utils.py).

lava's LIF takes one du, dv and threshold, so the compartments of a layer are grouped by them: a group is as wide as the
layer, and neurons of other groups get no input in it. Connections have one exponent and sign mode, so synapses are
grouped by these. Where the exponent is negative lava floors the sum and the chip each weight
(options A2, A3): the low bits that the chip drops are cleared first, which makes both the same.

Findings (errors are refused):
    EMPTY          there is no compartment
    REFRACTORY     lava's fixed-point LIF has no refractory period
    CURRENT_DECAY  an effective current decay of 0 needs ds_offset 0; lava's is always 1 (A12)
    VOLTAGE_CLIP   lava clips v at +-(2^23 - 1), whatever the core's registers say
    WEIGHT_LIMIT   the weight that the chip clips (A4) is no mantissa and exponent
    BIAS           no starting potential is brought to 0 by this bias and decay
    WRAP           a note: sums could leave 22 or 24 bits, where the chip wraps and lava does not (A6 to A8)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from snnkit._io import canonical_json
from snnkit.descriptor import Descriptor
from snnkit.descriptor.vectors import decode
from snnkit.emulator.rows import ragged
from snnkit.targets.loihi import schema, spec
from snnkit.targets.loihi.emulate import decode_wires
from snnkit.targets.writer import Lost, Writer

Array = np.ndarray[Any, Any]

SCRIPT = Path(__file__).with_name("lava_network.py")
_VMIN_EXP, _VMAX_EXP, _DS_OFFSET = 23, 7, 1
"""The registers that lava's LIF stands for."""


@dataclass(frozen=True)
class Compartments:
    """Registers [N] of all compartments, their place, and the group that each is in.

    `layer` [N] (the one after the last: of none), `index` [N] within it; `group` [N]; `registers` [G,4]: layer,
    effective du, dv, vth.
    """

    refract: Array
    vmin_exp: Array
    vmax_exp: Array
    bias_mant: Array
    bias_exp: Array
    layer: Array
    index: Array
    group: Array
    registers: Array

    @property
    def decay(self) -> tuple[Array, Array]:
        """Effective du and dv of every compartment."""
        return self.registers[self.group, 1], self.registers[self.group, 2]


def compartments(descriptor: Descriptor) -> Compartments:
    """Decode the compartments and group those of a layer with equal du, dv and threshold."""
    arrays = descriptor.arrays
    ptr, table = arrays["core_ptr"], arrays["compartment"]
    core = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr[:, 0]))
    profile = arrays["compartment_profile"][ptr[core, 1] + table[:, 0]].astype(np.int64)
    vth = arrays["threshold_profile"][ptr[core, 2] + table[:, 1]].astype(np.int64)
    registers = arrays["core"][core].astype(np.int64)
    layers = descriptor.manifest.layers
    layer, index = np.full(len(table), len(layers), np.int64), np.zeros(len(table), np.int64)
    for k, entry in enumerate(layers):
        place = arrays[schema.PLACEMENT + entry.name]
        mine = ptr[place[:, 0], 0] + place[:, 1]
        layer[mine], index[mine] = k, np.arange(len(mine))
    rest = layer == len(layers)
    index[rest] = np.arange(np.count_nonzero(rest))
    keys = np.stack([layer, profile[:, 0] + registers[:, 0], profile[:, 1], vth], 1)
    groups, group = np.unique(keys, axis=0, return_inverse=True)
    return Compartments(
        profile[:, 2], registers[:, 1], registers[:, 2], table[:, 2].astype(np.int64), table[:, 3].astype(np.int64),
        layer, index, group.reshape(-1), groups,
    )  # fmt: skip


def synapses(descriptor: Descriptor) -> dict[str, Array]:
    """Every synapse: source (data lines, gate lines, compartments), target, mantissa, exponent, delay register [S].

    Mantissas are as the chip uses them: the bits that a negative exponent shifts out are 0.
    """
    wires = decode_wires(descriptor)
    length = np.diff(wires.ptr)[wires.list_of]
    at = ragged(wires.ptr[wires.list_of], length)
    exponent = wires.wgt_exp[at].astype(np.int64)
    low = np.maximum(-exponent, 0)
    return {
        "source": np.repeat(wires.source, length),
        "target": np.repeat(wires.base, length) + wires.target[at],
        "mantissa": (wires.mantissa[at].astype(np.int64) >> low) << low,
        "exponent": exponent,
        "delay": wires.delay[at].astype(np.int64),
    }


def start(bias: Array, dv: Array) -> Array:
    """The v [N] that one more step brings to 0: dec(v, dv) + bias = 0."""
    return -np.sign(bias) * -(-(np.abs(bias) << spec.DECAY_BITS) // ((1 << spec.DECAY_BITS) - dv))


# --------------------------------------------------------------------------------------------------------------- checks
def check(descriptor: Descriptor) -> list[Lost]:
    """What lava's fixed-point models cannot hold or do differently."""
    c, s = compartments(descriptor), synapses(descriptor)
    du, dv = c.decay
    bias = c.bias_mant << c.bias_exp
    found = [
        _lost("REFRACTORY", c.refract > 1, "{} compartments have a refractory period; lava's fixed-point LIF has none",
              "train without refractory steps"),
        _lost("CURRENT_DECAY", du == 0, "{} compartments have an effective current decay of 0; lava's is at least 1",
              "use a current that decays"),
        _lost("VOLTAGE_CLIP", (c.vmin_exp != _VMIN_EXP) | (c.vmax_exp != _VMAX_EXP),
              "{} compartments clip v elsewhere than lava, at +-(2^23 - 1)", "vmin exponent 23, vmax exponent 7"),
        _lost("BIAS", np.abs(start(bias, dv)) >= 2**31,
              "{} compartments have a bias that no starting potential of 32 bits makes up for", "a smaller bias"),
        _lost("WEIGHT_LIMIT", s["mantissa"] << (spec.WEIGHT_SHIFT + s["exponent"].clip(0)) < -spec.WEIGHT_LIMIT,
              "{} synapses have mantissa -256 at exponent 7, which the chip clips", "use -254"),
    ]  # fmt: skip
    if not len(du):
        found.append(Lost("EMPTY", "the descriptor", "it has no compartment", remedy="export a network with neurons"))
    counts = max((p.max_count for p in descriptor.manifest.ports), default=1)
    size = np.abs(s["mantissa"]) << spec.WEIGHT_SHIFT
    size = np.where(s["exponent"] < 0, size >> (-s["exponent"]).clip(0), size << s["exponent"].clip(0))
    q = np.bincount(s["target"], size, len(du)) * counts
    u = q * (1 << spec.DECAY_BITS) / np.maximum(du, 1)
    may = (q >= 1 << (spec.Q_BITS - 1)) | (u + np.abs(bias) >= 1 << (spec.U_BITS - 1))
    if not any(found):
        what = "{} compartments could be driven beyond 22 bits of input or 24 bits of u + bias if all their sources " \
               "spike: there the chip wraps and lava does not"  # fmt: skip
        found.append(_lost("WRAP", may, what, "compare the spikes: python network.py", "note"))
    return [lost for lost in found if lost is not None]


def _lost(code: str, bad: Array, what: str, remedy: str, severity: Any = "error") -> Lost | None:
    n = int(np.count_nonzero(bad))
    unit = "synapse" if "synapses" in what.split()[1] else "compartment"
    return Lost(code, f"{unit} {int(bad.argmax())}", what.format(n), severity, remedy) if n else None


# -------------------------------------------------------------------------------------------------------------- writing
def write(descriptor: Descriptor, path: Path) -> list[Path]:
    """Write the four files of the module's docstring into the folder `path`."""
    manifest, c = descriptor.manifest, compartments(descriptor)
    v = start(c.bias_mant << c.bias_exp, c.decay[1])
    arrays: dict[str, Array] = {}
    size = np.bincount(c.layer, minlength=len(manifest.layers)).tolist()
    neurons = []
    for k, (layer, decay_u, decay_v, vth) in enumerate(c.registers.tolist()):
        mine = np.flatnonzero(c.group == k)
        neurons.append({"layer": layer, "n": size[layer], "du": decay_u - _DS_OFFSET, "dv": decay_v, "vth": vth})
        for name, values, dtype in (
            ("v", v, np.int32), ("bias_mant", c.bias_mant, np.int16), ("bias_exp", c.bias_exp, np.int16)
        ):  # fmt: skip
            arrays[f"neurons{k}.{name}"] = np.zeros(size[layer], dtype)
            arrays[f"neurons{k}.{name}"][c.index[mine]] = values[mine]
    connections = _connections(descriptor, c, arrays)
    vectors = decode(descriptor.vectors, manifest)
    stored: dict[str, Array] = {f"port{k}": vectors.inputs[p.name] for k, p in enumerate(manifest.ports)
                                if p.name in vectors.inputs}  # fmt: skip
    ticks = (manifest.steps or 0) + manifest.max_lag
    for k in range(len(size)):
        mine = np.flatnonzero(c.layer == k)
        arrays[f"layer{k}"] = c.group[mine[np.argsort(c.index[mine])]].astype(np.int32)
    for k, entry in enumerate(manifest.layers):
        if entry.name in vectors.spikes:
            stored[f"layer{k}"] = vectors.spikes[entry.name]
            ticks = len(stored[f"layer{k}"])
    if vectors.readout is not None:
        stored["answer"] = vectors.readout
    names = [entry.name for entry in manifest.layers]
    readout = manifest.readout
    net = {
        "name": manifest.name, "digest": manifest.digest, "steps": manifest.steps, "ticks": ticks,
        "samples": max((a.shape[1] for key, a in stored.items() if key != "answer"), default=0),
        "ports": [{"name": p.name, "n": p.n, "gate_from": p.gate_from, "max_count": p.max_count}
                  for p in manifest.ports],
        "neurons": neurons,
        "connections": connections,
        "layers": [{"name": e.name, "n": e.n, "lag": e.lag} for e in manifest.layers]
        + [{"name": None, "n": n, "lag": 0} for n in size[len(manifest.layers) :]],
        "readout": None if readout is None else {"rule": readout.rule, "layer": names.index(readout.layer)},
    }  # fmt: skip
    files = [path / name for name in ("network.py", "network.json", "network.npz", "vectors.npz")]
    files[0].write_bytes(SCRIPT.read_bytes())
    files[1].write_text(canonical_json(net), encoding="utf-8")
    np.savez_compressed(files[2], **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    np.savez_compressed(files[3], **dict(sorted(stored.items())))  # type: ignore[arg-type]
    return files


def _connections(descriptor: Descriptor, c: Compartments, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Entries of `network.json`, one per source port or layer, target group, exponent, sign mode and repetition.

    Fills `arrays`.
    """
    s, ports = synapses(descriptor), descriptor.manifest.ports
    keep = s["mantissa"] != 0
    source, target, mantissa, exponent, delay = (s[k][keep] for k in s)
    order = [k for k, p in enumerate(ports) if p.gate_from is None]
    order += [k for k, p in enumerate(ports) if p.gate_from is not None]
    sizes = np.array([ports[k].n for k in order], np.int64)
    lines = int(sizes.sum())
    # source as (kind and number, column): ports 0.., then layers
    start_of = np.repeat(np.cumsum(sizes) - sizes, sizes)
    node = np.concatenate([np.repeat(np.array(order, np.int64), sizes), len(ports) + c.layer])[source]
    column = np.concatenate([np.arange(lines) - start_of, c.index])[source]
    mode = _sign_modes(mantissa)
    repeat = _repetitions(np.stack([source, target, exponent, mode], 1))
    row, to = c.index[target], c.group[target]
    keys = np.stack([node, to, exponent, mode, repeat], 1)
    by_matrix = np.lexsort((column, row, *keys.T[::-1]))
    keys = keys[by_matrix]
    first = _starts(keys)
    parts = (
        ("row", row, np.int32),
        ("col", column, np.int32),
        ("weight", mantissa, np.int16),
        ("delay", delay, np.uint8),
    )
    stored = {name: values[by_matrix].astype(dtype) for name, values, dtype in parts}
    entries = []
    for number, (begin, end) in enumerate(pairwise([*first.tolist(), len(keys)])):
        k, target_group, e, sign_mode, _ = keys[begin].tolist()
        entries.append({
            "from": ["ports", k] if k < len(ports) else ["layers", k - len(ports)], "to": target_group,
            "weight_exp": e, "sign_mode": sign_mode,
        })  # fmt: skip
        arrays.update({f"connection{number}.{name}": values[begin:end] for name, values in stored.items()})
    return entries


def _sign_modes(mantissa: Array) -> Array:
    """Mixed holds every even mantissa; an odd one was excitatory or inhibitory."""
    odd = mantissa % 2 != 0
    return np.where(odd, np.where(mantissa > 0, spec.EXCITATORY, spec.INHIBITORY), spec.MIXED)


def _repetitions(keys: Array) -> Array:
    """0 for the first row of its kind, 1 for the second, ...: a matrix holds one synapse per source and target."""
    order = np.lexsort(keys.T[::-1])
    first = _starts(keys[order])
    out = np.empty(len(keys), np.int64)
    out[order] = np.arange(len(keys)) - np.repeat(first, np.diff(np.append(first, len(keys))))
    return out


def _starts(ranked: Array) -> Array:
    """Where a new row begins among sorted ones."""
    new = np.ones(len(ranked), bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(1)
    return np.flatnonzero(new)


FORMATS = {
    "lava-net": Writer(
        write,
        title="processes of lava",
        tool="lava-nc 0.10.0",
        compared="equal in lava's fixed-point models on a CPU (optional test)",
        check=check,
    )
}
