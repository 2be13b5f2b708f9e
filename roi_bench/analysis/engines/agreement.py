"""How far two engines agree: texts, where they diverge, token counts, finish reasons, outcomes, scores. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from roi_bench.analysis.paired import PairedDifference, compare_paired
from roi_bench.analysis.reports.tables import interval_around
from roi_bench.analysis.runs import ScoredRun
from roi_bench.errors import UsageError
from roi_bench.records.journal import canonical_json
from roi_bench.records.results import CHAT_TEMPLATE, MESSAGES, TEXT, RecordedTask
from roi_bench.scoring.tokens import FinishReason, Usage

# Runs of one model on several engines: the engine, the prompts sent, and whether two runs can be compared. Pure.

Encoder = Callable[[str], Sequence[int]]
"""Turns text into token ids, no special tokens added."""

MAIN_FACTS = ("server", "version", "dtype", "quantization", "batch_size", "decoding")
"""Facts of an engine that have a column of their own."""

BATCH_FACTS = frozenset({"batch_size", "batch_size_is_automatic"})
"""Facts in which two runs of one engine differ that were asked in other batches."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that generated the responses of a run.

    Attributes:
        name: Its name: ``hf``, ``vllm``, ``api``, …
        facts: Its version, dtype, batch size and so on as text, by name; unrecorded facts are missing.
    """

    name: str
    facts: Mapping[str, str]

    def differences(self, other: Engine) -> tuple[str, ...]:
        """Return the names of facts that are recorded for both and differ, or ``engine``.

        Versions of different engines are not compared.
        """
        if self.name != other.name:
            shared = [name for name in self.facts if name in other.facts and name not in ("version", *BATCH_FACTS)]
            found = [name for name in shared if self.facts[name] != other.facts[name]]
            return ("engine", *(["batch_size"] if self._batch_differs(other) else []), *found)
        return tuple(n for n, fact in self.facts.items() if n in other.facts and other.facts[n] != fact)

    def _batch_differs(self, other: Engine) -> bool:
        mine, theirs = self.facts.get("batch_size"), other.facts.get("batch_size")
        return None not in (mine, theirs) and mine != theirs


def engine_of(document: Mapping[str, Any]) -> Engine:
    """Return the engine recorded in a results file (JSON).

    ``roi-bench run`` records it under ``roi_bench.engine``; other files have some of it in lm_eval's own configuration.
    """
    config = _object(document.get("config"))
    run = _object(document.get("roi_bench"))
    recorded = _object(run.get("engine"))
    known: dict[str, Any] = {"batch_size": config.get("batch_size"), "dtype": config.get("model_dtype")}
    known["decoding"] = run.get("decoding") or _decoding(document)
    if config.get("model") == "hf":
        known["version"] = document.get("transformers_version")
    facts = {name: _shown(value) for name, value in known.items() if value is not None}
    facts |= {name: _shown(value) for name, value in recorded.items() if name != "name"}
    return Engine(str(recorded.get("name") or config.get("model") or "unknown"), facts)


def _decoding(document: Mapping[str, Any]) -> str | None:
    """Return the decoding recorded for all tasks of a results file; None if they differ or do not say."""
    configs = _object(document.get("configs")).values()
    records = [_object(_object(_object(config).get("metadata")).get("roi_bench")) for config in configs]
    found = {str(record["decoding"]) for record in records if record.get("decoding") is not None}
    return found.pop() if len(found) == 1 else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value).removeprefix("torch.") if isinstance(value, str | int | float) else canonical_json(value)


TWO_ENGINES, ONE_BATCHED_OTHERWISE, ONE_TWICE = "two engines", "one engine, two batch sizes", "one engine, run twice"
KINDS = (TWO_ENGINES, ONE_BATCHED_OTHERWISE, ONE_TWICE)
"""What a pair of runs compares. One engine in another version, dtype or decoding counts as two."""


def kind_of(a: Engine, b: Engine) -> str:
    """Return what two runs on ``a`` and ``b`` compare, one of :data:`KINDS`."""
    differences = set(a.differences(b))
    if not differences:
        return ONE_TWICE
    return ONE_BATCHED_OTHERWISE if a.name == b.name and differences <= BATCH_FACTS else TWO_ENGINES


def engine_names(engines: Sequence[Engine]) -> list[str]:
    """Return a name for each run: its engine, with facts that set it apart from others of that engine, or a number."""
    found, seen = [], Counter[str]()
    for engine in engines:
        alike = [other for other in engines if other.name == engine.name]
        apart = [name for name in MAIN_FACTS if any(name in engine.differences(other) for other in alike)]
        labels = ", ".join(f"{name}={engine.facts[name]}" for name in apart)
        name = f"{engine.name} [{labels}]" if labels else engine.name
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


@dataclass(frozen=True, slots=True)
class SentPrompts:
    """The prompts sent for one exam.

    Attributes:
        prompts: The prompt as sent, by request (task's order, easy order), messages as JSON; None: not recorded.
        tokens: Tokens of each prompt by request and sample as the engine counted them; None: not recorded.
    """

    prompts: tuple[str | None, ...]
    tokens: tuple[tuple[int | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class EngineRun:
    """One task of one run with its engine.

    Attributes:
        name: What tables call it; distinct among the runs compared.
        engine: What generated it.
        run: The task with its scored samples.
        asked: What was sent, by exam id.
        encode: Its tokenizer, or None where none is known.
        seconds: Seconds of the whole evaluation that wrote its results file, or None.
        generated: Tokens generated in these seconds; None where they are unknown or the run was resumed.
    """

    name: str
    engine: Engine
    run: ScoredRun
    asked: Mapping[str, SentPrompts]
    encode: Encoder | None = None
    seconds: float | None = None
    generated: int | None = None

    @property
    def sends_messages(self) -> bool:
        """Whether prompts were sent as messages, so that the text that a server made of them is not visible."""
        return self.run.task.record.sent_as == MESSAGES

    @property
    def tokens_per_second(self) -> float | None:
        """Generated tokens per second of the whole evaluation."""
        return self.generated / self.seconds if self.generated is not None and self.seconds else None


def check_comparable(reference: RecordedTask, other: RecordedTask, *, allow_sampled: bool = False) -> None:
    """Check that two recorded tasks sent the same to their engines.

    Args:
        reference: One task.
        other: Another of the same name.
        allow_sampled: Allow sampled runs.

    Raises:
        UsageError: Tasks or sampling differ; the message says in what.
    """
    for task in () if allow_sampled else (reference, other):
        if sampling := _sampling(task):
            raise UsageError(
                f"{task.results_path}: {task.name} was sampled ({sampling}): its texts differ by chance and say "
                "nothing about the engine; run it greedily, or add --allow-sampled"
            )
    if _own_decoding(reference) != _own_decoding(other):
        decodings = ["model" if _own_decoding(task) else "neutral" for task in (reference, other)]
        raise UsageError(_other(reference, other, "decoding", *decodings))
    for name in _SAME:
        mine, theirs = getattr(reference.record, name), getattr(other.record, name)
        if mine != theirs:
            raise UsageError(_other(reference, other, name, mine, theirs))
    if _decoded(reference) != _decoded(other):
        samplings = [_sampling(task) or "greedy" for task in (reference, other)]
        raise UsageError(_other(reference, other, "sampling", *samplings))
    ways = {task.record.sent_as for task in (reference, other)}
    if TEXT in ways and ways & {CHAT_TEMPLATE, MESSAGES}:
        raise UsageError(_other(reference, other, "sent_as", reference.record.sent_as, other.record.sent_as))
    templates = [task.record.chat_template_sha256 for task in (reference, other)]
    if ways == {CHAT_TEMPLATE} and None not in templates and templates[0] != templates[1]:
        raise UsageError(_other(reference, other, "chat_template_sha256", *templates))


_SAME = (
    *("form", "exam_set", "exam_seed", "order", "budget", "repeats", "prompt", "prompt_sha256", "paraphrase"),
    "system_instruction_sha256",
)
"""What two records have to have in common."""


def _other(reference: RecordedTask, other: RecordedTask, name: str, mine: object, theirs: object) -> str:
    return (
        f"{other.results_path}: {other.name} has {name} {theirs}, {reference.results_path} has {mine}: their requests "
        "differ, so differences say nothing about the engines; name runs of the same command"
    )


def _sampling(task: RecordedTask) -> str | None:
    """Return why the responses of a task may differ by chance, or None where it was decoded greedily."""
    temperature, sampled = _decoded(task)
    if temperature or sampled:
        return f"temperature {temperature:g}" if temperature else "do_sample"
    return next((label for label in task.record.deviations if label in ("omit=temperature", "decoding=model")), None)


def _own_decoding(task: RecordedTask) -> bool:
    """Return whether the model's own configuration shaped the decoding; records that do not say so used the task's."""
    return task.decoding.get("decoding") == "model"


def _decoded(task: RecordedTask) -> tuple[float, bool]:
    """Return the temperature of a task and whether it was sampled."""
    try:
        temperature = float(task.decoding.get("temperature") or 0)
    except (TypeError, ValueError):
        temperature = 0.0
    return temperature, bool(task.decoding.get("do_sample", temperature > 0))


Key = tuple[str, int, int]
"""Exam id, index of the request (0: the task's order, 1: the easy order), index of the sample."""


@dataclass(frozen=True, slots=True)
class Share:
    """A count out of a total."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share, 0–1; None if the total is 0."""
        return self.count / self.of if self.of else None


def share(seen: Iterable[bool | None]) -> Share:
    """Return how many of ``seen`` are true; None is left out."""
    known = [item for item in seen if item is not None]
    return Share(sum(known), len(known))


@dataclass(frozen=True, slots=True)
class GivenResponse:
    """An engine's response to one request.

    Attributes:
        text: Visible text.
        usage: Tokens and finish reason, counted from the text where nothing better is known; None: unknown.
        outcomes: Outcome of each problem by position.
        counted: Usage as the engine itself counted it, or None.
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
    """Return the first index at which two sequences differ (the shorter one's length if it is a prefix), or None."""
    length = min(len(a), len(b))
    different = next((index for index in range(length) if a[index] != b[index]), length)
    return None if different == len(a) == len(b) else different


def responses_of(run: EngineRun) -> dict[Key, GivenResponse | None]:
    """Return an engine's response to each request; None where there is none."""
    found: dict[Key, GivenResponse | None] = {}
    for document in run.run.task.documents:
        for sample, scored in enumerate(run.run.scored[document.id]):
            for request, response in enumerate((scored.main, scored.easy)):
                raw = document.requests[request][sample]
                outcomes = tuple(problem.outcome for problem in response.problems)
                text = raw.text if isinstance(raw.text, str) else ""
                given = None if response.failed else GivenResponse(text, response.usage, outcomes, raw.usage)
                found[document.id, request, sample] = given
    return found


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two runs of one task, response by response, on the exams that both have.

    Attributes:
        a: The reference.
        b: The other run.
        differs: Recorded facts in which the engines differ.
        responses: The responses that both have.
        missing: Responses that one of them lacks.
        prompts: Exams whose prompts as sent are equal; a total of 0 where that is not visible.
        prompt_tokens: Responses for which both engines counted the same number of prompt tokens.
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
        """What the pair compares: two engines, or one engine with itself (:data:`KINDS`)."""
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


def _prompt_tokens(asked: Mapping[str, SentPrompts], key: Key) -> int | None:
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
    """Return in words whether a difference of scores exceeds the noise; None if there is no difference to judge."""
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
    """Lengths of a run's responses, and whether they match its tokenizer.

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
    """Return the lengths of a run's responses.

    Encoded again, a text may have another length than what was generated: a model can write a word in other tokens than
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
    """How close the two best tokens were where two responses diverge.

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
