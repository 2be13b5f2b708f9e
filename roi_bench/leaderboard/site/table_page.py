"""Pages with a table of runs, and the columns of that table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from roi_bench.exams.exam import ORDERS
from roi_bench.leaderboard.board.board import Board, CellTable, Reported, Standing
from roi_bench.leaderboard.board.build import load_reported
from roi_bench.leaderboard.site.page import (
    UNDEFINED,
    PageFile,
    interval,
    labels_of,
    money_text,
    number,
    open_text,
    outcome_bar,
    ranks_text,
    render,
    size_text,
    spread_lines,
)

# The columns of a board's table: their keys, headings and meanings, and what each shows of a run.


@dataclass(frozen=True, slots=True)
class CellContent:
    """What a cell shows.

    Attributes:
        text: Its text; sorting reads the number that it begins with.
        small: What stands small behind it: the interval.
        below: What stands small below it, words and numbers: what paraphrases of the prompt say of it.
        link: Id of the submission that it links to, or an empty text.
        bar: Stretches ``(start, length)`` of the bar of outcomes, an empty stretch for an outcome that never came.
        drawn: Start, length and middle of its drawn interval, in hundredths of a correct answer; none without interval.
        breaks: A line may end behind its underscores.
        new: It is marked as new.
        strong: It is one of the two numbers that the table is about.
    """

    text: str
    small: str = ""
    below: tuple[tuple[str, str], ...] = ()
    link: str = ""
    bar: tuple[tuple[int, int], ...] = ()
    drawn: tuple[int, int, int] | None = None
    breaks: bool = False
    new: bool = False
    strong: bool = False


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
    show: Callable[[Standing], CellContent]


def _with_interval(name: str) -> Callable[[Standing], CellContent]:
    def show(standing: Standing) -> CellContent:
        found = standing.run.number(name)
        return CellContent(number(found.value), interval(found), strong=found.value is not None)

    return show


def _score(standing: Standing) -> CellContent:
    shown, found = _with_interval("score")(standing), standing.run.number("score")
    drawn = None
    if found.value is not None and found.low is not None and found.high is not None:
        low, middle, high = (round(100 * min(max(end, 0.0), 3.0)) for end in (found.low, found.value, found.high))
        drawn = low, high - low, middle
    return replace(shown, below=spread_lines(standing.run.score_prompts), drawn=drawn)


def _share(name: str) -> Callable[[Standing], CellContent]:
    def show(standing: Standing) -> CellContent:
        value = standing.run.number(name).value
        return CellContent(number(None if value is None else 100 * value, 0))

    return show


def _plain(name: str) -> Callable[[Standing], CellContent]:
    return lambda standing: CellContent(number(standing.run.number(name).value))


def _said(name: str) -> Callable[[Standing], CellContent]:
    return lambda standing: CellContent(getattr(standing.entry.graded.submission.metadata, name) or UNDEFINED)


TOKEN_MARKS = {
    "reported": "as reported",
    "unusual tokenizer": "unusual tokenizer",
    "visible text counted": "reasoning as reported",
}
"""What stands beside the tokens of a run, by how far they were verified; nothing where they were counted again."""


def _submitted(name: str) -> Callable[[Standing], str | None]:
    """Return what reads a field of the task that a run was submitted as."""

    def read(standing: Standing) -> str | None:
        tasks = standing.entry.graded.submission.tasks
        return next((getattr(task, name) for task in tasks if task.name == standing.run.task), None)

    return read


def _joined(*names: str) -> Callable[[Standing], CellContent]:
    def show(standing: Standing) -> CellContent:
        known = [text for name in names if (text := _submitted(name)(standing))]
        return CellContent(" ".join(known) or UNDEFINED)

    return show


COLUMNS: tuple[Column, ...] = (
    Column(
        "rank",
        "rank",
        "number",
        False,
        "best and worst rank that the comparisons of all pairs leave open, corrected for their number",
        lambda standing: CellContent(ranks_text(standing)),
    ),
    Column(
        "tier",
        "tier",
        "number",
        False,
        "1 begins with the best run, 2 with the first that is significantly worse, and so on",
        lambda standing: CellContent(UNDEFINED if standing.tier is None else str(standing.tier)),
    ),
    Column(
        "model",
        "model",
        "text",
        False,
        "name as submitted; leads to its page",
        lambda standing: CellContent(standing.entry.graded.submission.metadata.model, link=standing.entry.id),
    ),
    Column(
        "prompt",
        "prompt",
        "text",
        False,
        "how the exam was asked",
        lambda standing: CellContent(standing.run.prompt, breaks=True),
    ),
    Column(
        "score",
        "score, 0–3 ↑",
        "number",
        False,
        "correct answers per exam, with its 95 % interval for new problems; below it, where the prompt was "
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
        lambda s: CellContent(s.entry.badge),
    ),
    Column(
        "date",
        "date",
        "date",
        False,
        "day of the run, as submitted",
        lambda s: CellContent(s.entry.graded.submission.metadata.date),
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
        lambda s: CellContent(_share("correct")(s).text, bar=outcome_bar(s.run)),
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
        "generated tokens per exam; small: as reported, where they were not counted again",
        lambda s: CellContent(number(s.run.number("tokens").value, 0), TOKEN_MARKS.get(s.run.tokens_checked, "")),
    ),
    Column("budget_use", "% budget used", "number", True, "mean of tokens / budget", _share("budget_use")),
    Column(
        "usd",
        "USD per 1,000",
        "number",
        False,
        "what the responses in this order cost per 1,000 exams, as submitted; – where unknown",
        lambda s: CellContent(money_text(None if s.run.usd_per_exam is None else 1000 * s.run.usd_per_exam)),
    ),
    Column(
        "usd_all",
        "USD in all",
        "number",
        True,
        "sum over all responses of the run, in easy order too, as submitted; – where one is unknown",
        lambda s: CellContent(money_text(s.run.usd)),
    ),
    Column(
        "v_dp",
        "V_DP",
        "number",
        True,
        "what the best policy could make of the model’s skill, correct per exam; – without a solo profile",
        _plain("v_dp"),
    ),
    Column(
        "ae",
        "AE ↑",
        "number",
        True,
        "allocation efficiency: what its own choices are worth / V_DP",
        _plain("ae"),
    ),
    Column(
        "sr",
        "SR ↑",
        "number",
        True,
        "solve retention: score / what its own choices are worth when problems are solved alone",
        _plain("sr"),
    ),
    Column(
        "size",
        "size",
        "number",
        False,
        "number of parameters in millions (M) or billions (B), as submitted",
        lambda s: CellContent(size_text(s.entry.graded.submission.metadata.parameters)),
    ),
    Column(
        "open",
        "open weights",
        "text",
        True,
        "whether anybody can have the weights, as submitted",
        lambda s: CellContent(open_text(s.entry.graded.submission.metadata.open_weights)),
    ),
    Column("provider", "provider", "text", True, "who served the model, as submitted", _said("provider")),
    Column("licence", "licence", "text", True, "licence of the weights, as submitted", _said("licence")),
    Column(
        "labels",
        "run",
        "text",
        False,
        "decoding (T: temperature), samples, and whatever makes the run other than what its task’s name promises",
        lambda s: CellContent(labels_of(s.run).replace("temperature=", "T=")),
    ),
    Column(
        "tokens_checked",
        "tokens checked",
        "text",
        True,
        "yes: the tokens of the texts were counted again here; reported: they are the submitter’s word, within a bound",
        lambda s: CellContent("yes" if s.run.tokens_checked == "counted" else s.run.tokens_checked),
    ),
    Column(
        "accepted",
        "accepted",
        "date",
        True,
        "day on which it came to the board, by the board’s history; – where that does not tell",
        lambda s: CellContent(s.entry.accepted or UNDEFINED),
    ),
    Column(
        "engine",
        "engine",
        "text",
        True,
        "what generated the responses, and its version, as its results recorded it",
        _joined("engine", "engine_version"),
    ),
    Column(
        "dtype",
        "weights as",
        "text",
        True,
        "data type and quantisation of the weights, likewise (none: not quantised)",
        _joined("dtype", "quantization"),
    ),
)
"""All columns, in the order of the table."""


# Pages with a table of runs: the first page of the board, and one page per cell (exam set, order, budget).

TIERS_IN_WORDS = 3
"""Tiers that are described one by one above a table."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of a table.

    Attributes:
        cells: What its cells show, by column.
        first_of_tier: It begins a tier below the first, and a rule stands above it.
    """

    cells: tuple[CellContent, ...]
    first_of_tier: bool


@dataclass(frozen=True, slots=True)
class Switch:
    """A way from a table to another of its exam set: ``kind`` is ``order`` or ``budget``, which alone differs."""

    kind: str
    slug: str
    text: str
    current: bool


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as its page shows it.

    Attributes:
        slug: Name of its cell for files.
        title: Name of its cell for people.
        chart: Slug of the chart page of its exam set and order.
        exams: The exams, in words.
        tiers: What the tiers hold, in words.
        columns: Its columns.
        rows: Its rows.
        switches: Ways to the tables of the same exams in other orders, then under other budgets; none without others.
    """

    slug: str
    title: str
    chart: str
    exams: str
    switches: tuple[Switch, ...]
    tiers: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[RowView, ...]


