"""Pictures: valid, the same bytes each time, not blank, and harmless whatever the names."""

from __future__ import annotations

import builtins
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roi_bench.analysis.reports.figure_style import COLOURS, DASHES, MARKERS, bounds, error_lengths, label, percent
from roi_bench.analysis.reports.figures import (
    Curve,
    Point,
    PositionBars,
    RunScores,
    accuracy_by_position,
    budget_sweep,
    check_figures,
    level_confusion,
    save_figure,
    scores_of_runs,
    tokens_by_position_and_tier,
)
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.reports.views import tokens_by_position_and_tier as token_summaries
from roi_bench.errors import DependencyError, UsageError
from tests.analysis.invented_runs import invented_run

NONE = Interval(None, None, None)
NAMES = ("Qwen/Qwen2.5-1.5B-Instruct · direct", "gpt-4o-mini")
HOSTILE = (
    "$\\frac{1}{$",
    "$x$ and \\$y\\$",
    "_hidden",
    "a<b>&\"c'",
    "</text><script>alert(1)</script>",
    "line\nbreak\x00\x1b[2J",
    "\u202eevil \ud800",
    "日本語 🎉",
    "",
    " ",
    "%s {0} {x}",
    "x" * 500,
)


def curve(name: str, top: float, band: bool = False) -> Curve:
    x = np.arange(0, 1025)
    y = top * (1 - np.exp(-x / 300))
    return Curve(name, x, y, 0.9 * y if band else None, 1.1 * y if band else None)


def sweep(names: tuple[str, ...]) -> Any:
    curves = [curve(name, 1 + 0.3 * index, band=index == 1) for index, name in enumerate(names)]
    points = [Point(name, 512, Interval(0.5 + 0.1 * i, 0.4, 0.8)) for i, name in enumerate(names)]
    return budget_sweep(curves, [*points, Point(names[0], 1024, NONE)], names[0])


def bars(names: tuple[str, ...]) -> Any:
    return accuracy_by_position(
        [PositionBars(n, [Interval(0.25, 0.2, 0.3), Interval(0.0, None, None), NONE]) for n in names]
    )


def boxes(names: tuple[str, ...]) -> Any:
    return tokens_by_position_and_tier(
        token_summaries(invented_run(12, "medium")[0], "medium"), f"Tokens of {names[0]}"
    )


def heat(names: tuple[str, ...]) -> Any:
    return level_confusion([[60, 20, 0, 0, 7], [1, 2, 3, 4, 5], [0] * 5, [0, 0, 0, 9, 0]], f"Levels of {names[0]}")


def dots(names: tuple[str, ...]) -> Any:
    rows = [RunScores(name, Interval(1.25, 1.0, 1.5), Interval(-0.125, -0.25, 0.5)) for name in names]
    return scores_of_runs([*rows, RunScores("nothing known", Interval(0.0, None, None), NONE)])


MAKERS: list[Callable[[tuple[str, ...]], Any]] = [sweep, bars, boxes, heat, dots]


@cache
def drawn(make: Callable[[tuple[str, ...]], Any]) -> Any:
    """The picture for the plain names, drawn once."""
    return make(NAMES)


