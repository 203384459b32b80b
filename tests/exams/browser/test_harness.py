"""A widget in a real JupyterLab: a click reaches the kernel, what the kernel says is shown, and nothing goes out."""

from __future__ import annotations

from support.browser import Browser
from support.themes import themes

COUNTER = '''
import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = """export default { render({model, el}) {
      const b = document.createElement("button"); b.className = "counter";
      const show = () => { b.textContent = "counted " + model.get("count"); }; show();
      b.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
      model.on("change:count", show); el.appendChild(b); } }"""
    count = traitlets.Int(0).tag(sync=True)
counter = Counter(); counter
'''


@themes()
def test_click_reaches_the_kernel_and_comes_back(notebook, dark):
    page = notebook(COUNTER, dark=dark)
    page.run_all()
    page.page.click(".counter")
    page.page.wait_for_selector("text=counted 1")
    assert 1 == page.ask("counter.count")


def test_what_a_page_asks_of_another_machine_is_seen(watched: Browser):
    page = watched.new_page()
    page.goto("about:blank")
    page.evaluate("() => fetch('https://example.com/spy.js').catch(() => null)")
    assert ["https://example.com/spy.js"] == watched.external
    watched.forget()


def test_script_that_fails_is_seen(watched: Browser):
    page = watched.new_page()
    page.goto("about:blank")
    page.evaluate("() => { setTimeout(() => { throw new Error('spoilt'); }); }")
    page.wait_for_timeout(100)
    assert 1 == len(watched.page_errors)
    watched.forget()
