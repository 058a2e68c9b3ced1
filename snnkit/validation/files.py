"""Networks from NIR files on a chip: samples from files, the check, the descriptor. Needs no torch."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor
from snnkit._io import sha256_file
from snnkit.errors import DataError, FindingsError, UsageError
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph, Input
from snnkit.graph.neurons import INTEGER_NEURONS
from snnkit.passes import simplify
from snnkit.targets.base import Target
from snnkit.validation.fits import NOTHING, Fit, compare, unexported
from snnkit.validation.pipeline import (
    BINNING,
    Bias,
    ChipGraph,
    Progress,
    check_place,
    graph_to_chip,
    write_descriptor,
)

Array = np.ndarray[Any, Any]

RANDOM = "random"
RANDOM_RATE = 0.1
RANDOM_SAMPLES = 32
RANDOM_STEPS = 16
RANDOM_SEED = 0
VECTOR_SAMPLES = 8
FRAMES = "send the given frames as they are: one spike where a value is not 0"


def samples_for(graph: Graph, source: str | Path | Sequence[str | Path]) -> tuple[Graph, dict[str, Array], str]:
    """Samples [T, B, features…] for every input of a graph, and what the host does to send such samples.

    Args:
        graph: its inputs say the shapes; its `steps` and `dt_us` how recordings are binned.
        source: `random` (Bernoulli spikes of rate 0.1, 32 samples, seed 0; the graph must know its steps); a `.npy`
            file [T, B, …] for a network with one input; a `.npz` file with such arrays by input name (or one array);
            or recordings (ATIS `.bin`) for an input [2, H, W].

    Returns:
        The graph, with the number of steps of the samples; the samples by input name; the host's part.

    Raises:
        UsageError: the samples do not fit the graph, or are of no known kind.
        DataError: a file is damaged.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    inputs = [i for i in graph.inputs if i.gate_from is None]
    kinds = {Path(s).suffix for s in sources}
    if [str(s) for s in sources] == [RANDOM]:
        samples, host = random_samples(graph), FRAMES
    elif kinds == {".bin"}:
        samples, host = _recordings(graph, inputs, sources), BINNING
    elif len(sources) == 1 and kinds <= {".npy", ".npz"}:
        samples, host = _arrays(inputs, Path(sources[0])), FRAMES
    else:
        raise UsageError(
            f"no samples in {', '.join(str(s) for s in sources) or 'nothing'}",
            fix=f"{RANDOM}, one .npy or .npz file of frames [T, B, …], or recordings (.bin)",
        )
    steps = {len(a) for a in samples.values()}
    if len(steps) != 1 or graph.steps not in (None, *steps):
        raise UsageError(
            f"the samples have {', '.join(map(str, sorted(steps)))} steps, the network {graph.steps}",
            fix="give samples of one length, that of the network",
        )
    return graph.with_(steps=steps.pop()), samples, host


def _steps(graph: Graph) -> int:
    if graph.steps is None:
        raise UsageError(f"{graph.name} does not say how many steps a sample has", fix="--steps T")
    return graph.steps


def random_samples(graph: Graph, rate: float = RANDOM_RATE) -> dict[str, Array]:
    """Bernoulli spikes of a probability per step for every input of a graph: `RANDOM_SAMPLES` samples, seeded.

    Raises:
        UsageError: the graph does not say how many steps a sample has.
    """
    rng = np.random.default_rng(RANDOM_SEED)
    shape = (_steps(graph), RANDOM_SAMPLES)
    inputs = [i for i in graph.inputs if i.gate_from is None]
    return {i.name: (rng.random((*shape, *i.shape)) < rate).astype(np.uint8) for i in inputs}


def _arrays(inputs: Sequence[Input], path: Path) -> dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {n: loaded[n] for n in loaded.files} if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} holds no arrays", why=str(error), fix="numpy.save or numpy.savez of frames") from error
    if len(arrays) == 1 and len(inputs) == 1:
        arrays = {inputs[0].name: next(iter(arrays.values()))}
    missing = [i.name for i in inputs if i.name not in arrays]
    if missing:
        raise UsageError(
            f"{path} has no frames for the input {missing[0]!r}", fix=f"inputs: {', '.join(i.name for i in inputs)}"
        )
    for i in inputs:
        array = arrays[i.name]
        if array.ndim < 3 or 0 in array.shape or math.prod(array.shape[2:]) != i.n or array.dtype.kind not in "fiub":
            raise UsageError(
                f"{path}: the frames of {i.name!r} are {array.dtype} of shape {list(array.shape)}",
                fix=f"numbers of shape [T, B, {', '.join(map(str, i.shape))}]",
            )
    return {i.name: arrays[i.name] for i in inputs}


def _recordings(graph: Graph, inputs: Sequence[Input], paths: Sequence[str | Path]) -> dict[str, Array]:
    from snnkit.data import read_atis, to_frames

    if len(inputs) != 1 or len(inputs[0].shape) != 3 or inputs[0].shape[0] != 2:
        shapes = ", ".join(str(list(i.shape)) for i in inputs)
        raise UsageError(
            f"recordings are for one input [2, H, W]; the network has {shapes}", fix="give frames in a .npy"
        )
    steps, (_, height, width) = _steps(graph), inputs[0].shape
    window = None if graph.dt_us is None else round(graph.dt_us * steps)
    binary = inputs[0].max_count == 1
    frames = []
    for path in paths:
        stream = read_atis(path, sensor_size=(width, height))
        frames.append(to_frames(stream, T=steps, by="time", binary=binary, duration_us=window))
    return {inputs[0].name: np.stack(frames, axis=1).astype(np.uint8)}


