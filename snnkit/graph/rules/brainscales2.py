"""Whole networks of BrainScaleS-2 neurons in continuous time, in plain numpy: the second opinion beside the emulator.

Between events u = v - leak follows du/dt = -u/tau_m + Ie e^(-t/tau_e) - Ii e^(-t/tau_i) exactly; all neurons move
together over cells of a part of a step, cut where a neuron reaches its threshold. In a cell a crossing is seen by v at
its end, or, where v has turned, at its turning point; a bracketed iteration finds its time. A spike acts at once, also
on other layers. Times in us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit.graph.model import Graph
from snnkit.graph.neurons import BrainScales2Neuron

Array = np.ndarray[Any, Any]
CELLS = 8
"""Cells of a step."""
ROUNDS = 60
NEAR = 1e-9
"""us: an iteration ends with a step smaller than this."""
REMEMBERED = 3
CODE_MAX = 255
PICO = 1e-6
"""us of a ps, codes of a register's unit."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a network did.

    Attributes:
        times: per sample, (time in us, neuron over all populations in their order) of each spike, by time.
        codes: what the ADC reads of v at the end of every step, int64 [ticks, B, N].
    """

    times: list[list[tuple[float, int]]]
    codes: Array


_MEMORY: dict[bytes, Run] = {}


class _Cells:
    """State of all neurons [B, N] and how it moves."""

    def __init__(self, graph: Graph, batch: int) -> None:
        neurons = [p.neuron for p in graph.populations]
        assert all(isinstance(n, BrainScales2Neuron) for n in neurons)

        def joined(key: str) -> Array:
            return np.concatenate([getattr(n, key).astype(np.float64) * PICO for n in neurons])

        self.tm, self.te, self.ti = joined("tau_mem"), joined("tau_syn_e"), joined("tau_syn_i")
        self.leak, self.reset, self.gain, self.hold_for = (
            joined("v_leak"),
            joined("v_reset"),
            joined("gain"),
            joined("t_hold"),
        )
        fires = np.concatenate([np.full(p.n, p.neuron.fires) for p in graph.populations])  # type: ignore[union-attr]
        self.level = np.where(fires, joined("v_thresh"), np.inf)
        n = len(self.tm)
        self.v = np.tile(self.reset, (batch, 1))
        self.ie, self.ii = np.zeros((batch, n)), np.zeros((batch, n))
        self.free = np.zeros((batch, n))
        self.now = np.zeros(batch)

    def after(self, s: Array, at: Any = ...) -> tuple[Array, Array, Array, Array]:
        """(v, its slope, Ie, Ii) of neurons `at` a time s later, of which they are held for the first part."""
        b = at[0] if isinstance(at, tuple) else np.arange(len(self.now))[:, None]
        n = at[1] if isinstance(at, tuple) else slice(None)
        tm, te, ti, leak = self.tm[n], self.te[n], self.ti[n], self.leak[n]
        held = np.clip(self.free[at] - self.now[b], 0, s)
        moved = s - held
        e, h = self.ie[at] * np.exp(-held / te), self.ii[at] * np.exp(-held / ti)
        m, de, dh = np.exp(-moved / tm), np.exp(-moved / te), np.exp(-moved / ti)
        u = (self.v[at] - leak) * m + e * _between(moved, tm, te, m, de) - h * _between(moved, tm, ti, m, dh)
        return u + leak, e * de - h * dh - u / tm, e * de, h * dh

    def crossings(self, length: Array) -> tuple[Array, Array, Array]:
        """(sample, neuron, time from now) of all that reach their thresholds within length [B], if left alone."""
        s = np.broadcast_to(length[:, None], self.v.shape)
        v, slope, _, _ = self.after(s)
        held = np.clip(self.free - self.now[:, None], 0, s)
        awake = held < s
        start = self.ie * np.exp(-held / self.te) - self.ii * np.exp(-held / self.ti) - (self.v - self.leak) / self.tm
        reach = np.maximum(self.v, v) + np.maximum(start, 0) * s >= self.level
        over = awake & (v >= self.level)
        turned = awake & ~over & (start > 0) & (slope < 0) & reach
        b, n = np.nonzero(over | turned)
        if not len(b):
            return b, n, np.zeros(0)
        low, high = held[b, n], s[b, n].copy()
        bend = turned[b, n]
        if bend.any():
            high[bend] = self._turn(b[bend], n[bend], low[bend], high[bend])
            keep = ~bend | (self.after(high, (b, n))[0] >= self.level[n])
            b, n, low, high = b[keep], n[keep], low[keep], high[keep]
        return b, n, self._root(b, n, low, high)

    def _turn(self, b: Array, n: Array, low: Array, high: Array) -> Array:
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            rising = self.after(middle, (b, n))[1] > 0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        return high

    def _root(self, b: Array, n: Array, low: Array, high: Array) -> Array:
        """Where v rises to the threshold: below it at low, not below it at high. Newton's steps, halving where one
        leaves the bracket."""
        level = self.level[n]
        above = self.after(low, (b, n))[0] >= level  # from the begin
        found = np.where(above, low, high)
        left = np.flatnonzero(~above)
        s = (low + high) / 2
        for _ in range(ROUNDS):
            if not len(left):
                break
            at = (b[left], n[left])
            v, slope, _, _ = self.after(s[left], at)
            f = v - level[left]
            low[left], high[left] = np.where(f < 0, s[left], low[left]), np.where(f < 0, high[left], s[left])
            with np.errstate(all="ignore"):
                new = s[left] - f / slope
            inside = (new > low[left]) & (new < high[left])
            new = np.where(inside, new, (low[left] + high[left]) / 2)
            done = np.abs(new - s[left]) < NEAR
            s[left] = found[left] = new
            left = left[~done]
        return found

    def move(self, length: Array) -> None:
        """All neurons of every sample by its length [B]."""
        v, _, e, h = self.after(np.broadcast_to(length[:, None], self.v.shape))
        held = self.free >= (self.now + length)[:, None]
        self.v, self.ie, self.ii = np.where(held, self.v, v), e, h
        self.now = self.now + length


def _between(s: Array, tm: Array, tau: Array, m: Array, d: Array) -> Array:
    """What a unit current leaves on the membrane after s: (d - m)/(1/tm - 1/tau), and its limit for equal constants."""
    rate = 1 / tm - 1 / tau
    near = np.abs(rate) * s < 1e-4
    with np.errstate(all="ignore"):
        far = (d - m) / rate
    z = rate * s
    series = s * m * (1 + z / 2 + z * z / 6 + z * z * z / 24)
    return np.where(near, series, far)


def run_network(graph: Graph, rasters: Mapping[str, Array], ticks: int, batch: int) -> Run:
    """Run a graph whose populations are all BrainScales2Neuron. rasters: [T', B, n] by input, gates included.

    The last few runs are remembered: a conformance test or an export asks for the same one several times.
    """
    key = _key(graph, rasters, ticks, batch)
    if key not in _MEMORY:
        while len(_MEMORY) >= REMEMBERED:
            del _MEMORY[next(iter(_MEMORY))]
        _MEMORY[key] = _run(graph, rasters, ticks, batch)
    return _MEMORY[key]


def _key(graph: Graph, rasters: Mapping[str, Array], ticks: int, batch: int) -> bytes:
    """A digest of everything that a run depends on."""
    h = hashlib.sha256(repr((ticks, batch, [(p.name, p.n) for p in graph.populations])).encode())
    for p in graph.populations:
        for name, value in sorted(vars(p.neuron).items()):
            h.update(name.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))
    for c in graph.connections:
        m = sp.csr_matrix(c.synapse.matrix())
        h.update(repr((c.src, c.dst, m.shape, np.asarray(c.delay).tolist())).encode())
        for part in (m.data, m.indices, m.indptr):
            h.update(repr(part.dtype).encode() + part.tobytes())
    for name, raster in sorted(rasters.items()):
        h.update(repr((name, raster.shape, raster.dtype)).encode() + np.ascontiguousarray(raster).tobytes())
    return h.digest()


def _run(graph: Graph, rasters: Mapping[str, Array], ticks: int, batch: int) -> Run:
    cells = _Cells(graph, batch)
    first = dict(zip([p.name for p in graph.populations], np.cumsum([0, *(p.n for p in graph.populations)])))
    total = len(cells.tm)
    inputs: list[tuple[str, int, sp.csr_matrix]] = []
    own = sp.lil_matrix((total, total))
    for c in graph.connections:
        matrix = sp.csr_matrix(c.synapse.matrix(), dtype=np.float64)
        at = slice(first[c.dst], first[c.dst] + matrix.shape[0])
        if c.src in first:
            own[at, first[c.src] : first[c.src] + matrix.shape[1]] += matrix
        else:
            wide = sp.lil_matrix((total, matrix.shape[1]))
            wide[at] = matrix
            inputs.append((c.src, int(np.max(c.delay, initial=0)), sp.csr_matrix(wide)))
    split = [(m.maximum(0).T.tocsr(), (-m).maximum(0).T.tocsr()) for _, _, m in inputs]
    up, down = sp.csr_matrix(own).maximum(0).T.toarray(), (-sp.csr_matrix(own)).maximum(0).T.toarray()
    step = graph.populations[0].neuron.step * PICO  # type: ignore[union-attr]
    out = Run([[] for _ in range(batch)], np.zeros((ticks, batch, total), np.int64))
    for t in range(ticks):
        for (name, delay, _), (more, less) in zip(inputs, split):
            row = t - delay
            if 0 <= row < len(rasters[name]):
                x = sp.csr_matrix(rasters[name][row].astype(np.float64))
                cells.ie += cells.gain * (x @ more).toarray()
                cells.ii += cells.gain * (x @ less).toarray()
        for k in range(CELLS):
            _cell(cells, (t + (k + 1) / CELLS) * step, up, down, out)
        out.codes[t] = np.clip(np.floor(cells.v + 0.5), 0, CODE_MAX)
    return out


def _cell(cells: _Cells, end: float, up: Array, down: Array, out: Run) -> None:
    """Move all samples to `end`; each round, every sample goes to its next spike or to the end."""
    while True:
        length = np.maximum(end - cells.now, 0)
        b, n, s = cells.crossings(length)
        go = length.copy()
        np.minimum.at(go, b, s)
        cells.move(go)
        if not len(b):
            cells.now[:] = end
            return
        for sample in np.unique(b):
            mine = np.flatnonzero((b == sample) & (s == go[sample]))
            neuron = int(n[mine[0]])
            out.times[sample].append((float(cells.now[sample]), neuron))
            cells.v[sample, neuron] = cells.reset[neuron]
            cells.free[sample, neuron] = cells.now[sample] + cells.hold_for[neuron]
            cells.ie[sample] += cells.gain * up[neuron]
            cells.ii[sample] += cells.gain * down[neuron]
