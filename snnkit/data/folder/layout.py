"""Which files of a folder are recordings, and of which class and part.

Two layouts: `root/CLASS/…` and `root/train/CLASS/…` with `root/test/CLASS/…` (and `root/validation/CLASS/…`; the parts
may also be called training, testing, val and valid, in any case). Below its class a recording may lie in further
folders. Hidden files are left out, as are files beside the folders of classes.
"""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snnkit.data.archives import unreadable
from snnkit.data.splits import PARTS
from snnkit.errors import DataError, did_you_mean

LAYOUT = "root/CLASS/recordings, or root/train/CLASS/recordings and root/test/CLASS/recordings"


@dataclass(frozen=True)
class Found:
    """One file: its part ("all" in a folder without parts), class, name below the part's folder, path, and identity.

    `identity` is (bytes, mtime, ctime): a file that was changed is decoded again.
    """

    part: str
    label: int
    name: str
    file: Path
    identity: tuple[int, int, int]


@dataclass(frozen=True)
class Listing:
    """What a folder holds: the classes, in order of name (numbers in order of number), and the files in order."""

    classes: tuple[str, ...]
    files: tuple[Found, ...]


def list_folder(root: Path, pattern: str = "*") -> Listing:
    """The recordings below `root` whose file name matches `pattern`.

    Raises:
        DataError: no folder, no classes, a class without recordings or only one, parts that do not fit together.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        beside = _names(root.parent) if root.parent.is_dir() else []
        raise DataError(
            f"{root} {what}{did_you_mean(root.name, beside)}", fix=f"give the folder of the recordings: {LAYOUT}"
        )
    try:
        parts = _parts(root)
        classes = _classes(root, parts)
        found = [f for part, folder in parts for f in _files(part, folder, classes, pattern)]
    except OSError as error:
        raise unreadable(error.filename or root, error) from error
    _check_counts(root, found, classes, pattern)
    return Listing(classes, tuple(sorted(found, key=lambda f: (f.part, f.name))))


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return [folder / n for n in _names(folder) if (folder / n).is_dir()]


def _parts(root: Path) -> list[tuple[str, Path]]:
    """(part, folder) of each part; [("all", root)] for a folder of classes."""
    folders = _folders(root)
    if not folders:
        held = ", ".join(_names(root)[:6]) or "nothing"
        raise DataError(f"{root} has no folders of classes (it holds: {held})", fix=f"the layout is {LAYOUT}")
    named = {f: PARTS[f.name.lower()] for f in folders if f.name.lower() in PARTS}
    if "train" not in named.values() or not any(_folders(f) for f in named):
        if len(named) == len(folders) > 0 and any(_folders(f) for f in named):
            raise DataError(
                f"{root} has the parts {', '.join(f.name for f in named)} and no train", fix=f"the layout is {LAYOUT}"
            )
        return [("all", root)]
    if others := [f.name for f in folders if f not in named]:
        raise DataError(
            f"{root} has folders of parts ({', '.join(f.name for f in named)}) and others beside them"
            f" ({', '.join(others[:6])})",
            fix=f"the layout is {LAYOUT}",
        )
    if doubled := [part for part, n in Counter(named.values()).items() if n > 1]:
        raise DataError(f"{root} has more than one folder for the part {doubled[0]}", fix="keep one of them")
    if len(named) == 1:
        raise DataError(
            f"{root} has a train part and neither test nor validation beside it",
            fix="add root/test/CLASS/…, or give the folder train itself as root: its recordings are then divided",
        )
    return [(part, folder) for folder, part in named.items()]


def _classes(root: Path, parts: list[tuple[str, Path]]) -> tuple[str, ...]:
    train = next(folder for part, folder in parts if part in ("train", "all"))
    names = [f.name for f in _folders(train)]
    for part, folder in parts:
        for other in _folders(folder):
            if other.name not in names:
                raise DataError(
                    f"{other}: the class {other.name!r} of the part {part} has no folder in"
                    f" {train.name}{did_you_mean(other.name, names)}",
                    fix="the parts have the same classes; rename or remove the folder",
                )
    if len(names) < 2:
        held = f"only the class {names[0]}" if names else "no folders of classes"
        raise DataError(f"{train} holds {held}", fix=f"two classes are the least; the layout is {LAYOUT}")
    numbers = all(n.isdecimal() for n in names)
    return tuple(sorted(names, key=(lambda n: (int(n), n)) if numbers else str))


def _files(part: str, folder: Path, classes: tuple[str, ...], pattern: str) -> Iterator[Found]:
    def fail(error: OSError) -> None:
        raise error

    for label, name in enumerate(classes):
        for where, folders, files in os.walk(folder / name, onerror=fail, followlinks=True):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in sorted(files):
                if file.startswith(".") or not fnmatch.fnmatch(file, pattern):
                    continue
                path = Path(where) / file
                stat = path.stat()
                identity = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                yield Found(part, label, path.relative_to(folder).as_posix(), path, identity)


def _check_counts(root: Path, found: list[Found], classes: tuple[str, ...], pattern: str) -> None:
    drawn = {f.part for f in found} <= {"all"}
    least = 3 if drawn else 1
    main = "all" if drawn else "train"
    counts = Counter(f.label for f in found if f.part == main)
    if few := [f"{name} ({counts[k]})" for k, name in enumerate(classes) if counts[k] < least]:
        matching = "" if pattern == "*" else f" matching {pattern}"
        raise DataError(
            f"{root}: too few recordings{matching} of {len(few)} of {len(classes)} classes: {', '.join(few)}",
            why="training, validation and test each need one of every class" if drawn else "nothing to learn from",
            fix="add recordings, or move the folders of these classes away"
            + ("" if pattern == "*" else "; or give another pattern"),
        )
    if not drawn and not any(f.part != "train" for f in found):
        raise DataError(f"{root}: the test part holds no recordings", fix="add recordings")
