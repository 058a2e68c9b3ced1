"""Chip maps: which cores are used, and how full they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.errors import ParameterError
from snnkit.viz import style
from snnkit.viz.strips import draw_strips
from snnkit.viz.strips import height as strip_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from snnkit.descriptor import Descriptor

Array = np.ndarray[Any, Any]

BARS = ("compartments", "synapse_bits", "input_axons", "output_axons")
"""The resources that a tile shows, from left to right; a chip that has none of them shows its own first ones."""
TITLES = {
    "compartments": "compartments",
    "synapse_bits": "synapse memory",
    "input_axons": "input axons",
    "output_axons": "output axons",
    "synapses": "crossbar fill",
}
COLUMNS = 16
"""Tiles in a row."""
MAX_CHIPS = 4
"""At most so many chips are drawn; the title says if there are more."""


MAX_TILES = 256
"""Of more cores the picture shows strips instead of tiles."""


def placed(descriptor: Descriptor) -> dict[str, Any]:
    """What a descriptor says it uses, with the layers of each core: {"totals", "limits", "cores"}."""
    manifest = descriptor.manifest
    used = manifest.resources.model_dump(mode="json")
    layers: dict[int, list[str]] = {}
    for layer in manifest.layers:
        table = descriptor.arrays.get(f"placement.{layer.name}")
        if table is None:
            continue
        if table.shape[1] == 3:  # (kind, core, slot); the last kind, 2, is a line that leaves the chip
            table = table[table[:, 0] != 2][:, 1:]
        for core in np.unique(table[:, 0]):
            layers.setdefault(int(core), []).append(layer.name)
    rows = [{**row, "layer": ", ".join(layers.get(row["core"], []))} for row in used["per_core"]]
    return {"totals": used["totals"], "limits": used["budget"], "cores": rows}


def cores(resources: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The used cores as flat rows {core, layer, RESOURCE: amount}, from any of the accepted layouts.

    `resources["cores"]` or `["per_core"]` is a list of rows, whose amounts may stand under `usage`.
    """
    rows = next((v for v in (resources.get("cores"), resources.get("per_core")) if isinstance(v, Sequence)), ())
    flat = []
    for k, row in enumerate(rows):
        amounts = row.get("usage")
        usage = amounts if isinstance(amounts, Mapping) else {}
        flat.append(
            {"core": k, **{n: v for n, v in row.items() if n != "usage" and not isinstance(v, Mapping | list)}, **usage}
        )
    return flat


def limits(resources: Mapping[str, Any]) -> dict[str, float]:
    """What one core has, by resource."""
    found = resources.get("limits") or resources.get("budget") or {}
    return {str(k): float(v) for k, v in found.items() if isinstance(v, (int, float))}


def bars_of(available: Mapping[str, float]) -> dict[str, str]:
    """Colour by resource of the bars for what a core has."""
    shown = [b for b in BARS if available.get(b)]
    if shown:
        return {b: style.colour(b) for b in shown}
    return {b: style.colour(role) for b, role in zip([b for b, limit in available.items() if limit], BARS)}


