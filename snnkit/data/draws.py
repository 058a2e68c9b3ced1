"""Draws for samples: they derive from (seed, epoch, index) and nothing else, for any number of workers, after a resume.

The sampler yields (epoch, index) pairs, so a worker process knows the epoch without being told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnkit.data.part import Part

ORDER, SAMPLE, CODE, MIX, TAKE = 0, 1, 2, 3, 4
"""Streams of draws that are independent of each other."""


def keyed_rng(seed: int, stream: int, epoch: int, index: int = 0) -> np.random.Generator:
    """An independent random generator for (seed, stream, epoch, index): Philox, Salmon et al. 2011,
    doi:10.1145/2063384.2063405."""
    words = [0, stream, epoch, index]
    return np.random.Generator(np.random.Philox(counter=words, key=[seed % 2**64, 0]))


class EpochSampler:
    """Yields (epoch, index) pairs; shuffled by (seed, epoch), or in order.

    `set_epoch(e)` takes effect at the next `iter`; Lightning calls it by itself, also after a resume. With a `Part` it
    gives the samples of one process: together, the processes' batches are those of a sampler without it.
    """

    def __init__(self, n: int, seed: int, shuffle: bool = True, part: Part | None = None) -> None:
        self.n, self.seed, self.shuffle, self.part, self.epoch = n, seed, shuffle, part, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass belongs to."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return self.n if self.part is None else len(self.part)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        order = keyed_rng(self.seed, ORDER, epoch).permutation(self.n) if self.shuffle else np.arange(self.n)
        pairs = [(epoch, int(i)) for i in order]
        return iter(pairs if self.part is None else self.part.of(pairs))
