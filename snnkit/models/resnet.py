"""Spiking residual networks: SEW-ResNet joins spikes, MS-ResNet joins membrane inputs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from snnkit import nn as snn
from snnkit.errors import ParameterError
from snnkit.nn.synapses.join import Join

Depth = Literal[18, 34]
Stem = Literal["large", "small"]

BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of two convolutions in each of the four stages. He et al. 2016, doi:10.1109/CVPR.2016.90, table 1."""


def _conv(c: int, n: int, kernel: int, stride: int = 1) -> snn.Conv2d:
    return snn.Conv2d(c, n, kernel, stride, kernel // 2, bias=False)


def _stages(
    block: Callable[[int, int, int], nn.Module], blocks: Sequence[int], width: int, strides: Sequence[int]
) -> OrderedDict[str, nn.Module]:
    """`stage1` … `stage4`: block(channels in, channels out, stride), the first of a stage with its stride."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    c = width
    for k, (count, stride) in enumerate(zip(blocks, strides), 1):
        n = width * 2 ** (k - 1)
        stages[f"stage{k}"] = snn.Sequential(
            *(block(c if i == 0 else n, n, stride if i == 0 else 1) for i in range(count))
        )
        c = n
    return stages


def _check(name: str, depth: int, stem: str, num_classes: int, width: int) -> None:
    if depth not in BLOCKS or stem not in ("large", "small") or min(num_classes, width) < 1:
        raise ParameterError(
            f"{name}(depth={depth!r}, stem={stem!r}, num_classes={num_classes}, width={width})",
            fix="depth 18 or 34, stem large or small, sizes of at least 1",
        )


def _head(width: int, num_classes: int, readout_decay: float) -> OrderedDict[str, nn.Module]:
    """Mean over pixels, linear, membrane."""
    return OrderedDict(
        pool=snn.AdaptiveAvgPool2d(1),
        flatten=snn.Flatten(),
        head=snn.Linear(8 * width, num_classes),
        readout=snn.LI(decay=readout_decay),
    )


class SEWResNet(snn.Sequential):
    """Spike-element-wise residual network: stem, four stages of blocks, mean, linear, leaky integrator.

    A block is y = A ⊕ S with A = neuron(norm(conv(neuron(norm(conv(x)))))) and S = x, or neuron(norm(conv1×1(x)))
    where shapes differ; ⊕ is "add" (A + S, counts), "and" (A·S) or "iand" ((1 − A)·S).

    Args:
        input_shape: (channels, height, width) of one step; any height and width.
        num_classes: number of outputs.
        depth: 18 or 34.
        join: "add", "and" or "iand".
        width: channels of the first stage; the paper's is 64.
        stem: "large" is the paper's for ImageNet (7×7, stride 2, max pool), "small" a 3×3 convolution, for small
            sensors.
        decay: of all neurons; 1 (integrate and fire) is the paper's on ImageNet.
        surrogate: name of the surrogate gradient.
        readout_decay: decay of the read-out's membrane; 1 sums up over time (the paper: the mean).

    Shapes: [T, B, C, H, W] → [T, B, num_classes].

    Raises:
        ParameterError: another depth, stem or join, or a size below 1.

    Source: Fang et al. 2021, "Deep Residual Learning in Spiking Neural Networks", NeurIPS, arXiv:2102.04159.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 128, 128),
        num_classes: int = 10,
        depth: Depth = 18,
        join: Join = "add",
        width: int = 64,
        stem: Stem = "large",
        decay: float = 1.0,
        surrogate: str = "arctan",
        readout_decay: float = 1.0,
    ) -> None:
        _check("SEWResNet", depth, stem, num_classes, width)

        def neuron() -> snn.LIF:
            return snn.LIF(decay=decay, surrogate=surrogate)

        def block(c: int, n: int, stride: int) -> snn.Residual:
            shortcut = None
            if c != n or stride != 1:
                shortcut = snn.Sequential(_conv(c, n, 1, stride), snn.BatchNorm(n), neuron())
            body = (_conv(c, n, 3, stride), snn.BatchNorm(n), neuron(), _conv(n, n, 3), snn.BatchNorm(n), neuron())
            return snn.Residual(*body, shortcut=shortcut, join=join)

        large = stem == "large"
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=_conv(input_shape[0], width, 7 if large else 3, 2 if large else 1),
            norm=snn.BatchNorm(width),
            lif=neuron(),
        )
        if large:
            layers["maxpool"] = snn.MaxPool2d(3, 2, 1)
        layers |= _stages(block, BLOCKS[depth], width, (1, 2, 2, 2))
        super().__init__(layers | _head(width, num_classes, readout_decay))


class MSResNet(snn.Sequential):
    """Membrane-shortcut residual network: stem, four stages of blocks, neuron, mean, linear, leaky integrator.

    A block is y = norm(conv(neuron(norm(conv(neuron(x)))))) + x, with norm(conv1×1(x)) in place of x where shapes
    differ: what passes on the shortcut is the input of membranes, so every synapse sees spikes only. The norms' gains
    start at the threshold, those that end a block at 0 (the network starts as its shortcuts).

    Not the paper's: its surrogate is a rectangle, ours is the arctan unless given.

    Args:
        input_shape: (channels, height, width) of one step; any height and width.
        num_classes: number of outputs.
        depth: 18 or 34.
        width: channels of the first stage; the paper's is 64.
        stem: "large" is the paper's for ImageNet (7×7, stride 2; the first stage has stride 2 in place of a pool),
            "small" a 3×3 convolution with stride 1 and a first stage with stride 1, for small sensors.
        decay: of all neurons.
        threshold: of all neurons.
        surrogate: name of the surrogate gradient.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.

    Shapes: [T, B, C, H, W] → [T, B, num_classes].

    Raises:
        ParameterError: another depth or stem, or a size below 1.

    Source: Hu, Deng, Wu, Yao & Li 2024, doi:10.1109/TNNLS.2024.3355393; decay and threshold as in the authors' code.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 128, 128),
        num_classes: int = 10,
        depth: Depth = 18,
        width: int = 64,
        stem: Stem = "large",
        decay: float = 0.25,
        threshold: float = 0.5,
        surrogate: str = "arctan",
        readout_decay: float = 1.0,
    ) -> None:
        _check("MSResNet", depth, stem, num_classes, width)

        def neuron() -> snn.LIF:
            return snn.LIF(decay=decay, threshold=threshold, surrogate=surrogate)

        def norm(channels: int, gain: float = threshold) -> snn.BatchNorm:
            made = snn.BatchNorm(channels)
            nn.init.constant_(made.weight, gain)
            return made

        def block(c: int, n: int, stride: int) -> snn.Residual:
            shortcut = snn.Sequential(_conv(c, n, 1, stride), norm(n)) if c != n or stride != 1 else None
            body = (neuron(), _conv(c, n, 3, stride), norm(n), neuron(), _conv(n, n, 3), norm(n, 0.0))
            return snn.Residual(*body, shortcut=shortcut)

        large = stem == "large"
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=_conv(input_shape[0], width, 7 if large else 3, 2 if large else 1), norm=norm(width)
        )
        layers |= _stages(block, BLOCKS[depth], width, (2 if large else 1, 2, 2, 2))
        layers["lif"] = neuron()
        super().__init__(layers | _head(width, num_classes, readout_decay))
