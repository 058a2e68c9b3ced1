"""Images -> populations and synapses as a network tool counts them: neurons of one layer, part and shape.

No graph, only what is decoded: sources are lines of ports, with the host's delays, and populations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from snnkit.descriptor import Descriptor
from snnkit.targets.brainscales2 import schema, spec
from snnkit.targets.brainscales2.decode import Part, decode
from snnkit.targets.images import first_lines

Array = np.ndarray[Any, Any]

CAPACITANCE_MAX = 63
"""Of a membrane, in the units of hxtorch's `membrane_capacitance`."""
PS = 1e-12


@dataclass(frozen=True, eq=False)
class Group:
    """A population: neurons of one part and layer (-1: of none) with equally many columns in both or one of the halves.

    `neurons` [n] global numbers, `circuits` [n], `rows`: halves that one uses, 0 if its circuits are no rectangle.
    """

    part: int
    layer: int
    fires: bool
    rows: int
    columns: int
    neurons: Array
    circuits: Array


@dataclass(frozen=True, eq=False)
class Network:
    """What the images hold, decoded: parts, populations and every synapse.

    `synapses` int64 [S, 6]: kind (0 host, 1 population), input or population, place in it, target population, place,
    weight; `repeat` [S] numbers those with the same source and target. `inputs` [I, 3]: part, port, delay; `lines`
    [I] of them: which lines of the port.
    """

    descriptor: Descriptor

    @cached_property
    def parts(self) -> list[Part]:
        """Of `decode`."""
        return decode(self.descriptor.arrays, first_lines(self.descriptor.manifest.ports)[0])

    @cached_property
    def groups(self) -> list[Group]:
        """By part, layer and shape."""
        found = []
        for p, part in enumerate(self.parts):
            layer = np.full(spec.NEURONS, -1)
            for k, entry in enumerate(self.descriptor.manifest.layers):
                place = self.descriptor.arrays[schema.PLACEMENT + entry.name]
                layer[place[place[:, 0] == p, 1]] = k
            joined = schema.groups(self.descriptor.arrays["neuron"][p].astype(np.int64))
            shapes = np.array([_rectangle(joined, c) for c in part.circuits.tolist()], np.int64).reshape(-1, 2)
            keys = np.stack([layer[part.circuits], part.fires.astype(np.int64), *shapes.T], 1)
            for key in np.unique(keys, axis=0):
                mine = np.flatnonzero((keys == key).all(1))
                k, fires, rows, columns = key.tolist()
                found.append(
                    Group(p, k, bool(fires), rows, columns, part.first + mine, part.circuits[mine])
                )  # fmt: skip
        return found

    @cached_property
    def place(self) -> Array:
        """Population and place in it of every neuron, int64 [N, 2]."""
        table = np.zeros((sum(part.n for part in self.parts), 2), np.int64)
        for g, group in enumerate(self.groups):
            table[group.neurons] = np.stack([np.full(len(group.neurons), g), np.arange(len(group.neurons))], 1)
        return table

    def targets(self, group: Group) -> dict[str, Array]:
        """Calibration targets [n], in seconds and codes."""
        part = self.parts[group.part]
        mine = group.neurons - part.first
        tau_m, tau_e, tau_i, leak, reset, threshold, gain = part.target[mine].T
        return {
            "tau_mem": tau_m * PS, "tau_syn_e": tau_e * PS, "tau_syn_i": tau_i * PS, "leak": leak * 1e-6,
            "reset": reset * 1e-6, "threshold": threshold * 1e-6, "gain": gain * 1e-6,
            "refractory_time": part.hold_ps[mine] * PS, "capacitance": self.capacitance[group.neurons],
        }  # fmt: skip

    @cached_property
    def gain(self) -> Array:
        """Codes per us and unit of weight of every neuron [N]; 0 if no synapse reaches it."""
        found = np.zeros(sum(part.n for part in self.parts))
        for part in self.parts:
            heard = np.unique(part.neuron)
            found[part.first + heard] = part.target[heard, 6] * 1e-6
        return found

    @cached_property
    def least_gain(self) -> Array:
        """Of the neuron's part, of every neuron [N]; it gets the largest capacitance."""
        least = np.ones(len(self.gain))
        for part in self.parts:
            here = slice(part.first, part.first + part.n)
            least[here] = np.min(self.gain[here], where=self.gain[here] > 0, initial=np.inf)
        return least

    @cached_property
    def capacitance(self) -> Array:
        """int64 [N]; 63 where no synapse reaches."""
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.where(self.gain > 0, CAPACITANCE_MAX * self.least_gain / self.gain, CAPACITANCE_MAX)
        made: Array = np.clip(np.rint(c), 1, CAPACITANCE_MAX).astype(np.int64)
        return made

    @cached_property
    def _wires(self) -> tuple[list[tuple[int, int, int]], list[Array], Array]:
        inputs: dict[tuple[int, int, int], list[int]] = {}
        rows: list[Array] = [np.zeros((0, 6), np.int64)]
        host = self.descriptor.arrays["host_input"].astype(np.int64)
        for p, part in enumerate(self.parts):
            count = np.diff(part.ptr)
            source = np.repeat(np.arange(len(count)), count)
            target = self.place[part.first + part.neuron]
            weight = part.excitatory - part.inhibitory
            of = np.zeros((len(count), 3), np.int64)
            for e, (_, port, line, delay, _) in enumerate(host[host[:, 0] == p].tolist()):
                lines = inputs.setdefault((p, port, delay), [])
                if line not in lines:
                    lines.append(line)
                of[e] = 0, list(inputs).index((p, port, delay)), lines.index(line)
            own = np.arange(part.n)
            of[part.first_own + own] = np.concatenate([np.ones((part.n, 1), np.int64), self.place[part.first + own]], 1)
            first_replay, earlier = len(part.entries), np.repeat(np.arange(part.first), np.diff(part.replay_ptr))
            heard = source < part.first_own
            kept = heard & (source < first_replay) | ~heard
            rows.append(np.concatenate([of[source], target, weight[:, None]], 1)[kept])
            for neuron, s in zip(earlier.tolist(), part.replay_source.tolist()):
                at = np.arange(part.ptr[s], part.ptr[s + 1])
                from_ = np.tile([1, *self.place[neuron]], (len(at), 1))
                rows.append(np.concatenate([from_, target[at], weight[at, None]], 1))
        return list(inputs), [np.array(lines, np.int64) for lines in inputs.values()], np.concatenate(rows)

    @property
    def inputs(self) -> list[tuple[int, int, int]]:
        """(part, port, delay) of each."""
        return self._wires[0]

    @property
    def lines(self) -> list[Array]:
        """Lines of the port that each input carries."""
        return self._wires[1]

    @cached_property
    def _kept(self) -> tuple[set[int], Array]:
        silent: set[int] = set()
        table = self._wires[2]
        while True:
            driven = set(table[:, 3].tolist())
            more = {g for g in range(len(self.groups)) if g not in driven | silent and self._rests(self.groups[g])}
            if not more:
                return silent, table
            silent |= more
            table = table[(table[:, 0] == 0) | ~np.isin(table[:, 1], list(more))]

    def _rests(self, group: Group) -> bool:
        x = self.targets(group)
        return group.fires and bool(np.all((x["leak"] < x["threshold"]) & (x["reset"] < x["threshold"])))

    @property
    def silent(self) -> set[int]:
        """Populations that never fire: no synapse from another kind reaches them, and they rest below the threshold."""
        return self._kept[0]

    @property
    def synapses(self) -> Array:
        """See the class; without those of silent populations."""
        return self._kept[1]

    @cached_property
    def order(self) -> list[int]:
        """Populations that are not silent, sources first.

        Raises:
            CycleError: some feed each other.
        """
        inner = self.synapses[self.synapses[:, 0] == 1]
        needs: dict[int, set[int]] = {g: set() for g in range(len(self.groups)) if g not in self.silent}
        for source, target in np.unique(inner[:, [1, 3]], axis=0).tolist():
            needs[target].add(source)
        return list(TopologicalSorter(needs).static_order())


def _rectangle(joined: Array, circuit: int) -> tuple[int, int]:
    """Halves and columns of a neuron; (0, 0) if its circuits are no rectangle that begins at its head."""
    mine = np.flatnonzero(joined == joined[circuit])
    columns, halves = np.unique(mine % spec.COLUMNS), np.unique(mine // spec.COLUMNS)
    whole = len(columns) * len(halves) == len(mine) and columns[-1] - columns[0] + 1 == len(columns)
    fits = len(halves) == 2 or len(mine) == 1  # hxtorch fills a column before it goes on to the next
    return (len(halves), len(columns)) if whole and fits and mine[0] == circuit else (0, 0)
