"""Reference vectors through the whole road: file -> graph -> cores -> descriptor -> emulator in a fresh process.

The fresh process sees the descriptor folder and the stimulus, nothing of the file. `graph/run.py` runs the same network
as a second opinion. Convolutions run twice: as a matrix with discrete axons, and with population axons.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor
from snnkit.graph.model import Connection, Graph
from snnkit.graph.rules.loihi import READINGS, LoihiReading, effective_weight
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense, LoihiWeightFormat
from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.fresh import Job
from snnkit.targets.loihi import TARGET
from snnkit.targets.loihi.lower import Lowered, LowerOptions, lower
from snnkit.targets.loihi.replay_result import Alternative, PlacementResult, ReplayResult, ResourceRow
from snnkit.targets.loihi.vectors import ReplayCase, load, recognise
from snnkit.targets.manifest import build_manifest
from snnkit.targets.replaying import Paths, replay_files, safe_title

Array = np.ndarray[Any, Any]

_UTIL = {
    "compartments": "compartments",
    "in-axons": "input_axons",
    "out-axons": "output_axons",
    "synapses": "synapse_bits",
}
"""nengo-loihi's names of resources, and ours."""
_READING_OF = {"b2u": "brian2loihi_utils", "brian2_loihi": "brian2loihi", "lava-nc": "lava", "nengo-loihi": "nengo"}


@dataclass(eq=False)
class _Placement:
    """A placement on its way: lowered, written, to be run."""

    kind: str
    lowered: Lowered
    names: dict[str, str]
    folder: Path | None = None
    job: Job | None = None


@dataclass(eq=False)
class _Work:
    case: ReplayCase
    placements: list[_Placement] = field(default_factory=list)


def replay(
    paths: Paths,
    *,
    resources: bool = False,
    keep: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
    alter: Callable[[Path], None] | None = None,
) -> list[ReplayResult]:
    """Run reference files; all of them in one fresh process.

    Args:
        resources: also judge our resources against the file's counts.
        keep: a folder that keeps the descriptors, as `<file>.snnx` and `<file>.population.snnx`.
        progress: called with what is being done.
        alter: called with every descriptor folder before it is run; a test may damage it.

    Raises:
        ReplayFormatError: a file is of a format that is not known here.
    """

    def judge(work: _Work) -> ReplayResult:
        return _result(work, resources)

    done = replay_files(paths, load=load, place=_place, judge=judge, progress=progress, alter=alter)
    works, results = [work for work, _ in done], [result for _, result in done]
    return results if keep is None else _keep(works, results, Path(keep))


# ------------------------------------------------------------------------------------------------------- there and back
def _place(case: ReplayCase, root: Path) -> tuple[_Work, list[Job]]:
    work = _Work(case)
    matrix = lower(case.graph, LowerOptions(strict=False, as_dense=True))
    if matrix.ok:
        work.placements.append(_Placement("matrix", matrix, {}))
    else:
        lean = lower(case.graph, LowerOptions(strict=False))
        work.placements.append(_Placement("discrete", lean, {}) if lean.ok else _Placement("matrix", matrix, {}))
    if case.shared is not None:
        work.placements.append(_Placement("population", lower(case.shared, LowerOptions(strict=False, share=True)), {}))
    for p in work.placements:
        if not p.lowered.ok:
            continue
        p.names = _safe_names(case.graph)
        p.folder = root / f"{p.kind}.snnx"
        _write(case, p, vectors=False)
        p.job = Job(
            folder=p.folder,
            result=root / f"{p.kind}.npz",
            inputs={p.names[name]: raster for name, raster in case.inputs.items()},
            noise={p.names[name]: draws for name, draws in case.noise.items()},
            ticks=case.steps,
            trace=tuple(p.names[q.name] for q in case.graph.populations),
        )
    return work, [p.job for p in work.placements if p.job is not None]


def _safe_names(graph: Graph) -> dict[str, str]:
    """Names that a descriptor takes for nodes that may be called anything."""
    names: dict[str, str] = {}
    for name in graph.names():
        safe = safe_title(name, "_", 150)
        while safe in names.values():
            safe += "'"
        names[name] = safe
    return names


def _write(case: ReplayCase, p: _Placement, *, vectors: bool) -> None:
    """Write the descriptor under names that it takes; with the file's spikes as its own vectors only if kept."""
    assert p.folder is not None
    names = p.names
    graph = case.graph.with_(
        name=safe_title(case.name),
        inputs=tuple(replace(i, name=names[i.name]) for i in case.graph.inputs),
        populations=tuple(replace(q, name=names[q.name]) for q in case.graph.populations),
        connections=(),
    )
    arrays = {
        (f"placement.{names[key[10:]]}" if key.startswith("placement.") else key): value
        for key, value in p.lowered.arrays.items()
    }
    proof: dict[str, Array] = {}
    if vectors and not case.noise and all(f"s_{q.name}" in case.expected for q in case.graph.populations):
        spikes = {names[q.name]: case.expected[f"s_{q.name}"][:, None] for q in case.graph.populations}
        proof = descriptor.Vectors({names[k]: v for k, v in case.inputs.items()}, spikes).encode()
    provenance = {"vectors": case.name, "made_by": case.source, "placement": p.kind}
    manifest = build_manifest(TARGET, graph, p.lowered, provenance=provenance)
    descriptor.write(p.folder, manifest, arrays, proof)


