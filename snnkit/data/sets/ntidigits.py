"""N-TIDIGITS18: spoken digits recorded with a silicon cochlea, 64 channels without polarity.

Official layout: n-tidigits.hdf5 with train_labels (names of recordings, the digits last), and for each name its times
in s in train_timestamps and its channels in train_addresses; the same for test. The recordings of one digit are taken:
eleven classes, "o" and "z" being the two words for zero. The speakers of the test part are others.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from snnkit.data.archives import Member
from snnkit.data.sets.arrays import from_start
from snnkit.data.sets.facts import Facts
from snnkit.data.sets.hdf5 import DigitFile
from snnkit.data.sets.source import Columns, Item, SetSource

CHANNELS = 64


class NTIDIGITSSource(SetSource):
    """N-TIDIGITS18, single digits; see `SetSource` for the arguments."""

    name = "n-tidigits"
    sensor_size = (CHANNELS, 1)
    channels = ("spike",)
    window_us = None
    classes = ("o", *"123456789", "z")
    facts = Facts(
        title="N-TIDIGITS18",
        source="Anumula et al. 2018, doi:10.3389/fnins.2018.00023",
        home="https://docs.google.com/document/d/1Uxe7GsKKXcy6SlDUX4hoJVAC0-UkH-8kr5UXp0Ndi1M",
        licence="as stated by its authors",
        layout="n-tidigits.hdf5",
        endings=(".hdf5", ".h5"),
        md5={"n-tidigits.hdf5": "360a2d11e5429555c9197381cf6b58e0"},
        tonic="NTIDIGITS18",
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        for file in files:
            path = self.opened.enter_context(file.on_disk())
            data: DigitFile = self.opened.enter_context(DigitFile(path, file.place, ("train", "test")))
            for part, names in data.names.items():
                for name in names:
                    digit = name.rsplit("-", 1)[-1]
                    if digit in self.classes:
                        place = f"{file.place} {name}"
                        read = partial(_columns, data, part, name, place)
                        yield Item(part, self.classes.index(digit), name, place, read)


def _columns(data: DigitFile, part: str, name: str, place: str) -> Columns:
    t, x = data.read(part, name)
    return from_start(t, x, np.zeros(len(x)), np.ones(len(x)), place)
