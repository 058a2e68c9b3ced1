"""Many cores in one picture: per resource a strip, as high as the used share of each core's budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRIP = 0.8
"""Height of a strip at 100 %; strips are 1 apart."""


def height(resources: int) -> float:
    """Inches for that many resources."""
    return 0.9 + 0.6 * resources


def draw_strips(
    ax: Axes, used: Sequence[Mapping[str, Any]], available: Mapping[str, float], bars: Mapping[str, str],
    titles: Mapping[str, str],
) -> None:  # fmt: skip
    """A strip per resource over the cores in their order; lines where a layer's cores begin, with its name.

    Args:
        ax: axes to draw on.
        used: rows {core, layer, RESOURCE: amount}.
        available: what one core has, by resource.
        bars: colour by resource.
        titles: words by resource.
    """
    n = len(used)
    edges = np.arange(n + 1)
    for row, (name, colour) in enumerate(bars.items()):
        share = np.clip(np.array([float(u.get(name) or 0) for u in used]) / available[name], 0, 1)
        ax.stairs(row - STRIP * share, edges, baseline=row, fill=True, color=colour)
        ax.plot([0, n], [row, row], color=style.colour("grid"), lw=0.7)
        ax.annotate(f"mean {share.mean():.0%}", (1.0, row - STRIP / 2), xycoords=("axes fraction", "data"),
                    xytext=(6, 0), va="center", textcoords="offset points", fontsize=8.5,
                    color=style.colour("muted"), annotation_clip=False)  # fmt: skip
    layers = [str(u.get("layer", "")) for u in used]
    begins = [k for k in range(n) if k == 0 or layers[k] != layers[k - 1]]
    for k in begins if len(begins) <= 12 else []:
        ax.plot([k, k], [-1, len(bars) - 1], color=style.colour("muted"), lw=0.6)
        ax.text(k, -1.05, style.plain(layers[k][:14]), fontsize=7, ha="left", va="bottom", color=style.colour("ink"))
    ax.set_yticks([k - STRIP / 2 for k in range(len(bars))], [titles.get(b, b.replace("_", " ")) for b in bars])
    ax.set_ylim(len(bars) - 0.9, -1.4)
    ax.set_xlim(0, n)
    style.dress(ax, None, f"core ({n:,} in use)")
    ax.tick_params(axis="y", length=0, labelcolor=style.colour("ink"), labelsize=9)
    ax.spines["left"].set_visible(False)
