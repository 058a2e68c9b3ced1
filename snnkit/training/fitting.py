"""`fit`: from a recipe to a run. Training, resuming and fine-tuning are one code path."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from snnkit import _io  # noqa: E402
from snnkit import nn as snn  # noqa: E402
from snnkit.data.module import FrameDataModule  # noqa: E402
from snnkit.errors import ParameterError, ShapeError, UsageError  # noqa: E402
from snnkit.kernels import keep_freed_memory, warm_up  # noqa: E402
from snnkit.training import recipes  # noqa: E402
from snnkit.training.before import write_start  # noqa: E402
from snnkit.training.callbacks import ProgressCallback, training_progress  # noqa: E402
from snnkit.training.module import SpikingClassifier  # noqa: E402
from snnkit.training.precision import Choice, choose, tell  # noqa: E402
from snnkit.training.processes import Processes, join, started  # noqa: E402
from snnkit.training.record import check_same, make_record  # noqa: E402
from snnkit.training.results import final_metrics  # noqa: E402
from snnkit.training.run import Run, load_run, read_record  # noqa: E402
from snnkit.training.settings import Reader, build, construct  # noqa: E402
from snnkit.training.start import Start  # noqa: E402
from snnkit.training.trainer import TrainerSettings, train  # noqa: E402
from snnkit.training.transfer import Transfer, transfer  # noqa: E402

Overrides = Sequence[tuple[str, object]] | Mapping[str, object]


def fit(
    recipe: str | Path | Mapping[str, Any],
    out_dir: str | Path,
    overrides: Overrides = (),
    progress: bool | ProgressCallback = True,
    *,
    resume: bool = False,
    allow_code: Iterable[str] = (),
    threads: int | None = None,
    start: Start | None = None,
) -> Run:
    """Train a recipe and report on its test data, which are read once, at the end.

    With `trainer.devices` or `trainer.num_nodes` above 1 several processes train; what then equals one process, and who
    starts them, is said in `snnkit.training.processes`. Memory that is freed stays with the process
    (`snnkit.kernels.keep_freed_memory`).

    Args:
        recipe: a YAML file, a shipped name such as "nmnist/loihi", or a mapping with the same keys.
        out_dir: the run's folder; new, or an interrupted run's with `resume`.
        overrides: settings to change, by dotted key.
        progress: show progress bars; or a callback that is told of every batch and epoch.
        resume: go on after the last complete epoch of the run in `out_dir`.
        allow_code: modules outside snnkit whose classes the recipe may name.
        threads: CPU threads of each process; None leaves torch's number, divided among processes that are started
            here. Results are bit-equal for equal numbers only.
        start: weights to start from (fine-tuning).

    Returns:
        The run with the weights of the selected epoch.

    Raises:
        RecipeError, ParameterError, ShapeError, DataError: the recipe or the data are wrong; names key or layer.
        ResumeError: recipe or data differ from the interrupted run's; lists the differences.
        UsageError: the folder is taken, there is nothing to resume, or other processes were started than the settings
            say.
        StateError: another process that trains has died.
    """
    out, reader = Path(out_dir), Reader(allow_code)
    settings = recipes.override(recipes.load(recipe), overrides)
    if threads is not None:
        torch.set_num_threads(threads)
    # mistakes in the recipe are told before data are prepared
    trainer = _resolve(settings, reader, 1, ((1, 1, 1),))["trainer"]
    construct(TrainerSettings, trainer, reader)
    if trainer["devices"] * trainer["num_nodes"] > 1 and started() is None:
        _opened(out, resume)  # before others are started for it
        if threads is None:
            threads = max(1, torch.get_num_threads() // trainer["devices"])
    given = {
        "recipe": recipe, "out_dir": out, "overrides": overrides, "resume": resume, "allow_code": list(reader.allow),
        "threads": threads, "start": start,
    }  # fmt: skip
    with join(trainer, given) as processes:
        keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        out, before = processes.first(lambda: (out, _opened(out, resume)))
        return _fit(recipe, settings, out, reader, progress, before, start, processes)


def _opened(out: Path, resume: bool) -> dict[str, Any] | None:
    """The record of the run to go on with; None for a new run, whose folder is free."""
    if resume:
        return read_record(out)
    if out.exists() and (not out.is_dir() or any(not p.name.endswith(".tmp") for p in out.iterdir())):
        raise UsageError(
            f"{out} exists already", fix="add --resume to go on with that run, or give another folder with --out"
        )
    return None


def _fit(
    recipe: str | Path | Mapping[str, Any],
    settings: dict[str, Any],
    out: Path,
    reader: Reader,
    progress: bool | ProgressCallback,
    before: dict[str, Any] | None,
    start: Start | None,
    processes: Processes,
) -> Run:
    resume, first = before is not None, processes.is_first
    data, settings = _prepare_data(settings, reader, bool(progress) and first, processes)
    settings = _resolve(settings, reader, data.num_classes, data.input_shapes)
    record = make_record(recipe, settings, data, reader, start)
    trainer_settings: TrainerSettings = construct(TrainerSettings, settings["trainer"], reader)
    if before is not None:
        check_same(before, record)
        record = before
    module, taken = _prepare_module(settings, reader, data, start)
    trainer_settings.check_module(module)
    if processes.world > 1:
        module.check_divisible()
    if before is None:
        chosen = _choose(trainer_settings, module, data, processes.world, start)
        record |= {"precision": chosen.precision, "memory_format": chosen.memory_format}
        if chosen.why:
            record["precision_chosen"] = chosen.why
        if first:
            tell(chosen)
    if before is None and first:
        _io.write_json(out / "run.json", record)
        _io.write_text(out / "recipe.yaml", recipes.dump(settings))
    with training_progress(progress is True and first) as bar:
        report = progress if callable(progress) and first else bar
        processes.in_turn(lambda: _compile(module, record["precision"], report))
        if start is not None and taken is not None:
            if first and not (out / "start.json").exists():
                report({"start": write_start(out, module, data, taken, settings)})
            if start.prepare is not None:
                start.prepare(module)
        command = "snnkit train" if start is None else "snnkit finetune …, the same options,"
        again = f"{command} --resume --out {out}"
        how = record["precision"], record.get("memory_format", "channels_first")
        train(module, data, trainer_settings, out, report, resume, again, processes, *how)

    def finish() -> None:
        _io.write_json(out / "metrics.json", final_metrics(load_run(out, reader.allow), data))

    processes.first(finish)
    return load_run(out, reader.allow)


def _compile(module: SpikingClassifier, precision: str, report: Any) -> None:
    """The kernels of the network, before time is measured; float32 too where it evaluates in that only."""

    def tell_progress(name: str, done: int, total: int) -> None:
        report({"compiling": name, "done": done, "total": total})

    for dtype in (torch.float32, *([torch.bfloat16] if precision == "bf16-mixed" else ())):
        warm_up(tell_progress, dtype, snn.kernels_of(module.net))


def _choose(
    settings: TrainerSettings, module: SpikingClassifier, data: FrameDataModule, world: int, start: Start | None
) -> Choice:
    """How this run trains, where that is open. Training for a chip needs the chip's integers to be exact: float32."""
    prepared = start is not None and start.prepare is not None
    quantised = any(type(m).__module__.startswith("snnkit.quantization") for m in module.net.modules())
    fixed = "training for hardware" if prepared or quantised else ""
    return choose(
        settings.precision, module.memory_format, settings.device,
        module.net, data.input_shapes, data.T, data.batch_size, world, fixed,
    )  # fmt: skip


