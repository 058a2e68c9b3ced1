"""Files of host encoding, read: connection lists, cores with their regions, and the keys of every population."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.targets.spinnaker import spec, words
from snnkit.targets.spinnaker.cases import Case

Array = np.ndarray[Any, Any]
Place = tuple[int, int, int]

_REGION = re.compile(r"core_(\d+)_(\d+)_(\d+)_(\w+)")
_CELL = {
    "v_rest": "v_rest", "v_reset": "v_reset", "v_thresh": "v_thresh", "cm": "c_m", "tau_m": "tau_m",
    "i_offset": "i_offset", "tau_refrac": "tau_refrac", "tau_syn_E": "tau_syn_e", "tau_syn_I": "tau_syn_i",
}  # fmt: skip


@dataclass(eq=False)
class Target:
    """One core of the file: what it simulates, its regions, the widths of its indices and its shifts."""

    place: Place
    population: int
    first: int
    last: int
    regions: dict[str, Array]
    target_bits: int
    delay_bits: int
    shift: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """The keys of a population: neuron k of core c sends key + (c << shift) + (k << colour)."""

    key: int
    mask: int
    core_mask: int
    shift: int
    per_core: int
    colour: int

    def keys(self, n: int) -> Array:
        """One key per neuron."""
        core, k = np.divmod(np.arange(n), self.per_core)
        return self.key | core << self.shift | k << self.colour


@dataclass(frozen=True)
class Projection:
    """A connection list, float64 [n, 4] (pre, post, weight, delay in ms), between populations. kind 0 excitatory."""

    pre: int
    post: int
    kind: int
    plastic: int
    rows: Array


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a file says: sizes of populations, cores (placements [., 6]), lists, and who sends which keys."""

    sizes: Array
    ts: float
    model: str
    placements: Array
    lists: tuple[Projection, ...]
    targets: tuple[Target, ...]
    sources: dict[int, Source]

    def most(self, population: int) -> int:
        """Neurons of the largest core of a population."""
        mine = self.placements[self.placements[:, 3] == population]
        return int((mine[:, 5] - mine[:, 4]).max(initial=-1)) + 1

    def synapses(self, pre: int, t: Target) -> words.Synapses:
        """All undelayed synapses from a population to a core, by source neuron, in the order of the lists."""
        parts = [_words(p, t, self.ts) for p in self.lists if (p.pre, p.post) == (pre, t.population)]
        joined = words.Synapses(*(np.concatenate(x) for x in zip(*parts)))
        return joined.take(np.argsort(joined.row, kind="stable"))


def read(case: Case) -> Encoding:
    """Read a file.

    Raises:
        ReplayFormatError: a field is missing, or a population has no key.
    """
    sizes = case.take("sizes").astype(np.int64)
    case.used |= {"timestep_ms", "model", "cell", "placement_kind", "sdram", "routes", "n_projections"}
    if not case.has("timestep_ms"):
        raise case.fail("the field 'timestep_ms' is missing")
    ts = float(case.arrays["timestep_ms"])
    placements = case.take("placements").astype(np.int64).reshape(-1, 6)
    lists = tuple(_projections(case))
    model = str(case.arrays["model"]) if case.has("model") else "IF_curr_exp"
    found = Encoding(sizes, ts, model, placements, lists, tuple(_targets(case, placements)), {})
    found.sources.update(_sources(case, found))
    return found


def _projections(case: Case) -> list[Projection]:
    lists: list[Projection] = []
    while case.has(f"proj{len(lists)}_list"):
        name = f"proj{len(lists)}_list"
        case.used.add(name)
        pre, post, kind, plastic = (int(x) for x in case.take(f"proj{len(lists)}_meta", (4,)))
        lists.append(Projection(pre, post, kind, plastic, np.asarray(case.arrays[name], np.float64).reshape(-1, 4)))
    return lists


