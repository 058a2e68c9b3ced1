"""CIFAR10-DVS: images of CIFAR-10 moved on a screen before a DVS128.

Official layout: an archive for each class of 1000 .aedat files (AEDAT 2.0); tonic's download has the same recordings as
AEDAT 4. There is no official division: a tenth of each class is the test part and a tenth validation, drawn once by
`snnkit.data.splits.seeded_parts` with seed 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from snnkit.data.archives import Member
from snnkit.data.sets.facts import Facts
from snnkit.data.sets.reading import class_folders
from snnkit.data.sets.source import Item, SetSource


class CIFAR10DVSSource(SetSource):
    """CIFAR10-DVS from its archives or their folder; see `SetSource` for the arguments."""

    name = "cifar10-dvs"
    sensor_size = (128, 128)
    window_us = None
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    test_share = 0.1
    facts = Facts(
        title="CIFAR10-DVS",
        source="Li et al. 2017, doi:10.3389/fnins.2017.00309",
        home="figshare, doi:10.6084/m9.figshare.4724671",
        licence="CC BY 4.0",
        layout="airplane.zip to truck.zip, or folders of these names with .aedat files; or tonic's CIFAR10DVS.zip",
        endings=(".aedat", ".aedat4"),
        md5={
            "CIFAR10DVS.zip": "ce3a4a0682dc0943703bd8f749a7701c",
            "airplane.zip": "0afd5c4bf9ae06af762a77b180354fdd",
            "automobile.zip": "8438dfeba3bc970c94962d995b1b9bdd",
            "bird.zip": "a9c207c91c55b9dc2002dc21c684d785",
            "cat.zip": "52c63c677c2b15fa5146a8daf4d56687",
            "deer.zip": "b6bf21f6c04d21ba4e23fc3e36c8a4a3",
            "dog.zip": "f379ebdf6703d16e0a690782e62639c3",
            "frog.zip": "cad6ed91214b1c7388a5f6ee56d08803",
            "horse.zip": "e7cbbf77bec584ffbf913f00e682782a",
            "ship.zip": "41c7bd7d6b251be82557c6cce9a7d5c9",
            "truck.zip": "89f3922fd147d9aeff89e76a2b0b70a7",
        },
        tonic="CIFAR10DVS",
        tonic_parts=({},),
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        return class_folders(files, self.classes, self.sensor_size)
