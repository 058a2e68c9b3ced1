"""Reference vectors through the whole road: file -> graph -> cores -> descriptor -> emulator in a fresh process.

The fresh process sees the descriptor folder, the stimulus and the random draws, nothing of the file. `graph/run.py`
runs the same network as a second opinion. Outputs are read from the lines of the output port.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor
from snnkit.graph.findings import Finding
from snnkit.graph.rules.truenorth import READINGS, TrueNorthReading
from snnkit.graph.run import run
from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.fresh import Job
from snnkit.targets.manifest import build_manifest
from snnkit.targets.replaying import Paths, Replayed, reasons, replay_files, safe_title
from snnkit.targets.truenorth import TARGET
from snnkit.targets.truenorth.lower import Lowered, LowerOptions, lower
from snnkit.targets.truenorth.vectors import OUTPUTS, ReplayCase, load, recognise

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Alternative:
    """An `alt_` array: the readings (of `graph.rules.truenorth.READINGS`) under which our executor gives exactly it."""

    array: str
    matched: tuple[str, ...]


@dataclass(frozen=True)
class ReplayResult(Replayed):
    """What became of one file. `published`: verdicts on answers that the file states beside its traces."""

    path: str
    name: str
    source: str
    steps: int
    cores: int
    emulator: tuple[ArrayVerdict, ...]
    second_opinion: tuple[ArrayVerdict, ...]
    published: tuple[ArrayVerdict, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    error: str = ""
    folder: str = ""

    @property
    def verdicts(self) -> tuple[ArrayVerdict, ...]:
        """All comparisons, the emulator's first."""
        return (*self.emulator, *self.second_opinion, *self.published)

    def lines(self) -> list[str]:
        """The result as text."""
        text = self.headline(self.name, f"{self.cores} cores") + reasons(self.error, self.findings)
        text += [
            f"  alt_{a.array}: {'equal under ' + ', '.join(a.matched) if a.matched else 'equal under no reading'}"
            for a in self.alternatives
        ]
        return text + self.ignored() + [f"  {r}" for r in self.remarks]


@dataclass(frozen=True, eq=False)
class _Work:
    """A case on its way: lowered, and its job if it fits."""

    case: ReplayCase
    lowered: Lowered
    job: Job | None


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
        resources: accepted for all targets; these files state no resources to compare with.
        keep: a folder that keeps the descriptors, as `<file>.snnx`.
        progress: called with what is being done.
        alter: called with every descriptor folder before it is run; a test may damage it.

    Raises:
        ReplayFormatError: a file is of a format that is not known here.
    """
    done = replay_files(paths, load=load, place=_place, judge=_result, progress=progress, alter=alter)
    return [result if keep is None else _keep(work, result, Path(keep)) for work, result in done]


def _place(case: ReplayCase, folder: Path) -> tuple[_Work, list[Job]]:
    lowered = lower(case.graph, LowerOptions(strict=False, leak_crossing=case.leak_crossing))
    if not lowered.ok:
        return _Work(case, lowered, None), []
    written = folder / "cores.snnx"
    _write(case, lowered, written)
    names = tuple(p.name for p in case.graph.populations)
    job = Job(written, folder / "result.npz", case.inputs, case.steps, names, draws=case.draws)
    return _Work(case, lowered, job), [job]


def _write(case: ReplayCase, lowered: Lowered, folder: Path, *, vectors: bool = False) -> None:
    proof: dict[str, Array] = {}
    if vectors and not case.draws:
        spikes = run(case.graph, case.inputs, ticks=case.steps, record=(), reading=_reading(case)).spikes
        proof = descriptor.Vectors(case.inputs, spikes).encode()
    provenance = {"vectors": case.name, "made_by": case.source}
    manifest = build_manifest(TARGET, case.graph.with_(name=safe_title(case.name)), lowered, provenance=provenance)
    descriptor.write(folder, manifest, lowered.arrays, proof)


def _keep(work: _Work, result: ReplayResult, keep: Path) -> ReplayResult:
    case, lowered = work.case, work.lowered
    if not lowered.ok:
        return result
    keep.mkdir(parents=True, exist_ok=True)
    folder, number = keep / f"{case.path.stem}.snnx", 2
    while folder.exists():
        folder, number = keep / f"{case.path.stem}-{number}.snnx", number + 1
    _write(case, lowered, folder, vectors=True)
    return replace(result, folder=str(folder))


# ------------------------------------------------------------------------------------------------------------- verdicts
def _reading(case: ReplayCase) -> TrueNorthReading:
    return TrueNorthReading(leak_crossing="zero" if case.leak_crossing == "zero" else "equation")


def _result(work: _Work) -> ReplayResult:
    case, lowered, job = work.case, work.lowered, work.job
    verdicts: list[ArrayVerdict] = []
    error = ""
    published: list[ArrayVerdict] = []
    if job is not None:
        traces, error = job.outcome()
        if not error:
            found = {key: trace[:, 0] for key, trace in traces.items()}
            got = _arrays(case, found)
            verdicts = [judge(key, "emulator", want, got.get(key)) for key, want in case.expected.items()]
            published = _published(case, got)
    mine = _computed(case, _reading(case))
    opinion = [judge(key, "graph", want, mine.get(key)) for key, want in case.expected.items()]
    return ReplayResult(
        str(case.path), case.name, case.source, case.steps, case.n_cores, tuple(verdicts), tuple(opinion),
        tuple(published), _alternatives(case), lowered.findings, case.unknown, case.remarks, error,
    )  # fmt: skip


def _computed(case: ReplayCase, reading: TrueNorthReading) -> dict[str, Array]:
    """All arrays of the file's kinds from the plain executor."""
    trace = run(case.graph, case.inputs, ticks=case.steps, reading=reading, draws=case.graph_draws)
    found = {
        f"{what}.{p.name}": trace.array(p.name, what)[:, 0]
        for p in case.graph.populations
        for what in ("s", "v")  # type: ignore[assignment]
    }
    return _arrays(case, found)


