"""Descriptors for the platforms' own tools: `snnkit export --also FORMAT` writes what rebuilds one there.

The formats of a chip are in its folder's `also.py` (see `writer.py`), which a chip need not have. A format is written
from the descriptor alone, into a folder NAME.FORMAT beside it, with `about.json`: what it is, for which tool, what was
compared, what differs, and the digest of the descriptor and of every file.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from snnkit._io import canonical_json, replace_folder, sha256_file
from snnkit.descriptor import Descriptor, Vectors, load
from snnkit.descriptor.vectors import decode
from snnkit.emulator.host import PREFIX
from snnkit.errors import FindingsError, InternalError, UsageError, did_you_mean
from snnkit.graph.findings import Finding, has_errors
from snnkit.targets import registry
from snnkit.targets.base import Target
from snnkit.targets.writer import Writer

ABOUT = "about.json"
_KIND = "snnkit-also"


@dataclass(frozen=True)
class Written:
    """One format that was written.

    Attributes:
        format, title, tool: which, and for which program. label: how spikes were compared there, or `not run`.
        folder: where. files: names in it. findings: what differs there without being refused.
    """

    format: str
    title: str
    tool: str
    label: str
    folder: Path
    files: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": self.format, "title": self.title, "tool": self.tool, "spikes": self.label,
            "folder": str(self.folder), "files": list(self.files), "findings": [f.to_dict() for f in self.findings],
        }  # fmt: skip


def formats(target: Target) -> dict[str, Writer]:
    """The writers of a chip by name; none if its folder has no `also.py`."""
    if importlib.util.find_spec(f"{target.package}.also") is None:
        return {}
    offered: dict[str, Writer] = target.part("also").FORMATS
    return offered


def find(name: str, targets: Sequence[Target]) -> list[Target]:
    """Those of the targets that have a format.

    Raises:
        UsageError: none has; says which chip it belongs to, or which name may have been meant.
    """
    having = [t for t in targets if name in formats(t)]
    if having:
        return having
    chips = {t.name: t for t in (*map(registry.get, registry.names()), *targets)}
    offered = {format: t.name for t in chips.values() for format in formats(t)}
    mine = sorted({format for t in targets for format in formats(t)})
    asked = ", ".join(t.name for t in targets)
    fix = f"--also {' or '.join(mine)}" if mine else f"leave it out: there is no such format for {asked} yet"
    if name in offered:
        raise UsageError(f"{name} is a format of {offered[name]}, not of {asked}", fix=fix)
    raise UsageError(f"there is no format {name!r}{did_you_mean(name, offered)}", why=f"formats: {_listed(offered)}",
                     fix=fix)  # fmt: skip


def folder_of(path: str | os.PathLike[str], name: str) -> Path:
    """Where a format is written: NAME.FORMAT beside NAME.snnx."""
    path = Path(path)
    return path.with_name(f"{path.stem if path.suffix == '.snnx' else path.name}.{name}")


def check_folder(folder: Path) -> None:
    """Refuse to write over what this module did not write.

    Raises:
        UsageError: something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        ours = json.loads((folder / ABOUT).read_text(encoding="utf-8")).get("kind") == _KIND
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise UsageError(f"{folder} exists and was not written by --also", fix="move it away, or use another name")


def chip_part(descriptor: Descriptor) -> Descriptor:
    """What runs on the chip: without the host's layers, its ports fed with what the vectors say that they sent.

    Answers that the host's layers give are left out.
    """
    manifest = descriptor.manifest
    if manifest.host is None:
        return descriptor
    vectors = decode(descriptor.vectors, manifest)
    steps = len(next(iter(vectors.inputs.values()))) if vectors.inputs else 0
    fed = {**{name: s[:steps] for name, s in vectors.spikes.items()}, **vectors.inputs}
    chip = Vectors(
        {p.name: fed[p.name] for p in manifest.ports if p.gate_from is None and p.name in fed},
        {layer.name: vectors.spikes[layer.name] for layer in manifest.layers if layer.name in vectors.spikes},
        readout=vectors.readout if manifest.host.after is None else None,
    )
    images = {name: a for name, a in descriptor.arrays.items() if not name.startswith(PREFIX)}
    bare = manifest.model_copy(update={"host": None})
    return replace(descriptor, manifest=bare, arrays=images, vectors=chip.encode())


def _host_findings(descriptor: Descriptor) -> list[Finding]:
    networks = descriptor.manifest.host_networks
    layers = ", ".join(layer.name for network in networks for layer in network.layers)
    what = f"the host runs {layers}: the files hold the chip's part, with what the host sends it in the vectors"
    return [Finding("HOST_LAYERS", descriptor.manifest.name, what, "note")] if networks else []


def write(descriptor: Descriptor | str | os.PathLike[str], name: str, folder: Path | None = None) -> Written:
    """Write one format of a descriptor, atomically; equal descriptors give equal bytes.

    Args:
        descriptor: a folder NAME.snnx, or one loaded from disk.
        name: of the format.
        folder: where to; by default `folder_of` the descriptor.

    Raises:
        UsageError: the descriptor's chip has no such format, or something else is in the folder's place.
        DescriptorError: the descriptor is damaged.
        FindingsError: the tool cannot hold what the descriptor holds; nothing is written.
    """
    made = descriptor if isinstance(descriptor, Descriptor) else load(descriptor)
    target = registry.get(made.manifest.target)
    find(name, [target])
    writer = formats(target)[name]
    if folder is None:
        if made.path is None:
            raise UsageError("the descriptor was not read from a folder", fix="give the folder to write to")
        folder = folder_of(made.path, name)
    check_folder(folder)
    chip = chip_part(made)
    target.part("emulate").open_chip(chip)  # its images are checked, as for a run
    findings = (*_host_findings(made), *(Finding(**asdict(lost)) for lost in writer.check(chip)))
    if has_errors(findings):
        raise FindingsError(f"{made.manifest.name} cannot be written for {writer.tool}", findings)
    files: list[str] = []

    def fill(place: Path) -> None:
        for file in writer.write(chip, place):
            if not file.resolve().is_relative_to(place.resolve()):
                raise InternalError(f"the format {name} wrote {file}, outside of its folder")
            files.append(file.relative_to(place).as_posix())
        about = {
            "kind": _KIND, "format": name, "title": writer.title, "tool": writer.tool, "spikes": writer.label,
            "descriptor": {"name": made.manifest.name, "target": target.name, "digest": made.manifest.digest},
            "files": {file: sha256_file(place / file) for file in files},
            "findings": [f.to_dict() for f in findings],
        }  # fmt: skip
        (place / ABOUT).write_text(canonical_json(about), encoding="utf-8")

    replace_folder(folder, fill)
    return Written(name, writer.title, writer.tool, writer.label, folder, tuple(files), findings)


def _listed(offered: dict[str, str]) -> str:
    return ", ".join(f"{name} ({chip})" for name, chip in sorted(offered.items())) or "none"