def next_free(folder: Path) -> Path:
    """The folder itself if it is free, else the first free one of folder-2, folder-3, …"""
    k, path = 2, folder
    while path.exists():
        path, k = folder.with_name(f"{folder.name}-{k}"), k + 1
    return path


def _prepare_data(
    settings: dict[str, Any], reader: Reader, show: bool, processes: Processes
) -> tuple[FrameDataModule, dict[str, Any]]:
    seed = settings.get("seed_everything", 0)
    if type(seed) is not int or seed < 0:
        raise ParameterError(f"seed_everything is {seed!r}", fix="give a whole number of at least 0")
    if "data" not in settings:
        raise UsageError("the recipe has no data", fix="add data: with class_path: snnkit.data.NMNIST or another")
    spec = reader.spec(settings["data"], FrameDataModule, "data", {"seed": seed})
    _make_absolute(spec["init_args"])
    data: FrameDataModule = build(_with_progress(spec, show), None, reader)
    data.check_divisible(processes.world)
    processes.in_turn(data.prepare_data)
    data.setup()
    return data, {**settings, "seed_everything": seed, "data": spec}


def _make_absolute(args: dict[str, Any]) -> None:
    """Paths of a data set, and of those within it, in place."""
    for name, value in args.items():
        if name in ("root", "cache_dir") and isinstance(value, str):
            args[name] = os.path.abspath(os.path.expanduser(value))
        elif _is_class(value):
            _make_absolute(value["init_args"])


