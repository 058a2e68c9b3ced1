"""Pictures: one function each, matplotlib axes in and out.

Every function takes `ax=None` (a new figure is made, without pyplot and without a display) and returns the axes.
Arrays may be numpy or torch; matplotlib loads when the first picture is drawn, torch never.

>>> from snnkit import viz
>>> ax = viz.raster(spikes, title="hidden layer")
>>> ax.figure.savefig("raster.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "accuracy_bars": "bars",
    "animate": "animation",
    "confusion": "matrix",
    "core_usage": "chip",
    "events": "frames",
    "filters": "maps",
    "firing_rates": "bars",
    "membrane": "traces",
    "raster": "spikes",
    "rasters": "spikes",
    "rate_histograms": "bars",
    "recording": "recording",
    "save_animation": "animation",
    "to_svg": "svg",
    "weights": "maps",
}

__all__ = [
    "accuracy_bars",
    "animate",
    "confusion",
    "core_usage",
    "events",
    "filters",
    "firing_rates",
    "membrane",
    "raster",
    "rasters",
    "rate_histograms",
    "recording",
    "save_animation",
    "to_svg",
    "weights",
]

if TYPE_CHECKING:
    from snnkit.viz.animation import animate, save_animation
    from snnkit.viz.bars import accuracy_bars, firing_rates, rate_histograms
    from snnkit.viz.chip import core_usage
    from snnkit.viz.frames import events
    from snnkit.viz.maps import filters, weights
    from snnkit.viz.matrix import confusion
    from snnkit.viz.recording import recording
    from snnkit.viz.spikes import raster, rasters
    from snnkit.viz.svg import to_svg
    from snnkit.viz.traces import membrane


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'snnkit.viz' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"snnkit.viz.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
