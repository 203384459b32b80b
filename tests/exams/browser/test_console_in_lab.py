"""The console in a real JupyterLab: what is blocked first, found by typing, opened by a click, and back again."""

from __future__ import annotations

from support.notebook_page import until, words
from support.themes import themes

SHOP = """
from datetime import timedelta
from sagafsm import Orchestrator, OutcomeUnknown, Saga
from sagafsm.notebook import console

order = Saga("order")

@order.step
def reserve(input):
    return {"id": f"r-{input['number']}"}

@reserve.compensation
def release(result): pass

@order.step
def charge(input):
    if input["number"] % 7 == 3:
        raise OutcomeUnknown("the gateway closed the connection")
    if input["number"] % 7 == 5:
        raise RuntimeError("card refused")
    return {"id": f"c-{input['number']}"}

@charge.compensation
def refund(result): pass

order.wait_for("approval")

@order.step
def ship(input): return {"label": input["number"]}

refund_saga = Saga("refund")

@refund_saga.step
def pay_back(input): return True
"""
FILLED = (
    SHOP
    + """
orchestrator = Orchestrator("memory://", sagas=[order, refund_saga])
for number in range(20):
    orchestrator.run(order, {"number": number}, id=f"o-{number:03}")
for number in range(0, 8, 2):
    orchestrator.signal(f"o-{number:03}", "approval", True)
orchestrator.run(refund_saga, 1, id="back-1")
orchestrator.start(order, {"number": 99}, id="o-099")
"""
)


@themes()
def test_console_lists_finds_opens_and_comes_back(notebook, dark):
    page = notebook(FILLED, "console(orchestrator)", dark=dark)
    page.run_all()
    live = page.page.locator(".sgf-console")
    live.locator(".sgf-listed.sgf-live").wait_for()

    def ids():
        return live.locator(".sgf-pick").all_inner_texts()

    assert ["o-017", "o-010", "o-003"] == ids()[:3]
    assert "22" in live.locator(".sgf-said").inner_text()
    page.shot("console-list")

    live.locator(".sgf-find").fill("order COMPLETED")
    until(lambda: ids() == ["o-006", "o-004", "o-002", "o-000"], what="the search")
    live.locator(".sgf-find").fill("")
    live.locator("[data-do=toggle][data-state=blocked]").click()
    until(lambda: ids() == ["o-017", "o-010", "o-003"], what="the filter")
    assert "true" == live.locator("[data-do=toggle][data-state=blocked]").get_attribute("aria-pressed")

    live.locator("tr[data-id=o-010] .sgf-pick").press("Enter")
    live.locator(".sgf-inspector .sgf-state").wait_for()
    assert "blocked" == words(live.locator(".sgf-state").inner_text())
    assert not live.locator(".sgf-listed").is_visible()
    page.shot("console-opened")
    live.locator(".sgf-ask-block button[data-decision=compensate]").click()
    live.locator("[data-form]:visible input[name=reason]").fill("seen at the gateway")
    live.locator("[data-form]:visible button[type=submit]").click()
    until(lambda: "failed" in live.locator(".sgf-state").inner_text(), what="the decision")

    live.locator(".sgf-to-list").click()
    until(lambda: ids() == ["o-017", "o-003"], what="the list")
    assert "failed" == page.ask("orchestrator.get('o-010').state")


def test_console_follows_what_a_cell_does(notebook):
    page = notebook(FILLED, "console(orchestrator)", "orchestrator.run(order, {'number': 3}, id='new-1').state")
    page.command("notebook:run-all-cells")
    first = page.page.locator(".sgf-console .sgf-pick").first
    until(lambda: first.inner_text() == "new-1", within=3, what="the new one")
