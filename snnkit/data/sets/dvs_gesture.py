"""DVS128 Gesture: eleven hand and arm gestures of 29 people in three kinds of light.

Official layout: userNN_LIGHT.aedat (AEDAT 3.1) beside userNN_LIGHT_labels.csv (class 1 to 11, start and end in µs) and
the lists trials_to_train.txt (users 1 to 23) and trials_to_test.txt (24 to 29); a labelled stretch is one recording.
Also the layout that tonic downloads, one .npy for each stretch with columns x, y, p, t in ms.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from snnkit.data.archives import Member
from snnkit.data.folder.reading import read_recording
from snnkit.data.sets.arrays import from_start, load_npy
from snnkit.data.sets.facts import Facts, part_of
from snnkit.data.sets.source import Columns, Item, SetSource
from snnkit.errors import DataError

LISTS = {"trials_to_train.txt": "train", "trials_to_test.txt": "test"}


class DVSGestureSource(SetSource):
    """DVS128 Gesture from DvsGesture.tar.gz or its folder; see `SetSource` for the arguments."""

    name = "dvs-gesture"
    sensor_size = (128, 128)
    window_us = None
    classes = (
        "hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise",
        "left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other gestures",
    )  # fmt: skip
    facts = Facts(
        title="DVS128 Gesture",
        source="Amir et al. 2017, doi:10.1109/CVPR.2017.781",
        home="https://research.ibm.com/interactive/dvsgesture (IBM's Box folder)",
        licence="CC BY 4.0",
        layout="DvsGesture.tar.gz, or its folder with userNN_LIGHT.aedat, userNN_LIGHT_labels.csv, trials_to_train.txt"
        " and trials_to_test.txt; or tonic's folders ibmGestureTrain and ibmGestureTest",
        endings=(".aedat", ".csv", ".txt", ".npy"),
        md5={
            "DvsGesture.tar.gz": "8a5c71fb11e24e5ca5b11866ca6c00a1",
            "ibmGestureTrain.tar.gz": "3a8f0d4120a166bac7591f77409cb105",
            "ibmGestureTest.tar.gz": "56070e45dadaa85fff82e0fbfbc06de5",
        },
        tonic="DVSGesture",
    )

    def find(self, files: list[Member]) -> Iterable[Item]:
        by_name = {f.path.name: f for f in files}
        if any(name in by_name for name in LISTS):
            yield from self._official(by_name)
            return
        for file in files:
            if file.path.suffix == ".npy" and file.path.stem.isdecimal():
                part = part_of(file)
                if part is not None:
                    name = f"{file.path.parent.name}/{int(file.path.stem):02d}"
                    yield Item(part, self._label(int(file.path.stem), file.place), name, file.place, _cut_reader(file))

    def _label(self, label: int, place: str) -> int:
        if not 0 <= label < len(self.classes):
            raise DataError(f"{place}: class {label + 1}", fix="classes are 1 to 11")
        return label

    def _official(self, by_name: dict[str, Member]) -> Iterator[Item]:
        @lru_cache(maxsize=1)
        def whole(name: str) -> Columns:
            # Times of the labels are those of the recording's clock, so they must not be shifted.
            return _on_clock(by_name[name])

        for listing, part in LISTS.items():
            if listing not in by_name:
                raise DataError(f"{self.root}: {listing} is missing", fix=self.facts.layout)
            for line in by_name[listing].read().decode("utf-8").split():
                labels = f"{line.removesuffix('.aedat')}_labels.csv"
                if missing := [n for n in (line, labels) if n not in by_name]:
                    raise DataError(
                        f"{by_name[listing].place} lists {missing[0]}, which is not there",
                        fix="unpack the whole archive again",
                    )
                for k, (label, start, end) in enumerate(_stretches(by_name[labels])):
                    place = f"{by_name[line].place} gesture {k}"
                    name = f"{line.removesuffix('.aedat')}/{k:02d}"
                    yield Item(part, self._label(label - 1, place), name, place, _stretch(whole, line, start, end))


def _on_clock(file: Member) -> Columns:
    with file.on_disk() as path:
        return read_recording(path, DVSGestureSource.sensor_size, sort=True, shift=False).columns


def _stretch(whole: Callable[[str], Columns], name: str, start: int, end: int) -> Callable[[], Columns]:
    def read() -> Columns:
        t, x, y, p = whole(name)
        a, b = np.searchsorted(t, [start, end])
        if a == b:
            raise DataError(f"{name}: no event from {start} to {end} us", fix="copy or download the recording again")
        return t[a:b] - t[a], x[a:b], y[a:b], p[a:b]

    return read


def _stretches(file: Member) -> Iterator[tuple[int, int, int]]:
    rows = csv.DictReader(io.StringIO(file.read().decode("utf-8")))
    try:
        for row in rows:
            yield int(row["class"]), int(row["startTime_usec"]), int(row["endTime_usec"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{file.place}: cannot be read ({error})", fix="its columns are class, startTime_usec and endTime_usec"
        ) from error


def _cut_reader(file: Member) -> Callable[[], Columns]:
    def read() -> Columns:
        a: NDArray[np.number] = load_npy(file)
        if a.ndim != 2 or a.shape[1] != 4:
            raise DataError(f"{file.place}: an array of shape {a.shape}", fix="tonic's files are [events, 4]")
        x, y, p, t = a.astype(np.int64).T
        return from_start(t * 1000, x, y, p, file.place)

    return read
