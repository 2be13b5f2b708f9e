"""Pictures of how one run behaves: accuracy by position, tokens by position and tier, outcomes by tier."""

from __future__ import annotations

from collections.abc import Mapping

from roi_bench.exams.exam import TIERS
from roi_bench.leaderboard.graded import GradedRun, Number, TokenBox
from roi_bench.leaderboard.plots import (
    Label,
    Plot,
    Scale,
    Stroke,
    box,
    dot,
    label,
    left_axis,
    line,
    number_text,
    polyline,
    ticks,
)
from roi_bench.leaderboard.run_texts import BAR_OUTCOMES

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 38, 352, 28, 184

_HALF_BOX = 5.5
"""Half the width of a box."""


def accuracy_plot(run: GradedRun, place: int) -> Plot:
    """Return accuracy at position 1, 2, 3 in the task's own order and in easy order, with intervals."""
    scale = Scale(0.0, 1.0, BOTTOM, TOP)
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    strokes, labels = left_axis(scale, LEFT, RIGHT, shares, [f"{100 * share:.0f}" for share in shares])
    labels += [label(_column(k, 3), BOTTOM + 18, f"position {k}", "m f") for k in (1, 2, 3)]
    orders = dict.fromkeys((run.cell.order, "easy"))
    for index, order in enumerate(orders):
        offset = (index - (len(orders) - 1) / 2) * 14
        strokes += _accuracy_series(run.accuracy_by_position.get(order, ()), scale, offset, f"o{index}")
        x = LEFT + 4 + 150 * index
        strokes.append(Stroke(f"o{index} mark", dot(x, TOP - 15)))
        labels.append(label(x + 9, TOP - 11, f"{order} order"))
    labels.append(label(LEFT - 6, TOP - 11, "%", "e f"))
    return Plot(
        id=f"accuracy-{place}",
        kind="accuracy",
        width=WIDTH,
        height=HEIGHT - 10,
        title=f"Accuracy by position, {' and '.join(f'{order} order' for order in orders)}",
        description="; ".join(_accuracy_text(order, run.accuracy_by_position.get(order, ())) for order in orders),
        strokes=tuple(strokes),
        labels=tuple(labels),
    )


def _column(index: int, count: int) -> float:
    """Return the middle of column ``index`` (from 1) of ``count``."""
    return LEFT + (RIGHT - LEFT) * (index - 0.5) / count


def _accuracy_series(found: tuple[Number, ...], scale: Scale, offset: float, kind: str) -> list[Stroke]:
    points, bars = [], ""
    for k, number in enumerate(found, start=1):
        if number.value is None:
            continue
        x = _column(k, 3) + offset
        points.append((x, scale.at(number.value)))
        if number.low is not None and number.high is not None:
            bars += line(x, scale.at(number.low), x, scale.at(number.high))
    if not points:
        return []
    marks = "".join(dot(*point) for point in points)
    return [Stroke(f"{kind} thread", polyline(points)), Stroke(f"{kind} whisker", bars), Stroke(f"{kind} mark", marks)]


def _accuracy_text(order: str, found: tuple[Number, ...]) -> str:
    values = ", ".join("undefined" if n.value is None else f"{100 * n.value:.0f} %" for n in found)
    return f"{order} order, position 1 to 3: {values or 'unknown'}"


def tokens_plot(run: GradedRun, place: int) -> Plot | None:
    """Return boxes of tokens by order, position and tier of attempted problems; None where no tokens are known."""
    known = [found for found in run.token_boxes if found.attempted and found.quantiles is not None]
    if not known:
        return None
    top = max(found.quantiles[4] for found in known if found.quantiles is not None)
    scale = Scale(0.0, max(top * 1.03, 1.0), BOTTOM - 12, TOP)
    values = ticks(0.0, scale.high, 4)
    strokes, labels = left_axis(scale, LEFT, RIGHT, values, [number_text(value) for value in values])
    orders = tuple(dict.fromkeys((run.cell.order, "easy")))
    strokes += _boxes(known, orders, scale)
    labels += _box_labels(known, orders)
    labels.append(label(LEFT - 6, TOP - 11, "tokens", "f"))
    return Plot(
        id=f"tokens-{place}",
        kind="tokens",
        width=WIDTH,
        height=HEIGHT,
        title="Tokens by position and tier",
        description="Tokens of attempted problems: box from the 25th to the 75th percentile with the median, line from "
        "the 10th to the 90th. E, M, H: easy, middle, hard problem.",
        strokes=tuple(strokes),
        labels=tuple(labels),
    )


