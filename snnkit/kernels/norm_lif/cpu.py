"""Batch norm, LIF and average pooling on the CPU: the sequence in one pass over memory in each direction.

A block is some rows of pooling windows (some elements where nothing is pooled) over all steps, so that what the norm
gives, the membranes and the spikes never leave the cache. The backward pass recomputes them from the norm's input.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.cache import kernel
from snnkit.kernels.lanes import multiply_add
from snnkit.kernels.lif.body import run, run_back
from snnkit.kernels.norm_lif.around import surroundings


@kernel
def forward(
    first,
    last,
    block,
    x,
    scale,
    shift,
    repeat,
    contract,
    window,
    before,
    v0,
    wait0,
    decay,
    decay_repeat,
    threshold,
    threshold_repeat,
    to_zero,
    refractory,
    s,
    v_end,
    wait_end,
):
    """x [T, M] → s [T, M or P], final v_end and wait_end [M or P] (empty where not wanted).

    window: (columns, inner, height, width) of the pooling, all 1 for none; P = M / (height·width). `before`: it pools
    what the norm gives instead of the spikes. A block is `block` rows of windows.
    """
    around = surroundings(scale, shift, repeat, contract, window, before)
    run(
        around,
        first,
        last,
        block,
        x,
        v0,
        wait0,
        decay,
        decay_repeat,
        threshold,
        threshold_repeat,
        to_zero,
        refractory,
        s,
        v_end,
        wait_end,
    )


@kernel
def backward(
    first,
    last,
    block,
    x,
    scale,
    shift,
    repeat,
    contract,
    window,
    before,
    v0,
    wait0,
    decay,
    decay_repeat,
    threshold,
    threshold_repeat,
    to_zero,
    detach,
    refractory,
    kind,
    peak,
    scaling,
    grad_s,
    grad_v_end,
    grad_y,
    grad_v0,
    grad_decay,
    grad_threshold,
):
    """Gradients of `forward` with respect to what the norm gives, grad_y [T, M], and to state and parameters of the
    neuron; grad_v0, grad_decay and grad_threshold are left out where empty."""
    around = surroundings(scale, shift, repeat, contract, window, before)
    run_back(
        around,
        first,
        last,
        block,
        x,
        v0,
        wait0,
        decay,
        decay_repeat,
        threshold,
        threshold_repeat,
        to_zero,
        detach,
        refractory,
        kind,
        peak,
        scaling,
        grad_s,
        grad_v_end,
        grad_y,
        grad_v0,
        grad_decay,
        grad_threshold,
    )


@kernel
def terms(mean, rate, gain, bias, contract, scale, shift):
    """scale = rate·gain and shift = bias − mean·scale of each channel; rounded once where `contract`."""
    for c in range(mean.shape[0]):
        scale[c] = rate[c] * gain[c]
        if contract:
            shift[c] = multiply_add(-mean[c], scale[c], bias[c])
        else:
            shift[c] = bias[c] - mean[c] * scale[c]
