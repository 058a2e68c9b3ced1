"""Recurrences on the CPU: the compiled kernels of a folder's `cpu.py`, called block by block for the whole sequence.

`forward(first, last, block, x, …, s, …)` takes the input, the initial states, each parameter with its repeat and the
options, then the memory for output and final states. `backward` takes the same, then the gradients of output and final
states, then the memory for those of input, initial states and parameters. What is absent is an empty array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, reduce_to
from snnkit.kernels.memory import output_like
from snnkit.kernels.state import state_dtype
from snnkit.kernels.threads import run_blocks

if TYPE_CHECKING:
    from snnkit.kernels.recurrence import Parts, Recurrence

_NOTHING: dict[torch.dtype, np.ndarray[Any, Any]] = {
    torch.float32: np.empty(0, np.float32),
    torch.float64: np.empty(0, np.float64),
}
_NO_WAIT = np.empty(0, np.int32)


def forward(recurrence: Recurrence[Any, Any], x: Tensor, *args: Any) -> Tensor | tuple[Tensor, ...]:
    """The operator `snnkit::<name>`: x [T, M] → s [T, M] and final states [M], empty where they are not wanted."""
    parts = recurrence.split(args)
    steps, width = x.shape
    out = output_like(x, state_dtype(x) if recurrence.from_output else x.dtype)
    inputs = [*_inputs(recurrence, x, parts), *[parts.options[k] for k in recurrence.early], array(out)]
    kernel = recurrence.kernels("cpu").forward
    if recurrence.from_output:
        run_blocks(kernel, steps, width, *inputs)
        return out
    wanted, dtype = width if parts.wants[0] else 0, state_dtype(x)
    ends = [empty(x, wanted, dtype=dtype) for _ in recurrence.states]
    if len(recurrence.fields) > len(ends):
        ends.append(empty(x, wanted if recurrence.refractory(parts.options) else 0, dtype=torch.int32))
    run_blocks(kernel, steps, width, *inputs, *[array(end) for end in ends])
    return out, *ends


def backward(recurrence: Recurrence[Any, Any], *args: Any) -> tuple[Tensor, ...]:
    """The operator `snnkit::<name>_backward`: gradients of x [T, M], initial states [M] and parameters [P]."""
    ends = 1 + recurrence.ends
    (grad_s, *grads), x = args[:ends], args[ends]
    parts = recurrence.split(args[ends + 1 :])
    steps, width = x.shape
    dtype = state_dtype(x)
    nothing = _NOTHING[dtype]
    grad_x = output_like(x)
    found = [empty(x, width if want else 0, dtype=dtype) for want in parts.wants]
    number = nothing.dtype.type
    options = [
        number(value) if option.type == "float" else value for value, option in zip(parts.options, recurrence.options)
    ]
    run_blocks(
        recurrence.kernels("cpu").backward,
        steps,
        width,
        *_inputs(recurrence, x, parts),
        *options,
        array(grad_s.contiguous()),
        *(nothing if grad is None else array(grad.contiguous()) for grad in grads),
        array(grad_x),
        *map(array, found),
    )
    return grad_x, *reduced(recurrence, found, parts)


def reduced(recurrence: Recurrence[Any, Any], found: list[Tensor], parts: Parts) -> list[Tensor]:
    """Gradients of initial states as they are, those of parameters [M] summed to [P] where they are wanted."""
    count, values = len(recurrence.states), parts.values
    for k, want in enumerate(parts.wants[count:]):
        if want:
            found[count + k] = reduce_to(found[count + k], values[2 * k].numel(), values[2 * k + 1])
    return found


def _inputs(recurrence: Recurrence[Any, Any], x: Tensor, parts: Parts) -> list[Any]:
    nothing, given = _NOTHING[state_dtype(x)], (x, *parts.starts, *parts.values)
    inputs = [array(v) if isinstance(v, Tensor) else nothing if v is None else v for v in given]
    if parts.starts[-1] is None and len(recurrence.fields) > len(recurrence.states):
        inputs[len(recurrence.fields)] = _NO_WAIT
    return inputs
