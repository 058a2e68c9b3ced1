"""From a trained model to a descriptor on disk: graph, passes, check, calibrate, quantise, map, lower, write."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import snnkit
from snnkit import descriptor
from snnkit.descriptor import Vectors
from snnkit.errors import FindingsError, GraphError, UsageError
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph
from snnkit.graph.neurons import CubaLIF
from snnkit.graph.run import run
from snnkit.passes import add_lag, gate_bias, loop_findings
from snnkit.passes.split_host import Split, split_host
from snnkit.targets import registry
from snnkit.targets.base import Target
from snnkit.targets.host import lower_host
from snnkit.targets.manifest import build_manifest
from snnkit.validation.chip_graph import Array, Bias, ChipGraph, Progress, Samples, WholeTrace, rasters

if TYPE_CHECKING:
    import torch

__all__ = [
    "BINNING",
    "HOST_PARTS",
    "Bias",
    "ChipGraph",
    "Progress",
    "Samples",
    "WholeTrace",
    "check_graph",
    "check_model",
    "check_place",
    "chip_timeline",
    "graph_to_chip",
    "rasters",
    "resolve",
    "to_chip",
    "write_descriptor",
]

BINNING = "cut the recording into T bins and send one spike per pixel and polarity that saw an event in the bin"
HOST_PARTS = (
    "drive the gated bias lines with 1 in each of their T ticks",
    "read the output layer and take the argmax, ties to the lowest class",
)


def resolve(target: Target | str) -> Target:
    """A target, or the target of that name."""
    return registry.get(target) if isinstance(target, str) else target


def chip_timeline(graph: Graph, bias: Bias = "gated") -> Graph:
    """A float graph with lags and, if `bias` is gated, with its biases as lines that the host drives.

    A bias register drives the membrane, but the bias of a CubaLIF is part of its synaptic input: it stays gated.
    """
    graph = add_lag(graph)
    if bias == "gated":
        return gate_bias(graph)
    return gate_bias(graph, [p.name for p in graph.populations if isinstance(p.neuron, CubaLIF)])


def check_model(
    model: torch.nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    target: Target | str,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    **options: Any,
) -> tuple[Graph | None, list[Finding]]:
    """Every finding about a model and a chip at once, and the graph if there is one.

    The chip sees the graph as it will run: with the delays that balance its paths and the axons of its biases.

    Args:
        model: modules of `snnkit.nn`; see `snnkit.export.to_graph`.
        input_shape: features of one step, [C, H, W] or [N], without T and B; or one such shape per input.
        target: a chip by name, such as "loihi", or its target.
        bias: "gated" (an input axon that the host drives while data arrive; exact) or "register".
        host: layers that the host runs in floating point, before or after the chip; see `snnkit.passes.split_host`.
        options: those of `snnkit.export.to_graph` (steps, dt_us, readout, max_count, name, input_names).
    """
    from snnkit.export import to_graph  # needs torch, as a graph from a file does not

    target = resolve(target)
    graph, findings = to_graph(model, input_shape, strict=False, **options)
    if graph is not None:
        findings = [*findings, *check_graph(graph, target, bias=bias, host=host)]
    return graph, findings


def check_graph(
    graph: Graph, target: Target | str, *, bias: Bias = "gated", host: Sequence[str] = (), resources: bool = True
) -> list[Finding]:
    """Every finding about a float graph and a chip at once, as `check_model` gives them about a model.

    Args:
        graph: on the model's timeline, such as `snnkit.export.nir.read` gives.
        target, bias, host: as in `check_model`.
        resources: also cut the network into cores, or count what these would need.
    """
    try:
        graph = split_host(graph, host).chip
    except GraphError as error:
        return [Finding("HOST", ", ".join(host), error.what, remedy=error.fix)]
    loops = loop_findings(graph)
    less = {} if resources else {"resources": False}
    found = resolve(target).check(graph if loops else chip_timeline(graph, bias), **less)
    return [*found, *([] if has_errors(found) else loops)]


def to_chip(
    model: torch.nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    target: Target | str,
    calibration: Samples,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    progress: Progress | None = None,
    **options: Any,
) -> ChipGraph:
    """Export, check, put on the chip's timeline, and quantise with firing rates measured on `calibration` [T, B, …].

    Args:
        model, input_shape, target, bias, host, options: as in `check_model`.
        calibration: samples like those that the chip will see, or such arrays by input name.
        progress: told (stage, done, of).

    Raises:
        FindingsError: something does not fit; carries every finding.
    """
    target = resolve(target)
    graph, findings = check_model(model, input_shape, target, bias=bias, host=host, **options)
    if graph is None or has_errors(findings):
        raise FindingsError(f"{options.get('name', 'the model')} does not fit {target.name}", findings)
    return _quantised(graph, findings, target, calibration, bias=bias, host=host, progress=progress)


def graph_to_chip(
    graph: Graph,
    target: Target | str,
    calibration: Samples,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    progress: Progress | None = None,
) -> ChipGraph:
    """As `to_chip`, from a graph instead of a model.

    Args:
        graph: a float graph on the model's timeline, such as `snnkit.export.nir.read` gives.
        target, calibration, bias, host, progress: as in `to_chip`.
        findings: what was found on the way to the graph; an error among them is refused here.

    Raises:
        FindingsError: something does not fit; carries every finding, those given included.
    """
    target = resolve(target)
    found = [*findings, *check_graph(graph, target, bias=bias, host=host)]
    if has_errors(found):
        raise FindingsError(f"{graph.name} does not fit {target.name}", found)
    return _quantised(graph, found, target, calibration, bias=bias, host=host, progress=progress)


def _quantised(
    graph: Graph,
    findings: Sequence[Finding],
    target: Target,
    calibration: Samples,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    progress: Progress | None = None,
) -> ChipGraph:
    """A checked graph in the chip's integers.

    Raises:
        FindingsError: it cannot be quantised.
    """
    split = split_host(graph, host)
    chip = chip_timeline(split.chip, bias)
    inputs = rasters(graph, calibration)
    if split.before is not None:
        inputs |= run(split.before, {i.name: inputs[i.name] for i in split.before.inputs}, record=()).spikes
    rates = _rates(chip, {i.name: inputs[i.name] for i in split.chip.inputs}, progress)
    made = target.quantize(chip, rates)
    settled = getattr(made, "settled", ())  # what was assumed without calibration
    findings = [*(f for f in findings if f.code not in settled), *made.findings]
    if has_errors(findings):
        raise FindingsError(f"{graph.name} cannot be quantised for {target.name}", findings)
    return ChipGraph(graph, made.graph, made.report, findings, split if host else None)


def _rates(graph: Graph, inputs: Mapping[str, Array], progress: Progress | None) -> dict[str, Array]:
    """Firing probability per step of every source on the calibration samples."""
    tick = None if progress is None else (lambda done, of: progress("calibrate", done, of))
    trace = run(graph, inputs, record=(), progress=tick)
    rates = {name: s.mean(axis=(0, 1)) for name, s in {**trace.spikes, **inputs}.items()}
    rates |= {i.name: np.ones(i.n) for i in graph.inputs if i.gate_from is not None}
    return rates


def check_place(path: str | Path) -> Path:
    """The path of a descriptor to be written.

    Raises:
        UsageError: it does not end in .snnx, or something that is no descriptor is there already.
    """
    path = Path(path)
    if path.suffix != ".snnx":
        raise UsageError(f"{path} does not end in .snnx", fix=f"--out {path.with_suffix('.snnx')}")
    if path.exists() and not (path.is_dir() and ((path / "manifest.json").exists() or not any(path.iterdir()))):
        raise UsageError(f"{path} exists and is no descriptor", fix="give another name, or move it away")
    return path


def write_descriptor(
    path: str | Path,
    chip: ChipGraph,
    target: Target | str,
    samples: Samples,
    *,
    provenance: Mapping[str, Any] | None = None,
    host_input: str = BINNING,
    progress: Progress | None = None,
) -> descriptor.Descriptor:
    """Lower an integer graph and write it with vectors made by `graph/run.py` from `samples` [T, B, …].

    The emulator takes no part in making the vectors, so `verify` compares two independent programs. `host_input` says
    what the host does with a sample to send it.

    Args:
        path: NAME.snnx, new or an older descriptor.
        chip: what `to_chip` gave.
        target: a chip by name, or its target.
        samples: at most a few dozen; their spikes on every layer are kept.
        provenance: where the network comes from, kept in the manifest.
        host_input: see above.
        progress: told (stage, done, of).

    Raises:
        FindingsError: it does not fit the chip's cores.
        UsageError: the path does not end in .snnx, or something else is there already.
    """
    target, path = resolve(target), check_place(path)
    if progress is not None:
        progress("map", 0, 1)
    lowered = target.lower(chip.graph)
    if progress is not None:
        progress("map", 1, 1)
    if not lowered.ok:
        raise FindingsError(f"{chip.graph.name} does not fit {target.name}", [*chip.findings, *lowered.findings])
    trace = chip.run(samples, progress=progress)
    vectors = Vectors(trace.inputs, trace.spikes(), readout=trace.answer())
    host, numbers = (None, {}) if chip.split is None else lower_host(chip.split)
    made = {"snnkit": snnkit.__version__, "numpy": importlib.metadata.version("numpy")}
    manifest = build_manifest(
        target,
        chip.graph,
        lowered,
        host_parts=(host_input, *_host_words(chip.split), *HOST_PARTS),
        host=host,
        provenance={"made_with": made, "quantisation": chip.report, **(provenance or {})},
        findings=chip.findings,
    )
    return descriptor.write(path, manifest, {**lowered.arrays, **numbers}, vectors.encode())


def _host_words(split: Split | None) -> list[str]:
    """What the host computes, in words."""
    parts = (("before", split.before), ("after", split.after)) if split is not None else ()
    return [
        f"run {', '.join(p.name for p in part.populations)} {when} the chip, in floating point (see `host`)"
        for when, part in parts
        if part is not None
    ]