def _targets(case: Case, placements: Array) -> list[Target]:
    regions: dict[Place, dict[str, Array]] = {}
    for name, a in case.arrays.items():
        match = _REGION.fullmatch(name)
        if match:
            case.used.add(name)
            x, y, p = (int(g) for g in match.groups()[:3])
            regions.setdefault((x, y, p), {})[match[4]] = a.astype(np.uint32)
    rows = {(int(r[0]), int(r[1]), int(r[2])): r for r in placements}
    found = []
    for place, mine in sorted(regions.items()):
        if place not in rows or int(rows[place][3]) < 0:
            continue
        head = mine.get("SynapseParams")
        own = mine.get("NeuronCoreParams")
        if head is not None:
            bits, delay, shift = int(head[2]), int(head[4]), (int(head[7]), int(head[8]))
        elif own is not None:
            bits, delay, shift = int(own[2]).bit_length() - 1, 1, (int(own[5]), int(own[6]))
        else:
            continue
        _, _, _, population, first, last = (int(v) for v in rows[place])
        found.append(Target(place, population, first, last, mine, max(bits, 1), delay, shift))
    return found


def _sources(case: Case, e: Encoding) -> dict[int, Source]:
    """The keys of every population that sends.

    Those of neurons are in their cores. Those of spike sources are in no region: of the entries left over, a population
    has the one whose rows are its own (the others belong to delay extensions and other sources).
    """
    tables = {t.place: words.read_table(t.regions["PopTable"], 0) for t in e.targets if "PopTable" in t.regions}
    left: dict[int, tuple[int, ...]] = {}
    for table in tables.values():
        for row in table.entries.tolist():
            left.setdefault(row[0], tuple(row))
    made: dict[int, Source] = {}

    def take(population: int, row: tuple[int, ...]) -> None:
        made[population] = Source(row[0], row[1], row[5], row[6], row[7], row[3])
        left.pop(row[0])

    for t in e.targets:
        own = t.regions.get("NeuronCoreParams")
        if own is not None and own[0] and t.population not in made:
            match = next((row for row in left.values() if int(own[7]) & row[1] == row[0]), None)
            if match is not None:
                take(t.population, match)
    for population in sorted({p.pre for p in e.lists} - set(made)):
        options = [row for _, row in sorted(left.items()) if row[7] == e.most(population)]
        if not options:
            raise case.fail(f"no population table has an entry for population {population}")
        best = options[0] if len(options) == 1 else max(options, key=lambda row: _alike(e, population, row))
        take(population, best)
    return made


def _alike(e: Encoding, population: int, row: tuple[int, ...]) -> int:
    """How many words of a population stand behind an entry."""
    source = Source(row[0], row[1], row[5], row[6], row[7], row[3])
    keys = source.keys(int(e.sizes[population]))
    count = 0
    for t in e.targets:
        if any((p.pre, p.post) == (population, t.population) for p in e.lists) and "SynBlocks" in t.regions:
            found = words.found(words.read_table(t.regions["PopTable"], 0), t.regions["SynBlocks"], keys, 0)
            s = e.synapses(population, t)
            low = s.delay << (t.target_bits + spec.RECEPTOR_BITS) | s.receptor << t.target_bits | s.target
            wanted = set(zip(s.row.tolist(), (s.weight << 16 | low).tolist()))
            count += len(wanted & {(k, w) for k, _, w in found.tolist()})
    return count


def _words(p: Projection, t: Target, ts: float) -> tuple[Array, ...]:
    """(row, target, weight, delay, receptor, plastic) of the undelayed synapses of a list that end on a core."""
    pre, post = p.rows[:, 0].astype(np.int64), p.rows[:, 1].astype(np.int64)
    delay = np.rint(p.rows[:, 3] / ts).astype(np.int64)
    mine = (post >= t.first) & (post <= t.last) & (delay <= 1 << t.delay_bits)
    word = np.rint(np.abs(p.rows[mine, 2]) * 2.0 ** (15 - t.shift[p.kind])).astype(np.int64) & spec.WEIGHT_MAX
    count = int(mine.sum())
    return pre[mine], post[mine] - t.first, word, delay[mine], np.full(count, p.kind), np.full(count, p.plastic)


def parameters(case: Case, n: int, ts: float) -> dict[str, Array]:
    """Raw parameters of n neurons."""
    cell = json.loads(str(case.arrays["cell"])) if case.has("cell") else {}
    values = {"v_init": cell.get("v_init", cell.get("v_rest", -65.0)), "ts": ts, "refrac_init": 0}
    values |= {ours: cell.get(name, 1.0) for name, ours in _CELL.items()}
    return {k: np.full(n, round(float(v) * spec.ONE), np.int64) for k, v in values.items()}
