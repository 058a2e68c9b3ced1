"""LIF on the CPU, alone: `lif.body` with nothing around it."""

# mypy: disable-error-code="no-untyped-def,call-arg,var-annotated"
from __future__ import annotations

from snnkit.kernels.cache import kernel
from snnkit.kernels.lif.body import run, run_back


@kernel
def forward(
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
):
    """x [T, M] → s [T, M], final v_end and wait_end [M] (empty where not wanted); v0, wait0 [M], empty for zeros."""
    run(
        None,
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
    scale,
    grad_s,
    grad_v_end,
    grad_x,
    grad_v0,
    grad_decay,
    grad_threshold,
):
    """Gradients of `forward`; grad_v0, grad_decay and grad_threshold [M] are left out where empty."""
    run_back(
        None,
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
        scale,
        grad_s,
        grad_v_end,
        grad_x,
        grad_v0,
        grad_decay,
        grad_threshold,
    )
