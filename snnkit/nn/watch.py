"""The inputs of a model's synapse layers, kept while it runs, and how many synapses each input value has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snnkit.nn.synapses.one_to_one import OneToOne

SYNAPSES = (torch.nn.Linear, torch.nn.modules.conv._ConvNd, OneToOne)
"""Layers whose inputs are watched."""


def fan_out(module: torch.nn.Module, features: tuple[int, ...]) -> Tensor | None:
    """Synapses of each input value of a layer, float32 of the input's features; None where it has no weights.

    features: [N] of a Linear, [C, …] of a convolution. Worked out as the number of outputs that a value reaches, so
    strides, padding, groups and transposed convolutions need no formulas of their own.
    """
    if isinstance(module, torch.nn.Linear):
        return torch.full(features, float(module.out_features), device=module.weight.device)
    if isinstance(module, torch.nn.modules.conv._ConvNd):
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros((1, *features), device=module.weight.device, requires_grad=True)
            ones = torch.ones_like(module.weight.detach(), dtype=torch.float32)
            (reached,) = torch.autograd.grad(_convolution(module)(x, ones).sum(), x)
        return reached[0].round()
    if isinstance(module, OneToOne):
        return torch.ones(features, device=module.weight.device)
    return None


def _convolution(module: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """x, weight → y of a convolution layer without its bias."""
    if isinstance(module, torch.nn.modules.conv._ConvTransposeNd):
        function: Callable[..., Tensor] = getattr(torch.nn.functional, f"conv_transpose{module.weight.dim() - 2}d")
        return lambda x, w: function(
            x, w, None, module.stride, module.padding, module.output_padding, module.groups, module.dilation
        )
    return lambda x, w: module._conv_forward(x, w, None)


@dataclass(frozen=True)
class SynapseInput:
    """One call of a synapse layer: x [T, B, features…], and which steps of which samples are valid [T, B]."""

    path: str
    module: torch.nn.Module
    x: Tensor
    valid: Tensor | None

    def masked(self) -> Tensor:
        """x with zeros in steps beyond the lengths."""
        if self.valid is None:
            return self.x
        return torch.where(self.valid.view(*self.valid.shape, *[1] * (self.x.dim() - 2)), self.x, 0)


@contextlib.contextmanager
def watch_synapses(model: torch.nn.Module, lengths: Tensor | None = None) -> Iterator[list[SynapseInput]]:
    """Within it, the inputs of the model's synapse layers are kept, with their gradient graph.

    lengths: valid steps [B]. A synapse inside `snn.Recurrent` is seen once per step.
    """
    seen: list[SynapseInput] = []
    steps: dict[str, int] = {}

    def hook(path: str) -> Any:
        def see(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0]
            first = steps.get(path, 0)
            steps[path] = first + x.shape[0]
            valid = None
            if lengths is not None:
                step = torch.arange(first, first + x.shape[0], device=x.device)
                valid = step[:, None] < lengths.to(x.device)[None, :]
            seen.append(SynapseInput(path, module, x, valid))

        return see

    handles = [
        module.register_forward_pre_hook(hook(path))
        for path, module in model.named_modules()
        if isinstance(module, SYNAPSES)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
