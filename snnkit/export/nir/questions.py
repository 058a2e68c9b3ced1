"""What NIR leaves out of a file, and asking for what is needed of it, all in one error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from snnkit.errors import NirError
from snnkit.export.nir.dialects import Dialect
from snnkit.export.nir.model import FIRING, NEURONS
from snnkit.export.nir.nodes import Flat

STEP = "--loop-delay 1 (as norse, snntorch and rockpool run them), or Delay nodes in the file"


@dataclass(frozen=True)
class Facts:
    """What NIR leaves out, as far as the caller gives it.

    Attributes:
        dt: length of a step in seconds. reset: what a firing neuron does, "zero" (to v_reset) or "subtract".
        loop_delay: steps of a loop without a Delay node.
        readout: `count` or `first` for a firing last layer, `mean`, `max` or `last` otherwise.
        output: which Output node to read, where there are several.
        steps: T of a sample. max_count: largest input value in a step.
    """

    dt: float | None = None
    reset: Literal["zero", "subtract"] | None = None
    loop_delay: int | None = None
    readout: str | None = None
    output: str | None = None
    steps: int | None = None
    max_count: int = 1


def ask(flat: Flat, way: Dialect, facts: Facts, open_loops: list[list[str]], name: str) -> float:
    """The length of a step; everything that is needed and not known, in one error."""
    nodes = flat.nodes
    missing, fixes = [], []
    timed = [p for p, n in nodes.items() if n.type == "Delay" or (n.type in NEURONS and n.type != "Threshold")]
    if way.name != "nir":
        timed = [p for p in timed if nodes[p].type not in ("I", "IF")]
    if way.step is None and facts.dt is None and timed:
        missing.append(f"the length of a step, on which {_some(timed)} depend")
        fixes.append("--dt SECONDS")
    firing = [p for p, n in nodes.items() if n.type in FIRING and n.type != "Threshold"]
    if facts.reset is None and firing:
        missing.append(f"whether {_some(firing)} are reset to v_reset or by subtracting the threshold")
        fixes.append("--reset zero or --reset subtract")
    if facts.loop_delay is None and way.loops == "delay" and open_loops:
        ways = "; ".join(" -> ".join([*p, p[0]]) for p in open_loops[:4])
        missing.append(f"how many steps a spike takes round {ways}")
        fixes.append(STEP)
    if missing:
        why = "NIR is continuous in time and has no such numbers"
        raise NirError(f"{name} does not say {'; nor '.join(missing)}", why=why, fix=", ".join(fixes))
    _check(way, facts)
    return way.step or facts.dt or 1.0


def _check(way: Dialect, facts: Facts) -> None:
    if facts.dt is not None and not (facts.dt > 0 and np.isfinite(facts.dt)):
        raise NirError(f"dt={facts.dt}", fix="a step is longer than 0 seconds")
    if facts.loop_delay is not None and facts.loop_delay < 1:
        raise NirError(f"loop_delay={facts.loop_delay}", fix="a loop takes at least 1 step")
    if facts.reset not in (None, "zero", "subtract"):
        raise NirError(f"reset={facts.reset!r}", fix="zero or subtract")
    if way.step is not None and facts.dt is not None and facts.dt != way.step:
        raise NirError(
            f"dt={facts.dt:g}, but the dialect {way.name} has a step of {way.step:g} in the units of its files",
            fix="leave dt out, or use another dialect",
        )


def _some(names: list[str]) -> str:
    listed = ", ".join(repr(n) for n in names[:5])
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")
