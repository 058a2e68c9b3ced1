"""Layers of torch as layers over [T, B, …]."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.nn import synapses
from snnkit.nn.check import OURS
from snnkit.nn.convert.block import Block, RefusedError

PER_STEP = ("activation", "channelshuffle", "conv", "dropout", "flatten", "instancenorm", "normalization", "padding",
            "pixelshuffle", "pooling", "upsampling")  # fmt: skip
"""Modules of torch.nn.modules whose layers work on [B, …] without memory: they go into `snn.over_time`."""

NOT_PER_STEP = ("MultiheadAttention", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d")

AXES = {"Linear": 1, "Conv1d": 2, "Conv2d": 3, "Conv3d": 4, "ConvTranspose2d": 3}

AFFINE = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)

HOMOGENEOUS = (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Upsample)
"""Layers that a positive gain passes through, without rounding where it is a power of two."""

NOTHING_KNOWS_TIME = "put it into spikingjelly's layer.SeqToANNContainer, or use spikingjelly's layer of that name"

Copy = Callable[[Tensor], Tensor]
"""Gives the copy of a parameter or buffer: one copy, however many layers share it."""


def is_torch(module: nn.Module) -> bool:
    """Whether the class itself, not one derived from it, is one of torch.nn."""
    return type(module).__module__.startswith("torch.nn.")


def own_class(cls: type) -> type[nn.Module] | None:
    """The layer of snnkit for a layer of torch that does not know time."""
    if cls is nn.Linear:
        return synapses.Linear
    name = OURS.get(cls)
    return None if name is None else getattr(synapses, name.removeprefix("snn."))


def build(cls: type[nn.Module], module: nn.Module) -> nn.Module:
    """A `cls` with the settings of a module that has them as attributes of the same names."""
    settings: dict[str, Any] = {}
    for name in inspect.signature(cls).parameters:
        if name == "bias":
            settings["bias"] = module.bias is not None
        elif name in ("device", "dtype"):
            tensor = next(module.parameters(), None)
            if tensor is not None:
                settings[name] = getattr(tensor, name)
        elif hasattr(module, name):
            settings[name] = getattr(module, name)
    return cls(**settings).train(module.training)


def rebuild(cls: type[nn.Module], module: nn.Module, copy: Copy) -> nn.Module:
    """A `cls` with the settings and copies of the tensors of a module."""
    new = build(cls, module)
    take_tensors(new, module, copy)
    return new


def take_tensors(new: nn.Module, old: nn.Module, copy: Copy) -> None:
    """Give a module copies of another's parameters and buffers."""
    for kind in ("_parameters", "_buffers"):
        theirs = {name for name, t in getattr(old, kind).items() if t is not None}
        ours = {name for name, t in getattr(new, kind).items() if t is not None}
        if theirs != ours:
            odd = ", ".join(sorted(theirs ^ ours))
            raise RefusedError(
                f"its tensors are not those of a torch.nn.{type(old).__name__} ({odd})",
                "take weight_norm, spectral_norm and the like off first (torch.nn.utils.remove_weight_norm)",
            )
        for name in ours:
            getattr(new, kind)[name] = copy(getattr(old, kind)[name])


def plain(cls: type[nn.Module], module: nn.Module, copy: Copy) -> nn.Module:
    """A layer of torch over [B, …] as a layer over [T, B, …], whatever class derived from it the module has."""
    return synapses.over_time(rebuild(cls, module, copy))


def convert(module: Any, cls: type[nn.Module], copy: Copy) -> Block:
    """What a layer that does at each step what torch's `cls` does becomes.

    Raises:
        RefusedError: a layer with memory, several inputs, or settings that snnkit has not.
    """
    if cls is nn.Identity:
        return Block(nn.Identity(), homogeneous=True)
    if cls is nn.Flatten:
        if (module.start_dim, module.end_dim) == (1, -1):
            return Block(synapses.Flatten(), homogeneous=True, axes=1)
        return Block(plain(cls, module, copy), homogeneous=True)
    if getattr(module, "return_indices", False):
        raise RefusedError("return_indices=True: a layer of a chain gives one tensor", "leave return_indices out")
    ours = own_class(cls)
    if ours is not None:
        new = rebuild(ours, module, copy)
        affine = isinstance(new, AFFINE) and new.weight is not None
        axes = AXES.get(type(new).__name__)
        return Block(new, affine=affine, homogeneous=isinstance(new, HOMOGENEOUS), axes=axes)
    room = cls.__module__.rsplit(".", 1)[-1]
    if room not in PER_STEP or cls.__name__ in NOT_PER_STEP:
        raise RefusedError(
            f"torch.nn.{cls.__name__} has no counterpart here",
            "supported are linear, convolution, pooling, norm, activation, padding, dropout and flatten layers",
        )
    why = "drawn anew at each step, as there" if room == "dropout" else ""
    return Block(plain(cls, module, copy), why=why)


def convert_over_sequence(module: Any, copy: Copy) -> Block:
    """What a bare layer of torch becomes that is given the whole sequence [T, B, …] as it is.

    Raises:
        RefusedError: a layer that would take the steps for samples.
    """
    cls = type(module)
    if cls is nn.Linear or cls is nn.Identity:
        return convert(module, cls, copy)
    if cls is nn.Flatten and (module.start_dim, module.end_dim) == (2, -1):
        return Block(synapses.Flatten(), homogeneous=True, axes=1)
    room = cls.__module__.rsplit(".", 1)[-1]
    if room == "dropout" and cls is nn.Dropout:
        return Block(rebuild(cls, module, copy), why="drawn anew at each step, as there", homogeneous=True)
    if room == "activation" and cls.__name__ not in NOT_PER_STEP and not hasattr(module, "dim"):
        return Block(rebuild(cls, module, copy))
    raise RefusedError(
        f"torch.nn.{cls.__name__} in a multi-step network is given [T, B, …] and takes T for the batch",
        NOTHING_KNOWS_TIME,
    )


@torch.no_grad()
def scale_affine(module: nn.Module, gain: float) -> None:
    """Multiply what an affine layer gives by a power of two: exact."""
    for parameter in module.parameters(recurse=False):  # weight and bias
        parameter.mul_(gain)
