"""Which input a weight connects to which output, for a convolution."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ConvGeometry(NamedTuple):
    """A 2-d convolution's weights [O, C/groups, kh, kw]: output (y, x) hears input (y·stride + u·dilation, …)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """left, right, top, bottom."""
    padding_mode: str = "zeros"
    groups: int = 1

    def pad(self, x: Tensor) -> Tensor:
        """x [..., C, H, W] with its borders. It commutes with all that is done pixel by pixel, so with traces too."""
        if not any(self.padding):
            return x
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        flat = x.reshape(-1, *x.shape[-3:])
        return torch.nn.functional.pad(flat, self.padding, mode=mode).unflatten(0, x.shape[:-3])

    def crop(self, x: Tensor) -> Tensor:
        """The inverse of `pad`."""
        left, right, top, bottom = self.padding
        return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]

    def weight_shape(self, pre: Tensor, post: Tensor) -> tuple[int, ...]:
        """[O, C/groups, kh, kw] for pre [T, B, C, H, W] and post [T, B, O, H', W']."""
        return (post.shape[2], pre.shape[2] // self.groups, *self.kernel)


def weight_shape(pre: Tensor, post: Tensor, geometry: ConvGeometry | None) -> tuple[int, ...]:
    """Of the weights between pre [T, B, …] and post [T, B, …]; [N_post, N_pre] where geometry is None (dense)."""
    return (post.shape[2], pre.shape[2]) if geometry is None else geometry.weight_shape(pre, post)
