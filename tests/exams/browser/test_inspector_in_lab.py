"""The inspector in a real JupyterLab: what a person clicks is done in the kernel, and all panes show it."""

from __future__ import annotations

from support.card import SAGA, SHOW, Card
from support.notebook_page import until, words
from support.themes import themes


def opened(notebook, *cells, dark=False):
    page = notebook(SAGA, SHOW, *cells, dark=dark)
    page.run_all()
    return Card(page)


@themes()
def test_run_from_the_button(notebook, dark):
    """A click on run drives it to its end; diagram, chip and events show it, and the kernel has it."""
    card = opened(notebook, dark=dark)
    assert "pending" == card.state()
    card.do("run")
    card.reaches("completed")
    assert "completed" == card.page.ask("orchestrator.get('o-1').state")
    until(lambda: len(card.rows()) == 8, what="the events")
    assert "InstanceCompleted" in card.rows()[-1]


@themes()
def test_break_a_step_by_clicking_on_it(notebook, dark):
    """A broken step fails, and what came before it is undone: in the diagram, the table, and the kernel."""
    card = opened(notebook, dark=dark)
    card.box("ship").press("Enter")
    form = card.root.locator("form[data-do=break]").first
    form.locator("input[name=always]").check()
    form.locator("button[type=submit]").click()
    until(lambda: card.root.locator(".sgf-d .m").count() == 1, what="the mark")
    card.page.shot("inspector-broken")
    card.do("run")
    card.reaches("failed, compensated")
    assert "failed" == card.page.ask("orchestrator.get('o-1').state")
    undone = [
        row.split("CompensationSucceeded ")[1].split()[0] for row in card.rows() if "CompensationSucceeded" in row
    ]
    assert ["charge", "reserve"] == undone


def test_one_step_at_a_time(notebook):
    """Each click does one command and no more."""
    card = opened(notebook)
    card.do("step")
    until(lambda: "running:charge" == card.page.ask("orchestrator.get('o-1').state"), what="the first step")
    card.do("step")
    until(lambda: "running:ship" == card.page.ask("orchestrator.get('o-1').state"), what="the second step")


@themes()
def test_travel_in_time(notebook, dark):
    """The slider's keys go through the events, all panes follow, and the badge returns to the present."""
    card = opened(notebook, "inspector.run().state", dark=dark)
    card.reaches("completed")
    slider = card.root.locator(".sgf-slider")
    slider.press("Home")
    card.reaches("pending")
    for number in ("2", "3"):
        slider.press("ArrowRight")
        until(lambda number=number: card.position().startswith(number), what=f"event {number}")
    card.page.shot("inspector-past")
    card.root.locator(".sgf-present").click()
    card.reaches("completed")


@themes()
def test_settle_a_blocked_undo(notebook, dark):
    """A compensation that failed for good is decided with a reason, which the history keeps."""
    blocks = (
        "inspector.break_step('ship', times=None); "
        "inspector.break_step('reserve', target='compensation'); inspector.run().state"
    )
    card = opened(notebook, blocks, dark=dark)
    card.reaches("blocked")
    card.page.shot("inspector-blocked")
    card.root.locator(".sgf-ask-block button[data-decision='resolve(undone)']").click()
    card.root.locator("[data-form]:visible input[name=reason]").fill("put back by hand")
    card.root.locator("[data-form]:visible button[type=submit]").click()
    card.reaches("failed, compensated")
    told = "[e.reason for e in orchestrator.get('o-1').history if str(e) == 'DecisionMade']"
    assert ["put back by hand"] == card.page.ask(told)


def test_fork_from_an_event(notebook):
    """A fork is shown in place, runs by itself, and leaves the original as it was."""
    card = opened(notebook, "inspector.step().state")
    until(lambda: "charge" in card.rows()[-1], what="the events")
    card.root.locator(".sgf-slider").press("Home")
    card.do("fork")
    card.root.locator("[data-do=back]").wait_for()
    card.do("run")
    card.reaches("completed")
    assert "running:charge" == card.page.ask("orchestrator.get('o-1').state")
    card.do("back")
    until(lambda: "completed" not in card.state(), what="the original")


@themes()
def test_a_saved_notebook_tells_its_story_without_a_kernel(notebook, dark):
    """The static card is there, and no line says that a widget could not be shown."""
    card = opened(notebook, "inspector.run().state", dark=dark)
    card.reaches("completed")
    card.page.page.wait_for_timeout(300)
    card.page.save()
    card.page.end()
    again = notebook(dark=dark, kernel=False)
    static = again.page.locator(".sgf-static").first
    static.wait_for()
    assert "completed" in words(static.inner_text())
    visible = [words(text) for text in again.page.locator(".jp-OutputArea-output:visible").all_inner_texts()]
    assert not [text for text in visible if "Error displaying widget" in text or "model not found" in text]


def test_a_flood_of_events_ends_in_its_last_state(notebook):
    """Some 600 events at once: the final state is shown within a second of the last one."""
    flood = """
big = Saga("big")
for number in range(300):
    big.add_step(f"step_{number}", lambda: None)
orchestrator.start(big, None, id="b-1")
inspector = inspect("b-1", orchestrator)
"""
    page = notebook(SAGA, flood, SHOW)
    page.run_all()
    card = Card(page)
    page.command("notebook:insert-cell-below")
    page.ask("orchestrator.resume('b-1').state")
    card.reaches("completed", within=1.0)
    until(lambda: card.root.locator(".sgf-events tbody tr").count() == 602, within=2, what="all events")


def test_a_restarted_kernel_is_told(notebook, watched):
    """The card says that its kernel is gone, and lets nothing be clicked."""
    card = opened(notebook)
    card.page.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    until(lambda: "kernel gone" in words(card.root.locator(".sgf-link").inner_text()), within=20, what="the word")
    assert card.root.locator("button[data-do=run]").is_disabled()
    # What JupyterLab itself had asked of the kernel that is gone it lets fall, as an error of its own.
    watched.forgive("Canceled future")


def test_approve_by_a_button(notebook):
    """What waits for a signal has a button for it."""
    waits = """
wait = Saga("wait")
wait.wait_for("approval")
wait.add_step("pay", lambda approval: approval)
orchestrator.run(wait, None, id="w-1")
inspector = inspect("w-1", orchestrator)
"""
    page = notebook(SAGA, waits, SHOW)
    page.run_all()
    card = Card(page)
    card.reaches("waits for approval")
    card.page.shot("inspector-waits")
    card.root.locator("button:visible", has_text="Approve").first.click()
    card.reaches("completed")
    assert {"approval": True, "pay": True} == page.ask("orchestrator.get('w-1').results")


def test_cancel_by_a_button(notebook):
    """With a reason, which the cause names."""
    card = opened(notebook, "inspector.step().state")
    card.root.locator("button[data-open^=cancel]:visible, button[data-do=cancel]:visible").first.click()
    card.root.locator("[data-form]:visible input[name=reason]").fill("changed my mind")
    card.root.locator("[data-form]:visible button[type=submit]").click()
    card.reaches("failed, compensated")
    assert "changed my mind" in card.page.ask("orchestrator.get('o-1').why")
