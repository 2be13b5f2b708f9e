"""The page of one submission: who and what, what was checked, every cell, how it behaves, and its neighbours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any
from urllib.parse import urlencode

from roi_bench.analysis.ranking import ComparedPair
from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import Cell
from roi_bench.exams.exam import TIERS
from roi_bench.leaderboard.board.board import Board, CellTable, Entry, Standing
from roi_bench.leaderboard.board.graded import GradedRun, TokenBox
from roi_bench.leaderboard.site.page import (
    BAR_OUTCOMES,
    TOKEN_SOURCES,
    UNDEFINED,
    PageFile,
    PageOptions,
    labels_of,
    money_text,
    number,
    ranks_text,
    render,
    size_text,
)
from roi_bench.leaderboard.site.plots import (
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
from roi_bench.leaderboard.site.response_pages import responses_path
from roi_bench.leaderboard.site.shown_text import visible_line
from roi_bench.leaderboard.submission.schema import SETUP

# Pictures of how one run behaves: accuracy by position, tokens by position and tier, outcomes by tier.

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 38, 352, 28, 184

_HALF_BOX = 5.5
"""Half the width of a box."""


def accuracy_plot(run: GradedRun, number_on_page: int) -> Plot:
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
        id=f"accuracy-{number_on_page}",
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


def _accuracy_series(found: tuple[Interval, ...], scale: Scale, offset: float, kind: str) -> list[Stroke]:
    points, bars = [], ""
    for k, each in enumerate(found, start=1):
        if each.value is None:
            continue
        x = _column(k, 3) + offset
        points.append((x, scale.at(each.value)))
        if each.low is not None and each.high is not None:
            bars += line(x, scale.at(each.low), x, scale.at(each.high))
    if not points:
        return []
    marks = "".join(dot(*point) for point in points)
    return [Stroke(f"{kind} thread", polyline(points)), Stroke(f"{kind} whisker", bars), Stroke(f"{kind} mark", marks)]


def _accuracy_text(order: str, found: tuple[Interval, ...]) -> str:
    values = ", ".join("undefined" if n.value is None else f"{100 * n.value:.0f} %" for n in found)
    return f"{order} order, position 1 to 3: {values or 'unknown'}"


def tokens_plot(run: GradedRun, number_on_page: int) -> Plot | None:
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
        id=f"tokens-{number_on_page}",
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


def outcome_plot(shares: Mapping[str, Mapping[str, float]], number_on_page: int) -> Plot:
    """Return one bar a tier, split into what became of its problems.

    Args:
        shares: Share of each outcome by tier.
        number_on_page: Number of the run on its page.
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
        id=f"outcomes-{number_on_page}",
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


# The compare page: any two runs of one cell, and the data that its script reads besides each model's ``data.json``.


def compare_link(a: Standing, b: Standing) -> str:
    """Return the address, from the site's folder, of the comparison of two runs of one cell."""
    query = {"cell": a.run.cell.slug, "a": _value(a), "b": _value(b)}
    return f"compare.html?{urlencode(query, safe='/')}"


def compare_pages(board: Board, options: PageOptions) -> Iterator[PageFile]:
    """Yield ``compare.html``, ``data/models.json`` (runs by cell) and ``data/exams/<set>.json`` (exams, clusters).

    Cells without a table are named apart, for the page that reads any response; of their runs the archive's are listed.
    """
    yield render("compare.html", "compare.html", {"board": board})
    yield render("read.html", "read.html", {"board": board, "exam_pages": options.exam_pages})
    tables = [table for table in board.cells if table.standings]
    left: dict[Cell, list[Standing]] = {run.cell: [] for entry in board.entries for run in entry.graded.runs}
    for entry, run in board.archive:
        left[run.cell].append(Standing(entry, run, None, None, None))
    others = [CellTable(cell, tuple(left[cell]), (), ()) for cell in left if cell not in [t.cell for t in tables]]
    yield _json_file("data/models.json", {"cells": list(map(_cell, tables)), "left": list(map(_cell, others))})
    sets: dict[str, list[GradedRun]] = {}
    for entry in board.entries:
        for run in entry.graded.runs:
            sets.setdefault(_set_name(run.cell), []).append(run)
    for name, runs in sets.items():
        clusters = {e: cluster for run in runs for e, cluster in zip(run.exam_ids, run.exam_clusters, strict=True)}
        exams = sorted(clusters)  # ids of a set count up with leading zeros
        yield _json_file(f"data/exams/{name}.json", {"exams": exams, "clusters": [clusters[exam] for exam in exams]})


