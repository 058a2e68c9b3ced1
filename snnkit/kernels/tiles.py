"""Triton pieces that the fused GPU kernels share: one tile of elements at a time, in registers.

A program holds a tile of BLOCK elements, four per thread (two in float64), over all steps, so that each operand moves
by one 128-bit access per thread and step. Nothing is contracted to a fused multiply-add: every operation rounds as in
the reference, and the spikes are those of the CPU bit for bit. Triton is imported with this module, and nowhere else
before a tensor on a GPU is seen.
"""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from snnkit.kernels.layout import empty
from snnkit.kernels.state import state_dtype
from snnkit.surrogate import arctan, fast_sigmoid, gaussian, piecewise_linear, sigmoid, triangle

CHUNK = 4
"""Steps that a backward kernel recomputes at a time and keeps in registers, at most. Half as many, or a quarter, where
gradients of parameters and refractory counters take registers too: no kernel shall need more than 96."""

FEW = 1 << 18
"""Below so many elements programs of one warp spread over more multiprocessors than those of four."""


def _form(function: Any) -> Any:
    """A surrogate's Triton form, for use in kernels; it gets `tl` here, since its file must not import Triton."""
    named = FunctionType(function.__code__, {**function.__globals__, "tl": tl}, function.__name__)
    named.__module__, named.__qualname__ = function.__module__, function.__qualname__
    return triton.jit(named)


_arctan = _form(arctan.derivative_triton)
_sigmoid = _form(sigmoid.derivative_triton)
_fast_sigmoid = _form(fast_sigmoid.derivative_triton)
_triangle = _form(triangle.derivative_triton)
_piecewise_linear = _form(piecewise_linear.derivative_triton)
_gaussian = _form(gaussian.derivative_triton)


