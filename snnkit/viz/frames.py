"""Event recordings as pictures."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from snnkit.errors import ParameterError, ShapeError
from snnkit.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from snnkit.data.events import EventStream

Array = np.ndarray[Any, Any]


def events(
    source: EventStream | ArrayLike,
    *,
    panels: int = 1,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Where events fell: ON in orange, OFF in violet, the denser the stronger.

    Args:
        source: an `EventStream`, or frames [T, 2, H, W] or [2, H, W] (channel 0 OFF, 1 ON).
        panels: number of pictures side by side, each over an equal part of the time; 1 sums over all of it.
        title: above the picture.
        ax: axes to draw on.

    Raises:
        ShapeError: frames of another shape. ParameterError: panels < 1.
    """
    if panels < 1:
        raise ParameterError(f"panels is {panels}", fix="give at least 1")
    frames, edges = frames_of(source, panels)
    count, _, height, width = frames.shape
    gap = max(2, width // 12) if count > 1 else 0
    strip = np.zeros((height, count * (width + gap) - gap, 4))
    top = strongest(frames)
    for k, frame in enumerate(frames):
        left = k * (width + gap)
        strip[:, left : left + width] = paint(frame, top)
    ax = style.axes_or_new(ax, 6.4, 0.9 + min(6.4 * height / strip.shape[1], 4.6))
    ax.imshow(strip, interpolation="nearest", origin="upper")
    style.dress(ax, title, "x (pixel)", "y (pixel)")
    for k in range(count):
        left = k * (width + gap)
        ax.add_patch(_frame(left, width, height))
    if count > 1:
        ax.set_xlabel(edges[0])
        ax.set_xticks([k * (width + gap) + (width - 1) / 2 for k in range(count)], edges[1:])
        ax.tick_params(axis="x", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    style.whole_ticks(ax.yaxis, 4)
    handles = [_patch(style.colour(n), n.upper()) for n in ("on", "off")]
    style.legend(ax, handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    return ax


def strongest(frames: Array) -> float:
    """The number of events of full colour: what 98 % of the pixels with events stay below."""
    total = frames.sum(1)
    return max(float(np.quantile(total[total > 0], 0.98)), 1e-9) if total.any() else 1.0


def frames_of(source: EventStream | ArrayLike, panels: int | None) -> tuple[Array, list[str]]:
    """[panels, 2, H, W], and the axis label followed by one label per panel; None: a panel per frame."""
    if hasattr(source, "sensor_size") and hasattr(source, "events"):
        from snnkit.data.binning import to_frames

        stream = cast("EventStream", source)
        panels = panels or 1
        frames = to_frames(stream, T=panels)
        length = stream.duration_us / 1000 / panels
        labels = [f"{k * length:.0f}–{(k + 1) * length:.0f}" for k in range(panels)]
        return frames, ["time (ms)", *labels]
    frames = style.array(source).astype(float)
    if frames.ndim == 3:
        frames = frames[None]
    if frames.ndim != 4 or frames.shape[1] != 2:
        raise ShapeError(
            f"events(frames) has shape {list(frames.shape)}",
            fix="give an EventStream or frames [T, 2, H, W] of one sample (channel 0 OFF, 1 ON)",
        )
    cuts = np.linspace(0, len(frames), min(panels or len(frames), len(frames)) + 1).astype(int)
    parts = [frames[a:b].sum(0) for a, b in pairwise(cuts)]
    names = [str(a) if b == a + 1 else f"{a}–{b - 1}" for a, b in pairwise(cuts)]
    return np.stack(parts), ["step", *names]


def paint(frame: Array, top: float) -> Array:
    """RGBA [H, W, 4]: hue from the share of ON, opacity from the number of events."""
    from matplotlib.colors import to_rgb

    off, on = frame
    total = off + on
    share = np.divide(on, total, out=np.zeros_like(total, dtype=float), where=total > 0)[..., None]
    rgb = share * np.array(to_rgb(style.colour("on"))) + (1 - share) * np.array(to_rgb(style.colour("off")))
    alpha = np.where(total > 0, 0.25 + 0.75 * np.clip(total / top, 0, 1), 0.0)
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


def _frame(left: float, width: int, height: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((left - 0.5, -0.5), width, height, fill=False, ec=style.colour("grid"), lw=1, clip_on=False)


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)
