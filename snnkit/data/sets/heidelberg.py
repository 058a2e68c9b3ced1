"""SHD and SSC: spoken digits and commands through a model of the inner ear, 700 channels without polarity.

Official layout: shd_train.h5 and shd_test.h5; ssc_train.h5, ssc_valid.h5 and ssc_test.h5 (also as .zip and .gz). A
recording's name is its place in its file. SHD has no validation part: a tenth of the training part is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from snnkit.data.archives import Member
from snnkit.data.sets.facts import Facts, part_of
from snnkit.data.sets.hdf5 import SpikeFile
from snnkit.data.sets.source import Columns, Item, SetSource
from snnkit.errors import DataError

CHANNELS = 700
_SOURCE = "Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364"
_HOME = "https://zenkelab.org/datasets (doi:10.21227/51gn-m114)"


class _Heidelberg(SetSource):
    sensor_size = (CHANNELS, 1)
    channels = ("spike",)

    def find(self, files: list[Member]) -> Iterable[Item]:
        self._keys: dict[int, str] = {}
        seen = set()
        for file in files:
            part = part_of(file)
            # The folder may hold a file beside the archive it came in.
            if part is None or (part, file.path.name) in seen:
                continue
            seen.add((part, file.path.name))
            path = self.opened.enter_context(file.on_disk())
            spikes: SpikeFile = self.opened.enter_context(SpikeFile(path, file.place))
            if spikes.keys and len(spikes.labels) and int(spikes.labels.max()) >= len(spikes.keys):
                raise DataError(
                    f"{file.place}: label {int(spikes.labels.max())}, but names of {len(spikes.keys)} classes",
                    fix="copy or download the file again",
                )
            self._keys |= {int(k): spikes.keys[k] for k in np.unique(spikes.labels) if 0 <= k < len(spikes.keys)}
            for k, label in enumerate(spikes.labels):
                yield Item(part, int(label), f"{k:06d}", f"{file.place} recording {k}", partial(_columns, spikes, k))

    def notes(self) -> dict[str, Any]:
        """The names of the classes, as the files give them."""
        return {"classes": [self._keys.get(k, str(k)) for k in range(max(self._keys, default=-1) + 1)]}

    def expected(self) -> tuple[str, ...]:
        return tuple(self.notes()["classes"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, as the files give them."""
        return tuple(self.store.notes["classes"])


def _columns(spikes: SpikeFile, k: int) -> Columns:
    t, unit = spikes.read(k)
    return t, unit, np.zeros_like(t), np.ones_like(t)


class SHDSource(_Heidelberg):
    """The Spiking Heidelberg Digits; see `SetSource` for the arguments."""

    name = "shd"
    window_us = 1_400_000
    facts = Facts(
        title="the Spiking Heidelberg Digits",
        source=_SOURCE,
        home=_HOME,
        licence="CC BY 4.0",
        layout="shd_train.h5 and shd_test.h5, also as .zip or .gz",
        endings=(".h5", ".hdf5"),
        md5={
            "shd_train.h5.zip": "f3252aeb598ac776c1b526422d90eecb",
            "shd_test.h5.zip": "1503a5064faa34311c398fb0a1ed0a6f",
        },
        tonic="SHD",
    )


class SSCSource(_Heidelberg):
    """The Spiking Speech Commands; see `SetSource` for the arguments."""

    name = "ssc"
    window_us = 1_000_000
    facts = Facts(
        title="the Spiking Speech Commands",
        source=_SOURCE,
        home=_HOME,
        licence="CC BY 4.0",
        layout="ssc_train.h5, ssc_valid.h5 and ssc_test.h5, also as .zip or .gz",
        endings=(".h5", ".hdf5"),
        md5={
            "ssc_train.h5.zip": "d102be95e7144fcc0553d1f45ba94170",
            "ssc_valid.h5.zip": "b4eee3516a4a90dd0c71a6ac23a8ae43",
            "ssc_test.h5.zip": "a35ff1e9cffdd02a20eb850c17c37748",
        },
        tonic="SSC",
        tonic_parts=({"split": "train"}, {"split": "valid"}, {"split": "test"}),
    )
