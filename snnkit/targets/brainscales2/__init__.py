"""BrainScaleS-2 (HICANN-X): an exact digital layer around neurons in continuous time, 1 us of hardware per step."""

from snnkit.targets.base import Target

TARGET = Target(
    name="brainscales2", title="BrainScaleS-2", package="snnkit.targets.brainscales2", revision="hicann-x-1"
)
