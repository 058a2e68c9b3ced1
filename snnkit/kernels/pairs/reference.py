"""Traces and pair sums, the definition: one step in plain torch operations.

A trace keeps, for each neuron, how long ago it spiked. With x for presynaptic spikes `pre`, y for postsynaptic
spikes `post`, one step does, in this order:

1. decay: x ← decay_pre·x, y ← decay_post·y;
2. arrival: x ← x + pre and y ← y + post (all pairs), or x ← pre where pre ≠ 0 and y ← post where post ≠ 0 (nearest
   spike: the trace forgets every spike but the last);
3. pairs: P ← P + post ⊗ x and D ← D + y ⊗ pre.

P, the pairs in which pre comes first, uses x after arrival where `potentiate_same`, else before: whether a pair of the
same step counts. D, the pairs in which post comes first, uses y after arrival where `depress_same`, else before.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.kernels.pairs.geometry import ConvGeometry, weight_shape


class PairParams(NamedTuple):
    """What the traces need to know; decays per step."""

    decay_pre: float
    decay_post: float
    nearest: bool = False
    potentiate_same: bool = True
    depress_same: bool = False


class PairTraces(NamedTuple):
    """pre [B, …], post [B, …]: the traces after the last step."""

    pre: Tensor
    post: Tensor


def initial_traces(pre: Tensor, post: Tensor) -> PairTraces:
    """No spike yet; for pre [T, B, …] and post [T, B, …]."""
    return PairTraces(torch.zeros_like(pre[0]), torch.zeros_like(post[0]))


def arrive(decayed: Tensor, spikes: Tensor, nearest: bool) -> Tensor:
    """A trace after the spikes of its step."""
    return torch.where(spikes != 0, spikes, decayed) if nearest else decayed + spikes


def step(pre: Tensor, post: Tensor, traces: PairTraces, params: PairParams) -> tuple[Tensor, Tensor, PairTraces]:
    """One step of pre [B, …] and post [B, …]: (x as P uses it, y as D uses it, traces after the step)."""
    x_before, y_before = params.decay_pre * traces.pre, params.decay_post * traces.post
    x_after, y_after = arrive(x_before, pre, params.nearest), arrive(y_before, post, params.nearest)
    return (
        x_after if params.potentiate_same else x_before,
        y_after if params.depress_same else y_before,
        PairTraces(x_after, y_after),
    )


def outer(post: Tensor, pre: Tensor, geometry: ConvGeometry | None) -> Tensor:
    """post ⊗ pre, summed over the batch and over the places that share a weight: the weights' shape.

    Of a convolution, weight [o, c, u, v] gets the sum over output pixels p of post[o, p] · pre[c, p·stride + (u, v)].
    """
    if geometry is None:
        return torch.einsum("bo,bi->oi", post, pre)
    g = geometry
    patches = torch.nn.functional.unfold(g.pad(pre), g.kernel, g.dilation, stride=g.stride)  # [B, C·kh·kw, P]
    patches = patches.unflatten(1, (g.groups, -1))
    spikes = post.flatten(2).unflatten(1, (g.groups, -1))
    return torch.einsum("bgop,bgip->goi", spikes, patches).reshape(post.shape[1], -1, *g.kernel)


def sums(
    pre: Tensor,
    post: Tensor,
    traces: PairTraces,
    params: PairParams,
    geometry: ConvGeometry | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, PairTraces]:
    """P and D (the weights' shape, summed over steps and batch) and the traces after the last valid step.

    Args:
        pre: [T, B, N_pre], or [T, B, C, H, W] of a convolution.
        post: [T, B, N_post], or [T, B, O, H', W'].
        traces: from before the first step.
        params: decays and which pairs count.
        geometry: of a convolution; None: dense.
        lengths: [B]; a sample's later steps are not run.
    """
    shape = weight_shape(pre, post, geometry)
    potentiation, depression = pre.new_zeros(shape), pre.new_zeros(shape)
    for t, (pre_t, post_t) in enumerate(zip(pre.unbind(0), post.unbind(0))):
        x, y, after = step(pre_t, post_t, traces, params)
        if lengths is not None:
            valid = lengths > t
            pre_t, post_t = keep(valid, pre_t), keep(valid, post_t)
            after = PairTraces(*(torch.where(spread(valid, a), a, b) for a, b in zip(after, traces)))
        potentiation += outer(post_t, x, geometry)
        depression += outer(y, pre_t, geometry)
        traces = after
    return potentiation, depression, traces


def spread(valid: Tensor, like: Tensor) -> Tensor:
    """A mask [B] that broadcasts against [B, …]."""
    return valid.view(-1, *[1] * (like.dim() - 1))


def keep(valid: Tensor, spikes: Tensor) -> Tensor:
    """Spikes [B, …] of the valid samples, others silent."""
    return torch.where(spread(valid, spikes), spikes, 0)
