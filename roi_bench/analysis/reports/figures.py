"""Pictures of runs with matplotlib, and writing them to files; the same data give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roi_bench.analysis.reports.figure_style import (
    COLOURS,
    DASHES,
    FAINT,
    INK,
    MARKERS,
    STEPS,
    bounds,
    check_figures,
    error_lengths,
    footnote,
    house_style,
    label,
    name_rows,
    new_figure,
    percent,
    settled,
)
from roi_bench.analysis.reports.tables import Interval, format_cell
from roi_bench.analysis.reports.views import TokenSummary
from roi_bench.errors import UsageError
from roi_bench.exams.exam import TIERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Pictures of the behaviour of one run: where its tokens go, and how well it forecasts levels.


def tokens_by_position_and_tier(
    summaries: Sequence[TokenSummary], title: str = "Tokens spent on attempted problems"
) -> Figure:
    """Return the distribution of tokens by position and tier, one panel an order (see ``tokens_by_position_and_tier``
    of :mod:`roi_bench.analysis.reports.views`).
    """
    with house_style():
        orders = list(dict.fromkeys(item.order for item in summaries)) or [""]
        panels = [[item for item in summaries if item.order == order] for order in orders]
        width = 1.6 + 0.95 * sum(max(3, len(panel)) for panel in panels)
        figure = new_figure(max(7.0, width), 4.6, title)
        grid = figure.subplots(
            1, len(orders), sharey=True, squeeze=False, width_ratios=[max(3, len(panel)) for panel in panels]
        )
        for axes, order, panel in zip(grid[0], orders, panels, strict=True):
            _draw_boxes(axes, panel)
            axes.set_title(f"{label(order)} order" if order else "nothing to show", pad=24)
        grid[0][0].set_ylim(bottom=0)
        grid[0][0].set_ylabel("tokens per attempted problem")
        footnote(figure, "Box: middle half; line: median; diamond: mean; whiskers: 10th and 90th percentile.")
        return settled(figure)


def level_confusion(counts: Sequence[Sequence[int]], title: str = "Forecast and actual levels") -> Figure:
    """Return a heat map of ``counts`` of :class:`roi_bench.analysis.reports.forecasts.LevelForecast`.

    Colour is the share of a row: of the problems with one forecast, how many turned out at each level.
    """
    with house_style():
        import matplotlib

        figure = new_figure(7.6, 4.9, title)
        axes = figure.add_subplot()
        shades = matplotlib.colormaps["Blues"]
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                share = count / sum(line) if sum(line) else 0.0
                place = column + (0.15 if column >= len(counts) else 0.0)
                axes.add_patch(_square(place, row, shades(0.02 + 0.83 * share), "white", 2.0))
                if column == row:
                    axes.add_patch(_square(place, row, "none", INK, 1.8)).set_zorder(2)
                ink = "white" if share > 0.55 else INK
                axes.text(place, row - 0.08, str(count), ha="center", va="center", color=ink)
                if sum(line):
                    axes.text(place, row + 0.22, percent(share), ha="center", va="center", color=ink, fontsize=8.5)
        levels = [f"Level-{level}" for level in range(len(counts))]
        axes.set_xlim(-0.5, len(counts) + 0.65)
        axes.set_ylim(len(counts) - 0.5, -0.5)
        axes.set_xticks([*range(len(counts)), len(counts) + 0.15], [*levels, "skipped,\nunknown"])
        rows = [f"{name}\n{sum(line)} problems" for name, line in zip(levels, counts, strict=True)]
        axes.set_yticks(range(len(counts)), rows)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("actual level: what the problem took")
        axes.set_ylabel("predicted level")
        footnote(figure, "Number of problems and share of the row; outlined: the forecast was right.")
        return settled(figure)


def _draw_boxes(axes: Axes, summaries: Sequence[TokenSummary]) -> None:
    """Draw one box a position and tier, those of one position side by side under its name."""
    places: list[float] = []
    for index, item in enumerate(summaries):
        new_group = index > 0 and item.position != summaries[index - 1].position
        places.append(0.0 if not places else places[-1] + (1.5 if new_group else 1.0))
    for place, item in zip(places, summaries, strict=True):
        if item.quantiles is None:
            continue
        names = ("whislo", "q1", "med", "q3", "whishi")
        box: dict[str, Any] = {**dict(zip(names, item.quantiles, strict=True)), "mean": item.mean, "fliers": []}
        axes.bxp(
            [box],
            positions=[place],
            widths=0.7,
            patch_artist=True,
            showmeans=True,
            boxprops={"facecolor": STEPS[len(TIERS) - 1 - TIERS.index(item.tier)] if item.tier else STEPS[0]},
            medianprops={"color": COLOURS[1], "linewidth": 2},
            meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": INK, "markersize": 5},
            manage_ticks=False,
        )
    axes.set_xticks(places, [f"{item.tier or 'all'}\nn = {item.attempted}" for item in summaries])
    for position in dict.fromkeys(item.position for item in summaries):
        group = [place for place, item in zip(places, summaries, strict=True) if item.position == position]
        axes.text(
            sum(group) / len(group), 1.02, f"position {position}", transform=axes.get_xaxis_transform(), ha="center"
        )
    axes.set_xlim(-0.6, (places[-1] if places else 0.0) + 0.6)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")


def _square(x: float, y: float, face: Any, edge: str, width: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor=edge, linewidth=width)


__all__ = [
    "Curve",
    "Point",
    "PositionBars",
    "RunScores",
    "accuracy_by_position",
    "budget_sweep",
    "check_figures",
    "level_confusion",
    "save_figure",
    "scores_of_runs",
    "tokens_by_position_and_tier",
]


INTERVALS = "95 % intervals"
"""Default explanation of error bars; callers may name the target (new problems in general, or these very exams)."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve over budgets.

    Attributes:
        name: What it is, for the legend.
        x: Budgets in tokens, ascending.
        y: Correct answers per exam at each, 0–3.
        low: Lower end of a band around it, or None.
        high: Upper end.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A measured score at one budget; points of one name belong together."""

    name: str
    x: float
    y: Interval


@dataclass(frozen=True, slots=True)
class PositionBars:
    """Accuracy of one run at position 1, 2, 3, …, each 0–1."""

    run: str
    accuracies: Sequence[Interval]


@dataclass(frozen=True, slots=True)
class RunScores:
    """Score (correct answers per exam, 0–3) and regret of one run."""

    run: str
    score: Interval
    regret: Interval


def save_figure(figure: Figure, path: Path) -> None:
    """Write ``figure`` to ``path``, as PNG or SVG by its suffix; the same figure gives the same bytes.

    Raises:
        UsageError: Another suffix, or the file cannot be written.
    """
    metadata: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    suffix = path.suffix.lower()
    if suffix not in metadata:
        raise UsageError(f"{path}: pictures are written as {' or '.join(metadata)}")
    with house_style():
        try:
            figure.savefig(path, format=suffix[1:], metadata=metadata[suffix])
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error})") from error


def budget_sweep(curves: Sequence[Curve], points: Sequence[Point], title: str, intervals: str = INTERVALS) -> Figure:
    """Return score against budget: attainable values as curves, measured scores as points with error bars.

    The legend lists the curves from the highest to the lowest at their ends.
    """
    with house_style():
        from matplotlib.ticker import MultipleLocator

        shown = [*(curve.name for curve in curves), *dict.fromkeys(point.name for point in points)]
        lines = sum(label(name, 28).count("\n") + 2 for name in shown)
        figure = new_figure(9.5, max(5.2, 1.2 + 0.21 * lines), title)
        axes = figure.add_subplot()
        handles: list[tuple[float, Any, str]] = []
        for index, curve in enumerate(curves):
            colour = COLOURS[index % len(COLOURS)]
            (line,) = axes.plot(
                curve.x,
                curve.y,
                color=colour,
                linestyle=DASHES[index % len(DASHES)],
                linewidth=2.2,
            )
            if curve.low is not None and curve.high is not None:
                axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
            handles.append((curve.y[-1] if len(curve.y) else 0.0, line, curve.name))
        handles.sort(key=lambda item: -item[0])
        right = max([1.0, *(x for curve in curves for x in curve.x), *(point.x for point in points)])
        handles += _draw_points(axes, points, right)
        top = max(
            [
                1.0,
                *(y for curve in curves for y in (*curve.y, *(() if curve.high is None else curve.high))),
                *map(_top, points),
            ]
        )
        axes.set_ylim(0, min(3.0, top * 1.08))
        axes.set_xlim(0, right * 1.04)
        axes.xaxis.set_major_locator(MultipleLocator(_tick_step(right)))
        axes.set_xlabel("budget (generated tokens for the whole exam)")
        axes.set_ylabel("score (correct answers per exam, out of 3)")
        if handles:
            axes.legend(
                [handle for _, handle, _ in handles],
                [label(name, 28) for _, _, name in handles],
                loc="upper left",
                bbox_to_anchor=(1.01, 1.02),
                handlelength=3.2,
                labelspacing=1.1,
            )
        if points or any(curve.low is not None for curve in curves):
            beside = len({point.name for point in points}) > 1
            footnote(
                figure,
                f"Shaded areas and error bars: {intervals}."
                + (" Points of one budget stand side by side." if beside else ""),
            )
        return settled(figure)


def accuracy_by_position(
    rows: Sequence[PositionBars],
    title: str = "Accuracy by position in the exam",
    intervals: str = INTERVALS,
) -> Figure:
    """Return one group of bars a run, one bar a position, with 95 % intervals."""
    with house_style():
        count = max((len(row.accuracies) for row in rows), default=0)
        thick = 0.8 / max(count, 1)
        figure = new_figure(8.5, 1.9 + len(rows) * max(0.8, 0.32 * count), title)
        axes = figure.add_subplot()
        bars: list[Any] = [None] * count
        for group, row in enumerate(rows):
            for index, accuracy in enumerate(row.accuracies):
                place = group + (index - (len(row.accuracies) - 1) / 2) * thick
                bars[index] = axes.barh(
                    place, accuracy.value or 0.0, 0.9 * thick, color=STEPS[index % len(STEPS)], edgecolor=FAINT
                )
                _draw_error(axes, accuracy, place)
                axes.text(_end(accuracy) + 0.012, place, percent(accuracy.value), va="center", fontsize=9.5)
        name_rows(axes, [row.run for row in rows])
        axes.set_xlim(0, 1.08)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("problems answered right")
        places = [f"position {index + 1}" for index in range(count)]
        if count > 1:
            places[0], places[-1] = f"{places[0]} (asked first)", f"{places[-1]} (asked last)"
        if count:
            axes.legend(bars, places, loc="lower right", bbox_to_anchor=(1, 1), ncols=count, borderaxespad=0.3)
        footnote(figure, f"Error bars: {intervals}.")
        return settled(figure)


def scores_of_runs(rows: Sequence[RunScores], title: str = "Score and regret", intervals: str = INTERVALS) -> Figure:
    """Return score and regret of runs with 95 % intervals, one row a run, in the order given."""
    with house_style():
        figure = new_figure(9.5, 1.9 + 0.55 * max(2, len(rows)), title)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        name_rows(left, [row.run for row in rows])
        _draw_dots(left, [row.score for row in rows], COLOURS[0], MARKERS[0])
        _draw_dots(right, [row.regret for row in rows], COLOURS[1], MARKERS[1])
        left.set_title("Score (higher is better →)")
        left.set_xlabel("correct answers per exam, out of 3")
        left.set_xlim(0, max(1.0, min(3.0, 1.1 * max((_end(row.score) for row in rows), default=1.0))))
        right.set_title("Regret (← lower is better)")
        right.set_xlabel("share lost against easy order")
        right.axvline(0, color=FAINT, linewidth=1)
        right.tick_params(axis="y", length=0)
        right.grid(visible=False, axis="y")
        ends = [end for row in rows for end in bounds(row.regret) or (row.regret.value or 0.0,)]
        low, high = min([0.0, *ends]), max([0.1, *ends])
        right.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        footnote(figure, f"Error bars: {intervals}.")
        return settled(figure)


def _draw_points(axes: Axes, points: Sequence[Point], right: float) -> list[tuple[float, Any, str]]:
    """Draw the points, those of one budget side by side, and return what the legend says of each name."""
    names = list(dict.fromkeys(point.name for point in points))
    handles: dict[str, Any] = {}
    for point in points:
        index = names.index(point.name)
        handles[point.name] = axes.errorbar(
            [point.x + (index - (len(names) - 1) / 2) * min(0.013, 0.07 / len(names)) * right],
            [float("nan") if point.y.value is None else point.y.value],
            yerr=error_lengths(point.y),
            fmt=MARKERS[index % len(MARKERS)],
            color=INK,
            markerfacecolor=INK if index % 2 == 0 else "white",
            markersize=7,
            capsize=2.5,
            zorder=5,
        )
    return [(0.0, handles[name], name) for name in names]


def _top(point: Point) -> float:
    return _end(point.y)


def _end(interval: Interval) -> float:
    """Return the upper end of an interval, or its value where it has none, or 0 where it has neither."""
    return max(end for end in (interval.value, interval.high, 0.0) if end is not None)


def _tick_step(right: float) -> int:
    """Return the power of two at whose multiples an axis from 0 to ``right`` tokens has at most nine ticks."""
    step = 1
    while right / step > 8:
        step *= 2
    return step


def _draw_error(axes: Axes, interval: Interval, place: float) -> None:
    lengths = error_lengths(interval)
    if lengths is not None:
        axes.errorbar(
            [interval.value or 0.0], [place], xerr=lengths, fmt="none", ecolor=INK, elinewidth=1.2, capsize=2.5
        )


def _draw_dots(axes: Axes, intervals: Sequence[Interval], colour: str, marker: str) -> None:
    """Draw one interval a row, with its value as a number at the right end."""
    for row, interval in enumerate(intervals):
        if interval.value is not None:
            axes.errorbar(
                [interval.value],
                [row],
                xerr=error_lengths(interval),
                fmt=marker,
                color=colour,
                markersize=8,
                elinewidth=2,
                capsize=3,
                clip_on=False,
            )
        text = format_cell(interval.value, 2).replace("-", "−")  # as on the axis
        axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
