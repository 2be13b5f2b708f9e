"""The reward of RARL for any trainer, by the benchmark's own code; numbers to log (SPEC section 12).

:func:`exam_reward` has the signature of TRL's reward functions; :func:`reward_responses` returns what it decides by.
Both read rows as ``roi-bench train data --exams-jsonl`` writes them. No trainer is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import TIERS, Exam, Problem
from roi_bench.scoring.kinds import GraderLike, score_responses
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome, Response, parse_response
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, TokenCounter, Usage

# The reward of a response: the benchmark's own reading, counting and grading (SPEC section 12).


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of a response in RARL.

    Attributes:
        level: Pay a correct answer only where the predicted level is the actual one; false: pay every correct answer.
        format_fault: Penalty for a problem skipped after another forecast than Level-3. The paper's reward
            gives a skip 0 whatever its forecast, and training then unlearns Level-3. Ours.
    """

    level: bool = True
    format_fault: float = 0.25


@dataclass(frozen=True, slots=True)
class Rollout:
    """One response to a training exam.

    Attributes:
        problems: The problems by position, as they were asked.
        tiers: Their tiers.
        order: Name of that order.
        budget: Budget in tokens.
        response: Text and exact usage.
    """

    problems: tuple[Problem, ...]
    tiers: tuple[str, ...]
    order: str
    budget: int
    response: Response


def rollout_of(exam: Exam, order: str, budget: int, response: Response) -> Rollout:
    """Return a response to ``exam`` asked in ``order``."""
    return Rollout(exam.ordered(order), exam.tiers(order), order, budget, response)


def score_rollouts(
    rollouts: Sequence[Rollout], grader: GraderLike, counter: TokenCounter | None
) -> list[ScoredResponse]:
    """Return the scored responses; graded in one call."""
    parsed = [parse_response(r.problems, r.tiers, r.budget, r.response, counter) for r in rollouts]
    return score_responses(parsed, grader)


def problem_reward(outcome: ProblemOutcome, settings: Reward) -> float:
    """Return rᵢ = 1[correct ∧ predicted level = actual level] (arXiv 2601.03822), minus the penalty for a format fault.

    The fault is ours: a problem skipped behind a forecast other than Level-3, or behind none.
    """
    if outcome.outcome == "skipped" and outcome.level != NOT_WORTH_ATTEMPTING:
        return -settings.format_fault
    if outcome.outcome != "correct":
        return 0.0
    return float(not settings.level or (outcome.level is not None and outcome.level == outcome.actual_level))


def total_reward(scored: ScoredResponse, settings: Reward) -> float:
    """Return R = Σ rᵢ over the problems of an exam.

    Problems solved before the budget cut a response are rewarded: an over-budget exam is data, not a fault.
    """
    return sum(problem_reward(outcome, settings) for outcome in scored.problems)


def generated_response(ids: Sequence[int], budget: int, tokenizer: Any) -> Response:
    """Return generated token ids as a response that ends at ``budget``, with exact usage.

    Args:
        ids: Generated ids, the end-of-sequence token included; what stands behind the first one is padding.
        budget: Budget in tokens; ids beyond it count for nothing.
        tokenizer: The model's transformers tokenizer.
    """
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    kept = list(ids[:budget])
    if end in kept:
        kept = kept[: kept.index(end) + 1]
    stopped = len(kept) < budget or kept[-1] in (end, pad)
    text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Response(text, Usage(len(kept), "stop" if stopped else "length", "generated"))


# What a reward needs of an exam, as plain data: a column each, so that it travels through any trainer's data set.

COLUMNS = ("exam_id", "order", "budget", "problems", "tokenizer", "reward")
"""Columns of a row beside ``prompt``."""

TINY = "tiny"
"""Name that stands for the tokenizer of the shipped tiny models in rows, which then work on every machine."""


def exam_row(exam: Exam, order: str, budget: int, tokenizer: str, reward: Reward) -> dict[str, Any]:
    """Return what a reward needs to judge a response to ``exam``, as plain data.

    Args:
        exam: The exam.
        order: Order in which it is asked.
        budget: Budget in tokens.
        tokenizer: Folder or hub name of the model's tokenizer; ``tiny`` for that of the shipped models.
        reward: What a response earns.

    Returns:
        A value for each of :data:`COLUMNS`; ``problems`` by position, each with ``id``, ``pool``, ``tier``,
        ``question`` and ``answers``.
    """
    problems = [
        {"id": item.id, "pool": item.pool, "tier": tier, "question": item.question, "answers": list(item.answers)}
        for item, tier in zip(exam.ordered(order), exam.tiers(order), strict=True)
    ]
    settings = {item.name: getattr(reward, item.name) for item in fields(Reward)}
    values = (exam.id, order, budget, problems, tokenizer, settings)
    return dict(zip(COLUMNS, values, strict=True))


