"""The API as pages, made from the docstrings of this installation and kept in the cache.

snnkit docs                 make them if need be, and open the browser
snnkit docs --list          every public name with its signature, as text
snnkit docs --out api       write the pages to a folder of your own
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

from snnkit.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit docs`."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the pages (default: in the cache)")
    parser.add_argument("--no-browser", action="store_true", help="make the pages and print where they are")
    parser.add_argument("--list", action="store_true", help="print the public names and make no pages")


def run(args: argparse.Namespace) -> int:
    """Make the pages and open them; 0 when done."""
    from snnkit.cli.common import print_json

    if args.list:
        from snnkit.api import listing

        lines = listing()
        if args.json:
            print_json({"public": lines})
        else:
            print("\n".join(lines))
        return 0
    if args.out is not None and args.out.exists():
        raise UsageError(f"{args.out} exists already", fix="give a folder that does not exist yet")
    folder = args.out or _cached()
    made = not (folder / "index.html").is_file()
    if made:
        if not args.json:
            print("making the pages, once for this version …", file=sys.stderr)
        build(folder)
    page = folder / "index.html"
    if args.json:
        print_json({"page": str(page), "made": made})
        return 0
    print(page)
    if not args.no_browser:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return 0


def _cached() -> Path:
    """The folder of this version's pages: another version, or a changed source file, has another."""
    from snnkit import __version__
    from snnkit.data.cache import cache_folder

    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return cache_folder() / f"docs-{__version__}-{digest.hexdigest()[:12]}"


def build(folder: Path) -> None:
    """Write the pages to a folder, complete or not at all."""
    from snnkit._compat import prepare_torchvision

    prepare_torchvision()
    import pdoc

    from snnkit.api import PACKAGES, public

    for package, name, thing in public():  # pdoc sees what is there, and our packages load names when asked for them
        setattr(sys.modules[package], name, thing)
    pdoc.render.configure(docformat="google", footer_text="snnkit", search=True, show_source=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".docs-") as temporary:
        pages = Path(temporary) / "pages"
        with warnings.catch_warnings():
            # in a checkout the name is a folder as well; the installed package is meant
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"pdoc\.extract")
            pdoc.pdoc("snnkit", *PACKAGES, output_directory=pages)
        shutil.move(pages, folder)
