"""Chip maps: which cores are used, and how full they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.errors import ParameterError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = ("compartments", "synapse_bits", "input_axons", "output_axons")
"""The resources that a tile shows, from left to right."""
TITLES = {
    "compartments": "compartments",
    "synapse_bits": "synapse memory",
    "input_axons": "input axons",
    "output_axons": "output axons",
}
COLUMNS = 16
"""Tiles in a row."""
MAX_CHIPS = 4
"""At most so many chips are drawn; the title says if there are more."""


def cores(resources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The used cores as flat rows {core, layer, RESOURCE: amount}, from any of the accepted layouts.

    `resources["cores"]` or `["per_core"]` is a list of rows, whose amounts may stand under `usage`.
    """
    rows = next((v for v in (resources.get("cores"), resources.get("per_core")) if isinstance(v, Sequence)), ())
    flat = []
    for k, row in enumerate(rows):
        amounts = row.get("usage")
        usage = amounts if isinstance(amounts, Mapping) else {}
        flat.append({"core": k, **{n: v for n, v in row.items() if n not in ("usage", "axons")}, **usage})
    return flat


def limits(resources: Mapping[str, Any]) -> dict[str, float]:
    """What one core has, by resource."""
    found = resources.get("limits") or resources.get("budget") or {}
    return {str(k): float(v) for k, v in found.items() if isinstance(v, (int, float))}


def core_usage(
    resources: Mapping[str, Any],
    *,
    cores_per_chip: int | None = None,
    columns: int = COLUMNS,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A tile per core; in it one bar per resource, as high as the used share of the core's budget.

    Args:
        resources: {"cores": [{"core", "layer", "compartments", …}, …], "limits": {"compartments": …, …}}.
        cores_per_chip: draws the chip's unused cores too; None draws the used ones only.
        columns: tiles in a row.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ParameterError: no used core, or no limits to compare with.
    """
    used, available = cores(resources), limits(resources)
    bars = [b for b in BARS if available.get(b)]
    if not used or not bars:
        raise ParameterError(
            "core_usage needs cores and limits",
            fix='give {"cores": [{"core": 0, "compartments": 12, …}], "limits": {"compartments": 1024, …}}',
        )
    first: dict[str, int] = {}  # layer → the number of its first core, for the labels
    places: dict[int, int] = {}
    for k, row in enumerate(used):
        places[k] = int(row["core"]) if cores_per_chip else k
        first.setdefault(str(row.get("layer", "")), k)
    per_chip = cores_per_chip or len(used)
    columns = min(columns, max(per_chip, 8))
    rows = -(-per_chip // columns)
    chips = min(1 + max(places.values()) // per_chip, MAX_CHIPS)
    ax = style.axes_or_new(ax, 7.6, 0.95 + (rows * chips + 0.5 * (chips - 1)) * 7.0 / columns)
    _draw_tiles(ax, used, places, available, bars, (per_chip, columns, rows, chips), bool(cores_per_chip), first)
    ax.set_xlim(-0.05, columns + 0.05)
    ax.set_ylim(chips * (rows + 0.5) - 0.5 + 0.05, -0.05)
    ax.set_aspect("equal")
    ax.set_axis_off()
    if title:
        more = f" (first {MAX_CHIPS} chips)" if 1 + max(places.values()) // per_chip > chips else ""
        ax.set_title(title + more, loc="left", fontsize=10.5, color=style.colour("ink"), pad=8)
    from matplotlib.patches import Patch

    handles = [Patch(color=style.colour(b), label=TITLES[b]) for b in bars]
    style.legend(ax, handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.0), ncols=len(bars), borderaxespad=0.3)
    return ax


def _draw_tiles(
    ax: Axes,
    used: list[dict[str, Any]],
    places: Mapping[int, int],
    available: Mapping[str, float],
    bars: list[str],
    shape: tuple[int, int, int, int],
    whole_chip: bool,
    first: Mapping[str, int],
) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    per_chip, columns, rows, chips = shape

    def corner(place: int) -> tuple[float, float]:
        chip, k = divmod(place, per_chip)
        return float(k % columns), chip * (rows + 0.5) + k // columns

    def tile(place: int, edge: str, width: float) -> None:
        x, y = corner(place)
        ax.add_artist(
            FancyBboxPatch((x + 0.1, y + 0.1), 0.8, 0.8, boxstyle="round,pad=0.02,rounding_size=0.08",
                           fc=style.colour("tile"), ec=style.colour(edge), lw=width)
        )  # fmt: skip

    if whole_chip:
        taken = set(places.values())
        for place in range(per_chip * chips):
            if place not in taken:
                tile(place, "grid", 0.6)
    small = 6.6 if columns > 8 else 8.0
    for k, row in enumerate(used):
        if places[k] >= per_chip * chips:
            continue
        tile(places[k], "muted", 0.9)
        x, y = corner(places[k])
        width = 0.62 / len(bars)
        for b, name in enumerate(bars):
            share = float(np.clip(float(row.get(name, 0)) / available[name], 0, 1))
            left = x + 0.19 + b * width
            ax.add_artist(Rectangle((left, y + 0.26), 0.72 * width, 0.54, fc=style.colour("grid"), lw=0))
            height = max(0.54 * share, 0.012 if share else 0)
            ax.add_artist(Rectangle((left, y + 0.8 - height), 0.72 * width, height, fc=style.colour(name), lw=0))
        label = str(row.get("layer", ""))
        text = label if first.get(label) == k and label else str(int(row["core"]))
        strong = first.get(label) == k and bool(label)
        ax.text(x + 0.5, y + 0.185, style.plain(text if len(text) <= 10 else text[:9] + "…"), ha="center", va="center",
                fontsize=small, color=style.colour("ink" if strong else "muted"))  # fmt: skip
