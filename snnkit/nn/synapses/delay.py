"""Delays: axons that take some steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from snnkit.errors import ParameterError
from snnkit.kernels.state import detach_state, move_state, state_dtype
from snnkit.nn.module import Stateful
from snnkit.nn.shapes import shape_error
from snnkit.surrogate.heaviside import transformed


class DelayState(NamedTuple):
    """last [D, B, …]: the input of the last D steps, oldest first; D is the longest delay."""

    last: Tensor

    def detach(self) -> DelayState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> DelayState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


def _shifted(every: Tensor, offsets: Tensor, steps: int) -> Tensor:
    """every [S, B, C, …] → [steps, B, C, …]: out[t, b, c] = every[t + offsets[c], b, c]."""
    batch, channels, pixels = every.shape[1], every.shape[2], every.shape[3:].numel()
    rows = torch.arange(steps, device=every.device)[:, None] + offsets  # [T, C]
    if pixels == 1 or every.numel() == 0:
        return every.gather(0, rows.view(steps, 1, -1, *[1] * (every.dim() - 3)).expand(-1, *every.shape[1:]))
    # Whole rows of pixels at a time: a gather looks up each element's place (16 times slower for 20 pixels).
    inner = torch.arange(batch * channels, device=every.device).view(1, batch, channels)
    places = rows[:, None, :] * (batch * channels) + inner
    return functional.embedding(places, every.reshape(-1, pixels)).view(steps, *every.shape[1:])


class _Shifted(torch.autograd.Function):
    """`_shifted`, whose gradient is a shift the other way and not a scatter."""

    @staticmethod
    def forward(every: Tensor, offsets: Tensor, steps: int) -> Tensor:
        return _shifted(every, offsets, steps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        every, offsets, ctx.steps = inputs
        ctx.length = every.shape[0]
        ctx.save_for_backward(offsets)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,), (offsets,) = grads, ctx.saved_tensors
        # out[t] has every[t + o]: every[s] goes to out[s − o], where that is a step of out.
        longest = ctx.length - ctx.steps
        silence = grad.new_zeros(longest, *grad.shape[1:])
        return _Shifted.apply(torch.cat([silence, grad, silence]), longest - offsets, ctx.length), None, None


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
            # torch.func and forward mode see plain operations, which have every derivative.
            shift = _shifted if transformed() else _Shifted.apply
            out = shift(every, self.offsets, x.shape[0])
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
