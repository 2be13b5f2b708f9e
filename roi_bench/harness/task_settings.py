"""The settings of a task: budget, prompt, chat template, and whether an exam fits the context."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roi_bench.api.gateway import is_conversation
from roi_bench.errors import ModelError, UsageError, nearest
from roi_bench.exams.exam import ORDERS, sha256_text
from roi_bench.exams.sets import EXAM_SETS
from roi_bench.harness.decoding import MARK, Decoding, asked_decoding
from roi_bench.records.results import CHAT_TEMPLATE, MESSAGES, Sending
from roi_bench.scoring.kinds import KINDS, Kind
from roi_bench.scoring.prompts import PROMPTS, Message, find_prompt, folded
from roi_bench.scoring.tokens import TokenCounter

# Do prompt and budget fit the model? If not, lm_eval would silently cut off the beginning of the prompt.

_CONFIG_NAMES = ("n_positions", "max_position_embeddings", "n_ctx")


def context_length(model_args: Mapping[str, Any]) -> int | None:
    """Return the context length in tokens that lm_eval's backends will use for ``model_args``, or None if unknown."""
    for name in ("max_length", "max_model_len"):
        if isinstance(model_args.get(name), int):
            return int(model_args[name])
    pretrained = model_args.get("pretrained")
    if not isinstance(pretrained, str):
        return None
    try:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(
            pretrained,
            revision=str(model_args.get("revision", "main")),
            trust_remote_code=bool(model_args.get("trust_remote_code", False)),
        )
    except (OSError, ValueError, ImportError):
        return None  # the backend itself will report what is wrong with this model
    config = getattr(config, "text_config", config)
    return next((int(getattr(config, name)) for name in _CONFIG_NAMES if getattr(config, name, None)), None)


def check_context(prompts: Iterable[str], budget: int, length: int, counter: TokenCounter, task: str) -> None:
    """Check that the longest of ``prompts`` plus ``budget`` fits into ``length`` tokens.

    Raises:
        ModelError: It does not.
    """
    worst = 0
    for prompt in prompts:
        if len(prompt.encode("utf-8", "replace")) + 1 > max(worst, length - budget):  # a token holds at least one byte
            worst = max(worst, len(counter.token_starts(prompt)) + 1)  # 1: a start token that some models need
    if worst + budget > length:
        raise ModelError(
            f"{task}: the longest prompt takes {worst} tokens and the budget is {budget}, but the model's context "
            f"holds {length}; use a model with a longer context or a smaller budget (--metadata '{{\"budget\": N}}')"
        )


# Chat templates and the system turn: some reject it, some drop it, and the instructions must not be lost.

_PROBE = "roi-bench asks whether a system turn is shown"


def shows_system_turn(render: Callable[[list[Message]], str]) -> bool:
    """Return whether a chat template renders the system turn; some reject it, some drop it.

    Args:
        render: Applies the chat template to messages.
    """
    from jinja2 import TemplateError

    try:
        return _PROBE in _text_of(render([{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]))
    except TemplateError:
        return False


def rendered(messages: Sequence[Message], render: Callable[[list[Message]], str]) -> str:
    """Apply a chat template to messages; a system turn that it does not render goes into the user's turn."""
    return render(templated(messages, render))


def templated(messages: Sequence[Message], render: Callable[[list[Message]], str]) -> list[Message]:
    """Return the messages for a chat template: with their system turn, or folded where it would be lost."""
    has_system = bool(messages) and messages[0]["role"] == "system"
    return folded(messages) if has_system and not shows_system_turn(render) else list(messages)


def sending_through(render: Callable[[list[Message]], str], *, with_system_turn: bool) -> Sending:
    """Return how prompts are sent if ``render`` makes them: as messages, or as the text of a template.

    Args:
        render: Applies the chat template to messages.
        with_system_turn: Whether it renders a system turn.
    """
    probe = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]
    sent = _text_of(render(probe if with_system_turn else folded(probe)))
    return Sending(MESSAGES) if is_conversation(sent) else Sending(CHAT_TEMPLATE, template_sha256(sent))


