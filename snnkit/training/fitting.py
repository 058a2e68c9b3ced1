"""`fit`: from a recipe to a run. Training, resuming and fine-tuning are one code path."""

from __future__ import annotations

import copy
import csv
import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snnkit._compat import prepare_torchvision

prepare_torchvision()

import lightning as L  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from snnkit import _io  # noqa: E402
from snnkit import nn as snn  # noqa: E402
from snnkit.data.module import FrameDataModule  # noqa: E402
from snnkit.errors import ParameterError, ShapeError, UsageError  # noqa: E402
from snnkit.kernels import warm_up  # noqa: E402
from snnkit.training import checkpoint, recipes  # noqa: E402
from snnkit.training.callbacks import ProgressCallback, RunFolder, quiet, training_progress  # noqa: E402
from snnkit.training.evaluation import evaluate  # noqa: E402
from snnkit.training.metrics import Evaluation  # noqa: E402
from snnkit.training.module import SpikingClassifier  # noqa: E402
from snnkit.training.record import Start, check_same, make_record  # noqa: E402
from snnkit.training.run import Run, load_run, read_record  # noqa: E402
from snnkit.training.settings import Reader, build, construct, find_class, parameters  # noqa: E402

Overrides = Sequence[tuple[str, object]] | Mapping[str, object]
FRAME_KEYS = ("T", "by", "binary", "encoding", "full_count", "batch_size")


