"""The demo as one command: run the orders, show what became of them, and audit the participants' files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from sagafsm.demo.audit import audit
from sagafsm.demo.crash import FIRST_LIFE, crash_through
from sagafsm.demo.folder import DEFAULT_STORE, Made, folder_of, store_file
from sagafsm.demo.orders import Order, read_orders
from sagafsm.demo.participants.service import PACE
from sagafsm.demo.progress import watching
from sagafsm.demo.report import print_audit, print_interrupted, print_report
from sagafsm.demo.saga import order as order_saga
from sagafsm.demo.work import work, working
from sagafsm.errors import SagaError
from sagafsm.instance import SagaInstance

INTERRUPTED = 130


def run_demo(
    orders: Path | None,
    store: str | None,
    crash: bool,
    fresh: bool,
    seed: int | None,
    *,
    pace: timedelta = PACE,
    first_life: timedelta = FIRST_LIFE,
    console: Console | None = None,
) -> int:
    """Run `orders` (None: those that come with sagafsm) on `store`, print what became of them, and audit.

    Safe to repeat: what is done stays done, and what was under way goes on. `crash` runs them in a process that is
    killed again and again, afresh unless a store is named; `seed` fixes the moments of the kills. `fresh` first
    removes the files that an earlier demo made. `pace` is how long a participant takes for a call, and `first_life`
    how long the first process of a `crash` lives at most; an exam shortens both.

    Returns:
        0 when the books balance, 1 when they do not, 130 when Ctrl-C ended it.

    Raises:
        BadOrders: the file of orders cannot be used; nothing was run.
        NotTheDemos: a file that the demo did not make is in its way; nothing was run.
        SagaError: what else the store or an instance does not allow; running the demo again goes on.
    """
    console = console or Console()
    taken = read_orders(orders)
    url = store or DEFAULT_STORE
    if crash and store_file(url) is None:
        raise SagaError(f"--crash needs a store that outlives its process, not {url!r} (name one as sqlite:///FILE)")
    folder = folder_of(url)
    Made(folder, store_file(url)).begin(fresh=fresh or (crash and store is None))
    try:
        if crash:
            crash_through(orders, taken, url, seed=seed, pace=pace, console=console, first_life=first_life)
        return _run_and_report(taken, url, folder, quiet=crash, pace=pace, console=console)
    except KeyboardInterrupt:
        print_interrupted(console, orders, url)
        return INTERRUPTED


def _run_and_report(
    orders: Sequence[Order], url: str, folder: Path, *, quiet: bool, pace: timedelta, console: Console
) -> int:
    with working(url, folder, pace=pace) as orchestrator:
        # After --crash too, where nothing is left to do: an order that does not fit what is stored is told.
        with nullcontext(_tell_nobody) if quiet else watching(console, len(orders)) as tell:
            work(orchestrator, orders, tell)
        instances = [orchestrator.get(summary.id) for summary in orchestrator.find(saga=order_saga.name)]
        found = audit(folder, instances)
    wanted = {order.id for order in orders}
    ours = [instance for instance in instances if instance.id in wanted]
    print_report(console, ours, others=len(instances) - len(ours), store_url=url)
    print_audit(console, found, folder)
    return 0 if found.balanced else 1


def _tell_nobody(_: SagaInstance) -> None:
    pass
