"""`prepare` puts a chip's integers into a model for training; `convert` turns what was trained into the integer graph.

TrueNorth: weights become the rows that its quantiser would choose, so `convert(prepare(m))` is the quantised export of
m, byte for byte, and the prepared model fires as the chip does. What the rows do not say is rounded by `convert` alone:
biases, and thresholds of neurons that are reset by subtraction.

Loihi and SpiNNaker: weights, biases and thresholds become 8-bit multiples of a power of two per layer, which both
quantisers represent without error; so here convert(prepare(m)) is exact, where the quantised export of m is rounded.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import FindingsError, ParameterError, UsageError
from snnkit.export import to_graph
from snnkit.graph.findings import has_errors
from snnkit.nn.synapses.norm import BatchNorm
from snnkit.passes import add_lag, gate_bias, loop_findings
from snnkit.quantization.weights import GridWeights, WholeUnits, quantize_weights
from snnkit.targets import registry

SYNAPSES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, snn.OneToOne)
ROWS, GRID = ("truenorth",), ("loihi", "spinnaker")
"""Targets whose weights are rows of integers with a unit per neuron, and those with 8 bits on a grid per layer."""


def prepare(model: nn.Module, target: str, *, bits: int | None = None) -> nn.Module:
    """A copy of a model that computes with a chip's weights and trains the real ones behind them.

    Batch norms are folded into the synapses before them, with their running statistics.

    Args:
        model: layers of `snnkit.nn`, such as `snnkit.export.to_graph` takes.
        target: "truenorth", "loihi" or "spinnaker".
        bits: TrueNorth: 2 (trinary), 4, or None for what its quantiser would choose by the number of inputs. 8 for the
            others, the default there.

    Raises:
        UsageError: a target whose integers have no layers yet, or that does not exist.
        ParameterError: bits that the target does not have, or a batch norm that cannot be folded.
    """
    registry.get(target)
    if target not in (*ROWS, *GRID):
        raise UsageError(
            f"no training layers have the integers of {target!r}", fix=f"prepare for {', '.join((*ROWS, *GRID))}"
        )
    if target in GRID and bits not in (None, 8):
        raise ParameterError(f"bits={bits!r} for {target}", fix="leave bits out: its weights have 8")
    made = fold_norms(copy.deepcopy(model))
    layers = [m for m in made.modules() if isinstance(m, SYNAPSES)]
    transposed = [m for m in layers if isinstance(m, nn.ConvTranspose2d)]
    if target in ROWS:
        if transposed:
            raise ParameterError(
                "a ConvTranspose2d has no row of weights per neuron that could be made of integers",
                fix="use snn.Upsample and snn.Conv2d",
            )
        for layer in layers:
            quantize_weights(layer, bits)
        return made
    units = []
    for layer in layers:
        values = [layer.weight, *([layer.bias] if layer.bias is not None else [])]
        top = max(float(v.detach().abs().max()) for v in values if v.numel())
        unit = 2.0 ** math.ceil(math.log2(top / GridWeights.MOST)) if top > 0 else 1.0
        units.append(unit)
        for name in ("weight", "bias"):
            if getattr(layer, name) is not None:
                nn.utils.parametrize.register_parametrization(layer, name, GridWeights(unit))
    finest = min(units, default=1.0)
    for neuron in (m for m in made.modules() if isinstance(m, snn.LIF | snn.CubaLIF)):
        nn.utils.parametrize.register_parametrization(neuron, "threshold", WholeUnits(finest))
    return made


def convert(model: nn.Module, input_shape: Sequence[int], target: str, **options: Any) -> Any:
    """The integer graph of a prepared model, as its target's quantiser makes it of the export.

    Args:
        model: what `prepare` gave, trained or not; a model of `RowWeights` layers of its own is as good.
        input_shape: features of one step, [C, H, W] or [N], without T and B.
        target: the chip.
        options: those of `snnkit.export.to_graph` (steps, dt_us, readout, max_count, name).

    Returns:
        The target's `Quantized`: `graph` on the chip's timeline, a report per layer, and findings.

    Raises:
        FindingsError: something does not fit; carries every finding.
    """
    chip = registry.get(target)
    graph, findings = to_graph(model, input_shape, strict=False, **options)
    if graph is not None:
        findings = [*findings, *loop_findings(graph)]
    if graph is None or has_errors(findings):
        raise FindingsError(f"the model does not fit {target}", findings)
    placed = gate_bias(add_lag(graph))
    findings += chip.check(placed)
    if has_errors(findings):
        raise FindingsError(f"the model does not fit {target}", findings)
    made = chip.quantize(placed)
    if has_errors(made.findings):
        raise FindingsError(f"the model cannot be quantised for {target}", [*findings, *made.findings])
    return made


def fold_norms(model: nn.Module) -> nn.Module:
    """Fold batch norms behind synapses of a Sequential into them, in place: y = gain·(x − mean)/√(var + eps) + bias.

    The model then computes in training, too, what it computes in eval mode.

    Raises:
        ParameterError: a batch norm elsewhere, or one without running statistics.
    """
    for block in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        names = list(block._modules)
        for before, name in pairwise(names):
            norm, synapse = block._modules[name], block._modules[before]
            if isinstance(norm, BatchNorm) and isinstance(synapse, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                _fold(synapse, norm)
                block._modules[name] = nn.Identity()
    left = [name for name, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if left:
        raise ParameterError(
            f"the batch norm {left[0]!r} cannot be folded into the weights before it",
            why="a chip has no batch norm, and integers have to replace the weights that it would scale",
            fix="put it right behind a Linear or Conv of the same Sequential",
        )
    return model


def _fold(synapse: Any, norm: BatchNorm) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise ParameterError("a batch norm without running statistics", fix="train with track_running_stats=True")
    with torch.no_grad():
        gain = torch.ones_like(norm.running_var) if norm.gain is None else norm.gain
        scale = gain.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = -norm.running_mean.double() * scale + (0 if norm.bias is None else norm.bias.double())
        if synapse.bias is not None:
            shift = shift + synapse.bias.double() * scale
        weight = synapse.weight.double() * scale.view(-1, *[1] * (synapse.weight.dim() - 1))
        synapse.weight.copy_(weight)
        synapse.bias = nn.Parameter(shift.to(synapse.weight.dtype))


__all__ = ["convert", "fold_norms", "prepare"]
