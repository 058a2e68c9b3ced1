"""Traces and pair sums as matrix products, for any device: no loop over steps, no copy to the host.

A trace is a linear scan, x[t] = decay·x[t−1] + s[t]. Over a chunk of steps it is one product with the lower triangular
matrix of powers of the decay. P and D are then one product each, over steps and batch together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

from snnkit.kernels.pairs.geometry import ConvGeometry, weight_shape
from snnkit.kernels.pairs.reference import PairParams, PairTraces

CHUNK = 64
"""Steps per product: its cost per step grows with them, the number of launches falls."""


def scan(spikes: Tensor, decay: float, start: Tensor) -> Tensor:
    """x[t] = decay·x[t−1] + s[t] for s [T, …] from x[−1] = start [...]."""
    flat = spikes.flatten(1)
    before = start.reshape(-1)
    k = torch.arange(min(CHUNK, len(flat)), device=spikes.device)
    powers = _powers(decay, k + 1, spikes)
    lag = k[:, None] - k[None, :]
    weights = torch.where(lag == 0, 1, torch.where(lag > 0, powers[(lag - 1).clamp(min=0)], 0)).to(spikes.dtype)
    parts = []
    for part in flat.split(CHUNK):
        n = len(part)
        parts.append(torch.addmm(powers[:n, None] * before, weights[:n, :n], part))
        before = parts[-1][-1]
    return torch.cat(parts).view_as(spikes)


def last(spikes: Tensor, decay: float, start: Tensor) -> Tensor:
    """x[t] = s at the last spike not after t, decayed since; start [...], decayed, where there was none."""
    t = torch.arange(len(spikes), device=spikes.device).view(-1, *[1] * (spikes.dim() - 1))
    when = torch.where(spikes != 0, t, -1).cummax(0).values
    value = torch.where(when >= 0, spikes.gather(0, when.clamp(min=0)), start)
    return value * _powers(decay, torch.arange(len(spikes) + 1, device=t.device), spikes)[t - when]


def _powers(decay: float, k: Tensor, like: Tensor) -> Tensor:
    return torch.pow(decay, k.double()).to(like.dtype)


def traces_of(spikes: Tensor, decay: float, nearest: bool, start: Tensor) -> tuple[Tensor, Tensor]:
    """(trace before the spikes of its step, after them), each [T, …]."""
    after = (last if nearest else scan)(spikes, decay, start)
    return decay * torch.cat([start[None], after[:-1]]), after


def outer(post: Tensor, pre: Tensor, geometry: ConvGeometry | None) -> Tensor:
    """As `reference.outer`, over steps and batch together: post [T, B, …], pre [T, B, …]."""
    if geometry is None:
        return post.flatten(0, 1).mT @ pre.flatten(0, 1)
    g = geometry
    with _full_precision(pre):
        return conv2d_weight(
            g.pad(pre).flatten(0, 1),
            weight_shape(pre, post, g),  # type: ignore[arg-type]
            post.flatten(0, 1),
            g.stride,
            0,
            g.dilation,
            g.groups,
        )


@contextlib.contextmanager
def _full_precision(x: Tensor) -> Iterator[None]:
    """On a GPU convolutions round to 10 bits by default, and sum in an order of their own; not here."""
    if x.device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(torch.backends.cudnn.enabled, deterministic=True, allow_tf32=False):
        yield


def sums(
    pre: Tensor,
    post: Tensor,
    traces: PairTraces,
    params: PairParams,
    geometry: ConvGeometry | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, PairTraces]:
    """As `reference.sums`, equal to it up to rounding."""
    steps = len(pre)
    if lengths is not None:
        valid = torch.arange(steps, device=pre.device)[:, None] < lengths
        pre = torch.where(_spread(valid, pre), pre, 0)
        post = torch.where(_spread(valid, post), post, 0)
    x_before, x_after = traces_of(pre, params.decay_pre, params.nearest, traces.pre)
    y_before, y_after = traces_of(post, params.decay_post, params.nearest, traces.post)
    potentiation = outer(post, x_after if params.potentiate_same else x_before, geometry)
    depression = outer(y_after if params.depress_same else y_before, pre, geometry)
    if lengths is None:
        return potentiation, depression, PairTraces(x_after[-1], y_after[-1])
    end = PairTraces(_at_end(traces.pre, x_after, lengths), _at_end(traces.post, y_after, lengths))
    return potentiation, depression, end


def _spread(valid: Tensor, like: Tensor) -> Tensor:
    return valid.view(*valid.shape, *[1] * (like.dim() - 2))


def _at_end(start: Tensor, after: Tensor, lengths: Tensor) -> Tensor:
    """The trace [B, …] after the last valid step of each sample."""
    every = torch.cat([start[None], after])
    index = lengths.clamp(0, len(after)).view(1, -1, *[1] * (start.dim() - 1)).expand(1, *start.shape)
    return every.gather(0, index)[0]
