"""One server, a browser for each file, and for each scenario a notebook of its own, after which nothing may have gone wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.browser import Browser, browsing, needs_browser
from support.lab import Lab, lab_server
from support.notebook_page import NotebookPage, open_notebook, write_notebook

Opening = Callable[..., NotebookPage]
NEEDED = ("jupyterlab", "notebook", "anywidget", "nbformat", "ipykernel")


def pytest_itemcollected(item: pytest.Item) -> None:
    # The scenarios share a server and a browser, which live in one worker: they are the longest row of tests that no
    # second worker can shorten, so half of them run in each slice.
    if "lab" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("lab"))
        item.add_marker(pytest.mark.rotates(0, of=2))


# Ended with the last scenario: while it lives this thread has a running loop, in which no other test could begin one.
@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    needs_browser(*NEEDED)
    with browsing(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    needs_browser(*NEEDED)
    with lab_server(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def shots() -> Path | None:
    given = os.environ.get("SAGAFSM_SHOTS")
    if given is None:
        return None
    Path(given).mkdir(parents=True, exist_ok=True)
    return Path(given)


@pytest.fixture
def watched(browser: Browser) -> Iterator[Browser]:
    """The browser; afterwards nothing was asked of another machine and no script failed."""
    browser.forget()
    yield browser
    for page in browser.context.pages[1:]:
        page.close()
    browser.check()


@pytest.fixture
def notebook(watched: Browser, lab: Lab, shots: Path | None, request: pytest.FixtureRequest) -> Iterator[Opening]:
    """Opens a notebook of given cells, in a theme; its kernel ends with the test."""
    opened: list[NotebookPage] = []
    name = request.node.name.replace("[", "-").rstrip("]").removeprefix("test_")

    def opening(*cells: str, dark: bool = False, kernel: bool = True) -> NotebookPage:
        path = lab.work / f"{name}.ipynb"
        if cells:
            write_notebook(path, *cells)
        opened.append(open_notebook(watched, lab, path, dark=dark, shots=shots, kernel=kernel))
        return opened[-1]

    yield opening
    for page in opened:
        if not page.page.is_closed():
            page.shot(name)
            page.end()
