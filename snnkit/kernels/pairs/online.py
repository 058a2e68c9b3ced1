"""A dense layer of LIF neurons that learns at every step, in one call."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty
from snnkit.kernels.lif import LIFParams, LIFState
from snnkit.kernels.pairs.op import ends
from snnkit.kernels.pairs.reference import PairParams, PairTraces
from snnkit.kernels.state import idle
from snnkit.kernels.threads import run_blocks

BLOCK_WEIGHTS = 1 << 18
"""Weights of a block of neurons at most, so that they and their changes stay near the processor."""

BLOCK_RANGE = (16, 256)
"""Fewest and most neurons of a block: the longer a row, the less its set-up matters."""


@torch.no_grad()
def dense_lif(
    pre: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    state: LIFState,
    neuron: LIFParams,
    traces: PairTraces | None,
    params: PairParams,
    up: float,
    down: float,
    bounds: tuple[float, float] | None,
    mu: float = 0.0,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, LIFState, PairTraces]:
    """pre [T, B, N] through a dense layer and its neurons on the CPU; `weight` [O, N] changes in place at every step.

    Each step: current = W·pre + bias; the LIF neurons; then W ← W + up·f₊(W)·P − down·f₋(W)·D within bounds, with P
    and D of the step as in `reference`, f₊ = (high − w)^mu and f₋ = (w − low)^mu.

    Args:
        pre: input, in the dtype of the weights (float32 or float64).
        weight, bias: of the layer; the weights contiguous.
        state: of the neurons before.
        neuron: their parameters; decay and threshold scalars or [O].
        traces: before; None: no spike yet.
        params: decays and which pairs count.
        up, down: rates, already divided by the number of samples.
        bounds: (low, high); None: no bounds.
        mu: exponent of soft bounds; 0: hard.
        lengths: [B] steps of each sample that learn.

    Returns:
        current [T, B, O], spikes [T, B, O], the neurons' state and the traces after.
    """
    from snnkit.kernels.pairs import online_cpu as cpu

    steps, batch, inputs = pre.shape
    outputs = len(weight)
    flat = array(pre.detach().contiguous().view(steps * batch, inputs))
    counts = torch.zeros(steps * batch + 1, dtype=torch.int64)
    run_blocks(cpu.count, inputs, steps * batch, flat, array(counts[1:]))
    offsets = counts.cumsum(0)
    events = int(offsets[-1])
    index, value = torch.empty(events, dtype=torch.int32), empty(pre, events)
    run_blocks(cpu.find, inputs, steps * batch, flat, array(offsets), array(index), array(value))
    v, wait = state.v.detach().to(pre.dtype, copy=True).contiguous(), torch.empty((0, 0), dtype=torch.int32)
    if neuron.refractory:
        wait = state.wait.clone(memory_format=torch.contiguous_format)
    low, high = (-math.inf, math.inf) if bounds is None else bounds
    one = array(weight).dtype.type
    current, out = empty(pre, steps, batch, outputs), empty(pre, steps, batch, outputs)
    after = PairTraces(empty(pre, batch, inputs), empty(pre, batch, outputs))
    nothing = empty(pre, 0, 0)
    run_blocks(
        cpu.dense_lif,
        steps * batch,
        outputs,
        array(offsets),
        array(index),
        array(value),
        array(weight),
        array(empty(pre, 0) if bias is None else bias),
        array(neuron.decay.reshape(-1).contiguous()),
        array(neuron.threshold.reshape(-1).contiguous()),
        neuron.reset_to_zero,
        neuron.refractory,
        array(v),
        array(wait),
        array(nothing if traces is None else traces.pre.contiguous()),
        array(nothing if traces is None else traces.post.contiguous()),
        tuple(one(k) for k in (params.decay_pre, params.decay_post, up, down, low, high, mu)),
        params.nearest,
        params.potentiate_same,
        params.depress_same,
        mu > 0,
        array(ends(lengths, steps)),
        array(current),
        array(out),
        array(after.pre),
        array(after.post),
        block=_block(inputs, outputs),
    )
    return current, out, LIFState(v, wait if neuron.refractory else idle(v)), after


def _block(inputs: int, outputs: int) -> int:
    """Neurons per block. It decides the speed and no value."""
    fewest, most = BLOCK_RANGE
    each = -(-outputs // max(torch.get_num_threads(), 1))
    return max(fewest, min(most, BLOCK_WEIGHTS // max(inputs, 1), each))
