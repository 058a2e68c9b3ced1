"""Makes files of host encoding, routing and scalar operations for tests, in plain Python without code of snnkit.

Formats: tests/golden/spinnaker/README.md. Blocks are laid out as the peer does it: one for excitatory and one for
inhibitory lists, each padded to its longest row, the delayed ones under a key of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.targets.spinnaker import vector_files

Words = list[int]
CELL = {"tau_m": 20.0, "cm": 1.0, "v_rest": -65.0, "v_reset": -66.0, "v_thresh": -52.0, "tau_refrac": 2.0,
        "i_offset": 0.1, "tau_syn_E": 5.0, "tau_syn_I": 7.0}  # fmt: skip
COLOUR = 4


def bits(n: int) -> int:
    k = 1
    while 1 << k < n:
        k += 1
    return k


def sites():
    """Places of the SpiNN-5 board, chip after chip."""
    for y in range(8):
        for x in range(8):
            if x - y <= 4 and y - x <= 3:
                for p in range(4, 18):
                    yield x, y, p


class Keys:
    """Keys of one population: neurons of a core, cores above."""

    def __init__(self, at: int, n: int, per_core: int) -> None:
        self.n, self.per_core, self.cores = n, per_core, -(-n // per_core)
        self.shift = bits(per_core) + COLOUR
        self.core_bits = (self.cores - 1).bit_length()
        size = 1 << (self.shift + self.core_bits)
        self.key = -(-at // size) * size
        self.mask = 2**32 - size
        self.end = self.key + size

    def of(self, neuron: int) -> int:
        core, k = divmod(neuron, self.per_core)
        return self.key + (core << self.shift) + (k << COLOUR)

    def entry(self, first: int, count: int) -> Words:
        per = self.per_core
        return [self.key, self.mask, first | COLOUR << 13 | count << 16,
                (1 << self.core_bits) - 1 | self.shift << 16, per | -(-per // 32) << 16]  # fmt: skip


def _row(words: list[tuple[int, int]], plastic: bool) -> Words:
    """A row of (weight, low half)."""
    if not plastic:
        return [0, len(words), 0, *(w << 16 | low for w, low in words)]
    pad = [*words, (0, 0)] if len(words) % 2 else words
    pairs = [(pad[k], pad[k + 1]) for k in range(0, len(pad), 2)]
    weights = [a[0] | b[0] << 16 for a, b in pairs]
    control = [a[1] | b[1] << 16 for a, b in pairs]
    return [2 + len(weights), 0, 0, *weights, 0, len(words), *control] if words else [0, 0, 0]


def _table(blocks: dict[int, tuple[Keys, list[list[Words]]]]) -> tuple[Words, Words]:
    """(population table, synaptic blocks); `blocks` by key: all rows of each block."""
    entries: Words = []
    addresses: Words = []
    memory: Words = []
    for key in sorted(blocks):
        keys, mine = blocks[key]
        entries += keys.entry(len(addresses), len(mine))
        for rows in mine:
            longest = max(max(len(r) for r in rows) - 3, 1)
            addresses.append(longest - 1 | (len(memory) // 4) << 8)
            for r in rows:
                memory += r + [0] * (longest + 3 - len(r))
            memory += [0] * (-len(memory) % 4)
    return [len(blocks), len(addresses), *entries, *addresses], memory


def encoding(
    rng: np.random.Generator, *, split: bool = False, plastic: bool = False, extension: bool = False,
    model: str = "IF_curr_exp",
) -> dict[str, Any]:  # fmt: skip
    """The fields of a file with random populations, lists and cores."""
    ts = 0.1 if split else 1.0
    count, silent = int(rng.integers(2, 5)), int(rng.integers(1, 3))
    silent = min(silent, count - 1)
    sizes = [int(x) for x in rng.integers(1, 60, count)]
    per = [int(rng.integers(max(n // 4, 1), n + 1)) for n in sizes]
    delay_bits, where, at = int(rng.integers(1, 5)), sites(), 0
    keys = []
    for n, most in zip(sizes, per):
        keys.append(Keys(at, n, most))
        at = keys[-1].end
    late_keys = Keys(at, sizes[0], per[0])
    lists = []
    for post in range(silent, count):
        for pre in {int(p) for p in rng.integers(0, count, 2)} | {0}:
            for kind in (0, 1):
                if rng.random() < 0.7:
                    learns = int(plastic and kind == 0 and rng.random() < 0.7)
                    longest = 2**delay_bits * (3 if extension and pre == 0 and not learns else 1)
                    rows = [
                        (a, b, float(rng.uniform(0.01, 3)) * (1 - 2 * kind), float(rng.integers(1, longest + 1)) * ts)
                        for a in range(sizes[pre]) for b in range(sizes[post]) if rng.random() < 0.3
                    ]  # fmt: skip
                    lists.append((pre, post, kind, learns, np.array(rows, np.float64).reshape(-1, 4)))
    fields: dict[str, Any] = {}
    placements, kinds = [], []
    for p in range(silent):
        for first in range(0, sizes[p], per[p]):
            placements.append((*next(where), p, first, min(first + per[p], sizes[p]) - 1))
            kinds.append("SpikeSourceArrayMachineVertex")
    if extension:
        placements.append((*next(where), -1, 0, sizes[0] - 1))
        kinds.append("DelayExtensionMachineVertex")
    sends = {pre for pre, *_ in lists}
    for p in range(silent, count):
        shift = [int(x) for x in rng.integers(2, 8, 2)]
        width = bits(per[p])
        for first in range(0, sizes[p], per[p]):
            last = min(first + per[p], sizes[p]) - 1
            n = last - first + 1
            own = [int(p in sends), n, 1 << (per[p] - 1).bit_length(), COLOUR, 2, *shift]
            own += [keys[p].of(k) if p in sends else 0 for k in range(first, last + 1)]
            parts = [[q for q in range(count) if q % 2 == k] for k in (0, 1)] if split else [list(range(count))]
            if split:
                place = next(where)
                placements.append((*place, p, first, last))
                kinds.append("PopulationNeuronsMachineVertex")
                fields["core_{}_{}_{}_NeuronCoreParams".format(*place)] = own
            for mine in parts:
                place = next(where)
                placements.append((*place, p, first, last))
                kinds.append("PopulationSynapsesMachineVertex" if split else "PopulationMachineVertex")
                name = "core_{}_{}_{}_".format(*place)
                blocks: dict[int, tuple[Keys, list[list[Words]]]] = {}
                for pre, post, kind, learns, rows in lists:
                    if post != p or pre not in mine:
                        continue
                    now: list[list[tuple[int, int]]] = [[] for _ in range(sizes[pre])]
                    late: list[list[tuple[int, int]]] = [[] for _ in range(sizes[pre])]
                    for a, b, weight, ms in rows.tolist():
                        if not first <= b <= last:
                            continue
                        steps = round(ms / ts)
                        stage = (steps - 1) // 2**delay_bits
                        left = steps - stage * 2**delay_bits
                        low = left << (width + 1) | kind << width | int(b) - first
                        word = round(abs(weight) * 2 ** (15 - shift[kind])) & 0xFFFF
                        (late if stage else now)[int(a)].append((word, low))
                    for k, found in ((keys[pre], now), (late_keys, late)):
                        if found is now or any(found):
                            blocks.setdefault(k.key, (k, []))[1].append([_row(r, bool(learns)) for r in found])
                table, memory = _table(blocks)
                fields[name + "SynapseParams"] = [n, 2, width, 1, delay_bits, 0, 256, *shift]
                fields[name + "PopTable"], fields[name + "SynBlocks"] = table, memory
                if not split:
                    fields[name + "NeuronCoreParams"] = own
                if plastic:
                    limits = [[0, int(rng.integers(1, 30)) << 15, int(rng.integers(9999)), int(rng.integers(9999))]] * 2
                    luts = [vector_files.table(float(rng.uniform(3, 25))) for _ in "+-"]
                    fields[name + "synapseDynamicsParams"] = vector_files.stdp_words(
                        *luts, limits, int(rng.integers(2))
                    )
    made = {k: np.array(v, np.uint32) for k, v in fields.items()}
    for k, (pre, post, kind, learns, rows) in enumerate(lists):
        made[f"proj{k}_list"], made[f"proj{k}_meta"] = rows, np.array([pre, post, kind, learns])
    return made | {
        "sizes": np.array(sizes), "timestep_ms": np.array(ts), "model": np.array(model),
        "cell": np.array(json.dumps(CELL)), "placements": np.array(placements, np.int32),
        "placement_kind": np.array(kinds), "n_projections": np.array(len(lists)),
        "sdram": np.zeros((0, 5), np.int64), "routes": np.zeros((0, 6), np.int64),
    }  # fmt: skip


LINKS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))


def routing(rng: np.random.Generator) -> dict[str, Any]:
    """The fields of a file: layers on random cores of a board, an entry per source core and chip."""
    sizes = [int(x) for x in rng.integers(1, 120, rng.integers(2, 5))]
    free = list(sites())
    free = [free[k] for k in rng.permutation(len(free))[:60]] if rng.random() < 0.5 else free
    per, colour = int(rng.integers(8, 40)), int(rng.choice([0, 4]))
    placements, at = [], 0
    for p, n in enumerate(sizes):
        for first in range(0, n, per):
            last = min(first + per, n) - 1
            size = 1 << (bits(last - first + 1) + colour)
            at = -(-at // size) * size
            key = at if p + 1 < len(sizes) else -1
            placements.append((*free[len(placements)], p, first, last, key, 2**32 - size, 1000))
            at += size
    entries: dict[tuple[int, int, int, int], int] = {}
    chips = {(x, y) for x, y, _ in sites()}
    for x, y, _, p, _, _, key, mask, _ in placements:
        if key < 0:
            continue
        before = {(x, y): None}
        queue = [(x, y)]
        for here in queue:
            for k, (dx, dy) in enumerate(LINKS):
                there = here[0] + dx, here[1] + dy
                if there in chips and there not in before:
                    before[there] = (here, k)
                    queue.append(there)
        for a, b, core, q, *_ in placements:
            if q == p + 1:
                here = (a, b)
                entries[(*here, key, mask)] = entries.get((*here, key, mask), 0) | 1 << (6 + core)
                while before[here] is not None:
                    here, k = before[here]
                    entries[(*here, key, mask)] = entries.get((*here, key, mask), 0) | 1 << k
    routes = [(*where, word, 0) for where, word in entries.items()]
    return {"sizes": np.array(sizes), "placements": np.array(placements, np.int64),
            "routes": np.array(routes, np.int64).reshape(-1, 6)}  # fmt: skip


def scalars(rng: np.random.Generator, count: int = 200) -> dict[str, Any]:
    """The fields of a table of scalar operations."""
    op = rng.integers(0, 5, count)
    rows = []
    for k in op.tolist():
        a, b = int(rng.integers(-(2**31), 2**31)), int(rng.integers(0, 2**32))
        if k == 0:
            b = int(rng.integers(-(2**31), 2**31))
            result = vector_files.mul(a, b)
        elif k in (1, 2):
            a, b = -int(rng.integers(0, 360000)), 0
            result = (vector_files.expk if k == 1 else vector_files.expulr)(a)
        elif k == 3:
            a, b = int(rng.integers(1, 2**31)), int(rng.integers(1, 2**31))
            result = vector_files.div(a, b)
        else:
            result = vector_files.dec(a, b)
        rows.append((a, b % 2**32, result % 2**32))
    a, b, result = (np.array(x) for x in zip(*rows))
    return {"op": op.astype(np.int8), "a": a.astype(np.int32), "b": b.astype(np.uint32),
            "result": result.astype(np.uint32)}  # fmt: skip


def write(path: Path, fields: dict[str, Any]) -> Path:
    np.savez(path, **fields)
    return path
