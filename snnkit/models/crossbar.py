"""A classifier of event frames inside the limits of crossbar cores."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError
from snnkit.quantization.weights import quantize_threshold, quantize_weights


class CrossbarClassifier(snn.Sequential):
    """[grouped conv – IF] × n, dropout, sparse linear – IF, votes: trinary weights, few inputs per neuron, no bias.

    Every neuron is a pure integrator (decay 1) that is reset to zero. Weights are -unit, 0 or unit, thresholds whole
    numbers of units, learned one per channel: with a unit that is a power of two, float32 computes this network
    exactly, and so does every chip that has the integrators.

    Args:
        input_shape: (channels, height, width) of one step.
        num_classes: number of outputs.
        channels: output channels of each convolution.
        kernels: side of each square kernel.
        strides: step of each convolution.
        groups: groups of each convolution.
        votes: output neurons per class.
        fan_in: inputs of each output neuron, drawn at random from the last convolution; also the most that the inputs
            of a convolution may be.
        hidden: neurons of a sparse layer of the same fan-in before the output; 0 for none.
        unit: of weights and thresholds, a power of two.
        threshold: at the start of training.
        bits: of the weights: 2 (trinary), or 4 (-8 to 7).
        surrogate: name of the surrogate gradient.
        dropout: share of the outputs dropped in training, before the sparse layers.
        learn_threshold: thresholds are learned; else they stay.

    Shapes: [T, B, C, H, W] → [T, B, num_classes], spikes of all votes of a class per step.

    Raises:
        ParameterError: lists of different lengths, or a convolution with more than `fan_in` inputs.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 34, 34),
        num_classes: int = 10,
        channels: Sequence[int] = (14, 28, 56),
        kernels: Sequence[int] = (5, 3, 3),
        strides: Sequence[int] = (2, 2, 2),
        groups: Sequence[int] = (1, 1, 2),
        votes: int = 25,
        fan_in: int = 128,
        hidden: int = 0,
        unit: float = 0.25,
        threshold: float = 1.0,
        bits: int = 2,
        surrogate: str = "arctan",
        dropout: float = 0.1,
        learn_threshold: bool = True,
    ) -> None:
        if not len(channels) == len(kernels) == len(strides) == len(groups):
            raise ParameterError(
                f"channels, kernels, strides and groups have {len(channels)}, {len(kernels)}, {len(strides)} and "
                f"{len(groups)} entries",
                fix="give one of each per convolution",
            )

        def neurons(n: int) -> snn.LIF:
            shape = (n,) if learn_threshold else None
            layer = snn.LIF(
                decay=1.0, threshold=threshold, surrogate=surrogate, learn_threshold=learn_threshold, shape=shape
            )
            return quantize_threshold(layer, unit)

        c, h, w = input_shape
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict()
        for i, (n, kernel, stride, parts) in enumerate(zip(channels, kernels, strides, groups), 1):
            if (inputs := c // parts * kernel * kernel) > fan_in:
                raise ParameterError(
                    f"conv{i} has {inputs} inputs per neuron ({c // parts} channels, kernel {kernel})",
                    why=f"fan_in is {fan_in}",
                    fix="use more groups, fewer channels before it, or a smaller kernel",
                )
            conv = snn.Conv2d(c, n, kernel, stride, kernel // 2, groups=parts, bias=False)
            layers[f"conv{i}"] = quantize_weights(conv, bits, unit)
            layers[f"if{i}"] = neurons(n)
            c, h, w = n, (h + 2 * (kernel // 2) - kernel) // stride + 1, (w + 2 * (kernel // 2) - kernel) // stride + 1
        layers["flatten"] = snn.Flatten()
        features = c * h * w
        for name, n in (("hidden", hidden), ("head", num_classes * votes)):
            if n:
                layers[f"{name}_dropout"] = snn.Dropout(dropout)
                linear = snn.Linear(features, n, bias=False, fan_in=min(fan_in, features))
                layers[name] = quantize_weights(linear, bits, unit)
                layers[f"{name}_if"] = neurons(n)
                features = n
        layers["votes"] = snn.Votes(num_classes)
        super().__init__(layers)
