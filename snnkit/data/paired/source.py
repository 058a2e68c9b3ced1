"""Two data sets with the same classes, as one whose samples are pairs of recordings of one class. No torch.

Every recording of the first data set is in one pair; its partner is a recording of the second of the same class and the
same split. In training, partners are drawn anew in each epoch, by (seed, epoch, index) alone. Elsewhere they are fixed:
the k-th recording of a class is paired with the k-th of the second data set's, from the start again where those are
fewer. So a split has as many pairs as the first data set has recordings in it, and no recording changes its split.
`train_size` keeps a fixed stratified draw of so many training recordings of each; validation and test stay whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.augment_series import SeriesAugment
from snnkit.data.dataset import FrameDataset
from snnkit.data.draws import keyed_rng
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.source import SPLITS, Source
from snnkit.data.splits import stratified_draw
from snnkit.errors import DataError

_PARTNER = 3
"""The stream of random draws of partners, beside those in `snnkit.data.draws`."""


def fixed_partners(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each class in `first` [n] a position in `second` [m] with the same class: the k-th takes the k-th, cyclic."""
    partners = np.zeros(len(first), np.int64)
    for label in np.unique(first):
        mine, theirs = np.flatnonzero(first == label), np.flatnonzero(second == label)
        partners[mine] = theirs[np.arange(len(mine)) % len(theirs)]
    return partners


class PairedDataset(FrameDataset):
    """Pairs of samples of two data sets as ((frames `[T, …]`, frames `[T, …]`), class).

    Args:
        first, second: the samples of one split.
        use: which of the two inputs samples have; with one alone, frames are no tuple, and the pairs are the same.
        redraw: partners are drawn by (seed, epoch, index), as for training; otherwise they are fixed.
        seed: the seed of the draws.
        rows: positions in both that take part; None: all.
    """

    def __init__(
        self,
        first: FrameDataset,
        second: FrameDataset,
        use: Sequence[int] = (0, 1),
        redraw: bool = False,
        seed: int = 0,
        rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    ) -> None:
        self.rows = (np.arange(len(first)), np.arange(len(second))) if rows is None else rows
        super().__init__(np.arange(len(self.rows[0])), first.labels[self.rows[0]], (), first.frames, seed)
        self.parts, self.use, self.redraw = (first, second), tuple(use), redraw
        theirs = second.labels[self.rows[1]]
        self._fixed = fixed_partners(self.labels, theirs)
        self._of_class = {int(c): np.flatnonzero(theirs == c) for c in np.unique(self.labels)}

    def partner(self, index: int, epoch: int | None = None) -> int:
        """The position in the second data set of the partner of pair `index`."""
        if not self.redraw or epoch is None:
            return int(self.rows[1][self._fixed[index]])
        candidates = self._of_class[int(self.labels[index])]
        drawn = keyed_rng(self.seed, _PARTNER, epoch, index).integers(len(candidates))
        return int(self.rows[1][candidates[drawn]])

    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """The counts of the first input, or of the only one used."""
        k = self.use[0]
        return self.parts[k].counts((int(self.rows[0][index]), self.partner(index, epoch))[k], epoch)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Any, int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        at = (int(self.rows[0][index]), self.partner(index, epoch))
        frames = tuple(self.parts[k][epoch, at[k]][0] for k in self.use)
        return (frames if len(frames) > 1 else frames[0]), int(self.labels[index])

    def stack(self) -> tuple[Any, NDArray[np.int64]]:
        """All samples, without augmentation: frames `[T, n, …]`, a tuple of them for both inputs, and classes [n]."""
        at = (self.rows[0], self.rows[1][self._fixed])
        stacks = [part.stack()[0][:, rows] for part, rows in zip(self.parts, at)]
        frames = tuple(stacks[k] for k in self.use)
        return (frames if len(frames) > 1 else frames[0]), self.labels


class PairedSource(Source):
    """Two sources with the same classes; see the module's text for how their recordings are paired.

    `sensor_size`, `channels` and `shape` are those of the first one used.

    Args:
        first, second: the data sets.
        use: positions of the inputs that samples have.
        train_size: so many training recordings of each; None: all.

    Raises:
        DataError: the classes differ, or a class of the first has no recording in the second's split.
    """

    def __init__(
        self, first: Source, second: Source, use: Sequence[int] = (0, 1), train_size: int | None = None
    ) -> None:
        super().__init__()
        self.parts, self.use, self.train_size = (first, second), tuple(use), train_size
        self._rows: dict[str, list[NDArray[np.int64]]] = {}
        self.name = f"{first.name}+{second.name}"  # type: ignore[misc]
        self.channels = self.parts[self.use[0]].channels  # type: ignore[misc]

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(width, height) of the first sensor used."""
        return self.parts[self.use[0]].sensor_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class index."""
        first, second = self.parts
        if tuple(first.classes) != tuple(second.classes):
            raise DataError(
                f"{first.name} has the classes {', '.join(first.classes)}, {second.name} {', '.join(second.classes)}",
                fix="pair data sets with the same classes in the same order",
            )
        return first.classes

    def prepare(self) -> None:
        """Open both data sets and check that every recording has a partner."""
        if self._splits is not None:
            return
        for part in self.parts:
            part.prepare()
        names, labels = self.classes, {split: [part.labels(split) for part in self.parts] for split in SPLITS}
        rows: dict[str, list[NDArray[np.int64]]] = {s: [np.arange(len(y)) for y in both] for s, both in labels.items()}
        if self.train_size is not None:
            rows["train"] = [
                stratified_draw([str(k) for k in range(len(y))], y, self.train_size, 0) for y in labels["train"]
            ]
        for split in SPLITS:
            mine, theirs = (set(y[r].tolist()) for y, r in zip(labels[split], rows[split]))
            lonely = mine - theirs
            if lonely:
                missing = ", ".join(names[int(c)] for c in sorted(lonely))
                raise DataError(
                    f"{self.parts[1].name} has no {split} recording of the class {missing}",
                    why=f"those of {self.parts[0].name} would have no partner",
                    fix="use more recordings, or a validation part with every class",
                )
        self._rows = rows
        self._splits = {split: np.arange(len(rows[split][0])) for split in SPLITS}

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both."""
        return hashlib.sha256(f"{self.parts[0].digest}:{self.parts[1].digest}".encode()).hexdigest()

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of the pairs of a split."""
        self.indices(split)
        return self.parts[0].labels(split)[self._rows[split][0]]

    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | SeriesAugment | None = None, seed: int = 0
    ) -> PairedDataset:
        """The pairs of one split, with the same frames and random changes for both data sets."""
        return self.pairs(split, (frames, frames), (augment, augment), augment is not None, seed)

    def pairs(
        self,
        split: str,
        frames: Sequence[FrameSettings],
        augment: Sequence[Augment | SeriesAugment | None],
        redraw: bool = False,
        seed: int = 0,
    ) -> PairedDataset:
        """The pairs of one split, with settings for each data set."""
        self.indices(split)
        first, second = (p.dataset(split, f, a, seed) for p, f, a in zip(self.parts, frames, augment))
        return PairedDataset(first, second, self.use, redraw, seed, (self._rows[split][0], self._rows[split][1]))