def template_sha256(sent: str) -> str:
    """Return the identity of a chat template: the SHA-256 of its text for two fixed messages, without dates.

    Unlike a hash of its source it shows which of several templates was applied, and with which options (thinking
    switched off). Some templates write today's date, which does not make another template.
    """
    return sha256_text(_DATE.sub("DATE", sent))


_DATE = re.compile(
    r"\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2} [A-Z][a-z]{2,8},? [0-9]{4}|[A-Z][a-z]{2,8} [0-9]{1,2}, [0-9]{4})\b"
)


def _text_of(rendered: object) -> str:
    """Return as text what lm_eval's models make of messages; some keep them as messages, or wrap their JSON."""
    if isinstance(rendered, list):
        return json.dumps(rendered, ensure_ascii=False)
    return str(getattr(rendered, "prompt", rendered))


# The settings of a task, and where they differ from what its name promises.

BUDGET_ALIASES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Generation arguments that set the budget, most binding first, as lm_eval orders them."""

GREEDY: dict[str, Any] = {"until": [], "do_sample": False, "temperature": 0.0}
"""Generation arguments of every exam task besides its budget; without ``until`` lm_eval would stop at blank lines."""

SAMPLED: dict[str, Any] = {"until": [], "do_sample": True, "temperature": 0.7}
"""Generation arguments of solo tasks: a profile is a distribution, so its samples must be able to differ."""

SAMPLED_REPEATS = 16
"""Samples of each document of a task that means a distribution, unless ``--metadata`` says otherwise."""

METADATA_KEYS = ("budget", "repeats", "exam_seed", "paraphrase", MARK)
"""What ``--metadata`` may change of a task."""

FIXED_KEYS = ("exam_set", "order", "prompt")
"""What only another task name can change."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """The settings of one task.

    Attributes:
        exam_set: ``v1``, ``fresh`` or ``tiny``.
        order: ``medium`` or ``hard`` (the easy order is always asked too); None for problems asked alone.
        prompt: Name of the prompt.
        budget: Budget in generated tokens.
        exam_seed: Seed of generated exam sets; None for the frozen one.
        repeats: Samples per exam and order.
        paraphrase: Number of the paraphrase in which the prompt was asked, 0 for its canonical text.
        decoding: Whether the model's own configuration may shape how tokens are chosen.
    """

    exam_set: str
    order: str | None
    prompt: str
    budget: int
    exam_seed: int | None
    repeats: int
    paraphrase: int = 0
    decoding: Decoding = "neutral"

    @property
    def kind(self) -> Kind:
        """What it asks."""
        return KINDS[PROMPTS[self.prompt].kind]

    @property
    def named_generation(self) -> dict[str, Any]:
        """Generation arguments that the task's name implies, besides its budget."""
        return SAMPLED if self.kind.is_sampled else GREEDY

    @property
    def generation(self) -> dict[str, Any]:
        """Generation arguments of the settings, besides the budget and the user's additions."""
        return dict(self.named_generation if self.decoding == "neutral" else {"until": [], MARK: self.decoding})


