"""The method page: what the numbers are, how they are computed, and which versions of everything they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from roi_bench.exams.exam import TIERS
from roi_bench.leaderboard.board import BADGES, Board
from roi_bench.leaderboard.columns import COLUMNS
from roi_bench.leaderboard.model_page import CHECKED
from roi_bench.leaderboard.page import PageFile, render
from roi_bench.leaderboard.reported import load_reported
from roi_bench.leaderboard.run_texts import OUTCOME_MEANINGS
from roi_bench.reading.responses import READING_RULE
from roi_bench.scoring.metrics import metrics_of
from roi_bench.scoring.prompts import PROMPT_VERSION, PROMPTS

GRADERS = ("math-verify", "reasoning-gym", "sympy")
"""Packages whose verdicts are part of what a score means."""


@dataclass(frozen=True, slots=True)
class ExamVersion:
    """An exam set on the board: its name, version, hash, and how many tasks of submissions sat it."""

    title: str
    version: int
    sha256: str
    tasks: int


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A prompt: its name, the hash that is its version, its system turn (empty: none) and the user's message."""

    name: str
    sha256: str
    system: str
    user: str


class _Open(dict[str, str]):
    """Leaves the places of a format text open."""

    def __missing__(self, name: str) -> str:
        """Return the place as it stands."""
        return f"{{{name}}}"


def method_page(board: Board) -> PageFile:
    """Return ``method.html``."""
    prompts = [
        PromptVersion(
            f"{name}, paraphrase {number}" if number else name,
            worded.sha256,
            worded.system.format_map(_Open()),
            worded.user.format_map(_Open()),
        )
        for name, prompt in PROMPTS.items()
        for number, worded in enumerate((prompt, *prompt.paraphrases))
    ]
    return render(
        "method.html",
        "method.html",
        {
            "board": board,
            "columns": COLUMNS,
            "metrics": metrics_of(TIERS),
            "outcomes": {name: said for name, said in OUTCOME_MEANINGS.items() if name != "error"},  # refused
            "badges": [(badge, CHECKED[badge]) for badge in BADGES],
            "exams": exam_versions(board),
            "prompt_version": PROMPT_VERSION,
            "reading_rule": READING_RULE,
            "reported": load_reported(),
            "prompts": prompts,
            "software": [(name, version) for name in GRADERS if (version := _version(name)) is not None],
        },
    )


def exam_versions(board: Board) -> list[ExamVersion]:
    """Return the exam sets that submissions of the board sat, by name."""
    counts: dict[tuple[str, int, str], int] = {}
    for entry in board.entries:
        for task in entry.graded.submission.tasks:
            title = f"{task.exam_set}/{task.exam_seed}" if task.exam_seed else task.exam_set
            key = (title, task.exam_version, task.exams_sha256)
            counts[key] = counts.get(key, 0) + 1
    return [ExamVersion(*key, tasks) for key, tasks in sorted(counts.items())]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
