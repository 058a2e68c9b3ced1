"""Pair STDP of sPyNNaker 7.4.1 in plain Python integers, one packet and one synapse after the other.

Traces are int16 in 4.11; a product of two of them is floored by 11 bits. A table gives exp(-i/tau), 0 beyond its end.

- Post spike of step t: trace = (last trace faded by LUT-) + 1, appended to the neuron's history of 15 spikes.
- Pre spike of step t (a packet whose row is read after the neurons of step t were updated): every synapse looks at the
  post spikes between the row's last packet and now, both earlier by the synapse's own delay where back-propagation is
  on. For each later than the last packet: potentiation by (the row's trace faded by LUT+). Then depression by (the
  latest post trace faded by LUT-). Then the row's trace = faded + 1, and the word is delivered.
- A weight is its word shifted by the ring buffer's shift, s16.15. Additive: w + A+ * x up to wmax, w - A- * x down to
  wmin. Multiplicative: w + ((wmax - w) * A+) * x, w - ((w - wmin) * A-) * x. It is stored in 16 bits.
- A delay of 2**bits is stored as 0: such a synapse learns and delivers nothing.

Sources (SpiNNakerManchester, Apache-2.0): neural_modelling/src/neuron/plasticity/stdp/synapse_dynamics_stdp_mad_impl.c,
timing_dependence/timing_pair_impl.h, weight_dependence/, post_events.h.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import GraphError
from snnkit.graph.model import Connection, Graph
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.synapses import SpinnakerPair, SpinnakerWeightFormat

Array = np.ndarray[Any, Any]

ONE = 2048
KEPT = 15
"""Post spikes that a neuron remembers; a sixteenth place holds no spike."""


def _signed(x: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (x + half) % (2 * half) - half


def _faded(trace: int, steps: int, table: tuple[int, ...], shift: int) -> int:
    place = steps >> shift
    factor = table[place] if 0 <= place < len(table) else 0
    return _signed(trace, 16) * _signed(factor, 16) // ONE


def _times(a: int, b: int) -> int:
    return _signed(a * b // 2**15, 32)


@dataclass
class Synapse:
    """One plastic synapse: its target, delay as stored, receptor and the word that it has now."""

    target: int
    delay: int
    receptor: int
    word: int


class PostHistory:
    """Spikes of the neurons of a population with their traces."""

    def __init__(self, n: int, pair: SpinnakerPair) -> None:
        self.pair = pair
        self.events: list[deque[tuple[int, int]]] = [deque(maxlen=KEPT) for _ in range(n)]

    def spike(self, t: int, neuron: int) -> None:
        """A spike in step t."""
        mine = self.events[neuron]
        time, trace = mine[-1] if mine else (0, 0)
        faded = _faded(trace, t - time, self.pair.minus, self.pair.shifts[1])
        mine.append((t, _signed(faded + ONE, 16)))


class PlasticRow:
    """The plastic synapses of one source on one core."""

    def __init__(self, synapses: list[Synapse], pair: SpinnakerPair, shift: tuple[int, int]) -> None:
        self.synapses, self.pair, self.shift = synapses, pair, shift
        self.last, self.trace = 0, 0

    def packet(self, t: int, posts: PostHistory, deliver: Callable[[Synapse], None]) -> None:
        """A packet of step t: all synapses learn, then deliver their new words."""
        for s in self.synapses:
            self._learn(t, s, posts)
            if s.delay:
                deliver(s)
        faded = _faded(self.trace, t - self.last, self.pair.plus, self.pair.shifts[0])
        self.last, self.trace = t, _signed(faded + ONE, 16)

    def _learn(self, t: int, s: Synapse, posts: PostHistory) -> None:
        pair = self.pair
        late = s.delay if pair.back_propagation else 0
        least, most, up, down = pair.limits[s.receptor]
        w = _signed(s.word << self.shift[s.receptor], 32)
        seen = [(time, trace) for time, trace in posts.events[s.target] if time <= max(t - late, 0)]
        for time, _ in seen:
            since = time + late - self.last
            if time > max(self.last - late, 0) and since > 0:
                x = _faded(self.trace, since, pair.plus, pair.shifts[0]) * 16
                if pair.multiplicative:
                    w = _signed(w + _times(_times(_signed(most - w, 32), up), x), 32)
                else:
                    w = min(_signed(w + _times(up, x), 32), most)
        if seen:
            time, trace = seen[-1]
            x = _faded(trace, t - time - late, pair.minus, pair.shifts[1]) * 16
            if pair.multiplicative:
                w = _signed(w - _times(_times(_signed(w - least, 32), down), x), 32)
            else:
                w = max(_signed(w - _times(down, x), 32), least)
        s.word = (w >> self.shift[s.receptor]) % 2**16


class Learning:
    """All plastic connections of a graph, for a batch: what arrives, and what a step's spikes change."""

    def __init__(self, graph: Graph, batch: int) -> None:
        self.batch = batch
        self.sizes = {p.name: p.n for p in graph.populations}
        self.connections = [c for c in graph.connections if plastic(c)]
        self.posts: dict[str, list[PostHistory]] = {}
        self.rows: dict[str, list[list[PlasticRow]]] = {}
        self.coming: dict[tuple[str, int], Array] = defaultdict(lambda: np.zeros(0, np.int64))
        for c in self.connections:
            pair = c.format.pair if isinstance(c.format, SpinnakerWeightFormat) else None
            assert pair is not None
            neuron = graph.node(c.dst).neuron  # type: ignore[union-attr]
            if not isinstance(neuron, SpinnakerNeuron) or neuron.model != "exp":
                raise GraphError(f"connection {c.name!r} learns, but {c.dst!r} is no IF_curr_exp")
            if c.dst in self.posts and self.posts[c.dst][0].pair != pair:
                raise GraphError(f"the plastic connections to {c.dst!r} have different rules; a core has one")
            self.posts.setdefault(c.dst, [PostHistory(self.sizes[c.dst], pair) for _ in range(batch)])
            self.rows[c.name] = [_rows(c, pair, neuron) for _ in range(batch)]

    def arriving(self, name: str, t: int) -> Array | None:
        """Words [B, 2 n] that plastic synapses bring to a population in step t, excitatory ones first."""
        return self.coming.pop((name, t), None)

    def after(self, t: int, spikes: Mapping[str, Array]) -> None:
        """The spikes of step t by source [B, n], once all neurons were updated."""
        for name, posts in self.posts.items():
            for b, history in enumerate(posts):
                for neuron in np.flatnonzero(spikes[name][b]).tolist():
                    history.spike(t, neuron)
        for c in self.connections:
            for b in range(self.batch) if c.src in spikes else ():
                for source in np.flatnonzero(spikes[c.src][b]).tolist():
                    for _ in range(int(spikes[c.src][b, source])):
                        self.rows[c.name][b][source].packet(t, self.posts[c.dst][b], self._queue(c.dst, b, t))

    def _queue(self, name: str, b: int, t: int) -> Callable[[Synapse], None]:
        n = self.sizes[name]

        def deliver(s: Synapse) -> None:
            when = (name, t + s.delay)
            if when not in self.coming:
                self.coming[when] = np.zeros((self.batch, 2 * n), np.int64)
            self.coming[when][b, s.receptor * n + s.target] += s.word

        return deliver


def plastic(c: Connection) -> bool:
    """Whether a connection learns."""
    return isinstance(c.format, SpinnakerWeightFormat) and c.format.pair is not None


def _rows(c: Connection, pair: SpinnakerPair, neuron: SpinnakerNeuron) -> list[PlasticRow]:
    """One row per source; the sign of a weight, or the format, says the receptor. Explicit zeros are synapses."""
    fmt = c.format
    assert isinstance(fmt, SpinnakerWeightFormat)
    matrix = c.synapse.matrix().tocoo()
    made: list[list[Synapse]] = [[] for _ in range(matrix.shape[1])]
    for target, source, weight in zip(matrix.row.tolist(), matrix.col.tolist(), matrix.data.tolist()):
        delay = int(c.delay[target, source]) if isinstance(c.delay, np.ndarray) else int(c.delay)
        receptor = int(weight < 0) if fmt.receptor is None else fmt.receptor
        made[source].append(Synapse(target, delay % (1 << neuron.delay_bits), receptor, abs(int(weight))))
    return [PlasticRow(synapses, pair, neuron.shift) for synapses in made]
