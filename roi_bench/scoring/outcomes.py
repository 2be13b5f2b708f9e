"""Exam + response → exactly one outcome per problem (SPEC sections 5 and 7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from roi_bench.exams.exam import Problem
from roi_bench.grading.answers import Check
from roi_bench.reading.responses import ProblemReading, Reading, read_response
from roi_bench.scoring.tokens import (
    LEVEL_BOUNDS,
    TokenCounter,
    Usage,
    is_over_budget,
    level_of,
    retokenization_slack,
    retokenized_usage,
    token_shares,
)

# Facts about reasoning in a run's texts: stripped before they were recorded, or begun by the prompt. Pure.

ThinkTags = tuple[tuple[str, str], ...]
"""Opening and closing tags of reasoning besides those that every run may use; an empty opening where none is known."""

KNOWN_TAGS: ThinkTags = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
"""Tags of reasoning in every run (SPEC section 5)."""

_OPENINGS = (("/", ""), ("END", "START"), ("end", "begin"))
"""How a closing tag is turned into its opening one."""


@dataclass(frozen=True, slots=True)
class TextFacts:
    """Facts about a run's texts that are needed to read them.

    Attributes:
        whole: False where the backend stripped reasoning from the text before it was recorded.
        starts_in_reasoning: The prompt as sent ends inside a block of reasoning, so that responses begin in it.
        think_tags: Reasoning tags specific to this run.
    """

    whole: bool = True
    starts_in_reasoning: bool = False
    think_tags: ThinkTags = ()


PLAIN = TextFacts()
"""Texts that are all that was generated and begin in no reasoning."""


def own_tags(think_end_token: object) -> ThinkTags:
    """Return the reasoning tags that ``think_end_token`` of the model arguments adds; none for the usual ones.

    A token given by its id has no text, so it adds none.
    """
    closing = think_end_token.strip() if isinstance(think_end_token, str) else ""
    if not closing or closing.isdigit() or any(closing == known for _, known in KNOWN_TAGS):
        return ()
    opening = next((closing.replace(end, start, 1) for end, start in _OPENINGS if end in closing), "")
    return ((opening, closing),)


def parse_tags(value: object) -> ThinkTags | None:
    """Return the tags that ``value``, read from JSON, lists in pairs; None where it lists something else."""
    if not isinstance(value, list):
        return None
    pairs = [tuple(pair) if isinstance(pair, list) else () for pair in value]
    if not all(len(pair) == 2 and all(isinstance(tag, str) for tag in pair) and pair[1] for pair in pairs):
        return None
    return tuple((opening, closing) for opening, closing in pairs)


def opens_reasoning(prompt: str, think_tags: ThinkTags = ()) -> bool:
    """Return whether ``prompt`` as sent ends inside a block of reasoning: no closing tag stands after its last opening.

    Args:
        prompt: The prompt, chat template applied.
        think_tags: Tags of the run's own.
    """
    tags = (*KNOWN_TAGS, *think_tags)
    opened = max(prompt.rfind(opening) for opening, _ in tags if opening)
    return opened >= 0 and all(prompt.rfind(closing) < opened for _, closing in tags)


def text_facts(metadata: Mapping[str, Any], prompts: Iterable[str]) -> TextFacts:
    """Return the facts about a run's texts.

    Args:
        metadata: Model arguments and ``--metadata``; lm_eval strips the reasoning before their ``think_end_token``.
        prompts: The prompts as sent. A template that opens a block does so in all of them; a question that holds such
            a tag proves nothing about the others.
    """
    end = metadata.get("think_end_token")
    tags = own_tags(end)
    sent = list(prompts)
    opened = bool(sent) and all(opens_reasoning(prompt, tags) for prompt in sent)
    return TextFacts(end is None, end is not None or opened, tags)


def begins_in_reasoning(text: str, facts: TextFacts, budget: int, usage: Usage | None, shown: int | None) -> bool:
    """Return whether a response begins inside a block of reasoning.

    A backend that strips reasoning up to its closing tag leaves a text whose reasoning never ended as it is. Nothing
    was stripped from a text that the budget ended and whose own tokens are all that were spent.

    Args:
        text: The response as recorded.
        facts: What is known of the run's texts.
        budget: Budget in tokens.
        usage: Exact usage of the response, or None.
        shown: Tokens of the text, None where no tokenizer is known.
    """
    if not facts.starts_in_reasoning:
        return False
    if facts.whole or any(closing in text for _, closing in (*KNOWN_TAGS, *facts.think_tags)):
        return True
    if shown is None or (usage is not None and usage.finish_reason != "length"):
        return False
    spent = budget if usage is None else usage.tokens
    return shown >= spent - retokenization_slack(spent)


OUTCOMES = ("correct", "wrong", "skipped", "truncated", "unanswered", "empty", "error")
"""Every problem of every response ends in exactly one of these.

