"""Obtaining a data set: tonic's download, and the check of archives against their published digests."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from snnkit.data.sets.facts import Facts
from snnkit.errors import DataError, MissingPackageError


def obtain(facts: Facts, root: Path) -> str:
    """What to do to get the data, for messages."""
    how = f"{facts.title} comes from {facts.home}; give the folder or archive as root ({facts.layout})"
    return how + (", or use download=True" if facts.tonic else "")


def fetch(facts: Facts, root: Path) -> None:
    """Have tonic download and unpack the data below `root`; what is there already it leaves alone.

    tonic is GPL-3.0 and is imported only here, for this.

    Raises:
        MissingPackageError: tonic is not installed, or too old to know the data set.
        DataError: tonic has no such data set, or the download failed.
    """
    if facts.tonic is None:
        raise DataError(f"{facts.title} cannot be downloaded by tonic", fix=obtain(facts, root))
    try:
        maker = getattr(importlib.import_module("tonic.datasets"), facts.tonic)
    except (ImportError, AttributeError) as error:
        raise MissingPackageError(
            f"downloading {facts.title} needs the package tonic with its class {facts.tonic} ({error})",
            fix=f"pip install --upgrade tonic, or: {obtain(facts, root)}",
        ) from error
    try:
        for arguments in facts.tonic_parts:
            maker(save_to=str(root), **arguments)
    except Exception as error:  # whatever the network and the host of the data come up with
        raise DataError(
            f"the download of {facts.title} to {root} failed: {type(error).__name__}: {error}",
            fix=f"check the network; or: {obtain(facts, root)}",
        ) from error


def check_digests(facts: Facts, root: Path) -> None:
    """Compare archives and files that have an official name with the digest published for it.

    Raises:
        DataError: one differs; names all that do.
    """
    files = [root] if root.is_file() else [p for name in facts.md5 for p in sorted(root.rglob(name))]
    wrong = []
    for file in files:
        known = facts.md5.get(file.name)
        if known is not None and (found := _md5(file)) != known:
            wrong.append(f"{file} ({file.stat().st_size} bytes) has MD5 {found}, published is {known}")
    if wrong:
        raise DataError(
            "not the published archives: " + "; ".join(wrong),
            why="they were cut off on the way, or are another version of the data",
            fix=f"get them again from {facts.home}; if you changed them on purpose, set check: false",
        )


def _md5(path: Path) -> str:
    h = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()
