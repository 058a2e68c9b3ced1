"""More pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from snnkit.errors import ParameterError, did_you_mean
from snnkit.nn.shapes import refuse_list, shape_error
from snnkit.nn.synapses.fold import folded

AXES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}
"""Numbers of pixel axes that each mode takes."""


class Upsample(torch.nn.Upsample):
    """Each step with more pixels: copies of the nearest (binary spikes stay binary), or an interpolation.

    With mode "nearest" y[…, h] = x[…, ⌊h·H/H'⌋] along each axis. x: [T, B, C, L], [T, B, C, H, W] or
    [T, B, C, D, H, W]; arguments as torch.nn.Upsample.

    Args:
        size: pixels of the output, one number or one per axis.
        scale_factor: instead of the size, how many times as many pixels, one number or one per axis.
        mode: "nearest", "nearest-exact", "linear", "bilinear", "bicubic" or "trilinear".
        align_corners: of the interpolations, see torch.nn.Upsample.
        recompute_scale_factor: see torch.nn.Upsample.

    Raises:
        ParameterError: an unknown mode, or not one of size and scale_factor.
        ShapeError: another number of dimensions than the mode takes.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if mode not in AXES:
            raise ParameterError(f"Upsample(mode={mode!r}){did_you_mean(mode, AXES)}", fix="one of " + ", ".join(AXES))
        if (size is None) == (scale_factor is None):
            raise ParameterError(
                f"Upsample(size={size!r}, scale_factor={scale_factor!r})", fix="give one of size and scale_factor"
            )
        super().__init__(size, scale_factor, mode, align_corners, recompute_scale_factor)

    def forward(self, input: Tensor) -> Tensor:
        refuse_list(input, self)
        axes = AXES[self.mode]
        for name, value in (("size", self.size), ("scale_factor", self.scale_factor)):
            if isinstance(value, tuple):
                axes = tuple(a for a in axes if a == len(value))
                if not axes:
                    raise shape_error(self, input, f"a {name} with as many numbers as mode {self.mode!r} has axes")
        if input.dim() - 3 not in axes:
            ways = " or ".join("[T, B, C, " + ", ".join(("L", "HW", "DHW")[a - 1]) + "]" for a in axes)
            raise shape_error(self, input, ways, "time comes first, then batch and channels")
        return folded(super().forward, input)
