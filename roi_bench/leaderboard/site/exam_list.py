"""The list of all exams of one run: one row per exam, both orders, compact enough for 480 rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.exam import Exam
from roi_bench.leaderboard.site.page import UNDEFINED, number
from roi_bench.records.results import Costs
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import mean_or_none

ExamCosts = Mapping[str, Costs]
"""USD of each response of a task, by document; a document of which no cost is known may be left out."""


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
        page: File name of its page of responses, or None where it has none.
        cells: Tiers by position; of the task's own order correct answers, problem 1 to 3, tokens, finish; the same
            five of easy order; USD of all its responses.
    """

    exam: str
    page: str | None
    cells: tuple[ListCell, ...]


def page_name(exam_id: str) -> str:
    """Return the file name of an exam's page of responses: ``tiny-0-012.html``."""
    return exam_id.replace("/", "-") + ".html"


def exam_rows(run: ScoredRun, usd: ExamCosts, paged: Collection[str]) -> list[ListRow]:
    """Return the rows of ``run``, in the order of the set.

    Args:
        run: The run.
        usd: What its responses cost, by exam; an empty mapping where unknown.
        paged: Ids of the exams that have a page of responses.
    """
    order = run.cell.order
    rows = []
    for exam_id, exam in run.exams.items():
        if exam_id not in run.scored:
            continue
        samples = run.scored[exam_id]
        cells = (
            ListCell("-".join(tier[0].upper() for tier in exam.tiers(order))),
            *_order_cells([sample.main for sample in samples]),
            *_order_cells([sample.easy for sample in samples]),
            ListCell(money(total_usd(usd.get(exam_id, ())))),
        )
        rows.append(ListRow(exam_id, page_name(exam_id) if exam_id in paged else None, cells))
    return rows


def paged_exams(runs: Sequence[ScoredRun], most: int | None) -> dict[str, Exam]:
    """Return the exams that get a page of responses, by id: the first ``most`` (None: all) exams asked of each set."""
    found: dict[str, Exam] = {}
    for run in runs:
        for exam_id in list(run.exams)[:most]:
            if exam_id in run.scored:
                found.setdefault(exam_id, run.exams[exam_id])
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
