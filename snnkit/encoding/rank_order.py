"""Rank-order code: the values of a sample fire once each, one after the other, the largest first.

With r the rank of a value among the N values of its sample (0 for the largest; ties go to the lowest index), its spike
comes at step ⌊r·T / N⌋. With T = N each step has one spike and the order of the values is kept whole; with fewer steps,
neighbours in the order share a step. How far apart the values lie is not sent.

Source: Thorpe, Delorme, Van Rullen 2001, doi:10.1016/S0893-6080(01)00083-1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snnkit.encoding.base import Encoder, checked, steps_like, whole

_INF = float("inf")


def encode_rank_order(values: Tensor, T: int | None = None) -> Tensor:
    """One spike per value at step ⌊r·T / N⌋, r being its rank in its sample, largest first, ties to the lowest index.

    Args:
        values: [B, features…], any finite numbers; N = product of the features.
        T: steps; None: N.

    Returns:
        [T, B, features…] of 0 and 1. No gradient.

    Raises:
        ParameterError: a value that is not finite, or no step.
    """
    v = checked(values, -_INF, _INF, "the rank-order code").detach()
    n = math.prod(v.shape[1:])
    T = max(n, 1) if T is None else whole("T", T, 1)
    flat = v.reshape(v.shape[0], n)
    order = torch.sort(flat, dim=1, descending=True, stable=True).indices
    turn = torch.arange(n, device=v.device).mul(T).div(max(n, 1), rounding_mode="floor").expand_as(order)
    step = torch.empty_like(order).scatter(1, order, turn).view(v.shape)
    return (steps_like(v, T) == step).to(values.dtype)


class RankOrder(Encoder):
    """`encode_rank_order` as a module: one spike at ⌊rank·T / N⌋; [B, features…] → [T, B, features…].

    Args:
        T: steps. The whole order is kept from T = N, the number of a sample's values, on.

    Raises:
        ParameterError: no step.

    Source: Thorpe, Delorme, Van Rullen 2001, doi:10.1016/S0893-6080(01)00083-1.
    """

    def encode(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        return encode_rank_order(values, self.T)
