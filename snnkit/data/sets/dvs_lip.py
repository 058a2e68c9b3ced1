"""DVS-Lip: hundred spoken words seen by an event camera at the lips.

Official layout: DVS-Lip/train/WORD/N.npy and DVS-Lip/test/WORD/N.npy, structured arrays with t (µs), x, y, p; the
speakers of the test part are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from snnkit.data.archives import Member
from snnkit.data.sets.arrays import from_start, load_npy
from snnkit.data.sets.facts import Facts, part_of
from snnkit.data.sets.source import Columns, Item, SetSource
from snnkit.errors import DataError

WORDS = (
    "accused action allow allowed america american another around attacks banks become being benefit benefits "
    "between billion called capital challenge change chief couple court death described difference different "
    "during economic education election england evening everything exactly general germany giving ground "
    "happen happened having heavy house hundreds immigration judge labour leaders legal little london majority "
    "meeting military million minutes missing needs number numbers paying perhaps point potential press price "
    "question really right russia russian saying security several should significant spend spent started still "
    "support syria syrian taken taking terms these thing think times tomorrow under warning water welcome "
    "words worst years young"
)


class DVSLipSource(SetSource):
    """DVS-Lip from its archive or folder; see `SetSource` for the arguments."""

    name = "dvs-lip"
    sensor_size = (128, 128)
    window_us = None
    classes = tuple(WORDS.split())
    facts = Facts(
        title="DVS-Lip",
        source="Tan et al. 2022, doi:10.1109/CVPR52688.2022.01946",
        home="https://sites.google.com/view/event-based-lipreading",
        licence="as stated by its authors",
        layout="DVS-Lip.zip, or its folder with train/WORD/N.npy and test/WORD/N.npy",
        endings=(".npy",),
        md5={"DVS-Lip.zip": "2dcb959255122d4cdeb6094ca282494b"},
        tonic="DVSLip",
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        label = {name: k for k, name in enumerate(self.classes)}
        seen = set()
        for file in files:
            word, part = file.path.parent.name, part_of(file)
            name = f"{word}/{file.path.stem}"
            if word in label and part is not None and (part, name) not in seen:
                seen.add((part, name))
                yield Item(part, label[word], name, file.place, _reader(file))


def _reader(file: Member) -> Callable[[], Columns]:
    def read() -> Columns:
        a = load_npy(file)
        if a.dtype.names is None or not {"t", "x", "y", "p"} <= set(a.dtype.names):
            raise DataError(
                f"{file.place}: an array of {a.dtype}", fix="the files are structured arrays with t, x, y, p"
            )
        return from_start(a["t"], a["x"], a["y"], a["p"], file.place)

    return read
