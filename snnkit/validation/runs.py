"""A run folder to a descriptor, and the validation of the two against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnkit import descriptor
from snnkit.errors import DataError, UsageError
from snnkit.targets.base import Target
from snnkit.validation.files import RANDOM_RATE, hosted, random_samples
from snnkit.validation.fits import NOTHING, Fit, compare, unexported
from snnkit.validation.pipeline import (
    BINNING,
    Bias,
    ChipGraph,
    Progress,
    Samples,
    check_place,
    to_chip,
    write_descriptor,
)
from snnkit.validation.report import write_reports
from snnkit.validation.threeway import validate
from snnkit.validation.virtual import CHIPS

if TYPE_CHECKING:
    from snnkit.data.module import FrameDataModule
    from snnkit.training.run import Run

Array = np.ndarray[Any, Any]

CALIBRATION_SAMPLES = 128
COMPARE_SAMPLES = 32
VECTOR_SAMPLES = 8
BATCH = 50


def frames(data: FrameDataModule, split: str, indices: Array) -> tuple[Samples, Array]:
    """Samples of a split as the host sends them, without augmentation: x [T, B, …] float32, y [B].

    Where samples have several inputs, x holds such an array by the input's name.
    """
    dataset = data.dataset(split)
    items = [dataset[int(i)] for i in indices]
    y = np.array([int(item[1]) for item in items])
    if not data.input_names:
        return np.stack([np.asarray(item[0]) for item in items], axis=1), y
    return {n: np.stack([np.asarray(item[0][k]) for item in items], 1) for k, n in enumerate(data.input_names)}, y


def input_shapes(data: FrameDataModule) -> Sequence[int] | Sequence[Sequence[int]]:
    """The shape of the one input, or of each of several, as the exporter takes them."""
    return data.input_shapes if data.input_names else data.input_shape


def spread(count: int, limit: int) -> Array:
    """At most `limit` indices spread evenly over `count` samples."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64))


def opened(run: Run, data: FrameDataModule | None = None) -> FrameDataModule:
    """The run's data, ready to be read."""
    data = data or run.datamodule()
    data.prepare_data()
    data.setup()
    return data


def export_options(run: Run, data: FrameDataModule) -> dict[str, Any]:
    """What the exporter must know about a run: steps, length of a step, read-out, input range, name."""
    several = {"input_names": data.input_names} if data.input_names else {}
    return {
        "steps": data.T,
        "dt_us": data.dt_us,
        "readout": run.readout,
        "max_count": data.max_counts if several else data.max_counts[0],
        "name": run.name.replace("/", "-"),
        **several,
    }


def compare_run(
    run: Run,
    targets: Iterable[Target],
    *,
    host: Sequence[str] = (),
    assumed_rate: float | None = None,
    data: FrameDataModule | None = None,
    progress: Progress | None = None,
) -> tuple[list[Fit], str]:
    """A run on several chips, and what the firing rates rest on, in words.

    Args:
        run: a finished run. targets: the chips.
        host: as in `check_model`.
        assumed_rate: seeded random spikes of this probability instead of validation samples; None takes the samples,
            or `RANDOM_RATE` where the run's data are not on this machine.
        data: the run's data where they were opened already; None opens them.
        progress: told (stage, done, of).
    """
    from snnkit.export import to_graph

    data = data or run.datamodule()
    options = export_options(run, data)
    graph, findings = to_graph(run.model, input_shapes(data), strict=False, **options)
    if graph is None:
        return [unexported(t, findings) for t in targets], NOTHING
    samples: Samples | None = None
    said = ""
    if assumed_rate is None:
        try:
            data = opened(run, data)
            samples, _ = frames(data, "validation", spread(len(data.labels("validation")), COMPARE_SAMPLES))
            said = f"validation samples of {data.describe()['name']}"
        except DataError as error:
            said = f"the run's data are not here ({error.what}): "
    if samples is None:
        rate = RANDOM_RATE if assumed_rate is None else assumed_rate
        samples, said = random_samples(graph, rate), f"{said}assumed input: random spikes, {rate:g} per line and step"
    return compare(graph, targets, samples, host=host, findings=findings, progress=progress), said


def chip_graph(
    run: Run,
    target: Target,
    data: FrameDataModule,
    *,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    progress: Progress | None = None,
) -> ChipGraph:
    """The run's model in the chip's integers, calibrated on validation samples."""
    x, _ = frames(data, "validation", spread(len(data.labels("validation")), CALIBRATION_SAMPLES))
    options = export_options(run, data)
    return to_chip(run.model, input_shapes(data), target, x, bias=bias, host=host, progress=progress, **options)


