"""The page of one submission: who and what, what was checked, every cell, how it behaves, and its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roi_bench.leaderboard.board import Board, CellTable, Entry, PairedLine, Standing
from roi_bench.leaderboard.compare_page import compare_link
from roi_bench.leaderboard.graded import GradedRun
from roi_bench.leaderboard.page import UNDEFINED, PageFile, number, render
from roi_bench.leaderboard.plots import Plot
from roi_bench.leaderboard.run_plots import accuracy_plot, outcome_plot, tokens_plot
from roi_bench.leaderboard.run_texts import TOKEN_SOURCES, labels_of, money_text, ranks_text, size_text

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
class Place:
    """Where a run stands: its table, its index there, and what it was compared with."""

    table: CellTable
    index: int
    lines: tuple[PairedLine, ...]

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
    accuracy: Plot
    tokens: Plot | None
    outcomes: Plot
    levels: tuple[LevelRow, ...]
    neighbours: tuple[NeighbourRow, ...]


def model_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``models/<id>/index.html`` of every entry, replaced ones too."""
    places = _places(board)
    names = {entry.id: entry.graded.submission.metadata.model for entry in board.entries}
    for entry in board.entries:
        yield _model_page(board, entry, places, names)


def _places(board: Board) -> dict[tuple[str, str], Place]:
    found = {}
    for table in board.cells:
        lines: dict[int, list[PairedLine]] = {}
        for line in table.neighbours:
            lines.setdefault(line.a, []).append(line)
            lines.setdefault(line.b, []).append(line)
        for index, standing in enumerate(table.standings):
            found[standing.entry.id, standing.run.slug] = Place(table, index, tuple(lines.get(index, ())))
    return found


def _model_page(
    board: Board, entry: Entry, places: Mapping[tuple[str, str], Place], names: Mapping[str, str]
) -> PageFile:
    submission = entry.graded.submission
    runs = [_run_view(run, places.get((entry.id, run.slug)), n) for n, run in enumerate(entry.graded.runs, start=1)]
    return render(
        "model.html",
        f"models/{entry.id}/index.html",
        {
            "board": board,
            "entry": entry,
            "submission": submission,
            "metadata": submission.metadata,
            "facts": _facts(entry),
            "checked": CHECKED[entry.badge],
            "names": names,
            "runs": runs,
            "tasks": submission.tasks,
        },
    )


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


def _run_view(run: GradedRun, place: Place | None, number_on_page: int) -> RunView:
    standing = place.standing if place else None
    return RunView(
        run=run,
        ranks=ranks_text(standing),
        tier=UNDEFINED if standing is None or standing.tier is None else str(standing.tier),
        of=len(place.table.standings) if place else 0,
        labels=labels_of(run),
        usd=money_text(run.usd_per_exam),
        tokens_source=TOKEN_SOURCES[run.tokens_source],
        accuracy=accuracy_plot(run, number_on_page),
        tokens=tokens_plot(run, number_on_page),
        outcomes=outcome_plot(run.outcomes_by_tier, number_on_page),
        levels=_level_rows(run),
        neighbours=_neighbours(place),
    )


def _level_rows(run: GradedRun) -> tuple[LevelRow, ...]:
    rows = []
    for level, counts in enumerate(run.level_counts):
        total = sum(counts)
        shades = tuple((count, round(5 * count / total) if total else 0) for count in counts)
        rows.append(LevelRow(f"Level-{level}", shades))
    return tuple(rows)


def _neighbours(place: Place | None) -> tuple[NeighbourRow, ...]:
    """Return the comparisons of a run in the order of its table."""
    if place is None:
        return ()
    lines = sorted(place.lines, key=lambda line: line.a + line.b - place.index)
    return tuple(_neighbour(place, line) for line in lines)


def _neighbour(place: Place, line: PairedLine) -> NeighbourRow:
    other = place.table.standings[line.b if line.a == place.index else line.a]
    value, low, high = line.difference
    if line.a != place.index:  # seen from this run, so the ends change places
        value, low, high = -value, None if high is None else -high, None if low is None else -low
    known = low is not None and high is not None
    return NeighbourRow(
        link=other.entry.id,
        name=other.entry.graded.submission.metadata.model,
        prompt=other.run.prompt,
        ranks=ranks_text(other),
        difference=_signed(value),
        interval=f"{_signed(low)} to {_signed(high)}" if known else "",
        discordant=f"{line.discordant} of {line.exams}",
        p_value=_p_text(line.p_value),
        detectable=number(line.detectable),
        compare=compare_link(place.standing, other),
    )


def _signed(value: float | None) -> str:
    text = number(value)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") else text


def _p_text(p_value: float | None) -> str:
    if p_value is None:
        return UNDEFINED
    return "< 0.001" if p_value < 0.001 else number(p_value, 3)
