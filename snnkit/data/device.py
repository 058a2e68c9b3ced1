"""Augmentation and frames of a whole batch of events on any device, equal to the numpy form for equal draws.

The events of a batch are flat columns with one offset per sample. Nothing here waits for the device: sizes are those of
the columns, and an event that is left out stays in them with `keep` false. What is computed equals
`snnkit.data.changes` and `snnkit.data.representation`: counts, spikes and voxel grids exactly, on every device; time
surfaces to 1e-6, as exponentials differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.data.binning import By
from snnkit.data.changes import TIME_BITS, Changes, Columns
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.representation import SHARE_BITS
from snnkit.errors import DataError, ParameterError


class Draws(NamedTuple):
    """The draws of B samples with E events in all (`snnkit.data.changes.Changes`), stacked.

    affine float32 [B, 6]; field float32 [B, 2, H, W] or None; flip int64 [B, 2]; window, box int64 [B, 4];
    stretch int64 [B]; jitter int64 [E] or None; share float32 [B]; lot float32 [E] or None; hole int64 [B, 2];
    swap int64 [B]; added bool [E] or None: noise events, which only the refractory time changes.
    """

    affine: Tensor
    field: Tensor | None
    flip: Tensor
    window: Tensor
    stretch: Tensor
    jitter: Tensor | None
    share: Tensor
    lot: Tensor | None
    hole: Tensor
    box: Tensor
    swap: Tensor
    added: Tensor | None


class EventBatch(NamedTuple):
    """The events of B recordings, one after the other.

    t (µs), x, y, p: int64 [E]; offsets: int64 [B + 1], where each recording starts and ends; labels: int64 [B]; draws:
    what augmentation is to do, or None; keep: bool [E], which events count, or None for all.
    """

    t: Tensor
    x: Tensor
    y: Tensor
    p: Tensor
    offsets: Tensor
    labels: Tensor
    draws: Draws | None = None
    keep: Tensor | None = None

    @property
    def sample(self) -> Tensor:
        """Which recording each event belongs to, int64 [E]."""
        place = torch.arange(len(self.t), device=self.t.device)
        return torch.searchsorted(self.offsets[1:].contiguous(), place, right=True)


def collate_events(samples: Sequence[tuple[Columns, Changes | None, int]]) -> EventBatch:
    """Samples (columns, draws, class) as an `EventBatch` on the CPU; either all samples have draws or none has.

    Raises:
        DataError: no samples.
    """
    if not samples:
        raise DataError("a batch without samples", fix="give at least one (columns, draws, class)")
    draws = [d for _, d, _ in samples if d is not None]
    noise = [d.noise if d is not None else None for _, d, _ in samples]
    has_noise = any(n is not None for n in noise)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    added, sizes = [], [0]
    for (recording, _, _), extra in zip(samples, noise):
        n, k = len(recording[0]), 0 if extra is None else len(extra[0])
        for c, column in enumerate(recording):
            columns[c] += [column] if extra is None else [column, extra[c]]
        added.append(np.repeat([False, True], [n, k]))
        sizes.append(n + k)

    def flat(parts: Sequence[np.ndarray], kind: type) -> Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(kind))

    def per_event(name: str, kind: type) -> Tensor | None:
        if getattr(draws[0], name) is None:
            return None
        return flat([np.pad(getattr(d, name), (0, len(a) - len(getattr(d, name)))) for d, a in zip(draws, added)], kind)

    stacked = None
    if draws:
        fields = [d.field for d in draws if d.field is not None]
        stacked = Draws(
            affine=torch.from_numpy(np.stack([d.affine for d in draws])),
            field=torch.from_numpy(np.stack(fields)) if fields else None,
            flip=torch.tensor([d.flip for d in draws]),
            window=torch.tensor([d.window for d in draws]),
            stretch=torch.tensor([d.stretch for d in draws]),
            jitter=per_event("jitter", np.int64),
            share=torch.from_numpy(np.stack([d.share for d in draws])),
            lot=per_event("lot", np.float32),
            hole=torch.tensor([d.hole for d in draws]),
            box=torch.tensor([d.box for d in draws]),
            swap=torch.tensor([d.swap for d in draws]),
            added=flat(added, np.bool_) if has_noise else None,
        )
    t, x, y, p = (flat(c, np.int64) for c in columns)
    labels = torch.tensor([int(label) for *_, label in samples], dtype=torch.int64)
    return EventBatch(t, x, y, p, torch.from_numpy(np.cumsum(sizes, dtype=np.int64)), labels, stacked)


def apply_draws(batch: EventBatch, sensor_size: tuple[int, int], refractory_us: int = 0) -> EventBatch:
    """The batch after its draws: new columns, and `keep` for the events that stay; in order of time within a sample."""
    draws = batch.draws
    if draws is None:
        return batch
    width, height = sensor_size
    sample, t, x, y, p = batch.sample, batch.t, batch.x, batch.y, batch.p
    t = (t * draws.stretch[sample]) >> TIME_BITS
    if draws.jitter is not None:
        t = (t + draws.jitter).clamp(min=0)
    flip = draws.flip[sample]
    x = torch.where(flip[:, 0] > 0, width - 1 - x, x)
    y = torch.where(flip[:, 1] > 0, height - 1 - y, y)
    fx, fy = x.to(torch.float32), y.to(torch.float32)
    if draws.field is not None:
        fx, fy = fx + draws.field[sample, 0, y, x], fy + draws.field[sample, 1, y, x]
    a, b, c, d, ex, ey = draws.affine[sample].unbind(1)
    # One rounding a step, as numpy's: a fused multiply-add could move an event by a pixel.
    nx, ny = torch.floor(a * fx + b * fy + ex).long(), torch.floor(c * fx + d * fy + ey).long()
    window, box, hole = draws.window[sample], draws.box[sample], draws.hole[sample]
    keep = _inside(nx, ny, window) & ~_inside(nx, ny, box) & ~((t >= hole[:, 0]) & (t < hole[:, 1]))
    if draws.lot is not None:
        keep = keep & (draws.lot >= draws.share[sample])
    p = p ^ draws.swap[sample]
    if draws.added is not None:
        keep = keep | draws.added
        t, nx, ny, p = (torch.where(draws.added, old, new) for old, new in
                        ((batch.t, t), (batch.x, nx), (batch.y, ny), (batch.p, p)))  # fmt: skip
    if draws.added is not None or draws.jitter is not None:
        order = torch.argsort(t, stable=True)
        order = order[torch.argsort(sample[order], stable=True)]  # samples stay one after the other
        t, nx, ny, p, keep = (column[order] for column in (t, nx, ny, p, keep))
    nx, ny = nx.clamp(0, width - 1), ny.clamp(0, height - 1)  # of events that are left out
    if refractory_us:
        keep = rested(t, (sample * height + ny) * width + nx, keep, refractory_us)
    return batch._replace(t=t, x=nx, y=ny, p=p, keep=keep, draws=None)


def _inside(x: Tensor, y: Tensor, box: Tensor) -> Tensor:
    x0, x1, y0, y1 = box.unbind(1)
    return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)


def rested(t: Tensor, pixel: Tensor, keep: Tensor, us: int) -> Tensor:
    """Which events [E] come at least `us` after their pixel's last kept one; those with `keep` false do not count.

    An event leads to the first one of its pixel that is late enough, and the first of each pixel is kept. Doubling the
    steps log₂ E times reaches all that are kept, without a loop over events. Pixels are numbered over all samples, and
    t does not fall within a sample.
    """
    n = len(t)
    if n == 0:
        return keep
    # What does not count gets pixels of its own: behind all others.
    pixel = torch.where(keep, pixel, pixel.max() + 1)
    order = torch.argsort(t, stable=True)
    order = order[torch.argsort(pixel[order], stable=True)]
    pixel, time = pixel[order], t[order]
    clock = time.max() + us + 1
    key = pixel * clock + time
    there = torch.searchsorted(key, key + us)
    end = torch.full((1,), n, dtype=torch.int64, device=t.device)
    other = torch.cat([pixel, end * 0 - 1])[there] != pixel
    there = torch.cat([torch.where(other, end, there), end])  # the place behind the last event is nowhere
    before = torch.cat([pixel.new_full((1,), -1), pixel[:-1]])
    reached = torch.cat([pixel != before, pixel.new_zeros(1, dtype=torch.bool)]).to(torch.int32)
    for _ in range(math.ceil(math.log2(n + 1))):
        reached = reached.scatter_reduce(0, there, reached, "amax")
        there = there[there]
    return torch.zeros_like(keep).scatter(0, order, reached[:n] > 0) & keep


def _bins(batch: EventBatch, sample: Tensor, T: int, by: By, window_us: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Each event's bin 0 … T − 1, its place and its sample's span, as `bin_index` and `voxel_grid` count them."""
    B, t, keep = len(batch.offsets) - 1, batch.t, batch.keep
    counts = torch.ones_like(t) if keep is None else keep.long()
    if by == "count":
        before = counts.cumsum(0) - counts
        total = torch.zeros(B, dtype=torch.int64, device=t.device).index_add(0, sample, counts)
        place = before - (total.cumsum(0) - total)[sample]
        n = total[sample]
        return (place * T // n.clamp(min=1)).clamp(0, T - 1), place, (n - 1).clamp(min=1)
    if window_us is not None:
        span = torch.full_like(t, window_us)
        return (t * T // window_us).clamp(0, T - 1), t, span
    far = torch.iinfo(torch.int64).max
    first = t.new_full((B,), far).scatter_reduce(0, sample, torch.where(counts > 0, t, far), "amin")
    last = t.new_full((B,), -1).scatter_reduce(0, sample, torch.where(counts > 0, t, -1), "amax")
    place, span = t - first[sample], (last - first)[sample]
    return (place * T // (span + 1).clamp(min=1)).clamp(0, T - 1), place, span.clamp(min=1)


def frames(batch: EventBatch, settings: FrameSettings, sensor_size: tuple[int, int], channels: int = 2) -> Tensor:
    """The frames `[T, B, channels, H, W]` float32 of a batch, on its device; one channel is that of p = 1.

    Raises:
        ParameterError: the settings have a code.
    """
    if settings.encoding is not None:
        raise ParameterError(
            "frames of a code are asked for on the device", fix="make frames in the loader (frames_on: loader)"
        )
    (width, height), x, y = sensor_size, batch.x, batch.y
    if settings.grid is not None:
        x, y = x * settings.grid // width, y * settings.grid // height
        width = height = settings.grid
    T, B, sample = settings.T, len(batch.labels), batch.sample
    size = 2 * height * width
    bins, place, span = _bins(batch, sample, T, settings.by, settings.window_us)
    cell = sample * size + (batch.p * height + y) * width + x
    keep = batch.keep
    shape = (T, B, 2, height, width)
    counts = torch.ones_like(cell) if keep is None else keep.long()
    if settings.representation == "time_surface":
        return _surface(batch, settings, bins, cell, sample, size).reshape(shape)[:, :, 2 - channels :]
    total = torch.zeros((T + 1) * B * size, dtype=torch.int64, device=cell.device)
    if settings.representation == "voxel":
        scaled = torch.minimum(place.clamp(min=0), span) * (T - 1)
        first = scaled // span
        later = ((scaled - first * span) << SHARE_BITS) // span
        cell = cell + first * (B * size)
        total = total.index_add(0, cell, ((1 << SHARE_BITS) - later) * counts)
        total = total.index_add(0, cell + B * size, later * counts)
        return (total[: T * B * size].to(torch.float32) * 2.0**-SHARE_BITS).reshape(shape)[:, :, 2 - channels :]
    total = total.index_add(0, cell + bins * (B * size), counts)[: T * B * size]
    return (total.clamp(max=1) if settings.binary else total).to(torch.float32).reshape(shape)[:, :, 2 - channels :]


def _surface(
    batch: EventBatch, settings: FrameSettings, bins: Tensor, cell: Tensor, sample: Tensor, size: int
) -> Tensor:
    """The time surface `[T, B · 2 · H · W]`."""
    T, B, t, window = settings.T, len(batch.labels), batch.t, settings.window_us
    time = t if batch.keep is None else torch.where(batch.keep, t, -1)
    last = torch.full((T * B * size,), -1, dtype=torch.int64, device=t.device)
    seen = last.scatter_reduce(0, cell + bins * (B * size), time, "amax").reshape(T, B, size).cummax(0).values
    k = torch.arange(1, T + 1, device=t.device)[:, None]
    if settings.by == "count":
        end = seen.amax(2)
    elif window is not None:
        end = (-(-k * window // T)).expand(T, B)
    else:
        first = t.new_full((B,), torch.iinfo(torch.int64).max).scatter_reduce(
            0, sample, torch.where(time < 0, torch.iinfo(torch.int64).max, time), "amin"
        )
        final = t.new_full((B,), -1).scatter_reduce(0, sample, time, "amax")
        some = final >= 0
        start, span = torch.where(some, first, 0), torch.where(some, final - first + 1, 1)
        end = start - (-k * span // T)
    age = (end[..., None] - seen).clamp(min=0).to(torch.float32)
    surface = torch.exp(-(age / settings.tau_us))
    return torch.where(seen >= 0, surface, 0.0).reshape(T, B * size)
