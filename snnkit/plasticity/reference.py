"""The whole STDP rule, the definition: a plain loop over steps, for any spikes and weights.

Song, Miller, Abbott 2000, doi:10.1038/78829; Morrison, Diesmann, Gerstner 2008, doi:10.1007/s00422-008-0233-1. The
order within a step is that of `snnkit.plasticity.STDP` and `snnkit.kernels.pairs.reference`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snnkit.kernels.pairs.reference import initial_traces, keep, outer, step
from snnkit.plasticity.stdp import STDP

Fire = Callable[[int, Tensor], Tensor]
"""(step, weights as they are now) → the postsynaptic spikes [B, …] of that step."""


@torch.no_grad()
def stdp(rule: STDP, weight: Tensor, pre: Tensor, fire: Fire, lengths: Tensor | None = None) -> Tensor:
    """The weights after a sequence pre [T, B, …], as `rule` defines it; `weight` itself stays as it is.

    Steps are run one by one: spikes, traces, pairs, and with `mode="online"` weights. `lengths` [B]: valid steps.
    """
    weight = weight.clone()
    total = torch.zeros_like(weight)
    batch = pre.shape[1]
    traces = None
    for t, pre_t in enumerate(pre):
        post_t = fire(t, weight)
        if lengths is not None:
            pre_t, post_t = keep(lengths > t, pre_t), keep(lengths > t, post_t)
        if traces is None:
            traces = initial_traces(pre, post_t[None])
        x, y, traces = step(pre_t, post_t, traces, rule.params)
        up = rule.a_plus * outer(post_t, x, rule.geometry) / batch
        down = rule.a_minus * outer(y, pre_t, rule.geometry) / batch
        if rule.online:
            weight = limited(rule, weight + scaled(rule, weight, up, down))
        else:
            total += scaled(rule, weight, up, down)
    return weight if rule.online else limited(rule, weight + total)


def scaled(rule: STDP, weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """f₊(w)·up − f₋(w)·down."""
    b = rule.bounds
    if b.kind != "soft":
        return up - down
    return torch.relu(b.w_max - weight) ** b.mu * up - torch.relu(weight - b.w_min) ** b.mu * down


def limited(rule: STDP, weight: Tensor) -> Tensor:
    """Weights within bounds."""
    b = rule.bounds
    return weight if b.kind == "none" else torch.minimum(torch.maximum(weight, weight.new_tensor(b.w_min)),
                                                         weight.new_tensor(b.w_max))  # fmt: skip
