"""The geometry of inline SVG pictures: scales, ticks, strokes and labels; colours and widths are the stylesheet's.

Everything is drawn with strokes: a dot is a stroke of no length with a round end. That keeps pictures small, and one
class per stroke is all that the stylesheet needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from roi_bench.leaderboard.site.shown_text import visible


@dataclass(frozen=True, slots=True)
class Stroke:
    """A path.

    Attributes:
        kind: Its classes.
        path: Its path data.
        name: Tooltip, or an empty text.
    """

    kind: str
    path: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A piece of text.

    Attributes:
        x: Where it stands, in units of the picture.
        y: Its baseline.
        text: What it says.
        kind: Its classes: ``m`` centred at x, ``e`` ending there, ``f`` faint.
    """

    x: str
    y: str
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture.

    Attributes:
        id: Its id in the page.
        kind: Its class.
        width: Its width in units; labels are some 12 units high.
        height: Its height.
        title: What it is.
        description: What it shows, for those who do not see it.
        strokes: Its strokes, the last on top.
        labels: Its text.
    """

    id: str
    kind: str
    width: int
    height: int
    title: str
    description: str
    strokes: tuple[Stroke, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of values ``low`` … ``high`` to places ``start`` … ``end`` of a picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of ``value``; values beyond the ends stay at the ends."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)


def svg(plot: Plot) -> str:
    """Return the picture as SVG; every text in it is escaped. (A template takes ten times as long.)"""
    title, text = f"{plot.id}-title", f"{plot.id}-text"
    head = (
        f'<svg class="plot {escape(plot.kind)}" viewBox="0 0 {plot.width} {plot.height}" role="img" '
        f'aria-labelledby="{escape(title)}" aria-describedby="{escape(text)}">'
        f'<title id="{escape(title)}">{_readable(plot.title)}</title>'
        f'<desc id="{escape(text)}">{_readable(plot.description)}</desc>'
    )
    parts = [head]
    for stroke in plot.strokes:
        path = f'<path class="{escape(stroke.kind)}" d="{stroke.path}"'
        parts.append(f"{path}><title>{_readable(stroke.name)}</title></path>" if stroke.name else f"{path}/>")
    for one in plot.labels:
        kind = f' class="{escape(one.kind)}"' if one.kind else ""
        parts.append(f'<text x="{one.x}" y="{one.y}"{kind}>{_readable(one.text)}</text>')
    return "".join(parts) + "</svg>"


def _readable(text: str) -> str:
    return escape(visible(text))


def units(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def label(x: float, y: float, text: str, kind: str = "") -> Label:
    """Return a label at rounded coordinates."""
    return Label(units(x), units(y), text, kind)


def dot(x: float, y: float) -> str:
    """Return the path of a dot."""
    return f"M{units(x)} {units(y)}h0"


def line(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return the path of a straight line."""
    if units(x) == units(to_x):
        return f"M{units(x)} {units(y)}V{units(to_y)}"
    if units(y) == units(to_y):
        return f"M{units(x)} {units(y)}H{units(to_x)}"
    return f"M{units(x)} {units(y)}L{units(to_x)} {units(to_y)}"


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through ``points``, of which there is at least one."""
    return "M" + "L".join(f"{units(x)} {units(y)}" for x, y in points)


def box(x: float, y: float, width: float, height: float) -> str:
    """Return the path of a rectangle."""
    return f"M{units(x)} {units(y)}h{units(width)}v{units(height)}h{units(-width)}z"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from ``low`` to ``high``, at most ``most`` + 1: steps of 1, 2, 5 times a power of 10."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5 times powers of 10 between ``low`` > 0 and ``high``, fewer where there would be more than six."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for factors in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) <= 6:
            return inside
    return inside[:: ceil(len(inside) / 6)]


def number_text(value: float) -> str:
    """Return a tick's number, as short as it can be, never in powers of ten."""
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def left_axis(
    scale: Scale, x: float, to_x: float, values: Sequence[float], texts: Sequence[str]
) -> tuple[list[Stroke], list[Label]]:
    """Return grid lines from ``x`` to ``to_x`` with their numbers at the left."""
    grid = "".join(line(x, scale.at(value), to_x, scale.at(value)) for value in values)
    labels = [label(x - 6, scale.at(value) + 4, text, "e f") for value, text in zip(values, texts, strict=True)]
    return [Stroke("grid", grid)], labels
