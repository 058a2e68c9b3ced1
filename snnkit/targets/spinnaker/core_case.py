"""A reference core (neurons, rows, packets): placed, written, run with every probe, compared value by value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from snnkit import descriptor
from snnkit.graph.model import Connection, Graph, Input, Population
from snnkit.graph.neurons import SpinnakerNeuron
from snnkit.graph.rules.spinnaker_core import CoreRow, run_core
from snnkit.graph.rules.spinnaker_stdp import Synapse
from snnkit.graph.run import run
from snnkit.graph.synapses import Sparse, SpinnakerPair, SpinnakerWeightFormat
from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.fresh import Job
from snnkit.targets.manifest import build_manifest
from snnkit.targets.replaying import safe_title
from snnkit.targets.spinnaker import TARGET, spec, words
from snnkit.targets.spinnaker.cases import PARAMETERS, Case
from snnkit.targets.spinnaker.lower import Lowered
from snnkit.targets.spinnaker.network import Network, PlacedCore
from snnkit.targets.spinnaker.pair_rule import read_rule
from snnkit.targets.spinnaker.routes import Stream, build_routes

Array = np.ndarray[Any, Any]

PORT, LAYER = "packets", "core"
_BINARY = {
    ("IF_curr_exp", "static"): spec.EXP,
    ("IF_curr_delta", "static"): spec.DELTA,
    ("IF_curr_exp", "additive"): spec.EXP_ADDITIVE,
    ("IF_curr_exp", "multiplicative"): spec.EXP_MULTIPLICATIVE,
}


@dataclass(eq=False)
class CoreCase:
    """One file on its way: its network, packets in order, and the graph of the second opinion (static rows only)."""

    case: Case
    network: Network
    packets: Array
    steps: int
    n_rows: int
    own: int
    rows_block: tuple[words.Block, ...]
    lowered: Lowered
    graph: Graph
    job: Job | None = None


def read(case: Case) -> CoreCase:
    """Place the network of a file.

    Raises:
        ReplayFormatError: a field is missing, of the wrong shape, or beyond what a core can hold.
    """
    n, steps = case.number("n_neurons"), case.number("n_steps")
    binary = _BINARY.get((case.text("model"), case.text("learning", "static")))
    if binary is None:
        raise case.fail(f"no program for {case.text('model')!r} with {case.text('learning')!r} synapses")
    case.text("desc", "")
    raw = {k: case.take(f"p_{k}", (n,)).astype(np.int64) for k in PARAMETERS}
    delay_bits, target_bits = case.number("log_max_delay"), case.number("log_n_neurons", words.bits_for(n))
    if target_bits != words.bits_for(n):
        raise case.fail(f"{n} neurons with {target_bits} bits of index; a core of {n} has {words.bits_for(n)}")
    shift = tuple(int(s) for s in case.take("shift", (2,)))
    syn = case.take("syn").astype(np.int64).reshape(-1, 5)
    own = case.number("own_row_base", -1)
    events = case.take("events").astype(np.int64).reshape(-1, 2)
    n_rows = max(case.number("n_rows", 0), int(syn[:, 0].max(initial=-1)) + 1, int(events[:, 1].max(initial=-1)) + 1)
    n_rows = max(n_rows, own + n if own >= 0 else 0)
    plastic_rows = case.take("plastic_rows").tolist() if case.has("plastic_rows") else []
    synapses = words.Synapses(syn[:, 0], syn[:, 1], syn[:, 2], syn[:, 3], syn[:, 4], np.isin(syn[:, 0], plastic_rows))
    _check(case, synapses, n, delay_bits)
    stdp = case.take("stdp_words").astype(np.uint32) if case.has("stdp_words") else np.zeros(0, np.uint32)
    core = PlacedCore(
        (0, 0), 4, binary, LAYER, np.arange(n), n, raw, shift, delay_bits, stdp=stdp,  # type: ignore[arg-type]
    )  # fmt: skip
    stored = replace(synapses, delay=synapses.delay & ((1 << delay_bits) - 1))  # 2**bits is written as 0 here
    network = _network(core, stored, n_rows, own, n)
    packets = events[np.argsort(events[:, 0], kind="stable")]
    lowered = Lowered.of(network, findings=())
    return CoreCase(
        case, network, packets, steps, n_rows, own, tuple(core.blocks), lowered,
        _graph(case.name, core, synapses, n_rows, own, steps),
    )  # fmt: skip


def _check(case: Case, s: words.Synapses, n: int, delay_bits: int) -> None:
    for name, values, low, high in (
        ("target", s.target, 0, n - 1), ("weight", s.weight, 0, spec.WEIGHT_MAX),
        ("delay", s.delay, 1, 1 << delay_bits),
        ("type", s.receptor, 0, spec.RECEPTORS - 1), ("row", s.row, 0, 2**24),
    ):  # fmt: skip
        wrong = values[(values < low) | (values > high)]
        if wrong.size:
            raise case.fail(f"a synapse has {name} {int(wrong[0])}, a core can hold {low}..{high}")


def _network(core: PlacedCore, synapses: words.Synapses, n_rows: int, own: int, n: int) -> Network:
    """One source core whose line r sends the key of row r; rows from `own` on are those of the core's own neurons."""
    first = min(n_rows, own) if own >= 0 else n_rows
    lines = max(n_rows, 1)
    bits = words.bits_for(max(first, 1)) + spec.COLOUR_BITS
    mask = 0xFFFFFFFF & ~((1 << bits) - 1)
    keys = np.arange(lines) << spec.COLOUR_BITS
    targets = (((0, 0), 4),)
    streams = [Stream((0, 0), 0, mask, targets)]
    core.blocks.append(words.Block(0, mask, 0, bits, max(first, 1), max(first, 1), synapses.take(synapses.row < first)))
    if own >= 0:
        own_bits = words.bits_for(n) + spec.COLOUR_BITS
        core.key = 1 << max(bits, own_bits)
        own_mask = 0xFFFFFFFF & ~((1 << own_bits) - 1)
        rest = synapses.take(synapses.row >= first)
        moved = words.Synapses(rest.row - own, *(getattr(rest, k) for k in list(rest.__dataclass_fields__)[1:]))
        core.blocks.append(words.Block(core.key, own_mask, 0, own_bits, n, n, moved))
        streams.append(Stream((0, 0), core.key, own_mask, targets))
        keys[own:] = core.key + (np.arange(lines - own) << spec.COLOUR_BITS)
    source = PlacedCore((0, 0), 3, spec.SOURCE, PORT, np.arange(lines))
    host = np.stack([np.zeros(lines, np.int64), np.arange(lines), np.zeros(lines, np.int64), keys], 1)
    return Network("SpiNN-3", [source, core], host, build_routes(streams, "SpiNN-3"), {LAYER: n})