def compare_graph(
    graph: Graph | None,
    targets: Iterable[Target],
    *,
    host: Sequence[str] = (),
    assumed_rate: float | None = None,
    findings: Sequence[Finding] = (),
    progress: Progress | None = None,
) -> tuple[list[Fit], str]:
    """A graph from a file on several chips, run on random spikes, and what the firing rates rest on, in words.

    Graphs of a chip's integers are checked as they are, without costs.

    Args:
        graph: as `snnkit.export.nir.read` gives it, None too. targets: the chips.
        host: as in `check_graph`.
        assumed_rate: spikes per line and step; None for `RANDOM_RATE`.
        findings: what reading the file found.
        progress: told (stage, done, of).

    Raises:
        UsageError: the graph does not say how many steps a sample has.
    """
    if graph is None:
        return [unexported(t, findings) for t in targets], NOTHING
    if graph.timeline == "chip":
        return [_integers(graph, t, findings) for t in targets], "none: the file holds a chip's integers"
    rate = RANDOM_RATE if assumed_rate is None else assumed_rate
    graph = simplify(graph)
    if graph.steps is None:
        graph = graph.with_(steps=RANDOM_STEPS)
    fits = compare(graph, targets, random_samples(graph, rate), host=host, findings=findings, progress=progress)
    return fits, f"assumed input: random spikes, {rate:g} per line and step, {graph.steps} steps"


def _integers(graph: Graph, target: Target, findings: Sequence[Finding]) -> Fit:
    found = (*findings, *target.check(graph))
    evidence = target.part("spec").EVIDENCE
    neurons = sum(p.n for p in graph.populations)
    return Fit(target.name, target.title, evidence, not has_errors(found), neurons, findings=found)


def deploy_file(
    graph: Graph,
    target: Target,
    path: str | Path,
    samples: Mapping[str, Array],
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    provenance: Mapping[str, Any] | None = None,
    host_input: str = FRAMES,
    progress: Progress | None = None,
) -> tuple[ChipGraph, descriptor.Descriptor]:
    """Quantise a graph from a file with firing rates measured on samples, and write its descriptor.

    Args:
        graph: on the model's timeline; or of this chip's integers, which are taken as they are.
        samples: [T, B, features…] by input name; the first ones become the descriptor's vectors.
        bias, host: as in `check_graph`.
        findings: what reading the file found.
        provenance: where the network comes from.
        host_input: what the host does with a sample to send it.

    Raises:
        FindingsError: it does not fit; carries every finding.
        UsageError: the path does not end in .snnx, or something else is there already.
    """
    path = check_place(path)
    if any(isinstance(p.neuron, INTEGER_NEURONS) for p in graph.populations):
        found = [*findings, *target.check(graph)]
        if has_errors(found):
            raise FindingsError(f"{graph.name} does not fit {target.name}", found)
        chip = ChipGraph(graph, graph, [], found)
    else:
        chip = graph_to_chip(
            simplify(graph), target, samples, bias=bias, host=host, findings=findings, progress=progress
        )
    few = {name: array[:, :VECTOR_SAMPLES] for name, array in samples.items()}
    made = write_descriptor(
        path,
        chip,
        target,
        few,
        provenance={"bias": bias, **(provenance or {})},
        host_input=host_input,
        progress=progress,
    )
    return chip, made


def hosted(made: descriptor.Manifest) -> list[str]:
    """The layers that a descriptor gives to the host."""
    return [layer.name for network in made.host_networks for layer in network.layers]


def compare_file(
    file: str | Path,
    graph: Graph,
    path: str | Path,
    calibration: Sequence[str | Path],
    frames: Sequence[str | Path],
    limit: int | None = None,
) -> dict[str, Any]:
    """Torch module, integer graph and emulator of a NIR file's network on frames, spike for spike. Needs torch.

    Args:
        file: the NIR file that `graph` was read from. path: the descriptor that was exported from it.
        calibration: as it was given to the export. frames: samples to compare on; at most `limit` of them.

    Returns:
        As `validate`, without accuracies: frames have no labels.

    Raises:
        UsageError: the descriptor was exported from another file, or a graph of integers.
    """
    from snnkit.export import nir
    from snnkit.targets import registry
    from snnkit.validation.threeway import validate

    made = descriptor.load(path).manifest
    origin = made.provenance.get("nir_sha256")
    if origin != sha256_file(file):
        raise UsageError(f"{path} was not exported from {file} as it is", fix=f"snnkit export {file} --out {path} …")
    if graph.timeline == "chip":
        raise UsageError(f"{file} holds a chip's integers, which no torch module runs", fix=f"snnkit verify {path}")
    bias: Bias = "register" if made.provenance.get("bias") == "register" else "gated"
    known, samples, _ = samples_for(graph, calibration)
    chip = graph_to_chip(simplify(known), registry.get(made.target), samples, bias=bias, host=hosted(made))
    _, shown, _ = samples_for(known, frames)
    few = {name: array[:, :limit] for name, array in shown.items()}
    count = next(iter(few.values())).shape[1]
    module = nir.to_module(graph)
    paths = {name for name, _ in module.named_modules()}
    if not paths >= {p.name for p in graph.populations}:
        raise UsageError(
            f"{file} has a loop of several layers, whose spikes the torch module does not show one by one",
            fix=f"snnkit verify {path}",
        )
    result = validate(module, chip, path, [(few, np.zeros(count, np.int64))])
    for key in ("accuracy", "raster"):
        del result[key]
    for pair in result["changed"].values():  # what is right is not known
        for key in ("right_to_wrong", "wrong_to_right"):
            pair.pop(key, None)
    return result
