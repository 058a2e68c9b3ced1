"""LIF over a sequence."""

from snnkit.kernels.lif.op import sequence
from snnkit.kernels.lif.reference import LIFParams, LIFState, initial_state, step

__all__ = ["LIFParams", "LIFState", "initial_state", "sequence", "step"]
