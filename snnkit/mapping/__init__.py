"""Partition, place and route: which neurons share a core, where it lies, which axons leave it. No chip names."""

from snnkit.mapping.partition import Partition, partition
from snnkit.mapping.place import Site, place
from snnkit.mapping.resources import Over, Usage, fits, over, total
from snnkit.mapping.route import fan_out

__all__ = ["Over", "Partition", "Site", "Usage", "fan_out", "fits", "over", "partition", "place", "total"]
