"""Reference words of the host: our encoding of the same connection lists, with the file's placement, keys and shifts.

Source and neuron cores, their images and our routers go through a descriptor on disk. A fresh process walks every
neuron's key to the cores it reaches and looks it up in their population tables; the words that it finds must be those
that the file's tables give, as a multiset for each source neuron. Core and synapse parameters: word for word.

A neuron core without a population table and a synapse core without neurons (split cores) are cores of their own. Of
delay extensions nothing is kept but the blocks of undelayed synapses.
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
from snnkit.targets.replaying import safe_title
from snnkit.targets.spinnaker import TARGET, encoding_file, spec, words
from snnkit.targets.spinnaker.cases import Case
from snnkit.targets.spinnaker.encoding_file import Encoding, Target
from snnkit.targets.spinnaker.lower import Lowered
from snnkit.targets.spinnaker.machine import Chip
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.routes import Stream, build_routes
from snnkit.targets.spinnaker.routing_case import board_of
from snnkit.targets.spinnaker.schema import REGIONS

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class EncodingCase:
    """One file on its way. `numbers`: row of `core` of every target. `source`: number of the first neuron of a core, by
    (population, first neuron)."""

    case: Case
    encoding: Encoding
    network: Network
    numbers: list[int]
    source: dict[tuple[int, int], int]
    job: Job | None = None


def read(case: Case) -> EncodingCase:
    """Place and encode a file's network.

    Raises:
        ReplayFormatError: a field is missing, or the chips are on no board.
    """
    board = board_of({(int(x), int(y)) for x, y, *_ in case.take("placements").reshape(-1, 6)})
    if board is None:
        raise case.fail("its chips lie on no board that is known", fix="known: SpiNN-5 and triads")
    e = encoding_file.read(case)
    targets = [_place(case, e, t) for t in e.targets]
    cores: list[PlacedCore] = []
    host = [np.zeros((0, 4), np.int64)]
    source: dict[tuple[int, int], int] = {}
    streams: list[Stream] = []
    held = {t.place for t in e.targets}
    silent = sorted(p for p in e.sources if all(t.population != p for t in e.targets))
    lines = 0
    for port, population in enumerate(silent):
        s = e.sources[population]
        for x, y, p, mine, first, last in e.placements.tolist():
            if mine == population and (x, y, p) not in held:
                keys = s.keys(int(e.sizes[population]))[first : last + 1]
                number, line = len(cores), np.arange(first, last + 1)
                host.append(np.stack([0 * line + port, line, 0 * line + number, keys], 1))
                source[population, first] = lines + first
                streams.append(_stream(e, population, (x, y), int(keys[0])))
                cores.append(PlacedCore((x, y), p, spec.SOURCE, _port(population), line))
        lines += int(e.sizes[population])
    at = lines if silent else 1  # a descriptor has a port in any case
    for t, core in zip(e.targets, targets):
        if core.key is not None and t.population in e.sources:
            source[t.population, t.first] = at
            streams.append(_stream(e, t.population, core.chip, core.key))
        else:
            core.key = None
        at += core.n
    routes = build_routes(streams, board)
    network = Network(board, cores + targets, np.concatenate(host), routes, {c.layer: c.n for c in targets})
    return EncodingCase(case, e, network, list(range(len(cores), len(cores) + len(targets))), source)


def _port(population: int) -> str:
    return f"source {population}"


def _stream(e: Encoding, population: int, chip: Chip, key: int) -> Stream:
    """From one core to all cores that hold synapses of its population."""
    s = e.sources[population]
    mask = 0xFFFFFFFF & ~((1 << s.shift) - 1) if s.core_mask else s.mask
    wanted = tuple(((t.place[0], t.place[1]), t.place[2]) for t in e.targets if _knows(e, t, population))
    return Stream(chip, key & mask, mask, wanted)


def _knows(e: Encoding, t: Target, population: int) -> bool:
    """Whether a core's table has an entry for a population that projects to it."""
    if "PopTable" not in t.regions or all((p.pre, p.post) != (population, t.population) for p in e.lists):
        return False
    return e.sources[population].key in words.read_table(t.regions["PopTable"], 0).entries[:, 0]


