"""Where everything of a diagram stands: pure geometry, in pixels, from left to right and row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from sagafsm.render.diagram.nodes import Box, Column

WIDTH = 1040.0
BOX, PILL = (150.0, 50.0), (126.0, 22.0)
COLUMN_GAP = 34.0  # between columns, for the arrows
BOX_GAP = 14.0  # between the boxes of a column, and between rows
ROW_GAP = 26.0
PILL_GAP = 6.0  # between a box and its compensation
PAD, HEAD, LABEL = 12.0, 26.0, 16.0
MARK_ROOM = 18.0  # room for a badge, above a box and below its compensation, where anything has one
END_ROOM = 26.0  # room for the beginning, and for the end

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

    def translate(self, x: float, y: float) -> Rect:
        """The same, elsewhere."""
        return Rect(self.x + x, self.y + y, self.width, self.height)


@attrs.frozen
class PlacedBox:
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
    """An arrow through these points. `is_taken`: the instance went that way. Without a tip another one follows."""

    way: Way
    points: tuple[Point, ...]
    is_taken: bool
    has_tip: bool = True


@attrs.frozen
class Layout:
    """All of a diagram. A nested saga's boxes come after the box that they are drawn in."""

    width: float
    height: float
    placed: tuple[PlacedBox, ...]
    labels: tuple[Label, ...]
    edges: tuple[Edge, ...]
    start: Point | None = None
    end: Point | None = None

    def translate(self, x: float, y: float) -> Layout:
        """The same, elsewhere."""
        return attrs.evolve(
            self,
            placed=tuple(
                PlacedBox(one.box, one.rect.translate(x, y), None if one.pill is None else one.pill.translate(x, y))
                for one in self.placed
            ),
            labels=tuple(Label(one.text, one.rect.translate(x, y)) for one in self.labels),
            edges=tuple(
                attrs.evolve(edge, points=tuple((px + x, py + y) for px, py in edge.points)) for edge in self.edges
            ),
        )


@attrs.frozen
class _MeasuredBox:
    """A box with its compensation, and what is nested in it, in a place of its own."""

    box: Box
    width: float
    height: float
    frame: Rect
    inside: Layout | None

    def at(self, x: float, y: float) -> tuple[PlacedBox, Layout | None]:
        pill = None
        if self.box.undo is not None:
            left = x + (self.width - PILL[0]) / 2
            pill = Rect(left, y + self.frame.bottom + PILL_GAP, *PILL)
        inside = None if self.inside is None else self.inside.translate(x + PAD, y + self.frame.y + HEAD)
        return PlacedBox(self.box, self.frame.translate(x, y), pill), inside


@attrs.frozen
class _MeasuredColumn:
    """A column: its cells from top to bottom."""

    column: Column
    cells: tuple[_MeasuredBox, ...]
    width: float
    height: float


@attrs.frozen
class _PlacedColumn:
    """A column in its place: what arrows need to know."""

    placed: tuple[PlacedBox, ...]
    left: float
    right: float
    top: float
    bottom: float


def compute_layout(columns: Sequence[Column], *, width: float = WIDTH) -> Layout:
    """The places of everything, in rows as wide as this at most, unless one column alone is wider."""
    if not columns:
        return Layout(2 * END_ROOM, 22.0, (), (), ())
    inner = _lay_out_rows(columns, width - 2 * END_ROOM)
    moved = inner.translate(END_ROOM, 14.0)
    first = next((one for one in moved.placed if one.box.path in {b.path for b in columns[0].boxes}), None)
    if first is None:
        return attrs.evolve(moved, width=inner.width + 2 * END_ROOM, height=inner.height + 22)
    paths = {box.path for box in columns[0].boxes}, {box.path for box in columns[-1].boxes}
    begins, ends = ([one.rect for one in moved.placed if one.box.path in group] for group in paths)
    start = (8.0, (min(r.y for r in begins) + max(r.bottom for r in begins)) / 2)
    end = (max(r.right for r in ends) + 20.0, (min(r.y for r in ends) + max(r.bottom for r in ends)) / 2)
    edges = [*moved.edges]
    has_begun = any(box.number for box in columns[0].boxes)
    edges += [Edge("forward", ((start[0] + 5, start[1]), (r.x, r.middle)), has_begun) for r in begins]
    is_over = all(box.is_passed and box.action.tone != "bad" for box in columns[-1].boxes)
    edges += [Edge("forward", ((r.right, r.middle), (end[0] - 8, end[1])), is_over) for r in ends]
    return attrs.evolve(
        moved,
        width=max(inner.width + 2 * END_ROOM, end[0] + 12),
        height=inner.height + 22,
        edges=tuple(edges),
        start=start,
        end=end,
    )


def _lay_out_rows(columns: Sequence[Column], width: float) -> Layout:
    rows: list[list[_MeasuredColumn]] = [[]]
    x = 0.0
    boxes = [box for column in columns for box in column.boxes]
    # What one has others have room for, so that all stand in one line.
    under = PILL_GAP + PILL[1] if any(box.undo is not None for box in boxes) else 0.0
    around = MARK_ROOM if any(box.action_mark or box.undo_mark for box in boxes) else 0.0
    for column in columns:
        stack = _measure_column(column, width, under, around)
        if rows[-1] and x + stack.width > width:
            rows.append([])
            x = 0.0
        rows[-1].append(stack)
        x += stack.width + COLUMN_GAP
    return _place_rows(rows)


