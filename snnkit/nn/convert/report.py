"""What became of a network: layer by layer, and the spikes that differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ConvertedLayer:
    """One layer of the network that was converted.

    Args:
        path: of the layer, in both networks; a layer of snnkit may be several there, inside a Sequential of that path.
        was: the peer's layer, with its settings.
        now: the layers of snnkit in its place.
        exact: equal inputs give equal outputs, bit for bit (float32, on the CPU, in evaluation
            mode).
        why: why that is so, or what differs; also what else the layer's user should know.
        compared: values of the layer's output on the batch, T·B·neurons; None for a layer that is no neuron.
        differing: how many of them differ between the two networks, each running on its own.
        alone: how many differ where the new layer is given the peer's input of the old one: what this layer differs by
            itself, whatever the layers before it do.
        deviation: largest difference of the output of a neuron that does not fire.
    """

    path: str
    was: str
    now: str
    exact: bool
    why: str = ""
    compared: int | None = None
    differing: int | None = None
    alone: int | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class ConversionReport:
    """What `snn.convert_from` did, and how equal the two networks are on a batch. `print(report)` shows it as a table.

    Args:
        layers: every layer, in the order of the network.
        notes: what concerns the whole network.
        deviation: largest difference of the networks' outputs; None where no batch was given.
    """

    layers: tuple[ConvertedLayer, ...]
    notes: tuple[str, ...] = ()
    deviation: float | None = None

    @property
    def exact(self) -> bool:
        """Whether every layer gives the peer's bits for equal inputs."""
        return all(layer.exact for layer in self.layers)

    @property
    def compared(self) -> int:
        """Values of firing layers that were compared; 0 where no batch was given."""
        return sum(layer.compared or 0 for layer in self.layers if layer.differing is not None)

    @property
    def differing(self) -> int:
        """How many of them differ."""
        return sum(layer.differing or 0 for layer in self.layers)

    @property
    def share(self) -> float:
        """differing / compared; 0 where nothing was compared."""
        return self.differing / self.compared if self.compared else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        totals = {"exact": self.exact, "compared": self.compared, "differing": self.differing, "share": self.share}
        return {"layers": [asdict(layer) for layer in self.layers], "notes": list(self.notes), **totals,
                "deviation": self.deviation}  # fmt: skip

    def __str__(self) -> str:
        lines = []
        for layer in self.layers:
            lines.append(
                f"{layer.path or '(model)'}: {layer.was} -> {layer.now}{'' if layer.exact else '   NOT EXACT'}"
            )
            if layer.why:
                lines.append(f"    {layer.why}")
            if layer.differing is not None:
                lines.append(
                    f"    {layer.differing:,} of {layer.compared:,} differ; alone, on the same input: {layer.alone:,}"
                )
            elif layer.deviation is not None:
                lines.append(f"    largest difference {layer.deviation:.3g}")
        if self.compared:
            lines.append(f"in all {self.differing:,} of {self.compared:,} spikes differ ({self.share:.3%})")
        if self.deviation is not None:
            lines.append(f"largest difference of the output: {self.deviation:.3g}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])
