"""Kinds of asking: an exam in one generation, an exam put together from problems asked alone, problems alone.

A document of a run (an exam, or a problem) is asked in one or more requests, each K times. Its kind decides which
problems each request asks, how the K scored responses to its requests combine, and which metrics they have. Everything
else (tasks, records, regrading, boards) uses the kind and compares no names; a new kind is one class here, one prompt
that names it, and a task file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

from roi_bench.exams.exam import TIERS, Exam, Problem
from roi_bench.grading.answers import Check
from roi_bench.scoring.metrics import ERROR, UNBOXED, Metric, Part, Sample, ScoredResponse, metrics_of, tier_names
from roi_bench.scoring.outcomes import (
    PLAIN,
    ParsedResponse,
    ProblemOutcome,
    Response,
    TextFacts,
    VerdictLike,
    answers_to_grade,
    level_bounds,
    parse_response,
    problem_outcomes,
)
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, TokenCounter, Usage, is_over_budget, level_of

# Problems asked alone: what a model can solve, and at what cost, when no other problem needs tokens (SPEC section 11).


class SoloProblem(NamedTuple):
    """A problem that is asked alone, and its tier."""

    tier: str
    problem: Problem


def solo_problems(exams: Sequence[Exam]) -> dict[str, SoloProblem]:
    """Return each distinct problem of ``exams`` by id, in the order in which exams need them."""
    found: dict[str, SoloProblem] = {}
    for exam in exams:
        for tier, problem in zip(TIERS, exam.problems, strict=True):
            found.setdefault(problem.id, SoloProblem(tier, problem))
    return found


def solo_metrics_of(pools: Sequence[str]) -> tuple[Metric[ScoredResponse], ...]:
    """Return the metrics of problems asked alone; pools as in :func:`roi_bench.scoring.metrics.metrics_of`."""
    named = tier_names(pools)
    return (
        Metric("acc", _share("correct"), True, "share of samples answered right, mean over problems, 0–1"),
        *(
            Metric(f"{named[t]}_acc", _in_tier(t, _share("correct")), True, f"the same for {named[t]} problems")
            for t in TIERS
        ),
        Metric("wrong", _share("wrong"), False, "share of samples with outcome wrong, 0–1"),
        Metric("skip_rate", _share("skipped"), None, "share of samples answered NA, 0–1"),
        Metric("truncated", _share("truncated"), False, "share of samples that the cap cut off, 0–1"),
        Metric("unanswered", _share("unanswered"), False, "share of samples without an answer, 0–1"),
        Metric("empty", _share("empty"), False, "share of samples with nothing visible, 0–1"),
        Metric("unboxed", lambda sample: sample.unboxed, None, UNBOXED),
        Metric("tokens", _tokens, None, "generated tokens per sample"),
        *(Metric(f"{named[t]}_tokens", _in_tier(t, _tokens), None, f"the same for {named[t]} problems") for t in TIERS),
        ERROR,
    )


_Of = Callable[[ScoredResponse], Part | None]


def _share(outcome: str) -> _Of:
    return lambda sample: (float(sample.count(outcome)), 1.0)


def _tokens(sample: ScoredResponse) -> Part | None:
    return None if sample.tokens is None else (float(sample.tokens), 1.0)


def _in_tier(tier: str, part: _Of) -> _Of:
    return lambda sample: part(sample) if sample.problems[0].tier == tier else None


# The greedy-knapsack baseline: which answers to problems asked alone count, and at what cost (SPEC section 10).
#
# Every problem of an exam is answered alone in the metacognitive format. Its level forecasts its cost; problems are
# taken in ascending forecast cost while their sum fits the budget. The answers so kept are then paid with their actual
# tokens in exam order. The selection is the paper's (ROI-Reasoning, arXiv 2601.03822); the payment is ours:
#
# - No level tag is Level-2, Level-3 is left out. Of equal forecasts the earlier problem comes first.
# - What is not kept is ``skipped`` and costs nothing, though the model did write an answer.
# - Tokens of text that was counted again have the usual slack (:func:`roi_bench.scoring.tokens.is_over_budget`).
# - An answer that no longer fits is ``truncated``, and what it takes of the budget is gone: as in one generation, what
#   stands behind it is truncated too.

LEVEL_WITHOUT_TAG = 2
"""What a response without a level tag is taken to forecast."""


def forecast_cost(outcome: ProblemOutcome) -> int | None:
    """Return the tokens that a response's level forecasts: the middle of its range; None for Level-3.

    128, 384 and 768 for Level-0 to Level-2 of the real exams (the paper's centroids).
    """
    level = LEVEL_WITHOUT_TAG if outcome.level is None else outcome.level
    if level >= NOT_WORTH_ATTEMPTING:
        return None
    bounds = (0, *level_bounds(outcome.pool))
    return (bounds[level] + bounds[level + 1]) // 2


def select(forecasts: Sequence[int | None], budget: int) -> frozenset[int]:
    """Return which items are kept: in ascending forecast cost (ties: the earlier) while the sum fits ``budget``."""
    kept, total = set(), 0
    for cost, index in sorted((cost, index) for index, cost in enumerate(forecasts) if cost is not None):
        total += cost
        if total > budget:
            break
        kept.add(index)
    return frozenset(kept)


def pack(exam: Exam, order: str, scored: Sequence[ScoredResponse]) -> ScoredResponse:
    """Combine the answers ``scored`` (tier order) into a response to the exam in ``order`` under the budget.

    If a response is missing, or its tokens are unknown so that it cannot be charged, the whole sample is failed.
    """
    ordered = [scored[tier] for tier in exam.permutation(order)]
    readings = tuple(reading for one in ordered for reading in one.readings)
    budget = ordered[0].budget
    known = [one.usage for one in ordered if one.usage is not None]
    if len(known) < len(ordered):  # a failed response has no usage
        failed = tuple(_placed(one, position, "error", None) for position, one in enumerate(ordered, start=1))
        return ScoredResponse(failed, budget, None, None, over_budget=False, failed=True, readings=readings)
    kept = select([forecast_cost(one.problems[0]) for one in ordered], budget)
    spent, outcomes = 0, []
    is_cut = False
    for index, (one, usage) in enumerate(zip(ordered, known, strict=True)):
        if index not in kept:
            outcomes.append(_placed(one, index + 1, "skipped", 0))
        elif is_cut or is_over_budget(replace(usage, tokens=spent + usage.tokens), budget):
            is_cut = True
            outcomes.append(_placed(one, index + 1, "truncated", budget - spent))
            spent = budget
        else:
            spent = min(budget, spent + usage.tokens)
            outcomes.append(_placed(one, index + 1, one.problems[0].outcome, usage.tokens))
            is_cut = outcomes[-1].outcome == "truncated"
    usage = Usage(spent, "length" if is_cut else "stop", known[0].source)
    return ScoredResponse(tuple(outcomes), budget, usage, 0, over_budget=False, failed=False, readings=readings)


def _placed(one: ScoredResponse, position: int, outcome: str, tokens: int | None) -> ProblemOutcome:
    """Return the outcome of a problem asked alone, at its position in the exam; its level is that of all its tokens."""
    found, level = one.problems[0], None
    answered = outcome in ("correct", "wrong")
    begun = outcome == "unanswered" and found.actual_level is not None
    if one.tokens is not None and (answered or begun or outcome == "truncated"):
        level = level_of(one.tokens, level_bounds(found.pool))
    return replace(
        found,
        position=position,
        outcome=outcome,
        tokens=tokens,
        actual_level=level,
        method=found.method if answered else None,
    )


@dataclass(frozen=True, slots=True)
class RequestContent:
    """The content of one request.

    Attributes:
        problems: Its problems by position.
        tiers: Their tiers.
        fields: Fields that distinguish it from the document's other requests, for lm_eval's record.
    """

    problems: tuple[Problem, ...]
    tiers: tuple[str, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


class Kind(ABC):
    """A kind of asking: what a document is, its requests, and its metrics.

    Attributes:
        name: Its name in files.
        requests: Number of requests of a document.
        identifier: Key under which lm_eval's documents hold the id of the exam or problem.
        noun: Word for a document, for messages.
        has_order: Whether the task names an order for its documents.
        is_sampled: Whether the task is about a distribution: responses are sampled, several by default.
        together: Whether the problems of a document share one generation.
        if_uncounted: The consequence of unknown tokens, for messages.
    """

    name: ClassVar[str]
    requests: ClassVar[int]
    identifier: ClassVar[str] = "exam_id"
    noun: ClassVar[str] = "exam"
    has_order: ClassVar[bool] = True
    is_sampled: ClassVar[bool] = False
    together: ClassVar[bool] = False
    if_uncounted: ClassVar[str]

    @abstractmethod
    def documents(self, exams: Mapping[str, Exam]) -> Mapping[str, Any]:
        """Return the documents by id: exams, or problems of the exams."""

    @abstractmethod
    def problems(self, document: Any, order: str | None) -> tuple[Problem, ...]:
        """Return all problems of ``document``, in the order asked."""

    @abstractmethod
    def fields(self, document: Any, order: str | None, budget: int) -> dict[str, Any]:
        """Return the fields of lm_eval's document for ``document``, plain data."""

    @abstractmethod
    def asked(self, document: Any, order: str | None) -> tuple[RequestContent, ...]:
        """Return the requests of ``document``, :attr:`requests` of them."""

    @abstractmethod
    def sample(self, document: Any, order: str | None, scored: Sequence[ScoredResponse]) -> Any:
        """Combine one scored response to each request into the sample from which metrics are computed."""

    @abstractmethod
    def metrics_of(self, pools: Sequence[str]) -> tuple[Metric[Any], ...]:
        """Return the metrics of exams whose problems come from ``pools`` (tier order)."""

    @abstractmethod
    def cluster(self, document: Any) -> str:
        """Return the cluster of ``document`` for standard errors."""


class _OfExams(Kind):
    """Base of the kinds whose documents are exams, which share documents and metrics."""

    def documents(self, exams: Mapping[str, Exam]) -> Mapping[str, Exam]:
        """Return the exams."""
        return exams

    def metrics_of(self, pools: Sequence[str]) -> tuple[Metric[Any], ...]:
        """Return the metrics of exams."""
        return metrics_of(pools)

    def cluster(self, document: Exam) -> str:
        """Return the exam's cluster."""
        return document.cluster

    def problems(self, document: Exam, order: str | None) -> tuple[Problem, ...]:
        """Return the exam's problems by position."""
        return document.ordered(str(order))

    def fields(self, document: Exam, order: str | None, budget: int) -> dict[str, Any]:
        """Return the exam's id, order, budget and problems."""
        names = [problem.id for problem in self.problems(document, order)]
        return {"exam_id": document.id, "order": order, "budget": budget, "problem_ids": names}


class ExamKind(_OfExams):
    """All problems of an exam in one generation: once in the task's order, once in easy order."""

    name, requests, together = "exam", 2, True
    if_uncounted = "answers that the budget cut off count as unanswered"

    def asked(self, document: Exam, order: str | None) -> tuple[RequestContent, ...]:
        """Return the exam in the task's order and in easy order."""
        return tuple(
            RequestContent(document.ordered(each), document.tiers(each), {"order": each})
            for each in (str(order), "easy")
        )

    def sample(self, document: Exam, order: str | None, scored: Sequence[ScoredResponse]) -> Sample:
        """Return both responses."""
        main, easy = scored
        return Sample(main, easy)


class KnapsackKind(_OfExams):
    """An exam put together from problems asked alone (see :func:`pack`): one request a problem, in tier order."""

    name, requests = "knapsack", 3
    if_uncounted = "no answer can be paid for, and every exam is an error"

    def asked(self, document: Exam, order: str | None) -> tuple[RequestContent, ...]:
        """Return each problem alone."""
        return tuple(
            RequestContent((problem,), (tier,), {"problem": problem.id, "tier": tier})
            for problem, tier in zip(document.problems, TIERS, strict=True)
        )

    def sample(self, document: Exam, order: str | None, scored: Sequence[ScoredResponse]) -> Sample:
        """Return the exam that the answers make in the task's order, and in easy order."""
        return Sample(pack(document, str(order), scored), pack(document, "easy", scored))


class SoloKind(Kind):
    """Each distinct problem of the exams alone, for a solo profile (SPEC section 11)."""

    name, requests, identifier, noun = "solo", 1, "problem", "problem"
    has_order, is_sampled = False, True
    if_uncounted = "answers that the cap cut off count as unanswered, and no profile can be made"

    def documents(self, exams: Mapping[str, Exam]) -> Mapping[str, SoloProblem]:
        """Return the problems in the order in which exams need them, so that ``--limit`` profiles the first exams."""
        return solo_problems(tuple(exams.values()))

    def problems(self, document: SoloProblem, order: str | None) -> tuple[Problem, ...]:
        """Return the problem."""
        return (document.problem,)

    def fields(self, document: SoloProblem, order: str | None, budget: int) -> dict[str, Any]:
        """Return the problem's id and tier, and the cap."""
        return {"problem": document.problem.id, "tier": document.tier, "budget": budget}

    def asked(self, document: SoloProblem, order: str | None) -> tuple[RequestContent, ...]:
        """Return the problem."""
        return (RequestContent((document.problem,), (document.tier,)),)

    def sample(self, document: SoloProblem, order: str | None, scored: Sequence[ScoredResponse]) -> ScoredResponse:
        """Return the response."""
        return scored[0]

    def metrics_of(self, pools: Sequence[str]) -> tuple[Metric[Any], ...]:
        """Return the metrics of problems alone."""
        return solo_metrics_of(pools)

    def cluster(self, document: SoloProblem) -> str:
        """Return the problem's id: every problem is its own cluster."""
        return document.problem.id


KINDS: dict[str, Kind] = {kind.name: kind for kind in (ExamKind(), KnapsackKind(), SoloKind())}
"""Every kind by its name in files (``form`` in records)."""


class GraderLike(Protocol):
    """Grades many answers at once (see :class:`roi_bench.grading.grader.Grader`)."""

    def grade_many(self, answers: list[Check]) -> Sequence[VerdictLike]:
        """Return one verdict per answer, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """The responses to one document: K to each of its requests.

    Attributes:
        document: The document, one of :meth:`roi_bench.scoring.kinds.Kind.documents`.
        order: The task's order; None where the kind has none.
        budget: Budget of each response in generated tokens.
        responses: K responses by request.
        texts: Facts about reasoning in the texts.
    """

    document: Any
    order: str | None
    budget: int
    responses: tuple[tuple[Response, ...], ...]
    texts: TextFacts = PLAIN


def score_attempts(
    kind: Kind, attempts: Sequence[Attempt], grader: GraderLike, counter: TokenCounter | None = None
) -> list[tuple[Any, ...]]:
    """Score attempts: return the K samples of each, as ``kind`` makes them from its responses."""
    parsed = [response for attempt in attempts for response in _parsed(kind, attempt, counter)]
    scored = iter(score_responses(parsed, grader))
    samples = []
    for attempt in attempts:
        rows = [[next(scored) for _ in attempt.responses] for _ in attempt.responses[0]]
        samples.append(tuple(kind.sample(attempt.document, attempt.order, row) for row in rows))
    return samples


def _parsed(kind: Kind, attempt: Attempt, counter: TokenCounter | None) -> list[ParsedResponse]:
    """Return the responses of one attempt as read: sample by sample, within each by request."""
    asked = kind.asked(attempt.document, attempt.order)
    return [
        parse_response(one.problems, one.tiers, attempt.budget, response, counter, texts=attempt.texts)
        for row in zip(*attempt.responses, strict=True)
        for one, response in zip(asked, row, strict=True)
    ]


def parse_exam_response(
    exam: Exam,
    order: str,
    budget: int,
    response: Response,
    counter: TokenCounter | None = None,
    *,
    texts: TextFacts = PLAIN,
) -> ParsedResponse:
    """Read ``response`` to ``exam`` asked in ``order``; see :func:`roi_bench.scoring.outcomes.parse_response`."""
    return parse_response(exam.ordered(order), exam.tiers(order), budget, response, counter, texts=texts)


def score_responses(parsed: Sequence[ParsedResponse], grader: GraderLike) -> list[ScoredResponse]:
    """Return parsed responses scored.

    All their answers go to the grader in one call, so that symbolic checks run in parallel.
    """
    answers_of = [answers_to_grade(response) for response in parsed]
    verdicts = iter(grader.grade_many([answer for answers in answers_of for answer in answers]))
    return [
        ScoredResponse(
            problems=problem_outcomes(response, [next(verdicts) for _ in answers]),
            budget=response.budget,
            usage=response.usage,
            planning=response.planning,
            over_budget=response.over_budget,
            failed=response.failed,
            readings=(response.reading,),
        )
        for response, answers in zip(parsed, answers_of, strict=True)
    ]
