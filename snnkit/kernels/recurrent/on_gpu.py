"""Recurrent neurons on a GPU: per step one call of the matrix product and one launch, with nothing to wait for.

A sequence is a row of such calls into memory that is there before the first, so that a CUDA graph can capture it, which
takes the time of the calls away. The gradient of the weights is one product over all steps; how many spikes there are,
which decides about sums on the CPU, would have to come to the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snnkit.kernels.layout import empty, reduce_to
from snnkit.kernels.recurrent import gpu, gpu_back
from snnkit.kernels.recurrent.on_cpu import PARAMETERS, STATES, Neuron, start
from snnkit.kernels.tiles import launch, ready, spread

if TYPE_CHECKING:
    from snnkit.kernels.recurrence import Recurrence


def forward(
    recurrence: Recurrence[Any, Any],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out0: Tensor | None,
    *args: Any,
) -> tuple[Tensor, ...]:
    """The operator `snnkit::recurrent_<name>`: x [T, B, N] → (out [T, B, N], what `backward` needs, final out and
    states [B, N]); see `op.Recurrent`."""
    parts = recurrence.split(args)
    neuron, (want_state, keep) = Neuron.of(recurrence, parts), parts.wants
    steps, batch, n = x.shape
    s = empty(x, steps, batch, n)
    kept = torch.empty_like(s) if keep and neuron.fires else empty(x, 0, 0, 0)
    back = empty(x, batch, n)  # the product has memory of its own, as on the CPU
    out = start(out0, back)
    states = {name: neuron.start(name, back) for name in STATES}
    wait = neuron.waiting(back)
    refractory = neuron.options["refractory"]
    run = ready(
        gpu.forward, _flat(x), back, _flat(kept), _flat(s), out, *states.values(), wait, *_values(neuron, PARAMETERS),
        refractory, TO_ZERO=neuron.options["to_zero"],
    )  # fmt: skip
    backwards = weight.t()
    for t in range(steps):
        if bias is None:
            torch.mm(out, backwards, out=back)
        else:
            torch.addmm(bias, out, backwards, out=back)
        run(t)
    ends = [out, *(states[name] for name in recurrence.states)]
    if len(recurrence.fields) > len(recurrence.states):
        ends.append(wait)
    return s, kept, *(ends if want_state else (empty(end, 0, 0) for end in ends))


def backward(
    recurrence: Recurrence[Any, Any], grad_s: Tensor, grad_out: Tensor | None, *args: Any
) -> tuple[Tensor, ...]:
    """The operator `snnkit::recurrent_<name>_backward`: gradients of x, W, b, the output before, initial states and
    parameters; see `op.Recurrent`."""
    count = len(recurrence.states)
    grads = dict(zip(recurrence.states, args[:count]))
    s, kept, weight, out0 = args[count : count + 4]
    parts = recurrence.split(args[count + 4 :])
    neuron, (want_weight, want_bias, want_out0, *wants) = Neuron.of(recurrence, parts), parts.wants
    learns = dict(zip(recurrence.parameters, wants[count:]))
    options, adapts = neuron.options, "a" in neuron.starts
    steps, batch, n = s.shape
    grad_x = torch.empty_like(s)
    traces = torch.empty_like(s) if adapts else empty(s, 0, 0, 0)
    active = torch.empty_like(s, dtype=torch.int8) if options["refractory"] else empty(s, 0, 0, 0)
    back = start(grad_out, empty(s, batch, n))
    i0, v0, a0 = (neuron.start(name, back) for name in STATES)
    if neuron.fires:
        launch(
            gpu.recompute, _flat(kept), v0, a0, neuron.waiting(back), *_values(neuron, PARAMETERS[1:]),
            _flat(grad_x), _flat(traces), _flat(active), options["refractory"], TO_ZERO=options["to_zero"],
        )  # fmt: skip
    carried = {name: start(grads.get(name), back, name in grads) for name in STATES}
    sums = {name: torch.zeros_like(back) if learns.get(name) else empty(s, 0, 0) for name in PARAMETERS}
    run = ready(
        gpu_back.backward, _flat(grad_x), _flat(grad_s), back, _flat(kept), _flat(s), _flat(traces), _flat(active),
        i0, v0, *_values(neuron, PARAMETERS), *carried.values(), *sums.values(), options["peak"], options["scale"],
        KIND=options["kind"], TO_ZERO=options["to_zero"], DETACH=options["detach"],
    )  # fmt: skip
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            torch.mm(grad_x[t + 1], weight, out=back)
        run(t)
    return (
        grad_x,
        _of_weight(grad_x, s, out0) if want_weight else empty(s, 0, 0),
        grad_x.sum((0, 1)) if want_bias else empty(s, 0),
        (torch.mm(grad_x[0], weight) if steps else back) if want_out0 else empty(s, 0, 0),
        *(carried[name] if want else empty(s, 0, 0) for name, want in zip(recurrence.states, wants)),
        *(
            reduce_to(sums[name], value.numel(), 1) if learns[name] else empty(s, 0)
            for name, value in neuron.values.items()
        ),
    )


def _flat(x: Tensor) -> Tensor:
    """[T, B, N] → [T, B·N]."""
    return x.flatten(1)


def _values(neuron: Neuron, names: tuple[str, ...]) -> list[Any]:
    """Parameters as the kernels take them."""
    return [part for name in names for part in spread(neuron.values.get(name), 1)]


def _of_weight(grad_x: Tensor, s: Tensor, out0: Tensor | None) -> Tensor:
    """Gradient [N, N] of W: one product over all steps that have heard an earlier one."""
    steps, batch, _ = s.shape
    later = grad_x.flatten(0, 1)[batch:]
    found = torch.mm(later.t(), s.flatten(0, 1)[: later.shape[0]])
    if out0 is not None and steps:
        found.addmm_(grad_x[0].t(), out0)
    return found
