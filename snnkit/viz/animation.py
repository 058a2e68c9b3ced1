"""Event frames that move."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnkit._io import atomic_path
from snnkit.errors import ParameterError
from snnkit.viz import style
from snnkit.viz.frames import frames_of, paint, strongest

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from snnkit.data.events import EventStream


def animate(
    source: EventStream | ArrayLike,
    *,
    steps: int = 30,
    interval_ms: float = 80.0,
    title: str | None = None,
    ax: Axes | None = None,
) -> FuncAnimation:
    """A recording as an animation: ON in orange, OFF in violet. In a notebook, `HTML(animate(…).to_jshtml())`.

    Args:
        source: an `EventStream`, or frames [T, 2, H, W] (channel 0 OFF, 1 ON).
        steps: pictures of an event stream, each over an equal part of its time; frames have T.
        interval_ms: time that each picture stays.
        title: above the picture.
        ax: axes to draw on; kept by the animation.

    Raises:
        ShapeError: frames of another shape. ParameterError: steps below 1 or an interval that is not positive.
    """
    if steps < 1 or not interval_ms > 0:
        raise ParameterError(f"steps is {steps}, interval_ms {interval_ms}", fix="give steps ≥ 1 and interval_ms > 0")
    from matplotlib.animation import FuncAnimation

    frames, (what, *labels) = frames_of(source, steps if hasattr(source, "events") else None)
    top = strongest(frames)
    _, _, height, width = frames.shape
    ax = style.axes_or_new(ax, 4.2, 0.8 + 4.2 * height / width)
    image = ax.imshow(paint(frames[0], top), interpolation="nearest", origin="upper")
    style.dress(ax, title, "x (pixel)", "y (pixel)")
    style.whole_ticks(ax.xaxis, 4)
    style.whole_ticks(ax.yaxis, 4)
    note = ax.annotate(
        "", (1.0, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", ha="right", fontsize=8.5,
        color=style.colour("muted"),
    )  # fmt: skip

    def show(k: int) -> tuple[Any, ...]:
        image.set_data(paint(frames[k], top))
        note.set_text(f"{what} {labels[k]}")
        return image, note

    return FuncAnimation(ax.figure, show, frames=len(frames), interval=interval_ms, blit=False)  # type: ignore[arg-type]


def save_animation(animation: FuncAnimation, path: str | Path, dpi: float = 100.0) -> Path:
    """Write an animation as a GIF that repeats, in one step: a stopped write leaves no half file.

    Args:
        animation: what `animate` gave.
        path: the file, NAME.gif.
        dpi: pixels per inch of the figure.

    Raises:
        ParameterError: the name does not end in .gif.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ParameterError(f"an animation is written as a GIF, and the name is {path.name!r}", fix="end it in .gif")
    from matplotlib.animation import PillowWriter

    class Writer(PillowWriter):
        def finish(self) -> None:  # the temporary file's name does not say that it is a GIF
            first, *rest = self._frames  # type: ignore[attr-defined]
            first.save(
                self.outfile, format="GIF", save_all=True, append_images=rest, duration=round(1000 / self.fps), loop=0
            )

    with atomic_path(path) as temporary:
        animation.save(str(temporary), writer=Writer(fps=1000 / animation._interval), dpi=dpi)  # type: ignore[attr-defined, arg-type]
    return path