def _box_places(known: list[TokenBox], orders: tuple[str, ...]) -> list[tuple[float, TokenBox]]:
    """Return the boxes with the middles of their columns: order, then position, then tier."""
    found = []
    for index, order in enumerate(orders):
        for position in (1, 2, 3):
            here = [one for one in known if (one.order, one.position) == (order, position)]
            here.sort(key=lambda one: TIERS.index(one.tier))
            middle = _column(index * 3 + position, 3 * len(orders))
            found += [(middle + (i - (len(here) - 1) / 2) * 15, one) for i, one in enumerate(here)]
    return found


def _boxes(known: list[TokenBox], orders: tuple[str, ...], scale: Scale) -> list[Stroke]:
    lines, bodies, medians = dict.fromkeys(TIERS, ""), dict.fromkeys(TIERS, ""), dict.fromkeys(TIERS, "")
    for x, found in _box_places(known, orders):
        if found.quantiles is None:
            continue
        low, first, middle, third, high = (scale.at(value) for value in found.quantiles)
        lines[found.tier] += line(x, low, x, high)
        bodies[found.tier] += box(x - _HALF_BOX, third, 2 * _HALF_BOX, first - third)
        medians[found.tier] += line(x - _HALF_BOX, middle, x + _HALF_BOX, middle)
    kinds = (("whisker", lines), ("body", bodies), ("median", medians))
    return [Stroke(f"{tier} {kind}", paths[tier]) for tier in TIERS for kind, paths in kinds if paths[tier]]


def _box_labels(known: list[TokenBox], orders: tuple[str, ...]) -> list[Label]:
    labels = [label(x, BOTTOM + 1, found.tier[0].upper(), "m f") for x, found in _box_places(known, orders)]
    count = 3 * len(orders)
    labels += [label(_column(k, count), BOTTOM + 16, str((k - 1) % 3 + 1), "m") for k in range(1, count + 1)]
    for index, order in enumerate(orders):
        labels.append(label(_column(index * 3 + 2, count), BOTTOM + 31, f"{order} order", "m f"))
    return labels


def outcome_plot(shares: Mapping[str, Mapping[str, float]], place: int) -> Plot:
    """Return one bar a tier, split into what became of its problems.

    Args:
        shares: Share of each outcome by tier.
        place: Number of the run on its page.
    """
    strokes: list[Stroke] = []
    labels: list[Label] = []
    paths = dict.fromkeys(BAR_OUTCOMES, "")
    scale = Scale(0.0, 1.0, 52, RIGHT)
    for index, tier in enumerate(TIERS):
        y, start = 8 + 40 * index, 0.0
        labels.append(label(44, y + 19, tier, "e"))
        for outcome in BAR_OUTCOMES:
            share = shares.get(tier, {}).get(outcome, 0.0)
            x, width = scale.at(start), scale.at(start + share) - scale.at(start)
            start += share
            if width > 0.05:
                paths[outcome] += box(x, y, width, 28)
            if share >= 0.095:
                labels.append(label(x + width / 2, y + 18.5, f"{100 * share:.0f}", f"m on-{outcome}"))
    strokes += [Stroke(f"fill {outcome}", path) for outcome, path in paths.items() if path]
    return Plot(
        id=f"outcomes-{place}",
        kind="outcomes",
        width=WIDTH,
        height=124,
        title="What became of the problems, by tier, in %",
        description="; ".join(f"{tier}: {_shares_text(shares.get(tier, {}))}" for tier in TIERS),
        strokes=tuple(strokes),
        labels=tuple(labels),
    )


def _shares_text(shares: Mapping[str, float]) -> str:
    found = [f"{outcome} {100 * shares[outcome]:.0f} %" for outcome in BAR_OUTCOMES if shares.get(outcome)]
    return ", ".join(found) or "unknown"
