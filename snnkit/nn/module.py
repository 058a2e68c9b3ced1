"""The base of layers that have a state."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from snnkit.errors import StateError
from snnkit.nn.context import current_pass, recorders
from snnkit.nn.shapes import layer_name


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
        self.check_input(x)
        going = current_pass()
        explicit = state is not None
        through_run = not explicit and going is not None and going.final is not None
        if through_run:
            assert going is not None
            state = going.take(self)
        if state is not None:
            self.check_state(state, x)
        out, final = self.sequence(x, state, want_state=explicit or through_run)
        for recorder in recorders():
            recorder.see(self, x, state, out)
        if through_run:
            assert going is not None
            going.leave(self, final)
        return (out, final) if explicit else out

    def state_error(self, state: Any, why: str) -> StateError:
        """A StateError about a state given to this layer."""
        return StateError(
            f"layer {layer_name(self)} was given a state that is not its own: {why}",
            fix="start from layer.initial_state(x), or from what this layer returned for the same batch",
        )

    def expect_state(self, state: Any, cls: type, shape: torch.Size) -> None:
        """Require a state of class `cls` whose tensors all have this shape.

        Raises:
            StateError: another class or shape.
        """
        if not isinstance(state, cls):
            raise self.state_error(state, f"a {type(state).__name__} instead of a {cls.__name__}")
        for name in getattr(cls, "_fields"):  # noqa: B009
            found = getattr(state, name).shape
            if found != shape:
                raise self.state_error(state, f"{name} has shape {tuple(found)}, the input needs {tuple(shape)}")
