"""What each leaf module does to a symbolic value. Every converter returns a value, or None after adding findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.encoding import Delta, Encoder
from snnkit.errors import did_you_mean
from snnkit.export import operators as ops
from snnkit.export.tracer import known_base
from snnkit.export.value import Term, Value, VoteSum
from snnkit.graph.findings import Finding
from snnkit.graph.model import Array
from snnkit.graph.neurons import LI, LIF, CubaLIF, LinearLeakIF, Neuron
from snnkit.graph.synapses import Conv, Dense, Pool, Scale, Sparse
from snnkit.kernels.chunks import name_of
from snnkit.nn.check import OURS
from snnkit.nn.neurons.own import OwnNeuron
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


def _listed(weight: Array, where: Array) -> sp.csr_matrix:
    """The synapses that a mask [n_dst, n_src] has, weights of 0 among them."""
    row, col = np.nonzero(where)
    return sp.csr_matrix((weight[row, col], (row, col)), shape=weight.shape)


class Leaves:
    """Converts leaf modules; `add_population` is how neurons enter the graph."""

    def __init__(self, report: Callable[[Finding], None]) -> None:
        self.report = report
        self.finite: dict[str, bool] = {}

    def _error(self, code: str, where: str, what: str, remedy: str = "") -> None:
        self.report(Finding(code, where, what, remedy=remedy))

    def check_finite(self, path: str, module: nn.Module) -> None:
        """A finding for each parameter or buffer with NaN or infinity."""
        if path in self.finite:
            return
        self.finite[path] = True
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in tensors:
            bad = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
            if bad:
                self._error(
                    "WEIGHT_NOT_FINITE",
                    path,
                    f"{bad} of {tensor.numel()} values of {name} are NaN or infinite",
                    "training diverged: lower the learning rate or go back to an earlier checkpoint",
                )

    def overrides(self, path: str, m: nn.Module) -> bool:
        """A finding, and True, if a class derived from a layer of snnkit computes something of its own."""
        base = known_base(type(m))
        if base is None or base is type(m):
            return False
        own = [
            n
            for n in ("forward", "sequence", "step", "decay", "effective_weight", "gain")
            if getattr(type(m), n, None) is not getattr(base, n, None)
        ]
        if own:
            self._error(
                "UNKNOWN_MODULE",
                path,
                f"{type(m).__name__} derives from snn.{base.__name__} but has its own {', '.join(own)}",
                f"use snn.{base.__name__} itself: what a derived class computes cannot be told from its weights",
            )
        return bool(own)

    # ------------------------------------------------------------------------------------------------- linear layers
    def linear(self, path: str, m: nn.Linear, x: Value) -> Value | None:
        if len(x.shape) != 1:
            self._error(
                "SHAPE",
                path,
                f"Linear gets features {list(x.shape)}; it expects one axis",
                "put snn.Flatten() before it",
            )
            return None
        if x.n != m.in_features:
            self._error("SHAPE", path, f"Linear(in_features={m.in_features}) gets {x.n} features")
            return None
        weight = array(getattr(m, "effective_weight", m.weight))
        mask = getattr(m, "mask", None)
        op = Dense(weight) if mask is None else Sparse(_listed(weight, mask.detach().cpu().numpy() != 0))
        out = x.apply(op, (m.out_features,))
        return out.shifted(None if m.bias is None else array(m.bias))

    def votes(self, path: str, m: snn.Votes, x: Value) -> Value | None:
        if len(x.shape) != 1 or x.n % m.classes:
            self._error("SHAPE", path, f"Votes({m.classes}) gets features {list(x.shape)}",
                        "give each class as many neurons, on one axis")  # fmt: skip
            return None
        each = x.n // m.classes
        return x.apply(VoteSum(sp.kron(sp.identity(m.classes), np.ones((1, each)), format="csr")), (m.classes,))

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
            self._error("SHAPE", path, f"the kernel {kernel} is larger than the input {list(x.shape)}")
            return None
        out_shape = (op.out_shape[0], op.out_shape[2]) if dims == 1 else op.out_shape
        return self.with_bias(m, x.apply(op, out_shape))

    def edges(self, path: str, m: Any, x: Value, dims: int) -> list[tuple[int, int]] | None:
        """Zeros before and behind each axis of a convolution, or None after a finding."""
        if len(x.shape) != dims + 1 or x.shape[0] != m.in_channels:
            self._error("SHAPE", path, f"{type(m).__name__}({m.in_channels}, …) gets features {list(x.shape)}")
            return None
        if m.padding_mode != "zeros":
            self._error("PADDING_MODE", path, f"padding_mode={m.padding_mode!r}", "chips pad with zeros: use 'zeros'")
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
            self._error("SHAPE", path, f"the kernel {m.kernel_size} is larger than the input {list(x.shape)}")
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
            self._error("SHAPE", path, f"the padding {padding} leaves nothing of the input {list(x.shape)}")
            return None
        shape = (x.shape[0], x.shape[1], x.shape[2])
        op = ops.transposed_convolution(array(m.weight), shape, (height, width), stride, padding, dilation, m.groups)
        return self.with_bias(m, x.apply(op, (m.out_channels, height, width)))

    def upsample(self, path: str, m: nn.Upsample, x: Value) -> Value | None:
        axes = len(x.shape) - 1
        if axes not in AXES.get(m.mode, ()):
            self._error("SHAPE", path, f"Upsample of mode {m.mode!r} gets features {list(x.shape)}")
            return None
        if m.mode == "bicubic":
            self._error("INTERPOLATION", path, "mode='bicubic' has no synapses of its own", "mode='bilinear'")
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
            self._error("SHAPE", path, f"{type(m).__name__} gets features {list(x.shape)}; it expects [C, H, W]")
            return None
        wanted = m.output_size if isinstance(m.output_size, tuple) else (m.output_size,) * 2
        out = [n if size is None else int(size) for n, size in zip(x.shape[1:], wanted)]
        if all(n % size == 0 for n, size in zip(x.shape[1:], out)):
            kernel = (x.shape[1] // out[0], x.shape[2] // out[1])
            return x.apply(Pool((x.shape[0], x.shape[1], x.shape[2]), kernel, kernel), (x.shape[0], *out))
        matrices = [ops.adaptive_mean(n, size) for n, size in zip(x.shape[1:], out)]
        return x.apply(ops.along_axes(x.shape[0], matrices), (x.shape[0], *out))

    def one_to_one(self, path: str, m: snn.OneToOne, x: Value) -> Value | None:
        shape = tuple(m.weight.shape)
        if shape != x.shape and not (len(shape) == 1 and shape[0] in (1, x.shape[0])):
            self._error("SHAPE", path, f"OneToOne({list(shape)}) gets features {list(x.shape)}")
            return None
        out = x.apply(Scale(spread(array(m.weight), x)), x.shape)
        return out if m.bias is None else out.shifted(spread(array(m.bias), x))

    def delay(self, path: str, m: snn.Delay, x: Value) -> Value | None:
        if x.bias is not None and m.longest:
            self._error(
                "DELAYED_BIAS",
                path,
                "what it delays contains a bias, which would begin some steps late",
                "put the Delay right behind the neuron layer, before the synapse or norm that has the bias",
            )
            return None
        if isinstance(m.steps, int):
            return x.delayed(m.steps)
        if len(m.steps) != x.shape[0]:
            self._error("SHAPE", path, f"Delay of {len(m.steps)} channels gets features {list(x.shape)}")
            return None
        steps = np.repeat(m.steps, x.n // x.shape[0])
        terms: tuple[Term, ...] = ()
        for d in np.unique(steps):  # one connection per length of delay, from the channels that have it
            mine = sp.diags((steps == d).astype(np.float64), format="csr")
            mine.eliminate_zeros()
            terms += x.apply(Sparse(mine), x.shape).delayed(int(d)).terms
        return replace(x, terms=terms)

    def pool(self, path: str, m: Any, x: Value, average: bool) -> Value | None:
        op = self.windows(path, m, x)
        if op is None:
            return None
        if average and any(op.padding) and not getattr(m, "count_include_pad", True):
            self._error("POOL_PADDING", path, "count_include_pad=False divides unevenly at the edge", "leave it True")
            return None
        divisor = getattr(m, "divisor_override", None)
        if average and divisor is not None:
            out = x.apply(op, op.out_shape)
            return out.apply(Scale(np.full(out.n, 1 / divisor)), out.shape)
        return x.apply(replace(op, average=average), op.out_shape)

    def windows(self, path: str, m: Any, x: Value) -> Pool | None:
        """The sum pooling of a layer's windows, or None after a finding."""
        if len(x.shape) != 3:
            self._error("SHAPE", path, f"{type(m).__name__} gets features {list(x.shape)}; it expects [C, H, W]")
            return None
        if getattr(m, "ceil_mode", False):
            self._error("CEIL_MODE", path, "ceil_mode=True", "pad the input instead")
            return None
        if pair(getattr(m, "dilation", 1)) != (1, 1):
            self._error("POOL_DILATION", path, f"dilation={m.dilation}", "pool neighbouring pixels: dilation=1")
            return None
        kernel, pad = pair(m.kernel_size), pair(getattr(m, "padding", 0))
        stride = pair(m.stride if m.stride is not None else m.kernel_size)
        op = Pool(x.shape, kernel, stride, (pad[0], pad[0], pad[1], pad[1]), average=False)  # type: ignore[arg-type]
        if min(op.out_shape) < 1:
            self._error("SHAPE", path, f"the pool {kernel} is larger than the input {list(x.shape)}")
            return None
        return op

    def norm(self, path: str, m: Any, x: Value) -> Value | None:
        channels = m.running_mean.numel() if m.running_mean is not None else -1
        if m.running_mean is None or m.running_var is None:
            self._error("NORM_WITHOUT_STATISTICS", path, "no running statistics", "train with track_running_stats=True")
            return None
        if x.shape[0] != channels:
            self._error("SHAPE", path, f"{type(m).__name__}({channels}) gets features {list(x.shape)}")
            return None
        factor = getattr(m, "gain", m.weight)
        gain = np.ones(channels) if factor is None else array(factor)
        shift = np.zeros(channels) if m.bias is None else array(m.bias)
        scale = gain / np.sqrt(array(m.running_var) + float(m.eps))
        per = x.n // channels
        out = x.apply(Scale(np.repeat(scale, per)), x.shape)
        return out.shifted(np.repeat(shift - array(m.running_mean) * scale, per))

    # ------------------------------------------------------------------------------------------------------- neurons
    def neuron(self, path: str, m: Any, x: Value) -> Neuron | None:
        """The graph's neuron for a module, or None after a finding."""

        def each(value: Tensor) -> Array:
            return spread(value.detach().to("cpu", torch.float32).numpy(), x)

        kind = known_base(type(m))
        if kind is snn.LIF:
            return LIF(each(m.decay), each(m.threshold), m.reset, m.refractory)  # type: ignore[arg-type]
        if kind is snn.CubaLIF:
            decays = each(m.decay_syn), each(m.decay_mem)
            return CubaLIF(*decays, each(m.threshold), m.reset, m.refractory)  # type: ignore[arg-type]
        if kind is snn.LinearLeakIF:
            return linear_leak(m, each)
        if kind is snn.LI:
            return LI(each(m.decay))
        if isinstance(m, OwnNeuron):
            self._error("OWN_NEURON", path, f"its step {name_of(m.function)} ({where_defined(m.function)}) is "
                        "a neuron of your own, and no chip computes it",
                        "put snn.LIF, snn.CubaLIF or another layer of snnkit in its place to export")  # fmt: skip
            return None
        self.unknown(path, m)
        return None

    @staticmethod
    def leaking(m: nn.Module, x: Value) -> Value:
        """What reaches a neuron, with its leak where that is a constant."""
        if not isinstance(m, snn.LinearLeakIF) or m.leak_reversal:
            return x
        leak = spread(array(m.leak), x)
        return x.shifted(leak) if leak.any() else x

    def unknown(self, path: str, m: nn.Module) -> None:
        """The finding for a module that no converter knows."""
        name = type(m).__name__
        hint = did_you_mean(name, snn.__all__)
        ours = OURS.get(type(m))
        if ours is not None:
            self._error(
                "BARE_TORCH_LAYER", path, f"torch.nn.{name} does not know the time axis of [T, B, ...]", f"use {ours}"
            )
        elif isinstance(m, Encoder | Delta):
            self._error("UNKNOWN_MODULE", path, f"{name} is a code: the host turns values into spikes, not the chip",
                        "leave it out of the model and name it in the recipe under data: encoding:")  # fmt: skip
        else:
            self._error("UNKNOWN_MODULE", path, f"{type(m).__module__}.{name} has no counterpart on a chip{hint}",
                        "compose the model from snnkit.nn layers")  # fmt: skip


