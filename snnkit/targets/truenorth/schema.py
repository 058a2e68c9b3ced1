"""TrueNorth's part of the descriptor: the memory images of the cores, the tables of the host, and their checks.

    name                type    shape         holds
    core                int16   [C,2]         x, y of every core on the mesh of all chips
    axon_type           uint8   [C,64]        2 bits per axon, axon 0 in the lowest bits of byte 0
    crossbar            uint8   [C,256,32]    a bit per (axon, neuron), neuron 0 in the lowest bit of byte 0
    neuron              int32   [C,256,13]    NEURON_COLUMNS
    destination         int16   [C,256,5]     DESTINATION_COLUMNS: where a spike goes, as hops relative to its core
    host_input          int32   [L,5]         HOST_INPUT_COLUMNS: the host's injection table; a line may feed many axons
    output_line         int32   [O,2]         layer and neuron that each line of the output port reports; -1, -1 if none
    placement.<layer>   int32   [n,3]         PLACEMENT_COLUMNS: labels probes, routes nothing

A core always has 256 axons and 256 neurons; what is not used has no crossbar bits, threshold 1 and no destination.
Row t of a host port makes its axons active in tick t + delay. A spike of tick t makes its target axon active in tick
t + delay; a spike for the output port (at `output_xy`, where no core lies) is reported in tick t on its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from snnkit.targets.images import bad, check_range
from snnkit.targets.truenorth import spec

Array = np.ndarray[Any, Any]

AXONS, NEURONS = spec.AXONS_PER_CORE, spec.NEURONS_PER_CORE
NEURON_COLUMNS = (
    "weight0", "weight1", "weight2", "weight3", "synapse_stochastic", "leak", "leak_flags", "threshold",
    "thr_mask_bits", "neg_threshold", "reset", "reset_value", "v_init",
)  # fmt: skip
"""synapse_stochastic: a bit per axon type; leak_flags: 1 reversal, 2 stochastic; reset: mode, plus 4 if saturating."""
DESTINATION_COLUMNS = ("kind", "dx", "dy", "to", "delay")
"""`to`: axon of a core, or line of the output port."""
HOST_INPUT_COLUMNS = ("port", "line", "core", "axon", "delay")
PLACEMENT_COLUMNS = ("kind", "core", "slot")

NOWHERE, TO_CORE, TO_OUTPUT = 0, 1, 2
IS_NEURON, IS_AXON, IS_LINE = 0, 1, 2
PLACEMENT = "placement."
MAX_LINES = 2**15

TABLES: dict[str, tuple[str, tuple[int, ...]]] = {
    "core": ("int16", (2,)),
    "axon_type": ("uint8", (AXONS // 4,)),
    "crossbar": ("uint8", (AXONS, NEURONS // 8)),
    "neuron": ("int32", (NEURONS, len(NEURON_COLUMNS))),
    "destination": ("int16", (NEURONS, len(DESTINATION_COLUMNS))),
    "host_input": ("int32", (len(HOST_INPUT_COLUMNS),)),
    "output_line": ("int32", (2,)),
}
"""Type and shape without the first axis of every memory image."""
RANGES = (
    *[(-spec.WEIGHT_MAX, spec.WEIGHT_MAX)] * 4,
    (0, 2**spec.AXON_TYPES - 1),
    (-spec.LEAK_MAX, spec.LEAK_MAX),
    (0, 3),
    (0, spec.THRESHOLD_MAX),
    (0, spec.MASK_BITS_MAX),
    (0, spec.THRESHOLD_MAX),
    (0, 6),
    (spec.POTENTIAL_MIN, spec.POTENTIAL_MAX),
    (spec.POTENTIAL_MIN, spec.POTENTIAL_MAX),
)
"""What each column of `neuron` may hold."""


class TrueNorthSection(BaseModel):
    """The manifest's `chip` section for TrueNorth.

    Attributes:
        output_xy: where the output port lies. run_ticks: length of a run for which V is proved to stay within 20 bits
            from its initial state; None if that was not proved (reference vectors), 0 if it holds for any length.
        leak_crossing: option T2. seed: of our own generator, for runs that bring no draws.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    revision: Literal["truenorth-1"] = "truenorth-1"
    n_cores: int = Field(ge=0, le=spec.CORES_PER_CHIP * spec.MAX_CHIPS)
    n_chips: int = Field(ge=0, le=spec.MAX_CHIPS)
    output_xy: tuple[int, int] = (-1, 0)
    run_ticks: int | None = Field(default=None, ge=0)
    leak_crossing: Literal["equation", "zero"] = "equation"
    seed: int = Field(default=0, ge=0, lt=2**31)
    update_order: tuple[str, ...] = spec.UPDATE_ORDER
    notes: dict[str, str] = Field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------------- packing
