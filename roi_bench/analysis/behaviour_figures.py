"""Pictures of the behaviour of one run: where its tokens go, and how well it forecasts levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from roi_bench.analysis.figure_style import (
    COLOURS,
    INK,
    STEPS,
    footnote,
    house_style,
    label,
    new_figure,
    percent,
    settled,
)
from roi_bench.analysis.token_views import TokenSummary
from roi_bench.exams.exam import TIERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def tokens_by_position_and_tier(
    summaries: Sequence[TokenSummary], title: str = "Tokens spent on attempted problems"
) -> Figure:
    """Return the distribution of tokens by position and tier, one panel an order (see ``tokens_by_position_and_tier``
    of :mod:`roi_bench.analysis.token_views`).
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
    """Return a heat map of ``counts`` of :class:`roi_bench.analysis.level_views.LevelForecast`.

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
