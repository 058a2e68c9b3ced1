"""Pictures of closed loops: the ways of digit and gaze, and what the sensor saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit._io import atomic_path
from snnkit.errors import ParameterError
from snnkit.loops.tracking import SETTLE_MS, Tracking
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

COLOURS = ("torch", "emulator", "graph", "output_axons")


def ways(loops: Mapping[str, Tracking], scene: int = 0, *, axis: int = 0, ax: Axes | None = None) -> Axes:
    """Where the digit is and where each loop looked, over time.

    Args:
        loops: by name, all of the same scenes. scene: which of them. axis: 0 = horizontal, 1 = vertical.
        ax: axes to draw on.

    Raises:
        ParameterError: no loop.
    """
    if not loops:
        raise ParameterError("no loop to draw", fix="give at least one")
    ax = style.axes_or_new(ax, 6.4, 2.8)
    digit = next(iter(loops.values())).digit
    time = np.arange(len(digit)) / 1000
    ax.plot(time, digit[:, scene, axis], color=style.colour("ink"), lw=2.2, alpha=0.45, label="digit")
    for k, (name, loop) in enumerate(loops.items()):
        ax.plot(time, loop.gaze[:, scene, axis], color=style.colour(COLOURS[k % len(COLOURS)]), lw=1.1,
                label=f"{name}: {loop.rms:.2f} px RMS over all scenes")  # fmt: skip
    ax.axvspan(0, SETTLE_MS / 1000, color=style.colour("muted"), alpha=0.15, lw=0)
    style.dress(ax, "", "time (s)", f"{'xy'[axis]} (pixel)")
    style.legend(ax)
    return ax


def film(loop: Tracking, interval_ms: float = 60.0) -> FuncAnimation:
    """What the sensor saw in each control step of the first scene, of a loop that kept its events.

    Raises:
        ParameterError: it did not: `follow(…, keep=True)`.
    """
    if loop.frames is None:
        raise ParameterError("the loop kept no events", fix="run follow(…, keep=True)")
    from snnkit import viz

    return viz.animate(loop.frames, interval_ms=interval_ms, title="what the sensor sees, 20 ms each")


def save(loops: Mapping[str, Tracking], seen: Tracking, picture: Path, movie: Path) -> None:
    """Write `ways` of some loops as PNG and the `film` of one as GIF (its first 2 s)."""
    from snnkit import viz

    figure: Any = ways(loops).figure
    with atomic_path(picture) as temp:
        figure.savefig(temp, format="png", dpi=150)
    frames = None if seen.frames is None else seen.frames[:100]
    viz.save_animation(film(Tracking(seen.digit, seen.gaze, seen.seen, frames)), movie, dpi=80)
