"""The inspector's script on a plain page, with a model that a test answers for: no notebook, no server."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import attrs

from sagafsm.notebook.inspector.messages import handle_message
from sagafsm.notebook.inspector.widget import Inspector

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

# Sends frames as fast as a page takes them, and returns the longest time in ms between two pictures that it drew.
FLOOD = """async ([frames]) => {
  let worst = 0, before = performance.now(), on = true;
  const tick = () => {
    const now = performance.now();
    worst = Math.max(worst, now - before);
    before = now;
    if (on) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  for (const frame of frames) {
    window.receive([frame]);
    await new Promise((done) => setTimeout(done, 5));
  }
  await new Promise((done) => setTimeout(done, 50));
  on = false;
  return worst;
}"""
PANES = {
    "head": '<p class="sgf-top"><span class="sgf-chip">running</span></p>',
    "diagram": '<div class="sgf-diagram"><svg><g data-step="charge" data-target="action" tabindex="0" role="button">'
    '<rect width="80" height="30"></rect></g></svg></div>',
    "panel": "<details><summary>traceback</summary><p>boom</p></details>",
    "controls": '<div class="sgf-buttons"><button type="button" data-do="run">Run</button>'
    '<button type="button" data-open="cancel" aria-expanded="false">Cancel</button></div>'
    '<form data-form="cancel" data-do="cancel" hidden><input name="reason"><button type="submit">OK</button></form>',
}


def rows(first, end, kind="action"):
    """Rows of the event table."""
    return "".join(
        f'<tr data-number="{number}" data-kind="{kind}"><td><button type="button" class="sgf-go">{number}</button></td>'
        f"<td>0 s</td><td>StepStarted charge</td><td></td><td><details><summary>payload</summary>{number}</details></td></tr>"
        for number in range(first, end)
    )


def frame(seq, **told):
    """A message as a kernel sends it, after three events."""
    return {"kind": "frame", "seq": seq, "panes": {}, "rows": "", "first": 3, "total": 3, **told}


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
        bench.load(inspection.frames.make_full_frame(), dark=dark)
        return bench

    def load(self, frame, *, dark=False):
        back = "#0d1117" if dark else "#ffffff"
        self.page.set_content(PAGE.format(css=Inspector._css, back=back))
        self.page.evaluate(SETUP, [SCRIPT.read_text(encoding="utf-8"), {"frame": frame}])
        self.view("one")

    def begin(self):
        """Show an instance of three events, on a page of its own."""
        self.load(frame(0, full=True, first=0, rows=rows(1, 4), total=3, at=3, live=True, message="", panes=PANES))
        self.sent()

    def flood(self, number):
        """Send so many frames, with an event each and a diagram of thirty steps; the worst gap between two pictures."""
        diagram = PANES["diagram"] * 30
        return self.page.evaluate(FLOOD, [[_flooding(seq, diagram) for seq in range(1, number + 1)]])

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
            handle_message(self.inspection, command)
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


def _flooding(seq, diagram):
    panes = {"head": PANES["head"].replace("running", f"at {seq}"), "diagram": diagram}
    return frame(seq, panes=panes, rows=rows(seq + 3, seq + 4), first=seq + 2, total=seq + 3, at=seq + 3)
