"""The engine: opens a descriptor from disk and runs it, spike for spike. Knows no graph, model or exporter."""

from snnkit.emulator.engine import Emulator, open
from snnkit.emulator.result import EmulationResult
from snnkit.emulator.stream import Stream, Ticks
from snnkit.emulator.verify import VerifyReport, verify

__all__ = ["EmulationResult", "Emulator", "Stream", "Ticks", "VerifyReport", "open", "verify"]
