"""What every target must do, whatever the chip: tried on random networks inside its declared capabilities.

    from snnkit.validation.conformance import conformance
    print(conformance(target, folder))

`tests/conformance` runs the same functions on every target. Each function returns what is wrong as sentences, so that
all of it is seen at once; an exception is a fault of the target (what does not fit is a finding).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor, emulator
from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.graph.findings import Finding, errors, has_errors
from snnkit.graph.model import Graph
from snnkit.graph.run import run
from snnkit.passes import loop_findings
from snnkit.targets.base import Target
from snnkit.targets.capabilities import Capabilities
from snnkit.validation.bad_files import FILES, damaged_files, hostile_images
from snnkit.validation.pipeline import Bias, ChipGraph, chip_timeline, write_descriptor
from snnkit.validation.random_graphs import random_graph

Array = np.ndarray[Any, Any]

SHARE = 0.95
"""So much of the random networks must map."""
BATCH = 3


@dataclass(frozen=True, eq=False)
class Outcome:
    """One network on one chip.

    Attributes:
        graph: the float network. problems: what is wrong, nothing if all is well.
        findings: why it did not map, where it did not.
        path: its descriptor, if it mapped. cores: how many it took.
        spikes, changed: neuron-steps, and in how many of them rounding changed whether a neuron fired.
    """

    graph: Graph
    problems: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    path: Path | None = None
    cores: int = 0
    spikes: int = 0
    changed: int = 0

    @property
    def mapped(self) -> bool:
        """Whether it went to the chip."""
        return self.path is not None


@dataclass(frozen=True)
class Conformance:
    """What `conformance` found about a target."""

    target: str
    networks: int
    mapped: int
    cores: int
    rounding: float
    allowed: float
    findings: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())

    @property
    def share(self) -> float:
        """Share of the networks that mapped."""
        return self.mapped / max(self.networks, 1)

    @property
    def ok(self) -> bool:
        """Whether the target does what every target must."""
        return not self.problems and self.share >= SHARE and self.rounding <= self.allowed

    def __str__(self) -> str:
        verdict = "conforms" if self.ok else "DOES NOT CONFORM"
        lines = [
            f"{self.target}: {verdict}; {self.mapped} of {self.networks} networks mapped, on up to {self.cores} cores; "
            f"rounding changed {self.rounding:.2%} of the spikes (allowed {self.allowed:.0%})"
        ]
        return "\n".join(lines + [f"  {p}" for p in self.problems] + [f"  refused: {f}" for f in self.findings])


def conformance(target: Target, folder: str | Path, *, networks: int = 20, seed: int = 0) -> Conformance:
    """Try a target on random networks, and damage one of its descriptors.

    Args:
        target: found by its name when descriptors are opened: built in, installed, or given to `targets.register`.
        folder: for descriptors.
        networks: how many. seed: of the first.
    """
    outcomes, problems = [], []
    for k in range(seed, seed + networks):
        try:
            outcome = try_random(target, random.Random(k), Path(folder) / str(k))
        except Exception as error:  # a target under test may raise anything: that is what is reported
            problems.append(f"network {k}: raised {type(error).__name__}: {error}")
            continue
        outcomes.append(outcome)
        problems += [f"network {k}: {p}" for p in outcome.problems]
    largest = max((o for o in outcomes if o.mapped), key=lambda o: o.spikes, default=None)
    if largest is not None and largest.path is not None:
        problems += damaged_files(largest.path)
        problems += hostile_images(largest.path)
    return Conformance(
        target.name,
        networks,
        sum(o.mapped for o in outcomes),
        max((o.cores for o in outcomes), default=0),
        sum(o.changed for o in outcomes) / max(sum(o.spikes for o in outcomes), 1),
        target.capabilities.rounding,
        tuple(str(f) for o in outcomes for f in errors(o.findings)),
        tuple(problems),
    )


def try_random(
    target: Target, rng: random.Random, folder: Path, *, wide: int = 160, frame: Capabilities | None = None
) -> Outcome:
    """Draw a network and a stimulus, and try them.

    Args:
        rng: `random.Random(seed)`, or hypothesis's.
        wide: the most neurons of a layer.
        frame: what is drawn; by default the target's capabilities.
    """
    can = frame or target.capabilities
    graph = random_graph(rng, can, wide=wide)
    bias: Bias = rng.choice(can.biases or ("gated",))
    numbers = np.random.default_rng(rng.randrange(2**32))
    x = {i.name: (numbers.random((graph.steps or 1, BATCH, i.n)) < 0.5).astype(np.uint8) for i in graph.inputs}
    return try_network(target, graph, bias, x, folder)


def try_network(target: Target, graph: Graph, bias: Bias, inputs: Mapping[str, Array], folder: Path) -> Outcome:
    """check -> quantise -> lower -> save -> load -> emulate, twice and in all variants, and compare."""
    late = graph if loop_findings(graph) else chip_timeline(graph, bias)
    found = list(target.check(late))
    if has_errors(found):
        return Outcome(graph, findings=tuple(found))
    made = target.quantize(late)
    if has_errors(made.findings):
        return Outcome(graph, findings=tuple(made.findings))
    lowered = target.lower(made.graph)
    if has_errors(lowered.findings):
        return Outcome(graph, findings=tuple(lowered.findings))
    chip = ChipGraph(graph, made.graph, made.report, found)
    path = folder / "a.snnx"
    write_descriptor(path, chip, target, inputs)
    write_descriptor(
        folder / "b.snnx", ChipGraph(graph, target.quantize(late).graph, made.report, found), target, inputs
    )
    opened = descriptor.load(path)
    problems = [*_same_files(path, folder / "b.snnx"), *_budgets(opened), *_placed_once(target, opened)]
    result = emulator.open(path).run(inputs)
    problems += _equal(target, made.graph, inputs, result, path)
    problems += _in_pieces(opened, inputs, result)
    for options in target.capabilities.variants:
        problems += _variant(target, made.graph, opened, inputs, result, options)
    real, whole = run(late, inputs, record=()), run(made.graph, inputs, record=())
    # a chip's quantiser may add steps to lags and delays, so what is compared is what each layer makes of the sample
    changed = sum(int(np.sum(real.aligned(p.name) != whole.aligned(p.name))) for p in graph.populations)
    spikes = sum(s.size for s in whole.spikes.values())
    return Outcome(graph, tuple(problems), (), path, int(lowered.resources()["cores"]), spikes, changed)


def _same_files(one: Path, two: Path) -> Iterator[str]:
    for file in FILES:
        if (one / file).read_bytes() != (two / file).read_bytes():
            yield f"two exports of one network differ in {file}"


def _budgets(opened: Descriptor) -> Iterator[str]:
    used = opened.manifest.resources
    for core in used.per_core:
        for name, limit in used.budget.items():
            if core.get(name, 0) > limit:
                yield f"core {core.get('core')} needs {core[name]} {name}, a core has {limit}"
    if not used.budget or (not used.per_core and any(layer.n for layer in opened.manifest.layers)):
        yield "the manifest does not say what each core uses, and what it has"


def _placed_once(target: Target, opened: Descriptor) -> Iterator[str]:
    chip = target.part("emulate").open_chip(opened)
    for layer in opened.manifest.layers:
        if len(chip.placement.get(layer.name, ())) != layer.n:
            yield f"{layer.name}: not every neuron is placed"
    places = np.concatenate([np.zeros(0, np.int64), *(np.asarray(p).reshape(-1) for p in chip.placement.values())])
    if len(np.unique(places)) != len(places):
        yield "two neurons share a place"
    if len(places) and (places.min() < 0 or places.max() >= chip.n_neurons):
        yield "a neuron is placed outside the chip"


def _equal(target: Target, graph: Graph, inputs: Mapping[str, Array], result: Any, path: Path) -> list[str]:
    """The chip against the plain executor, or against the target's own comparison where it states a tolerance."""
    if target.capabilities.exactness == "tolerance":
        return [str(p) for p in target.part("replay").compare(graph, inputs, result)]
    problems = []
    report = emulator.verify(path)
    if not report.ok:
        problems.append(f"its own vectors: {report}")
    probed = emulator.open(path).run(inputs, probes=("s", "u", "v"))
    whole = run(graph, inputs)
    for what, expected, got in (
        ("spikes", whole.spikes, probed.spikes), ("u", whole.u, probed.u), ("v", whole.v, probed.v),
        ("spikes without probes", whole.spikes, result.spikes),
    ):  # fmt: skip
        for name, trace in expected.items():
            if not np.array_equal(trace, got[name]):
                where = np.argwhere(trace != got[name])[0] if trace.shape == got[name].shape else ()
                problems.append(f"{what} of {name} differ from graph/run.py, first at tick, sample, neuron {[*where]}")
    if graph.readout is not None and not np.array_equal(whole.answer(), result.answer):
        problems.append("the answers differ from those of graph/run.py")
    return problems


