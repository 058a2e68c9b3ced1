"""The part of the data that one of several processes has, so that all together have what one process would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Process `rank` of `world` has samples rank, rank + world, … of every batch of one process.

    So each sample is in one part, and batch b of all processes together is batch b of one process. Only the last batch
    may be smaller; where it has less than `world` samples, a process without one gets the batch's first sample once
    more, so that all make the same passes, and `counts` says that it does not count.

    Args:
        rank, world: which process of how many.
        samples: of all parts. batch_size: of all processes together, a multiple of `world`.
    """

    rank: int
    world: int
    samples: int
    batch_size: int

    def of(self, order: Sequence[T]) -> list[T]:
        """This part of an epoch's samples [n], in order."""
        out: list[T] = []
        for start in range(0, self.samples, self.batch_size):
            batch = order[start : min(start + self.batch_size, self.samples)]
            out += batch[self.rank :: self.world] or batch[:1]
        return out

    def __len__(self) -> int:
        full, rest = divmod(self.samples, self.batch_size)
        return full * (self.batch_size // self.world) + (max(self._of(rest), 1) if rest else 0)

    def counts(self, batch: int) -> tuple[int, int]:
        """(samples of this process, of all) in a batch, without those that are there twice."""
        size = max(min(self.batch_size, self.samples - batch * self.batch_size), 0)
        return self._of(size), size

    def _of(self, size: int) -> int:
        return len(range(self.rank, size, self.world))


@dataclass(frozen=True)
class WholeBatches:
    """Process `rank` of `world` has batches rank, rank + world, … of one process, each as it is: a batch sampler.

    For measuring: a batch's loss is then bit-equal to one process's. All processes have the same number of batches; one
    whose turn has none gets the last batch once more, and `counts` says that it does not count.

    Args:
        rank, world: which process of how many.
        samples, batch_size: of one process. limit: at most so many batches of one process, or this share (0..1].
    """

    rank: int
    world: int
    samples: int
    batch_size: int
    limit: int | float = 1.0

    @property
    def batches(self) -> int:
        """Batches of one process."""
        there = -(-self.samples // self.batch_size)
        return min(self.limit, there) if isinstance(self.limit, int) else int(there * self.limit)

    def number(self, turn: int) -> int:
        """Which batch of one process this one's batch number `turn` is."""
        return turn * self.world + self.rank

    def counts(self, turn: int) -> bool:
        """Whether this process's batch number `turn` is one of its own."""
        return self.number(turn) < self.batches

    def __len__(self) -> int:
        return -(-self.batches // self.world)

    def __iter__(self) -> Iterator[list[int]]:
        for turn in range(len(self)):
            start = min(self.number(turn), self.batches - 1) * self.batch_size
            yield list(range(start, min(start + self.batch_size, self.samples)))