@dataclass(frozen=True, slots=True)
class GridCell:
    """Where a cell's page is, and what is on it in two numbers."""

    slug: str
    runs: str
    best: str
    current: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells of one exam set: orders down, budgets across; None where there are no runs."""

    title: str
    budgets: tuple[int, ...]
    rows: tuple[tuple[str, tuple[GridCell | None, ...]], ...]


def table_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``index.html`` with the main cell's table, and ``cells/<slug>.html`` for every cell."""
    main = board.cells[0] if board.cells else None
    yield _page("index.html", "index.html", board, main, load_reported())
    for table in board.cells:
        yield _page("cell.html", f"cells/{table.cell.slug}.html", board, table, table.reported)


def chart_slug(table: CellTable) -> str:
    """Return the name of the chart page that shows a cell: ``v1_hard``, ``fresh_7_hard``."""
    return table.cell.slug.rsplit("_", 1)[0]


def grids(board: Board, current: CellTable | None) -> tuple[Grid, ...]:
    """Return mode × budget of every exam set, in the order of the board's cells."""
    found = []
    for title in dict.fromkeys(table.cell.set_title for table in board.cells):
        tables = {
            (t.cell.order, t.cell.budget): _grid_cell(t, current) for t in board.cells if t.cell.set_title == title
        }
        budgets = tuple(sorted({budget for _, budget in tables}))
        orders = sorted({order for order, _ in tables}, key=_order_place)
        found.append(
            Grid(title, budgets, tuple((order, tuple(tables.get((order, b)) for b in budgets)) for order in orders))
        )
    return tuple(found)


