"""`snnkit COMMAND …`: finds the command, parses its options, prints errors without a traceback.

A command is a module of this package with

    def add_arguments(parser): ...          # argparse options; `--json` and `--debug` are added here
    def run(args) -> int: ...               # 0 fine, 1 the answer is no, 2 wrong use
    PASS_THROUGH = True                     # optional: unknown options are left in `args.rest`

Nothing but the standard library is imported before the command is known, so `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from snnkit import __version__
from snnkit.errors import (
    InternalError,
    MissingPackageError,
    OutOfMemoryError,
    SnnkitError,
    SystemCallError,
    UsageError,
    did_you_mean,
)

COMMANDS: dict[str, str] = {
    "quickstart": "make data, train, export to Loihi, emulate, validate, report: the whole road in minutes",
    "train": "train a recipe (a YAML file or a shipped name)",
    "finetune": "go on from a trained run, with the same data or a new head",
    "eval": "accuracy of a run on its test data",
    "recipes": "list, show or copy the shipped recipes",
    "models": "the reference architectures: parameters, neurons, and which chips take them",
    "check": "does a run fit a chip? every finding at once",
    "export": "quantise, map and write a chip descriptor NAME.snnx",
    "emulate": "run a descriptor on data or on a recording",
    "run": "run a network live: a recording, UDP packets or a pipe in, answers out",
    "nir": "write a run as a NIR file for other frameworks, or one NIR file as another",
    "validate": "compare torch model, integer graph and emulator, spike for spike",
    "verify": "re-run a descriptor's own vectors (no torch)",
    "report": "show or rebuild the report of a descriptor",
    "replay": "run reference vectors of independent simulators through our mapping and emulator",
    "inspect": "what is in a recording, a run or a descriptor",
    "data": "the known data sets: where they come from, and what is in yours",
    "convert": "write a recording of any known format as EVT 2, HDF5, CSV or NPZ",
    "bench": "our speed beside the peers', in one run",
    "reproduce": "re-measure a published accuracy or speed figure",
    "docs": "the API as pages made from the docstrings, or as a list",
    "doctor": "what this installation can do, and what is missing",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises our typed error, with a suggestion for misspelt options."""

    def error(self, message: str) -> NoReturn:
        hint = ""
        if "unrecognized arguments" in message or "invalid choice" in message:
            words = message.rsplit("invalid choice: ", 1)[-1].split(": ", 1)[-1].replace("'", " ").split()
            known = [s for a in self._actions for s in a.option_strings]
            known += [str(c) for a in self._actions for c in (a.choices or ())]
            hint = did_you_mean(words[0], known) if words else ""
        raise UsageError(f"{self.prog}: {message}{hint}", fix=f"{self.prog} --help shows the options")


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: snnkit COMMAND [OPTIONS]",
        "",
        "Train spiking networks on event data, export them to neuromorphic chips, and prove that the chip's",
        "arithmetic runs what was trained.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
        "",
        "options:",
        "  --help      this page; `snnkit COMMAND --help` for a command",
        "  --version   the version",
        "Every command takes --json (machine-readable output) and --debug (tracebacks).",
        "Exit codes: 0 fine, 1 the answer is no, 2 wrong use.",
    ]
    return "\n".join(lines)


def _as_ours(error: Exception) -> SnnkitError:
    """Any error as one of ours, so that it is printed in one way."""
    if isinstance(error, SnnkitError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"out of memory: {error}", fix="a smaller batch, or fewer samples at once")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return SystemCallError(f"{where}{error.strerror or error}")
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("snnkit"):
        package = str(error.name).split(".")[0]
        return MissingPackageError(
            f"the package {package!r} is not installed", fix="snnkit doctor tells what is missing"
        )
    return InternalError(f"{type(error).__name__}: {error}", fix="a fault of snnkit: report it with --debug's output")


def _fail(error: SnnkitError, as_json: bool) -> int:
    if as_json:
        import json

        body: dict[str, object] = dict(error.to_dict())
        findings = getattr(error, "findings", None)
        if findings is not None:
            body["findings"] = [f.to_dict() if hasattr(f, "to_dict") else str(f) for f in findings]
        print(json.dumps({"error": body}, indent=1))
    else:
        print(error, file=sys.stderr)
    return error.exit_code


def _command(argv: list[str]) -> int:
    """Find the command, parse its options, run it."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"snnkit {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise UsageError(
            f"there is no command {name!r}{did_you_mean(name, COMMANDS)}", fix="snnkit --help lists the commands"
        )
    # Huge pages make large tensors 1.2-1.9x faster, and torch reads this only while it loads.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # GNU OpenMP's threads, which torch's operators and our kernels use, go on spinning for milliseconds when they are
    # done, and take processors from those who load data. This is some 0.1 ms; libgomp reads it while torch loads.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    module = importlib.import_module(f"snnkit.cli.{name}")
    parser = _Parser(
        prog=f"snnkit {name}",
        description=module.__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
        allow_abbrev=False,  # `--json` must be seen before the options are parsed
    )
    module.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    if getattr(module, "PASS_THROUGH", False):
        args, unknown = parser.parse_known_args(rest)
        args.rest = unknown
    else:
        args = parser.parse_args(rest)
    return int(module.run(args) or 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _command(argv)
        sys.stdout.flush()  # a reader that went away is noticed here, not while the interpreter ends
        return code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if "--debug" in argv:
            import traceback

            traceback.print_exc()
        return _fail(_as_ours(error), "--json" in argv)


if __name__ == "__main__":
    sys.exit(main())