def _cell(table: CellTable) -> dict[str, Any]:
    names = _names(table.standings)
    return {
        "slug": table.cell.slug,
        "title": f"{table.cell.title} ({len(names)} {'run' if len(names) == 1 else 'runs'})",
        "set": _set_name(table.cell),
        "runs": [
            {
                "id": standing.entry.id,
                "prompt": standing.run.prompt,
                "slug": standing.run.slug,
                "name": name,
                "responses": standing.run.responses_sha256[:16],
            }
            for standing, name in zip(table.standings, names, strict=True)
        ],
    }


def _names(standings: Sequence[Standing]) -> list[str]:
    """Return ``model · prompt`` of each run; where two would be called alike, with more of what sets them apart.

    First what generated them, and at last the end of the submission's id.
    """
    parts = [
        [standing.entry.graded.submission.metadata.model, standing.run.prompt, standing.run.decoding]
        for standing in standings
    ]
    for more in (_setup_text, lambda standing: standing.entry.id[-12:]):
        seen = Counter(map(tuple, parts))
        parts = [
            one if seen[tuple(one)] == 1 else [*one, more(standing)]
            for standing, one in zip(standings, parts, strict=True)
        ]
    return [" · ".join(visible_line(part) for part in one if part) for one in parts]


def _setup_text(standing: Standing) -> str:
    """Return what generated a run, ``vllm 0.18.0 bfloat16``; an empty text where nothing was recorded."""
    task = next((one for one in standing.entry.graded.submission.tasks if one.name == standing.run.task), None)
    return " ".join(text for name in SETUP if task is not None and (text := getattr(task, name)))


def _value(standing: Standing) -> str:
    return f"{standing.entry.id}/{standing.run.prompt}"


def _set_name(cell: Cell) -> str:
    return f"{cell.exam_set}_{cell.exam_seed}" if cell.exam_seed else cell.exam_set


def _json_file(path: str, content: Any) -> PageFile:
    return PageFile(path, (json.dumps(content, separators=(",", ":")) + "\n").encode("ascii"))


CHECKED = {
    "reported": "Taken from the literature; nobody here has seen the responses.",
    "regraded": (
        "Every number was computed again from the raw responses: read, graded, counted. The responses themselves are "
        "the submitter’s; nobody here has run the model."
    ),
    "reproduced": "Regraded, and some exams were run again by the board’s maintainers with the same outcomes.",
    "maintainer-run": "Run by the board’s maintainers, and graded like every other submission.",
}
"""What each badge means."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """Where a run stands: its table, its index there, and what it was compared with."""

    table: CellTable
    index: int
    lines: tuple[ComparedPair, ...]

    @property
    def standing(self) -> Standing:
        """Its row."""
        return self.table.standings[self.index]


@dataclass(frozen=True, slots=True)
class NeighbourRow:
    """This run against another one of its table, seen from this run."""

    link: str
    name: str
    prompt: str
    ranks: str
    difference: str
    interval: str
    discordant: str
    p_value: str
    detectable: str
    compare: str


@dataclass(frozen=True, slots=True)
class LevelRow:
    """Forecasts of one level: how many, and of each actual level count and shade (0–5)."""

    forecast: str
    counts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as its page shows it."""

    run: GradedRun
    ranks: str
    tier: str
    of: int
    labels: str
    usd: str
    tokens_source: str
    older: str | None
    accuracy: Plot
    tokens: Plot | None
    outcomes: Plot
    levels: tuple[LevelRow, ...]
    neighbours: tuple[NeighbourRow, ...]


