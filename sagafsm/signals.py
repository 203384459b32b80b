"""Which signals an instance can still use. Pure."""

from __future__ import annotations

from sagafsm import events as e
from sagafsm.decision import refused
from sagafsm.errors import IllegalTransition, RequestError, listed
from sagafsm.instance import SagaInstance
from sagafsm.waits import waits_of


def has_signal(instance: SagaInstance, path: str, request_id: str | None) -> bool:
    """Whether the signal has come already, so that another one counts for nothing.

    Raises:
        RequestError: the saga waits for no such signal.
        IllegalTransition: the instance cannot use it any more.
    """
    waits = tuple(waits_of(instance.outline))
    if path not in waits:
        raise RequestError(f"instance {instance.id!r} waits for no signal {path!r} (it waits for: {listed(waits)})")
    received = [event for event in instance.history if isinstance(event, e.SignalReceived)]
    if any(event.request_id == request_id or event.name == path for event in received):
        return True
    if instance.is_at_rest or instance.cause is not None:
        raise refused(instance, f"signal {path}")
    record = instance.steps[path.partition("/")[0]]
    if record.status not in ("pending", "running", "parked"):
        raise IllegalTransition(instance.id, f"{instance.state} and past {record.name!r}", f"signal {path}", ())
    return False
