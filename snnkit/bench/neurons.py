"""LIF forward + backward: ours, the eager loop and installed peers, beside the memory floor.

How they are measured is in `snnkit.bench.rounds`. Every contender computes the same: decay 0.9, threshold 1, arctan
surrogate with α = 2, detached reset, from rest; where a peer cannot, its settings say what differs. Peers run their own
default back end, and once more with all their own defaults (`snnkit.bench.defaults`), which make another neuron.

`THP_MEM_ALLOC_ENABLE=1` in the environment before torch loads gives transparent huge pages, 1.2 to 1.9 times faster for
tensors this large, for everybody; the rows say whether it was on. So they do of `GOMP_SPINCOUNT=10000`, short spinning,
with which OpenMP's threads rest soon when an operator is done; for everybody too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.bench.rounds import Contender, Layer, compete
from snnkit.errors import UsageError
from snnkit.kernels import reference_only, warm_up
from snnkit.surrogate import Arctan

DECAY, THRESHOLD, ALPHA = 0.9, 1.0, 2.0
SHAPES = ((16, 128, 100_000), (100, 32, 10_000), (16, 32, 10_000))
"""[T, B, N]: large, long, and small enough for the cache."""
QUICK_SHAPE = (16, 32, 20_000)


def _ours(reset: str) -> Layer:
    return snn.LIF(decay=DECAY, threshold=THRESHOLD, reset=reset, surrogate=Arctan(ALPHA))


def _eager(reset: str) -> Layer:
    layer = _ours(reset)

    def run(x: Tensor) -> Tensor:
        with reference_only():
            return layer(x)

    return run


def _spikingjelly(reset: str) -> Layer:
    from spikingjelly.activation_based import neuron, surrogate

    layer = neuron.LIFNode(
        tau=1 / (1 - DECAY),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=0.0 if reset == "zero" else None,
        surrogate_function=surrogate.ATan(ALPHA),
        detach_reset=True,
        step_mode="m",
    )

    def run(x: Tensor) -> Tensor:
        layer.to(x.device).reset()
        return layer(x)

    return run


def _snntorch(reset: str) -> Layer:
    import snntorch
    from snntorch import surrogate

    layer = snntorch.Leaky(
        beta=DECAY,
        threshold=THRESHOLD,
        spike_grad=surrogate.atan(ALPHA),
        reset_mechanism=reset,
        reset_delay=False,
    )

    def run(x: Tensor) -> Tensor:
        v = layer.to(x.device).init_leaky()
        spikes = []
        for x_t in x.unbind(0):
            s, v = layer(x_t, v)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def _norse(reset: str) -> Layer:
    from norse.torch import LIFBoxCell, LIFBoxParameters

    parameters = LIFBoxParameters(
        tau_mem_inv=torch.tensor((1 - DECAY) / 0.001),
        v_th=torch.tensor((1 - DECAY) * THRESHOLD),  # its input is multiplied by 1 − decay
        alpha=torch.tensor(100.0),
    )
    cell = LIFBoxCell(parameters, dt=0.001)

    def run(x: Tensor) -> Tensor:
        state, spikes = None, []
        for x_t in x.unbind(0):
            s, state = cell(x_t, state)
            spikes.append(s)
        return torch.stack(spikes)

    return run


CONTENDERS = (
    Contender("snnkit fused", _ours, fused=True),
    Contender("snnkit eager loop", _eager, memory=14.0),
    Contender("spikingjelly", _spikingjelly, memory=14.0, package="spikingjelly"),
    Contender("snntorch", _snntorch, "fires at v > threshold", memory=14.0, package="snntorch"),
    Contender("norse", _norse, "v > threshold, SuperSpike surrogate", ("zero",), memory=14.0, package="norse"),
)


def run(
    quick: bool = False,
    shape: Sequence[int] | None = None,
    reset: str = "zero",
    rounds: int | None = None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Measure LIF forward + backward.

    Args:
        quick: a smaller tensor and fewer rounds, under 50 s with compilation.
        shape: [T, B, N] instead of the usual ones, SHAPES or, quick, QUICK_SHAPE.
        reset: `"zero"` or `"subtract"`.
        rounds: interleaved rounds; 5 where None.
        device: "cpu" or "cuda". A GPU without a shape gets the whole table of `snnkit.bench.gpu`.

    Returns:
        Rows with the keys work, impl, settings, ms_min, ms_median, floor_ratio (of the minimum), peak_ratio (peak
        extra memory in units of the input; None where the system does not tell), differing_spikes (against ours).
        Peers come twice, under our settings and under their defaults; on the CPU the last rows are those of a recurrent
        layer (`snnkit.bench.recurrent`) and of a first call, with an empty and with a filled kernel cache. Contenders
        that would not fit into memory run on a tenth of the batch, beside ours on the same.
    """
    from snnkit.bench import first_call, recurrent
    from snnkit.bench.defaults import DEFAULTS

    where = torch.device(device)
    rounds = rounds or (4 if quick else 5)
    if where.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("there is no CUDA device to measure on", fix="leave --device out, or see snnkit doctor")
        if shape is None:
            from snnkit.bench import gpu

            return gpu.table(where, quick, rounds)
    else:
        warm_up(neurons=("LIF",))
    shapes = SHAPES if shape is None else (tuple(shape),)
    if quick and shape is None:
        shapes = (QUICK_SHAPE,)
    rows = [row for s in shapes for row in compete((*CONTENDERS, *DEFAULTS), s, reset, rounds, where)]
    if where.type == "cuda":
        return rows
    return rows + recurrent.run(quick) + first_call.measure(1 if quick else 3)
