"""Reference routing: with the file's placement and keys, our tables must reach the same cores with no more entries.

The tables go through a descriptor; a fresh process walks every neuron's key through its routers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor
from snnkit.graph.model import Graph, Input, Population
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.fresh import Job
from snnkit.targets.manifest import build_manifest
from snnkit.targets.spinnaker import TARGET, spec
from snnkit.targets.spinnaker.cases import Case
from snnkit.targets.spinnaker.lower import Lowered
from snnkit.targets.spinnaker.machine import Chip, chips_of, walk
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.routes import Stream, build_routes

Array = np.ndarray[Any, Any]

PORT = "sources"


@dataclass(eq=False)
class RoutingCase:
    """One file: rows of `placements`, who sends to whom with which keys, the file's entries by chip, our network."""

    case: Case
    board: str
    placements: Array
    streams: list[Stream]
    keys: list[Array]
    theirs: dict[Chip, Array]
    network: Network
    first: dict[int, int]
    job: Job | None = None

    def first_rows(self) -> list[int]:
        """The rows of `placements` that send, in their order."""
        return [row for row, key in enumerate(self.placements[:, 6]) if key >= 0]


def read(case: Case) -> RoutingCase:
    """Each population sends to the next one; rows of `placements` are x, y, core, population, first and last neuron,
    key (-1: sends nothing), mask, bytes.

    Raises:
        ReplayFormatError: the chips are on no board, or a core that receives has too many neurons.
    """
    placements = case.take("placements").astype(np.int64)
    theirs = case.take("routes").astype(np.int64).reshape(-1, 6)
    case.take("sizes")
    chips = {(int(x), int(y)) for x, y in placements[:, :2]} | {(int(x), int(y)) for x, y in theirs[:, :2]}
    board = board_of(chips)
    if board is None:
        raise case.fail("its chips lie on no board that is known", fix="known: SpiNN-5 and triads")
    streams, keys, colours = [], [], []
    for x, y, _, population, first, last, key, mask, _ in placements.tolist():
        if key < 0:
            continue
        next_ones = placements[placements[:, 3] == population + 1]
        targets = tuple(((int(a), int(b)), int(p)) for a, b, p in next_ones[:, :3])
        streams.append(Stream((x, y), key, mask & 0xFFFFFFFF, targets))
        free = next((b for b in range(32) if mask >> b & 1), 32)
        colours.append(max(free - max(int(last - first).bit_length(), 1), 0))
        keys.append(key | (np.arange(last - first + 1) << colours[-1]))
    table = {c: theirs[(theirs[:, 0] == c[0]) & (theirs[:, 1] == c[1])][:, 2:5] for c in chips}
    network, numbers = _network(case, board, placements, build_routes(streams, board), keys, colours)
    return RoutingCase(case, board, placements, streams, keys, table, network, numbers)


def board_of(chips: set[Chip]) -> str | None:
    """The smallest board of 48 or more chips that has these chips."""
    return next((b for b in ("SpiNN-5", "triad") if chips <= set(chips_of(b))), None)


def _network(
    case: Case, board: str, placements: Array, routes: dict[Chip, Array], keys: list[Array], colours: list[int]
) -> tuple[Network, dict[int, int]]:
    """Cores that nobody sends to are sources with a line per neuron; the others have neurons without synapses. Also the
    first source number of every sending row."""
    populations = set(placements[:, 3].tolist())
    one = np.ones(1, np.int64)
    cores: list[PlacedCore] = []
    host = [np.zeros((0, 4), np.int64)]
    lines, sent = 0, 0
    numbers: dict[int, int] = {}
    for row, (x, y, p, population, first, last, key, _, _) in enumerate(placements.tolist()):
        n = last - first + 1
        if population - 1 in populations:
            if n > spec.NEURONS_PER_CORE:
                raise case.fail(f"a core of {n} neurons; one holds {spec.NEURONS_PER_CORE}")
            raw = {k: np.repeat(one * v, n) for k, v in _RAW.items()}
            colour = colours[sent] if key >= 0 else spec.COLOUR_BITS
            cores.append(
                PlacedCore((x, y), p, spec.EXP, f"core {row}", np.arange(n), n, raw, key=key if key >= 0 else None,
                           colour=colour)
            )  # fmt: skip
        else:
            cores.append(PlacedCore((x, y), p, spec.SOURCE, PORT, np.arange(n)))
            if key >= 0:
                numbers[row] = lines
                host.append(np.stack([0 * keys[sent], lines + np.arange(n), 0 * keys[sent] + row, keys[sent]], 1))
                lines += n
        sent += key >= 0
    at = lines
    for row, core in enumerate(cores):
        if core.binary != spec.SOURCE:
            if core.key is not None:
                numbers[row] = at
            at += core.n
    sizes = {c.layer: c.n for c in cores if c.binary != spec.SOURCE}
    return Network(board, cores, np.concatenate(host), routes, sizes), numbers


