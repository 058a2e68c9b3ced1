"""Any recurrence over a sequence, compiled by torch.compile in chunks of time."""

from __future__ import annotations

import functools
import inspect
import math
import threading
import warnings
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.sequence import Step, run_steps

LONGEST = 32
"""Most steps in one compiled chunk: the loop is unrolled, and compiling takes longer than in proportion."""

LENGTHS = 6
"""Most lengths of chunks that are compiled for one step; sequences of other lengths are put together from these."""

_warned_of_compiler = False
_lock = threading.RLock()


def pieces(steps: int, known: set[int]) -> list[tuple[int, bool]]:
    """How a sequence is cut: (length, whether compiled) of each chunk, at most `LONGEST`.

    Equal chunks, so that a sequence needs one length, and the few steps that are over one by one. Where that length
    would be one too many, the known ones, the longest first.
    """
    count = math.ceil(steps / LONGEST)
    length = steps // max(count, 1)
    lengths = sorted(known, reverse=True) if length not in known and len(known) >= LENGTHS else [length]
    cut = []
    for length in lengths:
        cut += [(length, True)] * (steps // length)
        steps %= length
    return [*cut, (steps, False)] if steps else cut


class CompiledSteps:
    """`run_steps` for one step function, in chunks compiled for any batch and features; eager where that fails."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.lengths: set[int] = set()
        self.works = True

        def chunk(x: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
            return run_steps(step, x, state, params)

        # a cache of its own: by default all steps share the limit of 8 variants, and fail hard behind it, as they do
        # with a torch whose compile has no such options yet
        limits: dict[str, Any] = {"recompile_limit": 128, "isolate_recompiles": True}
        known = inspect.signature(torch.compile).parameters
        self._compiled: Any = torch.compile(chunk, fullgraph=True, **{k: v for k, v in limits.items() if k in known})

    def __call__(self, x: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
        """x [T, B, …] → (out [T, B, …], final state), as `run_steps`."""
        if not self.works or not compiler_for(x.device.type):
            return run_steps(self.step, x, state, params)
        with _lock:
            cut = pieces(x.shape[0], self.lengths)
            self.lengths.update(length for length, compiled in cut if compiled)
        _any_size(params)
        outputs = []
        for part, (_, compiled) in zip(x.split([length for length, _ in cut]), cut, strict=True):
            out, state = self._chunk(part, state, params) if compiled else run_steps(self.step, part, state, params)
            outputs.append(out)
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)), state

    def _chunk(self, x: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
        if not self.works:
            return run_steps(self.step, x, state, params)
        try:
            return self._compiled(_any_size(x, first=1), _any_size(state), params)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            out = run_steps(self.step, x, state, params)  # an error of the step itself shows here, plainly
            self.works = False
            warnings.warn(
                f"torch.compile does not take the step {name_of(self.step)}, which stays eager: {_first_line(error)}",
                stacklevel=2,
            )
            return out


def _any_size(tensors: Any, first: int = 0) -> Any:
    """Tell the compiler that every size from dimension `first` on may change; 1 stays special, as it broadcasts."""
    for x in torch.utils._pytree.tree_leaves(tensors):
        if isinstance(x, Tensor):
            for d in range(first, x.dim()):
                if x.shape[d] > 1:
                    torch._dynamo.maybe_mark_dynamic(x, d)
    return tensors


@functools.lru_cache(maxsize=64)
def compiled_steps(step: Step) -> CompiledSteps:
    """The compiled form of a step, one for all layers that have it."""
    return CompiledSteps(step)


@functools.cache
def _missing(device: str) -> str:
    """What keeps torch.compile from making code for a device; empty where nothing does."""
    if device != "cpu":
        from snnkit.kernels.layout import TRITON

        return "" if TRITON else "Triton is not installed"
    from torch._inductor import cpp_builder

    try:
        cpp_builder.get_cpp_compiler()
    except Exception as error:
        return f"no C++ compiler is found ({_first_line(error)})"
    return ""


def compiler_for(device: str) -> bool:
    """Whether torch.compile can make code for this kind of device; warns once where it cannot."""
    global _warned_of_compiler
    missing = _missing(device)
    if missing and not _warned_of_compiler:
        _warned_of_compiler = True
        warnings.warn(f"neurons of your own stay eager, and slower: {missing}", stacklevel=2)
    return not missing


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def name_of(step: Any) -> str:
    """A step function as messages name it."""
    return getattr(step, "__qualname__", None) or repr(step)
