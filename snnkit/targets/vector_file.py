"""A file of reference vectors: one `.npz` without pickle, whose fields are asked for by name, type and shape."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from snnkit.errors import ReplayFormatError

Array = np.ndarray[Any, Any]


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """All arrays of a file by their names.

    Raises:
        ReplayFormatError: it is not there, or no `.npz` without pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise ReplayFormatError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (ValueError, OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ReplayFormatError(
            f"{path}: cannot be read as a .npz file without pickle ({error})", fix="give a file of reference vectors"
        ) from None


def take_json(arrays: dict[str, Array], name: str) -> dict[str, Any] | None:
    """The JSON object that a field holds as a text, taken out of `arrays`; None if it holds none."""
    raw = arrays.pop(name, None)
    try:
        content = json.loads(str(raw)) if raw is not None and raw.ndim == 0 else None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


@dataclass(eq=False)
class VectorFile:
    """A file's arrays; `take` notes which were used, `unknown` lists the others."""

    noun: ClassVar[str] = "array"
    """What the format calls its fields, for messages."""
    hint: ClassVar[str] = ""
    """How to fix a file of which nothing better is known."""

    path: Path
    arrays: dict[str, Array]
    used: set[str] = field(default_factory=set, init=False)

    def fail(self, what: str, fix: str = "") -> ReplayFormatError:
        """An error about this file."""
        return ReplayFormatError(f"{self.path}: {what}", fix=fix or self.hint)

    def has(self, name: str) -> bool:
        """Whether the file has this field."""
        return name in self.arrays

    def take(self, name: str, shape: tuple[int, ...] | None = None, what: str = "") -> Array:
        """An integer array, of this shape if one is given.

        Args:
            what: it is, for messages.

        Raises:
            ReplayFormatError: it is missing, holds no integers, or has another shape.
        """
        said = f" ({what})" if what else ""
        if name not in self.arrays:
            raise self.fail(f"the {self.noun} {name!r}{said} is missing")
        self.used.add(name)
        a = self.arrays[name]
        if a.dtype.kind not in "iub":
            raise self.fail(f"the {self.noun} {name!r} has type {a.dtype}, expected integers")
        if shape is not None and a.shape != shape:
            raise self.fail(f"the {self.noun} {name!r} has shape {list(a.shape)}, expected {list(shape)}{said}")
        return a

    @property
    def unknown(self) -> tuple[str, ...]:
        """Fields that nobody asked for."""
        return tuple(sorted(set(self.arrays) - self.used))
