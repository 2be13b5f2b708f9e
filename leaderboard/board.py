"""A board: graded submissions side by side, with ranks, tiers, badges, corrections, and numbers of the literature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.graded import GradedRun, GradedSubmission

BADGES = ("reported", "regraded", "reproduced", "maintainer-run")
"""How far a row can be trusted, least first: taken from the literature; graded again by us from raw responses; some
exams run again by us with the same outcomes; run by the board's maintainers (SPEC section 13)."""


@dataclass(frozen=True, slots=True)
class Review:
    """What the board's maintainers say of a submission (``reviews.json`` of the board), never the submitter.

    Attributes:
        submission: Id of the submission.
        badge: ``reproduced`` or ``maintainer-run``.
        by: Who.
        date: When, ``2026-11-24``.
        exams: Number of exams that were run again; None for ``maintainer-run``.
        note: What was found.
    """

    submission: str
    badge: str
    by: str
    date: str
    exams: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission on the board.

    Attributes:
        graded: The submission.
        badge: One of :data:`BADGES`.
        review: The review behind the badge, or None.
        replaced_by: Id of the submission that corrects it; such an entry keeps its page and leaves the tables.
    """

    graded: GradedSubmission
    badge: str
    review: Review | None
    replaced_by: str | None

    @property
    def id(self) -> str:
        """Id of the submission."""
        return self.graded.submission.id


@dataclass(frozen=True, slots=True)
class Standing:
    """One row of a table: a run and where it stands among the others of its cell.

    Attributes:
        entry: Its submission.
        run: The run.
        ranks: Best and worst rank that the comparisons leave open; None where the score is undefined.
        tier: Tier from 1; None likewise.
        pareto: No other run of the cell has a score at least as high for less money, or a higher one for the same; None
            where its cost is unknown or its score undefined.
    """

    entry: Entry
    run: GradedRun
    ranks: tuple[int, int] | None
    tier: int | None
    pareto: bool | None


@dataclass(frozen=True, slots=True)
class PairedLine:
    """Run A against run B on the same exams, by score (paired; clustered t; see ``analysis/many_runs.py``).

    Attributes:
        a: Index of run A among the standings of its cell.
        b: Index of run B.
        exams: Exams in common.
        discordant: Exams whose scores differ.
        difference: A − B with its interval.
        p_value: Two-sided p of the paired t test, not corrected for the number of pairs.
        detectable: True difference found with 80 % power; None where nothing varied.
    """

    a: int
    b: int
    exams: int
    discordant: int
    difference: tuple[float, float | None, float | None]
    p_value: float | None
    detectable: float | None


@dataclass(frozen=True, slots=True)
class Reported:
    """A number from the literature: reported, not reproduced here.

    Attributes:
        model: What was run, ``Qwen2.5-1.5B-Instruct``.
        method: ``direct``, ``MFT + RARL`` …
        cell: What was sat, by the authors' own exams: not comparable exam by exam.
        score: Score, or None.
        regret: Regret, or None.
        source: Where it stands.
    """

    model: str
    method: str
    cell: Cell
    score: float | None
    regret: float | None
    source: str


@dataclass(frozen=True, slots=True)
class CellTable:
    """All runs that sat the same exams in the same order under the same budget, best score first."""

    cell: Cell
    standings: tuple[Standing, ...]
    neighbours: tuple[PairedLine, ...]
    reported: tuple[Reported, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A folder that is no valid submission: its name and why."""

    folder: str
    reason: str


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that the pages show.

    Attributes:
        title: Title of the board.
        description: A sentence below it.
        base_url: Address at which it is published, with a slash at the end, or an empty text.
        entries: All submissions, replaced ones too, by date and id, newest first.
        cells: Tables, the board's main cell first.
        refused: What was refused.
        drafts: Whether drafts are among the entries (a board that must not be published).
    """

    title: str
    description: str
    base_url: str
    entries: Sequence[Entry]
    cells: Sequence[CellTable]
    refused: Sequence[Refused]
    drafts: bool
