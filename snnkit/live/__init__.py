"""Events in, answers out, as they come: `snnkit run`.

One thread reads and decodes (`sources`, `udp`), a bounded queue (`queue`) joins it to the thread that computes: events
become steps of fixed length (`steps`), steps go through a network that keeps its state (`network`), and an answer is
read over the latest steps (`loop`). `sender` sends a recording the other way, as UDP packets.

Names load when first used; nothing here needs torch unless the network is a trained run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "Answer": "answers",
    "ArraySource": "sources",
    "Chunk": "sources",
    "EventQueue": "queue",
    "FileSource": "sources",
    "Latency": "latency",
    "LiveSettings": "settings",
    "PipeSource": "pipe",
    "Sender": "sender",
    "Stepper": "steps",
    "Summary": "summary",
    "UdpSource": "udp",
    "open_network": "network",
    "open_source": "opening",
    "run": "loop",
    "send": "sender",
}

__all__ = [
    "Answer",
    "ArraySource",
    "Chunk",
    "EventQueue",
    "FileSource",
    "Latency",
    "LiveSettings",
    "PipeSource",
    "Sender",
    "Stepper",
    "Summary",
    "UdpSource",
    "open_network",
    "open_source",
    "run",
    "send",
]

if TYPE_CHECKING:
    from snnkit.live.answers import Answer
    from snnkit.live.latency import Latency
    from snnkit.live.loop import run
    from snnkit.live.network import open_network
    from snnkit.live.opening import open_source
    from snnkit.live.pipe import PipeSource
    from snnkit.live.queue import EventQueue
    from snnkit.live.sender import Sender, send
    from snnkit.live.settings import LiveSettings
    from snnkit.live.sources import ArraySource, Chunk, FileSource
    from snnkit.live.steps import Stepper
    from snnkit.live.summary import Summary
    from snnkit.live.udp import UdpSource


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"snnkit.live.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'snnkit.live' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
