"""The toy chip's part of the descriptor: the memory images, and the checks of files that come from strangers.

    name                type    shape                     columns
    neuron              int32   [C, NEURONS_PER_CORE, 3]  NEURON_COLUMNS; threshold 0: the slot is not used
    weight              int8    [C, AXONS_PER_CORE, NEURONS_PER_CORE]
    route               int32   [R, 4]                    ROUTE_COLUMNS: a spike of (core, slot) goes to (to_core, axon)
    host_input          int32   [L, 4]                    HOST_COLUMNS, the host's injection table
    placement.<layer>   int32   [n, 2]                    (core, slot) of each neuron: labels probes, routes nothing

The images are what the chip would be programmed with, and nothing else: the emulator sees only them and the manifest.
Whatever passes `check_images` must run without an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from snnkit.descriptor import Manifest
from snnkit.errors import DescriptorError
from snnkit.targets._template import spec
from snnkit.targets.images import FIX, bad, check_columns, check_shapes, typed_section

Array = np.ndarray[Any, Any]

NEURON_COLUMNS = ("leak", "threshold", "reset")
ROUTE_COLUMNS = ("core", "slot", "to_core", "axon")
HOST_COLUMNS = ("port", "line", "to_core", "axon")
PLACEMENT = "placement."


class ToySection(BaseModel):
    """The manifest's `chip` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    revision: Literal["toy-1"] = "toy-1"
    n_cores: int = Field(ge=0, le=spec.CORES_PER_CHIP * spec.MAX_CHIPS)
    n_chips: int = Field(ge=0, le=spec.MAX_CHIPS)


def read_section(manifest: Manifest) -> ToySection:
    """The typed section of a manifest.

    Raises:
        DescriptorError: it is of another version, or not this chip's.
    """
    return typed_section(ToySection, manifest)


def check_images(arrays: Mapping[str, Array], manifest: Manifest) -> None:
    """Raise DescriptorError unless the images are what a chip could hold and the manifest's names fit them."""
    n_cores = read_section(manifest).n_cores
    shapes: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "neuron": ("int32", (n_cores, spec.NEURONS_PER_CORE, len(NEURON_COLUMNS))),
        "weight": ("int8", (n_cores, spec.AXONS_PER_CORE, spec.NEURONS_PER_CORE)),
        "route": ("int32", (None, len(ROUTE_COLUMNS))),
        "host_input": ("int32", (None, len(HOST_COLUMNS))),
        **{PLACEMENT + layer.name: ("int32", (layer.n, 2)) for layer in manifest.layers},
    }
    check_shapes(arrays, shapes)
    core, slot, axon = (n_cores - 1, spec.NEURONS_PER_CORE - 1, spec.AXONS_PER_CORE - 1)
    _fits("neuron", NEURON_COLUMNS, arrays["neuron"], (spec.LEAK_NONE, spec.THRESHOLD_MAX, spec.RESET_SUBTRACT))
    _fits("route", ROUTE_COLUMNS, arrays["route"], (core, slot, core, axon))
    host = arrays["host_input"]
    _fits("host_input", HOST_COLUMNS, host, (len(manifest.ports) - 1, 2**27, core, axon))
    lines = np.array([p.n for p in manifest.ports], np.int64)
    if len(host) and (host[:, 1] >= lines[host[:, 0]]).any():
        raise bad("host_input", "names a line that its port does not have")
    _check_routes(arrays["route"])
    used = arrays["neuron"][:, :, 1] > 0
    for name in (PLACEMENT + layer.name for layer in manifest.layers):
        table = arrays[name]
        _fits(name, ("core", "slot"), table, (core, slot))
        if not used[table[:, 0], table[:, 1]].all():
            raise bad(name, "names a slot that is not used")
    if any(p.max_count > 1 for p in manifest.ports):
        raise DescriptorError("manifest.json: a port carries counts above 1; a line carries a spike or none", fix=FIX)


def _check_routes(route: Array) -> None:
    _, count = np.unique(route[:, :2], axis=0, return_counts=True)
    if count.size and count.max() > spec.ROUTES_PER_NEURON:
        raise bad("route", f"has {count.max()} entries for one neuron, {spec.ROUTES_PER_NEURON} are there")


def _fits(name: str, columns: tuple[str, ...], table: Array, highest: tuple[int, ...]) -> None:
    """Every column from 0 to its highest value."""
    check_columns(name, columns, table, (0,) * len(columns), highest)
