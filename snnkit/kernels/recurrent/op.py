"""Recurrent neurons over a sequence: matrix product and step in turn, as one torch operator with its gradient.

Memory beside the input, in its size [T, B, N]: forward the output and, where a gradient will be asked for, one value
more (LI: none); backward the gradient of the input, for ALIF and under refractoriness one more while it runs. The input
itself is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.operator import Operator
from snnkit.kernels.recurrence import Recurrence
from snnkit.kernels.recurrent import on_cpu
from snnkit.kernels.state import state_dtype

_FIRST = 3
"""How many arguments stand between the input and those of the recurrence's own operator."""


class Recurrent:
    """A recurrence whose output comes back through a matrix, out[t] = step(x[t] + W·out[t−1] + b), with its operators.

    The operator `snnkit::recurrent_<name>` takes x [T, B, N], W [N, N], b [N], the output [B, N] before the first step,
    what the recurrence's own operator takes (its values never repeat here), whether the final state is wanted and
    whether a backward pass may follow. It returns out [T, B, N], what that pass needs beside it [T, B, N], the final
    output and the final states [B, N]. `snnkit::recurrent_<name>_backward` takes the gradients of out, of the final
    output and states, and returns those of x, W, b, the output before, the initial states and the parameters. What is
    not wanted is empty.
    """

    def __init__(self, recurrence: Recurrence[Any, Any]) -> None:
        self.recurrence = recurrence
        self._learn = (*range(1, 1 + _FIRST), *(k + _FIRST for k in recurrence.learn))
        """Which arguments of `forward`, beside x, have a gradient."""
        self.forward = self._operator("", self._forward_schema(), on_cpu.forward, self._shapes)
        self.backward = self._operator("_backward", self._backward_schema(), on_cpu.backward, self._gradient_shapes)
        self.forward.gradient(self._save, self._back)
        self.backward.no_gradient()

    def _operator(self, end: str, schema: str, cpu: Callable[..., Any], fake: Callable[..., Any]) -> Operator:
        operator = Operator(f"recurrent_{self.recurrence.name}{end}", schema, partial(cpu, self.recurrence))
        operator.shapes(fake)
        operator.on_gpu("snnkit.kernels.recurrent.on_gpu", cpu.__name__, self.recurrence)
        return operator

    def _forward_schema(self) -> str:
        results = ", ".join(["Tensor"] * (3 + len(self.recurrence.fields)))
        return (
            f"(Tensor x, Tensor weight, Tensor? bias, Tensor? out0, {self.recurrence.arguments()}, bool want_state, "
            f"bool keep) -> ({results})"
        )

    def _backward_schema(self) -> str:
        r = self.recurrence
        grads = "".join(f", Tensor? grad_{name}" for name in r.states)
        wants = ("weight", "bias", "out0", *(f"{name}0" for name in r.states), *r.parameters)
        return (
            f"(Tensor grad_s, Tensor? grad_out{grads}, Tensor s, Tensor kept, Tensor weight, Tensor? out0, "
            f"{r.arguments()}{''.join(f', bool want_{name}' for name in wants)}) "
            f"-> ({', '.join(['Tensor'] * (1 + len(self._learn)))})"
        )

    def _shapes(self, x: Tensor, weight: Tensor, bias: Any, out0: Any, *args: Any) -> tuple[Tensor, ...]:
        r = self.recurrence
        _, _, options, (want_state, keep) = r.split(args)
        kept = x.shape if keep and not r.from_output else (0, 0, 0)

        def state(wanted: bool, dtype: torch.dtype | None = None) -> Tensor:
            return x.new_empty(x.shape[1:] if wanted else (0, 0), dtype=dtype)

        ends = [state(want_state) for _ in r.states]
        if len(r.fields) > len(ends):
            ends.append(state(want_state and r.refractory(options) > 0, torch.int32))
        return torch.empty_like(x), x.new_empty(kept), state(want_state), *ends

    def _gradient_shapes(self, grad_s: Tensor, *args: Any) -> tuple[Tensor, ...]:
        r = self.recurrence
        _, values, _, wants = r.split(args[1 + len(r.states) + 4 :])
        _, batch, n = grad_s.shape
        count = _FIRST + len(r.states)
        shapes: list[tuple[int, ...]] = [(n, n), (n,), *[(batch, n)] * (count - 2)]
        found = [grad_s.new_empty(shape if want else [0] * len(shape)) for shape, want in zip(shapes, wants[:count])]
        sums = [v.new_empty(v.shape[0] if want else 0) for v, want in zip(values[::2], wants[count:])]
        return torch.empty_like(grad_s), *found, *sums

    def _save(self, ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, weight, _, out0, *args = inputs
        starts, values, ctx.options, _ = self.recurrence.split(args)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output[:2], weight, out0, *starts, *values[::2])
        ctx.repeats, ctx.count = values[1::2], len(inputs)

    def _back(
        self, ctx: Any, grad_s: Tensor | None, grad_kept: Tensor | None, *grads: Tensor | None
    ) -> tuple[Any, ...]:
        r = self.recurrence
        s, kept, weight, out0, *saved = ctx.saved_tensors
        starts, values = saved[: len(r.fields)], saved[len(r.fields) :]
        wants = [ctx.needs_input_grad[k] for k in self._learn]
        grad_x, *found = self.backward(
            torch.zeros_like(s) if grad_s is None else grad_s,
            *grads[: 1 + len(r.states)],
            s,
            kept,
            weight,
            out0,
            *starts,
            *(part for pair in zip(values, ctx.repeats) for part in pair),
            *ctx.options,
            *wants,
        )
        results = [grad_x, *[None] * (ctx.count - 1)]
        for k, part, want in zip(self._learn, found, wants):
            results[k] = part if want else None
        return tuple(results)

    def smallest(self, dtype: torch.dtype) -> tuple[list[Any], list[Any]]:
        """Arguments of `forward` and of `backward` for one neuron: enough to compile what both use."""
        r = self.recurrence
        x = torch.zeros(1, 1, 1, dtype=state_dtype(torch.empty(0, dtype=dtype)))
        usual, weight = r.usual(dtype), x[0]
        backward = [x, *[None] * (1 + len(r.states)), x, x, weight, None, *usual, *[False] * len(self._learn)]
        return [x, weight, None, None, *usual, False, True], backward
