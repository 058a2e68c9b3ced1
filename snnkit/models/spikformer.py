"""A transformer of spikes."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError


class Spikformer(snn.Sequential):
    """Spiking patch splitting, a position embedding, blocks of spiking self-attention and MLP, mean, linear, LI.

    Patch splitting is four × (conv 3×3 – batch norm – LIF), with dim/8, dim/4, dim/2 and dim channels, the last `pools`
    of them followed by a max pool (3×3, stride 2); the position embedding a fifth such convolution, added to what it
    gets. A block is x ← x + LIF(norm(proj(LIF½(attention(x))))), x ← x + LIF(norm(fc2(LIF(norm(fc1(x)))))), where
    query, key and value are LIF(norm(1×1 conv)) and the LIF behind the attention has the threshold ½.

    As in the paper, except: the 1×1 convolutions have no bias (the norm behind them has one), and a LIF has no gain of
    its own (the paper's is 1/τ = ½, which the norms' weights take over: they start at 1 − decay).

    Args:
        input_shape: (channels, height, width) of one step.
        num_classes: number of outputs.
        dim: channels of the tokens.
        depth: blocks.
        heads: of the attention.
        pools: max pools in the patch splitting, 0 … 4; tokens are 2^pools pixels apart. The paper's are 4 for DVS data
            and ImageNet, 2 for CIFAR.
        mlp_ratio: hidden channels of the MLP, as a multiple of dim.
        decay: of all neurons.
        scale: of the attention.
        surrogate: name of the surrogate gradient.
        readout_decay: decay of the read-out's membrane; 1 sums up over time (the paper: the mean).

    Shapes: [T, B, C, H, W] → [T, B, num_classes].

    Raises:
        ParameterError: dim is no multiple of 8 and of heads, or a size out of range.
        ShapeError: more pooling than pixels.

    Source: Zhou et al. 2023, "Spikformer: When Spiking Neural Network Meets Transformer", arXiv:2209.15425.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (2, 128, 128),
        num_classes: int = 10,
        dim: int = 256,
        depth: int = 2,
        heads: int = 16,
        pools: int = 4,
        mlp_ratio: int = 4,
        decay: float = 0.5,
        scale: float = 0.125,
        surrogate: str = "arctan",
        readout_decay: float = 1.0,
    ) -> None:
        if min(num_classes, dim, depth, heads, mlp_ratio) < 1 or not 0 <= pools <= 4 or dim % 8 or dim % heads:
            raise ParameterError(
                f"Spikformer(dim={dim}, depth={depth}, heads={heads}, pools={pools}, mlp_ratio={mlp_ratio}, "
                f"num_classes={num_classes})",
                fix="dim a multiple of 8 and of heads, pools from 0 to 4, the others at least 1",
            )
        if min(input_shape[1:]) < 2**pools:
            raise ShapeError(
                f"{pools} max pools of {input_shape[1]}x{input_shape[2]} pixels", fix="use fewer pools or larger frames"
            )

        def unit(c: int, n: int, kernel: int = 1, threshold: float = 1.0) -> list[nn.Module]:
            norm = snn.BatchNorm(n)
            nn.init.constant_(norm.weight, 1 - decay)
            neuron = snn.LIF(decay=decay, threshold=threshold, surrogate=surrogate)
            return [snn.Conv2d(c, n, kernel, padding=kernel // 2, bias=False), norm, neuron]

        def block() -> snn.Sequential:
            branches = [snn.Sequential(*unit(dim, dim)) for _ in range(3)]
            attention = snn.Attention(branches[0], branches[1], branches[2], heads, scale)
            half = snn.LIF(decay=decay, threshold=0.5, surrogate=surrogate)
            return snn.Sequential(
                OrderedDict(
                    attention=snn.Residual(attention, half, *unit(dim, dim)),
                    mlp=snn.Residual(*unit(dim, mlp_ratio * dim), *unit(mlp_ratio * dim, dim)),
                )
            )

        patches: list[nn.Module] = []
        c = input_shape[0]
        for k, n in enumerate((dim // 8, dim // 4, dim // 2, dim)):
            patches += unit(c, n, 3)
            if k >= 4 - pools:
                patches.append(snn.MaxPool2d(3, 2, 1))
            c = n
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            patches=snn.Sequential(*patches), position=snn.Residual(*unit(dim, dim, 3))
        )
        for k in range(1, depth + 1):
            layers[f"block{k}"] = block()
        layers["mean"] = snn.AdaptiveAvgPool2d(1)
        layers["flatten"] = snn.Flatten()
        layers["head"] = snn.Linear(dim, num_classes)
        layers["readout"] = snn.LI(decay=readout_decay)
        super().__init__(layers)
