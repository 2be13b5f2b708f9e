"""Whether two engines gave the same: texts, where they part, token counts, finish reasons, outcomes, scores. Pure"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from roi_bench.analysis.engine_runs import TWO_ENGINES, Asked, Encoder, EngineRun, kind_of
from roi_bench.analysis.paired import PairedDifference, compare_paired
from roi_bench.analysis.tables import interval_around
from roi_bench.scoring.tokens import FinishReason, Usage

Key = tuple[str, int, int]
"""Exam id, index of the request (0: the task's order, 1: the easy order), index of the sample."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many; unknown of none."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share, 0–1; None of none."""
        return self.count / self.of if self.of else None


def share(seen: Iterable[bool | None]) -> Share:
    """Return how many of ``seen`` are true; None is left out."""
    known = [item for item in seen if item is not None]
    return Share(sum(known), len(known))


@dataclass(frozen=True, slots=True)
class GivenResponse:
    """What an engine gave to one request.

    Attributes:
        text: Visible text.
        usage: Tokens and finish reason, counted from the text where nothing better is known; None: unknown.
        outcomes: Outcome of each problem by position.
        counted: What the engine itself counted, None where it counted nothing.
    """

    text: str
    usage: Usage | None
    outcomes: tuple[str, ...]
    counted: Usage | None = None


@dataclass(frozen=True, slots=True)
class ResponsePair:
    """Two responses to one request.

    Attributes:
        exam: Id of the exam.
        order: Order in which it was asked.
        sample: Index of the sample.
        a: The reference's response.
        b: The other one.
        first_character: Index of the first character that differs; None: the texts are identical.
        first_token: Index of the first token that differs, counted in the texts encoded again; None also where no
            tokenizer is known. Where one text ends, the other's next token is the first that differs.
    """

    exam: str
    order: str
    sample: int
    a: GivenResponse
    b: GivenResponse
    first_character: int | None
    first_token: int | None

    @property
    def same_tokens(self) -> bool | None:
        """Whether both took as many tokens; None where a count is unknown."""
        return None if self.a.usage is None or self.b.usage is None else self.a.usage.tokens == self.b.usage.tokens

    @property
    def same_finish(self) -> bool | None:
        """Whether both ended for the same reason; None where a reason is unknown."""
        reasons = finish_of(self.a), finish_of(self.b)
        return None if None in reasons else reasons[0] == reasons[1]

    @property
    def same_outcomes(self) -> bool:
        """Whether all problems ended alike."""
        return self.a.outcomes == self.b.outcomes


def finish_of(given: GivenResponse) -> FinishReason | None:
    """Return why a response ended, None where that is unknown."""
    return given.usage.finish_reason if given.usage else None


def first_difference(a: Sequence[object], b: Sequence[object]) -> int | None:
    """Return the first index at which two sequences differ (the length of one that the other goes on), or None."""
    length = min(len(a), len(b))
    different = next((index for index in range(length) if a[index] != b[index]), length)
    return None if different == len(a) == len(b) else different


def responses_of(run: EngineRun) -> dict[Key, GivenResponse | None]:
    """Return what an engine gave to each request; None where no response could be had."""
    found: dict[Key, GivenResponse | None] = {}
    for document in run.run.task.documents:
        for sample, scored in enumerate(run.run.scored[document.id]):
            for request, told in enumerate((scored.main, scored.easy)):
                raw = document.requests[request][sample]
                outcomes = tuple(problem.outcome for problem in told.problems)
                text = raw.text if isinstance(raw.text, str) else ""
                given = None if told.failed else GivenResponse(text, told.usage, outcomes, raw.usage)
                found[document.id, request, sample] = given
    return found


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two runs of one task, response by response, on the exams that both have.

    Attributes:
        a: The reference.
        b: The other run.
        differs: What is recorded of the engines and differs.
        responses: The responses that both have.
        missing: Responses that one of them could not get.
        prompts: Exams whose prompts as sent are equal; of none where that cannot be seen.
        prompt_tokens: Responses whose engines counted as many tokens in the prompt.
    """

    a: EngineRun
    b: EngineRun
    differs: tuple[str, ...]
    responses: tuple[ResponsePair, ...]
    missing: int
    prompts: Share
    prompt_tokens: Share

    @property
    def texts(self) -> Share:
        """Identical texts."""
        return share(pair.first_character is None for pair in self.responses)

    @property
    def kind(self) -> str:
        """What the pair tells about: two engines, or one engine by itself (:data:`.engine_runs.KINDS`)."""
        return kind_of(self.a.engine, self.b.engine)


def compare_engines(a: EngineRun, b: EngineRun) -> PairAgreement:
    """Compare two runs of one task, response by response; ``a`` is the reference."""
    given_a, given_b = responses_of(a), responses_of(b)
    common = [key for key in given_a if key in given_b]
    encode = a.encode or b.encode
    orders = (a.run.cell.order, "easy")
    pairs = []
    for exam, request, sample in common:
        of_a, of_b = given_a[exam, request, sample], given_b[exam, request, sample]
        if of_a is not None and of_b is not None:
            character, token = _where(of_a.text, of_b.text, encode)
            pairs.append(ResponsePair(exam, orders[request], sample, of_a, of_b, character, token))
    return PairAgreement(
        a=a,
        b=b,
        differs=a.engine.differences(b.engine),
        responses=tuple(pairs),
        missing=len(common) - len(pairs),
        prompts=share(_same_prompts(a, b, exam) for exam in dict.fromkeys(exam for exam, _, _ in common)),
        prompt_tokens=share(_same_prompt_tokens(a, b, key) for key in common),
    )


def _where(a: str, b: str, encode: Encoder | None) -> tuple[int | None, int | None]:
    """Return the first character and the first token at which two texts differ."""
    character = first_difference(a, b)
    if character is None or encode is None:
        return character, None
    return character, first_difference(encode(a), encode(b))


def _same_prompts(a: EngineRun, b: EngineRun, exam: str) -> bool | None:
    if a.sends_messages != b.sends_messages or exam not in a.asked or exam not in b.asked:
        return None
    prompts = a.asked[exam].prompts, b.asked[exam].prompts
    return None if None in prompts[0] + prompts[1] else prompts[0] == prompts[1]


def _same_prompt_tokens(a: EngineRun, b: EngineRun, key: Key) -> bool | None:
    counts = [_prompt_tokens(run.asked, key) for run in (a, b)]
    return None if None in counts else counts[0] == counts[1]


def _prompt_tokens(asked: Mapping[str, Asked], key: Key) -> int | None:
    exam, request, sample = key
    try:
        return asked[exam].tokens[request][sample]
    except LookupError:
        return None


def pairs_to_compare(runs: Sequence[EngineRun], *, all_pairs: bool = False) -> list[tuple[EngineRun, EngineRun]]:
    """Return the pairs of ``runs``: each with the first, or all; and always those of one engine with itself."""
    return [
        (a, b)
        for a, b in combinations(runs, 2)
        if all_pairs or a is runs[0] or kind_of(a.engine, b.engine) != TWO_ENGINES
    ]


def score_difference(pair: PairAgreement, metric: str, target: str = "general") -> PairedDifference | None:
    """Return B − A in ``metric``, exam by exam; None where no exam has all responses of both."""
    of_a, of_b = pair.a.run.terms(metric), pair.b.run.terms(metric)
    return compare_paired(of_b, of_a, target=target) if of_a.keys() & of_b.keys() else None


def verdict(found: PairedDifference | None) -> str | None:
    """Return whether a difference of scores is more than the noise, in words; None where there is none to speak of."""
    if found is None or found.difference is None:
        return None
    if not found.discordant:
        return "equal on every exam"
    shown = interval_around(found.difference, found.interval)
    if shown.low is None or shown.high is None:
        return "noise unknown"  # fewer than two clusters, or a difference that is the same on every exam
    return "within the noise" if shown.low <= 0 <= shown.high else "more than the noise"


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the responses of a run are, and whether that is what its tokenizer makes of their texts.

    Attributes:
        responses: Responses that there are.
        counted: Those that the engine counted itself and whose text is whole: equal to the text encoded again (and the
            end token, where the response ended by itself).
        off: By how many tokens the unequal ones are off, engine − text, each value with how often it occurs.
        at_budget: Those of known length that took exactly the budget.
        cut: Those of known end that the budget ended.
    """

    responses: int
    counted: Share
    off: tuple[tuple[int, int], ...]
    at_budget: Share
    cut: Share


def lengths_of(run: EngineRun) -> Lengths:
    """Return how long the responses of a run are.

    Text encoded again may have another length than what was generated: a model can write a word in other tokens than
    its tokenizer would.
    """
    record = run.run.task.record
    given = [item for item in responses_of(run).values() if item is not None]
    gaps: list[int] = []
    for item in given:
        expected = _expected_tokens(item, run.encode) if record.text_is_whole else None
        if expected is not None and item.counted is not None:
            gaps.append(item.counted.tokens - expected)
    off = {gap: gaps.count(gap) for gap in sorted(set(gaps)) if gap}
    return Lengths(
        responses=len(given),
        counted=share(gap == 0 for gap in gaps),
        off=tuple(off.items()),
        at_budget=share(item.usage.tokens == record.budget for item in given if item.usage is not None),
        cut=share(finish_of(item) == "length" for item in given if finish_of(item) is not None),
    )


def _expected_tokens(given: GivenResponse, encode: Encoder | None) -> int | None:
    """Return how many tokens a response should have by its text; None where the engine counted nothing itself."""
    if encode is None or given.counted is None or given.counted.source == "retokenized":
        return None
    return len(encode(given.text)) + (given.counted.finish_reason == "stop")


@dataclass(frozen=True, slots=True)
class TokenGap:
    """How near a tie was where two responses part.

    Attributes:
        pair: The two responses.
        gap: Difference of the two largest logits at the first token that differs, in float32.
        best: The ids of the two tokens with the largest logits.
        tokens: The ids that A and B took there; None where the budget ended the text.
    """

    pair: ResponsePair
    gap: float
    best: tuple[int, int]
    tokens: tuple[int | None, int | None]

    @property
    def are_best(self) -> bool:
        """Whether A and B took the two best tokens."""
        return set(self.tokens) == set(self.best)