def _graph(name: str, core: PlacedCore, s: words.Synapses, n_rows: int, own: int, steps: int) -> Graph:
    raw = {k: x.astype(np.int32) for k, x in core.raw.items()}
    model = "delta" if core.binary == spec.DELTA else "exp"
    neuron = SpinnakerNeuron(model=model, shift=core.shift, delay_bits=core.delay_bits, **raw)  # type: ignore[arg-type]
    connections = []
    for src, low, high in ((PORT, 0, n_rows), *(((LAYER, own, own + core.n),) if own >= 0 else ())):
        for receptor in (0, 1):
            for delay in np.unique(s.delay):
                mine = (s.receptor == receptor) & (s.delay == delay) & (s.row >= low) & (s.row < high)
                shape = (core.n, max(high - low, 1))
                matrix = sp.csr_matrix((s.weight[mine], (s.target[mine], s.row[mine] - low)), shape=shape)
                label = f"{src}.{receptor}.{delay}"
                connections.append(
                    Connection(label, src, LAYER, Sparse(matrix), int(delay), SpinnakerWeightFormat(receptor))
                )
    title = safe_title(name)
    ports = (Input(PORT, (max(n_rows, 1),), max_count=255),)
    population = Population(LAYER, (core.n,), neuron)
    return Graph(title, ports, (population,), tuple(connections), steps=steps, timeline="chip")


def write(work: CoreCase, folder: Path, result: Path) -> None:
    """Write the descriptor and make its job."""
    manifest = build_manifest(TARGET, work.graph, work.lowered, provenance={"vectors": work.graph.name})
    descriptor.write(folder, manifest, work.lowered.arrays, {})
    work.job = Job(folder, result, {}, work.steps, (), packets=work.packets)


def compare(work: CoreCase) -> tuple[list[ArrayVerdict], list[str], str]:
    """Every array of the file against the emulator's, and against the plain executor's where rows are static."""
    assert work.job is not None
    got, error = work.job.probes()
    if error:
        return [], [], error
    case, n, t = work.case, work.network.cores[1].n, work.steps
    verdicts: list[ArrayVerdict] = []

    def add(name: str, ours: Array, by: str = "emulator") -> None:
        if case.has(name):
            verdicts.append(judge(name, by, case.take(name), ours))

    for name in ("v_start", "gsyn_exc", "gsyn_inh", "v_end", "syn_exc_end", "syn_inh_end", "refrac_end", "ring"):
        add(f"o_{name}", got[name])
    add("o_spikes", got["spikes"])
    for name in ("sat_fixed", "sat_plastic"):
        if case.has(f"o_{name}"):
            want = case.take(f"o_{name}").reshape(1)
            verdicts.append(judge(f"o_{name}", "emulator", want, got[name].reshape(1)))
    for name in ("R", "exp_tc", "t_refract", "decay_exc", "decay_inh", "init_exc", "init_inh"):
        add(f"d_{name}", got[f"d.1.{name}"])
    places = row_places(work)
    memory = work.lowered.arrays["synaptic_matrix"]
    if case.has("row_words"):
        ours, lengths = _row_words(memory[None], places)
        verdicts.append(judge("row_words", "encoder", case.take("row_words"), ours[0]))
        if case.has("row_len"):
            add("row_len", lengths.astype(case.arrays["row_len"].dtype), "encoder")
    if case.has("o_row_words_t"):
        add("o_row_words_t", _row_words(got["matrix.1"], places)[0])
    if case.has("stdp_words"):
        verdicts += _second_opinion_learning(work, places)
    else:
        verdicts += _second_opinion(work, n, t)
    return verdicts, [], ""


