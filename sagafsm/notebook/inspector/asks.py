"""What an instance waits for from a person: decisions about what is blocked, and signals."""

from __future__ import annotations

from collections.abc import Iterator

from sagafsm.events import Decision
from sagafsm.notebook.inspector.controls import button, form, json_field, opener, reason
from sagafsm.notebook.inspector.sight import Sight
from sagafsm.record import Block
from sagafsm.view.page import Html, given, joined, tag
from sagafsm.view.phrases import BLOCKS, DECISIONS

_NAMES: dict[Decision, str] = {
    "retry": "Retry",
    "resolve(result)": "It was done …",
    "resolve(not_done)": "It was not done",
    "resolve(undone)": "It is undone",
    "compensate": "Compensate",
    "skip": "Skip",
    "abandon": "Abandon",
}


def asks(sight: Sight) -> Html:
    """A piece for each block, with the decisions that it allows, and one for each signal that would be heard."""
    if sight.at is not None:
        return Html("")
    blocks = (_block(block, sight) for block in sight.live.blocked)
    return joined(*blocks, *(_signal(name, sight) for name in sight.live.awaited))


def _block(block: Block, sight: Sight) -> Html:
    allowed = [(decision, sight.hindered(decision)) for decision in block.decisions]
    buttons = (
        opener(_NAMES[decision], _form_name(decision, block), no=no, data_decision=decision, data_step=block.step)
        for decision, no in allowed
    )
    forms = (_decision(decision, block) for decision, no in allowed if no is None)
    no = sight.no_decision
    return tag(
        "section",
        tag("p", joined(tag("b", given(block.step)), f" is blocked: {BLOCKS[block.reason]}. Decide:")),
        tag("div", *buttons, class_="sgf-buttons"),
        None if no is None else tag("p", no, class_="sgf-why"),
        *forms,
        class_="sgf-ask sgf-ask-block",
        aria_label=f"{block.step} is blocked",
    )


def _form_name(decision: Decision, block: Block) -> str:
    return f"{decision} {block.step}"


def _decision(decision: Decision, block: Block) -> Html:
    required = decision in ("skip", "abandon") or decision.startswith("resolve")
    return form(
        _form_name(decision, block),
        f"{decision}: {DECISIONS[decision]}",
        f"Confirm: {decision.partition('(')[0]}",
        json_field("result, as JSON", "result", "null") if decision == "resolve(result)" else None,
        reason(required=required),
        data_do="decide",
        data_decision=decision,
        data_step=None if decision == "abandon" else block.step,
    )


def _signal(name: str, sight: Sight) -> Html:
    no = sight.no_request
    form_name = f"signal {name}"
    return tag(
        "section",
        tag("p", joined("It waits for signal ", tag("b", given(name)), ".")),
        tag("div", *_answers(name, form_name, no), class_="sgf-buttons"),
        None if no is None else tag("p", no, class_="sgf-why"),
        form(
            form_name,
            f"Signal {name}, with a payload of your own",
            "Send",
            json_field("payload, as JSON", "payload", "null"),
            data_do="signal",
            data_name=name,
        )
        if no is None
        else None,
        class_="sgf-ask sgf-ask-signal",
        aria_label=f"it waits for signal {name}",
    )


def _answers(name: str, form_name: str, no: str | None) -> Iterator[Html]:
    primary = "sgf-button sgf-primary"
    yield button("Approve", kind=primary, no=no, data_do="signal", data_name=name, data_payload="true")
    yield button("Refuse", no=no, data_do="signal", data_name=name, data_payload="false")
    yield opener("Other payload …", form_name, no=no)