def task_settings(named: Mapping[str, Any], metadata: Mapping[str, Any]) -> TaskSettings:
    """Return the settings of a task from its YAML (``named``) and what ``--metadata`` overrides.

    Raises:
        UsageError: A value is invalid, or a key is missing.
    """
    _refuse_misspelt(metadata)
    exam_set = _choice("exam_set", named.get("exam_set"), EXAM_SETS)
    seed = _whole("exam_seed", metadata.get("exam_seed", named.get("exam_seed", 0)), least=0)
    if exam_set == "v1" and "exam_seed" in metadata:
        raise UsageError(
            "exam_seed was given, but the exams of version 1 are frozen; use a roi_fresh_… task for new ones"
        )
    prompt = _choice("prompt", named.get("prompt", "direct"), tuple(PROMPTS))
    kind = KINDS[PROMPTS[prompt].kind]
    repeats = SAMPLED_REPEATS if kind.is_sampled else 1
    paraphrase = _whole("paraphrase", metadata.get("paraphrase", 0), least=0)
    find_prompt(prompt, paraphrase)
    return TaskSettings(
        exam_set=exam_set,
        order=None if not kind.has_order else _choice("order", named.get("order"), ORDERS),
        prompt=prompt,
        budget=_whole("budget", metadata.get("budget", named.get("budget"))),
        exam_seed=None if exam_set == "v1" else seed,
        repeats=_whole("repeats", metadata.get("repeats", named.get("repeats", repeats))),
        paraphrase=paraphrase,
        decoding=asked_decoding(metadata),
    )


def paraphrase_label(paraphrase: int) -> str:
    """Return the label of a run that was asked in a paraphrase of its prompt."""
    return f"paraphrase={paraphrase}"


def budget_of(generation: Mapping[str, Any], default: int) -> int:
    """Return the budget that ``generation`` arguments set, or ``default``.

    Raises:
        UsageError: Two aliases disagree, or the value is not a positive whole number.
    """
    given = {name: _whole(name, generation[name]) for name in BUDGET_ALIASES if name in generation}
    changed = {value for value in given.values() if value != default}
    if len(changed) > 1:
        raise UsageError(f"generation arguments name several budgets: {given}; give one of them")
    return changed.pop() if changed else default


def temperature_of(generation: Mapping[str, Any]) -> float:
    """Return the sampling temperature of ``generation`` arguments, 0 where none is set.

    Raises:
        UsageError: It is not a number.
    """
    try:
        return float(generation.get("temperature") or 0)
    except (TypeError, ValueError) as error:
        raise UsageError(f"temperature must be a number, not {generation['temperature']!r}") from error


def deviations(
    named: Mapping[str, Any],
    settings: TaskSettings,
    generation: Mapping[str, Any],
    system_instruction: str | None,
    omitted: str | None = None,
) -> tuple[str, ...]:
    """Return a label for everything in which a run differs from what its task's name promises.

    Args:
        named: The settings that the task's name promises.
        settings: The actual settings.
        generation: Generation arguments.
        system_instruction: The run's system instruction, if any.
        omitted: Generation arguments that were not sent because the model does not take them (``omit`` of roi-api).
    """
    labels = []
    if settings.budget != named["budget"]:
        labels.append(f"budget={settings.budget}")
    if settings.exam_seed not in (None, named.get("exam_seed", 0)):
        labels.append(f"exam_seed={settings.exam_seed}")
    if settings.paraphrase:
        labels.append(paraphrase_label(settings.paraphrase))
    plain = {**settings.named_generation, **dict.fromkeys(BUDGET_ALIASES, settings.budget)}
    labels += [f"{key}={generation[key]}" for key in sorted(generation) if plain.get(key) != generation[key]]
    if system_instruction:
        labels.append("system_instruction")
    if omitted:
        labels.append(f"omit={omitted}")
    return tuple(labels)


def _refuse_misspelt(metadata: Mapping[str, Any]) -> None:
    """Refuse misspelt keys of ours; the metadata also contain model arguments, so other keys are allowed."""
    for key in metadata:
        if key in FIXED_KEYS:
            raise UsageError(
                f"--metadata cannot change {key!r}: it is part of what a task's name means; name another task"
            )
        if key not in METADATA_KEYS and (close := difflib.get_close_matches(key, METADATA_KEYS, n=1, cutoff=0.8)):
            raise UsageError(f"unknown key {key!r} in --metadata; did you mean {close[0]!r}?")


def _choice(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"unknown {name} {value!r}; {nearest(str(value), known)}")
    return str(value)


def _whole(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value
