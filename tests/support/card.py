"""The inspector on a page of a notebook, as a person has it before them."""

from __future__ import annotations

from support.notebook_page import until, words

SAGA = """
from sagafsm import Orchestrator, Retry, Saga
from sagafsm.notebook import inspect

order = Saga("order")
order.add_step("reserve", lambda input: {"id": input}, lambda result: None, compensation_retry=Retry(1))
order.add_step("charge", lambda input: {"id": input}, lambda result: None, compensation_retry=Retry(1))
order.add_step("ship", lambda charge: {"label": charge["id"]})
orchestrator = Orchestrator("memory://", sagas=[order])
orchestrator.start(order, 7, id="o-1")
inspector = inspect("o-1", orchestrator)
"""
SHOW = "inspector"


class Card:
    """The inspector on a page."""

    def __init__(self, page):
        self.page = page
        self.root = page.page.locator(".sgf-inspector")
        self.root.and_(page.page.locator(".sgf-live")).wait_for()

    def state(self):
        return words(self.root.locator(".sgf-state").inner_text())

    def reaches(self, state, within=15):
        until(lambda: state in self.state(), within=within, what=state)

    def do(self, name):
        self.root.locator(f"button[data-do={name}]:visible").first.click()

    def box(self, step, target="action"):
        return self.root.locator(f"[data-step='{step}'][data-target={target}]").first

    def position(self):
        return words(self.root.locator(".sgf-position").inner_text())

    def rows(self):
        return [words(row) for row in self.root.locator(".sgf-events tbody tr").all_inner_texts()]
