"""One SpiNNaker core, plainly: neurons, rows with fixed and plastic synapses, packets in the order of the host.

For networks in which the host and the core's own neurons send the same rows, which a graph cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.rules.spinnaker import SpinnakerRule
from snnkit.graph.rules.spinnaker_stdp import PlasticRow, PostHistory, Synapse
from snnkit.graph.synapses import SpinnakerPair

Array = np.ndarray[Any, Any]


@dataclass
class CoreRow:
    """One row: `fixed` (target, word, delay in steps, receptor), and synapses that learn (delay as stored)."""

    fixed: list[tuple[int, int, int, int]] = field(default_factory=list)
    learning: list[Synapse] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class CoreTrace:
    """`spikes` and `v` [T, n]; `words` [T, S] of the synapses that learn, row after row."""

    spikes: Array
    v: Array
    words: Array


def run_core(
    neuron: SpinnakerNeuron, n: int, rows: Sequence[CoreRow], pair: SpinnakerPair, packets: Array, steps: int, own: int
) -> CoreTrace:
    """Run a core.

    Args:
        neuron: parameters [n]. rows: by number. pair: the rule of all rows that learn.
        packets: int64 [P, 2] of (step, row) in order. own: row of neuron 0's spikes; -1 for none.
    """
    rule, posts = SpinnakerRule(neuron, 1, n), PostHistory(n, pair)
    learning = [PlasticRow(r.learning, pair, neuron.shift) for r in rows]
    ring = np.zeros((1 << neuron.delay_bits, 2 * n), np.int64)
    spikes, v = np.zeros((steps, n), np.uint8), np.zeros((steps, n), np.int64)
    words = np.zeros((steps, sum(len(r.learning) for r in rows)), np.int64)
    for t in range(steps):
        fired = rule.step(ring[None, t % len(ring)], None)[0]
        ring[t % len(ring)] = 0
        spikes[t], v[t] = fired, rule.v[0]
        for i in np.flatnonzero(fired).tolist():
            posts.spike(t, i)
        due = packets[packets[:, 0] == t, 1].tolist()
        due += [own + i for i in np.flatnonzero(fired).tolist()] if own >= 0 else []

        def deliver(s: Synapse, t: int = t) -> None:
            ring[(t + s.delay) % len(ring), s.receptor * n + s.target] += s.word

        for r in due:
            learning[r].packet(t, posts, deliver)
            for target, word, delay, receptor in rows[r].fixed:
                ring[(t + delay) % len(ring), receptor * n + target] += word
        words[t] = [s.word for r in learning for s in r.synapses]
    return CoreTrace(spikes, v, words)
