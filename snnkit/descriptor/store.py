"""Writing and reading descriptor folders: atomic and byte-identical on the way out, suspicious on the way in."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from snnkit._io import canonical_json, replace_folder, sha256_bytes, write_text
from snnkit.descriptor.schema import (
    ARRAYS,
    FORMAT,
    MANIFEST,
    REPORTS,
    VECTORS,
    VERSION,
    FileEntry,
    HostLayer,
    Layer,
    Manifest,
    Port,
    Tensor,
)
from snnkit.descriptor.tensors import DAMAGED, NAMES, parse
from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]

MAX_MANIFEST = 64 * 2**20
MAX_FILE = 4 * 2**30
"""Largest manifest and largest safetensors file that is read, in bytes."""


@dataclass(frozen=True)
class Descriptor:
    """A loaded descriptor: typed manifest, memory images, vectors, and the folder it came from."""

    manifest: Manifest
    arrays: Mapping[str, Array]
    vectors: Mapping[str, Array] = field(default_factory=dict)
    path: Path | None = None


def write(
    path: str | os.PathLike[str],
    manifest: Manifest,
    arrays: Mapping[str, Array],
    vectors: Mapping[str, Array],
    reports: Mapping[str, str] | None = None,
) -> Descriptor:
    """Write the folder atomically: a reader sees the old one or the new one. Equal content gives equal bytes.

    Args:
        path: folder, by convention `NAME.snnx`.
        manifest: its `files` and `digest` are computed here.
        arrays: memory images. vectors: inputs and expected outputs. Integer arrays only.
        reports: `report.md`, `report.html`; not part of the digest.

    Raises:
        DescriptorError: an array is of a type that a chip's memory cannot hold, or a report has another name.
    """
    blobs = {ARRAYS: _pack(arrays, ARRAYS), VECTORS: _pack(vectors, VECTORS)}
    files = {
        name: FileEntry(sha256=sha256_bytes(blob), bytes=len(blob), tensors=_table(content))
        for (name, blob), content in zip(blobs.items(), (arrays, vectors))
    }
    plain = {**manifest.plain(), "files": {name: entry.model_dump(mode="json") for name, entry in files.items()}}
    plain["digest"] = _digest(plain)
    text = canonical_json(plain)
    full = Manifest.model_validate_json(text, strict=True)
    _check_report_names(reports or {})

    def fill(folder: Path) -> None:
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        for name, blob in blobs.items():
            (folder / name).write_bytes(blob)
        for name, content in (reports or {}).items():
            (folder / name).write_text(content, encoding="utf-8")

    replace_folder(path, fill)
    return Descriptor(full, dict(arrays), dict(vectors), Path(path))


def write_reports(path: str | os.PathLike[str], reports: Mapping[str, str]) -> None:
    """Add or replace `report.md` and `report.html` of a descriptor, each atomically."""
    _check_report_names(reports)
    for name, content in reports.items():
        write_text(Path(path) / name, content)


def load(path: str | os.PathLike[str]) -> Descriptor:
    """Read a descriptor after checking sizes, digests, structure and field ranges.

    Raises:
        DescriptorError: names the file, the value and what to do.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DescriptorError(f"{folder} is not a descriptor folder", fix="name a folder written by `snnkit export`")
    manifest = _read_manifest(folder)
    content: dict[str, dict[str, Array]] = {}
    entries: dict[str, FileEntry] = {str(name): entry for name, entry in manifest.files.items()}
    for name in (ARRAYS, VECTORS):
        if name not in entries:
            raise DescriptorError(f"{folder / MANIFEST}: lists no {name}", fix=DAMAGED)
        entry = entries[name]
        blob = _read(folder / name, MAX_FILE, expected=entry.bytes)
        if sha256_bytes(blob) != entry.sha256:
            raise DescriptorError(f"{folder / name}: its SHA-256 is not the one in {MANIFEST}", fix=DAMAGED)
        content[name] = parse(blob, str(folder / name))
        if _table(content[name]) != entry.tensors:
            raise DescriptorError(f"{folder / name}: its tensors are not those listed in {MANIFEST}", fix=DAMAGED)
    return Descriptor(manifest, content[ARRAYS], content[VECTORS], folder)


