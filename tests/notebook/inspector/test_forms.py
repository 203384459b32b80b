"""What can be done is a button that can be pressed, what cannot is greyed and says why; nothing given is markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagafsm import Orchestrator, Saga
from sagafsm.notebook.inspector.forms import describe_breaks, render_break_form, render_controls, render_pending_input
from sagafsm.notebook.inspector.panes import build_page_state, render_panes
from sagafsm.notebook.inspector.view_model import ForkOrigin, Notice, View
from sagafsm.verify.faults import BREAK_KINDS, Break
from support.looking import Controls
from support.pages import Page
from support.shown import evil, instance_of, lived, marked


def sight(course="running", **told):
    return View(live=instance_of(course), **told)


@pytest.mark.parametrize(
    ("seen", "enabled"),
    [
        (sight("pending"), {"run", "step", "cancel", "abandon", "fork", "export"}),
        (sight("running"), {"run", "step", "cancel", "abandon", "fork", "export"}),
        (sight("running", driving=True), {"pause", "cancel", "fork", "export"}),
        (sight("running", owner="ada"), {"cancel", "fork", "export"}),
        (sight("running", at=2), {"fork", "export"}),
        (sight("running", obstacle="it is closed"), {"export"}),
        (sight("blocked"), {"fork", "export"}),
        (sight("completed"), {"compensate", "fork", "export"}),
        (sight("failed"), {"fork", "export"}),
    ],
)
def test_what_its_state_allows_can_be_pressed(seen, enabled):
    found = Controls(render_controls(seen))
    assert enabled == found.enabled - {"submit"}
    # What opens a form has it, and only then.
    assert enabled & {"cancel", "abandon", "compensate"} == set(found.forms)


@given(st.data())
def test_whatever_happened_to_it_every_button_that_is_greyed_says_why(data):
    live, nested = lived(data.draw)
    at = data.draw(st.none() | st.integers(1, len(live.history)))
    owner = data.draw(st.sampled_from((None, "ada")))
    seen = View(live=live, nested=nested, at=at, owner=owner)
    for pane in render_panes(seen, None, "i").values():
        for given_to in Controls(pane).buttons.values():
            assert "disabled" not in given_to or given_to["title"]


@given(st.data())
def test_each_block_has_its_decisions_and_no_other(data):
    live, _ = lived(data.draw)
    found = Controls(render_pending_input(View(live=live)))
    expected = {f"{decision} {block.step}" for block in live.blocked for decision in block.decisions}
    assert expected == {name for name in found.forms if not name.startswith("signal ")}
    for block in live.blocked:
        for decision in block.decisions:
            form = found.forms[f"{decision} {block.step}"]
            assert ("decide", decision) == (form["data-do"], form["data-decision"])
            assert (None if decision == "abandon" else block.step) == form.get("data-step")


def test_what_the_history_must_be_told_is_required():
    found = Controls(render_pending_input(sight("blocked")))
    (block,) = instance_of("blocked").blocked
    for decision in block.decisions:
        (reason,) = (one for one in found.fields[f"{decision} {block.step}"] if one["name"] == "reason")
        assert (decision not in ("retry", "compensate")) == ("required" in reason)


def test_decisions_are_greyed_while_somebody_else_drives_it():
    found = Controls(render_pending_input(sight("blocked", owner="ada@desk")))
    assert {} == found.forms
    assert set() == found.enabled
    assert "ada@desk" in Page(render_pending_input(sight("blocked", owner="ada@desk"))).words


def test_an_awaited_signal_has_its_buttons_and_its_form():
    saga = Saga("wait")
    saga.wait_for("approval")
    with Orchestrator("memory://", sagas=[saga]) as orchestrator:
        live = orchestrator.run(saga, None, id="o-1")
    html = render_pending_input(View(live=live))
    found = Controls(html)
    assert {"signal approval"} == set(found.forms)
    assert 'data-payload="true"' in html
    assert 'data-payload="false"' in html
    (payload,) = found.fields["signal approval"]
    assert "payload" == payload["name"]


@pytest.mark.parametrize("kind", BREAK_KINDS)
def test_a_break_has_a_mark_in_the_diagram_and_a_way_to_mend_it(kind):
    place = ("charge_card", "compensation")
    seen = sight(selected=("charge_card", "action"), breaks={place: Break(kind, None)})
    assert describe_breaks(seen.breaks)[place].endswith(" always")
    assert "data-do" in Controls(render_break_form(seen)).buttons["mend"]
    drawn = Page(render_panes(seen, None, "i")["diagram"]).words
    assert describe_breaks(seen.breaks)[place] in drawn


@pytest.mark.parametrize(
    "seen",
    [
        sight(),
        sight("completed", selected=("charge_card", "action")),
        sight(selected=("charge_card", "action"), at=2),
        sight(selected=("charge_card", "action"), obstacle="it is closed"),
    ],
)
def test_nothing_is_broken_in_the_past_or_at_rest(seen):
    assert render_break_form(seen) is None


@given(evil())
def test_nothing_that_a_user_gives_is_markup(text):
    live = marked(text)
    step = next(iter(live.steps))
    seen = View(
        live=live,
        owner=text,
        obstacle=text,
        # A name is an identifier: what has a slash in it is a path.
        selected=None if "/" in step else (step, "action"),
        origin=ForkOrigin(instance_id=text, at=1),
        message=Notice(text=text),
    )
    drawn = build_page_state(seen, None, "i")
    for html in [*drawn.panes.values(), f"<table>{drawn.rows(0)}</table>"]:
        page = Page(html)
        assert {"script", "img", "iframe"}.isdisjoint(page.tags)
        assert not [name for name in page.attributes if name.startswith("on")]


@given(st.data())
def test_what_is_drawn_is_well_formed_wherever_somebody_is(data):
    live, nested = lived(data.draw)
    at = data.draw(st.none() | st.integers(1, len(live.history)))
    paths = [*live.steps, *(f"{path}/{name}" for path, child in nested.items() for name in child.steps)]
    step = data.draw(st.sampled_from(paths))
    seen = View(live=live, nested=nested, at=at, selected=(step, "action"), is_zoomed=data.draw(st.booleans()))
    drawn = build_page_state(seen, None, "i")
    for html in drawn.panes.values():
        Page(html)
    assert drawn.total == len(live.history)
    assert drawn == build_page_state(seen, None, "i") or drawn.panes == build_page_state(seen, None, "i").panes
