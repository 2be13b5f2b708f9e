"""What a submission is worth, computed from its raw responses: the numbers and views that pages show (pure data).

All of it depends on the submission alone, so it is kept by content hash (:mod:`roi_bench.leaderboard.board.cache`);
what depends on other submissions is in :mod:`roi_bench.leaderboard.board.board`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from sys import intern
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import Cell
from roi_bench.leaderboard.submission.schema import Submission, outdated
from roi_bench.scoring.kinds import KINDS, Kind


@dataclass(frozen=True, slots=True)
class TokenBox:
    """Tokens spent on attempted problems of one tier at one position: a box of a box plot.

    Attributes:
        order: Order of the exams.
        position: 1-based position.
        tier: easy, middle or hard.
        attempted: Number of problems.
        mean: Mean tokens, None where nothing was attempted.
        quantiles: 10th, 25th, 50th, 75th and 90th percentile.
    """

    order: str
    position: int
    tier: str
    attempted: int
    mean: float | None
    quantiles: tuple[float, float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class PromptSpread:
    """How far a number of a run moves with the words of the prompt (:mod:`roi_bench.analysis.prompt_noise`).

    Attributes:
        prompts: Number of prompts: the canonical one and its paraphrases.
        exams: Number of exams that all of them have in common.
        low: Least number of any prompt.
        high: Greatest.
        spread: Standard deviation over prompts, as seen.
        prompt_sd: What of it exams and sampling do not explain.
        noisy: The run's own number with the interval that includes prompt noise.
    """

    prompts: int
    exams: int
    low: float
    high: float
    spread: float
    prompt_sd: float
    noisy: Interval


@dataclass(frozen=True, slots=True)
class GradedRun:
    """One exam task of a submission, graded.

    Attributes:
        task: lm_eval's name of the task.
        cell: Exam set, order and budget.
        prompt: Name of the prompt.
        form: Name of its kind.
        repeats: Samples per request.
        decoding: Generation arguments, ``temperature=0.7``, joined; an empty text for greedy decoding.
        deviations: Labels of what makes it other than the named task.
        exams: Number of exams with a response in both orders.
        clusters: Number of clusters among them.
        numbers: Every metric of :func:`roi_bench.scoring.metrics.metrics_of` by name; accuracies by tier are called
            ``easy_acc``, ``middle_acc``, ``hard_acc`` in every set.
        regret_fixed: Regret with its interval on these very exams.
        score_fixed: Score with its interval on these very exams.
        exam_ids: Ids of the exams in the order of the set.
        exam_clusters: Cluster of each.
        scores: Correct answers of each exam in the task's order, mean over samples.
        scores_easy: The same in easy order.
        outcomes: What became of the problems, in the task's order: three letters of :data:`LETTERS` an exam, by
            position, one exam after the other.
        sampling_stderr: Part of the score's standard error that sampling again would change, from K > 1 samples (SPEC
            section 9: repeats separate sampling noise from exam noise); None for one sample.
        outcomes_by_tier: Share of each outcome (:data:`scoring.outcomes.OUTCOMES`, without ``error``) by tier, in
            the task's order.
        skip_rate_by_tier: Share of skipped problems by tier, with intervals.
        accuracy_by_position: Accuracy at position 1, 2, 3 by order: the task's own and ``easy``.
        token_boxes: Tokens by order, position and tier.
        level_counts: Forecasts: 4 rows (predicted level) of 5 counts (actual level 0–3, unknown since skipped); empty
            where no level was written.
        usd_per_exam: USD of the responses in the task's order per exam; None where unknown.
        usd: USD of all responses; None where unknown.
        tokens_source: How tokens were counted: ``generated``, ``provider``, ``retokenized``, ``unknown``.
        allocation: How it used its model's skill (SPEC section 11): ``v_dp``, ``v_replay``, ``ae``, ``sr``, ``lift``;
            empty without a solo profile.
        responses_sha256: Hash of its responses (``submission.response_files.responses_sha256``); runs with the same
            responses have the same.
        fingerprints: What its responses are recognised by
            (:func:`roi_bench.leaderboard.board.same_responses.fingerprints`), in the order of ``exam_ids``.
        tokens_checked: How far its token counts were verified
            (:func:`roi_bench.leaderboard.checks.response_rules.check_budget`).
        score_prompts: How far the score moves with the words of the prompt; None without paraphrase runs.
        regret_prompts: The same of regret.
    """

    task: str
    cell: Cell
    prompt: str
    form: str
    repeats: int
    decoding: str
    deviations: tuple[str, ...]
    exams: int
    clusters: int
    numbers: Mapping[str, Interval]
    score_fixed: Interval
    regret_fixed: Interval
    exam_ids: tuple[str, ...]
    exam_clusters: tuple[str, ...]
    scores: tuple[float, ...]
    scores_easy: tuple[float, ...]
    sampling_stderr: float | None
    outcomes_by_tier: Mapping[str, Mapping[str, float]]
    skip_rate_by_tier: Mapping[str, Interval]
    accuracy_by_position: Mapping[str, tuple[Interval, ...]]
    token_boxes: tuple[TokenBox, ...]
    level_counts: tuple[tuple[int, ...], ...]
    usd_per_exam: float | None
    usd: float | None
    tokens_source: str
    allocation: Mapping[str, Interval]
    responses_sha256: str
    fingerprints: str
    tokens_checked: str
    score_prompts: PromptSpread | None = None
    regret_prompts: PromptSpread | None = None
    outcomes: str = ""

    @property
    def kind(self) -> Kind:
        """What it asked."""
        return KINDS[self.form]

    @property
    def slug(self) -> str:
        """Name for files and anchors: ``v1_hard_512_direct``."""
        return f"{self.cell.slug}_{self.prompt}"

    def number(self, name: str) -> Interval:
        """Return the number ``name`` of :attr:`numbers` or :attr:`allocation`, an undefined one where there is none."""
        return self.numbers.get(name) or self.allocation.get(name) or Interval(None)


MIXED = "m"
"""Letter of a problem whose samples came out differently."""

LETTERS = {
    "correct": "c",
    "wrong": "w",
    "skipped": "s",
    "truncated": "t",
    "unanswered": "u",
    "empty": "e",
    "error": "x",
}
"""Letters of outcomes (:data:`roi_bench.scoring.outcomes.OUTCOMES`); :data:`MIXED` is none of them."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the checks found and that readers have to know, though it refuses nothing.

    Attributes:
        rule: Short name of the rule, ``tokens``.
        text: What was found.
    """

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class GradedSubmission:
    """A submission with everything that was computed from its raw responses.

    Attributes:
        submission: As submitted.
        content: SHA-256 over all files of its folder.
        bytes: Size of its folder.
        runs: Its exam tasks, graded, in the order of tables.
        profiles: Names of the solo tasks that came along.
        remarks: What the checks found.
        recounted: Tokens were counted again with the recorded tokenizer.
    """

    submission: Submission
    content: str
    bytes: int
    runs: tuple[GradedRun, ...]
    profiles: tuple[str, ...]
    remarks: tuple[Remark, ...]
    recounted: bool

    @property
    def older(self) -> dict[str, str]:
        """Why runs are not compared with today's (:func:`.schema.outdated`), by task; they belong in the archive."""
        return {task.name: why for task in self.submission.tasks if (why := outdated(task)) is not None}

    @property
    def current(self) -> tuple[GradedRun, ...]:
        """Its runs of today's rule and prompts."""
        older = self.older
        return tuple(run for run in self.runs if run.task not in older)


