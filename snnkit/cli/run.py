"""Run a network on events as they come: a recording, packets from a camera, or a pipe.

  snnkit run nmnist.snnx --input recording.raw                       a chip's emulator (no torch), as fast as possible
  snnkit run runs/nmnist --input recording.raw --speed 1             a trained run, at the recorded speed
  snnkit run nmnist.snnx --input udp://127.0.0.1:9000 --show picture
  snnkit convert recording.raw udp://127.0.0.1:9000 --speed 1        … and who sends (in another terminal)
  cat camera.raw | snnkit run nmnist.snnx --input - --show jsonl     EVT 2 words, or what a header says

Events become steps of fixed length; the network keeps its state from step to step; an answer is read over a window.
Every event is accounted for: received = processed + dropped + late + skipped + malformed. Ctrl-C ends with the summary.
"""

from __future__ import annotations

import argparse
import sys
import threading
from typing import Any

RESET_HELP = """\
window (default): back to rest after every window, as between
samples in training; an answer inside it looks back to its start.
none: the network runs on, and an answer looks back on the latest
window: counts, means, largest values over it; a last membrane less
what of it is older than the window (of a run whose read-out is
snn.LI; on a chip, the membrane as it is)"""
LATENESS_HELP = """\
live input: while events come, they close the steps. When nothing has
come for so long, steps close so long after their end by the clock,
and events that come for them later are late. More than the sender
gathers events for or pauses within a step (default: --hold and 4000,
up to --hold and 20000 for a sender that gathers longer).
off: only events close steps, and silence stops the network"""
BEHIND_HELP = """\
input in time: when more than N steps are over and not computed, skip
to the present one and begin anew there, at rest; skipped steps and
events are counted (default: compute every step, however late)"""
SHOW_HELP = """\
answers as lines of text (default), as JSON lines, as a picture in
the terminal, or none (default with --json)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit run`."""
    add = parser.add_argument
    add("network", metavar="NAME.snnx|RUN", help="a descriptor, or the folder of a trained run")
    add("--input", required=True, metavar="FILE|udp://HOST:PORT|-", help="where events come from")
    add("--speed", metavar="F|max", help="of a recording: 1 as recorded, 2 twice as fast; default max:\nas it is taken")
    add("--format", help="of a recording or a pipe, where it is not recognised")
    add("--show", choices=("text", "jsonl", "picture", "none"), help=SHOW_HELP)
    add("--allow-remote", action="store_true", help="allow an address beyond this computer")
    add("--allow-code", action="append", default=[], metavar="MODULE", help="as in snnkit train")
    add("--chip", type=int, metavar="SEED", help="of an analogue target: this virtual chip")
    add("--threads", type=int, default=1, metavar="N", help="that a trained run computes with (default 1)")

    add = parser.add_argument_group("steps and answers").add_argument
    add("--dt", metavar="US", help="length of a step in µs (default: as in training)")
    add("--window", type=int, metavar="STEPS", help="steps an answer looks back on (default: those of a\nsample)")
    add("--reset", choices=("window", "none"), default="window", help=RESET_HELP)
    add("--every", type=int, metavar="STEPS", help="steps from answer to answer (default: the window)")
    add(
        "--start", type=int, metavar="US", help="of the first step, on the sensor's clock (default: the first\nevent's)"
    )

    add = parser.add_argument_group("when more comes than can be computed, or too late").add_argument
    add("--queue", type=int, metavar="EVENTS", help="room between decoding and computing (default 262144)")
    add("--queue-policy", choices=("drop-oldest", "drop-newest", "block"),
        help="when it is full (default: block for recordings, drop-oldest\nfor what comes live)")  # fmt: skip
    add("--chunk", type=int, default=32, metavar="STEPS",
        help="most steps in one call of a network that fell behind\n(default 32)")  # fmt: skip
    add("--hold", type=int, default=0, metavar="US",
        help="how far events may be out of order (default 0): a step\ncloses with one so far past its end")  # fmt: skip
    add("--lateness", default="auto", metavar="US|off", help=LATENESS_HELP)
    add("--behind", type=int, metavar="N", help=BEHIND_HELP)
    add("--max-gap", type=float, default=10.0, metavar="SECONDS",
        help="a larger jump of the sensor's clock starts the network anew\n(default 10)")  # fmt: skip
    add("--seconds", type=float, metavar="S", help="end after so long")
    add("--quiet", type=float, metavar="S", help="end when nothing has come for so long")


def _lateness(text: str) -> Any:
    from snnkit.errors import UsageError

    if text in ("auto", "off"):
        return text
    if not text.isdecimal():
        raise UsageError(f"--lateness is {text!r}", fix="give microseconds, or off")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Run until the input ends; 0 when done."""
    from snnkit.cli.common import at_least_one, console, ends_on_signals, print_json, read_speed
    from snnkit.errors import UsageError
    from snnkit.live import show
    from snnkit.live.loop import run as live
    from snnkit.live.network import open_network
    from snnkit.live.opening import open_source
    from snnkit.live.settings import LiveSettings, as_dt
    from snnkit.live.warm import warm_up

    for option, value in (
        ("--queue", args.queue),
        ("--threads", args.threads),
        ("--window", args.window),
        ("--behind", args.behind),
    ):
        at_least_one(option, value)
    if not 0 < args.max_gap < 1e9:
        raise UsageError(f"--max-gap is {args.max_gap:g}", fix="give a positive time in seconds")
    speed = read_speed(args.speed)
    settings = LiveSettings(
        dt=None if args.dt is None else as_dt(args.dt), window=args.window, reset=args.reset, every=args.every,
        queue=args.queue or LiveSettings.queue, policy=args.queue_policy, chunk=args.chunk, hold=args.hold,
        lateness=_lateness(args.lateness), behind=args.behind, gap=max(round(args.max_gap * 1e6), 1), start=args.start,
        seconds=args.seconds, quiet=args.quiet,
    )  # fmt: skip
    network = open_network(
        args.network, allow_code=args.allow_code, whole_windows=args.reset == "window", chip=args.chip
    )
    dt = settings.dt or network.facts.dt
    if network.facts.kind == "model":
        import torch

        torch.set_num_threads(args.threads)
    warm_up(network, settings.chunk)  # before anything can come
    source = open_source(
        args.input, speed=speed, format=args.format, sensor_size=network.facts.sensor_size,
        slice_us=max(int(dt or 1000), 1), allow_remote=args.allow_remote,
    )  # fmt: skip
    if source.live:
        console().print(f"events from {source.name}; Ctrl-C ends", markup=False)
    kind = args.show or ("none" if args.json else "text")
    seen = show.make(kind, network.facts, sys.stderr if args.json and kind != "jsonl" else None)
    stop = threading.Event()
    try:
        with ends_on_signals(stop):
            summary = live(network, source, settings, seen, stop)
    finally:
        if seen is not None:
            seen.close()
    if args.json and kind == "jsonl":
        import json

        print(json.dumps({"summary": summary.to_dict()}))
    elif args.json:
        print_json(summary.to_dict())
    else:
        for name, text in summary.lines():
            if text:
                console().print(f"{name:<10}{text}", markup=False, soft_wrap=True)
    return 0