def pack_axon_types(kinds: Array) -> Array:
    """[C,256] types 0..3 as [C,64] bytes."""
    k = np.asarray(kinds, np.uint8).reshape(len(kinds), AXONS // 4, 4)
    return np.asarray(k[:, :, 0] | k[:, :, 1] << 2 | k[:, :, 2] << 4 | k[:, :, 3] << 6, np.uint8)


def unpack_axon_types(packed: Array) -> Array:
    """[C,256] types of packed ones."""
    return np.asarray((packed[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3).reshape(len(packed), AXONS)


def pack_crossbar(bits: Array) -> Array:
    """[C,256,256] bits (axon, neuron) as [C,256,32] bytes."""
    return np.packbits(np.asarray(bits, np.uint8), axis=2, bitorder="little")


def unpack_crossbar(packed: Array) -> Array:
    """[C,256,256] bits of a packed crossbar."""
    return np.unpackbits(packed, axis=2, bitorder="little")


def column(table: Array, name: str) -> Array:
    """One column of `neuron`, int64 [C,256]."""
    return np.asarray(table[..., NEURON_COLUMNS.index(name)].astype(np.int64))


# --------------------------------------------------------------------------------------------------------------- checks
def check_images(arrays: Mapping[str, Array], section: TrueNorthSection) -> None:
    """Raise DescriptorError unless the memory images are what the cores could hold; disputed settings load."""
    for name, (dtype, shape) in TABLES.items():
        if name not in arrays:
            raise bad(name, "is missing")
        a = arrays[name]
        if a.dtype != np.dtype(dtype) or a.shape[1:] != shape:
            raise bad(name, f"has type {a.dtype} and shape {list(a.shape)}, expected {dtype} [., {shape}]")
    for name, a in arrays.items():
        if name not in TABLES and not name.startswith(PLACEMENT):
            raise bad(name, "is not a memory image of TrueNorth")
        if name.startswith(PLACEMENT) and (a.dtype != np.int32 or a.ndim != 2 or a.shape[1] != len(PLACEMENT_COLUMNS)):
            raise bad(name, f"has type {a.dtype} and shape {list(a.shape)}, expected int32 [n, 3]")
    n = section.n_cores
    if n > section.n_chips * spec.CORES_PER_CHIP:
        raise bad("core", f"has {n} rows; {section.n_chips} chips have {spec.CORES_PER_CHIP} cores each")
    for name in ("core", "axon_type", "crossbar", "neuron", "destination"):
        if len(arrays[name]) != n:
            raise bad(name, f"has {len(arrays[name])} rows; the manifest says {n} cores")
    side = spec.CORES_PER_SIDE * spec.CHIPS_PER_SIDE
    check_range("core", "x or y", arrays["core"], 0, side - 1)
    places = {(int(x), int(y)) for x, y in arrays["core"]}
    if len(places) != n:
        raise bad("core", "puts two cores at one place")
    if section.output_xy in places:
        raise bad("core", f"has a core at the output port {section.output_xy}")
    for k, (low, high) in enumerate(RANGES):
        check_range("neuron", NEURON_COLUMNS[k], arrays["neuron"][:, :, k], low, high)
    if (column(arrays["neuron"], "reset") % 4 >= spec.RESET_MODES).any():
        raise bad("neuron", "has a reset mode other than 0, 1 and 2")
    _check_destinations(arrays["destination"], len(arrays["output_line"]))
    host = arrays["host_input"]
    for k, (low, high) in enumerate(((0, 2**15), (0, 2**24), (0, n - 1), (0, AXONS - 1), (0, spec.DELAY_MAX))):
        check_range("host_input", HOST_INPUT_COLUMNS[k], host[:, k], low, high)
    if len(arrays["output_line"]) > MAX_LINES:
        raise bad("output_line", f"has {len(arrays['output_line'])} lines, a packet names at most {MAX_LINES}")
    for name, a in arrays.items():
        if name.startswith(PLACEMENT):
            _check_placement(name, a, n, len(arrays["output_line"]))


def _check_destinations(table: Array, lines: int) -> None:
    kind, to = table[:, :, 0], table[:, :, 3]
    check_range("destination", "kind", kind, NOWHERE, TO_OUTPUT)
    used = kind != NOWHERE
    check_range("destination", "delay", table[:, :, 4][used], spec.DELAY_MIN, spec.DELAY_MAX)
    check_range("destination", "dx or dy", table[:, :, 1:3][used], spec.HOP_MIN, spec.HOP_MAX)
    check_range("destination", "axon", to[kind == TO_CORE], 0, AXONS - 1)
    check_range("destination", "output line", to[kind == TO_OUTPUT], 0, lines - 1)
    if table[~used].any():
        raise bad("destination", "has a row without a destination that is not zero")


def _check_placement(name: str, table: Array, cores: int, lines: int) -> None:
    kind = table[:, 0]
    check_range(name, "kind", kind, IS_NEURON, IS_LINE)
    for k, slots, most in ((IS_NEURON, NEURONS, cores), (IS_AXON, AXONS, cores), (IS_LINE, lines, 1)):
        check_range(name, "core", table[kind == k, 1], 0, most - 1)
        check_range(name, "slot", table[kind == k, 2], 0, slots - 1)
