"""A page never gets more than it can draw, always the last state, and each change in order, or all of it anew."""

from __future__ import annotations

import itertools

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from sagafsm.notebook.page_updates import PAUSE_FACTOR, PER_SECOND, PageState, PageUpdater
from sagafsm.render.html import Html

LEAST = 1 / PER_SECOND


@attrs.define(eq=False)
class Stage:
    """A picture that changes, a clock that is moved by hand, and a page that takes what it is sent."""

    now: float = 100.0
    panes: dict = attrs.Factory(lambda: {"head": "h0", "diagram": "d0"})
    events: list = attrs.Factory(lambda: ["<e1>"])
    history_key: str = "o-1"
    at: int = 1
    due: list = attrs.Factory(list)
    sent: list = attrs.Factory(list)
    frames: PageUpdater = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.frames = PageUpdater(self.draw, self.send, clock=lambda: self.now, later=self.later)

    def draw(self):
        events = list(self.events)
        return PageState(
            panes=dict(self.panes),
            history_key=self.history_key,
            total=len(events),
            rows=lambda first: "".join(events[first:]),
            facts={"at": self.at},
        )

    def send(self, message):
        self.sent.append((self.now, message))

    def later(self, delay, call):
        self.due.append((self.now + delay, call))

    def pass_time(self, seconds):
        end = self.now + seconds
        while self.due and min(self.due, key=lambda one: one[0])[0] <= end:
            one = min(self.due, key=lambda one: one[0])
            self.due.remove(one)
            self.now = max(self.now, one[0])
            one[1]()
        self.now = end

    def change(self, kind):
        if kind == "event":
            self.events.append(f"<e{len(self.events) + 1}>")
            self.at = len(self.events)
        else:
            self.panes[kind] += "!"


@attrs.define(eq=False)
class Reader:
    """What a page makes of its messages, as the script does: a gap in the numbers has it ask for all."""

    seq: int = 0
    panes: dict = attrs.Factory(dict)
    rows: str = ""
    total: int = 0
    asks: int = 0

    def take(self, message):
        if not message.get("full"):
            if message["seq"] <= self.seq:
                return
            if message["seq"] != self.seq + 1 or message["first"] != self.total:
                self.asks += 1
                return
        else:
            self.panes, self.rows = {}, ""
        self.panes |= message["panes"]
        self.rows += message["rows"]
        self.seq, self.total = message["seq"], message["total"]

    def shows(self, stage):
        return (self.panes, self.rows) == (stage.panes, "".join(stage.events))


def steps():
    change = st.sampled_from(("event", "head", "diagram"))
    return st.lists(st.tuples(change, st.sampled_from((0.0, 0.001, 0.02, LEAST, 0.5)), st.booleans()), max_size=40)


@given(steps())
@example([("event", 0.001, False)] * 40)
def test_however_fast_it_changes_the_last_state_arrives_and_no_more_than_thirty_a_second(changes):
    stage, page = Stage(), Reader()
    page.take(stage.frames.make_full_frame())
    for kind, seconds, _ in changes:
        stage.change(kind)
        stage.frames.request_update()
        stage.pass_time(seconds)
    stage.pass_time(1)
    times = [at for at, _ in stage.sent]
    assert all(later - sooner >= LEAST - 1e-9 for sooner, later in itertools.pairwise(times))
    for _, message in stage.sent:
        page.take(message)
    assert 0 == page.asks
    assert page.shows(stage)


@given(steps())
def test_what_is_urgent_is_shown_at_once(changes):
    stage = Stage()
    stage.frames.make_full_frame()
    for kind, seconds, urgent in changes:
        before = len(stage.sent)
        stage.change(kind)
        stage.frames.request_update(urgent=urgent)
        if urgent:
            assert before + 1 == len(stage.sent)
        stage.pass_time(seconds)
    stage.pass_time(1)
    assert list(range(1, len(stage.sent) + 1)) == [message["seq"] for _, message in stage.sent]


