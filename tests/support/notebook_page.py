"""A notebook on a page of JupyterLab, as a person has it before them: its cells are run, its outputs looked at."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import nbformat

from support.browser import Browser
from support.lab import KERNEL, Lab

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Waiting for "idle", or clicking through menus, hung now and then: what an application itself promises does not.
_READY = """async () => {
  const panel = window.jupyterapp.shell.currentWidget, session = panel.sessionContext;
  await panel.context.ready; await session.ready;
  for (let i = 0; i < 300 && !session.session?.kernel; i++) await new Promise(done => setTimeout(done, 100));
  await session.session.kernel.info;
}"""
_COMMAND = "([name, args]) => window.jupyterapp.commands.execute(name, args ?? {}).then(() => null)"
_BEGIN = "([name, args]) => { window.jupyterapp.commands.execute(name, args ?? {}); }"
# A request of its own, so that it neither shows in the notebook nor waits for a cell's outputs.
_ASK = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const reply = await kernel.requestExecute(
    {code: "", silent: true, store_history: false, user_expressions: {said: code}}).done;
  const said = reply.content.user_expressions?.said;
  return said ? (said.data ? said.data["text/plain"] : said.ename + ": " + said.evalue) : reply.content.status;
}"""
_END = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel?.sessionContext.shutdown().catch(() => null);
}"""


def until(holds: Callable[[], bool], *, within: float = 15, what: str = "it") -> None:
    """Return once something holds; fail when it does not come to it in time."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"{what} did not come about within {within} s"
        time.sleep(0.05)


@attrs.frozen(kw_only=True)
class NotebookPage:
    """An opened notebook with a kernel of its own."""

    page: Page
    path: Path
    shots: Path | None
    dark: bool

    def run_all(self) -> None:
        """Run every cell, and wait for the last one to end."""
        self.command("notebook:run-all-cells")

    def begin_all(self) -> None:
        """Set every cell going and return at once."""
        self.page.evaluate(_BEGIN, ["notebook:run-all-cells", None])

    def command(self, name: str, **args: Any) -> None:
        """Have the application do what a menu entry would."""
        self.page.evaluate(_COMMAND, [name, args])

    def ask(self, expression: str) -> Any:
        """What an expression is in the kernel: evidence from where the sagas run, not from the screen."""
        told = self.page.evaluate(_ASK, f"__import__('json').dumps({expression})")
        assert told[:1] in ("'", '"'), told
        return json.loads(_literal(told))

    def cell(self, number: int) -> Locator:
        """The outputs of a cell, from 0."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number).locator(".jp-Cell-outputWrapper")

    def save(self) -> None:
        """Write the notebook with its outputs."""
        self.command("docmanager:save")

    def end(self) -> None:
        """End its kernel, without a question."""
        self.page.evaluate(_END)

    def shot(self, name: str) -> None:
        """Keep a picture of the page, where a folder for pictures is given."""
        if self.shots is not None:
            theme = "dark" if self.dark else "light"
            self.page.screenshot(path=self.shots / f"{name}-{theme}.png")


def _literal(told: str) -> str:
    import ast

    return str(ast.literal_eval(told))


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells, without outputs."""
    made = [nbformat.v4.new_code_cell(cell, id=f"c{number}") for number, cell in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)


def open_notebook(
    browser: Browser, lab: Lab, path: Path, *, dark: bool, shots: Path | None, kernel: bool = True
) -> NotebookPage:
    """Open a notebook in JupyterLab, in a theme; ready once its kernel answers."""
    page = browser.new_page(dark=dark)
    page.goto(lab.url(f"lab/tree/{path.name}?reset"))
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    opened = NotebookPage(page=page, path=path, shots=shots, dark=dark)
    opened.command("apputils:change-theme", theme="JupyterLab Dark" if dark else "JupyterLab Light")
    page.wait_for_selector(f"body[data-jp-theme-light={'false' if dark else 'true'}]", state="attached")
    if kernel:
        page.evaluate(_READY)
    return opened


def words(text: str) -> str:
    """Text on one line."""
    return re.sub(r"\s+", " ", text).strip()
