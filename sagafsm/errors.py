"""Every error that sagafsm raises, and the two that a user's function may raise to say what it knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from sagafsm.display import Displayable


def _revive_error(kind: type[SagaError], args: tuple[Any, ...], kept: dict[str, Any]) -> SagaError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(kept)
    return error


def format_list(names: Iterable[object], *, none: str = "none") -> str:
    """The names separated by commas, or `none` when there are none."""
    return ", ".join(str(name) for name in names) or none


class SagaError(Exception):
    """Whatever went wrong inside sagafsm or in how it was used; catches all of them."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The classes build their message from several arguments; pickling must not call them with the message alone.
        return (_revive_error, (type(self), self.args, self.__dict__))


class DefinitionError(SagaError, ValueError):
    """What was declared is not well formed: a saga, a step, a policy, an id or an orchestrator; nothing has run."""


class RequestError(SagaError, ValueError):
    """What was asked of an orchestrator is not well formed; nothing was done."""


class DefinitionChanged(SagaError, RuntimeError):
    """An instance was begun under another definition than the one at hand; the instance is untouched."""

    def __init__(
        self, instance_id: str, saga: str, version: int, differences: tuple[str, ...], *, migrating: bool = False
    ) -> None:
        self.instance_id, self.saga, self.version, self.differences = instance_id, saga, version, differences
        way_out = "register the old definition under its version and give the new one another"
        if migrating:
            way_out = f"a migration loses nothing: keep what it needs, or register version {version} too"
        super().__init__(
            f"instance {instance_id!r} was begun under another definition of saga {saga!r} version {version}: "
            f"{'; '.join(differences)} ({way_out})"
        )


class IllegalTransition(SagaError, RuntimeError):
    """The state of an instance does not allow what was asked of it; the instance is untouched."""

    def __init__(self, instance_id: str, state: str, operation: str, allowed: Iterable[str]) -> None:
        self.instance_id, self.state, self.operation, self.allowed = instance_id, state, operation, tuple(allowed)
        super().__init__(
            f"instance {instance_id!r} is {state}, which does not allow {operation!r} "
            f"(allowed: {format_list(self.allowed, none='nothing')})"
        )


class SagaNotFound(SagaError, LookupError):
    """The store holds no instance of that id."""

    def __init__(self, instance_id: str, store: str) -> None:
        self.instance_id, self.store = instance_id, store
        super().__init__(f"no instance {instance_id!r} in {store} (find() lists what is there)")


class UnsuccessfulInstance(Protocol):
    """The fields of a `SagaInstance` that the messages of `SagaFailed` and `SagaUnfinished` name."""

    @property
    def id(self) -> str:
        """The id of the instance."""
        ...

    @property
    def state(self) -> str:
        """The state, such as `failed` or `running:charge`."""
        ...

    @property
    def why(self) -> object:
        """The cause in words; None while there is none."""
        ...

    @property
    def residue(self) -> Sequence[Any]:
        """The effects that may remain."""
        ...

    @property
    def blocked(self) -> Sequence[Any]:
        """The steps that wait for a decision."""
        ...

    @property
    def owner(self) -> str | None:
        """The name of the owner; None when nothing drives the instance."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether the instance waits for a signal."""
        ...

    @property
    def awaited(self) -> Sequence[str]:
        """The names of the signals that end the wait."""
        ...

    @property
    def wake_at(self) -> datetime | None:
        """The time at which the instance goes on by itself."""
        ...


class SagaFailed(Displayable, SagaError, RuntimeError):
    """An instance ended `failed`; `instance` tells the cause and what may remain."""

    def __init__(self, instance: UnsuccessfulInstance) -> None:
        # A `SagaInstance`. Its class is defined above this module, which therefore cannot name the class here.
        self.instance: Any = instance
        remains = format_list((f"{left.step} ({left.reason})" for left in instance.residue), none="nothing")
        super().__init__(f"instance {instance.id!r} failed: {instance.why}; may remain: {remains}")


class SagaUnfinished(Displayable, SagaError, RuntimeError):
    """An instance is not at rest: blocked, waiting for a time, or driven by somebody else."""

    def __init__(self, instance: UnsuccessfulInstance) -> None:
        # A `SagaInstance`. Its class is defined above this module, which therefore cannot name the class here.
        self.instance: Any = instance
        if instance.blocked:
            why = "; ".join(
                f"step {b.step!r} is blocked ({b.reason}; decide: {format_list(b.decisions)})" for b in instance.blocked
            )
        elif instance.owner is not None:
            why = f"it is driven by {instance.owner!r}"
        elif instance.waiting or instance.wake_at is not None:
            until = "" if instance.wake_at is None else f" until {instance.wake_at.isoformat()}"
            what = " or ".join(repr(name) for name in instance.awaited)
            why = f"it waits for signal {what}{until}" if what else f"it waits{until}"
        else:
            why = "nobody drives it (resume() or recover() goes on)"
        super().__init__(f"instance {instance.id!r} is {instance.state} and unfinished: {why}")


class PermanentFailure(SagaError, RuntimeError):
    """Raise it from an action: not done under this key, by any attempt; it is not retried.

    From a compensation it ends the retries and blocks the instance at once.
    """


class OutcomeUnknown(SagaError, RuntimeError):
    """Raise it from an action that cannot tell whether it took effect; the step is then in doubt."""


class PayloadError(SagaError, TypeError, ValueError):
    """A value cannot be stored as JSON, or what is stored does not fit the type it is read as."""

    def __init__(self, subject: str, path: str, problem: str) -> None:
        self.subject, self.path, self.problem = subject, path, problem
        super().__init__(f"{subject} at {path}: {problem}")


class InputMismatch(SagaError, ValueError):
    """The id is taken by an instance of another saga or with another input; that instance is untouched."""

    def __init__(self, instance_id: str, difference: str) -> None:
        self.instance_id, self.difference = instance_id, difference
        super().__init__(f"instance {instance_id!r} exists {difference} (choose another id, or start it with the same)")


class ResourceMissing(SagaError, LookupError):
    """A saga declares resources that were not given to the run; nothing has run."""

    def __init__(self, saga: str, missing: Iterable[str], given: Iterable[str]) -> None:
        self.saga, self.missing, self.given = saga, tuple(missing), tuple(given)
        super().__init__(
            f"saga {saga!r} needs resources that were not given: {format_list(self.missing)} "
            f"(given: {format_list(self.given)}); pass resources={{name: object}}"
        )


class StoreError(SagaError, RuntimeError):
    """The store could not do its work. `outcome` is what a user's function had answered, when that was not recorded."""

    outcome: object = None


class StoreConflict(StoreError):
    """Somebody else owns the instance, or appended to it; nothing was written."""


class NotClaimed(StoreConflict):
    """Somebody else owns the instance, so it was not claimed and nothing was done."""


class InstanceExists(StoreConflict):
    """The id is taken; nothing was written."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        super().__init__(f"instance {instance_id!r} exists already")


class MailWaits(StoreError):
    """A request came in since the mail was last read; nothing was written: read the mail and decide again."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        super().__init__(f"instance {instance_id!r} has mail that the append does not absorb")