def svg_text(path: Path) -> str:
    """Every text of an SVG, lines joined by a space."""
    tree = ElementTree.parse(path)  # noqa: S314
    return " ".join(" ".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_data_give_the_same_bytes(make: Callable[[tuple[str, ...]], Any], tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        first, again = tmp_path / f"first.{suffix}", tmp_path / f"again.{suffix}"
        save_figure(drawn(make), first)
        save_figure(make(NAMES), again)
        assert first.read_bytes() == again.read_bytes()
    save_figure(drawn(make), again)  # saving changes nothing either
    assert first.read_bytes() == again.read_bytes()
    content = (tmp_path / "first.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in content
    assert b"Software" not in (tmp_path / "first.png").read_bytes()


def nothing_cut_off(pixels: Any) -> bool:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool(border[:, :3].min() == 1)


@pytest.mark.parametrize("make", MAKERS)
def test_png_is_a_picture_of_something(make: Callable[[tuple[str, ...]], Any], tmp_path: Path) -> None:
    from matplotlib.image import imread

    save_figure(drawn(make), tmp_path / "a.png")
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[0] > 300
    assert pixels.shape[1] > 900
    dark = (pixels[..., :3].min(axis=2) < 0.8).mean()
    assert 0.005 < dark < 0.9
    assert nothing_cut_off(pixels)


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        (sweep, ["Qwen/Qwen2.5-1.5B-Instruct", "gpt-4o-mini", "budget (generated tokens", "out of 3", "95 %", "512"]),
        (bars, ["gpt-4o-mini", "position 1 (asked first)", "position 3 (asked last)", "25 %", "n/a", "answered right"]),
        (
            boxes,
            ["medium order", "easy order", "position 2", "hard", "n = 4", "tokens per attempted problem", "median"],
        ),
        (heat, ["predicted level", "actual level", "60", "69 %", "87 problems", "skipped, unknown", "Level-3"]),
        (dots, ["gpt-4o-mini", "1.25", "−0.12", "n/a", "correct answers per exam", "Regret", "← lower is better"]),
    ],
)
def test_svg_holds_what_it_says_as_text(
    make: Callable[[tuple[str, ...]], Any], texts: list[str], tmp_path: Path
) -> None:
    save_figure(drawn(make), tmp_path / "a.svg")
    told = svg_text(tmp_path / "a.svg")
    for text in texts:
        assert text in told


@pytest.mark.parametrize("make", [sweep, bars, dots])
def test_names_are_harmless(make: Callable[[tuple[str, ...]], Any], tmp_path: Path) -> None:
    from matplotlib.image import imread

    figure = make(HOSTILE)
    save_figure(figure, tmp_path / "a.svg")
    save_figure(figure, tmp_path / "a.png")
    assert "<script" not in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert nothing_cut_off(imread(tmp_path / "a.png"))
    told = svg_text(tmp_path / "a.svg")
    for name in ("$\\frac{1}{$", "$x$ and \\$y\\$", "_hidden", "a<b>&\"c'", r"\x00\x1b[2J", "日本語 🎉", "%s {0} {x}"):
        assert name in told


@pytest.mark.parametrize("make", [boxes, heat])
def test_titles_are_harmless(make: Callable[[tuple[str, ...]], Any], tmp_path: Path) -> None:
    save_figure(make(("$\\frac{1}{$ </text><script>\x00\ud800日",)), tmp_path / "a.svg")
    assert "$\\frac{1}{$ </text><script>\\x00\\ud800日" in svg_text(tmp_path / "a.svg")


@pytest.mark.parametrize(
    "figure",
    [
        lambda: budget_sweep([], [], "Nothing"),
        lambda: budget_sweep([Curve("one", [512], [1.0])], [Point("undefined", 1, NONE)], "Little"),
        lambda: accuracy_by_position([]),
        lambda: tokens_by_position_and_tier([]),
        lambda: level_confusion([[0] * 5] * 4),
        lambda: scores_of_runs([]),
    ],
)
def test_nothing_to_show(figure: Callable[[], Any], tmp_path: Path) -> None:
    save_figure(figure(), tmp_path / "a.png")
    save_figure(figure(), tmp_path / "a.SVG")


def test_lines_and_points_differ_without_colour() -> None:
    axes = sweep(("a", "b", "c", "d")).axes[0]
    styles = [line._unscaled_dash_pattern for line in axes.lines if len(line.get_xdata()) > 2]
    assert len({str(style) for style in styles}) == 4
    markers = [container.lines[0].get_marker() for container in axes.containers]
    assert markers[:4] == list(MARKERS[:4])
    assert len(set(COLOURS)) == len(COLOURS)
    assert len(set(map(str, DASHES))) == len(DASHES)


def test_the_sweep_draws_what_it_was_given() -> None:
    curves = [curve("low", 0.5), curve("high", 2.0, band=True)]
    figure = budget_sweep(curves, [Point("p", 512, Interval(1.5, 1.25, 1.875))], "T")
    axes = figure.axes[0]
    low, high = (line for line in axes.lines if len(line.get_xdata()) == 1025)
    assert np.array_equal(low.get_ydata(), curves[0].y)
    assert np.array_equal(high.get_ydata(), curves[1].y)
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["high", "low", "p"]  # highest first, points last
    (container,) = axes.containers
    assert container.lines[0].get_xydata().tolist() == [[512, 1.5]]
    assert container.lines[2][0].get_segments()[0].tolist() == [[512, 1.25], [512, 1.875]]
    assert axes.get_ylim()[0] == 0
    assert 2.0 < axes.get_ylim()[1] <= 3
    assert axes.collections[0].get_datalim(axes.transData).y1 == pytest.approx(max(curves[1].high))  # type: ignore[arg-type]


def test_points_of_one_budget_stand_side_by_side() -> None:
    points = [Point(name, 512, Interval(1.0, 0.9, 1.1)) for name in "abc"]
    axes = budget_sweep([curve("c", 1)], points, "T").axes[0]
    places = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert places == sorted(set(places))
    assert places[1] == 512
    assert places[2] - places[0] < 0.05 * 1024


def test_a_long_legend_takes_no_room_from_the_curves() -> None:
    few, many = (
        budget_sweep([curve(f"curve {k} with a name of two lines", 1) for k in range(n)], [], "T") for n in (2, 25)
    )
    assert few.get_size_inches().tolist() == [9.5, 5.2]
    heights = [figure.axes[0].get_position().height * figure.get_size_inches()[1] for figure in (few, many)]
    assert heights[1] >= heights[0]


def test_bars_and_dots_show_the_values() -> None:
    axes = bars(("a", "b")).axes[0]
    assert [patch.get_width() for patch in axes.patches] == [0.25, 0.0, 0.0] * 2
    ends = [
        segment.tolist() for c in axes.containers if hasattr(c, "lines") for segment in c.lines[2][0].get_segments()
    ]
    assert [[x for x, _ in segment] for segment in ends] == [[pytest.approx(0.2), pytest.approx(0.3)]] * 2
    assert axes.yaxis_inverted()  # the first run, and the first position, at the top
    assert axes.patches[0].get_y() < axes.patches[1].get_y() < axes.patches[3].get_y()
    left, right = dots(("a",)).axes
    assert [c.lines[0].get_xydata().tolist() for c in left.containers] == [[[1.25, 0]], [[0, 1]]]
    assert [c.lines[0].get_xydata().tolist() for c in right.containers] == [[[-0.125, 0]]]
    assert right.get_xlim()[0] < -0.25
    assert right.get_xlim()[1] > 0.5
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "nothing known"]


