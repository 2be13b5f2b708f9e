import re
from dataclasses import replace
from datetime import date
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.board.graded import TokenBox
from roi_bench.leaderboard.site.charts import COST, DATE, SIZE, BudgetLine, Point, budget_plot, far_rows, point_plot
from roi_bench.leaderboard.site.charts import LEFT as LEFT_OF_SCORES
from roi_bench.leaderboard.site.charts import RIGHT as RIGHT_OF_SCORES
from roi_bench.leaderboard.site.model_page import BOTTOM, LEFT, RIGHT, TOP, accuracy_plot, outcome_plot, tokens_plot
from roi_bench.leaderboard.site.page import BAR_WIDTH, money_text, outcome_bar, size_text
from roi_bench.leaderboard.site.plots import Label, Plot, Scale, Stroke, log_ticks, number_text, svg, ticks, units
from tests.leaderboard.invented_board import HOSTILE, MAIN, invented_submission

RUN = invented_submission(1, exams=30, cells=(MAIN,)).runs[0]
NUMBER = r"-?\d+(?:\.\d)?"


def strokes(plot, kind):
    return [stroke.path for stroke in plot.strokes if stroke.kind == kind]


def points(path):
    """Return the coordinates after each M and L of a path."""
    return [(float(x), float(y)) for x, y in re.findall(rf"[ML]({NUMBER}) ({NUMBER})", path)]


def labels(plot):
    return [label.text for label in plot.labels]


def test_a_scale_keeps_its_ends():
    scale = Scale(0.0, 2.0, 100.0, 20.0)
    assert [scale.at(value) for value in (0.0, 0.5, 2.0, 9.0, -1.0)] == [100.0, 80.0, 20.0, 20.0, 100.0]


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (1.25, "1.2"), (-0.04, "0"), (-3.14, "-3.1"), (120.96, "121")])
def test_coordinates_are_short(value, text):
    assert units(value) == text


@pytest.mark.parametrize(
    ("ends", "found"),
    [((0.0, 1.0), [0, 0.2, 0.4, 0.6, 0.8, 1.0]), ((0.0, 3.0), [0, 1, 2, 3]), ((0.0, 512.0), [0, 200, 400])],
)
def test_ticks_are_round(ends, found):
    assert ticks(*ends) == pytest.approx(found)


@given(low=st.floats(-1e3, 1e3), width=st.floats(1e-3, 1e4))
def test_ticks_lie_inside_and_are_few(low, width):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-6 * width <= value <= low + width * (1 + 1e-6) + 1e-9 for value in found)


@given(low=st.floats(1e-7, 10.0), factor=st.floats(2.0, 1e6))
def test_ticks_of_a_logarithmic_axis_lie_inside_and_are_few(low, factor):
    found = log_ticks(low, low * factor)
    assert len(found) <= 6
    assert found == sorted(found)
    assert all(low * 0.999 <= value <= low * factor * 1.001 for value in found)


def test_numbers_are_never_powers_of_ten():
    assert [number_text(value) for value in (0.0, 0.2, -1.5, 1000.0)] == ["0", "0.2", "−1.5", "1000"]
    found = [money_text(value) for value in (None, 0.0, 0.00001234, 0.0012, 0.42, 13.37, 1234.0)]
    assert found == ["–", "0", "0.000012", "0.0012", "0.42", "13", "1200"]
    assert [size_text(value) for value in (None, 800_000, 1_540_000_000, 70_000_000_000, 999_960_000)] == [
        "–", "0.8M", "1.5B", "70B", "1000M",
    ]  # fmt: skip


def test_a_picture_is_well_formed_whatever_it_is_told():
    plot = Plot("a", "many", 10, 10, HOSTILE, HOSTILE, (Stroke("k0", "M0 0h1", HOSTILE),), (Label("1", "2", HOSTILE),))
    root = ElementTree.fromstring(svg(plot))  # noqa: S314 (our own)
    assert [child.tag for child in root] == ["title", "desc", "path", "text"]
    assert "<script>" in root.find("text").text
    assert root.get("aria-labelledby") == root.find("title").get("id")
    assert "style" not in svg(plot)


