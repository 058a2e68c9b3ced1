"""Reference files of SpiNNaker, recognised by their fields: what kind each is, and its arrays.

core      `n_neurons n_steps model learning syn row_words events p_*`: one core, step by step
scalars   `op a b result`: scalar operations
encoding  `proj0_list proj0_meta sizes placements core_X_Y_P_REGION`: the host's words
routing   `placements [., 9] routes sizes`: router entries
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from snnkit.errors import ReplayFormatError

Array = np.ndarray[Any, Any]
Kind = Literal["core", "scalars", "encoding", "routing"]

PARAMETERS = (
    "v_init", "v_rest", "v_reset", "v_thresh", "c_m", "tau_m", "i_offset", "tau_refrac", "tau_syn_e", "tau_syn_i", "ts",
    "refrac_init",
)  # fmt: skip
_CORE = {"n_neurons", "n_steps", "model", "syn", "events", "shift", *(f"p_{k}" for k in PARAMETERS)}


@dataclass(eq=False)
class Case:
    """One file; `take` notes which fields were used, `unknown` lists the others."""

    path: Path
    kind: Kind
    arrays: dict[str, Array]
    used: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def has(self, name: str) -> bool:
        """Whether the file has this field."""
        return name in self.arrays

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """An integer array, of this shape if one is given."""
        if name not in self.arrays:
            raise self.fail(f"the field {name!r} is missing")
        self.used.add(name)
        a = self.arrays[name]
        if a.dtype.kind not in "iub":
            raise self.fail(f"the field {name!r} has type {a.dtype}, expected integers")
        if shape is not None and a.shape != shape:
            raise self.fail(f"the field {name!r} has shape {list(a.shape)}, expected {list(shape)}")
        return a

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

    def fail(self, what: str, fix: str = "see the page of the reference vectors") -> ReplayFormatError:
        """An error about this file."""
        return ReplayFormatError(f"{self.path}: {what}", fix=fix)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Fields that nobody asked for."""
        return tuple(sorted(set(self.arrays) - self.used))


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
    path = Path(path)
    if not path.is_file():
        raise ReplayFormatError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except (ValueError, OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ReplayFormatError(
            f"{path}: cannot be read as a .npz file without pickle ({error})", fix="give a file of reference vectors"
        ) from None
    kind = kind_of(arrays)
    if kind is None:
        raise ReplayFormatError(f"{path}: its fields are of no kind known to target spinnaker",
                                fix="known: core, scalars, encoding and routing vectors")  # fmt: skip
    return Case(path, kind, arrays)
