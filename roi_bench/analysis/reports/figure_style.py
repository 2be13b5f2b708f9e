"""The style of all pictures: fonts, colours, labels. The pictures themselves are in ``figures.py``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from roi_bench.analysis.reports.tables import Interval, break_text, printable
from roi_bench.errors import DependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, distinguishable with every kind of colour vision ("Color Universal Design", 2008)."""

DASHES = ("solid", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Line styles, so that lines differ in print without colour."""

MARKERS = "oDs^vPX"
"""Markers, likewise."""

STEPS = ("#08519C", "#4292C6", "#9ECAE1", "#DEEBF7")
"""One hue from dark to light, for what has an order."""

INK, FAINT = "#222222", "#666666"
"""Colours of lines and text, and of what explains."""

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.dpi": 100,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "grid.color": "#DDDDDD",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and copied
    "svg.hashsalt": "roi-bench",  # the same picture gives the same bytes
    "text.color": INK,
}


def check_figures() -> None:
    """Check that pictures can be drawn.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise DependencyError("pictures need matplotlib; pip install 'roi-bench[leaderboard]'") from error


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in our style, whatever the user's own settings of matplotlib are.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    check_figures()
    from matplotlib import style

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes in PNG; SVG holds the text itself.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def label(name: str, width: int = 30, lines: int = 3) -> str:
    """Return ``name`` as it stands on pictures: on about ``lines`` lines, and nothing in it taken for a formula.

    A longer one is cut in the middle, because names of models differ at their beginning and end.
    """
    text, longest = printable(name), width * lines - width // 2
    if len(text) > longest:
        text = f"{text[: longest * 2 // 3]}…{text[len(text) - longest // 3 :]}"
    return "\n".join(break_text(text, width)).replace("$", r"\$")


def percent(value: float | None) -> str:
    """Return a share as ``17 %``."""
    return "n/a" if value is None else f"{100 * value:.0f} %"


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure, width and height in inches, with its title."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    figure.suptitle(label(title, int(width * 9), 2), x=0.01, ha="left")
    return figure


def settled(figure: Figure) -> Figure:
    """Return ``figure`` with its layout fixed, so that it is the same however often it is saved."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def footnote(figure: Figure, text: str) -> None:
    """Write an explanation below the picture."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=9, color=FAINT)


def bounds(interval: Interval) -> tuple[float, float] | None:
    """Return the ends of ``interval``, or None where it has none."""
    if interval.value is None or interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high


def error_lengths(interval: Interval) -> list[list[float]] | None:
    """Return how far ``interval`` reaches below and above its value, as matplotlib wants it, or None."""
    ends = bounds(interval)
    if interval.value is None or ends is None:
        return None
    return [[max(0.0, interval.value - ends[0])], [max(0.0, ends[1] - interval.value)]]


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Put ``names`` beside rows 0, 1, … with the first at the top."""
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(visible=False, axis="y")
