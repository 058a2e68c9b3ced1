"""Events from NumPy and MATLAB arrays, made columns of a recording."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.archives import Member
from snnkit.data.sets.source import Columns
from snnkit.errors import DataError


def from_start(
    t: NDArray[np.number], x: NDArray[np.number], y: NDArray[np.number], p: NDArray[np.number], place: str
) -> Columns:
    """Columns in order of time (stable), which starts at 0.

    Raises:
        DataError: no events, or columns of unequal length.
    """
    columns = [np.asarray(v).reshape(-1).astype(np.int64) for v in (t, x, y, p)]
    if len({len(c) for c in columns}) != 1:
        raise DataError(f"{place}: columns of {[len(c) for c in columns]} events", fix="copy or download it again")
    if not len(columns[0]):
        raise DataError(f"{place}: no events", fix="copy or download it again")
    order = np.argsort(columns[0], kind="stable")
    t, x, y, p = (c[order] for c in columns)
    return t - t[0], x, y, p


def load_npy(file: Member) -> Any:
    """An `.npy` file without pickles; raises `DataError` where it is none."""
    try:
        return np.load(io.BytesIO(file.read()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file.place}: no .npy file ({error})", fix="copy or download it again") from error


def load_mat(file: Member, names: Sequence[str]) -> list[NDArray[Any]]:
    """The named variables of a MATLAB file (version 7 or older); raises `DataError` where they cannot be read."""
    from scipy.io import loadmat

    try:
        found = loadmat(io.BytesIO(file.read()))
        return [np.asarray(found[name]) for name in names]
    except Exception as error:  # scipy raises whatever the damage leads to
        raise DataError(
            f"{file.place}: cannot be read as a MATLAB file with {', '.join(names)} ({type(error).__name__}: {error})",
            fix="copy or download it again",
        ) from error
