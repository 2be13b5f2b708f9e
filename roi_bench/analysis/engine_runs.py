"""Runs of one model on several engines: what generated each, what it was sent, and whether two can be compared. Pure"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roi_bench.analysis.runs import ScoredRun
from roi_bench.errors import UsageError
from roi_bench.records.journal import canonical_json
from roi_bench.records.results import RecordedTask
from roi_bench.records.sending import CHAT_TEMPLATE, MESSAGES, TEXT

Encoder = Callable[[str], Sequence[int]]
"""Turns text into token ids, no special tokens added."""

MAIN_FACTS = ("version", "dtype", "quantization", "batch_size", "decoding")
"""Facts of an engine that have a column of their own."""

BATCH_FACTS = frozenset({"batch_size", "batch_size_is_automatic"})
"""Facts in which two runs of one engine differ that were asked in other batches."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What generated the responses of a run.

    Attributes:
        name: Its name: ``hf``, ``vllm``, ``api``, …
        facts: Its version, dtype, batch size and so on as text, by name; what a file does not say is missing.
    """

    name: str
    facts: Mapping[str, str]

    def differences(self, other: Engine) -> tuple[str, ...]:
        """Return what is recorded of both and differs: ``engine``, names of facts.

        Versions of two engines are not compared: they count different things.
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
    """Return what a results file (JSON) says of its engine.

    ``roi-bench run`` records it under ``roi_bench.engine``; of other files, lm_eval's own configuration tells a part.
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
    """Return whose decoding all tasks of a results file had, as recorded; None where they differ or do not say."""
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
"""What a pair of runs tells about. One engine in another version, dtype or decoding counts as two."""


def kind_of(a: Engine, b: Engine) -> str:
    """Return what two runs on ``a`` and ``b`` tell about, one of :data:`KINDS`."""
    differences = set(a.differences(b))
    if not differences:
        return ONE_TWICE
    return ONE_BATCHED_OTHERWISE if a.name == b.name and differences <= BATCH_FACTS else TWO_ENGINES


def engine_names(engines: Sequence[Engine]) -> list[str]:
    """Return a name for each run: its engine, with what sets it apart from others of that engine, else a number."""
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
class Asked:
    """What was sent to get the responses of one exam.

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
    asked: Mapping[str, Asked]
    encode: Encoder | None = None
    seconds: float | None = None
    generated: int | None = None

    @property
    def sends_messages(self) -> bool:
        """Whether prompts went as messages, so that nobody sees the text that a server made of them."""
        return self.run.task.record.sent_as == MESSAGES

    @property
    def tokens_per_second(self) -> float | None:
        """Generated tokens by seconds of the whole evaluation."""
        return self.generated / self.seconds if self.generated is not None and self.seconds else None


def check_comparable(reference: RecordedTask, other: RecordedTask, *, allow_sampled: bool = False) -> None:
    """Check that two recorded tasks asked the same of their engines.

    Args:
        reference: One task.
        other: Another of the same name.
        allow_sampled: Take runs that were sampled.

    Raises:
        UsageError: They asked something else, or with other sampling; the message says what.
    """
    for task in () if allow_sampled else (reference, other):
        if sampling := _sampling(task):
            raise UsageError(
                f"{task.results_path}: {task.name} was sampled ({sampling}): its texts differ by chance, and say "
                "nothing of the engine; run it greedily, or add --allow-sampled"
            )
    if _own_decoding(reference) != _own_decoding(other):
        told = ["model" if _own_decoding(task) else "neutral" for task in (reference, other)]
        raise UsageError(_other(reference, other, "decoding", *told))
    for name in _SAME:
        mine, theirs = getattr(reference.record, name), getattr(other.record, name)
        if mine != theirs:
            raise UsageError(_other(reference, other, name, mine, theirs))
    if _decoded(reference) != _decoded(other):
        told = [_sampling(task) or "greedy" for task in (reference, other)]
        raise UsageError(_other(reference, other, "sampling", *told))
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
        f"{other.results_path}: {other.name} has {name} {theirs}, {reference.results_path} has {mine}: they were not "
        "asked the same, so differences say nothing of the engines; name runs of the same command"
    )


def _sampling(task: RecordedTask) -> str | None:
    """Return why the responses of a task may differ by chance, or None where it was decoded greedily."""
    temperature, sampled = _decoded(task)
    if temperature or sampled:
        return f"temperature {temperature:g}" if temperature else "do_sample"
    return next((label for label in task.record.deviations if label in ("omit=temperature", "decoding=model")), None)


def _own_decoding(task: RecordedTask) -> bool:
    """Return whether the model's own configuration chose tokens; records that do not say it have the task's."""
    return task.decoding.get("decoding") == "model"


def _decoded(task: RecordedTask) -> tuple[float, bool]:
    """Return the temperature of a task and whether it was sampled."""
    try:
        temperature = float(task.decoding.get("temperature") or 0)
    except (TypeError, ValueError):
        temperature = 0.0
    return temperature, bool(task.decoding.get("do_sample", temperature > 0))
