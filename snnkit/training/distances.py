"""Losses against targets that are no classes: spike trains and values. Steps beyond `lengths` count nowhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.errors import ParameterError, ShapeError, did_you_mean
from snnkit.kernels import li
from snnkit.kernels.state import state_dtype
from snnkit.training.losses import ReadOut, scores, valid_mask

Kind = Literal["mse", "l1", "huber"]
_KINDS: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


def _masked(each: Tensor, lengths: Tensor | None) -> Tensor:
    """each [T, B, …] with zeros beyond the lengths."""
    if lengths is None:
        return each
    valid = valid_mask(each.shape[0], lengths.to(each.device))
    return torch.where(valid.view(*valid.shape, *[1] * (each.dim() - 2)), each, each.new_zeros(()))


def van_rossum(out: Tensor, target: Tensor, tau: float, lengths: Tensor | None = None) -> Tensor:
    """Mean over B and neurons of the squared van Rossum distance between spike trains [T, B, …].

    D² = (1/τ) Σ_t (f_t − g_t)², with f_t = e^(−1/τ) f_{t−1} + out_t, and g of `target` alike. τ in steps; one spike
    more or less, far from others, costs about ½.

    Args:
        out, target: spikes of equal shape; the gradient reaches both.
        tau: time constant of the kernel in steps. Small: coincidence; large: spike counts.
        lengths: valid steps [B].

    Raises:
        ParameterError: tau is not positive. ShapeError: shapes differ.

    Source: van Rossum 2001, doi:10.1162/089976601300014321.
    """
    if not tau > 0:
        raise ParameterError(f"tau of the van Rossum distance is {tau}", fix="give a positive number of steps")
    _same_shape(out, target)
    difference = _masked(out - target, lengths)
    # Made on the device: a layer made here and moved there would make the host wait at every call.
    decay = torch.full((), math.exp(-1 / tau), dtype=state_dtype(difference), device=difference.device)
    difference, _ = li.sequence(difference, None, li.LIParams(decay), want_state=False)
    return _masked(difference.square(), lengths).sum(0).mean() / tau


def regression(
    out: Tensor,
    target: Tensor,
    readout: ReadOut | Literal["each"] = "mean",
    kind: Kind = "mse",
    lengths: Tensor | None = None,
) -> Tensor:
    """Mean error of an output [T, B, N] against values.

    Args:
        out: membrane or spikes.
        target: [B, N] for a read-out over the sequence, [T, B, N] for `"each"`.
        readout: as in `scores`, or "each" step on its own.
        kind: "mse" (squared), "l1" (absolute) or "huber" (δ = 1).
        lengths: valid steps [B]; for "each" the mean is over valid steps.

    Raises:
        ParameterError: an unknown kind. ShapeError: the target does not fit.
    """
    if kind not in _KINDS:
        raise ParameterError(f"unknown error {kind!r}{did_you_mean(kind, _KINDS)}", fix="one of " + ", ".join(_KINDS))
    if readout != "each":
        z = scores(out, readout, lengths).float()
        _same_shape(z, target)
        return _KINDS[kind](z, target.to(z.dtype))
    _same_shape(out, target)
    each = _KINDS[kind](out.float(), target.float(), reduction="none")
    if lengths is None:
        return each.mean()
    values = lengths.to(each.device).sum() * each[0, 0].numel()
    return _masked(each, lengths).sum() / values


def _same_shape(out: Tensor, target: Tensor) -> None:
    if out.shape != target.shape:
        raise ShapeError(
            f"the output has shape {tuple(out.shape)}, the target {tuple(target.shape)}", fix="give equal shapes"
        )
