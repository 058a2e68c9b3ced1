"""Headers of Prophesee's `.raw` and `.dat` files: lines `% key value`, closed by `% end` or by the first other byte."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LONGEST = 1 << 16
"""Bytes read in search of the header's end."""

_KEY = re.compile(r"%\s*(\S+)\s*(.*)")
_CAMERA_KEYS = {"integrator_name", "system_id", "subsystem_id", "serial_number", "firmware_version", "plugin_name"}


@dataclass(frozen=True)
class Header:
    """What the lines say: values by key (lower case), and how many bytes they take."""

    values: dict[str, str] = field(default_factory=dict)
    bytes: int = 0

    @property
    def encoding(self) -> str | None:
        """ "evt2", "evt21", "evt3" or "dat"; None where the lines name none."""
        name = self.values.get("format", "").split(";")[0].strip().upper()
        if name.startswith("EVT"):
            return name.lower().replace(".", "").replace("evt20", "evt2").replace("evt30", "evt3")
        version = self.values.get("evt", "")
        if version:
            return {"2.0": "evt2", "2.1": "evt21", "3.0": "evt3"}.get(version, f"evt{version}")
        if "version" in self.values or "data" in self.values:  # "% Data file containing CD events."
            return "dat"
        return "evt2" if _CAMERA_KEYS & self.values.keys() else None  # cameras before EVT 3 named no encoding

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """(width, height) where the lines state it."""
        options = dict(re.findall(r"(width|height)=(\d+)", self.values.get("format", "")))
        found = re.match(r"(\d+)x(\d+)$", self.values.get("geometry", ""))
        pairs = [
            (options.get("width"), options.get("height")),
            found.groups() if found else (None, None),
            (self.values.get("width"), self.values.get("height")),
        ]
        for width, height in pairs:
            if width and height and width.isdecimal() and height.isdecimal():
                size = int(width[:9]), int(height[:9])
                if 0 < size[0] <= 65536 and 0 < size[1] <= 65536:
                    return size
        return None


def read_header(head: bytes) -> Header:
    """The header at the start of a file's first `LONGEST` bytes; empty where there is none."""
    values: dict[str, str] = {}
    at = 0
    while head[at : at + 1] == b"%":
        end = head.find(b"\n", at)
        line = head[at : end if end >= 0 else len(head)]
        if end < 0 or any(c < 9 or 13 < c < 32 for c in line):  # events whose first byte happens to be a %
            break
        at = end + 1
        text = line.decode("latin-1").strip()
        if text.split() == ["%", "end"]:
            break
        found = _KEY.match(text)
        if found:
            values.setdefault(found[1].lower(), found[2].strip())
    return Header(values, at)
