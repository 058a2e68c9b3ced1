"""Networks that run on and on: one that steers what it senses, and one that watches a stream for hours.

`tracking`: a saccading event sensor follows a moving digit. `pictures` of it. `watching`: alarms in a coded stream.
"""

from snnkit.loops.tracking import (
    Beside,
    Centroid,
    Emulated,
    Law,
    Model,
    Scenes,
    Still,
    Tracking,
    follow,
    scenes,
    tune,
)
from snnkit.loops.watching import Found, Rule, alarms, choose, judge, margins

__all__ = [
    "Beside",
    "Centroid",
    "Emulated",
    "Found",
    "Law",
    "Model",
    "Rule",
    "Scenes",
    "Still",
    "Tracking",
    "alarms",
    "choose",
    "follow",
    "judge",
    "margins",
    "scenes",
    "tune",
]