@given(steps(), st.sets(st.integers(0, 40)))
def test_a_page_that_missed_messages_asks_or_is_found_out_and_gets_all(changes, lost):
    stage, page = Stage(), Reader()
    page.take(stage.frames.make_full_frame())
    heard = 0

    def deliver():
        nonlocal heard
        for number, (_, message) in enumerate(stage.sent):
            if number >= heard and number not in lost:
                page.take(message)
        heard = len(stage.sent)
        if page.asks:
            page.asks = 0
            stage.frames.flush(full=True)
            page.take(stage.sent[-1][1])
            heard = len(stage.sent)

    for kind, seconds, _ in changes:
        stage.change(kind)
        stage.frames.request_update()
        stage.pass_time(seconds)
        deliver()
    stage.pass_time(3)
    deliver()
    before = len(stage.sent)
    up_to_date = stage.frames.seen(page.seq)
    assert up_to_date == (len(stage.sent) == before)
    for _, message in stage.sent[before:]:
        page.take(message)
    assert page.shows(stage)


def test_what_takes_long_to_draw_is_drawn_less_often():
    stage = Stage()
    stage.frames.make_full_frame()
    draw = stage.draw

    def slowly():
        stage.now += 0.1
        return draw()

    stage.frames.draw = slowly
    for _ in range(100):
        stage.change("event")
        stage.frames.request_update()
        stage.pass_time(0.01)
    stage.pass_time(1)
    times = [at for at, _ in stage.sent]
    assert all(later - sooner >= PAUSE_FACTOR * 0.1 - 1e-9 for sooner, later in itertools.pairwise(times))
    assert "<e101>" in stage.sent[-1][1]["rows"]


def test_only_what_changed_is_sent():
    stage = Stage()
    stage.frames.make_full_frame()
    stage.change("event")
    stage.frames.request_update()
    (_, message), *_ = stage.sent
    assert {} == message["panes"]
    assert ("<e2>", 1, 2) == (message["rows"], message["first"], message["total"])
    stage.pass_time(1)
    stage.frames.request_update()
    assert 1 == len(stage.sent)


def test_a_page_that_is_on_its_way_is_not_sent_all_again():
    stage = Stage()
    stage.frames.make_full_frame()
    stage.change("head")
    stage.frames.request_update()
    stage.now += 0.5
    assert stage.frames.seen(0)
    stage.now += 0.6
    assert not stage.frames.seen(0)
    assert stage.sent[-1][1]["full"]


def test_another_story_is_told_from_its_beginning():
    stage, page = Stage(), Reader()
    page.take(stage.frames.make_full_frame())
    stage.history_key, stage.events = "o-1, forked", ["<e1>"]
    stage.frames.request_update()
    assert stage.sent[-1][1]["full"]
    page.take(stage.sent[-1][1])
    assert page.shows(stage)


def test_nothing_is_sent_once_it_is_closed():
    stage = Stage()
    stage.frames.make_full_frame()
    stage.frames.request_update()
    stage.change("head")
    stage.frames.request_update()
    stage.frames.close()
    stage.pass_time(1)
    stage.frames.request_update(urgent=True)
    assert [] == [message for _, message in stage.sent if message["panes"].get("head") == "h0!"][1:]


def test_what_is_sent_is_made_of_plain_strings():
    """An application like marimo sends an object in the place of a string of a class of its own."""
    stage = Stage()
    stage.panes = {"head": Html("<b>h</b>")}
    stage.events = [Html("<e1>")]
    stage.frames.flush(full=True)
    stage.panes = {"head": Html("<b>other</b>")}
    stage.frames.flush()
    assert [{"head": "<b>h</b>"}, {"head": "<b>other</b>"}] == [message["panes"] for _, message in stage.sent]
    sent = [stage.frames.make_full_frame(), *(message for _, message in stage.sent)]
    assert {str} == {type(text) for message in sent for text in (*message["panes"].values(), message["rows"])}
