"""The picture of a run: horizontal bars on a logarithmic scale, as one SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from benchmarks.measuring import Bar
from benchmarks.report import number

WIDTH, LABEL, BAR, LINE, TITLE = 760, 230, 420, 26, 40
# Plain rules, twice: many programs that draw SVG know no variables of CSS.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; } .scale { font-size: 10px; opacity: 0.7; }
line { stroke: #d0d7de; } .ours { fill: #1a7f37; } .raw { fill: #8c959f; } .peer { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  line { stroke: #30363d; } .ours { fill: #3fb950; } .raw { fill: #6e7681; } .peer { fill: #58a6ff; }
}
"""


def svg(bars: Sequence[Bar]) -> str:
    """The bars by chart, longest first, each chart with a scale of its own; the same bars give the same text."""
    charts = list(dict.fromkeys(bar.chart for bar in bars))
    parts: list[str] = []
    top = 8
    for chart in charts:
        mine = sorted((bar for bar in bars if bar.chart == chart and bar.value > 0), key=lambda bar: -bar.value)
        parts += _chart(chart, mine, top)
        top += TITLE + LINE * len(mine) + 24
    size = f'width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>sagafsm beside raw baselines and peers</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _chart(title: str, bars: Sequence[Bar], top: int) -> Iterable[str]:
    lowest, highest = _decades([bar.value for bar in bars])
    bottom = top + TITLE + LINE * len(bars)
    yield _text(8, top + 18, title, "title")
    for exponent in range(lowest, highest + 1):
        x = LABEL + _length(10.0**exponent, lowest, highest)
        yield f'<line x1="{x:.1f}" y1="{top + TITLE - 8}" x2="{x:.1f}" y2="{bottom}"/>'
        yield _text(x, bottom + 12, number(10.0**exponent), "scale", anchor="middle")
    for line, bar in enumerate(bars):
        y, length = top + TITLE + LINE * line, _length(bar.value, lowest, highest)
        yield _text(LABEL - 8, y + 14, bar.name, anchor="end")
        yield f'<rect class="{bar.whose}" x="{LABEL}" y="{y}" width="{length:.1f}" height="18" rx="2"/>'
        yield _text(LABEL + length + 6, y + 14, number(bar.value))


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values; the lowest a good way below, so that the shortest bar is one."""
    lowest = math.floor(math.log10(min(values) / 2))
    return lowest, max(math.ceil(math.log10(max(values))), lowest + 1)


def _length(value: float, lowest: int, highest: int) -> float:
    return BAR * (math.log10(value) - lowest) / (highest - lowest)


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}"{kinds}>{escape(text)}</text>'
