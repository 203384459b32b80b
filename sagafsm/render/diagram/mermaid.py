"""A saga's machine as Mermaid text, drawn from its table: what the table does not have, the picture does not show."""

from __future__ import annotations

from sagafsm.definition.definition import Definition, StepDefinition, UnitDefinition


def render_mermaid(definition: Definition) -> str:
    """A `stateDiagram-v2`: the way forward, the way back, the ends. Left out is `abandon`, which leaves every state."""
    names = {state: _make_mermaid_identifier(state) for state in definition.states}
    titles = {unit.name: _make_mermaid_title(unit) for unit in definition.units.values()}
    lines = ["stateDiagram-v2"]
    lines += [
        f"    state {_quote_for_mermaid(_make_mermaid_label(state, titles))} as {name}" for state, name in names.items()
    ]
    lines.append(f"    [*] --> {names['pending']}")
    for (trigger, source), target in definition.table.items():
        if trigger != "abandon":
            lines.append(f"    {names[source]} --> {names[target]}: {trigger}")
    lines += [f"    {names[end]} --> [*]" for end in ("completed", "failed")]
    return "\n".join(lines)


def _make_mermaid_identifier(state: str) -> str:
    # A step may be called "end" or "state", which Mermaid reserves; a prefix of our own never is.
    return "s_" + state.replace(":", "_")


def _make_mermaid_title(unit: UnitDefinition) -> str:
    """What a state is about: a step, or a group with its members; a nested saga is one box, and says so."""
    members = [_describe_mermaid_step(step) for step in unit.steps]
    return members[0] if unit.steps[0].group is None else f"{unit.name} ({', '.join(members)})"


def _describe_mermaid_step(step: StepDefinition) -> str:
    title = step.title or step.name
    if step.child is not None:
        return f"{title} (saga {step.child.saga})"
    return f"{title} (signal)" if step.kind == "wait" else title


def _make_mermaid_label(state: str, titles: dict[str, str]) -> str:
    phase, _, step = state.partition(":")
    return f"{phase} {titles[step]}" if step else phase


def _quote_for_mermaid(text: str) -> str:
    # Inside quotes Mermaid reads HTML entities written with '#', and nothing else needs care.
    safe = "".join(c if c.isalnum() or c in " -_.,()" else f"#{ord(c)};" for c in text)
    return f'"{safe}"'
