"""Rows against the plain sum: any mixture of lists, delays, scales and bases."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.emulator.delivery import active, deliver_all
from snnkit.emulator.rows import Lists, build, ragged


def test_ragged():
    assert ragged(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert ragged(np.zeros(0, int), np.zeros(0, int)).tolist() == []


def test_active():
    rng = np.random.default_rng(0)
    for n in (0, 1, 7, 8, 9, 63, 64, 200):
        row = (rng.integers(0, 256, n) * (rng.random(n) < 0.3)).astype(np.uint8)
        found = np.zeros(n + n // 8 + 10, np.int64)
        k = active(row, 100, found)
        assert found[:k].tolist() == (np.flatnonzero(row) + 100).tolist()
    for value in (1, 2, 4, 8, 16, 32, 64, 128, 255):
        row = np.full(16, value, np.uint8)
        found = np.zeros(40, np.int64)
        assert active(row, 0, found) == 16


@settings(max_examples=120)
@given(st.integers(0, 2**32 - 1))
def test_delivery_is_the_plain_sum(seed):
    rng = np.random.default_rng(seed)
    n_targets, n_sources, n_lists = int(rng.integers(1, 80)), int(rng.integers(1, 25)), int(rng.integers(1, 12))
    parts, length, reach = [], [], []
    style = rng.integers(0, 3)
    for _ in range(n_lists):
        n = int(rng.integers(1, n_targets + 1))
        dense = rng.random() < 0.6
        target = np.arange(n) if dense else rng.integers(0, n_targets, n)
        delay = np.full(n, rng.integers(0, 3)) if rng.random() < 0.5 else rng.integers(0, 4, n)
        scale = (7, int(rng.integers(0, 15)), 0)[style]
        weight = rng.integers(-128, 128, n) << scale if style < 2 else rng.integers(-(2**21), 2**21, n)
        parts.append((weight, target, delay))
        length.append(n)
        reach.append(int(target.max()) + 1)
    weight, target, delay = (np.concatenate(x) for x in zip(*parts))
    lists = Lists(np.concatenate([[0], np.cumsum(length)]), weight, target.astype(np.int32), delay.astype(np.int32))
    n_edges = int(rng.integers(0, 3 * n_sources))
    source = rng.integers(0, n_sources, n_edges)
    which = rng.integers(0, n_lists, n_edges)
    base = np.array([rng.integers(0, n_targets - reach[k] + 1) for k in which], np.int64)
    rows = build(lists, source, which, base, n_sources)

    spikes = np.flatnonzero(rng.random(n_sources) < 0.7)
    counts = rng.integers(1, 5, len(spikes)).astype(np.uint8) if rng.random() < 0.5 else np.zeros(0, np.uint8)
    ring = np.zeros((rows.depth, max(rows.width, n_targets)), np.int64)
    deliver_all(spikes, counts, 2, *rows.arguments(), ring, np.empty(8, np.int64), np.empty(ring.shape[1], np.int16))
    expected = np.zeros((rows.depth, n_targets), np.int64)
    for k, s in enumerate(spikes):
        for e in np.flatnonzero(source == s):
            w, t, d = parts[which[e]]
            times = int(counts[k]) if len(counts) else 1
            np.add.at(expected, ((2 + d) % rows.depth, base[e] + t), w * times)
    np.testing.assert_array_equal(ring[:, :n_targets] << rows.unit, expected)
    assert not ring[:, n_targets:].any()
    assert rows.events.tolist() == [
        sum(length[which[e]] for e in np.flatnonzero(source == s)) for s in range(n_sources)
    ]
    most = max(1, int(counts.max(initial=1)))
    assert np.abs(ring).max(initial=0) <= rows.bound * most
