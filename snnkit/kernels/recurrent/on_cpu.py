"""Recurrent neurons on the CPU: one call of the matrix product and one of a compiled kernel per step.

The kernels are the same for all neurons. They know states and parameters by the names below, and a neuron that lacks
one gives an empty array in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels.layout import array, empty, reduce_to
from snnkit.kernels.memory import output_like
from snnkit.kernels.threads import run_blocks

if TYPE_CHECKING:
    from snnkit.kernels.recurrence import Parts, Recurrence

STATES = ("i", "v", "a")
PARAMETERS = ("syn", "decay", "adapt", "strength", "threshold")
OPTIONS = {"to_zero": True, "detach": True, "refractory": 0, "kind": 0, "peak": 1.0, "scale": 1.0}
"""With what stands for one that a neuron does not have."""


class Neuron(NamedTuple):
    """What both directions need beside tensors over time."""

    starts: dict[str, Tensor | None]
    """Initial states [B, N]; those of STATES that the neuron has."""
    wait: Tensor | None
    values: dict[str, Tensor]
    """Parameters [1] or [N]; those of PARAMETERS that the neuron has."""
    options: dict[str, Any]
    """All of OPTIONS."""

    @classmethod
    def of(cls, recurrence: Recurrence[Any, Any], parts: Parts) -> Neuron:
        starts = dict(zip(recurrence.fields, parts.starts))
        wait = starts.pop("wait", None)
        options = OPTIONS | {option.name: value for option, value in zip(recurrence.options, parts.options)}
        return cls(starts, wait, dict(zip(recurrence.parameters, parts.values[::2])), options)

    @property
    def fires(self) -> bool:
        """Whether there is a threshold, as everywhere but in LI."""
        return "threshold" in self.values

    def start(self, name: str, like: Tensor) -> Tensor:
        """An initial state [B, N], to go on in place."""
        return start(self.starts.get(name), like, name in self.starts)

    def waiting(self, like: Tensor) -> Tensor:
        """The refractory counters [B, N], to go on in place; nothing where they cannot count."""
        if self.wait is not None and self.options["refractory"]:
            return self.wait.clone(memory_format=torch.contiguous_format)
        shape = like.shape if self.options["refractory"] else (0, 0)
        return torch.zeros(shape, dtype=torch.int32, device=like.device)

    def spread(self, like: Tensor) -> list[np.ndarray[Any, Any]]:
        """All of PARAMETERS as arrays [N], empty where there are none."""
        n = like.shape[-1]
        values = (self.values.get(name) for name in PARAMETERS)
        return [array(empty(like, 0) if v is None else v.detach().expand(n).contiguous()) for v in values]


def start(state: Tensor | None, like: Tensor, wanted: bool = True) -> Tensor:
    """A state [B, N] to go on in place, zeros where none is given; nothing where the neuron has no such state."""
    if not wanted:
        return empty(like, 0, 0)
    return torch.zeros_like(like) if state is None else state.clone(memory_format=torch.contiguous_format)


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
    from snnkit.kernels.recurrent import cpu

    parts = recurrence.split(args)
    neuron, (want_state, keep) = Neuron.of(recurrence, parts), parts.wants
    steps, batch, n = x.shape
    s = output_like(x)
    kept = output_like(x) if keep and neuron.fires else empty(x, 0, 0, 0)
    # The product reads and writes memory of its own: where a step begins in s depends on the sizes, and what a matrix
    # product rounds to may depend on where its operands begin.
    back = empty(x, batch, n)
    out = start(out0, back)
    states = {name: neuron.start(name, back) for name in STATES}
    wait = neuron.waiting(back)
    arrays = [array(part) for part in (x, back, kept, s, out, *states.values(), wait)]
    arrays += neuron.spread(back)
    options = neuron.options["to_zero"], neuron.options["refractory"]
    backwards = weight.t()
    for t in range(steps):
        if bias is None:
            torch.mm(out, backwards, out=back)
        else:
            torch.addmm(bias, out, backwards, out=back)
        run_blocks(cpu.forward, n, batch, t, *arrays, *options, block=1)
    ends = [out, *(states[name] for name in recurrence.states)]
    if len(recurrence.fields) > len(recurrence.states):
        ends.append(wait)
    return s, kept, *(ends if want_state else (empty(end, 0, 0) for end in ends))


def backward(
    recurrence: Recurrence[Any, Any], grad_s: Tensor, grad_out: Tensor | None, *args: Any
) -> tuple[Tensor, ...]:
    """The operator `snnkit::recurrent_<name>_backward`: gradients of x, W, b, the output before, initial states and
    parameters; see `op.Recurrent`."""
    from snnkit.kernels.recurrent import back as cpu_back
    from snnkit.kernels.recurrent import cpu

    count = len(recurrence.states)
    grads = dict(zip(recurrence.states, args[:count]))
    s, kept, weight, out0 = args[count : count + 4]
    parts = recurrence.split(args[count + 4 :])
    neuron, (want_weight, want_bias, want_out0, *wants) = Neuron.of(recurrence, parts), parts.wants
    learns = dict(zip(recurrence.parameters, wants[count:]))
    options = neuron.options
    to_zero, refractory = options["to_zero"], options["refractory"]
    steps, batch, n = s.shape
    grad_x = output_like(s)
    traces = torch.empty_like(s) if "a" in neuron.starts else empty(s, 0, 0, 0)
    active = torch.empty_like(s) if refractory else empty(s, 1, 1, n)
    back = start(grad_out, empty(s, batch, n))
    starts = {name: neuron.start(name, back) for name in STATES}
    values = neuron.spread(back)
    found = torch.zeros(batch, 2, dtype=torch.int64)  # by `recompute`: spikes, and values that are no numbers
    if neuron.fires:
        going = (starts["v"].clone(), starts["a"], neuron.waiting(back))
        tensors = [array(part) for part in (kept, s, *going)]
        results = [array(part) for part in (grad_x, traces, active, found)]
        run_blocks(cpu.recompute, n * steps, batch, *tensors, *values[1:], to_zero, refractory, *results, block=1)
    carried = {name: start(grads.get(name), back, name in grads) for name in STATES}
    sums = {name: torch.zeros_like(back) if learns.get(name) else empty(s, 0, 0) for name in PARAMETERS}
    number = array(s).dtype.type
    surrogate = (options["kind"], number(options["peak"]), number(options["scale"]))
    inputs = [array(part) for part in (grad_s.contiguous(), back, kept)]
    history, before = [array(part) for part in (traces, active)], [array(starts[name]) for name in ("i", "v")]
    changed, learned = [array(part) for part in (grad_x, *carried.values())], [array(v) for v in sums.values()]
    usual = options["detach"] and not refractory and "a" not in neuron.starts and not learns.get("threshold")
    if usual or not neuron.fires:
        kernel = cpu_back.detached
        given = [*inputs, array(s), *before, *values[:2], values[4], to_zero, *surrogate, *changed[:3], *learned[:2]]
    else:
        kernel = cpu_back.attached
        given = [*inputs, *history, *before, *values, to_zero, options["detach"], refractory, *surrogate]
        given += [*changed, *learned]
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            torch.mm(grad_x[t + 1], weight, out=back)
        run_blocks(kernel, n, batch, t, *given, block=1)
    grad_out0 = empty(s, 0, 0)
    if want_out0:
        grad_out0 = torch.mm(grad_x[0], weight) if steps else back
    return (
        grad_x,
        _of_weight(grad_x, s, out0, array(found).sum(0), neuron.fires) if want_weight else empty(s, 0, 0),
        grad_x.sum((0, 1)) if want_bias else empty(s, 0),
        grad_out0,
        *(carried[name] if want else empty(s, 0, 0) for name, want in zip(recurrence.states, wants)),
        *(
            reduce_to(sums[name], value.numel(), 1) if learns[name] else empty(s, 0)
            for name, value in neuron.values.items()
        ),
    )


def _of_weight(grad_x: Tensor, s: Tensor, out0: Tensor | None, found: Any, fires: bool) -> Tensor:
    """Gradient [N, N] of W: one product over all steps that have heard an earlier one. found: by `cpu.recompute`."""
    from snnkit.kernels.recurrent import gather

    steps, batch, _ = s.shape
    later = grad_x.flatten(0, 1)[batch:]
    earlier = s.flatten(0, 1)[: later.shape[0]]
    spikes, others = found
    share = 1.0 if not fires or others else spikes / max(s.numel(), 1)
    grad_weight = gather.product(later, earlier, share)
    if out0 is not None and steps:
        grad_weight.addmm_(grad_x[0].t(), out0)
    return grad_weight
