"""Train a recipe, and report on its test data.

RECIPE is a YAML file or a shipped name (`snnkit recipes list`). Any setting can be changed:

  snnkit train nmnist/loihi --data.root data/nmnist --trainer.max_epochs 20 --seed_everything 1

Several devices (torchrun or SLURM start the processes; on one node they are started here where nobody did):

  snnkit train nmnist/loihi --trainer.devices 4
  torchrun --nnodes 2 --nproc_per_node 4 … -m snnkit train nmnist/loihi --trainer.devices 4 --trainer.num_nodes 2

A run that was stopped goes on after its last complete epoch:

  snnkit train --resume --out runs/nmnist-loihi
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnkit.errors import UsageError

if TYPE_CHECKING:
    from snnkit.training.run import Run

PASS_THROUGH = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit train`."""
    parser.usage = "snnkit train RECIPE [--key.sub VALUE …] [--out DIR] [--resume] [options]"
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/NAME)")
    add_training_options(parser)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Options that `train` and `finetune` share."""
    parser.allow_abbrev = False  # an abbreviation would swallow misspelt settings
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out after its last epoch")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (results are bit-equal for equal N)")
    parser.add_argument(
        "--allow-code",
        action="append",
        default=[],
        metavar="MODULE",
        help="let the recipe name classes of this module outside snnkit",
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")


def check_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads that makes no sense."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}", fix="give at least 1")


def settings_of(out: Path) -> dict[str, Any]:
    """The settings of an interrupted run, to go on with."""
    from snnkit.training.run import read_record

    return dict(read_record(out)["settings"])


def run(args: argparse.Namespace) -> int:
    """Train; 0 when done."""
    check_threads(args.threads)
    from snnkit.training.recipes import find, split_words

    plain, overrides = split_words(args.rest)
    if len(plain) > 1:
        raise UsageError(f"unexpected argument {plain[1]!r}", fix="change settings with --key.sub VALUE")
    named = plain[0] if plain else None
    if named is None and not (args.resume and args.out):
        raise UsageError(
            "no recipe given", fix="snnkit recipes list shows the shipped ones; to go on: --resume --out RUN"
        )
    if args.resume and args.out is None:
        raise UsageError("--resume needs --out", fix="add --out with the folder of the run to go on with")
    recipe: Any = named
    if named is not None:
        find(named)
    else:
        recipe = settings_of(args.out)
    from snnkit.training.fitting import fit, next_free
    from snnkit.training.processes import rank_of

    name = str(named or "").removesuffix(".yaml").removeprefix("recipes/").strip("./")
    out = args.out or next_free(Path("runs") / name.replace("/", "-"))
    done = fit(
        recipe,
        out,
        overrides,
        progress=not (args.no_progress or args.json),
        resume=args.resume,
        allow_code=args.allow_code,
        threads=args.threads,
    )
    if rank_of(done.config["trainer"]) == 0:
        show(done, args.json)
    return 0


def show(run: Run, as_json: bool) -> None:
    """Print what came out of a run."""
    m = run.metrics
    if as_json:
        from snnkit.cli.common import print_json

        print_json({"run": str(run.path), **m})
        return
    test = m["test"]
    print(f"run         {run.path}")
    print(f"epochs      {m['epochs']}, selected {m['selected_epoch'] + 1} by {m['selected_by']}")
    print(f"validation  {m['validation']['accuracy']:.2%}")
    print(f"test        {test['accuracy']:.2%} ({test['correct']} of {test['samples']})")
    for path, layer in test["layers"].items():
        rates = f"{layer['rate']:.3f} spikes per step, {layer['silent']:.0%} silent, {layer['saturated']:.0%} saturated"
        print(f"  {path:<10}{rates}")
        if layer["silent"] == 1.0:
            print(f"warning: layer {path} never fires", file=sys.stderr)
