"""Descriptors that are damaged, or hostile with right digests: refused with a DescriptorError, or they run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnkit import descriptor, emulator
from snnkit._io import canonical_json
from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]

FILES = ("manifest.json", "arrays.safetensors", "vectors.safetensors")


def damaged_files(path: Path) -> list[str]:
    """Every damaged copy of a descriptor is refused with a DescriptorError: bytes, lengths, files, versions."""
    content = {name: (path / name).read_bytes() for name in FILES}
    place = path.parent / "damaged.snnx"
    problems = []

    def refused(what: str, changed: Mapping[str, bytes]) -> None:
        place.mkdir(exist_ok=True)
        for file in FILES:
            (place / file).unlink(missing_ok=True)
            if file in changed:
                (place / file).write_bytes(changed[file])
        problems.extend(_refused(what, place))

    for name, blob in content.items():
        for at in sorted({0, len(blob) // 3, len(blob) // 2, len(blob) - 1}):
            flipped = blob[:at] + bytes([blob[at] ^ 0x40]) + blob[at + 1 :]
            refused(f"{name} with byte {at} changed", {**content, name: flipped})
        refused(f"{name} cut short", {**content, name: blob[:-1]})
        refused(f"{name} cut in half", {**content, name: blob[: len(blob) // 2]})
        refused(f"{name} empty", {**content, name: b""})
        refused(f"without {name}", {k: v for k, v in content.items() if k != name})
    plain = json.loads(content["manifest.json"])
    for version in (0, 2, "1", None):
        text = canonical_json({**plain, "version": version})
        refused(f"format version {version!r}", {**content, "manifest.json": text.encode()})
    opened = descriptor.load(path)
    for what, chip in (
        ("a section of another version", {**opened.manifest.chip, "version": 999}),
        ("an unknown field in the section", {**opened.manifest.chip, "surprise": 1}),
    ):
        manifest = opened.manifest.model_copy(update={"chip": chip})
        problems += _refused(what, Descriptor(manifest, opened.arrays))
    return problems


def _refused(what: str, given: Path | Descriptor) -> list[str]:
    try:
        _ = Emulator(given) if isinstance(given, Descriptor) else emulator.open(given)
    except DescriptorError:
        return []
    except Exception as error:  # anything else is what is looked for
        return [f"{what}: raised {type(error).__name__} instead of a DescriptorError: {error}"]
    return [f"{what}: was opened"]


def hostile_images(path: Path) -> list[str]:
    """Memory images whose digests are right but whose content is not: refused with a DescriptorError, or they run."""
    opened = descriptor.load(path)
    x = {p.name: np.ones((2, 1, p.n), np.uint8) for p in opened.manifest.inputs}
    problems = []
    for name, array in opened.arrays.items():
        rest = {k: v for k, v in opened.arrays.items() if k != name}
        other = np.int8 if array.dtype != np.int8 else np.int32
        for what, arrays in (
            ("missing", rest),
            ("of another type", {**rest, name: array.astype(other)}),
            ("of another shape", {**rest, name: array[None]}),
        ):
            problems += _refused(f"{name} {what}", Descriptor(opened.manifest, arrays))
        for what, bad in _extremes(array):
            try:
                Emulator(Descriptor(opened.manifest, {**rest, name: bad})).run(x)
            except DescriptorError:
                continue
            except Exception as error:  # anything else is what is looked for
                problems.append(f"{name} with {what}: raised {type(error).__name__}: {error}")
    surprise = {**opened.arrays, "surprise": np.zeros(3, np.int32)}
    return [*problems, *_refused("an unknown image", Descriptor(opened.manifest, surprise))]


def _extremes(array: Array) -> Iterator[tuple[str, Array]]:
    """Copies with one value at each end of its type, without their last rows, and doubled."""
    info = np.iinfo(array.dtype) if array.dtype.kind in "iu" else None
    flat = array.reshape(-1)
    if info is not None and flat.size:
        for at in sorted({0, flat.size // 2, flat.size - 1}):
            for value in (info.max, info.min, int(flat[at]) ^ 1):
                changed = flat.copy()
                changed[at] = value
                yield f"value {at} set to {value}", changed.reshape(array.shape)
    if len(array):
        yield "its last row missing", array[:-1]
        yield "its last row twice", np.concatenate([array, array[-1:]])