_RAW = {
    "v_init": -65 * spec.ONE, "v_rest": -65 * spec.ONE, "v_reset": -65 * spec.ONE, "v_thresh": -50 * spec.ONE,
    "c_m": spec.ONE, "tau_m": 20 * spec.ONE, "i_offset": 0, "tau_refrac": 0, "tau_syn_e": 5 * spec.ONE,
    "tau_syn_i": 5 * spec.ONE, "ts": spec.ONE, "refrac_init": 0,
}  # fmt: skip


def write(work: RoutingCase, folder: Path, result: Path) -> None:
    """Write the descriptor and make its job."""
    lowered = Lowered.of(work.network, findings=())
    populations = tuple(
        Population(c.layer, (c.n,), SpinnakerNeuron("exp", **{k: np.asarray(v, np.int32) for k, v in c.raw.items()}))  # type: ignore[arg-type]
        for c in work.network.cores if c.binary != spec.SOURCE
    )  # fmt: skip
    lines = max(len(work.network.host_key), 1)
    graph = Graph("routes", (Input(PORT, (lines,)),), populations, (), timeline="chip")
    descriptor.write(folder, build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    work.job = Job(folder, result, {}, 0, (), call="snnkit.targets.spinnaker.probes:arrivals")


def compare(work: RoutingCase) -> tuple[list[ArrayVerdict], list[str], str]:
    """(verdicts, remarks, error): ours as the fresh process walked them, the file's walked here."""
    assert work.job is not None
    got, error = work.job.probes()
    if error:
        return [], [], error
    wanted = [np.tile(_row(work.placements, s.targets), (len(k), 1)) for s, k in zip(work.streams, work.keys)]
    empty = np.zeros((0, len(work.placements)), np.int64)
    theirs = [_reached(work, s, k) for s, k in zip(work.streams, work.keys)]
    expected = np.concatenate([empty, *wanted])
    verdicts = [
        judge("cores reached by each key", "emulator", expected, _arrived(work, got)),
        judge("packets that reach other cores", "emulator", np.zeros((0, 2), np.int64), got["astray"]),
        judge("cores reached, file's entries", "the file's routers", expected, np.concatenate([empty, *theirs])),
    ]
    count = sum(len(e) for e in work.network.routes.values())
    limit = sum(len(e) for e in work.theirs.values())
    note = "" if count <= limit else f"{count} entries, the file has {limit}"
    verdicts.append(ArrayVerdict("number of entries", "our routers", count <= limit, problem=note))
    return verdicts, [f"router entries: ours {count}, the file's {limit}"], ""


def _arrived(work: RoutingCase, got: dict[str, Array]) -> Array:
    """How often each key arrived at each core [keys, cores]."""
    out = np.zeros((sum(map(len, work.keys)), len(work.placements)), np.int64)
    at: dict[tuple[int, int], int] = {}
    position = 0
    for row, keys in zip(work.first_rows(), work.keys):
        for k, key in enumerate(keys.tolist()):
            at[work.first[row] + k, key] = position
            position += 1
    for row in range(len(work.placements)):
        for source, key in got.get(f"arrived.{row}", np.zeros((0, 2), np.int64)).tolist():
            out[at[source, key], row] += 1
    return out


def _row(placements: Array, targets: tuple[tuple[Chip, int], ...]) -> Array:
    wanted = set(targets)
    return np.array([((int(x), int(y)), int(p)) in wanted for x, y, p in placements[:, :3]], np.int64)


def _reached(work: RoutingCase, s: Stream, keys: Array) -> Array:
    """How often each key arrives at each core by the file's entries [keys, cores]."""
    place = {(int(x), int(y), int(p)): k for k, (x, y, p) in enumerate(work.placements[:, :3])}
    out = np.zeros((len(keys), len(place)), np.int64)
    for (x, y), p, which in walk(work.theirs, work.board, s.chip, keys):
        if (x, y, p) in place:
            out[which, place[x, y, p]] += 1
        else:
            out[which] = -1  # it reaches a core that is not there
    return out
