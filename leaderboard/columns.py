"""The columns of a board's table: their keys, headings and meanings, and what each shows of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from roi_bench.leaderboard.board import Standing
from roi_bench.leaderboard.graded import Allocation, Number
from roi_bench.leaderboard.page import UNDEFINED, interval, number
from roi_bench.leaderboard.run_texts import (
    labels_of,
    money_text,
    number_of,
    open_text,
    outcome_bar,
    ranks_text,
    size_text,
    spread_lines,
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a cell shows.

    Attributes:
        text: Its text; sorting reads the number that it begins with.
        small: What stands small behind it: the interval.
        below: What stands small below it, words and numbers: what paraphrases of the prompt say of it.
        link: Id of the submission that it links to, or an empty text.
        bar: Stretches ``(start, length)`` of the bar of outcomes, an empty stretch for an outcome that never came.
        breaks: A line may end behind its underscores.
    """

    text: str
    small: str = ""
    below: tuple[tuple[str, str], ...] = ()
    link: str = ""
    bar: tuple[tuple[int, int], ...] = ()
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        key: Name for scripts, addresses and data files.
        heading: What stands above it, unit included.
        kind: ``number``, ``text`` or ``date``: how it is sorted.
        extra: Hidden until asked for, where scripts run.
        meaning: One sentence with range and direction.
        show: What it shows of a run.
    """

    key: str
    heading: str
    kind: str
    extra: bool
    meaning: str
    show: Callable[[Standing], Shown]


def _with_interval(name: str) -> Callable[[Standing], Shown]:
    def show(standing: Standing) -> Shown:
        found = number_of(standing.run, name)
        return Shown(number(found.value), interval(found))

    return show


def _score(standing: Standing) -> Shown:
    shown = _with_interval("score")(standing)
    return replace(shown, below=spread_lines(standing.run.score_prompts))


def _share(name: str) -> Callable[[Standing], Shown]:
    def show(standing: Standing) -> Shown:
        value = number_of(standing.run, name).value
        return Shown(number(None if value is None else 100 * value, 0))

    return show


def _allocation(pick: Callable[[Allocation], Number]) -> Callable[[Standing], Shown]:
    def show(standing: Standing) -> Shown:
        found = standing.run.allocation
        return Shown(UNDEFINED if found is None else number(pick(found).value))

    return show


def _said(name: str) -> Callable[[Standing], Shown]:
    return lambda standing: Shown(getattr(standing.entry.graded.submission.metadata, name) or UNDEFINED)


COLUMNS: tuple[Column, ...] = (
    Column(
        "rank",
        "rank",
        "number",
        False,
        "best and worst rank that the comparisons of all pairs leave open, corrected for their number",
        lambda standing: Shown(ranks_text(standing)),
    ),
    Column(
        "tier",
        "tier",
        "number",
        False,
        "1 holds the best run and those that cannot be told apart from it; 2 begins with the first that can",
        lambda standing: Shown(UNDEFINED if standing.tier is None else str(standing.tier)),
    ),
    Column(
        "model",
        "model",
        "text",
        False,
        "name as submitted; leads to its page",
        lambda standing: Shown(standing.entry.graded.submission.metadata.model, link=standing.entry.id),
    ),
    Column(
        "prompt",
        "prompt",
        "text",
        False,
        "how the exam was asked",
        lambda standing: Shown(standing.run.prompt, breaks=True),
    ),
    Column(
        "score",
        "score, 0–3 ↑",
        "number",
        False,
        "correct answers per exam, with its 95 % interval for such problems in general; below it, where the prompt was "
        "asked in other words too, least and greatest score over prompts, and the interval that includes prompt noise",
        _score,
    ),
    Column(
        "regret",
        "regret ↓",
        "number",
        False,
        "share of the easy order’s score that is lost in this order, with its 95 % interval likewise; at most 1",
        _with_interval("regret"),
    ),
    Column(
        "badge",
        "badge",
        "text",
        False,
        "regraded: computed again from raw responses; reproduced, maintainer-run: see the method",
        lambda s: Shown(s.entry.badge),
    ),
    Column(
        "date",
        "date",
        "date",
        False,
        "day of the run, as submitted",
        lambda s: Shown(s.entry.graded.submission.metadata.date),
    ),
    *(
        Column(
            f"p{k}",
            f"% right at {k}",
            "number",
            False,
            f"problems at position {k} answered right",
            _share(f"p{k}_acc"),
        )
        for k in (1, 2, 3)
    ),
    Column(
        "correct",
        "% correct",
        "number",
        False,
        "problems answered right; the bar shows, from the left, correct, wrong, skipped, truncated, unanswered, empty",
        lambda s: Shown(_share("correct")(s).text, bar=outcome_bar(s.run)),
    ),
    Column("wrong", "% wrong", "number", True, "problems answered wrong", _share("wrong")),
    Column("skip", "% skipped", "number", True, "problems answered NA", _share("skip_rate")),
    Column(
        "truncated",
        "% cut off",
        "number",
        True,
        "problems in which, or before which, the budget ended the response (truncated)",
        _share("truncated"),
    ),
    Column(
        "empty",
        "% empty",
        "number",
        True,
        "problems of responses that show nothing, since their tokens went into reasoning or white space",
        _share("empty"),
    ),
    Column(
        "unanswered",
        "% unanswered",
        "number",
        True,
        "problems that the model left without an answer",
        _share("unanswered"),
    ),
    Column(
        "unboxed",
        "% unboxed",
        "number",
        True,
        "graded answers that were read from an answer line, since their problem had no box",
        _share("unboxed"),
    ),
    Column(
        "level_acc",
        "% levels right",
        "number",
        True,
        "attempted problems whose predicted level was the level of their tokens; – where no level was written",
        _share("level_acc"),
    ),
    Column(
        "tokens",
        "tokens",
        "number",
        False,
        "generated tokens per exam",
        lambda s: Shown(number(number_of(s.run, "tokens").value, 0)),
    ),
    Column("budget_use", "% budget used", "number", True, "mean of tokens / budget", _share("budget_use")),
    Column(
        "usd",
        "USD per exam",
        "number",
        False,
        "what the responses in this order cost per exam, as submitted; – where unknown",
        lambda s: Shown(money_text(s.run.usd_per_exam)),
    ),
    Column(
        "usd_all",
        "USD in all",
        "number",
        True,
        "sum over all responses of the run, in easy order too, as submitted; – where one is unknown",
        lambda s: Shown(money_text(s.run.usd)),
    ),
    Column(
        "v_dp",
        "V_DP",
        "number",
        True,
        "what the best policy could make of the model’s skill, correct per exam; – without a solo profile",
        _allocation(lambda found: found.optimal),
    ),
    Column(
        "ae",
        "AE ↑",
        "number",
        True,
        "allocation efficiency: what its own choices are worth / V_DP",
        _allocation(lambda found: found.allocation_efficiency),
    ),
    Column(
        "sr",
        "SR ↑",
        "number",
        True,
        "solve retention: score / what its own choices are worth when problems are solved alone",
        _allocation(lambda found: found.solve_retention),
    ),
    Column(
        "size",
        "size",
        "number",
        False,
        "number of parameters in millions (M) or billions (B), as submitted",
        lambda s: Shown(size_text(s.entry.graded.submission.metadata.parameters)),
    ),
    Column(
        "open",
        "open weights",
        "text",
        True,
        "whether anybody can have the weights, as submitted",
        lambda s: Shown(open_text(s.entry.graded.submission.metadata.open_weights)),
    ),
    Column("provider", "provider", "text", True, "who served the model, as submitted", _said("provider")),
    Column("licence", "licence", "text", True, "licence of the weights, as submitted", _said("licence")),
    Column(
        "labels",
        "run",
        "text",
        False,
        "decoding (T: temperature), samples, and whatever makes the run other than what its task’s name promises",
        lambda s: Shown(labels_of(s.run).replace("temperature=", "T=")),
    ),
)
"""All columns, in the order of the table."""
