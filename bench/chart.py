"""Charts as SVG, for a page that may be read on a light or a dark page."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH = 760
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.faint { fill: #57606a; font-size: 12px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.a { stroke: #0969da; fill: none; stroke-width: 2 } .fa { fill: #0969da }
.b { stroke: #bc4c00; fill: none; stroke-width: 2 } .fb { fill: #bc4c00 }
.bound { stroke-dasharray: 4 4; stroke-width: 1.5 }
.page { fill: #ffffff }
.mark { stroke: #24292f; stroke-width: 2; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .faint { fill: #9198a1 } .grid { stroke: #30363d } .page { fill: #0d1117 }
.mark { stroke: #e6edf3 }
.a { stroke: #4493f8 } .fa { fill: #4493f8 } .b { stroke: #f0883e } .fb { fill: #f0883e }
}
</style>"""


class Curve(NamedTuple):
    """Times in seconds, and the bound they must keep."""

    title: str
    times: Sequence[float]
    bound: float


class Bar(NamedTuple):
    """A value, what it should reach, and what is written beside it."""

    title: str
    value: float
    target: float | None
    note: str


def shares(title: str, subtitle: str, curves: Sequence[Curve]) -> str:
    """Draw which share of the times is over after how long, on a logarithmic axis.

    ValueError for other than one or two curves.
    """
    if not 1 <= len(curves) <= 2:  # noqa: PLR2004 - as many colours as there are
        raise ValueError("one curve or two")
    left, right, top, bottom = 50, _WIDTH - 20, 76 + 20 * len(curves), 360
    least, most = 0.001, 4.0

    def x(seconds: float) -> float:
        position = math.log(min(max(seconds, least), most) / least) / math.log(most / least)
        return round(left + position * (right - left), 1)

    def y(share: float) -> float:
        return round(bottom - share * (bottom - top), 1)

    drawn = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        drawn.append(f'<path class="grid" d="M{left} {y(share)}H{right}"/>')
        drawn.append(_text(left - 8, y(share) + 4, f"{share:.0%}", "faint", "end"))
    for seconds in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 2):
        drawn.append(f'<path class="grid" d="M{x(seconds)} {top}V{bottom}"/>')
        label = f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
        drawn.append(_text(x(seconds), bottom + 18, label, "faint", "middle"))
    for number, (curve, colour) in enumerate(zip(curves, "ab", strict=False)):
        ordered = sorted(curve.times)
        path = f"M{x(least)} {y(0)}"
        for place, seconds in enumerate(ordered, 1):
            path += f"H{x(seconds)}V{y(place / len(ordered))}"
        drawn.append(f'<path class="{colour}" d="{path}H{right}"/>')
        drawn.append(f'<path class="{colour} bound" d="M{x(curve.bound)} {top}V{bottom}"/>')
        line = 68 + 20 * number
        drawn.append(f'<path class="{colour}" d="M{left} {line - 4}h22"/>')
        drawn.append(_text(left + 30, line, f"{curve.title}; bound {curve.bound:g} s (dashed)"))
    return _page(bottom + 34, title, subtitle, drawn)


def bars(title: str, subtitle: str, given: Sequence[Bar]) -> str:
    """Draw values as bars from 0, each with a mark where its target is."""
    left, right, row = 230, _WIDTH - 130, 30
    top = 70
    most = max([1.0, *(max(bar.value, bar.target or 0) for bar in given)])
    drawn = []
    for number, bar in enumerate(given):
        at = top + row * number
        width = round((right - left) * bar.value / most, 1)
        missed = bar.target is not None and bar.value < bar.target
        drawn.append(_text(left - 10, at + 15, bar.title, "", "end"))
        colour = "fb" if missed else "fa"
        drawn.append(f'<rect class="{colour}" x="{left}" y="{at}" width="{width}" height="20"/>')
        if bar.target is not None:
            mark = round(left + (right - left) * bar.target / most, 1)
            drawn.append(f'<path class="mark" d="M{mark} {at - 3}v26"/>')
        drawn.append(_text(right + 12, at + 15, bar.note, "faint"))
    return _page(top + row * len(given) + 16, title, subtitle, drawn)


def _page(height: int, title: str, subtitle: str, drawn: Sequence[str]) -> str:
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
    )
    page = f'<rect class="page" width="{_WIDTH}" height="{height}"/>'
    heading = [_text(20, 26, title, "title"), _text(20, 46, subtitle, "faint")]
    return "\n".join([opening, _STYLE, page, *heading, *drawn, "</svg>\n"])


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{attributes}>{escape(text)}</text>'