@dataclass(frozen=True)
class TrainerSettings:
    """The part of `lightning.Trainer`'s arguments that a recipe sets.

    Args:
        max_epochs: epochs to train.
        accelerator: "auto", "cpu" or "gpu".
        precision: "32-true", "bf16-mixed", or on a GPU "16-mixed"; neuron states stay float32.
        accumulate_grad_batches: batches whose gradients are added up before a step of the optimizer.
        patience: stop early after so many epochs without a better validation figure (the one of model.select; a tie is
            none, and the earliest of equals is kept); None: train all epochs. Schedules still run over max_epochs.
        limit_train_batches, limit_val_batches: at most so many batches (a whole number) or this share (0..1].
        logger: write TensorBoard logs beside the CSV.
    """

    max_epochs: int = 40
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    limit_train_batches: int | float = 1.0
    limit_val_batches: int | float = 1.0
    logger: bool = True
    accumulate_grad_batches: int = 1
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "accumulate_grad_batches", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"trainer.{name} is {value}", fix="give at least 1")
        if self.precision == "16-mixed" and (self.accelerator == "cpu" or not torch.cuda.is_available()):
            raise ParameterError(
                "trainer.precision is '16-mixed', and training runs on the CPU", fix="use bf16-mixed or 32-true"
            )


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

    Args:
        recipe: a YAML file, a shipped name such as "nmnist/loihi", or a mapping with the same keys.
        out_dir: the run's folder; new, or an interrupted run's with `resume`.
        overrides: settings to change, by dotted key.
        progress: show progress bars; or a callback that is told of every batch and epoch.
        resume: go on after the last complete epoch of the run in `out_dir`.
        allow_code: modules outside snnkit whose classes the recipe may name.
        threads: CPU threads; None leaves torch's number. Results are bit-equal for equal numbers only.
        start: weights to start from (fine-tuning).

    Returns:
        The run with the weights of the selected epoch.

    Raises:
        RecipeError, ParameterError, ShapeError, DataError: the recipe or the data are wrong; names key or layer.
        ResumeError: recipe or data differ from the interrupted run's; lists the differences.
        UsageError: the folder is taken, or there is nothing to resume.
    """
    out, reader = Path(out_dir), Reader(allow_code)
    settings = recipes.override(recipes.load(recipe), overrides)
    if threads is not None:
        torch.set_num_threads(threads)
    before = read_record(out) if resume else None
    if not resume and out.exists() and (not out.is_dir() or any(not p.name.endswith(".tmp") for p in out.iterdir())):
        raise UsageError(
            f"{out} exists already", fix="add --resume to go on with that run, or give another folder with --out"
        )
    show = bool(progress)
    _resolve(settings, reader, 1, ((1, 1, 1),))  # mistakes in the recipe are told before data are prepared
    data, settings = _prepare_data(settings, reader, show)
    settings = _resolve(settings, reader, data.num_classes, data.input_shapes)
    record = make_record(recipe, settings, data, reader, start)
    if before is not None:
        check_same(before, record)
        record = before
    module = _prepare_module(settings, reader, data, start)
    if before is None:
        _io.write_json(out / "run.json", record)
        _io.write_text(out / "recipe.yaml", recipes.dump(settings))
    trainer_settings: TrainerSettings = construct(TrainerSettings, settings["trainer"], reader)
    with training_progress(progress is True) as bar:
        report = progress if callable(progress) else bar
        warm_up(lambda name, done, total: report({"compiling": name, "done": done, "total": total}))
        _train(module, data, trainer_settings, out, report, resume)
    run = load_run(out, reader.allow)
    _io.write_json(out / "metrics.json", _final_metrics(run, data))
    return load_run(out, reader.allow)


def finetune(
    run: Run,
    out_dir: str | Path,
    overrides: Overrides = (),
    progress: bool | ProgressCallback = True,
    *,
    freeze: Sequence[str] = (),
    resume: bool = False,
    threads: int | None = None,
    prepare: Callable[[Any], None] | None = None,
    hardware: Mapping[str, Any] | None = None,
) -> Run:
    """Train on from a run's weights: the same settings with `overrides`, other data, or a new head.

    Where `data` has another class_path, the frames' settings (T, by, binary, code) and the batch size are kept. Where
    the number of classes differs, the last layer is made anew.

    Args:
        run: where to start.
        out_dir, overrides, progress, resume, threads: as in `fit`.
        freeze: layers to keep as they are; see `SpikingClassifier.freeze_layers`.
        prepare: changes the module before training, such as `snnkit.quantization.mismatch.MismatchTraining`.
        hardware: what the record says of that.

    Raises:
        As `fit`; ParameterError for a pattern that matches no layer.
    """
    settings = copy.deepcopy(run.config)
    changes = list(overrides.items() if isinstance(overrides, Mapping) else overrides)
    kept = settings["data"]["init_args"]
    recipes.override(settings, changes)
    if settings["data"]["class_path"] != run.config["data"]["class_path"]:
        known = parameters(find_class(settings["data"]["class_path"], "data", run.allow_code))
        given = settings["data"].get("init_args") or {}
        same = {n: kept[n] for n in FRAME_KEYS if n in kept and n in known}
        settings["data"]["init_args"] = {**same, **given}
    net_args = settings["model"]["net"].get("init_args", {})
    if not any(key.endswith("num_classes") for key, _ in changes):
        net_args.pop("num_classes", None)  # taken from the data again
    start = Start(run, tuple(freeze), prepare, hardware)
    return fit(
        settings,
        out_dir,
        (),
        progress,
        resume=resume,
        allow_code=run.allow_code,
        threads=threads,
        start=start,
    )


def next_free(folder: Path) -> Path:
    """The folder itself if it is free, else the first free one of folder-2, folder-3, …"""
    k, path = 2, folder
    while path.exists():
        path, k = folder.with_name(f"{folder.name}-{k}"), k + 1
    return path


def _prepare_data(settings: dict[str, Any], reader: Reader, show: bool) -> tuple[FrameDataModule, dict[str, Any]]:
    seed = settings.get("seed_everything", 0)
    if type(seed) is not int or seed < 0:
        raise ParameterError(f"seed_everything is {seed!r}", fix="give a whole number of at least 0")
    if "data" not in settings:
        raise UsageError("the recipe has no data", fix="add data: with class_path: snnkit.data.NMNIST or another")
    spec = reader.spec(settings["data"], FrameDataModule, "data", {"seed": seed})
    _make_absolute(spec["init_args"])
    data: FrameDataModule = build(_with_progress(spec, show), None, reader)
    data.prepare_data()
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
) -> SpikingClassifier:
    seed = settings["seed_everything"]
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    net: torch.nn.Module = build(settings["model"]["net"], None, reader)
    if start is not None:
        _take_weights(net, start.run)
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
    if start is not None and start.freeze:
        module.freeze_layers(start.freeze)
    if start is not None and start.prepare is not None:
        start.prepare(module)
    return module


def _take_weights(net: torch.nn.Module, run: Run) -> None:
    """Copy a run's weights; tensors whose shape differs (a new head) keep their fresh values."""
    own, theirs = net.state_dict(), run.model.state_dict()
    common = {n: t for n, t in theirs.items() if n in own and own[n].shape == t.shape}
    if not common:
        raise UsageError(
            f"{run.path} has no weights in common with this network", fix="fine-tune with the run's own net"
        )
    net.load_state_dict(common, strict=False)


