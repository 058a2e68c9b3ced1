"""What a live run did, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MEASURED = (
    "from the arrival of the first event of a step (of its packet in the system, where it says when; when it was due, "
    "of a recording at a speed) to the moment its answer was there and, if it was due, written; so the step's own "
    "length counts, and a chip's lag; steps without events do not, nor do skipped ones"
)


@dataclass(frozen=True)
class Summary:
    """Counts and times of a live run. received = processed + dropped + late + skipped + malformed.

    Attributes:
        network, input: their names.
        dt_us, window, reset: of the steps and of the answer.
        seconds: from the first event to the end. steps, answers: how many.
        received: events that came, and words that were none but should have been.
        processed: events that are in a step. dropped: by the queue. late: for steps that were closed.
        skipped: in steps that were passed over because too many were not computed yet.
        malformed: outside the sensor, of unknown kind, before the first word of time, or in refused packets.
        details: of what was malformed, and what else is worth knowing.
        queue: capacity, policy, highest filling.
        latency_ms: p50, p90, p99, max and count; `MEASURED` says how.
        busy: share of the time that the network computed.
        chosen: how often each class was the answer at the end of a window.
        counters: of the chip.
    """

    network: str
    input: str
    dt_us: float
    window: int
    reset: str
    seconds: float
    steps: int
    answers: int
    received: int
    processed: int
    dropped: int
    late: int
    skipped: int
    malformed: int
    details: Mapping[str, int]
    queue: Mapping[str, Any]
    latency_ms: Mapping[str, Any]
    busy: float
    chosen: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)

    @property
    def events_per_s(self) -> float:
        """Processed events per second."""
        return self.processed / self.seconds if self.seconds > 0 else 0.0

    @property
    def balanced(self) -> bool:
        """Whether every event is accounted for."""
        return self.received == self.processed + self.dropped + self.late + self.skipped + self.malformed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {**asdict(self), "events_per_s": self.events_per_s, "latency_measured": MEASURED}

    def lines(self) -> list[tuple[str, str]]:
        """Names and values, for people."""
        ms = {k: v for k, v in self.latency_ms.items() if k != "count" and v is not None}
        noted = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in self.details.items() if v)
        return [
            ("steps", f"{self.steps:,} of {self.dt_us:g} µs, {self.answers:,} answers"),
            ("time", f"{self.seconds:.2f} s, the network computing {self.busy:.0%} of it"),
            ("events", f"{self.received:,} received = {self.processed:,} processed + {self.dropped:,} dropped"
                       f" + {self.late:,} late + {self.skipped:,} skipped + {self.malformed:,} malformed"),
            ("rate", f"{self.events_per_s:,.0f} events/s"),
            ("queue", f"{self.queue['policy']}, at most {self.queue['highest']:,} of {self.queue['capacity']:,} full"),
            ("latency", ", ".join(f"{k} {v:.2f} ms" for k, v in ms.items()) or "no step had events"),
            ("noted", noted),
            ("answers", ", ".join(f"{k}: {v:,}" for k, v in self.chosen.items())),
            ("counters", ", ".join(f"{k.replace('_', ' ')} {v:,}" for k, v in self.counters.items())),
        ]  # fmt: skip
