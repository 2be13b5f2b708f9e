"""Rules on single responses: none missing, none over budget, tokens that can be true; and counting them again."""

from __future__ import annotations

from collections.abc import Iterator

from roi_bench.errors import RecordError
from roi_bench.leaderboard.graded import Remark
from roi_bench.leaderboard.limits import UNUSUAL_MEAN
from roi_bench.leaderboard.recorded_tokens import RecordedTokenCounter, implausible
from roi_bench.leaderboard.recount import check_counts, counter_for
from roi_bench.leaderboard.response_files import Responses
from roi_bench.leaderboard.strict_json import shown
from roi_bench.leaderboard.submission import SubmittedTask
from roi_bench.outcomes import Response
from roi_bench.prompts import skipped_problem
from roi_bench.tokens import is_over_budget


def check_responses(task: SubmittedTask, found: Responses, where: str, *, draft: bool) -> list[Remark]:
    """Check every response of a task by itself, and return what readers have to know.

    Args:
        task: The task.
        found: Its responses.
        where: Its file in messages.
        draft: Let missing responses and unknown token counts pass.

    Raises:
        RecordError: A response is missing, over budget, or has tokens that cannot be.
    """
    missing = uncounted = characters = tokens = 0
    for name, response in _each(found):
        text, usage = response.text, response.usage
        lengths = found.token_lengths[text] if found.token_lengths is not None and isinstance(text, str) else None
        if usage is not None and is_over_budget(usage, task.budget):
            raise RecordError(
                f"{where}: a response to {shown(name)} took {usage.tokens} tokens, the budget is {task.budget}; "
                "responses over budget are not accepted"
            )
        if isinstance(text, str):
            if why := implausible(text, lengths, usage, task.budget):
                raise RecordError(f"{where}: a response to {shown(name)} {why}")
            characters += len(text)
            tokens += len(lengths) if lengths is not None else usage.tokens if usage is not None else 0
        missing += text is None and usage is None
        uncounted += text is not None and usage is None and (lengths is None or not task.text_is_whole)
    if not draft:
        _refuse_gaps(missing, uncounted, where)
    return list(_remarks(task, missing, uncounted, characters / tokens if tokens else 0.0))


def recorded_counter(
    task: SubmittedTask, found: Responses, where: str, *, recount: bool
) -> tuple[RecordedTokenCounter | None, bool]:
    """Return what knows the tokens of a task's texts and of a written skip, and whether all were counted again.

    Raises:
        RecordError: Counts are missing, cannot be, or are not those of the tokenizer.
        ModelError: The tokenizer cannot be loaded.
        DependencyError: transformers is not installed.
    """
    if task.tokenizer is None or task.skip_token_lengths is None:
        if found.token_lengths is not None:
            raise RecordError(f"{where}: has token_lengths, and submission.json names no tokenizer")
        return None, False
    if found.token_lengths is None and any(isinstance(response.text, str) for _, response in _each(found)):
        raise RecordError(f"{where}: has no token_lengths, and submission.json names tokenizer {shown(task.tokenizer)}")
    skip = skipped_problem(1)
    if why := implausible(skip, task.skip_token_lengths, None, len(skip)):
        raise RecordError(f"{where}: a written skip {why}")
    recorded = {skip: task.skip_token_lengths, **(found.token_lengths or {})}
    if list(recorded[skip]) != list(task.skip_token_lengths):
        raise RecordError(f"{where}: a written skip has two counts of tokens")
    counter = counter_for(task.tokenizer, task.tokenizer_revision, recount=recount)
    if counter is not None:
        check_counts(recorded, counter, where, task.tokenizer)
    return RecordedTokenCounter(recorded), counter is not None


def _each(found: Responses) -> Iterator[tuple[str, Response]]:
    for document in found.documents:
        for samples in document.requests:
            for response in samples:
                yield document.id, response


def _refuse_gaps(missing: int, uncounted: int, where: str) -> None:
    if missing:
        raise RecordError(
            f"{where}: {missing} responses could not be had; run the same command again (it asks for the missing ones "
            "only), then pack"
        )
    if uncounted:
        raise RecordError(
            f"{where}: the tokens of {uncounted} responses are unknown, so nobody can tell whether they kept to the "
            "budget; pack with --tokenizer, or run with a backend that reports usage"
        )


def _remarks(task: SubmittedTask, missing: int, uncounted: int, mean: float) -> Iterator[Remark]:
    if missing:
        yield Remark("missing", f"{task.name}: {missing} responses could not be had")
    if uncounted:
        yield Remark("tokens", f"{task.name}: the tokens of {uncounted} responses are unknown")
    if mean > UNUSUAL_MEAN:
        yield Remark("tokens", f"{task.name}: {mean:.1f} characters per token, which is unusual")
