"""Lists of exams, compact enough for 480 rows: of one run in both orders, and of all runs of a table side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from roi_bench.analysis.runs import Cell, ScoredRun
from roi_bench.leaderboard.board.board import Board
from roi_bench.leaderboard.board.graded import LETTERS, MIXED, GradedRun
from roi_bench.leaderboard.site.page import UNDEFINED, PageFile, number, render
from roi_bench.records.results import Costs
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import mean_or_none

ExamCosts = Mapping[str, Costs]
"""USD of each response of a task, by document; a document of which no cost is known may be left out."""


class ShownRun(Protocol):
    """What lists and pages of responses say of a run; :class:`~roi_bench.leaderboard.board.graded.GradedRun` too."""

    @property
    def cell(self) -> Cell:
        """Exams, order and budget."""

    @property
    def prompt(self) -> str:
        """Name of the prompt, or of the run."""

    @property
    def decoding(self) -> str:
        """Generation arguments, or an empty text."""

    @property
    def exams(self) -> int:
        """Number of exams with a response in both orders."""

    @property
    def repeats(self) -> int:
        """Samples per request."""

    @property
    def exam_ids(self) -> tuple[str, ...]:
        """Ids of these exams."""

    @property
    def scores(self) -> tuple[float, ...]:
        """Correct answers of each in the task's order."""

    @property
    def scores_easy(self) -> tuple[float, ...]:
        """Correct answers of each in easy order."""


@dataclass(frozen=True, slots=True)
class ListCell:
    """A cell of the list: its text, and the outcome that colours it (an empty text: none)."""

    text: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ListRow:
    """One exam.

    Attributes:
        exam: Its id.
        link: From the list's folder: its page of responses; where it has none, the page that reads any response.
        cells: Tiers by position; of the task's own order correct answers, problem 1 to 3, tokens, finish; the same
            five of easy order; USD of all its responses.
    """

    exam: str
    link: str
    cells: tuple[ListCell, ...]


def page_name(exam_id: str) -> str:
    """Return the file name of an exam's page of responses: ``tiny-0-012.html``."""
    return re.sub(r"[^A-Za-z0-9._+-]", "-", exam_id) + ".html"


def reader_link(submission: str, run: ShownRun, exam_id: str) -> str:
    """Return the address, from the folder of its submission, at which any response of a run can be read."""
    query = {"cell": run.cell.slug, "a": f"{submission}/{run.prompt}", "exam": exam_id}
    return f"../../read.html?{urlencode(query, safe='/')}"


def exam_rows(
    run: ScoredRun, usd: ExamCosts, paged: Collection[str], reader: Callable[[str], str] | None = None
) -> list[ListRow]:
    """Return the rows of ``run``, in the order of the set.

    Args:
        run: The run.
        usd: What its responses cost, by exam; an empty mapping where unknown.
        paged: Ids of the exams that have a page of responses.
        reader: Returns where the responses to another exam can be read, from its id; None: nowhere.
    """
    order, kind = run.cell.order, run.task.record.kind
    rows = []
    for name, document in kind.documents(run.exams).items():
        if name not in run.scored:
            continue
        samples: Sequence[Any] = run.scored[name]
        usd_cell = ListCell(money(total_usd(usd.get(name, ()))))
        if kind.has_order:
            tiers = "-".join(tier[0].upper() for tier in document.tiers(order))
            both = [[sample.main for sample in samples], [sample.easy for sample in samples]]
        else:
            tiers, both = document.tier, [list(samples)]
        cells = (ListCell(tiers), *(cell for responses in both for cell in _order_cells(responses)), usd_cell)
        link = f"exams/{page_name(name)}" if name in paged else "" if reader is None else reader(name)
        rows.append(ListRow(name, link, cells))
    return rows


def paged_exams(runs: Sequence[ScoredRun], most: int | None) -> dict[str, Any]:
    """Return the documents (exams, or problems asked alone) that get a page of responses, by id: of each set the first
    ``most`` (None: all) that were asked.
    """
    found: dict[str, Any] = {}
    for run in runs:
        for name, document in list(run.task.record.kind.documents(run.exams).items())[:most]:
            if name in run.scored:
                found.setdefault(name, document)
    return found


def total_usd(usd: Costs) -> float | None:
    """Return the sum of the costs of an exam's responses; None where one is unknown or there are none."""
    costs = [cost for request in usd for cost in request]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def money(usd: float | None) -> str:
    """Return USD with up to six decimals, as they are in the price of one exam."""
    return UNDEFINED if usd is None else f"{usd:.6f}".rstrip("0").rstrip(".")


