"""What layers and penalties share with the other processes of a training: sums over all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def world_size() -> int:
    """Processes that train together; 1 where torch.distributed is not started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def add_up(x: Tensor) -> Tensor:
    """x becomes its sum over all processes, in place, by one all-reduce; as it is where there is one process. All
    processes get the same bits."""
    if world_size() > 1:
        dist.all_reduce(x)
    return x


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return add_up(x.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return add_up(grad.clone(memory_format=torch.contiguous_format))


def summed(x: Tensor) -> Tensor:
    """Σ_r x_r over the processes r, and dL/dx_r = Σ_s dL_s/dy, L being the sum of all processes' losses.

    DistributedDataParallel takes the mean of the processes' gradients, so f(summed(x)) in every process's loss has the
    gradient of one f of the whole batch. x: any shape, the same in all processes; one all-reduce forward, one backward.
    """
    return x if world_size() == 1 else _Summed.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def gathered(value: Any) -> list[Any]:
    """The values of all processes, by rank; any plain value, through the host."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values