# What a correction changes: what it corrects beside it, for the comment on a pull request and for pages.

COMPARED = ("score", "score_easy", "regret", "tokens")
"""Numbers of a run that are set side by side."""

IDENTITY = (
    "contact",
    "organisation",
    "provider",
    "version",
    "parameters",
    "open_weights",
    "licence",
    "hardware",
    "date",
)
"""Metadata whose change is shown, those first by which a stranger's correction can be recognised."""


def correction_changes(new: GradedSubmission, old: GradedSubmission) -> list[str]:
    """Return what ``new`` changes of ``old``, which it corrects: metadata, then numbers old → new, a line each."""
    lines = []
    for name in IDENTITY:
        before, after = (getattr(one.submission.metadata, name) for one in (old, new))
        if before != after:
            lines.append(f"{name}: {_said(before)} → {_said(after)}")
        elif name in IDENTITY[:2]:
            lines.append(f"{name}: unchanged, {_said(after)}")
    before_by, after_by = ({run.task: run for run in one.runs} for one in (old, new))
    for task in sorted({*before_by, *after_by}):
        if task not in after_by:
            lines.append(f"{task}: left out")
        elif task not in before_by:
            lines.append(f"{task}: new")
        else:
            lines.append(f"{task}: {', '.join(_numbers(before_by[task], after_by[task]))}")
    return lines


def _numbers(old: GradedRun, new: GradedRun) -> Iterator[str]:
    for name in COMPARED:
        then, now = (_digits(run.number(name).value, name) for run in (old, new))
        yield f"{name.replace('_', ' ')} {then} → {now}"


def _said(value: object) -> str:
    return "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)


def _digits(value: float | None, name: str) -> str:
    return "undefined" if value is None else f"{value:.0f}" if name == "tokens" else f"{value:.2f}"


# A graded submission as JSON and back, exactly: every float to the last bit, every mapping in its order. Pure.

Reader = Callable[[Any], Any]


def graded_text(graded: GradedSubmission) -> str:
    """Return ``graded`` as JSON in ASCII, on one line.

    Dataclasses become arrays of their fields in order, which is compact and leaves nothing to guess: who reads it has
    the same code (:func:`roi_bench.leaderboard.board.cache.grading_code`).

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps({"graded": _plain(graded)}, separators=(",", ":"), allow_nan=False)


def graded_of(value: Mapping[str, Any]) -> GradedSubmission:
    """Return what :func:`graded_text` wrote, parsed.

    Raises:
        ValueError: It has another form; TypeError, KeyError and AttributeError say the same.
    """
    graded: GradedSubmission = _reader(GradedSubmission)(value["graded"])
    return graded


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        simple = all(isinstance(item, str | int | float | None) for item in value)
        return value if simple else [_plain(item) for item in value]
    return value


@lru_cache(maxsize=128)
def _reader(kind: Any) -> Reader:
    """Return what makes a value of type ``kind`` of its plain form."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple_reader(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _reader(arguments[1])
        return lambda value: {key: item(found) for key, found in value.items()}
    if origin is UnionType and (wanted := [one for one in arguments if one is not NoneType]) and len(wanted) == 1:
        known = _reader(wanted[0])
        return lambda value: None if value is None else known(value)
    return lambda value: value


def _dataclass_reader(kind: type) -> Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    return lambda value: kind(
        **{name: reader(found) for (name, reader), found in zip(readers.items(), value, strict=True)}
    )


def _tuple_reader(arguments: tuple[Any, ...]) -> Reader:
    if arguments == (str, ...):
        return lambda value: tuple(map(intern, value))  # ids of exams are the same in every submission
    if all(one in (int, float, ...) for one in arguments):
        return tuple
    if arguments[1:] == (...,):
        item = _reader(arguments[0])
        return lambda value: tuple(map(item, value))
    readers = [_reader(one) for one in arguments]
    return lambda value: tuple(reader(found) for reader, found in zip(readers, value, strict=True))
