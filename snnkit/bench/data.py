"""A training epoch from the cache beside one with all data in memory, after the first epoch; and what the loader costs.

The network is a small convolutional one of the shipped recipes, on SaccadeDigits; rows differ only in where the batches
come from. "frames in memory" is the least there can be: no augmentation, no binning, tensors that lie ready.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from snnkit.data import Augment, SaccadeDigits
from snnkit.data.batch import Batch
from snnkit.data.store import COLUMNS
from snnkit.models import ConvClassifier

AUGMENT = Augment(shift_px=2.5, rotate_deg=12, scale=0.1, shear=0.15, drop=0.3, elastic_px=1.15)


def _in_memory(data: SaccadeDigits) -> SaccadeDigits:
    """The same data with every column copied from the file into memory."""
    store = data.source.store
    t, x, y, p = (np.array(getattr(store, c)) for c in COLUMNS)
    data.source._store = replace(store, t=t, x=x, y=y, p=p, folder=None)
    return data


def _frames(data: SaccadeDigits) -> list[Batch]:
    x, y = (torch.from_numpy(a) for a in data.dataset("train").stack())
    return [
        Batch(x[:, i : i + data.batch_size].contiguous(), y[i : i + data.batch_size], None)
        for i in range(0, len(y), data.batch_size)
    ]


def _epoch(batches: Iterable[Any], ready: Callable[[Any], Batch]) -> Callable[[], float]:
    torch.manual_seed(0)
    model = ConvClassifier(channels=(24, 48, 96), kernel_size=5, stride=2, pool=1, decay=0.4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def epoch() -> float:
        clock = time.perf_counter()
        for item in batches:
            batch = ready(item)
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(batch.x)[-1], batch.y).backward()
            optimizer.step()
        return time.perf_counter() - clock

    return epoch


def run(quick: bool = False, rounds: int = 5) -> list[dict[str, Any]]:
    """Time epochs, round-robin over where the batches come from; the first epoch of each is not counted.

    Args:
        quick: fewer recordings and rounds.

    Returns:
        Rows {work, data, settings, first_s, s_min, s_median, of_memory, of_frames}.
    """
    samples, rounds = (64, 2) if quick else (640, rounds)

    def module(**changes: Any) -> SaccadeDigits:
        data = SaccadeDigits(
            batch_size=32, T=3, representation="counts", subset=samples, augment=AUGMENT, progress=False, **changes
        )
        data.prepare_data()
        data.setup()
        return data

    cached, memory, device = module(), _in_memory(module()), module(frames_on="device")
    still: Callable[[Any], Batch] = lambda batch: batch  # noqa: E731
    todo = {
        "memory-mapped cache": _epoch(cached.train_dataloader(), still),
        "all events in memory": _epoch(memory.train_dataloader(), still),
        "cache, frames on the device": _epoch(
            device.train_dataloader(), lambda batch: device.on_after_batch_transfer(batch, 0)
        ),
        "all frames in memory, not augmented": _epoch(_frames(memory), still),
    }
    first = {name: epoch() for name, epoch in todo.items()}
    times: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds):
        for name, epoch in todo.items():
            times[name].append(epoch())
    best = {name: min(t) for name, t in times.items()}
    return [
        {
            "work": "training epoch",
            "data": name,
            "settings": f"{samples} recordings, T=3, batch 32, threads={torch.get_num_threads()}",
            "first_s": round(first[name], 3),
            "s_min": round(best[name], 3),
            "s_median": round(statistics.median(t), 3),
            "of_memory": round(best[name] / best["all events in memory"], 3),
            "of_frames": round(best[name] / best["all frames in memory, not augmented"], 3),
        }
        for name, t in times.items()
    ]
