"""Neurons that hear their own outputs through a matrix: time loop and matrix product in one operator."""

from snnkit.kernels.recurrent.layer import sequence, takes
from snnkit.kernels.recurrent.reference import run_steps

__all__ = ["run_steps", "sequence", "takes"]
