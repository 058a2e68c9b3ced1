from __future__ import annotations

import numpy as np
import pytest
import torch

from snnkit.data import Batch, collate
from snnkit.errors import DataError


def test_time_first_contiguous_float32():
    samples = [(np.full((4, 2, 3, 5), k, np.float32), k) for k in range(3)]
    batch = collate(samples)
    assert isinstance(batch, Batch)
    assert batch.x.shape == (4, 3, 2, 3, 5)
    assert batch.x.is_contiguous()
    assert batch.x.dtype == torch.float32
    assert batch.y.tolist() == [0, 1, 2]
    assert batch.y.dtype == torch.int64
    assert batch.lengths is None
    assert batch.x[:, 1].unique().tolist() == [1.0]


def test_shorter_samples_are_padded_with_zeros_and_measured():
    samples = [(np.ones((n, 2), np.uint8), 0) for n in (3, 1, 2)]
    batch = collate(samples)
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.x.sum((0, 2)).tolist() == [6, 2, 4]
    assert batch.x[1:, 1].abs().sum() == 0


def test_a_mixed_batch_is_refused():
    frames = np.ones((3, 2, 4, 4), np.float32)
    with pytest.raises(
        DataError, match=r"sample 1 of a batch has frames of shape \[5, 2, 4, 3\], sample 0 of \[3, 2, 4, 4\]"
    ):
        collate([(frames, 0), (np.ones((5, 2, 4, 3), np.float32), 1)])
    with pytest.raises(DataError, match="differ in their number of steps only"):
        collate([(np.float32(1), 0)])
    with pytest.raises(DataError, match=r"is a ndarray instead of a pair[\s\S]*pad_sequence"):
        collate([frames, frames[:2]])
    with pytest.raises(DataError, match="without samples"):
        collate([])
    assert collate([[torch.from_numpy(frames), 1]]).x.shape == (3, 1, 2, 4, 4)