def finish_of(response: ScoredResponse) -> str:
    """Return in one word how a response ended: ``stop``, ``length``, ``over`` (the budget), ``error``, or unknown."""
    if response.failed:
        return "error"
    if response.over_budget:
        return "over"
    return UNDEFINED if response.usage is None else response.usage.finish_reason or UNDEFINED


def _order_cells(responses: Sequence[ScoredResponse]) -> list[ListCell]:
    single = len(responses) == 1
    correct = mean_or_none(response.score for response in responses if not response.failed)
    tokens = mean_or_none(response.tokens for response in responses if response.tokens is not None)
    problems = zip(*(response.problems for response in responses), strict=True)
    return [
        ListCell(number(correct, 0 if single else 2)),
        *(_problem_cell(of_one) for of_one in problems),
        ListCell(number(tokens, 0 if single else 1)),
        ListCell(_counts([finish_of(response) for response in responses])),
    ]


def _problem_cell(outcomes: Sequence[ProblemOutcome]) -> ListCell:
    """Return ``correct 0→1 · 87``: outcome, forecast → actual level, tokens; counts and means of several samples."""
    if len(outcomes) == 1:
        (one,) = outcomes
        return ListCell(one.outcome + _effort(one.level, one.actual_level, one.tokens, 0), one.outcome)
    level = mean_or_none(one.level for one in outcomes if one.level is not None)
    actual = mean_or_none(one.actual_level for one in outcomes if one.actual_level is not None)
    tokens = mean_or_none(one.tokens for one in outcomes if one.tokens is not None)
    names = {outcome.outcome for outcome in outcomes}
    found = _counts([outcome.outcome for outcome in outcomes])
    return ListCell(found + _effort(level, actual, tokens, 1), names.pop() if len(names) == 1 else "")


def _effort(level: float | None, actual: float | None, tokens: float | None, digits: int) -> str:
    levels = "" if level is None and actual is None else f" {_short(level, digits)}→{_short(actual, digits)}"
    return levels if tokens is None else f"{levels} · {tokens:.{digits}f}"


def _short(level: float | None, digits: int) -> str:
    return "" if level is None else number(level, digits)


def _counts(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


# The matrix of a table: what became of every problem in every run.

MOST_RUNS = 24
"""Runs in a matrix, the best of its table: 480 rows of more columns are more than a screen and half a megabyte."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One exam of a matrix.

    Attributes:
        exam: Its id.
        cluster: The re-used problem that it shares with others.
        mean: Its score, mean over the runs.
        cells: Letters of its three problems in the task's order and their correct answers, run by run; None where a run
            did not sit it.
    """

    exam: str
    cluster: str
    mean: str
    cells: tuple[tuple[str, int] | None, ...]


def matrix_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``matrix/<cell>.html`` of every table with a run: exams by runs."""
    for table in board.cells:
        standings = table.standings[:MOST_RUNS]
        if not standings:
            continue
        rows = _matrix_rows([standing.run for standing in standings])
        yield render(
            "matrix.html",
            f"matrix/{table.cell.slug}.html",
            {
                "board": board,
                "cell": table.cell,
                "standings": standings,
                "of": len(table.standings),
                "rows": rows,
                "clustered": any(row.cluster != row.exam for row in rows),
                "extremes": [_extremes(rows, position) for position in range(3)],
                "letters": {letter: outcome for outcome, letter in LETTERS.items() if outcome != "error"},
                "mixed": MIXED if any(standing.run.repeats > 1 for standing in standings) else None,
            },
        )


def _matrix_rows(runs: Sequence[GradedRun]) -> list[MatrixRow]:
    clusters: dict[str, str] = {}
    for run in runs:
        clusters |= dict(zip(run.exam_ids, run.exam_clusters, strict=True))
    places = [{exam: place for place, exam in enumerate(run.exam_ids)} for run in runs]
    rows = []
    for exam in sorted(clusters):  # ids of a set count up with leading zeros
        sat = [(run, place.get(exam)) for run, place in zip(runs, places, strict=True)]
        cells = [None if place is None else run.outcomes[3 * place : 3 * place + 3] for run, place in sat]
        scores = [run.scores[place] for run, place in sat if place is not None]
        shown = tuple(None if cell is None else (cell, cell.count(LETTERS["correct"])) for cell in cells)
        rows.append(MatrixRow(exam, clusters[exam], number(mean_or_none(scores)), shown))
    return rows


def _extremes(rows: Sequence[MatrixRow], position: int) -> tuple[int, int]:
    """Return how many problems at a position every run got right, and how many none did."""
    found = [{cell[0][position] == LETTERS["correct"] for cell in row.cells if cell is not None} for row in rows]
    return found.count({True}), found.count({False})