def test_boxes_show_the_quantiles() -> None:
    summaries = [item for item in token_summaries(invented_run(12, "hard")[0], "hard") if item.order == "hard"]
    (axes,) = tokens_by_position_and_tier(summaries).axes
    for item, patch in zip(summaries, axes.patches, strict=True):
        assert item.quantiles is not None
        box = patch.get_path().get_extents()
        assert (box.y0, box.y1) == pytest.approx((item.quantiles[1], item.quantiles[3]))
    assert [text.get_text() for text in axes.get_xticklabels()] == [f"{i.tier}\nn = {i.attempted}" for i in summaries]
    told = [(text.get_text(), text.get_position()[0]) for text in axes.texts]
    assert told == [(f"position {k + 1}", place) for k, place in enumerate(axes.get_xticks())]


def test_heat_shows_the_counts_and_marks_the_diagonal() -> None:
    (axes,) = heat(NAMES).axes
    counts = [text.get_text() for text in axes.texts if "%" not in text.get_text()]
    assert counts[:10] == ["60", "20", "0", "0", "7", "1", "2", "3", "4", "5"]
    outlined = [patch.get_xy() for patch in axes.patches if patch.get_zorder() == 2]
    assert outlined == [(-0.5, -0.5), (0.5, 0.5), (1.5, 1.5), (2.5, 2.5)]
    # 9 of 9 is darker than 60 of 87, and that than 20 of 87
    shades = {patch.get_xy(): sum(patch.get_facecolor()[:3]) for patch in axes.patches if patch.get_zorder() != 2}
    assert shades[2.5, 2.5] < shades[-0.5, -0.5] < shades[0.5, -0.5]


def test_labels() -> None:
    assert (
        label("meta-llama/Llama-3.2-3B-Instruct · plan_and_solve")
        == "meta-llama/Llama-3.2-3B-\nInstruct · plan_and_solve"
    )
    long = label("begin" + "x" * 500 + "end")
    assert long.startswith("begin")
    assert long.endswith("end")
    assert "…" in long
    assert len(long) < 100
    assert label("$a$") == r"\$a\$"
    assert (percent(0.174), percent(0), percent(None)) == ("17 %", "0 %", "n/a")


def test_intervals_that_are_none_draw_no_bars() -> None:
    assert bounds(Interval(1.0, 0.5, None)) is None
    assert error_lengths(Interval(None, 0.5, 1.5)) is None
    assert error_lengths(Interval(1.0, 0.5, 1.75)) == [[0.5], [0.75]]
    assert error_lengths(Interval(1.0, 1.5, 1.75)) == [[0.0], [0.75]]


def test_only_two_kinds_of_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.pdf.*\.png.*\.svg"):
        save_figure(dots(NAMES), tmp_path / "a.pdf")
    with pytest.raises(UsageError, match=r"missing/a\.png"):
        save_figure(dots(NAMES), tmp_path / "missing" / "a.png")


def test_a_users_own_settings_change_nothing(tmp_path: Path) -> None:
    import matplotlib

    save_figure(dots(NAMES), tmp_path / "plain.svg")
    with matplotlib.rc_context(
        {"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path", "text.color": "green"}
    ):
        save_figure(dots(NAMES), tmp_path / "own.svg")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "own.svg").read_bytes()


def test_without_matplotlib_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", blocked)
    for make in (check_figures, lambda: dots(NAMES), lambda: heat(NAMES)):
        with pytest.raises(DependencyError, match=r"matplotlib.*'roi-bench\[leaderboard\]'"):
            make()


def test_pyplot_stays_out_and_importing_loads_no_matplotlib() -> None:
    script = (
        "import sys; import roi_bench.analysis.reports.figures as f; assert 'matplotlib' not in sys.modules\n"
        "f.scores_of_runs([f.RunScores('a', f.Interval(1.0, 0.5, 1.5), f.Interval(0.0, None, None))])\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
