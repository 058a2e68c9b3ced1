"""When a neuron first fires, with a gradient."""

from __future__ import annotations

import torch
from torch import Tensor


def first_spike_time(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Steps before the first spike, t₁ = Σ_t Π_{k≤t} (1 − s_k): 0 for a spike at step 0, T for none.

    spikes [T, B, …] of 0 and 1 → float32 times [B, …]. The gradient is that of the formula, which is linear in each
    s_t: ∂t₁/∂s_t = −(t₁ − t) before the first spike (a spike there would come so much earlier), −(t₂ − t₁) at it
    (without it the second spike, at t₂, would be the first), 0 after it. Together with the neurons' surrogates it
    trains networks on spike times.

    Args:
        spikes: values other than 0 count as 1.
        lengths: valid steps [B]; T is then each sample's own length, and later spikes do not exist.

    Source: time to first spike as in Mostafa 2018, doi:10.1109/TNNLS.2017.2726060; the product form is that of the
    geometric distribution's expectation.
    """
    steps = spikes.shape[0]
    fired = spikes.detach() != 0
    valid: Tensor | None = None
    if lengths is not None:
        ends = lengths.to(spikes.device).view(1, -1, *[1] * (spikes.dim() - 2))
        valid = torch.arange(steps, device=spikes.device).view(-1, *[1] * (spikes.dim() - 1)) < ends
        fired = fired & valid
    so_far = fired.cumsum(0, dtype=torch.int32)
    before, between = so_far == 0, so_far == 1
    if valid is not None:
        before, between = before & valid, between & valid
    waited = before.sum(0, dtype=torch.int32)
    apart = between.sum(0, dtype=torch.int32)
    time = waited.float()
    if not spikes.requires_grad:
        return time
    step = torch.arange(steps, device=spikes.device, dtype=torch.int32).view(-1, *[1] * (spikes.dim() - 1))
    at_first = fired & between & (step == waited)
    slope = torch.where(before, step - waited, torch.where(at_first, -apart, 0)).float()
    live = spikes.float() if valid is None else torch.where(valid, spikes.float(), 0.0)
    return time + (slope * (live - live.detach())).sum(0)
