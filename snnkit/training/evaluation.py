"""A model's answers on a split of the data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from snnkit import nn as snn
from snnkit.data.batch import as_inputs
from snnkit.data.module import FrameDataModule
from snnkit.errors import DataError
from snnkit.training.losses import ClassificationLoss
from snnkit.training.metrics import Activity, Evaluation, predict

_LOADERS = {"validation": "val_dataloader", "test": "test_dataloader"}


def evaluate(
    model: torch.nn.Module,
    data: FrameDataModule,
    split: str,
    settings: Mapping[str, Any],
    limit: int | None = None,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Run `model` (in evaluation mode, without gradients) over a split.

    Args:
        model: the network [T, B, …] → [T, B, C]; its mode is restored afterwards.
        data: where the samples come from.
        split: "train" (in order, without augmentation), "validation" or "test".
        settings: the run's `model` settings; the loss decides the read-out.
        limit: at most so many batches.
        device: where to compute.

    Raises:
        DataError: the split is empty.
    """
    loss = ClassificationLoss.from_settings(settings, smooth=False)
    data.prepare_data()
    data.setup()
    if split in _LOADERS:
        loader = getattr(data, _LOADERS[split])()
    else:
        loader = data._loader(data.dataset(split))
    activity, answers, labels = Activity(), [], []
    total, start = torch.zeros((), dtype=torch.float64), time.perf_counter()
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            for i, batch in enumerate(loader):
                if limit is not None and i >= limit:
                    break
                x, y = [part.to(device) for part in as_inputs(batch.x)], batch.y.to(device)
                lengths = None if batch.lengths is None else batch.lengths.to(device)
                with snn.valid_lengths(model, lengths), activity.watch(model, lengths):
                    value, z = loss(model(*x), y, lengths)
                total += value.double().cpu() * len(y)
                answers.append(predict(z).cpu())
                labels.append(batch.y)
    finally:
        model.train(was_training)
    if not labels:
        raise DataError(f"the {split} split is empty", fix="check the data's root and split settings")
    y = torch.cat(labels)
    return Evaluation(
        float(total) / len(y), torch.cat(answers), y, data.num_classes, activity, time.perf_counter() - start
    )
