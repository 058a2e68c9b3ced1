"""Compiling ahead of the first use."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from snnkit.errors import ParameterError, did_you_mean
from snnkit.kernels.state import state_dtype

FOLDERS = {"LIF": "lif", "LI": "li", "CubaLIF": "cubalif", "ALIF": "alif", "LinearLeakIF": "linear_leak"}
"""Where the kernels of each neuron are, in snnkit.kernels."""

Job = tuple[str, Callable[[], object]]
"""A name, and what compiles or loads a kernel."""


def _recurrent(name: str, dtype: torch.dtype, room: str) -> list[Job]:
    """The neuron of that folder hearing itself; all neurons share what is compiled but for the backward step."""
    from snnkit.kernels.recurrent import layer
    from snnkit.kernels.recurrent.gather import FEWEST, product, spikes

    (operators,) = (o for o in layer.OPERATORS.values() if o.recurrence.name == room)
    forward, backward = operators.smallest(dtype)
    silent = torch.zeros(1, FEWEST, dtype=forward[0].dtype)
    return [
        (f"{name} forward", partial(operators.forward, *forward)),
        (f"{name} backward", partial(operators.backward, *backward)),
        (f"{name} weights", partial(product, silent, silent, 0.0)),
        (f"{name} input", partial(spikes, silent)),
    ]


def _frames(dtype: torch.dtype) -> list[torch.Tensor]:
    """The smallest [T, B, C, H, W], with the channels first and last."""
    return [
        torch.zeros(1, 2, 2, 2, 2, dtype=dtype).permute(order).requires_grad_()
        for order in ((0, 1, 2, 3, 4), (0, 1, 4, 2, 3))
    ]


def _back(outputs: list[torch.Tensor]) -> None:
    while outputs:
        outputs.pop().sum().backward()


def _norm(name: str, dtype: torch.dtype) -> list[Job]:
    from snnkit.kernels.lif.reference import LIFParams
    from snnkit.kernels.norm_lif.op import Pool, sequence
    from snnkit.kernels.norm_lif.statistics import from_batch, rounds_once
    from snnkit.surrogate import Arctan

    outputs: list[torch.Tensor] = []

    def forward() -> None:
        for x in _frames(dtype):
            ones = torch.ones(2, dtype=state_dtype(x))  # what norms and neurons hold, whatever x is
            params = LIFParams(ones[:1], ones[:1], True, True, 0, Arctan())
            norm = from_batch(x.flatten(0, 1), (ones.clone(), ones.clone()), 0.0, 1.0)
            once = rounds_once(dtype == torch.bfloat16) or False
            with torch.enable_grad():
                outputs.append(sequence(x, norm, ones, ones, None, params, Pool(2, 2), once, False)[0])

    return [(f"{name} forward", forward), (f"{name} backward", partial(_back, outputs))]


def _norm_alone(name: str, dtype: torch.dtype) -> list[Job]:
    from snnkit.kernels.norm_lif.layers import batch_norm, can_normalise
    from snnkit.kernels.norm_lif.statistics import from_batch

    outputs: list[torch.Tensor] = []

    def forward() -> None:
        for x in filter(can_normalise, _frames(dtype)):
            ones = torch.ones(2, dtype=state_dtype(x))
            norm = from_batch(x.flatten(0, 1), (ones.clone(), ones.clone()), 0.0, 1.0)
            with torch.enable_grad():
                outputs.append(batch_norm(x, norm, ones, ones))

    return [(f"{name} forward", forward), (f"{name} backward", partial(_back, outputs))]


def _pool_alone(name: str, dtype: torch.dtype) -> list[Job]:
    from snnkit.kernels.norm_lif.layers import average
    from snnkit.kernels.norm_lif.op import Pool

    outputs: list[torch.Tensor] = []

    def forward() -> None:
        with torch.enable_grad():
            outputs.append(average(_frames(dtype)[0], Pool(2, 2)))

    return [(f"{name} forward", forward), (f"{name} backward", partial(_back, outputs))]


OTHERS: dict[str, Callable[[str, torch.dtype], list[Job]]] = {
    "Recurrent": partial(_recurrent, room="lif"),
    "Recurrent, any option": partial(_recurrent, room="alif"),
    "BatchNorm and LIF": _norm,
    "BatchNorm": _norm_alone,
    "AvgPool2d": _pool_alone,
}
"""What runs as one with its neuron: a `Recurrent` with a matrix (any option: ALIF, and whatever is refractory, attached
or learns its threshold), and a norm before a LIF, with or without a pool; and these layers alone."""

USUAL = ("LIF", "LI", "CubaLIF", "BatchNorm and LIF")
"""The kernels of most recipes."""

Progress = Callable[[str, int, int], None]
"""(what is being compiled, how many are done, of how many)."""


def warm_up(
    progress: Progress | None = None, dtype: torch.dtype = torch.float32, neurons: Sequence[str] = USUAL
) -> float:
    """Compile, or load from the cache, the kernels of these neurons, both directions.

    Args:
        progress: called before each kernel and once at the end.
        dtype: of the input: float32, bfloat16, or float64 for tests in double precision.
        neurons: of `LIF`, `LI`, `CubaLIF`, `ALIF` and `LinearLeakIF`, and of `OTHERS`. What a model needs is
            `snn.kernels_of(model)`.

    Returns:
        Seconds spent.

    Raises:
        ParameterError: a neuron that has no kernel.
    """
    known = [*FOLDERS, *OTHERS]
    for name in neurons:
        if name not in known:
            raise ParameterError(f"{name!r} has no kernel{did_you_mean(name, known)}", fix="use " + ", ".join(known))
    jobs: list[Job] = []
    for name in (name for name in known if name in neurons):
        jobs += OTHERS[name](name, dtype) if name in OTHERS else _alone(name, dtype)
    start = time.perf_counter()
    for done, (name, job) in enumerate(jobs):
        if progress is not None:
            progress(name, done, len(jobs))
        job()
    if progress is not None:
        progress("kernels ready", len(jobs), len(jobs))
    return time.perf_counter() - start


def _alone(name: str, dtype: torch.dtype) -> list[Job]:
    recurrence = importlib.import_module(f"snnkit.kernels.{FOLDERS[name]}.op").RECURRENCE
    forward, backward = recurrence.smallest(dtype)
    return [
        (f"{name} forward", partial(recurrence.forward, *forward)),
        (f"{name} backward", partial(recurrence.backward, *backward)),
    ]
