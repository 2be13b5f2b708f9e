"""Rules on single responses: none missing, none over budget, plausible token counts; and counting tokens again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from roi_bench.errors import ModelError, RecordError
from roi_bench.exams.tiny import SHIPPED_MODELS, model_path
from roi_bench.leaderboard.board.graded import Remark
from roi_bench.leaderboard.checks.reference_tokens import (
    REFERENCES,
    counts_by_first,
    first_over_budget,
    most_tokens,
    reference_of,
)
from roi_bench.leaderboard.submission.response_files import (
    Lengths,
    RecordedTokenCounter,
    Responses,
    implausible,
    is_unusual,
    least_tokens,
    lengths_of,
    miscounted,
    shortened,
    too_few,
)
from roi_bench.leaderboard.submission.schema import SubmittedTask
from roi_bench.leaderboard.submission.untrusted_files import UNUSUAL_MEAN, UNUSUAL_OF_ONE, shown
from roi_bench.records.tokenizer import FileTokenCounter, load_token_counter
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import LEVEL_TAG, find_prompt, skipped_problem
from roi_bench.scoring.tokens import TokenCounter, is_over_budget

# Counting the tokens of a submission again, with the tokenizer that it names; never with code that it brings.

SHIPPED_PREFIX, LOCAL_PREFIX = "roi-bench:", "local:"
"""Names of tokenizers that come with this package, and of those that only the submitter has."""


def shipped_name(folder: str) -> str:
    """Return the name of the shipped model in ``folder`` of the package's data, ``roi-bench:tiny_rarl``."""
    return f"{SHIPPED_PREFIX}{folder}"


@lru_cache(maxsize=4)
def shipped_counter(name: str) -> TokenCounter:
    """Return the counter of the shipped tokenizer called ``name``.

    Raises:
        DependencyError: tokenizers is not installed.
    """
    stage = next(stage for stage, folder in SHIPPED_MODELS.items() if shipped_name(folder) == name)
    return FileTokenCounter(model_path(stage) / "tokenizer.json")


def counter_for(name: str, revision: str | None, *, recount: bool) -> TokenCounter | None:
    """Return what to count again with: a shipped or a reference tokenizer always, one on the hub with ``recount``.

    None where none of them is the one that is named.

    Raises:
        RecordError: The name, which is untrusted, is that of a folder here.
        DependencyError: tokenizers or transformers is not installed.
        ModelError: The tokenizer cannot be loaded.
    """
    if name.startswith(SHIPPED_PREFIX):
        return shipped_counter(name)
    if name.startswith(LOCAL_PREFIX):
        return None
    if (reference := reference_of(name)) is not None:
        return reference
    if not recount:
        return None
    if Path(name).exists():
        raise RecordError(f"tokenizer {shown(name)!r} is also a folder here and would be taken for it; work elsewhere")
    return load_token_counter(name, revision=revision, trust_remote_code=False)


def check_counts(recorded: Mapping[str, Lengths], counter: TokenCounter, where: str, tokenizer: str) -> None:
    """Compare recorded token lengths, by text, with what ``counter`` finds.

    Raises:
        RecordError: A text has other tokens.
        ModelError: The tokenizer fails.
    """
    for text, lengths in recorded.items():
        try:
            found = lengths_of(counter.token_starts(text))
        except Exception as error:  # the tokenizer is untrusted: the submitter chose it, and may have made it
            raise ModelError(f"{where}: tokenizer {shown(tokenizer)} fails: {shown(error)}") from error
        if list(found) != list(lengths):
            recorded_count = "others" if len(found) == len(lengths) else str(len(lengths))
            raise RecordError(
                f"{where}: a response of {len(text)} characters has {len(found)} tokens by {shown(tokenizer)}, "
                f"recorded are {recorded_count}; the response was altered, or its counts were"
            )


UNUSUAL = "unusual tokens"
"""Rule of remarks that only say something while the tokens were not counted again."""

TOO_FEW = "too few tokens"
"""Rule of the remark for which a submission is refused unless its tokens were counted again."""


