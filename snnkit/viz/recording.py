"""A whole recording on one page: frames, rate over time, where events fell, how unequal the pixels are."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit.errors import ShapeError
from snnkit.viz import style
from snnkit.viz.frames import events as draw_events

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def recording(facts: Mapping[str, Any], pixels: Array, frames: Array, rate: Array, bin_us: int) -> Figure:
    """One page about a recording.

    Args:
        facts: what `snnkit.data.describe_recording` gives.
        pixels: events per pixel [H, W].
        frames: counts [F, 2, h, w] (channel 0 OFF, 1 ON) over equal parts of the time.
        rate: events per bin of time and polarity [2, K].
        bin_us: length of a bin in µs.

    Returns:
        A matplotlib figure; `figure.savefig("page.png")` writes it.

    Raises:
        ShapeError: `frames` or `rate` of another shape.
    """
    if frames.ndim != 4 or frames.shape[1] != 2 or rate.ndim != 2 or len(rate) != 2:
        raise ShapeError(
            f"frames has shape {list(frames.shape)}, rate {list(rate.shape)}",
            fix="give frames [F, 2, h, w], rate [2, K]",
        )
    from matplotlib.figure import Figure

    count, _, height, width = frames.shape
    strip = min(max(9.0 * height / (width * count), 0.9), 3.0)
    figure = Figure(figsize=(10.0, 6.4 + strip), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(strip + 0.6, 2.0, 2.8), width_ratios=(1.35, 1.0))
    name = str(facts["file"]).replace("\\", "/").rsplit("/", 1)[-1]
    title = style.plain(f"{name}: {facts['events']:,} events, {facts['format']}")
    figure.suptitle(title, fontsize=11, color=style.colour("ink"))
    top = figure.add_subplot(grid[0, :])
    draw_events(frames, panels=count, ax=top)
    edges = np.linspace(0, facts["duration_us"] / 1000, count + 1)
    digits = 0 if edges[-1] >= 10 * count else 2
    top.set_xlabel("time (ms)")
    top.set_ylabel("")
    top.set_yticks([])
    if count > 1:
        top.set_xticks(top.get_xticks(), [f"{a:.{digits}f}–{b:.{digits}f}" for a, b in pairwise(edges)])
    _rates(figure.add_subplot(grid[1, :]), facts, rate, bin_us)
    _map(figure.add_subplot(grid[2, 0]), facts, pixels)
    _spread(figure.add_subplot(grid[2, 1]), pixels)
    return figure


def _rates(ax: Any, facts: Mapping[str, Any], rate: Array, bin_us: int) -> None:
    bins = rate.shape[1]
    edges = np.arange(bins + 1) * bin_us / 1000
    for row, word in enumerate(("off", "on")):
        ax.stairs(rate[row] / bin_us * 1e3, edges, color=style.colour(word), lw=1.3, label=word.upper())
    style.dress(ax, None, "time since the start (ms)", "events per ms")
    ax.set_xlim(0, edges[-1])
    ax.set_ylim(bottom=0)
    start = facts["t_first"] // bin_us * bin_us
    for gap in facts["gaps"]:
        if gap["us"] >= max(3 * bin_us, facts["duration_us"] / 50):
            begin = (gap["from_us"] - start) / 1000
            ax.axvspan(begin, begin + gap["us"] / 1000, color=style.colour("grid"), lw=0)
    share = facts["on"] / max(facts["events"], 1)
    style.legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    note = f"{100 * share:.1f} % ON; pauses are grey"
    ax.annotate(note, (0.0, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8.5,
                color=style.colour("muted"))  # fmt: skip


def _map(ax: Any, facts: Mapping[str, Any], pixels: Array) -> None:
    image = ax.imshow(np.log10(1 + pixels), cmap="Greys", interpolation="nearest", origin="upper")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85)
    bar.set_label("events of a pixel")
    top = int(np.log10(max(int(pixels.max()), 1)))
    bar.set_ticks([np.log10(1 + 10**k) for k in range(top + 1)], labels=[f"{10**k:,}" for k in range(top + 1)])
    hot = facts["hot_pixels"]
    if hot:
        ax.plot([h["x"] for h in hot], [h["y"] for h in hot], "o", mfc="none", mec=style.colour("differ"), ms=9)
    style.dress(ax, f"hot pixels: {len(hot)}" if hot else "no hot pixels", "x (pixel)", "y (pixel)")


def _spread(ax: Any, pixels: Array) -> None:
    active = np.sort(pixels[pixels > 0])[::-1]
    ax.plot(np.arange(1, len(active) + 1), active, color=style.colour("torch"), lw=1.5)
    ax.set_xscale("log")
    ax.set_yscale("log")
    style.dress(ax, "pixels in order of their events", "rank of the pixel", "events of the pixel")