def _in_pieces(opened: Descriptor, inputs: Mapping[str, Array], result: Any) -> Iterator[str]:
    """A chip that can stop and go on, in pieces of 1, 2, 3, … ticks, against one run."""
    chip = Emulator(opened)
    if not hasattr(chip.chip, "go_on"):
        return
    stream, parts, at, size = chip.stream(next(iter(inputs.values())).shape[1]), [], 0, 1
    while at < result.steps:
        parts.append(stream.feed({name: x[at : at + size] for name, x in inputs.items()}))
        at, size = at + size, size + 1
    parts.append(stream.flush())
    for name in (layer.name for layer in opened.manifest.layers):
        if not np.array_equal(np.concatenate([p.spikes[name] for p in parts]), result.spikes[name]):
            yield f"the spikes of {name} differ where the run is cut into pieces"
    for name, total in result.counters.items():
        if not np.array_equal(sum(p.counters[name] for p in parts), total):
            yield f"the counter {name} differs where the run is cut into pieces"


def _variant(
    target: Target, graph: Graph, opened: Descriptor, inputs: Mapping[str, Array], result: Any,
    options: Mapping[str, Any],
) -> Iterator[str]:  # fmt: skip
    """Another placement or encoding gives the same spikes, or findings."""
    other = target.lower(graph, target.part("lower").LowerOptions(**options))
    if has_errors(other.findings):
        return
    chip = opened.manifest.model_copy(update={"chip": other.section.model_dump(mode="json")})
    again = Emulator(Descriptor(chip, other.arrays)).run(inputs)
    for name, spikes in result.spikes.items():
        if not np.array_equal(spikes, again.spikes[name]):
            yield f"with {dict(options)} the spikes of {name} are others"