def _place(case: Case, e: Encoding, t: Target) -> PlacedCore:
    """Our core of the same place, with the blocks of every source that its own table knows."""
    n = t.last - t.first + 1
    own = t.regions.get("NeuronCoreParams")
    core = PlacedCore(
        (t.place[0], t.place[1]), t.place[2], spec.EXP if e.model == "IF_curr_exp" else spec.DELTA,
        f"{t.population}.{t.first}.{t.place[2]}.{t.place[0]}.{t.place[1]}", np.arange(n), e.most(t.population),
        encoding_file.parameters(case, n, e.ts), t.shift, t.delay_bits,
        int(own[7]) if own is not None and own[0] else None,
        stdp=t.regions.get("synapseDynamicsParams", np.zeros(0, np.uint32)),
    )  # fmt: skip
    for pre in sorted({p.pre for p in e.lists if p.post == t.population}):
        if not _knows(e, t, pre):
            continue
        s, joined = e.sources[pre], e.synapses(pre, t)
        within = np.arange(len(joined.row)) - np.searchsorted(joined.row, joined.row, side="left")
        for part in range(int(within.max(initial=0)) // spec.ROW_WORDS_MAX + 1):
            some = joined.take(within // spec.ROW_WORDS_MAX == part)
            core.blocks.append(
                words.Block(s.key, s.mask, s.core_mask, s.shift, s.per_core, int(e.sizes[pre]), some, s.colour)
            )
    return core


def write(work: EncodingCase, folder: Path, result: Path) -> None:
    """Write the descriptor and make its job."""
    cores = [c for c in work.network.cores if c.binary != spec.SOURCE]

    def neuron(c: PlacedCore) -> SpinnakerNeuron:
        raw = {k: np.asarray(v, np.int32) for k, v in c.raw.items()}
        return SpinnakerNeuron(model="exp" if c.binary == spec.EXP else "delta", **raw)  # type: ignore[arg-type]

    title = safe_title(work.case.name, "words")
    e = work.encoding
    silent = sorted(p for p in e.sources if all(t.population != p for t in e.targets))
    ports = tuple(Input(_port(p), (int(e.sizes[p]),)) for p in silent) or (Input("none", (1,)),)
    populations = tuple(Population(c.layer, (c.n,), neuron(c)) for c in cores)
    graph = Graph(title, ports, populations, (), timeline="chip")
    lowered = Lowered.of(work.network, findings=())
    descriptor.write(folder, build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    work.job = Job(folder, result, {}, 0, (), call="snnkit.targets.spinnaker.probes:rows")


def compare(work: EncodingCase) -> tuple[list[ArrayVerdict], list[str], str]:
    """(verdicts, remarks, error)."""
    assert work.job is not None
    got, error = work.job.probes()
    if error:
        return [], [], error
    e, covered = work.encoding, set()
    verdicts: list[ArrayVerdict] = []
    for number, t in zip(work.numbers, e.targets):
        where = "core " + " ".join(map(str, t.place))
        for theirs, name in (
            ("NeuronCoreParams", "core_params"), ("SynapseParams", "synapse_params"), ("NeuronParams", "neuron_params"),
            ("synapseDynamicsParams", "stdp_params"),
        ):  # fmt: skip
            if theirs in t.regions:
                verdicts.append(judge(f"{where} {theirs}", "encoder", t.regions[theirs], got[f"{name}.{number}"]))
        if "PopTable" not in t.regions or "SynBlocks" not in t.regions:
            continue
        wanted = [np.zeros((0, 3), np.int64)]
        table = words.read_table(t.regions["PopTable"], number)
        for population, s in sorted(e.sources.items()):
            found = words.found(table, t.regions["SynBlocks"], s.keys(int(e.sizes[population])), number)
            if len(found) or _knows(e, t, population):
                covered.add((population, t.population, t.first))
            found[:, 0] = [_source(work, population, int(k)) for k in found[:, 0]]
            wanted.append(found)
        rows = np.concatenate(wanted)
        rows = rows[np.lexsort(rows.T[::-1])]
        verdicts.append(judge(f"{where} words by source", "emulator", rows, got[f"words.{number}"]))
    for t in e.targets:
        for p in e.lists:
            if p.post == t.population and (p.pre, p.post, t.first) not in covered and _some(e, p.pre, t):
                verdicts.append(ArrayVerdict(f"population {p.pre} to {p.post} from neuron {t.first}", "emulator", False,
                                             problem="no core has an entry for it"))  # fmt: skip
    verdicts.append(judge("packets without an entry", "emulator", np.zeros((0, 2), np.int64), got["lost"]))
    remarks = []
    if any("synapseDynamicsParams" in t.regions for t in e.targets):
        remarks.append("synapseDynamicsParams: the rule is read from the file and written again")
    regions = [core.regions() for core in work.network.cores]
    total = sum(4 * len(r[k]) for r in regions for k in REGIONS)
    return verdicts, [*remarks, f"regions of all cores: {total:,} bytes"], ""


def _some(e: Encoding, pre: int, t: Target) -> bool:
    return len(e.synapses(pre, t).row) > 0


def _source(work: EncodingCase, population: int, neuron: int) -> int:
    """The emulator's number of a neuron that sends."""
    first = max((f for p, f in work.source if p == population and f <= neuron), default=0)
    return work.source.get((population, first), -(10**9)) + neuron - first