def core_usage(
    resources: Mapping[str, Any] | Descriptor,
    *,
    cores_per_chip: int | None = None,
    columns: int = COLUMNS,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A tile per core; in it one bar per resource, as high as the used share of the core's budget.

    The resources are the target's own: compartments and synapse memory on Loihi, axons, neurons and crossbar fill on
    TrueNorth. Of more than 256 cores the picture shows a strip per resource instead, over the cores in use.

    Args:
        resources: a descriptor, or {"cores": [{"core", "layer", "compartments", …}, …], "limits": {"compartments": …}}.
        cores_per_chip: draws the chip's unused cores too, where these are few enough; None draws the used ones only.
        columns: tiles in a row.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ParameterError: no used core, or no limits to compare with.
    """
    facts = resources if isinstance(resources, Mapping) else placed(resources)
    used, available = cores(facts), limits(facts)
    bars = bars_of(available)
    if not used or not bars:
        raise ParameterError(
            "core_usage needs cores and limits",
            fix='give {"cores": [{"core": 0, "compartments": 12, …}], "limits": {"compartments": 1024, …}}',
        )
    if (cores_per_chip or 0) > MAX_TILES:
        cores_per_chip = None
    if len(used) > MAX_TILES:
        ax = style.axes_or_new(ax, 7.6, strip_height(len(bars)))
        draw_strips(ax, used, available, bars, TITLES)
        if title:
            ax.set_title(title, loc="left", fontsize=10.5, color=style.colour("ink"), pad=8)
        return ax
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

    handles = [Patch(color=c, label=TITLES.get(b, style.plain(b.replace("_", " ")))) for b, c in bars.items()]
    style.legend(ax, handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.0), ncols=len(bars), borderaxespad=0.3)
    return ax


def _draw_tiles(
    ax: Axes,
    used: list[dict[str, Any]],
    places: Mapping[int, int],
    available: Mapping[str, float],
    bars: Mapping[str, str],
    shape: tuple[int, int, int, int],
    whole_chip: bool,
    first: Mapping[str, int],
) -> None:
    per_chip, columns, rows, chips = shape
    shown = [k for k in range(len(used)) if places[k] < per_chip * chips]

    def corners(numbers: Sequence[int]) -> Array:
        place = np.array(numbers, int)
        chip, k = np.divmod(place, per_chip)
        return np.stack([k % columns, chip * (rows + 0.5) + k // columns], -1).astype(float).reshape(-1, 2)

    tile = {"fc": style.colour("tile"), "joinstyle": "round"}
    if whole_chip:
        empty = sorted(set(range(per_chip * chips)) - {places[k] for k in shown})
        _boxes(ax, corners(empty) + 0.08, 0.84, 0.84, ec=style.colour("grid"), lw=0.6, **tile)
    at = corners([places[k] for k in shown])
    _boxes(ax, at + 0.08, 0.84, 0.84, ec=style.colour("muted"), lw=0.9, **tile)
    step = 0.62 / len(bars)
    for b, (name, colour) in enumerate(bars.items()):
        amount = np.array([float(used[k].get(name) or 0) for k in shown])
        share = np.clip(amount / available[name], 0, 1)
        height = np.where(share > 0, np.maximum(0.48 * share, 0.012), 0)
        left = at[:, 0] + 0.19 + b * step
        track = np.stack([left, at[:, 1] + 0.32], -1)
        _boxes(ax, track, 0.72 * step, 0.48, fc=style.colour("grid"), lw=0)
        bar = np.stack([left, at[:, 1] + 0.8 - height], -1)
        _boxes(ax, bar, 0.72 * step, height, fc=colour, lw=0)
    small = 6.6 if columns > 8 else 8.0
    for k, (x, y) in zip(shown, at):
        layer = str(used[k].get("layer", ""))
        strong = bool(layer) and first.get(layer) == k
        text = layer if strong else str(int(used[k]["core"]))
        ax.text(x + 0.5, y + 0.21, style.plain(text if len(text) <= 10 else text[:9] + "…"), ha="center",
                va="center", fontsize=small, color=style.colour("ink" if strong else "muted"))  # fmt: skip


def _boxes(ax: Axes, corner: Array, width: float, height: float | Array, **look: Any) -> None:
    """Rectangles [n, 2] as one path: small as SVG, quick to draw."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    n = len(corner)
    if not n:
        return
    size = np.stack([np.full(n, width), np.broadcast_to(height, (n,))], -1)
    around = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
    points = corner[:, None, :] + around[None] * size[:, None, :]
    codes = np.tile(np.array([Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY], np.uint8), n)
    path = Path(points.reshape(-1, 2), codes)
    path.should_simplify = False
    ax.add_artist(PathPatch(path, **look))