def where_defined(function: Any) -> str:
    """File and line of a function, or its module where it has none."""
    code = getattr(function, "__code__", None)
    return getattr(function, "__module__", "") if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def linear_leak(m: snn.LinearLeakIF, each: Callable[[Tensor], Array]) -> Neuron:
    """The graph's neuron, less a leak of constant direction, which is a bias; where nothing is left, an integrator."""
    threshold = each(m.threshold)
    leak = each(m.leak) if m.leak_reversal else np.zeros_like(threshold)
    if m.floor is None and not leak.any():
        return LIF(np.ones_like(threshold), threshold, m.reset, 0)  # type: ignore[arg-type]
    floor = np.full_like(threshold, np.inf) if m.floor is None else each(m.floor)
    return LinearLeakIF(leak, threshold, floor, m.reset)  # type: ignore[arg-type]


def relay(x: Value, windows: Pool) -> tuple[Value, Neuron]:
    """Max pooling of binary spikes: a neuron that fires at once if any spike of its window is there.

    max(s) = [sum(s) >= 1], so the relay is an integrator of threshold 1 behind a sum pool; exact, because its v is 0
    after every step: nothing arrived, or it was reset.
    """
    value = Value(windows.out_shape, (replace(x.terms[0], ops=(windows,)),))
    n = value.n
    return value, LIF(np.ones(n, np.float32), np.ones(n, np.float32), "zero", 0)


def logic(name: str, a: Value, b: Value) -> tuple[Value, Neuron]:
    """Two binary spike trains joined by a neuron without memory: "and" fires at a + b ≥ 2, "iand" at b − a ≥ 1.

    Exact, because with a decay of 0 nothing is left of a step in the next one.
    """
    n, both = a.n, name == "and"
    value = (a if both else a.apply(Scale(np.full(n, -1.0)), a.shape)) + b
    return value, LIF(np.zeros(n, np.float32), np.full(n, 2.0 if both else 1.0, np.float32), "zero", 0)
