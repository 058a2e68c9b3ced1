"""Virtual chips: what calibration leaves, drawn from a seed. The sigmas are assumptions (see `spec.py`).

A virtual chip is the same silicon for all parts of a network: circuit k and driver d keep their deviations. Relative
deviations are log-normal factors, exp(sigma z); a sigma of 0 gives factors of exactly 1. Trial noise derives from the
chip's seed and the sample itself, so that it does not depend on how samples are grouped.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.targets.brainscales2 import spec

Array = np.ndarray[Any, Any]
_CHIP, _TRIAL = 1, 2


@dataclass(frozen=True)
class Mismatch:
    """Sigmas of the deviations: relative, and in codes. Defaults: `spec.py`."""

    tau_mem: float = spec.SIGMA_TAU_MEM
    tau_syn: float = spec.SIGMA_TAU_SYN
    gain_neuron: float = spec.SIGMA_GAIN_NEURON
    gain_driver: float = spec.SIGMA_GAIN_DRIVER
    threshold: float = spec.SIGMA_THRESHOLD
    reset: float = spec.SIGMA_RESET
    leak: float = spec.SIGMA_LEAK
    trial: float = spec.SIGMA_TRIAL
    read: float = spec.SIGMA_READ

    def scaled(self, factor: float) -> Mismatch:
        """All sigmas times a factor; 0 is the ideal chip."""
        return Mismatch(*(factor * s for s in vars(self).values()))


@dataclass(frozen=True, eq=False)
class VirtualChip:
    """Deviations of one chip: factors tau_mem, tau_syn_e, tau_syn_i, gain [512] and driver [256]; in codes threshold,
    reset, leak [512]."""

    seed: int
    sigma: Mismatch
    tau_mem: Array
    tau_syn_e: Array
    tau_syn_i: Array
    gain: Array
    driver: Array
    threshold: Array
    reset: Array
    leak: Array

    def trial(self, sample: Array, neurons: int, reads: tuple[int, int]) -> tuple[Array, Array, Array]:
        """Of one trial: leak and threshold [neurons], and reading noise [ticks, K], in codes.

        Args:
            sample: the raster of the sample, which with the seed determines the draws.
            reads: (ticks, K).
        """
        key = [self.seed, zlib.crc32(np.ascontiguousarray(sample).tobytes()) << 2 | _TRIAL]
        rng = np.random.Generator(np.random.Philox(key=key))
        both = self.sigma.trial * rng.standard_normal((2, neurons))
        return both[0], both[1], self.sigma.read * rng.standard_normal(reads)


def virtual_chip(seed: int, sigma: Mismatch | None = None) -> VirtualChip:
    """The chip of a seed."""
    sigma = sigma or Mismatch()
    rng = np.random.Generator(np.random.Philox(key=[seed, _CHIP]))
    n = spec.NEURONS

    def factor(size: int, s: float) -> Array:
        return np.exp(s * rng.standard_normal(size))

    return VirtualChip(
        seed, sigma,
        factor(n, sigma.tau_mem), factor(n, sigma.tau_syn), factor(n, sigma.tau_syn), factor(n, sigma.gain_neuron),
        factor(spec.HALVES * spec.DRIVERS, sigma.gain_driver),
        sigma.threshold * rng.standard_normal(n), sigma.reset * rng.standard_normal(n),
        sigma.leak * rng.standard_normal(n),
    )  # fmt: skip
