"""A neuron over a sequence on the GPU, whatever it is and whatever is around it: one body in each direction.

A program holds its tile's states in registers over all steps. The backward pass goes up the steps, recomputing a chunk
of a few at a time in registers from the states at its start. The way forward leaves these where it is known that there
will be one back, and they are few; else the backward pass walks down the steps first. Traffic per float32 element of
LIF alone, both directions together and chunks of 4 steps: 22 bytes, 26 with the walk down, 20 for one chunk only.

What a neuron does in a step is up to the pieces `step`, `step_back`, `settled` and `pass_on` of its folder's `gpu.py`,
which `lif.gpu` explains. Its states, the membrane last, its parameters and their gradients are tuples. What is around
it is up to `fetch`, `enter`, `add`, `leave`, `fetch_back` and `leave_back`: those here, where nothing is, or those of
`norm_lif.gpu_around`. Pieces are given by name, so that Triton's key of a compiled kernel covers their source.
"""

# mypy: disable-error-code="no-untyped-def,assignment"
from __future__ import annotations

import triton
import triton.language as tl

from snnkit.kernels.tiles import initial, keep, put


@triton.jit
def fetch(x_ptr, t, n: tl.constexpr, valid, around):
    """Part n of the neurons' tile in row t of x, as it lies in memory, if this step is `valid`; alone there is one."""
    width, off, inside = around
    return tl.load(x_ptr + t * width + off, mask=inside & valid, other=0.0)


@triton.jit
def enter(x, around, DTYPE: tl.constexpr):
    """What the neurons get of it."""
    return x.to(DTYPE)


@triton.jit
def add(total, spikes, around):
    """What leaves the tile, from the parts before and this one's spikes."""
    return spikes


@triton.jit
def leave(s_ptr, t, total, around):
    """That to row t of s."""
    width, off, inside = around
    tl.store(s_ptr + t * width + off, total.to(s_ptr.dtype.element_ty), mask=inside)


@triton.jit
def fetch_back(grad_s_ptr, t, valid, around, DTYPE: tl.constexpr):
    """The gradient of the neurons' spikes in step t."""
    return fetch(grad_s_ptr, t, 0, valid, around).to(DTYPE)


@triton.jit
def leave_back(grad_x_ptr, t, grad, valid, around):
    """The gradient of what the neurons got, to row t of grad_x."""
    width, off, inside = around
    tl.store(grad_x_ptr + t * width + off, grad.to(grad_x_ptr.dtype.element_ty), mask=inside & valid)


