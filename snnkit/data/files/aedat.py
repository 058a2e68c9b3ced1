"""Headers of AEDAT files: `#!AER-DATx.y`, then lines that begin with `#`, ended by CR LF.

Source: docs.inivation.com, "AEDAT File Formats".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 1 << 20
"""Bytes read in search of the header's end; jAER writes all its settings there."""

_VERSION = re.compile(rb"#!AER-DAT(\d\.\d)")
_LAST = (b"#!END-HEADER", b"#End Of ASCII Header")


@dataclass(frozen=True)
class Header:
    """The version, the lines (without `#`), and how many bytes they take."""

    version: str
    lines: tuple[str, ...]
    bytes: int

    def value(self, key: str) -> str | None:
        """What stands behind `key:` in the first line that has it."""
        for line in self.lines:
            name, colon, rest = line.partition(":")
            if colon and name.strip().lower() == key.lower():
                return rest.strip()
        return None


def version_of(head: bytes) -> str | None:
    """The version, such as "3.1", of a file that begins so; None where it is no AEDAT file."""
    found = _VERSION.match(head)
    return found[1].decode() if found else None


def read_header(head: bytes) -> Header:
    """The header at the start of a file's first `LONGEST` bytes.

    A line counts only if it is text: the first event of version 2.0 may begin with the byte of a `#`, too.
    """
    lines: list[str] = []
    at = 0
    while head[at : at + 1] == b"#":
        end = head.find(b"\n", at)
        line = head[at : end if end >= 0 else len(head)]
        if end < 0 or any(c < 9 or 13 < c < 32 for c in line):
            break
        at = end + 1
        lines.append(line[1:].decode("latin-1").strip())
        if line.rstrip().startswith(_LAST):
            break
    return Header(version_of(head) or "", tuple(lines), at)
