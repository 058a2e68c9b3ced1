"""Reference files of SpiNNaker, recognised by their fields: what kind each is, and its arrays.

core      `n_neurons n_steps model learning syn row_words events p_*`: one core, step by step
scalars   `op a b result`: scalar operations
encoding  `proj0_list proj0_meta sizes placements core_X_Y_P_REGION`: the host's words
routing   `placements [., 9] routes sizes`: router entries
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from snnkit.errors import ReplayFormatError
from snnkit.targets.vector_file import VectorFile, read_arrays

Array = np.ndarray[Any, Any]
Kind = Literal["core", "scalars", "encoding", "routing"]

PARAMETERS = (
    "v_init", "v_rest", "v_reset", "v_thresh", "c_m", "tau_m", "i_offset", "tau_refrac", "tau_syn_e", "tau_syn_i", "ts",
    "refrac_init",
)  # fmt: skip
_CORE = {"n_neurons", "n_steps", "model", "syn", "events", "shift", *(f"p_{k}" for k in PARAMETERS)}


@dataclass(eq=False)
class Case(VectorFile):
    """One file."""

    noun = "field"
    hint = "see the page of the reference vectors"

    kind: Kind

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def number(self, name: str, default: int | None = None) -> int:
        """A single integer."""
        if name not in self.arrays and default is not None:
            return default
        a = self.take(name)
        if a.size != 1:
            raise self.fail(f"the field {name!r} has {a.size} values, expected one")
        return int(a.reshape(-1)[0])

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        if name not in self.arrays:
            if default is None:
                raise self.fail(f"the field {name!r} is missing")
            return default
        self.used.add(name)
        return str(self.arrays[name])


def kind_of(arrays: dict[str, Array]) -> Kind | None:
    """The kind that the fields tell, if any."""
    names = set(arrays)
    if names >= _CORE:
        return "core"
    if names >= {"op", "a", "b", "result"}:
        return "scalars"
    if names >= {"sizes", "placements", "proj0_list", "proj0_meta"} and any(k.startswith("core_") for k in names):
        return "encoding"
    if names >= {"sizes", "placements", "routes"} and arrays["placements"].ndim == 2:
        return "routing" if arrays["placements"].shape[1] == 9 else None
    return None


def open_case(path: str | os.PathLike[str]) -> Case:
    """Read a file.

    Raises:
        ReplayFormatError: it cannot be read, or its fields are of no known kind.
    """
    arrays = read_arrays(path)
    kind = kind_of(arrays)
    if kind is None:
        raise ReplayFormatError(f"{path}: its fields are of no kind known to target spinnaker",
                                fix="known: core, scalars, encoding and routing vectors")  # fmt: skip
    return Case(Path(path), arrays, kind)
