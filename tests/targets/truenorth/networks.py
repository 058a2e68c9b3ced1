"""Integrate-and-fire models with dyadic trinary or 4-bit weights, whose sums torch computes without rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkit import emulator
from snnkit import nn as snn
from snnkit.validation.pipeline import ChipGraph, to_chip, write_descriptor


def integers(layer: torch.nn.Module, unit: float = 0.25, low: int = -1, high: int = 1, share: float = 0.6) -> Any:
    """The layer with random whole multiples of `unit` as weights and biases."""
    with torch.no_grad():
        for w in layer.parameters():
            w.copy_(torch.randint(low, high + 1, w.shape).float() * unit * (torch.rand(w.shape) < share))
    return layer


def fire(threshold: float = 0.5, **more: Any) -> snn.LIF:
    return snn.LIF(decay=1.0, threshold=threshold, **more)


def deploy(
    model: torch.nn.Module, shape: tuple[int, ...], path: Path, *, steps: int = 16, batch: int = 4, seed: int = 0,
    **options: Any,
) -> tuple[ChipGraph, Any, dict[str, tuple[int, int]]]:  # fmt: skip
    """(chip graph, descriptor, per layer (spikes that differ from torch, spikes)) through a descriptor on disk."""
    torch.manual_seed(seed + 1000)
    x = (torch.rand(steps, batch, *shape) < 0.25).float()
    with snn.record(model, spikes=True) as rec:
        model(x)
    raster = x.numpy().astype(np.uint8)
    chip = to_chip(model, shape, "truenorth", raster, steps=steps, **options)
    made = write_descriptor(path, chip, "truenorth", raster)
    report = emulator.verify(path)
    assert report.ok, str(report)
    port = next(p.name for p in made.manifest.ports if p.gate_from is None)
    result = emulator.open(path).run({port: raster.reshape(steps, batch, -1)})
    differ = {
        name: (int((result.aligned(name) != rec.spikes[name].numpy().reshape(steps, batch, -1)).sum()), int(s.sum()))
        for name, s in result.spikes.items()
    }
    assert result.totals()["potentials_beyond_20_bits"] == result.totals()["merged_spikes"] == 0
    return chip, made, differ