def _measure_column(column: Column, width: float, under: float, around: float) -> _MeasuredColumn:
    cells = tuple(_measure_cell(box, width, under, around) for box in column.boxes)
    label = LABEL if column.group is not None else 0.0
    height = sum(cell.height for cell in cells) + BOX_GAP * (len(cells) - 1) + label
    return _MeasuredColumn(column, cells, max(cell.width for cell in cells), height)


def _measure_cell(box: Box, width: float, under: float, around: float) -> _MeasuredBox:
    """`under` is the room for a compensation, `around` that above and below all."""
    inside = _lay_out_rows(box.columns, max(width - 2 * PAD, BOX[0])) if box.columns else None
    across, down = BOX if inside is None else (max(inside.width + 2 * PAD, BOX[0]), inside.height + HEAD + PAD)
    return _MeasuredBox(box, across, around + down + under + around, Rect(0.0, around, across, down), inside)


def _place_rows(rows: Sequence[Sequence[_MeasuredColumn]]) -> Layout:
    """Put each column in its place, row below row, and join them by arrows."""
    placed: list[PlacedBox] = []
    labels: list[Label] = []
    edges: list[Edge] = []
    before: list[_PlacedColumn] = []
    width = max(sum(stack.width for stack in row) + COLUMN_GAP * (len(row) - 1) for row in rows)
    y = 0.0
    for row in rows:
        x, height = 0.0, max(stack.height for stack in row)
        for index, stack in enumerate(row):
            column, inner = _place_column(stack, x, y, height, labels)
            if before:
                turn = None if index else (width + 8.0, y - ROW_GAP / 2)
                edges += _connect_forward(before[-1], column, turn)
                edges += _connect_back(before, column, turn)
            before.append(column)
            for one, inside in zip(column.placed, inner, strict=True):
                placed.append(one)
                if inside is not None:
                    placed += inside.placed
                    labels += inside.labels
                    edges += inside.edges
            x += stack.width + COLUMN_GAP
        y += height + ROW_GAP
    return Layout(width, y - ROW_GAP, tuple(placed), tuple(labels), tuple(edges))


def _place_column(
    stack: _MeasuredColumn, x: float, y: float, height: float, labels: list[Label]
) -> tuple[_PlacedColumn, list[Layout | None]]:
    at = y + (height - stack.height) / 2
    if stack.column.group is not None:
        labels.append(Label(stack.column.group, Rect(x, at, stack.width, LABEL)))
        at += LABEL
    placed, inner = [], []
    for cell in stack.cells:
        one, inside = cell.at(x + (stack.width - cell.width) / 2, at)
        placed.append(one)
        inner.append(inside)
        at += cell.height + BOX_GAP
    rects = [one.rect for one in placed]
    return _PlacedColumn(
        tuple(placed), x, x + stack.width, min(r.y for r in rects), max(r.bottom for r in rects)
    ), inner


def _connect_forward(before: _PlacedColumn, after: _PlacedColumn, turn: Point | None) -> Iterator[Edge]:
    """From each box of a column to each of the next; by one point, where both are groups or stand in two rows."""
    gone = all(one.box.is_passed for one in before.placed)
    begun = any(one.box.number or one.box.is_passed for one in after.placed)
    if turn is None and 1 in (len(before.placed), len(after.placed)):
        for one in before.placed:
            for other in after.placed:
                ends = (one.rect.right, one.rect.middle), (other.rect.x, other.rect.middle)
                yield Edge(
                    "forward",
                    ends,
                    one.box.is_passed and bool(other.box.number or other.box.is_passed),
                )
        return
    out = (before.right + COLUMN_GAP / 2, (before.top + before.bottom) / 2)
    into = (after.left - COLUMN_GAP / 2 if turn is None else after.left - 14.0, (after.top + after.bottom) / 2)
    if turn is None:
        out = into = ((before.right + after.left) / 2, out[1])
    for one in before.placed:
        yield Edge("forward", ((one.rect.right, one.rect.middle), out), one.box.is_passed, has_tip=False)
    if turn is not None:
        around = (out, (out[0], turn[1]), (into[0], turn[1]), into)
        yield Edge("forward", around, gone and begun, has_tip=False)
    for other in after.placed:
        yield Edge("forward", (into, (other.rect.x, other.rect.middle)), gone and begun)


def _connect_back(before: Sequence[_PlacedColumn], after: _PlacedColumn, turn: Point | None) -> Iterator[Edge]:
    """From each compensation of a column to those of the nearest one before it that has any; not past a pivot."""
    from_ = [one for one in after.placed if one.pill is not None]
    if not from_:
        return
    passed: list[_PlacedColumn] = []
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
            gone = one.box.has_gone_back and other.box.has_gone_back
            yield Edge("back", _route_under(*ends, after, passed) if turn is None else _route_around(*ends, turn), gone)


def _route_under(start: Point, end: Point, after: _PlacedColumn, passed: Sequence[_PlacedColumn]) -> tuple[Point, ...]:
    """Under a frame, and under steps without a compensation, it keeps its height until it has left them."""
    until = passed[-1].left if passed else after.left
    if any(column.top < start[1] < column.bottom for column in passed):
        # What is higher than others stands in its way.
        down, out, into = max(one.bottom for one in passed) + 8.0, after.left - COLUMN_GAP / 2, until - COLUMN_GAP / 2
        return (start, (out, start[1]), (out, down), (into, down), (into, end[1]), end)
    return (start, (until, start[1]), end) if start[0] - until > 40 else (start, end)


def _route_around(start: Point, end: Point, turn: Point) -> tuple[Point, ...]:
    y = turn[1] + 7.0
    return (start, (start[0] - 18.0, start[1]), (start[0] - 18.0, y), (end[0] + 20.0, y), (end[0] + 20.0, end[1]), end)
