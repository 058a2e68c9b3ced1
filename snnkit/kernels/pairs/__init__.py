"""Sums over pairs of spikes by traces: what spike-timing-dependent plasticity needs of a sequence."""

from snnkit.kernels.pairs.geometry import ConvGeometry
from snnkit.kernels.pairs.online import dense_lif
from snnkit.kernels.pairs.op import change, sums
from snnkit.kernels.pairs.reference import PairParams, PairTraces, initial_traces, step

__all__ = ["ConvGeometry", "PairParams", "PairTraces", "change", "dense_lif", "initial_traces", "step", "sums"]
