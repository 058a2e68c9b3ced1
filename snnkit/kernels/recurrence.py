"""What a fused recurrence over sequences consists of, and the torch operator that follows from it.

The folder of a recurrence has its definition (`reference.py`), its kernels (`cpu.py` and `gpu.py`, each with `forward`
and `backward`) and a `Recurrence` that names its states, parameters and options (`op.py`). From these names follow the
operator's schema, the calls of the kernels (`on_cpu`, `on_gpu`), shapes without values and the gradient.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from snnkit.kernels import on_cpu
from snnkit.kernels.layout import prepare, runs_fused
from snnkit.kernels.operator import Operator
from snnkit.kernels.sequence import Step, run_steps
from snnkit.kernels.state import idle, state_dtype

S = TypeVar("S", bound=tuple[Any, ...])
P = TypeVar("P")


class Option(NamedTuple):
    """A switch or number that kernels take beside their tensors."""

    name: str
    type: str
    """As in an operator's schema: "bool", "int" or "float"."""
    backward_only: bool = False
    constant: bool = False
    """Kernels for GPUs are compiled for its value, under its name in capitals."""


RESET = (Option("to_zero", "bool", constant=True), Option("detach", "bool", backward_only=True, constant=True))
REFRACTORY = Option("refractory", "int")
SURROGATE = (
    Option("kind", "int", backward_only=True, constant=True),
    Option("peak", "float", backward_only=True),
    Option("scale", "float", backward_only=True),
)


class Given(NamedTuple):
    """The values of a recurrence's parameters and options, in the order of their names."""

    parameters: tuple[Tensor | None, ...]
    """Each broadcasts against [B, …]; only a fixed one may be None."""
    options: tuple[bool | int | float, ...] = ()


class Parts(NamedTuple):
    """The arguments of an operator behind its input."""

    starts: Sequence[Any]
    """Initial states [M], each a tensor or None for rest; the refractory counter, where there is one, last."""
    values: Sequence[Any]
    """(values [P], repeat) of each parameter, one after the other."""
    options: Sequence[Any]
    wants: Sequence[bool]
    """Whether the final state is wanted; of the backward pass, which gradients of initial states and parameters."""


