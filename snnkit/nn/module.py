"""The base of layers that have a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from snnkit.errors import StateError
from snnkit.kernels.state import state_dtype
from snnkit.nn.context import current_pass, learner_of, recorders
from snnkit.nn.shapes import layer_name, refuse_list


class Stateful(torch.nn.Module):
    """A layer over [T, B, …] with a state.

    `layer(x)` starts at rest, returns a tensor and leaves nothing behind. `layer(x, state)` returns `(out, state)`,
    starting from `state = layer.initial_state(x)` or from what an earlier call returned. Inside `snn.run` the state
    of `layer(x)` is taken from and left to the run.

    Sub-classes define `initial_state` and `sequence`, and may narrow `check_input` and `check_state`.
    """

    spiking: ClassVar[bool] = False
    """Whether the output is spikes."""

    def initial_state(self, x: Tensor) -> Any:
        """The state before the first step of x [T, B, …]: a NamedTuple of tensors."""
        raise NotImplementedError

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        """x [T, B, …] from `state` (None: at rest) → (out [T, B, …], final state; None where not wanted)."""
        raise NotImplementedError

    def check_input(self, x: Tensor) -> None:
        """Raise ShapeError where x does not fit."""

    def check_state(self, state: Any, x: Tensor) -> None:
        """Raise StateError where the state is not one of this layer for x."""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """out [T, B, …] without a state, (out, state) with one."""
        return self.through(x, state, self.sequence)

    def through(self, x: Tensor, state: Any, run: Callable[[Tensor, Any, bool], tuple[Tensor, Any]]) -> Any:
        """`forward` with run(x, state, want_state) in the place of `sequence`."""
        refuse_list(x, self)
        self.check_input(x)
        going = current_pass()
        explicit = state is not None
        through_run = not explicit and going is not None and going.final is not None
        if through_run:
            assert going is not None
            state = going.take(self)
        if state is not None:
            self.check_state(state, x)
        learner = learner_of(self)
        if learner is None:
            out, final = run(x, state, explicit or through_run)
        else:
            x, out, final = learner.sequence(self, x, state, explicit or through_run)
        for recorder in recorders():
            recorder.see(self, x, state, out)
        if through_run:
            assert going is not None
            going.leave(self, final)
        return (out, final) if explicit else out

    def state_error(
        self,
        state: Any,
        why: str,
        fix: str = "start from layer.initial_state(x), or from what this layer returned for the same batch",
    ) -> StateError:
        """A StateError about a state given to this layer."""
        return StateError(f"layer {layer_name(self)} was given a state that is not its own: {why}", fix=fix)

    def expect_state(self, state: Any, like: Any, x: Tensor, shape: Sequence[int] | None = None) -> None:
        """Require a state as `like` is one: its class and dtypes, on the device of x, of one shape.

        Args:
            state: what was given.
            like: a state of this layer for an input of x's dtype; its shapes do not matter.
            x: the input [T, B, …].
            shape: of every tensor of the state; that of one step [B, …] where None.

        Raises:
            StateError: another class, shape, device or dtype.
        """
        if not isinstance(state, type(like)):
            raise self.state_error(state, f"a {type(state).__name__} instead of a {type(like).__name__}")
        for name, wanted in like._asdict().items():
            found = getattr(state, name)
            as_x = wanted.is_floating_point() and found.dtype == state_dtype(x)  # a step may promote what was float32
            self.expect_tensor(state, name, found, x, found.dtype if as_x else wanted.dtype, shape)

    def expect_tensor(
        self, state: Any, name: str, found: Tensor, x: Tensor, dtype: torch.dtype, shape: Sequence[int] | None = None
    ) -> None:
        """Require one tensor of a state to have this shape (None: that of one step of x) and dtype, on x's device.

        Raises:
            StateError: another shape, device or dtype.
        """
        shape = tuple(x.shape[1:] if shape is None else shape)
        if tuple(found.shape) != shape:
            raise self.state_error(state, f"{name} has shape {tuple(found.shape)}, the input needs {shape}")
        if found.device != x.device:
            raise self.state_error(
                state,
                f"{name} is on {found.device}, the input on {x.device}",
                fix=f"move the state along with the input: state.to({str(x.device)!r})",
            )
        if found.dtype != dtype:
            raise self.state_error(
                state,
                f"{name} is {_short(found.dtype)}, an input of {_short(x.dtype)} needs {_short(dtype)}",
                fix=f"convert the state, state.to(dtype={dtype}), or give the input in the dtype of the earlier calls",
            )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
