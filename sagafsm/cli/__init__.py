"""The command line; it needs the extra "cli"."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on this process's arguments."""
    try:
        from sagafsm.cli.commands import app  # noqa: PLC0415 - typer and rich are an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        sys.exit(f"sagafsm: the command line needs {error.name}: pip install 'sagafsm[cli]'")
    app()
