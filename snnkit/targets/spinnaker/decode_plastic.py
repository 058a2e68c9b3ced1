"""Plastic rows of all packets, with the learning rule of each core, as the kernel walks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError
from snnkit.targets.images import FIX
from snnkit.targets.spinnaker import spec
from snnkit.targets.spinnaker.decode_core import Core, fields, headers
from snnkit.targets.spinnaker.pair_rule import read_rule

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Plastic:
    """Plastic rows: `ptr` int64 [S + 1] and `rows` list the rows of a source; row r holds synapses `at[r]`..`at[r+1]`.

    neuron: global target. entry: ring entry. delay: 0 if stored so. rule int64 [R]: position in `rules` of the row's
    core. lut_plus, lut_minus int64 [K, L], size int64 [K, 2]. limits int64 [K, 2, 4] (wmin, wmax, A+, A-) per receptor;
    backprop, multiplicative [K]. shift [S], receptor [S]. word: where row and core are in memory, for `words_after`.
    """

    ptr: Array
    rows: Array
    at: Array
    neuron: Array
    entry: Array
    receptor: Array
    delay: Array
    shift: Array
    rule: Array
    luts: Array
    sizes: Array
    limits: Array
    flags: Array
    weights: Array
    last_time: Array
    last_trace: Array
    rule_of_neuron: Array
    place: Array
    core: Array

    def arguments(self) -> tuple[Array, ...]:
        """The constant arrays in the order of the kernel."""
        return (
            self.ptr, self.rows, self.at, self.neuron, self.entry, self.receptor, self.delay, self.shift, self.rule,
            self.luts, self.sizes, self.limits, self.flags, self.weights, self.last_time, self.last_trace,
            self.rule_of_neuron,
        )  # fmt: skip

    def states(self, batch: int, n: int) -> tuple[Array, ...]:
        """Weights, times and traces of rows, and the post events of neurons, per sample, before the first step."""
        some = len(self.rows) > 0
        neurons = n if some else 0
        traces = np.stack([self.last_time, self.last_trace], 1)
        return (
            np.repeat(self.weights[None], batch, 0), np.repeat(traces[None], batch, 0),
            np.zeros((batch, neurons, spec.POST_EVENTS, 2), np.int64), np.zeros((batch, neurons), np.int64),
        )  # fmt: skip

    def record(self, ticks: int) -> tuple[Array, Array]:
        """Room for weights and row histories after every step."""
        return np.zeros((ticks, len(self.neuron)), np.int64), np.zeros((ticks, len(self.at) - 1, 2), np.int64)

    def words_after(self, history: tuple[Array, Array], cores: Sequence[Core]) -> dict[str, Array]:
        """`matrix.<core>` uint32 [ticks, words]: the synaptic matrix of each core after every step."""
        weights, rows = history
        out: dict[str, Array] = {}
        for core in cores:
            memory = np.repeat(core.matrix[None].astype(np.int64), len(weights), 0)
            for r in np.flatnonzero(self.core == core.number):
                at, mine = int(self.place[r]) + 1, slice(self.at[r], self.at[r + 1])
                memory[:, at] = rows[:, r, 0] & 0xFFFFFFFF
                memory[:, at + 1] = (memory[:, at + 1] & 0xFFFF0000) | (rows[:, r, 1] & 0xFFFF)
                n = mine.stop - mine.start
                memory[:, at + 2 : at + 2 + (n + 1) // 2] = 0
                for k in range(n):
                    memory[:, at + 2 + k // 2] |= (weights[:, mine.start + k] & 0xFFFF) << (16 * (k % 2))
            out[f"matrix.{core.number}"] = memory.astype(np.uint32)
        return out


def build_plastic(cores: Mapping[int, Core], source: Array, core_of: Array, start: Array, n_sources: int) -> Plastic:
    rule_of = {number: k for k, number in enumerate(n for n, c in cores.items() if len(c.stdp))}
    rules = [read_rule(cores[n].stdp, cores[n].binary, n) for n in rule_of]
    columns: dict[str, list[Any]] = {k: [] for k in ("neuron", "entry", "receptor", "delay", "shift", "weights")}
    per_row: dict[str, list[int]] = {k: [] for k in ("size", "rule", "time", "trace", "place", "core")}
    seen: dict[tuple[int, int], int] = {}
    of_source: list[tuple[int, int]] = []
    for number, core in cores.items():
        mine = np.flatnonzero(core_of == number)
        row = headers(core, start[mine])
        for k in np.flatnonzero(row.controls > 0):
            place = (number, int(row.start[k]))
            if place not in seen:
                if number not in rule_of:
                    raise DescriptorError(f"core {number}: plastic synapses without a learning rule", fix=FIX)
                seen[place] = len(seen)
                n, w = int(row.controls[k]), core.matrix.astype(np.int64)
                first = place[1] + 1
                half = np.arange(n)
                weight = (w[first + 2 + half // 2] >> (16 * (half % 2))) & 0xFFFF
                control = w[first + int(row.plastic_words[k]) + 2 + int(row.fixed[k]) + half // 2] >> (16 * (half % 2))
                target, receptor, delay = fields(core, control & 0xFFFF)
                columns["neuron"].append(core.first + target)
                columns["entry"].append(2 * core.first + receptor * core.n + target)
                columns["receptor"].append(receptor)
                columns["delay"].append(delay)
                columns["shift"].append(np.array(core.shift)[receptor])
                columns["weights"].append(weight)
                trace = int(w[first + 1]) & 0xFFFF
                values = (n, rule_of[number], int(w[first]), trace - ((trace & 0x8000) << 1), *reversed(place))
                for name, value in zip(per_row, values):
                    per_row[name].append(value)
            of_source.append((int(source[mine[k]]), seen[place]))
    of_source.sort(key=lambda pair: pair[0])
    pairs = np.array(of_source, np.int64).reshape(-1, 2)
    flat = {k: np.concatenate([np.zeros(0, np.int64), *v]).astype(np.int64) for k, v in columns.items()}
    row_of = {k: np.array(v, np.int64) for k, v in per_row.items()}
    longest = max((r.tables.shape[1] for r in rules), default=0)
    luts = np.zeros((len(rules), 2, longest), np.int64)
    for number, r in enumerate(rules):
        luts[number, :, : r.tables.shape[1]] = r.tables
    neurons = [np.full(c.n, rule_of.get(number, -1)) for number, c in cores.items()]
    return Plastic(
        np.searchsorted(pairs[:, 0], np.arange(n_sources + 1)).astype(np.int64), np.ascontiguousarray(pairs[:, 1]),
        np.concatenate([[0], np.cumsum(row_of["size"])]).astype(np.int64), flat["neuron"], flat["entry"],
        flat["receptor"], flat["delay"], flat["shift"], row_of["rule"], luts,
        np.array([r.shifts for r in rules], np.int64).reshape(-1, 2),
        np.array([r.limits for r in rules], np.int64).reshape(-1, 2, 4),
        np.array([(r.back != 0, r.multiplicative) for r in rules], np.int64).reshape(-1, 2),
        flat["weights"], row_of["time"], row_of["trace"],
        np.concatenate([np.zeros(0, np.int64), *neurons]).astype(np.int64), row_of["place"], row_of["core"],
    )  # fmt: skip
