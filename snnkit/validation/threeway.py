"""Torch model, integer graph and emulator on the same recordings: accuracies, differing spikes, first divergence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkit import emulator
from snnkit import nn as snn
from snnkit.descriptor import Descriptor
from snnkit.graph.model import Graph
from snnkit.graph.neurons import LI
from snnkit.validation.compare import Answers, PairCounts
from snnkit.validation.pipeline import ChipGraph, Samples, rasters
from snnkit.validation.virtual import CHIPS, VirtualChips, seeds_of

Array = np.ndarray[Any, Any]
PAIRS = (("torch", "graph"), ("graph", "emulator"), ("torch", "emulator"))
RASTER_NEURONS = 400


def torch_answers(model: torch.nn.Module, graph: Graph, samples: Samples) -> Answers:
    """The model in eval mode on samples [T, B, …]: spikes and v of every layer that the graph has.

    The model runs where it is, and is left in the mode in which it was.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    arrays = samples if isinstance(samples, Mapping) else {graph.inputs[0].name: samples}
    inputs = [torch.from_numpy(np.ascontiguousarray(arrays[i.name], dtype=np.float32)) for i in graph.inputs]
    inputs = [x.reshape(*x.shape[:2], *i.shape).to(device) for x, i in zip(inputs, graph.inputs)]
    neurons = {p.name: p for p in graph.populations}
    pools = {name: m for name, m in model.named_modules() if name in neurons and isinstance(m, snn.MaxPool2d)}
    recorded = [name for name, _ in model.named_modules() if name in neurons and name not in pools]
    pooled: dict[str, torch.Tensor] = {}
    modes = {m: m.training for m in model.modules()}
    try:
        with torch.no_grad(), snn.record(model.eval(), spikes=True, v=recorded) as rec, _outputs(pools, pooled):
            out = model(*inputs).cpu()
    finally:
        for module, training in modes.items():
            module.training = training
    steps, batch = out.shape[:2]
    flat = out.reshape(steps, batch, -1)
    assert graph.readout is not None
    rule = graph.readout.rule
    scores = {
        "count": lambda: flat.sum(0),
        "first": lambda: steps - (flat.cumsum(0) == 0).sum(0),
        "mean": lambda: flat.double().sum(0),
        "max": lambda: flat.max(0).values,
        "last": lambda: flat[-1],
    }[rule]()
    seen = {**rec.spikes, **pooled}  # max pooling of spikes is a layer of neurons on a chip
    spikes = {n: s.reshape(steps, batch, -1).to("cpu", torch.uint8).numpy() for n, s in seen.items() if n in neurons}
    for name, p in neurons.items():
        if isinstance(p.neuron, LI):
            spikes[name] = np.zeros((steps, batch, p.n), np.uint8)
    v = {n: s.reshape(steps, batch, -1).cpu().numpy() for n, s in rec.v.items()}
    threshold = {n: p.neuron.threshold for n, p in neurons.items() if not isinstance(p.neuron, LI)}  # type: ignore[union-attr]
    return Answers(spikes, scores.numpy().argmax(1), v, threshold)  # numpy's takes the lowest index of a tie


