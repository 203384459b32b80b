"""Reset after a fork: every registered service that holds a thread or a lock begins anew in the child process."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class ForkAware(Protocol):
    """What holds a thread or a lock, which a fork does not take along."""

    def forget(self) -> None:
        """Begin anew, in the child of a fork."""
        ...


_fork_aware: weakref.WeakSet[Any] = weakref.WeakSet()
# What a child has of its parent's loop. Were it collected, it would close what the parent still uses, or complain.
kept_after_fork: list[object] = []


def reset_after_fork(service: ForkAware) -> None:
    """Have it begin anew in the child of a fork, for as long as it lives."""
    _fork_aware.add(service)


def _reset_all() -> None:
    for service in list(_fork_aware):
        service.forget()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
