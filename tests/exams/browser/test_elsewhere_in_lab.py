"""The inspector in Notebook 7 and in marimo, beside other processes, and again after its kernel was restarted."""

from __future__ import annotations

import os
import subprocess
import sys

from support.card import SAGA, SHOW, Card
from support.lab import free_port, served, wait_for_url
from support.notebook_page import until, words, write_notebook

DURABLE = """
from sagafsm import Orchestrator, Saga
from sagafsm.notebook import console, inspect

order = Saga("order")
order.add_step("reserve", lambda input: {"id": input}, lambda result: None)
order.add_step("ship", lambda reserve: {"label": reserve["id"]})
orchestrator = Orchestrator("sqlite:///orders.db", sagas=[order])
"""
MARIMO = f"""
import marimo

app = marimo.App()


@app.cell
def _():
{"".join(f"    {line}{chr(10)}" if line else chr(10) for line in SAGA.splitlines())}
    inspector
    return


if __name__ == "__main__":
    app.run()
"""


def test_in_notebook_7(watched, lab):
    """The same card, and a click on it reaches the kernel."""
    path = lab.work / "seven.ipynb"
    write_notebook(path, SAGA, SHOW)
    page = watched.new_page()
    page.goto(lab.url(f"notebooks/{path.name}"))
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel", timeout=60_000)
    page.evaluate(
        """async () => {
          const panel = window.jupyterapp.shell.currentWidget;
          await panel.context.ready; await panel.sessionContext.ready;
          await panel.sessionContext.session.kernel.info;
          await window.jupyterapp.commands.execute('notebook:run-all-cells');
        }"""
    )
    root = page.locator(".sgf-inspector")
    root.locator("button[data-do=run]").click()
    until(lambda: "completed" in words(root.locator(".sgf-state").inner_text()), what="the end")
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
    page.close()
    # What the application looks for among the settings and commands of JupyterLab, and does not find.
    watched.forgive("Cannot read properties of undefined (reading 'schema')")
    watched.forgive("Command 'filebrowser:open-path' not registered")


def test_in_marimo(watched, tmp_path, shots):
    """It is a widget there as anywhere: it shows the instance, and a click drives it."""
    app, log = tmp_path / "app.py", tmp_path / "server.log"
    app.write_text(MARIMO)
    port = free_port()
    options = ["--headless", "--host", "127.0.0.1", "--port", str(port), "--no-token"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    own = {name: str(tmp_path / name) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
    command = [sys.executable, "-m", "marimo", "run", str(app), *options]
    with log.open("w") as out, served(command, kept | own, out) as server:
        wait_for_url(f"http://127.0.0.1:{port}/health", server, log)
        page = watched.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        root = page.locator(".sgf-inspector")
        root.locator("button[data-do=run]").click()
        until(lambda: "completed" in words(root.locator(".sgf-state").inner_text()), what="the end")
        if shots is not None:
            page.screenshot(path=shots / "marimo.png")
        page.close()


def test_after_a_restart_the_cells_attach_to_the_file(notebook, watched):
    """What a kernel left on SQLite is there for the next one: the console lists it, and a run goes on."""
    durable = DURABLE.replace("orders.db", "restarted.db")
    page = notebook(durable, "orchestrator.start(order, 7, id='o-1').state", "console(orchestrator)")
    page.run_all()
    page.page.locator(".sgf-console .sgf-pick").first.wait_for()
    page.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    page.run_all()
    listed = page.page.locator(".sgf-console.sgf-live .sgf-pick, .sgf-console .sgf-live .sgf-pick")
    listed.first.wait_for()
    listed.first.click()
    root = page.page.locator(".sgf-inspector")
    root.locator("button[data-do=run]").first.click()
    until(lambda: "completed" in words(root.locator(".sgf-state").first.inner_text()), what="the end")
    assert "completed" == page.ask("orchestrator.get('o-1').state")
    watched.forgive("Canceled future")


OTHER = """
import sys, time
from sagafsm import Orchestrator, Saga

go = sys.argv[1]
order = Saga("order")
order.add_step("reserve", lambda input: {"id": input}, lambda result: None)


def ship(reserve):
    import pathlib

    while not pathlib.Path(go).exists():
        time.sleep(0.02)


order.add_step("ship", ship)
with Orchestrator("sqlite:///orders.db", sagas=[order], owner="the warehouse") as orchestrator:
    orchestrator.run(order, 7, id="o-1")
"""


def test_another_process_is_followed(notebook, lab, tmp_path):
    """Who drives it is named, what it does is shown, decisions and runs are greyed; a cancel can still be asked for."""
    go = tmp_path / "go"
    other = subprocess.Popen([sys.executable, "-c", OTHER, str(go)], cwd=lab.work)
    try:
        found = "any(one.state == 'running:ship' for one in orchestrator.find())"
        waits = f"import time\nwhile not {found}: time.sleep(0.05)"
        page = notebook(DURABLE, waits, "inspect('o-1', orchestrator)")
        page.run_all()
        card = Card(page)
        until(lambda: "the warehouse" in words(card.root.inner_text()), what="who drives it")
        assert card.root.locator("button[data-do=run]").first.is_disabled()
        go.touch()
        card.reaches("completed")
    finally:
        go.touch()
        other.wait(20)
        (lab.work / "orders.db").unlink(missing_ok=True)
