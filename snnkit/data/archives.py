"""Files of a data set, wherever they lie: in folders, in zip and tar archives, in archives inside them.

Zip archives are read in place. Members of a tar, and archives inside archives, are unpacked to a temporary folder that
goes away with the listing. An archive counts as a folder of its name without the ending: `train.zip` holds `train/…`.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from snnkit.errors import DataError

ZIPS = (".zip",)
GZ = ".gz"
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_DEPTH = 3
"""Archives inside archives inside archives; deeper ones are not opened."""


@dataclass(frozen=True)
class Member:
    """One file: its path below the root (archives counted as folders), and where its bytes are.

    `file` is a path on disk; None for a member of a zip, which `archive` and `info` name.
    """

    path: PurePosixPath
    place: str
    size: int
    file: Path | None = None
    archive: zipfile.ZipFile | None = None
    info: zipfile.ZipInfo | None = None

    def read(self) -> bytes:
        """The bytes; raises `DataError` where they cannot be read."""
        if self.file is not None:
            try:
                return self.file.read_bytes()
            except OSError as error:
                raise unreadable(self.place, error) from error
        assert self.archive is not None
        assert self.info is not None
        return read_member(self.archive, self.info, self.place)

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """A path that holds the bytes, under the member's own name."""
        if self.file is not None:
            yield self.file
            return
        with tempfile.TemporaryDirectory(prefix="snnkit-") as folder:
            path = Path(folder) / self.path.name
            path.write_bytes(self.read())
            yield path


def unreadable(place: object, error: OSError) -> DataError:
    """The error of a file that the system does not let us read."""
    fix = "check the file and its permissions"
    if error.errno == errno.ENOSPC:  # archives inside archives are unpacked
        fix = (
            f"free some space in {tempfile.gettempdir()}, set TMPDIR to another folder, or unpack the archives yourself"
        )
    return DataError(f"{place}: cannot be read ({error.strerror or error})", fix=fix)


def is_archive(name: str) -> bool:
    """Whether a file's name ends as an archive's does."""
    return name.lower().endswith((*ZIPS, *TARS, GZ))


def fingerprint(root: Path, endings: Collection[str]) -> list[tuple[str, int, int, int]]:
    """What tells that files below `root` changed: (path, bytes, mtime, ctime) of those with these endings, sorted.

    Archives count as they are. Raises `DataError` where a folder cannot be listed.
    """

    def facts(path: Path, name: str) -> tuple[str, int, int, int]:
        stat = path.stat()
        return name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    wanted = tuple(e.lower() for e in endings)
    try:
        if root.is_file():
            return [facts(root, root.name)]
        files = [p for p in _files(root) if p.name.lower().endswith(wanted) or is_archive(p.name)]
        return sorted(facts(p, p.relative_to(root).as_posix()) for p in files)
    except OSError as error:
        raise unreadable(error.filename or root, error) from error


@contextmanager
def members(root: str | os.PathLike[str], endings: Collection[str]) -> Iterator[list[Member]]:
    """Every file below `root` (a folder, an archive or one file) whose name ends so, in order of path.

    Hidden files and folders are left out. What was unpacked and opened is closed after the `with`.

    Raises:
        DataError: nothing is there, or an archive is damaged or unsafe.
    """
    path = Path(root)
    wanted = tuple(e.lower() for e in endings)
    with ExitStack() as stack:
        opened: list[zipfile.ZipFile] = []
        stack.callback(_close, opened)
        found: list[Member] = []
        try:
            if path.is_dir():
                for file in _files(path):
                    _look(file, PurePosixPath(file.relative_to(path).as_posix()), wanted, found, opened, stack, 0)
            elif path.is_file() and is_archive(path.name):
                _look(path, PurePosixPath(path.name), wanted, found, opened, stack, 0)
            elif path.is_file():
                found.append(Member(PurePosixPath(path.name), str(path), path.stat().st_size, path))
            else:
                raise DataError(f"{path} does not exist", fix="check the path")
        except OSError as error:
            raise unreadable(error.filename or path, error) from error
        yield sorted(found, key=lambda m: m.path.as_posix())