def _problems_of(items: object, where: str) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """Return the problems of a row, and their tiers."""
    if not isinstance(items, Sequence) or isinstance(items, str) or not items:
        raise UsageError(f"{where}: problems is {items!r:.60}; expected a list of problems, as exam_row makes it")
    problems, tiers = [], []
    for item in items:
        try:
            first, *others = item["answers"]
            problems.append(Problem(item["id"], item["pool"], item["question"], first, tuple(others)))
            tiers.append(item["tier"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{where}: a problem is {item!r:.60}; each needs id, pool, tier, question and at least one of answers"
            ) from error
    if not set(tiers) <= set(TIERS):
        raise UsageError(f"{where}: the tiers are {', '.join(map(repr, tiers))}; each is one of {', '.join(TIERS)}")
    return tuple(problems), tuple(tiers)


def _settings_of(value: object, where: str) -> Reward:
    if isinstance(value, Reward) or value is None:
        return value or Reward()
    known = [item.name for item in fields(Reward)]
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: reward is {value!r:.60}; expected a mapping with {' and '.join(known)}")
    for key in value:
        if key not in known:
            raise UsageError(f"{where}: unknown setting {key!r} of the reward; {nearest(str(key), known)}")
    return Reward(**value)


# Rewards of responses as a trainer hands them over: token ids or texts, and the columns of their rows.


@dataclass(frozen=True, slots=True)
class RewardedResponse:
    """A response with its reward and what decided it.

    Attributes:
        reward: R, the sum of ``problem_rewards``: at most the number of problems.
        problem_rewards: rᵢ by position.
        scored: Outcome, answer, predicted and actual level and tokens of each problem by position, and the usage.
    """

    reward: float
    problem_rewards: tuple[float, ...]
    scored: ScoredResponse


def reward_responses(
    *,
    problems: Sequence[Sequence[Mapping[str, Any]]],
    budget: Sequence[int],
    order: Sequence[str] | None = None,
    completion_ids: Sequence[Sequence[int]] | None = None,
    completions: Sequence[Any] | None = None,
    prompts: Sequence[Any] | None = None,
    exam_id: Sequence[str] | None = None,
    tokenizer: Any = None,
    reward: Any = None,
) -> list[RewardedResponse]:
    """Judge responses to training exams as the benchmark would; graded in one call.

    Args:
        problems: Problems by position of each row (see :func:`exam_row`), B rows.
        budget: Budget in generated tokens of each row. What a response has beyond it is cut off before it is read.
        order: Order of each row, for logs.
        completion_ids: Generated token ids of each row, without the prompt. Exact, hence preferred to texts.
        completions: Texts of each row, or chat messages of the assistant; read where there are no ids.
        prompts: Prompts of each row, texts or messages: each must hold the questions of its row, in their order.
        exam_id: Ids of the exams, for messages.
        tokenizer: Name or folder of the model's tokenizer, or a transformers tokenizer; one for all, or one a row.
            Needed to read ids, and to know what each problem cost, hence its actual level.
        reward: :class:`Reward` or the mapping of its fields, one for all or one a row; by default the recipes'.

    Returns:
        One value a row, in order; none for no rows.

    Raises:
        UsageError: Columns of different lengths, neither ids nor texts, no tokenizer where one is needed, a prompt of
            another exam, or a row that :func:`exam_row` would not make.
        ModelError: The tokenizer cannot be loaded.
        DependencyError: A symbolic check needs math-verify, or a tokenizer transformers, and it is not installed.
    """
    from roi_bench.grading.grader import shared_grader

    given = {"budget": budget, "order": order, "completion_ids": completion_ids, "completions": completions}
    _check_lengths(len(problems), {**given, "prompts": prompts, "exam_id": exam_id})
    if not problems:
        return []
    names = [f"row {number}" + (f" ({exam_id[number]})" if exam_id else "") for number in range(len(problems))]
    settings = [_settings_of(value, name) for value, name in zip(_by_row(reward, names), names, strict=True)]
    tokenizers = [_tokenizer(value) for value in _by_row(tokenizer, names)]
    nothing = [None] * len(names)
    responses = list(zip(completion_ids or nothing, completions or nothing, strict=True))
    rows = zip(names, problems, prompts or nothing, budget, order or nothing, strict=True)
    rollouts = [
        _rollout(*row, tokenizers[number], settings[number], responses[number]) for number, row in enumerate(rows)
    ]
    scored: dict[int, ScoredResponse] = {}
    for one in {id(item): item for item in tokenizers}.values():  # one in practice
        mine = [number for number, item in enumerate(tokenizers) if item is one]
        found = score_rollouts([rollouts[number] for number in mine], shared_grader(), _counter(one))
        scored.update(zip(mine, found, strict=True))
    return [_rewarded(scored[number], settings[number]) for number in range(len(names))]


def _rollout(
    where: str,
    problems: object,
    prompt: Any,
    budget: object,
    order: str | None,
    tokenizer: Any,
    settings: Reward,
    response: tuple[Any, Any],
) -> Rollout:
    """Return the response of a row, checked."""
    asked, tiers = _problems_of(problems, where)
    if prompt is not None:
        _check_prompt(prompt, asked, where)
    limit = _budget_of(budget, where)
    if tokenizer is None and settings.level:
        raise UsageError(
            f"{where}: whether a level was right depends on the tokens of each problem, and there is no tokenizer; "
            "name the model's, or set level to false in the reward"
        )
    return Rollout(asked, tiers, order or "", limit, _response_of(*response, limit, tokenizer, where))


def reward_row(row: Mapping[str, Any], completion: Any) -> RewardedResponse:
    """Judge one response, for trainers that hand over one at a time (verl, verifiers).

    Args:
        row: A row of ``roi-bench train data --exams-jsonl``, with at least ``problems`` and ``budget``.
        completion: The response: token ids, a text, or chat messages.

    Raises:
        UsageError: The row lacks a column, and as :func:`reward_responses`.
    """
    missing = [name for name in ("problems", "budget") if name not in row]
    if missing:
        raise UsageError(f"the row has no {' and no '.join(missing)}; take rows of roi-bench train data --exams-jsonl")
    are_ids = not isinstance(completion, str) and not (completion and isinstance(completion[0], Mapping))
    (found,) = reward_responses(
        problems=[row["problems"]],
        budget=[row["budget"]],
        exam_id=[row.get("exam_id", "")],
        completion_ids=[completion] if are_ids else None,
        completions=None if are_ids else [completion],
        tokenizer=row.get("tokenizer"),
        reward=row.get("reward"),
    )
    return found


def exam_reward(
    prompts: Sequence[Any] | None = None,
    completions: Sequence[Any] | None = None,
    completion_ids: Sequence[Sequence[int]] | None = None,
    *,
    problems: Sequence[Sequence[Mapping[str, Any]]],
    budget: Sequence[int],
    order: Sequence[str] | None = None,
    exam_id: Sequence[str] | None = None,
    tokenizer: Any = None,
    reward: Any = None,
    log_metric: Any = None,
    log_extra: Any = None,
    **_columns: Any,
) -> list[float]:
    """Return the reward of each response: TRL's signature, on rows of ``roi-bench train data --exams-jsonl``.

    Arguments are those of :func:`reward_responses`, which says what each is, and those with which TRL logs:

    Args:
        log_metric: Called with a name and a number of the batch: those of :func:`training_numbers`.
        log_extra: Called with a name and a value a row: outcomes and levels, for the table of completions.

    Raises:
        UsageError: See :func:`reward_responses`.
    """
    rewarded = reward_responses(
        problems=problems,
        budget=budget,
        order=order,
        completion_ids=completion_ids,
        completions=completions,
        prompts=prompts,
        exam_id=exam_id,
        tokenizer=tokenizer,
        reward=reward,
    )
    if log_metric is not None:
        for name, value in training_numbers([record_of(item.scored) for item in rewarded]).items():
            log_metric(name, value)
    if log_extra is not None:
        log_extra("outcomes", [" ".join(one.outcome for one in item.scored.problems) for item in rewarded])
        log_extra("levels", [" ".join(_levels(one) for one in item.scored.problems) for item in rewarded])
    return [item.reward for item in rewarded]


def _levels(outcome: ProblemOutcome) -> str:
    predicted, actual = ("-" if level is None else str(level) for level in (outcome.level, outcome.actual_level))
    return f"{predicted}/{actual}"


def _rewarded(scored: ScoredResponse, settings: Reward) -> RewardedResponse:
    rewards = tuple(problem_reward(outcome, settings) for outcome in scored.problems)
    return RewardedResponse(total_reward(scored, settings), rewards, scored)


def _check_lengths(rows: int, given: Mapping[str, Sequence[Any] | None]) -> None:
    for name, values in given.items():
        if values is not None and len(values) != rows:
            raise UsageError(f"{name} has {len(values)} entries and problems has {rows}; give one of each a response")
    if rows and given["completion_ids"] is None and given["completions"] is None:
        raise UsageError("there are neither completion_ids nor completions; give the responses as ids or as texts")


def _by_row(value: Any, names: Sequence[str]) -> list[Any]:
    """Return one value a row; a list has one for each already."""
    if not isinstance(value, list | tuple):
        return [value] * len(names)
    if len(value) != len(names):
        raise UsageError(f"there are {len(names)} responses and {len(value)} of tokenizer or reward; give one a row")
    return list(value)


def _budget_of(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{where}: budget is {value!r:.60}; expected a whole number of tokens above 0")
    return value


def _check_prompt(prompt: Any, problems: Iterable[Problem], where: str) -> None:
    """Make sure that a prompt asks the problems by which its response is judged."""
    parts = prompt if isinstance(prompt, list) else [{"content": prompt}]
    text, place = "\n".join(str(part.get("content")) for part in parts), 0
    for problem in problems:
        place = text.find(problem.question, place)
        if place < 0:
            raise UsageError(
                f"{where}: its prompt does not ask problem {problem.id!r} in its place, so the response is to another "
                "exam; keep prompt and problems of a row together"
            )


def _response_of(ids: Any, completion: Any, budget: int, tokenizer: Any, where: str) -> Response:
    """Return a response that ends at its budget, from ids if there are any, else from the text."""
    if ids is not None:
        if tokenizer is None:
            raise UsageError(f"{where}: token ids cannot be read without a tokenizer; name the model's")
        try:
            return generated_response([int(token) for token in ids], budget, tokenizer)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{where}: completion_ids are {ids!r:.60}; expected token ids of the model") from error
    text = completion
    if isinstance(completion, list):
        text = "".join(str(part.get("content") or "") for part in completion if part.get("role") == "assistant")
    if not isinstance(text, str):
        raise UsageError(
            f"{where}: the completion is {completion!r:.60}; expected a text or chat messages, or give ids"
        )
    if tokenizer is None:
        return Response(text)
    kept, tokens = _counter(tokenizer).cut(text, budget)
    return Response(kept, Usage(budget, "length", "retokenized") if tokens > budget else None)


def _tokenizer(value: Any) -> Any:
    """Return the tokenizer that a row names, loaded once per process, or the one that it holds."""
    if not isinstance(value, str):
        return value
    from roi_bench.exams.tiny import model_path
    from roi_bench.records.tokenizer import load_tokenizer

    return load_tokenizer(str(model_path()) if value == TINY else value)


def _counter(tokenizer: Any) -> Any:
    from roi_bench.records.tokenizer import HFTokenCounter

    return None if tokenizer is None else HFTokenCounter(tokenizer)


# Numbers of a batch of responses, for logs.


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """Summary of a scored response, small enough for processes to exchange.

    Attributes:
        correct: Right answers.
        skipped: Tiers of the skipped problems.
        levels: ``(predicted, actual)`` of each attempt that has both.
        truncated: Whether the budget ended it.
    """

    correct: int
    skipped: tuple[str, ...]
    levels: tuple[tuple[int, int], ...]
    truncated: bool


def record_of(scored: ScoredResponse) -> RolloutRecord:
    """Return the record of a scored response."""
    return RolloutRecord(
        correct=scored.score,
        skipped=tuple(item.tier for item in scored.problems if item.outcome == "skipped"),
        levels=tuple(
            (item.level, item.actual_level)
            for item in scored.problems
            if item.level is not None and item.actual_level is not None
        ),
        truncated=scored.usage is not None and scored.usage.finish_reason == "length",
    )


def training_numbers(records: Sequence[RolloutRecord]) -> dict[str, float]:
    """Return the numbers of a batch of responses: score, skip rate by tier, level accuracy, share truncated."""
    if not records:
        return {}
    numbers = {
        "score": sum(item.correct for item in records) / len(records),
        "truncated": sum(item.truncated for item in records) / len(records),
    }
    for tier in TIERS:
        numbers[f"skip_rate_{tier}"] = sum(tier in item.skipped for item in records) / len(records)
    levels = [pair for item in records for pair in item.levels]
    if levels:
        numbers["level_accuracy"] = sum(predicted == actual for predicted, actual in levels) / len(levels)
    return numbers
