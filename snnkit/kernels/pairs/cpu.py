"""Pair sums on the CPU: traces live in the cache and are never stored, and only spikes cause work.

A spike of a neuron adds the whole trace of the other side to its row of sums. At the usual few per cent of activity
this is some ten times less arithmetic than the matrix product. Each row of sums (dense), or each part of the batch
(convolution), is summed by one thread in the order of samples and steps, whatever the number of threads.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import numpy as np

from snnkit.kernels.cache import kernel, piece
from snnkit.kernels.pairs.pieces import (
    add_scaled,
    add_steps,
    advanced,
    arrived,
    collect,
    decayed,
    leaked,
    scaled,
    start,
)


@kernel
def dense(first, last, block, rows, columns, trace0, decay, nearest, same, lengths, chunk, out, trace_end):
    """out[r] = Σ_b Σ_t rows[t, b, r] · trace[t, b], the trace of `columns`; rows [T, B, R], columns [T, B, N].

    same: the trace includes the spikes of its step. trace0 and trace_end [B, N]: before and after; trace0 empty for
    zeros. lengths [B], empty for T. The trace is kept for `chunk` steps, then each row adds up those that it needs,
    several at a time, so that it is itself read and written less often.
    """
    steps, batch, width = rows.shape
    n = columns.shape[2]
    trace = np.empty(n, out.dtype)
    history = np.empty((chunk, n), out.dtype)
    times = np.empty((block, chunk), np.int32)
    counts = np.empty(block, np.int64)
    for k in range(first, last):
        lo = k * block
        m = min(block, width - lo)
        out[lo : lo + m] = 0
        for b in range(batch):
            start(trace0, b, n, trace)
            length = lengths[b] if lengths.shape[0] > 0 else steps
            for t0 in range(0, length, chunk):
                counts[:] = 0
                for t in range(min(chunk, length - t0)):
                    if same:
                        advanced(decay, trace if t == 0 else history[t - 1], columns[t0 + t, b], nearest, history[t])
                    else:
                        leaked(decay, trace, history[t])
                        advanced(decay, trace, columns[t0 + t, b], nearest, trace)
                    collect(rows[t0 + t, b, lo : lo + m], t, times, counts)
                if same:
                    for i in range(n):
                        trace[i] = history[min(chunk, length - t0) - 1, i]
                for r in range(m):
                    add_steps(rows[t0:], b, lo + r, times[r], counts[r], history, out[lo + r])
            if lo == 0:
                for i in range(n):
                    trace_end[b, i] = trace[i]


@kernel
def dense_change(
    first,
    last,
    block,
    pre,
    post,
    pre0,
    post0,
    up,
    down,
    decay_pre,
    decay_post,
    potentiate_same,
    depress_same,
    lengths,
    out,
    pre_end,
    post_end,
):
    """out[o] = up·P[o] − down·D[o] for all pairs, from the spikes of o alone; pre [T, B, N], post [T, B, O].

    A pair in which pre comes later is found from its post spike as well: by a trace of pre that runs backwards in
    time, z[t] = Σ of decay_post^(t' − t)·pre[t'] over later steps t'. So a post spike adds up·x[t] − down·z[t] to its
    row, and the many pre spikes add nothing. Traces before, [B, …], are empty for zeros.
    """
    steps, batch, n = pre.shape
    width = post.shape[2]
    history = np.empty((steps, n), out.dtype)
    x, z, y = np.empty(n, out.dtype), np.empty(n, out.dtype), np.empty(width, out.dtype)
    times = np.empty((block, steps), np.int32)
    counts = np.empty(block, np.int64)
    for k in range(first, last):
        lo = k * block
        m = min(block, width - lo)
        out[lo : lo + m] = 0
        for b in range(batch):
            length = lengths[b] if lengths.shape[0] > 0 else steps
            counts[:] = 0
            start(pre0, b, n, x)
            for t in range(length):
                if not potentiate_same:
                    scaled(up * decay_pre, x, history[t])
                advanced(decay_pre, x, pre[t, b], False, x)
                if potentiate_same:
                    scaled(up, x, history[t])
                collect(post[t, b, lo : lo + m], t, times, counts)
            for i in range(n):
                z[i] = 0
            for j in range(length):
                t = length - 1 - j
                if not depress_same:
                    add_scaled(-down * decay_post, z, history[t])
                advanced(decay_post, z, pre[t, b], False, z)
                if depress_same:
                    add_scaled(-down, z, history[t])
            for r in range(m):
                add_steps(post, b, lo + r, times[r], counts[r], history, out[lo + r])
                if post0.shape[0] > 0:
                    add_scaled(-down * decay_post * post0[b, lo + r], z, out[lo + r])
            if lo == 0:
                for i in range(n):
                    pre_end[b, i] = x[i]
                start(post0, b, width, y)
                for t in range(length):
                    advanced(decay_post, y, post[t, b], False, y)
                for i in range(width):
                    post_end[b, i] = y[i]


@piece
def heard_by(size, kernel_size, stride, dilation, out_size, table):
    """table[i·kernel + u]: the output that hears input i through place u of the kernel along one axis; −1 for none."""
    for i in range(size):
        for u in range(kernel_size):
            q = i - u * dilation
            table[i * kernel_size + u] = q // stride if q >= 0 and q % stride == 0 and q // stride < out_size else -1


@piece
def post_pairs(post, x, geometry, total):
    """total[o, u, v, c] += post[y, x, o] · trace x at (y·stride + u·dilation, …); all flat, channels last."""
    kh, kw, sy, sx, dy, dx, each, heard, channels, width, outputs, out_width = geometry
    whole = dx == 1 and each == channels  # then the pixels under a row of the kernel lie side by side
    run, runs = (kw * each, 1) if whole else (each, kw)
    size = kh * kw * each
    for p in range(post.shape[0] // outputs):
        corner = (p // out_width * sy * width + p % out_width * sx) * channels
        for o in range(outputs):
            s = post[p * outputs + o]
            if s != 0:
                first = corner + o // heard * each
                to = o * size
                for u in range(kh):
                    for v in range(runs):
                        at = first + (u * dy * width + v * dx) * channels
                        add_scaled(s, x[at : at + run], total[to : to + run])
                        to += run


@piece
def pre_pairs(pre, y, geometry, rows, columns, total):
    """total[c, u, v, o] += pre[y, x, c] · trace y of the outputs that hear that pixel through (u, v)."""
    kh, kw, _, _, _, _, each, heard, channels, width, outputs, out_width = geometry
    for p in range(pre.shape[0] // channels):
        for c in range(channels):
            s = pre[p * channels + c]
            if s != 0:
                above, left = p // width * kh, p % width * kw
                first = c // each * heard
                for u in range(kh):
                    if rows[above + u] >= 0:
                        for v in range(kw):
                            if columns[left + v] >= 0:
                                at = (rows[above + u] * out_width + columns[left + v]) * outputs + first
                                to = ((c * kh + u) * kw + v) * heard
                                add_scaled(s, y[at : at + heard], total[to : to + heard])


@kernel
def convolution(
    first,
    last,
    block,
    pre,
    post,
    pre0,
    post0,
    decay_pre,
    decay_post,
    nearest,
    potentiate_same,
    depress_same,
    geometry,
    lengths,
    potentiation,
    depression,
    pre_end,
    post_end,
):
    """Sums of each part of `block` samples: potentiation [parts, O·kh·kw·C], depression [parts, C·kh·kw·O].

    pre [T, B, H·W·C] with its borders, post [T, B, H'·W'·O], traces likewise [B, …], pre0 and post0 empty for zeros.
    With groups, the second number of channels in each sum is that of one group.
    """
    steps, batch, n = pre.shape
    m = post.shape[2]
    kh, kw, sy, sx, dy, dx, _, _, channels, width, outputs, out_width = geometry
    height, out_height = n // (channels * width), m // (outputs * out_width)
    rows, columns = np.empty(height * kh, np.int64), np.empty(width * kw, np.int64)
    heard_by(height, kh, sy, dy, out_height, rows)
    heard_by(width, kw, sx, dx, out_width, columns)
    x, y = np.empty(n, pre.dtype), np.empty(m, pre.dtype)
    for k in range(first, last):
        potentiation[k] = 0
        depression[k] = 0
        for b in range(k * block, min((k + 1) * block, batch)):
            start(pre0, b, n, x)
            start(post0, b, m, y)
            for t in range(lengths[b] if lengths.shape[0] > 0 else steps):
                decayed(decay_pre, n, x)
                decayed(decay_post, m, y)
                if potentiate_same:
                    arrived(pre[t, b], nearest, n, x)
                if depress_same:
                    arrived(post[t, b], nearest, m, y)
                post_pairs(post[t, b], x, geometry, potentiation[k])
                pre_pairs(pre[t, b], y, geometry, rows, columns, depression[k])
                if not potentiate_same:
                    arrived(pre[t, b], nearest, n, x)
                if not depress_same:
                    arrived(post[t, b], nearest, m, y)
            for i in range(n):
                pre_end[b, i] = x[i]
            for i in range(m):
                post_end[b, i] = y[i]
