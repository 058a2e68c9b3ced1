"""Pair sums on the CPU: traces live in the cache and are never stored, and only spikes cause work.

A spike of a neuron adds the whole trace of the other side to its row of sums. At the usual few per cent of activity
this is some ten times less arithmetic than the matrix product. Each row of sums (dense), or each part of the batch
(convolution), is summed by one thread in the order of samples and steps, whatever the number of threads.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import numpy as np

from snnkit.kernels.cache import kernel, row


@row
def start(trace0, b, n, trace):
    """trace = trace0[b]; zeros where there is none."""
    if trace0.shape[0] == 0:
        for i in range(n):
            trace[i] = 0
    else:
        for i in range(n):
            trace[i] = trace0[b, i]


@row
def decayed(decay, n, trace):
    """trace ← decay·trace."""
    for i in range(n):
        trace[i] = decay * trace[i]


@row
def arrived(spikes, nearest, n, trace):
    """trace ← trace + spikes; of the nearest spike, trace ← spikes where there are any."""
    if nearest:
        for i in range(n):
            trace[i] = spikes[i] if spikes[i] != 0 else trace[i]
    else:
        for i in range(n):
            trace[i] = trace[i] + spikes[i]


@row
def add_scaled(value, source, total):
    """total ← total + value·source."""
    for i in range(total.shape[0]):
        total[i] += value * source[i]


@kernel
def dense(first, last, block, rows, columns, trace0, decay, nearest, same, lengths, out, trace_end):
    """out[r] = Σ_b Σ_t rows[t, b, r] · trace[t, b], the trace of `columns`; rows [T, B, R], columns [T, B, N].

    same: the trace includes the spikes of its step. trace0 and trace_end [B, N]: before and after; trace0 empty for
    zeros. lengths [B], empty for T.
    """
    steps, batch, width = rows.shape
    n = columns.shape[2]
    trace = np.empty(n, out.dtype)
    for k in range(first, last):
        lo = k * block
        hi = min(lo + block, width)
        out[lo:hi] = 0
        for b in range(batch):
            start(trace0, b, n, trace)
            for t in range(lengths[b] if lengths.shape[0] > 0 else steps):
                decayed(decay, n, trace)
                if same:
                    arrived(columns[t, b], nearest, n, trace)
                for r in range(lo, hi):
                    s = rows[t, b, r]
                    if s != 0:
                        add_scaled(s, trace, out[r])
                if not same:
                    arrived(columns[t, b], nearest, n, trace)
            if lo == 0:
                for i in range(n):
                    trace_end[b, i] = trace[i]


@row
def heard_by(size, kernel_size, stride, dilation, out_size, table):
    """table[i·kernel + u]: the output that hears input i through place u of the kernel along one axis; −1 for none."""
    for i in range(size):
        for u in range(kernel_size):
            q = i - u * dilation
            table[i * kernel_size + u] = q // stride if q >= 0 and q % stride == 0 and q // stride < out_size else -1


@row
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


@row
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
