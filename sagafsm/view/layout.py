"""Where everything of a diagram stands: pure geometry, in pixels, from left to right and row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from sagafsm.view.scene import Box, Column

WIDTH = 1040.0
BOX, PILL = (150.0, 50.0), (126.0, 22.0)
GAP = 34.0  # between columns, for the arrows
APART = 14.0  # between the boxes of a column, and between rows
ROWS = 26.0
UNDER = 6.0  # between a box and its compensation
PAD, HEAD, LABEL = 12.0, 26.0, 16.0
MARK = 18.0  # room for a badge, above a box and below its compensation, where anything has one
ENDS = 26.0  # room for the beginning, and for the end

Point = tuple[float, float]
Way = Literal["forward", "back"]


@attrs.frozen
class Rect:
    """A place, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Halfway down."""
        return self.y + self.height / 2

    def moved(self, x: float, y: float) -> Rect:
        """The same, elsewhere."""
        return Rect(self.x + x, self.y + y, self.width, self.height)


@attrs.frozen
class Placed:
    """A box in its place; `pill` is that of its compensation."""

    box: Box
    rect: Rect
    pill: Rect | None


@attrs.frozen
class Label:
    """The name of a group, above its members, which it frames."""

    text: str
    rect: Rect


@attrs.frozen
class Edge:
    """An arrow through these points. `is_gone`: that way has come by; without `tip` another goes on from its end."""

    way: Way
    points: tuple[Point, ...]
    is_gone: bool
    tip: bool = True


@attrs.frozen
class Layout:
    """All of a diagram. A nested saga's boxes come after the box that they are drawn in."""

    width: float
    height: float
    placed: tuple[Placed, ...]
    labels: tuple[Label, ...]
    edges: tuple[Edge, ...]
    start: Point | None = None
    end: Point | None = None

    def moved(self, x: float, y: float) -> Layout:
        """The same, elsewhere."""
        return attrs.evolve(
            self,
            placed=tuple(
                Placed(one.box, one.rect.moved(x, y), None if one.pill is None else one.pill.moved(x, y))
                for one in self.placed
            ),
            labels=tuple(Label(one.text, one.rect.moved(x, y)) for one in self.labels),
            edges=tuple(
                attrs.evolve(edge, points=tuple((px + x, py + y) for px, py in edge.points)) for edge in self.edges
            ),
        )


@attrs.frozen
class _Cell:
    """A box with its compensation, and what is nested in it, in a place of its own."""

    box: Box
    width: float
    height: float
    frame: Rect
    inside: Layout | None

    def at(self, x: float, y: float) -> tuple[Placed, Layout | None]:
        pill = None
        if self.box.undo is not None:
            left = x + (self.width - PILL[0]) / 2
            pill = Rect(left, y + self.frame.bottom + UNDER, *PILL)
        inside = None if self.inside is None else self.inside.moved(x + PAD, y + self.frame.y + HEAD)
        return Placed(self.box, self.frame.moved(x, y), pill), inside


@attrs.frozen
class _Stack:
    """A column: its cells from top to bottom."""

    column: Column
    cells: tuple[_Cell, ...]
    width: float
    height: float


@attrs.frozen
class _Stood:
    """A column in its place: what arrows need to know."""

    placed: tuple[Placed, ...]
    left: float
    right: float
    top: float
    bottom: float


def layout(columns: Sequence[Column], *, width: float = WIDTH) -> Layout:
    """The places of everything, in rows as wide as this at most, unless one column alone is wider."""
    if not columns:
        return Layout(2 * ENDS, 22.0, (), (), ())
    inner = _inside(columns, width - 2 * ENDS)
    moved = inner.moved(ENDS, 14.0)
    first = next((one for one in moved.placed if one.box.path in {b.path for b in columns[0].boxes}), None)
    if first is None:
        return attrs.evolve(moved, width=inner.width + 2 * ENDS, height=inner.height + 22)
    paths = {box.path for box in columns[0].boxes}, {box.path for box in columns[-1].boxes}
    begins, ends = ([one.rect for one in moved.placed if one.box.path in group] for group in paths)
    start = (8.0, (min(r.y for r in begins) + max(r.bottom for r in begins)) / 2)
    end = (max(r.right for r in ends) + 20.0, (min(r.y for r in ends) + max(r.bottom for r in ends)) / 2)
    edges = [*moved.edges]
    has_begun = any(box.number for box in columns[0].boxes)
    edges += [Edge("forward", _curve((start[0] + 5, start[1]), (r.x, r.middle)), has_begun) for r in begins]
    is_over = all(box.goes and box.action.tone != "bad" for box in columns[-1].boxes)
    edges += [Edge("forward", _curve((r.right, r.middle), (end[0] - 8, end[1])), is_over) for r in ends]
    return attrs.evolve(
        moved,
        width=max(inner.width + 2 * ENDS, end[0] + 12),
        height=inner.height + 22,
        edges=tuple(edges),
        start=start,
        end=end,
    )


def _inside(columns: Sequence[Column], width: float) -> Layout:
    rows: list[list[_Stack]] = [[]]
    x = 0.0
    boxes = [box for column in columns for box in column.boxes]
    # What one has others have room for, so that all stand in one line.
    under = UNDER + PILL[1] if any(box.undo is not None for box in boxes) else 0.0
    around = MARK if any(box.action_mark or box.undo_mark for box in boxes) else 0.0
    for column in columns:
        stack = _stack(column, width, under, around)
        if rows[-1] and x + stack.width > width:
            rows.append([])
            x = 0.0
        rows[-1].append(stack)
        x += stack.width + GAP
    return _stood(rows)


