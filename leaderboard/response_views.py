"""What a page says beside a response: outcome, forecast, tokens and grading of each problem, and what ended it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roi_bench.analysis.runs import ScoredRun
from roi_bench.exams.exam import TIERS, Exam
from roi_bench.leaderboard.exam_list import finish_of
from roi_bench.leaderboard.response_marks import BEFORE, Piece, Span, cut_response
from roi_bench.leaderboard.run_texts import TOKEN_SOURCES
from roi_bench.scoring.metrics import Sample, ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome, Response

GRADED = {
    ("string", True): "written as the right answer is",
    ("string", False): "not written as the right answer is, which is no number",
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


def response_views(run: ScoredRun, exam: Exam, requests: Sequence[Sequence[Response]]) -> list[ResponseView]:
    """Return all responses of ``run`` to ``exam``.

    Args:
        run: The run.
        exam: The exam.
        requests: Its raw responses, by request and sample.
    """
    samples = run.scored[exam.id]
    if not run.task.record.kind.together:
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


def _sample_title(number: int, samples: Sequence[Sample]) -> str:
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
        notes = [f"{outcome.tier} problem {outcome.problem_id}", *_notes(outcome, piece)]
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
        notes = [f"{tier} problem {problem.id}", *_notes(main, piece)]
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


def _notes(outcome: ProblemOutcome, piece: Piece) -> list[str]:
    notes = []
    forecast = "no forecast" if outcome.level is None else f"forecast Level-{outcome.level}"
    if outcome.actual_level is not None:
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
    """Return what ended a response; an empty text where it ended by itself, or nobody knows."""
    finish = finish_of(scored)
    text = _text(response)
    if finish == "error":
        return (
            "The provider failed in the middle of it: it counts as no response."
            if text
            else "No response could be had."
        )
    if finish == "over":
        return f"It took more tokens than the budget of {scored.budget} allows: nothing in it counts."
    cut = f"The budget of {scored.budget} tokens ended the response here." if finish == "length" else ""
    if scored.count("empty"):
        what = "but reasoning" if text.strip() else "in it: its tokens went into hidden reasoning or white space"
        return f"Nothing visible {what}. {cut}".rstrip()
    return cut if text.strip() else "An empty response."
