"""The process that `--crash` kills: runs what is left of the orders and ends, saying nothing but when it begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sagafsm.demo.folder import folder_of
from sagafsm.demo.orders import read_orders
from sagafsm.demo.work import unsettled, work, working
from sagafsm.errors import SagaError

MODULE = "sagafsm.demo.worker"


def arguments(orders: Path | None, url: str, pace: timedelta) -> list[str]:
    """The command line of a worker."""
    return [sys.executable, "-m", MODULE, url, str(pace.total_seconds()), *([] if orders is None else [str(orders)])]


def main(given: Sequence[str]) -> int:
    """Run what `arguments` names; the exit status."""
    url, pace, *path = given
    try:
        orders = read_orders(Path(path[0]) if path else None)
        with working(url, folder_of(url), pace=timedelta(seconds=float(pace))) as orchestrator:
            left = unsettled(orchestrator, orders)
            sys.stdout.write("begun\n")
            sys.stdout.flush()
            work(orchestrator, left, lambda _: None)
    except SagaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