@triton.jit
def parameter(values, count, repeat, off, inside, NARROW: tl.constexpr):
    """values[(off // repeat) % count]: a parameter spread over a tile; one number where there is no count.

    NARROW: 32 bits hold every offset, and a division in them is a third as long.
    """
    if count is None:
        return tl.load(values)
    elif NARROW:
        index = (off.to(tl.uint32) // repeat.to(tl.uint32)) % count.to(tl.uint32)
        return tl.load(values + index, mask=inside, other=0.0)
    else:
        return tl.load(values + (off // repeat) % count, mask=inside, other=0.0)


@triton.jit
def initial(values, off, inside, BLOCK: tl.constexpr, DTYPE: tl.constexpr):
    """values[off] of a state, or zeros where there are no values."""
    if values is None:
        return tl.full((BLOCK,), 0, DTYPE)
    else:
        return tl.load(values + off, mask=inside, other=0)


@triton.jit
def put(places, values, off, inside):
    """Each of the values to places[…][off], but where there is None."""
    for i in tl.static_range(len(values)):  # older Triton cannot count what holds None
        if places[i] is not None:
            tl.store(places[i] + off, values[i], mask=inside)


@triton.jit
def spike(u, threshold):
    """[u ≥ threshold] as 1 or 0, not a number where the test compares with none."""
    return tl.where(u >= threshold, 1.0, tl.where(u < threshold, 0.0, u + threshold))


@triton.jit
def fire(u, v, wait, threshold, refractory, TO_ZERO: tl.constexpr, MASKED: tl.constexpr):
    """Membrane u before the test, v of the step before → (s, v after the reset, wait)."""
    fired = u >= threshold
    after = tl.where(fired, 0.0, u) if TO_ZERO else tl.where(fired, u - threshold, u)
    s = spike(u, threshold)
    if MASKED:
        active = wait == 0
        after = tl.where(active, after, v)
        s = tl.where(active, s, 0.0)
        wait = tl.where(fired & active, refractory, tl.maximum(wait - 1, 0))
    return s, after, wait


@triton.jit
def derivative(d, peak, scale, KIND: tl.constexpr):
    """The surrogate's derivative at d = u − threshold; KIND as in `snnkit.surrogate`."""
    if KIND == 0:
        g = _arctan(d, peak, scale)
    elif KIND == 1:
        g = _sigmoid(d, peak, scale)
    elif KIND == 2:
        g = _fast_sigmoid(d, peak, scale)
    elif KIND == 3:
        g = _triangle(d, peak, scale)
    elif KIND == 4:
        g = _piecewise_linear(d, peak, scale)
    else:
        g = _gaussian(d, peak, scale)
    return g


@triton.jit
def back(
    grad_s,
    u,
    active,
    threshold,
    decay,
    peak,
    scale,
    grad_v,
    grad_threshold,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    MASKED: tl.constexpr,
    WANTED: tl.constexpr,
):
    """One step back through reset, spike and leak: (∂L/∂u, ∂L/∂v of the step before, the threshold's so far, WANTED or
    not), each operation rounded as on the CPU. A step that is not `active` passes grad_v on and has no ∂L/∂u."""
    fired = u >= threshold
    if MASKED:
        fired = fired & active
    if not DETACH:
        lost = tl.where(u - u == 0.0, u, 0.0) if TO_ZERO else threshold  # at infinity there is no gradient
        grad_s = grad_s - grad_v * lost
    g = grad_s * derivative(u - threshold, peak, scale, KIND)
    if MASKED:
        g = g * active.to(g.dtype)
    if WANTED:
        grad_threshold = grad_threshold - g
        if not TO_ZERO:
            part = tl.where(u >= threshold, grad_v, tl.where(u < threshold, 0.0, u + threshold))
            grad_threshold = grad_threshold - (tl.where(active, part, 0.0) if MASKED else part)
    grad_u = (tl.where(fired, 0.0, grad_v) if TO_ZERO else grad_v) + g
    if MASKED:
        return tl.where(active, grad_u, 0.0), tl.where(active, decay * grad_u, grad_u), grad_threshold
    else:
        return grad_u, decay * grad_u, grad_threshold


@triton.jit
def settle(u, active, threshold, TO_ZERO: tl.constexpr, MASKED: tl.constexpr):
    """v after the reset from the membrane before the test (v itself in a step that is not `active`)."""
    fired = u >= threshold
    if MASKED:
        fired = fired & active
    return tl.where(fired, 0.0, u) if TO_ZERO else tl.where(fired, u - threshold, u)


@triton.jit
def keep(valid, new, old, WHOLE: tl.constexpr):
    """`new` in a step that is `valid`, else `old`; every step is where the chunks are WHOLE."""
    return new if WHOLE else tl.where(valid, new, old)


class Plan(NamedTuple):
    """How a backward kernel goes through T steps."""

    each: int
    """Steps of a chunk."""
    chunks: int
    whole: bool
    """Whether the chunks cover the steps exactly."""

    def room(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor | None:
        """Memory [chunks, M] for a state at the start of each chunk; None where there is one chunk only."""
        return None if self.chunks <= 1 else empty(x, self.chunks, x.shape[1], dtype=dtype or state_dtype(x))

    def options(self) -> dict[str, Any]:
        """For `launch`."""
        return {"STEPS": self.each, "WHOLE": self.whole}


def plan(x: Tensor, halves: int = 0) -> Plan:
    """How to go back through x [T, M] in chunks of CHUNK steps, halved so often; a power of two, so kernels are few."""
    steps = x.shape[0]
    each = min(CHUNK >> halves, 1 << max(steps - 1, 0).bit_length())
    return Plan(each, -(-steps // each), steps % each == 0)


def many(parameters: list[Tensor]) -> bool:
    """Whether one of them has a value per neuron or channel."""
    return any(values.numel() > 1 for values in parameters)


def state_row(x: Tensor, want: bool, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised state or gradient [M] of x [T, M]; empty where it is not wanted."""
    return empty(x, x.shape[1] if want else 0, dtype=dtype or state_dtype(x))


def spread(values: Tensor | None, repeat: int) -> tuple[Tensor | None, int | None, int | None]:
    """A parameter as the kernels take it: values [P], P and repeat, or no such numbers for a single value."""
    return (values, None, None) if values is None or values.numel() == 1 else (values, values.numel(), repeat)


def launch(kernel: Any, x: Tensor, *args: Any, **how: Any) -> None:
    """Run a kernel of tiles on x [T, M] and its other arguments; see `ready`."""
    ready(kernel, x, *args, **how)()


def ready(
    kernel: Any,
    x: Tensor,
    *args: Any,
    over: int | None = None,
    wide: int | None = None,
    per: int = 4,
    **constants: Any,
) -> Callable[..., None]:
    """A kernel of tiles on x [T, M] and its other arguments, to be run, once or often, on the device of x.

    Nothing waits for it. An empty tensor ([0], [0, 0]) goes in as None, not wanted. Outputs are contiguous, inputs
    become so. What the call is given, such as a step's number, goes in last.

    Args:
        kernel: what to run.
        x, args: what it takes, up to the numbers `groups` and `steps`.
        over: elements of a step that tiles cover; M where None.
        wide: of how many elements (4 or 1) every row is a multiple; from `over` where None.
        per: elements of a thread at most.
        constants: what it is compiled for.
    """
    steps, width = x.shape
    width = width if over is None else over
    if wide is None:
        wide = 4 if width % 4 == 0 else 1  # whether every row begins on a 128-bit boundary
    warps = 4 if width >= FEW else 1
    double = x.dtype == torch.float64
    block = 32 * warps * min(wide, per, 2 if double else 4)
    given = [_given(a) if isinstance(a, Tensor) else a for a in (x, *args)]
    constants |= {
        "DTYPE": tl.float64 if double else tl.float32,
        "NARROW": x.shape[1] < 1 << 31,
        "WIDE": wide,
        "BLOCK": block,
        "num_warps": warps,
        "enable_fp_fusion": False,
    }

    def run(*last: Any) -> None:
        if width:
            with torch.cuda.device_of(x):
                kernel[(-(-width // block),)](*given, width // wide, steps, *last, **constants)

    return run


def _given(a: Tensor) -> Tensor | None:
    """A tensor as kernels take it."""
    return None if a.dim() and not any(a.shape) else a.contiguous()
