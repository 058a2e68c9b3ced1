"""Batch norm, LIF and average pooling on the GPU: the sequence in one pass over memory, forward; backward recomputes.

Forward a tile is BLOCK windows, and a program goes over their pixels part by part; where windows are two pixels wide
and these lie beside each other in memory (PAIRS), a part is a whole row of 2·BLOCK pixels. Backward a tile is BLOCK
neurons: those behind the norm, which look up their window's gradient, or (BEFORE) those behind the pool.

scale·x + shift is rounded once where ONCE, as on CPUs that have such an instruction; nothing else is contracted. What
the norm and the pool give is rounded to the input's precision, as the layers one by one do.
"""

# mypy: disable-error-code="no-untyped-def,assignment,misc"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.tiles import back, fire, initial, keep, parameter, settle

_RUNTIME = (
    "channels", "repeat", "short", "inner", "groups", "steps", "refractory",
    "decay_count", "decay_repeat", "threshold_count", "threshold_repeat",
)  # fmt: skip


@triton.jit
def _divide(a, b, NARROW: tl.constexpr):
    """(a // b, a % b) of a tile of offsets."""
    if NARROW:
        whole = a.to(tl.uint32) // b.to(tl.uint32)
        rest = a.to(tl.uint32) % b.to(tl.uint32)
        return whole.to(tl.int64), rest.to(tl.int64)
    else:
        return a // b, a % b


