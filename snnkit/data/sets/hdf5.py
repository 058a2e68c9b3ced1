"""Containers of many recordings in one HDF5 file, in the layout of the Heidelberg spiking data sets.

`spikes/times[i]` are the times of recording i in seconds, `spikes/units[i]` its channels, `labels[i]` its class;
`extra/keys` names the classes, `extra/speaker` the speaker. Source: Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import DataError

Spikes = tuple[NDArray[np.int64], NDArray[np.int64]]


def read_spikes(path: Path, place: str) -> Iterator[tuple[int, int, str, Spikes]]:
    """(class, speaker, name of the class, (t in µs, unit) [N] in order of time) of each recording, in the file's order.

    Equal times stand in order of unit. A container without `extra` gives speaker −1 and the class's number as name.

    Raises:
        DataError: no HDF5 file, or not of this layout.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            times, units, labels = file["spikes/times"], file["spikes/units"], file["labels"][()]
            keys = (
                [k.decode() if isinstance(k, bytes) else str(k) for k in file["extra/keys"][()]]
                if "extra" in file
                else []
            )
            speakers = file["extra/speaker"][()] if "extra/speaker" in file else np.full(len(labels), -1)
            if not len(times) == len(units) == len(labels) == len(speakers):
                raise DataError(
                    f"{place}: {len(times)} times, {len(units)} units, {len(labels)} labels, {len(speakers)} speakers",
                    fix="copy or download the file again",
                )
            for k, label in enumerate(labels):
                # float16 seconds must not be multiplied as such: 65504 is the largest number.
                t = np.rint(np.asarray(times[k], np.float64) * 1e6).astype(np.int64)
                unit = np.asarray(units[k], np.int64)
                if t.shape != unit.shape:
                    raise DataError(f"{place}: recording {k} has {len(t)} times and {len(unit)} units")
                order = np.lexsort((unit, t))
                name = keys[int(label)] if 0 <= int(label) < len(keys) else str(int(label))
                yield int(label), int(speakers[k]), name, (t[order], unit[order])
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{place}: cannot be read as spikes/times, spikes/units and labels ({error})",
            fix="give an HDF5 file in the layout of SHD; copy or download it again if it is damaged",
        ) from error
