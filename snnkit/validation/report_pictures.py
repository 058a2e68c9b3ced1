"""The report's pictures as SVG, each drawn by `snnkit.viz`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnkit import viz
from snnkit.validation.report_parts import figure, in_order, layer_names, mapping, part, percent, sequence
from snnkit.viz import style
from snnkit.viz.chip import COLUMNS, MAX_CHIPS, MAX_TILES, bars_of, cores, limits
from snnkit.viz.strips import height as strip_height

Array = np.ndarray[Any, Any]

MAX_SPIKES = 6000
"""Spikes drawn per layer; beyond, neurons are left out evenly, those that differ last."""


WIDTH = 9.4
"""Of the pictures, in inches: that of the page's column."""


def draw(result: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Key → (caption, SVG) of every picture that the result has the figures for."""
    found = {
        "accuracy": _accuracy(result),
        "recording": _recording(result),
        "raster": _raster(result),
        "chip": _chip(result),
    }
    return {key: made for key, made in found.items() if made is not None}


def _axes(height: float) -> Any:
    return style.new_figure(WIDTH, height).add_subplot()


def _chip_height(used: list[dict[str, Any]], per_chip: int | None, bars: int) -> float:
    """Inches for `viz.core_usage` at full width."""
    if len(used) > MAX_TILES:
        return strip_height(bars)
    last = max(int(row.get("core") or 0) for row in used) if per_chip else 0
    chips = min(1 + last // per_chip, MAX_CHIPS) if per_chip else 1
    tiles = per_chip or len(used)
    columns = min(COLUMNS, max(tiles, 8))
    return 0.6 + (-(-tiles // columns) * chips + 0.5 * (chips - 1)) * WIDTH / columns


def _accuracy(result: Mapping[str, Any]) -> tuple[str, str] | None:
    values = {}
    for name in ("torch", "graph", "emulator"):
        value = figure(result, "accuracy", name)
        if value is not None and 0 <= value <= 1:
            values[name] = value
    if not values:
        return None
    notes = {}
    for name in ("graph", "emulator"):
        changed = figure(result, "changed", f"torch-{name}", "changed")
        if changed is not None:
            notes[name] = f"{int(changed)} changed"
    samples = figure(result, "samples")
    ax = viz.accuracy_bars(values, notes=notes, samples=int(samples) if samples else None,
                           ax=_axes(0.7 + 0.4 * len(values)))  # fmt: skip
    said = ", ".join(f"{name} {percent(value)}" for name, value in values.items())
    what = "Share of right answers. The line is ± one standard error"
    what += "; “changed” counts answers that are not the torch model's." if notes else "."
    return what, viz.to_svg(ax, "accuracy", f"Accuracy: {said}")


def _recording(result: Mapping[str, Any]) -> tuple[str, str] | None:
    """The sample's input as frames, where the data's sensor size says how it lies."""
    size = sequence(result, "data", "sensor_size")
    dots = _dots(part(result, "raster", "input"))
    if len(size) != 2 or dots is None or not all(isinstance(s, int) and 0 < s <= 4096 for s in size) or not len(dots):
        return None
    width, height = size
    channels = len(sequence(result, "data", "channels")) or 2
    if channels > 2 or dots[:, 1].max() >= channels * width * height:
        return None
    if channels == 1:
        dots = dots + [0, width * height]  # a still image's spikes are drawn as ON
    steps = _steps(result, [dots])
    frames = np.zeros((steps, 2 * height * width))
    frames[dots[:, 0], dots[:, 1]] = 1
    panels = next(k for k in (6, 5, 4, 3, 2, 1) if steps % k == 0) if steps > 6 else steps
    ax = viz.events(frames.reshape(steps, 2, height, width), panels=panels,
                    ax=_axes(0.9 + WIDTH / panels * height / width))  # fmt: skip
    sender = "code" if mapping(result, "data", "frames", "encoding") else "sensor"
    what = f"What the {sender} sent: {len(dots):,} input spikes in {steps} steps."
    return what, viz.to_svg(ax, "recording", what)


def _raster(result: Mapping[str, Any]) -> tuple[str, str] | None:
    layers = in_order(mapping(result, "raster", "layers"), layer_names(result))
    found: dict[str, tuple[Array, Array | None, int]] = {}
    for name, layer in layers.items():
        first, second = _dots(part(layer, "torch")), _dots(part(layer, "emulator"))
        if first is None and second is None:
            continue
        n = int(figure(layer, "n") or 0)
        n = max([n, 1, *(int(d[:, 1].max()) + 1 for d in (first, second) if d is not None and len(d))])
        a = first if first is not None else second
        found[str(name)] = (a, second if first is not None else None, n)  # type: ignore[assignment]
    if not found:
        return None
    steps = _steps(result, [d for a, b, _ in found.values() for d in (a, b) if d is not None])
    ones: dict[str, Array] = {}
    others: dict[str, Array] = {}
    silent: list[str] = []
    total = differing = 0
    for name, (a, b, n) in found.items():
        one = _dense(a, steps, n)
        other = None if b is None else _dense(b, steps, n)
        both = one if other is None else one | other
        if not both.any():
            silent.append(name)
            continue
        total += int(one.sum())
        differing += 0 if other is None else int((one != other).sum())
        keep = _shown(both, None if other is None else one != other)
        of = max(n, _neurons(result, name))
        title = f"layer {name}" if len(keep) == of else f"layer {name} ({len(keep):,} of {of:,} neurons)"
        ones[title] = one[:, keep]
        if other is not None:
            others[title] = other[:, keep]
    if not ones:
        return None
    drawn = viz.rasters(ones, others, dt_us=figure(result, "dt_us"), width=WIDTH)
    what = f"What the network did: {total:,} spikes"
    if others:
        what += f", torch model and emulator over each other; {differing:,} differ"
    what += f". Layers without a spike: {', '.join(silent)}." if silent else "."
    return what, viz.to_svg(drawn, "raster", what)


def _neurons(result: Mapping[str, Any], layer: str) -> int:
    """The size of a layer, where the quantiser's report tells it; 0 otherwise."""
    for entry in sequence(result, "quantisation"):
        if part(entry, "layer") == layer:
            return int(figure(entry, "neurons") or 0)
    return 0


def _chip(result: Mapping[str, Any]) -> tuple[str, str] | None:
    resources = mapping(result, "resources")
    used = cores(resources)
    bars = bars_of(limits(resources))
    if not used or not bars:
        return None
    per_chip = _cores_per_chip(str(result.get("target", "")))
    drawn = per_chip if per_chip and per_chip <= MAX_TILES else None
    ax = viz.core_usage(resources, cores_per_chip=drawn, ax=_axes(_chip_height(used, drawn, len(bars))))
    of = f" of the {per_chip:,} of a chip" if per_chip else ""
    what = f"{len(used):,} cores{of}, and how full each is; a layer's first core has its name."
    return what, viz.to_svg(ax, "chip", what)


def _cores_per_chip(target: str) -> int | None:
    """The chip's number of cores, from its own page of numbers."""
    from snnkit.errors import SnnkitError
    from snnkit.targets import registry

    try:
        return getattr(registry.get(target).part("spec"), "CORES_PER_CHIP", None)
    except (SnnkitError, ImportError):
        return None


def _dots(value: Any) -> Array | None:
    """Pairs (step, index) as an array [n, 2]."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        return None
    dots = np.asarray(value)
    if dots.size == 0:
        return np.zeros((0, 2), np.int64)
    if dots.ndim != 2 or dots.shape[1] != 2 or dots.dtype.kind not in "iu" or dots.min() < 0:
        return None
    return dots.astype(np.int64)


def _steps(result: Mapping[str, Any], dots: list[Array]) -> int:
    return max([int(figure(result, "steps") or 1), *(int(d[:, 0].max()) + 1 for d in dots if len(d))])


def _dense(dots: Array, steps: int, n: int) -> Array:
    out = np.zeros((steps, n), bool)
    out[dots[:, 0], dots[:, 1]] = True
    return out


def _shown(spikes: Array, differs: Array | None) -> Array:
    """Indices of the neurons to draw: all, or an even choice with every neuron that differs."""
    n = spikes.shape[1]
    count = int(spikes.sum())
    if count <= MAX_SPIKES:
        return np.arange(n)
    keep = np.linspace(0, n - 1, max(n * MAX_SPIKES // count, 1)).round().astype(np.int64)
    if differs is not None:
        keep = np.concatenate([keep, np.flatnonzero(differs.any(0))[: len(keep)]])
    return np.unique(keep)