@triton.jit
def _first_pixel(p, short, inner, HIGH: tl.constexpr, ACROSS: tl.constexpr, NARROW: tl.constexpr):
    """Offset of the first pixel of window p. short: elements of a row of windows; inner: channels beside each other in
    memory, None where pixels are."""
    if HIGH * ACROSS == 1:
        return p
    elif inner is None:
        row, column = _divide(p, short, NARROW)
        return row * (short * ACROSS * HIGH) + column * ACROSS
    else:  # p itself is divided, since the compiler sees neighbours in what is left of neighbours, but no further
        window, channel = _divide(p, inner, NARROW)
        row, column = _divide(window, short // inner, NARROW)
        return row * (short * ACROSS * HIGH) + column * (ACROSS * inner) + channel


@triton.jit
def _first_pixels(p, short, HIGH: tl.constexpr, NARROW: tl.constexpr):
    """As `_first_pixel` for both pixels of the upper row of windows two pixels wide: p counts these."""
    row, rest = _divide(p, short * 2, NARROW)
    return row * (short * 2 * HIGH) + rest


@triton.jit
def _window(m, short, inner, HIGH: tl.constexpr, ACROSS: tl.constexpr, NARROW: tl.constexpr):
    """The window of pixel m, by offsets."""
    if inner is None:
        row, column = _divide(m, short * ACROSS, NARROW)
        return row // HIGH * short + column // ACROSS
    else:
        pixel, channel = _divide(m, inner, NARROW)
        row, column = _divide(pixel, short // inner * ACROSS, NARROW)
        return row // HIGH * short + column // ACROSS * inner + channel


@triton.jit
def _spread(values, channels, repeat, off, inside, NARROW: tl.constexpr):
    """A value of each channel over a tile, also where there is one channel."""
    return tl.broadcast_to(parameter(values, channels, repeat, off, inside, NARROW), off.shape)


@triton.jit
def _affine(x, scale, shift, ONCE: tl.constexpr, DTYPE: tl.constexpr):
    """What the norm gives for x, in the precision of x."""
    wide = x.to(DTYPE)
    y = tl.fma(wide, scale, shift) if ONCE else wide * scale + shift
    return y.to(x.dtype).to(DTYPE)


@triton.jit
def _share(total, SIZE: tl.constexpr, DTYPE: tl.constexpr):
    """total / SIZE, rounded to the nearest."""
    if SIZE == 1:
        return total
    elif SIZE & (SIZE - 1) == 0:
        return total * (1.0 / SIZE)
    elif total.dtype == tl.float64:
        return total / SIZE
    else:
        return tl.div_rn(total, tl.full(total.shape, SIZE, DTYPE))


@triton.jit
def _add_pixels(total, tile, PAIRS: tl.constexpr):
    """A part's pixels added to the windows' sums, from left to right."""
    if PAIRS:
        left, right = tl.split(tl.reshape(tile, (total.shape[0], 2)))
        return total + left + right
    else:
        return total + tile


@triton.jit
def _pooled(
    x_row, at, inside, scale, shift, line, step,
    ONCE: tl.constexpr, HIGH: tl.constexpr, ACROSS: tl.constexpr, PAIRS: tl.constexpr, DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Means over windows of what the norm gives for a step; `at`: first pixels, those of both columns where PAIRS."""
    total = tl.full((BLOCK,), 0, DTYPE)
    for n in tl.static_range(HIGH * ACROSS // (2 if PAIRS else 1)):
        r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
        x = tl.load(x_row + (at + (r * line + q * step)), mask=inside, other=0.0)
        total = _add_pixels(total, _affine(x, scale, shift, ONCE, DTYPE), PAIRS)
    return _share(total, HIGH * ACROSS, DTYPE).to(x_row.dtype.element_ty).to(DTYPE)


@triton.jit(do_not_specialize=_RUNTIME)
def terms(
    mean_ptr,
    rate_ptr,
    gain_ptr,
    bias_ptr,
    scale_ptr,
    shift_ptr,
    groups: tl.int64,
    steps: tl.int32,
    ONCE: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """scale = rate·gain and shift = bias − mean·scale [C], rounded as on the CPU; no gain is 1, no bias 0."""
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < groups.to(tl.int64) * WIDE
    mean = tl.load(mean_ptr + off, mask=inside, other=0.0)
    scale = tl.load(rate_ptr + off, mask=inside, other=0.0)
    bias = tl.full((BLOCK,), 0, DTYPE)
    if gain_ptr is not None:
        scale = scale * tl.load(gain_ptr + off, mask=inside, other=0.0)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + off, mask=inside, other=0.0)
    shift = tl.fma(-mean, scale, bias) if ONCE else bias - mean * scale
    tl.store(scale_ptr + off, scale, mask=inside)
    tl.store(shift_ptr + off, shift, mask=inside)


@triton.jit(do_not_specialize=_RUNTIME)
def forward(
    x_ptr,
    scale_ptr,
    shift_ptr,
    channels,
    repeat,
    v0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    s_ptr,
    v_ptr,
    wait_ptr,
    short,
    inner,
    refractory: tl.int32,
    groups: tl.int64,
    steps: tl.int32,
    TO_ZERO: tl.constexpr,
    MASKED: tl.constexpr,
    ONCE: tl.constexpr,
    BEFORE: tl.constexpr,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
    PAIRS: tl.constexpr,
    EACH: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, M] → s [T, P], final v and wait [M], or [P] where BEFORE; P = M / (HIGH·ACROSS) = groups·WIDE.

    short and inner (`_first_pixel`) come in units of WIDE. BEFORE: the pool stands between norm and neuron. EACH: decay
    or threshold differ within a window.
    """
    TILE: tl.constexpr = 2 * BLOCK if PAIRS else BLOCK
    PARTS: tl.constexpr = HIGH * ACROSS // (2 if PAIRS else 1)
    pooled = groups.to(tl.int64) * WIDE
    width = pooled * (HIGH * ACROSS)
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    whole = p < pooled
    if short is not None:
        short = short.to(tl.int64) * WIDE
    if inner is not None:
        inner = inner.to(tl.int64) * WIDE
    if PAIRS:
        at = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
        inside = at < 2 * pooled
        at = _first_pixels(at, short, HIGH, NARROW)
    else:
        inside = whole
        at = _first_pixel(p, short, inner, HIGH, ACROSS, NARROW)
    line = 0 if short is None else short * ACROSS
    step = 1 if inner is None else inner
    first = _first_pixel(p, short, inner, HIGH, ACROSS, NARROW)
    scale = _spread(scale_ptr, channels, repeat, first, whole, NARROW)
    shift = _spread(shift_ptr, channels, repeat, first, whole, NARROW)
    if PAIRS:
        scale, shift = tl.interleave(scale, scale), tl.interleave(shift, shift)
    if BEFORE:
        decay = parameter(decay_ptr, decay_count, decay_repeat, p, whole, NARROW)
        threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, p, whole, NARROW)
        v = initial(v0_ptr, p, whole, BLOCK, DTYPE)
        wait = initial(wait0_ptr, p, whole, BLOCK, tl.int32)
        for t in range(steps):
            x = _pooled(
                x_ptr + t * width, at, inside, scale, shift, line, step, ONCE, HIGH, ACROSS, PAIRS, DTYPE, BLOCK
            )
            s, v, wait = fire(decay * v + x, v, wait, threshold, refractory, TO_ZERO, MASKED)
            tl.store(s_ptr + t * pooled + p, s.to(s_ptr.dtype.element_ty), mask=whole)
        if v_ptr is not None:
            tl.store(v_ptr + p, v, mask=whole)
        if wait_ptr is not None:
            tl.store(wait_ptr + p, wait, mask=whole)
    else:
        vs, waits, decays, thresholds = (), (), (), ()
        for n in tl.static_range(PARTS):
            r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
            off = at + (r * line + q * step)
            vs = vs + (initial(v0_ptr, off, inside, TILE, DTYPE),)
            waits = waits + (initial(wait0_ptr, off, inside, TILE, tl.int32),)
            if EACH or n == 0:
                decays = decays + (parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW),)
                thresholds = thresholds + (
                    parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW),
                )
            else:
                decays, thresholds = decays + (decays[0],), thresholds + (thresholds[0],)
        for t in range(steps):
            total = tl.full((BLOCK,), 0, DTYPE)
            after, waiting = (), ()
            for n in tl.static_range(PARTS):
                r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
                x = tl.load(x_ptr + t * width + (at + (r * line + q * step)), mask=inside, other=0.0)
                y = _affine(x, scale, shift, ONCE, DTYPE)
                s, v, wait = fire(decays[n] * vs[n] + y, vs[n], waits[n], thresholds[n], refractory, TO_ZERO, MASKED)
                after, waiting = after + (v,), waiting + (wait,)
                total = _add_pixels(total, s, PAIRS)
            vs, waits = after, waiting
            mean = _share(total, HIGH * ACROSS, DTYPE)
            tl.store(s_ptr + t * pooled + p, mean.to(s_ptr.dtype.element_ty), mask=whole)
        for n in tl.static_range(PARTS):
            r, q = (n, 0) if PAIRS else (n // ACROSS, n % ACROSS)
            off = at + (r * line + q * step)
            if v_ptr is not None:
                tl.store(v_ptr + off, vs[n], mask=inside)
            if wait_ptr is not None:
                tl.store(wait_ptr + off, waits[n], mask=inside)


@triton.jit
def _spread_load(ptr, p, inside, PAIRS: tl.constexpr, SIZE: tl.constexpr, DTYPE: tl.constexpr):
    """The part that each pixel of a window has of the window's gradient; p: windows of pixels, of pairs where PAIRS."""
    g = _share(tl.load(ptr + p, mask=inside, other=0.0).to(DTYPE), SIZE, DTYPE)
    g = g.to(ptr.dtype.element_ty).to(DTYPE)
    return tl.interleave(g, g) if PAIRS else g


@triton.jit(do_not_specialize=_RUNTIME)
def backward(
    x_ptr,
    scale_ptr,
    shift_ptr,
    channels,
    repeat,
    v0_ptr,
    wait0_ptr,
    decay_ptr,
    decay_count,
    decay_repeat,
    threshold_ptr,
    threshold_count,
    threshold_repeat,
    kept_v_ptr,
    kept_wait_ptr,
    grad_s_ptr,
    grad_v_ptr,
    grad_y_ptr,
    grad_v0_ptr,
    grad_decay_ptr,
    grad_threshold_ptr,
    short,
    inner,
    refractory: tl.int32,
    peak: tl.float64,
    scaling: tl.float64,
    groups: tl.int64,
    steps: tl.int32,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    MASKED: tl.constexpr,
    ONCE: tl.constexpr,
    BEFORE: tl.constexpr,
    HIGH: tl.constexpr,
    ACROSS: tl.constexpr,
    PAIRS: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    DTYPE: tl.constexpr,
    NARROW: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of `forward` with respect to what the norm gives, grad_y [T, M], and to state and parameters of the
    neurons, left out where None. Neurons: groups·WIDE. Rooms, WHOLE and STEPS: as in LIF's `backward`."""
    SIZE: tl.constexpr = HIGH * ACROSS
    TILE: tl.constexpr = 2 * BLOCK if BEFORE and PAIRS else BLOCK
    width = groups.to(tl.int64) * WIDE  # of the neurons
    off = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = off < width
    if short is not None:
        short = short.to(tl.int64) * WIDE
    if inner is not None:
        inner = inner.to(tl.int64) * WIDE
    line = 0 if short is None else short * ACROSS
    step = 1 if inner is None else inner
    pixels, pooled = width, width  # of a step
    if BEFORE:
        pixels = width * SIZE
    else:
        pooled = groups.to(tl.int64) // SIZE * WIDE  # a row of windows is a multiple of WIDE
    if BEFORE and PAIRS:
        at = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
        there = at < 2 * width
        at = _first_pixels(at, short, HIGH, NARROW)
    elif BEFORE:
        there = inside
        at = _first_pixel(off, short, inner, HIGH, ACROSS, NARROW)
    else:
        there = inside
        at = off
    if BEFORE or SIZE == 1:
        p = off
        heard = inside
    elif PAIRS:
        pair = tl.program_id(0).to(tl.int64) * (BLOCK // 2) + tl.arange(0, BLOCK // 2)
        heard = pair < width // 2
        p = _window(pair, short, inner, HIGH, 1, NARROW)
    else:
        heard = inside
        p = _window(off, short, inner, HIGH, ACROSS, NARROW)
    scale = _spread(scale_ptr, channels, repeat, at, there, NARROW)
    shift = _spread(shift_ptr, channels, repeat, at, there, NARROW)
    decay = parameter(decay_ptr, decay_count, decay_repeat, off, inside, NARROW)
    threshold = parameter(threshold_ptr, threshold_count, threshold_repeat, off, inside, NARROW)
    peaks = tl.full((BLOCK,), peak, DTYPE)
    scales = tl.full((BLOCK,), scaling, DTYPE)
    v = initial(v0_ptr, off, inside, BLOCK, DTYPE)
    wait = initial(wait0_ptr, off, inside, BLOCK, tl.int32)
    chunks = (steps + STEPS - 1) // STEPS
    if kept_v_ptr is not None:
        tl.store(kept_v_ptr + off, v, mask=inside)
        if MASKED:
            tl.store(kept_wait_ptr + off, wait, mask=inside)
        for c in range(1, chunks):
            for k in tl.static_range(STEPS):
                x_row = x_ptr + ((c - 1) * STEPS + k) * pixels
                if BEFORE:
                    x = _pooled(x_row, at, there, scale, shift, line, step, ONCE, HIGH, ACROSS, PAIRS, DTYPE, BLOCK)
                else:
                    x = _affine(tl.load(x_row + at, mask=there, other=0.0), scale, shift, ONCE, DTYPE)
                _, v, wait = fire(decay * v + x, v, wait, threshold, refractory, TO_ZERO, MASKED)
            tl.store(kept_v_ptr + c * width + off, v, mask=inside)
            if MASKED:
                tl.store(kept_wait_ptr + c * width + off, wait, mask=inside)
        tl.debug_barrier()  # the threads that read it back need not be those that wrote it
    grad_v = initial(grad_v_ptr, off, inside, BLOCK, DTYPE)
    grad_decay = tl.full((BLOCK,), 0, DTYPE)
    grad_threshold = tl.full((BLOCK,), 0, DTYPE)
    for j in range(chunks):
        first = (chunks - 1 - j) * STEPS
        if kept_v_ptr is not None:
            v = tl.load(kept_v_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0.0)
            if MASKED:
                wait = tl.load(kept_wait_ptr + (chunks - 1 - j) * width + off, mask=inside, other=0)
        start = v
        us = ()
        actives = tl.full((BLOCK,), 0, tl.int32)  # bit k: whether step k of the chunk was active
        for k in tl.static_range(STEPS):
            here = there if WHOLE else there & (first + k < steps)
            x_row = x_ptr + (first + k) * pixels
            if BEFORE:
                x = _pooled(x_row, at, here, scale, shift, line, step, ONCE, HIGH, ACROSS, PAIRS, DTYPE, BLOCK)
            else:
                x = _affine(tl.load(x_row + at, mask=here, other=0.0), scale, shift, ONCE, DTYPE)
            u = decay * v + x
            if MASKED:
                u = tl.where(wait == 0, u, v)
                actives = actives | ((wait == 0).to(tl.int32) << k)
            us = us + (u,)
            _, v, wait = fire(u, v, wait, threshold, refractory, TO_ZERO, MASKED)
        for n in tl.static_range(STEPS - 1, -1, -1):
            valid = True if WHOLE else first + n < steps
            if BEFORE:
                grad_s = tl.load(
                    grad_s_ptr + (first + n) * pooled + p, mask=heard if WHOLE else heard & valid, other=0.0
                ).to(DTYPE)
            else:
                grad_s = _spread_load(
                    grad_s_ptr + (first + n) * pooled, p, heard if WHOLE else heard & valid,
                    PAIRS and SIZE > 1, SIZE, DTYPE,
                )  # fmt: skip
            active = ((actives >> n) & 1) != 0
            grad_u, before, of_threshold = back(
                grad_s, us[n], active, threshold, decay, peaks, scales, grad_v, grad_threshold,
                KIND, TO_ZERO, DETACH, MASKED, grad_threshold_ptr is not None,
            )  # fmt: skip
            here = there if WHOLE else there & valid
            grad_row = grad_y_ptr + (first + n) * pixels
            if BEFORE:
                part = grad_u.to(grad_y_ptr.dtype.element_ty).to(DTYPE)  # the neuron gives it to the pool so
                part = _share(part, SIZE, DTYPE).to(grad_y_ptr.dtype.element_ty)
                part = tl.interleave(part, part) if PAIRS else part
                for k in tl.static_range(SIZE // (2 if PAIRS else 1)):
                    r, q = (k, 0) if PAIRS else (k // ACROSS, k % ACROSS)
                    tl.store(grad_row + (at + (r * line + q * step)), part, mask=here)
            else:
                tl.store(grad_row + at, grad_u.to(grad_y_ptr.dtype.element_ty), mask=here)
            if grad_decay_ptr is not None:
                if n == 0:
                    last = start
                else:
                    last = settle(us[n - 1], ((actives >> (n - 1)) & 1) != 0, threshold, TO_ZERO, MASKED)
                grad_decay = keep(valid, grad_decay + grad_u * last, grad_decay, WHOLE)
            grad_v = keep(valid, before, grad_v, WHOLE)
            grad_threshold = keep(valid, of_threshold, grad_threshold, WHOLE)
    if grad_v0_ptr is not None:
        tl.store(grad_v0_ptr + off, grad_v, mask=inside)
    if grad_decay_ptr is not None:
        tl.store(grad_decay_ptr + off, grad_decay, mask=inside)
    if grad_threshold_ptr is not None:
        tl.store(grad_threshold_ptr + off, grad_threshold, mask=inside)
