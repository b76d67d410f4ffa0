"""The entry of `tachograph`: small enough to say what is missing when the command line's own packages are."""

from __future__ import annotations

import sys
from typing import NoReturn

from tachograph.errors import MissingExtra

PACKAGES = ("typer", "rich")
"""What the extra `cli` brings."""


def main() -> NoReturn:
    """Run the command that `sys.argv` names, and leave with its exit code."""
    try:
        from tachograph.cli.app import run

        run()
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in PACKAGES:
            raise
        print(f"tachograph: {MissingExtra('the command line', package, 'cli')}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
