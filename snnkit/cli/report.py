"""Show the validation report of a descriptor, and where its page is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit report`."""
    parser.add_argument("descriptor", metavar="NAME.snnx", help="a descriptor that was validated")
    parser.add_argument(
        "--open", choices=("yes", "no"), default="no", help="open report.html in a browser (default no)"
    )
    parser.add_argument("--rebuild", action="store_true", help="write report.md and report.html again from report.json")


def run(args: argparse.Namespace) -> int:
    """Show the report; 0 when done."""
    from snnkit.validation.report import HTML, MARKDOWN, load_report, write_reports

    folder = Path(args.descriptor)
    result = load_report(folder)
    if args.rebuild or not all((folder / name).is_file() for name in (MARKDOWN, HTML)):
        write_reports(folder, result)
    page = (folder / HTML).resolve()
    if args.json:
        from snnkit._io import canonical_json

        sys.stdout.write(canonical_json(result))
    else:
        _show((folder / MARKDOWN).read_text(encoding="utf-8"))
        print(f"\npage: {page}")
    if args.open == "yes":
        import webbrowser

        webbrowser.open(page.as_uri())
    return 0


def _show(markdown: str) -> None:
    """Formatted in a terminal, as it is in a pipe."""
    if not sys.stdout.isatty():
        sys.stdout.write(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(markdown))
