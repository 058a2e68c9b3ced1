"""Names, types and columns of Loihi's memory images, and the manifest's section.

Per-core tables stand one after the other; `core_ptr[c]` to `core_ptr[c + 1]` are the rows of core c. Cores are numbered
through all chips: core c is core c % 128 of chip c // 128.

    name                  type    shape   columns
    core_ptr              int64   [C+1,7] first row in each table of POINTER_COLUMNS
    core                  int32   [C,4]   CORE_COLUMNS
    compartment_profile   int32   [P,3]   PROFILE_COLUMNS
    threshold_profile     int32   [V]     vth mantissa
    compartment           int32   [N,4]   COMPARTMENT_COLUMNS, profile and threshold rows counted within the core
    synapse_format        int32   [F,8]   FORMAT_COLUMNS; row 0 of each core is unused and zero
    synapse_memory        uint64  [W]     64-bit words
    input_axon            int32   [A,5]   INPUT_AXON_COLUMNS, word counted within the core
    output_axon           int32   [O,5]   OUTPUT_AXON_COLUMNS, compartment and axon counted within their cores
    host_input            int32   [L,5]   HOST_INPUT_COLUMNS, the host's injection table
    placement.<layer>     int32   [n,2]   (core, compartment) of each neuron: labels probes, routes nothing
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snnkit.targets.loihi import spec

POINTER_COLUMNS = (
    "compartment",
    "compartment_profile",
    "threshold_profile",
    "synapse_format",
    "input_axon",
    "output_axon",
    "synapse_memory",
)
CORE_COLUMNS = ("ds_offset", "vmin_exp", "vmax_exp", "noise_at_membrane")
PROFILE_COLUMNS = ("du", "dv", "refract")
COMPARTMENT_COLUMNS = ("profile", "threshold", "bias_mant", "bias_exp")
FORMAT_COLUMNS = (
    "wgt_exp",
    "sign_mode",
    "weight_code",
    "delay_bits",
    "tag_bits",
    "index_code",
    "compression",
    "n_synapses",
)
INPUT_AXON_COLUMNS = ("kind", "atoms", "word", "n_synapses", "base")
OUTPUT_AXON_COLUMNS = ("compartment", "core", "axon", "atom", "kind")
HOST_INPUT_COLUMNS = ("port", "line", "core", "axon", "atom")

TABLES: dict[str, tuple[str, int]] = {
    "core_ptr": ("int64", len(POINTER_COLUMNS)),
    "core": ("int32", len(CORE_COLUMNS)),
    "compartment_profile": ("int32", len(PROFILE_COLUMNS)),
    "threshold_profile": ("int32", 0),
    "compartment": ("int32", len(COMPARTMENT_COLUMNS)),
    "synapse_format": ("int32", len(FORMAT_COLUMNS)),
    "synapse_memory": ("uint64", 0),
    "input_axon": ("int32", len(INPUT_AXON_COLUMNS)),
    "output_axon": ("int32", len(OUTPUT_AXON_COLUMNS)),
    "host_input": ("int32", len(HOST_INPUT_COLUMNS)),
}
"""Type and number of columns (0: one-dimensional) of every memory image."""
PLACEMENT = "placement."


class LoihiSection(BaseModel):
    """The manifest's `chip` section for Loihi."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    revision: Literal["loihi-1"] = "loihi-1"
    n_cores: int = Field(ge=0, le=spec.CORES_PER_CHIP * spec.MAX_CHIPS)
    n_chips: int = Field(ge=0, le=spec.MAX_CHIPS)
    update_order: tuple[str, ...] = spec.UPDATE_ORDER
    notes: dict[str, str] = Field(default_factory=dict)
