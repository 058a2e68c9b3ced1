"""The batch: what a data loader hands to a model, time first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class Batch(NamedTuple):
    """One batch of samples.

    x: `[T, B, …]` float32, contiguous; y: `[B]` int64 classes; lengths: `[B]` int64 steps of each sample, or None where
    all samples have T steps. Steps at and beyond a sample's length are zero and count in no loss, metric or rate.
    """

    x: torch.Tensor
    y: torch.Tensor
    lengths: torch.Tensor | None


def collate(samples: Sequence[tuple[NDArray[np.number], int]]) -> Batch:
    """Stack samples (frames `[T_i, …]`, class) into a `Batch`, writing `[T, B, …]` directly; T is the largest T_i."""
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
