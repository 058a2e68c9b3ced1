"""A model in a chip's integers, and how it runs without the chip: the second opinion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from snnkit.errors import UsageError
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.graph.run import Trace, run
from snnkit.passes.split_host import Split

Array = np.ndarray[Any, Any]
Progress = Callable[[str, int, int], None]
Bias = Literal["gated", "register"]
Samples = Array | Mapping[str, Array]
"""Frames [T, B, features…] of the one input, or by input name."""


@dataclass(frozen=True)
class ChipGraph:
    """A model in the chip's integers, with everything that was said on the way.

    `float_graph` is the whole on the model's timeline, `graph` holds the integers of the chip's part on the chip's
    timeline; `split` has what the host runs, None where the chip runs everything.
    """

    float_graph: Graph
    graph: Graph
    report: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    split: Split | None = None

    @property
    def layers(self) -> list[str]:
        """All layers in the order of evaluation, those on the host included."""
        host = self.split or Split(None, self.graph, None)
        parts = (host.before, self.graph, host.after)
        return [p.name for part in parts if part is not None for p in part.populations]

    def run(self, samples: Samples, *, record: Sequence[str] = (), progress: Progress | None = None) -> WholeTrace:
        """The integers and the host's part by `graph/run.py`, on samples [T, B, …]; the second opinion."""
        inputs = rasters(self.float_graph, samples)
        split = self.split or Split(None, self.graph, None)
        parts: list[Trace] = []
        rows: dict[str, Array] = dict(inputs)
        for part in (split.before, self.graph, split.after):
            if part is None:
                continue
            tick = None if progress is None else (lambda done, of: progress("vectors", done, of))
            mine = {i.name: rows[i.name] for i in part.inputs if i.gate_from is None}
            parts.append(run(part, mine, record=record, progress=tick))
            rows |= {p.name: parts[-1].aligned(p.name) for p in part.populations}
        return WholeTrace(inputs, tuple(parts))


@dataclass(frozen=True, eq=False)
class WholeTrace:
    """What `ChipGraph.run` did: inputs [T, B, n], and the traces of the parts, host, chip, host."""

    inputs: dict[str, Array]
    parts: tuple[Trace, ...]

    @property
    def ticks(self) -> int:
        """The longest part."""
        return max(p.ticks for p in self.parts)

    def spikes(self) -> dict[str, Array]:
        """By layer [ticks, B, n]; the host's are silent behind the sample."""
        return {n: _longer(s, self.ticks) for p in self.parts for n, s in p.spikes.items()}

    def aligned(self, what: Literal["s", "v"] = "s") -> dict[str, Array]:
        """By layer [T, B, n], each on its own steps."""
        return {q.name: p.aligned(q.name, what) for p in self.parts for q in p.graph.populations}

    def answer(self) -> Array | None:
        """The class per sample, of the last part that reads one out."""
        found = [p for p in self.parts if p.graph.readout is not None]
        return found[-1].answer() if found else None


def _longer(trace: Array, ticks: int) -> Array:
    return np.concatenate([trace, np.zeros((ticks - len(trace), *trace.shape[1:]), trace.dtype)])


def rasters(graph: Graph, samples: Samples) -> dict[str, Array]:
    """Samples [T, B, features…] as uint8 rasters [T, B, n] by input name.

    Raises:
        UsageError: one array for several inputs, an input without samples, or values that no host could send.
    """
    data = {i.name: i for i in graph.inputs if i.gate_from is None}
    names = list(data)
    if not isinstance(samples, Mapping):
        if len(names) != 1:
            raise UsageError(f"the model has the inputs {', '.join(names)}", fix="give a dict of samples by input name")
        samples = {names[0]: samples}
    missing = [n for n in names if n not in samples]
    if missing:
        raise UsageError(f"no samples for the input {missing[0]!r}")
    return {n: _raster(n, np.asarray(samples[n]), i.max_count) for n, i in data.items()}


def _raster(name: str, samples: Array, most: int) -> Array:
    out = samples.reshape(*samples.shape[:2], -1).astype(np.uint8)
    if samples.dtype not in (np.bool_, np.uint8) and not np.array_equal(out, samples.reshape(out.shape)):
        raise UsageError(
            f"the samples of {name!r} are no whole numbers from 0 to {most}", fix="bin the events as counts"
        )
    if out.size and out.max() > most:
        raise UsageError(f"the samples of {name!r} go up to {out.max()}, the network takes up to {most}",
                         fix="bin the events as binary frames")  # fmt: skip
    return out
