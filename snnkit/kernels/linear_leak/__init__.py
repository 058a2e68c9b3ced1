"""LinearLeakIF over a sequence."""

from snnkit.kernels.linear_leak.op import sequence
from snnkit.kernels.linear_leak.reference import LinearLeakIFParams, LinearLeakIFState, initial_state, step

__all__ = ["LinearLeakIFParams", "LinearLeakIFState", "initial_state", "sequence", "step"]
