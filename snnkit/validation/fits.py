"""One network and several chips: does it fit, what would it take, and what would it cost there?

    for fit in compare(graph, targets, samples):
        print(fit.target, fit.fits, fit.cores, fit.memory, fit.energy)

What a chip costs is not guessed from the float network: it is quantised, mapped, written to a temporary descriptor and
run on a few samples in the emulator, whose counters the chip's `energy.py` prices.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import emulator
from snnkit.descriptor.schema import Manifest
from snnkit.errors import FindingsError
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.targets.base import Target
from snnkit.validation.changes import Change, propose
from snnkit.validation.pipeline import Bias, Progress, Samples, graph_to_chip, rasters, write_descriptor

Array = np.ndarray[Any, Any]

NOTHING = "none: the model cannot be exported"
"""What firing rates rest on where there is no graph."""
RUN_SAMPLES = 8
"""So many samples are emulated for the costs."""


@dataclass(frozen=True)
class Cost:
    """A range with how well it is known, and by whom."""

    low: float
    high: float
    unit: str
    quality: str
    source: str


@dataclass(frozen=True)
class Fit:
    """One network on one chip.

    Attributes:
        target, title, evidence: of the chip, and of its emulator.
        fits: whether every check passed, down to the memory images.
        neurons: of the network. cores, chips: used. memory: bytes of the chip's memories.
        worst: the resource nearest to a core's limit, with its share and the core.
        lag: ticks by which the answer is late. clipped, weights: how many weights were cut to the chip's range.
        energy, latency: of a sample.
        changes: with which it would fit; None where none were found or needed.
        findings: everything that was said.
    """

    target: str
    title: str
    evidence: str
    fits: bool
    neurons: int
    cores: int | None = None
    chips: int | None = None
    memory: int | None = None
    worst: tuple[str, float, int] | None = None
    lag: int | None = None
    clipped: int | None = None
    weights: int | None = None
    energy: Cost | None = None
    latency: Cost | None = None
    changes: tuple[Change, ...] | None = None
    findings: tuple[Finding, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def compare(
    graph: Graph,
    targets: Iterable[Target],
    samples: Samples,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    progress: Progress | None = None,
) -> list[Fit]:
    """A float graph on the model's timeline on several chips.

    Args:
        graph: the network.
        targets: the chips.
        samples: [T, B, features…] like those that the chips will see; the first `RUN_SAMPLES` are emulated.
        bias, host: as in `snnkit.validation.check_model`.
        findings: what was found on the way to the graph.
        progress: told (stage, done, of).
    """
    targets, fits = list(targets), []
    for k, target in enumerate(targets):
        if progress is not None:
            progress("chips", k, len(targets))
        fits.append(fit(graph, target, samples, bias=bias, host=host, findings=findings))
    if progress is not None:
        progress("chips", len(targets), len(targets))
    return fits


def fit(
    graph: Graph,
    target: Target,
    samples: Samples,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    findings: Sequence[Finding] = (),
) -> Fit:
    """A float graph on one chip; arguments as in `compare`. Never raises for a network that does not fit."""
    spec = target.part("spec")
    about: dict[str, Any] = {
        "target": target.name, "title": target.title, "evidence": spec.EVIDENCE,
        "neurons": sum(p.n for p in graph.populations),
    }  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as folder:
            chip = graph_to_chip(graph, target, samples, bias=bias, host=host, findings=findings)
            few = {name: a[:, :RUN_SAMPLES] for name, a in rasters(graph, samples).items()}
            path = Path(folder) / "network.snnx"
            manifest = write_descriptor(path, chip, target, few).manifest
            engine = emulator.open(path)
            result = engine.run(few)
    except FindingsError as error:
        said = tuple(f for f in error.findings if isinstance(f, Finding))
        proposal = propose(graph, target, bias=bias, host=host, findings=said)
        changes = proposal.changes if proposal.fits and proposal.changes else None
        return Fit(**about, fits=False, changes=changes, findings=said)
    batch = next(iter(few.values())).shape[1]
    totals, used = result.totals(), manifest.resources.totals
    energy = target.part("energy")
    cost = energy.latency(totals, samples=batch, ticks=result.ticks, cores=used["cores"])
    connections = [c for layer in chip.report for c in layer.get("connections", {}).values()]
    return Fit(
        **about,
        fits=True,
        cores=used["cores"],
        chips=used["chips"],
        memory=energy.memory_bytes(used),
        worst=worst_resource(manifest),
        lag=max((layer.lag for layer in manifest.layers), default=0),
        clipped=sum(int(c.get("clipped", 0)) for c in connections),
        weights=sum(int(c.get("weights", 0)) for c in connections),
        energy=_energy(energy.estimate(totals, samples=batch)),
        latency=Cost(cost["low"], cost["high"], cost["unit"], cost["quality"], cost["source"]),
        findings=tuple(chip.findings),
    )


def unexported(target: Target, findings: Sequence[Finding]) -> Fit:
    """A model that cannot become a graph, whatever the chip."""
    return Fit(target.name, target.title, target.part("spec").EVIDENCE, False, 0, findings=tuple(findings))


def worst_resource(manifest: Manifest) -> tuple[str, float, int] | None:
    """The resource of which some core uses the largest share: (name, share, core)."""
    shares = [
        (name, row[name] / limit, row["core"])
        for row in manifest.resources.per_core
        for name, limit in manifest.resources.budget.items()
        if limit and name in row
    ]
    return max(shares, key=lambda s: s[1], default=None)


def _energy(estimate: Mapping[str, Any]) -> Cost | None:
    """From the lowest to the highest of all sets of figures."""
    sets = {name: v for name, v in estimate.items() if isinstance(v, Mapping) and "low" in v}
    if not sets:
        return None
    return Cost(
        min(v["low"] for v in sets.values()),
        max(v["high"] for v in sets.values()),
        str(estimate.get("unit", "")),
        ", ".join(dict.fromkeys(str(v.get("quality", "unknown")) for v in sets.values())),
        "; ".join(dict.fromkeys(str(v.get("source", "")) for v in sets.values())),
    )
