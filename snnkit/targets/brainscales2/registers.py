"""The refractory counter: a period of one of its clocks times 0..255, at least the fastest reset."""

from __future__ import annotations

from snnkit.targets.brainscales2 import spec


def refractory_ps(counter: int, scale: int) -> int:
    """Time for which the membrane is held at reset, in ps."""
    return max(counter * (spec.REFRACTORY_CLOCK_PS << scale), spec.RESET_LEAST_PS)


def refractory_register(wanted_ps: float) -> tuple[int, int]:
    """(counter, clock scale) nearest to a time; the fastest clock that reaches it."""
    if wanted_ps <= spec.RESET_LEAST_PS:
        return 0, 0
    for scale in range(spec.CLOCK_SCALE_MAX + 1):
        counter = round(wanted_ps / (spec.REFRACTORY_CLOCK_PS << scale))
        if counter <= spec.REFRACTORY_MAX:
            return counter, scale
    return spec.REFRACTORY_MAX, spec.CLOCK_SCALE_MAX


def nearest_refractory(wanted_ps: float) -> int:
    """The time in ps that the counter can count and that is nearest."""
    return refractory_ps(*refractory_register(wanted_ps))


LONGEST_PS = refractory_ps(spec.REFRACTORY_MAX, spec.CLOCK_SCALE_MAX)
