"""The operations of a run's network on its test data."""

from __future__ import annotations

from collections.abc import Callable

import torch

from snnkit import nn as snn
from snnkit.data.batch import as_inputs
from snnkit.data.module import FrameDataModule
from snnkit.errors import DataError
from snnkit.nn.operations import OperationCounter, Operations


def count_on(
    model: torch.nn.Module,
    data: FrameDataModule,
    samples: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Operations:
    """Operations per sample of a model in evaluation mode, mean over the first `samples` test samples.

    Args:
        model: the network [T, B, …] → [T, B, C].
        data: where the samples come from.
        samples: how many; all where there are fewer.
        progress: told (done, of) after every batch.

    Raises:
        DataError: the test part is empty.
    """
    data.prepare_data()
    data.setup()
    counter, done, of = OperationCounter(model.eval()), 0, min(samples, len(data.dataset("test")))
    if not of:
        raise DataError("the test part is empty", fix="check the data's root and split settings")
    with torch.inference_mode():
        for batch in data.test_dataloader():
            n = min(len(batch.y), of - done)
            lengths = None if batch.lengths is None else batch.lengths[:n]
            with counter.watch(lengths), snn.valid_lengths(model, lengths):
                model(*(x[:, :n] for x in as_inputs(batch.x)))
            done += n
            progress(done, of)
            if done == of:
                break
    return counter.result()
