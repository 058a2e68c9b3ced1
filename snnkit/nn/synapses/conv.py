"""Convolutional synapses."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from snnkit.errors import ParameterError
from snnkit.nn.shapes import expect, shape_error
from snnkit.nn.synapses.fold import folded, plastic
from snnkit.nn.synapses.limited import drawn_mask, start
from snnkit.nn.synapses.standardise import standardised

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class _Convolution(_ConvNd):
    """What the convolutions share: the check of their input, and standardised weights."""

    standardise = False
    letters = ""

    def _standardise(self, yes: bool) -> None:
        if yes and math.prod(self.weight.shape[1:]) < 2:
            raise ParameterError(
                f"{type(self).__name__}(standardise=True) with one weight per output channel",
                why="less its mean nothing is left of a single weight",
                fix="use a larger kernel or fewer groups, or leave standardise out",
            )
        self.standardise = bool(yes)

    @property
    def effective_weight(self) -> Tensor:
        """The weights as the synapse uses them, [C', C/groups, …]: `weight`, standardised where that was asked for."""
        return standardised(self.weight) if self.standardise else self.weight

    def forward(self, input: Tensor) -> Tensor:
        x = input
        expect(self, x, self.letters, self.in_channels)
        for axis, size in enumerate(x.shape[3:]):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            padding = 0 if isinstance(self.padding, str) else int(self.padding[axis])
            if self.padding != "same" and size + 2 * padding < reach:
                raise shape_error(
                    self,
                    x,
                    f"at least {reach - 2 * padding} pixels along each axis",
                    "use padding, or fewer strides and pools before it",
                )
        weight = self.effective_weight
        return plastic(self, lambda x: folded(lambda x: self._conv_forward(x, weight, self.bias), x), x)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", standardise=True" if self.standardise else "")


class Conv1d(_Convolution, torch.nn.Conv1d):
    """1-d convolution of each step. x: [T, B, C, L], y: [T, B, C', L'].

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype:
            as torch.nn.Conv1d; `groups=C` is a depthwise convolution.
        standardise: use standardised weights (see `snnkit.nn.synapses.standardise`); the stored ones stay as they are.

    Raises:
        ParameterError: standardised weights of a layer with one weight per output channel.
        ShapeError: another number of dimensions or channels, or an input smaller than the kernel.
    """

    letters = "T B C L"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        standardise: bool = False,
    ) -> None:
        torch.nn.Conv1d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip
        self._standardise(standardise)


class Conv2d(_Convolution, torch.nn.Conv2d):
    """2-d convolution of each step. x: [T, B, C, H, W], y: [T, B, C', H', W'].

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype:
            as torch.nn.Conv2d; `groups=C` is a depthwise convolution.
        standardise: use standardised weights (see `snnkit.nn.synapses.standardise`); the stored ones stay as they are.
        fan_in: so many weights of each output channel's kernel are there, drawn at random and used alike, as in
            `Linear`; None for all in_channels/groups · kernel area. Chips limit the inputs of a neuron.
        seed: of that draw.

    Raises:
        ParameterError: standardised weights of a layer with one weight per output channel, or beside a fan_in; a fan_in
            that the kernel does not have.
        ShapeError: another number of dimensions or channels, or an input smaller than the kernel.
    """

    letters = "T B C H W"
    mask: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        standardise: bool = False,
        fan_in: int | None = None,
        seed: int = 0,
    ) -> None:
        torch.nn.Conv2d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip
        self._standardise(standardise)
        part = math.prod(self.weight.shape[1:])
        self.fan_in, self.seed = fan_in, seed
        mask = None
        if fan_in is not None:
            if standardise or not 1 <= fan_in <= part:
                raise ParameterError(
                    f"Conv2d(fan_in={fan_in}, standardise={standardise}) with a kernel of {part} weights",
                    fix=f"give a fan_in from 1 to {part}, and no standardised weights beside it",
                )
            if fan_in < part:
                mask = drawn_mask(part, out_channels, 1, fan_in, seed)
                start(self.weight, self.bias, mask.view_as(self.weight), fan_in)
                mask = mask.view_as(self.weight).to(self.weight.device)
        self.register_buffer("mask", mask)

    @property
    def effective_weight(self) -> Tensor:
        """The weights as the synapse uses them, [C', C/groups, kh, kw]: `weight`, 0 where there is no synapse."""
        if self.mask is not None:
            return self.weight * self.mask
        return standardised(self.weight) if self.standardise else self.weight

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", fan_in={self.fan_in}, seed={self.seed}" if self.fan_in is not None else "")


class Conv3d(_Convolution, torch.nn.Conv3d):
    """3-d convolution of each step, over depth, height and width; time is not among them.

    x: [T, B, C, D, H, W], y: [T, B, C', D', H', W'].

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype:
            as torch.nn.Conv3d; `groups=C` is a depthwise convolution.
        standardise: use standardised weights (see `snnkit.nn.synapses.standardise`); the stored ones stay as they are.

    Raises:
        ParameterError: standardised weights of a layer with one weight per output channel.
        ShapeError: another number of dimensions or channels, or an input smaller than the kernel.
    """

    letters = "T B C D H W"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: str | int | tuple[int, int, int] = 0,
        dilation: int | tuple[int, int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        standardise: bool = False,
    ) -> None:
        torch.nn.Conv3d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip
        self._standardise(standardise)


class ConvTranspose2d(torch.nn.ConvTranspose2d):
    """2-d transposed convolution of each step: the gradient of a convolution as a layer, to go to more pixels.

    y[o, h·stride + i·dilation − padding] += W[c, o, i]·x[c, h] along each axis, plus the bias.
    x: [T, B, C, H, W], y: [T, B, C', (H−1)·stride − 2·padding + dilation·(kernel−1) + output_padding + 1, …];
    arguments as torch.nn.ConvTranspose2d.

    Raises:
        ShapeError: another number of dimensions or channels, or an output without pixels.

    Source: Dumoulin & Visin 2016, arXiv:1603.07285, chapter 4.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        x = input
        expect(self, x, "T B C H W", self.in_channels)
        for axis, size in enumerate(x.shape[3:]):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1 + self.output_padding[axis]
            if (size - 1) * self.stride[axis] - 2 * int(self.padding[axis]) + reach < 1:
                raise shape_error(self, x, "more pixels than its padding takes away", "use less padding")
        run = super().forward
        return folded(lambda x: run(x, output_size), x)
