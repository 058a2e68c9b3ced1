"""What a model computes: synaptic operations, multiplications, activity and parameters per layer, and energy proxies.

A synaptic operation is one weight added to one membrane because one input value is not zero. Its number is exact: the
inputs of every synapse layer are watched, and each counts as often as it has synapses, borders of convolutions
included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import UsageError
from snnkit.nn.context import enter_pass
from snnkit.nn.module import Stateful
from snnkit.nn.run import run
from snnkit.nn.synapses.attention import Attention
from snnkit.nn.watch import SYNAPSES, SynapseInput, fan_out, watch_synapses

ADD_PJ, MULTIPLY_PJ = 0.9, 3.7
"""A 32-bit floating-point addition and multiplication in picojoule, 45 nm. Horowitz 2014,
doi:10.1109/ISSCC.2014.6757323."""

MEMORY_PJ = ((8 << 10, 10.0), (32 << 10, 20.0), (1 << 20, 100.0), (None, 1300.0))
"""(largest size in bytes, picojoule of a 64-bit access): on-chip memories of 8 KiB, 32 KiB, 1 MiB, and DRAM at its
lower figure. Same source."""

LEFT_OUT = (
    "pooling, normalisation outside training, flattening and adding up branches",
    "bias additions",
    "moving spikes between cores or chips, control, leakage of idle circuits",
    "any saving of a chip with fewer bits: the figures are for 32-bit floating point in 45 nm",
)
"""What the counts and the energy proxies do not contain."""

_STATES = {"ALIF": 2, "CubaLIF": 2}  # variables kept per neuron; others 1


@dataclass
class LayerOperations:
    """Per sample, averaged over the batch. Of a synapse layer everything but `updates`; of a neuron layer `updates`."""

    path: str
    kind: str
    parameters: int
    activity: float = 0.0
    """Share of input values that are not zero."""
    synaptic_operations: float = 0.0
    """Weights added because an input value was not zero."""
    multiplications: float = 0.0
    """Synaptic operations whose input value is neither 0 nor 1: the weight must be multiplied first."""
    dense_macs: float = 0.0
    """Multiply-accumulates of the same layer where zeros are not skipped, over all steps."""
    updates: float = 0.0
    """Neurons times steps."""
    states: int = 0
    """State variables of a neuron."""
    energy_pj: float = 0.0
    """Arithmetic alone: an addition per synaptic operation, its multiplication, and both per state and update."""
    energy_memory_pj: float = 0.0
    """Arithmetic and memory: a weight read and a membrane read and written per synaptic operation, each state read and
    written per update, in the smallest memory that holds the layer's weights or states."""


@dataclass
class Operations:
    """A model's operations on a batch, layer by layer."""

    layers: list[LayerOperations]
    samples: int
    steps: float
    """Valid steps of a sample, averaged over the batch."""
    uncounted: list[str] = field(default_factory=list)
    """Layers with weights that are no synapse layer known here, and `Attention`, which multiplies spikes by spikes."""

    def total(self) -> LayerOperations:
        """All layers together; its activity is the share over all inputs of all synapse layers, by operations."""
        out = LayerOperations("total", "", sum(layer.parameters for layer in self.layers))
        names = ("synaptic_operations", "multiplications", "dense_macs", "updates", "energy_pj", "energy_memory_pj")
        for name in names:
            setattr(out, name, sum(getattr(layer, name) for layer in self.layers))
        out.activity = out.synaptic_operations / out.dense_macs if out.dense_macs else 0.0
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "layers": [asdict(layer) for layer in self.layers],
            "total": asdict(self.total()),
            "uncounted": self.uncounted,
            "left_out": list(LEFT_OUT),
        }


def _access_pj(size: float) -> float:
    """Picojoule of one 32-bit access to the smallest memory of that many bytes: half of a 64-bit access."""
    return next(pj for largest, pj in MEMORY_PJ if largest is None or size <= largest) / 2


