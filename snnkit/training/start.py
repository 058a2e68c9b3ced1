"""Where a fine-tuning starts, and what it takes from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from snnkit.errors import ParameterError, did_you_mean
from snnkit.training import checkpoint
from snnkit.training.run import Run

Head = Literal["auto", "keep", "new"]
Sensor = Literal["remake", "resample", "grid"]
Match = Literal["name", "order"]
CHOICES = {"head": ("auto", "keep", "new"), "sensor": ("remake", "resample", "grid"), "match": ("name", "order")}


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors by name, from a file; see `snnkit.training.weights.read_weights`.

    Attributes:
        source: the file's name. state: name → tensor.
    """

    source: str
    state: Mapping[str, Tensor]

    @property
    def digest(self) -> str:
        """SHA-256 of the tensors."""
        return checkpoint.weights_digest(self.state)


@dataclass(frozen=True)
class Start:
    """Weights to start from, and how they are taken over.

    Args:
        run: the run to start from; None: `weights` have no run.
        freeze: layers that are kept as they are; see `SpikingClassifier.freeze_layers`.
        prepare: changes the module before training, such as `snnkit.quantization.MismatchTraining`.
        hardware: what the record says of that.
        weights: tensors to use instead of the run's.
        slow: layers (paths or patterns) → factor on their learning rate.
        head: "auto" makes the last layer anew where the classes differ in name or number, "new" always, "keep" never.
        sensor: what happens to a dense layer on pixels where their number differs: "remake" starts it anew, "resample"
            scales its weights as the picture scales; "grid" bins the events into the start's number of cells.
        rescale_decays: decays become decay^(new length of a step / old one).
        step_ratio: that ratio; None: from the data.
        rename: prefix in `weights` → prefix in the network.
        match: pair tensors by "name", or in their "order" where their last name and shape are equal.
        least: refuse weights from a file that fit fewer than this share of the network's tensors.

    Raises:
        ParameterError: a choice that does not exist, or a number out of range.
    """

    run: Run | None
    freeze: tuple[str, ...] = ()
    prepare: Callable[[Any], None] | None = None
    hardware: Mapping[str, Any] | None = None
    weights: Weights | None = None
    slow: Mapping[str, float] = field(default_factory=dict)
    head: Head = "auto"
    sensor: Sensor = "remake"
    rescale_decays: bool = False
    step_ratio: float | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    match: Match = "name"
    least: float = 0.5

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ParameterError(
                    f"{name} is {value!r}{did_you_mean(str(value), known)}", fix="one of " + ", ".join(known)
                )
        if self.run is None and self.weights is None:
            raise ParameterError("nothing to start from", fix="give a run, or weights read from a file")
        if self.step_ratio is not None and not self.step_ratio > 0:
            raise ParameterError(f"step_ratio is {self.step_ratio}", fix="give new step length / old step length")
        if self.step_ratio is not None and not self.rescale_decays:
            raise ParameterError("step_ratio without rescale_decays", fix="add rescale_decays, or leave it out")
        if not 0.0 <= self.least <= 1.0:
            raise ParameterError(f"least is {self.least}", fix="give a share from 0 to 1")
        for pattern, factor in self.slow.items():
            if not factor > 0.0:
                raise ParameterError(
                    f"slow {pattern!r} is {factor:g}", fix="give a positive factor; 0 is what freeze is for"
                )

    @property
    def name(self) -> str:
        """Of the run or of the file."""
        return self.weights.source if self.run is None and self.weights is not None else self._run.name

    @property
    def _run(self) -> Run:
        assert self.run is not None
        return self.run

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The tensors by name."""
        return self._run.model.state_dict() if self.weights is None else self.weights.state

    def describe(self) -> dict[str, Any]:
        """What a run's record says of it; settings at their default are left out."""
        digest = self._run.digest if self.weights is None else self.weights.digest
        plain: dict[str, Any] = {"weights": digest, "run": self.name, "freeze": list(self.freeze)}
        if self.hardware is not None:
            plain["hardware"] = dict(self.hardware)
        fresh = Start(self.run, weights=self.weights)
        for name in ("slow", "head", "sensor", "rescale_decays", "step_ratio", "rename", "match", "least"):
            value = getattr(self, name)
            if value != getattr(fresh, name):
                plain[name] = dict(value) if isinstance(value, Mapping) else value
        return plain
