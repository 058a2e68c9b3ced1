"""Branches that meet: sums, residual connections and concatenations."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from snnkit.errors import ParameterError, ShapeError, did_you_mean
from snnkit.nn.sequential import Sequential
from snnkit.nn.shapes import layer_name
from snnkit.nn.synapses.gate import Gate

Join = Literal["add", "and", "iand"]


def _agree(layer: torch.nn.Module, outs: list[Tensor], dim: int | None = None) -> None:
    """Require outputs of equal shape, but for dimension `dim`."""
    if not all(isinstance(out, Tensor) for out in outs):
        return  # symbols of torch.fx have no shape yet; the exporter checks what they stand for
    shapes = [tuple(out.shape) for out in outs]
    if dim is None:
        fits = all(shape == shapes[0] for shape in shapes)
    else:
        fits = all(len(shape) == len(shapes[0]) > dim >= -len(shape) for shape in shapes)
        rest = [[n for k, n in enumerate(shape) if k != dim % len(shape)] for shape in shapes]
        fits = fits and all(r == rest[0] for r in rest)
    if not fits:
        raise ShapeError(
            f"the branches of layer {layer_name(layer)} give "
            + " and ".join(str(shape) for shape in shapes)
            + (", which do not add up" if dim is None else f", which do not fit side by side along dimension {dim}"),
            fix="strides, padding and channels of the branches must agree; a 1×1 snn.Conv2d on the shorter branch can "
            "change channels and stride",
        )


class Add(torch.nn.ModuleList):
    """y = Σ_k branch_k(x), all branches on the same input; x: [T, B, …], y: [T, B, …].

    The sum of spikes is a count: put it in front of a synapse or a neuron layer.

    Args:
        branches: two or more modules; `torch.nn.Identity()` passes x itself.

    Raises:
        ParameterError: fewer than two branches.
        ShapeError: branches whose outputs differ in shape (nothing is broadcast).
    """

    def __init__(self, *branches: torch.nn.Module) -> None:
        if len(branches) < 2:
            raise ParameterError(f"Add of {len(branches)} branches", fix="give two or more modules")
        super().__init__(branches)

    def forward(self, x: Tensor) -> Tensor:
        outs = [branch(x) for branch in self]
        _agree(self, outs)
        total = outs[0]
        for out in outs[1:]:
            total = total + out
        return total


class Concat(torch.nn.ModuleList):
    """The outputs of several branches on the same input, side by side. x: [T, B, …], y: [T, B, Σ_k C_k, …].

    Args:
        branches: two or more modules; `torch.nn.Identity()` passes x itself.
        dim: the dimension of the outputs along which they are joined, by default channels or features.

    Raises:
        ParameterError: fewer than two branches, or time or batch as the dimension.
        ShapeError: branches whose outputs differ in another dimension.
    """

    def __init__(self, *branches: torch.nn.Module, dim: int = 2) -> None:
        if len(branches) < 2:
            raise ParameterError(f"Concat of {len(branches)} branches", fix="give two or more modules")
        if dim in (0, 1):
            raise ParameterError(f"Concat(dim={dim})", why="it would mix steps or samples", fix="dim=2 joins channels")
        super().__init__(branches)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        outs = [branch(x) for branch in self]
        _agree(self, outs, self.dim)
        return torch.cat(outs, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Residual(torch.nn.Module):
    """y = body(x) + shortcut(x), a residual connection. x: [T, B, …], y: [T, B, …].

    With a body that ends in spikes, y counts 0, 1 or 2 (the ADD of Fang et al.); with one that ends in a synapse or
    norm, a neuron layer behind it sees both currents. Of two spike trains, `join="and"` makes body·shortcut and
    `join="iand"` (1 − body)·shortcut, spikes again.

    Args:
        layers: the body, modules one after another; `body` is their Sequential.
        shortcut: what x passes on the other way, such as a 1×1 convolution; x itself where None.
        join: "add", "and" or "iand" (a `Gate`; body and shortcut must both end in spikes).

    Raises:
        ParameterError: no layers, or another join.
        ShapeError: body and shortcut give different shapes (nothing is broadcast).

    Source: He et al. 2016, doi:10.1109/CVPR.2016.90; of spikes: Fang et al. 2021, arXiv:2102.04159.
    """

    def __init__(self, *layers: torch.nn.Module, shortcut: torch.nn.Module | None = None, join: Join = "add") -> None:
        super().__init__()
        if not layers:
            raise ParameterError("Residual without layers", fix="give the modules of its body")
        if join not in ("add", "and", "iand"):
            raise ParameterError(
                f"Residual(join={join!r}){did_you_mean(str(join), ('add', 'and', 'iand'))}", fix="add, and or iand"
            )
        self.body = Sequential(*layers)
        self.shortcut = torch.nn.Identity() if shortcut is None else shortcut
        self.gate = None if join == "add" else Gate(join)

    def forward(self, x: Tensor) -> Tensor:
        outs = [self.body(x), self.shortcut(x)]
        _agree(self, outs)
        return outs[0] + outs[1] if self.gate is None else self.gate(outs[0], outs[1])