def test_accuracy_stands_where_it_is_with_its_interval():
    plain = tuple(Interval(value, value - 0.1, value + 0.1) for value in (0.0, 0.5, 1.0))
    run = replace(RUN, accuracy_by_position={"hard": plain, "easy": (Interval(None), Interval(0.25), Interval(None))})
    plot = accuracy_plot(run, 1)
    (marks,) = (path for path in strokes(plot, "o0 mark") if path.count("M") == 3)
    heights = [y for _, y in points(marks)]
    assert heights == [BOTTOM, (BOTTOM + TOP) / 2, TOP]
    (whiskers,) = strokes(plot, "o0 whisker")
    assert [y for _, y in points(whiskers)][1] == pytest.approx(Scale(0, 1, BOTTOM, TOP).at(0.4), abs=0.05)
    easy = [path for path in strokes(plot, "o1 mark") if points(path)[0][1] > TOP]
    assert [len(points(path)) for path in easy] == [1]
    assert plot.description == (
        "hard order, position 1 to 3: 0 %, 50 %, 100 %; easy order, position 1 to 3: undefined, 25 %, undefined"
    )


def test_boxes_of_tokens_are_to_scale_and_tiers_have_letters():
    boxes = (
        TokenBox("hard", 1, "hard", 5, 100.0, (10.0, 50.0, 100.0, 150.0, 200.0)),
        TokenBox("hard", 2, "middle", 0, None, None),
    )
    plot = tokens_plot(replace(RUN, token_boxes=boxes), 1)
    ((x, top),) = points(*strokes(plot, "hard body"))
    ((_, median),) = points(*strokes(plot, "hard median"))
    ((_, foot),) = points(*strokes(plot, "hard whisker"))
    assert LEFT < x < RIGHT
    assert foot > median > top
    assert (foot - median) / (median - top) == pytest.approx(90 / 50, rel=0.02)
    assert not strokes(plot, "middle body")
    assert labels(plot).count("H") == 1
    assert tokens_plot(replace(RUN, token_boxes=boxes[1:]), 1) is None


def test_bars_of_outcomes_fill_their_row():
    plot = outcome_plot({"easy": {"correct": 0.5, "wrong": 0.3, "skipped": 0.2}, "middle": {"empty": 1.0}}, 1)
    widths = {
        kind: [float(width) for width in re.findall(rf"h({NUMBER})v", *strokes(plot, f"fill {kind}"))]
        for kind in ("correct", "wrong", "skipped", "empty")
    }
    full = widths["empty"][0]
    assert [round(widths[kind][0] / full, 2) for kind in ("correct", "wrong", "skipped")] == [0.5, 0.3, 0.2]
    assert [text for text in labels(plot) if text.isdigit()] == ["50", "30", "20", "100"]
    assert "hard: unknown" in plot.description


@given(parts=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).filter(lambda parts: sum(parts) > 0.01))
def test_the_bar_of_a_table_has_whole_units_that_add_up(parts):
    shares = np.array(parts) / sum(parts)
    names = ("correct", "wrong", "skip_rate", "truncated", "unanswered", "empty")
    numbers = {name: Interval(float(share)) for name, share in zip(names, shares, strict=True)}
    bar = outcome_bar(replace(RUN, numbers=numbers))
    assert sum(length for _, length in bar) == BAR_WIDTH
    assert all(length >= 0 for _, length in bar)
    assert [abs(length - share * BAR_WIDTH) <= 1 for (_, length), share in zip(bar, shares, strict=True)] == [True] * 6
    assert bar[0][0] == 0


def test_runs_of_one_budget_stand_side_by_side_and_the_best_are_numbered():
    lines = [BudgetLine(f"run {k}", (Interval(1.0, 0.9, 1.1), None, Interval(1.5, 1.4, 1.6))) for k in range(10)]
    plot = budget_plot(lines, (128, 512, 1024))
    first = [points(*strokes(plot, f"k{k} mark")) for k in range(8)]
    assert [len(found) for found in first] == [2] * 8
    assert len({found[0][0] for found in first}) == 8
    numbers = [label for label in plot.labels if label.kind == ""]
    assert sorted(label.text for label in numbers) == list("12345678")
    assert len({label.x for label in numbers}) == 1  # beside the last budget
    heights = sorted(float(label.y) for label in numbers)
    assert all(below - above >= 11.9 for above, below in pairwise(heights))
    assert len(strokes(plot, "other mark")) == 2
    assert {"128", "512", "1024", "budget, tokens, logarithmic"} <= set(labels(plot))
    assert budget_plot([BudgetLine("run", (Interval(None), None, None))], (128, 512, 1024)) is None
    assert budget_plot([], (128,)) is None


