"""Convolutions and pools: layers whose windows slide over the axes of a symbolic value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit.export import operators as ops
from snnkit.export.leaf_checks import Checks
from snnkit.export.value import Value
from snnkit.graph.model import Array
from snnkit.graph.synapses import Conv, Pool, Scale
from snnkit.nn.synapses.upsample import AXES


def array(tensor: Tensor) -> Array:
    """A parameter as float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def pair(value: Any) -> tuple[int, int]:
    """An int or a pair of ints as a pair."""
    if isinstance(value, int):
        return (value, value)
    first, second = value
    return (int(first), int(second))


def spread(values: Array, x: Value) -> Array:
    """One number, one per channel or one per neuron, as one per neuron of x [n]."""
    if values.ndim == 1 and values.size != 1 and len(x.shape) > 1 and values.shape[0] == x.shape[0]:
        values = values.reshape(-1, *(1 for _ in x.shape[1:]))
    return np.ascontiguousarray(np.broadcast_to(values, x.shape)).reshape(-1)


class Windows(Checks):
    """Converts convolutions, pools and interpolations."""

    def conv(self, path: str, m: nn.Conv1d | nn.Conv2d, x: Value) -> Value | None:
        dims = 1 if isinstance(m, nn.Conv1d) else 2
        edges = self.edges(path, m, x, dims)
        if edges is None:
            return None
        kernel = tuple(int(k) for k in m.kernel_size)
        dilation = tuple(int(d) for d in m.dilation)
        weight = array(getattr(m, "effective_weight", m.weight))
        if dims == 1:
            weight, edges = weight[:, :, None, :], [(0, 0), *edges]
        shape = (x.shape[0], 1, x.shape[1]) if dims == 1 else x.shape
        stride = (1, int(m.stride[0])) if dims == 1 else pair(m.stride)
        dilate = (1, dilation[0]) if dims == 1 else pair(dilation)
        padding = (*edges[0], *edges[1])
        op = Conv(weight, shape, stride, padding, dilate, m.groups)  # type: ignore[arg-type]
        if min(op.out_shape) < 1:
            self.error("SHAPE", path, f"the kernel {kernel} is larger than the input {list(x.shape)}")
            return None
        out_shape = (op.out_shape[0], op.out_shape[2]) if dims == 1 else op.out_shape
        return self.with_bias(m, x.apply(op, out_shape))

    def edges(self, path: str, m: Any, x: Value, dims: int) -> list[tuple[int, int]] | None:
        """Zeros before and behind each axis of a convolution, or None after a finding."""
        if len(x.shape) != dims + 1 or x.shape[0] != m.in_channels:
            self.error("SHAPE", path, f"{type(m).__name__}({m.in_channels}, …) gets features {list(x.shape)}")
            return None
        if m.padding_mode != "zeros":
            self.error("PADDING_MODE", path, f"padding_mode={m.padding_mode!r}", "chips pad with zeros: use 'zeros'")
            return None
        if m.padding == "same":
            total = [int(d) * (int(k) - 1) for d, k in zip(m.dilation, m.kernel_size)]
            return [(t // 2, t - t // 2) for t in total]
        if m.padding == "valid":
            return [(0, 0)] * dims
        return [(int(p), int(p)) for p in m.padding]

    @staticmethod
    def with_bias(m: Any, out: Value) -> Value:
        """A convolution's output with its bias per channel."""
        return out if m.bias is None else out.shifted(np.repeat(array(m.bias), out.n // out.shape[0]))

    def conv3d(self, path: str, m: nn.Conv3d, x: Value) -> Value | None:
        edges = self.edges(path, m, x, 3)
        if edges is None:
            return None
        out = ops.conv_out(x.shape[1:], m.kernel_size, m.stride, edges, m.dilation)
        if min(out) < 1:
            self.error("SHAPE", path, f"the kernel {m.kernel_size} is larger than the input {list(x.shape)}")
            return None
        weight = array(getattr(m, "effective_weight", m.weight))
        op = ops.convolution(weight, x.shape[1:], m.stride, edges, m.dilation, m.groups)
        return self.with_bias(m, x.apply(op, (m.out_channels, *out)))

    def conv_transpose(self, path: str, m: nn.ConvTranspose2d, x: Value) -> Value | None:
        if self.edges(path, m, x, 2) is None:
            return None
        kernel, stride, dilation = pair(m.kernel_size), pair(m.stride), pair(m.dilation)
        padding, extra = pair(m.padding), pair(m.output_padding)
        height, width = (
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(x.shape[1:], stride, padding, dilation, kernel, extra)
        )
        if min(height, width) < 1:
            self.error("SHAPE", path, f"the padding {padding} leaves nothing of the input {list(x.shape)}")
            return None
        shape = (x.shape[0], x.shape[1], x.shape[2])
        op = ops.transposed_convolution(array(m.weight), shape, (height, width), stride, padding, dilation, m.groups)
        return self.with_bias(m, x.apply(op, (m.out_channels, height, width)))

    def upsample(self, path: str, m: nn.Upsample, x: Value) -> Value | None:
        axes = len(x.shape) - 1
        if axes not in AXES.get(m.mode, ()):
            self.error("SHAPE", path, f"Upsample of mode {m.mode!r} gets features {list(x.shape)}")
            return None
        if m.mode == "bicubic":
            self.error("INTERPOLATION", path, "mode='bicubic' has no synapses of its own", "mode='bilinear'")
            return None
        mode = m.mode if m.mode.startswith("nearest") else "linear"
        sizes = m.size if isinstance(m.size, tuple) else (m.size,) * axes
        factors = m.scale_factor if isinstance(m.scale_factor, tuple) else (m.scale_factor,) * axes
        matrices = [
            ops.interpolation(n, size, factor, mode, m.align_corners, m.recompute_scale_factor)
            for n, size, factor in zip(x.shape[1:], sizes, factors)
        ]
        return x.apply(ops.along_axes(x.shape[0], matrices), (x.shape[0], *(len(a) for a in matrices)))

    def adaptive_pool(self, path: str, m: nn.AdaptiveAvgPool2d, x: Value) -> Value | None:
        if len(x.shape) != 3:
            self.error("SHAPE", path, f"{type(m).__name__} gets features {list(x.shape)}; it expects [C, H, W]")
            return None
        wanted = m.output_size if isinstance(m.output_size, tuple) else (m.output_size,) * 2
        out = [n if size is None else int(size) for n, size in zip(x.shape[1:], wanted)]
        if all(n % size == 0 for n, size in zip(x.shape[1:], out)):
            kernel = (x.shape[1] // out[0], x.shape[2] // out[1])
            return x.apply(Pool((x.shape[0], x.shape[1], x.shape[2]), kernel, kernel), (x.shape[0], *out))
        matrices = [ops.adaptive_mean(n, size) for n, size in zip(x.shape[1:], out)]
        return x.apply(ops.along_axes(x.shape[0], matrices), (x.shape[0], *out))

    def pool(self, path: str, m: Any, x: Value, average: bool) -> Value | None:
        op = self.windows(path, m, x)
        if op is None:
            return None
        if average and any(op.padding) and not getattr(m, "count_include_pad", True):
            self.error("POOL_PADDING", path, "count_include_pad=False divides unevenly at the edge", "leave it True")
            return None
        divisor = getattr(m, "divisor_override", None)
        if average and divisor is not None:
            out = x.apply(op, op.out_shape)
            return out.apply(Scale(np.full(out.n, 1 / divisor)), out.shape)
        return x.apply(replace(op, average=average), op.out_shape)

    def windows(self, path: str, m: Any, x: Value) -> Pool | None:
        """The sum pooling of a layer's windows, or None after a finding."""
        if len(x.shape) != 3:
            self.error("SHAPE", path, f"{type(m).__name__} gets features {list(x.shape)}; it expects [C, H, W]")
            return None
        if getattr(m, "ceil_mode", False):
            self.error("CEIL_MODE", path, "ceil_mode=True", "pad the input instead")
            return None
        if pair(getattr(m, "dilation", 1)) != (1, 1):
            self.error("POOL_DILATION", path, f"dilation={m.dilation}", "pool neighbouring pixels: dilation=1")
            return None
        kernel, pad = pair(m.kernel_size), pair(getattr(m, "padding", 0))
        stride = pair(m.stride if m.stride is not None else m.kernel_size)
        op = Pool(x.shape, kernel, stride, (pad[0], pad[0], pad[1], pad[1]), average=False)  # type: ignore[arg-type]
        if min(op.out_shape) < 1:
            self.error("SHAPE", path, f"the pool {kernel} is larger than the input {list(x.shape)}")
            return None
        return op