class OperationCounter:
    """Adds up operations over several batches: `with counter.watch(lengths): model(x)`, then `counter.result()`."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._layers: dict[str, LayerOperations] = {}
        self._size: dict[str, list[float]] = {}
        self._fan_out: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._samples, self._steps = 0, 0.0
        owned: dict[int, int] = {}
        neurons = [m for m in model.modules() if hasattr(m, "membrane") and isinstance(m, Stateful)]
        inside = {id(n) for m in neurons for n in m.modules() if n is not m}
        self._neurons = {id(m) for m in neurons if id(m) not in inside}
        self._uncounted = []
        for path, module in model.named_modules():
            own = sum(p.numel() for p in module.parameters(recurse=False) if id(p) not in owned)
            owned.update((id(p), 1) for p in module.parameters(recurse=False))
            if isinstance(module, SYNAPSES) or id(module) in self._neurons:
                self._layers[path] = LayerOperations(path, type(module).__name__, own)
            elif isinstance(module, Attention):
                self._uncounted.append(path)
            elif own:
                self._layers[path] = LayerOperations(path, type(module).__name__, own)
                if not isinstance(module, torch.nn.modules.batchnorm._NormBase) and not isinstance(module, Stateful):
                    self._uncounted.append(path)

    @contextlib.contextmanager
    def watch(self, lengths: Tensor | None = None) -> Iterator[None]:
        """Count the passes of the model inside the block; steps beyond `lengths` [B] are not."""
        handles = [
            module.register_forward_hook(self._neuron_hook(path, lengths))
            for path, module in self._model.named_modules()
            if id(module) in self._neurons
        ]
        try:
            with watch_synapses(self._model, lengths) as seen:
                yield
        finally:
            for handle in handles:
                handle.remove()
        for call in seen:
            self._add(call)
        if seen:
            first = seen[0]
            batch = first.x.shape[1]
            self._samples += batch
            steps = float(lengths.sum()) if lengths is not None else float(first.x.shape[0] * batch)
            self._steps += steps

    def _neuron_hook(self, path: str, lengths: Tensor | None) -> Any:
        def see(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            out = output[0] if isinstance(output, tuple) else output
            features = out[0, 0].numel()
            steps = float(lengths.sum()) if lengths is not None else float(out.shape[0] * out.shape[1])
            layer = self._layers[path]
            layer.updates += features * steps
            inner = getattr(module, "neuron", module)
            layer.states = _STATES.get(type(inner).__name__, 1)
            self._size[path] = [4.0 * features * layer.states]

        return see

    def _add(self, call: SynapseInput) -> None:
        x = call.masked().detach()
        features = tuple(x.shape[2:])
        if (call.path, features) not in self._fan_out:
            with enter_pass(None):
                found = fan_out(call.module, features)
            assert found is not None
            self._fan_out[call.path, features] = found.double()
        reach = self._fan_out[call.path, features].to(x.device)
        flat = x.reshape(-1, *features)
        nonzero = (flat != 0).sum(0)
        odd = ((flat != 0) & (flat != 1)).sum(0)
        valid = float(call.valid.sum()) if call.valid is not None else float(x.shape[0] * x.shape[1])
        layer = self._layers[call.path]
        layer.synaptic_operations += float((nonzero * reach).sum())
        layer.multiplications += float((odd * reach).sum())
        layer.dense_macs += float(reach.sum()) * valid
        layer.activity += float(nonzero.sum())
        self._size.setdefault(call.path, [4.0 * layer.parameters, 0.0])[1] += reach.numel() * valid

    def result(self) -> Operations:
        """The counts so far, per sample.

        Raises:
            UsageError: nothing has run.
        """
        if not self._samples:
            raise UsageError("no operations were counted", fix="run the model inside `with counter.watch():`")
        n = self._samples
        layers = []
        for path, layer in self._layers.items():
            out = LayerOperations(**asdict(layer))
            size = self._size.get(path, [0.0, 0.0])
            if layer.states:
                out.updates = layer.updates / n
                work = layer.states * out.updates
                out.energy_pj = work * (ADD_PJ + MULTIPLY_PJ)
                out.energy_memory_pj = out.energy_pj + 2 * work * _access_pj(size[0])
            elif layer.dense_macs:
                out.activity = layer.activity / max(size[1], 1.0)
                for name in ("synaptic_operations", "multiplications", "dense_macs"):
                    setattr(out, name, getattr(layer, name) / n)
                out.energy_pj = out.synaptic_operations * ADD_PJ + out.multiplications * MULTIPLY_PJ
                out.energy_memory_pj = out.energy_pj + 3 * out.synaptic_operations * _access_pj(size[0])
            layers.append(out)
        return Operations(layers, n, self._steps / n, list(self._uncounted))


def count_operations(
    model: torch.nn.Module, x: Tensor | tuple[Tensor, ...], lengths: Tensor | None = None
) -> Operations:
    """The operations of one pass of a model, in its present mode, without gradients.

    Args:
        model: any module with synapse and neuron layers inside.
        x: input [T, B, …], or a tuple of the model's positional arguments.
        lengths: valid steps [B]; others are not counted.

    >>> print(snn.count_operations(model.eval(), x).total().synaptic_operations)
    """
    counter = OperationCounter(model)
    with torch.no_grad(), counter.watch(lengths):
        run(model, x, lengths=lengths)
    return counter.result()
