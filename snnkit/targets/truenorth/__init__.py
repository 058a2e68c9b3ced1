"""IBM's TrueNorth: integer semantics of the published neuron equations and of an open simulator."""

from snnkit.targets.base import Target

TARGET = Target(name="truenorth", title="IBM TrueNorth", package="snnkit.targets.truenorth", revision="truenorth-1")
