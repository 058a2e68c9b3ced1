"""CubaLIF over a sequence."""

from snnkit.kernels.cubalif.op import sequence
from snnkit.kernels.cubalif.reference import CubaLIFParams, CubaLIFState, initial_state, step

__all__ = ["CubaLIFParams", "CubaLIFState", "initial_state", "sequence", "step"]
