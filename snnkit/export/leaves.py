"""What each leaf module does to a symbolic value. Every converter returns a value, or None after adding findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit.errors import did_you_mean
from snnkit.export.tracer import known_base
from snnkit.export.value import Term, Value
from snnkit.graph.findings import Finding
from snnkit.graph.model import LI, LIF, Array, Conv, CubaLIF, Dense, Neuron, Pool, Scale


def array(tensor: Tensor) -> Array:
    """A parameter as float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def pair(value: Any) -> tuple[int, int]:
    """An int or a pair of ints as a pair."""
    if isinstance(value, int):
        return (value, value)
    first, second = value
    return (int(first), int(second))


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
            for n in ("forward", "sequence", "step", "decay")
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
        out = x.apply(Dense(array(m.weight)), (m.out_features,))
        return out.shifted(None if m.bias is None else array(m.bias))

    def conv(self, path: str, m: nn.Conv1d | nn.Conv2d, x: Value) -> Value | None:
        dims = 1 if isinstance(m, nn.Conv1d) else 2
        if len(x.shape) != dims + 1 or x.shape[0] != m.in_channels:
            self._error("SHAPE", path, f"{type(m).__name__}({m.in_channels}, …) gets features {list(x.shape)}")
            return None
        if m.padding_mode != "zeros":
            self._error("PADDING_MODE", path, f"padding_mode={m.padding_mode!r}", "chips pad with zeros: use 'zeros'")
            return None
        kernel = tuple(int(k) for k in m.kernel_size)
        dilation = tuple(int(d) for d in m.dilation)
        if m.padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, kernel)]
            edges = [(t // 2, t - t // 2) for t in total]
        elif m.padding == "valid":
            edges = [(0, 0)] * dims
        else:
            edges = [(int(p), int(p)) for p in m.padding]  # type: ignore[union-attr]
        weight = array(m.weight)
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
        out = x.apply(op, out_shape)
        if m.bias is None:
            return out
        return out.shifted(np.repeat(array(m.bias), out.n // out_shape[0]))

    def pool(self, path: str, m: Any, x: Value, average: bool) -> Value | None:
        op = self.windows(path, m, x)
        if op is None:
            return None
        if average and any(op.padding) and not getattr(m, "count_include_pad", True):
            self._error("POOL_PADDING", path, "count_include_pad=False divides unevenly at the edge", "leave it True")
            return None
        return x.apply(replace(op, average=average), op.out_shape)

    def windows(self, path: str, m: Any, x: Value) -> Pool | None:
        """The sum pooling of a layer's windows, or None after a finding."""
        if len(x.shape) != 3:
            self._error("SHAPE", path, f"{type(m).__name__} gets features {list(x.shape)}; it expects [C, H, W]")
            return None
        if getattr(m, "ceil_mode", False):
            self._error("CEIL_MODE", path, "ceil_mode=True", "pad the input instead")
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
        gain = np.ones(channels) if m.weight is None else array(m.weight)
        shift = np.zeros(channels) if m.bias is None else array(m.bias)
        scale = gain / np.sqrt(array(m.running_var) + float(m.eps))
        per = x.n // channels
        out = x.apply(Scale(np.repeat(scale, per)), x.shape)
        return out.shifted(np.repeat(shift - array(m.running_mean) * scale, per))

    # ------------------------------------------------------------------------------------------------------- neurons
    def neuron(self, path: str, m: Any, x: Value) -> Neuron | None:
        """The graph's neuron for a module, or None after a finding."""

        def spread(value: Tensor) -> Array:
            a = value.detach().to("cpu", torch.float32).numpy()
            if a.ndim == 1 and a.size != 1 and len(x.shape) > 1 and a.shape[0] == x.shape[0]:
                a = a.reshape(-1, *(1 for _ in x.shape[1:]))
            return np.ascontiguousarray(np.broadcast_to(a, x.shape)).reshape(-1)

        kind = known_base(type(m))
        if kind is snn.LIF:
            return LIF(spread(m.decay), spread(m.threshold), m.reset, m.refractory)  # type: ignore[arg-type]
        if kind is snn.CubaLIF:
            decays = spread(m.decay_syn), spread(m.decay_mem)
            return CubaLIF(*decays, spread(m.threshold), m.reset, m.refractory)  # type: ignore[arg-type]
        if kind is snn.LI:
            return LI(spread(m.decay))
        self.unknown(path, m)
        return None

    def unknown(self, path: str, m: nn.Module) -> None:
        """The finding for a module that no converter knows."""
        name = type(m).__name__
        hint = did_you_mean(name, snn.__all__)
        if isinstance(
            m, nn.Conv1d | nn.Conv2d | nn.modules.batchnorm._BatchNorm | nn.Flatten | nn.modules.pooling._AvgPoolNd
        ):
            self._error(
                "BARE_TORCH_LAYER",
                path,
                f"torch.nn.{name} does not know the time axis of [T, B, ...]",
                f"use snn.{name.replace('BatchNorm2d', 'BatchNorm').replace('BatchNorm1d', 'BatchNorm')}",
            )
        else:
            self._error("UNKNOWN_MODULE", path, f"{type(m).__module__}.{name} has no counterpart on a chip{hint}",
                        "compose the model from snnkit.nn layers")  # fmt: skip


def relay(x: Value, windows: Pool) -> tuple[Value, Neuron]:
    """Max pooling of binary spikes: a neuron that fires at once if any spike of its window is there.

    max(s) = [sum(s) >= 1], so the relay is a LIF of decay 0 and threshold 1 behind a sum pool; exact.
    """
    value = Value(windows.out_shape, (Term(x.terms[0].source, (windows,)),))
    n = value.n
    return value, LIF(np.zeros(n, np.float32), np.ones(n, np.float32), "zero", 0)
