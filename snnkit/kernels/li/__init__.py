"""LI over a sequence."""

from snnkit.kernels.li.op import sequence
from snnkit.kernels.li.reference import LIParams, LIState, initial_state, step

__all__ = ["LIParams", "LIState", "initial_state", "sequence", "step"]