def model_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``models/<id>/index.html`` of every entry, in tables or not, and its badge for other pages."""
    rows = _table_rows(board)
    names = {entry.id: entry.graded.submission.metadata.model for entry in board.entries}
    for entry in board.entries:
        yield _model_page(board, entry, rows, names)
        archived = "in the archive" if entry.has_rows and entry.graded.older else ""
        text = "withdrawn" if entry.withdrawn else badge_text(entry, rows) or archived
        if text:
            yield PageFile(f"models/{entry.id}/badge.svg", badge(text).encode("utf-8"))


def _table_rows(board: Board) -> dict[tuple[str, str], TableRow]:
    found = {}
    for table in board.cells:
        lines: dict[int, list[ComparedPair]] = {}
        for pair in table.neighbours:
            lines.setdefault(pair.a, []).append(pair)
            lines.setdefault(pair.b, []).append(pair)
        for index, standing in enumerate(table.standings):
            found[standing.entry.id, standing.run.slug] = TableRow(table, index, tuple(lines.get(index, ())))
    return found


def badge_text(entry: Entry, rows: Mapping[tuple[str, str], TableRow]) -> str:
    """Return what a submission's badge says: score and rank of its first run in a table; nothing without any."""
    for run in entry.graded.runs:
        row = rows.get((entry.id, run.slug))
        score = run.number("score").value
        if row is not None and score is not None:
            rank = f", rank {ranks_text(row.standing)} of {len(row.table.standings)}" if row.standing.ranks else ""
            return f"{run.cell.title}: {number(score)}{rank}"
    return ""


def badge(text: str) -> str:
    """Return a picture for other pages: ``roi-bench`` and ``text``, which is escaped."""
    left, right = 66, round(14 + 6.3 * len(text))
    safe = escape(visible_line(text))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="roi-bench {safe}"><title>roi-bench {safe}</title>'
        f'<rect width="{left}" height="20" fill="#3b4148"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="#0068a5"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">roi-bench</text>'
        f'<text x="{left + right / 2:g}" y="14" textLength="{right - 14}">{safe}</text></g></svg>\n'
    )


def _model_page(
    board: Board, entry: Entry, rows: Mapping[tuple[str, str], TableRow], names: Mapping[str, str]
) -> PageFile:
    submission = entry.graded.submission
    runs = [
        _run_view(run, submission.metadata.model, rows.get((entry.id, run.slug)), n, entry.graded.older.get(run.task))
        for n, run in enumerate(entry.graded.runs, start=1)
    ]
    return render(
        "model.html",
        f"models/{entry.id}/index.html",
        {
            "board": board,
            "entry": entry,
            "submission": submission,
            "metadata": submission.metadata,
            "facts": _facts(entry),
            "links": _links(entry),
            "others": [one for one in board.entries if one.id != entry.id and _same_model(one, entry)],
            "responses_path": responses_path,
            "setups": {
                task.name: [text for name in SETUP if (text := getattr(task, name))] for task in submission.tasks
            },
            "badge_text": badge_text(entry, rows),
            "checked": CHECKED[entry.badge],
            "names": names,
            "runs": runs,
            "tasks": submission.tasks,
        },
    )


def _same_model(one: Entry, other: Entry) -> bool:
    return one.graded.submission.metadata.model == other.graded.submission.metadata.model


def _links(entry: Entry) -> list[tuple[str, str]]:
    """Return what the submitter links to, by name; the schema lets in plain https addresses only."""
    said = entry.graded.submission.metadata
    found = (("model", said.model_url), ("paper", said.paper_url), ("code", said.code_url))
    return [(name, url) for name, url in found if url is not None and url.startswith("https://")]


