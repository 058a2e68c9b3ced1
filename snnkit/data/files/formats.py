"""Which format a file has, by its first bytes before its ending, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from snnkit.data.files import aedat, prophesee
from snnkit.data.files.reader import BytesReader, Reader, head_of
from snnkit.errors import DataError, ParameterError, did_you_mean


class Format(NamedTuple):
    """A format that can be read."""

    words: str
    endings: tuple[str, ...]
    writes: bool = False


FORMATS: dict[str, Format] = {
    "aedat4": Format("AEDAT 4 (iniVation DV)", (".aedat4", ".aedat")),
    "aedat31": Format("AEDAT 3.1 (cAER)", (".aedat", ".aedat3")),
    "aedat2": Format("AEDAT 2.0 (jAER)", (".aedat", ".aedat2")),
    "evt2": Format("Prophesee EVT 2", (".raw",), True),
    "evt21": Format("Prophesee EVT 2.1", (".raw",)),
    "evt3": Format("Prophesee EVT 3", (".raw",)),
    "dat": Format("Prophesee DAT, N-CARS", (".dat",)),
    "hdf5": Format("HDF5 (DSEC and SHD layouts)", (".hdf5", ".h5", ".hdf"), True),
    "atis": Format("ATIS .bin (N-MNIST, N-Caltech101)", (".bin",), True),
    "csv": Format("CSV or text", (".csv", ".txt"), True),
    "npz": Format("NumPy archive", (".npz",), True),
    "nas": Format("address events without header (NAS), only if named", ()),
}
"""Every format by its name, as given to `format=`."""

_OTHERS = [
    (b"#!AER-DAT3.0", "AEDAT 3.0, which is not supported (convert it to 3.1 with cAER)"),
    (b"#!AER-DAT1.0", "AEDAT 1.0, which is not supported (save it as 2.0 with jAER)"),
    (b"Event Stream", "Event Stream (.es), which is not supported (convert it with faery)"),
    (b"#ROSBAG", "a ROS bag; take the events out with the camera maker's tools"),
    (b"\x93NUMPY", "a bare NumPy array; save t, x, y and p with numpy.savez"),
    (b"MATLAB 5.0", "a MATLAB file; save t, x, y and p as HDF5 or CSV"),
    (b"\x1f\x8b", "gzip; unpack it first"),
    (b"BZh", "bzip2; unpack it first"),
    (b"\xfd7zXZ", "xz; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "Zstandard; unpack it first"),
    (b"\x04\x22\x4d\x18", "LZ4; unpack it first"),
    (b"\x80\x04", "a Python pickle, which is never read"),
    (b"\x80\x02", "a Python pickle, which is never read"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"<", "XML or HTML"),
    (b"{", "JSON"),
]
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD = 4096


def known() -> str:
    """The formats that can be read, for messages."""
    return "; ".join(f.words for f in FORMATS.values())


def recognise(path: Path) -> tuple[str, list[str]]:
    """(format name, notes) of a file, by its content first, then by its ending.

    Raises:
        DataError: it is empty or of no known format (the message says what it looks like), or its ending belongs to a
            format that its content is not.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a recording", fix="name a file in it")
    head = head_of(path, _HEAD)
    ending = path.suffix.lower()
    claimed = [n for n, f in FORMATS.items() if ending in f.endings]
    if not head:
        raise DataError(f"{path}: the file is empty", fix="copy or download the recording again")
    found = _by_content(head, path)
    if found:
        if claimed and found not in claimed:
            return found, [
                f"the ending {ending} is of {FORMATS[claimed[0]].words}, the content is {FORMATS[found].words}"
            ]
        return found, []
    looks = next((words for magic, words in _OTHERS if head.startswith(magic)), None)
    if looks is None and len(head) > 260 and head[257:262] == b"ustar":
        looks = "a tar archive; unpack it first"
    if ending == ".bin" and looks is None:
        return "atis", []
    start = f"it looks like {looks}" if looks else f"it begins with the bytes {head[:8].hex(' ')}"
    if claimed:
        raise DataError(
            f"{path}: the ending {ending} is of {FORMATS[claimed[0]].words}, and the content is not: {start}",
            why="a recording is recognised by its first bytes",
            fix="check where the file comes from; if it has no header, name its format with format= (--format)",
        )
    raise DataError(
        f"{path}: not a recording of a known format: {start}, and the ending {ending or '(none)'} says nothing",
        fix=f"known are: {known()}; a file without header needs format= (--format)",
    )


def _by_content(head: bytes, path: Path) -> str | None:
    version = aedat.version_of(head)
    if version:
        return {"4.0": "aedat4", "3.1": "aedat31", "2.0": "aedat2"}.get(version)
    if head.startswith(_HDF5) or any(head_at(path, 512 << k, 8) == _HDF5 for k in range(4)):
        return "hdf5"
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() != ".zip":
        return "npz"
    if head.startswith(b"%") and not head.startswith(b"%PDF"):
        encoding = prophesee.read_header(head_of(path, prophesee.LONGEST)).encoding
        if encoding and encoding not in FORMATS:
            raise DataError(
                f"{path}: a Prophesee recording with the encoding {encoding.upper()}",
                fix="supported are EVT2, EVT21 and EVT3; convert it with Metavision",
            )
        return encoding
    from snnkit.data.files.text import looks_like_text

    return "csv" if looks_like_text(head) else None


