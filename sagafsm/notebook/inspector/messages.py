"""What a page may ask for: each command by its name, with what came along checked before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sagafsm.engine.config import NOT_GIVEN
from sagafsm.errors import RequestError
from sagafsm.notebook.inspector.actions import build_advance, build_cancel, build_decision, build_resume, build_signal

if TYPE_CHECKING:
    from sagafsm.notebook.inspector.controller import Inspection

PageCommand = Mapping[str, Any]


def handle_message(inspection: Inspection, command: PageCommand) -> None:
    """Do what a page asks for; what is wrong with it is told there, and nothing is raised.

    Nothing here waits: what takes time is begun on a thread.
    """
    try:
        known = _COMMANDS.get(str(command.get("do")))
        if known is None:
            raise RequestError(f"a page cannot ask for {command.get('do')!r}")
        known(inspection, command)
    except Exception as error:  # noqa: BLE001 - whoever clicked is told, whatever it is; a cell's output is elsewhere
        inspection.session.show_message(f"{type(error).__name__}: {error}", bad=True)


def _read_message_text(command: PageCommand, name: str) -> str | None:
    value = command.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise RequestError(f"{command['do']!r} takes {name} as text, not {value!r}")


def _read_required_message_text(command: PageCommand, name: str) -> str:
    value = _read_message_text(command, name)
    if value is None:
        raise RequestError(f"{command['do']!r} needs {name}")
    return value


def _read_message_number(command: PageCommand, name: str) -> int:
    value = command.get(name)
    try:
        return int(str(value))
    except ValueError:
        raise RequestError(f"{command['do']!r} takes {name} as a number, not {value!r}") from None


def _read_message_json(command: PageCommand, name: str) -> Any:
    text = command.get(name)
    try:
        return json.loads(text if isinstance(text, str) and text.strip() else "null")
    except json.JSONDecodeError as error:
        raise RequestError(f"the {name} is not JSON: {error}") from None


def _check_message_allowed(obstacle: str | None) -> None:
    """Refuse what was clicked before the page knew that it cannot be done any more."""
    if obstacle is not None:
        raise RequestError(f"not now: {obstacle}")


def _run(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001 - every command is given what came along
    _check_message_allowed(inspection.session.sight().drive_obstacle)
    inspection.begin(build_resume(inspection.session.id))


def _handle_step_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    _check_message_allowed(inspection.session.sight().drive_obstacle)
    inspection.begin(build_advance(inspection.session.id))


def _handle_pause_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    inspection.session.pause()


def _cancel(inspection: Inspection, command: PageCommand) -> None:
    _check_message_allowed(inspection.session.sight().cancel_obstacle)
    inspection.begin(build_cancel(inspection.session.id, reason=_read_required_message_text(command, "reason")))


def _decide(inspection: Inspection, command: PageCommand) -> None:
    decision = _read_required_message_text(command, "decision")
    _check_message_allowed(inspection.session.sight().find_obstacle_to(decision))
    result = _read_message_json(command, "result") if decision == "resolve(result)" else NOT_GIVEN
    said = {
        "step": _read_message_text(command, "step"),
        "reason": _read_message_text(command, "reason"),
        "result": result,
    }
    inspection.begin(build_decision(inspection.session.id, decision, **said))


def _signal(inspection: Inspection, command: PageCommand) -> None:
    _check_message_allowed(inspection.session.sight().request_obstacle)
    inspection.begin(
        build_signal(
            inspection.session.id, _read_required_message_text(command, "name"), _read_message_json(command, "payload")
        )
    )


def _handle_break_message(inspection: Inspection, command: PageCommand) -> None:
    times = None if command.get("always") else _read_message_number(command, "times")
    inspection.break_step(
        _read_required_message_text(command, "step"),
        command.get("kind", "raise_before"),
        times=times,
        target=command.get("target", "action"),
    )


def _handle_mend_message(inspection: Inspection, command: PageCommand) -> None:
    inspection.mend(_read_required_message_text(command, "step"), target=command.get("target", "action"))


def _handle_select_message(inspection: Inspection, command: PageCommand) -> None:
    inspection.session.select(_read_message_text(command, "step"), command.get("target", "action"))


def _handle_travel_message(inspection: Inspection, command: PageCommand) -> None:
    at = _read_message_number(command, "at")
    live = inspection.session.live
    # The last event is where the instance stands: whoever goes there sees it go on.
    inspection.travel(None if at >= len(live.history) else at)


def _handle_go_live_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    inspection.travel(None)


def _handle_zoom_message(inspection: Inspection, command: PageCommand) -> None:
    inspection.session.zoom(on=command["do"] == "zoom")


def _handle_fork_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    _check_message_allowed(inspection.session.sight().fork_obstacle)
    inspection.begin_fork()


def _handle_leave_fork_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    inspection.back()


def _handle_export_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    inspection.export()


def _handle_resync_message(inspection: Inspection, command: PageCommand) -> None:  # noqa: ARG001
    inspection.frames.flush(full=True)


def _handle_ping_message(inspection: Inspection, command: PageCommand) -> None:
    inspection.handle_ping(_read_message_number(command, "seq"))


_COMMANDS: Mapping[str, Callable[[Inspection, PageCommand], None]] = {
    "run": _run,
    "resume": _run,
    "step": _handle_step_message,
    "pause": _handle_pause_message,
    "cancel": _cancel,
    "decide": _decide,
    "signal": _signal,
    "break": _handle_break_message,
    "mend": _handle_mend_message,
    "select": _handle_select_message,
    "travel": _handle_travel_message,
    "live": _handle_go_live_message,
    "zoom": _handle_zoom_message,
    "fit": _handle_zoom_message,
    "fork": _handle_fork_message,
    "back": _handle_leave_fork_message,
    "export": _handle_export_message,
    "resync": _handle_resync_message,
    "ping": _handle_ping_message,
}
