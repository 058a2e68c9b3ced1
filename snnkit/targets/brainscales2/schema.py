"""BrainScaleS-2's part of the descriptor: the configuration of the chip in each of P runs, and their checks.

    name                type    shape               what
    synapse_weight      uint8   [P, 2, 256, 256]    half, row, column: 0..63
    synapse_label       uint8   [P, 2, 256, 256]    0..63
    driver              uint8   [P, 2, 128, 4]      DRIVER_COLUMNS; its rows are 2 d and 2 d + 1
    crossbar            int32   [P, 76, 2]          (mask, target) of each node of `digital.nodes()`
    neuron              int32   [P, 512, 8]         NEURON_COLUMNS; neuron = 256 * half + column
    target              int64   [P, 512, 7]         TARGET_COLUMNS: what calibration has to reach, not codes of a chip
    host_input          int32   [L, 5]              HOST_COLUMNS: what the FPGA sends for a line of a port
    replay              int32   [R, 5]              REPLAY_COLUMNS: what it sends for an event of an earlier part
    placement.<layer>   int32   [n, 2]              (part, neuron): labels probes, routes nothing

Neurons that switches join are one membrane; its head is the circuit whose events are on or that the ADC reads.
Whatever passes `check_images` must run without an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from snnkit.descriptor import Manifest
from snnkit.targets.brainscales2 import spec
from snnkit.targets.brainscales2.digital import DRIVER_COLUMNS
from snnkit.targets.images import bad, check_columns, check_shapes, typed_section

Array = np.ndarray[Any, Any]

NEURON_COLUMNS = ("on", "adc", "label", "counter", "clock_scale", "hold_off", "join_vertical", "join_right")
TARGET_COLUMNS = ("tau_mem", "tau_syn_e", "tau_syn_i", "v_leak", "v_reset", "v_thresh", "gain")
HOST_COLUMNS = ("part", "port", "line", "delay", "label")
REPLAY_COLUMNS = ("from_part", "link", "link_label", "part", "label")
PLACEMENT = "placement."
PARTS_MAX = 4096
DELAY_MAX = 65535
POTENTIAL_MAX, GAIN_MAX = 10**12, 10**12


class BrainScales2Section(BaseModel):
    """The manifest's `chip` section. `step_ps`: hardware time of a step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    revision: Literal["hicann-x-1"] = "hicann-x-1"
    parts: int = Field(ge=0, le=PARTS_MAX)
    step_ps: int = Field(default=spec.STEP_PS, ge=100_000, le=100_000_000)
    exact: str = "the digital layer alone is bit-accurate; neurons are equations in continuous time"


def read_section(manifest: Manifest) -> BrainScales2Section:
    """The typed section of a manifest.

    Raises:
        DescriptorError: it is of another version, or not this chip's.
    """
    return typed_section(BrainScales2Section, manifest)


def check_images(arrays: Mapping[str, Array], manifest: Manifest) -> None:
    """Raise DescriptorError unless the images are what a chip could hold and the manifest's names fit them."""
    parts = read_section(manifest).parts
    array = (parts, spec.HALVES, spec.ROWS, spec.COLUMNS)
    shapes: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "synapse_weight": ("uint8", array),
        "synapse_label": ("uint8", array),
        "driver": ("uint8", (parts, spec.HALVES, spec.DRIVERS, len(DRIVER_COLUMNS))),
        "crossbar": ("int32", (parts, spec.CROSSBAR_NODES, 2)),
        "neuron": ("int32", (parts, spec.NEURONS, len(NEURON_COLUMNS))),
        "target": ("int64", (parts, spec.NEURONS, len(TARGET_COLUMNS))),
        "host_input": ("int32", (None, len(HOST_COLUMNS))),
        "replay": ("int32", (None, len(REPLAY_COLUMNS))),
        **{PLACEMENT + layer.name: ("int32", (layer.n, 2)) for layer in manifest.layers},
    }
    check_shapes(arrays, shapes)
    for name, high in (("synapse_weight", spec.WEIGHT_MAX), ("synapse_label", spec.LABEL_MAX)):
        if arrays[name].size and arrays[name].max() > high:
            raise bad(name, f"has {arrays[name].max()}, expected 0..{high}")
    label = 2**spec.LABEL_BITS - 1
    check_columns("driver", DRIVER_COLUMNS, arrays["driver"], (0,) * 4, (1, 3, 3, spec.ROW_SELECT_MASK))
    check_columns("crossbar", ("mask", "target"), arrays["crossbar"], (0, 0), (spec.LINK_LABEL_MASK,) * 2)
    most = (1, 1, spec.NEURON_LABEL_MAX, spec.REFRACTORY_MAX, spec.CLOCK_SCALE_MAX, spec.HOLD_OFF_MAX, 1, 1)
    check_columns("neuron", NEURON_COLUMNS, arrays["neuron"], (0,) * 8, most)
    ports = len(manifest.ports) - 1
    check_columns(
        "host_input", HOST_COLUMNS, arrays["host_input"], (0,) * 5, (parts - 1, ports, 2**27, DELAY_MAX, label)
    )
    last = (parts - 1, spec.LINKS - 1, spec.LINK_LABEL_MASK, parts - 1, label)
    check_columns("replay", REPLAY_COLUMNS, arrays["replay"], (0,) * 5, last)
    _tables(arrays, manifest)
    heads = check_neurons(arrays["neuron"], arrays["target"])
    for name in (PLACEMENT + layer.name for layer in manifest.layers):
        table = arrays[name]
        check_columns(name, ("part", "neuron"), table, (0, 0), (parts - 1, spec.NEURONS - 1))
        if not heads[table[:, 0], table[:, 1]].all():
            raise bad(name, "names a circuit that is no neuron's head")


