"""Finds N-MNIST recordings in the layouts in which people have them.

- a folder with Train/<digit>/*.bin and Test/<digit>/*.bin, as the official archives unpack;
- the folder given to tonic, which unpacks to NMNIST/Train and NMNIST/Test inside it;
- train.zip and test.zip (any case) in a folder, not unpacked;
- train.zip and valid.zip: then valid.zip holds the test recordings, and validation is drawn from train.zip;
  with a test.zip as well, the three are train, validation and test;
- a zip that holds any of these.

Archives are read in place and nothing is unpacked to disk.
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from snnkit.data.archives import open_zip, read_member
from snnkit.errors import DataError

MAX_RECORDING_BYTES = 64 << 20
"""A recording has some 20 kB; a member that unpacks to far more is not one."""
MAX_INNER_ARCHIVE_BYTES = 4 << 30

LAYOUT_FIX = (
    "give the folder with Train/<digit>/*.bin and Test/<digit>/*.bin, the folder tonic downloaded to, the archives"
    " train.zip and test.zip (or train.zip and valid.zip), or use download=True"
)
_RECORDING = re.compile(r"(?:^|(?:^|/)([^/]+)/)(\d)/([^/]+\.bin)$", re.IGNORECASE)
Place = TypeVar("Place")
_ROLES = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Entry:
    """One recording that was found: its part ("train", …), class, canonical name, identity, and how to read it."""

    part: str
    label: int
    name: str
    identity: tuple[object, ...]
    read: Callable[[], bytes]
    place: str


@contextmanager
def find_recordings(root: str | os.PathLike[str]) -> Iterator[list[Entry]]:
    """All recordings below `root`, in order of (part, name); archives stay open inside the `with`.

    Raises:
        DataError: nothing is there, the layout is not known, an archive is damaged or unsafe, a manifest.csv names a
            recording that is missing.
    """
    path = Path(root)
    opened: list[zipfile.ZipFile] = []

    def close_all() -> None:
        for archive in opened:
            archive.close()

    try:
        if path.is_dir():
            entries = _from_folder(path, opened)
        elif path.is_file():
            entries = _from_archive(open_zip(path, str(path), opened), str(path), opened)
        else:
            raise DataError(f"{path} does not exist", fix=LAYOUT_FIX)
    except OSError as error:
        close_all()
        fix = "check the path and its permissions"
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror})", fix=fix) from error
    except BaseException:
        close_all()
        raise
    try:
        yield sorted(entries, key=lambda e: (e.part, e.name))
    finally:
        close_all()


def _from_folder(root: Path, opened: list[zipfile.ZipFile]) -> list[Entry]:
    seen = []
    for folder in (root, root / "NMNIST", root / "N-MNIST"):
        if not folder.is_dir():
            continue
        children = {child.name.lower(): child for child in sorted(folder.iterdir())}
        seen += list(children)
        parts = {_ROLES[n]: p for n, p in children.items() if n in _ROLES and p.is_dir()}
        if "train" in parts:
            _need_test_part(parts, str(folder))
            return [e for role, part in _as_roles(parts) for e in _bin_files(part, role)]
        zips = {_ROLES[n[:-4]]: p for n, p in children.items() if n.endswith(".zip") and n[:-4] in _ROLES}
        if "train" in zips:
            _need_test_part(zips, str(folder))
            entries = []
            for role, file in _as_roles(zips):
                entries += _members(open_zip(file, str(file), opened), str(file), role)
            if "manifest.csv" in children:
                text = children["manifest.csv"].read_text("utf-8")
                _check_manifest(text, str(children["manifest.csv"]), entries, set(zips))
            return entries
        single = [p for n, p in children.items() if n.endswith(".zip") and p.is_file()]
        if len(single) == 1:
            return _from_archive(open_zip(single[0], str(single[0]), opened), str(single[0]), opened)
    found = ", ".join(seen[:8]) + (", …" if len(seen) > 8 else "") if seen else "nothing"
    raise DataError(f"{root}: no N-MNIST recordings found (it holds: {found})", fix=LAYOUT_FIX)


def _from_archive(archive: zipfile.ZipFile, place: str, opened: list[zipfile.ZipFile]) -> list[Entry]:
    inner = {}
    for info in archive.infolist():
        stem, dot, ending = info.filename.rpartition("/")[2].lower().rpartition(".")
        if dot and ending == "zip" and stem in _ROLES:
            inner[_ROLES[stem]] = info
    if "train" in inner:
        _need_test_part(inner, place)
        entries = []
        for role, info in _as_roles(inner):
            where = f"{place}:{info.filename}"
            if info.file_size > MAX_INNER_ARCHIVE_BYTES:
                raise DataError(f"{where} claims {info.file_size} bytes", fix="unpack the outer archive yourself")
            data = io.BytesIO(read_member(archive, info, where))
            entries += _members(open_zip(data, where, opened), where, role)
        manifest = [i for i in archive.infolist() if i.filename.rpartition("/")[2] == "manifest.csv"]
        if manifest and manifest[0].file_size < MAX_RECORDING_BYTES:
            where = f"{place}:{manifest[0].filename}"
            _check_manifest(read_member(archive, manifest[0], where).decode("utf-8"), where, entries, set(inner))
        return entries
    tops = {(m.group(1) or "").lower() for i in archive.infolist() if (m := _RECORDING.search(i.filename))}
    parts = {_ROLES[top]: top for top in tops if top in _ROLES}
    if "train" not in parts:
        raise DataError(f"{place}: no N-MNIST recordings found in this archive", fix=LAYOUT_FIX)
    _need_test_part(parts, place)
    return [e for role, top in _as_roles(parts) for e in _members(archive, place, role, top)]


def _need_test_part(parts: Mapping[str, object], place: str) -> None:
    if not ({"test", "validation"} & set(parts)):
        raise DataError(
            f"{place}: training recordings found, but neither a test nor a valid part beside them", fix=LAYOUT_FIX
        )


def _as_roles(parts: Mapping[str, Place]) -> list[tuple[str, Place]]:
    """(role, place) pairs; a valid part without a test part is the test part."""
    if "test" not in parts:
        parts = {("test" if role == "validation" else role): place for role, place in parts.items()}
    return sorted(parts.items(), key=lambda item: item[0])


def _bin_files(part: Path, role: str) -> Iterator[Entry]:
    for folder in sorted(part.iterdir()):
        if not (folder.is_dir() and re.fullmatch(r"\d", folder.name)):
            continue
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() == ".bin":
                stat = file.stat()
                identity = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                yield Entry(
                    role,
                    int(folder.name),
                    f"{part.name}/{folder.name}/{file.name}",
                    identity,
                    lambda file=file: _read_file(file),  # type: ignore[misc]
                    str(file),
                )


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror})", fix="check the file and its permissions"
        ) from error


def _members(archive: zipfile.ZipFile, place: str, role: str, top: str | None = None) -> list[Entry]:
    entries = []
    for info in archive.infolist():
        match = _RECORDING.search(info.filename)
        if match is None:
            continue
        parent, digit, file = match.groups()
        if top is not None and (parent or "").lower() != top:
            continue
        where = f"{place}:{info.filename}"
        if info.file_size > MAX_RECORDING_BYTES:
            raise DataError(
                f"{where} claims {info.file_size} bytes; a recording has some 20 000",
                fix="this is not an N-MNIST archive; get it again from its source",
            )
        entries.append(
            Entry(
                role,
                int(digit),
                f"{parent or role.capitalize()}/{digit}/{file}",
                (info.file_size, info.CRC),
                lambda info=info, where=where: read_member(archive, info, where),  # type: ignore[misc]
                where,
            )
        )
    return entries


def _check_manifest(text: str, place: str, entries: list[Entry], parts: set[str]) -> None:
    """Compare with a manifest.csv (columns split and member) that lies beside the archives."""
    rows = csv.DictReader(io.StringIO(text))
    if not {"split", "member"} <= set(rows.fieldnames or ()):
        return
    have = {e.name for e in entries}
    listed = [row["member"] for row in rows if _ROLES.get(row["split"].lower()) in parts]
    if missing := [name for name in listed if name not in have]:
        raise DataError(
            f"{place} lists {len(missing)} of {len(listed)} recordings that the archives lack, the first: {missing[0]}",
            fix="copy or download the archives again; to use only a part of them, remove manifest.csv",
        )