@pytest.mark.parametrize("count", [1, 9, 12, 50, 200, 500])
@pytest.mark.parametrize("budgets", [(512,), (128, 256), (128, 512, 1024), (100, 101, 4096)])
def test_a_budget_keeps_its_runs_together_and_their_order_says_nothing(count, budgets):
    """Spread over the step to the next budget, and sorted by score, they looked like a curve that falls with tokens."""
    rng = np.random.default_rng(count)
    names = rng.permutation(count)
    scores = [Interval(2.9 - 2.8 * k / count, 2.8 - 2.8 * k / count, 3.0 - 2.8 * k / count) for k in range(count)]
    lines = [BudgetLine(f"run {name:03d}", (score,) * len(budgets)) for name, score in zip(names, scores, strict=True)]
    plot = budget_plot(lines, budgets)
    centres = [float(label.x) for label in plot.labels if label.text in set(map(str, budgets)) and label.kind == "m f"]
    steps = [right - left for left, right in pairwise(centres)] or [RIGHT_OF_SCORES - LEFT_OF_SCORES]
    marks = [points(stroke.path) for stroke in plot.strokes if stroke.kind.endswith("mark")]
    for index, centre in enumerate(centres):
        places = [found[index][0] for found in marks]
        assert max(places) - min(places) <= 0.2 * min(steps)
        assert all(abs(place - centre) <= 0.1 * min(steps) + 0.2 for place in places)
    if count >= 50:
        across, up = zip(*[found[0] for found in marks], strict=True)
        assert abs(np.corrcoef(across, up)[0, 1]) < 0.35
    assert ("crowd" in plot.kind) == (count >= 40)


def test_budgets_stand_on_a_logarithmic_axis_unless_two_would_touch():
    def places(*budgets):
        plot = budget_plot([BudgetLine("run", (Interval(1.0),) * len(budgets))], budgets)
        return [float(label.x) for label in plot.labels if label.text in set(map(str, budgets)) and label.kind == "m f"]

    first, second, third = places(128, 512, 1024)
    assert (second - first) / (third - second) == pytest.approx(2, abs=0.01)
    first, second, third = places(100, 101, 4096)
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_the_line_of_best_value_climbs_in_steps():
    found = [
        Point("cheap", 0.001, Interval(0.5), True, 3),
        Point("dear", 0.1, Interval(1.5), True, 1),
        Point("worse", 0.01, Interval(0.4), False, 4),
        Point("middle", 0.01, Interval(1.0), True, 2),
        Point("undefined", 0.01, Interval(None), False, 5),
    ]
    plot = point_plot(found, COST, 512)
    stairs = points(*strokes(plot, "front"))
    assert len(stairs) == 5
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(stairs))
    assert [y for _, y in stairs] == sorted((y for _, y in stairs), reverse=True)
    gaps = [stairs[1][0] - stairs[0][0], stairs[3][0] - stairs[2][0]]
    assert gaps[0] == pytest.approx(gaps[1], abs=0.2)  # both tenfold
    assert [label.text for label in plot.labels if label.kind == "e"] == ["3", "1", "2"]
    assert len(strokes(plot, "other mark")) == 1


@pytest.mark.parametrize("absurd", [1e-300, 1e9])
def test_one_absurd_cost_hides_no_other(absurd):
    usual = [Point(f"run {k}", 0.5 * (k + 1), Interval(1.0 + k / 10), False, k + 1) for k in range(5)]
    found = [*usual, Point("absurd", absurd, Interval(2.0), True, 6)]
    plot = point_plot(found, COST, 512)
    places = [points(path)[0][0] for path in strokes(plot, "other mark")]
    assert max(places) - min(places) > 0.6 * (RIGHT_OF_SCORES - LEFT_OF_SCORES)
    (far,) = strokes(plot, "k0 mark far")
    assert points(far)[0][0] == (LEFT_OF_SCORES if absurd < 1 else RIGHT_OF_SCORES)
    numbers = [float(text) for text in labels(plot) if re.fullmatch(r"[\d.]+", text)]
    assert sum(0.2 <= number <= 5 for number in numbers) >= 2
    assert far_rows(found, COST) == {6}


def test_a_date_axis_has_months_and_a_size_axis_millions_and_billions():
    days = [date(2026, month, 5).toordinal() for month in (1, 6, 11)]
    found = [Point(f"run {k}", float(day), Interval(1.0 + k), True, k + 1) for k, day in enumerate(days)]
    plot = point_plot(found, DATE, 512)
    shown = [text for text in labels(plot) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)]
    assert shown == ["2026-01-01", "2026-04-01", "2026-07-01", "2026-10-01"]
    assert point_plot(found[:1], DATE, 512) is not None  # a single day
    sizes = [Point("small", 8e5, Interval(1.0), True, 2), Point("large", 7e9, Interval(2.0), True, 1)]
    assert {"1M", "1B"} <= set(labels(point_plot(sizes, SIZE, 512)))
