"""Dense layers on pixels, for another number of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.data.module import FrameDataModule
from snnkit.errors import UsageError
from snnkit.training.start import Start


def changed_pixels(
    net: torch.nn.Module, start: Start, data: FrameDataModule
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The dense layers on pixels whose number of pixels differs: weight → ([C, H, W] before, now)."""
    if start.run is None:
        raise UsageError(
            'sensor="resample" needs a run to start from', fix="a state dictionary does not say its pixels"
        )
    shape = start.run.config["model"]["net"].get("init_args", {}).get("input_shape")
    if shape is None:
        raise UsageError("the start's network has no input_shape", fix='use sensor="remake"')
    before, now = _seen(start.run.model, shape), _seen(net, data.input_shape)
    same = {n for n in before.keys() & now.keys() if before[n] != now[n] and before[n][0] == now[n][0]}
    return {f"{n}.weight": (before[n], now[n]) for n in same}


def _seen(net: torch.nn.Module, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Dense layers that come behind a flattening of pixels: path → [C, H, W]."""
    last: list[tuple[int, ...]] = [()]
    seen: dict[str, tuple[int, ...]] = {}

    def flat(module: torch.nn.Module, inputs: Any) -> None:
        last[0] = tuple(inputs[0].shape[2:])

    def dense(path: str) -> Any:
        def see(module: Any, inputs: Any) -> None:
            limited = getattr(module, "mask", None) is not None
            if len(last[0]) == 3 and math.prod(last[0]) == module.in_features and not limited:
                seen[path] = last[0]
            last[0] = ()

        return see

    handles = []
    for path, module in net.named_modules():
        if isinstance(module, snn.Flatten):
            handles.append(module.register_forward_pre_hook(flat))
        elif isinstance(module, torch.nn.Linear):
            handles.append(module.register_forward_pre_hook(dense(path)))
    mode = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, 1, *shape))
    finally:
        net.train(mode)
        for handle in handles:
            handle.remove()
    return seen


def resampled(weight: Tensor, before: Sequence[int], now: Sequence[int]) -> Tensor:
    """A dense layer's weights [M, C·H·W] for other pixels [M, C·H'·W']: interpolated bilinearly, times H·W/(H'·W'), so
    that a uniform picture drives the neurons as before."""
    maps = weight.unflatten(1, tuple(before)).float()
    scaled = torch.nn.functional.interpolate(maps, tuple(now[1:]), mode="bilinear", antialias=True)
    return (scaled * (math.prod(before[1:]) / math.prod(now[1:]))).flatten(1)
