"""ALIF over a sequence."""

from snnkit.kernels.alif.op import sequence
from snnkit.kernels.alif.reference import ALIFParams, ALIFState, initial_state, step

__all__ = ["ALIFParams", "ALIFState", "initial_state", "sequence", "step"]
