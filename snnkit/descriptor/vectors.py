"""A descriptor's own vectors: inputs with the spikes and answers they must give.

Arrays: `in.<port>` uint8 [T, B, n]; `s.<layer>` uint8 [ticks, B, n]; optionally `u.<layer>`, `v.<layer>` int32
[ticks, B, n]; `readout` int64 [B]. Binary rasters may be stored as bits along n, least significant bit first, under
`inbits.<port>` and `sbits.<layer>` [.., .., ceil(n / 8)].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnkit.descriptor.schema import Manifest
from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Vectors:
    """Inputs [T, B, n] by port, expected traces [ticks, B, n] by layer, answers [B]."""

    inputs: dict[str, Array]
    spikes: dict[str, Array]
    u: dict[str, Array] = field(default_factory=dict)
    v: dict[str, Array] = field(default_factory=dict)
    readout: Array | None = None

    def encode(self) -> dict[str, Array]:
        """Arrays for `descriptor.write`; binary rasters as bits."""
        out: dict[str, Array] = {}
        for prefix, group in (("in", self.inputs), ("s", self.spikes)):
            for name, raster in group.items():
                raster = np.asarray(raster, np.uint8)
                if raster.size and raster.max() > 1:
                    out[f"{prefix}.{name}"] = raster
                else:
                    out[f"{prefix}bits.{name}"] = np.packbits(raster, axis=-1, bitorder="little")
        for prefix, group in (("u", self.u), ("v", self.v)):
            out.update({f"{prefix}.{name}": np.asarray(trace, np.int32) for name, trace in group.items()})
        if self.readout is not None:
            out["readout"] = np.asarray(self.readout, np.int64)
        return out


def decode(arrays: Mapping[str, Array], manifest: Manifest) -> Vectors:
    """Vectors from stored arrays.

    Raises:
        DescriptorError: a name belongs to no port or layer, or a shape does not fit.
    """
    sizes = {
        "in": {p.name: p.n for p in manifest.inputs},
        "s": {layer.name: layer.n for layer in manifest.all_layers},
    }
    sizes["u"] = sizes["v"] = sizes["s"]
    groups: dict[str, dict[str, Array]] = {"in": {}, "s": {}, "u": {}, "v": {}}
    readout = None
    for key, a in arrays.items():
        if key == "readout":
            readout = a
            continue
        prefix, _, name = key.partition(".")
        bits = prefix.endswith("bits")
        prefix = prefix.removesuffix("bits")
        if prefix not in groups or name not in sizes[prefix]:
            raise DescriptorError(f"vectors.safetensors: {key!r} belongs to no port or layer", fix="export it again")
        n = sizes[prefix][name]
        width = -(-n // 8) if bits else n
        if a.ndim != 3 or a.shape[2] != width or a.dtype != (np.int32 if prefix in "uv" else np.uint8):
            raise DescriptorError(
                f"vectors.safetensors: {key!r} has type {a.dtype} and shape {list(a.shape)}, "
                f"expected [steps, samples, {width}]",
                fix="export it again",
            )
        groups[prefix][name] = np.unpackbits(a, axis=-1, count=n, bitorder="little") if bits else a
    return Vectors(groups["in"], groups["s"], groups["u"], groups["v"], readout)
