"""ASL-DVS: letters of the American sign language before a DAVIS240.

Layout: LETTER/LETTER_NNNN.mat, 4200 of each of 24 letters (j and z are movements), with x, y, ts, pol; y counts from
the bottom there and is turned over. There is no official division: a fifth of each class is the test part and a tenth
validation, drawn once by `snnkit.data.splits.seeded_parts` with seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from snnkit.data.archives import Member
from snnkit.data.sets.arrays import from_start, load_mat
from snnkit.data.sets.facts import Facts
from snnkit.data.sets.source import Columns, Item, SetSource

WIDTH, HEIGHT = 240, 180


class ASLDVSSource(SetSource):
    """ASL-DVS from its archives or folders; see `SetSource` for the arguments."""

    name = "asl-dvs"
    sensor_size = (WIDTH, HEIGHT)
    window_us = 100_000
    classes = tuple("abcdefghiklmnopqrstuvwxy")
    facts = Facts(
        title="ASL-DVS",
        source="Bi et al. 2019, doi:10.1109/ICCV.2019.00058",
        home="https://github.com/PIX2NVS/NVS2Graph (a Dropbox folder)",
        licence="as stated by its authors",
        layout="ASLDVS.zip, or folders a to y with .mat files",
        endings=(".mat",),
        md5={"ASLDVS.zip": "33f8b87bf45edc0bfed0de41822279b9"},
        tonic="ASLDVS",
        tonic_parts=({},),
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        seen = set()
        for file in files:
            letter = file.path.parent.name.lower()
            name = f"{letter}/{file.path.stem}"
            if letter in self.classes and name not in seen:
                seen.add(name)
                yield Item(None, self.classes.index(letter), name, file.place, _reader(file))


def _reader(file: Member) -> Callable[[], Columns]:
    def read() -> Columns:
        t, x, y, p = load_mat(file, ("ts", "x", "y", "pol"))
        return from_start(t, x, HEIGHT - 1 - y.astype(int), p, file.place)

    return read
