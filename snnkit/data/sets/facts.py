"""What is publicly known of a data set, as a table: where it comes from, what its archives are, how it is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snnkit.data.archives import Member
from snnkit.data.splits import named_part


@dataclass(frozen=True)
class Facts:
    """A data set, as its authors give it.

    Args:
        title: its name and what it holds.
        source: the publication, with its DOI.
        home: where it is normally obtained.
        licence: under which terms, as stated there.
        layout: what a folder or archive of it holds, for messages.
        endings: of the files that belong to it.
        md5: of its official archives and files, by name; only what is publicly stated.
        tonic: the class of tonic.datasets that downloads it; None: tonic has none.
        tonic_parts: the arguments of that class, one mapping for each download.
    """

    title: str
    source: str
    home: str
    licence: str
    layout: str
    endings: tuple[str, ...]
    md5: Mapping[str, str]
    tonic: str | None = None
    tonic_parts: tuple[Mapping[str, Any], ...] = ({"train": True}, {"train": False})


def part_of(member: Member) -> str | None:
    """The part that a file belongs to, by its own name or else by the nearest folder that is named after a part."""
    for name in (member.path.stem, *(p.name for p in member.path.parents)):
        if part := named_part(name):
            return part
    return None