def _keep(works: Sequence[_Work], results: list[ReplayResult], keep: Path) -> list[ReplayResult]:
    keep.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    kept = []
    for work, result in zip(works, results):
        stem, number = work.case.path.stem, 2
        while stem in taken:
            stem, number = f"{work.case.path.stem}-{number}", number + 1
        taken.add(stem)
        placements = []
        for p, shown in zip(work.placements, result.placements):
            if p.folder is not None:
                p.folder = keep / (f"{stem}.population.snnx" if p.kind == "population" else f"{stem}.snnx")
                _write(work.case, p, vectors=True)
                shown = replace(shown, folder=str(p.folder))
            placements.append(shown)
        kept.append(replace(result, placements=tuple(placements)))
    return kept


# ------------------------------------------------------------------------------------------------------------- verdicts
def _result(work: _Work, resources: bool) -> ReplayResult:
    case = work.case
    placements = []
    for p in work.placements:
        verdicts: list[ArrayVerdict] = []
        error = ""
        if p.job is not None:
            traces, error = p.job.outcome()
            if not error:
                for q in case.graph.populations:
                    for what in "suv":
                        key = f"{what}_{q.name}"
                        if key in case.expected:
                            got = traces.get(f"{what}.{p.names[q.name]}")
                            got = None if got is None else got[:, 0]
                            verdicts.append(judge(key, f"emulator, {p.kind}", case.expected[key], got))
        placements.append(
            PlacementResult(
                p.kind, len(p.lowered.cores), p.lowered.section.n_chips, tuple(verdicts),
                tuple(_resource_rows(case, p)), p.lowered.findings, error=error,
            )
        )  # fmt: skip
    mine = _computed(case, case.graph, LoihiReading())
    opinion = [judge(key, "graph", expected, mine.get(key)) for key, expected in case.expected.items()]
    return ReplayResult(
        str(case.path), case.name, case.source, case.steps, tuple(placements), tuple(opinion),
        tuple(_alternatives(case, mine)), case.unknown, case.remarks, resources,
    )  # fmt: skip


def _computed(case: ReplayCase, graph: Graph, reading: LoihiReading) -> dict[str, Array]:
    """All arrays of the file's kinds from the plain executor, by their names in the file."""
    trace = run(graph, case.inputs, ticks=case.steps, noise=case.noise, reading=reading)
    arrays = {
        f"{what}_{p.name}": trace.array(p.name, what)[:, 0]
        for p in graph.populations
        for what in ("s", "u", "v")  # type: ignore[assignment]
    }
    for c in graph.connections:
        assert isinstance(c.synapse, Dense)
        assert isinstance(c.format, LoihiWeightFormat)
        arrays[f"Weff{c.name[1:]}"] = effective_weight(c.synapse.weight, c.format, reading).T
    return arrays


def _alternatives(case: ReplayCase, mine: dict[str, Array]) -> list[Alternative]:
    """Which readings give the arrays that other references gave."""
    results = []
    for reference, arrays in sorted(case.alternatives.items()):
        known = _READING_OF.get(reference.lower(), reference.lower())
        readings = [known] if known in READINGS else [r for r in READINGS if r != "reference"]
        ways = {"reference": mine}
        for reading in readings:
            graph = case.graph
            if reading == "nengo" and case.requantized:
                graph = graph.with_(
                    connections=tuple(_with_weights(c, case.requantized.get(c.name)) for c in graph.connections)
                )
            ways[reading] = _computed(case, graph, READINGS[reading])
        for name, array in sorted(arrays.items()):
            matched = tuple(
                way for way, computed in ways.items() if name in computed and np.array_equal(computed[name], array)
            )
            results.append(Alternative(reference, name, matched))
    return results


def _with_weights(c: Connection, weight: Array | None) -> Connection:
    return c if weight is None else replace(c, synapse=Dense(np.asarray(weight, np.int32)))


def _resource_rows(case: ReplayCase, p: _Placement) -> Iterable[ResourceRow]:
    if not p.lowered.ok:
        return
    shared = p.kind == "population"
    theirs = case.util_pop if shared else case.util
    for population, ours in p.lowered.resources()["layers"].items():
        for name, key in _UTIL.items():
            value, count = theirs.get(population, {}).get(name), ours["cores"]
            ok = None
            if value is not None and count == 1:
                ok = ours[key] <= value if shared else ours[key] == value
            elif value is not None and shared:
                ok = True if ours[key] <= value else None
            yield ResourceRow(population, name, ours[key], value, count, ok)


__all__ = ["Alternative", "PlacementResult", "ReplayCase", "ReplayResult", "load", "recognise", "replay"]
