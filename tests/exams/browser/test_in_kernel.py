"""The inspector in a real kernel: clicks come in as messages, and what changes goes out, from whichever thread.

An interrupt of the cell that runs it leaves the instance resumable, and says so.
"""

from __future__ import annotations

import time
from importlib.util import find_spec

import attrs
import pytest

pytestmark = [
    pytest.mark.skipif(find_spec("ipykernel") is None, reason="ipykernel is not installed"),
    pytest.mark.xdist_group("kernel"),
]
SETUP = """
import threading, time
from sagafsm import Orchestrator, Saga
from sagafsm.notebook import inspect

saga = Saga("order")
reached = threading.Event()

def wait(input):
    reached.set()
    time.sleep(input)
    return threading.current_thread() is threading.main_thread()

saga.add_step("wait", wait, in_doubt="retry")
saga.add_step("then", lambda: 1)
orchestrator = Orchestrator("memory://", sagas=[saga])

def inspected(id, seconds):
    orchestrator.start(saga, seconds, id=id)
    return inspect(id, orchestrator)
"""


@attrs.define(eq=False)
class Notebook:
    """A kernel, and all that it has sent on its way to a page."""

    manager: object
    client: object
    heard: list = attrs.Factory(list)

    def send(self, code):
        return self.client.execute(code, stop_on_error=False)

    def run(self, code, *, within=30):
        """Run a cell to its end; what it raised, or None."""
        request = self.send(code)
        reply = self.client.get_shell_msg(timeout=within)
        while reply["parent_header"].get("msg_id") != request:
            reply = self.client.get_shell_msg(timeout=within)
        content = reply["content"]
        return None if content["status"] == "ok" else f"{content['ename']}: {content['evalue']}"

    def until(self, holds, *, within=20):
        """Listen until a message is such, and return it."""
        end = time.monotonic() + within
        for message in self.heard:
            if holds(message):
                return message
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=within)
            self.heard.append(message)
            if holds(message):
                return message
        raise AssertionError("it was not sent")

    def opened(self):
        """The id of the widget's comm, and what it was opened with."""
        message = self.until(lambda one: one["msg_type"] == "comm_open" and "frame" in one["content"]["data"]["state"])
        return message["content"]["comm_id"], message["content"]["data"]["state"]["frame"]

    def click(self, comm, **command):
        content = {"comm_id": comm, "data": {"method": "custom", "content": command}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def shown(self, comm, **facts):
        """Wait for a message of a widget with these facts."""

        def holds(message):
            if message["msg_type"] != "comm_msg" or message["content"]["comm_id"] != comm:
                return False
            told = message["content"]["data"].get("content", {})
            return all(told.get(name) == value for name, value in facts.items())

        return self.until(holds)["content"]["data"]["content"]


@pytest.fixture
def notebook():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()
    opened = Notebook(manager, client)
    assert opened.run(SETUP) is None
    yield opened
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def test_a_click_runs_it_off_the_main_thread_and_all_that_happens_is_sent(notebook):
    assert notebook.run("inspector = inspected('o-1', 0); inspector") is None
    comm, frame = notebook.opened()
    assert ("pending", True, 1) == (frame["state"], frame["full"], frame["total"])
    snapshot = notebook.until(lambda one: one["msg_type"] == "display_data" and "text/html" in one["content"]["data"])
    notebook.click(comm, do="run")
    assert 6 == notebook.shown(comm, state="completed")["total"]
    update = notebook.until(lambda one: one["msg_type"] == "update_display_data")
    assert snapshot["content"]["transient"] == update["content"]["transient"]
    assert "completed" in update["content"]["data"]["text/html"]
    assert notebook.run("assert inspector.instance.results['wait'] is False") is None
    notebook.click(comm, do="ping", seq=0)
    assert 0 < notebook.shown(comm, kind="pong")["seq"]


def test_an_interrupt_leaves_it_resumable_and_says_so(notebook):
    assert notebook.run("inspector = inspected('o-1', 1); inspector") is None
    comm, _ = notebook.opened()
    request = notebook.send("inspector.run()")
    notebook.shown(comm, state="running")
    notebook.manager.interrupt_kernel()
    error = notebook.until(lambda one: one["msg_type"] == "error" and one["parent_header"]["msg_id"] == request)
    assert "KeyboardInterrupt" == error["content"]["ename"]
    assert notebook.shown(comm, message="interrupted: it rests in running:wait, and run goes on")
    assert "resume('o-1')" in "".join(error["content"]["traceback"])
    assert notebook.run("assert inspector.run().state == 'completed'") is None
    assert notebook.run("assert inspector.instance.results['wait'] is True") is None


def test_while_a_cell_blocks_what_is_driven_goes_on_and_clicks_wait(notebook):
    assert notebook.run("inspector = inspected('o-1', 0.2); inspector") is None
    comm, _ = notebook.opened()
    notebook.click(comm, do="run")
    request = notebook.send("reached.wait(); time.sleep(1); told = inspector.instance.state")
    notebook.click(comm, do="select", step="then")
    notebook.shown(comm, state="completed")
    idle = notebook.until(
        lambda one: (
            one["msg_type"] == "status"
            and one["content"]["execution_state"] == "idle"
            and one["parent_header"]["msg_id"] == request
        )
    )
    assert idle
    notebook.until(lambda one: "panel" in one["content"].get("data", {}).get("content", {}).get("panes", {}))
    assert notebook.run("assert told == 'completed'; assert inspector.session.selected == ('then', 'action')") is None
