"""A saga as an inline SVG: the way forward, under it the way back, and how each step of an instance stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import attrs

from sagafsm.events import StepOutline
from sagafsm.instance import SagaInstance
from sagafsm.view.layout import Edge, Label, Layout, Placed, Point, Rect, layout
from sagafsm.view.lettering import cut, width_of, wrapped
from sagafsm.view.page import Html, escaped, tag
from sagafsm.view.phrases import count
from sagafsm.view.scene import Box, Marks, Target, scene
from sagafsm.view.signs import sign
from sagafsm.view.words import READY, Standing

# The sizes of the letters; those of titles are bold, and as wide as somewhat larger ones.
_BOLD, WORD = 13.2, 10.5
_SIGN = 22.0
# Where there is less room it is drawn smaller, as long as it can be read, and scrolls from there on.
_LEAST = 0.8
# More steps than these nobody listens to in one sentence: each has its words, and a table stands below.
_MOST_TOLD = 20

STYLE: Final = """
& .sgf-diagram{overflow-x:auto;margin:8px 0}
& .sgf-d{display:block;max-width:100%;height:auto;font-family:inherit;direction:ltr;fill:#000;stroke:none}
& .sgf-d g{--c:var(--none);--b:var(--none-bg);--s:var(--edge)}
& .sgf-d .good{--c:var(--good);--b:var(--good-bg);--s:var(--good)}
& .sgf-d .now{--c:var(--now);--b:var(--now-bg);--s:var(--now)}
& .sgf-d .back{--c:var(--back);--b:var(--back-bg);--s:var(--back)}
& .sgf-d .asked{--c:var(--asked);--b:var(--asked-bg);--s:var(--asked)}
& .sgf-d .quiet{--c:var(--quiet);--b:var(--quiet-bg);--s:var(--quiet)}
& .sgf-d .late{--c:var(--late);--b:var(--late-bg);--s:var(--late)}
& .sgf-d .bad{--c:var(--bad);--b:var(--bad-bg);--s:var(--bad-bg)}
& .sgf-d text{fill:var(--c);font-size:10.5px}
& .sgf-d .n{font-size:12px;font-weight:600}
& .sgf-d rect{fill:var(--b);stroke:var(--s);stroke-width:1.2}
& .sgf-d .i{fill:none;stroke:var(--c);stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
& .sgf-d .f>rect{fill:none}
& .sgf-d .f>text{fill:var(--text)}
& .sgf-d .here>rect{stroke-width:3}
& .sgf-d .pick>rect{stroke:var(--text);stroke-width:2.5}
& .sgf-d .dash>rect{stroke-dasharray:4 3}
& .sgf-d .e{fill:none;stroke:var(--edge);stroke-width:1.4}
& .sgf-d .g{stroke:var(--good);stroke-width:2}
& .sgf-d .b{stroke-dasharray:4 3}
& .sgf-d .b.g{stroke:var(--back);stroke-dasharray:none}
& .sgf-d .t{fill:var(--edge)}
& .sgf-d .t.g{fill:var(--good);stroke:none}
& .sgf-d .t.b.g{fill:var(--back)}
& .sgf-d .l{fill:var(--dim)}
& .sgf-d .m rect{fill:var(--late-bg);stroke:var(--late)}
& .sgf-d .m text{fill:var(--late);font-weight:600;font-size:10px}
& .sgf-d [data-step]{cursor:pointer;outline:none}
& .sgf-d [data-step]:hover>rect{stroke-width:2.5}
& .sgf-d [data-step]:focus-visible>rect{stroke:var(--now);stroke-width:3.5}
@media (prefers-reduced-motion:no-preference){& .sgf-d .here.now>rect{animation:sgf-pulse 1.6s ease-in-out infinite}}
@keyframes sgf-pulse{50%{stroke-opacity:.35}}
"""


@attrs.frozen(kw_only=True)
class _Pen:
    """What holds for a whole drawing."""

    selected: tuple[str, Target] | None
    interactive: bool

    def attributes(self, box: Box, target: Target) -> str:
        """What makes a box a button, where it is one."""
        if not self.interactive:
            return ""
        path, told = escaped(box.path), escaped(box.told)
        return f' data-step="{path}" data-target="{target}" tabindex="0" role="button" aria-label="{told}"'


def diagram(
    outline: Sequence[StepOutline],
    *,
    instance: SagaInstance | None = None,
    nested: Mapping[str, SagaInstance] | None = None,
    marks: Marks | None = None,
    selected: tuple[str, Target] | None = None,
    interactive: bool = False,
    uid: str = "d",
) -> Html:
    """A saga's steps from left to right, what undoes them below them, and, of an instance, where it stands.

    `nested` are the instances of nested sagas, by path; `marks` what breaks on purpose; `selected` a step, by its path,
    and what of it. An `interactive` one has a button for each step and each compensation, with its path in `data-step`.
    `uid` makes ids unique in a page.
    """
    drawn = layout(scene(outline, instance=instance, nested=nested, marks=marks))
    pen = _Pen(selected=selected, interactive=interactive)
    parts = [*_edges(drawn), *_labels(drawn.labels), *_ends(drawn, instance)]
    parts += [part for one in drawn.placed for part in _drawn(one, pen)]
    width, height = round(drawn.width), round(drawn.height)
    role = "group" if interactive else "img"
    boxes = [one.box.told for one in drawn.placed]
    told = "; ".join(["Diagram", *boxes]) if len(boxes) <= _MOST_TOLD else f"Diagram of {count(len(boxes), 'step')}"
    svg = (
        f'<svg class="sgf-d" fill="none" stroke="currentColor" id="{escaped(uid)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="min-width:{round(width * _LEAST)}px" role="{role}" aria-label="{escaped(told)}">{"".join(parts)}</svg>'
    )
    return tag("div", Html(svg), class_="sgf-diagram")


def _drawn(one: Placed, pen: _Pen) -> Iterator[str]:
    box = one.box
    if box.columns:
        yield _frame(one, pen)
    else:
        yield _action(one, pen)
    if one.pill is not None and box.undo is not None:
        yield _compensation(box, box.undo, one.pill, pen)
    if box.action_mark:
        yield _mark(box.action_mark, one.rect.x + 8, one.rect.y - 9)
    if box.undo_mark and one.pill is not None:
        yield _mark(box.undo_mark, one.pill.x + 8, one.pill.bottom + 10)


def _classes(box: Box, target: Target, standing: Standing, pen: _Pen, *, here: bool) -> str:
    names = [standing.tone]
    names += ["here"] if here else []
    names += ["pick"] if pen.selected == (box.path, target) else []
    names += ["dash"] if not box.effect and box.kind == "step" else []
    return " ".join(names)


def _action(one: Placed, pen: _Pen) -> str:
    box, rect = one.box, one.rect
    room = rect.width - 12 - _SIGN
    lines = wrapped(box.title, room, _BOLD)
    calls = f" · attempt {box.attempts}" if box.attempts > 1 else ""
    calls += f" · {count(box.folded, 'step')}" if box.folded else ""
    extra = " · pivot" if box.pivot else " · signal" if box.kind == "wait" and "signal" not in box.action.word else ""
    status = cut(f"{box.action.word}{calls}{extra}", rect.width - 20, WORD)
    first = rect.y + (20 if len(lines) == 1 else 15)
    texts = [_text(line, rect.x + 10, first + 14 * n, "n") for n, line in enumerate(lines)]
    texts.append(_text(status, rect.x + 10, rect.bottom - 8))
    signs = [sign(box.action.sign, rect.right - 19, rect.y + 6)]
    signs += [sign("flag", rect.right - 19, rect.bottom - 18)] if box.pivot else []
    radius = 25 if box.kind == "wait" else 8
    classes = _classes(box, "action", box.action, pen, here=box.is_current)
    told = f"<title>{escaped(box.told)}</title> "
    shape = _rect(rect, radius)
    return f'<g class="{classes}"{pen.attributes(box, "action")}>{told}{shape}{"".join(texts)}{"".join(signs)}</g>'


def _frame(one: Placed, pen: _Pen) -> str:
    """A nested saga: its title and how it stands, above what is drawn in it."""
    box, rect = one.box, one.rect
    free = rect.width - 40 - _SIGN
    # In a narrow one the word gives way: the sign tells how it stands, too.
    word = cut(box.action.word, max(free - width_of(box.title, _BOLD), min(90.0, free / 3)), WORD)
    title = cut(box.title, free - width_of(word, WORD), _BOLD)
    texts = _text(title, rect.x + 10, rect.y + 17, "n") + _text(word, rect.right - 24, rect.y + 17, anchor="end")
    classes = _classes(box, "action", box.action, pen, here=box.is_current)
    told = f"<title>{escaped(box.told)}</title> "
    inside = f"{told}{_rect(rect, 10)}{texts}{sign(box.action.sign, rect.right - 19, rect.y + 7)}"
    return f'<g class="f {classes}"{pen.attributes(box, "action")}>{inside}</g>'


def _compensation(box: Box, undo: Standing, pill: Rect, pen: _Pen) -> str:
    word = cut(undo.word, pill.width - 34, WORD)
    classes = _classes(box, "compensation", undo, pen, here=box.is_undone_now)
    name = "back" if undo.sign == "empty" else undo.sign
    told = f"compensation of {box.called}" + ("" if undo == READY else f": {undo.word}")
    inside = (
        f"<title>{escaped(told)}</title> {_rect(pill, 11)}"
        f"{sign(name, pill.x + 8, pill.y + 5)}{_text(word, pill.x + 26, pill.y + 15)}"
    )
    return f'<g class="{classes}"{pen.attributes(box, "compensation")}>{inside}</g>'


def _mark(text: str, x: float, y: float) -> str:
    """A badge beside a box: what breaks there on purpose."""
    shown = cut(text, 118, 10)
    wide = min(126.0, len(shown) * 6.2 + 12)
    return (
        f'<g class="m"><title>{escaped(text)}</title> {_rect(Rect(x, y - 8, wide, 15), 7)}'
        f'<text x="{_n(x + 6)}" y="{_n(y + 3)}" textLength="{_n(wide - 12)}" lengthAdjust="spacingAndGlyphs">'
        f"{escaped(shown)}</text> </g>"
    )


def _edges(drawn: Layout) -> Iterator[str]:
    # Those that have come by are drawn last, so that no other one lies over them.
    for edge in sorted(drawn.edges, key=lambda edge: edge.is_gone):
        yield _edge(edge)


def _edge(edge: Edge) -> str:
    names = f"{' b' if edge.way == 'back' else ''}{' g' if edge.is_gone else ''}"
    end = edge.points[-1]
    line = f'<path class="e{names}" d="{_path(edge.points)}"/>'
    if not edge.tip:
        return line
    across = -7 if edge.way == "forward" else 7
    return f'{line}<path class="t{names}" d="M{_n(end[0])} {_n(end[1])}l{across}-4v8z"/>'


def _path(points: Sequence[Point]) -> str:
    """A line or a curve between two points; through more of them, along their corners."""
    (x, y), (to_x, to_y) = points[0], points[-1]
    start = f"M{_n(x)} {_n(y)}"
    if len(points) == 3:
        x, y = points[1]
        start = f"{start}H{_n(x)}"
    elif len(points) > 3:
        return start + "".join(_stroke(before, after) for before, after in pairwise(points))
    if abs(y - to_y) < 0.5:
        return f"{start}H{_n(to_x)}"
    half = (x + to_x) / 2
    return f"{start}C{_n(half)} {_n(y)} {_n(half)} {_n(to_y)} {_n(to_x)} {_n(to_y)}"


def _stroke(before: Point, after: Point) -> str:
    return f"V{_n(after[1])}" if before[0] == after[0] else f"L{_n(after[0])} {_n(after[1])}"


def _labels(labels: Sequence[Label]) -> Iterator[str]:
    for label in labels:
        text = cut(f"group {label.text}", label.rect.width, WORD)
        yield _text(text, label.rect.x + label.rect.width / 2, label.rect.y + 10, "l", anchor="middle")


def _ends(drawn: Layout, instance: SagaInstance | None) -> Iterator[str]:
    """A dot where it begins, and a dot in a ring where it is complete."""
    begun = " g" if instance is not None and instance.started else ""
    complete = " g" if instance is not None and instance.state == "completed" else ""
    if drawn.start is not None:
        yield _dot("t", begun, drawn.start, 5)
    if drawn.end is not None:
        yield _dot("e", complete, drawn.end, 8)
        yield _dot("t", complete, drawn.end, 4)


def _dot(name: str, gone: str, at: Point, radius: int) -> str:
    return f'<circle class="{name}{gone}" cx="{_n(at[0])}" cy="{_n(at[1])}" r="{radius}"/>'


def _rect(rect: Rect, radius: float) -> str:
    return (
        f'<rect x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}" rx="{radius:g}"/>'
    )


def _text(text: str, x: float, y: float, class_: str = "", anchor: str = "") -> str:
    named = (f' class="{class_}"' if class_ else "") + (f' text-anchor="{anchor}"' if anchor else "")
    # A space behind it: where a site drops the drawing and keeps its words, they stay apart.
    return f'<text x="{_n(x)}" y="{_n(y)}"{named}>{escaped(text)}</text> '


def _n(number: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{number:.1f}".removesuffix(".0")
