"""Intel's Loihi, first generation: integer semantics as public simulators agree on them."""

from snnkit.targets.base import Target

TARGET = Target(name="loihi", title="Intel Loihi", package="snnkit.targets.loihi", revision="loihi-1")