def head_at(path: Path, offset: int, size: int) -> bytes:
    """Some bytes in the middle of a file; fewer where it ends."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def opener(path: Path, name: str, options: dict[str, Any]) -> Callable[[], Reader]:
    """A function that opens a file of this format for one pass.

    Args:
        path: the file.
        name: the format's name.
        options: `sensor_size` (for AEDAT 2.0 of an unnamed chip), `sample`, `columns`, `time_unit`; None if not given.
    """
    if name not in FORMATS:
        raise ParameterError(
            f"no format named {name!r}{did_you_mean(name, FORMATS)}", fix=f"give one of {', '.join(FORMATS)}"
        )
    takes = {"hdf5": {"sample", "time_unit"}, "csv": {"columns", "time_unit"}, "npz": {"time_unit"}}.get(name, set())
    for key in ("sample", "columns", "time_unit"):
        if options.get(key) is not None and key not in takes:
            raise ParameterError(f"{key} does not belong to {FORMATS[name].words}", fix=f"leave {key} out")
    sample, columns, unit = (options.get(k) for k in ("sample", "columns", "time_unit"))
    if name == "csv":
        from snnkit.data.files.text import TextReader

        return lambda: TextReader(path, columns, unit)
    if name == "npz":
        from snnkit.data.files.npz import NpzReader

        return lambda: NpzReader(path, unit)
    if name == "hdf5":
        from snnkit.data.files.isolated import IsolatedReader

        return lambda: IsolatedReader(path, sample, unit)
    if name.startswith("aedat"):
        return lambda: _open_aedat(path, name, options.get("sensor_size"))
    return lambda: _open_raw(path, name)


def _open_raw(path: Path, name: str) -> Reader:
    if name == "atis":
        from snnkit.data.files.atis import AtisDecoder

        reader = BytesReader(path, 0, AtisDecoder, "ATIS .bin")
        reader.typical = (34, 34)
        return reader
    if name == "nas":
        from snnkit.data.files.nas import NasDecoder

        return BytesReader(path, 0, NasDecoder, "NAS address events")
    head = head_of(path, prophesee.LONGEST + _HEAD)
    header = prophesee.read_header(head[: prophesee.LONGEST])
    size = header.sensor_size
    if name == "evt2":
        from snnkit.data.files.evt2 import Evt2Decoder

        return BytesReader(path, header.bytes, Evt2Decoder, "Prophesee EVT2", size)
    if name == "evt3":
        from snnkit.data.files.evt3 import Evt3Decoder

        return BytesReader(path, header.bytes, Evt3Decoder, "Prophesee EVT3", size)
    if name == "evt21":
        from snnkit.data.files.evt21 import ORDERS, Evt21Decoder, guess_order

        said = header.values.get("endianness", "")
        order = said if said in ORDERS else guess_order(head[header.bytes :])
        label = f"Prophesee EVT2.1, {order} endianness"
        return BytesReader(path, header.bytes, lambda: Evt21Decoder(order), label, size)
    from snnkit.data.files import dat

    start = header.bytes + (2 if header.bytes else 0)
    kind, record = (*head[header.bytes : header.bytes + 2], 0, 0)[:2] if header.bytes else (0, dat.RECORD_BYTES)
    if record != dat.RECORD_BYTES or kind == dat.TRIGGER:
        raise DataError(
            f"{path}: a DAT file of events of type {kind} and {record} bytes",
            why="events of pixels have type 0 or 12 and 8 bytes",
            fix="check the file: it holds triggers, or is damaged",
        )
    version = dat.version_of(header, head[start : start + _HEAD]) if header.bytes else 1
    return BytesReader(path, start, lambda: dat.DatDecoder(version), f"Prophesee DAT v{version} CD", size)


def _open_aedat(path: Path, name: str, sensor_size: tuple[int, int] | None) -> Reader:
    if name == "aedat4":
        from snnkit.data.files import aedat4

        header4 = aedat4.read_header(head_of(path, aedat4.header_bytes(head_of(path, 18))), str(path))
        numbers = [s for s in header4.streams if s.kind == "EVTS"]
        if not numbers:
            raise DataError(
                f"{path}: this AEDAT 4 file has no events stream ({aedat4.label(header4)})",
                fix="record with the events switched on",
            )
        reader: Reader = BytesReader(
            path, header4.bytes, lambda: aedat4.Aedat4Decoder(header4), aedat4.label(header4), numbers[0].sensor_size
        )
        if len(numbers) > 1:
            reader.notes.append(f"{len(numbers)} events streams: the first one is read")
        if header4.table > reader.bytes:
            reader.notes.append("the table of contents is missing: the end of the file is cut off")
        return reader
    header = aedat.read_header(head_of(path, aedat.LONGEST))
    if name == "aedat31":
        from snnkit.data.files import aedat3

        if header.version == "3.1" and (header.value("Format") or "RAW").upper() != "RAW":
            raise DataError(
                f"{path}: AEDAT 3.1 in the format {header.value('Format')}", fix="only RAW is known; save it as RAW"
            )
        return BytesReader(
            path, header.bytes, aedat3.Aedat3Decoder, "AEDAT 3.1 polarity packets", aedat3.size_of(header)
        )
    from snnkit.data.files import aedat2

    chip = aedat2.chip_of(header)
    if chip is None:
        davis = sensor_size is not None and sensor_size != aedat2.DVS128
        chip = ("DAVIS", sensor_size) if davis and sensor_size else ("DVS128", aedat2.DVS128)
    davis = chip[0].upper().startswith("DAVIS")
    made = BytesReader(
        path,
        header.bytes,
        lambda: aedat2.Aedat2Decoder(chip[1], davis),
        f"AEDAT 2.0, {'DVS128' if chip[0].upper() == 'TMPDIFF128' else chip[0]} addresses",
        chip[1],
    )
    if aedat2.chip_of(header) is None:
        made.notes.append(f"the header names no known chip: addresses were read as of a {chip[0]}")
    return made
