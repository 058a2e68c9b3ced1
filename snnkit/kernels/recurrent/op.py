"""Recurrent neurons over a sequence: matrix product and step in turn, as one torch operator with its gradient.

Memory beside the input, in its size [T, B, N]: forward the output and, where a gradient will be asked for, one value
more (LI: none); backward the gradient of the input, for ALIF and under refractoriness one more while it runs. The input
itself is not kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, reduce_to
from snnkit.kernels.memory import output_like
from snnkit.kernels.operator import Operator
from snnkit.kernels.threads import run_blocks

_NEURON = (
    "Tensor weight, Tensor? i0, Tensor? v0, Tensor? a0, Tensor? wait0, Tensor? syn, Tensor decay, Tensor? adapt, "
    "Tensor? strength, Tensor? threshold, bool to_zero, bool detach, int refractory, int kind, float peak, float scale"
)


class _Neuron(NamedTuple):
    """What both directions need beside tensors over time: matrix, initial states [B, N], parameters [1] or [N]."""

    weight: Tensor
    i0: Tensor | None
    v0: Tensor | None
    a0: Tensor | None
    wait0: Tensor | None
    syn: Tensor | None
    decay: Tensor
    adapt: Tensor | None
    strength: Tensor | None
    threshold: Tensor | None
    to_zero: bool
    detach: bool
    refractory: int
    kind: int
    peak: float
    scale: float

    @property
    def parameters(self) -> tuple[Tensor | None, ...]:
        """Decays, adaptation and threshold, None where the neuron has no such."""
        return self.syn, self.decay, self.adapt, self.strength, self.threshold

    def spread(self) -> list[np.ndarray[Any, Any]]:
        """The parameters as arrays [N], empty where there are none."""
        n = self.weight.shape[0]
        return [
            array(empty(self.weight, 0) if p is None else p.detach().expand(n).contiguous()) for p in self.parameters
        ]


def _start(state: Tensor | None, like: Tensor, wanted: bool = True) -> Tensor:
    """A state [B, N] to go on in place, zeros where none is given; nothing where the neuron has no such state."""
    if not wanted:
        return empty(like, 0, 0)
    return torch.zeros_like(like) if state is None else state.clone(memory_format=torch.contiguous_format)


def _waiting(neuron: _Neuron, like: Tensor) -> Tensor:
    """The refractory counters [B, N], to go on in place; nothing where they cannot count."""
    if neuron.wait0 is not None and neuron.refractory:
        return neuron.wait0.clone(memory_format=torch.contiguous_format)
    return torch.zeros(like.shape if neuron.refractory else (0, 0), dtype=torch.int32)


def _run(x: Tensor, bias: Tensor | None, out0: Tensor | None, *given: Any) -> tuple[Tensor, ...]:
    """x [T, B, N] → (out [T, B, N], what `backward` needs [T, B, N], the final out, i, v, a and wait [B, N]).

    What is not wanted, or the neuron does not have, comes back empty.
    """
    from snnkit.kernels.recurrent import cpu

    neuron, (want_state, keep) = _Neuron(*given[:16]), given[16:]
    steps, batch, n = x.shape
    s = output_like(x)
    kept = output_like(x) if keep and neuron.threshold is not None else empty(x, 0, 0, 0)
    # The product reads and writes memory of its own: where a step begins in s depends on the sizes, and what a matrix
    # product rounds to may depend on where its operands begin.
    back = empty(x, batch, n)
    out = _start(out0, back)
    current, v = _start(neuron.i0, back, neuron.syn is not None), _start(neuron.v0, back)
    trace, wait = _start(neuron.a0, back, neuron.adapt is not None), _waiting(neuron, back)
    arrays = [array(part) for part in (x, back, kept, s, out, current, v, trace, wait)]
    arrays += neuron.spread()
    backwards = neuron.weight.t()
    for t in range(steps):
        if bias is None:
            torch.mm(out, backwards, out=back)
        else:
            torch.addmm(bias, out, backwards, out=back)
        run_blocks(cpu.forward, n, batch, t, *arrays, neuron.to_zero, neuron.refractory, block=1)
    if want_state:
        return s, kept, out, current, v, trace, wait
    return s, kept, *(empty(part, 0, 0) for part in (out, current, v, trace, wait))


def _shapes(x: Tensor, bias: Tensor | None, out0: Tensor | None, *given: Any) -> tuple[Tensor, ...]:
    neuron, (want_state, keep) = _Neuron(*given[:16]), given[16:]

    def state(has: bool, dtype: torch.dtype | None = None) -> Tensor:
        return x.new_empty(x.shape[1:] if has and want_state else (0, 0), dtype=dtype)

    return (
        torch.empty_like(x),
        x.new_empty(x.shape if keep and neuron.threshold is not None else (0, 0, 0)),
        state(True),
        state(neuron.syn is not None),
        state(True),
        state(neuron.adapt is not None),
        state(neuron.refractory > 0, torch.int32),
    )


def _run_back(
    grad_s: Tensor,
    grad_out: Tensor | None,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    s: Tensor,
    kept: Tensor,
    out0: Tensor | None,
    *given: Any,
) -> list[Tensor]:
    """Gradients of x, bias, out0, weight, i0, v0, a0, syn, decay, adapt, strength and threshold.

    What is not wanted, or the neuron does not have, comes back empty.
    """
    from snnkit.kernels.recurrent import back as cpu_back
    from snnkit.kernels.recurrent import cpu, gather

    neuron, (want_bias, want_out0, want_weight), wanted = _Neuron(*given[:16]), given[16:19], given[19:]
    weight, to_zero, refractory = neuron.weight, neuron.to_zero, neuron.refractory
    has_i, has_a = neuron.syn is not None, neuron.adapt is not None
    steps, batch, n = s.shape
    grad_x = output_like(s)
    traces = torch.empty_like(s) if has_a else empty(s, 0, 0, 0)
    active = torch.empty_like(s) if refractory else empty(s, 1, 1, n)
    back = _start(grad_out, empty(s, batch, n))
    i0, v0 = _start(neuron.i0, back, has_i), _start(neuron.v0, back)
    values = neuron.spread()
    found = torch.zeros(batch, 2, dtype=torch.int64)  # by `recompute`: spikes, and values that are no numbers
    if neuron.threshold is not None:
        state = (v0.clone(), _start(neuron.a0, back, has_a), _waiting(neuron, back))
        tensors = [array(part) for part in (kept, s, *state)]
        results = [array(part) for part in (grad_x, traces, active, found)]
        run_blocks(cpu.recompute, n * steps, batch, *tensors, *values[1:], to_zero, refractory, *results, block=1)
    carried = (_start(grad_i, back, has_i), _start(grad_v, back), _start(grad_a, back, has_a))
    sums = [torch.zeros_like(back) if want else empty(s, 0, 0) for want in wanted]
    number = array(s).dtype.type
    surrogate = (neuron.kind, number(neuron.peak), number(neuron.scale))
    inputs = [array(part) for part in (grad_s.contiguous(), back, kept)]
    history, starts = [array(part) for part in (traces, active)], [array(part) for part in (i0, v0)]
    changed, learned = [array(part) for part in (grad_x, *carried)], [array(part) for part in sums]
    if neuron.threshold is None or (neuron.detach and not refractory and not has_a and not wanted[4]):
        kernel = cpu_back.detached
        args = [*inputs, array(s), *starts, *values[:2], values[4], to_zero, *surrogate, *changed[:3], *learned[:2]]
    else:
        kernel = cpu_back.attached
        options = (to_zero, neuron.detach, refractory, *surrogate)
        args = [*inputs, *history, *starts, *values, *options, *changed, *learned]
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            torch.mm(grad_x[t + 1], weight, out=back)
        run_blocks(kernel, n, batch, t, *args, block=1)
    grad_weight = empty(s, 0, 0)
    if want_weight:  # one product over all steps that have heard an earlier one
        later = grad_x.flatten(0, 1)[batch:]
        earlier = s.flatten(0, 1)[: later.shape[0]]
        spikes, others = array(found).sum(0)
        share = 1.0 if neuron.threshold is None or others else spikes / max(s.numel(), 1)
        grad_weight = gather.product(later, earlier, share)
        if out0 is not None and steps:
            grad_weight.addmm_(grad_x[0].t(), out0)
    if not want_out0:
        grad_out0 = empty(s, 0, 0)
    else:
        grad_out0 = torch.mm(grad_x[0], weight) if steps else back
    return [
        grad_x,
        grad_x.sum((0, 1)) if want_bias else empty(s, 0),
        grad_out0,
        grad_weight,
        *carried,
        *(empty(s, 0) if p is None or not want else reduce_to(total, p.numel(), 1)
          for total, p, want in zip(sums, neuron.parameters, wanted)),
    ]  # fmt: skip


def _gradient_shapes(
    grad_s: Tensor,
    grad_out: Tensor | None,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    s: Tensor,
    kept: Tensor,
    out0: Tensor | None,
    *given: Any,
) -> list[Tensor]:
    neuron, (want_bias, want_out0, want_weight), wanted = _Neuron(*given[:16]), given[16:19], given[19:]
    n, state = s.shape[2], s.shape[1:]
    return [
        torch.empty_like(s),
        s.new_empty(n if want_bias else 0),
        s.new_empty(state if want_out0 else (0, 0)),
        s.new_empty((n, n) if want_weight else (0, 0)),
        s.new_empty(state if neuron.syn is not None else (0, 0)),
        s.new_empty(state),
        s.new_empty(state if neuron.adapt is not None else (0, 0)),
        *(s.new_empty(p.shape[0] if want and p is not None else 0) for p, want in zip(neuron.parameters, wanted)),
    ]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[0], output[1], *inputs[2:13])
    ctx.options = inputs[13:19]


def _backward(
    ctx: Any,
    grad_s: Tensor | None,
    grad_kept: Tensor | None,
    grad_out: Tensor | None,
    grad_i: Tensor | None,
    grad_v: Tensor | None,
    grad_a: Tensor | None,
    grad_wait: Tensor | None,
) -> tuple[Any, ...]:
    s, *saved = ctx.saved_tensors
    needs = ctx.needs_input_grad
    grads = recurrent_backward(
        torch.zeros_like(s) if grad_s is None else grad_s,
        grad_out,
        grad_i,
        grad_v,
        grad_a,
        s,
        *saved,
        *ctx.options,
        *needs[1:4],
        *needs[8:13],
    )
    found = [grad if want else None for grad, want in zip(grads, (*needs[:7], *needs[8:13]))]
    return (*found[:7], None, *found[7:], *[None] * 8)


recurrent = Operator(
    "recurrent",
    f"(Tensor x, Tensor? bias, Tensor? out0, {_NEURON}, bool want_state, bool keep) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run,
)
recurrent.shapes(_shapes)
recurrent.gradient(_setup, _backward)

recurrent_backward = Operator(
    "recurrent_backward",
    "(Tensor grad_s, Tensor? grad_out, Tensor? grad_i, Tensor? grad_v, Tensor? grad_a, Tensor s, Tensor kept, "
    f"Tensor? out0, {_NEURON}, bool want_bias, bool want_out0, bool want_weight, bool want_syn, bool want_decay, "
    "bool want_adapt, bool want_strength, bool want_threshold) -> Tensor[]",
    _run_back,
)
recurrent_backward.shapes(_gradient_shapes)
recurrent_backward.no_gradient()
