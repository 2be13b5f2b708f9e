"""Pages of one submission that show responses: the exam list of each run, the exam pages, and the scores as data.

They depend on the submission alone, so a build that finds it unchanged leaves them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from roi_bench.analysis.runs import Cell, ScoredRun
from roi_bench.exams.exam import POOL_TIERS, TIERS, Exam, Problem
from roi_bench.leaderboard.board.graded import GradedSubmission
from roi_bench.leaderboard.site.exam_list import (
    ExamCosts,
    ShownRun,
    exam_rows,
    finish_of,
    money,
    page_name,
    paged_exams,
    reader_link,
    total_usd,
)
from roi_bench.leaderboard.site.page import OUTCOME_MEANINGS, TOKEN_SOURCES, PageFile, PageOptions, number, render
from roi_bench.reading.responses import Reading
from roi_bench.scoring.metrics import NO_ANSWER, Sample, ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome, Response

# A response cut into what it says, as it was read: the problems, the text around them, and the marks that count.

MARKS = {
    "answer": "the box, or the line, that answers a problem",
    "box": "a box that does not count",
    "level": "level tag: the forecast of what the problem costs",
    "head": "header line of a problem",
    "reasoning": "reasoning: it costs tokens and says nothing else",
}
"""Kinds of marks and what each is."""

BEFORE = "Before the first problem"
"""What text before the first problem is called."""

Mark = tuple[int, int, str]
"""``(start, end, kind)``: offsets in the text and a key of :data:`MARKS`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one kind.

    Attributes:
        kind: A key of :data:`MARKS`, or an empty text for unmarked text.
        text: The text as it is.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a response.

    Attributes:
        position: 1-based position of its problem, 0 for what belongs to none.
        reached: It holds text; a problem that was never begun has none.
        spans: Its text in order.
        title: What it is called.
    """

    position: int
    reached: bool
    spans: tuple[Span, ...]
    title: str


def cut_response(text: str, reading: Reading) -> tuple[Piece, ...]:
    """Return the pieces of a response, in order: one per problem, and one for each stretch around them.

    Args:
        text: The response.
        reading: What it says.
    """
    marks = _marks(reading)
    pieces, place = [], 0
    for segment in reading.problems:
        reached = segment.end > segment.start
        if reached and segment.start > place:
            pieces.append(Piece(0, True, _spans(text, place, segment.start, marks), _title(place, reading)))
        spans = _spans(text, segment.start, segment.end, marks)
        pieces.append(Piece(segment.position, reached, spans, f"Problem {segment.position}"))
        place = max(place, segment.end) if reached else place
    if place < len(text):
        pieces.append(Piece(0, True, _spans(text, place, len(text), marks), _title(place, reading)))
    return tuple(pieces)


def _title(place: int, reading: Reading) -> str:
    """Return what the text of no problem from ``place`` on is called."""
    if any(start <= place < end for start, end in reading.closings):
        return "Closing section"
    return BEFORE if place < reading.preamble_end else "Text of no problem"


def _marks(reading: Reading) -> list[Mark]:
    """Return every mark, ascending and disjoint; of two that overlap what answers goes first, then reasoning."""
    answers = [segment.span for segment in reading.problems if segment.span is not None]
    ranked: list[list[Mark]] = [
        [(start, end, "answer") for start, end in answers],
        [(start, end, "reasoning") for start, end in reading.reasoning],
        [(start, end, "head") for start, end in reading.headers],
        [(start, end, "box") for start, end in reading.boxes],
        [(start, end, "level") for start, end in reading.levels],
    ]
    found: list[Mark] = []
    for marks in ranked:
        found = _with(found, marks)
    return found


def _with(marks: list[Mark], more: list[Mark]) -> list[Mark]:
    """Return ``marks`` and those of ``more`` that overlap none of them, ascending."""
    # One pass over both sorted lists: a hostile response can hold many thousand marks, and pairs would be quadratic.
    kept: list[Mark] = []
    index = 0
    for mark in sorted(more):
        while index < len(marks) and marks[index][1] <= mark[0]:
            index += 1
        if (index == len(marks) or marks[index][0] >= mark[1]) and (not kept or kept[-1][1] <= mark[0]):
            kept.append(mark)
    return sorted(marks + kept)


def _spans(text: str, start: int, end: int, marks: list[Mark]) -> tuple[Span, ...]:
    spans, place = [], start
    for mark_start, mark_end, kind in marks:
        if mark_end <= place or mark_start >= end:
            continue
        first, last = max(mark_start, place), min(mark_end, end)
        if first > place:
            spans.append(Span("", text[place:first]))
        spans.append(Span(kind, text[first:last]))
        place = last
    if place < end:
        spans.append(Span("", text[place:end]))
    return tuple(spans)


# What a page says beside a response: outcome, forecast, tokens and grading of each problem, and what ended it.

GRADED = {
    ("string", True): "the same text as the right answer",
    ("string", False): "another text than the right answer, which is no number",
    ("number", True): "equal to the right answer in value",
    ("number", False): "other than the right answer in value or in form",
    ("symbolic", True): "shown by algebra to equal the right answer",
    ("symbolic", False): "not shown by algebra to equal the right answer",
    ("limit", False): "counted as wrong: too long, or comparing it took too much time or memory",
}
"""What decided on an answer (``method`` of :class:`roi_bench.grading.grader.Verdict`) and how, in words."""


@dataclass(frozen=True, slots=True)
class PieceView:
    """A stretch of a response and what stands beside it.

    Attributes:
        title: ``Problem 2``, or what text of no problem is called.
        outcome: Its outcome; an empty text for what is no problem.
        notes: Short statements.
        spans: Its text; none where the response never got there.
    """

    title: str
    outcome: str
    notes: tuple[str, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ResponseView:
    """One response.

    Attributes:
        title: Which it is: order, or problem where it was asked alone, and sample.
        summary: Correct answers and tokens.
        pieces: Its text in pieces.
        ending: What ended it, where that needs saying, else an empty text.
    """

    title: str
    summary: str
    pieces: tuple[PieceView, ...]
    ending: str


def response_views(run: ScoredRun, exam: Any, requests: Sequence[Sequence[Response]]) -> list[ResponseView]:
    """Return all responses of ``run`` to a document.

    Args:
        run: The run.
        exam: The document: an exam, or a problem that was asked alone.
        requests: Its raw responses, by request and sample.
    """
    kind = run.task.record.kind
    if not kind.has_order:
        alone: Sequence[Any] = run.scored[exam.problem.id]
        return [
            _exam_view(f"Asked alone{_sample_title(number, alone)}", response, scored)
            for number, (response, scored) in enumerate(zip(requests[0], alone, strict=True), start=1)
        ]
    samples = run.scored[exam.id]
    if not kind.together:
        return [
            _alone_view(exam, tier, response, sample, _sample_title(number, samples))
            for tier, responses in zip(TIERS, requests, strict=True)
            for number, (response, sample) in enumerate(zip(responses, samples, strict=True), start=1)
        ]
    order = run.cell.order
    return [
        _exam_view(title + _sample_title(number, samples), response, scored)
        for title, responses, found in (
            (f"{order.capitalize()} order ({', '.join(exam.tiers(order))})", requests[0], [s.main for s in samples]),
            (f"Easy order ({', '.join(TIERS)})", requests[1], [s.easy for s in samples]),
        )
        for number, (response, scored) in enumerate(zip(responses, found, strict=True), start=1)
    ]


def _sample_title(number: int, samples: Sequence[object]) -> str:
    return f", sample {number} of {len(samples)}" if len(samples) > 1 else ""


def _exam_view(title: str, response: Response, scored: ScoredResponse) -> ResponseView:
    (reading,) = scored.readings
    pieces = cut_response(_text(response), reading)
    of_none = [piece for piece in pieces if not piece.position]
    views = [PieceView(BEFORE, "", _planning(scored, shown=False), ())] if scored.planning and not of_none else []
    for piece in pieces:
        if not piece.position:
            said = _planning(scored, shown=True) if piece is of_none[0] else ()
            views.append(PieceView(piece.title, "", said, piece.spans))
            continue
        outcome = scored.problems[piece.position - 1]
        notes = [f"{outcome.tier} problem {outcome.problem_id}", *_notes(outcome, piece, scored)]
        if outcome.outcome in ("unanswered", "empty") and (seen := scored.no_answer(outcome)) not in (
            None,
            "never_begun",
        ):
            notes.append(NO_ANSWER[str(seen)])
        views.append(PieceView(piece.title, outcome.outcome, tuple(notes), piece.spans))
    summary = f"{scored.score} of {len(scored.problems)} correct, {_spent(scored)}"
    return ResponseView(title, summary, tuple(views), _ending(response, scored))


def _alone_view(exam: Exam, tier: str, response: Response, sample: Sample, numbered: str) -> ResponseView:
    """Return the view of a problem asked alone, whose answer counts or not in each order."""
    problem = exam.problems[TIERS.index(tier)]
    main, easy = (
        next(outcome for outcome in scored.problems if outcome.problem_id == problem.id)
        for scored in (sample.main, sample.easy)
    )
    views = []
    for piece in cut_response(_text(response), sample.main.readings[main.position - 1]):
        if not piece.position:
            views.append(PieceView(piece.title, "", (), piece.spans))
            continue
        notes = [f"{tier} problem {problem.id}", *_notes(main, piece, sample.main)]
        if easy.outcome != main.outcome:
            notes.append(f"in easy order: {easy.outcome}")
        views.append(PieceView(f"Problem {main.position} of the exam", main.outcome, tuple(notes), piece.spans))
    usage = response.usage
    summary = f"{main.outcome}{'' if usage is None else f', {usage.tokens} tokens, {TOKEN_SOURCES[usage.source]}'}"
    cut = usage is not None and usage.finish_reason == "length"
    return ResponseView(
        f"{tier.capitalize()} problem, asked alone{numbered}",
        summary,
        tuple(views),
        f"The budget of {sample.main.budget} tokens ended the response here." if cut else "",
    )


def _text(response: Response) -> str:
    return response.text if isinstance(response.text, str) else ""


def _planning(scored: ScoredResponse, *, shown: bool) -> tuple[str, ...]:
    """Return what is said of the tokens of no problem; ``shown``: some of them are in the text."""
    if not scored.planning:
        return ()
    what = (
        "text of no problem, and tokens that the text does not show" if shown else "tokens that the text does not show"
    )
    return (f"{_tokens(scored.planning)} of planning ({what})",)


def _notes(outcome: ProblemOutcome, piece: Piece, scored: ScoredResponse) -> list[str]:
    notes = []
    forecast = "no forecast" if outcome.level is None else f"forecast Level-{outcome.level}"
    if outcome.actual_level is not None and any(problem.level is not None for problem in scored.problems):
        notes.append(f"{forecast}, actual Level-{outcome.actual_level}")
    elif outcome.level is not None:
        notes.append(forecast)
    if outcome.tokens is not None:
        notes.append(_tokens(outcome.tokens))
    if outcome.method is not None and outcome.outcome in ("correct", "wrong"):  # else it does not count
        notes.append(GRADED[outcome.method, outcome.outcome == "correct"])
        notes += ["read from an answer line, without a box"] if outcome.answered_by == "line" else []
    if not piece.reached:
        notes.append("never begun")
    return notes


def _tokens(count: int) -> str:
    return f"{count} token" if count == 1 else f"{count} tokens"


def _spent(scored: ScoredResponse) -> str:
    if scored.usage is None:
        return "tokens unknown"
    return f"{scored.usage.tokens} of {scored.budget} tokens, {TOKEN_SOURCES[scored.usage.source]}"


def _ending(response: Response, scored: ScoredResponse) -> str:
    """Return what ended a response; an empty text where it ended by itself, or the reason is unknown."""
    finish = finish_of(scored)
    text = _text(response)
    if finish == "error":
        return "The provider failed in the middle of it: it counts as no response." if text else "There is no response."
    if finish == "over":
        return f"It took more tokens than the budget of {scored.budget} allows: nothing in it counts."
    cut = f"The budget of {scored.budget} tokens ended the response here." if finish == "length" else ""
    if scored.count("empty"):
        what = "but reasoning" if text.strip() else "in it: its tokens went into hidden reasoning or white space"
        return f"Nothing visible {what}. {cut}".rstrip()
    return cut if text.strip() else "An empty response."


@dataclass(frozen=True, slots=True)
class ProblemView:
    """A problem of an exam as its page shows it.

    Attributes:
        tier: Its tier.
        id: Its id.
        pool: Its pool.
        sha256: Hash of its question.
        question: Its text; None for the public test sets (GSM8K and MATH are MIT, AIME is the MAA’s) unless asked for.
        answers: Accepted answers likewise; None where the text is not shown.
    """

    tier: str
    id: str
    pool: str
    sha256: str
    question: str | None
    answers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RunView:
    """The responses of one run to one exam.

    Attributes:
        slug: Its slug, also the anchor.
        title: Exams and prompt.
        decoding: Generation arguments, or an empty text.
        score: Correct answers in the task's order, mean over samples.
        score_easy: The same in easy order.
        usd: What the responses cost, or None.
        responses: All responses.
    """

    slug: str
    title: str
    decoding: str
    score: str
    score_easy: str
    usd: str | None
    responses: tuple[ResponseView, ...]


def submission_pages(
    graded: GradedSubmission,
    runs: Mapping[str, ScoredRun],
    options: PageOptions,
    *,
    usd: Mapping[str, ExamCosts] | None = None,
) -> Iterator[PageFile]:
    """Yield the exam lists, the exam pages and ``data.json`` of a submission, below ``models/<id>/``.

    Args:
        graded: The submission.
        runs: Its scored runs by slug.
        options: How many exams get a page, and whether licensed problems are shown.
        usd: What each response cost, by task name (see :data:`roi_bench.leaderboard.site.exam_list.ExamCosts`).
    """
    shown = {run.slug: run for run in graded.runs}
    costs = {run.slug: (usd or {}).get(run.task, {}) for run in graded.runs}
    yield from run_pages(
        f"models/{graded.submission.id}/",
        graded.submission.metadata.model,
        shown,
        runs,
        options,
        costs,
        reader=partial(reader_link, graded.submission.id),
    )
    whole = [run.slug for run in graded.runs if len(run.exam_ids) == len(runs[run.slug].exams)]
    yield scores_file(graded, whole, list(paged_exams(list(runs.values()), options.exam_pages)))


def run_pages(
    folder: str,
    model: str,
    shown: Mapping[str, ShownRun],
    runs: Mapping[str, ScoredRun],
    options: PageOptions,
    usd: Mapping[str, ExamCosts],
    layout: str = "base.html",
    reader: Callable[[ShownRun, str], str] | None = None,
) -> Iterator[PageFile]:
    """Yield the exam lists and the exam pages of runs.

    Args:
        folder: Where they are, with a slash at its end; an empty text for the site's own folder.
        model: What the runs are called together, and the page ``index.html`` above them.
        shown: What pages say of each run, by slug.
        runs: The scored runs by slug.
        options: How many exams get a page, and whether licensed problems are shown.
        usd: What each response cost, by slug.
        layout: Template of the frame of pages.
        reader: Returns where the responses of a run to an exam without a page can be read; None: nowhere.
    """
    paged = paged_exams(list(runs.values()), options.exam_pages)
    shared = {"model": model, "meanings": OUTCOME_MEANINGS, "layout": layout}
    for slug, run in shown.items():
        scored, costs = runs[slug], usd.get(slug, {})
        priced = bool(costs) and all(total_usd(costs.get(d.id, ())) is not None for d in scored.task.documents)
        kind = scored.task.record.kind
        context = {
            "run": run,
            "rows": exam_rows(scored, costs, paged, None if reader is None else partial(reader, run)),
            "tiers": _tier_order(run.cell) if kind.has_order else "",
            "priced": priced,
            "noun": kind.noun,
        }
        yield render("exam_list.html", f"{folder}{slug}.html", {**shared, **context})
    ids = list(paged)
    documents = {slug: {d.id: d.requests for d in run.task.documents if d.id in paged} for slug, run in runs.items()}
    for index, name in enumerate(ids):
        document = paged[name]
        problems = list(zip(TIERS, document.problems, strict=True)) if isinstance(document, Exam) else [document]
        views = [
            _run_view(slug, run, runs[slug], document, name, documents[slug][name], usd.get(slug, {}))
            for slug, run in shown.items()
            if name in runs[slug].scored
        ]
        beside = [ids[i] if 0 <= i < len(ids) else None for i in (index - 1, index + 1)]
        context = {
            "noun": "Exam" if isinstance(document, Exam) else "Problem",
            "exam": name,
            "problems": [_problem_view(tier, problem, options) for tier, problem in problems],
            "runs": views,
            "before": beside[0],
            "after": beside[1],
            "page_name": page_name,
            "marks": MARKS,
        }
        yield render("exam.html", f"{folder}exams/{page_name(name)}", {**shared, **context})


def _tier_order(cell: Cell) -> str:
    """Return the tiers by position for the head of a list; the medium order has another one for each exam."""
    return {"easy": "easy, middle, hard", "hard": "hard, middle, easy"}.get(cell.order, "as in the column “tiers”")


def _run_view(
    slug: str,
    run: ShownRun,
    scored: ScoredRun,
    document: Any,
    name: str,
    requests: Sequence[Sequence[Response]],
    usd: ExamCosts,
) -> RunView:
    place = run.exam_ids.index(name) if name in run.exam_ids else None
    digits = 0 if run.repeats == 1 else 2
    cost = total_usd(usd.get(name, ()))
    easy = run.scores_easy if scored.task.record.kind.has_order else None
    return RunView(
        slug=slug,
        title=f"{run.cell.title} · {run.prompt}",
        decoding=run.decoding,
        score=number(None if place is None else run.scores[place], digits),
        score_easy=number(None if place is None or easy is None else easy[place], digits),
        usd=None if cost is None else money(cost),
        responses=tuple(response_views(scored, document, requests)),
    )


def _problem_view(tier: str, problem: Problem, options: PageOptions) -> ProblemView:
    shown = options.with_problems or problem.pool not in POOL_TIERS
    return ProblemView(
        tier=tier,
        id=problem.id,
        pool=problem.pool,
        sha256=problem.sha256,
        question=problem.question if shown else None,
        answers=problem.answers if shown else None,
    )


def response_files(graded: GradedSubmission, files: Mapping[str, bytes]) -> Iterator[PageFile]:
    """Yield the files of responses as they were submitted, byte by byte, so that their hashes can be checked.

    Args:
        graded: The submission.
        files: All files of its folder.
    """
    for task in graded.submission.tasks:
        yield PageFile(f"models/{graded.submission.id}/{responses_path(task.name)}", files[task.file])


def responses_path(task: str) -> str:
    """Return where the responses of a task are, from the folder of its submission."""
    return f"responses/{task}.jsonl.gz"


def scores_file(graded: GradedSubmission, whole: Collection[str], paged: Sequence[str]) -> PageFile:
    """Return ``data.json``: the scores of every exam by run, which the compare page reads.

    Args:
        graded: The submission.
        whole: Slugs of the runs of whole sets; those of others need the ids of their exams.
        paged: Ids of the exams that have a page.
    """
    content = {
        "pages": list(paged),
        "runs": {
            run.slug: {
                "task": run.task,
                "form": run.form,
                "order": run.cell.order,
                "outcomes": run.outcomes,
                "scores": list(run.scores),
                "scores_easy": list(run.scores_easy),
                "exams": None if run.slug in whole else list(run.exam_ids),
            }
            for run in graded.runs
        },
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n"
    return PageFile(f"models/{graded.submission.id}/data.json", text.encode("ascii"))
