"""Go on from a trained run, or from a file of weights: the same data, other data, classes, sensors or steps.

  snnkit finetune runs/digits --data EventFolder --data.root recordings --freeze conv1 --slow 'conv*=0.1'
  snnkit finetune weights.safetensors --recipe nmnist/dense --data.root data/nmnist --rename fc1=linear1

From a run (its folder, or a checkpoint in it) the network and every setting are taken; settings can be changed as in
`snnkit train`. Where the classes differ, the last layer is made anew; where the sensor's size differs, the dense layer
on pixels (--sensor); convolutions are kept. --rescale-decays follows another length of a step. With --target the layers
compute as the chip's do, for one virtual chip or a new one in every batch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snnkit.cli.train import add_training_options, check_threads, show
from snnkit.errors import UsageError

PASS_THROUGH = True
SHOWN = 40
"""So many tensors are listed in full."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit finetune`."""
    parser.usage = "snnkit finetune RUN|WEIGHTS [--key.sub VALUE …] [--freeze LAYERS] [--out DIR] [--resume] [options]"
    parser.add_argument("--out", type=Path, metavar="DIR", help="the new run's folder (default: RUN-finetuned)")
    parser.add_argument(
        "--freeze",
        action="append",
        default=[],
        metavar="LAYERS",
        help="keep these layers as they are: a path or pattern such as 'conv*'; may be repeated",
    )
    parser.add_argument("--slow", action="append", default=[], metavar="LAYERS=F",
                        help="train these layers at F times the learning rate, such as 'conv*=0.1'; may be\n"
                        "repeated, the last that fits a layer counts")  # fmt: skip
    parser.add_argument("--head", choices=("auto", "keep", "new"), default="auto",
                        help="the last layer: auto makes it anew where the classes differ (default)")  # fmt: skip
    parser.add_argument("--sensor", choices=("remake", "resample", "grid"), default="remake",
                        help="where the number of pixels differs: remake the dense layer on them (default),\nresample "
                        "its weights as the picture scales, or bin events into the start's grid")  # fmt: skip
    parser.add_argument("--rescale-decays", action="store_true",
                        help="decays become decay^(new step length / old step length)")  # fmt: skip
    parser.add_argument("--step-ratio", type=float, metavar="R", help="that ratio (default: from the data)")
    files = parser.add_argument_group("for files of weights", "a state dictionary: .pt (plain tensors) or .safetensors")
    files.add_argument("--recipe", metavar="RECIPE", help="the network and its settings: a file or a shipped name")
    files.add_argument("--rename", action="append", default=[], metavar="OLD=NEW",
                       help="layer OLD of the file is layer NEW of the network; may be repeated")  # fmt: skip
    files.add_argument("--match", choices=("name", "order"), default="name", help="pair tensors by name (default), or\n"
                       "by order where their last name and shape are equal")  # fmt: skip
    files.add_argument("--least", type=float, default=0.5, metavar="SHARE",
                       help="refuse a file that fits fewer of the network's tensors (default 0.5)")  # fmt: skip
    parser.add_argument(
        "--target", metavar="CHIP", help="train through this chip's weights and mismatch (brainscales2)"
    )
    parser.add_argument("--chip", type=int, metavar="SEED", help="for this virtual chip; default: robust to all")
    add_training_options(parser)


def run(args: argparse.Namespace) -> int:
    """Fine-tune; 0 when done."""
    check_threads(args.threads)
    if args.resume and args.out is None:
        raise UsageError("--resume needs --out", fix="add --out with the folder of the run to go on with")
    from snnkit.training.recipes import split_words

    plain, overrides = split_words(args.rest)
    if not plain:
        raise UsageError("no run given to start from", fix="snnkit finetune RUN")
    if len(plain) > 1:
        raise UsageError(f"unexpected argument {plain[1]!r}", fix="change settings with --key.sub VALUE")
    slow = {name: _factor(text) for name, text in _pairs("--slow", args.slow)}
    rename = dict(_pairs("--rename", args.rename))
    from snnkit.training.finetuning import finetune
    from snnkit.training.fitting import next_free
    from snnkit.training.processes import rank_of
    from snnkit.training.run import Run

    path = Path(plain[0])
    start, weights = _start(path, args.recipe, args.allow_code)
    if args.target is not None and not isinstance(start, Run):
        raise UsageError("--target needs a run to start from", fix="fine-tune without it first")
    prepare, hardware = _hardware(start, args.target, args.chip)
    out = args.out or next_free(path.with_name(f"{path.stem if path.is_file() else path.name}-finetuned"))
    done = finetune(
        start,
        out,
        overrides,
        progress=not (args.no_progress or args.json),
        recipe=args.recipe,
        freeze=args.freeze,
        slow=slow,
        head=args.head,
        sensor=args.sensor,
        rescale_decays=args.rescale_decays,
        step_ratio=args.step_ratio,
        rename=rename,
        match=args.match,
        least=args.least,
        weights=weights,
        allow_code=args.allow_code,
        resume=args.resume,
        threads=args.threads,
        prepare=prepare,
        hardware=hardware,
    )
    if rank_of(done.config["trainer"]) == 0:
        _report(done, start if isinstance(start, Run) else None, args.json)
    return 0


