"""Braille touch as an event source: sampled taxels, or the spikes made of them.

Müller-Cleve et al. 2022, "Braille letter reading: A benchmark for spatio-temporal pattern recognition on neuromorphic
hardware", doi:10.3389/fnins.2022.951164; data: doi:10.5281/zenodo.6556273 (CC BY 4.0). 12 capacitive taxels slid over
a letter; 27 classes (26 letters and the space), 50 repetitions each.

Samples become events by send on delta with a threshold of 8 (`snnkit.data.delta`). A step is taken to be 25 ms long;
the files that circulate do not say it, and nothing but the times in µs depends on it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.archives import Member
from snnkit.data.delta import send_on_delta
from snnkit.data.retake import Retake
from snnkit.data.sets.facts import Facts, part_of
from snnkit.data.sets.hdf5 import SpikeFile
from snnkit.data.sets.source import Columns, Item, SetSource
from snnkit.errors import DataError

LETTERS = ("Space", *(chr(ord("A") + k) for k in range(26)))
TAXELS, STEPS, STEP_US, THRESHOLD = 12, 76, 25_000, 8

FACTS = Facts(
    title="Braille touch readings",
    source="Müller-Cleve et al. 2022, doi:10.3389/fnins.2022.951164",
    home="Zenodo, doi:10.5281/zenodo.6556273, or the notebooks of github fzenke/spytorch",
    licence="CC BY 4.0",
    layout="train.npz and test.npz or valid.npz with taxels [n, steps, 12], label and repetition; or HDF5 files of the "
    "spikes in the layout of SHD, with train, test or valid in their names",
    endings=(".npz", ".h5", ".hdf5"),
    md5={},
)


class BrailleSource(SetSource):
    """Braille letters read by 12 taxels, as ON and OFF events of 12 × 1 channels; see `SetSource` for the arguments.

    `root` holds train.npz and test.npz (or valid.npz, which then is the test part), or the same as HDF5 files of
    spikes, whose unit 2k + p is taxel k with polarity p.
    """

    name = "braille"
    facts = FACTS
    sensor_size = (TAXELS, 1)
    classes = LETTERS
    window_us = STEPS * STEP_US
    committed = ("snnkit.data.braille", "validation.json")

    def find(self, files: list[Member]) -> Iterable[Item]:
        samples = [f for f in files if f.path.suffix.lower() == ".npz"]
        for file in samples or files:
            part = part_of(file)
            if part is not None:
                yield from _samples(file, part) if samples else self._spikes(file, part)

    def _spikes(self, file: Member, part: str) -> Iterator[Item]:
        path = self.opened.enter_context(file.on_disk())
        spikes: SpikeFile = self.opened.enter_context(SpikeFile(path, file.place))
        for k, (label, repetition) in enumerate(zip(spikes.labels, spikes.speakers)):
            place = f"{file.place} recording {k}"
            yield _item(part, int(label), int(repetition), place, partial(_from_spikes, spikes, k))


def _item(
    part: str, label: int, repetition: int, place: str, read: Callable[[], Columns], series: NDArray[Any] | None = None
) -> Item:
    if not 0 <= label < len(LETTERS):
        raise DataError(f"{place}: label {label}", fix=f"labels are 0 (Space) to {len(LETTERS) - 1}")
    again = None if series is None else partial(_retaken, series)
    return Item(part, label, f"{LETTERS[label]}/{repetition:02d}", place, read, again)


def _samples(file: Member, part: str) -> Iterator[Item]:
    with load_npz(file) as data:
        try:
            taxels, labels, repetitions = (data[k] for k in ("taxels", "label", "repetition"))
        except (KeyError, ValueError) as error:
            raise DataError(f"{file.place}: {error}", fix="needed are taxels, label and repetition") from error
    if taxels.ndim != 3 or taxels.shape[2] != TAXELS or not len(taxels) == len(labels) == len(repetitions):
        raise DataError(
            f"{file.place}: taxels {taxels.shape}, label {labels.shape}, repetition {repetitions.shape}",
            fix=f"taxels are [n, steps, {TAXELS}], label and repetition [n]",
        )
    for k in range(len(taxels)):
        place = f"{file.place} sample {k}"
        yield _item(part, int(labels[k]), int(repetitions[k]), place, _coder(taxels[k]), taxels[k])


def _coder(series: NDArray[Any]) -> Callable[[], Columns]:
    return lambda: send_on_delta(series[:STEPS], THRESHOLD, STEP_US)


def _retaken(series: NDArray[Any], retake: Retake, rng: np.random.Generator) -> Columns:
    return retake.take(series[:STEPS], THRESHOLD, STEP_US, rng)


def _from_spikes(spikes: SpikeFile, k: int) -> Columns:
    t, unit = spikes.read(k)
    if len(unit) and int(unit.max()) >= 2 * TAXELS:
        raise DataError(f"{spikes.place}: recording {k} has unit {int(unit.max())}", fix="units are 0 to 23")
    # The times are float16 seconds; they stand for whole steps.
    steps = (t + STEP_US // 2) // STEP_US * STEP_US
    order = np.lexsort((unit & 1, unit >> 1, steps))
    return steps[order], (unit >> 1)[order], np.zeros(len(t), np.int64), (unit & 1)[order]


def load_npz(file: Member) -> Any:
    """An `.npz` file without pickles; raises `DataError` where it is none."""
    try:
        return np.load(io.BytesIO(file.read()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file.place}: no .npz file ({error})", fix="copy or download it again") from error
