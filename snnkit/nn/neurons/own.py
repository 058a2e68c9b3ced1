"""Neurons of users' own, made of one function: `snn.neuron(step)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.kernels.chunks import compiled_steps, name_of
from snnkit.kernels.layout import runs_fused
from snnkit.kernels.li import LIState
from snnkit.kernels.sequence import Step, run_steps
from snnkit.kernels.state import state_dtype
from snnkit.nn.neurons.base import Neuron, spikes_like
from snnkit.nn.neurons.own_check import check_signature, check_state_like, check_step
from snnkit.nn.neurons.own_values import Values
from snnkit.nn.neurons.parameters import along_features, describe
from snnkit.surrogate.heaviside import transformed


class OwnNeuron(Neuron):
    """A neuron layer whose step is a function given to it; see `neuron`, which makes it."""

    def __init__(
        self,
        step: Step,
        state: Any,
        params: Any,
        learn: Mapping[str, str] | Sequence[str],
        shape: Sequence[int] | None,
        spiking: bool,
        compiled: bool,
    ) -> None:
        super().__init__()
        check_signature(step)
        fields = isinstance(state, type) and issubclass(state, tuple) and hasattr(state, "_fields")
        if not fields and (isinstance(state, type) or not callable(state)):
            raise ParameterError(
                f"state={state!r} is neither a NamedTuple class nor a function",
                fix="class State(NamedTuple): v: Tensor, and state=State; or a function x [T, B, …] → State",
            )
        self.function = step
        self.start = state
        self.spiking = bool(spiking)  # type: ignore[misc]
        self.compiled = bool(compiled)
        self.values = Values(self, params, learn, shape)
        self._checked: set[Any] = set()

    def value(self, name: str) -> Tensor:
        """The effective value of a parameter, float32: a scalar, [C] or [C, H, W]; "lif.decay" for a nested one."""
        if name not in self.values.kept:
            raise ParameterError(f"no number {name!r} among the parameters of {self}")
        return self.values.value(self, name)

    def initial_state(self, x: Tensor) -> Any:
        """Before the first step of x [T, B, …]."""
        if not isinstance(self.start, type):
            state = self.start(x)
            check_state_like(state, self.function)
            return state
        defaults = self.start._field_defaults  # type: ignore[attr-defined]

        def first(name: str) -> Tensor:
            value = defaults.get(name, 0.0)
            dtype = torch.int32 if isinstance(value, int) else state_dtype(x)
            return torch.full(x.shape[1:], value, dtype=dtype, device=x.device)

        return self.start(*(first(name) for name in self.start._fields))  # type: ignore[attr-defined]

    def params(self, x: Tensor) -> Any:
        dtype = state_dtype(x)
        return self.values.filled(lambda name: along_features(self, name, self.values.value(self, name), x, dtype))

    def step(self, x: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
        return self.function(x, state, params)

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        if state is None:
            state = self.initial_state(x)
        params = self.params(x)
        self._check(x, params)
        if self.compiled and not torch.compiler.is_compiling() and runs_fused(x, on_gpu=True):
            out, final = compiled_steps(self.function)(x.to(state_dtype(x)), state, params)
        else:
            out, final = run_steps(self.function, x, state, params)
        return (spikes_like(out, x) if self.spiking else out), final

    def _check(self, x: Tensor, params: Any) -> None:
        """Try the step once for each kind of input, on its first sample."""
        if torch.compiler.is_compiling() or transformed():
            return
        kind = (x.shape[2:], x.dtype, x.device, torch.is_autocast_enabled(x.device.type))
        if kind in self._checked:
            return
        one = x[:1, :1].detach().to(state_dtype(x))
        check_step(self, self.function, one[0], self.initial_state(one), params)
        self._checked.add(kind)

    @property
    def has_membrane(self) -> bool:
        """Whether `snn.record(v=…)` has a field v of the state to show; what a function gives is seen when it runs."""
        return "v" in getattr(self.start, "_fields", ("v",))

    def membrane(self, x: Tensor, state: Any = None) -> Tensor:
        """v [T, B, …] after each step."""
        state = self.initial_state(x) if state is None else state
        if "v" not in state._fields:
            raise ParameterError(
                f"the state of step {name_of(self.function)} has no v to record, only {', '.join(state._fields)}",
                fix="call the field v, or record the spikes alone",
            )
        return super().membrane(x, state)

    def check_state(self, state: Any, x: Tensor) -> None:
        like = self.initial_state(x[:1])
        if type(state) is not type(like):
            raise self.state_error(state, f"a {type(state).__name__} instead of a {type(like).__name__}")
        for name, wanted in like._asdict().items():
            self.expect_tensor(state, name, getattr(state, name), x, wanted.dtype, wanted.shape)

    def extra_repr(self) -> str:
        parts = [name_of(self.function)]
        for path, (name, _) in self.values.kept.items():
            learned = " (learned)" if name in self._parameters else ""
            parts.append(f"{path}={describe(self.values.value(self, path))}{learned}")
        return ", ".join(parts + (["spiking=False"] if not self.spiking else []))


def neuron(
    step: Callable[[Tensor, Any, Any], tuple[Tensor, Any]],
    state: Any = LIState,
    params: Any = None,
    learn: Mapping[str, str] | Sequence[str] = (),
    shape: Sequence[int] | None = None,
    spiking: bool = True,
    compiled: bool = False,
) -> Neuron:
    """A neuron layer of your own from its step(x, state, params) -> (out, state): out[t], state ← step(x[t], state, …).

    The step sees one moment, x and out [B, features…], and is all there is to write. Over x [T, B, features…], states,
    streaming (`snn.run`, `snn.stream`), recording, gradients, learnable parameters and `snn.Recurrent` come with it.

        class State(NamedTuple):
            v: Tensor  # starts at 0
            trace: Tensor = 0.5  # starts at its default; an int makes an int32 counter

        def step(x, state, params):
            v = params["decay"] * state.v + x - params["strength"] * state.trace
            s = surrogate.spike(v - params["threshold"], params["surrogate"])
            return s, State(v * (1 - s), 0.9 * state.trace + s)

        layer = snn.neuron(
            step,
            state=State,
            params={"decay": 0.9, "strength": 0.2, "threshold": 1.0, "surrogate": surrogate.get("arctan")},
            learn={"decay": "sigmoid", "strength": "positive"},
        )
        spikes = layer(torch.rand(100, 8, 64))

    Args:
        step: the definition, a function that computes new tensors and changes none in place. x is float32, or float64
            where the input is. A module-level function, if the model is to be pickled.
        state: a NamedTuple class, every field a tensor of x's one step; or a function x [T, B, …] → such a state for
            the one before the first step. The default has one field, `v`. A field `v` is what `snn.record(v=…)` shows.
        params: a dict or NamedTuple, nested or not, that the step is given. Floats, lists of numbers and tensors are
            tensors of one value, one per channel [C] or one per neuron [C, H, W]; all else comes as it is.
        learn: which of them are learned, and within what: "free", "sigmoid" (0 … 1, for decays) or "positive". A list
            of names is free. A nested one is named "lif.decay".
        shape: gives all of params' numbers this shape (one per channel [C] or per neuron [C, H, W]).
        spiking: whether out is spikes: those are recorded, and take the dtype of a bf16 input.
        compiled: run chunks of up to 32 steps through torch.compile. + − × ÷, comparisons and selections stay equal
            bit for bit; exp and the like differ in the last digits. Compiling takes seconds for each length of chunk,
            of which there are at most 6. Where there is no compiler, or it does not take the step, it stays eager,
            with one warning.

    Raises:
        ParameterError: step is no function of (x, state, params), or a parameter or its constraint is none.
        UsageError: on the first call: the step changes something in place, or returns something else.
        ShapeError: on the first call: out has not the shape of x, or a parameter does not fit the features.
        StateError: on the first call: the state's class, shape, dtype or device changes over a step.

    A layer whose step is one of snnkit's own (`snnkit.kernels.lif.step`) gives that layer's spikes bit for bit and is
    exported like it; a step of your own has no counterpart on a chip, and export says so.
    """
    return OwnNeuron(step, state, params, learn, shape, spiking, compiled)