class Recurrence(Generic[S, P]):
    """A recurrence by the names of what it has, with its operators `forward` and `backward`.

    The operator `snnkit::<name>` takes x [T, M], the initial states, the parameters, the options and whether the final
    state is wanted, and returns s [T, M] and the final states. `snnkit::<name>_backward` takes the gradients of these
    in front, and returns those of x, the initial states and the parameters, each empty where it is not wanted.

    Args:
        name: of the operator, and of the folder in `snnkit.kernels`.
        state: the NamedTuple of states; a field `wait` is the refractory counter, which has no gradient.
        step: the definition, which the sequence takes where there is no kernel for it.
        rest: (x [T, B, …], params) → the state at rest.
        given: params → values of `parameters`, `fixed` and `options`, or None where no kernel computes these.
        parameters: names of the tensors that can learn.
        options: what else kernels take.
        fixed: names of tensors that cannot learn, or may be missing.
        from_output: the output, in the state's dtype, is the state; the backward pass needs no input.
    """

    def __init__(
        self,
        name: str,
        state: type[S],
        step: Step,
        rest: Callable[[Tensor, P], S],
        given: Callable[[P], Given | None],
        parameters: tuple[str, ...],
        options: tuple[Option, ...] = (),
        fixed: tuple[str, ...] = (),
        from_output: bool = False,
    ) -> None:
        self.name, self.state, self.step, self.rest, self.given = name, state, step, rest, given
        self.fields: tuple[str, ...] = state._fields  # type: ignore[attr-defined]
        self.states = tuple(field for field in self.fields if field != "wait")
        self.parameters, self.fixed, self.options, self.from_output = parameters, fixed, options, from_output
        self.ends = 0 if from_output else len(self.states)
        """Final states among the outputs, without the counter."""
        names = [option.name for option in options]
        self.early = tuple(k for k, option in enumerate(options) if not option.backward_only)
        """Which options the forward pass takes."""
        self._refractory = names.index(REFRACTORY.name) if REFRACTORY in options else -1
        values = len(self.fields) + 2 * len(parameters + fixed)
        self._cuts = len(self.fields), values, values + len(options)
        count, first = len(self.states), 1 + len(self.fields)
        self.learn = (*range(1, 1 + count), *range(first, first + 2 * len(parameters), 2))
        """Which arguments of `forward`, beside x, have a gradient."""
        self.kernels = cache(self._kernels)
        self.forward = self._operator("", self._forward_schema(), on_cpu.forward, self._shapes)
        self.backward = self._operator("_backward", self._backward_schema(), on_cpu.backward, self._gradient_shapes)
        self.forward.gradient(self._save, self._back)
        self.backward.no_gradient()

    def _operator(self, end: str, schema: str, cpu: Callable[..., Any], fake: Callable[..., Any]) -> Operator:
        operator = Operator(self.name + end, schema, partial(cpu, self))
        operator.shapes(fake)
        keeping = "forward_keeping" if cpu is on_cpu.forward else ""
        operator.on_gpu("snnkit.kernels.on_gpu", cpu.__name__, self, keeping=keeping)
        return operator

    def _kernels(self, device: str) -> Any:
        """The module with the kernels for "cpu" or "gpu"; numba and Triton are imported with it."""
        return importlib.import_module(f"snnkit.kernels.{self.name}.{device}")

    def split(self, args: Sequence[Any]) -> Parts:
        """The arguments behind the input by what they are."""
        a, b, c = self._cuts
        return Parts(args[:a], args[a:b], args[b:c], args[c:])

    def refractory(self, options: Sequence[Any]) -> int:
        """Steps of refractoriness; 0 for a recurrence without."""
        return 0 if self._refractory < 0 else options[self._refractory]

    def arguments(self) -> str:
        """Initial states, parameters and options as in an operator's schema; see `split`."""
        parts = [f"Tensor? {field}0" for field in self.fields]
        parts += [f"Tensor {name}, int {name}_repeat" for name in self.parameters]
        parts += [f"Tensor? {name}, int {name}_repeat" for name in self.fixed]
        return ", ".join([*parts, *(f"{option.type} {option.name}" for option in self.options)])

    def _forward_schema(self) -> str:
        if self.from_output:
            return f"(Tensor x, {self.arguments()}) -> Tensor"
        return f"(Tensor x, {self.arguments()}, bool want_state) -> ({', '.join(['Tensor'] * (1 + len(self.fields)))})"

    def _backward_schema(self) -> str:
        grads = "".join(f"Tensor? grad_{name}, " for name in self.states[: self.ends])
        wants = "".join(f", bool want_{name}" for name in (*(f"{s}0" for s in self.states), *self.parameters))
        results = ", ".join(["Tensor"] * (1 + len(self.learn)))
        grad, kept = ("grad", "out") if self.from_output else ("grad_s", "x")
        return f"(Tensor {grad}, {grads}Tensor {kept}, {self.arguments()}{wants}) -> ({results})"

    def _shapes(self, x: Tensor, *args: Any) -> Tensor | tuple[Tensor, ...]:
        if self.from_output:
            return torch.empty_like(x, dtype=state_dtype(x))
        _, _, options, (want,) = self.split(args)
        width = x.shape[1] if want else 0
        ends = [x.new_empty(width, dtype=state_dtype(x)) for _ in self.states]
        if len(self.fields) > len(self.states):
            ends.append(x.new_empty(width if self.refractory(options) else 0, dtype=torch.int32))
        return torch.empty_like(x), *ends

    def _gradient_shapes(self, *args: Any) -> tuple[Tensor, ...]:
        x = args[1 + self.ends]
        _, values, _, wants = self.split(args[2 + self.ends :])
        count = len(self.states)
        rows = [x.new_empty(x.shape[1] if want else 0, dtype=state_dtype(x)) for want in wants[:count]]
        sums = [v.new_empty(v.shape[0] if want else 0) for v, want in zip(values[::2], wants[count:])]
        return torch.empty_like(x), *rows, *sums

    def _save(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        starts, values, ctx.options, _ = self.split(inputs[1:])
        ctx.set_materialize_grads(False)
        kept = getattr(ctx, "kept", None)
        rooms = () if kept is None else kept.rooms
        ctx.save_for_backward(output if self.from_output else inputs[0], *starts, *values[::2], *rooms)
        ctx.repeats, ctx.count = values[1::2], len(inputs)
        ctx.kept = None if kept is None else kept._replace(rooms=[])  # saved tensors go when they are not wanted again

    def _back(self, ctx: Any, grad: Tensor | None, *grads: Tensor | None) -> tuple[Any, ...]:
        x, *saved = ctx.saved_tensors
        end = len(self.fields) + len(ctx.repeats)
        starts, values, rooms = saved[: len(self.fields)], saved[len(self.fields) : end], saved[end:]
        wants = [ctx.needs_input_grad[k] for k in self.learn]
        given = (
            torch.zeros_like(x) if grad is None else grad,
            *grads[: self.ends],
            x,
            *starts,
            *(part for pair in zip(values, ctx.repeats) for part in pair),
            *ctx.options,
            *wants,
        )
        if ctx.kept is None or torch.is_grad_enabled() or not self.backward.is_direct(*given):
            grad_x, *found = self.backward(*given)
        else:
            grad_x, *found = ctx.kept.backward(self, rooms, *given)
        results = [grad_x, *[None] * (ctx.count - 1)]
        for k, part, want in zip(self.learn, found, wants):
            results[k] = part if want else None
        return tuple(results)

    def sequence(self, x: Tensor, state: S | None, params: P, want_state: bool = True) -> tuple[Tensor, S | None]:
        """x [T, B, …] from `state` (None: at rest) → (out [T, B, …], final state; None where not wanted).

        Fused on the CPU, and on a GPU where Triton is installed, for the surrogates of this package; else step by step.
        Outputs are equal bit for bit.
        """
        given = self.given(params) if runs_fused(x, on_gpu=True) else None
        if given is None:
            return run_steps(self.step, x, self.rest(x, params) if state is None else state, params)
        flat, layout = prepare(x, low=True)
        refractory = self.refractory(given.options)
        starts: list[Tensor | None] = [None] * len(self.fields)
        if state is not None:
            for k, value in enumerate(state[: len(self.states)]):
                starts[k] = layout.flatten_state(value.to(state_dtype(x)))
            if refractory:
                starts[-1] = layout.flatten_state(state[-1])
        values = [part for value in given.parameters for part in layout.parameter(value)]
        if self.from_output:
            out = layout.restore(self.forward(flat, *starts, *values, *given.options))
            return out, self.state(out[-1]) if want_state else None
        flat_out, *ends = self.forward(flat, *starts, *values, *given.options, want_state)
        out = layout.restore(flat_out)
        if not want_state:
            return out, None
        final = [layout.restore_state(end) for end in ends[: len(self.states)]]
        if len(self.fields) > len(final):
            final.append(layout.restore_state(ends[-1]) if refractory else idle(final[-1]))
        return out, self.state(*final)

    def smallest(self, dtype: torch.dtype) -> tuple[list[Any], list[Any]]:
        """Arguments of `forward` and of `backward` for one element: enough to compile both."""
        x, usual = torch.zeros(1, 1, dtype=dtype), self.usual(dtype)
        out = x.to(state_dtype(x)) if self.from_output else x
        backward = [out, *[None] * self.ends, out, *usual, *[False] * len(self.learn)]
        return [x, *usual] if self.from_output else [x, *usual, False], backward

    def usual(self, dtype: torch.dtype) -> list[Any]:
        """What `arguments` names, for an input of that dtype: at rest, single values, the first of all options."""
        one = torch.ones(1, dtype=state_dtype(torch.empty(0, dtype=dtype)))
        values = {"bool": True, "int": 0, "float": 1.0}
        usual = [None] * len(self.fields) + [one, 1] * len(self.parameters) + [None, 1] * len(self.fixed)
        return usual + [values[option.type] for option in self.options]