def _with_progress(spec: dict[str, Any], show: bool) -> dict[str, Any]:
    """A copy of a data set's description, and of those within it, with `progress` set where it takes that."""
    args = {k: _with_progress(v, show) if _is_class(v) else v for k, v in spec["init_args"].items()}
    return {**spec, "init_args": args | ({"progress": show} if "progress" in args else {})}


def _is_class(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value


def _resolve(
    settings: dict[str, Any], reader: Reader, num_classes: int, shapes: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """The complete settings in their fixed order; the network's sizes come from the data where left open."""
    model = dict(settings.get("model") or {})
    if "net" not in model:
        raise UsageError("the recipe has no model.net", fix="add net: with class_path: snnkit.models.ConvClassifier")
    links = {
        "num_classes": num_classes,
        "input_shape": list(shapes[0]),
        "input_shapes": [list(shape) for shape in shapes],
    }
    net = reader.spec(model.pop("net"), torch.nn.Module, "model.net", links)
    rest = reader.arguments(
        SpikingClassifier, model, "model", {"seed": settings.get("seed_everything", 0), "optimizer": {}}, skip=("net",)
    )
    return {
        "seed_everything": settings.get("seed_everything", 0),
        "model": {"net": net, **rest},
        "data": settings.get("data"),
        "trainer": reader.arguments(TrainerSettings, settings.get("trainer"), "trainer"),
    }


def _prepare_module(
    settings: dict[str, Any], reader: Reader, data: FrameDataModule, start: Start | None
) -> tuple[SpikingClassifier, Transfer | None]:
    seed = settings["seed_everything"]
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    net: torch.nn.Module = build(settings["model"]["net"], None, reader)
    taken = None if start is None else transfer(net, start, settings, data, reader)
    snn.check_model(net, *(torch.zeros(data.T, 1, *shape) for shape in data.input_shapes))
    was_training = net.training
    net.eval()
    with torch.no_grad():
        shape = tuple(net(*(torch.zeros(2, 1, *shape) for shape in data.input_shapes)).shape)
    net.train(was_training)
    if shape != (2, 1, data.num_classes):
        raise ShapeError(
            f"model.net gives an output of shape {shape} for an input [2, 1, …]; needed is (2, 1, {data.num_classes})",
            why=f"the data have {data.num_classes} classes and time stays in place: [T, B, classes]",
            fix="set the last layer's size to the number of classes",
        )
    rest = {name: value for name, value in settings["model"].items() if name != "net"}
    module: SpikingClassifier = construct(SpikingClassifier, rest, reader, net=net)
    if start is not None:
        module.freeze_layers(start.freeze)
        module.slow_layers(start.slow)
    return module, taken


__all__ = ["Start", "TrainerSettings", "fit", "next_free"]
