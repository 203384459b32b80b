"""Make README's pictures, light and dark: `python tests/pictures/make.py` (needs playwright and Chromium).

An order really runs, with a payment service that is down when it is to be refunded, and the card that a notebook shows
of it is photographed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from sagafsm import Retry, Saga, SagaInstance
from sagafsm.render.card import render_html_page, render_instance_card

HERE = Path(__file__).parent
THEMES = ("light", "dark")


def _takes(seconds: float, result: Any = None) -> Any:
    def act() -> Any:
        time.sleep(seconds)
        return result

    return act


def order() -> Saga:
    """Six steps, two of them at once; the fifth fails, and one compensation fails for good."""
    saga = Saga("order", retry=Retry(3, backoff=timedelta(milliseconds=80)))
    once = Retry(2, backoff=timedelta(milliseconds=60))

    def send() -> None:
        time.sleep(0.06)
        raise ConnectionRefusedError("the mail server refuses")

    def release(result: Any) -> None:
        time.sleep(0.05)
        raise ConnectionRefusedError("the warehouse is closed")

    saga.add_step("reserve_stock", _takes(0.06, {"id": "r-1"}), release, compensation_retry=once)
    saga.add_step("charge_card", _takes(0.09, {"id": "c-1"}), lambda result: time.sleep(0.08))
    saga.add_step("create_shipment", _takes(0.11, {"id": "s-1"}), lambda result: time.sleep(0.07), group="fulfil")
    saga.add_step("notify_warehouse", _takes(0.07, "told"), lambda result: time.sleep(0.05), group="fulfil")
    saga.add_step("send_receipt", send)
    saga.add_step("award_points", _takes(0.02), lambda result: None)
    return saga


def instance() -> SagaInstance:
    """The order as it stands when it is blocked."""
    saga = order()
    try:
        return saga.run({"order": 4711, "amount": 129.9}, id="order-4711")
    finally:
        saga.orchestrator.close()


def photograph(page: Path, theme: str, picture: Path) -> None:
    """Take a picture of the card on a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        tab = chromium.new_page(viewport={"width": 1160, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
        tab.goto(page.as_uri())
        tab.locator(".sgf").first.screenshot(path=picture)
        chromium.close()


def main() -> None:
    """Make both."""
    html = render_html_page("order-4711", render_instance_card(instance()))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "order.html"
        page.write_text(html, encoding="utf-8")
        for theme in THEMES:
            photograph(page, theme, HERE / f"instance-{theme}.png")
            print(HERE / f"instance-{theme}.png")


if __name__ == "__main__":
    main()
