"""The artefact of an export: a folder `NAME.snnx` with manifest, memory images, and vectors that prove it."""

from snnkit.descriptor.schema import Layer, Manifest, Port, Readout, Resources
from snnkit.descriptor.store import Descriptor, load, write, write_reports
from snnkit.descriptor.vectors import Vectors

__all__ = [
    "Descriptor",
    "Layer",
    "Manifest",
    "Port",
    "Readout",
    "Resources",
    "Vectors",
    "load",
    "write",
    "write_reports",
]
