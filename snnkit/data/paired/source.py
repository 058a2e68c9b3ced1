"""Two data sets with the same classes, as one whose samples are pairs of recordings of one class. No torch.

Every recording of the first data set is in one pair; its partner is a recording of the second of the same class and the
same split. In training, partners are drawn anew in each epoch, by (seed, epoch, index) alone. Elsewhere they are fixed:
the k-th recording of a class is paired with the k-th of the second data set's, from the start again where those are
fewer. So a split has as many pairs as the first data set has recordings in it, and no recording changes its split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.augment import Augment
from snnkit.data.dataset import FrameDataset, FrameSettings, keyed_rng
from snnkit.data.source import SPLITS, Source
from snnkit.errors import DataError

_PARTNER = 3
"""The stream of random draws of partners, beside those in `snnkit.data.dataset`."""


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
    """

    def __init__(
        self,
        first: FrameDataset,
        second: FrameDataset,
        use: Sequence[int] = (0, 1),
        redraw: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(np.arange(len(first)), first.labels, (), first.frames, seed)
        self.parts, self.use, self.redraw = (first, second), tuple(use), redraw
        self._fixed = fixed_partners(first.labels, second.labels)
        self._of_class = {int(c): np.flatnonzero(second.labels == c) for c in np.unique(first.labels)}

    def partner(self, index: int, epoch: int | None = None) -> int:
        """The position in the second data set of the partner of a sample of the first."""
        if not self.redraw or epoch is None:
            return int(self._fixed[index])
        candidates = self._of_class[int(self.labels[index])]
        return int(candidates[keyed_rng(self.seed, _PARTNER, epoch, index).integers(len(candidates))])

    def counts(self, index: int, epoch: int | None) -> NDArray[np.number]:
        """The counts of the first input, or of the only one used."""
        k = self.use[0]
        return self.parts[k].counts((index, self.partner(index, epoch))[k], epoch)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Any, int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        at = (index, self.partner(index, epoch))
        frames = tuple(self.parts[k][epoch, at[k]][0] for k in self.use)
        return (frames if len(frames) > 1 else frames[0]), int(self.labels[index])

    def stack(self) -> tuple[Any, NDArray[np.int64]]:
        """All samples, without augmentation: frames `[T, n, …]`, a tuple of them for both inputs, and classes [n]."""
        stacks = (self.parts[0].stack()[0], self.parts[1].stack()[0][:, self._fixed])
        frames = tuple(stacks[k] for k in self.use)
        return (frames if len(frames) > 1 else frames[0]), self.labels


class PairedSource(Source):
    """Two sources with the same classes; see the module's text for how their recordings are paired.

    `sensor_size`, `channels` and `shape` are those of the first one used.

    Args:
        first, second: the data sets.
        use: positions of the inputs that samples have.

    Raises:
        DataError: the classes differ, or a class of the first has no recording in the second's split.
    """

    def __init__(self, first: Source, second: Source, use: Sequence[int] = (0, 1)) -> None:
        super().__init__()
        self.parts, self.use = (first, second), tuple(use)
        self.name = f"{first.name}+{second.name}"  # type: ignore[misc]
        if tuple(first.classes) != tuple(second.classes):
            raise DataError(
                f"{first.name} has the classes {', '.join(first.classes)}, {second.name} {', '.join(second.classes)}",
                fix="pair data sets with the same classes in the same order",
            )
        self.classes = first.classes  # type: ignore[misc]
        self.sensor_size = self.parts[self.use[0]].sensor_size  # type: ignore[misc]
        self.channels = self.parts[self.use[0]].channels  # type: ignore[misc]

    def prepare(self) -> None:
        """Open both data sets and check that every recording has a partner."""
        if self._splits is not None:
            return
        for part in self.parts:
            part.prepare()
        for split in SPLITS:
            lonely = set(self.parts[0].labels(split)) - set(self.parts[1].labels(split))
            if lonely:
                names = ", ".join(self.classes[int(c)] for c in sorted(lonely))
                raise DataError(
                    f"{self.parts[1].name} has no {split} recording of the class {names}",
                    why=f"those of {self.parts[0].name} would have no partner",
                    fix="use more recordings, or a validation part with every class",
                )
        self._splits = {split: np.arange(len(self.parts[0].labels(split))) for split in SPLITS}

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both."""
        return hashlib.sha256(f"{self.parts[0].digest}:{self.parts[1].digest}".encode()).hexdigest()

    def labels(self, split: str) -> NDArray[np.int64]:
        """The classes [n] of the pairs of a split."""
        self.indices(split)
        return self.parts[0].labels(split)

    def dataset(
        self, split: str, frames: FrameSettings, augment: Augment | None = None, seed: int = 0
    ) -> PairedDataset:
        """The pairs of one split, with the same frames and random changes for both data sets."""
        return self.pairs(split, (frames, frames), (augment, augment), augment is not None, seed)

    def pairs(
        self,
        split: str,
        frames: Sequence[FrameSettings],
        augment: Sequence[Augment | None],
        redraw: bool = False,
        seed: int = 0,
    ) -> PairedDataset:
        """The pairs of one split, with settings for each data set."""
        self.indices(split)
        first, second = (p.dataset(split, f, a, seed) for p, f, a in zip(self.parts, frames, augment))
        return PairedDataset(first, second, self.use, redraw, seed)
