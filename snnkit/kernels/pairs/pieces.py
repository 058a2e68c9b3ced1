"""Loops over a row of traces or sums that the kernels of pair sums share."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit.kernels.cache import piece


@piece
def start(trace0, b, n, trace):
    """trace = trace0[b]; zeros where there is none."""
    if trace0.shape[0] == 0:
        for i in range(n):
            trace[i] = 0
    else:
        for i in range(n):
            trace[i] = trace0[b, i]


@piece
def decayed(decay, n, trace):
    """trace ← decay·trace."""
    for i in range(n):
        trace[i] = decay * trace[i]


@piece
def arrived(spikes, nearest, n, trace):
    """trace ← trace + spikes; of the nearest spike, trace ← spikes where there are any."""
    if nearest:
        for i in range(n):
            trace[i] = spikes[i] if spikes[i] != 0 else trace[i]
    else:
        for i in range(n):
            trace[i] = trace[i] + spikes[i]


@piece
def add_scaled(value, source, total):
    """total ← total + value·source."""
    for i in range(total.shape[0]):
        total[i] += value * source[i]


@piece
def add_two(v, a, w, b, total):
    """total ← total + v·a + w·b, from the left."""
    for i in range(total.shape[0]):
        total[i] = total[i] + v * a[i] + w * b[i]


@piece
def add_four(va, a, vb, b, vc, c, vd, d, total):
    """total ← total + va·a + vb·b + vc·c + vd·d, from the left."""
    for i in range(total.shape[0]):
        total[i] = total[i] + va * a[i] + vb * b[i] + vc * c[i] + vd * d[i]


@piece
def leaked(decay, before, after):
    """after = decay·before."""
    for i in range(after.shape[0]):
        after[i] = decay * before[i]


@piece
def advanced(decay, before, spikes, nearest, after):
    """after = decay·before, and then the arrival of spikes."""
    if nearest:
        for i in range(after.shape[0]):
            after[i] = spikes[i] if spikes[i] != 0 else decay * before[i]
    else:
        for i in range(after.shape[0]):
            after[i] = decay * before[i] + spikes[i]


@piece
def scaled(value, source, out):
    """out = value·source."""
    for i in range(out.shape[0]):
        out[i] = value * source[i]


@piece
def collect(spikes, t, times, counts):
    """Append t to the list times[r] of each row that spikes."""
    for r in range(spikes.shape[0]):
        if spikes[r] != 0:
            times[r, counts[r]] = t
            counts[r] += 1


@piece
def add_steps(rows, b, r, times, count, history, total):
    """total += rows[t, b, r] · history[t] for the first `count` of times, in their order."""
    j = 0
    while j + 4 <= count:
        p, q, u, v = times[j], times[j + 1], times[j + 2], times[j + 3]
        add_four(
            rows[p, b, r], history[p], rows[q, b, r], history[q], rows[u, b, r], history[u], rows[v, b, r], history[v],
            total,
        )  # fmt: skip
        j += 4
    if j + 2 <= count:
        add_two(rows[times[j], b, r], history[times[j]], rows[times[j + 1], b, r], history[times[j + 1]], total)
        j += 2
    if j < count:
        add_scaled(rows[times[j], b, r], history[times[j]], total)