def check_responses(task: SubmittedTask, found: Responses, where: str, *, draft: bool) -> list[Remark]:
    """Check every response of a task by itself, and return what readers have to know, or (:data:`TOO_FEW`) refuse.

    Args:
        task: The task.
        found: Its responses.
        where: Its file in messages.
        draft: Let missing responses and unknown token counts pass.

    Raises:
        RecordError: A response is missing, over budget, or has impossible token counts.
    """
    missing = uncounted = characters = tokens = unusual = least = claimed = 0
    few = None
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
            if lengths is not None and usage is not None:
                least, claimed = least + least_tokens(len(lengths)), claimed + usage.tokens
            count = len(lengths) if lengths is not None else usage.tokens if usage is not None else None
            characters += len(text)
            tokens += count or 0
            unusual += count is not None and is_unusual(text, count)
            if few is None and count is not None and (why := too_few(text, count)):
                few = Remark(TOO_FEW, f"{where}: a response to {shown(name)} {why}")
        missing += text is None and usage is None
        uncounted += text is not None and usage is None and (lengths is None or not task.text_is_whole)
    if claimed < least:
        raise RecordError(
            f"{where}: its responses claim to have taken {claimed} tokens together; by their texts at least {least}"
        )
    if not draft:
        _refuse_gaps(missing, uncounted, where)
    noticed = _remarks(task, missing, uncounted, unusual, characters / tokens if tokens else 0.0)
    return [*([] if few is None else [few]), *noticed]


LEVELS_SEEN = 0.1
"""Share of responses with level tags from which on a prompt that asks for none is doubted."""

_LEVEL = LEVEL_TAG.partition(">")[0]


def prompt_remarks(task: SubmittedTask, found: Responses) -> list[Remark]:
    """Return a remark where responses do not look like ones to the prompt that a task names: by their level tags."""
    texts = [response.text for _, response in _each(found) if isinstance(response.text, str)]
    tagged = sum(_LEVEL in text for text in texts)
    asks = _LEVEL in find_prompt(task.prompt, task.paraphrase).template
    if not asks and tagged > LEVELS_SEEN * len(texts):
        why = "which that prompt does not ask for: was another one asked, or a model that was trained to write them?"
        return [
            Remark("prompt", f"{task.name}: {tagged} of {len(texts)} responses to {task.prompt} have level tags, {why}")
        ]
    if asks and texts and not tagged:
        why = "which that prompt asks for before each problem"
        return [
            Remark("prompt", f"{task.name}: none of {len(texts)} responses to {task.prompt} has a level tag, {why}")
        ]
    return []


def recorded_counter(
    task: SubmittedTask, found: Responses, where: str, *, recount: bool
) -> tuple[RecordedTokenCounter | None, Remark | None]:
    """Return what knows the tokens of a task's texts and of a written skip.

    With it comes the reason why they were not counted again, None where they were. A tokenizer that cannot be loaded is
    no reason to refuse: its name is untrusted, and the network may be down.

    Raises:
        RecordError: Counts are missing, cannot be, or are not those of the tokenizer.
        DependencyError: tokenizers or transformers is not installed.
    """
    if task.tokenizer is None or task.skip_token_lengths is None:
        if found.token_lengths is not None:
            raise RecordError(f"{where}: has token_lengths, and submission.json names no tokenizer")
        return None, Remark(
            "tokens", f"{task.name}: tokens are as reported; no tokenizer was named to count again with"
        )
    if found.token_lengths is None and any(isinstance(response.text, str) for _, response in _each(found)):
        raise RecordError(f"{where}: has no token_lengths, and submission.json names tokenizer {shown(task.tokenizer)}")
    skip = skipped_problem(1)
    if why := implausible(skip, task.skip_token_lengths, None, len(skip)) or too_few(
        skip, len(task.skip_token_lengths)
    ):
        raise RecordError(f"{where}: a written skip {why}")
    recorded = {skip: task.skip_token_lengths, **(found.token_lengths or {})}
    if list(recorded[skip]) != list(task.skip_token_lengths):
        raise RecordError(f"{where}: a written skip has two counts of tokens")
    reason = ""
    try:
        counter = counter_for(task.tokenizer, task.tokenizer_revision, recount=recount)
        if counter is not None:
            check_counts(recorded, counter, where, task.tokenizer)
            _check_usage(found, where)
            return RecordedTokenCounter(recorded), None
    except ModelError:  # its text, of the hub or of a library, is nothing for a page
        reason = ", since that tokenizer cannot be loaded or used"
    text = f"{task.name}: tokens are as submitted, by {task.tokenizer}, and were not counted again{reason}"
    return RecordedTokenCounter(recorded), Remark("tokens", text)


REPORTED, UNUSUAL_TOKENIZER, VISIBLE, COUNTED = "reported", "unusual tokenizer", "visible text counted", "counted"
"""How far the tokens of a task were verified, least first: only reported, bounded by the reference tokenizers; counted
again, by a tokenizer that packs far more text into a token than they do; counted again but for hidden reasoning, which
is reported; counted again."""

FEWER = 1.25
"""The reference tokenizers count so many times the reported tokens of a task before a remark is made. Over whole sets
of recorded responses the tokenizers that were held out need at least 0.95 of their count."""


