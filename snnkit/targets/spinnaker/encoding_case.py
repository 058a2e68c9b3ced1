"""Reference words of the host: our encoding of the same connection lists, with the file's placement, keys and shifts.

Each core's images go through a descriptor on disk. For every source neuron, the words that its key finds in our
population table must be those that it finds in the file's, as a multiset; core and synapse parameters word for word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor
from snnkit.graph.model import Graph, Input, Population, SpinnakerNeuron
from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.manifest import build_manifest
from snnkit.targets.spinnaker import TARGET, spec, words
from snnkit.targets.spinnaker.cases import Case
from snnkit.targets.spinnaker.lower import Lowered
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.routing_case import board_of
from snnkit.targets.spinnaker.schema import REGIONS

Array = np.ndarray[Any, Any]
Place = tuple[int, int, int]

_REGION = re.compile(r"core_(\d+)_(\d+)_(\d+)_(\w+)")
_CELL = {
    "v_rest": "v_rest", "v_reset": "v_reset", "v_thresh": "v_thresh", "cm": "c_m", "tau_m": "tau_m",
    "i_offset": "i_offset", "tau_refrac": "tau_refrac", "tau_syn_E": "tau_syn_e", "tau_syn_I": "tau_syn_i",
}  # fmt: skip


@dataclass(eq=False)
class _Target:
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
class _Source:
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


def compare(case: Case, folder: Path) -> tuple[list[ArrayVerdict], list[str], str]:
    """(verdicts, remarks, error)."""
    sizes = case.take("sizes").astype(np.int64)
    ts = float(case.arrays["timestep_ms"])
    case.used |= {"timestep_ms", "model", "cell", "placement_kind", "sdram", "routes", "n_projections"}
    placements = case.take("placements").astype(np.int64)
    lists = _projections(case)
    targets = _targets(case, placements)
    sources = _sources(case, targets, placements, lists, sizes)
    cores = [_place(case, t, sources, lists, sizes, placements, ts) for t in targets]
    board = board_of({c.chip for c in cores})
    if board is None:
        raise case.fail("its chips lie on no board that is known", fix="known: SpiNN-5 and triads")
    _write(case, folder, board, cores)
    arrays = descriptor.load(folder).arrays
    verdicts: list[ArrayVerdict] = []
    remarks: list[str] = []
    covered: set[tuple[int, int, int]] = set()
    for number, t in enumerate(targets):
        ptr = arrays["core_ptr"]
        ours = {name: arrays[name][ptr[number, k] : ptr[number + 1, k]] for k, name in enumerate(REGIONS)}
        verdicts += _judge(case, t, ours, sources, sizes, number, covered)
    for t in targets:
        for pre, post, *_ in lists:
            if post == t.population and (pre, post, t.first) not in covered and "SynBlocks" in t.regions:
                verdicts.append(ArrayVerdict(f"population {pre} to {post} from neuron {t.first}", "our tables", False,
                                             problem="no core has an entry for it"))  # fmt: skip
    if any("synapseDynamicsParams" in t.regions for t in targets):
        remarks.append("synapseDynamicsParams: read and kept as they are; the file's rules are not re-derived")
    total = sum(4 * len(arrays[k]) for k in REGIONS)
    remarks.append(f"regions of all cores: {total:,} bytes")
    return verdicts, remarks, ""


def _projections(case: Case) -> list[tuple[int, int, int, int, Array]]:
    lists = []
    k = 0
    while case.has(f"proj{k}_list"):
        case.used.add(f"proj{k}_list")
        pre, post, kind, plastic = (int(x) for x in case.take(f"proj{k}_meta", (4,)))
        lists.append((pre, post, kind, plastic, np.asarray(case.arrays[f"proj{k}_list"], np.float64).reshape(-1, 4)))
        k += 1
    return lists


def _targets(case: Case, placements: Array) -> list[_Target]:
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
        found.append(_Target(place, population, first, last, mine, max(bits, 1), delay, shift))
    return found


def _sources(
    case: Case, targets: list[_Target], placements: Array, lists: list[Any], sizes: Array
) -> dict[int, _Source]:
    """The keys of every population that sends: those of neurons are in their cores, those of sources are left over."""
    entries: dict[int, tuple[int, ...]] = {}
    for t in targets:
        if "PopTable" in t.regions:
            for e in words.read_table(t.regions["PopTable"], 0).entries.tolist():
                entries.setdefault(e[0], tuple(e))
    made: dict[int, _Source] = {}

    def take(population: int, e: tuple[int, ...]) -> None:
        made[population] = _Source(e[0], e[1], e[5], e[6], e[7], e[3])
        entries.pop(e[0])

    senders = sorted({int(pre) for pre, *_ in lists})
    for t in targets:
        own = t.regions.get("NeuronCoreParams")
        if own is not None and own[0] and t.population not in made:
            e = next((e for e in entries.values() if int(own[7]) & e[1] == e[0]), None)
            if e is not None:
                take(t.population, e)
    for population in senders:
        if population in made:
            continue
        mine = placements[placements[:, 3] == population]
        most = int((mine[:, 5] - mine[:, 4]).max(initial=-1)) + 1
        e = next((e for _, e in sorted(entries.items()) if e[7] == most), None)
        if e is None:
            raise case.fail(f"no population table has an entry for population {population}")
        take(population, e)
    return made


def _place(
    case: Case, t: _Target, sources: Mapping[int, _Source], lists: list[Any], sizes: Array, placements: Array, ts: float
) -> PlacedCore:
    """Our core of the same place, with one block per source that its own table knows."""
    n = t.last - t.first + 1
    mine = placements[placements[:, 3] == t.population]
    most = int((mine[:, 5] - mine[:, 4]).max()) + 1
    model = str(case.arrays["model"]) if case.has("model") else "IF_curr_exp"
    raw = _parameters(case, n, ts)
    stdp = t.regions.get("synapseDynamicsParams", np.zeros(0, np.uint32))
    binary = spec.EXP if model == "IF_curr_exp" else spec.DELTA
    own = t.regions.get("NeuronCoreParams")
    key = int(own[7]) if own is not None and own[0] else None
    core = PlacedCore(
        (t.place[0], t.place[1]), t.place[2], binary, f"{t.population}.{t.first}.{t.place[2]}", np.arange(n), most, raw,
        t.shift, t.delay_bits, key, stdp=stdp,
    )  # fmt: skip
    if "PopTable" not in t.regions:
        return core
    known = set(words.read_table(t.regions["PopTable"], 0).entries[:, 0].tolist())
    for pre in sorted({p for p, post, *_ in lists if post == t.population}):
        s = sources[pre]
        if s.key not in known:
            continue
        parts = [_words(row, kind, plastic, t, ts) for p, post, kind, plastic, row in lists
                 if (p, post) == (pre, t.population)]  # fmt: skip
        joined = words.Synapses(*(np.concatenate(x) for x in zip(*parts)))
        order = np.argsort(joined.row, kind="stable")
        joined = joined.take(order)
        within = np.arange(len(order)) - np.searchsorted(joined.row, joined.row, side="left")
        for part in range(int(within.max(initial=0)) // spec.ROW_WORDS_MAX + 1):
            some = joined.take(within // spec.ROW_WORDS_MAX == part)
            core.blocks.append(
                words.Block(s.key, s.mask, s.core_mask, s.shift, s.per_core, int(sizes[pre]), some, s.colour)
            )
    return core


def _words(row: Array, kind: int, plastic: int, t: _Target, ts: float) -> tuple[Array, ...]:
    """(row, target, weight, delay, receptor, plastic) of the undelayed synapses of a list that end on this core."""
    pre, post = row[:, 0].astype(np.int64), row[:, 1].astype(np.int64)
    delay = np.rint(row[:, 3] / ts).astype(np.int64)
    mine = (post >= t.first) & (post <= t.last) & (delay <= 1 << t.delay_bits)
    word = np.rint(np.abs(row[mine, 2]) * 2.0 ** (15 - t.shift[kind])).astype(np.int64) & spec.WEIGHT_MAX
    count = int(mine.sum())
    return pre[mine], post[mine] - t.first, word, delay[mine], np.full(count, kind), np.full(count, plastic)


def _parameters(case: Case, n: int, ts: float) -> dict[str, Array]:
    cell = json.loads(str(case.arrays["cell"])) if case.has("cell") else {}
    values = {"v_init": cell.get("v_init", cell.get("v_rest", -65.0)), "ts": ts, "refrac_init": 0}
    values |= {ours: cell.get(name, 1.0) for name, ours in _CELL.items()}
    return {k: np.full(n, round(float(v) * spec.ONE), np.int64) for k, v in values.items()}


def _write(case: Case, folder: Path, board: str, cores: list[PlacedCore]) -> None:
    host = np.zeros((0, 4), np.int64)
    network = Network(board, cores, host, {}, {c.layer: c.n for c in cores})
    lowered = Lowered.of(network, findings=())

    def neuron(c: PlacedCore) -> SpinnakerNeuron:
        raw = {k: np.asarray(v, np.int32) for k, v in c.raw.items()}
        return SpinnakerNeuron(model="exp" if c.binary == spec.EXP else "delta", **raw)  # type: ignore[arg-type]

    title = "".join("_" if ord(ch) < 32 or ch in "/\\" else ch for ch in case.name)[:200] or "words"
    populations = tuple(Population(c.layer, (c.n,), neuron(c)) for c in cores)
    graph = Graph(title, (Input("none", (1,)),), populations, (), timeline="chip")
    descriptor.write(folder, build_manifest(TARGET, graph, lowered), lowered.arrays, {})


def _judge(
    case: Case, t: _Target, ours: dict[str, Array], sources: Mapping[int, _Source], sizes: Array, number: int,
    covered: set[tuple[int, int, int]],
) -> list[ArrayVerdict]:  # fmt: skip
    where = "core " + " ".join(map(str, t.place))
    verdicts = []
    for theirs, name in (("NeuronCoreParams", "core_params"), ("SynapseParams", "synapse_params")):
        if theirs in t.regions:
            verdicts.append(judge(f"{where} {theirs}", "encoder", t.regions[theirs], ours[name]))
    if "PopTable" not in t.regions or "SynBlocks" not in t.regions:
        return verdicts
    table, mine = words.read_table(t.regions["PopTable"], number), words.read_table(ours["population_table"], number)
    for population, s in sorted(sources.items()):
        keys = s.keys(int(sizes[population]))
        if not (table.find(keys)[0] >= 0).any():
            continue
        covered.add((population, t.population, t.first))
        want = _found(table, t.regions["SynBlocks"], keys, number)
        got = _found(mine, ours["synaptic_matrix"], keys, number)
        verdicts.append(judge(f"{where} words of population {population}", "our tables", want, got))
    return verdicts


def _found(table: words.Table, matrix: Array, keys: Array, number: int) -> Array:
    """All words that keys find, int64 [W, 3]: position of the key, plastic or fixed, word; sorted within each key."""
    entry, neuron = table.find(keys)
    w = matrix.astype(np.int64)
    rows: list[tuple[int, int, int]] = []
    for k in np.flatnonzero(entry >= 0):
        e = table.entries[entry[k]]
        for a in range(e[2], e[2] + e[4]):
            if table.length[a] == 0:
                continue
            start = table.word[a] + neuron[k] * (table.length[a] + spec.ROW_HEADER_WORDS)
            row = words.read_rows(matrix, np.array([start]), np.array([table.length[a]]), number)
            p, f, c = int(row.plastic_words[0]), int(row.fixed[0]), int(row.controls[0])
            rows += [(int(k), 0, int(x)) for x in w[start + 3 + p : start + 3 + p + f]]
            half = np.arange(c)
            weight = (w[start + 3 + half // 2] >> (16 * (half % 2))) & 0xFFFF
            control = (w[start + 3 + p + f + half // 2] >> (16 * (half % 2))) & 0xFFFF
            rows += [(int(k), 1, int(x)) for x in (weight << 16 | control)]
    return np.array(sorted(rows), np.int64).reshape(-1, 3)
