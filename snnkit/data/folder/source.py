"""A folder of recordings as an event source: read, checked together, decoded once, divided."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.cache import cached_store
from snnkit.data.folder.layout import Listing, list_folder
from snnkit.data.folder.reading import Size, read_recording
from snnkit.data.progress import progress_bar
from snnkit.data.source import EventSource
from snnkit.data.splits import divide, seeded_parts, shrink_splits
from snnkit.data.store import EventStore, Recording
from snnkit.errors import DataError, ParameterError

VERSION = 1
_SHOWN = 20


class EventFolderSource(EventSource):
    """Recordings in a folder for each class, in any format that `snnkit.data.files` reads; formats may be mixed.

    `root/CLASS/…`, or `root/train/CLASS/…` with `root/test/CLASS/…` and, if there is one, `root/validation/CLASS/…`:
    see `snnkit.data.folder.layout`. Times are counted from each recording's first event.

    A folder without parts is divided once: in each class, recordings in order of SHA-256 of "split_seed:CLASS/name",
    the first fifth is the test part, the next tenth validation (`snnkit.data.splits.seeded_parts`). Of a folder with
    parts but without validation, a tenth of the training part is drawn in the same way; with validation but without
    test, validation is the test part, so that nothing is selected on what is reported.

    Args:
        root: the folder.
        sensor_size: (width, height) of all recordings; None: what the files state, which must be the same for all, or
            where none states it the smallest that holds all events. Stated sizes may differ where it is given: events
            keep their coordinates, and one that lies outside is an error.
        pattern: only files whose name matches, such as "*.raw".
        skip_corrupt: leave out files that cannot be read; the run's record lists them. Otherwise they are an error.
        sort: sort the events of recordings whose time runs back, instead of counting them as corrupt.
        test, validation: shares of the drawn parts.
        split_seed: seed of the draw.
        subset: use only so many training recordings (stratified), with validation and test in proportion.
        cache_dir: where decoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are decoded.

    Raises:
        DataError: no such layout, a class with too few recordings, files that cannot be read (all are named), sensors
            of different sizes, a file that changes while it is read.
    """

    name = "event-folder"
    window_us = None

    def __init__(
        self,
        root: str | os.PathLike[str],
        sensor_size: tuple[int, int] | None = None,
        pattern: str = "*",
        skip_corrupt: bool = False,
        sort: bool = False,
        test: float = 0.2,
        validation: float = 0.1,
        split_seed: int = 0,
        subset: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__(cache_dir, progress)
        if sensor_size is not None and not all(0 < v <= 65536 for v in sensor_size):
            raise ParameterError(f"sensor_size is {tuple(sensor_size)}", fix="give (width, height) in pixels")
        if min(test, validation) <= 0.0 or test + validation >= 1.0:
            raise ParameterError(f"test is {test}, validation {validation}", fix="give positive shares of less than 1")
        self.root, self.pattern, self.subset = Path(root), pattern, subset
        self._given = None if sensor_size is None else (int(sensor_size[0]), int(sensor_size[1]))
        self.skip_corrupt, self.sort = skip_corrupt, sort
        self.test, self.validation, self.split_seed = test, validation, int(split_seed)
        self._listing: Listing | None = None

    @property
    def listing(self) -> Listing:
        """The classes and files, listed when first asked for."""
        if self._listing is None:
            self._listing = list_folder(self.root, self.pattern)
        return self._listing

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the folders of classes."""
        return self.listing.classes

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(width, height): given, or known when the recordings are decoded."""
        return self.store.sensor_size

    def describe(self) -> dict[str, Any]:
        """What was left out or is unusual, how files were read, and how parts that are missing are drawn."""
        facts: dict[str, Any] = {name: self.store.notes.get(name, []) for name in ("skipped", "remarks")}
        facts["read"] = {"pattern": self.pattern, "sort": self.sort, "skip_corrupt": self.skip_corrupt}
        facts["drawn"] = {"test": self.test, "validation": self.validation, "split_seed": self.split_seed}
        return facts

    @classmethod
    def arguments(cls, described: Mapping[str, Any]) -> dict[str, Any]:
        size = tuple(described["sensor_size"])
        return {"sensor_size": size, **described.get("read", {}), **described.get("drawn", {})}

    def load(self) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        listing = self.listing
        settings = {
            "version": VERSION,
            "files": [(f.part, f.label, f.name, f.identity) for f in listing.files],
            "sensor_size": self._given,
            "skip_corrupt": self.skip_corrupt,
            "sort": self.sort,
        }
        pass_ = _Pass(self)
        store = cached_store(self.name, settings, pass_.size, pass_.recordings, self.cache_dir, pass_.notes)
        if skipped := store.notes.get("skipped", []):
            names = ", ".join(s["file"] for s in skipped[:3]) + (", …" if len(skipped) > 3 else "")
            warnings.warn(f"{self.root}: {len(skipped)} corrupt files are left out: {names}", stacklevel=2)
        if remarks := store.notes.get("remarks", []):
            files = len({r["file"] for r in remarks})
            first = f"{remarks[0]['file']}: {remarks[0]['note']}"
            warnings.warn(f"{self.root}: {files} files are unusual, the first: {first}", stacklevel=2)
        return store, self._divide(store)

    def _divide(self, store: EventStore) -> dict[str, NDArray[np.int64]]:
        parts = [name.split("/", 1)[0] for name in store.names]
        names = [name.split("/", 1)[1] for name in store.names]
        self._check_left(parts, store.labels)
        drawn = set(parts) == {"all"}
        if drawn:
            parts = seeded_parts(names, store.labels, self.test, self.validation, self.split_seed)
        n = None if drawn else max(1, round(self.validation * parts.count("train")))
        splits = divide(parts, names, store.labels, n, self.split_seed)
        return splits if self.subset is None else shrink_splits(splits, names, store.labels, self.subset)

    def _check_left(self, parts: list[str], labels: NDArray[np.int64]) -> None:
        """A class may have lost its recordings to `skip_corrupt`."""
        least = 3 if set(parts) == {"all"} else 1
        kept = np.array([part in ("train", "all") for part in parts], bool)
        counts = np.bincount(labels[kept], minlength=len(self.classes))
        if few := [f"{name} ({counts[k]})" for k, name in enumerate(self.classes) if counts[k] < least]:
            raise DataError(
                f"{self.root}: without the corrupt files too few recordings are left of {', '.join(few)}",
                fix="get these recordings again, or move the folders of these classes away",
            )


class _Pass:
    """One pass over the files: gives the recordings, and afterwards the sensor's size and what was left out."""

    def __init__(self, source: EventFolderSource) -> None:
        self.source = source
        self._start()

    def _start(self) -> None:
        self.corrupt: list[tuple[str, DataError]] = []
        self.stated: dict[Size, list[str]] = defaultdict(list)
        self.width = self.height = 1
        self.remarks: list[dict[str, str]] = []

    def recordings(self) -> Iterator[Recording]:
        """The recordings in order; after the last one, every file that could not be read is named in one error."""
        self._start()
        source, files = self.source, self.source.listing.files
        with progress_bar(f"decoding {source.root.name}", source.progress) as report:
            for k, found in enumerate(files):
                try:
                    read = read_recording(found.file, source._given, source.sort)
                except DataError as error:
                    self.corrupt.append((str(found.file), error))
                else:
                    if read.stated is not None:
                        self.stated[read.stated].append(str(found.file))
                    else:
                        self.width, self.height = max(self.width, read.size[0]), max(self.height, read.size[1])
                    self.remarks += [{"file": self._short(found.file), "note": note} for note in read.notes]
                    yield Recording(f"{found.part}/{found.name}", found.label, *read.columns)
                report(k + 1, len(files))
        self._check_unchanged()
        if self.corrupt and not source.skip_corrupt:
            raise self._corrupt_error()

    def size(self) -> Size:
        """The size of the sensor that all recordings have.

        Raises:
            DataError: files state different sizes, or events lie outside the one that is stated.
        """
        if self.source._given is not None:
            return self.source._given
        if len(self.stated) > 1:
            sizes = sorted(self.stated.items(), key=lambda item: -len(item[1]))
            texts = [f"{w}x{h}: {len(f)} files ({_few(f, 3)})" for (w, h), f in sizes]
            w, h = max(s[0] for s in self.stated), max(s[1] for s in self.stated)
            raise DataError(
                f"{self.source.root}: recordings of sensors of different sizes: {'; '.join(texts)}",
                why="the samples of a data set have one shape",
                fix=f"give sensor_size: [{w}, {h}] to put all into the upper left of one size, or convert the files",
            )
        if not self.stated:
            return self.width, self.height
        (stated,) = self.stated
        w, h = max(stated[0], self.width), max(stated[1], self.height)
        if (w, h) != stated:
            raise DataError(
                f"{self.source.root}: {len(self.stated[stated])} files state a {stated[0]}x{stated[1]} sensor, and"
                f" files that state none have events up to ({self.width - 1}, {self.height - 1})",
                fix=f"give sensor_size: [{w}, {h}], or check the files",
            )
        return stated

    def notes(self) -> dict[str, Any]:
        """What the cache and the run's record keep: the files that were left out, and why."""
        skipped = [{"file": self._short(file), "why": error.what} for file, error in self.corrupt]
        kept = {"skipped": skipped, "remarks": self.remarks}
        return {name: rows for name, rows in kept.items() if rows}

    def _short(self, file: str | Path) -> str:
        return os.path.relpath(file, self.source.root)

    def _check_unchanged(self) -> None:
        before, now = self.source.listing, list_folder(self.source.root, self.source.pattern)
        if now != before:
            changed = [str(f.file) for f in sorted({*before.files} ^ {*now.files}, key=lambda f: str(f.file))]
            raise DataError(
                f"{self.source.root} changed while it was read: {_few(list(dict.fromkeys(changed)), 3)}",
                fix="start again when nothing writes there any more",
            )

    def _corrupt_error(self) -> DataError:
        lines = [f"\n    {error.what}" for _, error in self.corrupt[:_SHOWN]]
        more = len(self.corrupt) - _SHOWN
        if more > 0:
            names = [self._short(f) for f, _ in self.corrupt[_SHOWN:]]
            lines.append(f"\n    and {more} more: {', '.join(names)}")
        fixes = list(dict.fromkeys(error.fix for _, error in self.corrupt if error.fix))
        return DataError(
            f"{self.source.root}: {len(self.corrupt)} of {len(self.source.listing.files)} files cannot be used:"
            + "".join(lines),
            fix="skip_corrupt: true leaves them out and notes them in the run's record"
            + (f"; or: {fixes[0]}" if len(fixes) == 1 else ""),
        )


def _few(names: list[str], n: int) -> str:
    return ", ".join(names[:n]) + (", …" if len(names) > n else "")
