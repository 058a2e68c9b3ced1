"""What `--input` names: a recording, an address, or standard input."""

from __future__ import annotations

from pathlib import Path

from snnkit.errors import UsageError, did_you_mean
from snnkit.live.pipe import PipeSource
from snnkit.live.sources import TICK, FileSource, Source
from snnkit.live.udp import UdpSource


def open_source(
    where: str,
    *,
    speed: float | None = None,
    format: str | None = None,
    sensor_size: tuple[int, int] | None = None,
    slice_us: int = 1000,
    allow_remote: bool = False,
) -> Source:
    """The source that `where` names: "udp://HOST:PORT", "-" for standard input, or a recording.

    Args:
        where: see above.
        speed: of a recording: 1 for recorded speed; None: as fast as possible.
        format: of a recording or a pipe, where it is not recognised.
        sensor_size: of the network; a recording of another one is refused.
        slice_us: of a recording at a speed: how much of it comes at a time; of live input: how finely time goes on.
        allow_remote: an address beyond this computer is allowed.

    Raises:
        UsageError: another scheme, a file that is not there, an option that does not belong to it. DataError: no
            recording, or one of another sensor. SystemCallError: the port is taken.
    """
    tick = min(max(slice_us / 2e6, TICK / 2), 4 * TICK)
    if where == "-" or "://" in where:
        if speed is not None:
            raise UsageError(f"--speed is for recordings, and {where} comes at its own", fix="leave --speed out")
        if where == "-":
            return PipeSource(format=format, tick=tick)
        if format is not None:
            raise UsageError("packets carry EVT 2", fix="leave --format out")
        return UdpSource(where, allow_remote, tick)
    path = Path(where)
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(
            f"{path} does not exist{did_you_mean(path.name, beside)}",
            fix="name a recording, udp://127.0.0.1:PORT, or - for standard input",
        )
    source = FileSource(path, speed, slice_us, format=format)
    if source.sensor_size is None and sensor_size is not None:  # the file does not say: events outside are an error
        source = FileSource(path, speed, slice_us, format=format, sensor_size=sensor_size)
    check_sensor(source, sensor_size)
    return source


def check_sensor(source: Source, sensor_size: tuple[int, int] | None) -> None:
    """Raise UsageError where a source says that its sensor is not this one."""
    found = source.sensor_size
    if found is not None and sensor_size is not None and tuple(found) != tuple(sensor_size):
        raise UsageError(
            f"{source.name} comes from a {found[0]}x{found[1]} sensor, the network was made for"
            f" {sensor_size[0]}x{sensor_size[1]}",
            fix="fine-tune the network for this sensor, or crop or resize the recording first",
        )
