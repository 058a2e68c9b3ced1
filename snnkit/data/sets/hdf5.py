"""Containers of many recordings in one HDF5 file, in the layout of the Heidelberg spiking data sets.

`spikes/times[i]` are the times of recording i in seconds, `spikes/units[i]` its channels, `labels[i]` its class;
`extra/keys` names the classes, `extra/speaker` the speaker. Source: Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import DataError

_DAMAGED = (OSError, KeyError, TypeError, ValueError, RuntimeError)


@contextmanager
def open_hdf5(path: Path, place: str, layout: str) -> Iterator[Any]:
    """An HDF5 file, open for reading; what goes wrong in it is a `DataError` that names the file and its layout."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise damaged(place, layout, error) from error
    with file:
        yield file


def damaged(place: str, layout: str, error: Exception) -> DataError:
    """The error of a file that is not of its layout."""
    return DataError(
        f"{place}: cannot be read as {layout} ({type(error).__name__}: {error})",
        fix="give the data set's own file; copy or download it again if it is damaged",
    )


class SpikeFile:
    """A container in the layout of SHD: `labels` [n], `speakers` [n] (−1 where not given), `keys`, and `read`.

    Raises:
        DataError: not of this layout.
    """

    layout = "spikes/times, spikes/units and labels"

    def __init__(self, file: Any, place: str) -> None:
        self.place = place
        try:
            self._times, self._units = file["spikes/times"], file["spikes/units"]
            self.labels: NDArray[np.int64] = np.asarray(file["labels"][()], np.int64)
            keys = file["extra/keys"][()] if "extra/keys" in file else []
            self.keys = [k.decode() if isinstance(k, bytes) else str(k) for k in keys]
            n = len(self.labels)
            speakers = file["extra/speaker"][()] if "extra/speaker" in file else np.full(n, -1)
            self.speakers: NDArray[np.int64] = np.asarray(speakers, np.int64)
        except _DAMAGED as error:
            raise damaged(place, self.layout, error) from error
        lengths = (len(self._times), len(self._units), n, len(self.speakers))
        if len(set(lengths)) != 1:
            raise DataError(
                f"{place}: {lengths[0]} times, {lengths[1]} units, {lengths[2]} labels, {lengths[3]} speakers",
                fix="copy or download the file again",
            )

    def read(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(t in µs, unit) [N] of recording k, in order of time; equal times in order of unit."""
        try:
            # float16 seconds must not be multiplied as such: 65504 is the largest number.
            t = np.rint(np.asarray(self._times[k], np.float64) * 1e6).astype(np.int64)
            unit = np.asarray(self._units[k], np.int64)
        except _DAMAGED as error:
            raise damaged(f"{self.place} recording {k}", self.layout, error) from error
        if t.shape != unit.shape:
            raise DataError(
                f"{self.place}: recording {k} has {len(t)} times and {len(unit)} units",
                fix="copy or download the file again",
            )
        order = np.lexsort((unit, t))
        return t[order], unit[order]
