"""SpiNNaker's part of the descriptor: the memory images of its cores and routers, and their checks.

Per-core regions stand one after the other; `core_ptr[c]` to `core_ptr[c + 1]` are the words of core c.

    name                 type    shape   what
    core                 int32   [C,5]   CORE_COLUMNS
    core_ptr             int64   [C+1,6] first word of each region of REGIONS
    core_params          uint32  [W]     the regions, as sPyNNaker 7.4.1 writes them: see `words.py`
    neuron_params, synapse_params, population_table, synaptic_matrix, stdp_params
    host_key             int64   [L,4]   HOST_COLUMNS: the key that a source core sends for a line of a port
    router               int64   [R,5]   ROUTER_COLUMNS, in the order of each chip's router
    placement.<layer>    int32   [n,2]   (core, neuron) of each neuron: labels probes, routes nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from snnkit.targets.images import bad, check_range, check_tables
from snnkit.targets.spinnaker import spec
from snnkit.targets.spinnaker.machine import chips_of

Array = np.ndarray[Any, Any]

CORE_COLUMNS = ("x", "y", "p", "binary", "neurons")
REGIONS = ("core_params", "neuron_params", "synapse_params", "population_table", "synaptic_matrix", "stdp_params")
HOST_COLUMNS = ("port", "line", "core", "key")
ROUTER_COLUMNS = ("x", "y", "key", "mask", "route")
TABLES: dict[str, tuple[str, int]] = {
    "core": ("int32", len(CORE_COLUMNS)),
    "core_ptr": ("int64", len(REGIONS)),
    **dict.fromkeys(REGIONS, ("uint32", 0)),
    "host_key": ("int64", len(HOST_COLUMNS)),
    "router": ("int64", len(ROUTER_COLUMNS)),
}
"""Type and number of columns (0: one-dimensional) of every memory image."""
PLACEMENT = "placement."


class SpinnakerSection(BaseModel):
    """The manifest's `chip` section for SpiNNaker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    revision: Literal["spynnaker-7.4.1"] = "spynnaker-7.4.1"
    board: Literal["SpiNN-3", "SpiNN-5", "triad"] = "SpiNN-3"
    n_cores: int = Field(ge=0, le=10000)
    n_chips: int = Field(ge=0, le=144)
    router_entries: int = Field(default=0, ge=0)
    update_order: tuple[str, ...] = spec.UPDATE_ORDER


def check_images(arrays: Mapping[str, Array], section: SpinnakerSection) -> None:
    """Raise DescriptorError unless the images are what a board could hold; rows and tables are checked when read."""
    check_tables(arrays, TABLES, PLACEMENT, "SpiNNaker")
    core, ptr = arrays["core"], arrays["core_ptr"]
    if len(core) != section.n_cores or len(ptr) != len(core) + 1:
        raise bad("core", f"has {len(core)} rows and {len(ptr)} pointers; the manifest says {section.n_cores} cores")
    if ptr[0].any() or (np.diff(ptr, axis=0) < 0).any() or ptr[-1].tolist() != [len(arrays[k]) for k in REGIONS]:
        raise bad("core_ptr", "does not rise from 0 to the sizes of its regions")
    _check_places(core, arrays["router"], section.board)
    check_range("core", "binary", core[:, 3], 0, len(spec.BINARIES) - 1, rows=True)
    check_range("core", "neurons", core[:, 4], 0, 2**24, rows=True)
    check_range("core", "neurons", core[core[:, 3] != spec.SOURCE, 4], 1, spec.NEURONS_PER_CORE, rows=True)
    host, router = arrays["host_key"], arrays["router"]
    check_range("host_key", "core", host[:, 2], 0, len(core) - 1, rows=True)
    if (core[host[:, 2], 3] != spec.SOURCE).any():
        raise bad("host_key", "names a core that is no source")
    check_range("host_key", "port", host[:, 0], 0, 2**15, rows=True)
    check_range("host_key", "line", host[:, 1], 0, 2**24, rows=True)
    for name, field, values in (
        ("host_key", "key", host[:, 3]), ("router", "key", router[:, 2]), ("router", "mask", router[:, 3])
    ):  # fmt: skip
        check_range(name, field, values, 0, 2**32 - 1, rows=True)
    check_range("router", "route", router[:, 4], 0, 2 ** (spec.CORE_BIT + spec.LAST_CORE + 1) - 1, rows=True)
    for name in (n for n in arrays if n.startswith(PLACEMENT)):
        table = arrays[name]
        if table.dtype != np.int32 or table.ndim != 2 or table.shape[1] != 2:
            raise bad(name, f"has type {table.dtype} and shape {list(table.shape)}, expected int32 with 2 columns")
        check_range(name, "core", table[:, 0], 0, len(core) - 1, rows=True)
        if (table[:, 1] < 0).any() or (table[:, 1] >= core[table[:, 0], 4]).any():
            raise bad(name, "names a neuron that its core does not have")
        if (core[table[:, 0], 3] == spec.SOURCE).any():
            raise bad(name, "names a core without neurons")


def _check_places(core: Array, router: Array, board: str) -> None:
    chips = set(chips_of(board))
    places = [tuple(int(v) for v in row) for row in core[:, :3]]
    for x, y, p in places:
        if (x, y) not in chips or not 1 <= p <= spec.LAST_CORE:
            raise bad("core", f"places a core at ({x}, {y}, {p}), which {board} does not have")
    if len(set(places)) != len(places):
        raise bad("core", "places two cores at one place")
    used: dict[tuple[int, int], int] = {}
    for x, y in router[:, :2].tolist():
        used[x, y] = used.get((x, y), 0) + 1
    for chip, count in used.items():
        if chip not in chips or count > spec.ROUTER_ENTRIES:
            raise bad("router", f"has {count} entries on chip {chip}; {board} has {spec.ROUTER_ENTRIES} on each chip")
