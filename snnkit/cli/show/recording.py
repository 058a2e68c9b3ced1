"""A recording: the facts in the terminal, a page as PNG, an animation as GIF."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.cli.common import progress_bars
from snnkit.cli.show.common import page
from snnkit.errors import UsageError

PANELS, STEPS = 8, 40
"""Frames of the picture's strip, and of the animation."""


def open_from(path: str, args: argparse.Namespace) -> Any:
    """The recording that these options describe."""
    from snnkit.data import files

    return files.open_recording(
        path,
        sensor_size=sensor(args.sensor),
        format=args.format,
        sample=args.sample,
        columns=args.columns,
        time_unit=args.time_unit,
    )


def sensor(text: str | None) -> tuple[int, int] | None:
    """The (width, height) of "640x480"."""
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 65536 and 0 < int(height) <= 65536):
        raise UsageError(f"--sensor is {text!r}", fix="give width and height, such as --sensor 640x480")
    return int(width), int(height)


def inspect(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The facts; writes the picture and the animation where they are asked for."""
    from snnkit.data.inspect import look

    for option, ending in (("picture", (".png", ".svg", ".pdf")), ("video", (".gif",))):
        name = getattr(args, option)
        if name and Path(name).suffix.lower() not in ending:
            raise UsageError(f"--{option} is {name!r}", fix=f"end it in {' or '.join(ending)}")
    recording = open_from(str(path), args)
    frames = STEPS if args.video else PANELS if args.picture else 0
    with progress_bars(args.json) as stage:
        seen = look(
            recording,
            frames=frames,
            partial=args.partial,
            progress=lambda name, done, of: stage(name, 100 * done // max(of, 1), 100),
        )
    if args.picture:
        from snnkit import viz
        from snnkit._io import atomic_path

        strip = seen.frames.reshape(PANELS, -1, *seen.frames.shape[1:]).sum(1)
        figure = viz.recording(seen.facts, seen.pixels, strip, seen.rate, seen.bin_us)
        with atomic_path(args.picture) as temp:
            figure.savefig(temp, format=Path(args.picture).suffix[1:].lower(), dpi=130)
    if args.video:
        from snnkit import viz

        viz.save_animation(viz.animate(seen.frames, title=path.name), args.video)
    return seen.facts


def show(facts: Mapping[str, Any]) -> None:
    """A recording, for people."""
    busiest, hot, gaps = facts["busiest_pixel"], facts["hot_pixels"], facts["gaps"]
    events = max(facts["events"], 1)
    ms = facts["duration_us"] / 1000
    page(
        f"recording {facts['file']}",
        [
            ("format", f"{facts['format']}, {facts['bytes']:,} bytes"),
            ("sensor", "{} × {} pixels".format(*facts["sensor"])),
            ("events", f"{facts['events']:,} ({facts['on']:,} ON, {facts['off']:,} OFF)"),
            ("ON", f"{100 * facts['on'] / events:.1f} %"),
            ("columns", "x {} to {}".format(*facts["x_range"])),
            ("rows", "y {} to {}".format(*facts["y_range"])),
            ("time", f"{ms:.3f} ms, from {facts['t_first']:,} to {facts['t_last']:,} µs"),
            ("order", None if facts["monotonic"] else f"time runs back {facts['steps_back']:,} times"),
            (
                "rate",
                f"{facts['rate_per_s']:,.0f} events/s, at most {facts['peak_rate_per_s']:,.0f};"
                f" {facts['mean_rate_per_pixel_hz']:.3g} per pixel and second",
            ),
            ("longest pause", gaps and f"{gaps[0]['us'] / 1000:.3f} ms from {gaps[0]['from_us']:,} µs on"),
            ("active pixels", facts["active_pixels"]),
            ("busiest pixel", f"x {busiest['x']}, y {busiest['y']}: {busiest['events']:,} events"),
            ("hot pixels", "; ".join(f"x {h['x']}, y {h['y']}: {h['events']:,}" for h in hot) or "none"),
            ("digest", facts["decoded_sha256"][:16]),
            *(("note", n) for n in facts["notes"]),
        ],
    )