def _stack(column: Column, width: float, under: float, around: float) -> _Stack:
    cells = tuple(_cell(box, width, under, around) for box in column.boxes)
    label = LABEL if column.group is not None else 0.0
    height = sum(cell.height for cell in cells) + APART * (len(cells) - 1) + label
    return _Stack(column, cells, max(cell.width for cell in cells), height)


def _cell(box: Box, width: float, under: float, around: float) -> _Cell:
    """`under` is the room for a compensation, `around` that above and below all."""
    inside = _inside(box.columns, max(width - 2 * PAD, BOX[0])) if box.columns else None
    across, down = BOX if inside is None else (max(inside.width + 2 * PAD, BOX[0]), inside.height + HEAD + PAD)
    return _Cell(box, across, around + down + under + around, Rect(0.0, around, across, down), inside)


def _stood(rows: Sequence[Sequence[_Stack]]) -> Layout:
    """Put each column in its place, row below row, and join them by arrows."""
    placed: list[Placed] = []
    labels: list[Label] = []
    edges: list[Edge] = []
    before: list[_Stood] = []
    width = max(sum(stack.width for stack in row) + GAP * (len(row) - 1) for row in rows)
    y = 0.0
    for row in rows:
        x, height = 0.0, max(stack.height for stack in row)
        for index, stack in enumerate(row):
            column, inner = _column(stack, x, y, height, labels)
            if before:
                turn = None if index else (width + 8.0, y - ROWS / 2)
                edges += _forward(before[-1], column, turn)
                edges += _back(before, column, turn)
            before.append(column)
            for one, inside in zip(column.placed, inner, strict=True):
                placed.append(one)
                if inside is not None:
                    placed += inside.placed
                    labels += inside.labels
                    edges += inside.edges
            x += stack.width + GAP
        y += height + ROWS
    return Layout(width, y - ROWS, tuple(placed), tuple(labels), tuple(edges))


def _column(
    stack: _Stack, x: float, y: float, height: float, labels: list[Label]
) -> tuple[_Stood, list[Layout | None]]:
    at = y + (height - stack.height) / 2
    if stack.column.group is not None:
        labels.append(Label(stack.column.group, Rect(x, at, stack.width, LABEL)))
        at += LABEL
    placed, inner = [], []
    for cell in stack.cells:
        one, inside = cell.at(x + (stack.width - cell.width) / 2, at)
        placed.append(one)
        inner.append(inside)
        at += cell.height + APART
    rects = [one.rect for one in placed]
    return _Stood(tuple(placed), x, x + stack.width, min(r.y for r in rects), max(r.bottom for r in rects)), inner


def _forward(before: _Stood, after: _Stood, turn: Point | None) -> Iterator[Edge]:
    """From each box of a column to each of the next; by one point, where both are groups or stand in two rows."""
    gone = all(one.box.goes for one in before.placed)
    begun = any(one.box.number or one.box.goes for one in after.placed)
    if turn is None and 1 in (len(before.placed), len(after.placed)):
        for one in before.placed:
            for other in after.placed:
                ends = (one.rect.right, one.rect.middle), (other.rect.x, other.rect.middle)
                yield Edge("forward", _curve(*ends), one.box.goes and bool(other.box.number or other.box.goes))
        return
    out = (before.right + GAP / 2, (before.top + before.bottom) / 2)
    into = (after.left - GAP / 2 if turn is None else after.left - 14.0, (after.top + after.bottom) / 2)
    if turn is None:
        out = into = ((before.right + after.left) / 2, out[1])
    for one in before.placed:
        yield Edge("forward", _curve((one.rect.right, one.rect.middle), out), one.box.goes, tip=False)
    if turn is not None:
        around = (out, (out[0], turn[1]), (into[0], turn[1]), into)
        yield Edge("forward", around, gone and begun, tip=False)
    for other in after.placed:
        yield Edge("forward", _curve(into, (other.rect.x, other.rect.middle)), gone and begun)


def _back(before: Sequence[_Stood], after: _Stood, turn: Point | None) -> Iterator[Edge]:
    """From each compensation of a column to those of the nearest one before it that has any; not past a pivot."""
    from_ = [one for one in after.placed if one.pill is not None]
    if not from_:
        return
    passed: list[_Stood] = []
    for column in reversed(before):
        if any(one.box.pivot for one in column.placed):
            return
        to = [one for one in column.placed if one.pill is not None]
        if to:
            break
        passed.append(column)
    else:
        return
    for one in from_:
        for other in to if len(to) == 1 or len(from_) == 1 else to[:1]:
            assert one.pill is not None and other.pill is not None  # noqa: S101, PT018 - chosen by that
            ends = (one.pill.x, one.pill.middle), (other.pill.right, other.pill.middle)
            gone = one.box.goes_back and other.box.goes_back
            yield Edge("back", _under(*ends, after, passed) if turn is None else _around(*ends, turn), gone)


def _under(start: Point, end: Point, after: _Stood, passed: Sequence[_Stood]) -> tuple[Point, ...]:
    """Under a frame, and under steps without a compensation, it keeps its height until it has left them."""
    until = passed[-1].left if passed else after.left
    if any(column.top < start[1] < column.bottom for column in passed):
        # What is higher than others stands in its way.
        down, out, into = max(one.bottom for one in passed) + 8.0, after.left - GAP / 2, until - GAP / 2
        return (start, (out, start[1]), (out, down), (into, down), (into, end[1]), end)
    return (start, (until, start[1]), end) if start[0] - until > 40 else (start, end)


def _around(start: Point, end: Point, turn: Point) -> tuple[Point, ...]:
    y = turn[1] + 7.0
    return (start, (start[0] - 18.0, start[1]), (start[0] - 18.0, y), (end[0] + 20.0, y), (end[0] + 20.0, end[1]), end)


def _curve(start: Point, end: Point) -> tuple[Point, ...]:
    return start, end
