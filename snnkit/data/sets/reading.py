"""Recordings that are files in folders of their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from snnkit.data.archives import Member
from snnkit.data.folder.reading import read_recording
from snnkit.data.sets.source import Columns, Item


def class_folders(files: Sequence[Member], classes: Sequence[str], sensor_size: tuple[int, int]) -> Iterator[Item]:
    """Each file whose folder is named after a class, without a part; archives of one class count as its folder."""
    label = {name: k for k, name in enumerate(classes)}
    seen = set()
    for file in files:
        folder = file.path.parent.name
        name = f"{folder}/{file.path.stem}"
        # A folder may hold the archive and what it was unpacked to.
        if folder in label and name not in seen:
            seen.add(name)
            yield Item(None, label[folder], name, file.place, reader(file, sensor_size))


def reader(file: Member, sensor_size: tuple[int, int]) -> Callable[[], Columns]:
    """Reads a file of a known format; time that runs back is sorted, as published files have it."""

    def read() -> Columns:
        with file.on_disk() as path:
            return read_recording(path, sensor_size, sort=True).columns

    return read