def _pairs(option: str, given: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in given:
        name, equals, value = text.rpartition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {text!r} is no NAME=VALUE", fix=f"such as {option} 'conv*=0.1'")
        pairs.append((name, value))
    return pairs


def _factor(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--slow: {text!r} is no number", fix="give a factor such as 0.1") from error


def _start(path: Path, recipe: str | None, allow: list[str]) -> tuple[Any, Any]:
    """The run, or the weights of a file; and weights beside a run, where a checkpoint in its folder was given."""
    from snnkit.training.run import load_run
    from snnkit.training.weights import read_weights

    if not path.is_file() or path.suffix.lower() == ".nir":  # which says where NIR files go
        return load_run(path, allow), None
    weights = read_weights(path)
    if recipe is None and (path.parent / "run.json").exists():
        return load_run(path.parent, allow), weights
    return weights, None


def _report(done: Any, start: Any, as_json: bool) -> None:
    """What was taken over, before and after, and the rest as after training."""
    from snnkit.cli.common import print_json, print_table
    from snnkit.training.before import read_start
    from snnkit.training.transfer import Row, describe_rows

    value = read_start(done.path) or {}
    picture = _picture(done, start, value)
    if as_json:
        taken = {k: v for k, v in value.items() if k not in ("validation", "why")}
        print_json({"run": str(done.path), "transfer": taken, "picture": picture, **done.metrics})
        return
    rows = [Row(**row) for row in value.get("tensors", [])]
    shown = rows if len(rows) <= SHOWN else [r for r in rows if r.state != "kept"]
    print_table("weights taken over", ["tensor", "state", "start", "now", "why"], describe_rows(shown))
    counts = {s: sum(r.state == s for r in rows) for s in dict.fromkeys(r.state for r in rows)}
    print(", ".join(f"{n} {state}" for state, n in counts.items()))
    for sentence in value.get("said", []):
        print(f"note: {sentence}")
    before = value.get("validation")
    print(
        f"before      {before['accuracy']:.2%} of the validation part" if before else f"before      {value.get('why')}"
    )
    print(f"after       {done.metrics['validation']['accuracy']:.2%} of the validation part")
    show(done, False)
    if picture:
        print(f"picture     {picture}")


def _picture(done: Any, start: Any, value: dict[str, Any]) -> str | None:
    """Both histories in `history.png`; None where there is no matplotlib."""
    from snnkit import viz
    from snnkit.errors import MissingPackageError

    before = value.get("validation")
    curves = {} if start is None else {"start": start.history("val_accuracy")}
    own = done.history("val_accuracy")
    curves["fine-tuned"] = ([before["accuracy"]] if before else [float("nan")]) + own
    try:
        axes = viz.histories(curves, title=done.name)
    except (MissingPackageError, ModuleNotFoundError):
        return None
    path = done.path / "history.png"
    figure: Any = axes.figure
    figure.savefig(path, dpi=100, bbox_inches="tight")
    return str(path)


def _hardware(start: Any, name: str | None, chip: int | None) -> tuple[Any, dict[str, Any] | None]:
    """What makes the layers those of a chip, and what the record says about it."""
    if name is None:
        if chip is not None:
            raise UsageError("--chip needs --target", fix="add --target brainscales2")
        return None, None
    from snnkit.quantization.analogue import mismatch_training
    from snnkit.targets import registry
    from snnkit.validation.runs import chip_graph, opened

    target = registry.get(name)
    if not target.capabilities.virtual_chips:
        raise UsageError(f"{name} has no mismatch to train through", fix="leave --target out")
    made = chip_graph(start, target, opened(start))
    training = mismatch_training(made, target, chip)
    return training, {"target": name, "chip": chip}