def row_places(work: CoreCase) -> list[int]:
    """The first word of every row of the file in the synaptic matrix."""
    table = words.read_table(work.network.cores[1].regions()["population_table"], 1)
    places: list[int] = []
    for e in table.entries:
        for a in range(e[2], e[2] + e[4]):
            stride = table.length[a] + spec.ROW_HEADER_WORDS
            places += [int(table.word[a] + k * stride) for k in range(e[7])]
    return places[: work.n_rows]


def _row_words(memory: Array, places: list[int]) -> tuple[Array, Array]:
    """The used words of all rows, one after the other, [M, words], and their lengths."""
    w = memory[0].astype(np.int64)
    start = np.array(places, np.int64)
    p = w[start] if len(start) else start
    end = start + 3 + p + w[start + 1 + p] + (w[start + 2 + p] + 1) // 2 if len(start) else start
    index = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b) for a, b in zip(start, end))])
    return memory[:, index], end - start


def _second_opinion_learning(work: CoreCase, places: list[int]) -> list[ArrayVerdict]:
    """The plain core, with pair STDP: spikes, v, and the words that learned."""
    case, core, n = work.case, work.network.cores[1], work.network.cores[1].n
    rows = [CoreRow() for _ in range(max(work.n_rows, 1))]
    plastic = set(case.take("plastic_rows").tolist()) if case.has("plastic_rows") else set()
    for number, target, word, delay, receptor in case.take("syn").astype(np.int64).reshape(-1, 5).tolist():
        if number in plastic:
            rows[number].learning.append(Synapse(target, delay % (1 << core.delay_bits), receptor, word))
        else:
            rows[number].fixed.append((target, word, delay, receptor))
    rule = read_rule(core.stdp, core.binary, 1)
    size = rule.sizes
    pair = SpinnakerPair(
        tuple(rule.tables[0, : size[0]].tolist()), tuple(rule.tables[1, : size[1]].tolist()),
        tuple(map(tuple, rule.limits.tolist())), bool(rule.multiplicative), bool(rule.back), rule.shifts,  # type: ignore[arg-type]
    )  # fmt: skip
    neuron = work.graph.populations[0].neuron
    assert isinstance(neuron, SpinnakerNeuron)
    got = run_core(neuron, n, rows, pair, work.packets, work.steps, work.own)
    verdicts = [
        judge(name, "graph", case.take(name), ours)
        for name, ours in (("o_spikes", got.spikes), ("o_v_end", got.v))
        if case.has(name)
    ]
    if case.has("o_row_words_t"):
        memory = case.take("o_row_words_t").astype(np.int64)
        _, lengths = _row_words(work.lowered.arrays["synaptic_matrix"][None], places)
        start = np.cumsum(lengths) - lengths
        parts = [np.zeros((len(memory), 0), np.int64)]
        for r, row in enumerate(rows):
            k = np.arange(len(row.learning))
            parts.append(memory[:, start[r] + 3 + k // 2] >> (16 * (k % 2)) & 0xFFFF if len(k) else parts[0])
        verdicts.append(judge("o_row_words_t, weights", "graph", np.concatenate(parts, 1), got.words))
    return verdicts


def _second_opinion(work: CoreCase, n: int, steps: int) -> list[ArrayVerdict]:
    raster = np.zeros((steps, 1, max(work.n_rows, 1)), np.int64)
    inside = work.packets[work.packets[:, 0] < steps]
    np.add.at(raster[:, 0], (inside[:, 0], inside[:, 1]), 1)
    trace = run(work.graph, {PORT: raster}, ticks=steps)
    case = work.case
    spikes, v = trace.spikes[LAYER][:, 0], trace.v[LAYER][:, 0]
    return [
        judge(name, "graph", case.take(name), ours)
        for name, ours in (("o_spikes", spikes), ("o_v_end", v))
        if case.has(name)
    ]
