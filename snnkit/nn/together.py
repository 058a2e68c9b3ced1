"""Which layers of a `Sequential` run as one kernel: norm, LIF and average pool; and which are faster beside others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

from snnkit.kernels.layout import runs_fused
from snnkit.kernels.norm_lif.layers import DTYPES
from snnkit.kernels.norm_lif.op import Pool, sequence, takes
from snnkit.kernels.norm_lif.statistics import rounds_once
from snnkit.kernels.recurrent.feed import feed
from snnkit.kernels.state import state_dtype
from snnkit.nn.context import learners, recorders
from snnkit.nn.neurons.lif import LIF
from snnkit.nn.synapses.linear import Linear
from snnkit.nn.synapses.norm import BatchNorm, ThresholdBatchNorm
from snnkit.nn.synapses.pool import AvgPool2d
from snnkit.nn.synapses.recurrent import Recurrent

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Group(NamedTuple):
    """A norm, a LIF and perhaps a pool that run together."""

    norm: BatchNorm
    neuron: LIF
    pool: Pool | None
    size: int
    """How many layers these are."""

    def __call__(self, x: Tensor) -> Any:
        """x [T, B, C, …] through all of them."""
        norm, pool = self.norm, self.pool
        like = x.detach()
        if pool is not None and pool.before:
            like = like[..., :: pool.height, :: pool.width]  # what the neuron would see, by its shape

        def run(_: Tensor, state: Any, want_state: bool) -> tuple[Tensor, Any]:
            once = _rounds_once(x)
            assert once is not None
            params = self.neuron.params(like)
            values = norm.values(x.detach().flatten(0, 1), norm.steps(x))
            return sequence(x, values, norm.gain, norm.bias, state, params, pool, once, want_state)

        return self.neuron.through(like, None, run)


def fed(layers: Sequence[torch.nn.Module], x: Tensor) -> Tensor | None:
    """What the first of `layers` gives where it is the matrix that feeds a recurrent layer with x, few spikes on a CPU:
    the same, with a gradient that costs less. None where it is not."""
    first = layers[0]
    if type(first) is not Linear or len(layers) < 2 or type(layers[1]) is not Recurrent or first.mask is not None:
        return None
    return feed(x, first.weight, first.bias) if _unseen(first) and not _looked_at() else None


def group_at(layers: Sequence[torch.nn.Module], x: Tensor) -> Group | None:
    """The group that `layers` begin with, for the input x; None where the first layer runs alone."""
    norm = layers[0]
    if type(norm) not in (BatchNorm, ThresholdBatchNorm) or len(layers) < 2:
        return None
    assert isinstance(norm, BatchNorm)
    neuron, pool, size = layers[1], None, 2
    if type(neuron) is AvgPool2d and len(layers) > 2:
        pool, neuron, size = _pool(neuron, x, before=True), layers[2], 3
        if pool is None:
            return None
    elif len(layers) > 2:
        pool = _pool(layers[2], x, before=False)
        size = 2 if pool is None else 3
    if type(neuron) is not LIF or not (_unseen(norm) and _unseen(neuron) and all(map(_unseen, layers[:size]))):
        return None
    assert isinstance(neuron, LIF)
    if neuron.surrogate.kind < 0 or not _can_run(norm, x) or not norm.has_values(x):
        return None
    return Group(norm, neuron, pool, size)


def _pool(layer: torch.nn.Module, x: Tensor, before: bool) -> Pool | None:
    """The layer as a pool beside the neuron, where it is one with whole windows side by side, none too large."""
    if type(layer) is not AvgPool2d or not _unseen(layer):
        return None
    pool = layer.windows(x, before)
    return pool if pool is not None and pool.held(x) else None


def _unseen(module: torch.nn.Module) -> bool:
    """Whether nobody watches or changes what the module does."""
    own = vars(module)
    return "forward" not in own and not any(own.get(hooks) for hooks in _HOOKS)


def _looked_at() -> bool:
    """Whether somebody watches or changes what any module does."""
    return bool(recorders() or learners() or torch_module._has_any_global_hook() or torch.jit.is_tracing())


def _can_run(norm: BatchNorm, x: Tensor) -> bool:
    """Whether the kernels give for x what the layers give."""
    if x.dtype not in DTYPES.get(x.device.type, ()) or x.is_sparse or not takes(x):
        return False
    mine = (norm.gain, norm.bias, norm.running_mean, norm.running_var)
    if any(v is not None and (v.dtype != state_dtype(x) or v.device != x.device) for v in mine):
        return False
    if _looked_at():
        return False
    return runs_fused(x, on_gpu=True) and _rounds_once(x) is not None


def _rounds_once(x: Tensor) -> bool | None:
    """How the norm rounds (`rounds_once`): on a CPU as torch does; on a GPU once, whatever the processor beside it."""
    return x.device.type != "cpu" or rounds_once(x.dtype == torch.bfloat16)
