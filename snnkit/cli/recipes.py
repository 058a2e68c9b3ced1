"""The shipped recipes: list them, show one, copy one to change it."""

from __future__ import annotations

import argparse
from pathlib import Path

from snnkit.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit recipes`."""
    parser.add_argument("action", choices=["list", "show", "copy"], help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the recipe, such as nmnist/loihi (show, copy)")
    parser.add_argument(
        "target", nargs="?", type=Path, metavar="FILE", help="where to copy it (default: NAME.yaml here)"
    )


def run(args: argparse.Namespace) -> int:
    """List, show or copy; 0 when done."""
    from snnkit.training import recipes

    if args.action == "list":
        if args.name is not None:
            raise UsageError(f"list takes no name, got {args.name!r}", fix="snnkit recipes show NAME")
        found = {name: recipes.describe(recipes.find(name)) for name in recipes.names()}
        if args.json:
            import json

            print(json.dumps(found, indent=1))
        else:
            width = max(map(len, found), default=0)
            for name, text in found.items():
                print(f"{name:<{width}}  {text}")
        return 0
    if args.name is None:
        raise UsageError(f"{args.action} which recipe?", fix="one of: " + ", ".join(recipes.names()))
    path = recipes.find(args.name)
    text = path.read_text(encoding="utf-8")
    if args.action == "show":
        if args.json:
            import json

            print(
                json.dumps({"name": args.name, "path": str(path), "recipe": recipes.parse(text, str(path))}, indent=1)
            )
        else:
            print(text, end="")
        return 0
    target = args.target or Path(path.name)
    if target.is_dir():
        target = target / path.name
    if target.exists():
        raise UsageError(f"{target} exists already", fix="give another file to copy to")
    from snnkit._io import write_text

    write_text(target, text)
    if args.json:
        import json

        print(json.dumps({"copied": str(target)}))
    else:
        print(f"copied to {target}; train it with: snnkit train {target}")
    return 0