def check_budget(task: SubmittedTask, found: Responses, where: str, *, counted: bool) -> tuple[str, list[Remark]]:
    """Return how far the tokens of a task were verified, and what readers have to know of that.

    Tokens that were not counted again are bounded: by the tokenizers of
    :mod:`~roi_bench.leaderboard.checks.reference_tokens`, which stand for those that a model may have.

    Args:
        task: The task.
        found: Its responses.
        where: Its file in messages.
        counted: Whether the tokens were counted again with the tokenizer that it names.

    Raises:
        RecordError: A response whose tokens were not counted again is over the budget by every reference tokenizer.
        DependencyError: tokenizers is not installed.
    """
    state = REPORTED if not counted else COUNTED if task.text_is_whole else VISIBLE
    if counted and str(task.tokenizer).startswith(SHIPPED_PREFIX):
        return state, []
    texts: dict[str, str] = {}
    for document, response in _each(found):
        if isinstance(response.text, str):
            texts.setdefault(response.text, document)
    short = [shortened(text) for text in texts]
    if (over := first_over_budget(short, task.budget)) is not None:
        place, least = over
        name = list(texts.values())[place]
        why = (
            f"has at least {least:.0f} tokens by each of the public tokenizers {', '.join(REFERENCES)}, the budget is "
            f"{task.budget}"
        )
        if counted:
            return UNUSUAL_TOKENIZER, [
                Remark("tokens", f"{task.name}: a response to {shown(name)} {why}; by {task.tokenizer} it has fewer")
            ]
        raise RecordError(
            f"{where}: a response to {shown(name)} {why}, and at most {most_tokens(task.budget)} are accepted "
            "where the model's own tokenizer is not available; name a public tokenizer, so that tokens can be recounted"
        )
    return state, [] if counted else _few_reported(task, found, dict(zip(texts, short, strict=True)))


def _few_reported(task: SubmittedTask, found: Responses, texts: Mapping[str, str]) -> list[Remark]:
    """Return a remark where the reported tokens of a task are far fewer than public tokenizers need for its texts.

    Args:
        task: The task.
        found: Its responses.
        texts: What of each text is counted.
    """
    counts = dict(zip(texts, counts_by_first(list(texts.values())), strict=True))
    said = by_reference = responses = 0
    for _, response in _each(found):
        if not isinstance(text := response.text, str):
            continue
        if response.usage is not None:
            reported = response.usage.tokens
        elif found.token_lengths is not None:
            reported = len(found.token_lengths[text])
        else:
            continue
        said, by_reference, responses = said + reported, by_reference + counts[text], responses + 1
    if by_reference <= FEWER * said + responses:
        return []
    return [
        Remark(
            "tokens",
            f"{task.name}: {said} tokens are reported for responses that have {by_reference} by the public tokenizer "
            f"{REFERENCES[0]}",
        )
    ]


def _check_usage(found: Responses, where: str) -> None:
    """Compare usage that was counted from the text with token lengths that are known to be right.

    Raises:
        RecordError: It is another.
    """
    for name, response in _each(found):
        if response.usage is None or not isinstance(response.text, str) or found.token_lengths is None:
            continue
        if miscounted(shown_tokens := len(found.token_lengths[response.text]), response.usage):
            raise RecordError(
                f"{where}: a response to {shown(name)} has {shown_tokens} tokens and says that {response.usage.tokens} "
                "were counted from its text"
            )


def _each(found: Responses) -> Iterator[tuple[str, Response]]:
    for document in found.documents:
        for samples in document.requests:
            for response in samples:
                yield document.id, response


def _refuse_gaps(missing: int, uncounted: int, where: str) -> None:
    if missing:
        raise RecordError(
            f"{where}: missing responses: {missing}; run the same command again (it asks only for the missing ones), "
            "then pack"
        )
    if uncounted:
        raise RecordError(
            f"{where}: responses with an unknown number of tokens: {uncounted}; whether they kept to the budget "
            "cannot be checked; pack with --tokenizer, or run with a backend that reports usage"
        )


def _remarks(task: SubmittedTask, missing: int, uncounted: int, unusual: int, mean: float) -> Iterator[Remark]:
    if missing:
        yield Remark("missing", f"{task.name}: missing responses: {missing}")
    if uncounted:
        yield Remark("tokens", f"{task.name}: responses with an unknown number of tokens: {uncounted}")
    if mean > UNUSUAL_MEAN:
        yield Remark(UNUSUAL, f"{task.name}: {mean:.1f} characters per token, which is unusual")
    if unusual:
        yield Remark(UNUSUAL, f"{task.name}: responses of more than {UNUSUAL_OF_ONE} characters per token: {unusual}")
