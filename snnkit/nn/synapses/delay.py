"""Delays: axons that take some steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.kernels.state import detach_state, move_state, state_dtype
from snnkit.nn.module import Stateful
from snnkit.nn.shapes import shape_error


class DelayState(NamedTuple):
    """last [D, B, …]: the input of the last D steps, oldest first; D is the longest delay."""

    last: Tensor

    def detach(self) -> DelayState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> DelayState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class Delay(Stateful):
    """y[t] = x[t − steps], and 0 where that is before the first step. x, y: [T, B, C, …].

    Put it right behind a neuron layer (or a synapse without bias): there it becomes the delay of the connections in the
    exported graph.

    Args:
        steps: whole steps ≥ 0: one number, or one per channel [C]. They are settings, as a stride is: not learned and
            not in the state dict.

    Raises:
        ParameterError: steps that are not whole numbers ≥ 0.
        ShapeError: fewer than 3 dimensions, or another number of channels than delays.
    """

    offsets: Tensor

    def __init__(self, steps: int | Sequence[int]) -> None:
        super().__init__()
        each = tuple(steps) if isinstance(steps, Sequence) else (steps,)
        if not each or any(isinstance(d, bool) or not isinstance(d, int) or d < 0 for d in each):
            raise ParameterError(
                f"Delay(steps={steps!r})", fix="give a whole number of steps ≥ 0, or one such number per channel"
            )
        self.steps: int | tuple[int, ...] = steps if isinstance(steps, int) else each
        self.longest = max(each)
        self.register_buffer("offsets", self.longest - torch.tensor(each), persistent=False)

    def initial_state(self, x: Tensor) -> DelayState:
        """Silence before the first step of x [T, B, …]."""
        return DelayState(torch.zeros(self.longest, *x.shape[1:], dtype=state_dtype(x), device=x.device))

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        if self.longest == 0:
            return x, (self.initial_state(x) if state is None else state) if want_state else None
        wide = x.to(state_dtype(x))
        every = torch.cat([(self.initial_state(x) if state is None else state).last, wide])  # [D + T, B, …]
        if isinstance(self.steps, int):
            out = every[: x.shape[0]]
        else:
            rows = torch.arange(x.shape[0], device=x.device)[:, None] + self.offsets  # [T, C]
            out = every.gather(0, rows.view(x.shape[0], 1, -1, *[1] * (x.dim() - 3)).expand(x.shape))
        # A copy, so that a state does not keep the whole chunk that it is the end of.
        return out.to(x.dtype), DelayState(every[x.shape[0] :].clone()) if want_state else None

    def check_input(self, x: Tensor) -> None:
        if x.dim() < 3:
            raise shape_error(self, x, "at least 3 dimensions [T, B, C, …]", "time comes first, then the batch")
        if isinstance(self.steps, tuple) and x.shape[2] != len(self.steps):
            raise shape_error(self, x, f"{len(self.steps)} channels in [T, B, C, …], one per delay")

    def check_state(self, state: Any, x: Tensor) -> None:
        self.expect_state(state, DelayState(x.new_empty(0, dtype=state_dtype(x))), x, (self.longest, *x.shape[1:]))

    def extra_repr(self) -> str:
        if isinstance(self.steps, int) or len(self.steps) <= 8:
            return f"steps={self.steps}"
        return f"steps=<{len(self.steps)}: {min(self.steps)} … {self.longest}>"
