"""Errors about shapes that name the layer, and its path in the model where it is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ShapeError
from snnkit.nn.context import current_pass


def layer_name(module: torch.nn.Module) -> str:
    """`'features.0' Conv2d(2, 16, kernel_size=(3, 3))`: path where known, class and settings."""
    going = current_pass()
    path = going.path(module) if going is not None else None
    text = f"{type(module).__name__}({module.extra_repr()})"
    return f"{path!r} {text}" if path else text


def shape_error(module: torch.nn.Module, x: Tensor, expected: str, fix: str = "") -> ShapeError:
    """A ShapeError about the input x of a layer."""
    return ShapeError(f"layer {layer_name(module)} expects {expected}, got an input of shape {tuple(x.shape)}", fix=fix)


def refuse_list(x: Any, module: torch.nn.Module | None = None) -> None:
    """Refuse a list of samples in the place of one tensor [T, B, …].

    Raises:
        ShapeError: x is a list; the message says how to pad it and give lengths.
    """
    if not isinstance(x, list):
        return
    to = f"layer {layer_name(module)}" if module is not None else "the model"
    steps = sorted({len(sample) for sample in x if isinstance(sample, Tensor) and sample.dim()})
    unequal = f" of unequal length ({steps[0]} to {steps[-1]} steps)" if len(steps) > 1 else ""
    raise ShapeError(
        f"{to} was given a list of {len(x)} samples{unequal} instead of one tensor [T, B, features…]",
        why="samples are padded to one length, and only `lengths` tells the padding from the data" if unequal else "",
        fix="x = torch.nn.utils.rnn.pad_sequence(samples); lengths = torch.tensor([len(s) for s in samples]); "
        "snn.run(model, x, lengths=lengths)",
    )


def expect(
    module: torch.nn.Module, x: Tensor, letters: str, channels: int | None = None, what: str = "channels"
) -> None:
    """Require x to be `letters` (such as "T B C H W") with `channels` in dimension 2.

    Raises:
        ShapeError: another number of dimensions or of channels.
    """
    refuse_list(x, module)
    names = letters.split()
    shape = "[" + ", ".join(names) + "]"
    if x.dim() != len(names):
        if x.dim() == len(names) - 1:
            fix = "time comes first, then the batch: x.unsqueeze(0) is one step, x.unsqueeze(1) one sample"
        elif len(names) == 3 and x.dim() > 3:
            fix = "put snn.Flatten() before it"
        else:
            fix = f"the dimensions are {shape}: time, batch, features"
        raise shape_error(module, x, f"{len(names)} dimensions {shape}", fix)
    if channels is not None and x.shape[2] != channels:
        raise shape_error(
            module, x, f"{channels} {what} in {shape}", f"the layer before it gives {x.shape[2]}; make the two agree"
        )
