"""A saga as an inline SVG: the way forward, under it the way back, and how each step of an instance stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import attrs

from sagafsm.definition.definition import Definition
from sagafsm.display import format_count
from sagafsm.history.events import StepOutline
from sagafsm.history.instance import SagaInstance
from sagafsm.render.diagram.layout import Edge, Label, Layout, PlacedBox, Point, Rect, compute_layout
from sagafsm.render.diagram.nodes import Box, BreakMarks, Target, build_columns
from sagafsm.render.html import Html, escape, tag
from sagafsm.render.icons import draw_status_icon
from sagafsm.render.labels import HAS_COMPENSATION, StatusLabel
from sagafsm.render.text_width import fit_text, measure_width, wrap_text
from sagafsm.render.theme import make_stylesheet

# The sizes of the letters; those of titles are bold, and as wide as somewhat larger ones.
_TITLE_SIZE, WORD_SIZE = 13.2, 10.5
_ICON_ROOM = 22.0
# Where there is less room it is drawn smaller, as long as it can be read, and scrolls from there on.
_MIN_SCALE = 0.8
# More steps than these nobody listens to in one sentence: each has its words, and a table stands below.
_MAX_DESCRIBED = 20

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
class _DrawingOptions:
    """What holds for a whole drawing."""

    selected: tuple[str, Target] | None
    interactive: bool

    def attributes(self, box: Box, target: Target) -> str:
        """What makes a box a button, where it is one."""
        if not self.interactive:
            return ""
        path, told = escape(box.path), escape(box.description)
        return f' data-step="{path}" data-target="{target}" tabindex="0" role="button" aria-label="{told}"'


def draw_diagram(
    outline: Sequence[StepOutline],
    *,
    instance: SagaInstance | None = None,
    nested: Mapping[str, SagaInstance] | None = None,
    marks: BreakMarks | None = None,
    selected: tuple[str, Target] | None = None,
    interactive: bool = False,
    uid: str = "d",
) -> Html:
    """A saga's steps from left to right, what undoes them below them, and, of an instance, where it stands.

    `nested` are the instances of nested sagas, by path; `marks` what breaks on purpose; `selected` a step, by its path,
    and what of it. An `interactive` one has a button for each step and each compensation, with its path in `data-step`.
    `uid` makes ids unique in a page.
    """
    drawn = compute_layout(build_columns(outline, instance=instance, nested=nested, marks=marks))
    pen = _DrawingOptions(selected=selected, interactive=interactive)
    parts = [*_draw_edges(drawn), *_draw_labels(drawn.labels), *_draw_ends(drawn, instance)]
    parts += [part for one in drawn.placed for part in _draw_box(one, pen)]
    width, height = round(drawn.width), round(drawn.height)
    role = "group" if interactive else "img"
    boxes = [one.box.description for one in drawn.placed]
    told = (
        "; ".join(["Diagram", *boxes])
        if len(boxes) <= _MAX_DESCRIBED
        else f"Diagram of {format_count(len(boxes), 'step')}"
    )
    svg = (
        f'<svg class="sgf-d" fill="none" stroke="currentColor" id="{escape(uid)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="min-width:{round(width * _MIN_SCALE)}px" role="{role}" aria-label="{escape(told)}">'
        f"{''.join(parts)}</svg>"
    )
    return tag("div", Html(svg), class_="sgf-diagram")


def _draw_box(one: PlacedBox, pen: _DrawingOptions) -> Iterator[str]:
    box = one.box
    if box.columns:
        yield _draw_frame(one, pen)
    else:
        yield _draw_action(one, pen)
    if one.pill is not None and box.undo is not None:
        yield _draw_compensation(box, box.undo, one.pill, pen)
    if box.action_mark:
        yield _draw_mark(box.action_mark, one.rect.x + 8, one.rect.y - 9)
    if box.undo_mark and one.pill is not None:
        yield _draw_mark(box.undo_mark, one.pill.x + 8, one.pill.bottom + 10)


def _list_svg_classes(box: Box, target: Target, standing: StatusLabel, pen: _DrawingOptions, *, here: bool) -> str:
    names = [standing.tone]
    names += ["here"] if here else []
    names += ["pick"] if pen.selected == (box.path, target) else []
    names += ["dash"] if not box.effect and box.kind == "step" else []
    return " ".join(names)


def _draw_action(one: PlacedBox, pen: _DrawingOptions) -> str:
    box, rect = one.box, one.rect
    room = rect.width - 12 - _ICON_ROOM
    lines = wrap_text(box.title, room, _TITLE_SIZE)
    calls = f" · attempt {box.attempts}" if box.attempts > 1 else ""
    calls += f" · {format_count(box.hidden_steps, 'step')}" if box.hidden_steps else ""
    extra = " · pivot" if box.pivot else " · signal" if box.kind == "wait" and "signal" not in box.action.word else ""
    status = fit_text(f"{box.action.word}{calls}{extra}", rect.width - 20, WORD_SIZE)
    first = rect.y + (20 if len(lines) == 1 else 15)
    texts = [_draw_svg_text(line, rect.x + 10, first + 14 * n, "n") for n, line in enumerate(lines)]
    texts.append(_draw_svg_text(status, rect.x + 10, rect.bottom - 8))
    signs = [draw_status_icon(box.action.icon, rect.right - 19, rect.y + 6)]
    signs += [draw_status_icon("flag", rect.right - 19, rect.bottom - 18)] if box.pivot else []
    radius = 25 if box.kind == "wait" else 8
    classes = _list_svg_classes(box, "action", box.action, pen, here=box.is_current)
    told = f"<title>{escape(box.description)}</title> "
    shape = _draw_rect(rect, radius)
    return f'<g class="{classes}"{pen.attributes(box, "action")}>{told}{shape}{"".join(texts)}{"".join(signs)}</g>'


def _draw_frame(one: PlacedBox, pen: _DrawingOptions) -> str:
    """A nested saga: its title and how it stands, above what is drawn in it."""
    box, rect = one.box, one.rect
    free = rect.width - 40 - _ICON_ROOM
    # In a narrow one the word gives way: the sign tells how it stands, too.
    word = fit_text(box.action.word, max(free - measure_width(box.title, _TITLE_SIZE), min(90.0, free / 3)), WORD_SIZE)
    title = fit_text(box.title, free - measure_width(word, WORD_SIZE), _TITLE_SIZE)
    texts = _draw_svg_text(title, rect.x + 10, rect.y + 17, "n") + _draw_svg_text(
        word, rect.right - 24, rect.y + 17, anchor="end"
    )
    classes = _list_svg_classes(box, "action", box.action, pen, here=box.is_current)
    told = f"<title>{escape(box.description)}</title> "
    inside = f"{told}{_draw_rect(rect, 10)}{texts}{draw_status_icon(box.action.icon, rect.right - 19, rect.y + 7)}"
    return f'<g class="f {classes}"{pen.attributes(box, "action")}>{inside}</g>'


def _draw_compensation(box: Box, undo: StatusLabel, pill: Rect, pen: _DrawingOptions) -> str:
    word = fit_text(undo.word, pill.width - 27, WORD_SIZE)
    classes = _list_svg_classes(box, "compensation", undo, pen, here=box.is_compensating_now)
    name = "back" if undo.icon == "empty" else undo.icon
    told = f"compensation of {box.short_title}" + ("" if undo == HAS_COMPENSATION else f": {undo.word}")
    inside = (
        f"<title>{escape(told)}</title> {_draw_rect(pill, 11)}"
        f"{draw_status_icon(name, pill.x + 8, pill.y + 5)}{_draw_svg_text(word, pill.x + 24, pill.y + 15)}"
    )
    return f'<g class="{classes}"{pen.attributes(box, "compensation")}>{inside}</g>'


def _draw_mark(text: str, x: float, y: float) -> str:
    """A badge beside a box: what breaks there on purpose."""
    shown = fit_text(text, 118, 10)
    wide = min(126.0, len(shown) * 6.2 + 12)
    left, base, length = map(_format_svg_number, (x + 6, y + 3, wide - 12))
    return (
        f'<g class="m"><title>{escape(text)}</title> {_draw_rect(Rect(x, y - 8, wide, 15), 7)}'
        f'<text x="{left}" y="{base}" textLength="{length}" lengthAdjust="spacingAndGlyphs">{escape(shown)}</text> </g>'
    )


def _draw_edges(drawn: Layout) -> Iterator[str]:
    # Those that have come by are drawn last, so that no other one lies over them.
    for edge in sorted(drawn.edges, key=lambda edge: edge.is_taken):
        yield _draw_edge(edge)


def _draw_edge(edge: Edge) -> str:
    names = f"{' b' if edge.way == 'back' else ''}{' g' if edge.is_taken else ''}"
    end = edge.points[-1]
    line = f'<path class="e{names}" d="{_draw_path(edge.points)}"/>'
    if not edge.has_tip:
        return line
    across = -7 if edge.way == "forward" else 7
    return f'{line}<path class="t{names}" d="M{_format_point(*end)}l{across}-4v8z"/>'


def _draw_path(points: Sequence[Point]) -> str:
    """A line or a curve between two points; through more of them, along their corners."""
    (x, y), (to_x, to_y) = points[0], points[-1]
    start = f"M{_format_point(x, y)}"
    if len(points) == 3:
        x, y = points[1]
        start = f"{start}H{_format_svg_number(x)}"
    elif len(points) > 3:
        return start + "".join(_draw_segment(before, after) for before, after in pairwise(points))
    if abs(y - to_y) < 0.5:
        return f"{start}H{_format_svg_number(to_x)}"
    half = (x + to_x) / 2
    return f"{start}C{_format_point(half, y)} {_format_point(half, to_y)} {_format_point(to_x, to_y)}"


def _draw_segment(before: Point, after: Point) -> str:
    return f"V{_format_svg_number(after[1])}" if before[0] == after[0] else f"L{_format_point(*after)}"


def _draw_labels(labels: Sequence[Label]) -> Iterator[str]:
    for label in labels:
        text = fit_text(f"group {label.text}", label.rect.width, WORD_SIZE)
        yield _draw_svg_text(text, label.rect.x + label.rect.width / 2, label.rect.y + 10, "l", anchor="middle")


def _draw_ends(drawn: Layout, instance: SagaInstance | None) -> Iterator[str]:
    """A dot where it begins, and a dot in a ring where it is complete."""
    begun = " g" if instance is not None and instance.started else ""
    complete = " g" if instance is not None and instance.state == "completed" else ""
    if drawn.start is not None:
        yield _draw_dot("t", begun, drawn.start, 5)
    if drawn.end is not None:
        yield _draw_dot("e", complete, drawn.end, 8)
        yield _draw_dot("t", complete, drawn.end, 4)


def _draw_dot(name: str, gone: str, at: Point, radius: int) -> str:
    return (
        f'<circle class="{name}{gone}" cx="{_format_svg_number(at[0])}" cy="{_format_svg_number(at[1])}" r="{radius}"/>'
    )


def _draw_rect(rect: Rect, radius: float) -> str:
    x, y, width, height = map(_format_svg_number, (rect.x, rect.y, rect.width, rect.height))
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius:g}"/>'


def _draw_svg_text(text: str, x: float, y: float, class_: str = "", anchor: str = "") -> str:
    named = (f' class="{class_}"' if class_ else "") + (f' text-anchor="{anchor}"' if anchor else "")
    # A space behind it: where a site drops the drawing and keeps its words, they stay apart.
    return f'<text x="{_format_svg_number(x)}" y="{_format_svg_number(y)}"{named}>{escape(text)}</text> '


def _format_svg_number(number: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{number:.1f}".removesuffix(".0")


def _format_point(x: float, y: float) -> str:
    return f"{_format_svg_number(x)} {_format_svg_number(y)}"


_SVG = re.compile(r"<svg(?P<attributes>[^>]*)>(?P<inside>.*)</svg>", re.DOTALL)


def render_svg_file(definition: Definition) -> str:
    """The way there and the way back as the text of an SVG file: nothing loaded, no script, in the theme of who looks.

    It has the colours of the page's style within it, as a file has no page around it.
    """
    found = _SVG.search(draw_diagram(definition.outline, uid=f"p{definition.fingerprint}"))
    assert found is not None, "a diagram is an SVG"  # noqa: S101 - what is drawn here is ours
    attributes = re.sub(r' (class|xmlns)="[^"]*"', "", found["attributes"])
    rules = make_stylesheet(STYLE).replace("<", "&lt;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sgf"{attributes}>'
        f"<style>{rules}\n.sgf.sgf{{max-width:none;padding:0;border:0}}</style>{found['inside']}</svg>\n"
    )
