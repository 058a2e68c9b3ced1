"""A classifier with a branch per sensor."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError


@dataclass(frozen=True)
class Branch:
    """What stands behind one sensor: [strided conv – batch norm – LIF] × n, then [linear – batch norm – LIF] × m.

    Args:
        channels: output channels of each convolution; empty: none.
        hidden: neurons of each dense layer; empty: none.
        kernel_size: side of the square kernels, odd.
        stride: step of the convolutions.
        decay: membrane decay of the LIF layers.
        taus: membrane time constants in steps, from the first to the last, spread evenly on a logarithmic scale over
            the neurons of each dense layer; they take the place of `decay` there.
        dropout: share of the inputs of each dense layer dropped in training, the first layer of the branch excepted.
    """

    channels: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (64,)
    kernel_size: int = 5
    stride: int = 2
    decay: float = 0.6
    taus: tuple[float, float] | None = None
    dropout: float = 0.2


class FusionClassifier(torch.nn.Module):
    """A branch per sensor, joined before one linear read-out; with one branch, the same for one sensor alone.

    z_t = W · concat(a_t, b_t), or W · (a_t + b_t); the read-out integrates z. a and b are the branches' spikes.

    Args:
        input_shapes: shape of one step of each input.
        num_classes: number of outputs.
        branches: one per input, one or two.
        join: "concat" the branches' spikes, or "sum" them (then the last layers of both have the same size).
        dropout: share of the branches' spikes dropped before the read-out, in training.
        surrogate: name of the surrogate gradient.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.

    Shapes: x [T, B, …] for each input → [T, B, num_classes].

    Raises:
        ParameterError: not one or two branches, not one per input, an empty branch, or a sum of unequal sizes.
        ShapeError: a convolution for an input that is not [C, H, W], or a forward pass with an input too few.
    """

    def __init__(
        self,
        input_shapes: Sequence[Sequence[int]],
        num_classes: int = 10,
        branches: Sequence[Branch] = (Branch(),),
        join: Literal["concat", "sum"] = "concat",
        dropout: float = 0.2,
        surrogate: str = "arctan",
        readout_decay: float = 1.0,
    ) -> None:
        super().__init__()
        if len(branches) not in (1, 2) or len(branches) != len(input_shapes):
            raise ParameterError(
                f"{len(branches)} branches for {len(input_shapes)} inputs", fix="give one per input, one or two"
            )
        built = [_branch(k, shape, b, surrogate) for k, (shape, b) in enumerate(zip(input_shapes, branches), 1)]
        sizes = [n for _, n in built]
        if join == "sum" and len(set(sizes)) > 1:
            raise ParameterError(
                f"the branches end with {sizes[0]} and {sizes[1]} neurons and cannot be summed",
                fix="give their last layers the same size, or use join: concat",
            )
        self.branches = torch.nn.ModuleList(layers for layers, _ in built)
        self.join = join
        self.dropout = snn.Dropout(dropout)
        self.head = snn.Linear(sizes[0] if join == "sum" else sum(sizes), num_classes, bias=False)
        self.readout = snn.LI(decay=readout_decay)

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """Membrane [T, B, num_classes] of the read-out."""
        seen = self.branches[0](first)
        if len(self.branches) > 1:
            if second is None:
                raise ShapeError("FusionClassifier has two branches and got one input", fix="call model(first, second)")
            heard = self.branches[1](second)
            seen = seen + heard if self.join == "sum" else torch.cat((seen, heard), 2)
        return self.readout(self.head(self.dropout(seen)))


def _branch(k: int, shape: Sequence[int], branch: Branch, surrogate: str) -> tuple[snn.Sequential, int]:
    """The layers of one branch and the number of neurons of its last one."""
    if not branch.channels and not branch.hidden:
        raise ParameterError(f"branch {k} has no layer", fix="give it channels or hidden")
    if min([*branch.channels, *branch.hidden, *shape, branch.stride, branch.kernel_size]) < 1:
        raise ParameterError(f"branch {k} has a size below 1: {branch}, input {list(shape)}")
    if branch.taus is not None and min(branch.taus) <= 0.0:
        raise ParameterError(
            f"branch {k}: taus is {list(branch.taus)}", fix="give two time constants above 0, in steps"
        )
    if branch.channels and branch.kernel_size % 2 == 0:
        raise ParameterError(f"branch {k}: kernel_size is {branch.kernel_size}", fix="give an odd size")
    if branch.channels and len(shape) != 3:
        raise ShapeError(
            f"branch {k} has convolutions, its input is {list(shape)}", fix="give hidden layers only, or [C, H, W] data"
        )
    layers: OrderedDict[str, torch.nn.Module] = OrderedDict()
    size = tuple(int(s) for s in shape)
    for i, n in enumerate(branch.channels, 1):
        c, h, w = size
        layers[f"conv{i}"] = snn.Conv2d(c, n, branch.kernel_size, branch.stride, branch.kernel_size // 2, bias=False)
        layers[f"norm{i}"] = snn.BatchNorm(n)
        layers[f"lif{i}"] = snn.LIF(decay=branch.decay, surrogate=surrogate)
        size = (n, -(-h // branch.stride), -(-w // branch.stride))
    layers["flatten"] = snn.Flatten()
    features = math.prod(size)
    for i, n in enumerate(branch.hidden, 1):
        if branch.channels or i > 1:
            layers[f"dropout{i}"] = snn.Dropout(branch.dropout)
        layers[f"linear{i}"] = snn.Linear(features, n, bias=False)
        layers[f"dense_norm{i}"] = snn.BatchNorm(n)
        decay: float | Tensor = branch.decay
        if branch.taus is not None:
            low, high = (math.log10(tau) for tau in branch.taus)
            decay = torch.exp(-1.0 / torch.logspace(low, high, n))
        layers[f"dense_lif{i}"] = snn.LIF(decay=decay, surrogate=surrogate)
        features = n
    return snn.Sequential(layers), features
