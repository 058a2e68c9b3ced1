"""ST-MNIST: digits written with a finger on an array of 10×10 taxels.

Layout: DIGIT/….mat with `spiketrain` [101, n]: for each instant, 1 (ON), −1 (OFF) or 0 for each taxel, and last the
time in s; a taxel's place is x = k mod 10, y = k div 10. There is no official division: a fifth of each class is the
test part and a tenth validation, drawn once by `snnkit.data.splits.seeded_parts` with seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from snnkit.data.archives import Member
from snnkit.data.sets.arrays import from_start, load_mat
from snnkit.data.sets.facts import Facts
from snnkit.data.sets.source import Columns, Item, SetSource
from snnkit.errors import DataError

SIDE = 10


class STMNISTSource(SetSource):
    """ST-MNIST from its archive or folder; see `SetSource` for the arguments."""

    name = "st-mnist"
    sensor_size = (SIDE, SIDE)
    window_us = 2_000_000
    classes = tuple("0123456789")
    facts = Facts(
        title="ST-MNIST",
        source="See et al. 2020, arXiv:2005.04319",
        home="https://scholarbank.nus.edu.sg (item 10635/168106, by a form)",
        licence="as stated by its authors",
        layout="the authors' zip, or its folders 0 to 9 with .mat files",
        endings=(".mat",),
        md5={"STMNIST dataset NUS Tee Research Group.zip": "2eef16be7356bc1a8f540bb3698c4e0e"},
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        for file in files:
            digit = file.path.parent.name
            if digit in self.classes and "LUT" not in file.path.name:
                yield Item(None, int(digit), f"{digit}/{file.path.stem}", file.place, _reader(file))


def _reader(file: Member) -> Callable[[], Columns]:
    def read() -> Columns:
        (train,) = load_mat(file, ("spiketrain",))
        if train.ndim != 2 or len(train) != SIDE * SIDE + 1:
            raise DataError(f"{file.place}: spiketrain {list(train.shape)}", fix="spiketrain is [101, n]")
        taxel, k = np.nonzero(train[:-1])
        t = np.rint(train[-1, k].astype(np.float64) * 1e6)
        return from_start(t, taxel % SIDE, taxel // SIDE, (train[taxel, k] > 0).astype(int), file.place)

    return read