def _read_manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST
    raw = _read(file, MAX_MANIFEST)
    try:
        text = raw.decode("utf-8")
        plain = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DescriptorError(f"{file}: is not readable JSON ({error})", fix=DAMAGED) from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise DescriptorError(f"{file}: is not the manifest of a descriptor", fix="name a folder written by an export")
    version = plain.get("version")
    if type(version) is not int or version < 1:
        raise DescriptorError(f"{file}: has version {version!r}", fix=DAMAGED)
    if version > VERSION:
        raise DescriptorError(
            f"{file}: is of format version {version}, this snnkit reads up to {VERSION}", fix="update snnkit"
        )
    try:
        canonical = canonical_json(plain)
        digest = _digest(plain)
    except (ValueError, RecursionError) as error:
        raise DescriptorError(f"{file}: {error}", fix=DAMAGED) from None
    if plain.get("digest") != digest or text != canonical:
        raise DescriptorError(f"{file}: its digest is not that of its content", fix=DAMAGED)
    try:
        manifest = Manifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise DescriptorError(
            f"{file}: {where}: {first['msg']} (found {str(first['input'])[:80]!r}; {error.error_count()} problems)",
            fix=DAMAGED,
        ) from None
    _check_consistent(manifest, file)
    return manifest


def _check_consistent(manifest: Manifest, file: Path) -> None:
    kinds: tuple[tuple[str, tuple[Layer | HostLayer | Port, ...]], ...] = (
        ("layer", manifest.all_layers), ("port", manifest.ports),
    )  # fmt: skip
    for what, nodes in kinds:
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            raise DescriptorError(f"{file}: two {what}s share a name", fix=DAMAGED)
        for node in nodes:
            size = 1
            for s in node.shape:
                size *= s
            if size != node.n:
                raise DescriptorError(
                    f"{file}: {what} {node.name!r} has n {node.n}, its shape {list(node.shape)} says {size}",
                    fix=DAMAGED,
                )
    if manifest.readout is not None and manifest.readout.layer not in {layer.name for layer in manifest.layers}:
        raise DescriptorError(f"{file}: the readout names no layer: {manifest.readout.layer!r}", fix=DAMAGED)
    if manifest.readout is not None and (votes := manifest.readout.votes) > 1:
        n = manifest.layer(manifest.readout.layer).n
        if n % votes or manifest.readout.rule != "count":
            raise DescriptorError(f"{file}: the readout gives {n} neurons {votes} votes per class", fix=DAMAGED)


def _read(file: Path, limit: int, expected: int | None = None) -> bytes:
    """The bytes of a regular file inside the folder; links are refused, sizes are checked before reading."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise DescriptorError(f"{file} is missing", fix="export the network again") from None
    except OSError as error:
        raise DescriptorError(
            f"{file} cannot be read as a regular file ({error.strerror})", fix="a descriptor holds no links"
        ) from None
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise DescriptorError(f"{file} is not a regular file", fix="a descriptor holds plain files only")
        if expected is not None and info.st_size != expected:
            raise DescriptorError(f"{file}: has {info.st_size} bytes, {MANIFEST} says {expected}", fix=DAMAGED)
        if info.st_size > limit:
            raise DescriptorError(f"{file}: has {info.st_size} bytes, at most {limit} are read", fix=DAMAGED)
        with os.fdopen(handle, "rb", closefd=False) as f:
            data = f.read(info.st_size + 1)
    finally:
        os.close(handle)
    if len(data) != info.st_size:
        raise DescriptorError(f"{file}: changed while it was read", fix="try again")
    return data


def _pack(arrays: Mapping[str, Array], file: str) -> bytes:
    from safetensors.numpy import save

    for name, a in arrays.items():
        if a.dtype not in NAMES:
            raise DescriptorError(f"{file}: {name!r} has type {a.dtype}; a memory image holds integers")
    return save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})


def _table(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    return {name: Tensor(dtype=NAMES[a.dtype.newbyteorder("=")], shape=a.shape) for name, a in sorted(arrays.items())}


def _digest(plain: Mapping[str, Any]) -> str:
    return sha256_bytes(canonical_json({k: v for k, v in plain.items() if k != "digest"}).encode("utf-8"))


def _check_report_names(reports: Mapping[str, str]) -> None:
    for name in reports:
        if name not in REPORTS:
            raise DescriptorError(f"a report cannot be called {name!r}", fix=f"use {' or '.join(REPORTS)}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
