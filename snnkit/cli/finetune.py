"""Go on from a trained run: the same data, other data, or a new head for other classes.

  snnkit finetune runs/digits --data.class_path snnkit.data.NMNIST --data.root data/nmnist --freeze conv1

With --target the layers compute as the chip's do, for one virtual chip or a new one in every batch.
The network and every setting come from RUN; settings can be changed as in `snnkit train`. Where the number of classes
differs, the last layer is made anew; all other weights are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from snnkit.cli.train import add_training_options, check_threads, show
from snnkit.errors import UsageError

PASS_THROUGH = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit finetune`."""
    parser.usage = "snnkit finetune RUN [--key.sub VALUE …] [--freeze LAYERS] [--out DIR] [--resume] [options]"
    parser.add_argument("--out", type=Path, metavar="DIR", help="the new run's folder (default: RUN-finetuned)")
    parser.add_argument(
        "--freeze",
        action="append",
        default=[],
        metavar="LAYERS",
        help="keep these layers as they are: a path or pattern such as 'conv*'; may be repeated",
    )
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
    from snnkit.training.fitting import finetune, next_free
    from snnkit.training.run import load_run

    start = load_run(plain[0], args.allow_code)
    prepare, hardware = _hardware(start, args.target, args.chip)
    path = Path(plain[0])
    out = args.out or next_free(path.with_name(f"{path.name}-finetuned"))
    done = finetune(
        start,
        out,
        overrides,
        progress=not (args.no_progress or args.json),
        freeze=args.freeze,
        resume=args.resume,
        threads=args.threads,
        prepare=prepare,
        hardware=hardware,
    )
    show(done, args.json)
    return 0


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
