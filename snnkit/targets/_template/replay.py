"""Reference vectors through the whole road: file -> graph -> cores -> descriptor -> emulator in a fresh process.

The toy's format, made for this example, is one JSON object, recognised by its fields and never by its name:

    format        "toy-vectors/1"
    steps         T
    inputs        {name: [T][n] of 0 and 1}
    populations   [{name, leak [n], threshold [n], reset [n]}]
    connections   [{src, dst, weight [n_dst][n_src]}]; a neuron's spike acts one step later, an input at once
    expected      {"s": {population: [T][n]}, "v": {population: [T][n]}}

`graph/run.py` runs the same network as a second opinion. Fields that are not known here are listed and ignored.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor
from snnkit.errors import ReplayFormatError, SnnkitError
from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Input, Population
from snnkit.graph.run import run
from snnkit.graph.synapses import Dense, IntegerFormat
from snnkit.targets._template import TARGET, spec
from snnkit.targets._template.lower import Lowered, lower
from snnkit.targets._template.neuron import ToyNeuron
from snnkit.targets.comparison import ArrayVerdict, judge
from snnkit.targets.fresh import Job
from snnkit.targets.manifest import build_manifest
from snnkit.targets.replaying import Paths, Replayed, reasons, replay_files

Array = np.ndarray[Any, Any]

FORMAT = "toy-vectors/1"
_FIELDS = {"format", "steps", "inputs", "populations", "connections", "expected"}


@dataclass(frozen=True, eq=False)
class Case:
    """One file: the placed integer network, its stimulus [T, 1, n], and what must come out [T, n]."""

    path: Path
    graph: Graph
    inputs: dict[str, Array]
    expected: dict[str, Array]
    unknown: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem


@dataclass(frozen=True, eq=False)
class _Work:
    """A case on its way: lowered, and its job if it fits."""

    case: Case
    made: Lowered
    job: Job | None


@dataclass(frozen=True)
class ReplayResult(Replayed):
    """What became of one file."""

    path: str
    cores: int
    verdicts: tuple[ArrayVerdict, ...]
    findings: tuple[Finding, ...] = ()
    error: str = ""
    unknown: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The result as text."""
        text = self.headline(self.path, f"{self.cores} cores")
        return text + reasons(self.error, self.findings) + self.ignored()


def recognise(path: str | os.PathLike[str]) -> bool:
    """True if the file's fields are those of this format, whatever its name."""
    try:
        return _read(Path(path)).get("format") == FORMAT
    except ReplayFormatError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReplayFormatError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise ReplayFormatError(f"{path}: holds no JSON object")
    return content


def load(path: str | os.PathLike[str]) -> Case:
    """Read a file.

    Raises:
        ReplayFormatError: it is of another format, or a field does not fit.
    """
    path = Path(path)
    content = _read(path)
    if content.get("format") != FORMAT:
        raise ReplayFormatError(f"{path}: is not of the format {FORMAT}", fix="see targets/_template/replay.py")
    try:
        steps = int(content["steps"])
        rasters = {name: np.array(rows, np.uint8).reshape(steps, -1) for name, rows in content["inputs"].items()}
        populations = tuple(
            Population(p["name"], (len(p["leak"]),), ToyNeuron(*(np.array(p[k], np.int32) for k in
                       ("leak", "threshold", "reset"))))
            for p in content["populations"]
        )  # fmt: skip
        connections = tuple(
            Connection(f"W{k}", c["src"], c["dst"], Dense(np.array(c["weight"], np.int32)),
                       int(c["src"] not in rasters), IntegerFormat(spec.WEIGHT_BITS))
            for k, c in enumerate(content["connections"])
        )  # fmt: skip
        expected = {
            f"{what}.{name}": np.array(rows, np.int32)
            for what in ("s", "v")
            for name, rows in content["expected"].get(what, {}).items()
        }
        inputs = tuple(Input(name, (raster.shape[1],)) for name, raster in rasters.items())
        graph = Graph(path.stem, inputs, populations, connections, None, steps, timeline="chip")
        graph.validate()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SnnkitError) as error:
        raise ReplayFormatError(f"{path}: a field is missing or does not fit ({error})") from None
    stimulus = {name: raster[:, None] for name, raster in rasters.items()}
    return Case(path, graph, stimulus, expected, tuple(sorted(content.keys() - _FIELDS)))


def replay(
    paths: Paths,
    *,
    resources: bool = False,
    keep: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
    alter: Callable[[Path], None] | None = None,
) -> list[ReplayResult]:
    """Run reference files; all of them in one fresh process that sees descriptors and stimuli only.

    Args:
        resources: compare resources too; this format has none.
        keep: a folder that keeps the descriptors, as `<file>.snnx`.
        progress: called with what is being done.
        alter: called with every descriptor folder before it is run; a test may damage it.

    Raises:
        ReplayFormatError: a file is of a format that is not known here.
    """

    def place(case: Case, folder: Path) -> tuple[_Work, list[Job]]:
        made = lower(case.graph)
        if not made.ok:
            return _Work(case, made, None), []
        written = folder / f"{case.path.stem}.snnx"
        manifest = build_manifest(TARGET, case.graph, made, provenance={"vectors": case.path.name})
        descriptor.write(written, manifest, made.arrays, {})
        if keep is not None:
            shutil.copytree(written, Path(keep) / written.name, dirs_exist_ok=True)
        names = tuple(p.name for p in case.graph.populations)
        job = Job(written, folder / "result.npz", case.inputs, case.graph.steps or 0, names)
        return _Work(case, made, job), [job]

    done = replay_files(paths, load=load, place=place, judge=_result, progress=progress, alter=alter)
    return [result for _, result in done]


def _result(work: _Work) -> ReplayResult:
    case, made, job = work.case, work.made, work.job
    traces, error = ({}, "") if job is None else job.outcome()
    verdicts = []
    second = run(case.graph, case.inputs, ticks=case.graph.steps) if made.ok else None
    for name, want in case.expected.items():
        if job is not None and not error:
            found = traces.get(name)
            verdicts.append(judge(name, "emulator", want, None if found is None else found[:, 0]))
        if second is not None:
            what, _, population = name.partition(".")
            store = second.spikes if what == "s" else second.v
            mine = store.get(population)
            verdicts.append(judge(name, "graph", want, None if mine is None else mine[:, 0]))
    return ReplayResult(str(case.path), len(made.cores), tuple(verdicts), made.findings, error, case.unknown)
