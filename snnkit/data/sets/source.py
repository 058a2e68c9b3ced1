"""What every published set of recordings shares: found, checked, decoded once, divided."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnkit.data.archives import Member, fingerprint, members
from snnkit.data.cache import cached_store
from snnkit.data.events import check_columns
from snnkit.data.progress import progress_bar
from snnkit.data.retake import Retake
from snnkit.data.sets.download import check_digests, fetch, obtain
from snnkit.data.sets.facts import Facts
from snnkit.data.source import EventSource
from snnkit.data.splits import divide, seeded_parts, shrink_splits
from snnkit.data.store import EventStore, Recording
from snnkit.errors import DataError, ParameterError

Columns = tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]

_ORDER = (None, "train", "validation", "test")


@dataclass(frozen=True)
class Item:
    """One recording that was found: its part (None: the set has no parts), class, name within its part, how to read it.

    Names are those of the data set and say nothing of where the files lie, so that a draw depends on the data alone.
    """

    part: str | None
    label: int
    name: str
    place: str
    read: Callable[[], Columns]
    again: Callable[[Retake, np.random.Generator], Columns] | None = None
    """Gives another take of a sampled signal; None where there are only events."""


class SetSource(EventSource):
    """A published data set in a folder, archive or file at `root`.

    A sub-class has `facts`, `find`, and where it differs `test_share` (for a set without parts: the share of each class
    that is drawn as the test part; a tenth is validation) and `committed` (a file of the package with the indices of a
    draw of validation recordings).

    Args:
        root: the folder, archive or file.
        validation: how many training recordings are the validation part, where the data have none; None: a tenth.
        subset: use only so many training recordings (stratified), with validation and test in proportion.
        download: let tonic download the data below `root` (tonic is GPL-3.0 and imported only for this).
        check: compare official archives with their published digests, when they are decoded.
        cache_dir: where decoded recordings are kept; None: $SNNKIT_CACHE or ~/.cache/snnkit.
        progress: show a progress bar while recordings are decoded.

    Raises:
        DataError: no recordings, a class without recordings, a damaged file or archive.
    """

    facts: ClassVar[Facts]
    version: ClassVar[int] = 1
    test_share: ClassVar[float] = 0.2
    committed: ClassVar[tuple[str, str] | None] = None

    def __init__(
        self,
        root: str | os.PathLike[str],
        validation: int | None = None,
        subset: int | None = None,
        download: bool = False,
        check: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__(cache_dir, progress)
        self.root, self.download, self.check = Path(root), download, check
        self.validation, self.subset = validation, subset
        self.opened = ExitStack()
        """Files that `find` opened stay open while the recordings are read."""

    @abstractmethod
    def find(self, files: list[Member]) -> Iterable[Item]:
        """The recordings in these files."""

    def settings(self) -> Mapping[str, Any]:
        """What else decides the content of the store, as JSON values."""
        return {}

    def notes(self) -> dict[str, Any]:
        """What is kept of the decoding beside the recordings, as JSON values; asked after the last recording."""
        return {}

    def expected(self) -> tuple[str, ...]:
        """The classes that the training part must have."""
        return self.classes

    def load(self) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        if self.download:
            fetch(self.facts, self.root)
        if not self.root.exists():
            raise DataError(f"{self.root} does not exist", fix=obtain(self.facts, self.root))
        identity = fingerprint(self.root, self.facts.endings)
        settings = {"version": self.version, "files": identity, **self.settings()}
        store = cached_store(self.name, settings, self.sensor_size, self._recordings, self.cache_dir, self.notes)
        return store, self._divide(store)

    def _recordings(self) -> Iterator[Recording]:
        if self.check:
            check_digests(self.facts, self.root)
        with members(self.root, self.facts.endings) as files, ExitStack() as self.opened:
            items = sorted(self.find(files), key=lambda i: (_ORDER.index(i.part), i.name))
            self._check(items)
            with progress_bar(f"decoding {self.name} recordings", self.progress) as report:
                for k, item in enumerate(items):
                    columns = item.read()
                    check_columns(*columns, self.sensor_size, item.place)
                    yield Recording(f"{item.part or 'all'}/{item.name}", item.label, *columns)
                    report(k + 1, len(items))

    def takes(self, retake: Retake, split: str) -> EventStore:
        """Other takes of the training recordings, coded once into the cache; see `EventSource.takes`."""
        if split != "train":
            raise ParameterError(f"takes of the {split} part", fix="only training recordings are taken again")
        settings = {"of": self.digest, **asdict(retake)}
        return cached_store(
            f"{self.name}-takes", settings, self.sensor_size, lambda: self._retaken(retake), self.cache_dir
        )

    def _retaken(self, retake: Retake) -> Iterator[Recording]:
        with members(self.root, self.facts.endings) as files, ExitStack() as self.opened:
            items = sorted(self.find(files), key=lambda i: (_ORDER.index(i.part), i.name))
            items = [i for i in items if i.part in (None, "train")]
            with progress_bar(f"taking {self.name} recordings again", self.progress) as report:
                for n, item in enumerate(items):
                    if item.again is None:
                        raise ParameterError(
                            f"{item.place} cannot be taken again",
                            why="a take codes a recording's signal once more, and this file has events",
                            fix="leave retake out of augment",
                        )
                    for k in range(retake.count):
                        rng = np.random.default_rng([n, k])
                        yield Recording(f"{item.name}/{k}", item.label, *item.again(retake, rng))
                    report(n + 1, len(items))

    def _check(self, items: list[Item]) -> None:
        if not items:
            raise DataError(f"{self.root}: no recordings of {self.facts.title}", fix=obtain(self.facts, self.root))
        parts = {i.part for i in items}
        if "train" in parts and not parts & {"test", "validation"}:
            raise DataError(f"{self.root}: a training part and no test part", fix=obtain(self.facts, self.root))
        if parts != {None} and "train" not in parts:
            raise DataError(f"{self.root}: no training part", fix=obtain(self.facts, self.root))
        there = {i.label for i in items if i.part in ("train", None)}
        if missing := [name for k, name in enumerate(self.expected()) if k not in there]:
            raise DataError(
                f"{self.root}: no training recordings of {len(missing)} of {len(self.expected())} classes: "
                + ", ".join(missing[:8]) + (", …" if len(missing) > 8 else ""),
                fix=obtain(self.facts, self.root),
            )  # fmt: skip

    def _divide(self, store: EventStore) -> dict[str, NDArray[np.int64]]:
        parts = [name.split("/", 1)[0] for name in store.names]
        names = [name.split("/", 1)[1] for name in store.names]
        if set(parts) == {"all"}:
            parts = seeded_parts(names, store.labels, self.test_share, 0.1, 0)
        committed = None
        if self.committed is not None:
            package, file = self.committed
            committed = json.loads(resources.files(package).joinpath(file).read_text("utf-8"))
        splits = divide(parts, names, store.labels, self.validation, 0, committed)
        return splits if self.subset is None else shrink_splits(splits, names, store.labels, self.subset)
