"""A batch norm in front of a neuron and an average pool behind it or between them, on the GPU: the pieces of `walk`.

`around` is what they need to know: (at, inside, line, step, pixels), where the tile's pixels are in a row of so many;
(scale, shift) of the norm; (p, heard, pooled), its windows in a row of so many; and the constants (ONCE, BEFORE, HIGH,
ACROSS, PAIRS) as the kernels take them.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.norm_lif.windows import add_pixels, affine, pool_step, share, spread_load


@triton.jit
def fetch(x_ptr, t, n: tl.constexpr, valid, around):
    """Part n of row t of x; BEFORE the pool: the mean of all."""
    at, inside, line, step, pixels = around[0]
    ONCE: tl.constexpr = around[3][0]
    BEFORE: tl.constexpr = around[3][1]
    HIGH: tl.constexpr = around[3][2]
    ACROSS: tl.constexpr = around[3][3]
    PAIRS: tl.constexpr = around[3][4]
    if BEFORE:
        scale, shift = around[1]
        return pool_step(
            x_ptr + t * pixels, at, inside & valid, scale, shift, line, step, ONCE, HIGH, ACROSS, PAIRS, scale.dtype,
            around[2][0].shape[0],
        )  # fmt: skip
    else:
        r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
        return tl.load(x_ptr + t * pixels + (at + (r * line + q * step)), mask=inside & valid, other=0.0)


@triton.jit
def enter(x, around, DTYPE: tl.constexpr):
    """What the norm gives for it, or the pool."""
    if around[3][1]:
        return x
    else:
        return affine(x, around[1][0], around[1][1], around[3][0], DTYPE)


@triton.jit
def add(total, spikes, around):
    """The windows' sums, this part's pixels among them; BEFORE the pool: the spikes."""
    return spikes if around[3][1] else add_pixels(total, spikes, around[3][4])


@triton.jit
def leave(s_ptr, t, total, around):
    """The windows' means to row t of s."""
    p, heard, pooled = around[2]
    if not around[3][1]:
        total = share(total, around[3][2] * around[3][3], total.dtype)
    tl.store(s_ptr + t * pooled + p, total.to(s_ptr.dtype.element_ty), mask=heard)


@triton.jit
def fetch_back(grad_s_ptr, t, valid, around, DTYPE: tl.constexpr):
    """The part of its window's gradient that each neuron of step t has."""
    p, heard, pooled = around[2]
    BEFORE: tl.constexpr = around[3][1]
    SIZE: tl.constexpr = around[3][2] * around[3][3]
    if BEFORE:
        return tl.load(grad_s_ptr + t * pooled + p, mask=heard & valid, other=0.0).to(DTYPE)
    else:
        return spread_load(grad_s_ptr + t * pooled, p, heard & valid, around[3][4] and SIZE > 1, SIZE, DTYPE)


@triton.jit
def leave_back(grad_y_ptr, t, grad, valid, around):
    """The gradient of what the norm gives, to row t of grad_y."""
    at, inside, line, step, pixels = around[0]
    BEFORE: tl.constexpr = around[3][1]
    ACROSS: tl.constexpr = around[3][3]
    SIZE: tl.constexpr = around[3][2] * around[3][3]
    PAIRS: tl.constexpr = around[3][4]
    row = grad_y_ptr + t * pixels
    if BEFORE:
        part = grad.to(grad_y_ptr.dtype.element_ty).to(grad.dtype)  # the neuron gives it to the pool so
        part = share(part, SIZE, grad.dtype).to(grad_y_ptr.dtype.element_ty)
        part = tl.interleave(part, part) if PAIRS else part
        for k in tl.static_range(SIZE // (2 if PAIRS else 1)):
            r, q = (k, 0) if PAIRS else (k // ACROSS, k % ACROSS)
            tl.store(row + (at + (r * line + q * step)), part, mask=inside & valid)
    else:
        tl.store(row + at, grad.to(grad_y_ptr.dtype.element_ty), mask=inside & valid)
