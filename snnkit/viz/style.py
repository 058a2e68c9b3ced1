"""One style for all pictures: colours that colour-blind readers can tell apart, thin marks, little ink.

Colours: Okabe & Ito (2008), https://jfly.uni-koeln.de/color/, and Tol's "bright" scheme (SRON/EPS/TN/09-002). Each
name has a second colour for dark pages; `svg.to_svg` writes both, so the names' values must differ from each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT: dict[str, str] = {
    "ink": "#1f2430",
    "muted": "#667085",
    "grid": "#dfe3ea",
    "surface": "#ffffff",
    "tile": "#f3f5f8",
    "torch": "#0072b2",
    "graph": "#009e73",
    "emulator": "#d55e00",
    "differ": "#c2188b",
    "on": "#e66100",
    "off": "#5d3a9b",
    "compartments": "#4477aa",
    "synapse_bits": "#228833",
    "input_axons": "#b8a22c",
    "output_axons": "#aa3377",
}
"""Colour of each thing on a light page."""

DARK: dict[str, str] = {
    "ink": "#e7eaf0",
    "muted": "#9aa4b5",
    "grid": "#343c49",
    "surface": "#161a21",
    "tile": "#1e242d",
    "torch": "#5db3ea",
    "graph": "#37c99c",
    "emulator": "#f58f4f",
    "differ": "#ff6fd0",
    "on": "#ff9a4d",
    "off": "#a98be8",
    "compartments": "#7daee0",
    "synapse_bits": "#5dbb6c",
    "input_axons": "#ddc95c",
    "output_axons": "#de74ac",
}
"""The same on a dark page."""


def colour(name: str) -> str:
    """The light-page colour of a thing; unknown names get ink."""
    return LIGHT.get(name, LIGHT["ink"])


def new_figure(width: float = 6.4, height: float = 3.6) -> Figure:
    """An empty figure (inches) that belongs to no pyplot state and needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 3.6) -> Axes:
    """The given axes, or those of a new figure."""
    return ax if ax is not None else new_figure(width, height).add_subplot()


def dress(ax: Axes, title: str | None = None, xlabel: str = "", ylabel: str = "", grid: str = "") -> Axes:
    """Give axes the common look. `grid`: "x", "y" or none."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(LIGHT["muted"])
        ax.spines[side].set_linewidth(0.7)
    ax.tick_params(color=LIGHT["muted"], labelcolor=LIGHT["muted"], labelsize=8.5, width=0.7, length=3)
    if title:
        ax.set_title(plain(title), loc="left", fontsize=10.5, color=LIGHT["ink"], pad=8)
    ax.set_xlabel(xlabel, fontsize=9, color=LIGHT["muted"])
    ax.set_ylabel(ylabel, fontsize=9, color=LIGHT["muted"])
    if grid:
        ax.grid(axis=grid, color=LIGHT["grid"], linewidth=0.7)  # type: ignore[arg-type]
        ax.set_axisbelow(True)
    return ax


def legend(ax: Axes, **options: Any) -> None:
    """A legend without a frame, in muted text."""
    ax.legend(frameon=False, fontsize=8.5, labelcolor=LIGHT["muted"], handlelength=1.2, **options)


def whole_ticks(axis: Any, most: int = 8) -> None:
    """Ticks at whole numbers only, at most so many."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))


def array(values: Any) -> np.ndarray[Any, Any]:
    """A numpy array of anything array-like; tensors are detached and moved to the CPU."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def plain(text: object) -> str:
    """Words that a picture shows as they are: no mathematics, no control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text)).replace("$", r"\$")
