"""The inspector's script in a browser, by itself: what it is sent it shows, and what is clicked it sends.

It keeps what its reader does, asks for all when it missed something, and says when the kernel does not answer.
"""

from __future__ import annotations

import pytest

from sagafsm import Orchestrator, OutcomeUnknown, Saga
from sagafsm.notebook import inspect
from support.browser import browsing, needs_browser
from support.inspector_page import PANES, Bench, frame, rows

pytestmark = [pytest.mark.xdist_group("inspector_js")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    needs_browser("anywidget")
    with browsing(tmp_path_factory.mktemp("inspector")) as opened:
        yield opened


@pytest.fixture
def page(browser):
    browser.forget()
    page = browser.new_page()
    yield page
    page.close()
    browser.check()


@pytest.fixture
def bench(page):
    """The script with a model of its own, and three events."""
    bench = Bench(page)
    bench.begin()
    return bench


def live(browser_page, selector):
    return browser_page.locator(f"#one {selector}")


def test_what_it_is_sent_it_shows(bench):
    assert ("running", "3 / 3") == (bench.text(".sgf-state"), bench.text(".sgf-position"))
    bench.receive(
        frame(1, panes={"head": PANES["head"].replace("running", "completed")}, rows=rows(4, 6), first=3, total=5, at=5)
    )
    assert ("completed", "5 / 5") == (bench.text(".sgf-state"), bench.text(".sgf-position"))
    assert 5 == live(bench.page, "tbody tr").count()
    assert [] == bench.asked()


def test_a_gap_has_it_ask_for_all_and_what_came_late_is_left_out(bench):
    bench.receive(frame(2, panes={"head": "<p>lost</p>"}))
    assert [{"do": "resync"}] == bench.asked()
    assert "running" == bench.text(".sgf-state")
    bench.receive(
        frame(3, full=True, first=0, rows=rows(1, 8), total=7, at=7, panes=PANES),
        frame(2, panes={"head": "<p>old</p>"}),
    )
    assert 7 == live(bench.page, "tbody tr").count()
    assert "running" == bench.text(".sgf-state")
    assert [] == bench.asked()


def test_rows_that_do_not_follow_have_it_ask_for_all(bench):
    bench.receive(frame(1, rows=rows(6, 7), first=5, total=6))
    assert [{"do": "resync"}] == bench.asked()
    assert 3 == live(bench.page, "tbody tr").count()


def test_a_second_view_is_complete_at_once(bench):
    bench.receive(frame(1, rows=rows(4, 5), first=3, total=4, at=4, message="well"))
    bench.view("two")
    for view in ("one", "two"):
        assert ("running", "4 / 4", "well") == tuple(
            bench.text(part, view) for part in (".sgf-state", ".sgf-position", ".sgf-message")
        )
    assert 4 == bench.page.locator("#two tbody tr").count()
    bench.page.evaluate("() => window.ends.one()")
    bench.receive(frame(2, message="on", first=4, total=4))
    assert "on" == bench.text(".sgf-message", "two")


def test_a_click_sends_what_the_button_tells(bench):
    live(bench.page, "[data-do=run]").click()
    assert [{"do": "run"}] == bench.asked()
    live(bench.page, ".sgf-go").nth(1).click()
    assert [{"do": "travel", "at": 2}] == bench.asked()


@pytest.mark.parametrize("key", ["Enter", " "])
def test_a_box_is_selected_by_the_keyboard(bench, key):
    live(bench.page, "[data-step=charge]").focus()
    bench.page.keyboard.press(key)
    assert [{"do": "select", "step": "charge", "target": "action"}] == bench.asked()


def test_a_box_is_selected_by_a_click(bench):
    live(bench.page, "[data-step=charge] rect").click()
    assert [{"do": "select", "step": "charge", "target": "action"}] == bench.asked()


@pytest.mark.parametrize(("key", "at"), [("ArrowLeft", 2), ("Home", 1), ("End", 3), ("ArrowRight", 3)])
def test_the_slider_travels_by_keys(bench, key, at):
    slider = live(bench.page, ".sgf-slider")
    slider.focus()
    if at == 3:
        bench.page.keyboard.press("Home")
        bench.page.keyboard.press("ArrowRight")
        bench.page.wait_for_timeout(80)
        bench.sent()
    bench.page.keyboard.press(key)
    bench.page.wait_for_function("() => window.sent.some((one) => one.do === 'travel')")
    assert [{"do": "travel", "at": at}] == bench.asked()


def test_dragging_the_slider_sends_no_more_than_thirty_a_second(bench):
    bench.receive(frame(1, full=True, first=0, rows=rows(1, 201), total=200, at=200, panes=PANES))
    bench.page.evaluate("""async () => {
      const slider = document.querySelector(".sgf-slider");
      const end = performance.now() + 1000;
      while (performance.now() < end) {
        slider.value = String(1 + (Number(slider.value) % 200));
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((done) => setTimeout(done, 1));
      }
      window.last = Number(slider.value);
      await new Promise((done) => setTimeout(done, 100));
    }""")
    travels = [one["at"] for one in bench.asked()]
    assert 2 <= len(travels) <= 34
    assert bench.page.evaluate("() => window.last") == travels[-1]


def test_the_past_is_dimmed_in_the_table(bench):
    bench.receive(frame(1, at=1, live=False))
    assert 2 == live(bench.page, "tr.sgf-future").count()
    assert "go live" == bench.text(".sgf-present")
    live(bench.page, ".sgf-present").click()
    assert [{"do": "live"}] == bench.asked()
    bench.receive(frame(2, at=3, live=True))
    assert 0 == live(bench.page, "tr.sgf-future").count()


def test_what_is_unfolded_written_and_focused_stays(bench):
    live(bench.page, "[data-pane=panel] summary").click()
    live(bench.page, "tbody summary").first.click()
    live(bench.page, "[data-open=cancel]").click()
    reason = live(bench.page, "input[name=reason]")
    reason.press_sequentially("too la")
    changed = {name: html + "<p></p>" for name, html in PANES.items()}
    bench.receive(frame(1, panes=changed, rows=rows(4, 9), first=3, total=8, at=8))
    reason.press_sequentially("te")
    assert "too late" == reason.input_value()
    assert live(bench.page, "[data-pane=panel] details").get_attribute("open") is not None
    assert live(bench.page, "tbody details").first.get_attribute("open") is not None
    reason.press("Enter")
    assert [{"do": "cancel", "reason": "too late"}] == bench.asked()


def test_a_form_is_opened_and_closed_by_its_button(bench):
    opener, form = live(bench.page, "[data-open=cancel]"), live(bench.page, "[data-form=cancel]")
    assert form.is_hidden()
    opener.click()
    assert form.is_visible()
    assert "true" == opener.get_attribute("aria-expanded")
    opener.click()
    assert form.is_hidden()
    assert [] == bench.asked()


def test_the_table_is_filtered(bench):
    bench.receive(
        frame(
            1,
            rows=rows(4, 6, "compensation") + rows(6, 7, "decision"),
            first=3,
            total=6,
            at=6,
            errors=[5],
        )
    )
    shown = {}
    for name in ("compensation", "doubt", "error", "request", "all"):
        live(bench.page, f"[data-filter={name}]").click()
        shown[name] = live(bench.page, "tbody tr:visible").count()
    assert {"compensation": 2, "doubt": 1, "error": 1, "request": 0, "all": 6} == shown
    live(bench.page, ".sgf-search").fill("no such thing")
    assert 0 == live(bench.page, "tbody tr:visible").count()
    bench.receive(frame(2, rows=rows(7, 8), first=6, total=7, at=7))
    assert 0 == live(bench.page, "tbody tr:visible").count()
    assert [] == bench.asked()


def test_a_kernel_that_does_not_answer_is_busy_and_clicks_wait_for_it(bench):
    live(bench.page, "[data-do=run]").click()
    live(bench.page, ".sgf-link:has-text('kernel busy: acts after the cell')").wait_for(timeout=5_000)
    assert live(bench.page, "[data-do=run]").is_enabled()
    live(bench.page, "[data-do=run]").click()
    assert [{"do": "run"}, {"do": "run"}] == bench.asked()
    bench.receive(frame(1, message="from a thread of the kernel"))
    assert "kernel busy: acts after the cell" == bench.text(".sgf-link")
    bench.receive({"kind": "pong", "seq": 1})
    assert "" == bench.text(".sgf-link")


def test_it_asks_every_other_second_with_the_last_that_it_saw(bench):
    bench.receive({"kind": "pong", "seq": 0}, frame(1, message="x"))
    bench.page.wait_for_function("() => window.sent.some((one) => one.do === 'ping' && one.seq === 1)", timeout=5_000)


@pytest.mark.parametrize("how", ["it throws", "it is disconnected"])
def test_a_kernel_that_is_gone_is_told_and_nothing_can_be_clicked(bench, how):
    if how == "it throws":
        bench.page.evaluate("() => { window.isBroken = true; }")
        live(bench.page, "[data-do=run]").click()
    else:
        bench.page.evaluate("""() => {
          document.querySelector("#one").classList.add("jupyter-widgets-disconnected");
          window.fire("comm_live_update");
        }""")
    assert "kernel gone: run the cell again" == bench.text(".sgf-link")
    assert live(bench.page, "[data-do=run]").is_disabled()
    assert live(bench.page, ".sgf-slider").is_disabled()
    # What was sent is still there to be read.
    live(bench.page, "[data-filter=compensation]").click()
    assert 0 == live(bench.page, "tbody tr:visible").count()
    bench.sent()
    live(bench.page, "[data-step=charge] rect").click()
    assert [] == bench.sent()


def test_a_file_is_offered_once_whatever_views_there_are(bench):
    bench.view("two")
    downloads = []
    bench.page.on("download", lambda one: downloads.append(one))  # noqa: PLW0108 - playwright marks what it is given
    with bench.page.expect_download() as download:
        bench.receive({"kind": "file", "name": "o-1.html", "html": "<p>told</p>"})
    assert "o-1.html" == download.value.suggested_filename
    assert "<p>told</p>" == download.value.path().read_text()
    assert 1 == len(downloads)


def test_a_flood_ends_in_its_last_state(bench):
    """600 frames, as fast as a page takes them; `benchmarks/showing.py` measures how long one of its own takes then."""
    bench.flood(600)
    assert ("at 600", "603 / 603") == (bench.text(".sgf-state"), bench.text(".sgf-position"))
    assert 603 == live(bench.page, "tbody tr").count()


# With the kernel's part behind it ---------------------------------------------------------------------------------------


def doubtful():
    saga = Saga("order")

    def charge(input):
        raise OutcomeUnknown("no answer")

    saga.add_step("reserve", lambda input: {"id": input}, lambda result: None)
    saga.add_step("charge", charge, lambda result: None)
    return saga


@pytest.fixture
def whole(page):
    """The page of a real instance."""
    with Orchestrator("memory://", sagas=[doubtful()]) as orchestrator:
        orchestrator.start(doubtful(), 7, id="o-1")
        inspection = inspect("o-1", orchestrator)
        yield Bench.over(page, inspection)
        inspection.close()


def test_a_step_is_broken_mended_and_run_by_the_keyboard_alone(whole):
    whole.page.locator("[data-step=reserve][data-target=action]").focus()
    whole.page.keyboard.press("Enter")
    whole.until(lambda: whole.page.locator(".sgf-breakage").count() == 1)
    whole.page.locator(".sgf-breakage button[type=submit]").focus()
    whole.page.keyboard.press("Enter")
    whole.until(lambda: "fails once" in whole.text("[data-pane=diagram]"))
    whole.page.locator("[data-do=mend]").press("Enter")
    whole.until(lambda: "fails once" not in whole.text("[data-pane=diagram]"))
    whole.page.locator("[data-do=run]").press("Enter")
    whole.until(lambda: whole.text(".sgf-state") == "blocked")


def test_what_is_blocked_is_settled_and_a_mistake_keeps_what_was_written(whole):
    whole.inspection.run()
    whole.until(lambda: whole.page.locator("[data-open^='resolve(result)'][data-decision]").is_enabled())
    whole.page.locator("[data-open^='resolve(result)'][data-decision]").click()
    form = whole.page.locator("[data-form^='resolve(result)']")
    form.locator("textarea").fill("{id: 7}")
    form.locator("input[name=reason]").fill("asked the bank")
    form.locator("button[type=submit]").click()
    whole.until(lambda: "not JSON" in whole.text(".sgf-message"))
    assert "asked the bank" == form.locator("input[name=reason]").input_value()
    form.locator("textarea").fill('{"id": 7}')
    form.locator("button[type=submit]").click()
    whole.until(lambda: whole.text(".sgf-state") == "completed")
    assert {"id": 7} == whole.inspection.instance.results["charge"]


def test_travelling_takes_every_pane_along(whole):
    whole.inspection.run()
    whole.until(lambda: whole.text(".sgf-state") == "blocked")
    whole.page.locator(".sgf-slider").press("Home")
    whole.until(lambda: whole.text(".sgf-state") == "pending")
    assert "1 / " in whole.text(".sgf-position")
    assert "not begun" in whole.text("[data-pane=diagram]")
    assert "" == whole.text("[data-pane=asks]")
    assert whole.page.locator("[data-do=run]").is_disabled()
    whole.page.locator(".sgf-present").click()
    whole.until(lambda: whole.text(".sgf-state") == "blocked")
