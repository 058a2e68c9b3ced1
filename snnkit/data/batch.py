"""The batch: what a data loader hands to a model, time first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snnkit.errors import DataError


class Batch(NamedTuple):
    """One batch of samples.

    x: `[T, B, …]` float32, contiguous; y: `[B]` int64 classes; lengths: `[B]` int64 steps of each sample, or None where
    all samples have T steps. Steps at and beyond a sample's length are zero and count in no loss, metric or rate.
    """

    x: torch.Tensor
    y: torch.Tensor
    lengths: torch.Tensor | None


def collate(samples: Sequence[tuple[NDArray[np.number], int]]) -> Batch:
    """Stack samples (frames `[T_i, …]`, class) into a `Batch`, writing `[T, B, …]` directly; T is the largest T_i.

    Samples of unequal length are padded with zeros, and `lengths` says where.

    Raises:
        DataError: no samples, samples that are no such pairs, or frames that differ in more than the number of steps.
    """
    _check(samples)
    steps = [len(frames) for frames, _ in samples]
    longest = max(steps)
    x = torch.empty((longest, len(samples), *samples[0][0].shape[1:]), dtype=torch.float32)
    out = x.numpy()
    for b, (frames, _) in enumerate(samples):
        out[: steps[b], b] = frames
        out[steps[b] :, b] = 0
    y = torch.tensor([int(label) for _, label in samples], dtype=torch.int64)
    lengths = None if min(steps) == longest else torch.tensor(steps, dtype=torch.int64)
    return Batch(x, y, lengths)


def _check(samples: Sequence[tuple[NDArray[np.number], int]]) -> None:
    if not samples:
        raise DataError("a batch without samples", fix="give collate at least one (frames, class)")
    first = None
    for b, sample in enumerate(samples):
        if not (isinstance(sample, tuple | list) and len(sample) == 2 and hasattr(sample[0], "shape")):
            raise DataError(
                f"sample {b} of a batch is a {type(sample).__name__} instead of a pair (frames [T, …], class)",
                fix="return such pairs from the data set; for samples without classes pad with "
                "torch.nn.utils.rnn.pad_sequence and give snn.run the lengths",
            )
        shape = tuple(sample[0].shape)
        first = shape if first is None else first
        if not shape or shape[1:] != first[1:]:
            raise DataError(
                f"sample {b} of a batch has frames of shape {list(shape)}, sample 0 of {list(first)}",
                why="the samples of a batch may differ in their number of steps only",
                fix="crop or scale all recordings to one sensor size",
            )