def _arrays(case: ReplayCase, traces: Mapping[str, Array]) -> dict[str, Array]:
    """The file's arrays from traces `s.<population>`, `v.<population>` [T, n]."""
    cores = range(case.n_cores)
    got = {
        "exp_v": np.stack([traces[f"v.core{c}"] for c in cores], 1),
        "exp_fired": np.stack([traces[f"s.core{c}"] for c in cores], 1),
        "exp_axon_active": np.stack([traces[f"s.axons{c}"] for c in cores], 1),
    }
    lines = traces.get(f"s.{OUTPUTS}", np.zeros((case.steps, 0), np.uint8))
    tick, index = np.nonzero(lines)
    count = lines[tick, index]
    got["exp_out_tick"], got["exp_out_index"] = np.repeat(tick, count), np.repeat(index, count)
    return got


def _published(case: ReplayCase, got: Mapping[str, Array]) -> list[ArrayVerdict]:
    """func_y, and the answer that ships with a data set: outputs of sample k leave in tick k + 1, in any order."""
    result = []
    function = case.function
    if "func_y" in function and case.n_cores == 1:
        want = function["func_y"].astype(np.int64)
        fired = got["exp_fired"][:, 0]
        if want.ndim == 2 and len(want) <= len(fired) and want.shape[1] <= fired.shape[1]:
            result.append(judge("func_y", "emulator", want, fired[: len(want), : want.shape[1]]))
    if {"published_out_sample", "published_out_index"} <= set(function):
        want = _sorted(function["published_out_sample"], function["published_out_index"])
        sample = got["exp_out_tick"] - 1
        inside = (sample >= 0) & (sample <= want[:, 0].max(initial=-1))
        result.append(judge("published_out", "emulator", want, _sorted(sample[inside], got["exp_out_index"][inside])))
    return result


def _sorted(a: Array, b: Array) -> Array:
    table = np.stack([a, b], 1).astype(np.int64)
    return np.asarray(table[np.lexsort((table[:, 1], table[:, 0]))])


def _alternatives(case: ReplayCase) -> tuple[Alternative, ...]:
    """Which readings give the `alt_` arrays."""
    if not case.alternatives:
        return ()
    ways = {name: _computed(case, reading) for name, reading in READINGS.items()}
    return tuple(
        Alternative(
            key.removeprefix("exp_"),
            tuple(way for way, computed in ways.items() if np.array_equal(computed[key], array)),
        )
        for key, array in case.alternatives.items()
    )


__all__ = ["Alternative", "ReplayCase", "ReplayResult", "load", "recognise", "replay"]
