"""A dense layer of LIF neurons that learns at every step, on the CPU: synapse, neuron and pair rule in one pass.

A neuron's weights depend on its own spikes and on the inputs' only, so each block of neurons runs through the whole
sequence by itself, its weights in the cache, those of one input side by side, so that a spike that arrives adds a row
of them, and depression is a row too. Potentiation comes in rows the other way and is turned round at the end of a step.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

import numpy as np

from snnkit.kernels.cache import kernel, piece
from snnkit.kernels.pairs.pieces import add_four, add_scaled, add_two, arrived, decayed, scaled, start
from snnkit.kernels.rows import fill, fire, fire_refractory


@kernel
def count(first, last, block, spikes, counts):
    """counts[r]: how many of spikes [R, N] in row r are not 0."""
    for r in range(first * block, min(last * block, spikes.shape[0])):
        total = 0
        for j in range(spikes.shape[1]):
            total += spikes[r, j] != 0
        counts[r] = total


@kernel
def find(first, last, block, spikes, offsets, index, value):
    """index and value [E]: the inputs that spike and what they send, of row r from offsets[r] on."""
    for r in range(first * block, min(last * block, spikes.shape[0])):
        e = offsets[r]
        for j in range(spikes.shape[1]):
            if spikes[r, j] != 0:
                index[e] = j
                value[e] = spikes[r, j]
                e += 1


@piece
def arrive_events(first, last, index, value, nearest, trace):
    """As `cpu.arrived`, for the spikes first … last of the lists."""
    for e in range(first, last):
        trace[index[e]] = value[e] if nearest else trace[index[e]] + value[e]


@piece
def add_samples(spikes, o, valid, x, samples, total):
    """total = Σ_b spikes[b, o]·x[b] over valid samples, in their order; `samples` is room for a list of them."""
    n = 0
    for b in range(spikes.shape[0]):
        if spikes[b, o] != 0 and valid[b]:
            samples[n] = b
            n += 1
    if n == 0:
        for i in range(total.shape[0]):
            total[i] = 0
        return
    scaled(spikes[samples[0], o], x[samples[0]], total)
    j = 1
    while j + 4 <= n:
        p, q, u, v = samples[j], samples[j + 1], samples[j + 2], samples[j + 3]
        add_four(spikes[p, o], x[p], spikes[q, o], x[q], spikes[u, o], x[u], spikes[v, o], x[v], total)
        j += 4
    if j + 2 <= n:
        p, q = samples[j], samples[j + 1]
        add_two(spikes[p, o], x[p], spikes[q, o], x[q], total)
        j += 2
    if j < n:
        add_scaled(spikes[samples[j], o], x[samples[j]], total)


TILE = 32
"""Inputs whose weights are changed at a time, so that those of a block of neurons stay in the first-level cache."""


@piece
def fallen(down, fall, low, high, weight):
    """weight ← weight − down·fall within low … high, and fall ← 0."""
    for o in range(weight.shape[0]):
        w = weight[o] - down * fall[o]
        w = low if w < low else w
        weight[o] = high if w > high else w
        fall[o] = 0


@piece
def apply_hard(up, down, rise, fall, low, high, n, weight):
    """weight ← weight + up·rise − down·fall within low … high, and fall ← 0."""
    for first in range(0, weight.shape[0], TILE):
        last = min(first + TILE, weight.shape[0])
        for o in range(n):
            for j in range(first, last):
                weight[j, o] += up * rise[o, j]
        for j in range(first, last):
            fallen(down, fall[j], low, high, weight[j])


@piece
def apply_soft(up, down, rise, fall, low, high, mu, n, weight):
    """As `apply_hard`, the changes multiplied by the distance to the border, to the power of mu."""
    for j in range(weight.shape[0]):
        for o in range(n):
            w = weight[j, o]
            above, below = max(high - w, w - w), max(w - low, w - w)
            if mu != 1:
                above, below = above**mu, below**mu
            w += above * up * rise[o, j] - below * down * fall[j, o]
            weight[j, o] = min(max(w, low), high)
            fall[j, o] = 0


@kernel
def dense_lif(
    first,
    last,
    block,
    offsets,
    index,
    value,
    weight,
    bias,
    decay,
    threshold,
    to_zero,
    refractory,
    v,
    wait,
    pre0,
    post0,
    numbers,
    nearest,
    potentiate_same,
    depress_same,
    soft,
    lengths,
    current,
    out,
    pre_end,
    post_end,
):
    """Runs the layer and changes `weight` [O, N], v [B, O] and wait [B, O] (empty without refractoriness) in place.

    offsets [T·B + 1], index and value: the input's spikes. bias [O] or empty; pre0, post0: traces before, empty for
    zeros. numbers: decay_pre, decay_post, up, down, low, high, mu. lengths [B], empty for T: later steps do not learn.
    current, out [T, B, O]: the neurons' input and spikes.
    """
    steps, batch, outputs = out.shape
    inputs = weight.shape[1]
    decay_pre, decay_post, up, down, low, high, mu = numbers
    one = weight.dtype.type(1)
    w, fall = np.empty((inputs, block), weight.dtype), np.empty((inputs, block), weight.dtype)
    rise = np.empty((block, inputs), weight.dtype)
    x, y = np.empty((batch, inputs), weight.dtype), np.empty((batch, block), weight.dtype)
    a, th = np.empty(block, weight.dtype), np.empty(block, weight.dtype)
    valid, samples = np.empty(batch, np.bool_), np.empty(batch, np.int64)
    for k in range(first, last):
        lo = k * block
        n = min(block, outputs - lo)
        fill(decay, 1, lo, n, a)
        fill(threshold, 1, lo, n, th)
        for o in range(n):
            for j in range(inputs):
                w[j, o] = weight[lo + o, j]
        w[:, n:] = 0
        fall[:] = 0
        for b in range(batch):
            start(pre0, b, inputs, x[b])
            for o in range(n):
                y[b, o] = post0[b, lo + o] if post0.shape[0] > 0 else 0
        for t in range(steps):
            s = out[t, :, lo : lo + n]
            for b in range(batch):
                begin, end = offsets[t * batch + b], offsets[t * batch + b + 1]
                i = current[t, b, lo : lo + n]
                for o in range(n):
                    i[o] = bias[lo + o] if bias.shape[0] > 0 else 0
                for e in range(begin, end):
                    add_scaled(value[e], w[index[e]], i)
                if refractory > 0:
                    fire_refractory(
                        i, a, th, to_zero, refractory, v[b, lo : lo + n], wait[b, lo : lo + n], s[b], n, one
                    )
                else:
                    fire(i, a, th, to_zero, v[b, lo : lo + n], s[b], n, one)
                valid[b] = lengths.shape[0] == 0 or t < lengths[b]
                if valid[b]:
                    decayed(decay_pre, inputs, x[b])
                    if potentiate_same:
                        arrive_events(begin, end, index, value, nearest, x[b])
                    decayed(decay_post, n, y[b])
                    if depress_same:
                        arrived(s[b], nearest, n, y[b])
                    for e in range(begin, end):
                        add_scaled(value[e], y[b], fall[index[e], :n])
                    if not depress_same:
                        arrived(s[b], nearest, n, y[b])
            for o in range(n):
                add_samples(s, o, valid, x, samples, rise[o])
            if not potentiate_same:
                for b in range(batch):
                    if valid[b]:
                        arrive_events(offsets[t * batch + b], offsets[t * batch + b + 1], index, value, nearest, x[b])
            if soft:
                apply_soft(up, down, rise, fall, low, high, mu, n, w)
            else:
                apply_hard(up, down, rise, fall, low, high, n, w)
        for o in range(n):
            for j in range(inputs):
                weight[lo + o, j] = w[j, o]
        for b in range(batch):
            for o in range(n):
                post_end[b, lo + o] = y[b, o]
            if lo == 0:
                for j in range(inputs):
                    pre_end[b, j] = x[b, j]
