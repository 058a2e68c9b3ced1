"""Write a recording in another format: any known format in; EVT 2, HDF5, CSV, NPZ or ATIS .bin out.

snnkit convert day.aedat4 day.hdf5
snnkit convert events.txt events.raw --columns xytp --from-zero
snnkit convert day.aedat4 udp://127.0.0.1:9000 --speed 1        as packets of EVT 2 words, for `snnkit run`

reads   AEDAT 4, 3.1 and 2.0; Prophesee EVT 2, 2.1, 3 and DAT; HDF5 as of DSEC and SHD; ATIS .bin; CSV and text; NPZ
writes  EVT 2 (.raw), HDF5 (.hdf5, .h5), CSV (.csv, .txt), NPZ (.npz), ATIS (.bin)
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snnkit.cli.inspect import reading_options
from snnkit.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit convert`."""
    parser.add_argument("input", metavar="IN", help="a recording of any known format")
    parser.add_argument(
        "output", metavar="OUT", help="the file to write; its ending chooses the format; or udp://HOST:PORT"
    )
    parser.add_argument("--to", metavar="NAME", help="the format to write: evt2, hdf5, csv, npz or atis")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    parser.add_argument("--sort", action="store_true", help="where time runs back, sort by time (takes memory for all)")
    parser.add_argument("--from-zero", action="store_true", help="shift the times so that the first event is at 0")
    group = parser.add_argument_group("to an address")
    group.add_argument(
        "--speed", metavar="F|max", help="1 as recorded (default), 2 twice as fast, …; max: without a pause"
    )
    group.add_argument("--packet", type=int, metavar="BYTES", help="most bytes of a packet (default 1472)")
    group.add_argument("--allow-remote", action="store_true", help="allow an address beyond this computer")
    reading_options(parser)


def run(args: argparse.Namespace) -> int:
    """Convert; 0 when done."""
    if "://" in args.output:
        return _send(args)
    if args.speed is not None or args.packet is not None or args.allow_remote:
        raise UsageError(f"{args.output} is a file", fix="--speed, --packet and --allow-remote are for udp://HOST:PORT")
    from snnkit.cli.common import print_json
    from snnkit.data.files.writing import format_of

    source, target = Path(args.input), Path(args.output)
    name = format_of(target, args.to)
    if target.exists():
        if target.is_dir() or (source.exists() and target.samefile(source)):
            raise UsageError(
                f"{target} is {'a folder' if target.is_dir() else 'the input itself'}", fix="name a new file"
            )
        if not args.force:
            raise UsageError(f"{target} is there already", fix="give another name, or --force to replace it")
    facts = convert(args, source, target, name)
    if args.json:
        print_json(facts)
    else:
        size = "{}x{}".format(*facts["sensor"])
        print(f"{target}: {facts['events']:,} events, {facts['to']}, {size} pixels, {facts['bytes']:,} bytes")
        for line in facts["lost"]:
            print(f"  not kept: {line}")
        for line in facts["notes"]:
            print(f"  note: {line}")
    return 0


def _send(args: argparse.Namespace) -> int:
    """Send a recording to an address; Ctrl-C ends it."""
    import threading
    from dataclasses import asdict

    from snnkit.cli.common import ends_on_signals, print_json, read_speed
    from snnkit.cli.show.recording import open_from
    from snnkit.live.sender import PACKET, send
    from snnkit.live.sources import PIECE

    if args.to is not None or args.force:
        raise UsageError(f"{args.output} is no file; packets carry EVT 2", fix="leave --to and --force out")
    recording, stop = open_from(args.input, args), threading.Event()
    if args.sort:
        events = recording.read(order="sort", partial=args.partial).events
        pieces: Iterator[Any] = (events[k : k + PIECE] for k in range(0, len(events), PIECE))
    else:
        pieces = recording.chunks(PIECE, partial=args.partial)
    if args.from_zero:
        pieces = _from_zero(pieces)
    speed = read_speed(args.speed or "1")
    with ends_on_signals(stop):
        sent = send(
            pieces, args.output, speed, allow_remote=args.allow_remote, packet=args.packet or PACKET, stop=stop
        )  # fmt: skip
    if args.json:
        print_json({"in": args.input, "out": args.output, **asdict(sent)})
        return 0
    print(
        f"{args.output}: {sent.events:,} events in {sent.packets:,} packets, {sent.bytes:,} bytes, {sent.seconds:.2f} s"
    )
    if sent.refused:
        print(f"  note: nobody listened at {sent.refused:,} of them")
    return 0


def _from_zero(pieces: Iterator[Any]) -> Iterator[Any]:
    start: int | None = None
    for events in pieces:
        start = int(events["t"][0]) if start is None else start
        events = events.copy()
        events["t"] -= start
        yield events


def convert(args: argparse.Namespace, source: Path, target: Path, name: str) -> dict[str, Any]:
    """Read and write in chunks, with a progress bar; returns what was written and what was not."""
    from snnkit.cli.common import progress_bars
    from snnkit.cli.show.recording import open_from
    from snnkit.data import files
    from snnkit.data.files.recording import CHUNK
    from snnkit.data.files.writing import LOSES

    recording = open_from(str(source), args)
    lost = []
    with progress_bars(args.json) as stage:

        def chunks(title: str) -> Any:
            for events in recording.chunks(CHUNK, partial=args.partial):
                yield events
                stage(title, 100 * recording.bytes_read // max(recording.bytes, 1), 100)
            stage(title, 100, 100)

        if args.sort:
            stream = recording.read(order="sort", partial=args.partial)
            pieces = (stream.events[i : i + CHUNK] for i in range(0, len(stream), CHUNK))
        else:
            if recording.sensor_size is None:  # known after a whole pass only
                for _ in chunks("measuring"):
                    pass
            pieces = chunks("converting")
        size = recording.sensor_size
        assert size is not None
        start = count = 0
        with files.create(target, size, format=name) as writer:
            for events in pieces:
                if args.from_zero:
                    start = start if count else int(events["t"][0])
                    events = events.copy()
                    events["t"] -= start
                writer.add(events)
                count += len(events)
    if recording.others:
        lost.append(f"{recording.others:,} packets or words of other kinds (frames, inertial samples, triggers)")
    if name in LOSES:
        lost.append(LOSES[name])
    if start:
        lost.append(f"the time of the first event, {start:,} us")
    return {
        "in": str(source),
        "format": recording.label,
        "out": str(target),
        "to": files.FORMATS[name].words,
        "events": count,
        "sensor": list(size),
        "bytes": target.stat().st_size,
        "lost": lost,
        "notes": recording.notes,
    }