def _train(
    module: SpikingClassifier,
    data: FrameDataModule,
    settings: TrainerSettings,
    out: Path,
    report: ProgressCallback,
    resume: bool,
) -> None:
    folder = RunFolder(out, report, settings.patience)
    resume = resume and folder.last.exists()
    if resume:
        # Lightning starts the loaders, whose workers fetch ahead, before it tells the sampler the epoch.
        data.set_epoch(int(checkpoint.load_tensors(folder.last)["epoch"]) + 1)
    with quiet():
        logger: Any = False
        if settings.logger:
            from lightning.pytorch.loggers import TensorBoardLogger

            logger = TensorBoardLogger(out, name="", version="tensorboard")
        trainer = L.Trainer(
            max_epochs=settings.max_epochs,
            accelerator=settings.accelerator,
            devices=1,
            precision=settings.precision,
            limit_train_batches=settings.limit_train_batches,
            limit_val_batches=settings.limit_val_batches,
            gradient_clip_val=module.optimizer_settings.grad_clip,
            accumulate_grad_batches=settings.accumulate_grad_batches,
            logger=logger,
            callbacks=[folder],
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        try:
            trainer.fit(
                module,
                datamodule=data,
                ckpt_path=str(folder.last) if resume else None,
                weights_only=resume or None,
            )
        except SystemExit:
            if not trainer.interrupted:
                raise
    if trainer.interrupted:
        done = len(folder.history)
        print(
            f"\nstopped; {done} of {settings.max_epochs} epochs are complete and kept. Go on with:\n"
            f"  snnkit train --resume --out {out}",
            file=sys.stderr,
        )
        raise KeyboardInterrupt


def _final_metrics(run: Run, data: FrameDataModule) -> dict[str, Any]:
    with open(run.path / "history.csv", encoding="utf-8", newline="") as file:
        history = list(csv.DictReader(file))
    selected = int(checkpoint.load_tensors(run.path / "model.ckpt")["epoch"])
    test = evaluate(run.model, data, "test", run.config["model"])
    row = history[selected]
    last = test if selected == len(history) - 1 else _evaluate_last(run, data)
    return {
        "epochs": len(history),
        "selected_epoch": selected,
        "selected_by": run.config["model"]["select"],
        "validation": {"accuracy": float(row["val_accuracy"]), "loss": float(row["val_loss"])},
        "test": test.to_dict(),
        "last_epoch": {
            "validation": {name: float(history[-1][f"val_{name}"]) for name in ("accuracy", "loss")},
            "test": {"accuracy": last.accuracy, "loss": last.loss},
        },
        "weights": run.digest,
    }


def _evaluate_last(run: Run, data: FrameDataModule) -> Evaluation:
    """The last epoch's weights on the test data, to be shown beside the selected epoch's."""
    saved = checkpoint.load_tensors(run.path / "last.ckpt")["state_dict"]
    prefix = "net." if run.config["model"]["ema"] is None else "average."
    model = copy.deepcopy(run.model)
    state = {name.removeprefix(prefix): t for name, t in saved.items() if name.startswith(prefix)}
    checkpoint.load_into(model, state, run.path / "last.ckpt")
    return evaluate(model, data, "test", run.config["model"])


__all__ = ["Start", "TrainerSettings", "finetune", "fit", "next_free"]