def _tables(arrays: Mapping[str, Array], manifest: Manifest) -> None:
    host, replay = arrays["host_input"], arrays["replay"]
    lines = np.array([p.n for p in manifest.ports], np.int64)
    if len(host) and (host[:, 2] >= lines[host[:, 1]]).any():
        raise bad("host_input", "names a line that its port does not have")
    if (replay[:, 0] >= replay[:, 3]).any():
        raise bad("replay", "sends an event to a part that does not run later")
    for what, rows in (("host_input", host[:, 0]), ("replay", replay[:, 3])):
        count = np.bincount(rows) if len(rows) else np.zeros(0, np.int64)
        if count.size and count.max() > spec.FPGA_INPUT_ENTRIES:
            raise bad(what, f"has {count.max()} entries for one part, the table has {spec.FPGA_INPUT_ENTRIES}")


def check_neurons(neuron: Array, target: Array) -> Array:
    """Which circuits are heads: bool [P, 512].

    Raises:
        DescriptorError: a joined neuron has two heads, or a head's targets are out of range.
    """
    heads: Array = (neuron[..., 0] > 0) | (neuron[..., 1] > 0)
    for part in range(len(neuron)):
        group = groups(neuron[part])
        _, count = np.unique(group[heads[part]], return_counts=True)
        if count.size and count.max() > 1:
            raise bad("neuron", f"joins circuits of part {part} that have two heads")
    low = (*(spec.TAU_MEM_PS[0], spec.TAU_SYN_PS[0], spec.TAU_SYN_PS[0]), *(-POTENTIAL_MAX,) * 3, 0)
    high = (*(spec.TAU_MEM_PS[1], spec.TAU_SYN_PS[1], spec.TAU_SYN_PS[1]), *(POTENTIAL_MAX,) * 3, GAIN_MAX)
    check_columns("target", TARGET_COLUMNS, target[heads], low, high)
    return heads


def groups(neuron: Array) -> Array:
    """The joined neuron of each circuit of a part, int64 [512]: the lowest circuit among those that are connected.

    The vertical switch of circuit c of half 0 joins it with circuit c of half 1; the right one with its neighbour.
    """
    vertical, right = neuron[: spec.COLUMNS, 6] > 0, neuron[:, 7] > 0
    found = np.arange(spec.NEURONS)
    if not vertical.any() and not right.any():
        return found
    pairs = [(c, c + spec.COLUMNS) for c in np.flatnonzero(vertical)]
    pairs += [(c, c + 1) for c in np.flatnonzero(right) if (c + 1) % spec.COLUMNS]

    def top(c: int) -> int:
        while found[c] != c:
            c = int(found[c])
        return c

    for a, b in pairs:
        x, y = top(int(a)), top(int(b))
        found[max(x, y)] = min(x, y)
    return np.array([top(c) for c in range(spec.NEURONS)], np.int64)
