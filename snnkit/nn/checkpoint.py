"""Gradient checkpointing: what a part of a model holds for its backward pass is worked out again then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from snnkit.kernels.layout import fusing, is_fusing
from snnkit.nn.context import Pass, current_pass, enter_pass, learners, once_more, recorders
from snnkit.surrogate.heaviside import transformed


def checkpoint(function: Callable[..., Any], *args: Any, preserve_rng_state: bool = True) -> Any:
    """function(*args), which keeps its arguments for the backward pass alone and runs once more there.

    As `torch.utils.checkpoint.checkpoint(…, use_reentrant=False)`, for a part of a model that has layers of this
    package. Outputs and gradients are those without it, bit for bit: the second time the layers find the states and
    lengths that `snn.run`, `snn.stream` or `snn.valid_lengths` gave them the first time, running statistics move once,
    and `snn.record` sees one pass. Final states come from the first.

    Where a local rule learns, inside torch.func and without gradients, the function runs as it is.

    Args:
        function: a module or function; it must do the same both times.
        args: what it takes; tensors among them, parameters and given states may want gradients.
        preserve_rng_state: whether dropout and the like draw the same numbers both times.

    Returns:
        What the function returns.

    >>> def forward(self, x):
    ...     return self.head(snn.checkpoint(self.body, x))

    Source: Chen et al. 2016, arXiv:1604.06174.
    """
    if not torch.is_grad_enabled() or transformed() or learners():
        return function(*args)
    if torch.compiler.is_compiling():
        return torch_checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state)
    going, recorded, fused = current_pass(), bool(recorders()), is_fusing()

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), _again(going, recorded, fused)

    return torch_checkpoint(
        function, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state, context_fn=contexts
    )


@contextlib.contextmanager
def _again(going: Pass | None, recorded: bool, fused: bool) -> Iterator[None]:
    """What the layers saw in the first pass; what they leave goes nowhere."""
    if going is not None and going.final is not None:
        going = replace(going, final={})
    with enter_pass(going), once_more(recorded), fusing(fused):
        yield