- ``correct``, ``wrong``: a final answer was given and graded.
- ``skipped``: answered NA, in a box or in words.
- ``truncated``: the budget ended the response in the problem or before it, or the response is over budget.
- ``unanswered``: the model left the problem, or ended the response, without an answer.
- ``empty``: nothing visible, and the tokens went into reasoning, or the budget ended the response.
- ``error``: there is no response, or a provider failed in the middle of it; never scored as wrong.
"""


@dataclass(frozen=True, slots=True)
class Response:
    """A raw response to an exam, or to a problem asked alone.

    Attributes:
        text: Visible text; None where there is none.
        usage: Exact usage where it was metered, else None.
    """

    text: object
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A response as read, before grading.

    Attributes:
        problems: The problems asked, by position.
        tiers: Their tiers.
        budget: Budget in generated tokens.
        reading: The reading of the response.
        usage: Exact usage, or one re-counted from the text, or None where no tokenizer is known.
        planning: Tokens of no problem: before the first header, in a closing section, hidden ones; None where nothing
            can be counted.
        shares: Tokens by position; None where nothing can be counted.
        empty: Nothing visible, and the tokens went into reasoning, or the budget ended the response.
        failed: There is no response, or the provider failed in the middle of it.
    """

    problems: tuple[Problem, ...]
    tiers: tuple[str, ...]
    budget: int
    reading: Reading
    usage: Usage | None
    planning: int | None
    shares: tuple[int, ...] | None
    empty: bool
    failed: bool

    @property
    def over_budget(self) -> bool:
        """Whether the response took more tokens than the budget (re-tokenisation allowed for)."""
        return self.usage is not None and is_over_budget(self.usage, self.budget)


@dataclass(frozen=True, slots=True)
class ProblemOutcome:
    """The outcome of one problem in one response.

    Attributes:
        position: 1-based place in the exam as asked.
        problem_id: Id of the problem.
        tier: easy, middle or hard.
        pool: Pool of the problem.
        outcome: One of :data:`OUTCOMES`.
        level: Predicted level 0–3, or None.
        actual_level: Level of the tokens really spent on an attempt, or None (skipped, or nothing counted).
        tokens: Token share, or None.
        method: How the answer was graded, or None.
        answer: The answer in the response, NA included; None if there is none.
        span: ``(start, end)`` offsets in the text of the answering box or line; None if there is none.
        answered_by: ``box`` or ``line``; None if there is no answer.
    """

    position: int
    problem_id: str
    tier: str
    pool: str
    outcome: str
    level: int | None
    actual_level: int | None
    tokens: int | None
    method: str | None
    answer: str | None = None
    span: tuple[int, int] | None = None
    answered_by: Literal["box", "line"] | None = None


class VerdictLike(Protocol):
    """A grader's verdict on one answer (see :class:`roi_bench.grading.grader.Verdict`)."""

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        ...

    @property
    def method(self) -> str:
        """How that was decided."""
        ...