def _files(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        yield from (Path(folder) / f for f in sorted(files) if not f.startswith("."))


def _look(
    file: Path,
    path: PurePosixPath,
    wanted: tuple[str, ...],
    found: list[Member],
    opened: list[zipfile.ZipFile],
    stack: ExitStack,
    depth: int,
    place: str | None = None,
) -> None:
    """Add a file, or what is in it if it is an archive."""
    place, name = place or str(file), path.name.lower()
    if is_archive(name) and depth < MAX_DEPTH:
        ending = next(e for e in sorted((*ZIPS, *TARS, GZ), key=len, reverse=True) if name.endswith(e))
        inside = path.with_name(path.name[: -len(ending)])
        args = (wanted, found, opened, stack, depth + 1)
        if ending in ZIPS:
            archive = open_zip(file, place, opened)
            for info in archive.infolist():
                member = PurePosixPath(info.filename.replace("\\", "/"))
                if info.is_dir() or hidden(member):
                    continue
                where = f"{place}:{info.filename}"
                if is_archive(member.name):
                    copy = _temporary(stack) / member.name
                    try:
                        with archive.open(info) as source, open(copy, "wb") as out:
                            shutil.copyfileobj(source, out, 1 << 20)
                    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
                        fix = "copy or download the archive again"
                        raise DataError(f"{where}: cannot be read ({error})", fix=fix) from error
                    _look(copy, inside / member, *args, where)
                elif member.name.lower().endswith(wanted):
                    found.append(Member(inside / member, where, info.file_size, None, archive, info))
        elif ending == GZ:
            copy = _temporary(stack) / inside.name
            try:
                with gzip.open(file) as source, open(copy, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                fix = "copy or download the file again"
                raise DataError(f"{place}: cannot be unpacked ({error})", fix=fix) from error
            _look(copy, inside, *args, place)
        else:
            _unpack_tar(file, inside, place, *args)
    elif name.endswith(wanted):
        found.append(Member(path, place, file.stat().st_size, file))


def _unpack_tar(
    file: Path,
    inside: PurePosixPath,
    place: str,
    wanted: tuple[str, ...],
    found: list[Member],
    opened: list[zipfile.ZipFile],
    stack: ExitStack,
    depth: int,
) -> None:
    folder = _temporary(stack)
    try:
        with tarfile.open(file) as archive:
            for k, info in enumerate(archive):
                member = PurePosixPath(info.name)
                check_name(info.name, place)
                if not info.isfile() or hidden(member):
                    continue
                if not (is_archive(member.name) or member.name.lower().endswith(wanted)):
                    continue
                source = archive.extractfile(info)
                assert source is not None
                copy = folder / str(k) / member.name
                copy.parent.mkdir()
                with source, open(copy, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                _look(copy, inside / member, wanted, found, opened, stack, depth, f"{place}:{info.name}")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(
            f"{place}: cannot be read as a tar archive ({error})", fix="copy or download the archive again"
        ) from error


def _close(opened: list[zipfile.ZipFile]) -> None:
    for archive in opened:
        archive.close()


def _temporary(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="snnkit-")))


def hidden(path: PurePosixPath) -> bool:
    """Whether a part of the path is hidden, or what macOS adds to archives."""
    return any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in path.parts)


def check_name(name: str, place: str) -> None:
    """Raise `DataError` for a member's name that leads out of its archive."""
    # An archive that tries to leave its folder is not to be trusted in anything else.
    name_ = name.replace("\\", "/")
    if name_.startswith("/") or ".." in name_.split("/") or re.match(r"[A-Za-z]:", name_) or "\0" in name_:
        raise DataError(
            f"{place}: member {name!r} points outside the archive",
            why="such names serve to overwrite other files; no data set's archive has them",
            fix="do not use this archive; get it from its source",
        )


def open_zip(file: Path | io.BytesIO, place: str, opened: list[zipfile.ZipFile]) -> zipfile.ZipFile:
    """Open a zip archive and add it to `opened`.

    Raises:
        DataError: damaged, or a member's name leads out of the archive.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(
            f"{place}: cannot be opened as a zip archive ({error})", fix="copy or download the archive again"
        ) from error
    opened.append(archive)
    for info in archive.infolist():
        check_name(info.orig_filename, place)
    return archive


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> bytes:
    """The bytes of a member; raises `DataError` where they cannot be read or are not as many as announced."""
    try:
        with archive.open(info) as f:
            data = f.read(info.file_size + 1)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise DataError(f"{where}: cannot be read ({error})", fix="copy or download the archive again") from error
    if len(data) != info.file_size:
        raise DataError(
            f"{where}: holds {len(data)} bytes, its directory says {info.file_size}",
            fix="copy or download the archive again",
        )
    return data
