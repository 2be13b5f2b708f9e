"""The compact table at the end of ``roi-bench run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("score", "score", 2),
    ("regret", "regret", 2),
    ("score_easy", "easy", 2),
    ("p1_acc", "p1", 2),
    ("p2_acc", "p2", 2),
    ("p3_acc", "p3", 2),
    ("skip_rate", "skip", 2),
    ("truncated", "cut", 2),
    ("tokens", "tokens", 0),
)
"""Metric, heading, decimals. The whole table fits into 80 columns."""

SOLO_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("acc", "right", 2),
    ("skip_rate", "skip", 2),
    ("truncated", "cut", 2),
    ("tokens", "tokens", 0),
)
"""The same for problems asked alone."""

WITH_ERROR = ("score", "regret", "acc")
"""Metrics shown with their standard error."""

SOLO_LEGEND = (
    "problems asked alone; right, skip, cut: shares of samples; roi-bench profile makes a solo profile of them"
)

LEGEND = (
    "± one standard error, for such problems in general; easy: score in easy order; p1–p3: accuracy by position;\n"
    "skip, cut: share of problems answered NA, cut off by the budget"
)

LOG_WIDTH = 160
"""Columns where the output is no terminal and nothing need be folded."""


def is_exam_result(values: Mapping[str, Any]) -> bool:
    """Whether lm_eval's ``values`` of a task are those of an exam task."""
    return "score,none" in values and "regret,none" in values


def is_solo_result(name: str, values: Mapping[str, Any]) -> bool:
    """Whether lm_eval's ``values`` of the task ``name`` are those of a solo task."""
    return name.startswith("roi_") and "acc,none" in values and "over_budget,none" not in values


def table_rows(results: Mapping[str, Mapping[str, Any]], solo: bool = False) -> list[list[str]]:
    """Return one row of cells per exam task: alias, exams, then :data:`COLUMNS`; an undefined number is ``n/a``.

    ``solo``: the same for solo tasks, with problems and :data:`SOLO_COLUMNS`.
    """
    return [
        [
            str(values.get("alias", name)).strip(),
            str(values.get("sample_len", "")),
            *(_cell(values, metric, decimals) for metric, _, decimals in (SOLO_COLUMNS if solo else COLUMNS)),
        ]
        for name, values in results.items()
        if (is_solo_result(name, values) if solo else is_exam_result(values))
    ]


def print_results(results: Mapping[str, Any], title: str, files: Sequence[str]) -> None:
    """Print exam tasks and solo tasks as compact tables, other tasks as lm_eval does, and where everything is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    found = results["results"]
    console.print(title, style="bold", soft_wrap=True, markup=False)
    for solo, columns, legend in ((False, COLUMNS, LEGEND), (True, SOLO_COLUMNS, SOLO_LEGEND)):
        if rows := table_rows(found, solo):
            table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
            for heading in ("task", "n", *(heading for _, heading, _ in columns)):
                table.add_column(heading, justify="left" if heading == "task" else "right", overflow="fold")
            for row in rows:
                table.add_row(*map(escape, row))
            console.print(table)
            console.print(legend, style="dim")
    others = {name for name, values in found.items() if not (is_exam_result(values) or is_solo_result(name, values))}
    if others - set(results.get("group_subtasks", {})):
        from lm_eval.utils import make_table

        shown = {name: found[name] for name in sorted(others)}
        console.print(make_table({**results, "results": shown}), markup=False)
    for line in files:
        console.print(line, soft_wrap=True, markup=False)


def _cell(values: Mapping[str, Any], metric: str, decimals: int) -> str:
    shown = _number(values.get(f"{metric},none"), decimals)
    if metric not in WITH_ERROR or shown == "n/a":
        return shown
    return f"{shown}±{_number(values.get(f'{metric}_stderr,none'), decimals)}"


def _number(value: Any, decimals: int) -> str:
    return f"{value:.{decimals}f}" if isinstance(value, int | float) else "n/a"
