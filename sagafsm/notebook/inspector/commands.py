"""What a page may ask for: each command by its name, with what came along checked before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sagafsm.errors import RequestError
from sagafsm.notebook.inspector import orders
from sagafsm.opening import NOT_GIVEN

if TYPE_CHECKING:
    from sagafsm.notebook.inspector.inspection import Inspection

Command = Mapping[str, Any]


def obey(inspection: Inspection, command: Command) -> None:
    """Do what a page asks for; what is wrong with it is told there, and nothing is raised.

    Nothing here waits: what takes time is begun on a thread.
    """
    try:
        known = _COMMANDS.get(str(command.get("do")))
        if known is None:
            raise RequestError(f"a page cannot ask for {command.get('do')!r}")
        known(inspection, command)
    except Exception as error:  # noqa: BLE001 - whoever clicked is told, whatever it is; a cell's output is elsewhere
        inspection.session.say(f"{type(error).__name__}: {error}", bad=True)


def _text(command: Command, name: str) -> str | None:
    value = command.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise RequestError(f"{command['do']!r} takes {name} as text, not {value!r}")


def _needed(command: Command, name: str) -> str:
    value = _text(command, name)
    if value is None:
        raise RequestError(f"{command['do']!r} needs {name}")
    return value


def _number(command: Command, name: str) -> int:
    value = command.get(name)
    try:
        return int(str(value))
    except ValueError:
        raise RequestError(f"{command['do']!r} takes {name} as a number, not {value!r}") from None


def _json(command: Command, name: str) -> Any:
    text = command.get(name)
    try:
        return json.loads(text if isinstance(text, str) and text.strip() else "null")
    except json.JSONDecodeError as error:
        raise RequestError(f"the {name} is not JSON: {error}") from None


def _allow(hindrance: str | None) -> None:
    """Refuse what was clicked before the page knew that it cannot be done any more."""
    if hindrance is not None:
        raise RequestError(f"not now: {hindrance}")


def _run(inspection: Inspection, command: Command) -> None:  # noqa: ARG001 - every command is given what came along
    _allow(inspection.session.sight().no_drive)
    inspection.begin(orders.resume(inspection.session.id))


def _step(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    _allow(inspection.session.sight().no_drive)
    inspection.begin(orders.advance(inspection.session.id))


def _pause(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    inspection.session.pause()


def _cancel(inspection: Inspection, command: Command) -> None:
    _allow(inspection.session.sight().no_cancel)
    inspection.begin(orders.cancel(inspection.session.id, reason=_needed(command, "reason")))


def _decide(inspection: Inspection, command: Command) -> None:
    decision = _needed(command, "decision")
    _allow(inspection.session.sight().hindered(decision))
    result = _json(command, "result") if decision == "resolve(result)" else NOT_GIVEN
    said = {"step": _text(command, "step"), "reason": _text(command, "reason"), "result": result}
    inspection.begin(orders.decide(inspection.session.id, decision, **said))


def _signal(inspection: Inspection, command: Command) -> None:
    _allow(inspection.session.sight().no_request)
    inspection.begin(orders.signal(inspection.session.id, _needed(command, "name"), _json(command, "payload")))


def _break(inspection: Inspection, command: Command) -> None:
    times = None if command.get("always") else _number(command, "times")
    inspection.break_step(
        _needed(command, "step"),
        command.get("kind", "raise_before"),
        times=times,
        target=command.get("target", "action"),
    )


def _mend(inspection: Inspection, command: Command) -> None:
    inspection.mend(_needed(command, "step"), target=command.get("target", "action"))


def _select(inspection: Inspection, command: Command) -> None:
    inspection.session.select(_text(command, "step"), command.get("target", "action"))


def _travel(inspection: Inspection, command: Command) -> None:
    at = _number(command, "at")
    live = inspection.session.live
    # The last event is where the instance stands: whoever goes there sees it go on.
    inspection.travel(None if at >= len(live.history) else at)


def _live(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    inspection.travel(None)


def _zoom(inspection: Inspection, command: Command) -> None:
    inspection.session.zoom(on=command["do"] == "zoom")


def _fork(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    _allow(inspection.session.sight().no_fork)
    inspection.begin_fork()


def _back(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    inspection.back()


def _export(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    inspection.export()


def _resync(inspection: Inspection, command: Command) -> None:  # noqa: ARG001
    inspection.frames.flush(full=True)


def _ping(inspection: Inspection, command: Command) -> None:
    inspection.pinged(_number(command, "seq"))


_COMMANDS: Mapping[str, Callable[[Inspection, Command], None]] = {
    "run": _run,
    "resume": _run,
    "step": _step,
    "pause": _pause,
    "cancel": _cancel,
    "decide": _decide,
    "signal": _signal,
    "break": _break,
    "mend": _mend,
    "select": _select,
    "travel": _travel,
    "live": _live,
    "zoom": _zoom,
    "fit": _zoom,
    "fork": _fork,
    "back": _back,
    "export": _export,
    "resync": _resync,
    "ping": _ping,
}
