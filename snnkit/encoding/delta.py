"""Delta code, send on delta: a series sends an event when it has moved by a threshold since its last event.

A reference starts at `start`. At each step, with e = x_t − reference: ON where e ≥ threshold, OFF where e ≤ −threshold,
and the reference follows by one threshold per event. With `counts` a step sends as many events as fit,
n = ⌊|e| / threshold⌋; without, at most one. Channels stand as in event frames: 0 = OFF, 1 = ON.

`decode_delta` sums the events up to the reference. It lies within one threshold of the series: with `counts` always;
without, as long as no step changes by more than the threshold and the series starts within one of `start`.

Source: Miśkowicz 2006, doi:10.3390/s6010049 (there the new value is sent, here its change in thresholds).
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import checked, number
from snnkit.errors import ParameterError, ShapeError

_INF = float("inf")


def _start(values: Tensor, start: float | Tensor | None) -> Tensor:
    """Where the reference starts, [B, features…]."""
    if start is None:
        return values[0]
    if isinstance(start, Tensor):
        if start.shape != values.shape[1:] or start.device != values.device:
            raise ShapeError(
                f"start has shape {tuple(start.shape)} on {start.device}, "
                f"a step of the series {tuple(values.shape[1:])} on {values.device}",
                fix="give one value per series, [B, features…], on its device",
            )
        return start.to(values.dtype)
    return torch.full_like(values[0], float(start))


def encode_delta(series: Tensor, threshold: float, start: float | Tensor | None = None, counts: bool = False) -> Tensor:
    """ON where x_t − reference ≥ threshold, OFF where ≤ −threshold; the reference follows.

    Args:
        series: [T, B, features…], finite numbers.
        threshold: change per event, above 0, in units of the series.
        start: where the reference starts, a number or [B, features…]; None: at the first step's values.
        counts: as many events per step as fit, instead of at most one.

    Returns:
        [T, B, 2, features…]: channel 0 = OFF, 1 = ON; 0 and 1, or counts. No gradient.

    Raises:
        ParameterError: a threshold that is not positive, or values that are not finite.
        ShapeError: no [T, B, …], no step, or a start of another shape.
    """
    x = checked(series, -_INF, _INF, "the delta code", dims=2).detach()
    if not len(x):
        raise ShapeError("the delta code was given a series of 0 steps", fix="give [T, B, features…], T ≥ 1")
    theta, origin = number("threshold", threshold, 0.0), _start(x, start)
    moved, out = torch.zeros_like(origin), []
    for now in x.unbind(0):
        # The reference is recomputed from the whole number of events, so that it cannot drift.
        e = (now - (origin + theta * moved)) / theta
        n = e.trunc() if counts else e.trunc().clamp(-1, 1)
        moved = moved + n
        out.append(torch.stack((n.clamp(max=0).neg(), n.clamp(min=0)), 1))
    return torch.stack(out).to(series.dtype)


def decode_delta(spikes: Tensor, threshold: float, start: float | Tensor = 0.0) -> Tensor:
    """The reference after each step: x̂_t = start + threshold · Σ_{u ≤ t} (ON_u − OFF_u).

    Args:
        spikes: [T, B, 2, features…], channel 0 = OFF, 1 = ON.
        threshold: as in `encode_delta`.
        start: where the reference started, a number or [B, features…].

    Returns:
        [T, B, features…], at least float32.

    Raises:
        ParameterError: a threshold that is not positive.
        ShapeError: no two channels, or a start of another shape.
    """
    if spikes.dim() < 3 or spikes.shape[2] != 2 or not len(spikes):
        raise ShapeError(f"events of shape {tuple(spikes.shape)}", fix="give [T, B, 2, features…], OFF before ON")
    theta = number("threshold", threshold, 0.0)
    s = spikes.to(torch.promote_types(spikes.dtype, torch.float32))
    change = s[:, :, 1] - s[:, :, 0]
    return _start(change, start) + theta * change.cumsum(0)


class Delta(torch.nn.Module):
    """`encode_delta` as a module: [T, B, features…] → [T, B, 2, features…], OFF before ON.

    Equation, at each step: ON = [x_t − r ≥ threshold], OFF = [r − x_t ≥ threshold]; r ← r + threshold·(ON − OFF).

    Args:
        threshold: change per event, above 0, in units of the series.
        start: where the reference starts; None: at the first step's values.
        counts: as many events per step as fit, instead of at most one.

    Raises:
        ParameterError: a threshold that is not positive.

    Source: Miśkowicz 2006, doi:10.3390/s6010049.
    """

    def __init__(self, threshold: float, start: float | None = None, counts: bool = False) -> None:
        super().__init__()
        self.threshold, self.start, self.counts = number("threshold", threshold, 0.0), start, bool(counts)
        if start is not None and (isinstance(start, bool) or not isinstance(start, int | float)):
            raise ParameterError(f"start is {start!r}", fix="give a number, or None for the first step's values")

    def forward(self, series: Tensor) -> Tensor:
        """Events [T, B, 2, features…] of a series [T, B, features…]."""
        return encode_delta(series, self.threshold, self.start, self.counts)

    def extra_repr(self) -> str:
        start = "" if self.start is None else f", start={self.start}"
        return f"threshold={self.threshold}{start}, counts={self.counts}"
