"""python -m benchmarks.peers NAME SAGAS FOLDER: what the sagas cost that peer, as JSON on the last line."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path

import attrs


def main(name: str, sagas: str, folder: str) -> None:
    """Run them; what the peers log below a warning is left out, as a service would leave it out."""
    logging.disable(logging.INFO)
    cost = importlib.import_module(f"benchmarks.peers.{name}").run(int(sagas), Path(folder))
    print()
    print(json.dumps(attrs.asdict(cost)))


if __name__ == "__main__":
    main(*sys.argv[1:])
