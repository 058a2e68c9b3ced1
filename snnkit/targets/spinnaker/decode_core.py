"""Cores read from their regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX
from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.machine import Chip

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Core:
    """One core: `first` global neuron, raw parameters, keys or None, its memory and the table that addresses it."""

    number: int
    chip: Chip
    p: int
    binary: int
    n: int
    first: int
    raw: Mapping[str, Array]
    keys: Array | None
    shift: tuple[int, int]
    target_bits: int
    delay_bits: int
    table: words.Table
    matrix: Array
    stdp: Array
    regions: Mapping[str, Array]


def read_core(number: int, chip: Chip, p: int, binary: int, n: int, first: int, regions: Mapping[str, Array]) -> Core:
    """A core from its regions.

    Raises:
        DescriptorError: a region has the wrong size or contradicts another.
    """
    head = regions["synapse_params"].astype(np.int64)
    own = regions["core_params"].astype(np.int64)
    if len(head) != 9 or head[0] != n or head[1] != spec.RECEPTORS or head[3] != spec.RECEPTOR_BITS:
        raise DescriptorError(f"core {number}: the synapse parameters do not describe {n} neurons", fix=FIX)
    target_bits, delay_bits = int(head[2]), int(head[4])
    widths = target_bits + spec.RECEPTOR_BITS + delay_bits
    if widths > spec.INDEX_BITS_MAX or n > 1 << target_bits or delay_bits < 1:
        raise DescriptorError(f"core {number}: indices of {widths} bits for {n} neurons", fix=FIX)
    if len(own) != 7 + n or own[1] != n or own[4] != spec.RECEPTORS or (own[5:7] != head[7:9]).any():
        raise DescriptorError(f"core {number}: the core parameters do not describe {n} neurons", fix=FIX)
    if (head[7:9] > 31).any():
        raise DescriptorError(f"core {number}: a ring buffer shift above 31", fix=FIX)
    raw = words.read_neurons(regions["neuron_params"], n, binary != spec.DELTA, number)
    table = words.read_table(regions["population_table"], number)
    return Core(
        number, chip, p, binary, n, first, raw, own[7:] if own[0] else None, (int(head[7]), int(head[8])),
        target_bits, delay_bits, table, regions["synaptic_matrix"], regions["stdp_params"], regions,
    )  # fmt: skip


def headers(core: Core, start: Array) -> words.Row:
    w = core.matrix.astype(np.int64)
    p = w[start]
    return words.Row(start, p, w[start + 1 + p], w[start + 2 + p])


def fields(core: Core, low: Array) -> tuple[Array, Array, Array]:
    """(target, receptor, delay field) of the low halves of words."""
    target = low & ((1 << core.target_bits) - 1)
    receptor = (low >> core.target_bits) & 1
    delay = (low >> (core.target_bits + spec.RECEPTOR_BITS)) & ((1 << core.delay_bits) - 1)
    if (target >= core.n).any():
        raise DescriptorError(
            f"core {core.number}: a synapse reaches neuron {int(target.max())}, the core has {core.n}", fix=FIX
        )
    return target, receptor, delay
