"""States of recurrences: NamedTuples of tensors, so pytrees, with `.detach()` and `.to()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


def map_state(function: Callable[[Tensor], Tensor], state: S) -> S:
    """Apply a function to every tensor of a (nested) state."""
    if isinstance(state, Tensor):
        return function(state)  # type: ignore[return-value]
    if isinstance(state, tuple):
        return type(state)(*(map_state(function, part) for part in state))  # type: ignore[return-value]
    return state


def detach_state(state: S) -> S:
    """The same state cut from the graph (truncated back-propagation through time)."""
    return map_state(Tensor.detach, state)


def move_state(state: S, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> S:
    """The state on another device; `dtype` applies to its floating-point tensors only."""
    return map_state(lambda t: t.to(device=device, dtype=dtype if t.is_floating_point() else None), state)


def state_dtype(x: Tensor) -> torch.dtype:
    """The dtype neuron states have for an input: float64 for float64, else float32 (also under bf16 autocast)."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def zeros_like_step(x: Tensor) -> Tensor:
    """Zeros of one step of x [T, B, …], in the state's dtype."""
    return torch.zeros(x.shape[1:], dtype=state_dtype(x), device=x.device)


def idle(v: Tensor) -> Tensor:
    """A refractory counter that is and stays 0: the shape of v, no memory of its own."""
    return torch.zeros((), dtype=torch.int32, device=v.device).expand(v.shape)


def counter(v: Tensor, refractory: int) -> Tensor:
    """A refractory counter at rest for v: int32, real memory only where it can count."""
    return torch.zeros(v.shape, dtype=torch.int32, device=v.device) if refractory else idle(v)
