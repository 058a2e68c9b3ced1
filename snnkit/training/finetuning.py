"""`finetune`: train on from a run or from a file of weights, on other data, sensors, classes or steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snnkit.errors import UsageError
from snnkit.training import recipes
from snnkit.training.callbacks import ProgressCallback
from snnkit.training.fitting import Overrides, fit
from snnkit.training.run import Run
from snnkit.training.settings import find_class, parameters
from snnkit.training.start import Head, Match, Sensor, Start, Weights

FRAME_KEYS = ("T", "by", "binary", "representation", "tau_us", "encoding", "full_count", "batch_size", "grid")
"""Settings of the data that stay where another class of data is given."""


def finetune(
    run: Run | Weights,
    out_dir: str | Path,
    overrides: Overrides = (),
    progress: bool | ProgressCallback = True,
    *,
    recipe: str | Path | Mapping[str, Any] | None = None,
    freeze: Sequence[str] = (),
    slow: Mapping[str, float] | None = None,
    head: Head = "auto",
    sensor: Sensor = "remake",
    rescale_decays: bool = False,
    step_ratio: float | None = None,
    rename: Mapping[str, str] | None = None,
    match: Match = "name",
    least: float = 0.5,
    weights: Weights | None = None,
    allow_code: Iterable[str] = (),
    resume: bool = False,
    threads: int | None = None,
    prepare: Callable[[Any], None] | None = None,
    hardware: Mapping[str, Any] | None = None,
) -> Run:
    """Train on from a run's weights, or from those of a file: the same settings with `overrides`, or other data.

    Where `data` has another class_path, the frames' settings (T, by, binary, code, grid) and the batch size are kept.
    The network's sizes follow the data: convolutions are kept at any sensor size; a dense layer on pixels follows
    `sensor`; the last layer follows `head`. Bins do not matter to weights; decays are those of a step, and
    `rescale_decays` changes them to another length of it. Delays and refractory steps stay as they are.

    The run's folder gets a `start.json`: every tensor with what became of it, and the accuracy of the start's weights
    on the validation part before the first step (where the head is kept).

    Args:
        run: where to start; `Weights` of a file need `recipe`.
        out_dir, overrides, progress, resume, threads: as in `fit`.
        recipe: settings for weights of a file: a YAML file, a shipped name, or a mapping.
        freeze: layers to keep as they are; see `SpikingClassifier.freeze_layers`.
        slow: layers → factor on their learning rate; see `SpikingClassifier.slow_layers`.
        head, sensor, rescale_decays, step_ratio, rename, match, least: see `snnkit.training.Start`.
        weights: of a file, to use in place of the run's selected ones.
        allow_code: with a recipe, as in `fit`.
        prepare: changes the module before training, such as `snnkit.quantization.mismatch.MismatchTraining`.
        hardware: what the record says of that.

    Raises:
        As `fit`; ParameterError for a pattern that matches no layer; CheckpointError for weights of which too little
        fits; UsageError where nothing fits.
    """
    changes = list(overrides.items() if isinstance(overrides, Mapping) else overrides)
    from_run = isinstance(run, Run)
    start = Start(
        run if isinstance(run, Run) else None,
        tuple(freeze), prepare, hardware, weights if isinstance(run, Run) else run,
        dict(slow or {}), head, sensor, rescale_decays, step_ratio, dict(rename or {}), match, least,
    )  # fmt: skip
    if isinstance(run, Run):
        if recipe is not None:
            raise UsageError("a recipe beside a run", fix="leave it out: a run knows its settings")
        settings, allow = copy.deepcopy(run.config), run.allow_code
    elif recipe is None:
        raise UsageError(f"{run.source} holds weights only", fix="give the network's settings: --recipe RECIPE")
    else:
        settings, allow = recipes.load(recipe), tuple(allow_code)
    before = copy.deepcopy(settings.get("data") or {})
    recipes.override(settings, changes)
    if from_run:
        _keep_frames(settings, before, allow)
        net = settings["model"]["net"].get("init_args", {})
        for name in ("num_classes", "input_shape"):
            if not any(key.endswith(name) for key, _ in changes):
                net.pop(name, None)  # taken from the data again
    if sensor == "grid":
        settings["data"].setdefault("init_args", {})["grid"] = _cells(start)
    return fit(settings, out_dir, (), progress, resume=resume, allow_code=allow, threads=threads, start=start)


def _keep_frames(settings: dict[str, Any], before: Mapping[str, Any], allow: Iterable[str]) -> None:
    """Where the data have another class, the settings of frames that it knows too stay."""
    if settings["data"]["class_path"] == before["class_path"]:
        return
    known = parameters(find_class(settings["data"]["class_path"], "data", allow))
    kept, given = before["init_args"], settings["data"].get("init_args") or {}
    settings["data"]["init_args"] = {**{n: kept[n] for n in FRAME_KEYS if n in kept and n in known}, **given}


def _cells(start: Start) -> int:
    """The start's number of cells a side.

    Raises:
        UsageError: it is not known, or not the same for both sides.
    """
    net = {} if start.run is None else start.run.config["model"]["net"].get("init_args", {})
    shape = list(net.get("input_shape") or [])
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UsageError(
            f'sensor="grid" needs a run with square frames, the start\'s are {shape or "not known"}',
            fix="use remake or resample, or bin with --data.grid N",
        )
    return int(shape[1])
