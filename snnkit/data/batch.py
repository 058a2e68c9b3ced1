"""The batch: what a data loader hands to a model, time first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snnkit.errors import DataError

Input = torch.Tensor | tuple[torch.Tensor, ...]
"""What a model is called with: one tensor `[T, B, …]`, or one per input in the order of its arguments."""


class Batch(NamedTuple):
    """One batch of samples.

    x: `[T, B, …]` float32, contiguous, or a tuple of such tensors for a model of several inputs; y: `[B]` int64
    classes; lengths: `[B]` int64 steps of each sample, or None where all samples have T steps. Steps at and beyond a
    sample's length are zero and count in no loss, metric or rate.
    """

    x: Input
    y: torch.Tensor
    lengths: torch.Tensor | None


def as_inputs(x: Input) -> tuple[torch.Tensor, ...]:
    """The positional arguments of a model: `model(*as_inputs(batch.x))`."""
    return x if isinstance(x, tuple) else (x,)


Frames = NDArray[np.number] | tuple[NDArray[np.number], ...]


def collate(samples: Sequence[tuple[Frames, int]]) -> Batch:
    """Stack samples (frames `[T_i, …]`, class) into a `Batch`, writing `[T, B, …]` directly; T is the largest T_i.

    Samples of unequal length are padded with zeros, and `lengths` says where. Frames may be a tuple, one array per
    input; all inputs of a sample have its number of steps.

    Raises:
        DataError: no samples, samples that are no such pairs, or frames that differ in more than the number of steps.
    """
    if samples and isinstance(samples[0], tuple | list) and isinstance(samples[0][0], tuple):
        return _collate_several(samples)
    return _collate_one(samples)  # type: ignore[arg-type]


def _collate_several(samples: Sequence[tuple[Any, int]]) -> Batch:
    inputs = len(samples[0][0])
    for b, sample in enumerate(samples):
        if not (isinstance(sample, tuple | list) and isinstance(sample[0], tuple) and len(sample[0]) == inputs):
            raise DataError(
                f"sample {b} of a batch has not the {inputs} inputs of sample 0",
                fix=f"return (({', '.join(['frames'] * inputs)}), class) for every sample",
            )
        steps = [len(frames) for frames in sample[0]]
        if len(set(steps)) > 1:
            raise DataError(
                f"the inputs of sample {b} of a batch have {', '.join(map(str, steps))} steps",
                why="all inputs of a model share one clock",
                fix="bin them to the same number of steps",
            )
    parts = [_collate_one([(frames[k], label) for frames, label in samples]) for k in range(inputs)]
    return Batch(tuple(p.x for p in parts if isinstance(p.x, torch.Tensor)), parts[0].y, parts[0].lengths)


def _collate_one(samples: Sequence[tuple[NDArray[np.number], int]]) -> Batch:
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