@contextlib.contextmanager
def _outputs(modules: Mapping[str, torch.nn.Module], into: dict[str, torch.Tensor]) -> Iterator[None]:
    """Keeps what some modules return."""

    def keep(name: str) -> Callable[..., None]:
        return lambda module, args, out: into.__setitem__(name, out)

    hooks = [m.register_forward_hook(keep(name)) for name, m in modules.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def graph_answers(chip: ChipGraph, samples: Samples) -> Answers:
    """The integer graph and the host's part, run by the plain executor, aligned by lag."""
    trace = chip.run(samples, record=("s", "v"))
    levels = {p.name: _level(p.neuron) for part in trace.parts for p in part.graph.populations}
    answer = trace.answer()
    assert answer is not None
    known = {n: level for n, level in levels.items() if level is not None}
    return Answers(trace.aligned(), answer, trace.aligned("v"), known)


def _level(neuron: Any) -> Array | None:
    """The v at which an integer neuron fires, if it has a threshold register."""
    vth = getattr(neuron, "vth", None)
    return None if vth is None else vth.astype(np.int64) * 64 + 1


def emulator_answers(chip: emulator.Emulator, graph: Graph, samples: Samples) -> tuple[Answers, dict[str, int]]:
    """The emulator, aligned by lag, and its counters. `graph` is used for names of the inputs only."""
    inputs = rasters(graph, samples)
    steps = next(iter(inputs.values())).shape[0]
    result = chip.run(inputs, probes=("s", "v"))
    spikes = {n: result.aligned(n) for n in result.spikes}
    v = {n: s[result.lags[n] : result.lags[n] + steps] for n, s in result.v.items()}
    assert result.answer is not None
    return Answers(spikes, result.answer, v), result.totals()


def validate(
    model: torch.nn.Module,
    chip: ChipGraph,
    path: str | Path,
    batches: Iterable[tuple[Samples, Array]],
    *,
    chips: int = CHIPS,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Compare the three on `batches` of (samples [T, B, …], or such a dict by input name, and labels [B]).

    The emulator reads the descriptor at `path`; the integer graph is `chip.graph`, made anew from the model, so a
    descriptor of another model shows as differing spikes. `progress` is told how many samples are done.
    For an analogue chip the emulator is the ideal one; `virtual_chips` holds the accuracies on `chips` others.

    Returns:
        The validation result (see `snnkit.validation.report`): plain values.
    """
    engine = emulator.open(path)
    virtual = VirtualChips(seeds_of(engine.manifest.target, chips))
    pairs = {pair: PairCounts() for pair in PAIRS}
    order = chip.layers
    right, total, steps = dict.fromkeys(("torch", "graph", "emulator"), 0), 0, 0
    counters: dict[str, int] = {}
    seconds = dict.fromkeys(("torch", "graph", "emulator"), 0.0)
    raster: dict[str, Any] | None = None
    for samples, labels in batches:
        first = next(iter(samples.values())) if isinstance(samples, Mapping) else samples
        steps = first.shape[0]
        clock = time.perf_counter()
        said = {"torch": torch_answers(model, chip.float_graph, samples)}
        seconds["torch"] += time.perf_counter() - clock
        clock = time.perf_counter()
        said["graph"] = graph_answers(chip, samples)
        seconds["graph"] += time.perf_counter() - clock
        clock = time.perf_counter()
        said["emulator"], counted = emulator_answers(engine, chip.float_graph, samples)
        seconds["emulator"] += time.perf_counter() - clock
        virtual.add(engine, rasters(chip.float_graph, samples), labels)
        said["emulator"] = Answers(
            said["emulator"].spikes, said["emulator"].answer, said["emulator"].v, said["graph"].threshold
        )
        for key, value in counted.items():
            counters[key] = counters.get(key, 0) + int(value)
        for (a, b), counts in pairs.items():
            counts.add(said[a], said[b], labels, order, total)
        for name, answers in said.items():
            right[name] += int((answers.answer == labels).sum())
        if raster is None:
            raster = _raster(said, first, int(labels[0]), order)
        total += len(labels)
        if progress is not None:
            progress(len(labels))
    manifest = engine.manifest
    return {
        **({"virtual_chips": virtual.summary()} if virtual.seeds else {}),
        "name": manifest.name,
        "target": manifest.target,
        "revision": manifest.revision,
        "digest": manifest.digest,
        "evidence": manifest.evidence,
        "samples": total,
        "steps": steps,
        "dt_us": manifest.dt_us,
        "accuracy": {k: v / max(total, 1) for k, v in right.items()},
        "changed": {f"{a}-{b}": pairs[a, b].changes() for a, b in PAIRS},
        "differing_spikes": {f"{a}-{b}": pairs[a, b].to_dict() for a, b in PAIRS},
        "first_divergence": {f"{a}-{b}": pairs[a, b].first for a, b in PAIRS},
        "resources": resources(engine.descriptor),
        "counters": counters,
        "quantisation": chip.report,
        "findings": [f.to_dict() for f in chip.findings],
        "raster": raster,
        "seconds": seconds,
    }


def resources(made: Descriptor) -> dict[str, Any]:
    """What the descriptor says it uses, with the layers of each core."""
    from snnkit.viz.chip import placed

    return placed(made)


def _raster(said: Mapping[str, Answers], samples: Array, label: int, order: list[str]) -> dict[str, Any]:
    """The first sample as lists of (step, neuron), of at most `RASTER_NEURONS` neurons a layer."""

    def dots(spikes: Array) -> list[list[int]]:
        return [[int(t), int(n)] for t, n in np.argwhere(spikes[:, :RASTER_NEURONS])]

    first = samples[:, 0].reshape(samples.shape[0], -1)
    layers = {}
    for name in order:
        n = said["torch"].spikes[name].shape[2]
        layers[name] = {k: dots(said[k].spikes[name][:, 0]) for k in ("torch", "emulator")} | {
            "n": min(n, RASTER_NEURONS)
        }
    return {"label": label, "input": [[int(t), int(i)] for t, i in np.argwhere(first)], "layers": layers}
