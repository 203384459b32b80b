"""The inspector's script on a plain page, with a model that a test answers for: no notebook, no server."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import attrs

from sagafsm.notebook.commands import obey
from sagafsm.notebook.widget import Inspector

SCRIPT = Path(__file__).parents[2] / "sagafsm/notebook/static/inspector.js"
PAGE = """<!doctype html><html><head><meta charset="utf-8"><style>body{{margin:12px;background:{back}}}</style>
<style>{css}</style></head><body></body></html>"""
SETUP = """async ([script, state]) => {
  const handlers = new Map();
  window.sent = []; window.isBroken = false; window.downloads = [];
  window.model = {
    get: (name) => state[name], set() {}, save_changes() {},
    send(command) { if (window.isBroken) throw new Error("Kernel is dead"); window.sent.push(command); },
    on(name, call) { handlers.set(name, [...(handlers.get(name) ?? []), call]); },
    off(name, call) { handlers.set(name, (handlers.get(name) ?? []).filter((one) => one !== call)); },
  };
  window.receive = (messages) => { for (const one of messages) for (const call of handlers.get("msg:custom") ?? []) call(one); };
  window.fire = (name) => { for (const call of handlers.get(name) ?? []) call(); };
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  window.widget = await (await import(url)).default();
  await window.widget.initialize?.({ model: window.model });
}"""
VIEW = """async (id) => {
  const el = Object.assign(document.createElement("div"), { id });
  document.body.append(el);
  window.ends = { ...window.ends, [id]: await window.widget.render({ model: window.model, el }) };
}"""


@attrs.define(eq=False)
class Bench:
    """A page with the inspector; what it sends is in `sent`, what it is to hear goes by `receive`."""

    page: object
    inspection: object = None
    outbox: queue.Queue = attrs.Factory(queue.Queue)
    deaf: bool = False

    @classmethod
    def over(cls, page, inspection, *, dark=False):
        """The inspector of a real instance: what the page sends is done, and what changes is shown."""
        bench = cls(page, inspection)
        inspection._transmit = bench.outbox.put
        inspection.frames.send = bench.outbox.put
        bench.load(inspection.frames.complete(), dark=dark)
        return bench

    def load(self, frame, *, dark=False):
        back = "#0d1117" if dark else "#ffffff"
        self.page.set_content(PAGE.format(css=Inspector._css, back=back))
        self.page.evaluate(SETUP, [SCRIPT.read_text(encoding="utf-8"), {"frame": frame}])
        self.view("one")

    def view(self, name):
        self.page.evaluate(VIEW, name)

    def receive(self, *messages):
        self.page.evaluate("(messages) => window.receive(messages)", list(messages))

    def sent(self):
        return self.page.evaluate("() => window.sent.splice(0)")

    def asked(self):
        """What was sent but for pings."""
        return [command for command in self.sent() if command["do"] != "ping"]

    def pump(self):
        """Carry messages both ways, once."""
        for command in [] if self.deaf else self.sent():
            obey(self.inspection, command)
        messages = []
        while not self.outbox.empty():
            messages.append(self.outbox.get())
        if messages:
            self.receive(*messages)

    def until(self, holds, *, within=10.0):
        """Carry messages until something holds."""
        end = time.monotonic() + within
        while True:
            self.pump()
            if holds():
                return
            assert time.monotonic() < end, self.page.inner_text("body")
            self.page.wait_for_timeout(15)

    def text(self, selector, view="one"):
        return self.page.inner_text(f"#{view} {selector}")