@triton.jit
def run(
    fetch,
    enter,
    add,
    leave,
    step,
    x_ptr,
    s_ptr,
    around,
    states,
    waits,
    params,
    refractory,
    steps,
    kept,
    kept_wait_ptr,
    STEPS: tl.constexpr,
    AHEAD: tl.constexpr,
    PARTS: tl.constexpr,
    TO_ZERO: tl.constexpr,
    MASKED: tl.constexpr,
    DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x [T, …] → s [T, …], and the final (states, waits). Of states, waits and params there is one for each part of a
    tile. AHEAD: the next row is asked for before this one is used, which takes registers. kept, kept_wait: what
    `run_back` has room for, which is then FILLED; None where it is not wanted, or neurons are in parts."""
    if AHEAD:
        ahead = fetch(x_ptr, 0, 0, steps > 0, around)
    for t in range(steps):
        if kept[0] is not None:  # noqa: SIM102  decided when this is compiled
            if t % STEPS == 0:
                width, off, inside = around
                _save(kept, kept_wait_ptr, t // STEPS * width, off, inside, states[0], waits[0], MASKED)
        total = tl.full((BLOCK,), 0, DTYPE)
        after, waiting = (), ()
        for n in tl.static_range(PARTS):
            if AHEAD:
                x = enter(ahead, around, DTYPE)
                ahead = fetch(x_ptr, t + 1, 0, t + 1 < steps, around)
            else:
                x = enter(fetch(x_ptr, t, n, True, around), around, DTYPE)
            s, _, state, wait = step(x, states[n], waits[n], params[n], refractory, TO_ZERO, MASKED, False)
            after, waiting = after + (state,), waiting + (wait,)
            total = add(total, s, around)
        states, waits = after, waiting
        leave(s_ptr, t, total, around)
    return states, waits


@triton.jit
def run_back(
    fetch,
    enter,
    fetch_back,
    leave_back,
    step,
    step_back,
    settled,
    pass_on,
    x_ptr,
    grad_s_ptr,
    grad_x_ptr,
    around,
    kept,
    kept_wait_ptr,
    width,
    off,
    inside,
    states,
    wait,
    params,
    grad_ptrs,
    grad0_ptrs,
    wanted,
    COUNT: tl.constexpr,
    refractory,
    peak,
    scale,
    steps,
    LAST: tl.constexpr,
    KIND: tl.constexpr,
    TO_ZERO: tl.constexpr,
    DETACH: tl.constexpr,
    MASKED: tl.constexpr,
    WHOLE: tl.constexpr,
    STEPS: tl.constexpr,
    FILLED: tl.constexpr,
    DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """grad_s [T, …] and grads [width] of the final states → grad_x [T, …], grads0 [width] of the initial ones and those
    of COUNT parameters, `wanted` [width], but where there is None.

    kept, kept_wait [⌈T / STEPS⌉, width] are room for the chunks' states, None for a sequence of one chunk; FILLED: the
    way forward has left them there. WHOLE: T is a multiple of STEPS. LAST: a gradient takes the membrane before the
    step.
    """
    surrogate = tl.full((BLOCK,), peak, DTYPE), tl.full((BLOCK,), scale, DTYPE)
    chunks = (steps + STEPS - 1) // STEPS
    if kept[0] is not None and not FILLED:
        _save(kept, kept_wait_ptr, 0, off, inside, states, wait, MASKED)
        for c in range(1, chunks):
            for k in tl.static_range(STEPS):
                x = enter(fetch(x_ptr, (c - 1) * STEPS + k, 0, True, around), around, DTYPE)
                _, _, states, wait = step(x, states, wait, params, refractory, TO_ZERO, MASKED, False)
            _save(kept, kept_wait_ptr, c * width, off, inside, states, wait, MASKED)
        tl.debug_barrier()  # the threads that read it back need not be those that wrote it
    grads, sums = (), ()
    for i in tl.static_range(len(states)):
        grads = grads + (initial(grad_ptrs[i], off, inside, BLOCK, DTYPE),)
    for _i in tl.static_range(COUNT):
        sums = sums + (tl.full((BLOCK,), 0, DTYPE),)
    for j in range(chunks):
        first = (chunks - 1 - j) * STEPS
        if kept[0] is not None:
            states, wait = _load(kept, kept_wait_ptr, (chunks - 1 - j) * width, off, inside, wait, MASKED)
        start = states[-1]
        seen = ()
        actives = tl.full((BLOCK,), 0, tl.int32)  # bit k: whether step k of the chunk was active
        for k in tl.static_range(STEPS):
            valid = True if WHOLE else first + k < steps
            x = enter(fetch(x_ptr, first + k, 0, valid, around), around, DTYPE)
            if MASKED:
                actives = actives | ((wait == 0).to(tl.int32) << k)
            _, one, states, wait = step(x, states, wait, params, refractory, TO_ZERO, MASKED, True)
            seen = seen + (one,)
        for n in tl.static_range(STEPS - 1, -1, -1):
            valid = True if WHOLE else first + n < steps
            grad_s = fetch_back(grad_s_ptr, first + n, valid, around, DTYPE)
            grad_x, found = step_back(
                grad_s, seen[n], ((actives >> n) & 1) != 0, params, grads, sums, surrogate, wanted,
                KIND, TO_ZERO, DETACH, MASKED,
            )  # fmt: skip
            leave_back(grad_x_ptr, first + n, grad_x, valid, around)
            last = start
            if LAST and n > 0:
                last = settled(seen[n - 1], ((actives >> (n - 1)) & 1) != 0, params, TO_ZERO, MASKED)
            before, more = pass_on(found, seen[n], last, params, sums, wanted)
            sums, grads = _keep(valid, more, sums, WHOLE), _keep(valid, before, grads, WHOLE)
    put(grad0_ptrs, grads, off, inside)
    put(wanted, sums, off, inside)


@triton.jit
def _save(kept, kept_wait_ptr, row, off, inside, states, wait, MASKED: tl.constexpr):
    for i in tl.static_range(len(kept)):
        tl.store(kept[i] + row + off, states[i], mask=inside)
    if MASKED:
        tl.store(kept_wait_ptr + row + off, wait, mask=inside)


@triton.jit
def _load(kept, kept_wait_ptr, row, off, inside, wait, MASKED: tl.constexpr):
    states = ()
    for i in tl.static_range(len(kept)):
        states = states + (tl.load(kept[i] + row + off, mask=inside, other=0.0),)
    if MASKED:
        wait = tl.load(kept_wait_ptr + row + off, mask=inside, other=0)
    return states, wait


@triton.jit
def _keep(valid, new, old, WHOLE: tl.constexpr):
    """`keep` of each."""
    kept = ()
    for i in tl.static_range(len(new)):
        kept = kept + (keep(valid, new[i], old[i], WHOLE),)
    return kept
