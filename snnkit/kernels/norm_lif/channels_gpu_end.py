"""From the sums of programs to what a batch norm is made of, on the GPU: [C] values, few and small launches."""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

RUNTIME = ("plane", "entries", "splits", "many", "c_step", "k_step", "channels")


@triton.jit
def entries_at(e, channel, inside, entries, splits, many, c_step, k_step, HIGH: tl.constexpr):
    """(offsets, which there are) of the entries e, e + 1, … of the channels; `many` of each in each of the `splits`."""
    at = e + tl.arange(0, HIGH)
    split, k = at // many, at % many
    off = (split.to(tl.int64) * entries + k.to(tl.int64) * k_step)[:, None] + (channel * c_step)[None, :]
    return off, (at < splits * many)[:, None] & inside[None, :]


@triton.jit
def put(ptr, value, at, inside):
    if ptr is not None:
        tl.store(ptr + at, value.to(ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def moments_end(
    found_ptr,
    center_ptr,
    total_ptr,
    dot_ptr,
    mean_ptr,
    rate_ptr,
    running_mean_ptr,
    running_var_ptr,
    gain_ptr,
    bias_ptr,
    scale_ptr,
    shift_ptr,
    momentum: tl.float64,
    eps: tl.float64,
    plane: tl.int64,
    entries: tl.int64,
    splits: tl.int32,
    many: tl.int32,
    c_step: tl.int64,
    k_step: tl.int64,
    channels: tl.int64,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
):
    """Of what `moments` found, [C] each and left out where None: total = Σ x and dot = Σ x·(x − center) (center None:
    0); mean and rate = 1/√(variance + eps); the running ones, which move towards mean and unbiased variance; scale and
    shift from mean, rate, gain and bias, as `gpu.terms` has them where values are rounded once."""
    channel = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    inside = channel < channels
    # what the means are away from that of the first program
    first = tl.load(found_ptr + plane + channel * c_step, mask=inside, other=0.0)
    count, total = tl.full((HIGH, ACROSS), 0, tl.float64), tl.full((HIGH, ACROSS), 0, tl.float64)
    square = tl.full((HIGH, ACROSS), 0, tl.float64)
    for e in range(0, splits * many, HIGH):
        off, there = entries_at(e, channel, inside, entries, splits, many, c_step, k_step, HIGH)
        n = tl.load(found_ptr + off, mask=there, other=0.0)
        mean = tl.load(found_ptr + plane + off, mask=there, other=0.0)
        away = tl.where(n > 0, mean - first[None, :], 0.0)
        count += n
        total += n * away
        square += tl.load(found_ptr + 2 * plane + off, mask=there, other=0.0) + n * away * away
    n, moved = tl.sum(count, 0), tl.sum(total, 0)
    each = tl.maximum(n, 1.0)
    mean = first + moved / each
    square = tl.sum(square, 0) - moved * moved / each
    square = tl.where(square < 0, 0.0, square)
    put(total_ptr, n * mean, channel, inside)
    if dot_ptr is not None:
        center = 0.0 if center_ptr is None else tl.load(center_ptr + channel, mask=inside, other=0.0)
        put(dot_ptr, square + n * mean * (mean - center), channel, inside)
    put(mean_ptr, mean, channel, inside)
    if rate_ptr is not None:
        rate = 1.0 / tl.sqrt(square / each + eps)
        put(rate_ptr, rate, channel, inside)
        scale, shift = rate.to(rate_ptr.dtype.element_ty), tl.full((ACROSS,), 0, rate_ptr.dtype.element_ty)
        if gain_ptr is not None:
            scale = scale * tl.load(gain_ptr + channel, mask=inside, other=0.0)
        if bias_ptr is not None:
            shift = tl.load(bias_ptr + channel, mask=inside, other=0.0)
        put(scale_ptr, scale, channel, inside)
        put(shift_ptr, tl.fma(-mean.to(scale.dtype), scale, shift), channel, inside)
    if running_mean_ptr is not None:
        old = tl.load(running_mean_ptr + channel, mask=inside, other=0.0).to(tl.float64)
        put(running_mean_ptr, momentum * mean + (1.0 - momentum) * old, channel, inside)
        old = tl.load(running_var_ptr + channel, mask=inside, other=0.0).to(tl.float64)
        unbiased = square / tl.maximum(n - 1.0, 1.0)
        put(running_var_ptr, momentum * unbiased + (1.0 - momentum) * old, channel, inside)


@triton.jit(do_not_specialize=RUNTIME)
def sums_end(
    found_ptr,
    rate_ptr,
    gain_ptr,
    total_ptr,
    dot_ptr,
    of_gain_ptr,
    of_bias_ptr,
    middle_ptr,
    slope_ptr,
    scale_ptr,
    count: tl.float64,
    plane: tl.int64,
    entries: tl.int64,
    splits: tl.int32,
    many: tl.int32,
    c_step: tl.int64,
    k_step: tl.int64,
    channels: tl.int64,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
):
    """Of what `sums` found, [C] each and left out where None: total = Σ g and dot = Σ (x − center)·g; the gradients
    dot·rate and total of gain and bias; and what `project` takes, with `count` values of a channel."""
    channel = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    inside = channel < channels
    total, dot = tl.full((HIGH, ACROSS), 0, tl.float64), tl.full((HIGH, ACROSS), 0, tl.float64)
    for e in range(0, splits * many, HIGH):
        off, there = entries_at(e, channel, inside, entries, splits, many, c_step, k_step, HIGH)
        total += tl.load(found_ptr + off, mask=there, other=0.0)
        dot += tl.load(found_ptr + plane + off, mask=there, other=0.0)
    all_total, all_dot = tl.sum(total, 0), tl.sum(dot, 0)
    put(total_ptr, all_total, channel, inside)
    put(dot_ptr, all_dot, channel, inside)
    put(of_bias_ptr, all_total, channel, inside)
    if rate_ptr is not None:
        rate = tl.load(rate_ptr + channel, mask=inside, other=0.0).to(tl.float64)
        put(of_gain_ptr, all_dot * rate, channel, inside)
        put(middle_ptr, all_total / count, channel, inside)
        put(slope_ptr, all_dot / count * rate * rate, channel, inside)
        if scale_ptr is not None:
            if gain_ptr is not None:
                rate = rate * tl.load(gain_ptr + channel, mask=inside, other=0.0).to(tl.float64)
            put(scale_ptr, rate, channel, inside)