def _order_place(order: str) -> int:
    return ORDERS.index(order) if order in ORDERS else len(ORDERS)


def _grid_cell(table: CellTable, current: CellTable | None) -> GridCell:
    scores = [s.run.numbers["score"].value for s in table.standings]
    best = max((score for score in scores if score is not None), default=None)
    return GridCell(table.cell.slug, count_text(len(table.standings), "run"), number(best), table is current)


def count_text(count: int, noun: str) -> str:
    """Return ``1 run``, ``2 runs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _page(template: str, path: str, board: Board, table: CellTable | None, reported: Sequence[Reported]) -> PageFile:
    view = _view(board, table) if table is not None else None
    return render(template, path, {"board": board, "view": view, "grids": grids(board, table), "reported": reported})


def _view(board: Board, table: CellTable) -> TableView:
    rows, above = [], None
    for standing in table.standings:
        first = above is not None and standing.tier != above
        above = standing.tier
        cells = tuple(column.show(standing) for column in COLUMNS)
        if board.is_new(standing.entry):
            cells = tuple(replace(cell, new=True) if cell.link else cell for cell in cells)
        rows.append(RowView(cells, first))
    return TableView(
        slug=table.cell.slug,
        title=table.cell.title,
        chart=chart_slug(table),
        exams=_exams_text(table.standings),
        switches=_switches(board, table),
        tiers=_tier_texts(table.standings),
        columns=COLUMNS,
        rows=tuple(rows),
    )


def _switches(board: Board, table: CellTable) -> tuple[Switch, ...]:
    """Return the orders at this table's budget and the budgets in its order; a kind without a choice is left out."""
    cell = table.cell
    alike = [other.cell for other in board.cells if other.cell.set_title == cell.set_title]
    orders = sorted((one for one in alike if one.budget == cell.budget), key=lambda one: _order_place(one.order))
    budgets = sorted((one for one in alike if one.order == cell.order), key=lambda one: one.budget)
    found = [Switch("order", one.slug, f"{one.order} order", one == cell) for one in orders if len(orders) > 1]
    found += [Switch("budget", one.slug, f"{one.budget} tokens", one == cell) for one in budgets if len(budgets) > 1]
    return tuple(found)


def _exams_text(standings: Sequence[Standing]) -> str:
    """Return on how many exams the numbers rest: runs of a board are whole, so it is the same for all but drafts."""
    counts = sorted({standing.run.exams for standing in standings})
    if not counts:
        return "no exams"
    return f"{counts[0]} exams" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} exams"


def _tier_texts(standings: Sequence[Standing]) -> tuple[str, ...]:
    """Return one text per tier: ``tier 1: no significant difference from the best (3 runs)``."""
    counts = Counter(standing.tier for standing in standings if standing.tier is not None)
    texts = []
    for tier in sorted(counts)[:TIERS_IN_WORDS]:
        which = "no significant difference from the best" if tier == 1 else f"below the best of tier {tier - 1}"
        texts.append(f"tier {tier}: {which} ({count_text(counts[tier], 'run')})")
    if len(counts) > TIERS_IN_WORDS:
        texts.append(f"further tiers down to tier {max(counts)}")
    return tuple(texts)
