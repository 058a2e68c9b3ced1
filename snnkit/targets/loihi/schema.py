"""Loihi's part of the descriptor: the memory images with their checks; see `tables` and `synapse_memory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit.targets.images import bad, check_range, check_tables
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.synapse_format import (
    SynapseFormat,
    decode_weights,
    encode_weights,
    index_code,
    weight_code,
)
from snnkit.targets.loihi.synapse_memory import DecodedSynapses, decode_synapses, encode_synapses
from snnkit.targets.loihi.tables import (
    COMPARTMENT_COLUMNS,
    CORE_COLUMNS,
    FORMAT_COLUMNS,
    HOST_INPUT_COLUMNS,
    INPUT_AXON_COLUMNS,
    OUTPUT_AXON_COLUMNS,
    PLACEMENT,
    POINTER_COLUMNS,
    PROFILE_COLUMNS,
    TABLES,
    LoihiSection,
)

Array = np.ndarray[Any, Any]

__all__ = [
    "COMPARTMENT_COLUMNS",
    "CORE_COLUMNS",
    "FORMAT_COLUMNS",
    "HOST_INPUT_COLUMNS",
    "INPUT_AXON_COLUMNS",
    "OUTPUT_AXON_COLUMNS",
    "PLACEMENT",
    "POINTER_COLUMNS",
    "PROFILE_COLUMNS",
    "TABLES",
    "DecodedSynapses",
    "LoihiSection",
    "SynapseFormat",
    "check_images",
    "decode_synapses",
    "decode_weights",
    "encode_synapses",
    "encode_weights",
    "index_code",
    "weight_code",
]


def check_images(arrays: Mapping[str, Array], section: LoihiSection) -> None:
    """Raise DescriptorError unless the memory images are what a chip could hold.

    Structure, field ranges, pointers and the budgets of each core are checked; the synapse memory itself is checked by
    `decode_synapses`. Disputed or lossy settings load.
    """
    check_tables(arrays, TABLES, PLACEMENT, "Loihi")
    ptr, n_cores = arrays["core_ptr"], len(arrays["core"])
    if n_cores != section.n_cores or ptr.shape[0] != n_cores + 1:
        raise bad("core_ptr", f"has {ptr.shape[0]} rows for {n_cores} cores; the manifest says {section.n_cores}")
    if n_cores > section.n_chips * spec.CORES_PER_CHIP:
        raise bad("core", f"has {n_cores} rows; {section.n_chips} chips have {spec.CORES_PER_CHIP} cores each")
    sizes = [len(arrays[name]) for name in POINTER_COLUMNS]
    if ptr[0].any() or ptr[-1].tolist() != sizes or (np.diff(ptr, axis=0) < 0).any():
        raise bad("core_ptr", "does not rise from 0 to the sizes of its tables")
    _check_budgets(arrays, np.diff(ptr, axis=0))
    _check_fields(arrays, np.diff(ptr, axis=0))
    _check_axons(arrays, ptr)
    for name in arrays:
        if name.startswith(PLACEMENT):
            _check_placement(name, arrays[name], ptr)


def _check_budgets(arrays: Mapping[str, Array], used: Array) -> None:
    limits = (
        spec.COMPARTMENTS_PER_CORE,
        spec.COMPARTMENT_PROFILES_PER_CORE,
        spec.THRESHOLD_PROFILES_PER_CORE,
        spec.SYNAPSE_FORMATS_PER_CORE,
        spec.INPUT_AXONS_PER_CORE,
        spec.OUTPUT_AXON_SLOTS_PER_CORE,
        spec.SYNAPSE_WORDS_PER_CORE,
    )
    for column, (name, limit) in enumerate(zip(POINTER_COLUMNS, limits)):
        over = np.flatnonzero(used[:, column] > limit)
        if over.size:
            raise bad(name, f"has {used[over[0], column]} rows on core {over[0]}, a core has {limit}")
    kinds = arrays["output_axon"][:, 4]
    slots = np.where(kinds == spec.POP32, spec.AXON_SLOTS[spec.POP32], spec.AXON_SLOTS[spec.DISCRETE])
    core = np.repeat(np.arange(len(used)), used[:, 5])
    per_core = np.bincount(core, weights=slots, minlength=len(used))
    if per_core.size and per_core.max() > spec.OUTPUT_AXON_SLOTS_PER_CORE:
        where = int(per_core.argmax())
        raise bad("output_axon", f"needs {int(per_core[where])} slots on core {where}")


def _check_fields(arrays: Mapping[str, Array], used: Array) -> None:
    for name, columns, ranges in (
        ("core", CORE_COLUMNS, [(0, 1), (0, spec.VMIN_EXPONENT_MAX), (0, spec.VMAX_EXPONENT_MAX), (0, 1)]),
        (
            "compartment_profile",
            PROFILE_COLUMNS,
            [(0, spec.DECAY_MAX), (0, spec.DECAY_MAX), (spec.REFRACT_MIN, spec.REFRACT_MAX)],
        ),
        (
            "compartment",
            COMPARTMENT_COLUMNS,
            [
                (0, spec.COMPARTMENT_PROFILES_PER_CORE - 1),
                (0, spec.THRESHOLD_PROFILES_PER_CORE - 1),
                (spec.BIAS_MANTISSA_MIN, spec.BIAS_MANTISSA_MAX),
                (0, spec.BIAS_EXPONENT_MAX),
            ],
        ),
    ):
        for column, (field, (low, high)) in enumerate(zip(columns, ranges)):
            check_range(name, field, arrays[name][:, column], low, high, rows=True)
    check_range("threshold_profile", "vth", arrays["threshold_profile"], 0, spec.VTH_MANTISSA_MAX, rows=True)
    owner = np.repeat(np.arange(len(used)), used[:, 0])
    for column, table in ((0, 1), (1, 2)):
        wrong = np.flatnonzero(arrays["compartment"][:, column] >= used[owner, table])
        if wrong.size:
            raise bad("compartment", f"row {wrong[0]} names a {POINTER_COLUMNS[table]} its core does not have")

    formats = arrays["synapse_format"]
    first = np.zeros(len(formats), bool)
    starts = arrays["core_ptr"][:-1, 3]
    first[starts[used[:, 3] > 0]] = True
    if formats[first].any():
        raise bad("synapse_format", "row 0 of a core is used; it is reserved")
    rest = formats[~first]
    for column, (low, high) in enumerate(
        [
            (spec.WEIGHT_EXPONENT_MIN, spec.WEIGHT_EXPONENT_MAX),
            (spec.MIXED, spec.INHIBITORY),
            (0, len(spec.WEIGHT_BITS) - 1),
            (0, spec.DELAY_BITS_MAX),
            (0, 0),
            (0, len(spec.INDEX_BITS) - 1),
            (spec.SPARSE, spec.DENSE),
            (0, spec.SYNAPSES_PER_BLOCK - 1),
        ]
    ):
        check_range("synapse_format", FORMAT_COLUMNS[column], rest[:, column], low, high, rows=True)
    if not np.isin(rest[:, 6], (spec.SPARSE, spec.DENSE)).all():
        raise bad("synapse_format", "has a compression other than 0 (sparse) and 3 (dense)")


def _check_axons(arrays: Mapping[str, Array], ptr: Array) -> None:
    used = np.diff(ptr, axis=0)
    inputs = arrays["input_axon"]
    if not np.isin(inputs[:, 0], list(spec.AXON_SLOTS)).all():
        raise bad("input_axon", f"has a kind other than {sorted(spec.AXON_SLOTS)}")
    owner = np.repeat(np.arange(len(used)), used[:, 4])
    number = np.arange(len(inputs)) - ptr[owner, 4]
    most = np.select([inputs[:, 0] == spec.POP16, inputs[:, 0] == spec.POP32], [spec.POP16_ATOMS, spec.POP32_ATOMS], 1)
    for column, low, high in (
        (1, np.ones(len(inputs)), most),
        (2, np.zeros(len(inputs)), used[owner, 6] - 1),
        (3, inputs[:, 1], used[owner, 6] * spec.SYNAPSES_PER_BLOCK),
        (4, np.zeros(len(inputs)), np.full(len(inputs), spec.AXON_BASE_LIMIT - 1)),
    ):
        wrong = np.flatnonzero((inputs[:, column] < low) | (inputs[:, column] > high))
        if wrong.size:
            raise bad(
                "input_axon",
                f"row {wrong[0]} has {INPUT_AXON_COLUMNS[column]} {inputs[wrong[0], column]}, out of range",
            )
    if (inputs[:, 3] % np.maximum(inputs[:, 1], 1)).any():
        raise bad("input_axon", "has a list whose length is not a multiple of its atoms")
    pop16 = inputs[:, 0] == spec.POP16
    if (inputs[pop16, 4] % spec.POP16_BASE_MULTIPLE).any() or (number[pop16] >= spec.POP16_AXONS).any():
        raise bad("input_axon", "has a 16-bit population axon with a base not a multiple of 4 or a number above 1023")

    out = arrays["output_axon"]
    owner = np.repeat(np.arange(len(used)), used[:, 5])
    wrong = np.flatnonzero((out[:, 0] < 0) | (out[:, 0] >= used[owner, 0]))
    if wrong.size:
        raise bad("output_axon", f"row {wrong[0]} names compartment {out[wrong[0], 0]}, which its core does not have")
    target = _check_targets("output_axon", out[:, 1:4], inputs, ptr)
    if (inputs[target, 0] != out[:, 4]).any():
        raise bad("output_axon", "has a kind other than that of the input axon it names")
    host = arrays["host_input"]
    check_range("host_input", "port", host[:, 0], 0, 2**15, rows=True)
    check_range("host_input", "line", host[:, 1], 0, 2**24, rows=True)
    _check_targets("host_input", host[:, 2:5], inputs, ptr)


def _check_targets(name: str, target: Array, inputs: Array, ptr: Array) -> Array:
    """Rows of `input_axon` named by (core, axon, atom) triples."""
    core, axon, atom = target[:, 0], target[:, 1], target[:, 2]
    check_range(name, "core", core, 0, len(ptr) - 2, rows=True)
    count = np.diff(ptr[:, 4])
    wrong = np.flatnonzero((axon < 0) | (axon >= count[core]))
    if wrong.size:
        raise bad(name, f"row {wrong[0]} names input axon {axon[wrong[0]]}, which core {core[wrong[0]]} does not have")
    rows = np.asarray(ptr[core, 4] + axon)
    wrong = np.flatnonzero((atom < 0) | (atom >= inputs[rows, 1]))
    if wrong.size:
        raise bad(name, f"row {wrong[0]} names atom {atom[wrong[0]]}, which the input axon does not have")
    return rows


def _check_placement(name: str, table: Array, ptr: Array) -> None:
    if table.dtype != np.int32 or table.ndim != 2 or table.shape[1] != 2:
        raise bad(name, f"has type {table.dtype} and shape {list(table.shape)}, expected int32 with 2 columns")
    check_range(name, "core", table[:, 0], 0, len(ptr) - 2, rows=True)
    wrong = np.flatnonzero((table[:, 1] < 0) | (table[:, 1] >= np.diff(ptr[:, 0])[table[:, 0]]))
    if wrong.size:
        raise bad(name, f"row {wrong[0]} names compartment {table[wrong[0], 1]}, which its core does not have")