def deploy(
    run: Run,
    target: Target,
    path: str | Path,
    *,
    data: FrameDataModule | None = None,
    bias: Bias = "gated",
    host: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[ChipGraph, descriptor.Descriptor]:
    """Export a run to a descriptor with vectors from its validation split.

    Args:
        run: a finished run.
        target: the chip.
        path: NAME.snnx.
        data: the run's data where they were opened already; None opens them.
        bias, host: as in `check_model`.
        progress: told (stage, done, of).

    Raises:
        FindingsError: it does not fit; carries every finding.
        UsageError: the path does not end in .snnx, or something else is there already.
    """
    path = check_place(path)
    data = opened(run, data)
    chip = chip_graph(run, target, data, bias=bias, host=host, progress=progress)
    samples, _ = frames(data, "validation", spread(len(data.labels("validation")), VECTOR_SAMPLES))
    described = data.describe()
    provenance = {"run": run.digest, "recipe": run.name, "data": described, "bias": bias, "host": list(host)}
    made = write_descriptor(
        path, chip, target, samples, provenance=provenance, host_input=host_input(described), progress=progress
    )
    return chip, made


def host_input(described: Mapping[str, Any]) -> str:
    """What the host does with a sample before it sends it, from what the data say of themselves."""
    if len(inputs := described.get("inputs", {})) > 1:
        return "; ".join(f"{name}: {host_input(part)}" for name, part in inputs.items())
    code = described["frames"].get("encoding")
    grid = described["frames"].get("grid")
    if code is None:
        return BINNING if grid is None else BINNING.replace("pixel", f"cell of {grid} x {grid}")
    settings = ", ".join(f"{k}={v}" for k, v in code["init_args"].items() if v is not None)
    return f"send each sample's values in the code {code['class_path']}({settings})"


def batches(data: FrameDataModule, split: str, limit: int | None = None) -> Iterator[tuple[Samples, Array]]:
    """The samples of a split in order, `BATCH` at a time."""
    count = len(data.labels(split)) if limit is None else min(limit, len(data.labels(split)))
    for start in range(0, count, BATCH):
        yield frames(data, split, np.arange(start, min(start + BATCH, count)))


def validate_run(
    run: Run,
    path: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    data: FrameDataModule | None = None,
    chip: ChipGraph | None = None,
    chips: int = CHIPS,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Compare a run and a descriptor on a split, write report.json, report.md and report.html into the descriptor.

    Args:
        run: a finished run.
        path: the descriptor that `deploy` made of it.
        split: which part of the data.
        limit: at most so many samples.
        data: the run's data where they were opened already; None opens them.
        chip: saves making the integer graph again where it was just made.
        chips: virtual chips of an analogue target.
        progress: told how many samples are done.

    Raises:
        UsageError: the descriptor was exported from another run.
    """
    from snnkit.targets import registry

    made = descriptor.load(path).manifest
    origin = made.provenance.get("run")
    if origin is not None and origin != run.digest:
        raise UsageError(
            f"{path} was exported from another run (weights {str(origin)[:12]}…, this run has {run.digest[:12]}…)",
            fix=f"snnkit export {run.path} --target {made.target} --out {path}",
        )
    data = opened(run, data)
    target = registry.get(made.target)
    if chip is None:
        bias: Bias = "register" if made.provenance.get("bias") == "register" else "gated"
        chip = chip_graph(run, target, data, bias=bias, host=hosted(made))
    result = validate(run.model, chip, path, batches(data, split, limit), chips=chips, progress=progress)
    return summarise(result, run, path, data, split)


def summarise(result: dict[str, Any], run: Run, path: str | Path, data: FrameDataModule, split: str) -> dict[str, Any]:
    """The result of `validate` with energy, references and provenance; writes the descriptor's reports."""
    from snnkit.targets import registry

    target = registry.get(result["target"])
    manifest = descriptor.load(path).manifest
    ticks = result["steps"] + max((layer.lag for layer in manifest.layers), default=0)
    costs, counters = target.part("energy"), result["counters"]
    result = result | {
        "split": split,
        "references": list(target.part("spec").REFERENCES),
        "energy": costs.estimate(counters, samples=result["samples"]),
        "latency": costs.latency(
            counters, samples=result["samples"], ticks=ticks, cores=manifest.resources.totals["cores"]
        ),
        "data": data.describe(),
        "run": run.digest,
    }
    write_reports(path, result)
    return result
