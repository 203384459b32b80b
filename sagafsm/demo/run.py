"""The demo as one command: run the orders, print their outcomes, and audit the services' files."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from sagafsm.demo.audit import audit
from sagafsm.demo.folder import DEFAULT_STORE, claim_folder, find_store_file, resources
from sagafsm.demo.output import print_audit, print_interrupted, print_report, show_progress
from sagafsm.demo.saga import Order, read_orders
from sagafsm.demo.saga import order as order_saga
from sagafsm.demo.services import PACE, open_services
from sagafsm.errors import SagaError
from sagafsm.history.instance import SagaInstance
from sagafsm.orchestrator import Orchestrator

# The longest life of the first worker that `--crash` kills, and the factor for each later one. An idle machine needs
# about eight kills. If the lives did not grow, a busy machine might never finish an order.
FIRST_LIFE = timedelta(milliseconds=900)
GROWTH = 1.1
MOST_KILLS = 200


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
    """Run `orders` (None: the orders that come with sagafsm) on `store`, print their outcomes, and audit.

    A repeated run goes on with unfinished orders and repeats no other. `fresh` first removes the files of an earlier
    demo. `crash` kills the process of the orders at random moments, which `seed` fixes; unless a store is named, it
    begins anew. The result is 0 if the books balance, 1 if they do not, 130 if Ctrl-C ended the demo.
    """
    console, url, wanted = console or Console(), store or DEFAULT_STORE, read_orders(orders)
    if crash and find_store_file(url) is None:
        raise SagaError(f"--crash needs a store that outlives its process, not {url!r} (name one as sqlite:///FILE)")
    folder = claim_folder(url, fresh=fresh or (crash and store is None))
    try:
        if crash:
            arguments = [url, str(pace.total_seconds()), *([] if orders is None else [str(orders)])]
            _run_and_kill(arguments, wanted, seed=seed, first_life=first_life, console=console)
        services = open_services(folder, pace=pace)
        with Orchestrator(url, sagas=[order_saga], resources=services) as orchestrator:
            # After a crash nothing is left to run, but an order that differs from the stored one is reported here.
            with show_progress(Console(quiet=True) if crash else console, len(wanted)) as show:
                run_orders(orchestrator, wanted, show)
            instances = [orchestrator.get(summary.id) for summary in orchestrator.find(saga=order_saga.name)]
            ours = [orchestrator.get(order.id) for order in wanted]
            found = audit(folder, instances)
        print_report(console, ours, others=len(instances) - len(ours), store_url=url)
        print_audit(console, found, folder)
        return 1 if found.problems else 0
    except KeyboardInterrupt:
        print_interrupted(console, orders, url)
        return 130


def run_orders(orchestrator: Orchestrator, orders: Sequence[Order], show: Callable[[SagaInstance], None]) -> None:
    """Finish the orders that an earlier process left, then run `orders`, and show each one that was run."""
    # The report of `recover` is not needed: for an order that cannot go on, `run` raises the reason.
    orchestrator.recover()
    for order in orders:
        show(orchestrator.run(order_saga, order, id=order.id))


def find_unsettled(orchestrator: Orchestrator, orders: Sequence[Order]) -> list[Order]:
    """Return the orders that have not begun, or are neither at rest nor blocked."""
    found = orchestrator.find(saga=order_saga.name)
    settled = {summary.id for summary in found if summary.is_at_rest or summary.blocked}
    return [order for order in orders if order.id not in settled]


def _run_and_kill(
    arguments: Sequence[str], orders: Sequence[Order], *, seed: int | None, first_life: timedelta, console: Console
) -> None:
    """Kill worker after worker, until one ends by itself because all orders are settled."""
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    console.print(f"running {len(orders)} orders in a process that is killed at random (--seed {seed})")
    chance = random.Random(seed)  # noqa: S311 - moments of kills, not secrets
    kills = 0
    while _is_killed(arguments, life := chance.uniform(0, first_life.total_seconds() * GROWTH**kills)):
        kills += 1
        progress = _describe_progress(arguments[0], orders)
        console.print(f"kill {kills:2} after {life:.2f} s: {progress}", highlight=False)
        if kills == MOST_KILLS:
            raise SagaError(f"the orders are not through after {MOST_KILLS} kills: {progress}")
    console.print(f"through after {kills} kills")


def _is_killed(arguments: Sequence[str], life: float) -> bool:
    """Run a worker. Return True if it was killed after `life` seconds, False if it ended before."""
    command = [sys.executable, "-m", "sagafsm.demo.run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:  # noqa: S603 - our own module
        try:
            assert worker.stdout is not None  # noqa: S101 - for the type checker
            begun = worker.stdout.readline()
            status = worker.wait(timeout=life if begun else None)
        except subprocess.TimeoutExpired:
            return True
        finally:
            # SIGKILL, so that the worker cannot put anything in order.
            worker.kill()
    if status != 0:
        raise SagaError(f"the worker failed by itself with status {status} (what it said stands above)")
    return False


def _describe_progress(url: str, orders: Sequence[Order]) -> str:
    with Orchestrator(url, sagas=[order_saga]) as orchestrator:
        settled = len(orders) - len(find_unsettled(orchestrator, orders))
        found = list(orchestrator.find(saga=order_saga.name))
    blocked = sum(1 for summary in found if summary.blocked)
    under_way = [f"{s.id} in {s.state}" for s in found if not (s.is_at_rest or s.blocked)]
    words = [f"{settled} of {len(orders)} settled", *([f"{blocked} of them blocked"] if blocked else [])]
    return ", ".join((*words, *under_way))


def run_worker(arguments: Sequence[str]) -> int:
    """Run the unsettled orders in the process that is killed. Arguments: store URL, pace in seconds, file of orders."""
    url, pace, *path = arguments
    try:
        orders = read_orders(Path(path[0]) if path else None)
        services = resources(url, pace=timedelta(seconds=float(pace)))
        with Orchestrator(url, sagas=[order_saga], resources=services) as orchestrator:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
            run_orders(orchestrator, find_unsettled(orchestrator, orders), lambda _: None)
    except SagaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:]))
