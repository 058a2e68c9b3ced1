"""SpiNNaker 1 with the arithmetic of sPyNNaker 7.4.1."""

from snnkit.targets.base import Target

TARGET = Target(name="spinnaker", title="SpiNNaker 1", package="snnkit.targets.spinnaker", revision="spynnaker-7.4.1")
