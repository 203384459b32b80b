"""A headless Chromium for tests: where it is, or why there is none, and everything that a page did which it must not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, WebSocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of its own goes out, and no name is looked up: what a page asks of another machine fails at once.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:", "file:")
SIZE = (1280, 1000)


def missing(*modules: str) -> str | None:
    """What is missing for a test in a browser, in words; None: nothing."""
    if not any(shutil.which(name) for name in NAMES):
        return "there is no Chromium on this machine"
    lacking = [name for name in ("playwright", *modules) if find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


def needs_browser(*modules: str) -> None:
    """Skip the test where a browser or a module is missing, saying so; the gate asks for them, and there it fails."""
    reason = missing(*modules)
    if reason is None:
        return
    if os.environ.get("SAGAFSM_BROWSER") == "1":
        pytest.fail(f"SAGAFSM_BROWSER=1, and {reason}")
    pytest.skip(reason)


@attrs.define(eq=False, slots=False)  # Playwright keeps what calls a method on its object
class Browser:
    """One browser for many tests; each looks at what went wrong since it began."""

    context: BrowserContext
    page_errors: list[str] = attrs.Factory(list)
    external: list[str] = attrs.Factory(list)
    forgiven: list[str] = attrs.Factory(list)

    def __attrs_post_init__(self) -> None:
        self.context.on("page", self._watch)
        self.context.on("request", lambda request: self._asked(request.url))

    def new_page(self, *, dark: bool = False) -> Page:
        """An empty page, in a theme."""
        page = self.context.new_page()
        page.emulate_media(color_scheme="dark" if dark else "light")
        return page

    def forget(self) -> None:
        """Begin anew."""
        self.page_errors.clear()
        self.external.clear()
        self.forgiven.clear()

    def forgive(self, words: str) -> None:
        """Let errors with these words be, which are an application's own, until begun anew."""
        self.forgiven.append(words)

    def check(self) -> None:
        """Nothing was asked of another machine, and no script failed."""
        assert [] == self.external
        errors = [error for error in self.page_errors if not any(words in error for words in self.forgiven)]
        assert [] == errors, "\n".join(errors)

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.page_errors.append(f"{error.message}\n{error.stack}"))
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        self._asked(socket.url)

    def _asked(self, url: str) -> None:
        if not url.startswith(LOCAL):
            self.external.append(url)


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in a folder; it ends with the block."""
    from playwright.sync_api import sync_playwright

    program = next(path for path in map(shutil.which, NAMES) if path)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=program,
            args=list(FLAGS),
            headless=True,
            viewport={"width": SIZE[0], "height": SIZE[1]},
            reduced_motion="reduce",
        )
        context.set_default_timeout(20_000)
        try:
            yield Browser(context)
        finally:
            context.close()