def _facts(entry: Entry) -> list[tuple[str, str]]:
    """Return what the submitter says, by name; what was not said is left out."""
    said, submission = entry.graded.submission.metadata, entry.graded.submission
    weights = {None: None, True: "open", False: "closed"}[said.open_weights]
    facts = (
        ("model", said.model),
        ("version", said.version),
        ("organisation", said.organisation),
        ("provider", said.provider),
        ("weights", weights),
        ("licence", said.licence),
        ("parameters", None if said.parameters is None else f"{size_text(said.parameters)} ({said.parameters:,})"),
        ("hardware", said.hardware),
        ("date of the run", said.date),
        ("cost of all responses", None if submission.usd is None else f"{money_text(submission.usd)} USD"),
        ("contamination", said.contamination),
        ("contact", said.contact),
        ("notes", said.notes),
        ("software", ", ".join(f"{name} {version}" for name, version in sorted(submission.software.items()))),
    )
    return [(name, value) for name, value in facts if value]


def _named(plot: Plot, model: str, run: GradedRun) -> Plot:
    """Return a picture whose title names the model, the exams and how many they are."""
    return replace(plot, title=f"{plot.title}: {model}, {run.cell.title}, {run.exams} exams")


def _run_view(
    run: GradedRun, model: str, row: TableRow | None, number_on_page: int, older: str | None = None
) -> RunView:
    tokens = tokens_plot(run, number_on_page)
    standing = row.standing if row else None
    return RunView(
        run=run,
        ranks=ranks_text(standing),
        tier=UNDEFINED if standing is None or standing.tier is None else str(standing.tier),
        of=len(row.table.standings) if row else 0,
        labels=labels_of(run),
        usd=money_text(None if run.usd_per_exam is None else 1000 * run.usd_per_exam),
        tokens_source=TOKEN_SOURCES[run.tokens_source],
        older=older,
        accuracy=_named(accuracy_plot(run, number_on_page), model, run),
        tokens=None if tokens is None else _named(tokens, model, run),
        outcomes=_named(outcome_plot(run.outcomes_by_tier, number_on_page), model, run),
        levels=_level_rows(run),
        neighbours=_neighbours(row),
    )


def _level_rows(run: GradedRun) -> tuple[LevelRow, ...]:
    rows = []
    for level, counts in enumerate(run.level_counts):
        total = sum(counts)
        shades = tuple((count, round(5 * count / total) if total else 0) for count in counts)
        rows.append(LevelRow(f"Level-{level}", shades))
    return tuple(rows)


def _neighbours(row: TableRow | None) -> tuple[NeighbourRow, ...]:
    """Return the comparisons of a run in the order of its table."""
    if row is None:
        return ()
    lines = sorted(row.lines, key=lambda line: line.a + line.b - row.index)
    return tuple(_neighbour(row, line) for line in lines)


def _neighbour(row: TableRow, line: ComparedPair) -> NeighbourRow:
    other = row.table.standings[line.b if line.a == row.index else line.a]
    found = line.difference if line.a == row.index else _negative(line.difference)
    known = found.low is not None and found.high is not None
    return NeighbourRow(
        link=other.entry.id,
        name=other.entry.graded.submission.metadata.model,
        prompt=other.run.prompt,
        ranks=ranks_text(other),
        difference=_signed(found.value),
        interval=f"{_signed(found.low)} to {_signed(found.high)}" if known else "",
        discordant=f"{line.discordant} of {line.exams}",
        p_value=_p_text(line.p_value),
        detectable=number(line.detectable),
        compare=compare_link(row.standing, other),
    )


def _negative(found: Interval) -> Interval:
    """Return the difference as the other run sees it: its ends swap."""
    value, low, high = (None if end is None else -end for end in (found.value, found.high, found.low))
    return Interval(value, low, high)


def _signed(value: float | None) -> str:
    text = number(value)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") else text


def _p_text(p_value: float | None) -> str:
    if p_value is None:
        return UNDEFINED
    return "< 0.001" if p_value < 0.001 else number(p_value, 3)
