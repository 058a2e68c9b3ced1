"""Spikes → values: by rate, by first spike, and by weighted sum. Steps at and beyond a sample's length count nowhere.

The population vector stands in `snnkit.encoding.population`, the sum of events in `snnkit.encoding.delta`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.encoding.base import number, steps_like
from snnkit.errors import ParameterError, ShapeError


def _valid(spikes: Tensor, lengths: Tensor | None) -> Tensor:
    """Spikes [T, B, …], at least float32, zero at and beyond `lengths` [B]."""
    if spikes.dim() < 2 or not len(spikes):
        raise ShapeError(f"spikes of shape {tuple(spikes.shape)}", fix="give [T, B, features…]")
    s = spikes.to(torch.promote_types(spikes.dtype, torch.float32))
    if lengths is None:
        return s
    return torch.where(steps_like(s[0], len(s)) < _along_batch(lengths, s), s, s.new_zeros(()))


def _along_batch(lengths: Tensor, spikes: Tensor) -> Tensor:
    if lengths.shape != spikes.shape[1:2]:
        raise ShapeError(
            f"lengths of shape {tuple(lengths.shape)} for spikes of shape {tuple(spikes.shape)}", fix="give [B]"
        )
    return lengths.to(spikes.device).view(-1, *[1] * (spikes.dim() - 2))


def decode_rate(spikes: Tensor, max_rate: float = 1.0, lengths: Tensor | None = None) -> Tensor:
    """The mean over time, v̂ = (1/T) Σ_t s_t / max_rate.

    Args:
        spikes: [T, B, features…].
        max_rate: spikes per step of the value 1, above 0.
        lengths: valid steps of each sample [B], each at least 1; None: T.

    Returns:
        [B, features…], at least float32. Differentiable.

    Raises:
        ParameterError: a rate that is not positive.
        ShapeError: no [T, B, …], or lengths of another shape.

    Source: Dayan & Abbott 2001, Theoretical Neuroscience, section 1.2, ISBN 0-262-04199-5.
    """
    s = _valid(spikes, lengths)
    steps = len(s) if lengths is None else _along_batch(lengths, s)
    return s.sum(0) / steps / number("max_rate", max_rate, 0.0)


def first_spike_step(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The step of each neuron's first spike, t = min {u : s_u > 0}, int64 [B, features…]; T where it never fired.

    Args:
        spikes: [T, B, features…].
        lengths: valid steps of each sample [B]; None: T.

    Raises:
        ShapeError: no [T, B, …], or lengths of another shape.

    Source: Thorpe, Delorme, Van Rullen 2001, doi:10.1016/S0893-6080(01)00083-1.
    """
    s = _valid(spikes, lengths)
    return torch.where(s > 0, steps_like(s[0], len(s)), len(s)).amin(0)


def decode_first_spike(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The value of the first spike at step t, v̂ = 1 − t/(T − 1); 0 where there is none.

    The inverse of `encode_latency`, within ½/(T − 1). Of a rank-order code it gives values in the same order.

    Args:
        spikes: [T, B, features…], T ≥ 2.
        lengths: valid steps of each sample [B]; the formula's T stays that of the spikes.

    Returns:
        [B, features…], 0 … 1, at least float32. No gradient.

    Raises:
        ParameterError: T = 1.
        ShapeError: no [T, B, …], or lengths of another shape.

    Source: Thorpe, Delorme, Van Rullen 2001, doi:10.1016/S0893-6080(01)00083-1.
    """
    step = first_spike_step(spikes.detach(), lengths)
    T = len(spikes)
    if T < 2:
        raise ParameterError("one step has no early and late", fix="give spikes of T ≥ 2 steps")
    v = 1 - step.to(torch.promote_types(spikes.dtype, torch.float32)) / (T - 1)
    return v.clamp(min=0.0)


def decode_weighted(spikes: Tensor, weights: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The weighted sum v̂ = Σ_t w_t·s_t.

    Args:
        spikes: [T, B, features…].
        weights: [T] (`phase_weights`), or one for every spike, [T, B, features…] (`burst_weights`).
        lengths: valid steps of each sample [B]; None: T.

    Returns:
        [B, features…], at least float32. Differentiable.

    Raises:
        ShapeError: shapes that do not belong together.

    Source: Kim, Kim, Huh, Lee, Choi 2018, doi:10.1016/j.neucom.2018.05.087.
    """
    s = _valid(spikes, lengths)
    if weights.shape == s.shape[:1]:
        weights = weights.view(-1, *[1] * (s.dim() - 1))
    elif weights.shape != s.shape:
        raise ShapeError(
            f"weights of shape {tuple(weights.shape)} for spikes of shape {tuple(spikes.shape)}",
            fix="give one weight per step [T], or one per spike [T, B, features…]",
        )
    return (s * weights).sum(0)
