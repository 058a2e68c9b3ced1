"""N-MNIST as an event source: layouts, validation of what was found, splits.

Orchard, Jayawant, Cohen, Thakor 2015, "Converting static image datasets to spiking neuromorphic datasets using
saccades", doi:10.3389/fnins.2015.00437. 34×34 pixels, two polarities, three saccades, about 308 ms, 60 000 training and
10 000 test recordings; the data are CC BY-SA 4.0.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.data.cache import cached_store
from snnkit.data.files.atis import decode_columns
from snnkit.data.nmnist.archive import LAYOUT_FIX, Entry, find_recordings
from snnkit.data.progress import Progress, no_progress, progress_bar
from snnkit.data.source import EventSource
from snnkit.data.splits import shrink_splits, stratified_draw
from snnkit.data.store import EventStore, Recording
from snnkit.errors import DataError, MissingPackageError

DECODER_VERSION = 1
_COMMITTED = ("subset_validation.json", "subset_draws.json")


def default_validation_size(n_train: int) -> int:
    """How many training recordings are set aside to select on: a tenth, and at least 100 where a seventh allows it."""
    return max(n_train // 10, min(100, n_train // 7))


def draw_validation(names: list[str], labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Indices [n] of a part of the training recordings, to select on or to learn from: fixed by (seed, names).

    The draw is stratified. For the 700-recording subset the results for n = 100, and n = 70, and 10 of the 100, are
    also committed with the package, and those files are what is used.
    """
    key = hashlib.sha256("\n".join(names).encode()).hexdigest()
    for file in _COMMITTED:
        held = json.loads(resources.files(__package__).joinpath(file).read_text("utf-8"))
        for drawn in held.get("draws", [held]):
            if (key, n, seed) == (drawn["training_names_sha256"], len(drawn["indices"]), drawn["seed"]):
                return np.array(drawn["indices"], np.int64)
    return stratified_draw(names, labels, n, seed)


class NMNISTSource(EventSource):
    """N-MNIST from a folder or archive; see `snnkit.data.nmnist.archive` for the layouts.

    Args:
        root: the folder or archive.
        validation: how many training recordings are the validation part; None: a tenth, at least 100 where possible
            (100 of 700, 6000 of 60 000). Not used where the data come with a validation part of their own.
        validation_seed: the seed of that draw.
        subset: use only this many training recordings (stratified), with validation and test in proportion.
        few: learn from this many training recordings only, drawn as the validation part is; that part is taken from
            among them, and the test part stays whole.
        download: let tonic download the official archives to `root` if no recordings are there (tonic is GPL-3.0 and
            imported only for this).

    Raises:
        DataError: no recordings, a class without recordings, a damaged file or archive.
    """

    name = "nmnist"
    sensor_size = (34, 34)
    classes = tuple("0123456789")
    window_us = 315_000

    def __init__(
        self,
        root: str | os.PathLike[str],
        validation: int | None = None,
        validation_seed: int = 0,
        subset: int | None = None,
        download: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
        few: int | None = None,
    ) -> None:
        super().__init__(cache_dir, progress)
        self.root, self.download, self.few = Path(root), download, few
        self.validation, self.validation_seed, self.subset = validation, validation_seed, subset

    def load(self) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        if self.download:
            download_with_tonic(self.root)
        with find_recordings(self.root) as entries:
            check_classes(entries, str(self.root))
            labels = np.array([e.label for e in entries], np.int64)
            splits = self._divide(entries, labels)
            if self.subset is not None:
                entries, splits = self._shrink(entries, labels, splits)
            identity = hashlib.sha256(repr([(e.part, e.name, e.identity) for e in entries]).encode()).hexdigest()
            with progress_bar("decoding N-MNIST recordings", self.progress) as report:
                settings = {"decoder": DECODER_VERSION, "source": identity}
                store = cached_store(
                    self.name, settings, self.sensor_size, lambda: decode_all(entries, report), self.cache_dir
                )
        return store, splits

    def _divide(self, entries: list[Entry], labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        parts = np.array([e.part for e in entries])
        train, test = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "test")
        validation = np.flatnonzero(parts == "validation")
        if self.few is not None:
            names = [entries[i].name for i in train]
            train = train[draw_validation(names, labels[train], self.few, self.validation_seed)]
        if len(validation) == 0:
            n = default_validation_size(len(train)) if self.validation is None else self.validation
            chosen = draw_validation([entries[i].name for i in train], labels[train], n, self.validation_seed)
            validation = train[chosen]
            train = np.delete(train, chosen)
        return {"train": train, "validation": validation, "test": test}

    def _shrink(
        self, entries: list[Entry], labels: NDArray[np.int64], splits: dict[str, NDArray[np.int64]]
    ) -> tuple[list[Entry], dict[str, NDArray[np.int64]]]:
        chosen, start, out = [], 0, {}
        for split, indices in shrink_splits(splits, [e.name for e in entries], labels, self.subset or 0).items():
            chosen += [entries[i] for i in indices]
            out[split] = np.arange(start, start + len(indices))
            start += len(indices)
        return chosen, out


def check_classes(entries: list[Entry], place: str) -> None:
    """Raise `DataError` unless the training part has all ten digits and the test part has recordings."""
    train = {e.label for e in entries if e.part == "train"}
    if missing := sorted(set(range(10)) - train):
        what = "no folder of a class (0 to 9)" if len(missing) == 10 else f"no recordings of the classes {missing}"
        raise DataError(f"{place}: the training part holds {what}", fix=LAYOUT_FIX)
    if not any(e.part == "test" for e in entries):
        raise DataError(f"{place}: the test part holds no recordings", fix=LAYOUT_FIX)


def decode_all(entries: list[Entry], report: Progress = no_progress) -> Iterator[Recording]:
    """Decode the recordings one by one, in order."""
    for i, e in enumerate(entries):
        yield Recording(e.name, e.label, *decode_columns(e.read(), (34, 34), e.place))
        if i % 100 == 99 or i + 1 == len(entries):
            report(i + 1, len(entries))


def download_with_tonic(root: Path) -> None:
    """Have tonic download and unpack N-MNIST to `root`/NMNIST, unless recordings are found there already.

    Raises:
        MissingPackageError: tonic is not installed.
        DataError: the download failed.
    """
    if root.exists():
        try:
            with find_recordings(root):
                return
        except DataError:
            if root.is_file():
                raise
    try:
        from tonic.datasets import NMNIST as TonicNMNIST
    except ImportError as error:
        raise MissingPackageError(
            "downloading N-MNIST needs the package tonic",
            fix="pip install tonic, or download the archives yourself and give their folder as root",
        ) from error
    try:
        for train in (True, False):
            TonicNMNIST(save_to=str(root), train=train)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"the download of N-MNIST to {root} failed: {error}",
            fix="check the network, or download the archives yourself and give their folder as root",
        ) from error