def parse_response(
    problems: tuple[Problem, ...],
    tiers: tuple[str, ...],
    budget: int,
    response: Response,
    counter: TokenCounter | None = None,
    *,
    texts: TextFacts = PLAIN,
) -> ParsedResponse:
    """Read ``response`` to ``problems`` that were asked in one generation (one problem: alone).

    Where the backend stripped hidden reasoning from the text, only exact usage counts: counting the text again would
    miss the reasoning. A missing or non-string response is ``error`` where no usage is known (it is unclear whether
    the model is to blame) and ``empty`` where tokens were spent on it; one in which a provider failed is ``error``.
    """
    text = response.text if isinstance(response.text, str) else ""
    missing = not isinstance(response.text, str)
    usage, planning, shares = response.usage, None, None
    starts = None if counter is None or missing else counter.token_starts(text)
    shown = None if starts is None else len(starts)
    in_reasoning = begins_in_reasoning(text, texts, budget, usage, shown)
    if shown is not None and texts.whole:
        usage = usage or retokenized_usage(shown, budget)
    reading = read_response(
        text,
        len(problems),
        starts_in_reasoning=in_reasoning,
        think_tags=texts.think_tags,
        cut_off=usage is not None and usage.finish_reason == "length",
    )
    if starts is not None and usage is not None:
        planning, shares = token_shares(starts, [(s.start, s.end) for s in reading.problems], usage)
    elif missing and usage is not None:
        planning, shares = usage.tokens, (0,) * len(problems)
    return ParsedResponse(
        problems=problems,
        tiers=tiers,
        budget=budget,
        reading=reading,
        usage=usage,
        planning=planning,
        shares=shares,
        empty=_is_empty(text, reading, usage, shown),
        failed=(missing and usage is None) or (usage is not None and usage.finish_reason == "error"),
    )


def _is_empty(text: str, reading: Reading, usage: Usage | None, shown: int | None) -> bool:
    """Return whether nothing of a response is visible though tokens went into it; ``shown``: tokens of its text."""
    place = 0
    for start, end in (*reading.reasoning, (len(text), len(text))):
        if text[place:start].strip():
            return False
        place = end
    if reading.reasoning:
        return True
    if usage is None:
        return False
    hidden = usage.tokens - (len(text) if shown is None else shown)  # a text has at most as many tokens as characters
    return usage.finish_reason == "length" or hidden > 1  # one token ends a response


def answers_to_grade(parsed: ParsedResponse) -> list[Check]:
    """Return the answers to grade: one entry for each problem of ``parsed`` whose answer must be graded."""
    return [
        Check(problem.pool, segment.answer, problem.answers, problem.question)
        for problem, segment in zip(parsed.problems, parsed.reading.problems, strict=True)
        if segment.answer is not None and _open_outcome(parsed, segment) is None
    ]


def problem_outcomes(parsed: ParsedResponse, verdicts: Sequence[VerdictLike]) -> tuple[ProblemOutcome, ...]:
    """Return the outcome of every problem by position.

    Args:
        parsed: The response as read.
        verdicts: One verdict for each entry of :func:`answers_to_grade`, in order.
    """
    remaining = iter(verdicts)
    outcomes = []
    for problem, segment in zip(parsed.problems, parsed.reading.problems, strict=True):
        outcome, method = _open_outcome(parsed, segment), None
        if outcome is None:
            verdict = next(remaining)
            outcome, method = ("correct" if verdict.correct else "wrong"), verdict.method
        index = segment.position - 1
        tokens = parsed.shares[index] if parsed.shares is not None else None
        attempted = not segment.skipped and (segment.worked or segment.cut or segment.answer is not None)
        outcomes.append(
            ProblemOutcome(
                position=segment.position,
                problem_id=problem.id,
                tier=parsed.tiers[index],
                pool=problem.pool,
                outcome=outcome,
                level=segment.level,
                actual_level=level_of(tokens, level_bounds(problem.pool)) if attempted and tokens is not None else None,
                tokens=tokens,
                method=method,
                answer=segment.answer,
                span=segment.span,
                answered_by=segment.answered_by,
            )
        )
    return tuple(outcomes)


def level_bounds(pool: str) -> tuple[int, ...]:
    """Return the upper token bounds of Level-0 to Level-2 for ``pool``: the paper's, and 1/8 of them for tiny exams."""
    return tuple(bound // 8 for bound in LEVEL_BOUNDS) if pool.startswith("tiny") else LEVEL_BOUNDS


def _open_outcome(parsed: ParsedResponse, segment: ProblemReading) -> str | None:
    """Return the outcome of a problem that needs no grading, or None where its answer must be graded."""
    if parsed.failed:
        return "error"
    if parsed.over_budget:
        return "truncated"
    if parsed.empty:
        return "empty"
    if segment.skipped:
        return "skipped"
    if segment.answer is not None:
        return None
    if segment.cut and parsed.usage is None:
        return "truncated"
    ended_by_budget = parsed.usage is not None and parsed.usage.finish_reason == "length"
    return "truncated" if ended_by_budget and not segment.left else "unanswered"
